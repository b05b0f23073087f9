//! Chance for walks: fast, and fixed for ever.
//!
//! SplitMix64 (Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators*, 2014). A walk draws
//! several numbers for each action; what a seed means must not depend on a library.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give shifted copies of one stream.
        Self(mixed(seed ^ 0x5851_f42d_4c95_7f2d))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    /// Evenly from 0 to `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Evenly a place in a list of this length.
    pub fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True in `permille` of a thousand cases.
    pub fn permille(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// True in `percent` of all cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, evenly. What is named twice is twice as likely.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.place(from.len())]
    }
}

fn mixed(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_seed_means_is_fixed() {
        let mut dice = Dice::new(7);
        assert_eq!([dice.below(1000), dice.below(1000), dice.below(1000)], PINNED);
    }

    const PINNED: [u64; 3] = [443, 665, 136];

    #[test]
    fn neighbouring_seeds_have_nothing_in_common() {
        let draws = |seed| {
            let mut dice = Dice::new(seed);
            (0..100).map(|_| dice.below(u64::MAX)).collect::<Vec<_>>()
        };
        let all: std::collections::BTreeSet<u64> = (0..50).flat_map(draws).collect();
        assert_eq!(all.len(), 5_000);
    }
}
