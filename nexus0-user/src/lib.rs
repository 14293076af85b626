//! The NEXUS-0 node: sockets, clock and data plane around `nexus0-core`.

pub mod api;
pub mod cli;
pub mod daemon;
pub mod dataplane;
pub mod explain;
pub mod flood;
pub mod hex;
pub mod lab;
mod sim;
pub mod store;
pub mod svg;
#[cfg(test)]
mod test_folder;
mod traffic;
