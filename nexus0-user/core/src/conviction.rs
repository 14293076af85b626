//! Two EPOCHs that one node signed for one (chain, number): they speak for themselves, whoever shows or keeps
//! them.

use nexus0_common::wire::{
    Class, EXHIBIT_LEN, Epoch, Exhibit, FrameType, GROUP, HEADER_LEN, Header, SIGNATURE_LEN,
};

use crate::id::{ChainId, IdHash, KeyId, MeshId, NodeId};
use crate::identity::verify_strict;
use crate::send::signed_message;

/// Bytes of a conviction: the signer's public key and two exhibits.
pub const CONVICTION_LEN: usize = 32 + 2 * EXHIBIT_LEN;

/// An exhibit's bytes.
pub(crate) type Shown = [u8; EXHIBIT_LEN];

/// Why bytes convict nobody. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvictionError {
    /// Wrong length.
    #[error("a conviction is {CONVICTION_LEN} bytes long and this has {0}")]
    Length(usize),
    /// Not two announcements of one epoch that differ in key or succession, by who has this public key.
    #[error("these are not two epochs that one node announced under one number")]
    Harmless,
    /// Not signed in this mesh.
    #[error("not both are signed by that node in mesh {0}")]
    Signature(MeshId),
}

/// What an anchor commits itself to with an EPOCH: one key and one beginning of the succession per number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commitment {
    /// Who signed.
    pub(crate) signer: NodeId,
    /// The chain of the epoch.
    pub(crate) chain: ChainId,
    /// Its number.
    pub(crate) number: u64,
    /// Names its key.
    pub(crate) key_id: KeyId,
    /// The first sixteen of the succession.
    pub(crate) succession: [u8; 128],
}

impl Commitment {
    /// The commitment in an exhibit's frame, its signature not yet verified.
    pub(crate) fn of(shown: &Shown) -> Option<Self> {
        let exhibit = Exhibit::parse(shown)?;
        let header = Header::parse(&exhibit.frame)?;
        if header.frame_type != FrameType::Epoch || header.class != Class::Multicast {
            return None;
        }
        let body = Epoch::parse(exhibit.frame.get(HEADER_LEN..)?)?;
        Some(Self::new(NodeId(header.sender), &body))
    }

    pub(crate) fn new(signer: NodeId, body: &Epoch) -> Self {
        Self {
            signer,
            chain: ChainId(body.head.chain),
            number: body.head.number,
            key_id: KeyId(body.head.key_id),
            succession: body.succession,
        }
    }

    pub(crate) fn same_epoch(&self, other: &Self) -> bool {
        self.signer == other.signer && self.chain == other.chain && self.number == other.number
    }

    /// Whether nobody honest signs both.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        self.same_epoch(other) && self != other
    }
}

/// Who is convicted by two exhibits if both are signed; `None` if nobody is.
pub(crate) fn accused(pair: &[Shown; 2]) -> Option<NodeId> {
    let [one, other] = pair;
    let (one, other) = (Commitment::of(one)?, Commitment::of(other)?);
    one.contradicts(&other).then_some(one.signer)
}

/// A proof that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    signer: NodeId,
    public_key: [u8; 32],
    pair: [Shown; 2],
}

impl Conviction {
    /// Judges two exhibits against the public key of who is said to have signed them.
    pub(crate) fn judge(
        mesh: MeshId,
        public_key: &[u8; 32],
        pair: &[Shown; 2],
    ) -> Result<Self, ConvictionError> {
        let signer = IdHash::of(public_key).node_id();
        if accused(pair) != Some(signer) {
            return Err(ConvictionError::Harmless);
        }
        if !pair.iter().all(|shown| signed(mesh, public_key, shown)) {
            return Err(ConvictionError::Signature(mesh));
        }
        Ok(Self {
            signer,
            public_key: *public_key,
            pair: *pair,
        })
    }

    /// Reads and verifies what [`bytes`](Self::bytes) gave.
    pub fn parse(bytes: &[u8], mesh: MeshId) -> Result<Self, ConvictionError> {
        let wrong = ConvictionError::Length(bytes.len());
        let (public_key, exhibits) = bytes.split_first_chunk().ok_or(wrong)?;
        let (exhibits, rest) = exhibits.as_chunks::<EXHIBIT_LEN>();
        match exhibits {
            [one, other] if rest.is_empty() => Self::judge(mesh, public_key, &[*one, *other]),
            _ => Err(wrong),
        }
    }

    /// Public key and exhibits.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.public_key, self.pair.as_flattened()].concat()
    }

    /// Who signed both.
    pub fn signer(&self) -> NodeId {
        self.signer
    }

    pub(crate) fn pair(&self) -> &[Shown; 2] {
        &self.pair
    }
}

/// Whether the frame in an exhibit is signed by this key.
fn signed(mesh: MeshId, public_key: &[u8; 32], shown: &Shown) -> bool {
    Exhibit::parse(shown).is_some_and(|exhibit| {
        exhibit
            .frame
            .split_last_chunk::<SIGNATURE_LEN>()
            .is_some_and(|(signed, signature)| {
                let chain = ChainId(exhibit.chain);
                let message = signed_message(mesh, chain, &exhibit.source, &GROUP, signed);
                verify_strict(public_key, &message, signature)
            })
    })
}
