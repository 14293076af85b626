//! Carries a plan out: each thing at its time, and what follows from it later.

use core::time::Duration;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::clock::Clock;
use super::host::Sleep;
use super::network::{Link, Sim};
use super::oracle::{Slack, Watch};
use super::plan::{Act, Conditions, Expect, Plan, Who};
use super::report::{Report, Timeline};
use super::stranger::Tap;
use crate::memo::Remembering;
use crate::node::{Input, Role};
use crate::sabotage::Planted;
use crate::time::{Time, part};

/// Boot clocks start anywhere in a month.
const MONTH: u64 = 30 * 24 * 3600 * 1_000_000_000;

/// Runs a plan to its end. The same plan gives the same report.
pub fn run(plan: &Plan) -> Report {
    let memo = (!plan.real).then(Remembering::new);
    let planted = Planted::new(plan.sabotage);
    let done = catch_unwind(AssertUnwindSafe(|| Drive::new(plan).run()));
    drop((memo, planted));
    done.unwrap_or_else(|panic| Report::panicked(plan, &*panic))
}

/// A plan on its way.
pub(super) struct Drive<'a> {
    pub(super) plan: &'a Plan,
    pub(super) sim: Sim,
    start: Time,
    acts: BTreeMap<(Time, u64), Act>,
    order: u64,
    /// Deeds of strangers in a minute.
    strangers: u32,
    /// The host that was killed last.
    dead: Option<usize>,
}

