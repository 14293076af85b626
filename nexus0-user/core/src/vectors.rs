//! Golden vectors for those who write a node of their own: docs/vectors.json is what this file makes.

use std::path::{Path, PathBuf};

use nexus0_common::wire::cursor::Writer;
use nexus0_common::wire::{
    Anchor, Ann, Answer, AnswerEntry, Ask, Beacon, Body, Bye, Class, DoorProbe, DoorReply,
    DoorRevoke, Epoch, Exhibit, GROUP, Hold, INTRODUCED_LEN, Introduce, Merge, Probe, ProbeReply,
    Proof, Pulse, REKEY_ENTRY_LEN, Rekey, RekeyEntry, Request, Revoke, Roster, RosterEntry,
    StillHere,
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::grant::{Grant, GrantRequest, Kind, MeshRoot};
use crate::id::{ChainId, NodeId, RequestId, sha256};
use crate::identity::{Identity, agreement_key};
use crate::join::{answer_context, request_id};
use crate::rekey::context;
use crate::revocation::Revocations;
use crate::roster::{Member, Roster as Members};
use crate::seal::{EpochSeal, JoinBox, RekeyBox, Welcome};
use crate::secret::{Material, expand};
use crate::send::{Envelope, Under, class_of};
use crate::time::Time;

const CHAIN: ChainId = ChainId([0xc1; 8]);
const SOURCE: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1];
const PEER: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2];

/// JSON, as much as is needed: objects of strings, numbers and objects.
#[derive(Default)]
struct Object(Vec<(String, String)>);

impl Object {
    fn hex(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(name, &digits.concat())
    }

    fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.0.push((name.into(), format!("\"{text}\"")));
        self
    }

    fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.0.push((name.into(), number.to_string()));
        self
    }

    fn object(&mut self, name: &str, object: &Self) -> &mut Self {
        let lines = object
            .0
            .iter()
            .map(|(name, value)| format!("\"{name}\": {}", value.replace('\n', "\n  ")));
        let lines: Vec<String> = lines.collect();
        self.0
            .push((name.into(), format!("{{\n  {}\n}}", lines.join(",\n  "))));
        self
    }
}

/// The mesh, two nodes and one epoch that all vectors share.
struct World {
    root: MeshRoot,
    anchor: Identity,
    joiner: Identity,
    anchor_grant: Grant,
    joiner_grant: Grant,
    door: Under,
    current: Under,
}

impl World {
    fn new() -> Self {
        let root = MeshRoot::from_seed(&[0x01; 32]);
        let anchor = Identity::from_seed(&[0x11; 32]);
        let joiner = Identity::from_seed(&[0x21; 32]);
        let grant = |identity: &Identity, name, kind, ego, serial| {
            let public_key = identity.public_key();
            let request = GrantRequest {
                public_key,
                name,
                zone: "shed",
                kind,
                ego,
                serial,
            };
            root.issue(&request).unwrap()
        };
        let current = Zeroizing::new([0x31; 32]);
        Self {
            anchor_grant: grant(&anchor, "anvil", Kind::RigHub, 90, 1),
            joiner_grant: grant(&joiner, "bellows", Kind::Agent, 40, 2),
            door: Under {
                material: Material::door(root.mesh_id()),
                chain: None,
            },
            current: Under {
                material: Material::derive(root.mesh_id(), current),
                chain: Some(CHAIN),
            },
            root,
            anchor,
            joiner,
        }
    }

    fn roster(&self) -> Members {
        let mut roster = Members::default();
        for (identity, grant) in [
            (&self.anchor, &self.anchor_grant),
            (&self.joiner, &self.joiner_grant),
        ] {
            roster.insert(Member::new(grant.clone(), 1, Time(0)));
            roster.append(identity.node_id());
        }
        roster
    }

    fn derivations(&self, secret: &[u8; 32]) -> Object {
        let mesh = self.root.mesh_id();
        let mac: [u8; 32] = expand(&mesh.0, secret, &[b"nexus0 v1 mac"]);
        let pre_tag: [u8; 16] = expand(&mesh.0, secret, &[b"nexus0 v1 pre-tag"]);
        let material = Material::derive(mesh, Zeroizing::new(*secret));
        let mut object = Object::default();
        object
            .hex("secret", secret)
            .hex("mac_key", &mac)
            .hex("pre_tag_key", &pre_tag);
        object
            .hex("seal_key", &*material.seal)
            .hex("key_id", &material.id.0);
        object
    }

    fn node(identity: &Identity, grant: &Grant) -> Object {
        let mut object = Object::default();
        object
            .hex("ed25519_seed", &*identity.seed())
            .hex("ed25519_public", &identity.public_key());
        object.hex(
            "x25519_public",
            &agreement_key(&identity.public_key()).unwrap(),
        );
        object
            .hex("id_hash", &identity.id_hash().0)
            .hex("node_id", &identity.node_id().0);
        object
            .hex("grant", grant.bytes())
            .hex("profile", &grant.profile().0);
        object
    }

