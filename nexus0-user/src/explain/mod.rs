//! The judgement of one frame, step by step: `classify` decides, and this tells the story of it.

mod checks;
mod snapshot;

use nexus0_common::classify::{State, classify};
use nexus0_common::maps::Config;
use nexus0_common::memory::MemoryMaps;
use nexus0_common::packet::ETHERNET;
use nexus0_common::reason::Verdict;

use crate::api::types::{Explanation, SCHEMA, Step};
use crate::hex;
use checks::{CHECKS, Check, Needs, Sight};
pub use snapshot::Snapshot;

/// Longest frame that is looked at.
pub const MAX_FRAME: usize = 2000;
/// The verdict's name where no node was there to judge the rest.
pub const UNDECIDED: &str = "undecided";

const UNDECIDED_HELP: &str =
    "Nothing is wrong with its shape; key, tags, sender and sequence need a running node.";

/// Reads a whole Ethernet frame from hexadecimal text.
pub fn parse_frame(text: &str) -> Result<Vec<u8>, String> {
    let frame = hex::decode(text).map_err(|error| error.to_string())?;
    match frame.len() {
        ..ETHERNET => Err(format!(
            "{} bytes are no Ethernet frame (at least 14)",
            frame.len()
        )),
        ETHERNET..=MAX_FRAME => Ok(frame),
        length => Err(format!(
            "{length} bytes are more than a frame has here ({MAX_FRAME})"
        )),
    }
}

/// Judges a frame against a node's maps, or a [`Snapshot`] of them.
pub fn against_maps(frame: &[u8], maps: &impl State, against: &str) -> Explanation {
    let verdict = classify(frame, maps);
    explanation(
        verdict.name(),
        verdict.help(),
        against,
        tell(frame, verdict, false),
    )
}

/// Judges a frame's shape alone. Unicast is taken to be for this interface.
pub fn shape_alone(frame: &[u8], port: u16) -> Explanation {
    let against = "no running node: only the part of the judgement that needs no keys";
    let sight = Sight::of(frame);
    let mut config = Config::new(port, [0; 2]);
    if let Some(destination) = sight.destination().filter(|address| address[0] == 0xfe) {
        config.addresses[0] = destination;
        config.address_count = 1;
    }
    let verdict = classify(frame, &MemoryMaps::new(config));
    let steps = tell(frame, verdict, true);
    if verdict == Verdict::UnknownKey {
        return explanation(UNDECIDED, UNDECIDED_HELP, against, steps);
    }
    explanation(verdict.name(), verdict.help(), against, steps)
}

fn explanation(verdict: &str, help: &str, against: &str, steps: Vec<Step>) -> Explanation {
    Explanation {
        schema: SCHEMA,
        verdict: verdict.into(),
        help: help.into(),
        against: against.into(),
        steps,
    }
}

/// The checks in their order, up to the one that decided.
fn tell(frame: &[u8], verdict: Verdict, shape_only: bool) -> Vec<Step> {
    let sight = Sight::of(frame);
    let mut steps = Vec::new();
    for check in CHECKS.iter().filter(|check| check.concerns(&sight)) {
        let result = if shape_only && check.needs != Needs::Nothing {
            "unknown"
        } else if !check.decides(&sight, verdict) {
            "ok"
        } else if verdict == Verdict::Foreign {
            "foreign"
        } else {
            "refused"
        };
        steps.push(step(check, &sight, result));
        if result != "ok" {
            break;
        }
    }
    steps
}

fn step(check: &Check, sight: &Sight, result: &str) -> Step {
    Step {
        check: check.name.into(),
        found: (check.found)(sight),
        result: result.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut frame = vec![0; 62 + 95];
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame[14] = 0x60;
        frame[18..20].copy_from_slice(&103_u16.to_be_bytes());
        frame[20..22].copy_from_slice(&[17, 255]);
        frame[22..24].copy_from_slice(&[0xfe, 0x80]);
        frame[37] = 1;
        frame[38..40].copy_from_slice(&[0xff, 2]);
        frame[53] = 1;
        frame[54..56].copy_from_slice(&19541_u16.to_be_bytes());
        frame[56..58].copy_from_slice(&19541_u16.to_be_bytes());
        frame[58..60].copy_from_slice(&103_u16.to_be_bytes());
        frame[62..66].copy_from_slice(&[b'N', b'0', 1, 1]);
        frame[66] = 7;
        frame
    }

    fn last(explanation: &Explanation) -> (&str, &str) {
        let step = explanation.steps.last().unwrap();
        (&step.check, &step.result)
    }

    #[test]
    fn a_good_shape_is_undecided_without_a_node() {
        let told = shape_alone(&frame(), 19541);
        assert_eq!(told.verdict, UNDECIDED);
        assert_eq!(last(&told), ("key", "unknown"));
    }

    #[test]
    fn the_same_frame_is_refused_by_a_node_without_the_key() {
        let maps = MemoryMaps::new(Config::new(19541, [0; 2]));
        let told = against_maps(&frame(), &maps, "a test");
        assert_eq!(told.verdict, "unknown-key");
        assert_eq!(last(&told), ("key", "refused"));
    }

    #[test]
    fn each_broken_field_stops_at_its_own_check() {
        let cases: [(usize, u8, &str, &str); 8] = [
            (21, 64, "hop limit", "hop-limit"),
            (22, 0x20, "source", "source"),
            (53, 2, "destination", "destination"),
            (59, 104, "lengths", "udp-length"),
            (62, b'X', "magic", "magic"),
            (64, 3, "version", "version"),
            (65, 0x81, "class", "class"),
            (65, 2, "length", "length"),
        ];
        for (at, value, check, verdict) in cases {
            let mut broken = frame();
            broken[at] = value;
            let told = shape_alone(&broken, 19541);
            assert_eq!(told.verdict, verdict);
            assert_eq!(last(&told), (check, "refused"));
        }
    }

    #[test]
    fn every_refusal_has_a_check_that_explains_it() {
        for verdict in Verdict::ALL {
            let explained = CHECKS.iter().any(|check| check.refusals.contains(verdict));
            assert!(
                explained || *verdict == Verdict::Accepted,
                "{}",
                verdict.name()
            );
        }
    }

    #[test]
    fn foreign_traffic_is_left_alone_at_the_first_check() {
        let told = shape_alone(&[0; 60], 19541);
        assert_eq!((told.verdict.as_str(), told.steps.len()), ("foreign", 1));
        assert_eq!(last(&told).1, "foreign");
    }

    #[test]
    fn a_cut_frame_is_short_where_it_is_cut() {
        let told = shape_alone(&frame()[..100], 19541);
        assert_eq!(
            (told.verdict.as_str(), last(&told).0),
            ("short-frame", "whole")
        );
        let told = shape_alone(&frame()[..70], 19541);
        assert_eq!(
            (told.verdict.as_str(), last(&told).0),
            ("short-frame", "carrier")
        );
    }
}
