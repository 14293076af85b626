//! `nexus0 flood`: forged frames out of one interface.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::Failure;
use super::options::{duration, interface_name};
use crate::flood::{
    Bounds, Capture, Captured, Forge, Generator, Kind, Pace, Rate, Report, permission,
};
use crate::lab::interface;

/// Different frames of each kind.
const VARIANTS: usize = 1024;

/// Options of `flood`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Interface to send from
    #[arg(long, value_name = "IF", value_parser = interface_name)]
    iface: String,
    /// Kinds, separated by commas [default: all that can be made]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Frames a second, or max
    #[arg(long, default_value = "1000", value_parser = rate)]
    rate: Rate,
    /// Most frames of all kinds together
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Longest time for all kinds together
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    duration: Duration,
    /// Processors that send, each its share, the frames evenly spaced [default: any]
    #[arg(long, value_name = "NUMBER", value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Listen this long first, for the kinds made from what is heard
    #[arg(long, value_name = "TIME", value_parser = duration, num_args = 0..=1, default_missing_value = "3s")]
    capture: Option<Duration>,
    /// Flood a link that no lab made: everyone on it is hit
    #[arg(long)]
    i_own_this_link: bool,
    /// Print JSON with a schema number
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    schema: u32,
    interface: String,
    kinds: Vec<Line>,
    /// Kinds that nothing heard allows to make.
    impossible: Vec<&'static str>,
}

#[derive(Serialize)]
struct Line {
    kind: &'static str,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    permission::check(&args.iface, args.i_own_this_link)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let generator = Generator::new(&args.iface)?;
    let forge = Forge::new(interface::mac(&args.iface)?, listen(args)?);
    let wanted = if args.kinds.is_empty() {
        Kind::ALL
    } else {
        &args.kinds
    };
    let mut possible = Vec::new();
    let mut impossible = Vec::new();
    for kind in wanted {
        let frames = forge.frames(*kind, VARIANTS)?;
        if frames.is_empty() {
            impossible.push(kind.name());
        } else {
            possible.push((*kind, frames));
        }
    }
    if possible.is_empty() {
        return Err(Failure::usage(format!(
            "{} can only be made from what is heard: add --capture, with a mesh on the link",
            impossible.join(", ")
        )));
    }
    let kinds = send(args, &generator, &possible)?;
    print(
        args,
        &Output {
            schema: 1,
            interface: args.iface.clone(),
            kinds,
            impossible,
        },
    )
}

fn listen(args: &Args) -> Result<Captured, Failure> {
    let Some(patience) = args.capture else {
        return Ok(Captured::default());
    };
    let capture = Capture::start(interface::index(&args.iface)?)?;
    thread::sleep(patience);
    Ok(capture.captured())
}

fn send(
    args: &Args,
    generator: &Generator,
    kinds: &[(Kind, Vec<Vec<u8>>)],
) -> Result<Vec<Line>, Failure> {
    let share = kinds.len() as u32;
    let bounds = Bounds {
        frames: args.count.div_ceil(u64::from(share)),
        duration: args.duration / share,
    };
    let mut lines = Vec::new();
    for (kind, frames) in kinds {
        let never = AtomicBool::new(false);
        let report = if args.cpus.is_empty() {
            generator.run(frames, args.rate, bounds, &never)?
        } else {
            generator.pump(frames, &args.cpus, pace(args), bounds, &never)?
        };
        lines.push(Line {
            kind: kind.name(),
            report,
        });
    }
    Ok(lines)
}

/// Of one of the processors.
fn pace(args: &Args) -> Pace {
    match args.rate {
        Rate::Max => Pace::Flat,
        Rate::PerSecond(rate) => Pace::Even(rate / args.cpus.len() as u64),
    }
}

fn print(args: &Args, output: &Output) -> Result<(), Failure> {
    if args.json {
        let text = serde_json::to_string_pretty(output).map_err(anyhow::Error::from)?;
        println!("{text}");
        return Ok(());
    }
    println!(
        "{:<20}{:>14}{:>14}{:>10}{:>14}",
        "kind", "offered", "sent", "dropped", "per second"
    );
    for Line { kind, report } in &output.kinds {
        let rate = report.sent as f64 / report.seconds.max(1e-9);
        println!(
            "{kind:<20}{:>14}{:>14}{:>10}{rate:>14.0}",
            report.offered, report.sent, report.dropped
        );
    }
    if !output.impossible.is_empty() {
        println!(
            "nothing heard to make these from: {}",
            output.impossible.join(", ")
        );
    }
    Ok(())
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max);
    }
    match text.parse() {
        Ok(0) | Err(_) => Err("allowed: max, or frames a second, at least 1".into()),
        Ok(rate) => Ok(Rate::PerSecond(rate)),
    }
}
