//! `nexus0 mesh`: the root key and the grants it signs.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use nexus0_core::grant::{Grant, GrantRequest, Kind, MAX_EGO, NAME_LEN};
use serde_json::json;

use super::options::STATE_DIR;
use super::{Failure, print};
use crate::api::types::SCHEMA;
use crate::hex;
use crate::store::{GrantFile, MeshRootFile, PUBLIC_FILE, ROOT_FILE, load_identity};

/// Options of `mesh`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the root key of a new mesh
    Init(Init),
    /// Admit a node: sign its name, type, zone and ego
    Grant(Grants),
    /// Expel nodes: sign the next list and hand it to the nodes here
    Revoke(super::revoke::Args),
}

#[derive(clap::Args)]
struct Init {
    /// The root's files
    #[arg(long, value_name = "DIR", env = "NX0_STATE_DIR", default_value = STATE_DIR)]
    dir: PathBuf,
    /// Print JSON with a schema number
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Grants {
    /// The root's files
    #[arg(long, value_name = "DIR", env = "NX0_STATE_DIR", default_value = STATE_DIR)]
    dir: PathBuf,
    /// The node's public key, as `nexus0 identity` prints it
    #[arg(long, value_name = "HEX", value_parser = public_key, required_unless_present = "identity")]
    key: Option<[u8; 32]>,
    /// The node's identity file, if it is on this machine
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    identity: Option<PathBuf>,
    /// Name, 1 to 16 bytes
    #[arg(long, env = "NX0_NAME", value_parser = name)]
    name: String,
    /// Bridge, Rig-Hub, Data-Mule or Agent
    #[arg(long = "type", value_name = "TYPE", env = "NX0_TYPE", value_parser = kind, default_value = "Agent")]
    kind: Kind,
    /// Zone, at most 16 bytes
    #[arg(long, env = "NX0_ZONE", value_parser = zone, default_value = "")]
    zone: String,
    /// Fitness to lead, 0 to 100
    #[arg(long, env = "NX0_EGO", value_parser = ego, default_value = "50")]
    ego: u8,
    /// Where to write the grant instead of to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.verb {
        Verb::Init(args) => init(args),
        Verb::Grant(args) => grant(args),
        Verb::Revoke(args) => super::revoke::run(args),
    }
}

fn init(args: &Init) -> Result<(), Failure> {
    let made = MeshRootFile::create(&args.dir)?;
    let public_key = hex::encode(&made.root.public_key());
    let mesh_id = made.root.mesh_id();
    eprintln!(
        "made the root of a new mesh in {}: who has {ROOT_FILE} admits nodes; back it up offline. \
         {PUBLIC_FILE} is for everybody.",
        args.dir.display()
    );
    if args.json {
        print::json(&json!({
            "schema": SCHEMA,
            "mesh_id": mesh_id.to_string(),
            "root_public_key": public_key,
            "dir": args.dir,
        }));
    } else {
        print::data(&format!("mesh id   {mesh_id}\nroot key  {public_key}"));
    }
    Ok(())
}

fn grant(args: &Grants) -> Result<(), Failure> {
    let root = MeshRootFile::open(&args.dir)?;
    let public_key = match (&args.key, &args.identity) {
        (Some(key), _) => *key,
        (None, Some(path)) => load_identity(path)?.public_key(),
        (None, None) => return Err(Failure::usage("name the node with --key or --identity")),
    };
    let request = GrantRequest {
        public_key,
        name: &args.name,
        zone: &args.zone,
        kind: args.kind,
        ego: args.ego,
        serial: root.next_serial()?,
    };
    let grant = root
        .root
        .issue(&request)
        .map_err(|error| Failure::usage(error.to_string()))?;
    hand_out(
        &GrantFile {
            root: root.root.public_key(),
            grant,
        },
        args.out.as_deref(),
    )
}

fn hand_out(file: &GrantFile, out: Option<&Path>) -> Result<(), Failure> {
    eprintln!("{}", describe(&file.grant));
    match out {
        Some(path) => {
            file.save(path)?;
            eprintln!("written to {}", path.display());
        }
        None => print::data(&file.text()),
    }
    Ok(())
}

fn describe(grant: &Grant) -> String {
    format!(
        "granted: node {} is \"{}\", {}, zone \"{}\", ego {}, serial {}",
        grant.node_id(),
        grant.name(),
        grant.kind(),
        grant.zone(),
        grant.ego(),
        grant.serial()
    )
}

fn public_key(text: &str) -> Result<[u8; 32], String> {
    let key = hex::decode_array(text).map_err(|error| error.to_string())?;
    let point = ed25519_dalek::VerifyingKey::from_bytes(&key);
    match point {
        Ok(point) if !point.is_weak() => Ok(key),
        _ => Err("allowed: an Ed25519 public key, 64 hexadecimal digits".into()),
    }
}

/// Reads the type of a node, in any mixture of capitals.
pub(super) fn kind(text: &str) -> Result<Kind, String> {
    Kind::from_name(&text.to_ascii_lowercase())
        .map_err(|_| "allowed: Bridge, Rig-Hub, Data-Mule, Agent".into())
}

fn ego(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(ego @ 0..=MAX_EGO) => Ok(ego),
        _ => Err(format!("allowed: a number from 0 to {MAX_EGO}")),
    }
}

pub(super) fn name(text: &str) -> Result<String, String> {
    label(text, 1)
}

pub(super) fn zone(text: &str) -> Result<String, String> {
    label(text, 0)
}

fn label(text: &str, least: usize) -> Result<String, String> {
    if (least..=NAME_LEN).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "allowed: {least} to {NAME_LEN} bytes of printable UTF-8, this has {}",
        text.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_name_what_is_allowed() {
        assert_eq!(kind("rig-HUB"), Ok(Kind::RigHub));
        assert!(kind("King").unwrap_err().contains("Rig-Hub"));
        assert_eq!(ego("100"), Ok(100));
        assert!(ego("101").unwrap_err().contains("0 to 100"));
        assert!(name("").is_err() && zone("").is_ok());
        assert!(name("seventeen letters").unwrap_err().contains("17"));
        assert!(name("a\nb").is_err());
    }

    #[test]
    fn weak_and_impossible_public_keys_are_refused() {
        assert!(public_key(&"00".repeat(32)).is_err(), "small order");
        assert!(public_key("00").unwrap_err().contains("1 bytes"));
        let good = nexus0_core::grant::MeshRoot::from_seed(&[1; 32]).public_key();
        assert_eq!(public_key(&hex::encode(&good)), Ok(good));
    }
}
