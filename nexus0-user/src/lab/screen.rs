//! What the lab shows while it runs: in place on a terminal, one line after another elsewhere.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crossterm::{cursor, queue, style, terminal};

use crate::api::types::{Role, Status};
use crate::lab::account::Frames;
use crate::lab::flooder::Progress;
use crate::lab::running::Lab;

const WIDTH: usize = 80;
const EVENTS: usize = 16;
const REASONS: usize = 7;
/// Rows of a terminal that does not tell.
const ROWS: usize = 24;
/// Between two lines of numbers where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// The display.
pub struct Screen {
    terminal: bool,
    start: Instant,
    events: VecDeque<String>,
    last: Option<(Instant, Frames)>,
    rates: Vec<(String, i64, f64)>,
    plain_at: Option<Instant>,
    drawn: bool,
}

impl Screen {
    /// On standard output.
    pub fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            start: Instant::now(),
            events: VecDeque::new(),
            last: None,
            rates: Vec::new(),
            plain_at: None,
            drawn: false,
        }
    }

    /// Something happened.
    pub fn say(&mut self, text: &str) {
        let line = format!("{:>6.1} s  {text}", self.start.elapsed().as_secs_f64());
        let line: String = line.chars().take(WIDTH).collect();
        if !self.drawn {
            println!("{line}");
        }
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(line);
    }

    /// Shows the lab as it is now.
    pub fn draw(&mut self, lab: &Lab, progress: Option<&Progress>) -> io::Result<()> {
        let frames = lab.books().account().frames();
        self.measure(&frames);
        let text = self.picture(lab, progress, &frames);
        if self.terminal {
            return self.paint(&text);
        }
        if self
            .plain_at
            .is_some_and(|at| at.elapsed() < PLAIN_INTERVAL)
        {
            return Ok(());
        }
        self.plain_at = Some(Instant::now());
        println!("{}", self.plain(lab, progress, &frames));
        Ok(())
    }

    /// Leaves the terminal as it was, below the last picture.
    pub fn close(&mut self) -> io::Result<()> {
        if self.drawn {
            queue!(io::stdout(), cursor::Show, style::Print("\n"))?;
            self.drawn = false;
        }
        io::stdout().flush()
    }

    /// Drops by reason and their rates; the rates of the last second or so.
    fn measure(&mut self, frames: &Frames) {
        let now = Instant::now();
        let elapsed = match &self.last {
            Some((at, old)) if old.dropped == frames.dropped && at.elapsed() < PLAIN_INTERVAL => {
                return;
            }
            Some((at, _)) => now.duration_since(*at).as_secs_f64().max(0.001),
            None => f64::INFINITY,
        };
        let before = |name: &str| {
            let old = self
                .last
                .as_ref()
                .and_then(|(_, old)| old.dropped.get(name));
            old.copied().unwrap_or(0)
        };
        let mut rates: Vec<(String, i64, f64)> = frames
            .dropped
            .iter()
            .map(|(name, count)| {
                (
                    (*name).to_owned(),
                    *count,
                    (count - before(name)) as f64 / elapsed,
                )
            })
            .collect();
        rates.sort_by_key(|(_, count, _)| -count);
        self.rates = rates;
        self.last = Some((now, frames.clone()));
    }

    fn picture(&self, lab: &Lab, progress: Option<&Progress>, frames: &Frames) -> String {
        let mut text = String::new();
        let up = lab.nodes.iter().filter(|node| node.is_up()).count();
        let clock = self.start.elapsed().as_secs();
        line(
            &mut text,
            &format!(
                "NEXUS-0 lab {}{}   {up} of {} nodes   pulse {} ms, epoch {} s   {} XDP",
                lab.id(),
                open(lab),
                lab.nodes.len(),
                lab.options.pulse.as_millis(),
                lab.options.epoch.as_secs_f32(),
                lab.modes().into_iter().collect::<Vec<_>>().join("+"),
            ),
            &format!("{}:{:02}", clock / 60, clock % 60),
        );
        text.push('\n');
        anchor(&mut text, lab);
        peers(&mut text, lab);
        text.push('\n');
        flood(&mut text, progress, frames);
        text.push('\n');
        self.drops(&mut text, frames);
        text.push('\n');
        let rows = terminal::size().map_or(ROWS, |(_, rows)| usize::from(rows));
        let room = rows.saturating_sub(text.lines().count() + 1).max(3);
        let hidden = self.events.len().saturating_sub(room);
        for event in self.events.iter().skip(hidden) {
            line(&mut text, event, "");
        }
        text
    }

    fn drops(&self, text: &mut String, frames: &Frames) {
        let mut cells: Vec<String> = self
            .rates
            .iter()
            .take(REASONS)
            .map(|(name, count, rate)| {
                format!("{name:<17}{:>12}{:>6}/s", thousands(*count), short(*rate))
            })
            .collect();
        if let Some(rest) = self.rates.get(REASONS..).filter(|rest| !rest.is_empty()) {
            let sum: i64 = rest.iter().map(|(_, count, _)| count).sum();
            let name = format!("{} more reasons", rest.len());
            cells.push(format!("{name:<17}{:>12}", thousands(sum)));
        }
        line(text, "refused", "");
        for row in cells.chunks(2) {
            let right = row.get(1).map_or("", String::as_str);
            line(text, &format!("  {:<40}{right}", row[0]), "");
        }
        line(
            text,
            &format!(
                "offered {}   accepted {}   queue-lost {}   unaccounted {}",
                thousands(frames.offered),
                thousands(frames.accepted),
                frames.queue_lost,
                frames.unaccounted
            ),
            "",
        );
    }

    fn plain(&self, lab: &Lab, progress: Option<&Progress>, frames: &Frames) -> String {
        let anchor = leader(lab).map_or("no anchor".to_owned(), |status| {
            let anchor = status.anchor.as_ref().map_or("-", |anchor| &anchor.name);
            format!("anchor {anchor}, epoch {}", status.number.unwrap_or(0))
        });
        let kind = progress
            .and_then(Progress::kind)
            .map_or("quiet", |kind| kind.name());
        format!(
            "{:>6.1} s {} {anchor}; {kind}; offered {}, unaccounted {}",
            self.start.elapsed().as_secs_f64(),
            open(lab),
            short(frames.offered as f64),
            frames.unaccounted
        )
    }

    fn paint(&mut self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if !self.drawn {
            queue!(out, terminal::Clear(terminal::ClearType::All), cursor::Hide)?;
            self.drawn = true;
        }
        queue!(out, cursor::MoveTo(0, 0))?;
        for line in text.lines() {
            let end = terminal::Clear(terminal::ClearType::UntilNewLine);
            queue!(out, style::Print(line), end, style::Print("\r\n"))?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        out.flush()
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close().ok();
    }
}

