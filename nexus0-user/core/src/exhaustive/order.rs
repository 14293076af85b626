//! Who is a member, in order of seniority.

use super::world::{MOST, Who};

/// A succession.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Order {
    ids: [Who; MOST],
    len: u8,
}

impl Order {
    pub(super) fn of(ids: &[Who]) -> Self {
        let mut order = Self::default();
        for id in ids {
            order.append(*id);
        }
        order
    }

    pub(super) fn ids(&self) -> &[Who] {
        &self.ids[..usize::from(self.len)]
    }

    pub(super) fn position(&self, id: Who) -> Option<u32> {
        self.ids()
            .iter()
            .position(|other| *other == id)
            .map(|at| at as u32)
    }

    pub(super) fn append(&mut self, id: Who) {
        if self.position(id).is_none() {
            self.ids[usize::from(self.len)] = id;
            self.len += 1;
        }
    }

    pub(super) fn strike(&mut self, id: Who) {
        let kept: Vec<Who> = self.ids().iter().copied().filter(|o| *o != id).collect();
        *self = Self::default();
        for id in kept {
            self.append(id);
        }
    }
}

impl core::fmt::Debug for Order {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.ids())
    }
}
