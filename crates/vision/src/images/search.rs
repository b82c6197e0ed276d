//! Which of many hashes are near to one: exact, and far from looking at all of them.
//!
//! Multi-index hashing (Norouzi, Punjani, Fleet 2012): of 64 bits that differ in at most `4a + b`, one of the first `b + 1`
//! words of 16 bits differs in at most `a`, or another one in at most `a - 1`. So each word has a table of all hashes in
//! the order of that word, and a query looks up its few neighbours in each.
//!
//! Kept in memory, made anew from the hashes in their order, which is all that needs to be stored.

use std::{
    ops::{ControlFlow, Range},
    sync::LazyLock,
};

const WORDS: usize = 4;
const WORD_BITS: u32 = 16;
/// The furthest that a word's neighbours are looked up; beyond, and among few hashes, all are looked at.
const FURTHEST: u32 = 3;

/// Hashes of 64 bits, numbered as they came, to be searched by Hamming distance.
#[derive(Debug, Clone)]
pub struct HashIndex {
    hashes: Vec<u64>,
    tables: Vec<Table>,
}

/// A hash that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Its number, from 0.
    pub at: u32,
    /// In how many bits it differs.
    pub distance: u32,
}

/// All hashes in the order of one word, and where each value of the word begins.
#[derive(Debug, Clone)]
struct Table {
    starts: Vec<u32>,
    hashes: Vec<u64>,
    numbers: Vec<u32>,
}

/// What changes a word in at most [`FURTHEST`] bits, fewer bits first; and how many change at most 0, 1, 2, 3.
static NEIGHBOURS: LazyLock<(Vec<u16>, [usize; FURTHEST as usize + 1])> = LazyLock::new(|| {
    let mut masks: Vec<u16> = (0..=u16::MAX).filter(|mask| mask.count_ones() <= FURTHEST).collect();
    masks.sort_by_key(|mask| (mask.count_ones(), *mask));
    let within = |most: usize| masks.iter().filter(|mask| mask.count_ones() as usize <= most).count();
    let counts = std::array::from_fn(within);
    (masks, counts)
});

impl HashIndex {
    /// Makes an index: 56 bytes a hash, and a mebibyte.
    ///
    /// # Panics
    /// Above 2^32 - 1 hashes.
    pub fn new(hashes: Vec<u64>) -> Self {
        assert!(u32::try_from(hashes.len()).is_ok(), "hashes are numbered in 32 bits");
        let tables = (0..WORDS).map(|word| Table::new(&hashes, word)).collect();
        Self { hashes, tables }
    }

    /// How many hashes there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The hashes that differ from `hash` in at most `radius` bits, by their number.
    pub fn within(&self, hash: u64, radius: u32) -> Vec<Hit> {
        let mut hits = Vec::new();
        let _ = self.visit(hash, radius, |hit| {
            hits.push(hit);
            ControlFlow::<()>::Continue(())
        });
        hits.sort_unstable();
        hits
    }

