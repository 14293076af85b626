//! Makes the frames: from nothing, or from what was heard on the link.

use anyhow::{Context, Result};
use nexus0_common::auth::{FrameKey, Midstates};
use nexus0_common::maps::{Config, DOOR_SLOT, KeySlot, Keys};
use nexus0_common::memory::MemoryMaps;
use nexus0_common::wire::{
    Class, FrameType, Header, PORT, SEQUENCE_END, TRAILER_LEN, UNICAST_BIT, authenticated_len,
};
use nexus0_core::filter::Filter;
use nexus0_core::id::MeshId;
use nexus0_core::time::Time;

use crate::flood::Kind;
use crate::flood::capture::{Captured, Heard};
use crate::flood::envelope::{DESTINATION_OPTIONS, Envelope, FRAGMENT, mend};

const DESTINATION_MAC: usize = 0;
const DESTINATION: usize = 14 + 24;
const PAYLOAD: usize = 62;
const KIND_BYTE: usize = PAYLOAD + 3;
const SEQUENCE: usize = PAYLOAD + 16;
const BODY: usize = PAYLOAD + 24;

/// Writes a request body, signed by a key made for it, in the frame it is given (header first, 439
/// bytes, the signature last) between these addresses.
pub type Signer = Box<dyn Fn(&mut [u8], &[u8; 16], &[u8; 16]) + Send>;

/// The key of a mesh's door, which everyone who knows the mesh's name can derive.
pub fn door_key(mesh: MeshId) -> FrameKey {
    let config = Config::new(PORT, [0; 2]);
    let Ok(filter) = Filter::adopt(MemoryMaps::new(config), mesh, config, Time(0));
    let Keys { ids, slots } = filter.maps().keys;
    let KeySlot {
        pre_tag,
        inner,
        outer,
        ..
    } = slots[DOOR_SLOT];
    FrameKey {
        id: ids[DOOR_SLOT].to_ne_bytes(),
        pre_tag,
        midstates: Midstates { inner, outer },
    }
}

/// A request with right tags from one who knows a mesh's name, in its Ethernet frame.
pub fn request(mac: [u8; 6], mesh: MeshId, signer: Signer) -> Result<Vec<u8>> {
    let forge = Forge::new(mac, Captured::default()).knowing(door_key(mesh), signer);
    forge
        .self_granted()?
        .context("a forger that knows the mesh")
}

/// A forger at one place of the link.
pub struct Forge {
    mac: [u8; 6],
    captured: Captured,
    door: Option<FrameKey>,
    signer: Option<Signer>,
}

impl Forge {
    /// One that has heard `captured` and sends from the interface with this MAC address.
    pub fn new(mac: [u8; 6], captured: Captured) -> Self {
        Self {
            mac,
            captured,
            door: None,
            signer: None,
        }
    }

    /// One that knows the mesh's name besides, and so the key of its door.
    #[must_use]
    pub fn knowing(mut self, door: FrameKey, signer: Signer) -> Self {
        self.door = Some(door);
        self.signer = Some(signer);
        self
    }

    /// Up to `count` different frames of a kind; none if nothing heard so far allows it.
    pub fn frames(&self, kind: Kind, count: usize) -> Result<Vec<Vec<u8>>> {
        (0..count)
            .map_while(|index| self.frame(kind, index).transpose())
            .collect()
    }

    /// Whether the kind starts from something heard.
    pub fn needs_capture(kind: Kind) -> bool {
        Self::new([2; 6], Captured::default())
            .frame(kind, 0)
            .is_ok_and(|frame| frame.is_none())
            && kind != Kind::SelfGranted
    }

