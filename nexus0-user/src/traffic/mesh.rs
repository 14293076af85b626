//! NEXUS-0 itself: the node that the daemon runs, default timers.

use core::time::Duration;

use anyhow::Context;
use nexus0_common::wire::{GROUP, Header};
use nexus0_core::grant::{GrantRequest, Kind, MeshRoot};
use nexus0_core::id::sha256;
use nexus0_core::identity::Identity;
use nexus0_core::node::{Input, Node, NodeConfig, Output, Role};
use nexus0_core::sim::Remembering;
use nexus0_core::time::Time;

use super::MINUTE;
use super::minutes::{self, Measured, Member as _};
use super::segment::{Account, Outgoing, Segment, Station, To};

/// A node.
struct Member {
    node: Node,
}

impl Member {
    fn new(index: usize, now: Time) -> anyhow::Result<Self> {
        let root = MeshRoot::from_seed(&[9; 32]);
        let seed = |label: &[u8]| sha256(&[label, &(index as u64).to_be_bytes()]);
        let identity = Identity::from_seed(&seed(b"identity"));
        let grant = root.issue(&GrantRequest {
            public_key: identity.public_key(),
            name: &format!("node-{index}"),
            zone: "",
            kind: Kind::Agent,
            ego: 50,
            serial: index as u32,
        })?;
        let (config, key) = (NodeConfig::default(), root.public_key());
        let mut node = Node::new(config, identity, grant, key, seed(b"random"), now)?;
        node.handle_input(now, Input::AddressReady(address(index)));
        Ok(Self { node })
    }
}

fn address(index: usize) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&[0xfe, 0x80]);
    address[8..].copy_from_slice(&(0x0200_0000_0000_0000 + index as u64).to_be_bytes());
    address
}

fn index(address: &[u8; 16]) -> usize {
    let low = address.last_chunk::<4>().copied().unwrap_or_default();
    u32::from_be_bytes(low) as usize
}

/// A UDP payload with its IPv6 destination.
pub(super) struct Frame {
    destination: [u8; 16],
    payload: Vec<u8>,
}

impl Station for Member {
    type Payload = Frame;

    fn due(&self) -> Option<Time> {
        self.node.poll_timeout()
    }

    fn serve(&mut self, now: Time) {
        self.node.handle_timeout(now);
    }

    fn receive(&mut self, now: Time, from: usize, frame: &Frame) {
        let input = Input::Frame {
            source: address(from),
            destination: frame.destination,
            payload: &frame.payload,
        };
        self.node.handle_input(now, input);
    }

    fn take(&mut self) -> Vec<Outgoing<Frame>> {
        let mut sent = Vec::new();
        while let Some(output) = self.node.poll_output() {
            if let Output::Transmit {
                destination,
                payload,
            } = output
            {
                sent.push(outgoing(destination, payload));
            }
        }
        sent
    }
}

fn outgoing(destination: [u8; 16], payload: Vec<u8>) -> Outgoing<Frame> {
    let to = if destination == GROUP {
        To::All
    } else {
        To::One(index(&destination))
    };
    let kind = Header::parse(&payload).map_or("other", |header| header.frame_type.name());
    Outgoing {
        to,
        bytes: payload.len() as u64,
        kind,
        payload: Frame {
            destination,
            payload,
        },
    }
}

impl minutes::Member for Member {
    fn join(segment: &mut Segment<Self>) -> anyhow::Result<()> {
        let newcomer = Self::new(segment.next_index(), segment.now)?;
        segment.add(newcomer);
        Ok(())
    }

    fn joined(segment: &Segment<Self>) -> bool {
        let nodes = segment.running().count();
        let knows_all = |member: &Self| {
            let view = member.node.view(segment.now);
            view.complete && view.peers.len() + 1 == nodes
        };
        segment.running().all(|(_, member)| knows_all(member))
    }

    fn leader(segment: &Segment<Self>) -> Option<usize> {
        segment.only(|member| member.node.role() == Role::Anchor)
    }
}

