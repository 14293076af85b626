//! What each host could read if it kept all it ever knew: the keys it held, and whatever was sealed under them
//! and reached its link, whether its protocol listened or not.

use std::collections::{BTreeMap, BTreeSet};

use nexus0_common::wire::{Epoch, FrameType, HEADER_LEN, Header, Merge};

use super::epochs::Epochs;
use crate::id::{ChainId, KeyId, NodeId};

/// Keys by who can read them.
#[derive(Debug, Default)]
pub(super) struct Readable(BTreeMap<NodeId, BTreeSet<KeyId>>);

impl Readable {
    /// Somebody holds a key.
    pub(super) fn held(&mut self, id: NodeId, key: KeyId) {
        self.0.entry(id).or_default().insert(key);
    }

    /// A frame reached somebody's link.
    pub(super) fn overheard(&mut self, id: NodeId, payload: &[u8], epochs: &Epochs) {
        let Some(header) = Header::parse(payload) else {
            return;
        };
        let sealed = matches!(header.frame_type, FrameType::Epoch | FrameType::Merge);
        if !sealed || !self.can(id, KeyId(header.key_id)) {
            return;
        }
        let body = payload.get(HEADER_LEN..).unwrap_or_default();
        if header.frame_type == FrameType::Merge {
            let Some(merge) = Merge::parse(body) else {
                return;
            };
            for number in [merge.number, merge.number + 1] {
                if let Some(key) = epochs.key(ChainId(merge.chain), number) {
                    self.held(id, key);
                }
            }
        } else if let Some(epoch) = Epoch::parse(body) {
            self.held(id, KeyId(epoch.head.key_id));
        }
    }

    /// Whether somebody can read what is sent under a key.
    pub(super) fn can(&self, id: NodeId, key: KeyId) -> bool {
        self.0.get(&id).is_some_and(|keys| keys.contains(&key))
    }
}
