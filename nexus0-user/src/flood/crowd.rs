//! A crowd at the door: many sources that knock, each frame a different one, out of a packet socket.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nexus0_common::auth::FrameKey;
use nexus0_common::wire::{FrameType, TRAILER_LEN};
use nix::libc;
use socket2::Socket;

use crate::flood::capture::{Capture, packet_socket};
use crate::flood::envelope::mend;

const PAYLOAD: usize = 62;
const SOURCE: usize = 14 + 8;
const SEQUENCE: usize = PAYLOAD + 16;
const BODY: usize = PAYLOAD + 24;
/// Where a BEACON shows its anchor's nonce.
const BEACON_NONCE: usize = BODY + 20;
/// How often the crowd looks at what it has heard.
const LOOK: Duration = Duration::from_millis(200);
/// Frames between two looks at the clock.
const BATCH: u64 = 32;
/// The source that is told apart by its number.
const FIRST_SOURCE: u64 = 0x0200_5eff_fe00_0000;

/// What those who knock know.
pub enum Who {
    /// Nothing but what they hear: every second frame is one of theirs with a wrong pre-tag, the others are
    /// recorded ones, all in turn, unchanged.
    Strangers,
    /// The mesh id: whole requests with right tags, every second one bound to the newest nonce heard. The
    /// template is one that nobody granted, its first bytes an Ethernet header.
    Insider {
        /// The door's.
        key: FrameKey,
        /// A request of their own making.
        template: Vec<u8>,
    },
}

/// A crowd on one interface.
pub struct Crowd {
    socket: Socket,
    capture: Capture,
    who: Who,
    sources: u64,
    request: Vec<u8>,
}

/// What was last heard.
#[derive(Default)]
struct Heard {
    recorded: Vec<Vec<u8>>,
    key_id: Option<[u8; 4]>,
    nonce: [u8; 4],
}

impl Crowd {
    /// On an interface of the calling thread's network namespace. `request` is a request to join in its
    /// Ethernet frame, of any key: strangers take its shape.
    pub fn new(
        interface: u32,
        capture: Capture,
        who: Who,
        sources: u64,
        request: Vec<u8>,
    ) -> Result<Self> {
        let socket = packet_socket(interface, 0).context("cannot send on the interface")?;
        bypass_taps(&socket)?;
        Ok(Self {
            socket,
            capture,
            who,
            sources: sources.max(1),
            request,
        })
    }

    /// Knocks so many times a second until told to stop; counts what was sent.
    pub fn knock(&self, rate: u64, stop: &AtomicBool, sent: &AtomicU64) -> Result<()> {
        let start = Instant::now();
        let mut heard = self.listen();
        let (mut looked, mut number) = (start, 0);
        while !stop.load(Ordering::Relaxed) {
            if looked.elapsed() >= LOOK {
                heard = self.listen();
                looked = Instant::now();
            }
            let due = start.elapsed().as_micros() * u128::from(rate) / 1_000_000;
            let due = u64::try_from(due).unwrap_or(u64::MAX);
            let end = due.min(number + BATCH);
            if end == number {
                thread::sleep(Duration::from_millis(1));
            }
            while number < end {
                number += 1;
                let Some(frame) = self.frame(number, &heard) else {
                    continue;
                };
                match self.socket.send(&frame) {
                    Ok(_) => drop(sent.fetch_add(1, Ordering::Relaxed)),
                    Err(error) if full(&error) => thread::yield_now(),
                    Err(error) => return Err(error).context("cannot knock"),
                }
            }
        }
        Ok(())
    }

    fn listen(&self) -> Heard {
        let captured = self.capture.captured();
        let nonce = captured.door(FrameType::Beacon).next();
        let nonce = nonce.and_then(|heard| heard.frame.get(BEACON_NONCE..)?.first_chunk().copied());
        Heard {
            key_id: captured.door_key_id(),
            nonce: nonce.unwrap_or_default(),
            recorded: match self.who {
                Who::Strangers => captured.all_at_door().map(|h| h.frame.clone()).collect(),
                Who::Insider { .. } => Vec::new(),
            },
        }
    }

    fn frame(&self, number: u64, heard: &Heard) -> Option<Vec<u8>> {
        match &self.who {
            Who::Strangers if number.is_multiple_of(2) => {
                let index = (number / 2) % (heard.recorded.len() as u64).max(1);
                heard.recorded.get(index as usize).cloned()
            }
            Who::Strangers => Some(self.wrong_pre_tag(number, heard.key_id?)),
            Who::Insider { key, template } => self.right(number, key, template, heard.nonce),
        }
    }

    /// A request from one of the sources, its tags those of another.
    fn wrong_pre_tag(&self, number: u64, key_id: [u8; 4]) -> Vec<u8> {
        let mut frame = self.spoofed(&self.request, number);
        frame[PAYLOAD + 4..PAYLOAD + 8].copy_from_slice(&key_id);
        frame
    }

    fn right(
        &self,
        number: u64,
        key: &FrameKey,
        template: &[u8],
        nonce: [u8; 4],
    ) -> Option<Vec<u8>> {
        let mut frame = self.spoofed(template, number);
        let bound = number.is_multiple_of(2);
        frame[BODY..BODY + 4].copy_from_slice(if bound { &nonce } else { &[0; 4] });
        let (source, destination) = (chunk(&frame, SOURCE)?, chunk(&frame, SOURCE + 16)?);
        let end = frame.len() - TRAILER_LEN;
        let trailer = key.trailer(&frame[PAYLOAD..end], &source, &destination)?;
        frame[end..].copy_from_slice(&trailer);
        mend(&mut frame);
        Some(frame)
    }

    fn spoofed(&self, frame: &[u8], number: u64) -> Vec<u8> {
        let mut frame = frame.to_owned();
        let source = FIRST_SOURCE + number % self.sources;
        frame[SOURCE + 8..SOURCE + 16].copy_from_slice(&source.to_be_bytes());
        frame[SEQUENCE..SEQUENCE + 8].copy_from_slice(&number.to_be_bytes());
        frame
    }
}

fn chunk<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..)?.first_chunk().copied()
}

fn full(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOBUFS | libc::EAGAIN | libc::EINTR)
    )
}

/// Keeps what is sent from those who listen on the same interface, and from its queue.
fn bypass_taps(socket: &Socket) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let on: libc::c_int = 1;
    // SAFETY: an option of an open socket, its value of the length given.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_QDISC_BYPASS,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
