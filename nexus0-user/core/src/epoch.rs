//! An epoch key: when it is valid, and what was seen under it (R7).

use std::collections::BTreeMap;

use core::time::Duration;

use nexus0_common::maps::{WINDOW_WORDS, Window};
use nexus0_common::replay;
use nexus0_common::wire::{Class, Header};

use crate::filter::MapOp;
use crate::id::{ChainId, NodeId};
use crate::sabotage::{Sabotage, planted};
use crate::secret::Material;
use crate::time::{Time, part};

/// Most senders with windows under one key.
pub(crate) const MAX_SENDERS: usize = 2 * nexus0_common::maps::MAX_PEERS;

/// Pulse and epoch as the mesh uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    /// Time between pulses.
    pub(crate) pulse: Duration,
    /// Life of an epoch.
    pub(crate) epoch: Duration,
}

impl Rhythm {
    /// How much longer, and earlier, a key is honoured around its turns. Not below what a busy machine may
    /// keep a process waiting, however short the pulse.
    pub(crate) fn grace(&self) -> Duration {
        part(self.pulse, 2, 5).clamp(Duration::from_millis(250), Duration::from_secs(2))
    }

    /// `numerator / denominator` of a pulse.
    pub(crate) fn pulses(&self, numerator: u32, denominator: u32) -> Duration {
        part(self.pulse, numerator, denominator)
    }

    /// From the wire; `None` outside of what a node may be configured to.
    pub(crate) fn from_wire(pulse: u32, epoch: u32) -> Option<Self> {
        let (pulse, epoch) = (
            Duration::from_millis(pulse.into()),
            Duration::from_millis(epoch.into()),
        );
        let fits = crate::node::PULSE.contains(&pulse)
            && epoch >= pulse.saturating_mul(crate::node::LEAST_PULSES);
        fits.then_some(Self { pulse, epoch })
    }
}

/// Replay windows of one sender under one key: multicast, unicast, signed (R9). One that nothing fell into is absent.
#[derive(Clone, Debug, Default)]
struct Windows {
    highest: u64,
    kinds: [Option<Box<Window>>; 3],
}

/// The sequences that a sender has used under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Whose.
    pub(crate) sender: NodeId,
    /// The highest that it may have used; a floor for it lies above.
    pub(crate) highest: u64,
    /// The highest heard in each window. They are apart: any member can use up those of unsigned frames.
    pub(crate) newest: [Option<u64>; 3],
}

/// When a key is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyTimes {
    /// See [`EpochKey`].
    pub(crate) activation: Time,
    /// See [`EpochKey`].
    pub(crate) not_before: Time,
    /// See [`EpochKey`].
    pub(crate) not_after: Time,
    /// When it is over for good.
    pub(crate) over: Time,
}

/// One held key.
#[derive(Clone, Debug)]
pub(crate) struct EpochKey {
    /// What is derived from its secret.
    pub(crate) material: Material,
    /// Its chain.
    pub(crate) chain: ChainId,
    /// Its epoch.
    pub(crate) number: u64,
    /// From when it is sent under.
    pub(crate) activation: Time,
    /// First instant of validity.
    pub(crate) not_before: Time,
    /// First instant after validity.
    pub(crate) not_after: Time,
    /// Until then the key may come back, by an answer or a MERGE: its windows must be known.
    pub(crate) over: Time,
    windows: BTreeMap<NodeId, Windows>,
}

impl EpochKey {
    /// A key that nothing follows yet.
    pub(crate) fn new(
        material: Material,
        chain: ChainId,
        number: u64,
        activation: Time,
        rhythm: Rhythm,
    ) -> Self {
        Self::until(material, chain, number, activation + rhythm.epoch, rhythm)
    }

    /// A key whose epoch ends at `end`. It may have begun before this machine's clock did.
    pub(crate) fn until(
        material: Material,
        chain: ChainId,
        number: u64,
        end: Time,
        rhythm: Rhythm,
    ) -> Self {
        let activation = end - rhythm.epoch;
        let over = end + rhythm.epoch / 2;
        Self {
            material,
            chain,
            number,
            activation,
            not_before: if planted(Sabotage::LateKey) {
                activation + Duration::from_secs(1)
            } else {
                activation - rhythm.grace()
            },
            not_after: if planted(Sabotage::ImmortalKey) {
                Time::NEVER
            } else {
                over
            },
            over,
            windows: BTreeMap::new(),
        }
    }

