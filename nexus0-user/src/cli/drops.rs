//! `nexus0 drops`: why frames were refused, summed up or live.

use std::net::Ipv6Addr;

use nexus0_common::reason::Verdict;

use super::options::Reading;
use super::{Failure, print};
use crate::api::types::{DropLine, Drops, Request};

/// Options of `drops`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print sampled refused frames as they come
    #[arg(long)]
    follow: bool,
    /// Only this reason
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<String>,
    /// Only frames from this source (of the sampled ones)
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    from: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut node = args.reading.place.client()?;
    if args.follow {
        eprintln!("sampled refused frames, one line each; Ctrl-C ends");
        return Ok(node.follow(args.reason.clone(), args.from.clone(), |line| {
            show(&line, args.reading.json);
            true
        })?);
    }
    let mut drops: Drops = node.ask(&Request::Drops)?;
    drops
        .reasons
        .retain(|count| args.reason.as_ref().is_none_or(|r| *r == count.verdict));
    drops.last.retain(|line| wanted(line, args));
    if args.reading.json {
        print::json(&drops);
    } else {
        print::data(&text(&drops, args.from.is_some()));
    }
    Ok(())
}

fn wanted(line: &DropLine, args: &Args) -> bool {
    args.reason
        .as_ref()
        .is_none_or(|reason| *reason == line.reason)
        && args
            .from
            .as_ref()
            .is_none_or(|from| Some(from) == line.source.as_ref())
}

fn text(drops: &Drops, samples_only: bool) -> String {
    let mut text = String::new();
    if !samples_only {
        if drops.reasons.is_empty() {
            return "no frame was refused".into();
        }
        let mut rows = vec![print::row(["REASON", "FRAMES", "BYTES"])];
        for count in &drops.reasons {
            rows.push(vec![
                count.verdict.clone(),
                print::grouped(count.frames),
                print::bytes(count.bytes),
            ]);
        }
        text.push_str(&print::table(&rows));
        text.push('\n');
        for count in drops.reasons.iter().take(3) {
            let help = verdict(&count.verdict).map_or("", Verdict::help);
            text.push_str(&print::wrapped(&format!("{}: ", count.verdict), help));
        }
    }
    if !drops.last.is_empty() {
        text.push_str("\nlast samples:\n");
        drops
            .last
            .iter()
            .for_each(|line| text.push_str(&sample(line)));
    }
    text
}

fn show(line: &DropLine, json: bool) {
    if json {
        return print::json(line);
    }
    if line.missed > 0 {
        eprintln!("({} samples missed)", line.missed);
    }
    print::data(&sample(line));
}

fn sample(line: &DropLine) -> String {
    let seconds = line.at_ns / 1_000_000_000;
    let from = line.source.as_deref().unwrap_or("-");
    let to = line.destination.as_deref().unwrap_or("-");
    let millis = line.at_ns / 1_000_000 % 1000;
    format!(
        "{seconds:>7}.{millis:03}  {:<16}  {from} > {to}  {} B\n",
        line.reason, line.length
    )
}

fn verdict(name: &str) -> Option<Verdict> {
    Verdict::ALL
        .iter()
        .copied()
        .find(|verdict| verdict.name() == name)
}

fn reason(text: &str) -> Result<String, String> {
    if verdict(text).is_some_and(|verdict| !verdict.passes()) {
        return Ok(text.to_owned());
    }
    let all = Verdict::ALL
        .iter()
        .filter(|v| !v.passes())
        .map(|v| v.name());
    Err(format!("allowed: {}", all.collect::<Vec<_>>().join(", ")))
}

fn address(text: &str) -> Result<String, String> {
    let address: Ipv6Addr = text
        .parse()
        .map_err(|_| "allowed: an IPv6 address such as fe80::1".to_owned())?;
    Ok(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_addresses_are_checked() {
        assert!(reason("pre-tag").is_ok());
        assert!(reason("accepted").is_err());
        assert!(reason("nonsense").unwrap_err().contains("stale-epoch"));
        assert_eq!(address("FE80:0::1"), Ok("fe80::1".into()));
        assert!(address("10.0.0.1").is_err());
    }
}
