//! Frames for the comparison: mostly right, spoilt in up to eight places, some of them tagged anew so
//! that the later checks are reached.

use nexus0_common::auth::FrameKey;
use nexus0_common::packet::PAYLOAD;
use nexus0_common::wire::{Class, FrameType, HEADER_LEN, Slot, TRAILER_LEN};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::story::{NODES, Story};
use crate::world::{Draft, NONCE, OWN, PREVIOUS, REQUEST};

/// Draws frames from a seed.
pub(crate) struct Mutator {
    random: ChaCha8Rng,
    sequence: u64,
    last: Drawn,
}

/// One whole Ethernet frame.
#[derive(Clone, Default)]
pub(crate) struct Drawn {
    pub(crate) bytes: Vec<u8>,
    /// Whether it was of a type that members sign.
    pub(crate) signed_by_member: bool,
}

impl Drawn {
    /// Sender, key and sequence of a frame that was accepted.
    pub(crate) fn names(&self) -> ([u8; 8], [u8; 4], u64) {
        let header = &self.bytes[PAYLOAD..PAYLOAD + HEADER_LEN];
        let [key, sender, sequence] = [&header[4..8], &header[8..16], &header[16..24]];
        (
            sender.try_into().expect("eight"),
            key.try_into().expect("four"),
            u64::from_be_bytes(sequence.try_into().expect("eight")),
        )
    }
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            sequence: 5000,
            last: Drawn::default(),
        }
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    /// One of the addresses that the receiver may have.
    pub(crate) fn own_address(&mut self) -> [u8; 16] {
        let mut address = OWN;
        address[15] += 16 * self.below(5) as u8;
        address
    }

    pub(crate) fn frame(story: &mut Story) -> Drawn {
        if story.mutator.one_in(20) && !story.mutator.last.bytes.is_empty() {
            return story.mutator.last.clone();
        }
        let drawn = Self::fresh(story);
        if story.mutator.one_in(4) {
            story.mutator.last.clone_from(&drawn);
        }
        drawn
    }

    fn fresh(story: &mut Story) -> Drawn {
        let draft = Self::draft(story);
        let random = &mut story.mutator;
        let mut envelope = draft.envelope();
        envelope.source[15] = 2 + random.below(4) as u8;
        if draft.class == Class::Unicast && random.one_in(12) {
            envelope.destination = random.own_address();
        } else if draft.class == Class::Unicast {
            envelope.destination = random.pick(&story.addresses);
        }
        if random.one_in(12) {
            envelope.vlan = random.one_in(3).then_some(random.below(4096) as u16);
            envelope.extensions = (0..random.below(11))
                .map(|_| random.pick(&[0, 43, 44, 51, 60, 135, 139, 140]))
                .collect();
        }
        let mut bytes = envelope.wrap(&draft.payload());
        retag(&mut bytes, &draft.key, None);
        for _ in 0..random.below(9) {
            if random.one_in(2) {
                random.mutate(&mut bytes);
            }
        }
        if random.one_in(3) {
            let spoilt = random.one_in(8).then(|| random.below(40).min(31) as usize);
            retag(&mut bytes, &draft.key, spoilt);
        }
        Drawn {
            bytes,
            signed_by_member: draft.frame_type.signed() && draft.frame_type.slot() == Slot::Epoch,
        }
    }

    fn draft(story: &mut Story) -> Draft {
        let random = &mut story.mutator;
        let frame_type = random.pick(FrameType::ALL);
        let at_door = (frame_type as u8 >= 16) != random.one_in(16);
        let key = if at_door {
            story.door
        } else if random.one_in(8) || story.live.is_empty() {
            random.pick(&story.keys)
        } else {
            random.pick(&story.live)
        };
        let sender = if random.one_in(12) {
            [8; 8]
        } else {
            random.pick(&NODES)
        };
        let sequence = random.next_sequence();
        let mut draft = Draft::of(frame_type, key.frame, sender, sequence);
        if frame_type.class().is_none() && random.one_in(2) {
            draft.class = Class::Unicast;
        }
        if frame_type.blocks().is_none() {
            draft.blocks = 1 + random.below(18) as usize;
        }
        let any = random.random.next_u32() as u8;
        draft.fill = random.pick(&[any, any, NONCE, PREVIOUS, REQUEST]);
        draft
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        match self.below(16) {
            0 => self.sequence.saturating_sub(u64::from(self.below(1200))),
            1 => self.sequence + u64::from(self.below(1200)),
            2 => {
                self.sequence += u64::from(self.below(300));
                self.sequence
            }
            3 if self.one_in(2) => self.random.next_u64() >> self.below(64),
            4 => self.sequence.saturating_sub(u64::from(self.below(40))),
            _ => self.sequence,
        }
    }

    fn mutate(&mut self, frame: &mut Vec<u8>) {
        let length = frame.len() as u32;
        if length < 16 {
            return;
        }
        // Four out of five hit the headers, where most decisions fall.
        let span = if self.one_in(5) {
            length
        } else {
            length.min(90)
        };
        let at = self.below(span) as usize;
        match self.below(8) {
            0..3 => frame[at] ^= 1 << self.below(8),
            3 => frame[at] = self.pick(&[0, 1, 17, 44, 58, 60, 127, 128, 254, 255]),
            4 => frame[at] = self.random.next_u32() as u8,
            5 => frame.truncate((14 + self.below(length - 14)) as usize),
            6 => frame.extend(std::iter::repeat_n(0xa5, self.below(80) as usize)),
            _ => frame.swap(at, (self.below(span)) as usize),
        }
    }
}

/// Makes tag and pre-tag right again where the frame still has the room of one; with a byte of the tag spoilt, the
/// pre-tag is right for that wrong tag.
fn retag(frame: &mut [u8], key: &FrameKey, spoilt: Option<usize>) {
    let Some((head, payload)) = frame.split_at_mut_checked(PAYLOAD) else {
        return;
    };
    let Some(length) = payload
        .len()
        .checked_sub(TRAILER_LEN)
        .filter(|l| *l >= HEADER_LEN)
    else {
        return;
    };
    let (bytes, trailer) = payload.split_at_mut(length);
    let addresses = (head[22..].first_chunk(), head[38..].first_chunk());
    let (Some(source), Some(destination)) = addresses else {
        return;
    };
    let Some(fresh) = key.trailer(bytes, source, destination) else {
        return;
    };
    trailer.copy_from_slice(&fresh);
    if let Some(at) = spoilt {
        trailer[8 + at] ^= 1;
        let pre_tag = pre_tag_of(bytes, key, source, destination, &trailer[8..]);
        trailer[..8].copy_from_slice(&pre_tag);
    }
}

fn pre_tag_of(
    bytes: &[u8],
    key: &FrameKey,
    source: &[u8; 16],
    destination: &[u8; 16],
    tag: &[u8],
) -> [u8; 8] {
    let header = nexus0_common::wire::Header::parse(bytes).expect("it was tagged");
    let tag = nexus0_common::auth::words(tag.try_into().expect("thirty-two"));
    nexus0_common::auth::pre_tag(
        &key.pre_tag,
        source,
        destination,
        header.class,
        &header.sender,
        header.sequence,
        &tag,
    )
    .to_le_bytes()
}
