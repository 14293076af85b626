//! What is sealed: an answer, an epoch, a handover, fresh secrets; and the list of the revoked.

use nexus0_common::wire::{
    Announcement, AnswerEntry, Epoch, Merge, REKEY_ENTRY_LEN, Rekey, RekeyEntry, Request,
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::object::Object;
use super::world::{CHAIN, SOURCE, World, body_bytes};
use crate::id::{ChainId, NodeId, RequestId};
use crate::identity::agreement_key;
use crate::join::{answer_context, request_id};
use crate::revocation::Revocations;
use crate::seal::{EpochSeal, JoinBox, RekeyBox, Welcome};
use crate::secret::Material;
use crate::send::Under;

impl World {
    pub(super) fn request(&self) -> (Request, RequestId, StaticSecret) {
        let secret = StaticSecret::from([0x41; 32]);
        let ephemeral = PublicKey::from(&secret).to_bytes();
        let nonce = [0x42; 16];
        let request = Request {
            door_nonce: [0x43; 4],
            nonce,
            ephemeral,
            grant: *self.joiner_grant.bytes(),
            attempt: 0,
            lowest: 1,
            highest: 1,
            reigning: 0,
        };
        (
            request,
            request_id(self.joiner.node_id(), &nonce, &ephemeral),
            secret,
        )
    }

    pub(super) fn welcome(&self) -> (Object, [u8; 32], [u8; 112]) {
        let (request, id, _) = self.request();
        let secret = StaticSecret::from([0x51; 32]);
        let anchor_key = PublicKey::from(&secret).to_bytes();
        let names = JoinBox {
            mesh: self.root.mesh_id(),
            request: id,
            anchor: self.anchor.node_id(),
            joiner: self.joiner.node_id(),
            anchor_key,
            joiner_key: request.ephemeral,
        };
        let (current, next) = (
            self.current.material.secret.clone(),
            Zeroizing::new([0x32; 32]),
        );
        let welcome = Welcome {
            current,
            next: Some(next),
            floor: 1 << 20,
        };
        let context = answer_context(CHAIN.0, 7);
        let sealed = names.seal(&secret, &welcome, &context).unwrap();
        let mut object = Object::default();
        object
            .hex("anchor_ephemeral_secret", &[0x51; 32])
            .hex("anchor_ephemeral", &anchor_key);
        object.hex("joiner_ephemeral_secret", &[0x41; 32]);
        object
            .hex("joiner_ephemeral", &request.ephemeral)
            .hex("request_id", &id.0);
        object
            .hex("associated_data", &context)
            .hex("current", &[0x31; 32]);
        object
            .hex("next", &[0x32; 32])
            .number("sequence_floor", 1 << 20)
            .hex("box", &sealed);
        let joiner = self.joiner.node_id().0;
        (
            object,
            anchor_key,
            AnswerEntry {
                request: id.0,
                joiner,
                sealed,
            }
            .bytes(),
        )
    }

    pub(super) fn epoch(&self) -> (Object, Epoch) {
        let next = Material::derive(self.root.mesh_id(), Zeroizing::new([0x32; 32]));
        let roster = self.roster();
        let mut succession = [0; 128];
        for (room, id) in succession.chunks_exact_mut(8).zip(roster.succession()) {
            room.copy_from_slice(&id.0);
        }
        let head = Announcement {
            chain: CHAIN.0,
            parent: [0; 8],
            number: 8,
            key_id: next.id.0,
            activates_in: 30_000,
            epoch: 60_000,
            pulse: 5_000,
            flags: 0,
            wire: 1,
            members: 2,
            roster: roster.digest().unwrap().0,
            revocation: 3,
        };
        let body = Epoch {
            head,
            succession,
            salt: [0x61; 32],
            sealed: [0; 48],
        };
        let body = self.seal(body, &next);
        let (bytes, sealed) = (body_bytes(&body), body.sealed);
        let mut object = Object::default();
        object
            .hex("seal_key", &*self.current.material.seal)
            .hex("salt", &body.salt);
        object
            .hex("sealer", &self.anchor.node_id().0)
            .hex("chain", &CHAIN.0)
            .number("number", 8);
        object
            .hex("associated_data", &bytes[..216])
            .hex("secret", &*next.secret);
        object.hex("sealed", &sealed);
        (object, body)
    }

    pub(super) fn seal(&self, mut body: Epoch, secret: &Material) -> Epoch {
        let bytes = body_bytes(&body);
        let seal = EpochSeal {
            mesh: self.root.mesh_id(),
            key: &self.current.material.seal,
            salt: &body.salt,
            sealer: self.anchor.node_id(),
            chain: ChainId(body.head.chain),
            number: body.head.number,
        };
        body.sealed = seal.seal(&secret.secret, &bytes[..216]).unwrap();
        body
    }

    /// The same epoch with another secret: what no honest anchor signs.
    pub(super) fn contradiction(&self) -> Epoch {
        let other = Material::derive(self.root.mesh_id(), Zeroizing::new([0x33; 32]));
        let mut body = Epoch {
            salt: [0x62; 32],
            ..self.epoch().1
        };
        body.head.key_id = other.id.0;
        self.seal(body, &other)
    }

    /// The one with the higher ego takes a chain of the other one's over.
    pub(super) fn preemption(&self) -> (Under, Epoch) {
        let other = Material::derive(self.root.mesh_id(), Zeroizing::new([0x34; 32]));
        let under = Under {
            chain: Some(ChainId([0xc3; 8])),
            ..self.current.clone()
        };
        let epoch = self.epoch().1;
        let head = Announcement {
            chain: [0xc4; 8],
            parent: [0xc3; 8],
            number: 9,
            key_id: other.id.0,
            activates_in: 90_000,
            flags: crate::turn::PREEMPTION,
            ..epoch.head
        };
        let body = Epoch {
            head,
            salt: [0x63; 32],
            ..epoch
        };
        (under, self.seal(body, &other))
    }

    /// The joiner, an anchor by then, hands over to the anchor's other chain.
    pub(super) fn merge(&self) -> (Object, Merge) {
        let mut body = Merge {
            chain: [0xc2; 8],
            number: 9,
            remaining: 20_000,
            epoch: 60_000,
            pulse: 5_000,
            flags: 1,
            wire: 1,
            next_wire: 1,
            roster: [0x86; 8],
            members: 2,
            revocation: 3,
            source: SOURCE,
            grant: *self.anchor_grant.bytes(),
            salt: [0x87; 32],
            sealed: [0; 80],
        };
        let bytes = body_bytes(&body);
        let (winners, next) = (Zeroizing::new([0x33; 32]), Zeroizing::new([0x34; 32]));
        let seal = EpochSeal {
            mesh: self.root.mesh_id(),
            key: &self.current.material.seal,
            salt: &body.salt,
            sealer: self.joiner.node_id(),
            chain: ChainId(body.chain),
            number: body.number,
        };
        let sealed = seal
            .seal_merge(&winners, Some(&next), &bytes[..228])
            .unwrap();
        let mut object = Object::default();
        object
            .hex("seal_key", &*self.current.material.seal)
            .hex("salt", &body.salt)
            .hex("sealer", &self.joiner.node_id().0)
            .hex("chain", &body.chain)
            .number("number", body.number)
            .hex("associated_data", &bytes[..228])
            .hex("current", &*winners)
            .hex("next", &*next)
            .hex("box", &sealed);
        body.sealed = sealed;
        (object, body)
    }

    /// Who is out in these vectors: two nodes, and grants below serial 1.
    pub(super) fn revocations(&self) -> Revocations {
        let out = [NodeId([0x81; 8]), NodeId([0x82; 8])];
        self.root.revoke(3, 1, &out.into()).unwrap()
    }

    pub(super) fn revocations_object(&self) -> Object {
        let list = self.revocations();
        let mut object = Object::default();
        object.number("number", list.number().into());
        object.number("floor", list.floor().into());
        let ids: Vec<u8> = list.revoked().iter().flat_map(|id| id.0).collect();
        object.hex("node_ids", &ids).hex("bytes", list.bytes());
        object
    }

    pub(super) fn rekey_head(&self) -> Rekey<'static> {
        Rekey {
            head: self.epoch().1.head,
            ephemeral: PublicKey::from(&StaticSecret::from([0x85; 32])).to_bytes(),
            page: 0,
            pages: 1,
            entries: &[],
        }
    }

    pub(super) fn rekey(&self) -> (Object, [u8; REKEY_ENTRY_LEN]) {
        let (body, member) = (self.rekey_head(), self.joiner.node_id());
        let names = RekeyBox {
            mesh: self.root.mesh_id(),
            anchor: self.anchor.node_id(),
            member,
            chain: CHAIN,
            number: body.head.number,
            ephemeral: &body.ephemeral,
        };
        let secret = Zeroizing::new([0x32; 32]);
        let context = body.head.bytes();
        let theirs = agreement_key(&self.joiner.public_key()).unwrap();
        let ephemeral = StaticSecret::from([0x85; 32]);
        let sealed = names.seal(&ephemeral, theirs, &secret, &context).unwrap();
        let own = self.joiner.agreement_secret();
        assert_eq!(names.open(&own, &sealed, &context), Some(secret));
        let mut object = Object::default();
        object.hex("anchor_ephemeral_secret", &[0x85; 32]);
        object.hex("anchor_ephemeral", &body.ephemeral);
        object.hex("member_x25519_secret", own.as_bytes());
        object.hex("member_x25519_public", &theirs);
        object.hex("associated_data", &context);
        object.hex("secret", &[0x32; 32]).hex("box", &sealed);
        let member = member.0;
        (object, RekeyEntry { member, sealed }.bytes())
    }
}
