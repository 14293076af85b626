//! Multicast frames by key and sender: what was sent and what arrived, so that loss can be counted exactly.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{KeyId, NodeId};
use crate::view::LedgerView;

/// Keys remembered.
const MAX_PAGES: usize = 16;
/// Senders counted under one key.
const MAX_SENDERS: usize = nexus0_common::maps::MAX_PEERS;

#[derive(Debug)]
struct Page {
    key_id: KeyId,
    number: u64,
    sent: u64,
    accepted: BTreeMap<NodeId, u64>,
}

/// The last sixteen keys' counts.
#[derive(Debug, Default)]
pub(crate) struct Ledger(VecDeque<Page>);

impl Ledger {
    /// Opens a page for a key, once.
    pub(crate) fn open(&mut self, key_id: KeyId, number: u64) {
        if self.page(key_id).is_some() {
            return;
        }
        if self.0.len() >= MAX_PAGES {
            self.0.pop_front();
        }
        self.0.push_back(Page {
            key_id,
            number,
            sent: 0,
            accepted: BTreeMap::new(),
        });
    }

    /// Counts a frame this node sent.
    pub(crate) fn sent(&mut self, key_id: KeyId) {
        if let Some(page) = self.page(key_id) {
            page.sent = page.sent.saturating_add(1);
        }
    }

    /// Counts a frame this node accepted.
    pub(crate) fn accepted(&mut self, key_id: KeyId, sender: NodeId) {
        let Some(page) = self.page(key_id) else {
            return;
        };
        if page.accepted.len() < MAX_SENDERS || page.accepted.contains_key(&sender) {
            let count = page.accepted.entry(sender).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Table, rows, cap.
    pub(crate) fn tables(&self) -> Vec<(&'static str, usize, usize)> {
        let senders = self.0.iter().map(|page| page.accepted.len()).max();
        vec![
            ("ledger pages", self.0.len(), MAX_PAGES),
            ("ledger senders", senders.unwrap_or(0), MAX_SENDERS),
        ]
    }

    /// What to show.
    pub(crate) fn view(&self) -> Vec<LedgerView> {
        let view = |page: &Page| LedgerView {
            key_id: page.key_id,
            number: page.number,
            sent: page.sent,
            accepted: page
                .accepted
                .iter()
                .map(|(id, count)| (*id, *count))
                .collect(),
        };
        self.0.iter().map(view).collect()
    }

    fn page(&mut self, key_id: KeyId) -> Option<&mut Page> {
        self.0.iter_mut().find(|page| page.key_id == key_id)
    }
}
