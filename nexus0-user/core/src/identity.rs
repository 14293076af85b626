//! Who a node is: its Ed25519 secret, loaded from a stored seed (R2), and the X25519 key that follows from it.

use core::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::id::IdHash;
pub use crate::id::{MeshId, NodeId};

/// Length of a stored seed.
pub const SEED_LEN: usize = 32;

/// A node's secret. Wiped when dropped; never printed.
pub struct Identity {
    signing: SigningKey,
}

impl Identity {
    /// From the stored seed.
    pub fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self {
            signing: SigningKey::from_bytes(seed),
        }
    }

    /// The seed, to be stored.
    pub fn seed(&self) -> Zeroizing<[u8; SEED_LEN]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// Ed25519 public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The X25519 secret of the same key. One key pair for both is sound where signatures and seals have
    /// labels of their own (Thormarker, IACR ePrint 2021/509).
    pub(crate) fn agreement_secret(&self) -> StaticSecret {
        StaticSecret::from(self.signing.to_scalar_bytes())
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
        let signature = self.signing.sign(message).to_bytes();
        crate::memo::signed(&self.public_key(), message, &signature);
        signature
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.node_id())
    }
}

/// Whether the signature is `public_key`'s, by the strict rules of RFC 8032.
pub fn verify_strict(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    crate::memo::verified(public_key, message, signature, || {
        VerifyingKey::from_bytes(public_key)
            .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
            .is_ok()
    })
}

/// The X25519 public key that follows from an Ed25519 one (RFC 7748 section 4.1); `None` for bytes that are none.
pub(crate) fn agreement_key(public_key: &[u8; 32]) -> Option<[u8; 32]> {
    let key = VerifyingKey::from_bytes(public_key).ok()?;
    (!key.is_weak()).then(|| key.to_montgomery().to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agreement_key_follows_from_the_public_key_alone() {
        let identity = Identity::from_seed(&[1; 32]);
        let own = x25519_dalek::PublicKey::from(&identity.agreement_secret()).to_bytes();
        assert_eq!(agreement_key(&identity.public_key()), Some(own));
        let other = Identity::from_seed(&[2; 32]);
        assert_ne!(agreement_key(&other.public_key()), Some(own));
        assert_eq!(agreement_key(&[0; 32]), None);
    }

    #[test]
    fn an_identity_survives_the_round_trip_through_its_stored_seed() {
        let identity = Identity::from_seed(&[1; 32]);
        let again = Identity::from_seed(&identity.seed());
        assert_eq!(again.node_id(), identity.node_id());
        assert_ne!(Identity::from_seed(&[3; 32]).node_id(), identity.node_id());
    }

    #[test]
    fn debug_shows_the_node_id_and_no_secret() {
        let shown = format!("{:?}", Identity::from_seed(&[0xa5; 32]));
        assert!(!shown.contains("a5a5") && !shown.contains("165, 165"));
    }

    #[test]
    fn a_signature_over_other_bytes_is_refused() {
        let identity = Identity::from_seed(&[1; 32]);
        let signature = identity.sign(b"pulse");
        assert!(verify_strict(&identity.public_key(), b"pulse", &signature));
        assert!(!verify_strict(&identity.public_key(), b"pulsf", &signature));
        assert!(!verify_strict(&[0; 32], b"pulse", &signature));
    }
}
