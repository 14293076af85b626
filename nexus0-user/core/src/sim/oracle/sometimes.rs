//! What a run has met. A green run that met nothing shows nothing.

use nexus0_common::reason::Verdict;
use nexus0_common::wire::FrameType;
use serde::{Serialize, Serializer};

use super::super::packet::{Origin, Packet};
use crate::event::{Event, Reason};

macro_rules! sometimes {
    ($($name:literal $what:literal;)*) => {
        /// Everything that a swarm must meet at least once: its name, and what it is.
        pub const SOMETIMES: &[(&str, &str)] = &[$(($name, $what)),*];
    };
}

sometimes! {
    "partition" "the link was cut into parts that hear nothing of each other";
    "three-way-partition" "into three";
    "one-way-partition" "a host was heard but heard nobody, or the other way round";
    "lossy-pair" "one host lost most of what one other sent";
    "crash" "a controller was killed and came back to its filter";
    "reboot" "a host came back without its filter, its clock at zero";
    "disk-loss" "a host came back as somebody new";
    "suspend" "a host slept, and its clock went on";
    "stall" "a controller stood still while its filter judged";
    "link-flap" "an address went and came back";
    "renumber" "a host got another address";
    "leave" "a node said goodbye";
    "drift" "clocks ran at different speeds";
    "two-anchors" "two parts had an anchor each";
    "turn-while-parted" "a key turned during a partition";
    "cold-start" "a node started a chain";
    "second-cold-start" "another chain was started beside a living one";
    "failover" "a silent anchor was succeeded";
    "failover-by-bye" "an anchor that said goodbye was succeeded";
    "failover-stateless" "an anchor that lost its state was succeeded";
    "two-promotions" "of two promotions the better-ranked won";
    "step-back" "a wrong promotion was taken back";
    "merge" "an outranked anchor gave up its chain";
    "preemption-announced" "a member with a higher ego announced that it takes over";
    "preemption" "it took over from a living anchor";
    "cheat-convicted" "two signed epochs under one number convicted an anchor";
    "resumed" "a killed controller went on from its snapshot";
    "rejoin" "a member whose epoch ended joined again";
    "turn" "a key turned";
    "still-here" "a promotion was answered with STILL-HERE";
    "hold" "a joiner was asked to wait";
    "ask" "something missed was asked for";
    "probe" "a silent anchor was probed";
    "bye" "a BYE was sent";
    "door-probe" "someone at the door was asked whether it lives";
    "replay-refused" "a frame seen before was refused";
    "too-old-refused" "a frame never seen but behind the window was refused";
    "early-key-refused" "a frame under a key not yet valid was refused";
    "stale-key-refused" "a frame under a key that is over was refused";
    "unknown-key-refused" "a frame under a key not held was refused";
    "unknown-sender-refused" "a frame of a node not in the roster was refused";
    "pre-tag-refused" "a wrong pre-tag was refused";
    "tag-refused" "a right pre-tag over a wrong tag was refused";
    "member-rate-refused" "a member's bucket fired";
    "door-rate-refused" "a stranger's bucket fired";
    "door-repeat-refused" "the door remembered a tag";
    "signature-refused" "a frame with a right tag and a wrong signature was refused";
    "stranger-replayed" "a stranger replayed a frame";
    "stranger-mutated" "a stranger changed a frame";
    "stranger-invented" "a stranger made frames up";
    "stranger-asked" "a stranger asked to join in another's name";
    "member-forged-ann" "a member tagged pulses in others' names";
    "member-spammed" "a member sent its own signed frames by the hundred";
    "member-promoted-falsely" "a member promoted itself beside a living anchor";
    "member-equivocated" "a lying anchor gave one epoch two keys";
    "member-revived-the-dead" "a member pulsed in a dead anchor's name";
    "member-announced-old" "a lying anchor announced a number again";
    "revoked" "a host was expelled by the root";
    "anchor-revoked" "while it was the anchor";
    "revoked-while-parted" "while the link was cut";
    "mixed-versions" "some hosts spoke wire version 1 alone";
    "replaced" "a host came back with other wire versions";
    "version-raised" "an anchor spoke a higher version than before";
    "version-lowered" "an anchor spoke a lower version than before";
    "equal-egos" "all members had one ego";
    "mixed-egos" "members had different egos";
}

/// How often each was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sometimes(Vec<u64>);

impl Default for Sometimes {
    fn default() -> Self {
        Self(vec![0; SOMETIMES.len()])
    }
}

impl Serialize for Sometimes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl Sometimes {
    /// Name and count of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SOMETIMES
            .iter()
            .zip(&self.0)
            .map(|((name, _), count)| (*name, *count))
    }

    /// The names of those never met.
    pub fn never(&self) -> Vec<&'static str> {
        self.iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| name)
            .collect()
    }

    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// One more of this.
    pub(crate) fn note(&mut self, name: &'static str) {
        if let Some(index) = SOMETIMES.iter().position(|(other, _)| *other == name) {
            self.0[index] += 1;
        } else {
            debug_assert!(false, "{name} is not in the table");
        }
    }

    pub(super) fn sent(&mut self, frame_type: FrameType) {
        match frame_type {
            FrameType::StillHere => self.note("still-here"),
            FrameType::Hold => self.note("hold"),
            FrameType::Ask => self.note("ask"),
            FrameType::Probe => self.note("probe"),
            FrameType::Bye => self.note("bye"),
            FrameType::DoorProbe => self.note("door-probe"),
            _ => {}
        }
    }

    pub(super) fn event(&mut self, event: &Event, parted: bool) {
        match event {
            Event::AnchorChanged { reason, .. } => match reason {
                Reason::Silence => self.note("failover"),
                Reason::Bye => self.note("failover-by-bye"),
                Reason::Stateless => self.note("failover-stateless"),
                Reason::Outranked => self.note("two-promotions"),
                Reason::Preemption => self.note("preemption"),
                _ => {}
            },
            Event::EpochTurned { .. } => {
                self.note("turn");
                if parted {
                    self.note("turn-while-parted");
                }
            }
            Event::SteppedBack { .. } => self.note("step-back"),
            Event::ColdStart { .. } => self.note("cold-start"),
            Event::Merging { .. } => self.note("merge"),
            Event::Rejoining => self.note("rejoin"),
            Event::PreemptionAnnounced { .. } => self.note("preemption-announced"),
            Event::Cheated { .. } => self.note("cheat-convicted"),
            Event::Resumed { .. } => self.note("resumed"),
            _ => {}
        }
    }

    pub(super) fn judged(&mut self, to: usize, packet: &Packet, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => {}
            Verdict::Replay if packet.was_accepted(to) => self.note("replay-refused"),
            Verdict::Replay if matches!(packet.origin, Origin::Node(_)) => {
                self.note("too-old-refused");
            }
            Verdict::EarlyKey => self.note("early-key-refused"),
            Verdict::StaleEpoch => self.note("stale-key-refused"),
            Verdict::UnknownKey => self.note("unknown-key-refused"),
            Verdict::UnknownSender => self.note("unknown-sender-refused"),
            Verdict::PreTag => self.note("pre-tag-refused"),
            Verdict::Tag => self.note("tag-refused"),
            Verdict::Rate => self.note("member-rate-refused"),
            Verdict::DoorSource | Verdict::DoorRate => self.note("door-rate-refused"),
            Verdict::DoorRepeat => self.note("door-repeat-refused"),
            _ => {}
        }
    }
}
