//! The anchor's controller killed and started again with what was kept: whether anybody noticed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use nexus0_common::reason::Verdict;
use serde::Serialize;

use crate::lab::ledger::Life;
use crate::lab::running::Lab;

/// What one restart did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Restart {
    /// From the kill to the start of the next process.
    pub down_ms: u64,
    /// Whether all are in the chain they were in before.
    pub same_chain: bool,
    /// Whether all follow the anchor they followed before.
    pub same_anchor: bool,
    /// Multicast frames of the killed node, of both its processes, under the key of the kill.
    pub sent: u64,
    /// Of those, the most that one other node did not accept, beyond what it had missed before the kill.
    pub lost: u64,
    /// Frames of others that its filter accepted and no process read: they arrived while none listened.
    pub unheard: u64,
}

/// What was so before.
#[derive(Clone, Debug)]
pub struct Before {
    victim: usize,
    chain: Option<String>,
    key: String,
    accepted: u64,
    /// Frames of the epoch's beginning, before the others were there.
    missed: BTreeMap<Life, u64>,
}

impl Lab {
    /// Kills a node's controller after a last look.
    pub fn kill_noting(&mut self, victim: usize) -> Result<Before> {
        self.poll()?;
        let accepted = self.accepted(victim)?;
        let sight = self.sights[victim].as_ref().context("it does not answer")?;
        let current = sight
            .epochs
            .epochs
            .iter()
            .find(|line| line.state == "current");
        let key = current.context("it has no key")?.key_id.clone();
        let (name, chain) = (sight.status.node.id.clone(), sight.status.chain.clone());
        let sent = self.seen.ledger.sent(&name, &key);
        self.kill_node(victim);
        // Whatever was sent by then has arrived by now.
        self.poll()?;
        Ok(Before {
            victim,
            chain,
            missed: self.seen.ledger.missed(&name, &key, sent),
            key,
            accepted,
        })
    }

    /// Compares, once everything has settled.
    pub fn compare_restart(&mut self, before: &Before, down: Duration) -> Result<Restart> {
        self.poll()?;
        let name = self.nodes[before.victim].admitted.id.clone();
        let sent = self.seen.ledger.sent(&name, &before.key);
        // Whatever was sent by then must have arrived by now.
        self.poll()?;
        let missed = self.seen.ledger.missed(&name, &before.key, sent);
        let more = missed
            .iter()
            .map(|(life, now)| now.saturating_sub(*before.missed.get(life).unwrap_or(&0)));
        let lost = more.max().unwrap_or(sent);
        let sight = self.sights[before.victim].as_ref();
        let read = sight.and_then(|sight| sight.status.node_counters.get("datagrams").copied());
        let accepted = self.accepted(before.victim)?;
        let chains = self
            .sights
            .iter()
            .flatten()
            .map(|sight| &sight.status.chain);
        Ok(Restart {
            down_ms: down.as_millis() as u64,
            same_chain: chains.clone().all(|chain| *chain == before.chain),
            same_anchor: self.agreed() == Some(before.victim),
            sent,
            lost,
            unheard: accepted.saturating_sub(before.accepted + read.unwrap_or(0)),
        })
    }

    fn accepted(&self, index: usize) -> Result<u64> {
        let frames = self.nodes[index].counts()?.frames()?;
        Ok(frames[Verdict::Accepted as usize])
    }
}
