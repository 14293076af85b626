//! What a lab found out, as numbers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::lab::account::Frames;
use crate::lab::cut::Cut;
use crate::lab::demands::Demand;
use crate::lab::failover;
use crate::lab::flooder::Progress;
use crate::lab::ledger::Gap;
use crate::lab::options::Options;
use crate::lab::restart::Restart;
use crate::lab::running::Lab;
use crate::lab::sieve::Sifted;
use crate::lab::story::Found;

/// Version of [`Summary`]; raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// Everything measured in one run. Counts of frames are copies, see [`Frames`].
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The lab's id, which its namespaces and folders bore.
    pub lab: String,
    /// The mesh's name if it is open: everybody who knows it can join.
    pub open: Option<String>,
    /// Nodes in the mesh.
    pub nodes: usize,
    /// Different anchors that running nodes follow at the end.
    pub anchors: usize,
    /// Joins of a mesh that stood.
    pub join_ms: Spread,
    /// From a usable address to the first chain.
    pub cold_start_ms: Option<u64>,
    /// Nodes that joined all at once: from their address to their first key.
    pub at_once_ms: Spread,
    /// The longest of `failovers_ms`.
    pub failover_ms: Option<u64>,
    /// From the anchor's last pulse to the last follower's first accepted pulse of the new one.
    pub failovers_ms: Spread,
    /// Restarts of the anchor's controller with what was kept.
    pub restarts: Vec<Restart>,
    /// The cuts of the link.
    pub cuts: Vec<Cut>,
    /// From each cut to the first look at which a side followed an anchor of its own, all sides together.
    pub settled_ms: Spread,
    /// From each heal to the last node's following the one anchor.
    pub heal_ms: Spread,
    /// Chains that ended in another one after a heal.
    pub merges: usize,
    /// Percent of the deliveries that were lost as asked for.
    pub loss: f64,
    /// Turns to a next epoch within a chain.
    pub epochs_turned: usize,
    /// Turns to a fresh secret, sealed to each member on its own, that each node took since its last start.
    pub fresh_turns: BTreeMap<String, u64>,
    /// Where every frame went.
    pub frames: Frames,
    /// Frames accepted under an epoch key that nobody sent, members nobody admitted, and frames that a filter
    /// passed although the node behind it, with the same key and the sender at hand, refused them.
    pub forged_accepted: u64,
    /// Frames between two members, both there for the whole epoch and on the same side of every cut, that
    /// were never accepted. Says nothing where losses were asked for.
    pub valid_lost: u64,
    /// Where they were lost, or forged.
    pub gaps: Vec<Gap>,
    /// Frames compared for `valid_lost`.
    pub valid_compared: u64,
    /// Frames that a filter passed and the node behind it refused: those at the door with a wrong grant,
    /// and those that came before a restarted node had joined.
    pub refused_by_nodes: u64,
    /// Frames that the kernel did not take from a node.
    pub send_errors: u64,
    /// The mode all filters are in, or several.
    pub xdp_mode: String,
    /// How accepted frames come into the nodes, or several ways.
    pub receive: String,
    /// Release of the kernel.
    pub kernel: String,
    /// The flood.
    pub flood: Option<Flood>,
    /// Pulse and epoch.
    pub timers: Timers,
    /// Where they come from.
    pub profile: &'static str,
    /// Readings of the counters for which no quiet moment came.
    pub restless: u64,
    /// What had to hold, and whether it did.
    pub demands: Vec<Demand>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half of them took at most this.
    pub p50: Option<f64>,
    /// All but one in a hundred took at most this.
    pub p99: Option<f64>,
    /// The longest.
    pub max: Option<f64>,
}

