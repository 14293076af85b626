//! How secrets cross the link: sealed under the epoch both sides hold, or boxed for one joiner (R5).

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::id::{ChainId, MeshId, NodeId, RequestId};
use crate::secret::{Secret, expand};

/// A sealed secret: 32 bytes and the authenticator.
pub(crate) const SEALED_LEN: usize = 48;
/// Two sealed secrets: 64 bytes and the authenticator.
pub(crate) const SEALED_PAIR_LEN: usize = 80;
/// A box for a joiner: two secrets, the sequence floor, the authenticator.
pub(crate) const BOX_LEN: usize = 88;

const EPOCH: &[u8] = b"nexus0 v1 seal epoch";
const MERGE: &[u8] = b"nexus0 v1 seal merge";

/// What the key of an EPOCH's or a MERGE's seal depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EpochSeal<'a> {
    /// The mesh.
    pub(crate) mesh: MeshId,
    /// Seal key of the secret both sides hold.
    pub(crate) key: &'a Secret,
    /// Fresh random bytes, used once.
    pub(crate) salt: &'a [u8; 32],
    /// Who seals.
    pub(crate) sealer: NodeId,
    /// Chain of the sealed secret.
    pub(crate) chain: ChainId,
    /// Number of the sealed secret.
    pub(crate) number: u64,
}

impl EpochSeal<'_> {
    fn cipher(&self, label: &[u8]) -> ChaCha20Poly1305 {
        let number = self.number.to_be_bytes();
        let info: [&[u8]; 5] = [label, &self.mesh.0, &self.sealer.0, &self.chain.0, &number];
        cipher(Zeroizing::new(expand(self.salt, &**self.key, &info)))
    }

    /// Seals; `context` is the body before the seal.
    pub(crate) fn seal(&self, secret: &Secret, context: &[u8]) -> Option<[u8; SEALED_LEN]> {
        encrypt(&self.cipher(EPOCH), &**secret, context)?
            .try_into()
            .ok()
    }

    /// Opens; `None` if anything differs from what was sealed.
    pub(crate) fn open(&self, sealed: &[u8; SEALED_LEN], context: &[u8]) -> Option<Secret> {
        let plain = decrypt(&self.cipher(EPOCH), sealed, context)?;
        plain.as_slice().try_into().ok().map(Zeroizing::new)
    }

    /// Seals another chain's current and next secret.
    pub(crate) fn seal_merge(
        &self,
        current: &Secret,
        next: Option<&Secret>,
        context: &[u8],
    ) -> Option<[u8; SEALED_PAIR_LEN]> {
        let mut plain = Zeroizing::new([0; 64]);
        let (first, second) = plain.split_at_mut(32);
        first.copy_from_slice(&**current);
        if let Some(next) = next {
            second.copy_from_slice(&**next);
        }
        encrypt(&self.cipher(MERGE), &*plain, context)?
            .try_into()
            .ok()
    }

    /// Opens them.
    pub(crate) fn open_merge(
        &self,
        sealed: &[u8; SEALED_PAIR_LEN],
        context: &[u8],
    ) -> Option<(Secret, Option<Secret>)> {
        let plain = decrypt(&self.cipher(MERGE), sealed, context)?;
        let (current, next) = plain.split_first_chunk::<32>()?;
        let next: &[u8; 32] = next.try_into().ok()?;
        let next = (*next != [0; 32]).then(|| Zeroizing::new(*next));
        Some((Zeroizing::new(*current), next))
    }
}

/// What the key of a joiner's box depends on besides the shared secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JoinBox {
    /// The mesh.
    pub(crate) mesh: MeshId,
    /// The request.
    pub(crate) request: RequestId,
    /// Who answers.
    pub(crate) anchor: NodeId,
    /// Who asked.
    pub(crate) joiner: NodeId,
    /// The anchor's ephemeral public key.
    pub(crate) anchor_key: [u8; 32],
    /// The joiner's ephemeral public key.
    pub(crate) joiner_key: [u8; 32],
}

/// What is inside a joiner's box.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// The current epoch's secret.
    pub(crate) current: Secret,
    /// The announced one.
    pub(crate) next: Option<Secret>,
    /// Where the joiner's sequence starts.
    pub(crate) floor: u64,
}

impl JoinBox {
    /// `None` when the peer's key is of small order (RFC 7748, section 6.1).
    fn cipher(&self, own: &StaticSecret, theirs: [u8; 32]) -> Option<ChaCha20Poly1305> {
        let shared = own.diffie_hellman(&PublicKey::from(theirs));
        if !shared.was_contributory() {
            return None;
        }
        let info: [&[u8]; 6] = [
            b"nexus0 v1 answer",
            &self.mesh.0,
            &self.anchor.0,
            &self.joiner.0,
            &self.anchor_key,
            &self.joiner_key,
        ];
        let key = expand(&self.request.0, shared.as_bytes(), &info);
        Some(cipher(Zeroizing::new(key)))
    }

