//! What a lab is asked for, and which askings are impossible.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use nexus0_core::node::MAX_REKEY;

use crate::daemon::Receive;
use crate::flood::Rate;

/// Pulses an epoch must last at least.
const LEAST_PULSES: u32 = 9;
/// Addresses, filters, cold start.
const START_UP: Duration = Duration::from_secs(6);
/// Everybody joining at once, and a look at the result.
const AT_ONCE: Duration = Duration::from_secs(6);
/// Nodes in one lab, with those that join at once.
const MAX_NODES: usize = 200;

/// Timers to choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Fast enough to watch: pulse 500 ms, epoch 10 s.
    Default,
    /// As fast as nodes go: pulse 200 ms, epoch 4 s.
    Fast,
    /// What a real mesh runs with: pulse 5 s, epoch 60 s.
    FullTimers,
}

impl Profile {
    /// Its pulse and epoch.
    pub const fn timers(self) -> (Duration, Duration) {
        match self {
            Self::Default => (Duration::from_millis(500), Duration::from_secs(10)),
            Self::Fast => (Duration::from_millis(200), Duration::from_secs(4)),
            Self::FullTimers => (Duration::from_secs(5), Duration::from_secs(60)),
        }
    }

    /// Its spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Fast => "fast",
            Self::FullTimers => "full-timers",
        }
    }
}

/// One direction that a cut takes from the anchor, instead of splitting the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneWay {
    /// Nobody hears it.
    Mute,
    /// It hears nobody.
    Deaf,
}

/// Everything that can be chosen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes in the mesh.
    pub nodes: usize,
    /// Where the timers come from.
    pub profile: Profile,
    /// Time between pulses.
    pub pulse: Duration,
    /// Time between turns.
    pub epoch: Duration,
    /// For how long a living anchor is safe from a higher ego.
    pub hold_down: Duration,
    /// Time between fresh secrets; zero: with every epoch.
    pub rekey: Duration,
    /// Have an open mesh: who knows its name is in, without a grant.
    pub open: bool,
    /// When to end; `None` runs until interrupted.
    pub duration: Option<Duration>,
    /// Where the summary goes.
    pub summary: Option<PathBuf>,
    /// How fast to flood; `None` not at all.
    pub flood: Option<Rate>,
    /// Ordinary nodes to restart, one after another, for the measure of joining.
    pub joins: usize,
    /// Instead: so many further nodes that join all at once.
    pub at_once: bool,
    /// How often to kill the anchor's controller.
    pub kills: usize,
    /// How long it stays away.
    pub restart_after: Duration,
    /// Hold each node's state while its controller is gone, as systemd's descriptor store does.
    pub store: bool,
    /// How often to cut the link.
    pub cuts: usize,
    /// How long each cut lasts.
    pub cut: Duration,
    /// How long the link is whole after each.
    pub heal: Duration,
    /// What a cut does, if not split the mesh.
    pub one_way: Option<OneWay>,
    /// Percent of all deliveries that are lost.
    pub loss: f64,
    /// Have cuts and losses ready whether any are asked for here or not.
    pub sieve: bool,
    /// Give every node the same ego, so that seniority decides.
    pub equal_egos: bool,
    /// Ask for generic mode instead of native.
    pub generic: bool,
    /// How accepted frames come in.
    pub receive: Receive,
    /// The program that nodes run; this one if none is named.
    pub program: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let (pulse, epoch) = Profile::Default.timers();
        Self {
            nodes: 5,
            profile: Profile::Default,
            pulse,
            epoch,
            hold_down: Duration::from_secs(30),
            rekey: Duration::from_secs(3600),
            open: false,
            duration: None,
            summary: None,
            flood: Some(Rate::Max),
            joins: 5,
            at_once: false,
            kills: 1,
            restart_after: Duration::from_secs(2),
            store: false,
            cuts: 0,
            cut: Duration::from_secs(20),
            heal: Duration::from_secs(20),
            one_way: None,
            loss: 0.0,
            sieve: false,
            equal_egos: false,
            generic: false,
            receive: Receive::Socket,
            program: None,
        }
    }
}

