//! Saying goodbye, and hearing it.

use nexus0_common::wire::{Bye, GROUP};

use crate::admission::Admitted;
use crate::event::Reason;
use crate::id::ChainId;
use crate::node::{Event, Node};
use crate::time::Time;
use crate::timer::Timer;

/// Reasons in a BYE.
pub(crate) mod bye {
    pub(crate) const LEAVING: u8 = 0;
    pub(crate) const STEPPED_BACK: u8 = 1;
}

impl Node {
    /// Leaves the mesh on request; nothing is accepted afterwards.
    pub(crate) fn leave(&mut self, now: Time) {
        self.send_bye(now, bye::LEAVING);
        self.left = true;
        let mut ops = Vec::new();
        self.keys.clear(&mut ops);
        self.ops(ops);
        self.timers.clear();
        self.join = None;
        self.merge = None;
        self.lineage = None;
    }

    pub(crate) fn send_bye(&mut self, now: Time, reason: u8) -> Option<()> {
        let under = self.under_current(now)?;
        let chain = self.lineage.as_ref()?.chain.0;
        self.send(&under, GROUP, &Bye { chain, reason }).map(drop)
    }

    /// Someone says goodbye.
    pub(crate) fn on_bye(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Bye::parse(frame.body())?;
        let lineage = self.lineage.as_ref()?;
        if ChainId(body.chain) != lineage.chain || frame.chain != Some(lineage.chain) {
            return None;
        }
        if frame.sender == lineage.anchor {
            self.anchor_left(now, frame, body.reason)
        } else {
            self.member_left(now, frame)
        }
    }

    fn anchor_left(&mut self, now: Time, frame: &Admitted<'_>, reason: u8) -> Option<()> {
        self.event(Event::AnchorLeft {
            anchor: frame.sender,
        });
        if reason == bye::LEAVING {
            return self.anchor_gone(now, Reason::Bye);
        }
        if self.join.is_none() {
            self.start_join(now);
        }
        Some(())
    }

    /// At the anchor a leaver leaves the roster; elsewhere it only stops to count as heard.
    fn member_left(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        if self.is_anchor() {
            self.forget(frame.sender);
            self.timers.set_once(Timer::Pages, now);
        } else {
            self.roster.get_mut(frame.sender)?.last_heard = None;
        }
        Some(())
    }
}