    /// The anchor's side.
    pub(crate) fn seal(
        &self,
        own: &StaticSecret,
        welcome: &Welcome,
        context: &[u8],
    ) -> Option<[u8; BOX_LEN]> {
        let mut plain = Zeroizing::new(Vec::with_capacity(72));
        plain.extend(*welcome.current);
        plain.extend(welcome.next.as_deref().unwrap_or(&[0; 32]));
        plain.extend(welcome.floor.to_be_bytes());
        encrypt(&self.cipher(own, self.joiner_key)?, &plain, context)?
            .try_into()
            .ok()
    }

    /// The joiner's side.
    pub(crate) fn open(
        &self,
        own: &StaticSecret,
        sealed: &[u8; BOX_LEN],
        context: &[u8],
    ) -> Option<Welcome> {
        let plain = decrypt(&self.cipher(own, self.anchor_key)?, sealed, context)?;
        let (current, rest) = plain.split_first_chunk::<32>()?;
        let (next, floor) = rest.split_first_chunk::<32>()?;
        Some(Welcome {
            current: Zeroizing::new(*current),
            next: (*next != [0; 32]).then(|| Zeroizing::new(*next)),
            floor: u64::from_be_bytes(floor.try_into().ok()?),
        })
    }
}

/// What the key of a member's box in REKEY depends on besides the shared secret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RekeyBox<'a> {
    /// The mesh.
    pub(crate) mesh: MeshId,
    /// Who seals.
    pub(crate) anchor: NodeId,
    /// For whom.
    pub(crate) member: NodeId,
    /// Chain of the sealed secret.
    pub(crate) chain: ChainId,
    /// Number of the sealed secret.
    pub(crate) number: u64,
    /// The anchor's ephemeral public key.
    pub(crate) ephemeral: &'a [u8; 32],
}

impl RekeyBox<'_> {
    /// `None` when the peer's key is of small order (RFC 7748, section 6.1).
    fn cipher(&self, own: &StaticSecret, theirs: [u8; 32]) -> Option<ChaCha20Poly1305> {
        let shared = own.diffie_hellman(&PublicKey::from(theirs));
        if !shared.was_contributory() {
            return None;
        }
        let number = self.number.to_be_bytes();
        let info: [&[u8]; 7] = [
            b"nexus0 v1 rekey",
            &self.mesh.0,
            &self.anchor.0,
            &self.member.0,
            &self.chain.0,
            &number,
            self.ephemeral,
        ];
        let key = expand(&self.mesh.0, shared.as_bytes(), &info);
        Some(cipher(Zeroizing::new(key)))
    }

    /// The anchor's side; `theirs` is the member's agreement key.
    pub(crate) fn seal(
        &self,
        ephemeral: &StaticSecret,
        theirs: [u8; 32],
        secret: &Secret,
        context: &[u8],
    ) -> Option<[u8; SEALED_LEN]> {
        encrypt(&self.cipher(ephemeral, theirs)?, &**secret, context)?
            .try_into()
            .ok()
    }

    /// The member's side; `own` is its agreement secret.
    pub(crate) fn open(
        &self,
        own: &StaticSecret,
        sealed: &[u8; SEALED_LEN],
        context: &[u8],
    ) -> Option<Secret> {
        let plain = decrypt(&self.cipher(own, *self.ephemeral)?, sealed, context)?;
        plain.as_slice().try_into().ok().map(Zeroizing::new)
    }
}

fn cipher(key: Secret) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*key))
}

// Every key is used for one message, so the nonce may be zero.
fn encrypt(cipher: &ChaCha20Poly1305, msg: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    cipher.encrypt(&Nonce::default(), Payload { msg, aad }).ok()
}

