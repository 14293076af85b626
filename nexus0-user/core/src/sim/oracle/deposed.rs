//! Nobody goes over from an anchor for its silence that it heard within two pulses.

use core::time::Duration;
use std::collections::BTreeMap;

use nexus0_common::wire::{FrameType, Header};

use crate::event::Reason;
use crate::id::NodeId;
use crate::node::Node;
use crate::time::Time;

/// When each host last heard the pulse of the anchor it follows.
#[derive(Debug)]
pub(super) struct Heard {
    pulse: Duration,
    last: BTreeMap<usize, (NodeId, Time)>,
}

impl Heard {
    pub(super) fn new(pulse: Duration) -> Self {
        Self {
            pulse,
            last: BTreeMap::new(),
        }
    }

    /// A controller starts and has heard nobody.
    pub(super) fn forget(&mut self, host: usize) {
        self.last.remove(&host);
    }

    /// A node accepted a frame.
    pub(super) fn accepted(&mut self, now: Time, host: usize, node: &Node, header: &Header) {
        let sender = NodeId(header.sender);
        let anchor = node.lineage.as_ref().map(|lineage| lineage.anchor);
        if header.frame_type == FrameType::Anchor && anchor == Some(sender) {
            self.last.insert(host, (sender, now));
        }
    }

    /// A node goes over to another anchor.
    pub(super) fn changed(
        &self,
        now: Time,
        host: usize,
        old: Option<NodeId>,
        reason: Reason,
    ) -> Result<(), String> {
        let Some((anchor, at)) = self.last.get(&host) else {
            return Ok(());
        };
        let ago = now.since(*at);
        if reason == Reason::Silence && old == Some(*anchor) && ago < self.pulse * 19 / 10 {
            return Err(format!("{anchor} was heard {ago:?} before"));
        }
        Ok(())
    }
}
