//! The same verification in user space: a UDP socket, the `hmac` crate, one thread or one for each
//! processor.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use nexus0_common::wire::{Header, PORT, TAG_LEN, TRAILER_LEN};
use nix::libc;
use sha2::Sha256;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frames;

/// Datagrams taken by one call.
pub(crate) const MANY: usize = 64;
const LONGEST: usize = 2048;
/// Between two looks at whether to stop.
const PATIENCE: Duration = Duration::from_millis(20);

/// What was judged so far.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl Judged {
    pub(crate) fn total(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed) + self.refused.load(Ordering::Relaxed)
    }
}

/// A key ready to verify with.
pub(crate) struct Verifier {
    key_id: [u8; 4],
    keyed: Hmac<Sha256>,
}

impl Verifier {
    pub(crate) fn new() -> Self {
        Self {
            key_id: frames::key().id,
            keyed: Hmac::new_from_slice(&frames::MAC_KEY).unwrap_or_else(|_| unreachable!()),
        }
    }

    /// Whether a datagram is of a mesh member.
    pub(crate) fn accepts(&self, payload: &[u8]) -> bool {
        let Some(header) = Header::parse(payload).filter(|header| header.key_id == self.key_id)
        else {
            return false;
        };
        let _ = header;
        let Some(end) = payload.len().checked_sub(TRAILER_LEN) else {
            return false;
        };
        let mut mac = self.keyed.clone();
        mac.update(&payload[..end]);
        mac.verify_slice(&payload[payload.len() - TAG_LEN..])
            .is_ok()
    }
}

/// A socket on the mesh's port of the calling thread's network namespace; several share it.
pub(crate) fn socket(receive_buffer: Option<usize>) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if let Some(bytes) = receive_buffer {
        force_receive_buffer(&socket, bytes)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
    socket
        .bind(&address.into())
        .context("cannot bind the mesh's port")?;
    Ok(socket.into())
}

fn force_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<()> {
    let bytes = bytes as libc::c_int;
    // SAFETY: an option of an open socket, its value of the length given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVBUFFORCE,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Judges one datagram after the other until told to stop.
pub(crate) fn one_by_one(socket: &UdpSocket, judged: &Judged, stop: &AtomicBool) {
    let verifier = Verifier::new();
    let mut buffer = [0; LONGEST];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            note(&verifier, &buffer[..length], judged);
        }
    }
}

/// Judges as many as have come, again and again, until told to stop; hands those that are right on.
pub(crate) fn by_the_many(
    socket: &UdpSocket,
    judged: &Judged,
    stop: &AtomicBool,
    mut deliver: impl FnMut(&[u8]),
) {
    let verifier = Verifier::new();
    let mut batch = Batch::new();
    while !stop.load(Ordering::Relaxed) {
        for payload in batch.receive(socket) {
            if note(&verifier, payload, judged) {
                deliver(payload);
            }
        }
    }
}

fn note(verifier: &Verifier, payload: &[u8], judged: &Judged) -> bool {
    let accepted = verifier.accepts(payload);
    let counter = if accepted {
        &judged.accepted
    } else {
        &judged.refused
    };
    counter.fetch_add(1, Ordering::Relaxed);
    accepted
}

/// Room for what one recvmmsg takes.
struct Batch {
    buffers: Vec<[u8; LONGEST]>,
}

impl Batch {
    fn new() -> Self {
        Self {
            buffers: vec![[0; LONGEST]; MANY],
        }
    }

    /// What has come; nothing if nothing comes for a while.
    fn receive(&mut self, socket: &UdpSocket) -> impl Iterator<Item = &[u8]> {
        let mut parts = self.buffers.iter_mut().map(|buffer| libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: LONGEST,
        });
        let mut parts: [libc::iovec; MANY] = std::array::from_fn(|_| {
            parts.next().unwrap_or(libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: 0,
            })
        });
        // SAFETY: an all-zero header is a valid one without buffers.
        let mut headers: [libc::mmsghdr; MANY] = unsafe { std::mem::zeroed() };
        for (header, part) in headers.iter_mut().zip(&mut parts) {
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: as many headers as said, each with one live buffer of the length given.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                MANY as u32,
                libc::MSG_WAITFORONE,
                std::ptr::null_mut(),
            )
        };
        let lengths = headers.map(|header| header.msg_len as usize);
        let taken = usize::try_from(count).unwrap_or(0);
        let buffers = self.buffers.iter().zip(lengths).take(taken);
        buffers.map(|(buffer, length)| &buffer[..length.min(LONGEST)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{Genuine, PAYLOAD, forged, key};

    #[test]
    fn a_members_frame_is_accepted_and_a_forgery_is_not() {
        let verifier = Verifier::new();
        let genuine = Genuine::probe(3, 7).frame(&key(), 1, b"hello");
        assert!(verifier.accepts(&genuine[PAYLOAD..]));
        assert!(!verifier.accepts(&forged(&key(), 8, 7)[PAYLOAD..]));
        assert!(!verifier.accepts(b"short"));
    }
}
