//! What happens next: frames that arrive and timers that fire, in order of time and then of making.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;

use super::packet::Packet;
use crate::time::Time;

/// Something due.
#[derive(Debug)]
pub(crate) enum Due {
    /// A frame arrives at a host.
    Frame(usize, Rc<Packet>),
    /// A host's node has something to do.
    Timer(usize),
}

#[derive(Debug)]
struct Entry {
    at: Time,
    order: u64,
    due: Due,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// All that is due.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    count: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, due: Due) {
        self.count += 1;
        self.heap.push(Reverse(Entry {
            at,
            order: self.count,
            due,
        }));
    }

    /// When the next thing is due.
    pub(crate) fn next(&self) -> Option<Time> {
        Some(self.heap.peek()?.0.at)
    }

    /// Takes the next thing out if it is due by `end`.
    pub(crate) fn pop(&mut self, end: Time) -> Option<(Time, Due)> {
        self.next().filter(|at| *at <= end)?;
        let Reverse(entry) = self.heap.pop()?;
        Some((entry.at, entry.due))
    }
}
