//! What a node's driver does next when much has come at once: members' frames and the node's own timers first,
//! then, one by one, the frames that take signatures of joiners to judge. So a storm of joins delays neither
//! the node's pulse nor its hearing of others' by more than the work on one frame.

use core::time::Duration;
use std::collections::VecDeque;

use nexus0_common::wire::{FrameType, Header, Slot};

use crate::node::{Node, Role};
use crate::time::Time;

/// Frames that may wait: as many as the filter's door lets through at once.
pub const MAX_WAITING: usize = 512;

/// How long answers to joiners are put off so that those who wait are answered together with them.
const GATHERING: Duration = Duration::from_millis(100);

/// Frames that wait for their signatures to be judged.
#[derive(Debug)]
pub struct Inbox<T> {
    waiting: VecDeque<T>,
    /// Frames that found no room.
    pub overflow: u64,
    /// The most that ever waited.
    pub longest: usize,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            overflow: 0,
            longest: 0,
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Call [`Node::handle_timeout`].
    Timer,
    /// Hand this frame to the node.
    Frame(T),
    /// Wait.
    Nothing,
}

impl<T> Inbox<T> {
    /// Whether a payload waits its turn: frames at the door, and those in which an anchor or a member shows
    /// grants of newcomers. Everything else is to be handed to the node as it is read.
    pub fn takes(payload: &[u8]) -> bool {
        Header::parse(payload).is_some_and(|header| {
            header.frame_type.slot() == Slot::Door
                || matches!(header.frame_type, FrameType::Roster | FrameType::Introduce)
        })
    }

    /// Lets a frame wait, or counts it if there is no room.
    pub fn put(&mut self, frame: T) {
        if self.waiting.len() >= MAX_WAITING {
            self.overflow += 1;
            return;
        }
        self.waiting.push_back(frame);
        self.longest = self.longest.max(self.waiting.len());
    }

    /// To be asked when everything that had come was read. A node outside of every chain has no pulse that
    /// could be late, and what it waits for is at the door: it starts no chain over answers unread.
    pub fn next(&mut self, node: &Node, now: Time) -> Next<T> {
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        let outside = matches!(node.role(), Role::Joining | Role::Waiting);
        let first = if self.waiting.is_empty() {
            due(node.poll_timeout())
        } else {
            let gathered = node.poll_timeout().map(|at| at + GATHERING);
            !outside && (due(node.poll_pressing()) || due(gathered))
        };
        if first {
            return Next::Timer;
        }
        self.waiting.pop_front().map_or(Next::Nothing, Next::Frame)
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
