//! Raft by the crate `noraft`: the leader's heartbeats every 5 s, elections after 15 to 17 s of silence.

use core::time::Duration;

use anyhow::Context;
use nexus0_core::time::Time;
use noraft::{Action, LogEntry, Message, Node, NodeId, Role};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::MINUTE;
use super::minutes::{self, Measured};
use super::segment::{Outgoing, Segment, Station, To};

const HEARTBEAT: Duration = Duration::from_secs(5);
/// Least silence before an election, and its spread in milliseconds.
const ELECTION: (Duration, u64) = (Duration::from_secs(15), 2000);

/// A node, its election timer and its random numbers.
struct Peer {
    node: Node,
    timer: Option<Time>,
    rng: ChaCha20Rng,
    sent: Vec<Outgoing<Message>>,
}

impl Peer {
    fn new(index: usize) -> Self {
        Self {
            node: Node::start(NodeId::new(index as u64)),
            timer: None,
            rng: ChaCha20Rng::seed_from_u64(index as u64),
            sent: Vec::new(),
        }
    }

    fn carry_out(&mut self, now: Time) {
        while let Some(action) = self.node.actions_mut().next() {
            match action {
                Action::SetElectionTimeout => self.timer = Some(now + self.pause()),
                Action::BroadcastMessage(message) => {
                    let peers: Vec<NodeId> = self.node.peers().collect();
                    for peer in peers {
                        self.post(peer, message.clone());
                    }
                }
                Action::SendMessage(peer, message) => self.post(peer, message),
                // Storage is memory here, and logs stay short enough for no snapshots.
                Action::SaveCurrentTerm
                | Action::SaveVotedFor
                | Action::AppendLogEntries(_)
                | Action::InstallSnapshot(_) => {}
            }
        }
    }

    fn pause(&mut self) -> Duration {
        if self.node.role() == Role::Leader {
            return HEARTBEAT;
        }
        let (least, spread) = ELECTION;
        least + Duration::from_millis(self.rng.next_u64() % spread)
    }

    fn post(&mut self, peer: NodeId, payload: Message) {
        self.sent.push(Outgoing {
            to: To::One(peer.get() as usize),
            bytes: size(&payload),
            kind: kind(&payload),
            payload,
        });
    }
}

impl Station for Peer {
    type Payload = Message;

    fn due(&self) -> Option<Time> {
        self.timer
    }

    fn serve(&mut self, now: Time) {
        self.timer = None;
        self.node.handle_election_timeout();
        self.carry_out(now);
    }

    fn receive(&mut self, now: Time, _from: usize, message: &Message) {
        // A message from a node that was removed is refused, which changes nothing here.
        let _ = self.node.handle_message(message);
        self.carry_out(now);
    }

    fn take(&mut self) -> Vec<Outgoing<Message>> {
        core::mem::take(&mut self.sent)
    }
}

/// Bytes of a message with every integer at its full width and one byte of type; the crate leaves the encoding
/// to its user.
fn size(message: &Message) -> u64 {
    const TYPE: u64 = 1;
    const INTEGER: u64 = 8;
    const POSITION: u64 = 2 * INTEGER;
    let envelope = TYPE + 2 * INTEGER;
    envelope
        + match message {
            Message::RequestVoteCall { .. } | Message::AppendEntriesReply { .. } => POSITION,
            Message::RequestVoteReply { .. } => 1,
            Message::AppendEntriesCall { entries, .. } => {
                INTEGER + POSITION + 2 + entries.iter().map(|entry| entry_size(&entry)).sum::<u64>()
            }
        }
}

fn entry_size(entry: &LogEntry) -> u64 {
    match entry {
        LogEntry::Term(_) => 9,
        LogEntry::ClusterConfig(config) => {
            let ids = config.voters.len() + config.new_voters.len() + config.non_voters.len();
            7 + 8 * ids as u64
        }
        LogEntry::Command => 1,
    }
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::RequestVoteCall { .. } => "RequestVote",
        Message::RequestVoteReply { .. } => "RequestVoteReply",
        Message::AppendEntriesCall { .. } => "AppendEntries",
        Message::AppendEntriesReply { .. } => "AppendEntriesReply",
    }
}

impl minutes::Member for Peer {
    fn join(segment: &mut Segment<Self>) -> anyhow::Result<()> {
        let leader = Self::leader(segment).context("nobody leads")?;
        let index = segment.next_index();
        segment.add(Self::new(index));
        segment.with(leader, |peer, now| {
            let new = [NodeId::new(index as u64)];
            let joint = peer.node.config().to_joint_consensus(&new, &[]);
            peer.node.propose_config(joint);
            peer.carry_out(now);
        });
        Ok(())
    }

    fn joined(segment: &Segment<Self>) -> bool {
        let voters = segment.running().count();
        segment.running().all(|(_, peer)| {
            let config = peer.node.config();
            !config.is_joint_consensus() && config.voters.len() == voters
        })
    }

    fn leader(segment: &Segment<Self>) -> Option<usize> {
        segment.only(|peer| peer.node.role() == Role::Leader)
    }
}

pub(super) fn measure(nodes: usize) -> anyhow::Result<Measured> {
    let mut segment = Segment::new();
    for index in 0..nodes {
        segment.add(Peer::new(index));
    }
    let voters: Vec<NodeId> = (0..nodes as u64).map(NodeId::new).collect();
    segment.with(0, |peer, now| {
        peer.node.create_cluster(&voters);
        peer.carry_out(now);
    });
    segment.run(2 * MINUTE);
    minutes::measure(&mut segment).context("the simulated Raft")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_leader_sends_one_heartbeat_to_each_follower_every_five_seconds() {
        let idle = measure(5).unwrap().idle;
        assert_eq!(idle.of("AppendEntries").frames, 4 * 12);
        assert_eq!(idle.of("AppendEntriesReply").frames, 4 * 12);
        assert_eq!(idle.total().frames, 8 * 12);
    }
}
