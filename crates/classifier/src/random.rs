//! The one source of chance in training: SplitMix64, started from the seed in the configuration.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `-limit..limit`, uniform over 2^24 steps, so that each is exact in an `f32`.
    pub(crate) fn symmetric(&mut self, limit: f32) -> f32 {
        const STEPS: f32 = (1 << 23) as f32;
        let step = (self.next_u64() >> 40) as f32;
        (step / STEPS - 1.0) * limit
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            // The high half of a 64x64-bit product: uniform to within 2^-64 times the length.
            let pick = (u128::from(self.next_u64()) * (last as u128 + 1)) >> 64;
            items.swap(last, pick as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_stream_is_the_published_one() {
        // The first outputs for this seed are those of the authors' C source.
        let mut random = Random::new(1_234_567);
        let first: Vec<u64> = (0..5).map(|_| random.next_u64()).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821
            ]
        );
    }

    #[test]
    fn symmetric_numbers_fill_their_range_evenly() {
        let mut random = Random::new(7);
        let mut eighths = [0_u32; 8];
        for _ in 0..8_000 {
            let x = random.symmetric(2.0);
            assert!((-2.0..2.0).contains(&x), "{x}");
            eighths[((x + 2.0) * 2.0) as usize] += 1;
        }
        assert!(eighths.iter().all(|n| (850..1150).contains(n)), "{eighths:?}");
    }

    #[test]
    fn a_shuffle_loses_nothing_and_moves_every_place() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(1).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());

        let mut seen = [[false; 3]; 3];
        let mut random = Random::new(2);
        for _ in 0..100 {
            let mut three = [0, 1, 2];
            random.shuffle(&mut three);
            three.iter().enumerate().for_each(|(place, &item)| seen[place][item] = true);
        }
        assert_eq!(seen, [[true; 3]; 3]);
    }
}
