//! One run in words: what was done, and what the mesh made of it how much later.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use nexus0_core::sim::{Doing, Report, Timeline};

/// A mesh that did not change for so long has settled.
const SETTLED: Duration = Duration::from_millis(700);

/// Lines of at most 80 columns.
pub(crate) fn words(report: &Report) -> String {
    let mut text = String::new();
    let Some(timeline) = &report.timeline else {
        return text;
    };
    let mut since = Duration::ZERO;
    for (at, line, cause) in lines(timeline, report) {
        if cause {
            let _ = writeln!(text, "{:>9.3} s  {line}", at.as_secs_f64());
            since = at;
        } else {
            let after = at.saturating_sub(since).as_secs_f64();
            let _ = writeln!(
                text,
                "{:>9.3} s    {line:<46} after {after:.3} s",
                at.as_secs_f64()
            );
        }
    }
    text
}

/// What was done, and every state in which the mesh settled, in order of time.
fn lines(timeline: &Timeline, report: &Report) -> Vec<(Duration, String, bool)> {
    let mut lines = causes(timeline);
    let mut shown = String::new();
    let times: Vec<Duration> = timeline.changes.iter().map(|(at, ..)| *at).collect();
    for (index, at) in times.iter().enumerate() {
        let next = times.get(index + 1).copied().unwrap_or(report.lasted);
        if next.saturating_sub(*at) < SETTLED {
            continue;
        }
        let state = state(timeline, report.hosts, *at);
        if state != shown {
            lines.push((*at, state.clone(), false));
            shown = state;
        }
    }
    lines.sort_by_key(|(at, _, cause)| (*at, !*cause));
    lines
}

/// Marks, those of one kind at one time together.
fn causes(timeline: &Timeline) -> Vec<(Duration, String, bool)> {
    let mut groups: BTreeMap<(Duration, &str), Vec<usize>> = BTreeMap::new();
    let mut others = Vec::new();
    for (at, host, what) in &timeline.marks {
        match host {
            Some(host) => groups.entry((*at, what)).or_default().push(*host),
            None => others.push((*at, what.clone(), true)),
        }
    }
    let grouped = groups.into_iter().map(|((at, what), hosts)| {
        let who = match hosts.as_slice() {
            [host] => format!("node-{host}"),
            many => format!("{} nodes", many.len()),
        };
        let what = if hosts.len() > 1 && what == "starts" {
            "start"
        } else {
            what
        };
        (at, format!("{who} {what}"), true)
    });
    grouped.chain(others).collect()
}

/// Who leads how many.
fn state(timeline: &Timeline, hosts: usize, at: Duration) -> String {
    let mut followers: BTreeMap<Option<usize>, usize> = BTreeMap::new();
    let (mut up, mut alone) = (0, 0);
    for host in 0..hosts {
        match timeline.doing(host, at) {
            Doing::Down => continue,
            Doing::Alone => alone += 1,
            Doing::Follows(anchor) => *followers.entry(anchor).or_default() += 1,
        }
        up += 1;
    }
    let mut parts: Vec<String> = followers
        .iter()
        .filter_map(|(anchor, count)| Some(format!("node-{} leads {count} of {up}", (*anchor)?)))
        .collect();
    if alone > 0 {
        parts.push(format!("{alone} joining"));
    }
    parts.join(", ")
}
