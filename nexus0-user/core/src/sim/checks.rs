//! What the tests ask of the network.

use core::time::Duration;

use nexus0_common::memory::MemoryMaps;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{FrameType, Header};

use super::network::{Sim, seconds};
use super::packet::{Origin, Packet};
use crate::event::Event;
use crate::filter::Filter;
use crate::grant::{Grant, GrantRequest};
use crate::id::sha256;
use crate::node::Input;
use crate::time::Time;

/// A frame as it was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Time,
    pub(crate) from: usize,
    pub(crate) destination: [u8; 16],
    pub(crate) payload: Vec<u8>,
}

impl Sent {
    pub(crate) fn frame_type(&self) -> FrameType {
        Header::parse(&self.payload)
            .expect("nodes send frames")
            .frame_type
    }
}

impl Sim {
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

    /// Lets time pass until something holds; how long it took.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        self.schedule_all();
        while !done(self) {
            if !self.step(start + limit) {
                return None;
            }
        }
        Some(self.now.since(start))
    }

    pub(crate) fn deafen(&mut self, index: usize) {
        (0..self.nodes.len()).for_each(|other| {
            self.blocked.insert((other, index));
        });
    }

    /// A frame from outside, as if `from` had it put on the link.
    pub(crate) fn inject(
        &mut self,
        index: usize,
        source: [u8; 16],
        destination: [u8; 16],
        payload: &[u8],
    ) -> Verdict {
        let packet = Packet::new(Origin::Stranger, source, destination, payload, self.now);
        self.deliver(index, &packet)
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
