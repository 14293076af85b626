//! An anchor that announces two epochs under one number is convicted by its own signatures.
//!
//! Members keep the first EPOCH they took of each (chain, number). A pulse that names another next key than
//! their own makes them show it; whoever then holds two that differ shows both, and nobody follows that anchor.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use nexus0_common::wire::{Epoch, Exhibit, FrameType, GROUP, Proof, Pulse};

use crate::admission::Admitted;
use crate::conviction::{Commitment, Conviction, Shown, accused};
use crate::event::Reason;
use crate::id::{ChainId, KeyId, NodeId};
use crate::node::{Event, Node, Output};
use crate::sabotage::{Sabotage, planted};
use crate::send::Under;
use crate::time::Time;
use crate::timer::Timer;

/// EPOCHs kept.
const MAX_KEPT: usize = 8;
/// Own announcements kept: a promotion may still be repeated when the epoch after it is announced.
const MAX_FROZEN: usize = 4;
/// Cheats remembered: no more than there can be members.
const MAX_CHEATS: usize = nexus0_common::maps::MAX_PEERS;

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

/// A chain, a number, and the beginning of the succession that was announced with them.
pub(crate) type Frozen = (ChainId, u64, [u8; 128]);

/// What a node can testify to, and whom it has convicted.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    kept: VecDeque<Kept>,
    cheats: BTreeSet<NodeId>,
    /// The last proof.
    proof: Option<Conviction>,
    show: Option<Show>,
    /// The last key whose EPOCH was shown, by this node or another.
    shown: Option<KeyId>,
    /// The beginnings of the succession as they were announced first.
    frozen: VecDeque<Frozen>,
}

impl Witness {
    /// Whether this node was convicted.
    pub(crate) fn cheated(&self, id: NodeId) -> bool {
        self.cheats.contains(&id)
    }

    /// All who were convicted.
    pub(crate) fn convicted(&self) -> impl Iterator<Item = NodeId> {
        self.cheats.iter().copied()
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

    /// What it has announced itself: to be kept, since announcing another would convict it.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = Frozen> {
        self.frozen.iter().copied()
    }

    /// What an earlier process has announced.
    pub(crate) fn restore(&mut self, frozen: Vec<Frozen>) {
        self.frozen = frozen.into();
    }

    /// The beginning of the succession, the same for every announcement of an epoch.
    pub(crate) fn freeze(
        &mut self,
        chain: ChainId,
        number: u64,
        succession: [u8; 128],
    ) -> [u8; 128] {
        let held = self.frozen.iter();
        let mut held = held.filter(|(of, at, _)| (*of, *at) == (chain, number));
        if let Some((.., frozen)) = held.next().filter(|_| !planted(Sabotage::Fickle)) {
            return *frozen;
        }
        if self.frozen.len() >= MAX_FROZEN {
            self.frozen.pop_front();
        }
        self.frozen.push_back((chain, number, succession));
        succession
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
        let (least, most) = match show {
            Show::Own(_) => (Duration::ZERO, self.rhythm.pulses(1, 5)),
            Show::Proof => (self.rhythm.pulses(1, 40), self.rhythm.pulses(1, 20)),
        };
        let pause = self.between(least, most);
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
        let pair = *self.witness.proof.as_ref()?.pair();
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
            [first, second] => self.judge_pair(now, &[*first, *second]),
            [shown] => self.judge_one(now, shown),
            _ => None,
        }
    }

    fn judge_one(&mut self, now: Time, shown: &Shown) -> Option<()> {
        let commitment = Commitment::of(shown)?;
        let Some(kept) = self.witness.contradicted(&commitment) else {
            return self.spare(&commitment);
        };
        let pair = [*shown, kept.exhibit];
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

    fn judge_pair(&mut self, now: Time, pair: &[Shown; 2]) -> Option<()> {
        let signer = accused(pair)?;
        if self.witness.cheated(signer) {
            return self.proof_heard(signer);
        }
        self.convict(now, signer, pair)
    }

    fn proof_heard(&mut self, signer: NodeId) -> Option<()> {
        let held = self.witness.proof.as_ref();
        held.filter(|proof| proof.signer() == signer)?;
        if self.witness.show == Some(Show::Proof) {
            self.witness.show = None;
            self.timers.stop(Timer::Show);
        }
        Some(())
    }

    /// Judges a member by two exhibits.
    fn convict(&mut self, now: Time, cheat: NodeId, pair: &[Shown; 2]) -> Option<()> {
        if self.witness.cheated(cheat) {
            return None;
        }
        let public_key = *self.roster.get(cheat)?.grant.public_key();
        let Ok(conviction) = Conviction::judge(self.mesh, &public_key, pair) else {
            self.counters.signature_failures += 1;
            return None;
        };
        self.condemn(now, conviction)
    }

    /// Takes up what this machine kept of an earlier life.
    pub(crate) fn recall(&mut self, now: Time, bytes: &[u8]) -> Option<()> {
        self.condemn(now, Conviction::parse(bytes, self.mesh).ok()?)
    }

    /// Nobody follows that node any more, as far as this one is asked.
    fn condemn(&mut self, now: Time, conviction: Conviction) -> Option<()> {
        let cheat = conviction.signer();
        if cheat == self.id || self.witness.cheated(cheat) {
            return None;
        }
        if self.witness.cheats.len() >= MAX_CHEATS {
            self.witness.cheats.pop_first();
        }
        self.witness.cheats.insert(cheat);
        self.outputs
            .push_back(Output::Conviction(conviction.bytes()));
        self.witness.proof = Some(conviction);
        self.counters.cheats += 1;
        self.event(Event::Cheated { anchor: cheat });
        self.drop_preemptor(now, cheat);
        if self.lineage.as_ref()?.anchor == cheat {
            self.anchor_gone(now, Reason::Cheated);
        }
        Some(())
    }

    /// Shows those who did not know the roster the last proof, once they have it, if it is of a member.
    pub(crate) fn warn_newcomers(&mut self, now: Time) -> Option<()> {
        let cheat = self.witness.proof.as_ref()?.signer();
        self.roster.get(cheat)?;
        self.show_soon(now, Show::Proof);
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
