//! The link is cut in two and made whole again.

use std::time::Instant;

use anyhow::Result;

use super::{PATIENCE, Story};
use crate::lab::cut::{Cut, Sides};
use crate::lab::options::OneWay;

impl Story<'_> {
    /// One cut, its healing, and the peace after it.
    pub(super) fn cut(&mut self, round: usize) -> Result<()> {
        if self.over() {
            return Ok(());
        }
        let what = "all nodes to agree on one anchor";
        let patience = PATIENCE + 8 * self.lab.options.pulse;
        self.lab
            .wait_until(patience, what, |lab| lab.agreed().is_some())?;
        let anchor = self.lab.agreed().unwrap_or(0);
        let count = self.lab.nodes.len();
        let sides = Sides::of(count, round, anchor, self.lab.options.one_way);
        let mut cut = Cut::new(&sides);
        self.lab.cut(&sides)?;
        let start = Instant::now();
        let what = self.what_is_cut(anchor);
        self.screen.say(&format!("cut {}: {what}", round + 1));
        while start.elapsed() < self.lab.options.cut && !self.over() {
            self.step()?;
            self.lab.sever(&sides);
            cut.look(&self.lab, &sides, start.elapsed());
        }
        let healed = self.lab.heal(&sides)?;
        self.screen.say(&format!(
            "the link is whole again: chains to merge, {}",
            cut.chains
        ));
        let start = Instant::now();
        while start.elapsed() < self.lab.options.heal && !self.over() {
            self.step()?;
            if start.elapsed() < self.lab.options.pulse {
                self.lab.sever(&sides);
            }
            if cut.heal_ms.is_none() && self.lab.agreed().is_some() {
                let milliseconds = self.lab.followed_after(healed);
                cut.heal_ms = Some(milliseconds);
                self.screen.say(&format!(
                    "one anchor again, {milliseconds} ms after the heal"
                ));
            }
        }
        self.found.cuts.push(cut);
        Ok(())
    }

    fn what_is_cut(&self, anchor: usize) -> String {
        let name = &self.lab.nodes[anchor].admitted.name;
        match self.lab.options.one_way {
            Some(OneWay::Mute) => format!("nobody hears {name}, which leads and hears all"),
            Some(OneWay::Deaf) => format!("{name}, which leads, hears nobody, and all hear it"),
            None => "the link is split".into(),
        }
    }
}
