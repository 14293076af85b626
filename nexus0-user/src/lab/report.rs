//! The summary in words, for the end of a run.

use std::fmt::Write as _;

use crate::lab::demands::Demand;
use crate::lab::summary::{Spread, Summary};

/// A few lines of at most 80 columns.
pub fn words(summary: &Summary) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<18}{value}");
    };
    if let Some(name) = &summary.open {
        say("mesh", format!("{name}, OPEN: who knows its name can join"));
    }
    say(
        "nodes",
        format!(
            "{} ({} XDP, Linux {})",
            summary.nodes, summary.xdp_mode, summary.kernel
        ),
    );
    say("anchors", summary.anchors.to_string());
    say("cold start", milliseconds(summary.cold_start_ms));
    say("joins", spread(&summary.join_ms));
    if summary.at_once_ms.count > 0 {
        say("joins at once", spread(&summary.at_once_ms));
    }
    say("failover", milliseconds(summary.failover_ms));
    if summary.failovers_ms.count > 1 {
        say("failovers", spread(&summary.failovers_ms));
    }
    if !summary.cuts.is_empty() {
        let (cuts, merges) = (summary.cuts.len(), summary.merges);
        say("cuts", format!("{cuts}, merges {merges}"));
        say("own anchor after", spread(&summary.settled_ms));
        say("heals", spread(&summary.heal_ms));
    }
    say("epochs turned", summary.epochs_turned.to_string());
    let fresh = &summary.fresh_turns;
    if fresh.values().any(|count| *count > 0) {
        let least = fresh.values().min().unwrap_or(&0);
        say("to fresh secrets", format!("{least} by each node or more"));
    }
    say("forged accepted", summary.forged_accepted.to_string());
    say(
        "valid lost",
        format!("{} of {}", summary.valid_lost, summary.valid_compared),
    );
    let frames = &summary.frames;
    say("frames offered", frames.offered.to_string());
    say("accepted", frames.accepted.to_string());
    say("refused", frames.dropped.values().sum::<i64>().to_string());
    say("lost in queues", frames.queue_lost.to_string());
    if frames.lost > 0 {
        say("lost as asked", frames.lost.to_string());
    }
    if frames.cut > 0 {
        say("stopped by cuts", frames.cut.to_string());
    }
    say("unaccounted", frames.unaccounted.to_string());
    if summary.send_errors > 0 {
        say("could not send", summary.send_errors.to_string());
    }
    if let Some(flood) = &summary.flood {
        say(
            "flood",
            format!(
                "{:.0}/s sent, {:.0}/s judged, processor {} {:.1} % busy",
                flood.rate_offered,
                flood.rate_judged,
                flood.core,
                100.0 * flood.core_busy
            ),
        );
    }
    for demand in &summary.demands {
        let verdict = if demand.met { "met" } else { "NOT MET" };
        let Demand {
            what,
            demanded,
            measured,
            ..
        } = demand;
        let _ = writeln!(text, "{verdict:<8}{what}: {measured}, demanded {demanded}");
    }
    text
}

fn spread(spread: &Spread) -> String {
    match (spread.p50, spread.p99, spread.max) {
        (Some(p50), Some(p99), Some(max)) => format!(
            "{}: p50 {p50:.1} ms, p99 {p99:.1} ms, longest {max:.1} ms",
            spread.count
        ),
        _ => "none".into(),
    }
}

fn milliseconds(value: Option<u64>) -> String {
    value.map_or("none".into(), |value| format!("{value} ms"))
}
