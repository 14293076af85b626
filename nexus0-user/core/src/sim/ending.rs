//! How a run ends: all faults end, one mesh is demanded within a bound; then a quiet time in which nothing
//! may happen, a failover and a join, each timed.

use core::time::Duration;

use super::drive::Drive;
use super::host::Sleep;
use super::network::Sim;
use crate::node::Role;
use crate::time::{Time, part};

/// How often it is looked whether the mesh agrees.
const LOOK: Duration = Duration::from_millis(20);
/// A join on a good link.
const JOIN: Duration = Duration::from_millis(500);

impl Drive<'_> {
    pub(super) fn ending(&mut self) {
        let rivals = self.awake_anchors();
        self.peace();
        let healed = self.heals(&rivals);
        self.casts_out();
        if !healed {
            return;
        }
        // Until every key of before has ended, and members that were muted are heard again.
        self.sim.run(self.plan.config.epoch * 2);
        if !self.leads() {
            return;
        }
        self.quiet();
        self.casts_out();
        self.shuts_out();
        self.speaks();
        if self.running().len() > 1 {
            self.restart();
            self.succession();
        }
    }

    /// Hosts that run and were not expelled.
    fn running(&self) -> Vec<usize> {
        self.sim.staying().map(|(host, _)| host).collect()
    }

    /// Something demanded at the end did not hold. Where an anchor was convicted nothing is demanded: who
    /// knows of the proof and who does not part for good (docs/SIMULATOR.md).
    pub(super) fn unmet(&mut self, oracle: &'static str, host: Option<usize>, what: String) {
        if self.watch().outlaws.is_empty() {
            self.violated(oracle, host, what);
        }
    }

    pub(super) fn anchor(&self) -> Option<usize> {
        self.sim.anchors().first().copied()
    }

    /// Anchors that are not about to find out that they slept, or that they are out.
    fn awake_anchors(&self) -> Vec<usize> {
        let list = self.sim.known_list();
        let awake = |host: &usize| {
            let host = &self.sim.nodes[*host];
            let stays = !list.voids(&host.grant);
            matches!(host.sleep, Sleep::Awake) && !host.unplugged && stays
        };
        self.sim.anchors().into_iter().filter(awake).collect()
    }

    fn pulses(&self, numerator: u32, denominator: u32) -> Duration {
        part(self.plan.config.pulse, numerator, denominator)
    }

    /// Waits until something holds; how long it took.
    pub(super) fn wait(
        &mut self,
        limit: Duration,
        holds: impl Fn(&Sim) -> bool,
    ) -> Option<Duration> {
        let start = self.sim.now;
        while self.sim.now.since(start) <= limit {
            self.sim.run(LOOK);
            if holds(&self.sim) {
                return Some(self.sim.now.since(start));
            }
        }
        None
    }

    fn heals(&mut self, rivals: &[usize]) -> bool {
        let before = self.disturbances();
        let limit = self.plan.config.epoch + self.pulses(20, 1);
        let united = self.wait(limit, Sim::is_united);
        let anchor = self.anchor();
        let best = self.sim.best(rivals);
        // Anybody else took over from the winner since, by preemption.
        let of_rivals = anchor.is_some_and(|anchor| rivals.contains(&anchor));
        if before == self.disturbances() && united.is_some() && of_rivals && anchor != best {
            self.unmet(
                "maximum",
                anchor,
                format!("of anchors {rivals:?} it won, not {best:?}"),
            );
        }
        // Who went for good, under an identity of before, is struck when the anchor draws an epoch; the
        // last one before a preemptor's it does not draw.
        let later = limit + self.plan.config.epoch;
        let rest = united.and_then(|_| self.wait(later, Sim::agrees));
        let Some((united, _)) = united.zip(rest) else {
            let all = self.running();
            let why = self.sim.leader(&all).err().unwrap_or_default();
            self.unmet(
                "heal-bound",
                None,
                format!("no one mesh after {limit:?}: {why}"),
            );
            return false;
        };
        let tally = &mut self.watch().tally;
        tally.slowest_heal = tally.slowest_heal.max(united.as_millis() as u64);
        true
    }

    /// What may make another than the best of the rivals win.
    fn disturbances(&mut self) -> (u64, u64, u64) {
        let tally = &self.watch().tally;
        (tally.promotions, tally.cold_starts, tally.steps_back)
    }

    fn leads(&mut self) -> bool {
        let all = self.running();
        if self.sim.leader(&all).is_err() {
            // A preemptor's turn comes by its own clock, a moment after the one before it gave way.
            self.wait(self.pulses(1, 5), |sim| sim.leader(&all).is_ok());
        }
        match self.sim.leader(&all) {
            Ok(_) => true,
            Err(what) => {
                self.unmet("one-anchor", None, what);
                false
            }
        }
    }

    /// An epoch and a bit in which no leader may change and no frame may be lost.
    fn quiet(&mut self) {
        self.calm(self.plan.config.epoch + self.pulses(3, 1));
        let now = self.sim.now;
        if let Some(watch) = self.sim.watch.as_mut() {
            for (index, host) in self.sim.nodes.iter().enumerate() {
                watch.view(now, index, host);
            }
        }
        self.leads();
    }

    fn calm(&mut self, span: Duration) {
        self.watch().calm = true;
        self.sim.run(span);
        self.watch().calm = false;
        let until = self.sim.now - Duration::from_secs(1);
        let frames = core::mem::take(&mut self.watch().calm_frames);
        let running = self.running();
        let hosts: Vec<(usize, u32)> = running
            .iter()
            .map(|host| (*host, self.sim.nodes[*host].life))
            .collect();
        for frame in frames.iter().filter(|frame| frame.sent < until) {
            let missed: Vec<usize> = hosts
                .iter()
                .filter(|(host, life)| !frame.reached(*host, *life))
                .map(|(host, _)| *host)
                .collect();
            if !missed.is_empty() {
                let kind = frame.payload().get(3).copied().unwrap_or(0);
                let what = format!("type {kind} of {:?} did not reach {missed:?}", frame.origin);
                self.unmet("delivered", None, what);
            }
        }
    }

    /// A member's controller is killed and comes back to its filter: everybody hears it at once.
    fn restart(&mut self) {
        let member = |host: &usize| self.sim.node(*host).role() == Role::Member;
        let Some(host) = self.running().into_iter().find(member) else {
            return;
        };
        self.kill(host, None);
        self.sim.run(self.pulses(1, 5));
        self.comes_back(host);
        self.sim.run(Duration::from_millis(500));
        self.calm(self.pulses(3, 1));
    }

    /// The anchor dies and comes back.
    fn succession(&mut self) {
        let Some(dead) = self.anchor() else {
            return;
        };
        let running = self.running();
        let heir = self.sim.successor(dead, &running);
        self.kill(dead, None);
        // The last of two hears nobody at all and listens longer.
        let limit = if self.running().len() > 1 {
            self.pulses(17, 5)
        } else {
            self.pulses(26, 5)
        };
        let Some(took) = self.wait(limit, Sim::is_united) else {
            self.unmet(
                "failover-bound",
                Some(dead),
                format!("no successor after {limit:?}"),
            );
            return;
        };
        let tally = &mut self.watch().tally;
        tally.slowest_failover = tally.slowest_failover.max(took.as_millis() as u64);
        let anchor = self.anchor();
        if anchor != heir {
            let what = format!("{anchor:?} succeeded {dead}, not {heir:?}");
            self.unmet("maximum", anchor, what);
        }
        self.sim.run(self.pulses(1, 1));
        self.comes_back(dead);
    }

    fn comes_back(&mut self, host: usize) {
        let start: Time = self.sim.now;
        self.sim.start(host);
        while self.sim.now.since(start) <= JOIN {
            self.sim.run(Duration::from_millis(1));
            if self.sim.node(host).role() == Role::Member {
                let took = self.sim.now.since(start).as_millis() as u64;
                let tally = &mut self.watch().tally;
                tally.slowest_join = tally.slowest_join.max(took);
                return;
            }
        }
        self.unmet(
            "join-bound",
            Some(host),
            format!("no member after {JOIN:?}"),
        );
    }
}
