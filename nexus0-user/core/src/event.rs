//! What happened, for people and for measurements.

use core::time::Duration;

use serde::Serialize;

use crate::id::{ChainId, KeyId, NodeId};
use crate::time::Time;

/// Why a node follows another anchor than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// An anchor answered the join.
    Answer,
    /// No mesh answered: this node started one.
    ColdStart,
    /// The anchor fell silent and a member promoted itself.
    Silence,
    /// The anchor said goodbye and a member promoted itself.
    Bye,
    /// The anchor came back without its state and a member promoted itself.
    Stateless,
    /// Of two promotions the better-ranked one won.
    Outranked,
    /// The anchor handed over to a better-ranked one.
    Merged,
    /// The promotion was wrong: the old anchor is alive.
    SteppedBack,
    /// A member with a higher ego took over as announced.
    Preemption,
    /// The anchor announced two epochs under one number.
    Cheated,
    /// The anchor was expelled and a member promoted itself.
    Revoked,
    /// The same anchor broke its chain: it leaves an expelled member behind, or takes in one of an older wire version.
    Break,
}

/// Something worth a line in a log. Refused frames never are (R16).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An answer to the join was accepted.
    Joined {
        /// Since the first request.
        elapsed: Duration,
        /// Who answered.
        anchor: NodeId,
    },
    /// Another anchor is followed.
    AnchorChanged {
        /// Who was followed before.
        old: Option<NodeId>,
        /// Who is followed now.
        new: NodeId,
        /// Its chain.
        chain: ChainId,
        /// The epoch's number.
        number: u64,
        /// Why.
        reason: Reason,
    },
    /// Frames are sent under the next key.
    EpochTurned {
        /// The epoch's number.
        number: u64,
        /// Names its key.
        key_id: KeyId,
        /// Its secret was sealed to each member on its own: who stole an earlier one is left behind.
        fresh: bool,
    },
    /// This node promoted itself.
    Promoted {
        /// Its chain.
        chain: ChainId,
        /// Its first epoch.
        number: u64,
    },
    /// A member takes over at the end of the next epoch.
    PreemptionAnnounced {
        /// Who.
        by: NodeId,
        /// Its first epoch.
        number: u64,
    },
    /// The preemptor fell silent or left: the anchor goes on.
    PreemptionDropped {
        /// Who.
        by: NodeId,
    },
    /// Two signed epochs under one number: this node is not followed any more.
    Cheated {
        /// Who signed them.
        anchor: NodeId,
    },
    /// This node took its promotion back.
    SteppedBack {
        /// The chain it gave up.
        chain: ChainId,
    },
    /// The roster has a new member.
    PeerAdded {
        /// Who.
        id: NodeId,
        /// Its name.
        name: String,
    },
    /// The roster lost a member.
    PeerGone {
        /// Who.
        id: NodeId,
        /// Its name.
        name: String,
    },
    /// The anchor missed its pulse: it is being probed.
    AnchorSilent {
        /// Its last sign of life.
        since: Time,
    },
    /// First signed pulse of an anchor's chain. The measure of a failover.
    FirstPulseOf {
        /// Who.
        anchor: NodeId,
        /// Its chain.
        chain: ChainId,
        /// Since the previous anchor's last accepted pulse.
        elapsed: Option<Duration>,
    },
    /// This node started a chain because nobody answered.
    ColdStart {
        /// Since the first request.
        elapsed: Duration,
    },
    /// The anchor replied that it lost its state.
    Stateless {
        /// Who.
        anchor: NodeId,
    },
    /// The anchor said goodbye.
    AnchorLeft {
        /// Who.
        anchor: NodeId,
    },
    /// An anchor of another, better-ranked chain proved that it lives: this anchor asks it for its epoch.
    Merging {
        /// Who.
        anchor: NodeId,
    },
    /// It did not answer: this anchor goes on.
    MergeAbandoned {
        /// Who.
        anchor: NodeId,
    },
    /// The process is another, the node goes on.
    Resumed {
        /// Who is followed.
        anchor: NodeId,
        /// Its chain.
        chain: ChainId,
        /// The epoch's number.
        number: u64,
        /// Since the snapshot was taken.
        away: Duration,
    },
    /// An epoch ended without a next one: joining again.
    Rejoining,
    /// Another node on the link has this node's identity: a second interface of this machine, or a copy of the key.
    SameIdentity {
        /// Where it speaks from.
        address: [u8; 16],
    },
    /// A newer revocation list was taken.
    RevocationsTaken {
        /// The list's number.
        number: u32,
        /// Grants with a lower serial are void.
        floor: u32,
        /// Who is out.
        revoked: Vec<NodeId>,
    },
    /// This node itself is out: it says nothing more.
    Expelled {
        /// The list's number.
        number: u32,
    },
}
