//! Who is out: the root's cumulative list. Of two lists the one with the higher number replaces the other whole.

use std::collections::BTreeSet;

use nexus0_common::wire::cursor::Writer;
use nexus0_common::wire::{Body, REVOKED, Revoke};

use crate::grant::{Grant, MeshRoot};
use crate::id::{MeshId, NodeId};
use crate::identity::verify_strict;

/// Most nodes in a list.
pub const MAX_REVOKED: usize = REVOKED;
/// Bytes of the longest list.
const LONGEST: usize = 9 + 8 * REVOKED + 64;

/// Why something is not a revocation list of this mesh. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// Wrong length.
    #[error(
        "a revocation list is 73 to {LONGEST} bytes long and this has {0}, or it does not match its count"
    )]
    Length(usize),
    /// Number zero stands for no list.
    #[error("revocation lists are numbered from 1")]
    Number,
    /// Too many nodes.
    #[error("a revocation list holds at most {MAX_REVOKED} nodes, this would hold {0}")]
    Full(usize),
    /// Not signed by this mesh's root.
    #[error("the revocation list is not signed by the root of mesh {0}")]
    Signature(MeshId),
}

/// A list whose signature was verified. The default is what a node holds that never saw one: number 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    number: u32,
    floor: u32,
    revoked: BTreeSet<NodeId>,
    bytes: Vec<u8>,
}

impl Revocations {
    /// Reads and verifies a list of the mesh with this root. Zeros may follow it.
    pub fn parse(bytes: &[u8], root: &[u8; 32]) -> Result<Self, RevocationError> {
        let list = Revoke::parse(bytes).ok_or(RevocationError::Length(bytes.len()))?;
        if list.number == 0 {
            return Err(RevocationError::Number);
        }
        let bytes = emit(&list).ok_or(RevocationError::Length(bytes.len()))?;
        let signed = bytes.split_last_chunk::<64>();
        let (signed, signature) = signed.ok_or(RevocationError::Length(bytes.len()))?;
        let mesh = MeshId::of(root);
        if !verify_strict(root, &message(mesh, signed), signature) {
            return Err(RevocationError::Signature(mesh));
        }
        Ok(Self {
            number: list.number,
            floor: list.floor,
            revoked: list.revoked.iter().map(|id| NodeId(*id)).collect(),
            bytes,
        })
    }

    /// Higher is newer; 0 is none.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Grants with a lower serial are void.
    pub fn floor(&self) -> u32 {
        self.floor
    }

    /// The nodes that are out, whatever their grants.
    pub fn revoked(&self) -> &BTreeSet<NodeId> {
        &self.revoked
    }

    /// The list as it travels; empty for none.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the list makes a grant void.
    pub fn voids(&self, grant: &Grant) -> bool {
        grant.serial() < self.floor || self.revoked.contains(&grant.node_id())
    }
}

impl MeshRoot {
    /// Signs a list.
    pub fn revoke(
        &self,
        number: u32,
        floor: u32,
        revoked: &BTreeSet<NodeId>,
    ) -> Result<Revocations, RevocationError> {
        if revoked.len() > MAX_REVOKED {
            return Err(RevocationError::Full(revoked.len()));
        }
        let ids: Vec<[u8; 8]> = revoked.iter().map(|id| id.0).collect();
        let mut list = Revoke {
            number,
            floor,
            revoked: &ids,
            signature: [0; 64],
        };
        let unsigned = emit(&list).ok_or(RevocationError::Full(revoked.len()))?;
        let signed = unsigned.split_last_chunk::<64>().map(|(signed, _)| signed);
        list.signature = self.sign(&message(self.mesh_id(), signed.unwrap_or_default()));
        let bytes = emit(&list).unwrap_or_default();
        Revocations::parse(&bytes, &self.public_key())
    }
}

fn emit(list: &Revoke<'_>) -> Option<Vec<u8>> {
    let mut room = [0; LONGEST];
    let mut writer = Writer::new(&mut room);
    list.emit(&mut writer);
    let used = writer.position()?;
    Some(room.get(..used)?.to_vec())
}

fn message(mesh: MeshId, signed: &[u8]) -> Vec<u8> {
    [b"nexus0 v1 revocations".as_slice(), &mesh.0, signed].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{GrantRequest, Kind};
    use crate::identity::Identity;

    fn grant(root: &MeshRoot, node: u8, serial: u32) -> Grant {
        let request = GrantRequest {
            public_key: Identity::from_seed(&[node; 32]).public_key(),
            name: "n",
            zone: "",
            kind: Kind::Agent,
            ego: 1,
            serial,
        };
        root.issue(&request).unwrap()
    }

    #[test]
    fn a_list_voids_whom_it_names_and_what_is_below_its_floor() {
        let root = MeshRoot::from_seed(&[1; 32]);
        let out = grant(&root, 2, 9);
        let list = root.revoke(4, 7, &[out.node_id()].into()).unwrap();
        assert!(list.voids(&out), "named");
        assert!(list.voids(&grant(&root, 2, 99)), "every grant of the named");
        assert!(list.voids(&grant(&root, 3, 6)), "below the floor");
        assert!(!list.voids(&grant(&root, 3, 7)), "at the floor");
        assert!(!Revocations::default().voids(&out));
    }

    #[test]
    fn a_list_survives_the_round_trip_with_zeros_behind_it() {
        let root = MeshRoot::from_seed(&[1; 32]);
        for count in [0_u8, 1, 128] {
            let ids = (0..count).map(|byte| NodeId([byte; 8])).collect();
            let list = root.revoke(3, 0, &ids).unwrap();
            let mut padded = list.bytes().to_vec();
            padded.resize(1119, 0);
            assert_eq!(Revocations::parse(&padded, &root.public_key()), Ok(list));
        }
    }

    #[test]
    fn one_flipped_bit_another_root_and_number_zero_are_refused() {
        let (root, other) = (MeshRoot::from_seed(&[1; 32]), MeshRoot::from_seed(&[2; 32]));
        let list = root.revoke(3, 2, &[NodeId([7; 8])].into()).unwrap();
        for index in 0..list.bytes().len() {
            let mut bytes = list.bytes().to_vec();
            bytes[index] ^= 1;
            assert!(
                Revocations::parse(&bytes, &root.public_key()).is_err(),
                "{index}"
            );
        }
        let foreign = Revocations::parse(list.bytes(), &other.public_key());
        assert!(matches!(foreign, Err(RevocationError::Signature(_))));
        let zero = root.revoke(0, 0, &BTreeSet::new());
        assert_eq!(zero, Err(RevocationError::Number));
    }

    #[test]
    fn a_list_of_more_than_fit_is_refused_by_its_count() {
        let root = MeshRoot::from_seed(&[1; 32]);
        let ids = (0..129_u8).map(|byte| NodeId([byte; 8])).collect();
        assert_eq!(root.revoke(1, 0, &ids), Err(RevocationError::Full(129)));
    }
}
