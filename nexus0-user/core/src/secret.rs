//! What follows from an epoch's secret: MAC key, pre-tag key, seal key, key id (R5).

use core::fmt;

use hkdf::Hkdf;
use nexus0_common::auth::Midstates;
use nexus0_common::wire::LOWEST_VERSION;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::id::{KeyId, MeshId, sha256};

/// Thirty-two bytes nobody else may see. Wiped when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// Everything derived from one secret. Never printed.
#[derive(Clone)]
pub(crate) struct Material {
    /// Wire version of the frames under it.
    pub(crate) wire: u8,
    /// Names the key on the wire.
    pub(crate) id: KeyId,
    /// HMAC key as SHA-256 states.
    pub(crate) midstates: Midstates,
    /// SipHash key.
    pub(crate) pre_tag: [u64; 2],
    /// Seals the secret that follows.
    pub(crate) seal: Secret,
    /// Where it all comes from.
    pub(crate) secret: Secret,
}

impl Material {
    /// Derives everything.
    pub(crate) fn derive(mesh: MeshId, secret: Secret) -> Self {
        let mac = Zeroizing::new(expand(&mesh.0, &*secret, &[b"nexus0 v1 mac"]));
        let [k0, k1] = halves(expand(&mesh.0, &*secret, &[b"nexus0 v1 pre-tag"]));
        Self {
            wire: LOWEST_VERSION,
            id: KeyId(expand(&mesh.0, &*secret, &[b"nexus0 v1 key id"])),
            midstates: Midstates::new(&mac),
            pre_tag: [u64::from_le_bytes(k0), u64::from_le_bytes(k1)],
            seal: Zeroizing::new(expand(&mesh.0, &*secret, &[b"nexus0 v1 seal"])),
            secret,
        }
    }

    /// The same for frames of another wire version than the lowest.
    pub(crate) fn speaking(self, wire: u8) -> Self {
        Self { wire, ..self }
    }

    /// The door's: everyone who knows the mesh's public identity can derive it.
    pub(crate) fn door(mesh: MeshId) -> Self {
        Self::derive(mesh, Zeroizing::new(sha256(&[b"nexus0 v1 door", &mesh.0])))
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({})", self.id)
    }
}

/// HKDF-SHA256 (RFC 5869) with the parts of `info` one after the other.
pub(crate) fn expand<const N: usize>(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> [u8; N] {
    let mut output = [0; N];
    let expanded = Hkdf::<Sha256>::new(Some(salt), ikm).expand_multi_info(info, &mut output);
    debug_assert!(expanded.is_ok(), "at most 255 blocks");
    output
}

fn halves(bytes: [u8; 16]) -> [[u8; 8]; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    [[a, b, c, d, e, f, g, h], rest]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_depends_on_secret_and_mesh() {
        let one = Material::derive(MeshId([1; 16]), Zeroizing::new([1; 32]));
        let other = Material::derive(MeshId([1; 16]), Zeroizing::new([2; 32]));
        let elsewhere = Material::derive(MeshId([2; 16]), Zeroizing::new([1; 32]));
        for material in [other, elsewhere] {
            assert_ne!(material.id, one.id);
            assert_ne!(material.pre_tag, one.pre_tag);
            assert_ne!(*material.seal, *one.seal);
            assert!(material.midstates != one.midstates);
        }
    }

    #[test]
    fn debug_shows_the_key_id_only() {
        let shown = format!(
            "{:?}",
            Material::derive(MeshId([1; 16]), Zeroizing::new([0xa5; 32]))
        );
        assert_eq!(shown.len(), "Material(00000000)".len());
    }
}
