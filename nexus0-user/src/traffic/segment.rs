//! One Ethernet segment in virtual time: what is sent on it is counted once, whoever hears it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use nexus0_core::time::Time;
use serde::Serialize;

/// Ethernet, IPv6 and UDP headers of a frame, in bytes.
pub(super) const HEADERS: u64 = 14 + 40 + 8;
/// Frames take this long, and up to a fifth of a millisecond more.
const DELAY: Duration = Duration::from_millis(1);

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Everyone on the segment, as one frame.
    All,
    /// One station.
    One(usize),
}

/// A protocol's node without I/O.
pub(super) trait Station {
    /// What it sends.
    type Payload;

    /// When it wants to be served.
    fn due(&self) -> Option<Time>;
    /// Does what is due.
    fn serve(&mut self, now: Time);
    /// Takes a frame.
    fn receive(&mut self, now: Time, from: usize, payload: &Self::Payload);
    /// What it wants to send.
    fn take(&mut self) -> Vec<Outgoing<Self::Payload>>;
}

/// A frame that a station wants to send.
pub(super) struct Outgoing<P> {
    /// Whom it is for.
    pub(super) to: To,
    /// What it says.
    pub(super) payload: P,
    /// Its UDP payload in bytes.
    pub(super) bytes: u64,
    /// What it is called.
    pub(super) kind: &'static str,
}

/// Frames, and their bytes with headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

/// What was sent, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Account(pub(super) BTreeMap<&'static str, Count>);

impl Account {
    pub(super) fn total(&self) -> Count {
        self.0.values().fold(Count::default(), |sum, count| Count {
            frames: sum.frames + count.frames,
            bytes: sum.bytes + count.bytes,
        })
    }

    /// Only what the other knows nothing of.
    pub(super) fn beside(mut self, other: &Self) -> Self {
        self.0.retain(|kind, _| !other.0.contains_key(kind));
        self
    }

    pub(super) fn of(&self, kind: &str) -> Count {
        self.0.get(kind).copied().unwrap_or_default()
    }
}

type Flight<P> = (usize, usize, Rc<P>);

/// The segment and who is on it.
pub(super) struct Segment<S: Station> {
    pub(super) now: Time,
    account: Account,
    stations: Vec<Option<S>>,
    timers: BTreeSet<(Time, usize)>,
    set: Vec<Option<Time>>,
    flights: BTreeMap<(Time, u64), Flight<S::Payload>>,
    count: u64,
}

impl<S: Station> Segment<S> {
    /// Nobody yet.
    pub(super) fn new() -> Self {
        Self {
            now: Time(1_000_000_000_000),
            account: Account::default(),
            stations: Vec::new(),
            timers: BTreeSet::new(),
            set: Vec::new(),
            flights: BTreeMap::new(),
            count: 0,
        }
    }

    /// One more.
    pub(super) fn add(&mut self, station: S) {
        let index = self.stations.len();
        self.stations.push(Some(station));
        self.set.push(None);
        self.drain(index);
    }

    /// The number that the next one will have.
    pub(super) fn next_index(&self) -> usize {
        self.stations.len()
    }

    /// It says nothing any more.
    pub(super) fn kill(&mut self, index: usize) {
        self.stations[index] = None;
        self.set_timer(index, None);
    }

    /// Those that run.
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &S)> {
        let all = self.stations.iter().enumerate();
        all.filter_map(|(index, station)| Some((index, station.as_ref()?)))
    }

    /// The one that runs and is so, unless others are so too.
    pub(super) fn only(&self, is: impl Fn(&S) -> bool) -> Option<usize> {
        let mut such = self.running().filter(|(_, station)| is(station));
        let (index, _) = such.next()?;
        such.next().is_none().then_some(index)
    }

    /// Does something to one, if it runs.
    pub(super) fn with(&mut self, index: usize, change: impl FnOnce(&mut S, Time)) {
        let now = self.now;
        let Some(Some(station)) = self.stations.get_mut(index) else {
            return;
        };
        change(station, now);
        self.drain(index);
    }

    /// Lets time pass; what was sent in it, and just before it.
    pub(super) fn run(&mut self, span: Duration) -> Account {
        let end = self.now + span;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
        core::mem::take(&mut self.account)
    }

    fn next(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let flight = self.flights.keys().next().map(|(at, _)| *at);
        timer.into_iter().chain(flight).min()
    }

    fn step(&mut self) {
        let now = self.now;
        if let Some(entry) = self
            .flights
            .first_entry()
            .filter(|entry| entry.key().0 <= now)
        {
            let (to, from, payload) = entry.remove();
            self.with(to, |station, now| station.receive(now, from, &payload));
        } else if let Some((_, index)) = self.timers.first().copied() {
            self.with(index, Station::serve);
        }
    }

    fn set_timer(&mut self, index: usize, due: Option<Time>) {
        if self.set[index] == due {
            return;
        }
        if let Some(old) = self.set[index] {
            self.timers.remove(&(old, index));
        }
        if let Some(due) = due {
            self.timers.insert((due, index));
        }
        self.set[index] = due;
    }

    fn drain(&mut self, index: usize) {
        let Some(station) = &mut self.stations[index] else {
            return;
        };
        let (sent, due) = (station.take(), station.due());
        self.set_timer(index, due);
        for frame in sent {
            let count = self.account.0.entry(frame.kind).or_default();
            count.frames += 1;
            count.bytes += frame.bytes + HEADERS;
            let payload = Rc::new(frame.payload);
            match frame.to {
                To::All => (0..self.stations.len())
                    .filter(|other| *other != index)
                    .for_each(|other| self.fly(index, other, &payload)),
                To::One(other) => self.fly(index, other, &payload),
            }
        }
    }

    fn fly(&mut self, from: usize, to: usize, payload: &Rc<S::Payload>) {
        self.count += 1;
        let spread = (self.count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 200;
        let at = self.now + DELAY + Duration::from_micros(spread);
        self.flights
            .insert((at, self.count), (to, from, Rc::clone(payload)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says something when told to.
    struct Shouter(bool, u32);

    impl Station for Shouter {
        type Payload = ();

        fn due(&self) -> Option<Time> {
            None
        }

        fn serve(&mut self, _now: Time) {}

        fn receive(&mut self, _now: Time, _from: usize, (): &()) {
            self.1 += 1;
        }

        fn take(&mut self) -> Vec<Outgoing<()>> {
            let frame = Outgoing {
                to: To::All,
                payload: (),
                bytes: 38,
                kind: "shout",
            };
            let shouts = core::mem::take(&mut self.0);
            Some(frame).filter(|_| shouts).into_iter().collect()
        }
    }

    #[test]
    fn a_multicast_is_counted_once_and_heard_by_all_others() {
        let mut segment = Segment::new();
        for _ in 0..5 {
            segment.add(Shouter(false, 0));
        }
        segment.with(0, |station, _| station.0 = true);
        let sent = segment.account.total();
        assert_eq!((sent.frames, sent.bytes), (1, 100));
        segment.run(Duration::from_secs(1));
        let heard: Vec<u32> = segment.running().map(|(_, station)| station.1).collect();
        assert_eq!(heard, [0, 1, 1, 1, 1]);
    }
}
