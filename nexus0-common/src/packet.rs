//! From Ethernet to UDP: is this frame for the mesh port, and by which way would it get there?

use crate::maps::Config;
use crate::memory_order::u16_at;
use crate::reason::Verdict;
use crate::wire::HEADER_LEN;

/// A frame as it lies in memory. The kernel's view and the host's slice implement it.
///
/// Without CAP_PERFMON the verifier allows a packet pointer to move by constants only and never to be
/// compared with null. So there is a method for each way of going further than a constant, and what is not
/// there is [`Verdict::ShortFrame`].
pub trait Packet {
    /// The `N` bytes at `at`, a constant.
    fn bytes<const N: usize>(&self, at: usize) -> Result<&[u8; N], Verdict>;

    /// The `N` bytes that lie `blocks` times 64 bytes behind `at`, a constant.
    fn behind<const N: usize>(&self, at: usize, blocks: usize) -> Result<&[u8; N], Verdict>;

    /// Hands out one 64-byte block after the other from `at`, a constant.
    fn blocks<'a>(&'a self, at: usize) -> impl FnMut() -> Result<&'a [u8; 64], Verdict>;

    /// Hands out the four bytes at any multiple of four, up to [`MAX_EXTENSION_BYTES`], behind `at`, a
    /// constant; `None` where the frame ends before.
    fn headers(&self, at: usize) -> impl Fn(usize) -> Option<[u8; 4]>;
}

impl Packet for [u8] {
    fn bytes<const N: usize>(&self, at: usize) -> Result<&[u8; N], Verdict> {
        self.get(at..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(Verdict::ShortFrame)
    }

    fn behind<const N: usize>(&self, at: usize, blocks: usize) -> Result<&[u8; N], Verdict> {
        self.bytes(at + 64 * blocks)
    }

    fn blocks<'a>(&'a self, at: usize) -> impl FnMut() -> Result<&'a [u8; 64], Verdict> {
        let mut at = at;
        move || {
            let block = self.bytes(at);
            at += 64;
            block
        }
    }

    fn headers(&self, at: usize) -> impl Fn(usize) -> Option<[u8; 4]> {
        move |offset| self.bytes(at + offset).ok().copied()
    }
}

/// Bytes of the Ethernet header.
pub const ETHERNET: usize = 14;
/// Bytes of the IPv6 header.
pub const IPV6: usize = 40;
/// Bytes of the UDP header.
pub const UDP: usize = 8;
/// Where the mesh frame begins in an untagged Ethernet frame.
pub const PAYLOAD: usize = ETHERNET + IPV6 + UDP;
/// Everything up to the end of the mesh header.
pub const HEAD: usize = PAYLOAD + HEADER_LEN;

const TYPE_IPV6: u16 = 0x86dd;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_QINQ: u16 = 0x88a8;

const NEXT_HOP_BY_HOP: u8 = 0;
const NEXT_UDP: u8 = 17;
const NEXT_ROUTING: u8 = 43;
const NEXT_FRAGMENT: u8 = 44;
const NEXT_AUTHENTICATION: u8 = 51;
const NEXT_DESTINATION: u8 = 60;
const NEXT_MOBILITY: u8 = 135;
const NEXT_HIP: u8 = 139;
const NEXT_SHIM6: u8 = 140;

const MAX_EXTENSIONS: usize = 8;
/// Bytes of extension headers that are followed.
pub const MAX_EXTENSION_BYTES: usize = 256;

/// Sorts a frame: `Ok` with its head if it is plain IPv6 UDP to the mesh port, otherwise the verdict,
/// which is [`Verdict::Foreign`] for all that is not ours.
#[inline(always)]
pub fn head<'a, P: Packet + ?Sized>(
    packet: &'a P,
    config: &Config,
) -> Result<&'a [u8; HEAD], Verdict> {
    let Ok(ethernet) = packet.bytes::<ETHERNET>(0) else {
        return Err(Verdict::Foreign);
    };
    match u16::from_be(u16_at(ethernet, 12)) {
        TYPE_IPV6 => {}
        TYPE_VLAN | TYPE_QINQ => return Err(tagged(packet, config.port)),
        _ => return Err(Verdict::Foreign),
    }
    let next = packet.bytes::<IPV6>(ETHERNET)?[6];
    if next == NEXT_UDP {
        if port_of(packet.bytes(ETHERNET + IPV6)?) != config.port {
            return Err(Verdict::Foreign);
        }
        return packet.bytes(0);
    }
    if is_extension(next) {
        return Err(way_around(
            packet.headers(ETHERNET + IPV6),
            next,
            config.port,
        ));
    }
    Err(Verdict::Foreign)
}