/// Appends a line cut to the width, with a second part at its right end.
fn line(text: &mut String, left: &str, right: &str) {
    let room = WIDTH.saturating_sub(right.chars().count());
    let left: String = left
        .chars()
        .take(room.saturating_sub(usize::from(!right.is_empty())))
        .collect();
    if right.is_empty() {
        text.push_str(left.trim_end());
    } else {
        let _ = write!(text, "{left:<room$}{right}");
    }
    text.push('\n');
}

/// Behind the lab's name if the mesh is open.
fn open(lab: &Lab) -> &'static str {
    if lab.mesh.open.is_some() { " OPEN" } else { "" }
}

/// The status of the anchor itself, or of anyone who follows one.
fn leader(lab: &Lab) -> Option<&Status> {
    let all = || lab.sights.iter().flatten().map(|sight| &sight.status);
    all()
        .find(|status| status.role == Some(Role::Anchor))
        .or_else(|| all().find(|status| status.anchor.is_some()))
}

fn anchor(text: &mut String, lab: &Lab) {
    let Some(status) = leader(lab) else {
        line(text, "anchor  none yet", "");
        return;
    };
    let anchor = status.anchor.clone().unwrap_or_default();
    let remaining = status.turn_ns.unwrap_or(0).saturating_sub(status.now_ns);
    line(
        text,
        &format!(
            "anchor  {} (ego {}, {})",
            anchor.name, anchor.ego, anchor.kind
        ),
        &format!(
            "epoch {}, {:.1} s left",
            status.number.unwrap_or(0),
            remaining as f64 / 1e9
        ),
    );
    line(text, &format!("why     {}", lab.why()), "");
}

fn peers(text: &mut String, lab: &Lab) {
    let mut entries = Vec::new();
    for (node, sight) in lab.nodes.iter().zip(&lab.sights) {
        let state = match (
            node.is_up(),
            sight.as_ref().and_then(|sight| sight.status.role),
        ) {
            (false, _) => "down",
            (true, Some(Role::Anchor)) => "anchor",
            (true, Some(Role::Member)) => "member",
            (true, Some(Role::Joining)) => "joining",
            (true, Some(Role::Waiting) | None) => "starting",
            (true, Some(Role::Left)) => "left",
            (true, Some(Role::Revoked)) => "expelled",
        };
        entries.push(format!(
            "{} {} {state}",
            node.admitted.name, node.admitted.ego
        ));
    }
    let shown = 4;
    for (index, chunk) in entries.chunks(shown).take(3).enumerate() {
        let title = if index == 0 { "nodes   " } else { "        " };
        let cells = chunk
            .iter()
            .fold(title.to_owned(), |cells, entry| cells + &pad(entry));
        line(text, &cells, "");
    }
    if entries.len() > 3 * shown {
        line(
            text,
            &format!("        and {} more", entries.len() - 3 * shown),
            "",
        );
    }
}

fn flood(text: &mut String, progress: Option<&Progress>, frames: &Frames) {
    let Some(progress) = progress else {
        line(text, "flood   off", "");
        return;
    };
    let name = progress.kind().map_or("listening", |kind| kind.name());
    let help = progress.kind().map_or("", |kind| kind.help());
    line(text, &format!("flood   {name}: {help}"), "");
    let seconds = progress.seconds.max(1e-3);
    line(
        text,
        &format!(
            "        {}/s sent now, {}/s judged on average, processor {} {:.0} % busy",
            short(progress.rate),
            short(frames.offered as f64 / seconds),
            progress.core,
            progress.busy * 100.0
        ),
        "",
    );
}

fn pad(entry: &str) -> String {
    format!("{entry:<18}")
}

/// `1,234,567`.
fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// `1.2 M`.
fn short(number: f64) -> String {
    match number.abs() {
        n if n >= 1e9 => format!("{:.1} G", number / 1e9),
        n if n >= 1e6 => format!("{:.1} M", number / 1e6),
        n if n >= 1e4 => format!("{:.0} k", number / 1e3),
        _ => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_shortened() {
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(
            (thousands(-1_000), thousands(12)),
            ("-1,000".into(), "12".into())
        );
        assert_eq!(
            (short(601_725.4), short(1.26e6), short(9_999.0)),
            ("602 k".into(), "1.3 M".into(), "9999".into())
        );
    }

    #[test]
    fn lines_are_cut_to_the_width_and_keep_their_right_part() {
        let mut text = String::new();
        line(&mut text, &"x".repeat(200), "1:23");
        line(&mut text, &"y".repeat(200), "");
        for line in text.lines() {
            assert_eq!(line.chars().count(), WIDTH);
        }
        assert!(text.lines().next().unwrap().ends_with(" 1:23"));
    }
}
