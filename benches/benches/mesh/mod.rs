//! An anchor, and those it lets in.

use std::time::Duration;

use nexus0_common::wire::{FrameType, GROUP, Header};
use nexus0_core::grant::{GrantRequest, Kind, MeshRoot};
use nexus0_core::identity::Identity;
use nexus0_core::node::{Input, Node, NodeConfig, Output, Role};
use nexus0_core::time::Time;

/// A frame and where it comes from.
pub(crate) struct Sent {
    source: [u8; 16],
    payload: Vec<u8>,
}

/// A mesh seen from its anchor.
pub(crate) struct Mesh {
    root: MeshRoot,
    pub(crate) anchor: Node,
    pub(crate) now: Time,
    members: u32,
}

impl Mesh {
    /// An anchor alone.
    fn new() -> Self {
        let root = MeshRoot::from_seed(&[9; 32]);
        let mut now = Time(1_000_000_000_000);
        let mut anchor = node(&root, 0, now);
        anchor.handle_input(now, Input::AddressReady(address(0)));
        while anchor.role() != Role::Anchor {
            now = anchor.poll_timeout().expect("it judges that it is alone");
            anchor.handle_timeout(now);
        }
        while anchor.poll_output().is_some() {}
        Self {
            root,
            anchor,
            now,
            members: 1,
        }
    }

    /// So many members, the anchor among them.
    pub(crate) fn with(members: usize) -> Self {
        let mut mesh = Self::new();
        while mesh.anchor.view(mesh.now).why.ranking.len() < members {
            let (mut joiner, request) = mesh.joiner();
            let answer = answer(&mut mesh.anchor, mesh.now, &request);
            hand(&mut joiner, mesh.now, &answer);
            for frame in spoken(&mut joiner, mesh.members - 1) {
                hand(&mut mesh.anchor, mesh.now, &frame);
            }
            // Timers are those of a link; here only the answers are wanted.
            mesh.now = mesh.now + Duration::from_millis(21);
        }
        mesh
    }

    /// Somebody new, and its request.
    pub(crate) fn joiner(&mut self) -> (Node, Sent) {
        let number = self.members;
        self.members += 1;
        let mut joiner = node(&self.root, number, self.now);
        joiner.handle_input(self.now, Input::AddressReady(address(number)));
        let mut said = spoken(&mut joiner, number);
        let request = said.pop().expect("it asks");
        (joiner, request)
    }
}

/// Hands a request to an anchor, and what it answers.
pub(crate) fn answer(anchor: &mut Node, now: Time, request: &Sent) -> Sent {
    hand(anchor, now, request);
    let said = spoken(anchor, 0);
    let is_answer = |sent: &Sent| {
        Header::parse(&sent.payload).is_some_and(|header| header.frame_type == FrameType::Answer)
    };
    said.into_iter()
        .find(is_answer)
        .expect("it answers at once")
}

/// Hands a frame to a node.
pub(crate) fn hand(node: &mut Node, now: Time, sent: &Sent) {
    let input = Input::Frame {
        source: sent.source,
        destination: GROUP,
        payload: &sent.payload,
    };
    node.handle_input(now, input);
}

fn spoken(node: &mut Node, number: u32) -> Vec<Sent> {
    let mut said = Vec::new();
    while let Some(output) = node.poll_output() {
        if let Output::Transmit { payload, .. } = output {
            let source = address(number);
            said.push(Sent { source, payload });
        }
    }
    said
}

fn address(number: u32) -> [u8; 16] {
    let mut address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
    address[12..].copy_from_slice(&number.to_be_bytes());
    address
}

fn node(root: &MeshRoot, number: u32, now: Time) -> Node {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    let identity = Identity::from_seed(&seed);
    let grant = root.issue(&GrantRequest {
        public_key: identity.public_key(),
        name: &format!("n{number}"),
        zone: "bench",
        kind: Kind::Agent,
        ego: 50,
        serial: 1,
    });
    let (grant, root) = (grant.expect("a grant"), root.public_key());
    Node::new(NodeConfig::default(), identity, grant, root, seed, now).expect("a node")
}
