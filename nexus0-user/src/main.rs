//! The `nexus0` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    nexus0::cli::main()
}
