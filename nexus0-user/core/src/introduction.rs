//! INTRODUCE: an outranked anchor names its followers to the winner, who lets them come.

use nexus0_common::wire::{INTRODUCED, INTRODUCED_LEN, Introduce};

use crate::admission::Admitted;
use crate::answer::MAX_ROWS;
use crate::grant::{Grant, peek_node_id};
use crate::id::NodeId;
use crate::membership::REPEAT;
use crate::node::Node;
use crate::roster::Member;
use crate::send::Under;
use crate::time::Time;
use crate::timer::Timer;

/// Of the nodes not heard yet, at most so many were introduced.
const MAX_INTRODUCED: usize = MAX_ROWS / 2;

impl Node {
    /// Names nodes to another chain's anchor, under its key.
    pub(crate) fn introduce(&mut self, under: &Under, address: [u8; 16], ids: &[NodeId]) {
        let entries: Vec<[u8; INTRODUCED_LEN]> = ids
            .iter()
            .filter_map(|id| self.roster.get(*id).and_then(entry))
            .collect();
        for entries in entries.chunks(INTRODUCED) {
            self.send(under, address, &Introduce { entries });
        }
    }

    /// Nodes of a chain that is over will come without asking: the roster follows when they were heard.
    pub(crate) fn on_introduce(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Introduce::parse(frame.body())?;
        let chain = self.lineage.as_ref()?.chain;
        if !self.is_anchor() || frame.chain != Some(chain) {
            return None;
        }
        let wire = self.keys.current(chain, now)?.material.wire;
        let speaks = |entry: &&[u8; INTRODUCED_LEN]| entry.first() >= Some(&wire);
        for [highest, grant @ ..] in body.entries.iter().filter(speaks) {
            self.admit_introduced(now, *highest, grant)?;
        }
        let shown = now + self.rhythm.pulses(1, 10) + REPEAT;
        self.timers.set_once(Timer::Pages, shown);
        Some(())
    }

    /// `None` ends the frame: a grant that does not verify, or no room. Who is known stays what it is, but
    /// its silence counts anew: it was heard elsewhere.
    fn admit_introduced(&mut self, now: Time, highest: u8, grant: &[u8; 134]) -> Option<()> {
        let id = peek_node_id(grant)?;
        if let Some(member) = self.roster.get_mut(id) {
            member.known_since = now;
            return Some(());
        }
        let (pending, introduced) = self.pending();
        if introduced >= MAX_INTRODUCED || pending >= MAX_ROWS {
            return None;
        }
        let grant = self.strangers_grant(grant, id)?;
        let until = now + self.rhythm.pulses(3, 1);
        self.learn(now, grant, Some(highest));
        let member = self.roster.get_mut(id)?;
        member.pending_until = Some(until);
        member.introduced = true;
        self.counters.introduced += 1;
        Some(())
    }

    /// How many nodes are let in but not heard yet, and how many of them were introduced.
    pub(crate) fn pending(&self) -> (usize, usize) {
        let pending = |member: &&Member| member.pending_until.is_some();
        let all = self.roster.iter().map(|(_, member)| member);
        let introduced = |member: &&Member| member.introduced;
        let count = all.clone().filter(pending).count();
        (count, all.filter(pending).filter(introduced).count())
    }

    /// Makes room for a joiner by an introduced node that was not heard yet; whether there was one.
    pub(crate) fn evict_introduced(&mut self) -> bool {
        let waiting = |member: &Member| member.pending_until.is_some() && member.introduced;
        let first = self.roster.iter().find(|(_, member)| waiting(member));
        let first = first.map(|(id, _)| id);
        if let Some(id) = first {
            self.forget(id);
        }
        first.is_some()
    }
}

fn entry(member: &Member) -> Option<[u8; INTRODUCED_LEN]> {
    let grant: &Grant = &member.grant;
    let mut bytes = [0; INTRODUCED_LEN];
    let (highest, room) = bytes.split_first_mut()?;
    *highest = member.highest;
    room.copy_from_slice(grant.bytes());
    Some(bytes)
}
