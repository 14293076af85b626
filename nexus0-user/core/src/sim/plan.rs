//! What a run does to a mesh: its nodes, its link, and faults at their times.

use core::time::Duration;

use crate::node::NodeConfig;
use crate::sabotage::Sabotage;

/// What the link does to frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Frames lost, in parts per thousand.
    pub loss: u64,
    /// Frames that come twice, in parts per thousand.
    pub duplication: u64,
    /// Milliseconds on the way, least and most.
    pub delay: (u64, u64),
    /// Milliseconds that a multicast frame may take longer: it is overtaken by unicast ones.
    pub reorder: u64,
}

impl Conditions {
    /// Nothing is lost, and a frame takes a millisecond.
    pub const GOOD: Self = Self {
        loss: 0,
        duplication: 0,
        delay: (1, 1),
        reorder: 0,
    };
}

/// Whom something is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The host with this index.
    Host(usize),
    /// Who is the anchor then; the lowest index if there are several, host 0 if there is none.
    Anchor,
    /// The lowest host that runs and is not an anchor then.
    Follower,
}

/// What a member does that lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Pulses in others' names, with high sequences.
    ForgeAnn,
    /// Four hundred signed frames at once.
    Spam,
    /// A promotion beside a living anchor, never taken back.
    Promote,
    /// As the anchor: two keys for the next epoch.
    Equivocate,
    /// As the anchor: another key for the current epoch.
    AnnounceOld,
    /// Pulses in the name of the host that was killed last, and its old frames.
    ReviveDead,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ForgeAnn,
        Self::Spam,
        Self::Promote,
        Self::Equivocate,
        Self::AnnounceOld,
        Self::ReviveDead,
    ];
}

/// What is expected of the mesh at some instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// So many anchors.
    Anchors(usize),
    /// This host is the anchor of everyone it hears.
    Anchor(usize),
    /// One anchor per part, followed by all of it.
    Agreement,
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Cuts the link into parts.
    Partition(Vec<Vec<usize>>),
    /// Whatever the first send, the second do not hear.
    OneWay(Vec<usize>, Vec<usize>),
    /// Ends all cuts.
    Heal,
    /// Kills the controller; it comes back after so long, if at all.
    Kill(Who, Option<Duration>),
    /// Starts the controller again.
    Start(usize),
    /// The host boots again at once.
    Reboot(Who),
    /// The host loses its disk and comes back as somebody new.
    Wipe(Who),
    /// The host sleeps for so long.
    Suspend(Who, Duration),
    /// The controller stands still for so long.
    Stall(Who, Duration),
    /// It goes on.
    Resume(usize),
    /// The link goes away for so long.
    Flap(Who, Duration),
    /// It is back.
    LinkUp(usize),
    /// The interface gets another address.
    Renumber(Who),
    /// The node says goodbye and ends; it comes back after so long, if at all.
    Leave(Who, Option<Duration>),
    /// A new node with this ego.
    Add(u8),
    /// The link changes.
    Link(Conditions),
    /// What the first sends is lost on its way to the second, in parts per thousand.
    Lossy(usize, usize, u64),
    /// What strangers do, in deeds per minute.
    Strangers(u32),
    /// A member lies.
    Lie(Who, Lie),
    /// The root expels the first; the second is handed the list.
    Revoke(Who, Who),
    /// The controller is replaced by one that speaks wire versions up to this.
    Replace(Who, u8),
    /// Something must hold.
    Expect(Expect),
}

/// Something done at its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Since the start of the run.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything random follows from it.
    pub seed: u64,
    /// One ego for each node.
    pub egos: Vec<u8>,
    /// Pulse, epoch, wire versions.
    pub config: NodeConfig,
    /// The highest wire version that each host speaks; who is not in it speaks those of the configuration.
    pub wires: Vec<u8>,
    /// The link at the start.
    pub link: Conditions,
    /// Clocks run this much wrong at most, in parts per million.
    pub drift: u32,
    /// Nodes start within so long.
    pub starts: Duration,
    /// What is done.
    pub steps: Vec<Step>,
    /// How long it lasts, without its ending.
    pub length: Duration,
    /// Whether then all faults end, one mesh is demanded, and a quiet time, a failover and a join are timed.
    pub ending: bool,
    /// Whether every signature and tag is checked anew.
    pub real: bool,
    /// Whether who followed whom is kept.
    pub timeline: bool,
    /// Whether a supervisor keeps each node's snapshot, and a killed controller goes on from it.
    pub store: bool,
    /// A fault planted in the nodes.
    pub sabotage: Option<Sabotage>,
}

impl Plan {
    /// A mesh on a good link to which nothing is done for ten minutes.
    pub fn quiet(seed: u64, egos: Vec<u8>) -> Self {
        Self {
            seed,
            egos,
            config: NodeConfig::default(),
            wires: Vec::new(),
            link: Conditions::GOOD,
            drift: 0,
            starts: Duration::ZERO,
            steps: Vec::new(),
            length: Duration::from_secs(600),
            ending: false,
            real: false,
            timeline: false,
            store: false,
            sabotage: None,
        }
    }

    /// Adds a step.
    #[must_use]
    pub fn step(mut self, at: Duration, act: Act) -> Self {
        self.steps.push(Step { at, act });
        self
    }
}
