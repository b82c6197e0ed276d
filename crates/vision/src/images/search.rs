//! Which of many hashes are near to one: exact, and far from looking at all of them.
//!
//! Multi-index hashing (Norouzi, Punjani, Fleet 2012): of 64 bits that differ in at most `4a + b`, one of the first `b + 1`
//! words of 16 bits differs in at most `a`, or another one in at most `a - 1`. So each word has a table of all hashes in
//! the order of that word, and a query looks up its few neighbours in each. Many queries are sorted by what they look
//! up, and go through each table together, from its beginning to its end, as caches like it.
//!
//! Kept in memory, made anew from the hashes in their order, which is all that needs to be stored.

use std::{ops::Range, sync::LazyLock};

use rayon::prelude::*;

const WORDS: usize = 4;
const WORD_BITS: u32 = 16;
const VALUES: usize = 1 << WORD_BITS;
/// The furthest that a word's neighbours are looked up; beyond, all hashes are looked at.
const FURTHEST: u32 = 3;
/// Queries that go through a table together: what they look up takes 23 MB at most.
const TOGETHER: usize = 1 << 13;

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

/// How far each word may be for that word to find a hash; none where the others find it.
#[derive(Clone, Copy)]
struct Reach([Option<u32>; WORDS]);

impl Reach {
    fn of(radius: u32) -> Self {
        Self(std::array::from_fn(|word| {
            let further = u32::from(word as u32 <= radius % WORDS as u32);
            (radius / WORDS as u32 + further).checked_sub(1)
        }))
    }

    /// What a word is changed by to find its neighbours.
    fn masks(self, word: usize) -> &'static [u16] {
        let (masks, counts) = &*NEIGHBOURS;
        let count = self.0[word].and_then(|reach| counts.get(reach as usize));
        &masks[..count.copied().unwrap_or(0)]
    }

    /// Whether the word is the first to find a hash with these bits differing.
    fn is_first(self, word: usize, differing: u64) -> bool {
        let finds =
            |word: usize| self.0[word].is_some_and(|reach| word_of(differing, word).count_ones() <= reach);
        !(0..word).any(finds)
    }

    /// Whether looking up is less work than looking at all of so many hashes.
    fn pays(self, hashes: usize) -> bool {
        let look_ups: usize = (0..WORDS).map(|word| self.masks(word).len()).sum();
        self.0[0].is_none_or(|reach| reach <= FURTHEST) && look_ups < hashes
    }
}

impl HashIndex {
    /// Makes an index: 56 bytes a hash, and a mebibyte.
    ///
    /// # Panics
    /// Above 2^32 - 1 hashes.
    pub fn new(hashes: Vec<u64>) -> Self {
        assert!(u32::try_from(hashes.len()).is_ok(), "hashes are numbered in 32 bits");
        let tables = (0..WORDS).into_par_iter().map(|word| Table::new(&hashes, word)).collect();
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
        let reach = Reach::of(radius);
        let mut hits = Vec::new();
        if !reach.pays(self.hashes.len()) {
            return self.looked_at(hash, radius).collect();
        }
        for (word, table) in self.tables.iter().enumerate() {
            for mask in reach.masks(word) {
                let rows = table.rows(word_of(hash, word) ^ mask);
                hits.extend(
                    table.near(rows, hash, radius).filter(|(differing, _)| reach.is_first(word, *differing)),
                );
            }
        }
        let mut hits: Vec<Hit> = hits.into_iter().map(|(_, hit)| hit).collect();
        hits.sort_unstable();
        hits
    }

    /// For each of many hashes those that [`HashIndex::within`] finds for it and `accept` takes, given the query's number
    /// and the hit; on all cores. Of one query at most `most` from each table are taken, the rest is not looked at any
    /// more: which these are depends on the hashes and queries only.
    pub fn search(
        &self,
        queries: &[u64],
        radius: u32,
        most: usize,
        accept: impl Fn(usize, Hit) -> bool + Sync,
    ) -> Vec<Vec<Hit>> {
        let reach = Reach::of(radius);
        if !reach.pays(self.hashes.len()) {
            let one = |(query, hash): (usize, &u64)| {
                self.looked_at(*hash, radius).filter(|hit| accept(query, *hit)).take(most).collect()
            };
            return queries.par_iter().enumerate().map(one).collect();
        }
        let mut found: Vec<Vec<Hit>> = vec![Vec::new(); queries.len()];
        for (part, part_queries) in queries.chunks(TOGETHER).enumerate() {
            let before = part * TOGETHER;
            let by_table = self.tables.par_iter().enumerate().map(|(word, table)| {
                table.join(word, part_queries, radius, reach, most, |query, hit| accept(before + query, hit))
            });
            for (query, hit) in by_table.collect::<Vec<_>>().into_iter().flatten() {
                found[before + query].push(hit);
            }
        }
        found.par_iter_mut().for_each(|hits| hits.sort_unstable());
        found
    }