impl Options {
    /// Refuses what cannot work, with what would.
    pub fn check(&self) -> Result<()> {
        ensure!(
            (2..=100).contains(&self.nodes),
            "a lab of {} nodes is not possible: allowed are 2 to 100",
            self.nodes
        );
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(60));
        ensure!(
            (least..=most).contains(&self.pulse),
            "a pulse of {:?} is not possible: allowed are 100ms to 60s",
            self.pulse
        );
        ensure!(
            self.epoch >= LEAST_PULSES * self.pulse,
            "an epoch of {:?} is shorter than {LEAST_PULSES} pulses of {:?}: allowed are {:?} and more",
            self.epoch,
            self.pulse,
            LEAST_PULSES * self.pulse
        );
        ensure!(
            self.rekey <= MAX_REKEY,
            "{:?} between fresh secrets (--rekey) is not possible: allowed are 0s to {MAX_REKEY:?}",
            self.rekey
        );
        ensure!(
            !self.at_once || self.nodes + self.joins <= MAX_NODES,
            "{} nodes and {} that join at once are too many: allowed are {MAX_NODES} together",
            self.nodes,
            self.joins
        );
        ensure!(
            (0.0..=100.0).contains(&self.loss),
            "a loss of {} % is not possible: allowed are 0 to 100",
            self.loss
        );
        ensure!(
            self.cuts > 0 || self.one_way.is_none(),
            "--one-way says what a cut does, and none is asked for: add --cuts N"
        );
        ensure!(
            self.cuts == 0 || self.one_way.is_some() || self.nodes >= 4,
            "a cut of {} nodes leaves no two on each side: at least 4 (see --nodes)",
            self.nodes
        );
        let shortest = self.cut_bound() + self.pulse;
        ensure!(
            self.cuts == 0 || self.cut >= shortest && self.heal >= self.heal_bound(),
            "cuts of {:?} with {:?} between them are too short to judge: \
             at least {shortest:?} (--cut) and {:?} (--heal)",
            self.cut,
            self.heal,
            self.heal_bound()
        );
        ensure!(
            self.flood != Some(Rate::PerSecond(0)),
            "a flood of 0 frames per second is none: say off"
        );
        let Some(duration) = self.duration else {
            return Ok(());
        };
        let least = self.least_duration();
        ensure!(
            duration >= least,
            "{duration:?} is too short for what is asked: at least {} s for start-up{}{}{}",
            least.as_secs() + u64::from(least.subsec_nanos() > 0),
            if self.joins > 0 {
                format!(", {} joins (see --joins)", self.joins)
            } else {
                String::new()
            },
            if self.kills > 0 {
                ", a killed anchor and its return (see --no-kill)"
            } else {
                ""
            },
            if self.cuts > 0 {
                ", cuts (see --cuts)"
            } else {
                ""
            }
        );
        Ok(())
    }

    /// How long everything asked for takes.
    pub fn least_duration(&self) -> Duration {
        let joins = match self.joins {
            0 => Duration::ZERO,
            _ if self.at_once => AT_ONCE,
            joins => self.join_interval() * joins as u32,
        };
        let kills = (self.before_kill() + self.after_kill()) * self.kills as u32;
        START_UP + joins + kills + (self.cut + self.heal) * self.cuts as u32
    }

    /// Nodes that join late, and all at once.
    pub fn late(&self) -> usize {
        if self.at_once { self.joins } else { 0 }
    }

    /// Whether something may have to be kept from being delivered.
    pub fn sifts(&self) -> bool {
        self.sieve || self.cuts > 0 || self.loss > 0.0
    }

    /// A dead anchor must be replaced within this time after its last pulse: 17 s at a pulse of 5 s.
    pub fn failover_bound(&self) -> Duration {
        (self.pulse * 17 / 5).max(Duration::from_secs(1))
    }

    /// A side must follow an anchor of its own within this time after a cut. A deaf anchor is heard, so nobody
    /// takes its place: whoever it has not heard for twelve pulses it leaves out of its next epoch, whoever
    /// is left out asks for three pulses and joins anew, and when nobody answers starts a mesh.
    pub fn cut_bound(&self) -> Duration {
        match self.one_way {
            Some(OneWay::Deaf) => {
                self.epoch + 16 * self.pulse + Duration::from_secs(1) + self.heal_bound()
            }
            Some(OneWay::Mute) | None => self.failover_bound(),
        }
    }

    /// Two halves must follow one anchor within this time after a heal: 6 s at a pulse of 5 s.
    pub fn heal_bound(&self) -> Duration {
        self.pulse + Duration::from_secs(1)
    }

    /// From the start of the mesh until everybody has heard its anchor, without which a failover has
    /// no beginning.
    pub fn before_kill(&self) -> Duration {
        self.pulse * 5 / 2
    }

    /// From the kill until the mesh is whole again.
    pub fn after_kill(&self) -> Duration {
        8 * self.pulse + self.restart_after + Duration::from_secs(2)
    }

    /// Between the restarts of two nodes: an anchor answers one node id once in two seconds.
    pub fn join_interval(&self) -> Duration {
        let ordinary = self.nodes.saturating_sub(1).max(1) as u32;
        (Duration::from_millis(2_500) / ordinary).max(Duration::from_millis(400))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Options)) -> String {
        let mut options = Options::default();
        change(&mut options);
        options.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_and_every_profile_are_possible() {
        Options::default().check().unwrap();
        for profile in [Profile::Default, Profile::Fast, Profile::FullTimers] {
            let (pulse, epoch) = profile.timers();
            Options {
                pulse,
                epoch,
                ..Options::default()
            }
            .check()
            .unwrap();
        }
    }

    #[test]
    fn the_impossible_is_refused_with_what_is_allowed() {
        assert!(refused(|o| o.nodes = 1).contains("2 to 100"));
        assert!(refused(|o| o.nodes = 101).contains("2 to 100"));
        assert!(refused(|o| o.pulse = Duration::from_millis(10)).contains("100ms"));
        assert!(refused(|o| o.epoch = Duration::from_secs(4)).contains("4.5s and more"));
        assert!(refused(|o| o.rekey = Duration::from_secs(86_401)).contains("0s to 86400s"));
        let deaf = |o: &mut Options| (o.cuts, o.one_way) = (1, Some(OneWay::Deaf));
        let short = refused(deaf);
        assert!(short.contains("at least 21s (--cut)"), "{short}");
        assert!(refused(|o| o.one_way = Some(OneWay::Mute)).contains("--cut"));
        assert!(refused(|o| o.flood = Some(Rate::PerSecond(0))).contains("off"));
        let short = refused(|o| o.duration = Some(Duration::from_secs(5)));
        assert!(
            short.contains("at least") && short.contains("--no-kill"),
            "{short}"
        );
    }
}
