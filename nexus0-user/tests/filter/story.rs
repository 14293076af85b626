//! What happens to the judges between frames: keys come, move and go, members come and go, the clock steps, rates,
//! addresses and joining change.

use std::collections::BTreeMap;

use nexus0_common::maps::Rate;

use crate::judges::{Change, Judges, TestKey, Verdicts};
use crate::mutate::Mutator;
use crate::oracle::Deviation;
use crate::world::{NONCE, OWN, PREVIOUS, REQUEST};

/// Epoch keys that there are. A node holds four of them at most.
const KEYS: u8 = 7;
/// Nodes that are members now and then.
pub(crate) const NODES: [[u8; 8]; 5] = [[1; 8], [2; 8], [3; 8], [4; 8], [5; 8]];

/// The judges and what the one who draws frames has to know of their state.
pub(crate) struct Story {
    pub(crate) judges: Judges,
    pub(crate) mutator: Mutator,
    pub(crate) door: TestKey,
    pub(crate) keys: Vec<TestKey>,
    /// Keys installed lately.
    pub(crate) live: Vec<TestKey>,
    pub(crate) addresses: Vec<[u8; 16]>,
    unit: u64,
    start: u64,
    steps: u64,
    ends: BTreeMap<[u8; 4], u64>,
    joining: bool,
}

impl Story {
    /// Times are multiples of `unit` from the start. With the kernel a unit is hours, so that no clock that runs
    /// meanwhile decides anything; without, it is a nanosecond, and every boundary is met exactly.
    pub(crate) fn new(mutator: Mutator, with_kernel: bool, deviation: Option<Deviation>) -> Self {
        let unit = if with_kernel { 1 << 44 } else { 1 };
        let rate = Rate {
            interval: unit,
            burst: 64 * unit,
        };
        let mut judges = Judges::new(with_kernel, rate);
        (judges.oracle.deviation, judges.oracle.unit) = (deviation, unit);
        let mut story = Self {
            start: judges.now(),
            judges,
            mutator,
            door: TestKey::new(9),
            keys: (1..=KEYS).map(TestKey::new).collect(),
            live: Vec::new(),
            addresses: vec![OWN],
            unit,
            steps: 0,
            ends: BTreeMap::new(),
            joining: false,
        };
        story.judges.change(&Change::Addresses(vec![OWN]));
        for _ in 0..3 {
            story.install();
        }
        for node in &NODES[..3] {
            story.judges.change(&Change::InstallPeer(*node));
        }
        story
    }

    /// The next frame and what was said to it, after whatever happened before it. A signed frame that passed is
    /// verified and committed, mostly.
    pub(crate) fn next(&mut self) -> (Vec<u8>, Verdicts) {
        if self.mutator.below(250) == 0 {
            self.happen();
        }
        let drawn = Mutator::frame(self);
        let verdicts = self.judges.judge(&drawn.bytes);
        if verdicts.oracle == "accepted" && drawn.signed_by_member && self.mutator.below(4) > 0 {
            let (sender, key, sequence) = drawn.names();
            self.judges
                .change(&Change::CommitSigned(sender, key, sequence));
        }
        (drawn.bytes, verdicts)
    }

    fn happen(&mut self) {
        let node = NODES[self.mutator.below(NODES.len() as u32) as usize];
        let key = self.any_key();
        match self.mutator.below(18) {
            0..4 => self.step(),
            4..7 => self.install(),
            7 => {
                let to = self.end(&key);
                self.judges.change(&Change::SetKeyEnd(key.frame.id, to));
            }
            8 => self.judges.change(&Change::RemoveKey(key.frame.id)),
            9 => self.judges.change(&Change::RemovePeer(node)),
            10..13 => self.judges.change(&Change::InstallPeer(node)),
            13 => {
                self.joining = !self.joining;
                self.judges.change(&Change::Joining(self.joining));
            }
            14 => self.move_house(),
            15..17 => self.draw_nonces(),
            _ => self.change_rates(),
        }
    }

    fn any_key(&mut self) -> TestKey {
        self.keys[self.mutator.below(self.keys.len() as u32) as usize]
    }

    fn step(&mut self) {
        let most = [2, 2, 8, 300][self.mutator.below(4) as usize];
        let units = 1 + u64::from(self.mutator.below(most));
        self.steps += units;
        self.judges.step(units * self.unit);
    }

    /// So many units from now, half a unit later where the clock runs.
    fn at(&self, units: i64) -> u64 {
        let units = self.steps.saturating_add_signed(units);
        self.start + units * self.unit + self.unit / 2
    }

    /// An end for a key that no other key has: which of two goes first is not told.
    fn end(&mut self, key: &TestKey) -> u64 {
        let units = [3, 100, 3000][self.mutator.below(3) as usize];
        let mut units = 2 + i64::from(self.mutator.below(units));
        self.ends.remove(&key.frame.id);
        while self.ends.values().any(|end| *end == self.at(units)) {
            units += 1;
        }
        self.ends.insert(key.frame.id, self.at(units));
        self.at(units)
    }

    fn install(&mut self) {
        let key = self.any_key();
        let units = i64::from(self.mutator.below(6)) - 4;
        let (from, to) = (self.at(units), self.end(&key));
        self.judges.change(&Change::InstallKey(key, from, to));
        self.live.retain(|live| live.frame.id != key.frame.id);
        self.live.push(key);
        let over = self.live.len().saturating_sub(4);
        self.live.drain(..over);
    }

    fn move_house(&mut self) {
        let count = 1 + self.mutator.below(4);
        self.addresses = (0..count).map(|_| self.mutator.own_address()).collect();
        self.judges
            .change(&Change::Addresses(self.addresses.clone()));
    }

    /// Values that bodies are filled with, and zero, which binds nothing.
    fn draw_nonces(&mut self) {
        let mut fill = |first, second| [first, second, 0][self.mutator.below(3) as usize];
        let nonces = [[fill(NONCE, PREVIOUS); 4], [fill(NONCE, PREVIOUS); 4]];
        let request = [fill(REQUEST, NONCE); 8];
        self.judges.change(&Change::Own(nonces, request));
    }

    fn change_rates(&mut self) {
        let unit = self.unit;
        let mut rate = || Rate {
            interval: unit * u64::from(1 + self.mutator.below(2)),
            burst: unit * u64::from(self.mutator.below(400)),
        };
        let rates = [rate(), rate(), rate()];
        self.judges.change(&Change::Rates(rates));
    }
}
