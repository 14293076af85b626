//! Who a node is: its Ed25519 and X25519 secrets, loaded from two stored seeds (R2).

use core::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::id::IdHash;
pub use crate::id::{MeshId, NodeId};

/// Length of a stored seed.
pub const SEED_LEN: usize = 32;

/// A node's secrets. Wiped when dropped; never printed.
pub struct Identity {
    signing: SigningKey,
    agreement: StaticSecret,
}

impl Identity {
    /// From the two stored seeds.
    pub fn from_seeds(signing: &[u8; SEED_LEN], agreement: &[u8; SEED_LEN]) -> Self {
        Self {
            signing: SigningKey::from_bytes(signing),
            agreement: StaticSecret::from(*agreement),
        }
    }

    /// The two seeds, to be stored: signing, then agreement.
    pub fn seeds(&self) -> Zeroizing<[[u8; SEED_LEN]; 2]> {
        Zeroizing::new([self.signing.to_bytes(), self.agreement.to_bytes()])
    }

    /// Ed25519 public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// X25519 public key.
    pub fn agreement_key(&self) -> [u8; 32] {
        x25519_dalek::PublicKey::from(&self.agreement).to_bytes()
    }

    /// SHA-256 of the Ed25519 public key.
    pub fn id_hash(&self) -> IdHash {
        IdHash::of(&self.public_key())
    }

    /// The node's name on the wire.
    pub fn node_id(&self) -> NodeId {
        self.id_hash().node_id()
    }

    /// Ed25519 over the message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.node_id())
    }
}

/// Whether the signature is `public_key`'s, by the strict rules of RFC 8032.
pub fn verify_strict(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerifyingKey::from_bytes(public_key)
        .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_the_round_trip_through_its_stored_seeds() {
        let identity = Identity::from_seeds(&[1; 32], &[2; 32]);
        let [signing, agreement] = *identity.seeds();
        let again = Identity::from_seeds(&signing, &agreement);
        assert_eq!(again.node_id(), identity.node_id());
        assert_eq!(again.agreement_key(), identity.agreement_key());
        assert_ne!(
            Identity::from_seeds(&[3; 32], &[2; 32]).node_id(),
            identity.node_id()
        );
    }

    #[test]
    fn debug_shows_the_node_id_and_no_secret() {
        let shown = format!("{:?}", Identity::from_seeds(&[0xa5; 32], &[0xa5; 32]));
        assert!(!shown.contains("a5a5") && !shown.contains("165, 165"));
    }

    #[test]
    fn a_signature_over_other_bytes_is_refused() {
        let identity = Identity::from_seeds(&[1; 32], &[2; 32]);
        let signature = identity.sign(b"pulse");
        assert!(verify_strict(&identity.public_key(), b"pulse", &signature));
        assert!(!verify_strict(&identity.public_key(), b"pulsf", &signature));
        assert!(!verify_strict(&[0; 32], b"pulse", &signature));
    }
}
