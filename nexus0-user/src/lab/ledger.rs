//! What each node sent under each key against what each other node accepted of it. Pure.
//!
//! Only epochs that sender and receiver lived through whole are compared, from one turn to the next: a
//! node that just joined rightly misses frames, and so does one that hears of a promotion, which puts an
//! end to a key, a moment before or after another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Names a key: key id in hexadecimal.
pub type KeyName = String;
/// Names a node: node id in hexadecimal.
pub type NodeName = String;

type Lines = BTreeMap<KeyName, Line>;

/// One node's own count under one key, of multicast frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The epoch.
    pub number: u64,
    /// Sent by the node.
    pub sent: u64,
    /// Accepted by the node, by sender.
    pub accepted: BTreeMap<NodeName, u64>,
}

/// What the nodes told, the newest word of each.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    lines: BTreeMap<Life, Lines>,
    chains: BTreeMap<KeyName, String>,
    lossy: BTreeSet<KeyName>,
    /// Keys in use while the link was cut, and who stood on one side of it.
    severed: BTreeMap<KeyName, BTreeSet<BTreeSet<NodeName>>>,
    entries: BTreeSet<(Life, String, Entry)>,
}

/// How a running node came into a chain that stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// In which epoch.
    pub number: u64,
    /// By joining: then it is known to all only a moment later, which may be beyond a turn.
    pub joined: bool,
}

/// One run of one node's process: after a restart it counts anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life {
    /// Who.
    pub node: NodeName,
    /// How often it was restarted before.
    pub restarts: u32,
}

/// Frames of one sender that one receiver missed, or had too many of, in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The epoch.
    pub number: u64,
    /// Who sent.
    pub sender: NodeName,
    /// Who received.
    pub receiver: NodeName,
    /// Frames sent.
    pub sent: u64,
    /// Frames accepted.
    pub accepted: u64,
}

/// Sums over all ordered pairs and closed epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Ordered pairs times epochs compared.
    pub compared: u64,
    /// Frames the senders count in them.
    pub sent: u64,
    /// Frames sent and never accepted.
    pub lost: u64,
    /// Frames accepted and never sent.
    pub forged: u64,
}

impl Ledger {
    /// Takes a node's newest word on a key.
    pub fn tell(&mut self, life: &Life, key: &str, line: Line) {
        self.lines
            .entry(life.clone())
            .or_default()
            .insert(key.to_owned(), line);
    }

    /// Learns to which chain a key belongs.
    pub fn chain(&mut self, key: &str, chain: &str) {
        self.chains.insert(key.to_owned(), chain.to_owned());
    }

    /// Leaves a key's epoch out: a queue lost frames meanwhile.
    pub fn excuse(&mut self, key: &str) {
        self.lossy.insert(key.to_owned());
    }

    /// Leaves pairs out that a cut kept apart while a key was in use: `half` stood on one side of it.
    pub fn sever(&mut self, key: &str, half: &BTreeSet<NodeName>) {
        let halves = self.severed.entry(key.to_owned()).or_default();
        halves.insert(half.clone());
    }

    /// A node came into a chain that stood.
    pub fn enter(&mut self, life: &Life, chain: &str, entry: Entry) {
        self.entries.insert((life.clone(), chain.to_owned(), entry));
    }

    /// Frames that all runs of a node sent under a key.
    pub fn sent(&self, node: &str, key: &str) -> u64 {
        let runs = self.lines.iter().filter(|(life, _)| life.node == node);
        runs.filter_map(|(_, lines)| Some(lines.get(key)?.sent))
            .sum()
    }

    /// Of so many frames of a node under a key, those that each run of another node never accepted.
    pub fn missed(&self, node: &str, key: &str, sent: u64) -> BTreeMap<Life, u64> {
        let others = self.lines.iter().filter(|(life, _)| life.node != node);
        let missed = others.filter_map(|(life, lines)| {
            let got = lines.get(key)?.accepted.get(node).copied().unwrap_or(0);
            Some((life.clone(), sent.saturating_sub(got)))
        });
        missed.collect()
    }

    /// Compares.
    pub fn balance(&self) -> Balance {
        self.compare_all().0
    }

    /// Where sender and receiver do not agree.
    pub fn gaps(&self) -> Vec<Gap> {
        self.compare_all().1
    }

