//! What a node shows of itself: plain data, no key bytes.

use serde::Serialize;

use crate::grant::Kind;
use crate::id::{ChainId, IdHash, KeyId, MeshId, NodeId};
use crate::node::Role;
use crate::time::Time;

/// Everything `status` shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct View {
    /// Since when by this node's clock the view holds.
    pub now: Time,
    /// Part this node plays.
    pub role: Role,
    /// This node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its mesh.
    pub mesh: MeshId,
    /// The followed anchor.
    pub anchor: Option<NodeId>,
    /// Why it is that one.
    pub why: Why,
    /// Who takes over from a living anchor.
    pub preemption: Option<PreemptionView>,
    /// The followed chain.
    pub chain: Option<ChainId>,
    /// The chain it came from.
    pub parent: Option<ChainId>,
    /// The current epoch.
    pub number: u64,
    /// What applications fence with.
    pub token: Option<Token>,
    /// Held keys.
    pub keys: Vec<KeyView>,
    /// When the next key takes over, or the current one ends.
    pub turn: Option<Time>,
    /// Whether this node knows the whole roster.
    pub complete: bool,
    /// Another node with this node's identity.
    pub twin: Option<TwinView>,
    /// All other members known.
    pub peers: Vec<PeerView>,
    /// Who is out.
    pub revocations: RevocationsView,
    /// Who signed two epochs under one number: nobody follows them.
    pub convicted: Vec<NodeId>,
    /// Whether everybody who knows the mesh's name can join.
    pub open: bool,
    /// What was counted.
    pub counters: Counters,
    /// Multicast frames by key and sender.
    pub ledger: Vec<LedgerView>,
}

/// A member with a higher ego takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PreemptionView {
    /// Who.
    pub by: NodeId,
    /// When; at the earliest, if it is not announced yet.
    pub at: Time,
    /// Whether it is announced.
    pub announced: bool,
}

/// Another node with this node's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TwinView {
    /// Where it speaks from.
    pub address: [u8; 16],
    /// When it was last recognised.
    pub heard: Time,
}

/// The revocation list held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RevocationsView {
    /// Its number; 0 for none.
    pub number: u32,
    /// Grants with a lower serial are void.
    pub floor: u32,
    /// Who is out.
    pub revoked: Vec<NodeId>,
    /// The list as it travels; empty for none.
    #[serde(skip)]
    pub list: Vec<u8>,
}

/// (number, chain): compared by applications in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Token {
    /// The epoch's number.
    pub number: u64,
    /// Its chain.
    pub chain: ChainId,
}

/// The one order, best first, and one sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Why {
    /// In words.
    pub sentence: String,
    /// All members known, best first.
    pub ranking: Vec<Ranked>,
}

/// One line of the ranking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ranked {
    /// Who.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its ego: higher first.
    pub ego: u8,
    /// Its seniority: lower first.
    pub seniority: u32,
    /// Breaks ties: higher first.
    pub id_hash: IdHash,
    /// How it is doing.
    pub state: PeerState,
}

/// How a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// This node itself.
    Myself,
    /// Heard within two and a half pulses.
    Alive,
    /// Not heard lately.
    Silent,
    /// Known, never heard.
    Unheard,
    /// It signed two epochs under one number: it counts in no rank.
    Convicted,
}

/// A held key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Names it on the wire.
    pub id: KeyId,
    /// Its epoch.
    pub number: u64,
    /// What it is used for.
    pub state: KeyState,
    /// First instant of validity.
    pub not_before: Time,
    /// First instant after validity.
    pub not_after: Time,
}

/// What a key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Announced.
    Next,
    /// Sent under.
    Current,
    /// Still accepted.
    Previous,
}

/// Another member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerView {
    /// Who.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub zone: String,
    /// What it is for.
    pub kind: Kind,
    /// Its ego.
    pub ego: u8,
    /// Its seniority.
    pub seniority: u32,
    /// Where it was last heard from.
    pub address: Option<[u8; 16]>,
    /// When it was last heard.
    pub last_heard: Option<Time>,
    /// When this node learned of it.
    pub known_since: Time,
    /// How it is doing.
    pub state: PeerState,
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Frames given to the node.
    pub received: u64,
    /// Of them refused by the node's own judgement.
    pub refused: u64,
    /// Of these, the ones under a key held, that did not end within the last second, and of a member known: what
    /// the filter must not let through.
    pub disagreements: u64,
    /// Copies of signed frames that the filter passed before the first of them was verified.
    pub copies: u64,
    /// Frames at the door beyond the rate of their half.
    pub door_refused: u64,
    /// Beacons sent because the filter refused frames at the door.
    pub extra_beacons: u64,
    /// Signatures that did not verify.
    pub signature_failures: u64,
    /// Requests to join that verified.
    pub requests_verified: u64,
    /// Answers computed: one Diffie-Hellman each.
    pub answers_computed: u64,
    /// Answers sent, repetitions included.
    pub answers_sent: u64,
    /// Requests this node sent.
    pub requests_sent: u64,
    /// Frames sent.
    pub sent: u64,
    /// Bytes of payload sent.
    pub sent_bytes: u64,
    /// Probes of a silent anchor.
    pub probes_sent: u64,
    /// HOLDs sent.
    pub holds_sent: u64,
    /// Questions sent.
    pub asks_sent: u64,
    /// STILL-HEREs sent.
    pub still_here_sent: u64,
    /// Own promotions.
    pub promotions: u64,
    /// Own preemptions announced.
    pub preemptions: u64,
    /// PROOFs sent.
    pub proofs_sent: u64,
    /// Members convicted of announcing two epochs under one number.
    pub cheats: u64,
    /// Own promotions taken back.
    pub steps_back: u64,
    /// Own chains handed over to a better-ranked anchor.
    pub handovers: u64,
    /// Chains entered because the followed anchor handed over.
    pub merges_followed: u64,
    /// Nodes that an outranked anchor introduced and that were let in.
    pub introduced: u64,
    /// Cold starts by this node.
    pub cold_starts: u64,
    /// Changes of the followed anchor.
    pub anchor_changes: u64,
    /// Turns to a next key.
    pub turns: u64,
    /// Of them to one whose secret came fresh, sealed to each member on its own.
    pub fresh_turns: u64,
    /// Revocation lists taken.
    pub revocations_taken: u64,
    /// Claims refused because an equal or newer number of the chain was accepted before.
    pub fenced: u64,
}

/// Multicast frames under one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerView {
    /// Names the key.
    pub key_id: KeyId,
    /// Its epoch.
    pub number: u64,
    /// Sent by this node.
    pub sent: u64,
    /// Accepted by this node.
    pub accepted: Vec<(NodeId, u64)>,
}
