//! Nodes come in: one after another, or all at once.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{PATIENCE, Story};
use crate::lab::summary::Spread;

const SINCE_COLD_START: Duration = Duration::from_millis(2_500);
/// While all join at once nobody is asked anything: it would cost them the processor.
const QUIET: Duration = Duration::from_secs(3);

impl Story<'_> {
    /// Ordinary nodes lose power one after another and join again.
    pub(super) fn join(&mut self) -> Result<()> {
        // Nobody is answered twice in two seconds, and all have just been.
        let begin = Instant::now();
        while begin.elapsed() < SINCE_COLD_START && self.lab.options.joins > 0 {
            self.step()?;
        }
        for round in 0..self.lab.options.joins {
            if self.over() {
                return Ok(());
            }
            let begin = Instant::now();
            self.lab
                .wait_until(PATIENCE, "all nodes to agree on one anchor", |lab| {
                    lab.agreed().is_some()
                })?;
            let Some(anchor) = self.lab.agreed() else {
                break;
            };
            let others = (0..self.lab.nodes.len()).filter(|index| *index != anchor);
            let others: Vec<usize> = others.collect();
            self.rejoin(others[round % others.len()])?;
            while begin.elapsed() < self.lab.options.join_interval() && !self.over() {
                self.step()?;
            }
        }
        let joins = Spread::of(&self.lab.seen.joins);
        if let (Some(p50), Some(p99)) = (joins.p50, joins.p99) {
            self.screen.say(&format!(
                "{} joins: half within {p50:.1} ms, p99 {p99:.1} ms",
                joins.count
            ));
        }
        Ok(())
    }

    fn rejoin(&mut self, index: usize) -> Result<()> {
        self.lab.kill_node(index);
        self.lab.start_node(index)?;
        let restarts = self.lab.nodes[index].life().restarts;
        let patience = Duration::from_secs(5) + 4 * self.lab.options.pulse;
        let what = format!("{} to join again", self.lab.nodes[index].admitted.name);
        self.lab
            .wait_until(patience, &what, |lab| lab.seen.joined(index, restarts))?;
        Ok(())
    }

    /// All late nodes come in at the same instant, their filters attached before.
    pub(super) fn join_at_once(&mut self) -> Result<()> {
        let late = self.lab.options.late();
        self.screen.say(&format!(
            "{late} nodes have filters and wait for the same instant"
        ));
        let go = self.lab.release()?;
        thread::sleep(QUIET);
        let patience = PATIENCE + 8 * self.lab.options.pulse;
        // Not their agreement: with 100 % loss there is none.
        let deadline = Instant::now() + patience;
        loop {
            self.lab.poll()?;
            self.found.at_once = self.lab.joined_after(go);
            if self.found.at_once.len() == late || Instant::now() > deadline || self.over() {
                break;
            }
            thread::sleep(super::STEP);
        }
        let joins = Spread::of(&self.found.at_once);
        let (p50, p99) = (joins.p50.unwrap_or(0.0), joins.p99.unwrap_or(0.0));
        self.screen.say(&format!(
            "{} of {late} joined at once: half within {p50:.0} ms, p99 {p99:.0} ms",
            joins.count
        ));
        Ok(())
    }
}
