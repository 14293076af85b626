//! Jury consensus: what a mesh pays that lets its members vote. Ours, message by message: three phases as PBFT
//! (Castro and Liskov 1999), sizes those of NEXUS-0's own frames with signature and tag.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use nexus0_core::time::Time;

use super::MINUTE;
use super::minutes::Measured;
use super::segment::{Account, Outgoing, Segment, Station, To};

/// Header, round, subject, verdict, digest of the evidence, padding; signature; pre-tag and tag: a signed frame
/// of two blocks.
const VOTE: u64 = 119 + 8 + 32;
/// The same with the header of the frame that is complained of as evidence: three blocks.
const ACCUSATION: u64 = 183 + 8 + 32;
/// A pulse as NEXUS-0 sends it.
const PULSE: u64 = 55 + 8 + 32;
const EVERY: Duration = Duration::from_secs(5);

/// What jurors say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    Pulse,
    /// To be decided: who leads, which key is next, whether someone is expelled.
    Propose(u64),
    Prepare(u64),
    Commit(u64),
    /// A frame was refused.
    Accuse(u64),
    /// Whether the accused is guilty.
    Vote(u64),
}

/// What a juror has heard of one decision.
#[derive(Default)]
struct Round {
    prepared: BTreeSet<usize>,
    committed: BTreeSet<usize>,
    votes: BTreeSet<usize>,
    commits: bool,
    decided: bool,
}

struct Juror {
    index: usize,
    jurors: usize,
    next: Time,
    rounds: BTreeMap<u64, Round>,
    sent: Vec<Outgoing<Say>>,
}

impl Juror {
    fn new(index: usize, jurors: usize, now: Time) -> Self {
        let spread = Duration::from_millis(5000 * index as u64 / jurors as u64);
        Self {
            index,
            jurors,
            next: now + spread,
            rounds: BTreeMap::new(),
            sent: Vec::new(),
        }
    }

    /// Two thirds and one.
    fn quorum(&self) -> usize {
        2 * self.jurors.saturating_sub(1) / 3 + 1
    }

    fn post(&mut self, to: To, say: Say) {
        let (bytes, kind) = match say {
            Say::Pulse => (PULSE, "pulse"),
            Say::Propose(_) => (VOTE, "propose"),
            Say::Prepare(_) => (VOTE, "prepare"),
            Say::Commit(_) => (VOTE, "commit"),
            Say::Accuse(_) => (ACCUSATION, "accuse"),
            Say::Vote(_) => (VOTE, "vote"),
        };
        self.sent.push(Outgoing {
            to,
            payload: say,
            bytes,
            kind,
        });
    }

    /// One authenticated message to each other juror.
    fn send_each(&mut self, say: Say) {
        let own = self.index;
        for other in (0..self.jurors).filter(|other| *other != own) {
            self.post(To::One(other), say);
        }
    }

    fn propose(&mut self, round: u64) {
        self.send_each(Say::Propose(round));
        self.heard(self.index, Say::Prepare(round));
    }

    /// A hostile frame is reported, and the reporter votes like the others; both by multicast.
    fn accuse(&mut self, case: u64) {
        self.post(To::All, Say::Accuse(case));
        self.post(To::All, Say::Vote(case));
        self.heard(self.index, Say::Vote(case));
    }

    fn heard(&mut self, from: usize, say: Say) {
        let (own, quorum) = (self.index, self.quorum());
        match say {
            Say::Pulse => {}
            Say::Propose(round) => {
                self.send_each(Say::Prepare(round));
                self.heard(from, Say::Prepare(round));
                self.heard(own, Say::Prepare(round));
            }
            Say::Prepare(round) => {
                let seen = self.rounds.entry(round).or_default();
                seen.prepared.insert(from);
                if seen.prepared.len() >= quorum && !core::mem::replace(&mut seen.commits, true) {
                    self.send_each(Say::Commit(round));
                    self.heard(own, Say::Commit(round));
                }
            }
            Say::Commit(round) => {
                let seen = self.rounds.entry(round).or_default();
                seen.committed.insert(from);
                seen.decided |= seen.committed.len() >= quorum;
            }
            Say::Accuse(case) => {
                self.post(To::All, Say::Vote(case));
                self.heard(own, Say::Vote(case));
            }
            Say::Vote(case) => {
                let seen = self.rounds.entry(case).or_default();
                seen.votes.insert(from);
                seen.decided |= seen.votes.len() >= quorum;
            }
        }
    }
}

impl Station for Juror {
    type Payload = Say;

    fn due(&self) -> Option<Time> {
        Some(self.next)
    }

    fn serve(&mut self, now: Time) {
        self.next = now + EVERY;
        self.post(To::All, Say::Pulse);
    }

    fn receive(&mut self, _now: Time, from: usize, say: &Say) {
        self.heard(from, *say);
    }

    fn take(&mut self) -> Vec<Outgoing<Say>> {
        core::mem::take(&mut self.sent)
    }
}

fn jury(jurors: usize) -> Segment<Juror> {
    let mut segment = Segment::new();
    for index in 0..jurors {
        segment.add(Juror::new(index, jurors, segment.now));
    }
    segment
}

fn all_decided(segment: &Segment<Juror>, round: u64) -> anyhow::Result<()> {
    let decided = |juror: &Juror| juror.rounds.get(&round).is_some_and(|round| round.decided);
    let all = segment.running().all(|(_, juror)| decided(juror));
    anyhow::ensure!(all, "the simulated jury has not decided");
    Ok(())
}

/// A minute with one decision: the least that an epoch key agreed on by vote needs. A leader lost, a newcomer
/// let in: one decision more.
pub(super) fn measure(jurors: usize) -> anyhow::Result<Measured> {
    let mut segment = jury(jurors);
    segment.run(MINUTE);
    segment.with(0, |juror, _| juror.propose(1));
    let idle = segment.run(MINUTE);
    all_decided(&segment, 1)?;
    let mut again = || {
        segment.with(0, |juror, _| juror.propose(2));
        segment.with(1, |juror, _| juror.propose(3));
        segment.run(MINUTE)
    };
    let join = again();
    all_decided(&segment, 2)?;
    all_decided(&segment, 3)?;
    Ok(Measured {
        idle,
        failover: join.clone(),
        join,
        turn: None,
    })
}

/// What one hostile packet makes a jury send.
pub(super) fn hostile(jurors: usize) -> anyhow::Result<Account> {
    let mut segment = jury(jurors);
    segment.with(0, |juror, _| juror.accuse(1));
    let mut account = segment.run(Duration::from_secs(1));
    account.0.remove("pulse");
    all_decided(&segment, 1)?;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_costs_about_two_n_squared_messages_and_everyone_decides() {
        for n in [4_u64, 10, 31] {
            let idle = measure(n as usize).unwrap().idle;
            let messages = idle.total().frames - idle.of("pulse").frames;
            assert_eq!(messages, (n - 1) + (n - 1) * (n - 1) + n * (n - 1));
            assert!(messages <= 2 * n * n + n);
        }
    }

    #[test]
    fn a_hostile_packet_costs_one_accusation_and_a_vote_of_each() {
        let account = hostile(10).unwrap();
        assert_eq!(account.of("accuse").frames, 1);
        assert_eq!(account.of("vote").frames, 10);
    }
}
