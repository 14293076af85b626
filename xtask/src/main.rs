//! The chores of NEXUS-0.

fn main() {}