    fn compare_all(&self) -> (Balance, Vec<Gap>) {
        let (mut balance, mut gaps) = (Balance::default(), Vec::new());
        for (sender, sent) in &self.lines {
            for (receiver, accepted) in &self.lines {
                if sender.node == receiver.node {
                    continue;
                }
                for (key, line) in sent {
                    let Some(other) = accepted.get(key) else {
                        continue;
                    };
                    let got = other.accepted.get(&sender.node).copied().unwrap_or(0);
                    let before = balance;
                    self.compare(key, got, (sender, sent), (receiver, accepted), &mut balance);
                    if (balance.lost, balance.forged) != (before.lost, before.forged) {
                        gaps.push(Gap {
                            number: line.number,
                            sender: sender.node.clone(),
                            receiver: receiver.node.clone(),
                            sent: line.sent,
                            accepted: got,
                        });
                    }
                }
            }
        }
        (balance, gaps)
    }

    fn compare(
        &self,
        key: &str,
        got: u64,
        (sender, sent): (&Life, &Lines),
        (receiver, accepted): (&Life, &Lines),
        balance: &mut Balance,
    ) {
        let Some(line) = sent.get(key) else { return };
        // Whatever a receiver missed, it must not have more than was sent.
        if Self::closed(sent, key) && self.sole_life(&sender.node, key) {
            balance.forged += got.saturating_sub(line.sent);
        }
        if !self.apart(key, sender, receiver)
            && self.lived_through(sender, sent, key)
            && self.lived_through(receiver, accepted, key)
        {
            balance.compared += 1;
            balance.sent += line.sent;
            balance.lost += line.sent.saturating_sub(got);
        }
    }

    /// Whether a node was a member from before the epoch's start until after its end, both ordinary
    /// turns. That the next key was announced is not enough: a promotion may have come before its turn, and
    /// whoever took it sent nothing under that key.
    fn lived_through(&self, life: &Life, lines: &Lines, key: &str) -> bool {
        let Some(number) = lines.get(key).map(|line| line.number) else {
            return false;
        };
        let lived = |wanted: Option<u64>, least: u64| {
            lines.iter().any(|(other, line)| {
                Some(line.number) == wanted
                    && line.sent >= least
                    && self.chains.get(other) == self.chains.get(key)
            })
        };
        let has = |wanted| lived(wanted, 0);
        !self.lossy.contains(key)
            && self.chains.contains_key(key)
            && !self.entered(life, key, number)
            && has(number.checked_sub(1))
            && lived(number.checked_add(1), 1)
            && Self::closed(lines, key)
    }

    /// Whether a node came into the chain in this epoch, or joined it in the one before.
    fn entered(&self, life: &Life, key: &str, number: u64) -> bool {
        let mut own = self.entries.iter().filter(|(who, _, _)| who == life);
        own.any(|(_, chain, entry)| {
            let late = entry.joined && Some(entry.number) == number.checked_sub(1);
            Some(chain) == self.chains.get(key) && (entry.number == number || late)
        })
    }

    /// Whether a cut stood between two nodes while the key was in use.
    fn apart(&self, key: &str, one: &Life, other: &Life) -> bool {
        let mut halves = self.severed.get(key).into_iter().flatten();
        halves.any(|half| half.contains(&one.node) != half.contains(&other.node))
    }

    /// Whether a node has gone on to a later epoch by three pulses, longer than any grace, so that this
    /// one's count is final.
    fn closed(lines: &Lines, key: &str) -> bool {
        let Some(line) = lines.get(key) else {
            return false;
        };
        lines
            .values()
            .any(|other| other.number > line.number && other.sent >= 4)
    }

