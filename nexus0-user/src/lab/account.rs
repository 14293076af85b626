//! Where every frame went. Pure: snapshots of counters in, balances out.
//!
//! What entered the bridge for the nodes must equal what their filters judged plus what an interface
//! or the bridge counted as lost. The difference is `unaccounted`: positive when a frame vanished
//! without a counter, negative when one was judged that nobody is known to have sent.

use std::collections::BTreeMap;

use nexus0_common::reason::Verdict;
use serde::Serialize;

use crate::flood::Cast;
use crate::lab::sieve::Sifted;

/// Frames a station sent into the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// To one station.
    pub unicast: u64,
    /// To all other stations.
    pub multicast: u64,
}

/// Counters of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Frames received.
    pub received: u64,
    /// Frames lost on reception.
    pub receive_dropped: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames lost on transmission.
    pub send_dropped: u64,
}

/// All counters around one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSnapshot {
    /// What the node sent, counted where it enters the bridge.
    pub sent: Sent,
    /// The bridge's end of its veth pair.
    pub port: Interface,
    /// Its own end.
    pub interface: Interface,
    /// Frames its filter judged, by number of the verdict.
    pub judged: Vec<u64>,
}

/// All counters of the link at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The attacker's end of its veth pair.
    pub attacker: Interface,
    /// The bridge's end.
    pub attacker_port: Interface,
    /// The bridge itself.
    pub bridge: Interface,
    /// What was kept from being delivered on purpose.
    pub sifted: Sifted,
    /// By node.
    pub nodes: Vec<NodeSnapshot>,
}

/// The balance over all intervals added so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Copies of the attacker's frames that were on their way to a filter.
    pub offered: i64,
    /// Copies of the nodes' own frames that were on their way to a filter.
    pub legitimate: i64,
    /// Frames judged, by number of the verdict.
    pub judged: BTreeMap<u8, i64>,
    /// Copies that an interface or the bridge counted as lost.
    pub queue_lost: i64,
    /// Copies let through, lost and cut off on purpose.
    pub sifted: [i64; 3],
}

/// The balance in the words of the summary. All counts are copies: a multicast frame counts once for
/// each receiver. `offered + legitimate = passed + dropped + queue_lost + lost + cut + unaccounted`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Frames {
    /// Sent by the attacker.
    pub offered: i64,
    /// Sent by the nodes.
    pub legitimate: i64,
    /// Passed by the filters: accepted, or not for the mesh port.
    pub passed: i64,
    /// Of them accepted as mesh frames.
    pub accepted: i64,
    /// Refused, by reason.
    pub dropped: BTreeMap<&'static str, i64>,
    /// Lost in a queue that counts what it loses.
    pub queue_lost: i64,
    /// Lost on the link as asked for.
    pub lost: i64,
    /// Not delivered because of a cut.
    pub cut: i64,
    /// What is left over.
    pub unaccounted: i64,
}

impl Account {
    /// Adds what happened between two quiet moments in which the attacker sent frames of one cast only.
    pub fn add(&mut self, cast: Cast, before: &Snapshot, after: &Snapshot) {
        let receivers = after.nodes.len() as i64;
        let copies = match cast {
            Cast::Multicast => receivers,
            Cast::Unicast => 1,
        };
        self.offered += copies * rise(before.attacker.sent, after.attacker.sent);
        // A full ring at the port is counted at both ends, and what it refused was never sent.
        let refused = rise(before.attacker.send_dropped, after.attacker.send_dropped);
        let lost = rise(
            before.attacker_port.receive_dropped,
            after.attacker_port.receive_dropped,
        );
        self.queue_lost += copies * (lost - refused);
        // What the bridge drops on reception is its own copy, meant for no node.
        self.queue_lost += rise(before.bridge.send_dropped, after.bridge.send_dropped);
        let steps = [
            (before.sifted.passed, after.sifted.passed),
            (before.sifted.lost, after.sifted.lost),
            (before.sifted.cut, after.sifted.cut),
        ];
        for (sum, (before, after)) in self.sifted.iter_mut().zip(steps) {
            *sum += rise(before, after);
        }
        for (before, after) in before.nodes.iter().zip(&after.nodes) {
            self.add_node(receivers - 1, before, after);
        }
    }