    /// Shows each hash that differs in at most `radius` bits once, in an order that depends on the hashes only, until the
    /// visitor has enough.
    pub fn visit<B>(
        &self,
        hash: u64,
        radius: u32,
        mut visitor: impl FnMut(Hit) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (masks, counts) = &*NEIGHBOURS;
        // How far each word may be for that word to find the hash; none where the others find it.
        let reach: [Option<u32>; WORDS] = std::array::from_fn(|word| {
            let further = u32::from(word as u32 <= radius % WORDS as u32);
            (radius / WORDS as u32 + further).checked_sub(1)
        });
        let furthest = reach[0].unwrap_or(0);
        let look_ups: usize =
            reach.iter().flatten().map(|reach| counts.get(*reach as usize).copied().unwrap_or(0)).sum();
        if furthest > FURTHEST || look_ups >= self.hashes.len() {
            return self.visit_all(hash, radius, visitor);
        }
        for (word, table) in self.tables.iter().enumerate() {
            let Some(word_reach) = reach[word] else { continue };
            let value = word_of(hash, word);
            for mask in &masks[..counts[word_reach as usize]] {
                for row in table.rows(value ^ mask) {
                    let differing = hash ^ table.hashes[row];
                    let distance = differing.count_ones();
                    // An earlier word may have shown it.
                    let shown = || {
                        (0..word).any(|word| {
                            reach[word].is_some_and(|reach| word_of(differing, word).count_ones() <= reach)
                        })
                    };
                    if distance <= radius && !shown() {
                        visitor(Hit { at: table.numbers[row], distance })?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn visit_all<B>(
        &self,
        hash: u64,
        radius: u32,
        mut visitor: impl FnMut(Hit) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        for (other, at) in self.hashes.iter().zip(0..) {
            let distance = (hash ^ other).count_ones();
            if distance <= radius {
                visitor(Hit { at, distance })?;
            }
        }
        ControlFlow::Continue(())
    }
}

impl Table {
    fn new(hashes: &[u64], word: usize) -> Self {
        let values = 1 << WORD_BITS;
        let mut starts = vec![0u32; values + 1];
        for hash in hashes {
            starts[usize::from(word_of(*hash, word)) + 1] += 1;
        }
        for value in 0..values {
            starts[value + 1] += starts[value];
        }
        let mut next = starts.clone();
        let mut sorted = Self { starts, hashes: vec![0; hashes.len()], numbers: vec![0; hashes.len()] };
        for (hash, at) in hashes.iter().zip(0..) {
            let place = &mut next[usize::from(word_of(*hash, word))];
            sorted.hashes[*place as usize] = *hash;
            sorted.numbers[*place as usize] = at;
            *place += 1;
        }
        sorted
    }

    fn rows(&self, value: u16) -> Range<usize> {
        let value = usize::from(value);
        self.starts[value] as usize..self.starts[value + 1] as usize
    }
}

fn word_of(hash: u64, word: usize) -> u16 {
    (hash >> (word as u32 * WORD_BITS)) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(number: u64) -> u64 {
        // The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
        let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn by_looking_at_all(hashes: &[u64], hash: u64, radius: u32) -> Vec<Hit> {
        let all = hashes.iter().zip(0..).map(|(other, at)| Hit { at, distance: (hash ^ other).count_ones() });
        all.filter(|hit| hit.distance <= radius).collect()
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        let index = HashIndex::new(Vec::new());
        assert!(index.is_empty());
        assert_eq!(index.within(0, 64), []);
    }

    proptest! {
        /// Among hashes that crowd around the one that is asked for, at every distance, the same are found as by looking at
        /// all of them, and each once.
        #[test]
        fn finds_what_looking_at_all_finds(
            hash: u64,
            changes in proptest::collection::vec(proptest::collection::vec(0u32..64, 0..24), 0..200),
            others in 0u64..12_000,
            radius in 0u32..20,
        ) {
            let near = changes.iter().map(|bits| bits.iter().fold(hash, |hash, bit| hash ^ (1 << bit)));
            let hashes: Vec<u64> = near.chain((0..others).map(|number| spread(number ^ hash))).collect();
            let index = HashIndex::new(hashes.clone());
            prop_assert_eq!(index.len(), hashes.len());
            prop_assert_eq!(index.within(hash, radius), by_looking_at_all(&hashes, hash, radius));
        }

        #[test]
        fn a_visitor_that_has_enough_is_left_alone(hash: u64, copies in 1usize..9000, wanted in 1usize..10) {
            let index = HashIndex::new(vec![hash; copies]);
            let mut shown = 0;
            let end = index.visit(hash, 4, |_| {
                shown += 1;
                if shown == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            prop_assert_eq!(shown, wanted.min(copies));
            prop_assert_eq!(end.is_break(), wanted <= copies);
        }
    }
}
