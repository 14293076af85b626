//! Nodes that wait with their filters attached, and get their address at the same instant.

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::lab::running::Lab;

impl Lab {
    /// Gives every late node its address while all are stopped, then lets all go on; the moment, in
    /// nanoseconds of the boot clock. The address is usable from then on.
    pub fn release(&mut self) -> Result<u64> {
        let late: Vec<usize> = (0..self.nodes.len())
            .filter(|index| self.nodes[*index].is_late())
            .collect();
        let signal = |lab: &Self, signal| late.iter().for_each(|i| lab.nodes[*i].signal(signal));
        signal(self, Signal::SIGSTOP);
        for index in &late {
            self.topology.nodes[*index].give_address()?;
        }
        let go = crate::daemon::now();
        signal(self, Signal::SIGCONT);
        for index in &late {
            self.nodes[*index].set_late(false);
        }
        Ok(go)
    }

    /// Milliseconds from `go` until each node that joined since then held its first key.
    pub fn joined_after(&self, go: u64) -> Vec<f64> {
        let changes = self.sights.iter().flatten().filter_map(|sight| {
            let first = sight.status.failovers.first()?;
            (first.at_ns > go && first.from.is_none()).then_some(first.at_ns)
        });
        changes.map(|at| (at - go) as f64 / 1e6).collect()
    }
}
