//! The mesh, two nodes and one epoch that all vectors share.

use nexus0_common::wire::Body;
use nexus0_common::wire::cursor::Writer;
use zeroize::Zeroizing;

use super::object::Object;
use crate::grant::{Grant, GrantRequest, Kind, MeshRoot};
use crate::id::ChainId;
use crate::identity::{Identity, agreement_key};
use crate::roster::{Member, Roster as Members};
use crate::secret::{Material, expand};
use crate::send::Under;
use crate::time::Time;

pub(super) const CHAIN: ChainId = ChainId([0xc1; 8]);
pub(super) const SOURCE: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1];
pub(super) const PEER: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2];

/// The mesh, two nodes and one epoch that all vectors share.
pub(super) struct World {
    pub(super) root: MeshRoot,
    pub(super) anchor: Identity,
    pub(super) joiner: Identity,
    pub(super) anchor_grant: Grant,
    pub(super) joiner_grant: Grant,
    pub(super) door: Under,
    pub(super) current: Under,
}

impl World {
    pub(super) fn new() -> Self {
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

    pub(super) fn roster(&self) -> Members {
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

    pub(super) fn derivations(&self, secret: &[u8; 32]) -> Object {
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

    pub(super) fn node(identity: &Identity, grant: &Grant) -> Object {
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
}

pub(super) fn body_bytes<B: Body>(body: &B) -> Vec<u8> {
    let mut room = [0; 1119];
    let mut writer = Writer::new(&mut room);
    body.emit(&mut writer);
    let used = writer.position().unwrap();
    room[..used].to_vec()
}
