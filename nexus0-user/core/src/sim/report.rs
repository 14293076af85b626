//! What came of a run: counts, durations, and who followed whom when.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::oracle::{Sometimes, Violation};
use super::plan::Plan;
use crate::event::Event;
use crate::time::Time;

/// Counts of one run, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Changes of the anchor that some node follows.
    pub anchor_changes: u64,
    /// Turns to a next key, node by node.
    pub turns: u64,
    /// Anchors that gave up their chain for a better one.
    pub merges: u64,
    /// Members that promoted themselves.
    pub promotions: u64,
    /// Promotions taken back.
    pub steps_back: u64,
    /// Chains started.
    pub cold_starts: u64,
    /// Answers taken.
    pub joins: u64,
    /// Frames sent.
    pub frames: u64,
    /// Bytes of payload sent.
    pub bytes: u64,
    /// Frames judged by filters.
    pub judged: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Kinds of which one run had both.
    pub fault_pairs: BTreeSet<[&'static str; 2]>,
    /// Milliseconds that joins took at worst.
    pub slowest_join: u64,
    /// Milliseconds that failovers in quiet took at worst.
    pub slowest_failover: u64,
    /// Milliseconds from the end of all faults to one mesh at worst.
    pub slowest_heal: u64,
}

impl Tally {
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            Event::AnchorChanged { .. } => self.anchor_changes += 1,
            Event::EpochTurned { .. } => self.turns += 1,
            Event::Merging { .. } => self.merges += 1,
            Event::Promoted { .. } => self.promotions += 1,
            Event::SteppedBack { .. } => self.steps_back += 1,
            Event::ColdStart { .. } => self.cold_starts += 1,
            Event::Joined { .. } => self.joins += 1,
            _ => {}
        }
    }

    pub(crate) fn fault(&mut self, kind: &'static str) {
        let others = self.faults.keys().filter(|other| **other != kind);
        let pairs = others.map(|other| [*other.min(&kind), *other.max(&kind)]);
        self.fault_pairs.extend(pairs);
        *self.faults.entry(kind).or_default() += 1;
    }

    /// How many pairs the kinds met could make.
    pub fn possible_pairs(&self) -> usize {
        let kinds = self.faults.len();
        kinds * kinds.saturating_sub(1) / 2
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.anchor_changes += other.anchor_changes;
        self.turns += other.turns;
        self.merges += other.merges;
        self.promotions += other.promotions;
        self.steps_back += other.steps_back;
        self.cold_starts += other.cold_starts;
        self.joins += other.joins;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.judged += other.judged;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.fault_pairs.extend(&other.fault_pairs);
        self.slowest_join = self.slowest_join.max(other.slowest_join);
        self.slowest_failover = self.slowest_failover.max(other.slowest_failover);
        self.slowest_heal = self.slowest_heal.max(other.slowest_heal);
    }
}

/// What a host does from some instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It does not run, or sleeps.
    Down,
    /// It runs and follows nobody yet.
    Alone,
    /// It follows the anchor on this host, if that is known; itself if it is the anchor.
    Follows(Option<usize>),
}

/// Who followed whom when, and what was done to the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    start: Time,
    /// Changes in order of time: since the start, host, what it does from then on.
    pub changes: Vec<(Duration, usize, Doing)>,
    /// Faults and their ends in order of time: since the start, host if it is about one, in words.
    pub marks: Vec<(Duration, Option<usize>, String)>,
}

impl Timeline {
    pub(crate) fn new(start: Time) -> Self {
        Self {
            start,
            ..Self::default()
        }
    }

    pub(crate) fn started(&mut self, now: Time, host: usize) {
        self.changes
            .push((now.since(self.start), host, Doing::Alone));
    }

    pub(crate) fn down(&mut self, now: Time, host: usize) {
        self.changes
            .push((now.since(self.start), host, Doing::Down));
    }

    pub(crate) fn follows(&mut self, now: Time, host: usize, anchor: Option<usize>) {
        self.changes
            .push((now.since(self.start), host, Doing::Follows(anchor)));
    }

    pub(crate) fn mark(&mut self, now: Time, host: Option<usize>, what: String) {
        self.marks.push((now.since(self.start), host, what));
    }

    /// What a host did at the end of the times given.
    pub fn doing(&self, host: usize, at: Duration) -> Doing {
        let before = self.changes.iter().take_while(|(when, ..)| *when <= at);
        let last = before.filter(|(_, other, _)| *other == host).last();
        last.map_or(Doing::Down, |(_, _, doing)| *doing)
    }
}

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Digest of everything sent and told, and when.
    pub hash: [u8; 32],
    /// Simulated time.
    pub lasted: Duration,
    /// Hosts at the end.
    pub hosts: usize,
    /// The first oracles that did not hold.
    pub violations: Vec<Violation>,
    /// How often oracles did not hold.
    pub violated: u64,
    /// Counts.
    pub tally: Tally,
    /// What was met.
    pub sometimes: Sometimes,
    /// Who followed whom, if that was asked for.
    pub timeline: Option<Timeline>,
}

impl Report {
    /// A run that did not come to its end.
    pub(crate) fn panicked(plan: &Plan, panic: &(dyn core::any::Any + Send)) -> Self {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| {
            panic
                .downcast_ref::<&str>()
                .map(|words| (*words).to_owned())
        });
        let violation = Violation {
            seed: plan.seed,
            oracle: "panic",
            at: 0,
            node: None,
            what: words.unwrap_or_default(),
        };
        Self {
            seed: plan.seed,
            hash: [0; 32],
            lasted: Duration::ZERO,
            hosts: plan.egos.len(),
            violations: vec![violation],
            violated: 1,
            tally: Tally::default(),
            sometimes: Sometimes::default(),
            timeline: None,
        }
    }
}
