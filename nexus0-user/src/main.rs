//! The `nexus0` command.

fn main() {
    println!("nexus0 {}", env!("CARGO_PKG_VERSION"));
}
