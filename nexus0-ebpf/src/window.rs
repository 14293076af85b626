//! The packet's linear bytes between the two pointers that XDP gives.

use aya_ebpf::programs::XdpContext;
use nexus0_common::packet::Packet;
use nexus0_common::reason::Verdict;

/// A frame in the driver's memory.
pub struct Window {
    start: usize,
    end: usize,
}

impl Window {
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end() }
    }
}

impl Packet for Window {
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Result<&[u8; N], Verdict> {
        let from = self.start + at;
        if from + N > self.end {
            return Err(Verdict::ShortFrame);
        }
        // SAFETY: the N bytes lie between data and data_end, which the verifier checks once more.
        Ok(unsafe { &*(from as *const [u8; N]) })
    }
}
