//! Frames for the comparison: mostly right, spoilt in up to eight places, some of them tagged anew so
//! that the later checks are reached.

use nexus0_common::auth::FrameKey;
use nexus0_common::packet::PAYLOAD;
use nexus0_common::wire::{Class, FrameType, HEADER_LEN, TRAILER_LEN};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use crate::world::{Draft, Keys, MEMBERS};

/// Draws frames from a seed.
pub(crate) struct Mutator {
    pub(crate) random: ChaCha8Rng,
    sequence: u64,
    last: Vec<u8>,
}

impl Mutator {
    pub(crate) fn new(random: ChaCha8Rng) -> Self {
        Self {
            random,
            sequence: 5000,
            last: Vec::new(),
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

    /// One whole Ethernet frame.
    pub(crate) fn frame(&mut self, keys: &Keys) -> Vec<u8> {
        if self.one_in(20) && !self.last.is_empty() {
            return self.last.clone();
        }
        let frame = self.fresh(keys);
        if self.one_in(4) {
            self.last.clone_from(&frame);
        }
        frame
    }

    fn fresh(&mut self, keys: &Keys) -> Vec<u8> {
        let draft = self.draft(keys);
        let mut envelope = draft.envelope();
        if self.one_in(12) {
            envelope.vlan = self.one_in(3).then_some(self.below(4096) as u16);
            envelope.extensions = (0..self.below(10))
                .map(|_| self.pick(&[0, 43, 44, 51, 60, 135, 139, 140]))
                .collect();
        }
        let mut frame = envelope.wrap(&draft.payload());
        for _ in 0..self.below(9) {
            if self.one_in(2) {
                self.mutate(&mut frame);
            }
        }
        if self.one_in(3) {
            retag(&mut frame, &draft.key);
        }
        frame
    }

    fn draft(&mut self, keys: &Keys) -> Draft {
        let key = match self.below(20) {
            0 => keys.over,
            1 => keys.early,
            2..5 => keys.next,
            5..8 => keys.door,
            _ => keys.current,
        };
        let frame_type = self.pick(FrameType::ALL);
        let key = if frame_type as u8 >= 16 && !self.one_in(8) {
            keys.door
        } else {
            key
        };
        let sender = if self.one_in(12) {
            [8; 8]
        } else {
            self.pick(&MEMBERS)
        };
        let sequence = self.next_sequence();
        let mut draft = Draft::of(frame_type, key, sender, sequence);
        if frame_type.class().is_none() && self.one_in(2) {
            draft.class = Class::Unicast;
        }
        if frame_type.blocks().is_none() {
            draft.blocks = 1 + self.below(18) as usize;
        }
        draft.fill = self.random.next_u32() as u8;
        draft
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        match self.below(16) {
            0 => self.sequence.saturating_sub(u64::from(self.below(1200))),
            1 => self.sequence + u64::from(self.below(1200)),
            2 => {
                self.sequence += u64::from(self.below(3000));
                self.sequence
            }
            3 => self.random.next_u64() >> self.below(64),
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

/// Makes pre-tag and tag right again where the frame still has the room of one.
fn retag(frame: &mut [u8], key: &FrameKey) {
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
    if let Some(fresh) = key.trailer(bytes, source, destination) {
        trailer.copy_from_slice(&fresh);
    }
}
