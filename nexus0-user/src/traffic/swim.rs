//! SWIM by the crate `foca`, without its extensions: a probe every 5 s, 10 s from suspect to down.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::num::{NonZeroU8, NonZeroUsize};

use anyhow::Context;
use foca::{Config, Foca, Member, NoCustomBroadcast, Notification, PostcardCodec, Runtime, Timer};
use nexus0_common::wire::PORT;
use nexus0_core::time::Time;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::MINUTE;
use super::minutes::{self, Measured};
use super::segment::{Outgoing, Segment, Station, To};

type Swim = Foca<SocketAddrV6, PostcardCodec, ChaCha20Rng, NoCustomBroadcast>;

/// What a peer still has to do.
#[derive(Default)]
struct Plan {
    now: Time,
    timers: BTreeMap<(Time, u64), Timer<SocketAddrV6>>,
    count: u64,
    sent: Vec<Outgoing<Vec<u8>>>,
}

impl Runtime<SocketAddrV6> for Plan {
    fn notify(&mut self, _notification: Notification<'_, SocketAddrV6>) {}

    fn send_to(&mut self, to: SocketAddrV6, data: &[u8]) {
        self.sent.push(Outgoing {
            to: To::One(index(&to)),
            bytes: data.len() as u64,
            kind: "SWIM",
            payload: data.to_vec(),
        });
    }

    fn submit_after(&mut self, event: Timer<SocketAddrV6>, after: Duration) {
        self.count += 1;
        self.timers.insert((self.now + after, self.count), event);
    }
}

struct Peer {
    swim: Swim,
    plan: Plan,
}

impl Peer {
    fn new(index: usize) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(index as u64);
        Self {
            swim: Foca::new(address(index), config(), rng, PostcardCodec),
            plan: Plan::default(),
        }
    }

    fn meet(&mut self, now: Time, others: impl Iterator<Item = usize>) {
        self.plan.now = now;
        let others = others.map(|other| Member::alive(address(other)));
        // Nothing is refused among well-formed members.
        let _ = self.swim.apply_many(others, false, &mut self.plan);
    }
}

fn config() -> Config {
    let three = NonZeroUsize::MIN.saturating_add(2);
    Config {
        probe_period: Duration::from_secs(5),
        probe_rtt: Duration::from_millis(1500),
        num_indirect_probes: three,
        max_transmissions: NonZeroU8::MIN.saturating_add(9),
        suspect_to_down_after: Duration::from_secs(10),
        remove_down_after: None,
        max_packet_size: NonZeroUsize::MIN.saturating_add(1182),
        notify_down_members: false,
        periodic_announce: None,
        periodic_announce_to_down_members: None,
        periodic_gossip: None,
    }
}

fn address(index: usize) -> SocketAddrV6 {
    let low = u128::from(0x0200_0000_0000_0000_u64 + index as u64);
    SocketAddrV6::new(Ipv6Addr::from_bits((0xfe80 << 112) | low), PORT, 0, 0)
}

fn index(address: &SocketAddrV6) -> usize {
    address.ip().to_bits() as u32 as usize
}

impl Station for Peer {
    type Payload = Vec<u8>;

    fn due(&self) -> Option<Time> {
        self.plan.timers.keys().next().map(|(at, _)| *at)
    }

    fn serve(&mut self, now: Time) {
        self.plan.now = now;
        if let Some((_, timer)) = self.plan.timers.pop_first() {
            let _ = self.swim.handle_timer(timer, &mut self.plan);
        }
    }

    fn receive(&mut self, now: Time, _from: usize, payload: &Vec<u8>) {
        self.plan.now = now;
        let _ = self.swim.handle_data(payload, &mut self.plan);
    }

    fn take(&mut self) -> Vec<Outgoing<Vec<u8>>> {
        core::mem::take(&mut self.plan.sent)
    }
}

fn known(segment: &Segment<Peer>) -> Vec<usize> {
    segment
        .running()
        .map(|(_, peer)| peer.swim.iter_members().count())
        .collect()
}

/// Members that know all others from the start.
fn settled(nodes: usize) -> Segment<Peer> {
    let mut segment = Segment::new();
    for index in 0..nodes {
        let mut peer = Peer::new(index);
        peer.meet(segment.now, (0..nodes).filter(|other| *other != index));
        segment.add(peer);
        segment.run(Duration::from_millis(7));
    }
    segment.run(MINUTE);
    segment
}

impl minutes::Member for Peer {
    fn join(segment: &mut Segment<Self>) -> anyhow::Result<()> {
        let joiner = segment.next_index();
        segment.add(Self::new(joiner));
        segment.with(joiner, |peer, now| {
            peer.plan.now = now;
            let _ = peer.swim.announce(address(0), &mut peer.plan);
        });
        Ok(())
    }

    /// In a large mesh word of it takes longer than the minute, so it is enough that one knows.
    fn joined(segment: &Segment<Self>) -> bool {
        let others = segment.running().count() - 1;
        known(segment).contains(&others)
    }

    /// Nobody does: the loss of one is like that of another.
    fn leader(segment: &Segment<Self>) -> Option<usize> {
        segment.running().map(|(index, _)| index).next()
    }
}

pub(super) fn measure(nodes: usize) -> anyhow::Result<Measured> {
    minutes::measure(&mut settled(nodes)).context("the simulated SWIM")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_probes_once_in_five_seconds_and_is_answered() {
        let idle = measure(10).unwrap().idle.total();
        assert!((230..=250).contains(&idle.frames), "{idle:?}");
    }

    #[test]
    fn a_lost_member_is_down_for_everyone() {
        let mut segment = settled(10);
        segment.kill(3);
        segment.run(2 * MINUTE);
        assert_eq!(known(&segment), [8; 9]);
    }
}
