//! The mesh's brain for one node on one link.
//!
//! **After every input, drain `poll_output`, then ask `poll_timeout`.**
//!
//! ```text
//!            address            answer                 silence, probes unanswered
//!  Waiting ----------> Joining ---------> Member ------------------------------> Anchor
//!                         |                 ^ ^                                     |
//!                         | nobody better   | +--- stepped back, handed over ---------+
//!                         +-----------------|--------------------------------> Anchor
//! ```

use core::time::Duration;
use std::collections::VecDeque;

use nexus0_common::wire::{FrameType, Header, Slot};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;

use crate::admission::Admitted;
use crate::answer::Desk;
pub use crate::config::{ConfigError, LEAST_PULSES, MAX_HOLD_DOWN, MAX_REKEY, NodeConfig, PULSE};
use crate::door::Door;
use crate::draft::Draft;
use crate::epoch::{EpochKey, Rhythm};
pub use crate::event::Event;
use crate::expulsion::Expulsion;
use crate::fence::Fence;
use crate::filter::MapOp;
use crate::grant::Grant;
use crate::id::{KeyId, MeshId, NodeId};
use crate::identity::Identity;
use crate::join::Join;
use crate::key_ring::KeyRing;
use crate::ledger::Ledger;
use crate::lineage::Lineage;
use crate::merge::{Merge, Rivals};
use crate::preemption::{HoldDown, Preemption};
use crate::promotion::{Promotion, Retraction};
use crate::proof::Witness;
use crate::rekey::Rekeying;
use crate::roster::{Member, Roster};
use crate::sabotage::{Sabotage, planted};
use crate::secret::Material;
use crate::suspicion::Suspicion;
use crate::time::Time;
use crate::timer::{Timer, Timers};
use crate::twin::Twin;
use crate::view::Counters;

/// Timers served in one call; the rest waits for the next.
const MAX_TIMERS: usize = 64;

/// The filter refuses a signed frame's copies only from the moment on at which the node has verified it. Those
/// it passed before are read within this time.
const JUST_HEARD: Duration = Duration::from_millis(100);

/// What a node learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A link-local address has passed duplicate address detection.
    AddressReady([u8; 16]),
    /// The address or the link is gone.
    AddressLost,
    /// A UDP payload arrived at the mesh port.
    Frame {
        /// IPv6 source.
        source: [u8; 16],
        /// IPv6 destination.
        destination: [u8; 16],
        /// UDP payload.
        payload: &'a [u8],
    },
    /// Bytes that the filter has refused at its door because of a rate, since it was loaded. To be told every
    /// 50 to 100 ms while this node is the anchor.
    DoorRefused {
        /// Counted from the Ethernet header.
        bytes: u64,
    },
    /// A revocation list from this machine.
    Revocations(&'a [u8]),
    /// A conviction that this machine kept ([`Conviction`](crate::conviction::Conviction)).
    Conviction(&'a [u8]),
    /// Say goodbye.
    Leave,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a UDP payload from the mesh port to the mesh port, hop limit 255.
    Transmit {
        /// IPv6 destination.
        destination: [u8; 16],
        /// UDP payload.
        payload: Vec<u8>,
    },
    /// Change the filter.
    Dataplane(MapOp),
    /// Keep this revocation list in place of the one kept before.
    Revocations(Vec<u8>),
    /// Keep this conviction beside those kept before.
    Conviction(Vec<u8>),
    /// Tell someone.
    Event(Event),
}

/// The part a node plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// No usable address yet.
    Waiting,
    /// Asking for the epoch.
    Joining,
    /// Following an anchor.
    Member,
    /// Being the anchor.
    Anchor,
    /// Left on request.
    Left,
    /// Expelled by the root: silent.
    Revoked,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    pub(crate) mesh: MeshId,
    pub(crate) root: [u8; 32],
    pub(crate) id: NodeId,
    pub(crate) identity: Identity,
    pub(crate) grant: Grant,
    pub(crate) config: NodeConfig,
    pub(crate) rhythm: Rhythm,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) started: Time,
    pub(crate) left: bool,
    pub(crate) address: Option<[u8; 16]>,
    pub(crate) address_lost: Option<Time>,
    pub(crate) door: Material,
    pub(crate) at_door: Door,
    pub(crate) keys: KeyRing,
    pub(crate) roster: Roster,
    pub(crate) draft: Draft,
    pub(crate) lineage: Option<Lineage>,
    pub(crate) fence: Fence,
    pub(crate) join: Option<Join>,
    pub(crate) desk: Desk,
    pub(crate) suspicion: Suspicion,
    pub(crate) hold_down: HoldDown,
    pub(crate) preemption: Option<Preemption>,
    pub(crate) witness: Witness,
    pub(crate) promotion: Option<Promotion>,
    pub(crate) retraction: Option<Retraction>,
    /// The last promotion answered with STILL-HERE.
    pub(crate) objected: Option<crate::id::ChainId>,
    pub(crate) rivals: Rivals,
    pub(crate) merge: Option<Merge>,
    pub(crate) expulsion: Expulsion,
    pub(crate) rekey: Rekeying,
    pub(crate) twin: Option<Twin>,
    pub(crate) heard: Option<Time>,
    pub(crate) stalled_until: Time,
    pub(crate) sequence: u64,
    pub(crate) door_sequence: u64,
    pub(crate) timers: Timers,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) counters: Counters,
    pub(crate) ledger: Ledger,
}

