//! What travels over the control socket: one JSON request per line, one JSON reply per line. The read
//! commands print the same objects with `--json`.
//!
//! Ids are lower-case hexadecimal text. Names that end in `_ns` are boot-clock nanoseconds, `_ms`
//! milliseconds. No secret ever appears here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of every object below; raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;
/// Longest request in bytes, line feed included.
pub const MAX_REQUEST: usize = 4096;

/// A question to a running node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Answered by [`Status`].
    Status,
    /// Answered by [`Peers`].
    Peers,
    /// Answered by [`AnchorReport`].
    Anchor,
    /// Answered by [`Epochs`].
    Epochs,
    /// Answered by [`Drops`].
    Drops,
    /// Answered by [`RevocationsReport`].
    Revocations,
    /// Takes a revocation list, if it is newer; answered by [`RevocationsReport`].
    Take {
        /// The signed list.
        list: String,
    },
    /// Answered by [`Explanation`].
    Explain {
        /// A whole Ethernet frame.
        frame: String,
    },
    /// Answered by one [`DropLine`] per sampled refused frame until the client closes.
    Follow {
        /// Only this reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Only from this source address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
    },
}

/// A request that was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Why.
    pub error: String,
}

/// Where a node stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// No usable link-local address yet.
    Waiting,
    /// Looking for a mesh.
    Joining,
    /// Follows the anchor.
    Member,
    /// Leads.
    Anchor,
    /// Said good-bye.
    Left,
    /// Expelled by the mesh root: silent.
    Revoked,
}

/// The state of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of the program.
    pub version: String,
    /// Boot-clock now.
    pub now_ns: u64,
    /// Milliseconds since the node started.
    pub uptime_ms: u64,
    /// What needs attention; empty on a healthy node.
    pub warnings: Vec<String>,
    /// Who the node is.
    pub node: Member,
    /// Public identity of the mesh.
    pub mesh_id: String,
    /// The mesh's name if it is open: everybody who knows it can join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// Number of the revocation list held; 0 for none.
    pub revocation: u32,
    /// Nodes it expels.
    pub revoked: usize,
    /// The interface.
    pub interface: String,
    /// The link-local address in use.
    pub address: Option<String>,
    /// Where the node stands.
    pub role: Option<Role>,
    /// The anchor followed, or this node itself.
    pub anchor: Option<Member>,
    /// The current chain; (`number`, `chain`) is the token that applications fence with.
    pub chain: Option<String>,
    /// The current epoch's number.
    pub number: Option<u64>,
    /// When the next key takes over, or the current one ends.
    pub turn_ns: Option<u64>,
    /// Members of the mesh known here, this node included.
    pub roster: usize,
    /// Whether that is the whole roster.
    pub roster_complete: bool,
    /// The filter.
    pub filter: FilterStatus,
    /// How accepted frames come into the node.
    #[serde(default)]
    pub receive: ReceiveStatus,
    /// Frames judged by the kernel, by verdict.
    pub counters: Vec<VerdictCount>,
    /// What the node itself counted.
    pub node_counters: BTreeMap<String, u64>,
    /// Milliseconds from the usable address to the first epoch key.
    pub join_ms: Option<f64>,
    /// Milliseconds from the usable address to the first chain, if this node started one.
    pub cold_start_ms: Option<u64>,
    /// The last anchor changes seen, the newest last.
    pub failovers: Vec<Failover>,
    /// The last events, the newest last.
    pub events: Vec<EventLine>,
    /// Multicast frames by key and sender.
    pub ledger: Vec<LedgerLine>,
}

/// A member as its grant describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Node id.
    pub id: String,
    /// Name.
    pub name: String,
    /// bridge, rig-hub, data-mule or agent.
    #[serde(rename = "type")]
    pub kind: String,
    /// Zone.
    pub zone: String,
    /// Ego, 0-100.
    pub ego: u8,
}

/// The attached filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterStatus {
    /// `native` or `generic`.
    pub mode: String,
    /// Kernel's number of the program.
    pub program_id: u32,
    /// Digest of its instructions.
    pub tag: String,
    /// Taken over from an earlier run, without an unfiltered moment.
    pub adopted: bool,
    /// `fast`, or why not.
    pub verifier: String,
    /// Folder of the pins.
    pub pins: String,
    /// Counts without refusing.
    pub observe: bool,
}

/// The way of accepted frames into the node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiveStatus {
    /// `af-xdp` or `socket`: through the network stack.
    pub path: String,
    /// What was asked for.
    pub asked: String,
    /// `copy` or `zero-copy`; absent on `socket`.
    pub delivery: Option<String>,
    /// Receive queues with an AF_XDP socket.
    pub queues: usize,
    /// Frames that came by them.
    pub frames: u64,
    /// Frames that found no room there.
    pub lost: u64,
    /// Why it is not what was asked for.
    pub why: Option<String>,
}

/// Frames of one verdict since the filter was attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictCount {
    /// Name of the verdict.
    pub verdict: String,
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One change of anchor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// When this node took the new anchor.
    pub at_ns: u64,
    /// The anchor before.
    pub from: Option<String>,
    /// The anchor after.
    pub to: String,
    /// The chain of the anchor after.
    pub chain: String,
    /// The epoch in which it was entered.
    pub number: u64,
    /// Why.
    pub reason: String,
    /// When the first pulse of the anchor after was accepted.
    pub pulse_ns: Option<u64>,
    /// Milliseconds from the last accepted pulse of the anchor before to the first of the one after;
    /// absent until that has come, and where there was none before.
    pub took_ms: Option<u64>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// When.
    pub at_ns: u64,
    /// Kebab-case name.
    pub kind: String,
    /// In words.
    pub text: String,
}