impl<'a> Drive<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut sim = Sim::new(plan.seed);
        #[cfg(test)]
        {
            sim.recording = false;
        }
        sim.tap = Some(Tap::default());
        sim.config = plan.config.clone();
        sim.store = plan.store;
        let start = sim.now;
        let mut watch = Watch::new(plan.seed, start, slack(plan));
        watch.timeline = plan.timeline.then(|| Timeline::new(start));
        sim.watch = Some(Box::new(watch));
        let mut drive = Self {
            plan,
            sim,
            start,
            acts: BTreeMap::new(),
            order: 0,
            strangers: 0,
            dead: None,
        };
        drive.prepare();
        drive
    }

    fn prepare(&mut self) {
        self.link(self.plan.link);
        for (index, ego) in self.plan.egos.iter().enumerate() {
            let host = self.add(*ego);
            self.sim.nodes[host].highest = self.plan.wires.get(index).copied();
            let wait = Duration::from_nanos(self.sim.draw(self.plan.starts.as_nanos() as u64 + 1));
            self.later(wait, Act::Start(host));
        }
        for step in &self.plan.steps {
            self.later(step.at, step.act.clone());
        }
        let equal = self
            .plan
            .egos
            .windows(2)
            .all(|pair| pair.first() == pair.last());
        self.met(if equal { "equal-egos" } else { "mixed-egos" });
        if self.plan.drift > 0 {
            self.met("drift");
        }
        if self.plan.wires.windows(2).any(|pair| pair[0] != pair[1]) {
            self.met("mixed-versions");
        }
    }

    fn run(mut self) -> Report {
        self.until(self.start + self.plan.length);
        if self.plan.ending {
            self.ending();
        }
        let digest = self.watch().digest();
        let hosts = self.sim.nodes.len();
        let watch = self.sim.watch.take().expect("it was there from the start");
        Report {
            seed: self.plan.seed,
            hash: digest,
            lasted: self.sim.now.since(self.start),
            hosts,
            violations: watch.violations,
            violated: watch.violated,
            tally: watch.tally,
            sometimes: watch.sometimes,
            timeline: watch.timeline,
        }
    }

    fn later(&mut self, wait: Duration, act: Act) {
        self.order += 1;
        self.acts.insert((self.sim.now + wait, self.order), act);
    }

    /// Lets time pass, with everything planned in it.
    fn until(&mut self, end: Time) {
        let mut deed = self.sim.now;
        loop {
            let act = self.acts.keys().next().map_or(Time::NEVER, |(at, _)| *at);
            let next_deed = if self.strangers > 0 {
                deed
            } else {
                Time::NEVER
            };
            let at = act.min(next_deed);
            if at > end {
                break;
            }
            self.sim.run(at.since(self.sim.now));
            if at == act {
                if let Some((_, act)) = self.acts.pop_first() {
                    self.act(act);
                }
                deed = deed.max(self.sim.now);
            } else {
                self.sim.strangers_deed();
                let mean = 60_000_000_000 / u64::from(self.strangers);
                deed = self.sim.now + Duration::from_nanos(1 + self.sim.draw(2 * mean));
            }
        }
        self.sim.run(end.since(self.sim.now));
    }

    pub(super) fn watch(&mut self) -> &mut Watch {
        self.sim
            .watch
            .as_mut()
            .expect("it was there from the start")
    }

    pub(super) fn met(&mut self, name: &'static str) {
        self.watch().sometimes.note(name);
    }

    pub(super) fn fault(&mut self, kind: &'static str) {
        self.met(kind);
        self.watch().tally.fault(kind);
    }

    pub(super) fn mark(&mut self, host: Option<usize>, what: impl Into<String>) {
        let now = self.sim.now;
        if let Some(timeline) = &mut self.watch().timeline {
            timeline.mark(now, host, what.into());
        }
    }

    pub(super) fn violated(&mut self, oracle: &'static str, host: Option<usize>, what: String) {
        let now = self.sim.now;
        self.watch().violated(oracle, now, host, what);
    }

    fn down(&mut self, host: usize) {
        let now = self.sim.now;
        if let Some(timeline) = &mut self.watch().timeline {
            timeline.down(now, host);
        }
    }

    fn up(&mut self, host: usize) {
        let now = self.sim.now;
        let id = self.sim.nodes[host]
            .node
            .as_ref()
            .and_then(|node| Some(node.lineage.as_ref()?.anchor));
        let watch = self.watch();
        let anchor = watch.ids.iter().position(|other| Some(*other) == id);
        if let Some(timeline) = &mut watch.timeline {
            match id {
                Some(_) => timeline.follows(now, host, anchor),
                None => timeline.started(now, host),
            }
        }
    }

    fn add(&mut self, ego: u8) -> usize {
        let host = self.sim.add(ego);
        let shown = Time(self.sim.draw(MONTH));
        self.sim.nodes[host].clock = Clock::new(self.sim.now, shown, self.wrongness());
        host
    }

    /// How wrong a clock runs, in parts per million.
    fn wrongness(&mut self) -> i32 {
        let most = self.plan.drift;
        self.sim.draw(2 * u64::from(most) + 1) as i32 - most as i32
    }

    fn link(&mut self, link: Conditions) {
        let Conditions {
            loss,
            duplication,
            delay,
            reorder,
        } = link;
        self.sim.link = Link {
            loss,
            duplication,
            delay,
        };
        self.sim.reorder = reorder;
    }

    pub(super) fn who(&self, who: Who) -> Option<usize> {
        match who {
            Who::Host(host) => Some(host).filter(|host| *host < self.sim.nodes.len()),
            Who::Anchor => self.sim.anchors().first().copied(),
            Who::Follower => self
                .sim
                .running()
                .find(|(_, node)| node.role() == Role::Member)
                .map(|(host, _)| host),
        }
    }

    /// A host that runs and is awake.
    pub(super) fn victim(&self, who: Who) -> Option<usize> {
        self.who(who).filter(|host| {
            let host = &self.sim.nodes[*host];
            host.node.is_some() && matches!(host.sleep, Sleep::Awake)
        })
    }

    fn act(&mut self, act: Act) {
        // What its host cannot suffer now does not happen.
        let _ = self.try_act(act);
    }

    fn try_act(&mut self, act: Act) -> Option<()> {
        match act {
            Act::Partition(parts) => self.partition(&parts),
            Act::OneWay(from, to) => self.one_way(&from, &to),
            Act::Heal => self.heal(),
            Act::Kill(who, back) => {
                let host = self.victim(who)?;
                self.fault("crash");
                self.kill(host, back);
            }
            Act::Start(host) => {
                let host = self.who(Who::Host(host))?;
                if self.sim.nodes[host].node.is_none() {
                    self.mark(Some(host), "starts");
                    self.sim.start(host);
                }
            }
            Act::Reboot(who) => {
                let host = self.victim(who)?;
                self.fault("reboot");
                self.mark(Some(host), "boots again");
                let ppm = self.wrongness();
                self.sim.reboot(host, ppm);
            }
            Act::Wipe(who) => {
                let host = self.victim(who)?;
                self.fault("disk-loss");
                self.mark(Some(host), "loses its disk");
                let ppm = self.wrongness();
                self.sim.wipe(host, ppm);
            }
            Act::Suspend(who, span) => {
                let host = self.victim(who)?;
                self.fault("suspend");
                self.mark(Some(host), "sleeps");
                self.sim.suspend(host);
                self.down(host);
                self.later(span, Act::Resume(host));
            }
            Act::Stall(who, span) => {
                let host = self.victim(who)?;
                self.fault("stall");
                self.mark(Some(host), "stands still");
                self.sim.stall(host);
                self.down(host);
                self.later(span, Act::Resume(host));
            }
            Act::Resume(host) => self.resume(host),
            Act::Flap(who, span) => {
                let host = self.victim(who)?;
                self.fault("link-flap");
                self.mark(Some(host), "loses its link");
                self.sim.nodes[host].unplugged = true;
                self.sim.input(host, Input::AddressLost);
                self.later(span, Act::LinkUp(host));
            }
            Act::LinkUp(host) => self.link_up(host),
            Act::Renumber(who) => {
                let host = self.victim(who)?;
                self.fault("renumber");
                self.mark(Some(host), "gets another address");
                self.sim.renumber(host);
            }
            Act::Leave(who, back) => {
                let host = self.victim(who)?;
                self.fault("leave");
                self.sim.input(host, Input::Leave);
                self.kill(host, back);
            }
            Act::Add(ego) => {
                let host = self.add(ego);
                self.mark(Some(host), "is new");
                self.sim.start(host);
            }
            Act::Link(link) => self.link(link),
            Act::Lossy(from, to, loss) => {
                self.fault("lossy-pair");
                self.sim.lossy.insert((from, to), loss);
            }
            Act::Strangers(rate) => {
                self.strangers = rate;
            }
            Act::Lie(who, lie) => {
                let host = self.victim(who)?;
                self.watch().liars.insert(host);
                self.watch().tally.fault("lie");
                self.mark(Some(host), "lies");
                let dead = self.dead;
                self.sim.lie(host, lie, dead);
            }
            Act::Revoke(out, by) => self.revoke(out, by)?,
            Act::Replace(who, highest) => {
                let host = self.victim(who)?;
                self.fault("replaced");
                self.sim.nodes[host].highest = Some(highest);
                self.kill(host, Some(Duration::from_millis(100)));
            }
            Act::Expect(expect) => self.expect(expect),
        }
        Some(())
    }

    pub(super) fn kill(&mut self, host: usize, back: Option<Duration>) {
        self.mark(Some(host), "is killed");
        self.sim.kill(host);
        self.down(host);
        self.dead = Some(host);
        if let Some(back) = back {
            self.later(back, Act::Start(host));
        }
    }

    fn partition(&mut self, parts: &[Vec<usize>]) {
        self.fault("partition");
        if parts.len() > 2 {
            self.met("three-way-partition");
        }
        self.watch().parted = true;
        self.mark(None, "partition");
        for (index, left) in parts.iter().enumerate() {
            for right in &parts[index + 1..] {
                self.sim.cut(left, right);
            }
        }
    }

    fn one_way(&mut self, from: &[usize], to: &[usize]) {
        self.fault("one-way-partition");
        self.watch().parted = true;
        self.mark(None, "one way only");
        let pairs = from
            .iter()
            .flat_map(|from| to.iter().map(move |to| (*from, *to)));
        self.sim
            .blocked
            .extend(pairs.filter(|(from, to)| from != to));
    }

    fn heal(&mut self) {
        if self.sim.blocked.is_empty() {
            return;
        }
        if self.sim.anchors().len() > 1 {
            self.met("two-anchors");
        }
        self.mark(None, "heals");
        self.watch().parted = false;
        self.sim.blocked.clear();
    }

    fn resume(&mut self, host: usize) {
        if matches!(self.sim.nodes[host].sleep, Sleep::Awake) {
            return;
        }
        self.mark(Some(host), "goes on");
        self.up(host);
        self.sim.resume(host);
    }

    fn link_up(&mut self, host: usize) {
        if core::mem::take(&mut self.sim.nodes[host].unplugged) {
            self.mark(Some(host), "has its link again");
            let address = self.sim.nodes[host].address;
            self.sim.input(host, Input::AddressReady(address));
        }
    }

    fn expect(&mut self, expect: Expect) {
        let held = match expect {
            Expect::Anchors(count) => {
                let anchors = self.sim.anchors();
                let right = anchors.len() == count;
                right
                    .then_some(())
                    .ok_or(format!("anchors {anchors:?}, not {count}"))
            }
            Expect::Anchor(host) => {
                let anchors = self.sim.anchors();
                let right = anchors.contains(&host);
                right
                    .then_some(())
                    .ok_or(format!("anchors {anchors:?}, not {host}"))
            }
            Expect::Agreement => self.agreement(),
        };
        if let Err(what) = held {
            self.violated("expected", None, what);
        }
    }

    /// One anchor in each part.
    fn agreement(&self) -> Result<(), String> {
        let parts = self.sim.parts().unwrap_or_default();
        parts
            .iter()
            .try_for_each(|part| self.sim.leader(part).map(drop))
    }

    /// Ends every fault at once.
    pub(super) fn peace(&mut self) {
        self.acts.clear();
        self.strangers = 0;
        self.heal();
        self.sim.lossy.clear();
        self.link(Conditions {
            delay: (1, 5),
            ..Conditions::GOOD
        });
        for host in 0..self.sim.nodes.len() {
            self.resume(host);
            self.link_up(host);
            self.act(Act::Start(host));
        }
        self.mark(None, "all faults end");
    }
}

fn slack(plan: &Plan) -> Slack {
    let links = plan.steps.iter().filter_map(|step| match &step.act {
        Act::Link(link) => Some(*link),
        _ => None,
    });
    let longest = |link: Conditions| link.delay.1.max(5) + link.reorder + 1;
    let delay = links.chain([plan.link]).map(longest).max().unwrap_or(0);
    let (pulse, epoch) = (plan.config.pulse, plan.config.epoch);
    Slack {
        pulse,
        epoch,
        grace: part(pulse, 2, 5).clamp(Duration::from_millis(250), Duration::from_secs(2)),
        delay: Duration::from_millis(delay),
        ppm: plan.drift,
    }
}