    /// When its epoch ends, whether or not it is honoured for longer.
    pub(crate) fn end(&self, rhythm: Rhythm) -> Time {
        self.over - rhythm.epoch / 2
    }

    /// A key as it was held before, its windows empty.
    pub(crate) fn restored(
        material: Material,
        chain: ChainId,
        number: u64,
        times: KeyTimes,
    ) -> Self {
        Self {
            material,
            chain,
            number,
            activation: times.activation,
            not_before: times.not_before,
            not_after: times.not_after,
            over: times.over,
            windows: BTreeMap::new(),
        }
    }

    /// Its times.
    pub(crate) fn times(&self) -> KeyTimes {
        KeyTimes {
            activation: self.activation,
            not_before: self.not_before,
            not_after: self.not_after,
            over: self.over,
        }
    }

    /// What was heard of each sender under it.
    pub(crate) fn heard(&self) -> impl Iterator<Item = Heard> {
        let windows = self.windows.iter();
        windows.map(|(id, windows)| Heard {
            sender: *id,
            highest: windows.highest,
            newest: windows
                .kinds
                .each_ref()
                .map(|window| window.as_deref().and_then(replay::newest)),
        })
    }

    /// Takes everything of a sender up to the newest as seen, and `more` beyond the highest as possibly used.
    pub(crate) fn remember(&mut self, heard: &Heard, more: u64) {
        if self.windows.len() < MAX_SENDERS {
            let seen = |newest: u64| Box::new(replay::seen_up_to(newest));
            let windows = Windows {
                highest: heard.highest.saturating_add(more),
                kinds: heard.newest.map(|newest| newest.map(seen)),
            };
            self.windows.insert(heard.sender, windows);
        }
    }

    /// Whether frames under it are accepted.
    pub(crate) fn valid(&self, now: Time) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Whether it ended so recently that a frame which the filter passed before may still wait in the socket.
    pub(crate) fn just_ended(&self, now: Time) -> bool {
        self.not_after <= now && now < self.not_after + Duration::from_secs(1)
    }

    /// Whether a frame with this header was not seen before and is not too old.
    pub(crate) fn fresh(&self, header: &Header) -> bool {
        if planted(Sabotage::IgnoreWindow) {
            return true;
        }
        let Some(position) = replay::position(header.sequence) else {
            return false;
        };
        let Some(windows) = self.windows.get(&NodeId(header.sender)) else {
            return self.windows.len() < MAX_SENDERS;
        };
        let window = windows.kinds.get(kind(header)).and_then(Option::as_deref);
        let word = window.map_or(Some(0), |window| window.get(position.word).copied());
        word.is_some_and(|word| position.mark(word).is_some())
    }

    /// Uses up a frame's sequence.
    pub(crate) fn commit(&mut self, header: &Header) {
        let windows = self.windows.entry(NodeId(header.sender)).or_default();
        windows.highest = windows.highest.max(header.sequence);
        let Some(position) = replay::position(header.sequence) else {
            return;
        };
        let Some(window) = windows.kinds.get_mut(kind(header)) else {
            return;
        };
        let window = window.get_or_insert_with(|| Box::new([0; WINDOW_WORDS]));
        if let Some(word) = window.get_mut(position.word)
            && let Some(marked) = position.mark(*word)
        {
            *word = marked;
        }
    }

    /// How many have windows under it.
    pub(crate) fn senders(&self) -> usize {
        self.windows.len()
    }

    /// The highest sequence of one sender.
    pub(crate) fn highest_of(&self, sender: NodeId) -> Option<u64> {
        self.windows.get(&sender).map(|windows| windows.highest)
    }

    /// The same key with other times: what was seen under it stays.
    pub(crate) fn renew(&mut self, key: Self) {
        let windows = core::mem::take(&mut self.windows);
        *self = Self { windows, ..key };
    }

    /// What tells the filter of it.
    pub(crate) fn install(&self) -> MapOp {
        MapOp::InstallKey {
            key_id: self.material.id,
            pre_tag: self.material.pre_tag,
            inner: self.material.midstates.inner,
            outer: self.material.midstates.outer,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }
}

/// Which of a sender's windows a frame falls into.
fn kind(header: &Header) -> usize {
    match (header.frame_type.signed(), header.class) {
        (false, Class::Multicast) => 0,
        (false, Class::Unicast) => 1,
        (true, _) => 2,
    }
}
