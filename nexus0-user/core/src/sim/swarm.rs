//! Each seed draws its own faults and their rates (Groce et al., Swarm Testing, ISSTA 2012): what hides
//! behind one fault shows in a run without it.

use core::time::Duration;

use nexus0_common::wire::{HIGHEST_VERSION as NEW, LOWEST_VERSION as OLD};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::plan::{Act, Conditions, Lie, Plan, Step, Who};

/// The kinds of fault a seed chooses from.
const KINDS: u64 = 12;

/// The plan of a seed: its basic plan, and in a part of the seeds expulsions, several wire versions and supervisors that keep
/// snapshots. These come from a generator of their own.
pub fn swarm(seed: u64) -> Plan {
    let mut plan = basic(seed);
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed ^ 0xa5_a5a5));
    if draw.below(4) == 0 {
        draw.revocations(&mut plan);
    }
    if draw.below(4) == 0 {
        draw.versions(&mut plan);
    }
    plan.store = draw.below(2) == 0;
    plan
}

/// Up to eight nodes, some of the kinds of faults, five minutes or so, and an ending.
fn basic(seed: u64) -> Plan {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed ^ 0x5a_5a5a));
    let egos = draw.egos();
    let hosts = egos.len() as u64;
    let mut plan = Plan::quiet(seed, egos);
    plan.ending = true;
    plan.real = seed.is_multiple_of(10);
    plan.drift = [0, 0, 50, 200][draw.below(4) as usize];
    plan.starts = Duration::from_millis([0, 0, 500, 20_000][draw.below(4) as usize]);
    plan.link = draw.conditions();
    let chosen: Vec<u64> = (0..KINDS).filter(|_| draw.below(2) == 0).collect();
    let mut at = Duration::from_millis(3_000 + draw.below(20_000));
    for _ in 0..4 + draw.below(6) {
        if chosen.is_empty() {
            break;
        }
        let kind = chosen[draw.below(chosen.len() as u64) as usize];
        draw.fault(kind, hosts, at, &mut plan.steps);
        at += Duration::from_millis(500 + draw.below(60_000));
    }
    plan.length = at + Duration::from_millis(draw.below(30_000));
    plan
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    fn egos(&mut self) -> Vec<u8> {
        let count = 2 + self.below(7);
        let kinds = [1, 2, 4, 101][self.below(4) as usize];
        (0..count)
            .map(|_| (self.below(kinds) * 100 / kinds.max(2)) as u8)
            .collect()
    }

    fn conditions(&mut self) -> Conditions {
        let least = 1 + self.below(3);
        Conditions {
            loss: [0, 0, 20, 100, 300][self.below(5) as usize],
            duplication: [0, 0, 50, 500][self.below(4) as usize],
            delay: (least, least + [0, 5, 40, 80][self.below(4) as usize]),
            reorder: [0, 0, 50, 200][self.below(4) as usize],
        }
    }

    fn who(&mut self, hosts: u64) -> Who {
        match self.below(3) {
            0 => Who::Anchor,
            1 => Who::Follower,
            _ => Who::Host(self.below(hosts) as usize),
        }
    }

    fn span(&mut self) -> Duration {
        let most = [2_000, 10_000, 30_000, 120_000][self.below(4) as usize];
        Duration::from_millis(200 + self.below(most))
    }

    fn parts(&mut self, hosts: u64, count: u64) -> Vec<Vec<usize>> {
        let mut parts = vec![Vec::new(); count as usize];
        for host in 0..hosts as usize {
            parts[self.below(count) as usize].push(host);
        }
        parts
    }

    fn fault(&mut self, kind: u64, hosts: u64, at: Duration, steps: &mut Vec<Step>) {
        let who = self.who(hosts);
        let span = self.span();
        let heal = Step {
            at: at + span,
            act: Act::Heal,
        };
        let act = match kind {
            0 => {
                steps.push(heal);
                let count = 2 + self.below(2);
                Act::Partition(self.parts(hosts, count))
            }
            1 => {
                steps.push(heal);
                self.one_way(hosts)
            }
            2 => Act::Kill(who, Some(span)),
            3 => Act::Reboot(who),
            4 => Act::Wipe(who),
            5 => Act::Suspend(who, span),
            6 => Act::Stall(who, span),
            7 => Act::Flap(who, span),
            8 => {
                if self.below(2) == 0 {
                    Act::Renumber(who)
                } else {
                    Act::Leave(who, Some(span))
                }
            }
            9 => {
                let (from, to) = (self.below(hosts), self.below(hosts));
                let loss = 500 + self.below(500);
                Act::Lossy(from as usize, to as usize, loss)
            }
            10 => Act::Strangers([0, 20, 120, 600][self.below(4) as usize]),
            _ => {
                let lie = Lie::ALL[self.below(Lie::ALL.len() as u64) as usize];
                let again = [1, 12, 31].map(|seconds| at + Duration::from_secs(seconds));
                steps.extend(again.map(|at| Step {
                    at,
                    act: Act::Lie(who, lie),
                }));
                Act::Lie(who, lie)
            }
        };
        steps.push(Step { at, act });
        if self.below(4) == 0 {
            let act = Act::Link(self.conditions());
            steps.push(Step { at, act });
        }
    }

    /// One expulsion or two, most during a partition if there is one.
    fn revocations(&mut self, plan: &mut Plan) {
        let hosts = plan.egos.len() as u64;
        let cuts = plan.steps.iter().filter(|step| {
            let parts = matches!(step.act, Act::Partition(_) | Act::OneWay(..));
            parts && step.at < plan.length
        });
        let cuts: Vec<Duration> = cuts.map(|step| step.at).collect();
        for _ in 0..=self.below(2) {
            let cut = self.below(2 + 2 * cuts.len() as u64) as usize;
            let at = match cuts.get(cut) {
                Some(at) => *at + Duration::from_millis(self.below(10_000)),
                None => Duration::from_millis(self.below(plan.length.as_millis() as u64)),
            };
            let (out, by) = (self.who(hosts), Who::Host(self.below(hosts) as usize));
            let act = Act::Revoke(out, by);
            plan.steps.push(Step { at, act });
        }
    }

    /// Hosts that speak version 1 alone, and now and then one that is replaced.
    fn versions(&mut self, plan: &mut Plan) {
        let hosts = plan.egos.len() as u64;
        plan.wires = (0..hosts)
            .map(|_| if self.below(3) == 0 { OLD } else { NEW })
            .collect();
        for _ in 0..self.below(4) {
            let at = Duration::from_millis(self.below(plan.length.as_millis() as u64));
            let wire = if self.below(3) == 0 { OLD } else { NEW };
            let act = Act::Replace(Who::Host(self.below(hosts) as usize), wire);
            plan.steps.push(Step { at, act });
        }
    }

    /// A host is deaf, or mute, or two hosts are to each other.
    fn one_way(&mut self, hosts: u64) -> Act {
        let host = vec![self.below(hosts) as usize];
        let all: Vec<usize> = (0..hosts as usize).collect();
        match self.below(3) {
            0 => Act::OneWay(all, host),
            1 => Act::OneWay(host, all),
            _ => Act::OneWay(host, vec![self.below(hosts) as usize]),
        }
    }
}

#[cfg(test)]
mod tests;
