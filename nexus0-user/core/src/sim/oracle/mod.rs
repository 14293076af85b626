//! What must hold at every instant of every run, one oracle per file, and what must have been met by some.

mod amplification;
mod caps;
mod deposed;
mod epochs;
mod expelled;
mod fenced;
mod genuine;
mod leader;
mod readable;
mod secrets;
mod sequence;
mod sometimes;
mod versions;

use std::collections::BTreeSet;
use std::rc::Rc;

use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Epoch, FrameType, HEADER_LEN, Header, Slot};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::host::SimNode;
use super::packet::{Origin, Packet};
use super::report::{Tally, Timeline};
use crate::event::{Event, Reason};
use crate::id::NodeId;
use crate::node::Node;
use crate::time::Time;
use crate::turn::PROMOTION;
use crate::view::Counters;

pub(crate) use epochs::Slack;
pub(crate) use expelled::check as expelled;
pub use sometimes::{SOMETIMES, Sometimes};

/// Violations kept with their words; more are counted.
const KEPT: usize = 32;

/// Every oracle: its name, and what it holds.
pub const ORACLES: &[(&str, &str)] = &[
    (
        "genuine",
        "no frame is accepted that its sender did not send",
    ),
    ("once", "no frame is accepted twice in one life of a host"),
    ("epoch-ends", "no key is accepted past its end and grace"),
    (
        "fresh-secret",
        "every (chain, number) has a secret of its own",
    ),
    (
        "fresh-sequence",
        "a node that restarts starts above the sequence floor it was told",
    ),
    (
        "fenced",
        "numbers of a chain only grow, and each has one key",
    ),
    (
        "deposed",
        "an anchor heard within two pulses is not deposed for silence",
    ),
    ("secrets", "no secret stands in a frame, an event or a view"),
    (
        "caps",
        "every table keeps within its cap; at most four keys",
    ),
    (
        "amplification",
        "strangers never get more bytes than they gave",
    ),
    (
        "expelled",
        "who is out is heard by nobody who knows, listed nowhere, and silent at the end",
    ),
    ("informed", "at the end every host holds the newest list"),
    (
        "left-behind",
        "at the end who is out can read nothing, whatever it kept",
    ),
    (
        "versions",
        "a mesh speaks the highest version that all its members speak",
    ),
    ("filter-agrees", "what the filter passes, the node accepts"),
    ("framed", "nobody is convicted that did not lie"),
    (
        "one-anchor",
        "one anchor per connected part, followed by all of it",
    ),
    (
        "maximum",
        "a new anchor is the first in the order among those present",
    ),
    (
        "calm",
        "without a fault a leader changes only by preemption",
    ),
    (
        "delivered",
        "on a good link every multicast frame reaches every member, over turns too",
    ),
    (
        "join-bound",
        "a join on a good link takes less than half a second",
    ),
    (
        "failover-bound",
        "a dead anchor is replaced within 3.4 pulses",
    ),
    (
        "heal-bound",
        "once faults end there is one mesh within the bound",
    ),
    ("expected", "what a scenario expects"),
    ("panic", "no node panics"),
];

/// An oracle that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// Its name.
    pub oracle: &'static str,
    /// Milliseconds since the start of the run.
    pub at: u64,
    /// The host, if it is about one.
    pub node: Option<usize>,
    /// In words.
    pub what: String,
}

/// What made a node send.
#[derive(Debug)]
pub(crate) enum Cause {
    Timer,
    Command,
    Frame(Rc<Packet>),
}

/// What a node made of a frame that its filter passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handed {
    Accepted,
    /// It holds no such key, or knows no such sender.
    Refused,
    /// It holds the key and knows the sender, and refused it all the same.
    Disagreed,
}

impl Handed {
    pub(crate) fn between(before: &Counters, node: &Node) -> Self {
        let after = &node.counters;
        let strange = |counters: &Counters| counters.disagreements + counters.copies;
        if strange(after) > strange(before) {
            Self::Disagreed
        } else if after.refused > before.refused || node.revoked() {
            Self::Refused
        } else {
            Self::Accepted
        }
    }
}

