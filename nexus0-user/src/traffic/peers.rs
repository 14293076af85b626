//! Coordination services people run, as we measured them: literature here, nothing is run.

use serde::Serialize;

/// Where the figures are from.
pub(super) const SOURCE: &str = "measured by us on one bridge, 10 idle nodes";

/// A service and the bytes of an idle minute on the whole segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) bytes: u64,
}

/// Nodes on the bridge on which they were measured.
const NODES: f64 = 10.0;

impl Peer {
    pub(super) fn bytes_per_node(&self) -> f64 {
        self.bytes as f64 / NODES
    }
}

pub(super) const PEERS: [Peer; 8] = [
    peer("etcd 3.4, default timers", 5_100_000),
    peer("etcd 3.4, 15 s election", 3_070_000),
    peer("Serf, encrypted", 257_000),
    peer("Python prototype of NEXUS-0", 79_700),
    peer("Raft heartbeats (~)", 68_000),
    peer("corosync", 66_000),
    peer("Babel with HMAC", 51_000),
    peer("keepalived VRRPv3", 4_700),
];

const fn peer(name: &'static str, bytes: u64) -> Peer {
    Peer { name, bytes }
}