    fn add_node(&mut self, others: i64, before: &NodeSnapshot, after: &NodeSnapshot) {
        self.legitimate += others * rise(before.sent.multicast, after.sent.multicast)
            + rise(before.sent.unicast, after.sent.unicast);
        self.queue_lost += rise(before.port.send_dropped, after.port.send_dropped)
            + rise(
                before.interface.receive_dropped,
                after.interface.receive_dropped,
            );
        for (number, (before, after)) in before.judged.iter().zip(&after.judged).enumerate() {
            *self.judged.entry(number as u8).or_default() += rise(*before, *after);
        }
    }

    /// Frames the filters judged.
    pub fn total_judged(&self) -> i64 {
        self.judged.values().sum()
    }

    /// The balance in words.
    pub fn frames(&self) -> Frames {
        let count = |verdict: &Verdict| self.judged.get(&(*verdict as u8)).copied().unwrap_or(0);
        let sum = |passes: bool| -> i64 {
            Verdict::ALL
                .iter()
                .filter(|v| v.passes() == passes)
                .map(count)
                .sum()
        };
        let dropped = Verdict::ALL
            .iter()
            .filter(|verdict| !verdict.passes() && count(verdict) != 0)
            .map(|verdict| (verdict.name(), count(verdict)))
            .collect();
        let [_, lost, cut] = self.sifted;
        Frames {
            offered: self.offered,
            legitimate: self.legitimate,
            passed: sum(true),
            accepted: count(&Verdict::Accepted),
            dropped,
            queue_lost: self.queue_lost,
            lost,
            cut,
            unaccounted: self.offered + self.legitimate
                - self.total_judged()
                - self.queue_lost
                - lost
                - cut,
        }
    }
}

