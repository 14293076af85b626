//! From Ethernet to UDP: is this frame for the mesh port, and by which way would it get there?

use crate::maps::Config;
use crate::memory_order::u16_at;
use crate::reason::Verdict;
use crate::wire::HEADER_LEN;

/// A frame as it lies in memory. The kernel's view and the host's slice implement it.
pub trait Packet {
    /// The `N` bytes at `at`, or [`Verdict::ShortFrame`]. (A verdict instead of `None`: without
    /// CAP_PERFMON the verifier refuses to compare a packet pointer with null.)
    fn bytes<const N: usize>(&self, at: usize) -> Result<&[u8; N], Verdict>;
}

impl Packet for [u8] {
    fn bytes<const N: usize>(&self, at: usize) -> Result<&[u8; N], Verdict> {
        self.get(at..).and_then(<[u8]>::first_chunk).ok_or(Verdict::ShortFrame)
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
const MAX_EXTENSION_BYTES: usize = 256;

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
        if destination_port(packet, ETHERNET + IPV6)? != config.port {
            return Err(Verdict::Foreign);
        }
        return packet.bytes(0);
    }
    if is_extension(next) {
        return Err(way_around(packet, ETHERNET + IPV6, next, config.port));
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

#[inline(always)]
fn destination_port<P: Packet + ?Sized>(packet: &P, udp: usize) -> Result<u16, Verdict> {
    let bytes = packet.bytes::<4>(udp)?;
    Ok(u16::from_be(u16_at(bytes, 2)))
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
#[inline(never)]
fn tagged<P: Packet + ?Sized>(packet: &P, port: u16) -> Verdict {
    let mut at = ETHERNET;
    let mut depth = 0;
    while depth < 2 {
        let Ok(tag) = packet.bytes::<4>(at) else { return Verdict::Foreign };
        at += 4;
        match u16::from_be(u16_at(tag, 2)) {
            TYPE_IPV6 => return behind_tag(packet, at, port),
            TYPE_VLAN | TYPE_QINQ => depth += 1,
            _ => return Verdict::Foreign,
        }
    }
    Verdict::Foreign
}

#[inline(always)]
fn behind_tag<P: Packet + ?Sized>(packet: &P, ipv6: usize, port: u16) -> Verdict {
    let Ok(header) = packet.bytes::<IPV6>(ipv6) else { return Verdict::Vlan };
    let next = header[6];
    if next == NEXT_UDP {
        return match destination_port(packet, ipv6 + IPV6) {
            Ok(other) if other != port => Verdict::Foreign,
            _ => Verdict::Vlan,
        };
    }
    if is_extension(next) {
        return match way_around(packet, ipv6 + IPV6, next, port) {
            Verdict::Foreign => Verdict::Foreign,
            _ => Verdict::Vlan,
        };
    }
    Verdict::Foreign
}

/// Follows a chain of extension headers: the stack would, and deliver what stands behind it unjudged.
#[inline(never)]
fn way_around<P: Packet + ?Sized>(packet: &P, start: usize, first: u8, port: u16) -> Verdict {
    let mut next = first;
    let mut chain = 0;
    let mut refusal = Verdict::ExtensionHeader;
    let mut count = 0;
    while count <= MAX_EXTENSIONS {
        if chain > MAX_EXTENSION_BYTES {
            return Verdict::ChainTooLong;
        }
        if next == NEXT_UDP {
            return match destination_port(packet, start + chain) {
                Ok(other) if other != port => Verdict::Foreign,
                _ => refusal,
            };
        }
        if !is_extension(next) {
            return Verdict::Foreign;
        }
        let Ok(header) = packet.bytes::<4>(start + chain) else { return refusal };
        let (kind, length) = (next, usize::from(header[1]));
        next = header[0];
        chain += match kind {
            NEXT_FRAGMENT => {
                if u16::from_be(u16_at(header, 2)) & 0xfff8 != 0 {
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