/// How hard the attacker tried.
#[derive(Clone, Debug, Serialize)]
pub struct Flood {
    /// Frames given to its interface.
    pub frames: u64,
    /// The same a second.
    pub rate_offered: f64,
    /// Copies of frames that the filters judged a second.
    pub rate_judged: f64,
    /// The processor that sends, and that takes the receive interrupts.
    pub core: usize,
    /// Its busy share, 0 to 1.
    pub core_busy: f64,
    /// The kinds sent.
    pub kinds: Vec<&'static str>,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Timers {
    /// Between pulses.
    pub pulse_ms: u64,
    /// Between turns.
    pub epoch_ms: u64,
    /// Between fresh secrets.
    pub rekey_ms: u64,
}

impl Spread {
    /// Of these values.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = |percent: usize| {
            let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(index).copied()
        };
        Self {
            count: sorted.len(),
            p50: rank(50),
            p99: rank(99),
            max: sorted.last().copied(),
        }
    }
}

impl Summary {
    /// Of a lab whose flood has stopped and whose nodes still run.
    pub fn of(lab: &Lab, progress: Option<&Progress>, found: &Found) -> Result<Self> {
        let books = lab.books();
        let balance = lab.seen.ledger.balance();
        let judged = books.account().total_judged();
        let strangers = lab.seen.strangers.len() as u64;
        let failovers = failover::durations(&lab.seen.failovers);
        let heals: Vec<f64> = found
            .cuts
            .iter()
            .filter_map(|cut| Some(cut.heal_ms? as f64))
            .collect();
        let healed = found.cuts.iter().filter(|cut| cut.heal_ms.is_some());
        let sides = found.cuts.iter().flat_map(|cut| &cut.sides);
        let settled: Vec<f64> = sides
            .filter_map(|side| Some(side.settled_ms? as f64))
            .collect();
        let mut summary = Self {
            schema: SCHEMA,
            lab: lab.id().to_owned(),
            open: lab.mesh.open.clone(),
            nodes: lab.nodes.len(),
            anchors: lab.anchors().len(),
            join_ms: Spread::of(&lab.seen.joins),
            cold_start_ms: lab.seen.cold_starts.iter().max().copied(),
            at_once_ms: Spread::of(&found.at_once),
            failover_ms: Spread::of(&failovers).max.map(|longest| longest as u64),
            failovers_ms: Spread::of(&failovers),
            settled_ms: Spread::of(&settled),
            heal_ms: Spread::of(&heals),
            merges: healed.map(|cut| cut.chains.saturating_sub(1)).sum(),
            cuts: found.cuts.clone(),
            restarts: found.restarts.clone(),
            loss: lab.options.loss,
            epochs_turned: turns(lab),
            fresh_turns: fresh_turns(lab),
            frames: books.account().frames(),
            forged_accepted: balance.forged + strangers + lab.node_counter("disagreements"),
            valid_lost: balance.lost,
            gaps: lab.seen.ledger.gaps(),
            valid_compared: balance.sent,
            refused_by_nodes: lab.node_counter("refused"),
            send_errors: lab.node_counter("send_errors"),
            xdp_mode: lab.modes().into_iter().collect::<Vec<_>>().join("+"),
            receive: lab.paths().into_iter().collect::<Vec<_>>().join("+"),
            kernel: kernel()?,
            flood: progress.map(|progress| Flood::of(progress, judged)),
            timers: Timers::of(&lab.options),
            profile: lab.options.profile.name(),
            restless: books.restless(),
            demands: Vec::new(),
        };
        summary.demands = summary.judge(&lab.options, books.last().sifted);
        Ok(summary)
    }

    /// Demands that were not met.
    pub fn unmet(&self) -> usize {
        self.demands.iter().filter(|demand| !demand.met).count()
    }

