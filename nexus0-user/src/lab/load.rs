//! How busy one processor is, interrupts included.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks of one processor since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    busy: u64,
    total: u64,
}

impl Load {
    /// Of this processor, now.
    pub fn read(processor: usize) -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        parse(&text, processor).with_context(|| format!("/proc/stat has no cpu{processor}"))
    }

    /// The busy share since an earlier reading, 0 to 1.
    pub fn share_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        let busy = self.busy.saturating_sub(earlier.busy);
        if total == 0 {
            0.0
        } else {
            busy as f64 / total as f64
        }
    }
}

/// `cpuN user nice system idle iowait irq softirq steal ..`; guest time is part of user time.
fn parse(text: &str, processor: usize) -> Option<Load> {
    let name = format!("cpu{processor}");
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(&name))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|n| n.parse().ok())
        .collect();
    let total = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(Load {
        busy: total - idle,
        total,
    })
}

/// The last processor of this machine; the flood lives there.
pub fn last_processor() -> usize {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    count - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softirq_time_is_busy_and_iowait_is_not() {
        let text = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu1 10 0 20 50 10 0 10 0 0 0\n";
        let load = parse(text, 1).unwrap();
        assert!((load.share_since(Load::default()) - 0.4).abs() < 1e-9);
        assert_eq!(parse(text, 2), None);
    }
}
