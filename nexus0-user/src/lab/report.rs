//! The summary in words, for the end of a run.

use std::fmt::Write as _;

use crate::lab::summary::Summary;

/// A few lines of at most 80 columns.
pub fn words(summary: &Summary) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<18}{value}");
    };
    say(
        "nodes",
        format!(
            "{} ({} XDP, Linux {})",
            summary.nodes, summary.xdp_mode, summary.kernel
        ),
    );
    say("anchors", summary.anchors.to_string());
    say("cold start", milliseconds(summary.cold_start_ms));
    let joins = &summary.join_ms;
    say(
        "joins",
        match (joins.p50, joins.p99, joins.max) {
            (Some(p50), Some(p99), Some(max)) => {
                format!(
                    "{}: p50 {p50:.1} ms, p99 {p99:.1} ms, longest {max:.1} ms",
                    joins.count
                )
            }
            _ => "none".into(),
        },
    );
    say("failover", milliseconds(summary.failover_ms));
    say("epochs turned", summary.epochs_turned.to_string());
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
    say("unaccounted", frames.unaccounted.to_string());
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
    text
}

fn milliseconds(value: Option<u64>) -> String {
    value.map_or("none".into(), |value| format!("{value} ms"))
}
