//! What happens in a lab, and when: everything starts, the flood begins, nodes join, the anchor is
//! killed and returns, the link is cut and healed, the account is drawn.

mod cuts;
mod joins;
mod kills;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::flood::Kind;
use crate::lab::cut::Cut;
use crate::lab::flooder::{Flooder, Progress};
use crate::lab::options::Options;
use crate::lab::restart::Restart;
use crate::lab::running::Lab;
use crate::lab::screen::Screen;
use crate::lab::summary::Summary;

const STEP: Duration = Duration::from_millis(250);
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
        settled: Duration::ZERO,
        told: 0,
        interrupted,
        found: Found::default(),
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
    /// When everybody was last back from a kill, after the start.
    settled: Duration,
    told: u64,
    interrupted: &'a AtomicBool,
    found: Found,
}

/// What the parts of a story found out.
#[derive(Debug, Default)]
pub struct Found {
    /// Milliseconds from the address to the first key of each node that joined at once.
    pub at_once: Vec<f64>,
    /// The cuts.
    pub cuts: Vec<Cut>,
    /// Restarts of the anchor's controller with what was kept.
    pub restarts: Vec<Restart>,
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
        if self.lab.options.at_once {
            self.join_at_once()?;
        } else {
            self.join()?;
        }
        for _ in 0..self.lab.options.kills {
            self.kill()?;
        }
        for round in 0..self.lab.options.cuts {
            self.cut(round)?;
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
        let mesh = self.lab.mesh.id;
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
            self.screen.say(&format!("{}: {text}", self.among(&who)));
        }
    }

    /// Names, or fewer words for all and for all but one.
    fn among(&self, who: &[String]) -> String {
        let names = self.lab.nodes.iter().map(|node| &node.admitted.name);
        let others: Vec<&String> = names.filter(|name| !who.contains(name)).collect();
        match others[..] {
            [] if who.len() > 2 => "all".into(),
            [other] if who.len() > 2 => format!("all but {other}"),
            _ => who.join(" "),
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
        let gaps = self.lab.seen.ledger.gaps();
        // Where losses were asked for, there is one in every line.
        for gap in gaps.iter().filter(|_| self.lab.options.loss == 0.0) {
            let name = |id: &str| self.lab.mesh.name(id).to_owned();
            let (sender, receiver) = (name(&gap.sender), name(&gap.receiver));
            self.screen.say(&format!(
                "epoch {}: {sender} sent {}, {receiver} accepted {}",
                gap.number, gap.sent, gap.accepted
            ));
        }
        self.screen.close()?;
        let summary = Summary::of(&self.lab, progress.as_ref(), &self.found)?;
        self.lab.stop();
        Ok(summary)
    }
}
