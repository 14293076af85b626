//! What a frame travels in: Ethernet, IPv6, UDP. Every field is public, to be wrong on purpose.

use nexus0_common::wire::{GROUP, PORT};

/// MAC address of the group ff02::1.
pub const GROUP_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// Next-header number of UDP.
pub const UDP: u8 = 17;
/// Next-header number of a fragment header.
pub const FRAGMENT: u8 = 44;
/// Next-header number of destination options.
pub const DESTINATION_OPTIONS: u8 = 60;
const UDP_LEN: usize = 8;

/// Everything in front of the payload.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Destination MAC address.
    pub destination_mac: [u8; 6],
    /// Source MAC address.
    pub source_mac: [u8; 6],
    /// VLAN identifier, if tagged.
    pub vlan: Option<u16>,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// Hop limit.
    pub hop_limit: u8,
    /// Numbers of the extension headers, of 8 bytes each.
    pub extensions: Vec<u8>,
    /// UDP port, source and destination.
    pub port: u16,
    /// Added to the true UDP length.
    pub udp_length_error: i16,
}

impl Envelope {
    /// A right one, to the group.
    pub fn to_group(source_mac: [u8; 6], source: [u8; 16]) -> Self {
        Self {
            destination_mac: GROUP_MAC,
            source_mac,
            vlan: None,
            source,
            destination: GROUP,
            hop_limit: 255,
            extensions: Vec::new(),
            port: PORT,
            udp_length_error: 0,
        }
    }

    /// The whole frame.
    pub fn wrap(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(80 + payload.len());
        frame.extend(self.destination_mac);
        frame.extend(self.source_mac);
        if let Some(vlan) = self.vlan {
            frame.extend([0x81, 0x00]);
            frame.extend(vlan.to_be_bytes());
        }
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        let length = 8 * self.extensions.len() + UDP_LEN + payload.len();
        frame.extend((length as u16).to_be_bytes());
        frame.extend([
            self.extensions.first().copied().unwrap_or(UDP),
            self.hop_limit,
        ]);
        frame.extend(self.source);
        frame.extend(self.destination);
        for (index, header) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(index + 1).copied().unwrap_or(UDP);
            frame.extend(extension(*header, next));
        }
        frame.extend(self.udp(payload));
        frame
    }

    fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let length = (UDP_LEN + payload.len()) as u16;
        let stated = length.wrapping_add_signed(self.udp_length_error);
        let mut udp = Vec::with_capacity(usize::from(length));
        udp.extend(self.port.to_be_bytes());
        udp.extend(self.port.to_be_bytes());
        udp.extend(stated.to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        let sum = checksum(&self.source, &self.destination, &udp);
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        udp
    }
}

/// Eight bytes: a first fragment with more to come, or options that are all padding.
fn extension(header: u8, next: u8) -> [u8; 8] {
    if header == FRAGMENT {
        return [next, 0, 0, 1, 0, 0, 0x4e, 0x30];
    }
    [next, 0, 1, 4, 0, 0, 0, 0]
}

/// Recomputes the UDP checksum of a frame without tags and extension headers, after a change.
pub fn mend(frame: &mut [u8]) {
    const IPV6: usize = 14;
    const UDP: usize = IPV6 + 40;
    let (Some(source), Some(destination)) = (
        frame
            .get(IPV6 + 8..)
            .and_then(<[u8]>::first_chunk::<16>)
            .copied(),
        frame
            .get(IPV6 + 24..)
            .and_then(<[u8]>::first_chunk::<16>)
            .copied(),
    ) else {
        return;
    };
    let Some(udp) = frame.get_mut(UDP..).filter(|udp| udp.len() >= UDP_LEN) else {
        return;
    };
    udp[6..8].fill(0);
    let sum = checksum(&source, &destination, udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
}

/// UDP over IPv6, RFC 8200 section 8.1.
fn checksum(source: &[u8; 16], destination: &[u8; 16], udp: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
            .sum()
    };
    let mut sum = words(source) + words(destination) + words(udp);
    sum += udp.len() as u32 + u32::from(UDP);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pnet_packet::Packet;
    use pnet_packet::ethernet::EthernetPacket;
    use pnet_packet::ipv6::Ipv6Packet;
    use pnet_packet::udp::{UdpPacket, ipv6_checksum};

    #[test]
    fn a_right_envelope_reads_back_with_a_right_checksum() {
        let mut source = [0; 16];
        source[0] = 0xfe;
        source[1] = 0x80;
        source[15] = 7;
        let frame = Envelope::to_group([2, 0, 0, 0, 0, 1], source).wrap(b"nexus");
        let ethernet = EthernetPacket::new(&frame).unwrap();
        let ipv6 = Ipv6Packet::new(ethernet.payload()).unwrap();
        assert_eq!(usize::from(ipv6.get_payload_length()), ipv6.payload().len());
        let udp = UdpPacket::new(ipv6.payload()).unwrap();
        assert_eq!(
            (udp.get_destination(), udp.payload()),
            (PORT, b"nexus".as_slice())
        );
        let right = ipv6_checksum(&udp, &ipv6.get_source(), &ipv6.get_destination());
        assert_eq!(udp.get_checksum(), right);
    }

    #[test]
    fn a_mended_frame_is_as_if_made_anew() {
        let envelope = Envelope::to_group([2, 0, 0, 0, 0, 1], [3; 16]);
        let mut frame = envelope.wrap(b"nexus");
        let last = frame.len() - 1;
        frame[last] = b'?';
        mend(&mut frame);
        assert_eq!(frame, envelope.wrap(b"nexu?"));
    }
}
