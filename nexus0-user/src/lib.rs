//! The NEXUS-0 node: sockets, clock and data plane around `nexus0-core`.
