//! One host: a node that comes and goes, its filter that stays, its clock, its address, its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use nexus0_common::maps::Config;
use nexus0_common::memory::MemoryMaps;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::PORT;
use zeroize::Zeroizing;

use super::clock::Clock;
use super::network::Sim;
use super::packet::Packet;
use crate::filter::Filter;
use crate::grant::{Grant, GrantRequest, Kind};
use crate::id::sha256;
use crate::identity::Identity;
use crate::node::{Input, Node};
use crate::snapshot::{Restored, SnapshotError};
use crate::time::Time;

/// Names the boot in snapshots: none outlives its own here.
const BOOT: [u8; 16] = [7; 16];

/// Whether a host runs its programs.
#[derive(Debug)]
pub(crate) enum Sleep {
    Awake,
    /// The controller stands still; the filter judges and the socket holds what passes.
    Stalled(Vec<Rc<Packet>>),
    /// The whole host sleeps and hears nothing; its boot clock goes on.
    Suspended,
}

/// A host on the link.
pub(crate) struct SimNode {
    pub(crate) node: Option<Node>,
    pub(crate) filter: Option<Filter<MemoryMaps>>,
    pub(crate) address: [u8; 16],
    pub(crate) grant: Grant,
    pub(crate) seed: [u8; 32],
    pub(crate) clock: Clock,
    /// The highest wire version its controllers speak, if not that of the configuration.
    pub(crate) highest: Option<u8>,
    pub(crate) sleep: Sleep,
    /// Whether its link is gone.
    pub(crate) unplugged: bool,
    /// Its boots so far.
    pub(crate) life: u32,
    /// When its timer is queued for.
    pub(super) wakes: Option<Time>,
    #[cfg(test)]
    pub(crate) events: Vec<(Time, crate::event::Event)>,
    /// What its state folder holds.
    pub(crate) revocations: Vec<u8>,
    pub(crate) convictions: BTreeSet<Vec<u8>>,
    /// What its supervisor holds for a controller that was killed.
    pub(crate) kept: Option<Zeroizing<Vec<u8>>>,
    pub(crate) verdicts: BTreeMap<Verdict, u64>,
}

impl Sim {
    /// A node that is granted but not started.
    pub(crate) fn add(&mut self, ego: u8) -> usize {
        let index = self.nodes.len();
        let seed = sha256(&[&[1], &(index as u64).to_be_bytes()]);
        let grant = self.grant(&seed, index, ego, index as u32);
        let mut address = [0; 16];
        address[..2].copy_from_slice(&[0xfe, 0x80]);
        address[8..].copy_from_slice(&(0x0200_0000_0000_0001 + index as u64).to_be_bytes());
        self.nodes.push(SimNode {
            node: None,
            filter: None,
            address,
            grant,
            seed,
            clock: Clock::new(self.now, self.now, 0),
            highest: None,
            sleep: Sleep::Awake,
            unplugged: false,
            life: 1,
            wakes: None,
            #[cfg(test)]
            events: Vec::new(),
            revocations: Vec::new(),
            convictions: BTreeSet::new(),
            kept: None,
            verdicts: BTreeMap::new(),
        });
        index
    }

    fn grant(&self, seed: &[u8; 32], index: usize, ego: u8, serial: u32) -> Grant {
        let request = GrantRequest {
            public_key: Identity::from_seed(seed).public_key(),
            name: &format!("node-{index}"),
            zone: "lab",
            kind: Kind::Agent,
            ego,
            serial,
        };
        self.root.issue(&request).unwrap()
    }

    /// Starts a node, with whatever its filter and its supervisor hold from an earlier life.
    pub(crate) fn start(&mut self, index: usize) {
        let kept = self.nodes[index].kept.take();
        let _ = self.start_with(index, BOOT, &kept.unwrap_or_default());
    }

    /// Starts a node with a snapshot of an earlier life.
    pub(crate) fn start_with(
        &mut self,
        index: usize,
        boot: [u8; 16],
        snapshot: &[u8],
    ) -> Result<Restored, SnapshotError> {
        self.boot(index);
        let host = &mut self.nodes[index];
        let now = host.clock.shows(self.now);
        let node = host.node.as_mut().expect("it has just been booted");
        let restored = node.restore(now, boot, snapshot);
        node.distrust(now, host.filter.iter().flat_map(Filter::worn));
        self.hand_over(index);
        restored
    }

