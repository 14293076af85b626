//! The anchor's controller is killed, and comes back.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{PATIENCE, Story};

impl Story<'_> {
    pub(super) fn kill(&mut self) -> Result<()> {
        if !self.over() {
            self.wait_for_kill()?;
        }
        if self.over() {
            return Ok(());
        }
        if self.lab.options.store {
            return self.restart();
        }
        self.succession()
    }

    /// With what it handed over, the anchor's next process goes on where the last one stopped.
    fn restart(&mut self) -> Result<()> {
        let Some(victim) = self.lab.agreed() else {
            return Ok(());
        };
        let name = self.lab.nodes[victim].admitted.name.clone();
        let before = self.lab.kill_noting(victim)?;
        let killed = Instant::now();
        self.screen.say(&format!(
            "{name} leads: its controller is killed with SIGKILL"
        ));
        while killed.elapsed() < self.lab.options.restart_after {
            self.step()?;
        }
        let down = killed.elapsed();
        self.lab.start_node(victim)?;
        self.screen
            .say(&format!("{name} is started again with what it handed over"));
        let patience = 10 * self.lab.options.pulse + PATIENCE;
        let what = "all nodes to agree on one anchor";
        let settled = Instant::now() + 3 * self.lab.options.pulse;
        self.lab.wait_until(patience, what, |lab| {
            lab.agreed().is_some() && Instant::now() > settled
        })?;
        let restart = self.lab.compare_restart(&before, down)?;
        self.screen.say(&format!(
            "the chain is {}, {} of its frames were lost, {} not heard",
            if restart.same_chain {
                "the same"
            } else {
                "another"
            },
            restart.lost,
            restart.unheard
        ));
        self.found.restarts.push(restart);
        self.settled = self.start.elapsed();
        Ok(())
    }

    /// Three epochs of peace, or as much as the duration leaves.
    fn wait_for_kill(&mut self) -> Result<()> {
        let peace = 3 * self.lab.options.epoch + 4 * self.lab.options.pulse;
        let until = match self.lab.options.duration {
            Some(duration) => {
                let spare = duration.saturating_sub(self.lab.options.after_kill());
                self.start.elapsed().max(peace.min(spare / 2))
            }
            None => self.start.elapsed() + peace,
        };
        // What an anchor tells of a newcomer is a sign of life too: peace begins after the last of them.
        let until = until
            .max(self.stood + self.lab.options.before_kill())
            .max(self.settled + self.lab.options.before_kill());
        while self.start.elapsed() < until && !self.over() {
            self.step()?;
        }
        Ok(())
    }

    fn succession(&mut self) -> Result<()> {
        let Some(victim) = self.lab.agreed() else {
            return Ok(());
        };
        let name = self.lab.nodes[victim].admitted.name.clone();
        let before = self
            .lab
            .attached(victim)?
            .map(|attached| attached.program.id);
        self.lab.kill_node(victim);
        let killed = Instant::now();
        self.screen.say(&format!(
            "{name} leads: its controller is killed with SIGKILL"
        ));
        self.confirm_filter(victim, before)?;
        let patience = 10 * self.lab.options.pulse + Duration::from_secs(3);
        let mut returned = None;
        while killed.elapsed() < patience + self.lab.options.restart_after {
            self.step()?;
            if returned.is_none() && killed.elapsed() >= self.lab.options.restart_after {
                self.screen.say(&format!("{name} is started again"));
                self.lab.start_node(victim)?;
                returned = Some(self.lab.nodes[victim].life().restarts);
            }
            let whole = self.lab.agreed().is_some_and(|anchor| anchor != victim);
            let joined = returned.is_some_and(|run| self.lab.seen.joined(victim, run));
            if whole && joined {
                break;
            }
        }
        let anchor = self.lab.agreed();
        ensure!(
            anchor.is_some(),
            "no succession within {patience:?}\n{}",
            self.lab.picture()
        );
        let successor = anchor.map_or("?", |index| &self.lab.nodes[index].admitted.name);
        self.settled = self.start.elapsed();
        self.screen.say(&format!(
            "{successor} leads now, {name} is back as a member"
        ));
        Ok(())
    }

    /// The filter must outlive its controller and go on refusing.
    fn confirm_filter(&mut self, index: usize, before: Option<u32>) -> Result<()> {
        let attached = self
            .lab
            .attached(index)?
            .map(|attached| attached.program.id);
        let name = self.lab.nodes[index].admitted.name.clone();
        ensure!(
            attached.is_some() && attached == before,
            "{name} lost its filter with its controller"
        );
        let id = attached.unwrap_or(0);
        self.screen.say(&format!(
            "filter {id} of {name} stands without its controller"
        ));
        if self.flooder.is_none() {
            return Ok(());
        }
        let counts = self.lab.nodes[index].counts()?;
        let refused = counts.refused()?;
        let deadline = Instant::now() + PATIENCE;
        while counts.refused()? == refused {
            ensure!(
                Instant::now() < deadline,
                "the filter of {name} refuses nothing any more"
            );
            thread::sleep(Duration::from_millis(10));
        }
        self.screen.say(&format!(
            "and goes on refusing: {} frames so far",
            counts.refused()?
        ));
        Ok(())
    }
}
