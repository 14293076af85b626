//! The chain a node is in, and what it knows of its anchor.

use crate::event::Reason;
use crate::id::{ChainId, KeyId, NodeId, RosterDigest};
use crate::time::Time;

/// Bytes of an ANCHOR frame up to its signature.
pub(crate) const PULSE_LEN: usize = 119;

/// The last signed pulse of an anchor, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastPulse {
    /// When.
    pub(crate) at: Time,
    /// The sender's counter.
    pub(crate) sequence: u64,
    /// From which address.
    pub(crate) source: [u8; 16],
    /// Header, body and signature.
    pub(crate) frame: [u8; PULSE_LEN],
}

/// One chain as this node sees it.
#[derive(Clone, Debug)]
pub(crate) struct Lineage {
    /// The chain.
    pub(crate) chain: ChainId,
    /// The chain it came from by promotion or preemption.
    pub(crate) parent: Option<ChainId>,
    /// The parent's number then.
    pub(crate) parent_number: u64,
    /// The highest number taken up.
    pub(crate) number: u64,
    /// Whose chain it is.
    pub(crate) anchor: NodeId,
    /// When this node came into the chain.
    pub(crate) since: Time,
    /// When the whole roster was last known.
    pub(crate) complete_at: Time,
    /// The anchor's last signed sign of life, heard or shown by another.
    pub(crate) last_life: Time,
    /// The last one heard.
    pub(crate) last_heard: Time,
    /// The anchor's last pulse.
    pub(crate) last_pulse: Option<LastPulse>,
    /// The previous anchor's last pulse.
    pub(crate) previous_pulse: Option<Time>,
    /// Set when the anchor said that it is none any more: when, and how.
    pub(crate) gone: Option<(Time, Reason)>,
    /// It came from its parent by promotion: of two of those the better-ranked counts.
    pub(crate) promoted: bool,
    /// The current key under which the anchor's newest pulse came, and the next key that it named.
    pub(crate) named: Option<(KeyId, KeyId)>,
    /// The roster the anchor announced.
    pub(crate) roster: RosterDigest,
}

impl Lineage {
    /// A chain just entered.
    pub(crate) fn new(chain: ChainId, anchor: NodeId, number: u64, now: Time) -> Self {
        Self {
            chain,
            parent: None,
            parent_number: 0,
            number,
            anchor,
            since: now,
            complete_at: now,
            last_life: now,
            last_heard: now,
            last_pulse: None,
            previous_pulse: None,
            gone: None,
            promoted: false,
            named: None,
            roster: RosterDigest::default(),
        }
    }

    /// The anchor lives: this node heard it.
    pub(crate) fn hear(&mut self, now: Time) {
        self.last_life = now;
        self.last_heard = now;
    }
}