    fn looked_at(&self, hash: u64, radius: u32) -> impl Iterator<Item = Hit> {
        let all = self
            .hashes
            .iter()
            .zip(0..)
            .map(move |(other, at)| Hit { at, distance: (hash ^ other).count_ones() });
        all.filter(move |hit| hit.distance <= radius)
    }
}

impl Table {
    fn new(hashes: &[u64], word: usize) -> Self {
        let (starts, order) = sorted(hashes.iter().map(|hash| word_of(*hash, word)).zip(0..));
        let hashes = order.iter().map(|at| hashes[*at as usize]).collect();
        Self { starts, hashes, numbers: order }
    }

    fn rows(&self, value: u16) -> Range<usize> {
        let value = usize::from(value);
        self.starts[value] as usize..self.starts[value + 1] as usize
    }

    /// Which of these rows are near, and in which bits they differ.
    fn near(&self, rows: Range<usize>, hash: u64, radius: u32) -> impl Iterator<Item = (u64, Hit)> {
        let rows = self.hashes[rows.clone()].iter().zip(&self.numbers[rows]);
        rows.filter_map(move |(other, at)| {
            let differing = hash ^ other;
            let distance = differing.count_ones();
            (distance <= radius).then_some((differing, Hit { at: *at, distance }))
        })
    }

    /// Whether any of these rows is near: nearly always none is, and to say only that takes half the time.
    fn any_near(&self, rows: Range<usize>, hash: u64, radius: u32) -> bool {
        let near = |any, other: &u64| any | ((hash ^ other).count_ones() <= radius);
        self.hashes[rows].iter().fold(false, near)
    }

    fn join(
        &self,
        word: usize,
        queries: &[u64],
        radius: u32,
        reach: Reach,
        most: usize,
        accept: impl Fn(usize, Hit) -> bool,
    ) -> Vec<(usize, Hit)> {
        let masks = reach.masks(word);
        let neighbours = |(query, hash): (u32, &u64)| {
            let value = word_of(*hash, word);
            masks.iter().map(move |mask| (value ^ mask, query))
        };
        let (starts, look_ups) = sorted((0..).zip(queries).flat_map(neighbours));
        let mut left = vec![most; queries.len()];
        let mut found = Vec::new();
        for value in 0..VALUES {
            let rows = self.rows(value as u16);
            for look_up in &look_ups[starts[value] as usize..starts[value + 1] as usize] {
                let query = *look_up as usize;
                if left[query] == 0 || !self.any_near(rows.clone(), queries[query], radius) {
                    continue;
                }
                let near = self.near(rows.clone(), queries[query], radius);
                for (_, hit) in near.filter(|(differing, _)| reach.is_first(word, *differing)) {
                    if accept(query, hit) && left[query] > 0 {
                        left[query] -= 1;
                        found.push((query, hit));
                    }
                }
            }
        }
        found
    }
}

/// What is numbered by values in their order, equal ones as they came; and where each value begins.
fn sorted(numbers: impl Iterator<Item = (u16, u32)> + Clone) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0u32; VALUES + 1];
    for (value, _) in numbers.clone() {
        starts[usize::from(value) + 1] += 1;
    }
    for value in 0..VALUES {
        starts[value + 1] += starts[value];
    }
    let mut next = starts.clone();
    let mut order = vec![0; starts[VALUES] as usize];
    for (value, number) in numbers {
        let place = &mut next[usize::from(value)];
        order[*place as usize] = number;
        *place += 1;
    }
    (starts, order)
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
        assert_eq!(index.search(&[0, 1], 3, 9, |_, _| true), [[], []]);
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

        /// Many queries at once are answered as each alone, whatever the hashes are.
        #[test]
        fn searching_for_many_is_searching_for_each(
            hashes in proptest::collection::vec((0u64..9).prop_map(spread), 0..300),
            changes in proptest::collection::vec((0u64..9, proptest::collection::vec(0u32..64, 0..12)), 0..40),
            others in 0u64..6_000,
            radius in 0u32..16,
        ) {
            let hashes: Vec<u64> = hashes.into_iter().chain((100..100 + others).map(spread)).collect();
            let queries: Vec<u64> = changes
                .iter()
                .map(|(near, bits)| bits.iter().fold(spread(*near), |hash, bit| hash ^ (1 << bit)))
                .collect();
            let index = HashIndex::new(hashes.clone());
            let found = index.search(&queries, radius, usize::MAX, |_, _| true);
            let even = index.search(&queries, radius, 3, |query, hit| {
                assert_eq!((queries[query] ^ hashes[hit.at as usize]).count_ones(), hit.distance);
                hit.at % 2 == 0
            });
            for ((query, found), even) in queries.iter().zip(found).zip(even) {
                prop_assert_eq!(&found, &by_looking_at_all(&hashes, *query, radius));
                let all_even: Vec<_> = found.into_iter().filter(|hit| hit.at % 2 == 0).collect();
                prop_assert!(even.len() >= all_even.len().min(3) && even.len() <= 3 * WORDS);
                prop_assert!(even.iter().all(|hit| all_even.contains(hit)));
            }
        }
    }
}
