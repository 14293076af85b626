//! Who is a member: the anchor tells, members listen and ask.

use core::time::Duration;

use nexus0_common::wire::{
    Ask, GROUP, LOWEST_VERSION, ROSTER_ENTRIES, ROSTER_ENTRY_LEN, Roster, RosterEntry,
};

use crate::admission::Admitted;
use crate::draft::Draft;
use crate::filter::MapOp;
use crate::grant::Grant;
use crate::id::{ChainId, NodeId, RosterDigest};
use crate::lineage::Lineage;
use crate::node::{Event, Node};
use crate::roster::Member;
use crate::sabotage::{Sabotage, planted};
use crate::time::Time;
use crate::timer::Timer;

/// What an ASK asks for.
pub(crate) mod what {
    pub(crate) const ROSTER: u8 = 1;
    pub(crate) const NEXT_EPOCH: u8 = 2;
    pub(crate) const REVOCATIONS: u8 = 3;
}

/// Before a node asks for what it misses, others may have asked.
pub(crate) const ASK_AFTER: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_millis(300));
/// The anchor multicasts the whole roster, or the next epoch, at most this often.
pub(crate) const REPEAT: Duration = Duration::from_millis(100);
/// It repeats a whole roster at a rate of one ROSTER in this time, however many ask.
const PER_PAGE: Duration = Duration::from_millis(20);

impl Node {
    /// Takes a node into the roster and the filter.
    pub(crate) fn learn(&mut self, now: Time, grant: Grant, highest: Option<u8>) {
        let (id, name) = (grant.node_id(), grant.name().to_owned());
        let name = match self.keys.iter().next() {
            Some(key) if planted(Sabotage::LeakInEvent) => format!("{:?}", *key.material.secret),
            _ => name,
        };
        if self.roster.get(id).is_some() {
            self.roster.renew(grant, highest);
            return;
        }
        let highest = highest.unwrap_or(LOWEST_VERSION);
        if self.roster.insert(Member::new(grant, highest, now)) {
            self.op(MapOp::InstallPeer(id));
            self.repeat_for_newcomer(now);
            self.event(Event::PeerAdded { id, name });
        }
    }

    /// Takes a node out of the roster and the filter.
    pub(crate) fn forget(&mut self, id: NodeId) {
        if id == self.id {
            return;
        }
        if let Some(member) = self.roster.remove(id) {
            self.op(MapOp::RemovePeer(id));
            self.event(Event::PeerGone {
                id,
                name: member.grant.name().to_owned(),
            });
        }
    }

    /// Whether the whole roster is known.
    pub(crate) fn complete(&self) -> bool {
        let Some(lineage) = &self.lineage else {
            return false;
        };
        lineage.anchor == self.id || self.roster.digest() == Some(lineage.roster)
    }

    /// Asks soon if the roster differs from the announced one.
    pub(crate) fn check_roster(&mut self, now: Time) {
        if self.complete() {
            self.timers.stop(Timer::AskRoster);
            if let Some(lineage) = &mut self.lineage {
                lineage.complete_at = now;
            }
            self.prune(now);
            return;
        }
        let patience = self.rhythm.pulses(3, 1);
        let overdue = |lineage: &Lineage| now.since(lineage.complete_at) > patience;
        if self.join.is_none() && self.lineage.as_ref().is_some_and(overdue) {
            self.start_join(now);
            return;
        }
        let pause = self.between(ASK_AFTER.0, ASK_AFTER.1);
        self.timers.set_once(Timer::AskRoster, now + pause);
    }

    /// Asks soon for an epoch that was missed.
    pub(crate) fn miss_epoch(&mut self, now: Time) {
        let pause = self.between(ASK_AFTER.0, ASK_AFTER.1);
        self.timers.set_once(Timer::AskEpoch, now + pause);
    }

    /// A complete roster ends what was known beside it, and a node that is left out joins again.
    fn prune(&mut self, now: Time) {
        if self.is_anchor() {
            return;
        }
        let Some(lineage) = &self.lineage else { return };
        let (anchor, since) = (lineage.anchor, lineage.since);
        for id in self.roster.unlisted() {
            if id != anchor && id != self.id {
                self.forget(id);
            }
        }
        if !self.roster.succession().contains(&self.id)
            && self.join.is_none()
            && now.since(since) > self.rhythm.pulses(3, 1)
        {
            self.start_join(now);
        }
    }

    pub(crate) fn ask_roster(&mut self, now: Time) {
        let anchor = self.lineage.as_ref().map(|lineage| lineage.anchor);
        if let Some(anchor) = anchor.filter(|_| !self.complete()) {
            self.ask(now, anchor, what::ROSTER);
        }
    }

    pub(crate) fn ask_epoch(&mut self, now: Time) {
        let Some(lineage) = &self.lineage else { return };
        let held = lineage
            .named
            .is_some_and(|(_, next)| self.keys.find(next).is_some());
        if held || self.keys.next(lineage.chain, now).is_some() {
            return;
        }
        // What is missing may be a preemptor's.
        let (anchor, heir) = (lineage.anchor, self.heir(now));
        self.ask(now, anchor, what::NEXT_EPOCH);
        if let Some(heir) = heir.filter(|heir| *heir != self.id) {
            self.ask(now, heir, what::NEXT_EPOCH);
        }
    }

    fn ask(&mut self, now: Time, whom: NodeId, what: u8) -> Option<()> {
        let address = self.roster.get(whom)?.address?;
        let under = self.under_current(now)?;
        let held = self.roster.digest().unwrap_or_default().0;
        self.counters.asks_sent += 1;
        self.send(&under, address, &Ask { what, held }).map(drop)
    }