    fn request(&self) -> (Request, RequestId, StaticSecret) {
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

    fn welcome(&self) -> (Object, [u8; 32], [u8; 112]) {
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

    fn epoch(&self) -> (Object, Epoch) {
        let next = Material::derive(self.root.mesh_id(), Zeroizing::new([0x32; 32]));
        let roster = self.roster();
        let mut succession = [0; 128];
        for (room, id) in succession.chunks_exact_mut(8).zip(roster.succession()) {
            room.copy_from_slice(&id.0);
        }
        let body = Epoch {
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

    fn seal(&self, mut body: Epoch, secret: &Material) -> Epoch {
        let bytes = body_bytes(&body);
        let seal = EpochSeal {
            mesh: self.root.mesh_id(),
            key: &self.current.material.seal,
            salt: &body.salt,
            sealer: self.anchor.node_id(),
            chain: ChainId(body.chain),
            number: body.number,
        };
        body.sealed = seal.seal(&secret.secret, &bytes[..216]).unwrap();
        body
    }

    /// The same epoch with another secret: what no honest anchor signs.
    fn contradiction(&self) -> Epoch {
        let other = Material::derive(self.root.mesh_id(), Zeroizing::new([0x33; 32]));
        let body = Epoch {
            key_id: other.id.0,
            salt: [0x62; 32],
            ..self.epoch().1
        };
        self.seal(body, &other)
    }

    /// The one with the higher ego takes a chain of the other one's over.
    fn preemption(&self) -> (Under, Epoch) {
        let other = Material::derive(self.root.mesh_id(), Zeroizing::new([0x34; 32]));
        let under = Under {
            chain: Some(ChainId([0xc3; 8])),
            ..self.current.clone()
        };
        let body = Epoch {
            chain: [0xc4; 8],
            parent: [0xc3; 8],
            number: 9,
            key_id: other.id.0,
            activates_in: 90_000,
            flags: crate::turn::PREEMPTION,
            salt: [0x63; 32],
            ..self.epoch().1
        };
        (under, self.seal(body, &other))
    }

    /// The joiner, an anchor by then, hands over to the anchor's other chain.
    fn merge(&self) -> (Object, Merge) {
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

    fn frame<B: Body>(
        &self,
        body: &B,
        by: &Identity,
        under: &Under,
        to: [u8; 16],
    ) -> (Object, Vec<u8>) {
        let source = if by.node_id() == self.anchor.node_id() {
            SOURCE
        } else {
            PEER
        };
        let sequence = 0x0010_0001;
        let (mesh, identity) = (self.root.mesh_id(), by);
        let envelope = Envelope {
            mesh,
            identity,
            under,
            source,
            destination: to,
            sequence,
        };
        let payload = envelope.frame(body).unwrap();
        let mut object = Object::default();
        object
            .number("type", B::TYPE as u64)
            .hex("source", &source)
            .hex("destination", &to);
        object.text(
            "class",
            if class_of(&to) == Class::Multicast {
                "multicast"
            } else {
                "unicast"
            },
        );
        object.text(
            "key",
            if under.chain.is_some() {
                "epoch"
            } else {
                "door"
            },
        );
        object
            .hex("chain", &under.chain.unwrap_or_default().0)
            .hex("sender", &by.node_id().0);
        object
            .number("sequence", sequence)
            .hex("body", &body_bytes(body))
            .hex("payload", &payload);
        (object, payload)
    }

    fn frames(&self) -> Object {
        let (anchor, joiner, door, current) =
            (&self.anchor, &self.joiner, &self.door, &self.current);
        let roster = self.roster();
        let digest = roster.digest().unwrap().0;
        let pulse = Pulse {
            status: 1,
            flags: 0,
            anchor: anchor.node_id().0,
            uptime: 3600,
            profile: self.anchor_grant.profile().0,
            roster: digest,
            next_key: [0x71; 4],
            revocation: 3,
        };
        let follower = Pulse {
            status: 0,
            profile: self.joiner_grant.profile().0,
            ..pulse
        };
        let (grant, chain, nonce) = (*self.anchor_grant.bytes(), CHAIN.0, [0x72; 16]);
        let entries: Vec<[u8; 137]> = roster
            .succession()
            .iter()
            .map(|id| roster.entry(*id).unwrap().bytes())
            .collect();
        let entries = entries.as_slice();
        let (_, ephemeral, welcome) = self.welcome();
        let answer = Answer {
            ephemeral,
            chain,
            number: 7,
            flags: 1,
            entries: &[welcome],
            epoch: 60_000,
            pulse: 5_000,
            remaining: 30_000,
            roster: digest,
            members: 2,
            revocation: 3,
            grant,
            wire: 1,
            next_wire: 1,
        };
        let (anchor_pulse, payload) = self.frame(&Anchor(pulse), anchor, current, GROUP);
        let still_here = StillHere {
            source: SOURCE,
            pulse: *payload.first_chunk().unwrap(),
        };
        let ann = self.frame(&Ann(follower), joiner, current, GROUP).0;
        let request = self.request().0;
        let mut all = Object::default();
        all.object("ANN", &ann).object("ANCHOR", &anchor_pulse);
        all.object(
            "EPOCH",
            &self.frame(&self.epoch().1, anchor, current, GROUP).0,
        );
        let body = Roster {
            chain,
            number: 7,
            roster: digest,
            members: 2,
            entries,
        };
        all.object("ROSTER", &self.frame(&body, anchor, current, GROUP).0);
        all.object(
            "BYE",
            &self
                .frame(&Bye { chain, reason: 1 }, anchor, current, GROUP)
                .0,
        );
        all.object(
            "STILL-HERE",
            &self.frame(&still_here, joiner, current, SOURCE).0,
        );
        all.object(
            "PROBE",
            &self.frame(&Probe { nonce }, joiner, current, SOURCE).0,
        );
        let body = ProbeReply { nonce, state: 3 };
        all.object("PROBE-REPLY", &self.frame(&body, anchor, current, PEER).0);
        all.object(
            "ASK",
            &self
                .frame(
                    &Ask {
                        what: 1,
                        held: digest,
                    },
                    joiner,
                    current,
                    SOURCE,
                )
                .0,
        );
        self.later_frames(&mut all);
        all.object("REQ_EPOCH", &self.frame(&request, joiner, door, GROUP).0);
        all.object("ANSWER", &self.frame(&answer, anchor, door, GROUP).0);
        let body = Beacon {
            chain,
            number: 7,
            revocation: 3,
            door_nonce: [0x43; 4],
            grant,
        };
        all.object("BEACON", &self.frame(&body, anchor, door, GROUP).0);
        let body = Hold {
            request: self.request().1.0,
            grant,
        };
        all.object("HOLD", &self.frame(&body, anchor, door, PEER).0);
        all.object(
            "DOOR-PROBE",
            &self
                .frame(&DoorProbe { nonce, grant }, anchor, door, PEER)
                .0,
        );
        let body = DoorReply { nonce, state: 1 };
        all.object("DOOR-REPLY", &self.frame(&body, joiner, door, SOURCE).0);
        all
    }

    /// Who is out in these vectors: two nodes, and grants below serial 1.
    fn revocations(&self) -> Revocations {
        let out = [NodeId([0x81; 8]), NodeId([0x82; 8])];
        self.root.revoke(3, 1, &out.into()).unwrap()
    }

    fn revocations_object(&self) -> Object {
        let list = self.revocations();
        let mut object = Object::default();
        object.number("number", list.number().into());
        object.number("floor", list.floor().into());
        let ids: Vec<u8> = list.revoked().iter().flat_map(|id| id.0).collect();
        object.hex("node_ids", &ids).hex("bytes", list.bytes());
        object
    }

    fn rekey_head(&self) -> Rekey<'static> {
        let epoch = self.epoch().1;
        Rekey {
            chain: epoch.chain,
            parent: epoch.parent,
            number: epoch.number,
            key_id: epoch.key_id,
            activates_in: epoch.activates_in,
            epoch: epoch.epoch,
            pulse: epoch.pulse,
            flags: 0,
            wire: 1,
            members: epoch.members,
            roster: epoch.roster,
            revocation: epoch.revocation,
            ephemeral: PublicKey::from(&StaticSecret::from([0x85; 32])).to_bytes(),
            page: 0,
            pages: 1,
            entries: &[],
        }
    }

    fn rekey(&self) -> (Object, [u8; REKEY_ENTRY_LEN]) {
        let (head, member) = (self.rekey_head(), self.joiner.node_id());
        let names = RekeyBox {
            mesh: self.root.mesh_id(),
            anchor: self.anchor.node_id(),
            member,
            chain: CHAIN,
            number: head.number,
            ephemeral: &head.ephemeral,
        };
        let secret = Zeroizing::new([0x32; 32]);
        let context = context(&head).unwrap();
        let theirs = agreement_key(&self.joiner.public_key()).unwrap();
        let ephemeral = StaticSecret::from([0x85; 32]);
        let sealed = names.seal(&ephemeral, theirs, &secret, &context).unwrap();
        let own = self.joiner.agreement_secret();
        assert_eq!(names.open(&own, &sealed, &context), Some(secret));
        let mut object = Object::default();
        object.hex("anchor_ephemeral_secret", &[0x85; 32]);
        object.hex("anchor_ephemeral", &head.ephemeral);
        object.hex("member_x25519_secret", own.as_bytes());
        object.hex("member_x25519_public", &theirs);
        object.hex("associated_data", &context);
        object.hex("secret", &[0x32; 32]).hex("box", &sealed);
        let member = member.0;
        (object, RekeyEntry { member, sealed }.bytes())
    }

    fn later_frames(&self, all: &mut Object) {
        let (anchor, joiner, door, current) =
            (&self.anchor, &self.joiner, &self.door, &self.current);
        let (under, preemption) = self.preemption();
        let frame = self.frame(&preemption, anchor, &under, GROUP).0;
        all.object("EPOCH (preemption)", &frame);
        let bytes = self.revocations();
        let list = Revoke::parse(bytes.bytes()).unwrap();
        all.object("REVOKE", &self.frame(&list, joiner, current, GROUP).0);
        let body = DoorRevoke(list);
        all.object("DOOR-REVOKE", &self.frame(&body, anchor, door, GROUP).0);
        let epoch = self.epoch().1;
        let (_, entry) = self.rekey();
        let entries = [entry];
        let body = Rekey {
            entries: &entries,
            ..self.rekey_head()
        };
        all.object("REKEY", &self.frame(&body, anchor, current, GROUP).0);
        let body = self.merge().1;
        all.object("MERGE", &self.frame(&body, joiner, current, GROUP).0);
        let exhibits = [epoch, self.contradiction()].map(|epoch| {
            let payload = self.frame(&epoch, anchor, current, GROUP).1;
            let frame = *payload.first_chunk().unwrap();
            Exhibit {
                chain: CHAIN.0,
                source: SOURCE,
                frame,
            }
            .bytes()
        });
        let body = Proof {
            exhibits: &exhibits,
        };
        all.object("PROOF", &self.frame(&body, joiner, current, GROUP).0);
        let mut introduced = [1; INTRODUCED_LEN];
        introduced[1..].copy_from_slice(self.joiner_grant.bytes());
        let body = Introduce {
            entries: &[introduced],
        };
        all.object("INTRODUCE", &self.frame(&body, joiner, current, SOURCE).0);
    }

    fn json(&self) -> String {
        let mesh = self.root.mesh_id();
        let mut mesh_object = Object::default();
        mesh_object.hex("root_seed", &*self.root.seed());
        mesh_object
            .hex("root_public", &self.root.public_key())
            .hex("mesh_id", &mesh.0);
        let entry = RosterEntry {
            position: 0,
            highest: 1,
            grant: *self.anchor_grant.bytes(),
        };
        let mut roster = Object::default();
        roster.hex("first_entry", &entry.bytes());
        roster.hex("digest", &self.roster().digest().unwrap().0);
        let door = sha256(&[b"nexus0 v1 door", &mesh.0]);
        let mut all = Object::default();
        all.number("version", 1).object("mesh", &mesh_object);
        all.object("anchor", &Self::node(&self.anchor, &self.anchor_grant));
        all.object("joiner", &Self::node(&self.joiner, &self.joiner_grant));
        all.object("door", &self.derivations(&door));
        all.object("epoch", &self.derivations(&[0x31; 32]));
        all.object("next_epoch", &self.derivations(&[0x32; 32]));
        all.object("roster", &roster)
            .object("answer_box", &self.welcome().0);
        all.object("revocations", &self.revocations_object());
        all.object("rekey_box", &self.rekey().0);
        all.object("epoch_seal", &self.epoch().0)
            .object("merge_box", &self.merge().0)
            .object("frames", &self.frames());
        let mut file = Object::default();
        file.object("", &all);
        format!("{}\n", file.0[0].1)
    }
}

fn body_bytes<B: Body>(body: &B) -> Vec<u8> {
    let mut room = [0; 1119];
    let mut writer = Writer::new(&mut room);
    body.emit(&mut writer);
    let used = writer.position().unwrap();
    room[..used].to_vec()
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors.json")
}

#[test]
fn the_published_vectors_are_what_this_code_makes() {
    let published = std::fs::read_to_string(file()).expect("docs/vectors.json");
    assert!(
        published == World::new().json(),
        "docs/vectors.json differs: if the wire changed on purpose, run \
         `cargo test -p nexus0-core -- --ignored write_the_vectors`"
    );
}

#[test]
fn every_frame_type_but_data_has_a_vector() {
    let names = World::new().frames().0;
    for frame_type in nexus0_common::wire::FrameType::ALL {
        let known = names.iter().any(|(name, _)| name == frame_type.name());
        assert!(
            known || frame_type.name() == "DATA",
            "{}",
            frame_type.name()
        );
    }
}

#[test]
#[ignore = "writes docs/vectors.json"]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the generator of a checked-in file"
)]
fn write_the_vectors() {
    std::fs::write(file(), World::new().json()).expect("docs is writable");
}
