//! What the options ask for, as plans: a story, faults at rates, or a seed of the swarm.

use std::time::Duration;

use nexus0_core::node::NodeConfig;
use nexus0_core::sabotage::Sabotage;
use nexus0_core::sim::{Act, Conditions, Lie, Plan, Step, Who, swarm};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Faults by rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    /// An hour.
    pub(crate) partitions: f64,
    /// An hour.
    pub(crate) crashes: f64,
    /// An hour.
    pub(crate) suspends: f64,
    /// Deeds of strangers a minute.
    pub(crate) strangers: u32,
    /// Lies of members an hour.
    pub(crate) lies: f64,
    /// An hour.
    pub(crate) revocations: f64,
}

/// One kind of run for every seed.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) egos: Vec<u8>,
    pub(crate) length: Duration,
    pub(crate) config: NodeConfig,
    pub(crate) link: Conditions,
    pub(crate) drift: u32,
    pub(crate) store: bool,
    pub(crate) rates: Rates,
    pub(crate) kill_anchor: bool,
    pub(crate) swarm: bool,
    /// What a scenario shows.
    pub(crate) name: Option<String>,
    /// Steps of a scenario, and whether all faults end after them.
    pub(crate) scenario: Option<(Vec<Step>, bool)>,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) real: bool,
}

impl Settings {
    /// The plan of a seed.
    pub(crate) fn plan(&self, seed: u64, timeline: bool) -> Plan {
        let mut plan = if self.swarm {
            swarm(seed)
        } else {
            self.drawn(seed)
        };
        plan.sabotage = self.sabotage;
        plan.timeline = timeline;
        plan.real |= self.real;
        plan
    }

    fn drawn(&self, seed: u64) -> Plan {
        let mut plan = Plan::quiet(seed, self.egos.clone());
        plan.config = self.config.clone();
        plan.link = self.link;
        plan.drift = self.drift;
        plan.store = self.store;
        plan.length = self.length;
        if self.egos.len() > 64 {
            // Hundreds at one instant would measure the door's rate and nothing else.
            plan.starts = Duration::from_secs(20);
        }
        if let Some((steps, ending)) = &self.scenario {
            (plan.steps, plan.ending) = (steps.clone(), *ending);
        } else if self.quiet() {
            self.story(&mut plan);
        } else {
            self.faults(&mut plan);
        }
        plan
    }

    /// Whether nothing was asked for.
    pub(crate) fn quiet(&self) -> bool {
        self.rates == Rates::default() && !self.kill_anchor && self.length.is_zero()
    }

    /// A cold start, a turn, a killed anchor that comes back, a partition that heals.
    fn story(&self, plan: &mut Plan) {
        let (pulse, epoch) = (self.config.pulse, self.config.epoch);
        let killed = epoch + pulse * 3;
        let parted = killed + pulse * 12;
        let healed = parted + pulse * 8;
        let nodes = self.egos.len();
        let (left, right) = ((0..nodes / 2).collect(), (nodes / 2..nodes).collect());
        let acts = [
            (killed, Act::Kill(Who::Anchor, Some(pulse * 6))),
            (parted, Act::Partition(vec![left, right])),
            (healed, Act::Heal),
        ];
        plan.steps = acts.map(|(at, act)| Step { at, act }).to_vec();
        plan.length = healed + pulse * 6;
    }

    fn faults(&self, plan: &mut Plan) {
        let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed_of(plan)));
        if plan.length.is_zero() {
            plan.length = Duration::from_secs(900);
        }
        let (length, pulse) = (plan.length, self.config.pulse);
        let nodes = self.egos.len() as u64;
        if self.kill_anchor {
            let back = Some(pulse * 12);
            plan.steps.push(Step {
                at: length / 2,
                act: Act::Kill(Who::Anchor, back),
            });
        }
        for at in draw.times(self.rates.partitions, length) {
            let span = pulse * 2 + draw.span(pulse * 20);
            let parts = draw.parts(nodes);
            plan.steps.push(Step {
                at,
                act: Act::Partition(parts),
            });
            plan.steps.push(Step {
                at: at + span,
                act: Act::Heal,
            });
        }
        for at in draw.times(self.rates.crashes, length) {
            let act = Act::Kill(draw.who(nodes), Some(draw.span(pulse * 10)));
            plan.steps.push(Step { at, act });
        }
        for at in draw.times(self.rates.suspends, length) {
            let act = Act::Suspend(draw.who(nodes), draw.span(pulse * 20));
            plan.steps.push(Step { at, act });
        }
        for at in draw.times(self.rates.lies, length) {
            let lie = Lie::ALL[draw.below(Lie::ALL.len() as u64) as usize];
            plan.steps.push(Step {
                at,
                act: Act::Lie(draw.who(nodes), lie),
            });
        }
        for at in draw.times(self.rates.revocations, length) {
            let act = Act::Revoke(draw.who(nodes), draw.who(nodes));
            plan.steps.push(Step { at, act });
        }
        if self.rates.strangers > 0 {
            let act = Act::Strangers(self.rates.strangers);
            plan.steps.push(Step { at: pulse, act });
        }
    }
}

fn seed_of(plan: &Plan) -> u64 {
    plan.seed ^ 0x0f_a7_17
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit.max(1)
    }

    fn span(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.below(most.as_millis() as u64))
    }

    /// So many instants an hour.
    fn times(&mut self, rate: f64, length: Duration) -> Vec<Duration> {
        let count = (rate * length.as_secs_f64() / 3600.0).ceil() as usize;
        (0..count).map(|_| self.span(length)).collect()
    }

    fn who(&mut self, nodes: u64) -> Who {
        match self.below(2) {
            0 => Who::Anchor,
            _ => Who::Host(self.below(nodes) as usize),
        }
    }

    fn parts(&mut self, nodes: u64) -> Vec<Vec<usize>> {
        let mut parts = vec![Vec::new(), Vec::new()];
        for node in 0..nodes as usize {
            parts[self.below(2) as usize].push(node);
        }
        parts
    }
}
