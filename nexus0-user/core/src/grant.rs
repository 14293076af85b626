//! What the mesh root says of a node: name, zone, type, ego, serial (R1).
//!
//! ```text
//!  0            32     48     64  65  66     70          134
//!  +------------+------+------+---+---+------+-----------+
//!  | public key | name | zone |typ|ego|serial| signature |
//!  +------------+------+------+---+---+------+-----------+
//! ```

use core::fmt;

use serde::Serialize;
use zeroize::Zeroizing;

use crate::id::{IdHash, MeshId, NodeId, ProfileDigest, first, sha256};
use crate::identity::{Identity, SEED_LEN, verify_strict};

/// Bytes of a grant.
pub const GRANT_LEN: usize = 134;
/// Longest name and longest zone in bytes of UTF-8.
pub const NAME_LEN: usize = 16;
/// Highest ego.
pub const MAX_EGO: u8 = 100;
const SIGNED_LEN: usize = 70;

/// Why something is not a grant of this mesh. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Wrong length.
    #[error("a grant is {GRANT_LEN} bytes long, this is {0}")]
    Length(usize),
    /// A name or zone that does not fit.
    #[error("{what} \"{value}\" has {} bytes, allowed are 1 to {NAME_LEN}", value.len())]
    Text {
        /// Name or zone.
        what: &'static str,
        /// What was given.
        value: String,
    },
    /// A name or zone that is not zero-padded printable UTF-8.
    #[error("{0} is not zero-padded printable UTF-8")]
    Encoding(&'static str),
    /// No such kind.
    #[error("kind \"{0}\" is unknown, allowed are bridge, rig-hub, data-mule and agent (1 to 4)")]
    Kind(String),
    /// Ego out of range.
    #[error("ego is {0}, allowed are 0 to {MAX_EGO}")]
    Ego(u8),
    /// Not signed by this mesh's root.
    #[error("the grant is not signed by the root of mesh {0}")]
    Signature(MeshId),
}

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// Joins links.
    Bridge = 1,
    /// Hosts workers.
    RigHub = 2,
    /// Carries data.
    DataMule = 3,
    /// Acts for a person or program.
    Agent = 4,
}

impl Kind {
    /// All kinds by number.
    pub const ALL: [Self; 4] = [Self::Bridge, Self::RigHub, Self::DataMule, Self::Agent];

    /// The spelling used everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::RigHub => "rig-hub",
            Self::DataMule => "data-mule",
            Self::Agent => "agent",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Result<Self, GrantError> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| GrantError::Kind(name.into()))
    }

    fn from_number(number: u8) -> Result<Self, GrantError> {
        let found = Self::ALL.into_iter().find(|kind| *kind as u8 == number);
        found.ok_or_else(|| GrantError::Kind(number.to_string()))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A grant whose fields are in range and whose signature was verified.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    #[serde(skip)]
    bytes: [u8; GRANT_LEN],
    #[serde(skip)]
    public_key: [u8; 32],
    id_hash: IdHash,
    name: String,
    zone: String,
    kind: Kind,
    ego: u8,
    serial: u32,
}

impl Grant {
    /// Reads and verifies a grant of the mesh with this root.
    pub fn parse(bytes: &[u8], root: &[u8; 32]) -> Result<Self, GrantError> {
        let all: &[u8; GRANT_LEN] = bytes
            .try_into()
            .map_err(|_| GrantError::Length(bytes.len()))?;
        let grant = Self::read(all).unwrap_or(Err(GrantError::Length(bytes.len())))?;
        let (signed, signature) = split(all).ok_or(GrantError::Length(bytes.len()))?;
        let mesh = MeshId::of(root);
        if !verify_strict(root, &message(mesh, signed), signature) {
            return Err(GrantError::Signature(mesh));
        }
        Ok(grant)
    }

