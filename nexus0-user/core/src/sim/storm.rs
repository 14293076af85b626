//! A storm of joins at a node whose work takes time: what is done first, counted on the simulated clock.

use core::time::Duration;
use std::collections::VecDeque;

use nexus0_common::wire::{FrameType, GROUP, Slot};

use super::checks::Sent;
use super::{Sim, seconds};
use crate::inbox::{Inbox, MAX_WAITING, Next};
use crate::node::{Input, Node, Output, Role};
use crate::time::Time;

/// What it takes to judge a frame of a stranger: two Ed25519 signatures.
const DOOR_WORK: Duration = Duration::from_micros(150);
/// And one of a member.
const MEMBER_WORK: Duration = Duration::from_micros(60);

const STORM: Duration = Duration::from_secs(12);
/// Between two waves of joiners: less than a wave takes.
const WAVES: Duration = Duration::from_millis(50);
const JOINERS: usize = 400;

/// A frame on its way, and when it is there.
#[derive(Clone)]
struct Arrival {
    at: Time,
    source: [u8; 16],
    payload: Vec<u8>,
}

/// A node with one processor that is busy while it judges.
struct Busy {
    node: Node,
    inbox: Inbox<Arrival>,
    /// Whether frames wait their turn, as in the daemon, or are judged in the order in which they came.
    in_turn: bool,
    now: Time,
    coming: VecDeque<Arrival>,
    /// When each pulse was sent, and how long after its time.
    pulses: Vec<Duration>,
    /// When a pulse of another was judged, after it was there.
    heard: Vec<Duration>,
    judged_at_door: usize,
}

impl Busy {
    fn run(&mut self, end: Time) {
        while self.now < end {
            self.read();
            let next = match self.inbox.next(&self.node, self.now) {
                // Nothing ever waits where frames are judged as they are read.
                Next::Frame(frame) => {
                    self.judge(&frame);
                    continue;
                }
                Next::Timer => {
                    // Not the time of what gathers joiners and may come with it.
                    let due = self.node.poll_pressing().filter(|due| *due <= self.now);
                    self.node.handle_timeout(self.now);
                    self.drain(due.map(|due| self.now.since(due)));
                    continue;
                }
                Next::Nothing => self.node.poll_timeout(),
            };
            let arrival = self.coming.front().map(|frame| frame.at);
            let earliest = next.into_iter().chain(arrival).chain([end]).min().unwrap();
            self.now = self.now.max(earliest);
        }
    }

    /// Everything that is there by now: while frames are judged, others come.
    fn read(&mut self) {
        while let Some(frame) = self.coming.pop_front_if(|frame| frame.at <= self.now) {
            if self.in_turn && Inbox::<Arrival>::takes(&frame.payload) {
                self.inbox.put(frame);
            } else {
                self.judge(&frame);
            }
        }
    }

    fn judge(&mut self, frame: &Arrival) {
        let frame_type = sent(frame).frame_type();
        let at_door = frame_type.slot() == Slot::Door;
        self.judged_at_door += usize::from(at_door);
        self.now = self.now + if at_door { DOOR_WORK } else { MEMBER_WORK };
        if matches!(frame_type, FrameType::Ann | FrameType::Anchor) {
            self.heard.push(self.now.since(frame.at));
        }
        let input = Input::Frame {
            source: frame.source,
            destination: GROUP,
            payload: &frame.payload,
        };
        self.node.handle_input(self.now, input);
        self.drain(None);
    }

    fn drain(&mut self, late: Option<Duration>) {
        while let Some(output) = self.node.poll_output() {
            let Output::Transmit { payload, .. } = output else {
                continue;
            };
            let kind = payload[3];
            if kind == FrameType::Anchor as u8 || kind == FrameType::Ann as u8 {
                self.pulses.extend(late);
            }
        }
    }

    fn longest(lates: &[Duration]) -> Duration {
        lates.iter().copied().max().unwrap_or_default()
    }
}

fn sent(frame: &Arrival) -> Sent {
    Sent {
        at: frame.at,
        from: 0,
        destination: GROUP,
        payload: frame.payload.clone(),
    }
}

fn arrival(sim: &Sim, sent: &Sent) -> Arrival {
    Arrival {
        at: sent.at,
        source: sim.nodes[sent.from].address,
        payload: sent.payload.clone(),
    }
}

