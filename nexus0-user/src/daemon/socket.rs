//! The UDP socket: one per interface, sending from one chosen link-local address.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::watched::Watched;

/// Hop limit of every frame: whoever is behind a router cannot send it.
const HOPS: u32 = 255;
/// Bytes asked for the receive queue; the kernel may give less.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Longest payload that is read; longer ones are cut and refused as such by their length.
pub(super) const LONGEST: usize = 2048;

/// One datagram; its bytes are in the buffer that was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Datagram {
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) length: usize,
}

/// The mesh's socket on one interface.
pub(super) struct MeshSocket {
    io: Watched<Socket>,
    index: u32,
    port: u16,
}

impl MeshSocket {
    /// Binds the port on one interface alone, so that each interface can have its node.
    pub(super) fn open(interface: &str, index: u32, port: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.set_only_v6(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_multicast_if_v6(index)?;
        socket.set_multicast_hops_v6(HOPS)?;
        socket.set_unicast_hops_v6(HOPS)?;
        socket.set_multicast_loop_v6(false)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        raise_receive_buffer(&socket);
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
        socket.bind(&any.into())?;
        Ok(Self {
            io: Watched::new(socket)?,
            index,
            port,
        })
    }

    /// Ready when a datagram may be waiting.
    pub(super) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_readable(context)
    }

    /// The next datagram, or `None` when the queue is empty.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!(in6_pktinfo);
        let fd = self.io.get().as_raw_fd();
        let message =
            match recvmsg::<SockaddrIn6>(fd, &mut parts, Some(&mut control), MsgFlags::empty()) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        let destination = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_addr.s6_addr),
            _ => None,
        });
        Ok(Some(Datagram {
            source: message
                .address
                .map_or([0; 16], |address| address.ip().octets()),
            destination: destination.unwrap_or([0; 16]),
            length: message.bytes,
        }))
    }

    /// Sends from `source`, which must be an address of the interface.
    pub(super) fn send(
        &self,
        source: [u8; 16],
        destination: [u8; 16],
        payload: &[u8],
    ) -> io::Result<()> {
        let mut info = in6_pktinfo {
            ipi6_addr: unspecified(),
            ipi6_ifindex: self.index,
        };
        info.ipi6_addr.s6_addr = source;
        let to = SocketAddrV6::new(Ipv6Addr::from(destination), self.port, 0, self.index);
        let sent = sendmsg(
            self.io.get().as_raw_fd(),
            &[IoSlice::new(payload)],
            &[ControlMessage::Ipv6PacketInfo(&info)],
            MsgFlags::MSG_DONTWAIT,
            Some(&SockaddrIn6::from(to)),
        )?;
        debug_assert_eq!(sent, payload.len(), "a datagram is sent whole");
        Ok(())
    }
}

fn unspecified() -> nix::libc::in6_addr {
    nix::libc::in6_addr { s6_addr: [0; 16] }
}

/// A queue for floods of accepted frames. Beyond the system's limit only with CAP_NET_ADMIN.
fn raise_receive_buffer(socket: &Socket) {
    if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    }
}
