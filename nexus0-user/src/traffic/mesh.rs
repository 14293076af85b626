//! NEXUS-0 itself: the node that the daemon runs, default timers.

use core::time::Duration;

use nexus0_common::wire::{GROUP, Header};
use nexus0_core::grant::{GrantRequest, Kind, MeshRoot};
use nexus0_core::id::sha256;
use nexus0_core::identity::Identity;
use nexus0_core::node::{Input, Node, NodeConfig, Output, Role};
use nexus0_core::time::Time;

use super::segment::{Account, Outgoing, Segment, Station, To};
use super::{MINUTE, Measured};

/// A node.
struct Member {
    node: Node,
}

impl Member {
    fn new(root: &MeshRoot, index: usize, now: Time) -> anyhow::Result<Self> {
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

/// A mesh of so many nodes, everyone complete.
fn settled(root: &MeshRoot, nodes: usize) -> anyhow::Result<Segment<Member>> {
    let mut segment = Segment::new();
    for index in 0..nodes {
        let now = segment.now;
        segment.add(Member::new(root, index, now)?);
        // One after the other: a crowd is another measurement.
        segment.run(Duration::from_millis(if index == 0 { 1500 } else { 50 }));
    }
    segment.run(MINUTE);
    agreed(&segment, nodes)?;
    Ok(segment)
}

fn agreed(segment: &Segment<Member>, nodes: usize) -> anyhow::Result<()> {
    let views: Vec<_> = segment
        .running()
        .map(|(_, member)| member.node.view(segment.now))
        .collect();
    let anchors = views
        .iter()
        .filter(|view| view.role == Role::Anchor)
        .count();
    let complete = views
        .iter()
        .filter(|view| view.complete && view.peers.len() + 1 == nodes)
        .count();
    anyhow::ensure!(
        anchors == 1 && complete == nodes,
        "the simulated mesh of {nodes} nodes has {anchors} anchors and {complete} nodes that know all"
    );
    Ok(())
}

/// Idle minutes, one with a failover, one with a join; of the idle one what the turn costs.
pub(super) fn measure(nodes: usize) -> anyhow::Result<Measured> {
    let root = MeshRoot::from_seed(&[9; 32]);
    let mut segment = settled(&root, nodes)?;
    let idle = segment.run(MINUTE);
    let turn = Account([("EPOCH", idle.of("EPOCH"))].into());
    let now = segment.now;
    segment.add(Member::new(&root, nodes, now)?);
    let join = segment.run(MINUTE);
    agreed(&segment, nodes + 1)?;
    let anchor = segment
        .running()
        .find(|(_, member)| member.node.role() == Role::Anchor)
        .map(|(index, _)| index);
    segment.kill(anchor.unwrap_or(0));
    let failover = segment.run(MINUTE);
    let anchors = segment
        .running()
        .filter(|(_, member)| member.node.role() == Role::Anchor)
        .count();
    anyhow::ensure!(
        anchors == 1,
        "the simulated mesh has {anchors} anchors after a failover"
    );
    Ok(Measured {
        idle,
        failover: Some(failover),
        join: Some(join),
        turn: Some(turn),
    })
}

/// Bytes that a mesh sends because a stranger's packet reached it: random bytes, and a well-formed frame under
/// the current key id with a wrong tag, beyond what it would have sent anyway.
pub(super) fn hostile(nodes: usize) -> anyhow::Result<u64> {
    let root = MeshRoot::from_seed(&[9; 32]);
    let quiet = settled(&root, nodes)?.run(MINUTE).total();
    let mut segment = settled(&root, nodes)?;
    for target in 0..nodes {
        segment.with(target, |member, now| {
            let forged = forged(member);
            for payload in [vec![0x4e; 157], forged] {
                let frame = Frame {
                    destination: GROUP,
                    payload,
                };
                member.receive(now, 999, &frame);
            }
        });
    }
    Ok(segment
        .run(MINUTE)
        .total()
        .bytes
        .saturating_sub(quiet.bytes))
}

/// A pulse that names the member's own current key, with a tag of zeros.
fn forged(member: &Member) -> Vec<u8> {
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
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

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
