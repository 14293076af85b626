//! The network itself.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use nexus0_common::classify::classify;
use nexus0_common::maps::Config;
use nexus0_common::memory::MemoryMaps;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{FrameType, GROUP, Header, PORT};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::event::Event;
use crate::filter::Filter;
use crate::grant::{Grant, GrantRequest, Kind, MeshRoot};
use crate::id::{NodeId, sha256};
use crate::identity::Identity;
use crate::node::{Input, Node, NodeConfig, Output, Role};
use crate::time::Time;

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

pub(crate) struct SimNode {
    pub(crate) node: Option<Node>,
    filter: Option<Filter<MemoryMaps>>,
    pub(crate) address: [u8; 16],
    pub(crate) grant: Grant,
    seed: [u8; 32],
    pub(crate) events: Vec<(Time, Event)>,
    /// What its state folder holds.
    pub(crate) revocations: Vec<u8>,
    /// Bytes sent to it by others.
    pub(crate) verdicts: BTreeMap<Verdict, u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Time,
    pub(crate) from: usize,
    pub(crate) destination: [u8; 16],
    pub(crate) payload: Vec<u8>,
}

/// A frame on its way: to whom, source, destination, payload.
type Flight = (usize, [u8; 16], [u8; 16], Vec<u8>);

impl Sent {
    pub(crate) fn frame_type(&self) -> FrameType {
        Header::parse(&self.payload)
            .expect("nodes send frames")
            .frame_type
    }
}

