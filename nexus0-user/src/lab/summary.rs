//! What a lab found out, as numbers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::lab::account::Frames;
use crate::lab::flooder::Progress;
use crate::lab::ledger::Gap;
use crate::lab::options::Options;
use crate::lab::running::Lab;

/// Version of [`Summary`]; raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// Everything measured in one run. Counts of frames are copies, see [`Frames`].
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The lab's id, which its namespaces and folders bore.
    pub lab: String,
    /// Nodes in the mesh.
    pub nodes: usize,
    /// Different anchors that running nodes follow at the end.
    pub anchors: usize,
    /// Joins of a mesh that stood.
    pub join_ms: Spread,
    /// From a usable address to the first chain.
    pub cold_start_ms: Option<u64>,
    /// From the anchor's last pulse to the last follower's first accepted pulse of the new one.
    pub failover_ms: Option<u64>,
    /// Turns to a next epoch within a chain.
    pub epochs_turned: usize,
    /// Where every frame went.
    pub frames: Frames,
    /// Frames accepted under an epoch key that nobody sent, members nobody admitted, and frames that a filter
    /// passed although the node behind it, with the same key and the sender at hand, refused them.
    pub forged_accepted: u64,
    /// Frames between two members, both there for the whole epoch, that were never accepted.
    pub valid_lost: u64,
    /// Where they were lost, or forged.
    pub gaps: Vec<Gap>,
    /// Frames compared for `valid_lost`.
    pub valid_compared: u64,
    /// Frames that a filter passed and the node behind it refused: those at the door with a wrong grant,
    /// and those that came before a restarted node had joined.
    pub refused_by_nodes: u64,
    /// The mode all filters are in, or several.
    pub xdp_mode: String,
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
    pub fn of(lab: &Lab, progress: Option<&Progress>) -> Result<Self> {
        let books = lab.books();
        let balance = lab.seen.ledger.balance();
        let judged = books.account().total_judged();
        let strangers = lab.seen.strangers.len() as u64;
        Ok(Self {
            schema: SCHEMA,
            lab: lab.id().to_owned(),
            nodes: lab.nodes.len(),
            anchors: lab.anchors().len(),
            join_ms: Spread::of(&lab.seen.joins),
            cold_start_ms: lab.seen.cold_starts.iter().max().copied(),
            failover_ms: failover(lab),
            epochs_turned: turns(lab),
            frames: books.account().frames(),
            forged_accepted: balance.forged + strangers + lab.node_counter("disagreements"),
            valid_lost: balance.lost,
            gaps: lab.seen.ledger.gaps(),
            valid_compared: balance.sent,
            refused_by_nodes: lab.node_counter("refused"),
            xdp_mode: lab.modes().into_iter().collect::<Vec<_>>().join("+"),
            kernel: kernel()?,
            flood: progress.map(|progress| Flood::of(progress, judged)),
            timers: Timers::of(&lab.options),
            profile: lab.options.profile.name(),
            restless: books.restless(),
        })
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
        }
    }
}

/// The longest way of any follower from the old anchor's last pulse to the new one's first.
fn failover(lab: &Lab) -> Option<u64> {
    lab.seen
        .failovers
        .iter()
        .filter(|change| change.from.is_some())
        .filter_map(|c| c.took_ms)
        .max()
}

/// Steps from one number to the next within a chain.
fn turns(lab: &Lab) -> usize {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for (chain, _) in &lab.seen.turns {
        *numbers.entry(chain).or_default() += 1;
    }
    numbers.values().map(|count| count - 1).sum()
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
