//! `nexus0 epochs`: the keys held, without their bytes.

use super::options::Reading;
use super::{Failure, print};
use crate::api::types::{EpochLine, Epochs, Request};

/// Options of `epochs`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let epochs: Epochs = args.reading.place.client()?.ask(&Request::Epochs)?;
    if args.reading.json {
        print::json(&epochs);
        return Ok(());
    }
    if epochs.epochs.is_empty() {
        print::data("no epoch key is held");
        return Ok(());
    }
    let mut rows = vec![print::row([
        "EPOCH",
        "KEY ID",
        "STATE",
        "VALID SINCE",
        "UNTIL",
    ])];
    rows.extend(epochs.epochs.iter().map(|epoch| row(epoch, epochs.now_ns)));
    print::data(&print::table(&rows));
    if let Some(chain) = &epochs.chain {
        print::data(&format!("chain {chain}"));
    }
    Ok(())
}

fn row(epoch: &EpochLine, now: u64) -> Vec<String> {
    vec![
        epoch.number.to_string(),
        epoch.key_id.clone(),
        epoch.state.clone(),
        relative(epoch.not_before_ns, now),
        relative(epoch.not_after_ns, now),
    ]
}

fn relative(at: u64, now: u64) -> String {
    match at.checked_sub(now) {
        _ if at == u64::MAX => "for ever".into(),
        Some(ahead) => format!("in {}", print::span_ms(ahead / 1_000_000)),
        None => format!("{} ago", print::span_ms((now - at) / 1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_told_from_now() {
        assert_eq!(relative(5_000_000_000, 3_000_000_000), "in 2.0 s");
        assert_eq!(relative(3_000_000_000, 5_000_000_000), "2.0 s ago");
        assert_eq!(relative(u64::MAX, 5), "for ever");
    }
}
