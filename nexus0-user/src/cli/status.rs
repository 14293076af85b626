//! `nexus0` and `nexus0 status`: how the node is, warnings first.

use std::fmt::Write as _;

use super::options::{Place, Reading, interfaces};
use super::{Failure, leftover, print};
use crate::api::types::{EventLine, ReceiveStatus, Request, Role, Status, VerdictCount};
use nexus0_common::reason::Verdict;

/// Events shown.
const EVENTS: usize = 5;
/// Columns that reasons may take, beside their label and the hint that there are more.
const REFUSALS: usize = 80 - 11 - 21;

/// Options of `status`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Reading { place, json } = &args.reading;
    let running = interfaces(&place.run_dir);
    if place.iface.is_some() || running.len() < 2 {
        return one(place, *json);
    }
    let mut worst = Ok(());
    for (index, interface) in running.into_iter().enumerate() {
        if index > 0 && !json {
            print::data("");
        }
        let place = Place {
            iface: Some(interface),
            ..place.clone()
        };
        if let Err(failure) = one(&place, *json) {
            failure.text().inspect(|text| eprintln!("nexus0: {text}"));
            worst = Err(Failure::Degraded);
        }
    }
    worst
}

fn one(place: &Place, json: bool) -> Result<(), Failure> {
    let asked = place
        .client()
        .and_then(|mut node| Ok(node.ask::<Status>(&Request::Status)?));
    let status = match asked {
        Ok(status) => status,
        Err(failure) => {
            if json && matches!(failure, Failure::NotRunning(_)) {
                print::json(&leftover::as_json(place));
            }
            return Err(failure);
        }
    };
    if json {
        print::json(&status);
    } else {
        print::data(&text(&status));
    }
    if status.warnings.is_empty() {
        Ok(())
    } else {
        Err(Failure::Degraded)
    }
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let health = if status.warnings.is_empty() {
        "healthy"
    } else {
        "degraded"
    };
    let _ = writeln!(
        text,
        "{}: {}, {health}",
        status.interface,
        role(status.role)
    );
    for warning in &status.warnings {
        text.push_str(&print::wrapped("  ! ", warning));
    }
    if let Some(name) = &status.open {
        text.push_str(&print::wrapped("  ", &print::open_sentence(name)));
    }
    if let Some(why) = &status.receive.why {
        let words = format!("frames come through the network stack, not by AF_XDP: {why}");
        text.push_str(&print::wrapped("  ", &words));
    }
    let _ = writeln!(text);
    let rows: Vec<_> = facts(status)
        .into_iter()
        .map(|(key, value)| vec![key, value])
        .collect();
    text.push_str(&print::table(&rows));
    text
}

fn role(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Waiting) => "waiting for a usable address",
        Some(Role::Joining) => "looking for its mesh",
        Some(Role::Member) => "a member",
        Some(Role::Anchor) => "the anchor",
        Some(Role::Left) => "leaving",
        Some(Role::Revoked) => "expelled from its mesh",
        None => "in an unknown state",
    }
}

fn facts(status: &Status) -> Vec<(String, String)> {
    let node = &status.node;
    let mut facts = vec![
        ("mesh", status.mesh_id.clone()),
        (
            "node",
            format!(
                "{} ({}), {}, zone \"{}\"",
                node.name, node.id, node.kind, node.zone
            ),
        ),
        ("anchor", anchor(status)),
        ("epoch", epoch(status)),
        ("members", members(status)),
        ("filter", filter(status)),
        ("receives", receives(&status.receive)),
        ("frames", frames(&status.counters)),
    ];
    let refused = refusals(&status.counters);
    if !refused.is_empty() {
        facts.push(("refused", refused));
    }
    let overflow = status.node_counters.get("joiners_overflow");
    if let Some(overflow) = overflow.filter(|count| **count > 0) {
        let words = format!(
            "{} of joiners' frames, more came than wait",
            print::grouped(*overflow)
        );
        facts.push(("overflow", words));
    }
    if status.revocation > 0 {
        let out = format!("{} (list {})", status.revoked, status.revocation);
        facts.push(("expelled", out));
    }
    facts.push(("up", up(status)));
    let mut facts: Vec<_> = facts.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let skipped = status.events.len().saturating_sub(EVENTS);
    for (index, event) in status.events.iter().skip(skipped).rev().enumerate() {
        let key = if index == 0 { "events" } else { "" };
        facts.push((key.to_owned(), event_text(event, status.now_ns)));
    }
    facts
}

