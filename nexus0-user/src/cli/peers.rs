//! `nexus0 peers`: who is here.

use super::options::Reading;
use super::{Failure, print};
use crate::api::types::{Peer, Peers, Request};

/// Options of `peers`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let peers: Peers = args.reading.place.client()?.ask(&Request::Peers)?;
    if args.reading.json {
        print::json(&peers);
        return Ok(());
    }
    if let Some(name) = &peers.open {
        print::data(&print::wrapped("", &print::open_sentence(name)));
    }
    let mut rows = vec![print::row([
        "NAME", "NODE", "TYPE", "ZONE", "EGO", "STATE", "HEARD",
    ])];
    rows.extend(peers.peers.iter().map(row));
    print::data(&print::table(&rows));
    Ok(())
}

fn row(peer: &Peer) -> Vec<String> {
    let member = &peer.member;
    let state = match (peer.anchor, peer.state.as_str()) {
        (true, "myself") => "me, anchor".into(),
        (true, state) => format!("{state}, anchor"),
        (false, "myself") => "me".into(),
        (false, state) => state.to_owned(),
    };
    let heard = match (peer.heard_ms, peer.state.as_str()) {
        (_, "myself") => String::new(),
        (Some(ms), _) => format!("{} ago", print::span_ms(ms)),
        (None, _) => "never".into(),
    };
    vec![
        member.name.clone(),
        member.id.clone(),
        member.kind.clone(),
        member.zone.clone(),
        member.ego.to_string(),
        state,
        heard,
    ]
}
