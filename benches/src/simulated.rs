//! The peers of one real controller: so many nodes of the protocol core in this process, at the other end of its
//! cable. All they say of themselves goes over it; what only they need of each other does not.

use std::collections::{HashMap, VecDeque};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use nexus0::daemon;
use nexus0_common::wire::{FrameType, GROUP, Header, PORT};
use nexus0_core::filter::MapOp;
use nexus0_core::grant::{GrantRequest, Kind, MeshRoot};
use nexus0_core::identity::Identity;
use nexus0_core::node::{Event, Input, Node, NodeConfig, Output, Role};
use nexus0_core::sim::Remembering;
use nexus0_core::time::Time;
use nix::errno::Errno;
use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

const BUFFER: usize = 64 << 20;
const TICK: Duration = Duration::from_millis(1);

/// Source, destination and length of what was read.
type Datagram = ([u8; 16], [u8; 16], usize);

struct Peer {
    node: Node,
    address: [u8; 16],
    started: bool,
}

/// The peers and their end of the cable.
pub(crate) struct Simulated {
    socket: Socket,
    index: u32,
    peers: Vec<Peer>,
    by_address: HashMap<[u8; 16], usize>,
    /// What they say to each other.
    spoken: VecDeque<(usize, [u8; 16], Vec<u8>)>,
    /// When each took a key that it did not hold.
    pub(crate) keys: Vec<Time>,
    /// When each turned to it.
    pub(crate) turns: Vec<Time>,
    /// Bytes and frames they put on the cable.
    pub(crate) sent: u64,
    // Many judge the same frame here: what one has checked the others need not.
    _memo: Remembering,
}

/// The address of a peer.
pub(crate) fn address(index: usize) -> Ipv6Addr {
    Ipv6Addr::from((0xfe80_u128 << 112) | (0x0200_00ff_fe01_0000 + index as u128))
}

impl Simulated {
    /// Peers with these egos, not started yet, on an interface of this thread's network namespace that has
    /// their addresses.
    pub(crate) fn new(interface: &str, root: &MeshRoot, egos: &[u8]) -> Result<Self> {
        let index = nix::net::if_::if_nametoindex(interface)?;
        let now = Time(daemon::now());
        let peers: Vec<Peer> = (0..)
            .zip(egos)
            .map(|(number, ego)| {
                Ok(Peer {
                    node: node(root, number, *ego, now)?,
                    address: address(number).octets(),
                    started: false,
                })
            })
            .collect::<Result<_>>()?;
        let by_address = peers
            .iter()
            .enumerate()
            .map(|(number, peer)| (peer.address, number));
        Ok(Self {
            socket: socket(index)?,
            index,
            by_address: by_address.collect(),
            peers,
            spoken: VecDeque::new(),
            keys: Vec::new(),
            turns: Vec::new(),
            sent: 0,
            _memo: Remembering::new(),
        })
    }

    /// Tells a peer that its address is ready.
    pub(crate) fn start(&mut self, number: usize) -> Result<()> {
        let Peer {
            node,
            address,
            started,
        } = &mut self.peers[number];
        *started = true;
        node.handle_input(Time(daemon::now()), Input::AddressReady(*address));
        self.drain(number)
    }

    /// Peers that follow an anchor or are one.
    pub(crate) fn settled(&self) -> usize {
        let roles = self.peers.iter().map(|peer| peer.node.role());
        roles
            .filter(|role| matches!(role, Role::Member | Role::Anchor))
            .count()
    }

    /// Whether one of them leads.
    pub(crate) fn leads(&self) -> bool {
        self.peers
            .iter()
            .any(|peer| peer.node.role() == Role::Anchor)
    }

    /// Lets a moment pass: reads, fires timers, speaks.
    pub(crate) fn pass(&mut self) -> Result<()> {
        let mut buffer = [0; 2048];
        while let Some((source, destination, length)) = self.receive(&mut buffer)? {
            let payload = &buffer[..length];
            self.deliver(None, source, destination, payload)?;
        }
        let now = Time(daemon::now());
        for number in 0..self.peers.len() {
            let peer = &mut self.peers[number];
            if peer.started && peer.node.poll_timeout().is_some_and(|due| due <= now) {
                peer.node.handle_timeout(now);
                self.drain(number)?;
            }
        }
        while let Some((from, destination, payload)) = self.spoken.pop_front() {
            let source = self.peers[from].address;
            self.deliver(Some(from), source, destination, &payload)?;
        }
        thread::sleep(TICK);
        Ok(())
    }

