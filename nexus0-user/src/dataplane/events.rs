//! Sampled refusals out of the filter's ring buffer.

use std::io;

use aya::maps::{MapData, RingBuf};
use nexus0_common::maps::{DropEvent, EVENT_BYTES};
use nexus0_common::reason::Verdict;
use tokio::io::unix::AsyncFd;

/// A refused frame that was sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub verdict: Verdict,
    /// Bytes of the frame as its IPv6 header states them.
    pub length: u32,
    /// Its beginning.
    pub bytes: Vec<u8>,
}

/// The ring buffer; waits on a tokio reactor once it is read.
pub struct Events {
    ring: Ring,
}

enum Ring {
    Idle(Option<RingBuf<MapData>>),
    Polled(AsyncFd<RingBuf<MapData>>),
}

impl Events {
    pub(super) fn new(ring: RingBuf<MapData>) -> Self {
        Self {
            ring: Ring::Idle(Some(ring)),
        }
    }

    /// The refusals that are there now.
    pub fn ready(&mut self) -> Vec<Refusal> {
        match &mut self.ring {
            Ring::Idle(ring) => ring.as_mut().map(drain).unwrap_or_default(),
            Ring::Polled(polled) => drain(polled.get_mut()),
        }
    }

    /// Waits for refusals and hands over all that are there. Needs a tokio runtime.
    pub async fn next(&mut self) -> io::Result<Vec<Refusal>> {
        if let Ring::Idle(ring) = &mut self.ring {
            let ring = ring
                .take()
                .ok_or_else(|| io::Error::other("the ring buffer was lost"))?;
            // SAFETY: the ring buffer keeps its descriptor open, and the same one, for as long as it lives.
            self.ring = Ring::Polled(unsafe { AsyncFd::register(ring) }?);
        }
        let Ring::Polled(polled) = &mut self.ring else {
            return Err(io::Error::other("the ring buffer was lost"));
        };
        loop {
            let mut ready = polled.readable_mut().await?;
            let refusals = drain(ready.get_inner_mut());
            // Readiness is edge-triggered: it may be cleared only when nothing is left.
            ready.clear_ready();
            if !refusals.is_empty() {
                return Ok(refusals);
            }
        }
    }
}

fn drain(ring: &mut RingBuf<MapData>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    while let Some(item) = ring.next() {
        refusals.extend(parse(&item));
    }
    refusals
}

/// Reads a [`DropEvent`] from its bytes.
fn parse(item: &[u8]) -> Option<Refusal> {
    let event: &[u8; size_of::<DropEvent>()] = item.first_chunk()?;
    let (head, bytes) = event.split_at(size_of::<DropEvent>() - EVENT_BYTES);
    let captured = usize::from(head[5]).min(EVENT_BYTES);
    Some(Refusal {
        verdict: Verdict::from_number(head[4])?,
        length: u32::from_ne_bytes(*head.first_chunk()?),
        bytes: bytes[..captured].to_vec(),
    })
}