    fn frame(&self, kind: Kind, index: usize) -> Result<Option<Vec<u8>>> {
        Ok(match kind {
            Kind::Short => Some(self.cut()?),
            Kind::HopLimit => Some(self.wrong(|e| e.hop_limit = 64 + (index % 191) as u8)?),
            Kind::Source => Some(self.wrong(|e| e.source[..2].copy_from_slice(&[0x20, 0x01]))?),
            Kind::Destination => Some(self.wrong(|e| e.destination[14] = 1)?),
            Kind::UdpLength => {
                Some(self.wrong(|e| e.udp_length_error = -(1 + (index % 60) as i16))?)
            }
            Kind::Fragment => Some(self.wrong(|e| e.extensions = vec![FRAGMENT])?),
            Kind::ExtensionHeader => {
                Some(self.wrong(|e| e.extensions = vec![DESTINATION_OPTIONS])?)
            }
            Kind::ChainTooLong => {
                Some(self.wrong(|e| e.extensions = vec![DESTINATION_OPTIONS; 9])?)
            }
            Kind::Vlan => Some(self.wrong(|e| e.vlan = Some((index % 4095) as u16))?),
            Kind::Class => Some(self.spoilt(3, |byte| byte | UNICAST_BIT)?),
            Kind::Magic => Some(self.spoilt(index % 2, |byte| !byte)?),
            Kind::Version => Some(self.spoilt(2, |_| 3 + (index % 253) as u8)?),
            Kind::Type => Some(self.spoilt(3, |_| [0, 23, 24, 31, 32, 127][index % 6])?),
            Kind::Length => Some(self.padded(1 + index % 63)?),
            Kind::UnknownKey => Some(self.wrong(|_| ())?),
            Kind::DoorUnknown => Some(self.request(random()?)?),
            Kind::DoorPreTag => match self.captured.door_key_id() {
                Some(key) => Some(self.request(key)?),
                None => None,
            },
            Kind::SelfGranted => self.self_granted()?,
            Kind::PreTag => self.impostor(index, None)?,
            Kind::PreTagUnicast => {
                self.to_one(index, |forge, one| forge.impostor(index, Some(one)))?
            }
            Kind::Replay => self.altered(index, SEQUENCE, 0),
            Kind::StaleEpoch => nth(self.captured.stale(), index),
            Kind::DoorRepeat => nth(self.captured.door(FrameType::ReqEpoch), index),
            Kind::DoorClosed => nth(self.captured.door(FrameType::Answer), index),
            Kind::ReplayClass => {
                self.to_one(index, |forge, one| Ok(forge.redirected(index, one, 0)))?
            }
            Kind::ReplayFlipped => self.to_one(index, |forge, one| {
                Ok(forge.redirected(index, one, UNICAST_BIT))
            })?,
            Kind::ReplayBody => self.altered(index, BODY, 1),
            Kind::ReplaySequence => self.altered(index, SEQUENCE + 6, 1),
        })
    }

    /// A well-formed pulse of nobody, in an envelope that `spoil` may make wrong.
    fn wrong(&self, spoil: impl FnOnce(&mut Envelope)) -> Result<Vec<u8>> {
        let mut envelope = Envelope::to_group(self.mac, stranger()?);
        spoil(&mut envelope);
        Ok(envelope.wrap(&pulse(random()?, random()?)?))
    }

    /// The same with one byte of the header changed.
    fn spoilt(&self, at: usize, change: impl FnOnce(u8) -> u8) -> Result<Vec<u8>> {
        let mut payload = pulse(random()?, random()?)?;
        payload[at] = change(payload[at]);
        Ok(Envelope::to_group(self.mac, stranger()?).wrap(&payload))
    }

    fn padded(&self, bytes: usize) -> Result<Vec<u8>> {
        let mut payload = pulse(random()?, random()?)?;
        payload.resize(payload.len() + bytes, 0);
        Ok(Envelope::to_group(self.mac, stranger()?).wrap(&payload))
    }

    /// Ends inside the header, while IPv6 and UDP lengths announce all of it.
    fn cut(&self) -> Result<Vec<u8>> {
        let mut frame = self.wrong(|_| ())?;
        frame.truncate(PAYLOAD + 8);
        Ok(frame)
    }

    /// The current key id, a member's name, a fresh sequence; tags drawn at random.
    fn impostor(&self, index: usize, to: Option<&Heard>) -> Result<Option<Vec<u8>>> {
        let Some(member) = self.captured.current().nth(index % self.heard()) else {
            return Ok(None);
        };
        let ahead = 1 + u64::from(random::<4>()?[0]);
        let mut payload = pulse(member.header.key_id, member.header.sender)?;
        let sequence = member.header.sequence.saturating_add(ahead) % SEQUENCE_END;
        payload[16..24].copy_from_slice(&sequence.to_be_bytes());
        let mut envelope = Envelope::to_group(self.mac, member.address());
        if let Some(one) = to {
            envelope.destination_mac = one.mac();
            envelope.destination = one.address();
            payload[3] = FrameType::Probe as u8 | UNICAST_BIT;
        }
        Ok(Some(envelope.wrap(&payload)))
    }

    /// A captured multicast frame, addressed to one node, its type byte changed by `flip`.
    fn redirected(&self, index: usize, to: &Heard, flip: u8) -> Option<Vec<u8>> {
        let mut frame = nth(self.captured.current(), index)?;
        frame[DESTINATION_MAC..DESTINATION_MAC + 6].copy_from_slice(&to.mac());
        frame[DESTINATION..DESTINATION + 16].copy_from_slice(&to.address());
        frame[KIND_BYTE] ^= flip;
        mend(&mut frame);
        Some(frame)
    }

    fn altered(&self, index: usize, at: usize, flip: u8) -> Option<Vec<u8>> {
        let mut frame = nth(self.captured.current(), index)?;
        frame[at] ^= flip;
        mend(&mut frame);
        Some(frame)
    }

    /// Hands a heard member to `make`, a different one for each index.
    fn to_one(
        &self,
        index: usize,
        make: impl FnOnce(&Self, &Heard) -> Result<Option<Vec<u8>>>,
    ) -> Result<Option<Vec<u8>>> {
        match self.captured.current().nth((index * 7) % self.heard()) {
            Some(one) => make(self, one),
            None => Ok(None),
        }
    }

