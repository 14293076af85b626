//! The sliding window against replays: look before the tag is checked, commit after.
//!
//! A window is 32 words of 32 sequences. Word `block % 32` holds `block << 32 | bits`, so one 64-bit
//! compare-exchange tests and sets, and a sequence whose block is older than the word's is refused.
//! (RFC 6479 describes the ring of blocks; the block number inside the word is ours.)

use crate::maps::{WINDOW_WORDS, Window};
use crate::wire::SEQUENCE_END;

/// Where a sequence stands in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Index of the word.
    pub word: usize,
    block: u64,
    bit: u64,
}

/// The position of a sequence, or `None` if it is out of range.
#[inline(always)]
pub fn position(sequence: u64) -> Option<Position> {
    if sequence >= SEQUENCE_END {
        return None;
    }
    let block = sequence >> 5;
    let word = (block as usize) & (WINDOW_WORDS - 1);
    Some(Position::new(word, block, sequence))
}

impl Position {
    /// The place of one of 32 bits (`bit` modulo 32) of a block in a given word.
    #[inline(always)]
    pub(crate) fn new(word: usize, block: u64, bit: u64) -> Self {
        Self {
            word,
            block: block << 32,
            bit: 1 << (bit & 31),
        }
    }

    /// What the word becomes when the sequence is committed, or `None` if it was seen or is too old.
    #[inline(always)]
    pub fn mark(self, word: u64) -> Option<u64> {
        let held = word >> 32 << 32;
        if held > self.block {
            return None;
        }
        if held < self.block {
            return Some(self.block | self.bit);
        }
        if word & self.bit != 0 {
            return None;
        }
        Some(word | self.bit)
    }
}

/// The window in which everything up to a sequence was seen.
pub fn seen_up_to(highest: u64) -> Window {
    let mut window = [0; WINDOW_WORDS];
    let newest = highest >> 5;
    for (age, block) in (newest.saturating_sub(31)..=newest).rev().enumerate() {
        let bits = match age {
            0 => u64::from(u32::MAX >> (31 - (highest & 31))),
            _ => u64::from(u32::MAX),
        };
        if let Some(word) = window.get_mut((block as usize) & (WINDOW_WORDS - 1)) {
            *word = block << 32 | bits;
        }
    }
    window
}

/// The highest sequence in a window, if there is any.
pub fn newest(window: &Window) -> Option<u64> {
    let marked = window.iter().filter(|word| **word as u32 != 0);
    let highest = marked.map(|word| word >> 32 << 5 | u64::from((*word as u32).ilog2()));
    highest.max()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn commit(window: &mut [u64; WINDOW_WORDS], sequence: u64) -> bool {
        let Some(position) = position(sequence) else {
            return false;
        };
        match position.mark(window[position.word]) {
            Some(word) => {
                window[position.word] = word;
                true
            }
            None => false,
        }
    }

    #[test]
    fn a_sequence_beyond_the_end_has_no_position() {
        assert!(position(SEQUENCE_END - 1).is_some());
        assert_eq!(position(SEQUENCE_END), None);
        assert_eq!(position(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn the_newest_is_the_highest_that_was_committed(
            sequences in proptest::collection::vec(0..SEQUENCE_END, 0..50)
        ) {
            let mut window = [0; WINDOW_WORDS];
            for sequence in &sequences {
                commit(&mut window, *sequence);
            }
            prop_assert_eq!(newest(&window), sequences.iter().copied().max());
            if let Some(highest) = sequences.iter().max() {
                prop_assert_eq!(newest(&seen_up_to(*highest)), Some(*highest));
            }
        }

        #[test]
        fn nothing_passes_twice_and_nothing_recent_is_lost(
            steps in proptest::collection::vec((-1100_i64..1100, any::<bool>()), 1..2000)
        ) {
            let mut window = [0; WINDOW_WORDS];
            let mut seen = BTreeSet::new();
            let mut head = 5000_i64;
            for (step, forward) in steps {
                let sequence = (head + step).max(0) as u64;
                if forward { head = head.max(sequence as i64); }
                let newest = seen.last().copied().unwrap_or(0);
                let accepted = commit(&mut window, sequence);
                if seen.contains(&sequence) {
                    prop_assert!(!accepted, "{sequence} passed twice");
                } else if sequence + 992 > newest {
                    prop_assert!(accepted, "{sequence} lost behind {newest}");
                }
                if accepted { seen.insert(sequence); }
            }
        }
    }

    #[test]
    fn what_was_seen_up_to_a_sequence_is_refused_and_the_next_is_not() {
        for highest in [0, 1, 31, 32, 1000, 1023, 1024, 70_001] {
            let window = seen_up_to(highest);
            let passes = |sequence| {
                let position = position(sequence).unwrap();
                position.mark(window[position.word]).is_some()
            };
            assert!((highest.saturating_sub(2000)..=highest).all(|old| !passes(old)));
            assert!((highest + 1..highest + 2000).all(passes), "{highest}");
        }
    }
}