    /// Whether only one run of the node sent under the key; a killed run's count is lost.
    fn sole_life(&self, node: &str, key: &str) -> bool {
        let lives = self.lines.iter().filter(|(life, _)| life.node == node);
        lives.filter(|(_, lines)| lines.contains_key(key)).count() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(node: &str) -> Life {
        Life {
            node: node.to_owned(),
            restarts: 0,
        }
    }

    /// Two nodes through epochs 1 to 5; each sends 20 frames and hears all of the other's.
    fn two() -> Ledger {
        let mut ledger = Ledger::default();
        for number in 1..=5 {
            let key = format!("k{number}");
            ledger.chain(&key, "c");
            for (node, other) in [("a", "b"), ("b", "a")] {
                let accepted = BTreeMap::from([(other.to_owned(), 20)]);
                ledger.tell(
                    &life(node),
                    &key,
                    Line {
                        number,
                        sent: 20,
                        accepted,
                    },
                );
            }
        }
        ledger
    }

    fn accept(ledger: &mut Ledger, number: u64, frames: u64) {
        let accepted = BTreeMap::from([("b".to_owned(), frames)]);
        ledger.tell(
            &life("a"),
            &format!("k{number}"),
            Line {
                number,
                sent: 20,
                accepted,
            },
        );
    }

    #[test]
    fn whole_epochs_are_compared_in_both_directions() {
        let balance = two().balance();
        // Epoch 1 has no predecessor; 5 is not over.
        assert_eq!(
            balance,
            Balance {
                compared: 6,
                sent: 120,
                lost: 0,
                forged: 0
            }
        );
    }

    #[test]
    fn one_missing_frame_is_lost_and_one_too_many_is_forged() {
        let mut ledger = two();
        accept(&mut ledger, 2, 19);
        assert_eq!(ledger.balance().lost, 1);
        accept(&mut ledger, 2, 21);
        assert_eq!((ledger.balance().lost, ledger.balance().forged), (0, 1));
    }

    #[test]
    fn frames_missed_before_joining_are_not_lost() {
        let mut ledger = two();
        accept(&mut ledger, 1, 3);
        accept(&mut ledger, 5, 3);
        assert_eq!(ledger.balance().lost, 0);
    }

    #[test]
    fn an_epoch_that_began_with_a_promotion_is_left_out() {
        let mut ledger = two();
        accept(&mut ledger, 3, 10);
        assert_eq!(ledger.balance().lost, 10);
        for key in ["k3", "k4", "k5"] {
            ledger.chain(key, "d");
        }
        assert_eq!(ledger.balance().lost, 0);
    }

    #[test]
    fn an_epoch_that_a_promotion_cut_short_is_left_out_though_the_next_was_announced() {
        let mut ledger = two();
        accept(&mut ledger, 3, 10);
        let announced = Line {
            number: 4,
            ..Line::default()
        };
        ledger.tell(&life("a"), "k4", announced);
        ledger.chain("k5", "d");
        assert_eq!(ledger.balance().lost, 0);
    }

    #[test]
    fn an_epoch_that_a_promotion_cut_short_is_left_out() {
        let mut ledger = two();
        accept(&mut ledger, 3, 10);
        for key in ["k4", "k5"] {
            ledger.chain(key, "d");
        }
        assert_eq!(ledger.balance().lost, 0);
    }

    #[test]
    fn the_frames_of_all_runs_of_a_node_count() {
        let mut ledger = two();
        let again = Life {
            restarts: 1,
            ..life("b")
        };
        let line = Line {
            number: 3,
            sent: 5,
            ..Line::default()
        };
        ledger.tell(&again, "k3", line);
        assert_eq!(ledger.sent("b", "k3"), 25);
        let missed = |ledger: &Ledger| ledger.missed("b", "k3", 25)[&life("a")];
        assert_eq!(missed(&ledger), 5);
        accept(&mut ledger, 3, 25);
        assert_eq!(missed(&ledger), 0);
        assert!(ledger.missed("b", "unknown", 25).is_empty());
    }

    #[test]
    fn what_a_cut_kept_apart_is_left_out_and_what_stood_on_one_side_is_not() {
        let mut ledger = two();
        accept(&mut ledger, 3, 10);
        ledger.sever("k3", &["a", "b"].map(str::to_owned).into());
        assert_eq!(ledger.balance().lost, 10);
        ledger.sever("k3", &["a"].map(str::to_owned).into());
        assert_eq!(ledger.balance().lost, 0);
    }

    #[test]
    fn an_epoch_that_a_node_came_into_is_left_out_and_the_next_one_if_it_joined() {
        for (number, joined, lost) in [(3, false, 0), (2, false, 10), (2, true, 0), (1, true, 10)] {
            let mut ledger = two();
            accept(&mut ledger, 3, 10);
            ledger.enter(&life("a"), "c", Entry { number, joined });
            assert_eq!(ledger.balance().lost, lost, "{number} {joined}");
            ledger.enter(&life("a"), "d", Entry { number: 3, joined });
            assert_eq!(ledger.balance().lost, lost, "of another chain");
        }
    }

    #[test]
    fn an_epoch_with_queue_drops_is_left_out() {
        let mut ledger = two();
        accept(&mut ledger, 2, 10);
        ledger.excuse("k2");
        assert_eq!(ledger.balance().lost, 0);
    }

    #[test]
    fn a_forgery_counts_even_where_losses_are_excused() {
        let mut ledger = two();
        ledger.excuse("k2");
        accept(&mut ledger, 2, 21);
        assert_eq!(ledger.balance().forged, 1);
    }
}
