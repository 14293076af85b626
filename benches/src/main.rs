//! Measurements of NEXUS-0.

fn main() {}
