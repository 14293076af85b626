//! `nexus0 revocations`: who is out, as a running node holds it; also hands it a list from elsewhere.

use std::path::PathBuf;

use super::options::{Place, Reading};
use super::{Failure, print};
use crate::api::types::{Request, RevocationsReport};
use crate::hex;
use crate::store::{StoreError, revocations};

/// Options of `revocations`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Hand the node this list: it takes a newer one and passes it on
    #[arg(long, value_name = "FILE")]
    take: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let place = &args.reading.place;
    let report = match &args.take {
        Some(path) => take(place, &read(path)?)?,
        None => place.client()?.ask(&Request::Revocations)?,
    };
    if args.reading.json {
        print::json(&report);
    } else {
        print::data(&text(&report));
    }
    Ok(())
}

/// Hands a list to a node; says what it holds then.
pub(super) fn take(place: &Place, list: &[u8]) -> Result<RevocationsReport, Failure> {
    let list = hex::encode(list);
    Ok(place.client()?.ask(&Request::Take { list })?)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|source| StoreError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    revocations::bytes(&text).map_err(|what| {
        Failure::usage(format!(
            "{} is no revocation list: {what}; `nexus0 mesh revoke` writes them",
            path.display()
        ))
    })
}

fn text(report: &RevocationsReport) -> String {
    if report.open.is_some() {
        return "this mesh is OPEN: nobody can be expelled from it".into();
    }
    if report.number == 0 {
        return "no revocation list is held: nobody is out".into();
    }
    let mut rows = vec![print::row(["NODE", "NAME"])];
    let names = report.revoked.iter().map(|node| {
        let name = node.name.clone().unwrap_or_default();
        vec![node.id.clone(), name]
    });
    rows.extend(names);
    let kept = if report.kept {
        ""
    } else {
        " (NOT on disk: see `nexus0 status`)"
    };
    format!(
        "list {}{kept}, grants with a serial below {} are void, {} out\n\n{}",
        report.number,
        report.floor,
        report.revoked.len(),
        print::table(&rows)
    )
}
