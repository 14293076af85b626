//! The network: hosts on one link, what the link does to frames, and time that passes as fast as it can.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use nexus0_common::reason::Verdict;
use nexus0_common::wire::{
    Answer, FrameType, GROUP, HEADER_LEN, Header, SIGNATURE_LEN, TRAILER_LEN,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::host::{SimNode, Sleep};
use super::judge::judge;
use super::oracle::{Cause, Watch};
use super::outcasts::Outcasts;
use super::packet::{Origin, Packet};
use super::queue::{Due, Queue};
use super::stranger::Tap;
use crate::event::{Event, Reason};
use crate::grant::MeshRoot;
use crate::id::NodeId;
use crate::node::{Input, Node, NodeConfig, Output, Role};
use crate::time::Time;

/// Frames the socket of a host that stands still can hold.
const SOCKET: usize = 200;

#[cfg(test)]
pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What a link does to frames, in parts per thousand and milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) delay: (u64, u64),
}

impl Link {
    pub(crate) const GOOD: Self = Self {
        loss: 0,
        duplication: 0,
        delay: (1, 1),
    };
}

/// Hosts on one link.
pub(crate) struct Sim {
    pub(crate) seed: u64,
    rng: ChaCha8Rng,
    pub(crate) now: Time,
    pub(crate) root: MeshRoot,
    pub(crate) outcasts: Outcasts,
    pub(crate) config: NodeConfig,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) link: Link,
    /// Milliseconds that multicast frames may take longer than unicast ones.
    pub(crate) reorder: u64,
    /// Frames from the first to the second are lost.
    pub(crate) blocked: BTreeSet<(usize, usize)>,
    /// Loss from the first to the second, in parts per thousand, instead of the link's.
    pub(crate) lossy: BTreeMap<(usize, usize), u64>,
    /// Frames of this type are lost; how many were.
    pub(crate) muted: Option<FrameType>,
    pub(crate) muffled: usize,
    queue: Queue,
    /// Whether tests keep what is sent and what happens.
    #[cfg(test)]
    pub(crate) recording: bool,
    #[cfg(test)]
    pub(crate) sent: Vec<super::checks::Sent>,
    pub(crate) watch: Option<Box<Watch>>,
    /// What strangers have recorded, if there are any.
    pub(crate) tap: Option<Tap>,
    pub(super) incarnations: u64,
    /// Whether killed controllers leave a snapshot.
    pub(crate) store: bool,
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {} at {}", self.seed, self.now);
        }
    }
}

