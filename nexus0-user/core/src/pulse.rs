//! The pulse: who I am and whom I follow, every P.

use nexus0_common::wire::{Anchor, Ann, GROUP, Pulse};

use crate::admission::Admitted;
use crate::id::{KeyId, NodeId, RosterDigest};
use crate::lineage::{LastPulse, PULSE_LEN};
use crate::node::{Event, Node};
use crate::time::Time;
use crate::timer::Timer;

impl Node {
    /// Sends a pulse and sets the time of the next.
    pub(crate) fn pulse(&mut self, now: Time) {
        let pause = self.jittered(self.rhythm.pulse, 10);
        self.timers.set(Timer::Pulse, now + pause);
        if self.is_anchor() {
            self.watch_preemptor(now);
            self.send_anchor(now);
            self.send_beacon();
        } else {
            self.send_ann(now);
        }
    }

    fn send_ann(&mut self, now: Time) -> Option<()> {
        let under = self.under_current(now)?;
        let body = Ann(self.pulse_body(now, 0)?);
        self.send(&under, GROUP, &body).map(drop)
    }

    /// The anchor's own last pulse is kept: it may have to prove that it lives.
    pub(crate) fn send_anchor(&mut self, now: Time) -> Option<()> {
        let under = self.under_current(now)?;
        let body = Anchor(self.pulse_body(now, 1)?);
        let payload = self.send(&under, GROUP, &body)?;
        let (sequence, source) = (self.sequence, self.address?);
        let frame: [u8; PULSE_LEN] = *payload.first_chunk()?;
        let lineage = self.lineage.as_mut()?;
        let first = lineage.last_pulse.is_none();
        lineage.last_pulse = Some(LastPulse {
            at: now,
            sequence,
            source,
            frame,
        });
        lineage.hear(now);
        if first {
            self.first_pulse(now);
        }
        Some(())
    }

    fn pulse_body(&self, now: Time, status: u8) -> Option<Pulse> {
        let lineage = self.lineage.as_ref()?;
        let next = self
            .following_key(now)
            .map_or(KeyId::default(), |key| key.material.id);
        Some(Pulse {
            status,
            flags: 0,
            anchor: lineage.anchor.0,
            uptime: now.since(self.started).as_secs() as u32,
            profile: self.grant.profile().0,
            roster: self.roster.digest().unwrap_or_default().0,
            next_key: next.0,
            revocation: self.shown_revocation(now),
        })
    }

    /// A member's pulse says which next key and which revocation list it holds.
    pub(crate) fn on_ann(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Pulse::parse(frame.body())?;
        if frame.chain == self.lineage.as_ref().map(|lineage| lineage.chain) {
            self.doubt(now, frame, &body);
            self.catch_up(now, &body);
        }
        self.compare_low(now, frame, body.revocation);
        Some(())
    }

    /// The anchor's pulse: a sign of life, and what it says of roster and next epoch.
    pub(crate) fn on_anchor(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Pulse::parse(frame.body())?;
        let lineage = self.lineage.as_ref()?;
        if frame.sender != lineage.anchor
            || frame.chain != Some(lineage.chain)
            || NodeId(body.anchor) != lineage.anchor
        {
            return None;
        }
        self.life(now, frame);
        self.compare_low(now, frame, body.revocation);
        let chain = self.lineage.as_ref()?.chain;
        let lineage = self.lineage.as_mut()?;
        let first = lineage.last_pulse.is_none();
        let newest = lineage
            .last_pulse
            .is_none_or(|last| last.sequence < frame.header.sequence);
        if newest {
            lineage.roster = RosterDigest(body.roster);
            lineage.named = Some((frame.key_id(), KeyId(body.next_key)));
            lineage.last_pulse = Some(LastPulse {
                at: now,
                sequence: frame.header.sequence,
                source: frame.source,
                frame: *frame.frame.first_chunk()?,
            });
        }
        if first {
            self.first_pulse(now);
        }
        if newest
            && body.next_key != [0; 4]
            && self.keys.next(chain, now).is_none()
            && self.keys.find(KeyId(body.next_key)).is_none()
        {
            self.miss_epoch(now);
        }
        self.check_roster(now);
        Some(())
    }

    fn first_pulse(&mut self, now: Time) {
        let Some(lineage) = &self.lineage else { return };
        let (anchor, chain) = (lineage.anchor, lineage.chain);
        let elapsed = lineage.previous_pulse.map(|last| now.since(last));
        self.event(Event::FirstPulseOf {
            anchor,
            chain,
            elapsed,
        });
    }

    /// A signed sign of life of the followed anchor.
    pub(crate) fn life(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let lineage = self.lineage.as_mut()?;
        if frame.sender == lineage.anchor && frame.chain == Some(lineage.chain) {
            lineage.hear(now);
            self.suspicion.calm();
            self.timers
                .set(Timer::Suspect, now + self.rhythm.pulses(5, 4));
        }
        Some(())
    }
}