/// All oracles of one run.
pub(crate) struct Watch {
    seed: u64,
    start: Time,
    hash: Sha256,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) tally: Tally,
    pub(crate) sometimes: Sometimes,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) violated: u64,
    /// Whether leaders may not change now.
    pub(crate) calm: bool,
    /// Whether the network is cut now.
    pub(crate) parted: bool,
    /// Multicast frames sent while calm.
    pub(crate) calm_frames: Vec<Rc<Packet>>,
    pub(crate) liars: BTreeSet<usize>,
    /// Hosts convicted of two epochs under one number by anyone: nobody has to follow them.
    pub(crate) outlaws: BTreeSet<usize>,
    /// Hosts whose controller went on from a snapshot.
    resumed: BTreeSet<usize>,
    /// The longest that a frame is on its way.
    patience: core::time::Duration,
    epochs: epochs::Epochs,
    fenced: fenced::Fences,
    sequences: sequence::Sequences,
    secrets: secrets::Secrets,
    door: amplification::Door,
    deposed: deposed::Heard,
    readable: readable::Readable,
    spoken: versions::Spoken,
}

impl Watch {
    pub(crate) fn new(seed: u64, start: Time, slack: Slack) -> Self {
        Self {
            seed,
            start,
            hash: Sha256::new(),
            ids: Vec::new(),
            tally: Tally::default(),
            sometimes: Sometimes::default(),
            timeline: None,
            violations: Vec::new(),
            violated: 0,
            calm: false,
            parted: false,
            calm_frames: Vec::new(),
            liars: BTreeSet::new(),
            outlaws: BTreeSet::new(),
            resumed: BTreeSet::new(),
            patience: slack.delay + core::time::Duration::from_millis(1),
            epochs: epochs::Epochs::new(slack),
            fenced: fenced::Fences::default(),
            sequences: sequence::Sequences::default(),
            secrets: secrets::Secrets::default(),
            door: amplification::Door::default(),
            deposed: deposed::Heard::new(slack.pulse),
            readable: readable::Readable::default(),
            spoken: versions::Spoken::default(),
        }
    }

    /// Something did not hold.
    pub(crate) fn violated(
        &mut self,
        oracle: &'static str,
        now: Time,
        node: Option<usize>,
        what: String,
    ) {
        debug_assert!(ORACLES.iter().any(|(name, _)| *name == oracle));
        self.violated += 1;
        if self.violations.len() < KEPT {
            self.violations.push(Violation {
                seed: self.seed,
                oracle,
                at: now.since(self.start).as_millis() as u64,
                node,
                what,
            });
        }
    }

    fn check(&mut self, oracle: &'static str, now: Time, node: usize, held: Result<(), String>) {
        if let Err(what) = held {
            self.violated(oracle, now, Some(node), what);
        }
    }

    /// Something worth a place in the picture.
    pub(crate) fn mark(&mut self, now: Time, host: Option<usize>, what: &str) {
        if let Some(timeline) = &mut self.timeline {
            timeline.mark(now, host, what.to_owned());
        }
    }

    /// A host starts a controller.
    pub(crate) fn started(&mut self, now: Time, index: usize, host: &SimNode) {
        let id = host.grant.node_id();
        if self.ids.len() <= index {
            // Hosts start in any order.
            self.ids.resize(index + 1, NodeId([0; 8]));
        }
        if core::mem::replace(&mut self.ids[index], id) != id {
            self.outlaws.remove(&index);
        }
        self.fenced.restart(index);
        self.deposed.forget(index);
        self.secrets.add(&host.seed);
        if let Some(timeline) = &mut self.timeline {
            timeline.started(now, index);
        }
    }