impl Node {
    /// A node that knows nothing but who it is. `seed` must be fresh random bytes.
    pub fn new(
        config: NodeConfig,
        identity: Identity,
        grant: Grant,
        root: [u8; 32],
        seed: [u8; 32],
        now: Time,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let grant = Grant::parse(grant.bytes(), &root)?;
        let (granted, id) = (grant.node_id(), identity.node_id());
        if granted != id {
            return Err(ConfigError::Foreign { granted, node: id });
        }
        if config.open && !crate::open::fair(&grant) {
            let (ego, serial) = (grant.ego(), grant.serial());
            return Err(ConfigError::Unfair { ego, serial });
        }
        let mesh = MeshId::of(&root);
        let door = Material::door(mesh).speaking(*config.wire.start());
        let hold_down = HoldDown::new(config.hold_down);
        let mut roster = Roster::default();
        roster.insert(Member::new(grant.clone(), *config.wire.end(), now));
        Ok(Self {
            mesh,
            root,
            id,
            rhythm: Rhythm {
                pulse: config.pulse,
                epoch: config.epoch,
            },
            identity,
            grant,
            config,
            rng: ChaCha20Rng::from_seed(seed),
            started: now,
            left: false,
            address: None,
            address_lost: None,
            door,
            at_door: Door::default(),
            keys: KeyRing::default(),
            roster,
            draft: Draft::default(),
            lineage: None,
            fence: Fence::default(),
            join: None,
            desk: Desk::default(),
            suspicion: Suspicion::default(),
            hold_down,
            preemption: None,
            witness: Witness::default(),
            promotion: None,
            retraction: None,
            objected: None,
            rivals: Rivals::default(),
            merge: None,
            expulsion: Expulsion::default(),
            rekey: Rekeying::default(),
            twin: None,
            heard: None,
            stalled_until: now,
            sequence: 0,
            door_sequence: 0,
            timers: Timers::default(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            ledger: Ledger::default(),
        })
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, now: Time, input: Input<'_>) {
        if self.left {
            return;
        }
        match input {
            Input::Revocations(bytes) => self.hand_in(now, bytes),
            Input::Conviction(bytes) => drop(self.recall(now, bytes)),
            Input::AddressReady(address) if self.revoked() => self.address = Some(address),
            Input::Frame { .. } if self.revoked() => {}
            Input::AddressReady(address) => self.address_ready(now, address),
            Input::AddressLost => self.address_lost(now),
            Input::Frame {
                source,
                destination,
                payload,
            } => {
                self.counters.received += 1;
                match self.admit(now, source, destination, payload) {
                    Some(frame) => self.dispatch(now, &frame),
                    None => self.refuse(now, payload),
                }
            }
            Input::DoorRefused { bytes } => drop(self.door_refused(now, bytes)),
            Input::Leave => self.leave(now),
        }
    }

    /// Counts a frame and forgets it (R16).
    fn refuse(&mut self, now: Time, payload: &[u8]) {
        self.counters.refused += 1;
        let Some(header) = Header::parse(payload) else {
            return;
        };
        let key = self.keys.find(KeyId(header.key_id));
        let key = key.filter(|key| !key.just_ended(now));
        let member = self.roster.get(NodeId(header.sender));
        let (Slot::Epoch, Some(key), Some(member)) = (header.frame_type.slot(), key, member) else {
            return;
        };
        let just_heard = member
            .last_heard
            .is_some_and(|at| now.since(at) < JUST_HEARD);
        if header.frame_type.signed() && just_heard && !key.fresh(&header) {
            self.counters.copies += 1;
        } else {
            self.counters.disagreements += 1;
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        let late = self
            .timers
            .next()
            .map_or(Duration::ZERO, |due| now.since(due));
        self.after_pause(now, late);
        for _ in 0..MAX_TIMERS {
            let Some(timer) = self.timers.due(now) else {
                return;
            };
            self.serve(now, timer);
        }
    }

    /// A node that did not run, or had no link, listens before it judges others. An anchor that was away
    /// for so long that it has been succeeded joins again.
    fn after_pause(&mut self, now: Time, pause: Duration) {
        if pause > self.rhythm.pulse {
            self.stalled_until = now + self.rhythm.pulses(2, 1);
        }
        if pause > self.rhythm.pulses(3, 1) && self.is_anchor() {
            self.leave_lineage(now, None);
            self.lineage = None;
            self.event(Event::Rejoining);
            self.start_join(now);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Right after [`Node::new`], or [`Node::restore`]: the filter has lost the windows of these keys under an
    /// earlier controller, so what came under them might come again.
    pub fn distrust(&mut self, now: Time, keys: impl Iterator<Item = KeyId>) {
        let over = now + self.rhythm.epoch + self.rhythm.epoch / 2;
        keys.for_each(|id| self.keys.wear_also(id, over));
    }

    /// The same without what gathers joiners.
    pub(crate) fn poll_pressing(&self) -> Option<Time> {
        self.timers.pressing()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The part this node plays.
    pub fn role(&self) -> Role {
        if self.left {
            return Role::Left;
        }
        if self.revoked() {
            return Role::Revoked;
        }
        match &self.lineage {
            Some(lineage) if lineage.anchor == self.id => Role::Anchor,
            Some(_) => Role::Member,
            None if self.address.is_some() => Role::Joining,
            None => Role::Waiting,
        }
    }

    fn serve(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Request => self.request(now),
            Timer::Judge => self.judge_cold_start(now),
            Timer::Welcome => self.end_join(),
            Timer::Batch => self.answer_batch(now),
            Timer::Newcomers => self.send_newcomers(now),
            Timer::Pages => self.send_pages(now),
            Timer::AskRoster => self.ask_roster(now),
            Timer::AskEpoch => self.ask_epoch(now),
            Timer::Nonce => self.draw_door_nonce(now),
            Timer::Pulse => self.pulse(now),
            Timer::Announce => self.announce(now),
            Timer::Turn => self.turn(now),
            Timer::Suspect => self.suspect(now),
            Timer::Repeat => self.repeat_promotion(now),
            Timer::Retract => drop(self.send_retraction(now)),
            Timer::Merge => self.continue_merge(now),
            Timer::Preempt => self.repeat_preemption(now),
            Timer::Show => self.show(now).unwrap_or_default(),
            Timer::RepeatBreak => self.repeat_break(now),
            Timer::PassOn => drop(self.send_list(now)),
            Timer::AskRevocations => drop(self.ask_revocations(now)),
            Timer::Rejoin => self.rejoin(now),
            Timer::Sweep => self.sweep(now),
        }
    }

    /// An admitted frame changes what it may; `None` inside a handler means that it changed nothing.
    fn dispatch(&mut self, now: Time, frame: &Admitted<'_>) {
        let _ = match frame.header.frame_type {
            FrameType::Ann if planted(Sabotage::BelieveAnyone) => {
                let lineage = self.lineage.as_mut();
                lineage.map(|lineage| lineage.last_life = now)
            }
            FrameType::Data => Some(()),
            FrameType::Ann => self.on_ann(now, frame),
            FrameType::Proof => self.on_proof(now, frame),
            FrameType::Revoke | FrameType::DoorRevoke => self.on_revoke(now, frame),
            FrameType::Rekey => self.on_rekey(now, frame),
            FrameType::Anchor => self.on_anchor(now, frame),
            FrameType::Epoch => self.on_epoch(now, frame),
            FrameType::Merge => self.on_merge(now, frame),
            FrameType::Introduce => self.on_introduce(now, frame),
            FrameType::Roster => self.on_roster(now, frame),
            FrameType::Bye => self.on_bye(now, frame),
            FrameType::StillHere => self.on_still_here(now, frame),
            FrameType::Probe => self.on_probe(now, frame),
            FrameType::ProbeReply => self.on_probe_reply(now, frame),
            FrameType::Ask => self.on_ask(now, frame),
            FrameType::ReqEpoch => self.on_request(now, frame),
            FrameType::Answer => self.on_answer(now, frame),
            FrameType::Beacon => self.on_beacon(now, frame),
            FrameType::Hold => self.on_hold(now, frame),
            FrameType::DoorProbe => self.on_door_probe(now, frame),
            FrameType::DoorReply => self.on_door_reply(now, frame),
        };
    }

    pub(crate) fn address_ready(&mut self, now: Time, address: [u8; 16]) {
        let first = self.address.is_none();
        self.address = Some(address);
        self.op(MapOp::Addresses(vec![address]));
        self.timers.set_once(Timer::Sweep, now + self.rhythm.pulse);
        if !first {
            return;
        }
        self.draw_door_nonce(now);
        let pause = self
            .address_lost
            .take()
            .map_or(Duration::ZERO, |lost| now.since(lost));
        self.after_pause(now, pause);
        if self.lineage.is_none() || self.join.is_some() {
            self.start_join(now);
        } else {
            self.pulse(now);
            self.timers.set(Timer::Suspect, now + self.rhythm.pulse);
        }
    }

    fn address_lost(&mut self, now: Time) {
        if self.address.take().is_some() {
            self.address_lost = Some(now);
            self.abandon_merge();
            self.op(MapOp::Addresses(Vec::new()));
            for timer in [Timer::Request, Timer::Judge, Timer::Suspect] {
                self.timers.stop(timer);
            }
        }
    }

    /// Forgets keys, answered joiners and members whose time is over.
    fn sweep(&mut self, now: Time) {
        self.timers
            .set(Timer::Sweep, now + self.rhythm.pulses(1, 2));
        let mut ops = Vec::new();
        self.keys.sweep(now, &mut ops);
        self.ops(ops);
        self.sweep_members(now);
        self.desk.sweep(now, self.rhythm);
    }

    pub(crate) fn is_anchor(&self) -> bool {
        self.lineage
            .as_ref()
            .is_some_and(|lineage| lineage.anchor == self.id)
    }

    pub(crate) fn install_key(&mut self, key: EpochKey) {
        self.ledger.open(key.material.id, key.number);
        let mut ops = Vec::new();
        self.keys.install(key, &mut ops);
        self.ops(ops);
    }

    pub(crate) fn op(&mut self, op: MapOp) {
        self.outputs.push_back(Output::Dataplane(op));
    }

    pub(crate) fn ops(&mut self, ops: Vec<MapOp>) {
        self.outputs.extend(ops.into_iter().map(Output::Dataplane));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    pub(crate) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// A span between `least` and `most`.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let room = most.saturating_sub(least).as_nanos() as u64;
        let extra = self.rng.next_u64().checked_rem(room).unwrap_or(0);
        least.saturating_add(Duration::from_nanos(extra))
    }

    /// A span of `percent` more or less.
    pub(crate) fn jittered(&mut self, span: Duration, percent: u32) -> Duration {
        let slack = span.saturating_mul(percent) / 100;
        self.between(span.saturating_sub(slack), span.saturating_add(slack))
    }
}