/// Multicast frames under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Key id.
    pub key_id: String,
    /// Its epoch.
    pub number: u64,
    /// Sent by this node.
    pub sent: u64,
    /// Accepted by this node, by sender.
    pub accepted: BTreeMap<String, u64>,
}

/// Who is here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Boot-clock now.
    pub now_ns: u64,
    /// The mesh's name if it is open: everybody who knows it can join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// By seniority, this node included.
    pub peers: Vec<Peer>,
}

/// One member of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Who.
    #[serde(flatten)]
    pub member: Member,
    /// Lower first; `None` while this node does not know its own.
    pub seniority: Option<u32>,
    /// Whether it leads.
    pub anchor: bool,
    /// `myself`, `alive`, `silent`, `unheard` or `convicted`.
    pub state: String,
    /// Milliseconds since it was last heard.
    pub heard_ms: Option<u64>,
    /// The address it was last heard from.
    pub address: Option<String>,
}

/// Who leads, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The anchor.
    pub anchor: Option<Member>,
    /// Whether it is this node.
    pub me: bool,
    /// The mesh's name if it is open: everybody who knows it can join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// The chain of its reign.
    pub chain: Option<String>,
    /// The chain it came from by promotion or preemption.
    pub parent: Option<String>,
    /// The current epoch's number.
    pub number: Option<u64>,
    /// In one sentence.
    pub why: String,
    /// Who takes over from the living anchor, and when.
    pub preemption: Option<Preemption>,
    /// Members by rank, best first: the first of them still heard follows when the anchor falls silent.
    pub ranking: Vec<Ranked>,
}

/// A member with a higher ego takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preemption {
    /// Who.
    pub by: Member,
    /// Milliseconds until then; at the least, if it is not announced yet.
    pub in_ms: u64,
    /// Whether it is announced.
    pub announced: bool,
}

/// A member in the order of the election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// Node id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Ego: higher first.
    pub ego: u8,
    /// Seniority: lower first.
    pub seniority: u32,
    /// Id hash: breaks ties, higher first.
    pub id_hash: String,
    /// `myself`, `alive`, `silent`, `unheard` or `convicted`.
    pub state: String,
    /// Whether it leads now.
    pub anchor: bool,
}

/// Who is out of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationsReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Public identity of the mesh.
    pub mesh_id: String,
    /// The mesh's name if it is open: then nobody can be expelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
    /// The list's number; 0 for none.
    pub number: u32,
    /// Grants with a lower serial are void.
    pub floor: u32,
    /// Nodes that are out.
    pub revoked: Vec<RevokedNode>,
    /// Whether the list is on disk.
    pub kept: bool,
    /// The signed list.
    pub list: String,
}

/// A node that is out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedNode {
    /// Node id.
    pub id: String,
    /// What it was called, where that is known.
    pub name: Option<String>,
}

/// The keys a node holds, without their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epochs {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Boot-clock now.
    pub now_ns: u64,
    /// The current chain.
    pub chain: Option<String>,
    /// When the next key takes over, or the current one ends.
    pub turn_ns: Option<u64>,
    /// The newest last.
    pub epochs: Vec<EpochLine>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochLine {
    /// Key id.
    pub key_id: String,
    /// Number.
    pub number: u64,
    /// `next`, `current` or `previous`.
    pub state: String,
    /// First instant of validity.
    pub not_before_ns: u64,
    /// First instant after validity.
    pub not_after_ns: u64,
}

/// Why frames were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Refusals by reason, most frames first; reasons that never fired are left out.
    pub reasons: Vec<VerdictCount>,
    /// The last sampled frames, the newest last.
    pub last: Vec<DropLine>,
}

/// One sampled refused frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropLine {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the node read the sample.
    pub at_ns: u64,
    /// Name of the reason.
    pub reason: String,
    /// Length of the frame.
    pub length: u32,
    /// Source address, if the frame has one.
    pub source: Option<String>,
    /// Destination address, if the frame has one.
    pub destination: Option<String>,
    /// Samples missed before this one because the reader was slow.
    #[serde(default)]
    pub missed: u64,
    /// The beginning of the frame.
    pub bytes: String,
}

/// The judgement of one frame, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the verdict.
    pub verdict: String,
    /// Its help.
    pub help: String,
    /// What it was judged against.
    pub against: String,
    /// The checks in their order, up to the one that decided.
    pub steps: Vec<Step>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What was checked.
    pub check: String,
    /// What was found.
    pub found: String,
    /// `ok`, `refused`, `foreign` or `unknown`.
    pub result: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_stable_spellings() {
        let spell = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(spell(&Request::Status), r#"{"ask":"status"}"#);
        let follow = Request::Follow {
            reason: Some("tag".into()),
            from: None,
        };
        assert_eq!(spell(&follow), r#"{"ask":"follow","reason":"tag"}"#);
        assert_eq!(
            serde_json::from_str::<Request>(&spell(&follow)).unwrap(),
            follow
        );
    }

    #[test]
    fn unknown_requests_and_fields_are_refused() {
        for text in [
            r#"{"ask":"keys"}"#,
            r#"{"ask":"follow","secret":1}"#,
            "{}",
            "[]",
            "1",
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }
}
