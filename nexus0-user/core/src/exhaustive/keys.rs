//! One node's keys through turns, promotions, steps back and changes of chain: the real key ring, against ends
//! that are reckoned here from PROTOCOL section 4.

use core::time::Duration;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::epoch::EpochKey;
use crate::exhaustive::world::{RHYTHM, chain_id};
use crate::id::MeshId;
use crate::key_ring::{KeyRing, MAX_KEYS};
use crate::secret::Material;
use crate::time::Time;

/// Pulses in an epoch.
const EPOCH: u64 = 12;
/// Pulses after which no more is asked.
const HORIZON: u64 = 2 * EPOCH + EPOCH / 2;
/// Changes of chain.
const CHANGES: u8 = 2;

/// A key by chain and number.
type Name = (u8, u64);

/// One node's keys, and when they should end.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pulse: u64,
    ring: KeyRing,
    chain: u8,
    number: u64,
    /// The chain a promotion of its own can be taken back to, and its number.
    parent: Option<(u8, u64)>,
    chains: u8,
    /// First instant at which a key must not be honoured any more.
    ends: BTreeMap<Name, Time>,
    activations: BTreeMap<Name, Time>,
}

impl Keys {
    fn now(&self) -> Time {
        at(self.pulse)
    }

    /// An objection comes under the parent's key.
    fn objectable(&self) -> bool {
        let parent = self.parent.map(|(chain, _)| chain_id(chain));
        let mut keys = self.ring.iter();
        keys.any(|key| Some(key.chain) == parent && key.valid(self.now()))
    }

    fn row(&self) -> impl Iterator<Item = (Name, Time, Time, Time)> {
        self.ring.iter().map(|key| {
            let name = (key.chain.0[0], key.number);
            (name, key.activation, key.not_before, key.not_after)
        })
    }
}

impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        (self.pulse, self.chain, self.number) == (other.pulse, other.chain, other.number)
            && (self.parent, self.chains) == (other.parent, other.chains)
            && self.ends == other.ends
            && self.row().eq(other.row())
    }
}

impl Hash for Keys {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            self.pulse,
            self.chain,
            self.number,
            self.parent,
            self.chains,
        )
            .hash(state);
        self.ends.hash(state);
        self.row().for_each(|row| row.hash(state));
    }
}

/// What happens to the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A pulse passes; an announced epoch turns in it.
    Pulse,
    /// The next secret arrives.
    Announced,
    /// A promotion, one's own or another's.
    Promoted,
    /// One's own promotion is taken back.
    SteppedBack,
    /// An answer or a MERGE: another chain, this many pulses before its end, with or without its next secret.
    Entered { remaining: u64, next: bool },
}

/// The model; with a defect if asked for.
pub(super) struct Ring {
    /// Ends are forgotten at a change of chain.
    broken: bool,
}

impl Ring {
    fn key(name: Name, activation: Time) -> EpochKey {
        let secret = [name.0, name.1 as u8].repeat(16);
        let secret = zeroize::Zeroizing::new(secret.try_into().unwrap());
        let material = Material::derive(MeshId([7; 16]), secret);
        EpochKey::new(material, chain_id(name.0), name.1, activation, RHYTHM)
    }

    fn install(keys: &mut Keys, name: Name, activation: Time) {
        keys.ring
            .install(Self::key(name, activation), &mut Vec::new());
        keys.ends.insert(name, activation + RHYTHM.epoch * 3 / 2);
        keys.activations.insert(name, activation);
    }

    fn take_next(keys: &mut Keys, name: Name, activation: Time) {
        Self::install(keys, name, activation);
        let end = activation + RHYTHM.grace();
        let (chain, number) = (chain_id(name.0), name.1);
        keys.ring.end_before(chain, number, end, &mut Vec::new());
        let older = |other: &Name| other.0 == name.0 && other.1 < name.1;
        shorten(keys, older, end);
    }

    fn leave(&self, keys: &mut Keys) {
        let (chain, end) = (keys.chain, keys.now() + RHYTHM.pulse);
        if !self.broken {
            keys.ring
                .end_before(chain_id(chain), u64::MAX, end, &mut Vec::new());
        }
        shorten(keys, |name| name.0 == chain, end);
    }

    fn step_back(keys: &mut Keys) {
        let Some((parent, number)) = keys.parent.take() else {
            return;
        };
        let (given_up, now) = (keys.chain, keys.now());
        keys.ring
            .end_before(chain_id(given_up), u64::MAX, now, &mut Vec::new());
        keys.ring.revive(chain_id(parent), RHYTHM, &mut Vec::new());
        shorten(keys, |name| name.0 == given_up, now);
        let revived: Vec<Name> = keys
            .ends
            .keys()
            .copied()
            .filter(|name| name.0 == parent)
            .collect();
        for name in revived {
            let own = keys.activations[&name] + RHYTHM.epoch * 3 / 2;
            let next = keys.activations.get(&(name.0, name.1 + 1));
            let end = next.map_or(own, |next| own.min(*next + RHYTHM.grace()));
            keys.ends.insert(name, end);
        }
        (keys.chain, keys.number) = (parent, number);
    }
}

fn at(pulse: u64) -> Time {
    Time(1_000_000_000_000) + RHYTHM.pulse * pulse as u32
}

fn shorten(keys: &mut Keys, which: impl Fn(&Name) -> bool, end: Time) {
    let ends = keys.ends.iter_mut().filter(|(name, _)| which(name));
    ends.for_each(|(_, held)| *held = end.min(*held));
}

impl Model for Ring {
    type State = Keys;
    type Action = Step;

