//! How full a node's tables are (R14).

use nexus0_common::maps::MAX_PEERS;

use crate::key_ring::MAX_KEYS;
use crate::node::Node;

impl Node {
    /// Name, rows and cap of every table that others can fill.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&'static str, usize, usize)> {
        let own = [
            ("keys", self.keys.iter().len(), MAX_KEYS),
            ("roster", self.roster.iter().len(), MAX_PEERS + 1),
            ("succession", self.roster.succession().len(), MAX_PEERS + 1),
            ("outputs", self.outputs.len(), 4096),
        ];
        let modules = [
            self.keys.tables(),
            self.desk.tables(),
            self.fence.tables(),
            self.ledger.tables(),
        ];
        own.into_iter().chain(modules.into_iter().flatten())
    }
}
