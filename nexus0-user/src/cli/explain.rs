//! `nexus0 explain`: the judgement of one frame, step by step.

use std::io::Read;

use nexus0_common::wire::PORT;

use super::options::{Place, Reading};
use super::{Failure, print};
use crate::api::types::{Explanation, Request};
use crate::explain::{parse_frame, shape_alone};
use crate::hex;

/// Longest text read from standard input.
const LIMIT: u64 = 64 * 1024;

/// Options of `explain`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A whole Ethernet frame in hexadecimal; `-` reads standard input
    #[arg(value_name = "HEX")]
    frame: String,
    /// The mesh port, if no node runs
    #[arg(long, env = "NX0_PORT", default_value_t = PORT)]
    port: u16,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let text = if args.frame == "-" {
        standard_input()?
    } else {
        args.frame.clone()
    };
    let frame = parse_frame(&text).map_err(|error| {
        Failure::usage(format!("this is no Ethernet frame in hexadecimal: {error}"))
    })?;
    let explanation = match ask(&args.reading.place, &frame) {
        Err(Failure::NotRunning(_)) => shape_alone(&frame, args.port),
        other => other?,
    };
    if args.reading.json {
        print::json(&explanation);
    } else {
        print::data(&text_of(&explanation));
    }
    Ok(())
}

fn ask(place: &Place, frame: &[u8]) -> Result<Explanation, Failure> {
    Ok(place.client()?.ask(&Request::Explain {
        frame: hex::encode(frame),
    })?)
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(LIMIT).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    Ok(text)
}

fn text_of(explanation: &Explanation) -> String {
    let mut rows = Vec::new();
    for step in &explanation.steps {
        rows.push(vec![
            step.result.clone(),
            step.check.clone(),
            step.found.clone(),
        ]);
    }
    let mut text = print::table(&rows);
    text.push('\n');
    text.push_str(&print::wrapped(
        &format!("{}: ", explanation.verdict),
        &explanation.help,
    ));
    text.push_str(&print::wrapped("judged against ", &explanation.against));
    text
}