    fn init_states(&self) -> Vec<Keys> {
        let mut keys = Keys {
            pulse: 0,
            ring: KeyRing::default(),
            chain: 1,
            number: 1,
            parent: None,
            chains: 1,
            ends: BTreeMap::new(),
            activations: BTreeMap::new(),
        };
        Self::install(&mut keys, (1, 1), at(0));
        vec![keys]
    }

    fn actions(&self, keys: &Keys, steps: &mut Vec<Step>) {
        if keys.pulse >= HORIZON {
            return;
        }
        steps.push(Step::Pulse);
        let (chain, now) = (chain_id(keys.chain), keys.now());
        let start = keys.ring.current(chain, now).map(|key| key.activation);
        let half = start.is_some_and(|start| now.since(start) >= RHYTHM.epoch / 2);
        let over = start.is_none_or(|start| now.since(start) >= RHYTHM.epoch);
        if half && !over && keys.ring.next(chain, now).is_none() {
            steps.push(Step::Announced);
        }
        if keys.objectable() {
            steps.push(Step::SteppedBack);
        }
        if keys.chains > CHANGES {
            return;
        }
        if start.is_some() {
            steps.push(Step::Promoted);
        }
        for remaining in [1, EPOCH / 2, EPOCH] {
            let announced = [false, true]
                .into_iter()
                .filter(|next| !next || 2 * remaining <= EPOCH);
            steps.extend(announced.map(|next| Step::Entered { remaining, next }));
        }
    }

    fn next_state(&self, keys: &Keys, step: Step) -> Option<Keys> {
        let mut keys = keys.clone();
        let now = keys.now();
        match step {
            Step::Pulse => {
                keys.pulse += 1;
                let now = keys.now();
                keys.ring.sweep(now, &mut Vec::new());
                let held: Vec<Name> = keys.row().map(|(name, ..)| name).collect();
                keys.ends.retain(|name, _| held.contains(name));
                if let Some(current) = keys.ring.current(chain_id(keys.chain), now) {
                    keys.number = current.number;
                }
            }
            Step::Announced => {
                let start = keys.ring.current(chain_id(keys.chain), now)?.activation;
                let name = (keys.chain, keys.number + 1);
                Self::take_next(&mut keys, name, start + RHYTHM.epoch);
            }
            Step::Promoted => {
                let next = keys.ring.next(chain_id(keys.chain), now).is_some();
                let number = keys.number + 1 + u64::from(next);
                self.leave(&mut keys);
                keys.parent = Some((keys.chain, keys.number));
                keys.chains += 1;
                (keys.chain, keys.number) = (keys.chains, number);
                let name = (keys.chain, number);
                Self::install(&mut keys, name, now);
            }
            Step::SteppedBack => Self::step_back(&mut keys),
            Step::Entered { remaining, next } => {
                self.leave(&mut keys);
                keys.parent = None;
                keys.chains += 1;
                (keys.chain, keys.number) = (keys.chains, 1);
                let name = (keys.chain, 1);
                let end = now + RHYTHM.pulse * remaining as u32;
                Self::install(&mut keys, name, end - RHYTHM.epoch);
                if next {
                    Self::take_next(&mut keys, (name.0, 2), end);
                }
            }
        }
        Some(keys)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no key is honoured after its end", |_, keys: &Keys| {
                keys.row().all(|(name, _, _, not_after)| {
                    let end = keys.ends.get(&name).copied().unwrap_or(keys.now());
                    not_after <= end
                })
            }),
            Property::always("the key sent under is accepted", |_, keys: &Keys| {
                let current = keys.ring.current(chain_id(keys.chain), keys.now());
                current.is_none_or(|key| key.valid(keys.now()))
            }),
            Property::always("no more keys than there are slots", |_, keys: &Keys| {
                keys.ring.iter().count() <= MAX_KEYS
            }),
            Property::sometimes("a key made room", |_, keys: &Keys| {
                keys.ends.len() > keys.ring.iter().count()
            }),
            Property::sometimes("an epoch ended without a next", |_, keys: &Keys| {
                keys.ring.iter().count() == 0
            }),
        ]
    }
}

fn check(broken: bool) -> (usize, Vec<&'static str>) {
    let checker = Ring { broken }
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let worlds = checker.unique_state_count();
    println!("keys: {worlds} rings, {} deep", checker.max_depth());
    for (name, path) in checker.discoveries() {
        println!("  {name}: {:?}", path.into_actions());
    }
    (worlds, checker.discoveries().into_keys().collect())
}

#[test]
fn no_key_is_honoured_after_its_end_whatever_happens_to_chains() {
    let (worlds, mut found) = check(false);
    found.sort_unstable();
    assert_eq!(found, ["a key made room", "an epoch ended without a next"]);
    assert!(worlds > 50_000, "{worlds}");
    assert_eq!(RHYTHM.epoch, RHYTHM.pulse * EPOCH as u32);
    assert!(
        RHYTHM.grace() < Duration::from_secs(5),
        "shorter than a pulse"
    );
}

#[test]
fn a_step_back_gives_no_key_more_time_than_it_had() {
    let model = Ring { broken: false };
    let mut keys = model.init_states().remove(0);
    let steps = [Step::Pulse; EPOCH as usize / 2].into_iter();
    for step in steps.chain([Step::Announced]) {
        keys = model.next_state(&keys, step).unwrap();
    }
    let before: Vec<_> = keys.row().collect();
    keys = model.next_state(&keys, Step::Promoted).unwrap();
    keys = model.next_state(&keys, Step::SteppedBack).unwrap();
    let after: Vec<_> = keys.row().filter(|(name, ..)| name.0 == 1).collect();
    assert_eq!(after, before);
}

#[test]
fn a_key_that_outlives_its_chain_is_found() {
    assert!(check(true).1.contains(&"no key is honoured after its end"));
}
