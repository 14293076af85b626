//! Nobody holds a key of a wire version that it does not speak.

use core::cmp::Ordering;
use std::collections::BTreeMap;

use nexus0_common::wire::{FrameType, Header};

use crate::node::Node;

/// In which version each host pulsed last as an anchor.
#[derive(Debug, Default)]
pub(super) struct Spoken(BTreeMap<usize, u8>);

impl Spoken {
    /// A frame goes out; whether an anchor went up or down with it.
    pub(super) fn sent(&mut self, host: usize, header: &Header) -> Option<&'static str> {
        if header.frame_type != FrameType::Anchor {
            return None;
        }
        let before = self.0.insert(host, header.version)?;
        match header.version.cmp(&before) {
            Ordering::Greater => Some("version-raised"),
            Ordering::Less => Some("version-lowered"),
            Ordering::Equal => None,
        }
    }
}

/// Judges the keys that a node holds.
pub(super) fn keys(node: &Node) -> Result<(), String> {
    let foreign = |key: &&crate::epoch::EpochKey| !node.speaks(key.material.wire);
    match node.keys.iter().find(foreign) {
        Some(key) => {
            let (id, wire) = (key.material.id, key.material.wire);
            Err(format!("key {id} of version {wire}"))
        }
        None => Ok(()),
    }
}
