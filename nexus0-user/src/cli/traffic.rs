//! `nexus0 traffic`: what coordination costs on the link, beside a jury, Raft and SWIM.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::Failure;
use crate::traffic::{NODES, Report, SIZES, markdown, plot, table};

/// Options of `traffic`.
#[derive(ClapArgs)]
pub(super) struct Args {
    /// Sizes to simulate
    #[arg(long, value_name = "N,N,..", value_delimiter = ',', default_values_t = SIZES)]
    nodes: Vec<usize>,
    /// One JSON object
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Tables as Markdown
    #[arg(long)]
    markdown: bool,
    /// Also draw the curves into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(nodes) = args.nodes.iter().find(|nodes| !NODES.contains(nodes)) {
        let (least, most) = (NODES.start(), NODES.end());
        return Err(Failure::usage(format!(
            "--nodes {nodes}: a size is {least} to {most}; for example --nodes 3,10,100"
        )));
    }
    let report = Report::measure(&args.nodes, |nodes| eprintln!("simulating {nodes} nodes"))?;
    if let Some(file) = &args.svg {
        std::fs::write(file, plot(&report)).map_err(|error| {
            anyhow::anyhow!(
                "cannot write {}: {error}; give a path in a folder that exists",
                file.display()
            )
        })?;
    }
    if args.json {
        super::print::json(&report);
    } else if args.markdown {
        print!("{}", markdown(&report));
    } else {
        print!("{}", table(&report));
    }
    Ok(())
}