fn anchor(status: &Status) -> String {
    match &status.anchor {
        None => "none".into(),
        Some(anchor) if status.role == Some(Role::Anchor) => {
            format!("this node, ego {}", anchor.ego)
        }
        Some(anchor) => format!("{} ({}), ego {}", anchor.name, anchor.id, anchor.ego),
    }
}

fn epoch(status: &Status) -> String {
    let (Some(number), Some(chain)) = (status.number, &status.chain) else {
        return "none".into();
    };
    let turn = status.turn_ns.map_or(String::new(), |turn| {
        let left = turn.saturating_sub(status.now_ns) / 1_000_000;
        format!(", {} left", print::span_ms(left))
    });
    format!("{number} of chain {chain}{turn}")
}

fn members(status: &Status) -> String {
    let whole = if status.roster_complete {
        ""
    } else {
        " known, more are on their way"
    };
    format!("{}{whole}", status.roster)
}

fn filter(status: &Status) -> String {
    let filter = &status.filter;
    let observe = if filter.observe {
        ", observing only"
    } else {
        ""
    };
    let adopted = if filter.adopted { ", taken over" } else { "" };
    format!(
        "{} XDP, program {}{adopted}{observe}, verifier {}",
        filter.mode, filter.program_id, filter.verifier
    )
}

fn receives(receive: &ReceiveStatus) -> String {
    let mut text = match &receive.delivery {
        Some(delivery) => format!(
            "by AF_XDP ({delivery}, {} queue{}), {} frames",
            receive.queues,
            if receive.queues == 1 { "" } else { "s" },
            print::grouped(receive.frames)
        ),
        None => "through the network stack".into(),
    };
    if receive.lost > 0 {
        let _ = write!(text, ", {} lost", print::grouped(receive.lost));
    }
    text
}

fn frames(counters: &[VerdictCount]) -> String {
    let of = |verdict: Verdict| {
        counters
            .iter()
            .find(|count| count.verdict == verdict.name())
            .map_or(0, |count| count.frames)
    };
    let refused: u64 = refused(counters).map(|count| count.frames).sum();
    format!(
        "{} accepted, {} refused, {} not ours",
        print::grouped(of(Verdict::Accepted)),
        print::grouped(refused),
        print::grouped(of(Verdict::Foreign))
    )
}

/// The counters of refusals.
pub(super) fn refused(counters: &[VerdictCount]) -> impl Iterator<Item = &VerdictCount> {
    let passes = |name: &str| Verdict::ALL.iter().any(|v| v.passes() && v.name() == name);
    counters.iter().filter(move |count| !passes(&count.verdict))
}

fn refusals(counters: &[VerdictCount]) -> String {
    let mut sorted: Vec<_> = refused(counters).filter(|count| count.frames > 0).collect();
    sorted.sort_by_key(|count| std::cmp::Reverse(count.frames));
    let mut text = String::new();
    for count in sorted {
        let comma = if text.is_empty() { "" } else { ", " };
        let named = format!("{comma}{} {}", count.verdict, print::grouped(count.frames));
        if text.len() + named.len() > REFUSALS {
            text.push_str(", .. (`nexus0 drops`)");
            break;
        }
        text.push_str(&named);
    }
    text
}

fn up(status: &Status) -> String {
    let joined = status.join_ms.map(|ms| format!(", joined in {ms:.1} ms"));
    let started = status
        .cold_start_ms
        .map(|ms| format!(", started a mesh in {}", print::span_ms(ms)));
    let address = status.address.as_deref().unwrap_or("no address");
    format!(
        "{}{}{}, {address}",
        print::span_ms(status.uptime_ms),
        joined.unwrap_or_default(),
        started.unwrap_or_default()
    )
}

fn event_text(event: &EventLine, now_ns: u64) -> String {
    let ago = now_ns.saturating_sub(event.at_ns) / 1_000_000;
    format!("{} ago: {}", print::span_ms(ago), event.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(verdicts: &[(&str, u64)]) -> Vec<VerdictCount> {
        let counted = verdicts.iter().map(|(verdict, frames)| VerdictCount {
            verdict: (*verdict).to_owned(),
            frames: *frames,
            bytes: 0,
        });
        counted.collect()
    }

    #[test]
    fn as_many_reasons_are_named_as_fit_the_line() {
        let few = counted(&[("tag", 3), ("accepted", 9), ("replay", 7)]);
        assert_eq!(refusals(&few), "replay 7, tag 3");
        let many = counted(&[
            ("extension-header", 123_456_789_012),
            ("unknown-sender", 23_456_789_012),
            ("short-frame", 3),
        ]);
        let text = refusals(&many);
        assert_eq!(
            text,
            "extension-header 123,456,789,012, .. (`nexus0 drops`)"
        );
        assert!(text.len() <= 69);
    }
}