    /// What a host tells its node first: its disk's list and its address.
    fn hand_over(&mut self, index: usize) {
        let host = &self.nodes[index];
        let (address, list) = (host.address, host.revocations.clone());
        let convictions = host.convictions.clone();
        self.input(index, Input::Revocations(&list));
        for proof in &convictions {
            self.input(index, Input::Conviction(proof));
        }
        self.input(index, Input::AddressReady(address));
    }

    fn boot(&mut self, index: usize) {
        self.incarnations += 1;
        let seed = sha256(&[&self.seed.to_be_bytes(), &self.incarnations.to_be_bytes()]);
        let (root, mesh) = (self.root.public_key(), self.root.mesh_id());
        let maps_config = Config::new(PORT, [self.seed, index as u64]);
        let host = &mut self.nodes[index];
        let local = host.clock.shows(self.now);
        let maps = host
            .filter
            .take()
            .map_or_else(|| MemoryMaps::new(maps_config), Filter::into_maps);
        host.filter = Some(Filter::adopt(maps, mesh, maps_config, local).unwrap());
        let identity = Identity::from_seed(&host.seed);
        let mut config = self.config.clone();
        if let Some(highest) = host.highest {
            config.wire = *config.wire.start()..=highest;
        }
        let node = Node::new(config, identity, host.grant.clone(), root, seed, local);
        host.node = Some(node.unwrap());
        host.sleep = Sleep::Awake;
        host.unplugged = false;
        if let Some(watch) = &mut self.watch {
            watch.started(self.now, index, host);
        }
    }

    /// The controller is gone; the filter stays.
    pub(crate) fn kill(&mut self, index: usize) {
        let host = &mut self.nodes[index];
        let local = host.clock.shows(self.now);
        let node = host.node.take().filter(|_| self.store);
        host.kept = node.and_then(|node| node.snapshot(local, BOOT));
    }

    /// The host boots again: no filter, and its clock starts at zero.
    pub(crate) fn reboot(&mut self, index: usize, ppm: i32) {
        let now = self.now;
        let host = &mut self.nodes[index];
        host.node = None;
        host.kept = None;
        host.filter = None;
        host.life += 1;
        host.wakes = None;
        host.clock = Clock::new(now, Time(0), ppm);
        self.start(index);
    }

    /// The disk is lost: the host comes back as somebody new, with a new grant.
    pub(crate) fn wipe(&mut self, index: usize, ppm: i32) {
        self.incarnations += 1;
        let seed = sha256(&[&[3], &index.to_be_bytes(), &self.incarnations.to_be_bytes()]);
        let serial = self.nodes.len() as u32 + self.incarnations as u32;
        let grant = self.grant(&seed, index, self.nodes[index].grant.ego(), serial);
        let host = &mut self.nodes[index];
        (host.seed, host.grant) = (seed, grant);
        host.revocations = Vec::new();
        host.convictions.clear();
        self.reboot(index, ppm);
    }

    /// The controller stands still.
    pub(crate) fn stall(&mut self, index: usize) {
        self.nodes[index].sleep = Sleep::Stalled(Vec::new());
    }

    /// The host sleeps.
    pub(crate) fn suspend(&mut self, index: usize) {
        self.nodes[index].sleep = Sleep::Suspended;
    }

    /// It goes on: what waited in the socket is handed over after the timers that are late.
    pub(crate) fn resume(&mut self, index: usize) {
        let now = self.now;
        let host = &mut self.nodes[index];
        host.wakes = None;
        let sleep = core::mem::replace(&mut host.sleep, Sleep::Awake);
        let local = host.clock.shows(now);
        if let Some(node) = host.node.as_mut()
            && node.poll_timeout().is_some_and(|due| due <= local)
        {
            node.handle_timeout(local);
        }
        self.drain(index, &super::oracle::Cause::Timer);
        if let Sleep::Stalled(waiting) = sleep {
            for packet in &waiting {
                self.hand(index, packet);
            }
        }
    }

    /// The interface gets another address.
    pub(crate) fn renumber(&mut self, index: usize) {
        self.incarnations += 1;
        let tail = (0x0200_0001_0000_0000 + self.incarnations).to_be_bytes();
        let mut address = self.nodes[index].address;
        address[8..].copy_from_slice(&tail);
        self.input(index, Input::AddressLost);
        self.nodes[index].address = address;
        self.input(index, Input::AddressReady(address));
    }

    pub(crate) fn cut(&mut self, left: &[usize], right: &[usize]) {
        for (a, b) in left
            .iter()
            .flat_map(|a| right.iter().map(move |b| (*a, *b)))
        {
            self.blocked.extend([(a, b), (b, a)]);
        }
    }
}
