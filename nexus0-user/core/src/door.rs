//! The door from inside: the nonces that bind what strangers send, the beacons a joiner binds its requests by,
//! how much is looked at, and the beacons that an anchor adds while strangers crowd its door.

use core::time::Duration;

use nexus0_common::door::{self, HALVES};
use nexus0_common::maps::{DOOR_RATE, Own};
use nexus0_common::rate;
use nexus0_common::wire::{Beacon, authenticated_len};

use crate::admission::Admitted;
use crate::filter::MapOp;
use crate::id::{ChainId, NodeId};
use crate::node::Node;
use crate::time::Time;
use crate::timer::Timer;

/// Beacons a joiner keeps.
const MAX_HEARD: usize = 8;
/// Least time between two beacons for the sake of those who are crowded out.
const CROWDED: Duration = Duration::from_millis(100);
/// Bytes of a BEACON as a filter counts them: Ethernet, IPv6, UDP, frame, pre-tag and tag.
const BEACON_BYTES: u64 = (14 + 40 + 8 + authenticated_len(4) + 40) as u64;
/// Beacons that refused bytes are saved up for.
const MOST_SAVED: u64 = 2;

/// What a joiner keeps of a verified beacon.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    sender: NodeId,
    chain: ChainId,
    /// Number and sequence: a recorded beacon is never newer.
    age: (u64, u64),
    nonce: [u8; 4],
}

impl Heard {
    pub(crate) fn of(frame: &Admitted<'_>, beacon: &Beacon) -> Self {
        Self {
            sender: frame.sender,
            chain: ChainId(beacon.chain),
            age: (beacon.number, frame.header.sequence),
            nonce: beacon.door_nonce,
        }
    }
}

/// The state of one node's door.
#[derive(Debug, Default)]
pub(crate) struct Door {
    /// The current nonce and the one before it; zero is none.
    nonces: [[u8; 4]; 2],
    heard: Vec<Heard>,
    /// By half, as in the filter.
    arrivals: [u64; HALVES],
    /// Bytes refused by the filter when it was last looked at.
    refused: Option<u64>,
    /// Bytes that may be sent because others were refused.
    saved: u64,
    last_beacon: Option<Time>,
}

impl Node {
    /// Draws the next door nonce and sets the time of the one after it.
    pub(crate) fn draw_door_nonce(&mut self, now: Time) {
        let mut nonce: [u8; 4] = self.random();
        while nonce == [0; 4] {
            nonce = self.random();
        }
        let [current, _] = self.at_door.nonces;
        self.at_door.nonces = [nonce, current];
        self.timers.set(Timer::Nonce, now + self.rhythm.pulse);
        self.tell_own();
    }

    /// Tells the filter what binds frames to this node.
    pub(crate) fn tell_own(&mut self) {
        let own = self.own();
        self.op(MapOp::Own(own));
    }

    fn own(&self) -> Own {
        let request = self.join.as_ref().map_or([0; 8], |join| {
            let [a, b, c, d, e, f, g, h, ..] = join.request.0;
            [a, b, c, d, e, f, g, h]
        });
        Own {
            nonces: self.at_door.nonces.map(u32::from_ne_bytes),
            request: u64::from_ne_bytes(request),
        }
    }

    /// What a BEACON shows.
    pub(crate) fn door_nonce(&self) -> [u8; 4] {
        let [current, _] = self.at_door.nonces;
        current
    }

    /// Whether a request shows the nonce of this pulse or the last.
    pub(crate) fn is_door_nonce(&self, nonce: [u8; 4]) -> bool {
        nonce != [0; 4] && self.at_door.nonces.contains(&nonce)
    }

    /// Shows the nonce to one who needs it, with less bytes than a request has.
    pub(crate) fn show_nonce(&mut self, now: Time) -> Option<()> {
        let rested = |at: Time| now.since(at) >= self.rhythm.pulses(1, 5);
        if !self.at_door.last_beacon.is_none_or(rested) {
            return None;
        }
        self.at_door.last_beacon = Some(now);
        self.send_beacon()
    }

