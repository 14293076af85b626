//! `nexus0 anchor`: who leads, and with `--why` the order that decided.

use super::options::Reading;
use super::{Failure, print};
use crate::api::types::{AnchorReport, Ranked, Request};

/// Options of `anchor`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Show the ranking, and who is next
    #[arg(long)]
    why: bool,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let report: AnchorReport = args.reading.place.client()?.ask(&Request::Anchor)?;
    if args.reading.json {
        print::json(&report);
    } else {
        print::data(&headline(&report));
        if let Some(name) = &report.open {
            print::data(&print::wrapped("", &print::open_sentence(name)));
        }
        if args.why {
            print::data(&why(&report));
        }
    }
    if report.anchor.is_some() {
        Ok(())
    } else {
        Err(Failure::Degraded)
    }
}

fn headline(report: &AnchorReport) -> String {
    let Some(anchor) = &report.anchor else {
        return "no anchor is followed".into();
    };
    let me = if report.me { ", this node" } else { "" };
    let chain = report.chain.as_deref().unwrap_or("none");
    let number = report.number.unwrap_or(0);
    let parent = report
        .parent
        .as_ref()
        .map_or(String::new(), |p| format!(", after {p}"));
    format!(
        "{} ({}){me}, ego {}\nchain {chain}{parent}, epoch {number}",
        anchor.name, anchor.id, anchor.ego
    )
}

fn why(report: &AnchorReport) -> String {
    let mut rows = vec![print::row([
        "",
        "NAME",
        "EGO",
        "SENIORITY",
        "ID HASH",
        "STATE",
        "",
    ])];
    let next = report.ranking.iter().position(|r| !r.anchor && is_heard(r));
    for (index, ranked) in report.ranking.iter().enumerate() {
        let note = match ranked.anchor {
            true => "leads",
            false if Some(index) == next => "is next",
            false => "",
        };
        rows.push(vec![
            (index + 1).to_string(),
            ranked.name.clone(),
            ranked.ego.to_string(),
            ranked.seniority.to_string(),
            ranked.id_hash.chars().take(16).collect(),
            ranked.state.clone(),
            note.into(),
        ]);
    }
    let order = "order: ego (higher first), seniority (lower first), id hash (higher first)";
    format!("\n{}\n\n{}{order}\n", report.why, print::table(&rows))
}

fn is_heard(ranked: &Ranked) -> bool {
    matches!(ranked.state.as_str(), "myself" | "alive")
}
