//! The AF_XDP socket of one receive queue: frames that the filter accepted, before the stack saw them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use nexus0_common::packet::PAYLOAD;
use nexus0_common::wire::MAX_PAYLOAD;
use nix::libc;
use thiserror::Error;
use xdp::libc::xdp::XDP_PACKET_HEADROOM;
use xdp::nic::NicIndex;
use xdp::slab::{HeapSlab, Slab};
use xdp::socket::{SocketError, XdpSocket, XdpSocketBuilder};
use xdp::umem::{FrameSize, UmemCfgBuilder};
use xdp::{FillRing, RingConfigBuilder, RxRing, Umem};

use super::maps::MapError;

/// Frames that may wait in one queue: their memory is as large as the UDP socket's buffer.
const FRAMES: u32 = 2048;
/// Frames taken out of the ring at a time.
const BATCH: usize = 64;
/// The kernel takes a queue from a process that ended a moment later.
const RELEASE: Duration = Duration::from_secs(1);

const _: () = assert!(
    PAYLOAD + MAX_PAYLOAD <= 2048 - XDP_PACKET_HEADROOM as usize,
    "a frame fits whole"
);

/// How frames come into this process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The device writes them there.
    ZeroCopy,
    /// The kernel copies them there.
    Copy,
}

impl Delivery {
    /// Its spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroCopy => "zero-copy",
            Self::Copy => "copy",
        }
    }
}

/// Why accepted frames go through the stack after all.
#[derive(Debug, Error)]
pub enum QueueError {
    /// EBUSY.
    #[error("receive queue {queue} belongs to another AF_XDP socket")]
    Taken {
        /// Its number.
        queue: u32,
    },
    /// EPERM.
    #[error("AF_XDP sockets are not permitted here: run as root, or with CAP_NET_RAW")]
    Permission,
    /// ENOBUFS.
    #[error(
        "{} KiB for receive queue {queue} may not be locked in memory: raise the limit \
         (ulimit -l), or add CAP_IPC_LOCK",
        FRAMES * 2
    )]
    Locked {
        /// Its number.
        queue: u32,
    },
    /// EAFNOSUPPORT.
    #[error("this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)")]
    Kernel,
    /// More queues than the filter has places for.
    #[error("{count} receive queues are more than the {most} that can have AF_XDP sockets")]
    Many {
        /// What there is.
        count: u32,
        /// What there may be.
        most: usize,
    },
    /// Any other refusal.
    #[error("no AF_XDP socket on receive queue {queue}: {source}")]
    Io {
        /// Its number.
        queue: u32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The filter could not be told.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// One receive queue's socket, its rings and the frames in them.
pub struct Queue {
    delivery: Delivery,
    batch: HeapSlab,
    fill: FillRing,
    ring: RxRing,
    socket: XdpSocket,
    // The last: the kernel writes to it until the socket is closed.
    memory: Umem,
}

// SAFETY: packets, which hold pointers, lie in `batch` and the memory they point to goes with them.
unsafe impl Send for Queue {}

impl Queue {
    /// Takes a queue for this process: without copies where the driver can and `zero_copy` allows it.
    /// Waits a moment for one that ended to let go of it.
    pub fn open(interface: u32, queue: u32, zero_copy: bool) -> Result<Self, QueueError> {
        let deadline = Instant::now() + RELEASE;
        loop {
            match Self::open_now(interface, queue, zero_copy) {
                Err(QueueError::Taken { .. }) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(10));
                }
                other => return other,
            }
        }
    }

    fn open_now(interface: u32, queue: u32, zero_copy: bool) -> Result<Self, QueueError> {
        let opened = |delivery| {
            Self::bind(interface, queue, delivery).map_err(|source| explain(queue, source))
        };
        match zero_copy.then(|| opened(Delivery::ZeroCopy)) {
            None | Some(Err(QueueError::Io { .. })) => opened(Delivery::Copy),
            Some(other) => other,
        }
    }

    fn bind(interface: u32, queue: u32, delivery: Delivery) -> io::Result<Self> {
        let memory = UmemCfgBuilder {
            frame_size: FrameSize::TwoK,
            frame_count: FRAMES,
            ..UmemCfgBuilder::default()
        };
        let mut memory = Umem::map(memory.build().map_err(io::Error::other)?)?;
        let rings = RingConfigBuilder {
            rx_count: FRAMES,
            fill_count: FRAMES,
            tx_count: 0,
            completion_count: 1,
        };
        let rings = rings.build().map_err(io::Error::other)?;
        let mut socket = XdpSocketBuilder::new().map_err(io_error)?;
        let (rings, mut flags) = socket.build_rings(&memory, rings).map_err(io_error)?;
        match delivery {
            Delivery::ZeroCopy => flags.force_zerocopy(),
            Delivery::Copy => flags.force_copy(),
        }
        let mut fill = rings.fill_ring;
        // SAFETY: the memory is dropped after the socket.
        unsafe { fill.enqueue(&mut memory, FRAMES as usize) };
        Ok(Self {
            delivery,
            batch: HeapSlab::with_capacity(BATCH),
            fill,
            ring: rings
                .rx_ring
                .ok_or_else(|| io::Error::other("no receive ring"))?,
            socket: socket
                .bind(NicIndex::new(interface), queue, flags)
                .map_err(io_error)?,
            memory,
        })
    }

    /// How frames come here.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Lends the next Ethernet frame, `None` when there is none.
    pub fn next<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if self.batch.is_empty() {
            self.refill();
        }
        let packet = self.batch.pop_back()?;
        let taken = take(&packet);
        self.memory.free_packet(packet);
        Some(taken)
    }

    /// Gives the kernel back what was read, then takes what has arrived.
    fn refill(&mut self) {
        let free = self.memory.allocatable();
        // SAFETY: packets live in `batch` and the rings alone, and the memory outlives both.
        unsafe {
            self.fill.enqueue(&mut self.memory, free);
            self.ring.recv(&self.memory, &mut self.batch);
        }
    }

    /// Frames that found the ring full or had no place in it, ever.
    pub fn lost(&self) -> u64 {
        let statistics = self.socket.statistics();
        statistics.map_or(0, |lost| lost.rx_dropped + lost.rx_ring_full)
    }

    /// A descriptor that is readable while frames wait.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        // SAFETY: the socket keeps it open.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }.try_clone_to_owned()
    }

    /// The socket, to be put into a map.
    pub fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn io_error(error: SocketError) -> io::Error {
    match error {
        SocketError::SocketCreation(source)
        | SocketError::SetSockOpt { inner: source, .. }
        | SocketError::GetSockOpt { inner: source, .. }
        | SocketError::RingMap { inner: source, .. }
        | SocketError::Bind(source) => source,
    }
}

fn explain(queue: u32, source: io::Error) -> QueueError {
    match source.raw_os_error() {
        Some(libc::EBUSY) => QueueError::Taken { queue },
        Some(libc::EPERM | libc::EACCES) => QueueError::Permission,
        Some(libc::ENOBUFS) => QueueError::Locked { queue },
        Some(libc::EAFNOSUPPORT) => QueueError::Kernel,
        _ => QueueError::Io { queue, source },
    }
}