    /// A node put a frame on the link.
    pub(crate) fn sent(&mut self, now: Time, from: usize, cause: &Cause, packet: &Rc<Packet>) {
        let payload = packet.payload();
        self.hash
            .update(now.since(self.start).as_nanos().to_be_bytes());
        self.hash.update((from as u64).to_be_bytes());
        self.hash.update(packet.destination);
        self.hash.update(payload);
        self.tally.frames += 1;
        self.tally.bytes += payload.len() as u64;
        let Some(header) = Header::parse(payload) else {
            return;
        };
        self.sometimes.sent(header.frame_type);
        if let Some(change) = self.spoken.sent(from, &header) {
            self.sometimes.note(change);
        }
        let held = self.sequences.sent(&header);
        self.check("fresh-sequence", now, from, held);
        let held = self
            .door
            .sent(from, header.frame_type, cause, payload.len());
        self.check("amplification", now, from, held);
        let held = self.secrets.frame(header.frame_type, payload);
        self.check("secrets", now, from, held);
        let group = packet.destination == nexus0_common::wire::GROUP;
        if self.calm && group && header.frame_type.slot() == Slot::Epoch && !promotes(packet) {
            self.calm_frames.push(Rc::clone(packet));
        }
    }

    /// A filter or a node accepted a frame of somebody it knows to be out, or of somebody else.
    pub(crate) fn heard(&mut self, now: Time, to: usize, known: Result<(), String>) {
        self.check("expelled", now, to, known);
    }

    /// A node has sent all that a frame made it send; whether the frame had proved that it may. `breaks`: the life
    /// of a host that breaks its chain.
    pub(crate) fn reacted(
        &mut self,
        now: Time,
        host: usize,
        cause: &Cause,
        bytes: usize,
        answered: usize,
        breaks: Option<u32>,
    ) -> bool {
        if let Cause::Frame(packet) = cause
            && bytes > 0
        {
            // The root's list or the door's nonce brings a break about: no frame twice.
            if breaks.is_some_and(|life| packet.accept(host, life)) {
                return true;
            }
            let kind = Header::parse(packet.payload()).map(|header| header.frame_type);
            let held = amplification::Door::reaction(packet, kind, bytes, answered);
            self.check("amplification", now, host, held);
        }
        false
    }

    /// A filter judged a frame.
    pub(crate) fn judged(
        &mut self,
        now: Time,
        to: usize,
        host: &SimNode,
        packet: &Packet,
        verdict: Verdict,
    ) {
        self.tally.judged += 1;
        self.door.got(to, packet);
        self.sometimes.judged(to, packet, verdict);
        let id = host.grant.node_id();
        self.readable.overheard(id, packet.payload(), &self.epochs);
        if verdict == Verdict::Accepted {
            self.heard(now, to, expelled::check(host, packet));
        }
    }

    /// A node was handed a frame that its filter passed.
    pub(crate) fn handed(
        &mut self,
        now: Time,
        to: usize,
        host: &SimNode,
        packet: &Packet,
        verdict: Handed,
    ) {
        let Some(header) = Header::parse(packet.payload()) else {
            return;
        };
        if header.frame_type.slot() == Slot::Door {
            if header.frame_type == FrameType::Answer {
                self.epochs.learned(now, to, packet);
            }
            return;
        }
        match verdict {
            Handed::Accepted => {}
            Handed::Refused => return,
            Handed::Disagreed => return self.disagreed(now, to, packet, &header),
        }
        let held = genuine::check(packet, &header, &self.ids);
        self.check("genuine", now, to, held);
        if !packet.accept(to, host.life) {
            let what = format!("{} of {}", header.frame_type.name(), NodeId(header.sender));
            self.violated("once", now, Some(to), what);
        }
        if let Some(node) = &host.node {
            self.deposed.accepted(now, to, node, &header);
            let held = self.epochs.accepted(now, to, node, packet, &header);
            self.check("epoch-ends", now, to, held);
        }
        if header.frame_type == FrameType::Ann {
            return;
        }
        let held = host.node.as_ref().map_or(Ok(()), caps::check);
        self.check("caps", now, to, held);
    }

    /// Only a false signature, or what waited in a socket, may be refused behind the filter.
    fn disagreed(&mut self, now: Time, to: usize, packet: &Packet, header: &Header) {
        let waited = now.since(packet.sent) > self.patience;
        // The filter only reads the window of a signed frame: two copies may wait in the socket.
        let copy = packet.was_accepted(to);
        // Who resumed takes all before the newest for seen, also where a liar used up a sequence far ahead.
        let used_up =
            self.resumed.contains(&to) && !self.liars.is_empty() && !header.frame_type.signed();
        if matches!(packet.origin, Origin::Node(_)) && !waited && !copy && !used_up {
            let name = header.frame_type.name();
            self.violated(
                "filter-agrees",
                now,
                Some(to),
                format!("{name} was passed and refused"),
            );
        } else if !copy {
            self.sometimes.note("signature-refused");
        }
    }