/// How much a counter rose; negative if it fell, so that a counter that was reset shows.
fn rise(before: u64, after: u64) -> i64 {
    after.wrapping_sub(before) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(nodes: usize) -> Snapshot {
        let node = NodeSnapshot {
            judged: vec![0; 64],
            ..NodeSnapshot::default()
        };
        Snapshot {
            nodes: vec![node; nodes],
            ..Snapshot::default()
        }
    }

    fn judge(snapshot: &mut Snapshot, node: usize, verdict: Verdict, frames: u64) {
        snapshot.nodes[node].judged[verdict as usize] += frames;
    }

    fn unaccounted(cast: Cast, after: &Snapshot) -> i64 {
        let mut account = Account::default();
        account.add(cast, &link(after.nodes.len()), after);
        account.frames().unaccounted
    }

    #[test]
    fn a_multicast_frame_is_offered_to_every_node() {
        let mut after = link(3);
        after.attacker.sent = 10;
        for node in 0..3 {
            judge(&mut after, node, Verdict::Magic, 10);
        }
        let mut account = Account::default();
        account.add(Cast::Multicast, &link(3), &after);
        let frames = account.frames();
        assert_eq!((frames.offered, frames.unaccounted), (30, 0));
        assert_eq!(frames.dropped, BTreeMap::from([("magic", 30)]));
    }

    #[test]
    fn a_unicast_frame_is_offered_once() {
        let mut after = link(3);
        after.attacker.sent = 10;
        judge(&mut after, 1, Verdict::PreTag, 10);
        assert_eq!(unaccounted(Cast::Unicast, &after), 0);
    }

    #[test]
    fn frames_of_the_nodes_reach_all_others_and_are_not_offered() {
        let mut after = link(3);
        after.nodes[0].sent = Sent {
            unicast: 1,
            multicast: 2,
        };
        judge(&mut after, 1, Verdict::Accepted, 3);
        judge(&mut after, 2, Verdict::Accepted, 2);
        let mut account = Account::default();
        account.add(Cast::Multicast, &link(3), &after);
        let frames = account.frames();
        assert_eq!(
            (frames.offered, frames.legitimate, frames.unaccounted),
            (0, 5, 0)
        );
        assert_eq!(frames.passed, 5);
    }

    #[test]
    fn a_lost_frame_with_a_counter_is_accounted_for() {
        let mut after = link(2);
        after.attacker.sent = 4;
        judge(&mut after, 0, Verdict::Tag, 4);
        judge(&mut after, 1, Verdict::Tag, 3);
        assert_eq!(unaccounted(Cast::Multicast, &after), 1);
        after.nodes[1].port.send_dropped = 1;
        assert_eq!(unaccounted(Cast::Multicast, &after), 0);
        after.nodes[1].port.send_dropped = 0;
        after.nodes[1].interface.receive_dropped = 1;
        assert_eq!(unaccounted(Cast::Multicast, &after), 0);
        after.nodes[1].interface.receive_dropped = 0;
        after.bridge.send_dropped = 1;
        assert_eq!(unaccounted(Cast::Multicast, &after), 0);
    }

    #[test]
    fn what_is_kept_back_on_purpose_is_accounted_for() {
        let mut after = link(3);
        after.attacker.sent = 2;
        judge(&mut after, 0, Verdict::Magic, 2);
        judge(&mut after, 1, Verdict::Magic, 1);
        assert_eq!(unaccounted(Cast::Multicast, &after), 3);
        after.sifted = Sifted {
            passed: 3,
            lost: 1,
            cut: 2,
        };
        assert_eq!(unaccounted(Cast::Multicast, &after), 0);
    }

    #[test]
    fn a_frame_lost_at_the_attackers_port_misses_every_receiver() {
        let mut after = link(5);
        after.attacker.sent = 1;
        assert_eq!(unaccounted(Cast::Multicast, &after), 5);
        after.attacker_port.receive_dropped = 1;
        assert_eq!(unaccounted(Cast::Multicast, &after), 0);
    }

    #[test]
    fn a_frame_refused_before_it_was_sent_is_not_offered_and_not_lost() {
        let mut after = link(2);
        after.attacker.send_dropped = 9;
        after.attacker_port.receive_dropped = 9;
        let mut account = Account::default();
        account.add(Cast::Multicast, &link(2), &after);
        let frames = account.frames();
        assert_eq!(
            (frames.offered, frames.queue_lost, frames.unaccounted),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_frame_judged_twice_or_from_nowhere_is_negative() {
        let mut after = link(2);
        after.attacker.sent = 1;
        judge(&mut after, 0, Verdict::Magic, 2);
        judge(&mut after, 1, Verdict::Magic, 1);
        assert_eq!(unaccounted(Cast::Multicast, &after), -1);
    }

    #[test]
    fn a_counter_that_was_reset_shows() {
        let mut before = link(1);
        judge(&mut before, 0, Verdict::Magic, 7);
        let mut account = Account::default();
        account.add(Cast::Multicast, &before, &link(1));
        assert_eq!(account.frames().unaccounted, 7);
    }

    #[test]
    fn the_words_of_the_balance_add_up() {
        let mut after = link(2);
        after.attacker.sent = 9;
        judge(&mut after, 0, Verdict::Foreign, 2);
        judge(&mut after, 0, Verdict::Vlan, 5);
        judge(&mut after, 1, Verdict::Accepted, 1);
        after.nodes[1].port.send_dropped = 4;
        let mut account = Account::default();
        account.add(Cast::Multicast, &link(2), &after);
        let frames = account.frames();
        let right = frames.passed
            + frames.dropped.values().sum::<i64>()
            + frames.queue_lost
            + frames.unaccounted;
        assert_eq!(frames.offered + frames.legitimate, right);
    }
}
