//! The `nexus0` command: one file per verb. Data goes to standard output, talk to standard error.

mod anchor;
mod detach;
mod drops;
mod epochs;
mod explain;
mod failure;
mod flood;
mod identity;
mod lab;
mod leftover;
mod mesh;
mod options;
mod peers;
mod print;
mod revocations;
mod revoke;
mod run;
mod sim;
mod status;
mod traffic;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use failure::Failure;
pub(crate) use options::duration;

/// A mesh on one link whose membership is enforced in the kernel, frame by frame.
///
/// Without a verb: the status of the node that runs here.
#[derive(Parser)]
#[command(name = "nexus0", version, next_line_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    status: status::Args,
}

const EXIT_CODES: &str = "\
Exit codes: 0 healthy, 1 degraded or failed, 2 usage, 3 not running,
4 permission, 5 the interface is gone or new: run again.
First steps: `nexus0 run --iface IF` says what is missing.";

#[derive(Subcommand)]
enum Verb {
    /// How the node is: warnings first (the same as no verb at all)
    Status(status::Args),
    /// Be a node on an interface
    Run(run::Args),
    /// Who is here
    Peers(peers::Args),
    /// Who leads, why, and who is next
    Anchor(anchor::Args),
    /// The epoch keys held: ids and ages, never bytes
    Epochs(epochs::Args),
    /// Who is out of the mesh
    Revocations(revocations::Args),
    /// Why frames were refused
    Drops(drops::Args),
    /// Judge one Ethernet frame and print each step
    Explain(explain::Args),
    /// Make a mesh, admit nodes to it
    Mesh(mesh::Args),
    /// This node's public identity, made on first use
    Identity(identity::Args),
    /// Remove the filter from an interface
    Detach(detach::Args),
    /// A mesh on this machine, flooded, watched and accounted for
    Lab(lab::Args),
    /// The same protocol on a simulated link, with faults and oracles
    Sim(sim::Args),
    /// Send forged frames into a lab, or into a link of your own
    Flood(flood::Args),
    /// What coordination costs on the link, beside a jury, Raft and SWIM
    Traffic(traffic::Args),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb {
        None => status::run(&cli.status),
        Some(Verb::Status(args)) => status::run(&args),
        Some(Verb::Run(args)) => run::run(args),
        Some(Verb::Peers(args)) => peers::run(&args),
        Some(Verb::Anchor(args)) => anchor::run(&args),
        Some(Verb::Epochs(args)) => epochs::run(&args),
        Some(Verb::Revocations(args)) => revocations::run(&args),
        Some(Verb::Drops(args)) => drops::run(&args),
        Some(Verb::Explain(args)) => explain::run(&args),
        Some(Verb::Mesh(args)) => mesh::run(&args),
        Some(Verb::Identity(args)) => identity::run(&args),
        Some(Verb::Detach(args)) => detach::run(&args),
        Some(Verb::Lab(args)) => lab::run(&args),
        Some(Verb::Sim(args)) => sim::run(&args),
        Some(Verb::Flood(args)) => flood::run(&args),
        Some(Verb::Traffic(args)) => traffic::run(&args),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    if let Some(text) = failure.text() {
        eprintln!("nexus0: {text}");
    }
    ExitCode::from(failure.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
