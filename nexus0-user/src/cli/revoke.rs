//! `nexus0 mesh revoke`: the next revocation list, on disk and in every node that runs here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nexus0_core::id::NodeId;
use nexus0_core::revocation::{MAX_REVOKED, RevocationError, Revocations};
use serde_json::json;

use super::options::{Place, RUN_DIR, STATE_DIR, interfaces};
use super::{Failure, print};
use crate::api::types::{Peers, Request, RevocationsReport, SCHEMA};
use crate::hex;
use crate::store::{GrantFile, MeshRootFile, RevocationsFile};

/// Options of `mesh revoke`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Whom: node ids, names that a node running here knows, or grant files
    #[arg(value_name = "NODE|NAME|FILE", required_unless_present = "floor")]
    who: Vec<String>,
    /// Make grants with a lower serial void
    #[arg(long, value_name = "SERIAL")]
    floor: Option<u32>,
    /// The root's files
    #[arg(long, value_name = "DIR", env = "NX0_STATE_DIR", default_value = STATE_DIR)]
    dir: PathBuf,
    /// Who gets the list [default: all here]
    #[arg(long, value_name = "IF", env = "NX0_IFACE")]
    iface: Option<String>,
    /// Control sockets
    #[arg(long, value_name = "DIR", env = "NX0_RUN_DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Print JSON with a schema number
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let root = MeshRootFile::open(&args.dir)?;
    let public_key = root.root.public_key();
    let file = RevocationsFile::new(&args.dir, public_key);
    let nodes = nodes(args);
    let held = newest(&file, &nodes)?;
    let who = args.who.iter().map(|who| find(who, &public_key, &nodes));
    let who = who.collect::<Result<BTreeSet<NodeId>, Failure>>()?;
    let list = if let Some(list) = next(&root, &held, &who, args.floor)? {
        list
    } else {
        eprintln!("nothing new: list {} says so already", held.number());
        held
    };
    file.keep(&list)?;
    show(args, &list, &file);
    hand_over(&list, &nodes)
}

/// The list after `held`; `None` if that says everything already.
fn next(
    root: &MeshRootFile,
    held: &Revocations,
    who: &BTreeSet<NodeId>,
    floor: Option<u32>,
) -> Result<Option<Revocations>, Failure> {
    let last = root.last_serial()?;
    let floor = floor.unwrap_or(held.floor());
    if floor < held.floor() {
        return Err(Failure::usage(format!(
            "the floor is {} already and never falls: void grants stay void",
            held.floor()
        )));
    }
    if floor > last.saturating_add(1) {
        return Err(Failure::usage(format!(
            "serial {last} is the highest given out: allowed is a floor up to {}",
            last.saturating_add(1)
        )));
    }
    let mut revoked = held.revoked().clone();
    // Above every serial given out nothing of the past counts, so the list of nodes starts anew.
    if floor > last && floor > held.floor() {
        revoked.clear();
    }
    revoked.extend(who);
    if floor == held.floor() && revoked == *held.revoked() {
        return Ok(None);
    }
    let number = held.number().saturating_add(1);
    let list = root.root.revoke(number, floor, &revoked);
    list.map(Some).map_err(|error| full(error, last))
}

fn full(error: RevocationError, last: u32) -> Failure {
    match error {
        RevocationError::Full(count) => Failure::usage(format!(
            "{count} nodes would be on the list, {MAX_REVOKED} fit: start it anew with --floor {}, \
             which voids every grant given out so far, then `nexus0 mesh grant` to all that stay",
            last.saturating_add(1)
        )),
        other => Failure::usage(other.to_string()),
    }
}

/// Nodes that run here: all, or the one named.
fn nodes(args: &Args) -> Vec<Place> {
    let named = args.iface.clone().map(|iface| vec![iface]);
    let all = named.unwrap_or_else(|| interfaces(&args.run_dir));
    let place = |iface| Place {
        iface: Some(iface),
        run_dir: args.run_dir.clone(),
    };
    all.into_iter().map(place).collect()
}

/// The list to go on from: the root's, or a newer one of its own that a running node holds.
fn newest(file: &RevocationsFile, nodes: &[Place]) -> Result<Revocations, Failure> {
    let mut newest = file.load()?;
    for place in nodes {
        let Ok(mut node) = place.client() else {
            continue;
        };
        let report: RevocationsReport = node.ask(&Request::Revocations)?;
        let bytes = hex::decode(&report.list).unwrap_or_default();
        match file.verify(&bytes) {
            Ok(list) if list.number() > newest.number() => newest = list,
            _ => {}
        }
    }
    Ok(newest)
}

/// A node id, a grant file, or a name that a running node knows.
fn find(who: &str, root: &[u8; 32], nodes: &[Place]) -> Result<NodeId, Failure> {
    if let Ok(id) = hex::decode_array(who) {
        return Ok(NodeId(id));
    }
    if Path::new(who).is_file() {
        return Ok(GrantFile::load(Path::new(who), Some(root))?.grant.node_id());
    }
    let mut found = BTreeSet::new();
    for place in nodes {
        let Ok(mut node) = place.client() else {
            continue;
        };
        let peers: Peers = node.ask(&Request::Peers)?;
        let named = peers.peers.iter().filter(|peer| peer.member.name == who);
        found.extend(named.filter_map(|peer| hex::decode_array(&peer.member.id).ok()));
    }
    match found.pop_first() {
        Some(id) if found.is_empty() => Ok(NodeId(id)),
        Some(_) => Err(Failure::usage(format!(
            "several nodes are called \"{who}\": name one by its id (see `nexus0 peers`)"
        ))),
        None => Err(Failure::usage(format!(
            "\"{who}\" is neither a node id (16 hexadecimal digits) nor a grant file, and no node \
             that runs here knows a member of that name: give its id or its grant file"
        ))),
    }
}

fn show(args: &Args, list: &Revocations, file: &RevocationsFile) {
    let revoked: Vec<String> = list.revoked().iter().map(ToString::to_string).collect();
    eprintln!(
        "revocation list {} is in {}: it is public, every node may have it",
        list.number(),
        file.path().display()
    );
    if args.json {
        return print::json(&json!({
            "schema": SCHEMA,
            "number": list.number(),
            "floor": list.floor(),
            "revoked": revoked,
            "list": hex::encode(list.bytes()),
            "file": file.path(),
        }));
    }
    print::data(&format!(
        "list     {}\nfloor    {}\nrevoked  {}",
        list.number(),
        list.floor(),
        if revoked.is_empty() {
            "nobody".into()
        } else {
            revoked.join("\n         ")
        }
    ));
}

/// Hands the list to the nodes that run here; the mesh does the rest.
fn hand_over(list: &Revocations, nodes: &[Place]) -> Result<(), Failure> {
    if nodes.is_empty() {
        eprintln!(
            "no node runs here: bring the file to any member and run `nexus0 revocations --take FILE`"
        );
    }
    for place in nodes {
        let report = super::revocations::take(place, list.bytes())?;
        let iface = place.iface.as_deref().unwrap_or_default();
        eprintln!("{iface}: list {} is in force", report.number);
    }
    Ok(())
}
