//! Who is out: the root's list as it grows over a run, and which of its editions the mesh can know.

use std::collections::BTreeSet;

use super::drive::Drive;
use super::network::Sim;
use super::plan::Who;
use crate::id::{KeyId, NodeId};
use crate::node::{Input, Node, Role};
use crate::revocation::Revocations;

/// The root's newest list.
#[derive(Debug, Default)]
pub(crate) struct Outcasts {
    number: u32,
    ids: BTreeSet<NodeId>,
}

impl Sim {
    /// Puts a host on the root's list, as who it is now; the list as it travels.
    fn cast_out(&mut self, host: usize) -> Vec<u8> {
        let id = self.id(host);
        let outcasts = &mut self.outcasts;
        outcasts.number += 1;
        outcasts.ids.insert(id);
        let list = self.root.revoke(outcasts.number, 0, &outcasts.ids);
        list.unwrap().bytes().to_vec()
    }

    /// A host's current key and its wire version.
    fn key(&self, host: usize) -> Option<(KeyId, u8)> {
        let local = self.nodes[host].clock.shows(self.now);
        let under = self.node(host).under_current(local)?;
        Some((under.material.id, under.material.wire))
    }

    /// The newest list that a host holds which may speak of it: who is on a list is silent about it.
    pub(crate) fn known_list(&self) -> Revocations {
        let root = self.root.public_key();
        let held = self.nodes.iter().filter_map(|host| {
            let list = Revocations::parse(&host.revocations, &root).ok()?;
            (!list.voids(&host.grant)).then_some(list)
        });
        held.max_by_key(Revocations::number).unwrap_or_default()
    }
}

impl Drive<'_> {
    /// The root expels one host and hands the list to another; one at least remains.
    pub(super) fn revoke(&mut self, out: Who, by: Who) -> Option<()> {
        let out = self.who(out)?;
        let all = 0..self.sim.nodes.len();
        let inside = |host: &usize| !self.sim.outcasts.ids.contains(&self.sim.id(*host));
        if !inside(&out) || all.clone().filter(inside).count() < 2 {
            return None;
        }
        let anyone = || all.clone().find_map(|host| self.victim(Who::Host(host)));
        let by = self.victim(by).or_else(anyone)?;
        self.fault("revoked");
        if self.sim.anchors().contains(&out) {
            self.met("anchor-revoked");
        }
        if !self.sim.blocked.is_empty() {
            self.met("revoked-while-parted");
        }
        self.mark(Some(out), "is expelled");
        let list = self.sim.cast_out(out);
        self.sim.input(by, Input::Revocations(&list));
        Some(())
    }

    /// Every host that stays holds the newest list; who is out by it is silent and stands in no roster.
    pub(super) fn casts_out(&mut self) {
        let list = self.sim.known_list();
        let told = |node: &Node| node.expulsion.list.number() == list.number();
        let limit = self.plan.config.pulse * 2;
        self.wait(limit, |sim| sim.staying().all(|(_, node)| told(node)));
        for host in 0..self.sim.nodes.len() {
            let node = self.sim.node(host);
            let (role, held) = (node.role(), node.expulsion.list.number());
            let listed = node.roster.succession().iter();
            let listed = listed.copied().find(|id| list.revoked().contains(id));
            let out = list.voids(&self.sim.nodes[host].grant);
            let silent = role == Role::Revoked;
            if silent != node.revoked() || out && !silent {
                let what = format!("{role:?} although out by list {}: {out}", list.number());
                self.unmet("expelled", Some(host), what);
            }
            if let Some(id) = listed.filter(|_| !silent) {
                self.unmet("expelled", Some(host), format!("lists {id}, who is out"));
            }
            if !silent && held != list.number() {
                let what = format!("holds list {held}, not {}", list.number());
                self.unmet("informed", Some(host), what);
            }
        }
    }

    /// Nobody who is out can read what the mesh says now, whatever it kept and heard.
    pub(super) fn shuts_out(&mut self) {
        let Some(key) = self.anchor().and_then(|anchor| self.sim.key(anchor)) else {
            return;
        };
        for id in self.sim.known_list().revoked() {
            if self.watch().reads(*id, key.0) {
                let what = format!("{id} is out and reads what key {} seals", key.0);
                self.unmet("left-behind", None, what);
            }
        }
    }

    /// The mesh speaks the highest version that all who stay speak.
    pub(super) fn speaks(&mut self) {
        let wires = self.sim.staying().map(|(_, node)| *node.config.wire.end());
        let Some(common) = wires.min() else { return };
        let said = |sim: &Sim| Some(sim.key(*sim.anchors().first()?)?.1);
        // What an epoch speaks is decided when it is drawn, and an older joiner counts for two epochs.
        let limit = self.plan.config.epoch * 3 / 2;
        if said(&self.sim) != Some(common)
            && self.wait(limit, |sim| said(sim) == Some(common)).is_none()
        {
            let what = format!("{:?} is spoken, not {common}", said(&self.sim));
            self.unmet("versions", self.anchor(), what);
        }
    }
}