    fn heard(&self) -> usize {
        self.captured.current().count().max(1)
    }

    /// A request under a key id, its tags drawn at random.
    fn request(&self, key_id: [u8; 4]) -> Result<Vec<u8>> {
        let payload = datagram(FrameType::ReqEpoch, key_id, random()?, 7)?;
        Ok(Envelope::to_group(self.mac, stranger()?).wrap(&payload))
    }

    /// A request with right tags and a grant nobody gave.
    fn self_granted(&self) -> Result<Option<Vec<u8>>> {
        let (Some(door), Some(signer)) = (&self.door, &self.signer) else {
            return Ok(None);
        };
        let envelope = Envelope::to_group(self.mac, stranger()?);
        let mut payload = datagram(FrameType::ReqEpoch, door.id, random()?, 7)?;
        let length = payload.len() - TRAILER_LEN;
        let (frame, trailer) = payload.split_at_mut(length);
        signer(frame, &envelope.source, &envelope.destination);
        let right = door
            .trailer(frame, &envelope.source, &envelope.destination)
            .context("the signer broke the frame")?;
        trailer.copy_from_slice(&right);
        Ok(Some(envelope.wrap(&payload)))
    }
}

fn nth<'a, I: Iterator<Item = &'a Heard>>(heard: I, index: usize) -> Option<Vec<u8>> {
    let frames: Vec<&Heard> = heard.collect();
    frames
        .get(index % frames.len().max(1))
        .map(|heard| heard.frame.clone())
}

/// An ANN with random body and tags.
fn pulse(key_id: [u8; 4], sender: [u8; 8]) -> Result<Vec<u8>> {
    datagram(FrameType::Ann, key_id, sender, 1)
}

fn datagram(
    frame_type: FrameType,
    key_id: [u8; 4],
    sender: [u8; 8],
    blocks: usize,
) -> Result<Vec<u8>> {
    let sequence = u64::from_be_bytes(random()?) % SEQUENCE_END;
    let header = Header {
        version: nexus0_common::wire::LOWEST_VERSION,
        frame_type,
        class: Class::Multicast,
        key_id,
        sender,
        sequence,
    };
    let mut payload = vec![0; authenticated_len(blocks) + TRAILER_LEN];
    getrandom::fill(&mut payload)?;
    payload[..24].copy_from_slice(&header.emit());
    Ok(payload)
}

/// A link-local address nobody has.
fn stranger() -> Result<[u8; 16]> {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&[0xfe, 0x80]);
    address[8..].copy_from_slice(&random::<8>()?);
    Ok(address)
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus0_common::classify::classify;
    use nexus0_common::reason::Verdict;

    /// A node that holds no key refuses every kind made from nothing for the reason that it is made for.
    #[test]
    fn a_frame_made_from_nothing_is_refused_for_its_own_reason() {
        let forge = Forge::new([2; 6], Captured::default());
        let memory = MemoryMaps::new(Config::new(PORT, [1, 2]));
        for &kind in Kind::ALL {
            for frame in forge.frames(kind, 200).unwrap() {
                let verdict = classify(frame.as_slice(), &memory);
                assert!(
                    kind.verdicts().contains(&verdict),
                    "{} gave {verdict:?}",
                    kind.name()
                );
                assert!(!verdict.passes());
            }
        }
        assert_eq!(forge.frames(Kind::Magic, 200).unwrap().len(), 200);
    }

    #[test]
    fn without_a_capture_nothing_is_replayed() {
        let forge = Forge::new([2; 6], Captured::default());
        for kind in [
            Kind::Replay,
            Kind::PreTag,
            Kind::StaleEpoch,
            Kind::DoorPreTag,
        ] {
            assert!(forge.frames(kind, 5).unwrap().is_empty());
            assert!(Forge::needs_capture(kind));
        }
        assert!(!Forge::needs_capture(Kind::Magic));
    }

    #[test]
    fn a_captured_pulse_becomes_every_kind_of_replay() {
        let forge = Forge::new([2; 6], Captured::default());
        let original = forge.wrong(|_| ()).unwrap();
        let mut captured = Captured::default();
        captured.take(&original);
        let forge = Forge::new([2; 6], captured);
        assert_eq!(
            forge.frames(Kind::Replay, 3).unwrap(),
            vec![original.clone(); 3]
        );
        let memory = MemoryMaps::new(Config::new(PORT, [1, 2]));
        for kind in [Kind::ReplayClass, Kind::ReplayFlipped] {
            let frame = &forge.frames(kind, 1).unwrap()[0];
            assert_ne!(frame, &original);
            // The address is nobody's here.
            assert_eq!(classify(frame.as_slice(), &memory), Verdict::Destination);
        }
        for kind in [Kind::ReplayBody, Kind::ReplaySequence, Kind::PreTag] {
            assert_ne!(forge.frames(kind, 1).unwrap()[0], original);
        }
    }
}