    /// A node installed keys.
    pub(crate) fn keys(&mut self, now: Time, index: usize, host: &SimNode) {
        let Some(node) = &host.node else { return };
        for key in node.keys.iter() {
            let (chain, number) = (key.chain, key.number);
            let opens = host.clock.instant(key.activation);
            let lied = !self.liars.is_empty();
            let held = self
                .epochs
                .installed(key.material.id, chain, number, opens, lied);
            self.readable.held(node.id, key.material.id);
            self.secrets.add(&key.material.secret);
            self.secrets.add(&key.material.seal);
            self.check("fresh-secret", now, index, held);
        }
        self.epochs.holds(index, node);
        let held = caps::check(node);
        self.check("caps", now, index, held);
        let held = versions::keys(node);
        self.check("versions", now, index, held);
        let held = fenced::keys(node, host.clock.shows(now), !self.liars.is_empty());
        self.check("fenced", now, index, held);
    }

    /// A node tells of something.
    pub(crate) fn event(&mut self, now: Time, index: usize, node: &Node, event: &Event) {
        let shown = format!("{event:?}");
        self.hash.update(shown.as_bytes());
        let held = self.secrets.text(&shown);
        self.check("secrets", now, index, held);
        self.tally.event(event);
        self.sometimes.event(event, self.parted);
        if matches!(event, Event::ColdStart { .. }) && self.tally.cold_starts > 1 {
            self.sometimes.note("second-cold-start");
        }
        if matches!(event, Event::EpochTurned { .. }) && node.role() == crate::node::Role::Anchor {
            self.mark(now, Some(index), "turns the key");
        }
        if let Event::Cheated { anchor } = event
            && let Some(outlaw) = self.ids.iter().position(|id| id == anchor)
        {
            self.outlaws.insert(outlaw);
            if !self.liars.contains(&outlaw) {
                let what = format!("{anchor} was convicted and did not lie");
                self.violated("framed", now, Some(index), what);
            }
        }
        if matches!(event, Event::Resumed { .. }) {
            self.resumed.insert(index);
        }
        let held = self.fenced.chain(index, node);
        self.check("fenced", now, index, held);
        if let Event::AnchorChanged {
            old,
            new,
            reason,
            chain,
            ..
        } = event
        {
            self.epochs.entered(now, index, *chain);
            if let Some(timeline) = &mut self.timeline {
                let anchor = self.ids.iter().position(|id| id == new);
                timeline.follows(now, index, anchor);
            }
            let held = self.deposed.changed(now, index, *old, *reason);
            if self.liars.contains(&index) {
                return;
            }
            self.check("deposed", now, index, held);
            if self.calm && *reason != Reason::Preemption && self.outlaws.is_empty() {
                let what = format!("{old:?} to {new} for {reason:?}");
                self.violated("calm", now, Some(index), what);
            }
        }
    }

    /// Whether somebody can read what is sent under a key.
    pub(crate) fn reads(&self, id: NodeId, key: crate::id::KeyId) -> bool {
        self.readable.can(id, key)
    }

    /// What a node shows holds no secret.
    pub(crate) fn view(&mut self, now: Time, index: usize, host: &SimNode) {
        let Some(node) = &host.node else { return };
        let shown = format!("{:?} {node:?}", node.view(host.clock.shows(now)));
        let held = self.secrets.text(&shown);
        self.check("secrets", now, index, held);
    }

    /// Digest of everything that was sent and told, and when.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

/// A promotion is repeated under its parent's key, for those who still hold it.
fn promotes(packet: &Packet) -> bool {
    let header = Header::parse(packet.payload());
    let body = packet.payload().get(HEADER_LEN..).and_then(Epoch::parse);
    header.is_some_and(|header| header.frame_type == FrameType::Epoch)
        && body.is_some_and(|body| body.head.flags & PROMOTION != 0)
}
