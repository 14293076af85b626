//! Names of things on the wire. Each is its bytes, shown in hexadecimal.

use core::fmt;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($length:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

ids! {
    /// A node: the first bytes of its [`IdHash`].
    NodeId(8);
    /// SHA-256 of a node's Ed25519 public key; breaks the last tie in the one order.
    IdHash(32);
    /// A mesh: a digest of its root's public key.
    MeshId(16);
    /// One anchor's uninterrupted reign.
    ChainId(8);
    /// An epoch key as frames name it.
    KeyId(4);
    /// A digest of the whole roster.
    RosterDigest(8);
    /// A digest of one grant.
    ProfileDigest(4);
    /// Names one request to join.
    RequestId(16);
}

impl IdHash {
    /// Of a node's Ed25519 public key.
    pub fn of(public_key: &[u8; 32]) -> Self {
        Self(sha256(&[public_key]))
    }

    /// Its first eight bytes.
    pub fn node_id(&self) -> NodeId {
        NodeId(first(&self.0))
    }
}

impl MeshId {
    /// Of a mesh root's public key.
    pub fn of(root: &[u8; 32]) -> Self {
        Self(first(&sha256(&[b"nexus0 v1 mesh", root])))
    }
}

impl KeyId {
    /// The number under which the filter finds a key: the wire bytes in memory order.
    pub fn slot_id(self) -> u32 {
        u32::from_ne_bytes(self.0)
    }

    /// The same the other way round.
    pub fn from_slot_id(id: u32) -> Self {
        Self(id.to_ne_bytes())
    }
}

/// SHA-256 of the parts one after the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// The first `N` of 32 bytes.
pub fn first<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}
