//! From Ethernet to the UDP payload, PROTOCOL sections 1 and 4.

use super::{Check, Name};

const IPV6: [u8; 2] = [0x86, 0xdd];
const TAGS: [[u8; 2]; 2] = [[0x81, 0x00], [0x88, 0xa8]];
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const EXTENSIONS: [u8; 8] = [0, 43, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140];

/// A datagram to the mesh port with at least a header of a frame in it.
pub(super) struct Datagram<'a> {
    pub(super) hop_limit: u8,
    pub(super) source: &'a [u8; 16],
    pub(super) destination: &'a [u8; 16],
    pub(super) ipv6_length: u16,
    pub(super) udp_length: u16,
    /// All that follows the UDP header.
    pub(super) payload: &'a [u8],
}

pub(super) fn datagram(frame: &[u8], port: u16) -> Check<Datagram<'_>> {
    let (ethernet, packet) = frame.split_at_checked(14).ok_or("foreign")?;
    if TAGS.iter().any(|tag| ethernet[12..] == *tag) {
        return Err(tagged(packet, port));
    }
    if ethernet[12..] != IPV6 {
        return Err("foreign");
    }
    let (ipv6, rest) = packet.split_at_checked(40).ok_or("short-frame")?;
    match ipv6[6] {
        UDP => {}
        extension if EXTENSIONS.contains(&extension) => return Err(behind(extension, rest, port)),
        _ => return Err("foreign"),
    }
    let to = rest.get(2..4).ok_or("short-frame")?;
    if to != port.to_be_bytes() {
        return Err("foreign");
    }
    let (udp, payload) = rest.split_at_checked(8).ok_or("short-frame")?;
    if payload.len() < 24 {
        return Err("short-frame");
    }
    Ok(Datagram {
        hop_limit: ipv6[7],
        source: ipv6[8..24].try_into().expect("sixteen"),
        destination: ipv6[24..40].try_into().expect("sixteen"),
        ipv6_length: u16::from_be_bytes([ipv6[4], ipv6[5]]),
        udp_length: u16::from_be_bytes([udp[4], udp[5]]),
        payload,
    })
}

/// One tag or two.
fn tagged(packet: &[u8], port: u16) -> Name {
    let inner = |at: usize| packet.get(at + 2..at + 4);
    let header = match inner(0) {
        Some(kind) if kind == IPV6 => &packet[4..],
        Some(kind) if TAGS.iter().any(|tag| kind == tag) => match inner(4) {
            Some(kind) if kind == IPV6 => &packet[8..],
            _ => return "foreign",
        },
        _ => return "foreign",
    };
    let Some((ipv6, rest)) = header.split_at_checked(40) else {
        return "vlan";
    };
    match behind(ipv6[6], rest, port) {
        "foreign" => "foreign",
        _ => "vlan",
    }
}

/// Looks for the mesh port behind extension headers, the first of them of the given number.
fn behind(first: u8, packet: &[u8], port: u16) -> Name {
    let mut refusal = "extension-header";
    let (mut next, mut at) = (first, 0);
    for _ in 0..9 {
        if at > 256 {
            return "chain-too-long";
        }
        if next != UDP && !EXTENSIONS.contains(&next) {
            return "foreign";
        }
        let Some(header) = packet.get(at..at + 4) else {
            return refusal;
        };
        if next == UDP {
            let ours = header[2..] == port.to_be_bytes();
            return if ours { refusal } else { "foreign" };
        }
        let length = usize::from(header[1]);
        at += match next {
            FRAGMENT if u16::from_be_bytes([header[2], header[3]]) / 8 > 0 => return "foreign",
            FRAGMENT => {
                refusal = "fragment";
                8
            }
            AUTHENTICATION => 4 * (length + 2),
            _ => 8 * (length + 1),
        };
        next = header[0];
    }
    "chain-too-long"
}
