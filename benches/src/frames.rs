//! The frames that are offered: genuine ones of members, and what an attacker makes of them.

use nexus0::flood::envelope::{Envelope, mend};
use nexus0::lab::pair::{OWN_MAC, PEER_MAC};
use nexus0_common::auth::FrameKey;
use nexus0_common::wire::{Class, FrameType, Header, LOWEST_VERSION, authenticated_len};

/// Address of the machine that is defended.
pub(crate) const OWN: [u8; 16] = address(1);
/// Where the mesh frame begins.
pub(crate) const PAYLOAD: usize = 62;
/// Where its body begins.
pub(crate) const BODY: usize = PAYLOAD + 24;
/// Different frames of a flood.
pub(crate) const DIFFERENT: u64 = 4096;

/// The link-local address of the MAC address that ends in this number.
pub(crate) const fn address(number: u16) -> [u8; 16] {
    let [a, b] = number.to_be_bytes();
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, a, b]
}

/// A member by its number.
pub(crate) const fn member(number: u32) -> [u8; 8] {
    let [a, b, c, d] = number.to_be_bytes();
    [1, 1, 1, 1, a, b, c, d]
}

/// The mesh's key.
pub(crate) fn key() -> FrameKey {
    FrameKey::new([1; 4], &MAC_KEY, &[1; 16])
}

/// Its part that userspace verifies with.
pub(crate) const MAC_KEY: [u8; 32] = [1; 32];

/// What a member sends.
#[derive(Clone, Copy)]
pub(crate) struct Genuine {
    pub(crate) frame_type: FrameType,
    pub(crate) class: Class,
    pub(crate) member: u32,
    pub(crate) sequence: u64,
}

impl Genuine {
    /// A steady pulse: 95 bytes of payload, 157 on the wire.
    pub(crate) fn pulse(member: u32, sequence: u64) -> Self {
        Self {
            frame_type: FrameType::Ann,
            class: Class::Multicast,
            member,
            sequence,
        }
    }

    /// As long as a pulse, to one address, which user space can share out among several sockets.
    pub(crate) fn probe(member: u32, sequence: u64) -> Self {
        Self {
            frame_type: FrameType::Probe,
            class: Class::Unicast,
            member,
            sequence,
        }
    }

    /// The whole frame, its body of `blocks` SHA-256 blocks begun with `begin`.
    pub(crate) fn frame(&self, key: &FrameKey, blocks: usize, begin: &[u8]) -> Vec<u8> {
        let header = Header {
            version: LOWEST_VERSION,
            frame_type: self.frame_type,
            class: self.class,
            key_id: key.id,
            sender: member(self.member),
            sequence: self.sequence,
        };
        let source = address(2 + self.member as u16);
        let mut envelope = Envelope::to_group(PEER_MAC, source);
        if self.class == Class::Unicast {
            envelope.destination_mac = OWN_MAC;
            envelope.destination = OWN;
        }
        let mut payload = header.emit().to_vec();
        payload.extend(begin);
        payload.resize(authenticated_len(blocks), 0);
        let trailer = key.trailer(&payload, &source, &envelope.destination);
        payload.extend(trailer.into_iter().flatten());
        envelope.wrap(&payload)
    }
}

/// Well formed, current key id, known sender, fresh sequence, body and tags of its own: what an attacker
/// picks.
pub(crate) fn forged(key: &FrameKey, members: u32, number: u64) -> Vec<u8> {
    let member = number as u32 % members;
    let mut frame = Genuine::probe(member, 1 << 20 | number).frame(key, 1, &number.to_be_bytes());
    let trailer = frame.len() - 40;
    for (index, byte) in frame[trailer..].iter_mut().enumerate() {
        *byte ^= 0x55 ^ (number >> (index % 8 * 3)) as u8;
    }
    mend(&mut frame);
    frame
}

/// Thousands of forgeries, each from another member.
pub(crate) fn forgeries(key: &FrameKey, members: u32) -> Vec<Vec<u8>> {
    (0..DIFFERENT).map(|n| forged(key, members, n)).collect()
}