    fn read(bytes: &[u8; GRANT_LEN]) -> Option<Result<Self, GrantError>> {
        let (public_key, rest) = bytes.split_first_chunk::<32>()?;
        let (name, rest) = rest.split_first_chunk::<NAME_LEN>()?;
        let (zone, rest) = rest.split_first_chunk::<NAME_LEN>()?;
        let ([kind, ego, serial @ ..], _) = rest.split_first_chunk::<6>()?;
        Some(Self::check(
            bytes, public_key, name, zone, *kind, *ego, *serial,
        ))
    }

    fn check(
        bytes: &[u8; GRANT_LEN],
        public_key: &[u8; 32],
        name: &[u8; NAME_LEN],
        zone: &[u8; NAME_LEN],
        kind: u8,
        ego: u8,
        serial: [u8; 4],
    ) -> Result<Self, GrantError> {
        if ego > MAX_EGO {
            return Err(GrantError::Ego(ego));
        }
        Ok(Self {
            bytes: *bytes,
            public_key: *public_key,
            id_hash: IdHash::of(public_key),
            name: text("name", name)?,
            zone: text("zone", zone)?,
            kind: Kind::from_number(kind)?,
            ego,
            serial: u32::from_be_bytes(serial),
        })
    }

    /// The grant as it travels.
    pub fn bytes(&self) -> &[u8; GRANT_LEN] {
        &self.bytes
    }

    /// The node's Ed25519 public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// SHA-256 of the public key.
    pub fn id_hash(&self) -> IdHash {
        self.id_hash
    }

    /// The node it is for.
    pub fn node_id(&self) -> NodeId {
        self.id_hash.node_id()
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the node stands.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// What the node is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The node's ego, 0 to 100.
    pub fn ego(&self) -> u8 {
        self.ego
    }

    /// The root's counter: lower is older.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// What pulses carry of the grant.
    pub fn profile(&self) -> ProfileDigest {
        ProfileDigest(first(&sha256(&[&self.bytes])))
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            zone,
            kind,
            ego,
            serial,
            ..
        } = self;
        write!(
            f,
            "Grant({} {name}@{zone} {kind} ego {ego} serial {serial})",
            self.node_id()
        )
    }
}

/// What a grant is issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRequest<'a> {
    /// The node's Ed25519 public key.
    pub public_key: [u8; 32],
    /// 1 to 16 bytes.
    pub name: &'a str,
    /// 0 to 16 bytes.
    pub zone: &'a str,
    /// What the node is for.
    pub kind: Kind,
    /// 0 to 100.
    pub ego: u8,
    /// Higher than every serial given out before.
    pub serial: u32,
}

/// The key pair that signs grants. Wiped when dropped; never printed.
pub struct MeshRoot(Identity);

impl MeshRoot {
    /// From its stored seed.
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self(Identity::from_seed(seed))
    }

    /// The seed, to be stored.
    pub fn seed(&self) -> Zeroizing<[u8; SEED_LEN]> {
        self.0.seed()
    }

    /// The public half: the mesh's public identity.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.public_key()
    }

    /// The mesh's name on the wire.
    pub fn mesh_id(&self) -> MeshId {
        MeshId::of(&self.public_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    /// Signs a grant.
    pub fn issue(&self, request: &GrantRequest<'_>) -> Result<Grant, GrantError> {
        let mut bytes = Vec::with_capacity(GRANT_LEN);
        bytes.extend(request.public_key);
        bytes.extend(padded("name", request.name, 1)?);
        bytes.extend(padded("zone", request.zone, 0)?);
        bytes.extend([request.kind as u8, request.ego]);
        bytes.extend(request.serial.to_be_bytes());
        let signature = self.0.sign(&message(self.mesh_id(), &bytes));
        bytes.extend(signature);
        Grant::parse(&bytes, &self.public_key())
    }
}

impl fmt::Debug for MeshRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeshRoot({})", self.mesh_id())
    }
}