    fn judge(&self, options: &Options, sifted: Sifted) -> Vec<Demand> {
        let milliseconds = |bound: std::time::Duration| bound.as_millis() as f64;
        let mut demands = Vec::new();
        // An anchor that is away no longer than this is back before anybody misses it: its next pulse
        // may have been due at the kill.
        if options.store && options.restart_after < options.pulse * 3 / 2 {
            demands.extend(self.judge_restarts(options));
        } else if options.kills > 0 {
            let bound = milliseconds(options.failover_bound());
            let longest = self.failovers_ms.max;
            demands.push(Demand::at_most("failover", bound, "ms", longest));
        }
        if options.at_once {
            let (wanted, count) = (options.joins as u64, self.at_once_ms.count as u64);
            demands.push(Demand::exactly("joined at once", wanted, count));
            let p99 = self.at_once_ms.p99;
            demands.push(Demand::at_most("joins at once, p99", 500.0, "ms", p99));
        }
        if options.loss > 0.0 {
            let drawn = sifted.passed + sifted.lost;
            demands.push(Demand::share("lost", options.loss, sifted.lost, drawn));
        }
        if options.cuts > 0 {
            demands.extend(self.judge_cuts(options, milliseconds(options.heal_bound())));
        }
        demands
    }

    fn judge_restarts(&self, options: &Options) -> [Demand; 3] {
        let restarts = self.restarts.iter();
        let same = restarts.clone().filter(|r| r.same_chain && r.same_anchor);
        let lost = restarts.map(|restart| restart.lost).sum();
        let (wanted, kept) = (options.kills as u64, same.count() as u64);
        [
            Demand::exactly("restarts, same chain and anchor", wanted, kept),
            Demand::exactly("lost of the restarted", 0, lost),
            Demand::exactly("valid lost", 0, self.valid_lost),
        ]
    }

    fn judge_cuts(&self, options: &Options, heal_bound: f64) -> Vec<Demand> {
        let cuts = options.cuts as u64;
        let count = |holds: fn(&Cut) -> bool| self.cuts.iter().filter(|cut| holds(cut)).count();
        let led = count(Cut::led) as u64;
        let healed = count(|cut| cut.heal_ms.is_some()) as u64;
        let mut demands = vec![
            Demand::exactly("cuts, one anchor on each side", cuts, led),
            Demand::exactly("heals, one anchor after each", cuts, healed),
            Demand::at_most("longest heal", heal_bound, "ms", self.heal_ms.max),
        ];
        if options.loss == 0.0 {
            demands.push(Demand::exactly("valid lost", 0, self.valid_lost));
        }
        demands
    }

    /// Writes it as JSON.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Flood {
    fn of(progress: &Progress, judged: i64) -> Self {
        let seconds = progress.seconds.max(1e-3);
        Self {
            frames: progress.offered,
            rate_offered: (progress.offered as f64 / seconds).round(),
            rate_judged: (judged as f64 / seconds).round(),
            core: progress.core,
            core_busy: (progress.busy * 1000.0).round() / 1000.0,
            kinds: progress.sent.iter().map(|kind| kind.name()).collect(),
        }
    }
}

impl Timers {
    fn of(options: &Options) -> Self {
        Self {
            pulse_ms: options.pulse.as_millis() as u64,
            epoch_ms: options.epoch.as_millis() as u64,
            rekey_ms: options.rekey.as_millis() as u64,
        }
    }
}

/// Steps from one number to the next within a chain.
fn turns(lab: &Lab) -> usize {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for (chain, _) in &lab.seen.turns {
        *numbers.entry(chain).or_default() += 1;
    }
    numbers.values().map(|count| count - 1).sum()
}

fn fresh_turns(lab: &Lab) -> BTreeMap<String, u64> {
    let all = lab.nodes.iter().zip(&lab.sights);
    let taken = all.filter_map(|(node, sight)| {
        let counters = &sight.as_ref()?.status.node_counters;
        let count = counters.get("fresh_turns").copied().unwrap_or(0);
        Some((node.admitted.name.clone(), count))
    });
    taken.collect()
}

fn kernel() -> Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/osrelease")?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let spread = Spread {
            count: 100,
            p50: Some(50.0),
            p99: Some(99.0),
            max: Some(100.0),
        };
        assert_eq!(Spread::of(&values), spread);
        let one = Spread {
            count: 1,
            p50: Some(7.0),
            p99: Some(7.0),
            max: Some(7.0),
        };
        assert_eq!(Spread::of(&[7.0]), one);
        assert_eq!(Spread::of(&[]), Spread::default());
    }
}