    /// A nonce whose reply will be bound.
    pub(crate) fn probe_nonce(&mut self) -> [u8; 16] {
        let mut nonce: [u8; 16] = self.random();
        let (first, _) = nonce.split_at_mut(4);
        first.copy_from_slice(&self.door_nonce());
        nonce
    }

    /// Whether a stranger's frame is still within the rate of its half; counts it if so.
    pub(crate) fn within_door_rate(&mut self, now: Time, frame: &Admitted<'_>) -> bool {
        let blocks = frame.frame.len().div_ceil(64);
        let kind = frame.header.frame_type as u8;
        let bound = door::bound(frame.frame, 0, kind, blocks, &self.own());
        let Some(arrival) = self.at_door.arrivals.get_mut(usize::from(bound)) else {
            return false;
        };
        let charged = rate::charge(*arrival, now.0, &DOOR_RATE);
        match charged {
            Some(next) => *arrival = next,
            None => self.counters.door_refused += 1,
        }
        charged.is_some()
    }

    /// A joiner keeps the newest beacon of each chain.
    pub(crate) fn hear_beacon(&mut self, frame: &Admitted<'_>, beacon: &Beacon) -> Option<()> {
        self.join.as_ref()?;
        let heard = Heard::of(frame, beacon);
        let newest = self
            .place(&heard)
            .and_then(|index| self.at_door.heard.get(index));
        if newest.is_some_and(|other| other.age >= heard.age) {
            return None;
        }
        let grant = self.strangers_grant(&beacon.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        self.keep_beacon(heard)
    }

    fn place(&self, heard: &Heard) -> Option<usize> {
        let alike = |other: &Heard| (other.sender, other.chain) == (heard.sender, heard.chain);
        self.at_door.heard.iter().position(alike)
    }

    /// Keeps a verified beacon in place of its chain's one before.
    pub(crate) fn keep_beacon(&mut self, heard: Heard) -> Option<()> {
        let index = match self.place(&heard) {
            Some(index) => index,
            None if self.at_door.heard.len() < MAX_HEARD => {
                self.at_door.heard.push(heard);
                return Some(());
            }
            None => self.below(MAX_HEARD),
        };
        *self.at_door.heard.get_mut(index)? = heard;
        Some(())
    }

    /// Forgets the beacons heard.
    pub(crate) fn forget_beacons(&mut self) {
        self.at_door.heard.clear();
    }

    /// The nonce a try to join is bound by, zero if no beacon was heard. Whatever chains of the past are played
    /// back, every other try goes to the highest number and the rest to each of those heard in turn of chance.
    pub(crate) fn bind(&mut self, attempt: u8) -> [u8; 4] {
        let heard = &self.at_door.heard;
        let chosen = if attempt.is_multiple_of(2) {
            heard.iter().max_by_key(|heard| heard.age)
        } else {
            let index = self.below(self.at_door.heard.len());
            self.at_door.heard.get(index)
        };
        chosen.map_or([0; 4], |heard| heard.nonce)
    }

    fn below(&mut self, end: usize) -> usize {
        let drawn = u64::from_ne_bytes(self.random());
        drawn.checked_rem(end as u64).unwrap_or(0) as usize
    }

    /// The filter has refused so many bytes at its door by rates, ever. While they grow, an anchor shows its
    /// nonce more often, for no more bytes than were refused.
    pub(crate) fn door_refused(&mut self, now: Time, bytes: u64) -> Option<()> {
        let before = self.at_door.refused.replace(bytes).unwrap_or(bytes);
        let more = bytes.saturating_sub(before);
        let rested = |at: Time| now.since(at) >= CROWDED;
        if more == 0 || !self.is_anchor() {
            return None;
        }
        let saved = self.at_door.saved.saturating_add(more);
        self.at_door.saved = saved.min(MOST_SAVED * BEACON_BYTES);
        if !self.at_door.last_beacon.is_none_or(rested) {
            return None;
        }
        self.at_door.saved = self.at_door.saved.checked_sub(BEACON_BYTES)?;
        self.at_door.last_beacon = Some(now);
        self.counters.extra_beacons += 1;
        self.send_beacon()
    }
}