/// Whom a grant names, before anything about it is verified.
pub(crate) fn peek_node_id(bytes: &[u8; GRANT_LEN]) -> Option<NodeId> {
    bytes
        .first_chunk()
        .map(|public_key| IdHash::of(public_key).node_id())
}

fn message(mesh: MeshId, signed: &[u8]) -> Vec<u8> {
    [b"nexus0 v1 grant".as_slice(), &mesh.0, signed].concat()
}

fn split(bytes: &[u8; GRANT_LEN]) -> Option<(&[u8], &[u8; 64])> {
    bytes
        .split_last_chunk::<64>()
        .filter(|(signed, _)| signed.len() == SIGNED_LEN)
}

fn padded(what: &'static str, value: &str, least: usize) -> Result<[u8; NAME_LEN], GrantError> {
    let mut bytes = [0; NAME_LEN];
    let fits = (least..=NAME_LEN).contains(&value.len());
    let room = bytes.get_mut(..value.len()).filter(|_| fits);
    let room = room.ok_or_else(|| GrantError::Text {
        what,
        value: value.into(),
    })?;
    room.copy_from_slice(value.as_bytes());
    Ok(bytes)
}

fn text(what: &'static str, bytes: &[u8; NAME_LEN]) -> Result<String, GrantError> {
    let padding = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let used = bytes
        .get(..NAME_LEN.saturating_sub(padding))
        .unwrap_or_default();
    let text = core::str::from_utf8(used).map_err(|_| GrantError::Encoding(what))?;
    if text.chars().any(char::is_control) {
        return Err(GrantError::Encoding(what));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, ego: u8) -> GrantRequest<'_> {
        let public_key = Identity::from_seed(&[1; 32]).public_key();
        GrantRequest {
            public_key,
            name,
            zone: "shed",
            kind: Kind::Agent,
            ego,
            serial: 7,
        }
    }

    #[test]
    fn a_grant_survives_the_round_trip() {
        let root = MeshRoot::from_seed(&[9; 32]);
        let grant = root.issue(&request("rake", 50)).unwrap();
        assert_eq!(
            Grant::parse(grant.bytes(), &root.public_key()),
            Ok(grant.clone())
        );
        assert_eq!(
            (grant.name(), grant.zone(), grant.ego()),
            ("rake", "shed", 50)
        );
    }

    #[test]
    fn every_flipped_byte_of_a_grant_is_refused() {
        let root = MeshRoot::from_seed(&[9; 32]);
        let grant = root.issue(&request("rake", 50)).unwrap();
        for index in 0..GRANT_LEN {
            let mut bytes = *grant.bytes();
            bytes[index] ^= 1;
            assert!(
                Grant::parse(&bytes, &root.public_key()).is_err(),
                "byte {index}"
            );
        }
    }

    #[test]
    fn a_grant_of_another_root_is_refused() {
        let (ours, theirs) = (MeshRoot::from_seed(&[9; 32]), MeshRoot::from_seed(&[8; 32]));
        let grant = theirs.issue(&request("rake", 50)).unwrap();
        let refused = Grant::parse(grant.bytes(), &ours.public_key());
        assert_eq!(refused, Err(GrantError::Signature(ours.mesh_id())));
    }

    #[test]
    fn errors_name_what_is_allowed() {
        let root = MeshRoot::from_seed(&[9; 32]);
        let ego = root.issue(&request("rake", 101)).unwrap_err().to_string();
        assert_eq!(ego, "ego is 101, allowed are 0 to 100");
        let name = root
            .issue(&request("a name that is too long", 1))
            .unwrap_err()
            .to_string();
        assert!(
            name.ends_with("has 23 bytes, allowed are 1 to 16"),
            "{name}"
        );
        assert!(root.issue(&request("", 1)).is_err());
        assert_eq!(Grant::parse(&[1], &[0; 32]), Err(GrantError::Length(1)));
        assert!(
            Kind::from_name("king")
                .unwrap_err()
                .to_string()
                .contains("rig-hub")
        );
    }
}
