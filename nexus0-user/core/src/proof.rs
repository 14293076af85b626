//! An anchor that announces two epochs under one number is convicted by its own signatures.
//!
//! Members keep the first EPOCH they took of each (chain, number). A pulse that names another next key than
//! their own makes them show it; whoever then holds two that differ shows both, and nobody follows that anchor.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use nexus0_common::wire::{
    Class, EXHIBIT_LEN, Epoch, Exhibit, FrameType, GROUP, HEADER_LEN, Header, Proof, Pulse,
    SIGNATURE_LEN,
};

use crate::admission::Admitted;
use crate::event::Reason;
use crate::id::{ChainId, KeyId, NodeId};
use crate::identity::verify_strict;
use crate::node::{Event, Node};
use crate::send::{Under, signed_message};
use crate::time::Time;
use crate::timer::Timer;

/// EPOCHs kept.
const MAX_KEPT: usize = 8;
/// Cheats remembered: no more than there can be members.
const MAX_CHEATS: usize = nexus0_common::maps::MAX_PEERS;

/// An exhibit's bytes.
type Shown = [u8; EXHIBIT_LEN];

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
    fn of(exhibit: &Exhibit) -> Option<Self> {
        let header = Header::parse(&exhibit.frame)?;
        if header.frame_type != FrameType::Epoch || header.class != Class::Multicast {
            return None;
        }
        let body = Epoch::parse(exhibit.frame.get(HEADER_LEN..)?)?;
        Some(Self::new(NodeId(header.sender), &body))
    }

    fn new(signer: NodeId, body: &Epoch) -> Self {
        Self {
            signer,
            chain: ChainId(body.head.chain),
            number: body.head.number,
            key_id: KeyId(body.head.key_id),
            succession: body.succession,
        }
    }

    fn same_epoch(&self, other: &Self) -> bool {
        self.signer == other.signer && self.chain == other.chain && self.number == other.number
    }

    /// Whether nobody honest signs both.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        self.same_epoch(other) && self != other
    }
}

/// An EPOCH as it came.
#[derive(Clone, Debug)]
struct Kept {
    commitment: Commitment,
    exhibit: Shown,
}

/// What is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// The EPOCH that carried this key.
    Own(KeyId),
    /// The proof.
    Proof,
}

/// What a node can testify to, and whom it has convicted.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    kept: VecDeque<Kept>,
    cheats: BTreeSet<NodeId>,
    /// The last proof: whose, and the two frames.
    proof: Option<(NodeId, [Shown; 2])>,
    show: Option<Show>,
    /// The last key whose EPOCH was shown, by this node or another.
    shown: Option<KeyId>,
    /// The beginning of the succession as it was announced first.
    frozen: Option<(ChainId, u64, [u8; 128])>,
}

impl Witness {
    /// Whether this node was convicted.
    pub(crate) fn cheated(&self, id: NodeId) -> bool {
        self.cheats.contains(&id)
    }

    /// How many EPOCHs are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.kept.len()
    }

    fn of_key(&self, key_id: KeyId) -> Option<&Kept> {
        self.kept
            .iter()
            .find(|kept| kept.commitment.key_id == key_id)
    }

    fn contradicted(&self, by: &Commitment) -> Option<&Kept> {
        self.kept
            .iter()
            .find(|kept| kept.commitment.contradicts(by))
    }

    /// The beginning of the succession, the same for every announcement of an epoch.
    pub(crate) fn freeze(
        &mut self,
        chain: ChainId,
        number: u64,
        succession: [u8; 128],
    ) -> [u8; 128] {
        match self.frozen {
            Some((of, at, frozen)) if of == chain && at == number => frozen,
            _ => {
                self.frozen = Some((chain, number, succession));
                succession
            }
        }
    }
}

impl Node {
    /// Keeps the first EPOCH of its chain and number.
    pub(crate) fn exhibit(&mut self, frame: &Admitted<'_>) -> Option<()> {
        let epoch = frame.header.frame_type == FrameType::Epoch;
        let body = Epoch::parse(frame.body()).filter(|_| epoch)?;
        let commitment = Commitment::new(frame.sender, &body);
        let kept = &mut self.witness.kept;
        if kept
            .iter()
            .any(|kept| kept.commitment.same_epoch(&commitment))
        {
            return None;
        }
        let exhibit = exhibit_of(frame)?.bytes();
        if kept.len() >= MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back(Kept {
            commitment,
            exhibit,
        });
        Some(())
    }

    /// An EPOCH that contradicts the one kept convicts its sender.
    pub(crate) fn compare(&mut self, now: Time, frame: &Admitted<'_>, body: &Epoch) -> Option<()> {
        let commitment = Commitment::new(frame.sender, body);
        let kept = self.witness.contradicted(&commitment)?.exhibit;
        let pair = [kept, exhibit_of(frame)?.bytes()];
        self.convict(now, frame.sender, &pair)?;
        self.show_soon(now, Show::Proof);
        Some(())
    }

    /// A member names another next key than this node holds: it shall see what was announced here.
    pub(crate) fn doubt(&mut self, now: Time, frame: &Admitted<'_>, body: &Pulse) -> Option<()> {
        let chain = self.lineage.as_ref()?.chain;
        let current = self.keys.current(chain, now)?.material.id;
        let own = self.following_key(now)?.material.id;
        let differs = body.next_key != [0; 4] && KeyId(body.next_key) != own;
        let news = self.witness.shown != Some(own) && self.witness.show.is_none();
        if !differs || !news || frame.key_id() != current {
            return None;
        }
        self.witness.of_key(own)?;
        self.show_soon(now, Show::Own(own));
        Some(())
    }