pub(crate) struct Sim {
    pub(crate) seed: u64,
    rng: ChaCha20Rng,
    pub(crate) now: Time,
    pub(crate) root: MeshRoot,
    pub(crate) config: NodeConfig,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) link: Link,
    /// Frames from the first to the second are lost.
    pub(crate) blocked: BTreeSet<(usize, usize)>,
    /// Frames of this type are lost; how many were.
    pub(crate) muted: Option<FrameType>,
    pub(crate) muffled: usize,
    queue: BTreeMap<(Time, u64), Flight>,
    count: u64,
    pub(crate) sent: Vec<Sent>,
    incarnations: u64,
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
            rng: ChaCha20Rng::seed_from_u64(seed),
            now: Time(1_000_000_000_000),
            root: MeshRoot::from_seed(&[9; 32]),
            config: NodeConfig::default(),
            nodes: Vec::new(),
            link: Link::GOOD,
            blocked: BTreeSet::new(),
            muted: None,
            muffled: 0,
            queue: BTreeMap::new(),
            count: 0,
            sent: Vec::new(),
            incarnations: 0,
        }
    }

    /// Nodes with these egos, all starting at once.
    pub(crate) fn mesh(seed: u64, egos: &[u8]) -> Self {
        let mut sim = Self::new(seed);
        for ego in egos {
            sim.add(*ego);
        }
        (0..egos.len()).for_each(|index| sim.start(index));
        sim
    }

    /// The same, settled: one anchor, everyone complete.
    pub(crate) fn settled(seed: u64, egos: &[u8]) -> Self {
        let mut sim = Self::mesh(seed, egos);
        sim.run(seconds(7));
        sim.assert_one_anchor();
        sim
    }

    /// A node that is granted but not started.
    pub(crate) fn add(&mut self, ego: u8) -> usize {
        let index = self.nodes.len();
        let seed = sha256(&[&[1], &(index as u64).to_be_bytes()]);
        let grant = self
            .root
            .issue(&GrantRequest {
                public_key: Identity::from_seed(&seed).public_key(),
                name: &format!("node-{index}"),
                zone: "lab",
                kind: Kind::Agent,
                ego,
                serial: index as u32,
            })
            .unwrap();
        let mut address = [0; 16];
        address[..2].copy_from_slice(&[0xfe, 0x80]);
        address[8..].copy_from_slice(&(0x0200_0000_0000_0001 + index as u64).to_be_bytes());
        self.nodes.push(SimNode {
            node: None,
            filter: None,
            address,
            grant,
            seed,
            events: Vec::new(),
            revocations: Vec::new(),
            verdicts: BTreeMap::new(),
        });
        index
    }

    /// Starts a node, with whatever its filter holds from an earlier life.
    pub(crate) fn start(&mut self, index: usize) {
        self.incarnations += 1;
        let seed = sha256(&[&self.seed.to_be_bytes(), &self.incarnations.to_be_bytes()]);
        let (root, mesh) = (self.root.public_key(), self.root.mesh_id());
        let config = Config::new(PORT, [self.seed, index as u64]);
        let this = &mut self.nodes[index];
        let maps = this
            .filter
            .take()
            .map_or_else(|| MemoryMaps::new(config), Filter::into_maps);
        this.filter = Some(Filter::adopt(maps, mesh, config, self.now).unwrap());
        let identity = Identity::from_seed(&this.seed);
        let node = Node::new(
            self.config.clone(),
            identity,
            this.grant.clone(),
            root,
            seed,
            self.now,
        );
        this.node = Some(node.unwrap());
        let (address, list) = (this.address, this.revocations.clone());
        self.input(index, Input::Revocations(&list));
        self.input(index, Input::AddressReady(address));
    }

    /// The controller is gone; the filter stays.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].node = None;
    }

    pub(crate) fn deafen(&mut self, index: usize) {
        (0..self.nodes.len()).for_each(|other| {
            self.blocked.insert((other, index));
        });
    }

    pub(crate) fn cut(&mut self, left: &[usize], right: &[usize]) {
        for (a, b) in left
            .iter()
            .flat_map(|a| right.iter().map(move |b| (*a, *b)))
        {
            self.blocked.extend([(a, b), (b, a)]);
        }
    }

    pub(crate) fn input(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        if let Some(node) = self.nodes[index].node.as_mut() {
            node.handle_input(now, input);
        }
        self.drain(index);
    }

    /// A frame from outside, as if `from` had it put on the link.
    pub(crate) fn inject(
        &mut self,
        index: usize,
        source: [u8; 16],
        destination: [u8; 16],
        payload: &[u8],
    ) -> Verdict {
        self.deliver(index, source, destination, payload)
    }

    fn drain(&mut self, index: usize) {
        let now = self.now;
        let mut frames = Vec::new();
        let this = &mut self.nodes[index];
        let (Some(node), Some(filter)) = (this.node.as_mut(), this.filter.as_mut()) else {
            return;
        };
        while let Some(output) = node.poll_output() {
            match output {
                Output::Transmit {
                    destination,
                    payload,
                } => frames.push((destination, payload)),
                Output::Dataplane(op) => filter.apply(&op, now).unwrap(),
                Output::Revocations(list) => this.revocations = list,
                Output::Event(event) => this.events.push((now, event)),
            }
        }
        let source = this.address;
        for (destination, payload) in frames {
            self.put(index, source, destination, payload);
        }
    }

    fn put(&mut self, from: usize, source: [u8; 16], destination: [u8; 16], payload: Vec<u8>) {
        let kind = Header::parse(&payload).map(|header| header.frame_type);
        let muted = self.muted.is_some() && kind == self.muted;
        self.muffled += usize::from(muted);
        for to in 0..self.nodes.len() {
            let addressed = destination == GROUP || destination == self.nodes[to].address;
            if muted || to == from || !addressed || self.blocked.contains(&(from, to)) {
                continue;
            }
            if self.draw(1000) < self.link.loss {
                continue;
            }
            let copies = 1 + u64::from(self.draw(1000) < self.link.duplication);
            for _ in 0..copies {
                let (least, most) = self.link.delay;
                let delay = least + self.draw(most - least + 1);
                let micros = delay * 1000 + self.draw(200);
                self.count += 1;
                let at = self.now + Duration::from_micros(micros);
                self.queue
                    .insert((at, self.count), (to, source, destination, payload.clone()));
            }
        }
        let at = self.now;
        self.sent.push(Sent {
            at,
            from,
            destination,
            payload,
        });
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below
    }

    fn deliver(
        &mut self,
        to: usize,
        source: [u8; 16],
        destination: [u8; 16],
        payload: &[u8],
    ) -> Verdict {
        let this = &mut self.nodes[to];
        let Some(filter) = this.filter.as_mut() else {
            return Verdict::Foreign;
        };
        filter.maps_mut().now = self.now.0;
        let packet = ethernet(source, destination, payload);
        let verdict = classify(packet.as_slice(), filter.maps());
        *this.verdicts.entry(verdict).or_default() += 1;
        if verdict == Verdict::Accepted {
            self.input(
                to,
                Input::Frame {
                    source,
                    destination,
                    payload,
                },
            );
        }
        verdict
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until something holds; how long it took.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while !done(self) {
            let at = self.next().filter(|at| *at <= start + limit)?;
            self.now = self.now.max(at);
            self.step();
        }
        Some(self.now.since(start))
    }

    fn next(&self) -> Option<Time> {
        let timers = self
            .nodes
            .iter()
            .filter_map(|this| this.node.as_ref()?.poll_timeout());
        timers
            .chain(self.queue.keys().next().map(|(at, _)| *at))
            .min()
    }

    fn step(&mut self) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, source, destination, payload) = entry.remove();
            self.deliver(to, source, destination, &payload);
        }
        for index in 0..self.nodes.len() {
            let now = self.now;
            let Some(node) = self.nodes[index].node.as_mut() else {
                continue;
            };
            if node.poll_timeout().is_some_and(|at| at <= now) {
                node.handle_timeout(now);
                self.drain(index);
            }
        }
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.nodes[index].node.as_ref().expect("the node runs")
    }

    pub(crate) fn maps(&self, index: usize) -> &MemoryMaps {
        self.nodes[index]
            .filter
            .as_ref()
            .expect("the node has run")
            .maps()
    }

    pub(crate) fn filter_mut(&mut self, index: usize) -> &mut Filter<MemoryMaps> {
        self.nodes[index].filter.as_mut().expect("the node has run")
    }

    pub(crate) fn id(&self, index: usize) -> NodeId {
        self.nodes[index].grant.node_id()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(index, this)| Some((index, this.node.as_ref()?)))
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

    /// Prints who follows whom.
    pub(crate) fn explain(&self) {
        for (index, node) in self.running() {
            let view = node.view(self.now);
            let lineage = node.lineage.as_ref();
            println!(
                "{index} {} {:?} follows {:?} chain {:?} number {} complete {} knows {:?} life {:?} joining {}",
                view.node,
                view.role,
                view.anchor,
                view.chain,
                view.number,
                view.complete,
                node.roster.succession(),
                lineage.map(|lineage| self.now.since(lineage.last_life)),
                node.join.is_some(),
            );
            for (at, event) in self.nodes[index].events.iter().rev().take(12).rev() {
                println!("    {at} {event:?}");
            }
        }
    }

    /// Whether there is one anchor, and everyone running follows it and knows everyone.
    pub(crate) fn agrees(&self) -> bool {
        let [anchor] = self.anchors()[..] else {
            return false;
        };
        let members = self.staying().count();
        let lineage = &self.node(anchor).lineage;
        let chain = lineage.as_ref().map(|lineage| lineage.chain);
        self.staying().all(|(_, node)| {
            node.lineage.as_ref().map(|lineage| lineage.chain) == chain
                && node.complete()
                && node.roster.succession().len() == members
        })
    }

    pub(crate) fn assert_one_anchor(&self) -> usize {
        assert!(self.agrees(), "anchors {:?}", self.anchors());
        self.anchors()[0]
    }

    pub(crate) fn seed_of(&self, index: usize) -> [u8; 32] {
        self.nodes[index].seed
    }

    /// A node's grant again, with another serial.
    pub(crate) fn grant_with_serial(&self, index: usize, serial: u32) -> Grant {
        let grant = &self.nodes[index].grant;
        self.root
            .issue(&GrantRequest {
                public_key: *grant.public_key(),
                name: grant.name(),
                zone: grant.zone(),
                kind: grant.kind(),
                ego: grant.ego(),
                serial,
            })
            .unwrap()
    }

    /// The root's list that expels these nodes.
    pub(crate) fn list(&self, number: u32, floor: u32, out: &[usize]) -> Vec<u8> {
        let out = out.iter().map(|index| self.id(*index)).collect();
        let list = self.root.revoke(number, floor, &out).unwrap();
        list.bytes().to_vec()
    }

    /// Hands the list to a node.
    pub(crate) fn expel(&mut self, by: usize, number: u32, out: &[usize]) {
        let list = self.list(number, 0, out);
        self.input(by, Input::Revocations(&list));
    }

    pub(crate) fn count(&self, wanted: FrameType) -> usize {
        self.sent
            .iter()
            .filter(|sent| sent.frame_type() == wanted)
            .count()
    }

    pub(crate) fn events(&self, matches: impl Fn(&Event) -> bool) -> Vec<(usize, Time)> {
        let all = self.nodes.iter().enumerate();
        all.flat_map(|(index, this)| {
            this.events
                .iter()
                .map(move |(at, event)| (index, *at, event))
        })
        .filter(|(_, _, event)| matches(event))
        .map(|(index, at, _)| (index, at))
        .collect()
    }

    /// A digest of everything that was sent and when.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut parts = Vec::new();
        for sent in &self.sent {
            parts.extend(sent.at.0.to_be_bytes());
            parts.extend((sent.from as u64).to_be_bytes());
            parts.extend(&sent.payload);
        }
        sha256(&[&parts])
    }
}

/// A payload as it lies on the wire.
pub(crate) fn ethernet(source: [u8; 16], destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let udp_length = (8 + payload.len()) as u16;
    let mut packet = vec![0; 12];
    packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    packet.extend(udp_length.to_be_bytes());
    packet.extend([17, 255]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(PORT.to_be_bytes());
    packet.extend(PORT.to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}