impl Sim {
    /// A mesh root and no nodes yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Time(1_000_000_000_000),
            root: MeshRoot::from_seed(&[9; 32]),
            outcasts: Outcasts::default(),
            config: NodeConfig::default(),
            nodes: Vec::new(),
            link: Link::GOOD,
            reorder: 0,
            blocked: BTreeSet::new(),
            lossy: BTreeMap::new(),
            muted: None,
            muffled: 0,
            queue: Queue::default(),
            #[cfg(test)]
            recording: true,
            #[cfg(test)]
            sent: Vec::new(),
            watch: None,
            tap: None,
            incarnations: 0,
            store: false,
        }
    }

    pub(crate) fn input(&mut self, index: usize, input: Input<'_>) {
        let host = &mut self.nodes[index];
        let local = host.clock.shows(self.now);
        if let Some(node) = host.node.as_mut() {
            node.handle_input(local, input);
        }
        self.drain(index, &Cause::Command);
    }

    /// Does what a node wants done, and notes when it wants to be called.
    pub(super) fn drain(&mut self, index: usize, mut cause: &Cause) {
        let host = &mut self.nodes[index];
        let (Some(node), Some(filter)) = (host.node.as_mut(), host.filter.as_mut()) else {
            return;
        };
        let local = host.clock.shows(self.now);
        let mut frames = Vec::new();
        let (mut keys, mut breaks) = (false, false);
        while let Some(output) = node.poll_output() {
            match output {
                Output::Transmit {
                    destination,
                    payload,
                } => frames.push((destination, payload)),
                Output::Dataplane(op) => {
                    keys |= matches!(op, crate::filter::MapOp::InstallKey { .. });
                    filter.apply(&op, local).unwrap();
                }
                Output::Revocations(list) => host.revocations = list,
                Output::Conviction(proof) => drop(host.convictions.insert(proof)),
                Output::Event(event) => {
                    breaks |= matches!(
                        event,
                        Event::AnchorChanged {
                            reason: Reason::Break,
                            ..
                        }
                    );
                    if let Some(watch) = self.watch.as_mut() {
                        watch.event(self.now, index, node, &event);
                    }
                    #[cfg(test)]
                    if self.recording {
                        host.events.push((self.now, event));
                    }
                }
            }
        }
        if let (Some(watch), true) = (self.watch.as_mut(), keys) {
            watch.keys(self.now, index, host);
        }
        let source = host.address;
        if let Some(watch) = self.watch.as_mut() {
            let bytes = frames.iter().map(|(_, payload)| payload.len()).sum();
            let answers = frames.iter().filter_map(|(_, payload)| answered(payload));
            let answered = answers.sum();
            let breaks = breaks.then_some(host.life);
            if watch.reacted(self.now, index, cause, bytes, answered, breaks) {
                cause = &Cause::Command;
            }
        }
        for (destination, payload) in frames {
            let packet = Packet::new(Origin::Node(index), source, destination, &payload, self.now);
            if let Some(watch) = self.watch.as_mut() {
                watch.sent(self.now, index, cause, &packet);
            }
            #[cfg(test)]
            if self.recording {
                self.sent.push(super::checks::Sent {
                    at: self.now,
                    from: index,
                    destination,
                    payload,
                });
            }
            if let Some(tap) = &mut self.tap {
                tap.hear(&packet);
            }
            self.put(Some(index), &packet);
        }
        self.schedule(index);
    }

    /// Puts a frame on the link; `None` sends from where everyone hears it.
    pub(crate) fn put(&mut self, from: Option<usize>, packet: &Rc<Packet>) {
        let group = packet.destination == GROUP;
        if self.muted.is_some() {
            let kind = Header::parse(packet.payload()).map(|header| header.frame_type);
            if kind == self.muted {
                self.muffled += 1;
                return;
            }
        }
        for to in 0..self.nodes.len() {
            if Some(to) == from || !(group || packet.destination == self.nodes[to].address) {
                continue;
            }
            let mut loss = self.link.loss;
            if let Some(from) = from {
                if !self.blocked.is_empty() && self.blocked.contains(&(from, to)) {
                    continue;
                }
                if !self.lossy.is_empty() {
                    loss = self.lossy.get(&(from, to)).copied().unwrap_or(loss);
                }
            }
            if loss > 0 && self.draw(1000) < loss {
                continue;
            }
            let twice = self.link.duplication > 0 && self.draw(1000) < self.link.duplication;
            for _ in 0..=u8::from(twice) {
                let at = self.now + self.delay(group);
                self.queue.push(at, Due::Frame(to, Rc::clone(packet)));
            }
        }
    }

    fn delay(&mut self, group: bool) -> Duration {
        let (least, most) = self.link.delay;
        let most = if group { most + self.reorder } else { most };
        Duration::from_micros(least * 1000 + self.draw((most - least) * 1000 + 200))
    }

    pub(crate) fn draw(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    /// A frame arrives: the filter judges it, and what passes goes to the node.
    pub(super) fn deliver(&mut self, to: usize, packet: &Rc<Packet>) -> Verdict {
        let host = &mut self.nodes[to];
        let deaf = host.unplugged || matches!(host.sleep, Sleep::Suspended);
        let Some(filter) = host.filter.as_mut().filter(|_| !deaf) else {
            return Verdict::Foreign;
        };
        filter.maps_mut().now = host.clock.shows(self.now).0;
        let verdict = judge(filter.maps(), packet);
        *host.verdicts.entry(verdict).or_default() += 1;
        if let Some(watch) = self.watch.as_mut() {
            watch.judged(self.now, to, host, packet, verdict);
        }
        if verdict != Verdict::Accepted {
            return verdict;
        }
        match &mut host.sleep {
            Sleep::Stalled(waiting) if waiting.len() < SOCKET => waiting.push(Rc::clone(packet)),
            Sleep::Stalled(_) => {}
            Sleep::Awake | Sleep::Suspended => self.hand(to, packet),
        }
        verdict
    }

    /// A frame that passed the filter reaches the node.
    pub(super) fn hand(&mut self, to: usize, packet: &Rc<Packet>) {
        let host = &mut self.nodes[to];
        let local = host.clock.shows(self.now);
        let known = super::oracle::expelled(host, packet);
        let Some(node) = host.node.as_mut() else {
            return;
        };
        let before = node.counters;
        node.handle_input(
            local,
            Input::Frame {
                source: packet.source,
                destination: packet.destination,
                payload: packet.payload(),
            },
        );
        let verdict = super::oracle::Handed::between(&before, node);
        if let Some(watch) = self.watch.as_mut() {
            if verdict == super::oracle::Handed::Accepted {
                watch.heard(self.now, to, known);
            }
            watch.handed(self.now, to, host, packet, verdict);
        }
        self.drain(to, &Cause::Frame(Rc::clone(packet)));
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        self.schedule_all();
        while self.step(end) {}
        self.now = end;
    }

    /// Does the next thing that is due by `end`; whether there was one.
    pub(super) fn step(&mut self, end: Time) -> bool {
        let Some((at, due)) = self.queue.pop(end) else {
            return false;
        };
        self.now = self.now.max(at);
        match due {
            Due::Frame(to, packet) => {
                self.deliver(to, &packet);
            }
            Due::Timer(index) => self.wake(index, at),
        }
        true
    }

    fn wake(&mut self, index: usize, at: Time) {
        let host = &mut self.nodes[index];
        if host.wakes != Some(at) {
            return;
        }
        host.wakes = None;
        if !matches!(host.sleep, Sleep::Awake) {
            return;
        }
        let local = host.clock.shows(self.now);
        let Some(node) = host.node.as_mut() else {
            return;
        };
        if node.poll_timeout().is_some_and(|due| due <= local) {
            node.handle_timeout(local);
        }
        self.drain(index, &Cause::Timer);
    }

    /// Queues a node's next deadline.
    fn schedule(&mut self, index: usize) {
        let host = &mut self.nodes[index];
        let due = host.node.as_ref().and_then(Node::poll_timeout);
        let Some(at) = due.map(|local| host.clock.instant(local)) else {
            return;
        };
        let at = at.max(self.now);
        if host.wakes.is_none_or(|held| held > at) {
            host.wakes = Some(at);
            self.queue.push(at, Due::Timer(index));
        }
    }

    /// Whoever was changed from outside is called when it wants to be.
    pub(super) fn schedule_all(&mut self) {
        (0..self.nodes.len()).for_each(|index| self.schedule(index));
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.nodes[index].node.as_ref().expect("the node runs")
    }

    pub(crate) fn id(&self, index: usize) -> NodeId {
        self.nodes[index].grant.node_id()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(index, host)| Some((index, host.node.as_ref()?)))
    }

    /// All that were not expelled.
    pub(crate) fn staying(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.running()
            .filter(|(_, node)| node.role() != Role::Revoked)
    }

    pub(crate) fn anchors(&self) -> Vec<usize> {
        self.running()
            .filter(|(_, node)| node.role() == Role::Anchor)
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether there is one anchor, and everyone running follows it and knows everyone.
    pub(crate) fn agrees(&self) -> bool {
        let members = self.staying().count();
        let knows_all = |node: &Node| node.roster.succession().len() == members;
        self.is_united() && self.staying().all(|(_, node)| knows_all(node))
    }

    /// Whether there is one anchor, and everyone running follows it and has its roster, on which somebody who
    /// went may still stand.
    pub(crate) fn is_united(&self) -> bool {
        let [anchor] = self.anchors()[..] else {
            return false;
        };
        let lineage = &self.node(anchor).lineage;
        let chain = lineage.as_ref().map(|lineage| lineage.chain);
        self.staying().all(|(_, node)| {
            let followed = node.lineage.as_ref().map(|lineage| lineage.chain);
            followed == chain && node.complete()
        })
    }
}

/// Requests that an ANSWER answers.
fn answered(payload: &[u8]) -> Option<usize> {
    Header::parse(payload).filter(|header| header.frame_type == FrameType::Answer)?;
    let body = payload.get(HEADER_LEN..header_end(payload.len()))?;
    Answer::parse(body).map(|answer| answer.entries.len())
}

fn header_end(length: usize) -> usize {
    length.saturating_sub(TRAILER_LEN + SIGNATURE_LEN)
}