    /// The anchor repeats what a member misses, to all.
    pub(crate) fn on_ask(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let ask = Ask::parse(frame.body())?;
        if ask.what == what::REVOCATIONS {
            return self.on_ask_revocations(now, frame, ask.held);
        }
        let preempts = self
            .preemption
            .as_ref()
            .is_some_and(|held| held.by == self.id);
        let heeded = self.is_anchor() || (preempts && ask.what == what::NEXT_EPOCH);
        if !heeded {
            return None;
        }
        match ask.what {
            what::ROSTER if Some(RosterDigest(ask.held)) != self.roster.digest() => {
                let pages = self.roster.succession().len().div_ceil(ROSTER_ENTRIES);
                let pause = PER_PAGE.saturating_mul(pages as u32).max(REPEAT);
                let earliest = self.desk.last_pages.map_or(now, |at| now.max(at + pause));
                self.timers.set_once(Timer::Pages, earliest);
            }
            what::NEXT_EPOCH => {
                let rested = self
                    .desk
                    .last_announcement
                    .is_none_or(|at| now.since(at) >= REPEAT);
                if !rested {
                    return None;
                }
                if preempts {
                    return self.send_preemption(now);
                }
                self.keys.next(self.lineage.as_ref()?.chain, now)?;
                self.send_announcement(now)?;
            }
            _ => {}
        }
        Some(())
    }

    /// Tells everyone of newcomers.
    pub(crate) fn send_newcomers(&mut self, now: Time) {
        let newcomers = core::mem::take(&mut self.desk.newcomers);
        self.send_entries(now, &newcomers);
    }

    /// Tells everyone everything, and whom nobody follows.
    pub(crate) fn send_pages(&mut self, now: Time) {
        self.desk.last_pages = Some(now);
        let all = self.roster.succession().to_vec();
        if self.send_entries(now, &all).is_some() {
            self.warn_newcomers(now);
        }
    }

    fn send_entries(&mut self, now: Time, ids: &[NodeId]) -> Option<()> {
        if !self.is_anchor() {
            return None;
        }
        let under = self.under_current(now)?;
        let lineage = self.lineage.as_ref()?;
        let (chain, number) = (lineage.chain.0, lineage.number);
        let roster = self.roster.digest()?.0;
        let members = self.roster.succession().len() as u16;
        let entries: Vec<[u8; ROSTER_ENTRY_LEN]> = ids
            .iter()
            .filter_map(|id| self.roster.entry(*id).map(|entry| entry.bytes()))
            .collect();
        for entries in entries.chunks(ROSTER_ENTRIES) {
            self.send(
                &under,
                GROUP,
                &Roster {
                    chain,
                    number,
                    roster,
                    members,
                    entries,
                },
            );
        }
        Some(())
    }

    /// The anchor tells of some or all members.
    pub(crate) fn on_roster(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Roster::parse(frame.body())?;
        let lineage = self.lineage.as_ref()?;
        if frame.sender != lineage.anchor || ChainId(body.chain) != lineage.chain {
            return None;
        }
        if body.number < lineage.number {
            self.counters.fenced += 1;
            // Asked for before the turn, answered after it.
            self.check_roster(now);
            return None;
        }
        self.lineage.as_mut()?.roster = RosterDigest(body.roster);
        for entry in body.entries.iter().filter_map(RosterEntry::parse) {
            self.take_entry(now, &entry);
        }
        self.take_draft(body.members);
        self.check_roster(now);
        Some(())
    }

    fn take_entry(&mut self, now: Time, entry: &RosterEntry) -> Option<()> {
        let claimed = crate::grant::peek_node_id(&entry.grant)?;
        let grant = self.strangers_grant(&entry.grant, claimed)?;
        if claimed != self.id {
            self.learn(now, grant, Some(entry.highest));
        }
        self.draft.insert(entry.position, claimed);
        Some(())
    }

    /// Takes the order up once it has no gap.
    fn take_draft(&mut self, members: u16) {
        let Some(order) = self.draft.order(members) else {
            return;
        };
        let held = self.roster.succession();
        let known = if order.starts_with(held) {
            held.len()
        } else {
            0
        };
        let listed_before = |(index, id): (usize, &NodeId)| {
            let before = order.get(..index);
            before.is_some_and(|before| before.contains(id))
        };
        if !order.iter().enumerate().skip(known).any(listed_before) {
            self.roster.set_succession(order);
        }
    }

    /// Starts the draft from the order held.
    pub(crate) fn redraft(&mut self) {
        self.draft = Draft::of(self.roster.succession());
    }

    /// Forgets joiners that were never heard. One that was let in here may have become the anchor since, or a
    /// member of the chain that this node went over to.
    pub(crate) fn sweep_members(&mut self, now: Time) {
        let over = |member: &Member| member.pending_until.is_some_and(|until| until <= now);
        let anchor = self.lineage.as_ref().map(|lineage| lineage.anchor);
        let belongs = |id: NodeId| anchor == Some(id) || self.roster.succession().contains(&id);
        let gone: Vec<NodeId> = self
            .roster
            .iter()
            .filter(|(id, member)| over(member) && !belongs(*id))
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.forget(id);
        }
    }

    /// The anchor leaves out members not heard for twelve pulses.
    pub(crate) fn drop_silent(&mut self, now: Time) {
        let limit = self.rhythm.pulses(12, 1);
        let silent = |member: &Member| {
            let last = member.last_heard.max(Some(member.known_since));
            last.is_none_or(|at| now.since(at) > limit)
        };
        let gone: Vec<NodeId> = self
            .roster
            .iter()
            .filter(|(id, member)| *id != self.id && silent(member))
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.forget(id);
        }
    }
}