/// A mesh of two, its anchor or its follower taken out, and what comes to it then: the other's pulses, and wave
/// after wave the requests of so many joiners.
fn stormed(victim: usize, joiners: usize, in_turn: bool) -> Busy {
    let mut sim = Sim::settled(8, &[50, 40]);
    let expected = [Role::Anchor, Role::Member][victim];
    assert_eq!(sim.node(victim).role(), expected);
    let begin = sim.now;
    let first = sim.nodes.len();
    (0..joiners).for_each(|_| {
        sim.add(10);
    });
    sim.sent.clear();
    sim.deafen(victim);
    (first..first + joiners).for_each(|index| {
        sim.deafen(index);
        sim.start(index);
    });
    let node = sim.nodes[victim].node.take();
    sim.run(STORM);
    let requests = sim
        .sent
        .iter()
        .filter(|sent| sent.frame_type() == FrameType::ReqEpoch);
    let requests: Vec<Arrival> = requests.map(|sent| arrival(&sim, sent)).collect();
    let pulse = |sent: &&Sent| matches!(sent.frame_type(), FrameType::Ann | FrameType::Anchor);
    // Joiners who hear nobody start chains of their own.
    let pulses = sim
        .sent
        .iter()
        .filter(pulse)
        .filter(|sent| sent.from < first);
    let mut coming: Vec<Arrival> = pulses.map(|sent| arrival(&sim, sent)).collect();
    let waves = (0..STORM.as_nanos() / WAVES.as_nanos()).map(|wave| begin + WAVES * wave as u32);
    let mut again = requests.iter().cycle();
    for at in waves {
        let wave = again.by_ref().take(joiners).cloned();
        coming.extend(wave.map(|request| Arrival { at, ..request }));
    }
    coming.sort_by_key(|frame| frame.at);
    let mut busy = Busy {
        node: node.unwrap(),
        inbox: Inbox::default(),
        in_turn,
        now: begin,
        coming: coming.into(),
        pulses: Vec::new(),
        heard: Vec::new(),
        judged_at_door: 0,
    };
    busy.run(begin + STORM);
    busy
}

#[test]
fn pulses_are_sent_and_heard_on_time_while_more_join_than_can_be_judged() {
    for victim in [0, 1] {
        let busy = stormed(victim, JOINERS, true);
        assert!(busy.judged_at_door > 10_000, "{}", busy.judged_at_door);
        assert_eq!(busy.inbox.longest, MAX_WAITING);
        assert!(busy.inbox.overflow > 1_000, "{}", busy.inbox.overflow);
        assert!(busy.pulses.len() >= 2 && busy.heard.len() >= 2);
        let (sent, heard) = (Busy::longest(&busy.pulses), Busy::longest(&busy.heard));
        assert!(sent <= DOOR_WORK + MEMBER_WORK, "sent {sent:?} late");
        assert!(heard <= DOOR_WORK + 2 * MEMBER_WORK, "heard {heard:?} late");
    }
}

#[test]
fn without_turns_the_same_storm_delays_them() {
    let busy = stormed(0, JOINERS, false);
    let (sent, heard) = (Busy::longest(&busy.pulses), Busy::longest(&busy.heard));
    assert!(sent > 100 * DOOR_WORK, "sent only {sent:?} late");
    assert!(heard > 100 * DOOR_WORK, "heard only {heard:?} late");
}

#[test]
fn what_finds_no_room_is_counted_and_nothing_else_is_lost() {
    let mut inbox = Inbox::default();
    (0..MAX_WAITING + 7).for_each(|frame| inbox.put(frame));
    assert_eq!(
        (inbox.len(), inbox.overflow, inbox.longest),
        (MAX_WAITING, 7, MAX_WAITING)
    );
    let mut sim = Sim::settled(8, &[50]);
    let node = sim.nodes[0].node.take().unwrap();
    for expected in 0..MAX_WAITING {
        assert_eq!(inbox.next(&node, Time(0)), Next::Frame(expected));
    }
    assert_eq!(inbox.next(&node, Time(0)), Next::Nothing);
    assert!(inbox.is_empty());
}

#[test]
fn a_joiner_reads_what_is_at_the_door_before_it_judges_that_it_is_alone() {
    let mut sim = Sim::new(8);
    sim.add(50);
    sim.start(0);
    let node = sim.nodes[0].node.take().unwrap();
    let judging = node.poll_timeout().unwrap() + seconds(2);
    let mut inbox = Inbox::default();
    inbox.put(1);
    assert_eq!(inbox.next(&node, judging), Next::Frame(1));
    assert_eq!(inbox.next(&node, judging), Next::<i32>::Timer);
}