    fn show_soon(&mut self, now: Time, show: Show) {
        let most = match show {
            Show::Own(_) => self.rhythm.pulses(1, 5),
            Show::Proof => self.rhythm.pulses(1, 20),
        };
        let pause = self.between(Duration::ZERO, most);
        self.witness.show = Some(show);
        self.timers.set(Timer::Show, now + pause);
    }

    /// Shows what was to be shown, unless another has.
    pub(crate) fn show(&mut self, now: Time) -> Option<()> {
        let show = self.witness.show.take()?;
        let under = self.under_current(now)?;
        match show {
            Show::Own(key_id) => {
                let exhibit = self.witness.of_key(key_id)?.exhibit;
                self.witness.shown = Some(key_id);
                self.send_proof(&under, &[exhibit])
            }
            Show::Proof => self.show_proof(&under),
        }
    }

    /// Shows the last proof under a key.
    pub(crate) fn show_proof(&mut self, under: &Under) -> Option<()> {
        let (_, pair) = self.witness.proof?;
        self.send_proof(under, &pair)
    }

    fn send_proof(&mut self, under: &Under, exhibits: &[Shown]) -> Option<()> {
        self.counters.proofs_sent += 1;
        self.send(under, GROUP, &Proof { exhibits }).map(drop)
    }

    /// Someone shows one or two EPOCHs. They speak for themselves, whoever shows them.
    pub(crate) fn on_proof(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let proof = Proof::parse(frame.body())?;
        match proof.exhibits {
            [first, second] => self.judge_pair(now, first, second),
            [shown] => self.judge_one(now, shown),
            _ => None,
        }
    }

    fn judge_one(&mut self, now: Time, shown: &Shown) -> Option<()> {
        let exhibit = Exhibit::parse(shown)?;
        let commitment = Commitment::of(&exhibit)?;
        let Some(kept) = self.witness.contradicted(&commitment) else {
            return self.spare(&commitment);
        };
        let pair = [kept.exhibit, *shown];
        self.verify(&exhibit, &commitment)?;
        self.convict(now, commitment.signer, &pair)?;
        self.show_soon(now, Show::Proof);
        Some(())
    }

    /// Another has shown what was to be shown here.
    fn spare(&mut self, shown: &Commitment) -> Option<()> {
        self.witness
            .of_key(shown.key_id)
            .filter(|kept| kept.commitment == *shown)?;
        self.witness.shown = Some(shown.key_id);
        if self.witness.show == Some(Show::Own(shown.key_id)) {
            self.witness.show = None;
            self.timers.stop(Timer::Show);
        }
        Some(())
    }

    fn judge_pair(&mut self, now: Time, first: &Shown, second: &Shown) -> Option<()> {
        let exhibits = [Exhibit::parse(first)?, Exhibit::parse(second)?];
        let [one, other] = &exhibits;
        let commitments = [Commitment::of(one)?, Commitment::of(other)?];
        let [claim, counterclaim] = &commitments;
        if !claim.contradicts(counterclaim) {
            return None;
        }
        if self.witness.cheated(claim.signer) {
            return self.proof_heard(claim.signer);
        }
        self.verify(one, claim)?;
        self.verify(other, counterclaim)?;
        self.convict(now, claim.signer, &[*first, *second])
    }

    fn proof_heard(&mut self, signer: NodeId) -> Option<()> {
        self.witness.proof.filter(|(of, _)| *of == signer)?;
        if self.witness.show == Some(Show::Proof) {
            self.witness.show = None;
            self.timers.stop(Timer::Show);
        }
        Some(())
    }

    /// Whether the frame in an exhibit is signed by the member that it names.
    fn verify(&mut self, exhibit: &Exhibit, commitment: &Commitment) -> Option<()> {
        let (signed, signature) = exhibit.frame.split_last_chunk::<SIGNATURE_LEN>()?;
        let chain = ChainId(exhibit.chain);
        let message = signed_message(self.mesh, chain, &exhibit.source, &GROUP, signed);
        let public_key = self.roster.get(commitment.signer)?.grant.public_key();
        if !verify_strict(public_key, &message, signature) {
            self.counters.signature_failures += 1;
            return None;
        }
        Some(())
    }

    /// Nobody follows that node any more, as far as this one is asked.
    fn convict(&mut self, now: Time, cheat: NodeId, pair: &[Shown; 2]) -> Option<()> {
        if cheat == self.id || self.witness.cheated(cheat) {
            return None;
        }
        if self.witness.cheats.len() >= MAX_CHEATS {
            self.witness.cheats.pop_first();
        }
        self.witness.cheats.insert(cheat);
        self.witness.proof = Some((cheat, *pair));
        self.counters.cheats += 1;
        self.event(Event::Cheated { anchor: cheat });
        self.drop_preemptor(now, cheat);
        if self.lineage.as_ref()?.anchor == cheat {
            self.anchor_gone(now, Reason::Cheated);
        }
        Some(())
    }
}

fn exhibit_of(frame: &Admitted<'_>) -> Option<Exhibit> {
    Some(Exhibit {
        chain: frame.chain?.0,
        source: frame.source,
        frame: *frame.frame.first_chunk()?,
    })
}
