//! Where frames come from: the AF_XDP sockets of the receive queues, if asked for and to be had, and always
//! the UDP socket. Neither is trusted: the node judges every payload again.

use std::future::poll_fn;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use nexus0_common::maps::Config;
use nexus0_common::packet::{self, ETHERNET, IPV6, PAYLOAD, UDP};

use super::socket::{Datagram, MeshSocket};
use super::watched::Watched;
use crate::api::types::ReceiveStatus;
use crate::dataplane::{Dataplane, Queue};

/// The way of accepted frames into this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Past the network stack.
    AfXdp,
    /// Through it.
    Socket,
}

impl Receive {
    /// Its spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfXdp => "af-xdp",
            Self::Socket => "socket",
        }
    }
}

/// Everything that is read from.
pub(super) struct Intake {
    pub(super) socket: MeshSocket,
    queues: Vec<Queue>,
    watched: Vec<Watched<OwnedFd>>,
    /// Whose turn it is: a queue, or the UDP socket behind the last of them.
    turn: usize,
    port: Config,
    asked: Receive,
    redirected: u64,
    why: Option<String>,
}

impl Intake {
    /// Opens the queues if asked to; if that fails, says why and goes on with the UDP socket.
    pub(super) fn open(
        plane: &mut Dataplane,
        asked: Receive,
        socket: MeshSocket,
        port: u16,
    ) -> io::Result<Self> {
        let opened = match asked {
            Receive::AfXdp => plane.open_queues(),
            Receive::Socket => Ok(Vec::new()),
        };
        let (queues, why) = match opened {
            Ok(queues) => (queues, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let watch = |queue: &Queue| Watched::new(queue.descriptor()?);
        Ok(Self {
            socket,
            watched: queues.iter().map(watch).collect::<io::Result<_>>()?,
            queues,
            turn: 0,
            port: Config::new(port, [0; 2]),
            asked,
            redirected: 0,
            why,
        })
    }

    /// Returns when something may be waiting.
    pub(super) async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_readable(context)).await
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for watched in &self.watched {
            if let Poll::Ready(done) = watched.poll_readable(context) {
                return Poll::Ready(done);
            }
        }
        self.socket.poll_readable(context)
    }

    /// The next datagram, from one source after the other; `None` when all are empty.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        for _ in 0..=self.queues.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % (self.queues.len() + 1);
            let received = match self.queues.get_mut(turn) {
                Some(queue) => {
                    let taken = queue.next(|frame| unwrap(frame, &self.port, buffer));
                    self.redirected += u64::from(taken.is_some());
                    taken.transpose()?
                }
                None => self.socket.receive(buffer)?,
            };
            if received.is_some() {
                return Ok(received);
            }
        }
        Ok(None)
    }

    /// What `status` says.
    pub(super) fn status(&self) -> ReceiveStatus {
        let path = match self.queues.first() {
            Some(_) => Receive::AfXdp,
            None => Receive::Socket,
        };
        ReceiveStatus {
            path: path.name().into(),
            asked: self.asked.name().into(),
            delivery: self
                .queues
                .first()
                .map(|first| first.delivery().name().into()),
            queues: self.queues.len(),
            frames: self.redirected,
            lost: self.queues.iter().map(Queue::lost).sum(),
            why: self.why.clone(),
        }
    }
}

/// Copies the payload of a mesh frame as the stack would deliver it; an error for anything else, which the
/// filter does not send here. (Not its UDP checksum: a veth leaves that open, and the tag says more.)
fn unwrap(frame: &[u8], port: &Config, buffer: &mut [u8]) -> io::Result<Datagram> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "not a mesh frame");
    let head = packet::head(frame, port).map_err(|_| strange())?;
    let stated = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
    let udp_length = stated(ETHERNET + IPV6 + 4);
    let payload = frame
        .get(PAYLOAD..ETHERNET + IPV6 + udp_length)
        .filter(|_| udp_length == stated(ETHERNET + 4) && udp_length >= UDP)
        .ok_or_else(strange)?;
    let room = buffer.get_mut(..payload.len()).ok_or_else(strange)?;
    room.copy_from_slice(payload);
    let address = |at: usize| {
        let bytes = head.get(at..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or(Ipv6Addr::UNSPECIFIED.octets())
    };
    Ok(Datagram {
        source: address(ETHERNET + 8),
        destination: address(ETHERNET + 24),
        length: payload.len(),
    })
}

#[cfg(test)]
mod tests {
    use nexus0_common::wire::{GROUP, PORT};

    use super::*;
    use crate::flood::envelope::Envelope;

    const FROM: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 0, 2];

    fn unwrapped(frame: &[u8]) -> Option<(Datagram, Vec<u8>)> {
        let mut buffer = [0; 2048];
        let datagram = unwrap(frame, &Config::new(PORT, [0; 2]), &mut buffer).ok()?;
        Some((datagram, buffer[..datagram.length].to_vec()))
    }

    #[test]
    fn a_frame_is_delivered_as_the_stack_would() {
        let payload: Vec<u8> = (0..95).collect();
        let frame = Envelope::to_group([2, 0, 0, 0, 0, 2], FROM).wrap(&payload);
        let expected = Datagram {
            source: FROM,
            destination: GROUP,
            length: payload.len(),
        };
        assert_eq!(unwrapped(&frame), Some((expected, payload.clone())));
        let padded = [frame.as_slice(), &[0; 7]].concat();
        assert_eq!(unwrapped(&padded), Some((expected, payload)), "padding");
    }

    #[test]
    fn anything_else_is_no_datagram() {
        let frame = Envelope::to_group([2, 0, 0, 0, 0, 2], FROM).wrap(&[7; 95]);
        assert!(unwrapped(&frame[..frame.len() - 1]).is_none(), "cut short");
        for (at, byte) in [(12, 8), (20, 6), (57, 1), (58, 1), (59, 7)] {
            let mut other = frame.clone();
            other[at] = byte;
            assert!(unwrapped(&other).is_none(), "byte {at}");
        }
    }
}
