//! What happens in a lab, and when: everything starts, the flood begins, nodes rejoin, the anchor is
//! killed and returns, the account is drawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::flood::Kind;
use crate::lab::flooder::{Flooder, Progress};
use crate::lab::options::Options;
use crate::lab::running::Lab;
use crate::lab::screen::Screen;
use crate::lab::summary::Summary;

const STEP: Duration = Duration::from_millis(250);
const SINCE_COLD_START: Duration = Duration::from_millis(2_500);
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a lab to its end.
pub fn run(options: Options, interrupted: &AtomicBool) -> Result<Summary> {
    let start = Instant::now();
    let mut screen = Screen::new();
    let lab = Lab::start(options, &mut |text| screen.say(&text))?;
    let mut story = Story {
        lab,
        screen,
        flooder: None,
        start,
        stood: start.elapsed(),
        told: 0,
        interrupted,
    };
    story.tell()?;
    story.end()
}

struct Story<'a> {
    lab: Lab,
    screen: Screen,
    flooder: Option<Flooder>,
    start: Instant,
    /// When the mesh stood, after the start.
    stood: Duration,
    told: u64,
    interrupted: &'a AtomicBool,
}

impl Story<'_> {
    fn tell(&mut self) -> Result<()> {
        let anchor = self
            .lab
            .agreed()
            .map_or("?", |index| &self.lab.nodes[index].admitted.name);
        self.screen
            .say(&format!("all nodes follow {anchor}: {}", self.lab.why()));
        self.begin_flood()?;
        self.join()?;
        if self.lab.options.kill && !self.over() {
            self.wait_for_kill()?;
            self.succession()?;
        }
        while !self.over() {
            self.step()?;
        }
        Ok(())
    }

    fn begin_flood(&mut self) -> Result<()> {
        let Some(rate) = self.lab.options.flood else {
            return Ok(());
        };
        let (topology, books) = (Arc::clone(&self.lab.topology), Arc::clone(&self.lab.books));
        let mesh = self.lab.mesh.root.root.mesh_id();
        self.flooder = Some(Flooder::start(
            topology,
            books,
            mesh,
            Kind::ALL.to_vec(),
            rate,
        )?);
        self.screen.say("the attacker listens and floods");
        Ok(())
    }

    /// Ordinary nodes lose power one after another and join again.
    fn join(&mut self) -> Result<()> {
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
        let joins = crate::lab::summary::Spread::of(&self.lab.seen.joins);
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
        let until = until.max(self.stood + self.lab.options.before_kill());
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

    fn step(&mut self) -> Result<()> {
        self.lab.poll()?;
        self.lab.excuse_queue_losses();
        self.report_events();
        let progress = self.flooder.as_ref().map(Flooder::progress);
        if let Some(Progress {
            failure: Some(failure),
            ..
        }) = &progress
        {
            anyhow::bail!("the attacker gave up: {failure}");
        }
        self.screen.draw(&self.lab, progress.as_ref())?;
        thread::sleep(STEP);
        Ok(())
    }

    /// New events of the nodes, each once, with all who report the same.
    fn report_events(&mut self) {
        let events = &self.lab.seen.events;
        let mut told: Vec<(String, Vec<String>)> = Vec::new();
        for (_, who, text) in events.iter().skip_while(|(at, _, _)| *at <= self.told) {
            match told.iter_mut().find(|(other, _)| other == text) {
                Some((_, all)) => all.push(who.clone()),
                None => told.push((text.clone(), vec![who.clone()])),
            }
        }
        if let Some((at, _, _)) = events.last() {
            self.told = *at;
        }
        for (text, mut who) in told {
            who.sort();
            let all = who.len() > 2 && who.len() == self.lab.nodes.len();
            let who = if all { "all".into() } else { who.join(" ") };
            self.screen.say(&format!("{who}: {text}"));
        }
    }

    fn over(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
            || self
                .lab
                .options
                .duration
                .is_some_and(|duration| self.start.elapsed() >= duration)
    }

    fn end(mut self) -> Result<Summary> {
        let progress = self.flooder.take().map(Flooder::finish);
        if progress.is_none() {
            self.lab.books().close(crate::flood::Cast::Multicast)?;
        }
        self.lab.poll()?;
        for gap in self.lab.seen.ledger.gaps() {
            let name = |id: &str| self.lab.mesh.name(id).to_owned();
            let (sender, receiver) = (name(&gap.sender), name(&gap.receiver));
            self.screen.say(&format!(
                "epoch {}: {sender} sent {}, {receiver} accepted {}",
                gap.number, gap.sent, gap.accepted
            ));
        }
        self.screen.close()?;
        let summary = Summary::of(&self.lab, progress.as_ref())?;
        self.lab.stop();
        Ok(summary)
    }
}
