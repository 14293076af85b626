//! `nexus0 identity`: who this node is, in public.

use std::path::PathBuf;

use serde_json::json;

use super::options::STATE_DIR;
use super::{Failure, print};
use crate::api::types::SCHEMA;
use crate::hex;
use crate::store::load_or_create_identity;

/// Options of `identity`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The node's files
    #[arg(long, value_name = "DIR", env = "NX0_STATE_DIR", default_value = STATE_DIR)]
    dir: PathBuf,
    /// Print JSON with a schema number
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (identity, path, new) = load_or_create_identity(&args.dir)?;
    if new {
        eprintln!(
            "made a new identity in {}: keep it, and keep it to yourself",
            path.display()
        );
    }
    let (public_key, node_id) = (hex::encode(&identity.public_key()), identity.node_id());
    if args.json {
        print::json(&json!({
            "schema": SCHEMA,
            "public_key": public_key,
            "node_id": node_id.to_string(),
            "file": path,
        }));
    } else {
        print::data(&format!("public key  {public_key}\nnode id     {node_id}"));
    }
    Ok(())
}