fn decrypt(cipher: &ChaCha20Poly1305, msg: &[u8], aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    cipher
        .decrypt(&Nonce::default(), Payload { msg, aad })
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal<'a>(key: &'a Secret, salt: &'a [u8; 32], number: u64) -> EpochSeal<'a> {
        let (mesh, sealer, chain) = (MeshId([1; 16]), NodeId([2; 8]), ChainId([3; 8]));
        EpochSeal {
            mesh,
            key,
            salt,
            sealer,
            chain,
            number,
        }
    }

    #[test]
    fn an_epoch_seal_opens_only_with_key_salt_number_and_context() {
        let (key, other) = (Zeroizing::new([7; 32]), Zeroizing::new([8; 32]));
        let secret = Zeroizing::new([9; 32]);
        let sealed = seal(&key, &[1; 32], 5).seal(&secret, b"body").unwrap();
        assert_eq!(seal(&key, &[1; 32], 5).open(&sealed, b"body"), Some(secret));
        assert_eq!(seal(&other, &[1; 32], 5).open(&sealed, b"body"), None);
        assert_eq!(seal(&key, &[2; 32], 5).open(&sealed, b"body"), None);
        assert_eq!(seal(&key, &[1; 32], 6).open(&sealed, b"body"), None);
        assert_eq!(seal(&key, &[1; 32], 5).open(&sealed, b"bodz"), None);
    }

    #[test]
    fn a_merge_seal_is_no_epoch_seal_and_opens_with_the_same_context_only() {
        let (key, salt) = (Zeroizing::new([7; 32]), [1; 32]);
        let (current, next) = (Zeroizing::new([9; 32]), Zeroizing::new([8; 32]));
        let names = seal(&key, &salt, 5);
        for next in [None, Some(next)] {
            let sealed = names.seal_merge(&current, next.as_ref(), b"body").unwrap();
            let opened = Some((current.clone(), next));
            assert_eq!(names.open_merge(&sealed, b"body"), opened);
            assert_eq!(names.open_merge(&sealed, b"bodz"), None);
            let other = seal(&key, &salt, 6);
            assert_eq!(other.open_merge(&sealed, b"body"), None);
        }
        let keys = [EPOCH, MERGE].map(|label| {
            let cipher = names.cipher(label);
            encrypt(&cipher, b"same", b"").unwrap()
        });
        assert_ne!(keys[0], keys[1]);
    }

    fn join_box(anchor: &StaticSecret, joiner: &StaticSecret) -> JoinBox {
        JoinBox {
            mesh: MeshId([1; 16]),
            request: RequestId([2; 16]),
            anchor: NodeId([3; 8]),
            joiner: NodeId([4; 8]),
            anchor_key: PublicKey::from(anchor).to_bytes(),
            joiner_key: PublicKey::from(joiner).to_bytes(),
        }
    }

    #[test]
    fn a_box_opens_for_its_joiner_only() {
        let [anchor, joiner, thief] = [1, 2, 3].map(|seed| StaticSecret::from([seed; 32]));
        let (current, next) = (Zeroizing::new([5; 32]), Some(Zeroizing::new([6; 32])));
        let welcome = Welcome {
            current,
            next,
            floor: 7,
        };
        let names = join_box(&anchor, &joiner);
        let sealed = names.seal(&anchor, &welcome, b"chain").unwrap();
        assert_eq!(names.open(&joiner, &sealed, b"chain"), Some(welcome));
        assert_eq!(names.open(&thief, &sealed, b"chain"), None);
        assert_eq!(names.open(&joiner, &sealed, b"other"), None);
    }

    #[test]
    fn a_rekey_box_opens_for_its_member_only_and_only_in_its_place() {
        let [anchor, member, thief] = [1, 2, 3].map(|seed| StaticSecret::from([seed; 32]));
        let ephemeral = PublicKey::from(&anchor).to_bytes();
        let names = RekeyBox {
            mesh: MeshId([1; 16]),
            anchor: NodeId([3; 8]),
            member: NodeId([4; 8]),
            chain: ChainId([5; 8]),
            number: 6,
            ephemeral: &ephemeral,
        };
        let (secret, theirs) = (Zeroizing::new([7; 32]), PublicKey::from(&member).to_bytes());
        let sealed = names.seal(&anchor, theirs, &secret, b"head").unwrap();
        assert_eq!(names.open(&member, &sealed, b"head"), Some(secret));
        assert_eq!(names.open(&thief, &sealed, b"head"), None);
        assert_eq!(names.open(&member, &sealed, b"tail"), None);
        let later = RekeyBox { number: 7, ..names };
        assert_eq!(later.open(&member, &sealed, b"head"), None);
    }

    #[test]
    fn an_all_zero_agreement_is_refused() {
        let [anchor, joiner] = [1, 2].map(|seed| StaticSecret::from([seed; 32]));
        let names = JoinBox {
            joiner_key: [0; 32],
            ..join_box(&anchor, &joiner)
        };
        let welcome = Welcome {
            current: Zeroizing::new([5; 32]),
            next: None,
            floor: 7,
        };
        assert_eq!(names.seal(&anchor, &welcome, b""), None);
    }
}