    /// Hands a frame to those it is for. Among themselves members' pulses and requests go to the anchor alone,
    /// who needs them, and beacons to those who look for one.
    fn deliver(
        &mut self,
        from: Option<usize>,
        source: [u8; 16],
        destination: [u8; 16],
        payload: &[u8],
    ) -> Result<()> {
        let kind = Header::parse(payload).map(|header| header.frame_type);
        let numbers = match self.by_address.get(&destination) {
            Some(number) => *number..number + 1,
            None => 0..self.peers.len(),
        };
        for number in numbers {
            let Peer { node, started, .. } = &mut self.peers[number];
            let needs = match (from, kind) {
                (None, _) => true,
                (Some(_), Some(FrameType::Ann | FrameType::ReqEpoch)) => {
                    node.role() == Role::Anchor
                }
                (Some(_), Some(FrameType::Beacon)) => {
                    matches!(node.role(), Role::Joining | Role::Anchor)
                }
                (Some(_), _) => true,
            };
            if !*started || !needs || from == Some(number) {
                continue;
            }
            let now = Time(daemon::now());
            node.handle_input(
                now,
                Input::Frame {
                    source,
                    destination,
                    payload,
                },
            );
            self.drain(number)?;
        }
        Ok(())
    }

    fn drain(&mut self, number: usize) -> Result<()> {
        while let Some(output) = self.peers[number].node.poll_output() {
            match output {
                Output::Transmit {
                    destination,
                    payload,
                } => {
                    let among_us = self.by_address.contains_key(&destination);
                    if !among_us {
                        self.send(number, destination, &payload)?;
                    }
                    if among_us || destination == GROUP {
                        self.spoken.push_back((number, destination, payload));
                    }
                }
                Output::Dataplane(MapOp::InstallKey { .. }) => self.keys.push(Time(daemon::now())),
                Output::Event(Event::EpochTurned { .. }) => self.turns.push(Time(daemon::now())),
                Output::Dataplane(_)
                | Output::Event(_)
                | Output::Revocations(_)
                | Output::Conviction(_) => {}
            }
        }
        Ok(())
    }

    fn send(&mut self, from: usize, destination: [u8; 16], payload: &[u8]) -> Result<()> {
        let mut info: in6_pktinfo = in6_pktinfo {
            ipi6_addr: nix::libc::in6_addr { s6_addr: [0; 16] },
            ipi6_ifindex: self.index,
        };
        info.ipi6_addr.s6_addr = self.peers[from].address;
        let to = SocketAddrV6::new(Ipv6Addr::from(destination), PORT, 0, self.index);
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(payload)],
            &[ControlMessage::Ipv6PacketInfo(&info)],
            MsgFlags::empty(),
            Some(&SockaddrIn6::from(to)),
        )?;
        ensure!(sent == payload.len(), "a datagram was cut");
        self.sent += 1;
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8]) -> Result<Option<Datagram>> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!(in6_pktinfo);
        let (fd, flags) = (self.socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        let message = match recvmsg::<SockaddrIn6>(fd, &mut parts, Some(&mut control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let destination = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_addr.s6_addr),
            _ => None,
        });
        let source = message
            .address
            .map_or([0; 16], |address| address.ip().octets());
        Ok(Some((
            source,
            destination.unwrap_or([0; 16]),
            message.bytes,
        )))
    }
}

fn node(root: &MeshRoot, number: usize, ego: u8, now: Time) -> Result<Node> {
    let mut seed = [0x51; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    let identity = Identity::from_seed(&seed);
    let grant = root.issue(&GrantRequest {
        public_key: identity.public_key(),
        name: &format!("peer-{number}"),
        zone: "bench",
        kind: Kind::Agent,
        ego,
        serial: 1,
    })?;
    let config = NodeConfig::default();
    Ok(Node::new(
        config,
        identity,
        grant,
        root.public_key(),
        seed,
        now,
    )?)
}

fn socket(index: u32) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_unicast_hops_v6(255)?;
    socket.set_multicast_loop_v6(false)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    setsockopt(&socket, sockopt::SndBufForce, &BUFFER)?;
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0).into())?;
    Ok(socket)
}
