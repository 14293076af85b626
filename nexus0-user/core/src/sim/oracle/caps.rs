//! Every table keeps within its cap.

use crate::node::Node;

/// Judges what a node holds.
pub(super) fn check(node: &Node) -> Result<(), String> {
    for (table, rows, cap) in node.tables() {
        if rows > cap {
            return Err(format!("{table} holds {rows}, at most {cap}"));
        }
    }
    Ok(())
}