/// A mesh of so many nodes, everyone complete.
fn settled(nodes: usize) -> anyhow::Result<Segment<Member>> {
    let mut segment = Segment::new();
    for index in 0..nodes {
        <Member as minutes::Member>::join(&mut segment)?;
        // One after the other: a crowd is another measurement.
        segment.run(Duration::from_millis(if index == 0 { 1500 } else { 50 }));
    }
    segment.run(MINUTE);
    let settled = Member::joined(&segment) && Member::leader(&segment).is_some();
    anyhow::ensure!(
        settled,
        "the simulated mesh of {nodes} nodes did not settle"
    );
    Ok(segment)
}

/// Bytes that a mesh sends because of a stranger's packets, beyond what it would have sent anyway.
pub(super) struct Strangers {
    /// Packets that the filter refuses.
    pub(super) refused: u64,
    /// The request of somebody who joined once, recorded.
    pub(super) recorded: u64,
}

/// The minutes, and of the idle one what the turn costs.
pub(super) fn measure(nodes: usize) -> anyhow::Result<Measured> {
    let _memo = Remembering::new();
    let measured = minutes::measure(&mut settled(nodes)?).context("the simulated mesh")?;
    let turn = Account([("EPOCH", measured.idle.of("EPOCH"))].into());
    Ok(Measured {
        turn: Some(turn),
        ..measured
    })
}

/// What strangers make a mesh send, whose `idle` minute is known.
pub(super) fn strangers(nodes: usize, idle: &Account) -> anyhow::Result<Strangers> {
    let _memo = Remembering::new();
    let mut segment = settled(nodes)?;
    shout(&mut segment, forged);
    let after = segment.run(MINUTE).total().bytes;
    let refused = after.saturating_sub(idle.total().bytes);
    let requests = Member::new(nodes, segment.now)?.take();
    anyhow::ensure!(!requests.is_empty(), "nothing was recorded");
    shout(&mut segment, |_| {
        let payloads = requests.iter().map(|request| &request.payload.payload);
        payloads.cloned().collect()
    });
    let recorded = segment.run(MINUTE).beside(idle).total().bytes;
    Ok(Strangers { refused, recorded })
}

/// A stranger's packets to everyone.
fn shout(segment: &mut Segment<Member>, packets: impl Fn(&Member) -> Vec<Vec<u8>>) {
    let stranger = segment.next_index();
    for target in 0..stranger {
        segment.with(target, |member, now| {
            for payload in packets(member) {
                let destination = GROUP;
                let frame = Frame {
                    destination,
                    payload,
                };
                member.receive(now, stranger, &frame);
            }
        });
    }
}

/// Random bytes, and a pulse that names the member's own current key, with a tag of zeros.
fn forged(member: &Member) -> Vec<Vec<u8>> {
    let view = member.node.view(Time::default());
    let key = view.keys.first().map_or([0; 4], |key| key.id.0);
    let header = Header {
        version: nexus0_common::wire::LOWEST_VERSION,
        frame_type: nexus0_common::wire::FrameType::Ann,
        class: nexus0_common::wire::Class::Multicast,
        key_id: key,
        sender: [7; 8],
        sequence: 1,
    };
    let mut payload = vec![0; 95];
    payload[..24].copy_from_slice(&header.emit());
    vec![vec![0x4e; 157], payload]
}

#[cfg(test)]
mod tests {
    use super::super::segment::HEADERS;
    use super::*;

    #[test]
    fn a_refused_packet_brings_nothing_and_a_recorded_request_one_answer_of_its_length() {
        let idle = measure(4).unwrap().idle;
        let strangers = strangers(4, &idle).unwrap();
        let mut joiner = Member::new(4, Time::default()).unwrap();
        let request = joiner.take()[0].bytes + HEADERS;
        assert_eq!((strangers.refused, strangers.recorded), (0, request));
    }

    #[test]
    fn ten_idle_nodes_send_at_most_25_000_bytes_a_minute() {
        let measured = measure(10).unwrap();
        let total = measured.idle.total();
        println!("{:?}", measured.idle);
        assert!(total.bytes <= 25_000, "{total:?}");
        // 9 x 12 pulses and 12 of the anchor, as many beacons, two announcements.
        assert_eq!(measured.idle.of("EPOCH").frames, 2);
        assert!(
            (115..=125)
                .contains(&(measured.idle.of("ANN").frames + measured.idle.of("ANCHOR").frames))
        );
    }
}