/// Bytes of a frame as its IPv6 header states them, from the Ethernet header on; 0 for other traffic.
/// (The verifier lets nobody without CAP_PERFMON subtract packet pointers.)
#[inline(always)]
pub fn stated_length<P: Packet + ?Sized>(packet: &P) -> u64 {
    match packet.bytes::<20>(0) {
        Ok(bytes) if u16::from_be(u16_at(bytes, 12)) == TYPE_IPV6 => {
            (ETHERNET + IPV6) as u64 + u64::from(u16::from_be(u16_at(bytes, 18)))
        }
        _ => 0,
    }
}

/// The destination port in the first half of a UDP header.
#[inline(always)]
fn port_of(udp: &[u8; 4]) -> u16 {
    u16::from_be(u16_at(udp, 2))
}

#[inline(always)]
fn is_extension(next: u8) -> bool {
    matches!(
        next,
        NEXT_HOP_BY_HOP
            | NEXT_ROUTING
            | NEXT_FRAGMENT
            | NEXT_AUTHENTICATION
            | NEXT_DESTINATION
            | NEXT_MOBILITY
            | NEXT_HIP
            | NEXT_SHIM6
    )
}

/// One or two VLAN tags: refused if the mesh port is behind them.
#[inline(always)]
fn tagged<P: Packet + ?Sized>(packet: &P, port: u16) -> Verdict {
    let Ok(tag) = packet.bytes::<4>(ETHERNET) else {
        return Verdict::Foreign;
    };
    match u16::from_be(u16_at(tag, 2)) {
        TYPE_IPV6 => return behind_tag::<{ ETHERNET + 4 }, P>(packet, port),
        TYPE_VLAN | TYPE_QINQ => {}
        _ => return Verdict::Foreign,
    }
    match packet.bytes::<4>(ETHERNET + 4) {
        Ok(tag) if u16::from_be(u16_at(tag, 2)) == TYPE_IPV6 => {
            behind_tag::<{ ETHERNET + 8 }, P>(packet, port)
        }
        _ => Verdict::Foreign,
    }
}

#[inline(always)]
fn behind_tag<const AT: usize, P: Packet + ?Sized>(packet: &P, port: u16) -> Verdict {
    let Ok(header) = packet.bytes::<IPV6>(AT) else {
        return Verdict::Vlan;
    };
    let next = header[6];
    if next != NEXT_UDP && !is_extension(next) {
        return Verdict::Foreign;
    }
    match way_around(packet.headers(AT + IPV6), next, port) {
        Verdict::Foreign => Verdict::Foreign,
        _ => Verdict::Vlan,
    }
}

/// Follows a chain of extension headers: the stack would, and deliver what stands behind it unjudged.
#[inline(never)]
fn way_around(header: impl Fn(usize) -> Option<[u8; 4]>, first: u8, port: u16) -> Verdict {
    let mut next = first;
    let mut chain = 0;
    let mut refusal = Verdict::ExtensionHeader;
    let mut count = 0;
    while count <= MAX_EXTENSIONS {
        if chain > MAX_EXTENSION_BYTES {
            return Verdict::ChainTooLong;
        }
        if next != NEXT_UDP && !is_extension(next) {
            return Verdict::Foreign;
        }
        let Some(bytes) = header(chain) else {
            return refusal;
        };
        if next == NEXT_UDP {
            return if port_of(&bytes) == port {
                refusal
            } else {
                Verdict::Foreign
            };
        }
        let (kind, length) = (next, usize::from(bytes[1]));
        next = bytes[0];
        chain += match kind {
            NEXT_FRAGMENT => {
                if u16::from_be_bytes([bytes[2], bytes[3]]) & 0xfff8 != 0 {
                    // Not the first: worthless to the stack without the first, which is judged here.
                    return Verdict::Foreign;
                }
                refusal = Verdict::Fragment;
                8
            }
            NEXT_AUTHENTICATION => (length + 2) * 4,
            _ => (length + 1) * 8,
        };
        count += 1;
    }
    Verdict::ChainTooLong
}
