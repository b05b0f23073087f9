//! Chance, pinned: named streams of one seed.
//!
//! Each part of a plan draws from its own stream, so that one more draw in one part leaves all the
//! others as they were. The generator (ChaCha8, counted in whole 64-bit words) and the arithmetic on top
//! of it are fixed here, so that an upgrade of a library cannot quietly change what a seed means.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// One named stream of random numbers.
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream called `name` of this seed.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(bytes);
        rng.set_stream(fnv1a(name));
        Self(rng)
    }

    /// Evenly from 0 to `bound - 1`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a choice among nothing");
        // The bias is at most bound / 2^64: far below what any number of seeds could show.
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Evenly from `min` to `max`, both included.
    pub fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.below(max - min + 1)
    }

    /// Evenly among orders of magnitude: 1..10 is as likely as 100..1000.
    pub fn magnitude(&mut self, min: u64, max: u64) -> u64 {
        assert!(min > 0 && min <= max, "{min}..{max} has no magnitudes");
        // Integer arithmetic only: a logarithm may differ between platforms. Pick a bit length evenly,
        // then a value evenly within it, until one is in range.
        let (low, high) = (min.ilog2(), max.ilog2());
        let bits = u64::from(low) + self.below(u64::from(high - low) + 1);
        let floor = (1u64 << bits).max(min);
        let ceiling = (1u64 << bits).saturating_mul(2).saturating_sub(1).min(max);
        self.between(floor, ceiling)
    }

    /// True in `percent` of all cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these, evenly.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// One of these, by weight.
    pub fn weighted<T: Copy>(&mut self, from: &[(u64, T)]) -> T {
        let mut point = self.below(from.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in from {
            if point < *weight {
                return *value;
            }
            point -= weight;
        }
        unreachable!("the point lies below the sum of the weights")
    }

    /// A waiting time with this mean: short ones are common, one in eight is more than twice the mean.
    pub fn wait(&mut self, mean: u64) -> u64 {
        // The number of failures before a success, in sixteenths of the mean: geometric, hence without
        // memory like the exponential, but in integers.
        let step = (mean / 16).max(1);
        let mut waited = self.below(step);
        while waited < 8 * mean && self.below(16) != 0 {
            waited += step;
        }
        waited
    }
}

fn fnv1a(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn streams_of_one_seed_are_fixed_and_differ() {
        let draw = |seed, name| Dice::new(seed, name).below(u64::MAX);
        assert_eq!(draw(7, "faults"), draw(7, "faults"));
        assert_ne!(draw(7, "faults"), draw(7, "workload"));
        assert_ne!(draw(7, "faults"), draw(8, "faults"));
        assert_eq!(draw(7, "faults"), 265_541_202_409_387_932, "the meaning of every seed has changed");
    }

    #[test]
    fn values_stay_in_range_and_reach_both_ends() {
        let mut dice = Dice::new(1, "range");
        let drawn: Vec<u64> = (0..2000).map(|_| dice.between(3, 7)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&7)));
        let drawn: Vec<u64> = (0..5000).map(|_| dice.magnitude(3, 1000)).collect();
        assert!(drawn.iter().all(|value| (3..=1000).contains(value)));
        let small = drawn.iter().filter(|value| **value < 32).count();
        assert!((1500..3500).contains(&small), "{small} of 5000 below the middle magnitude");
    }

    #[test]
    fn waits_have_their_mean() {
        let mut dice = Dice::new(1, "wait");
        let sum: u64 = (0..4000).map(|_| dice.wait(1600)).sum();
        assert!((1400..1800).contains(&(sum / 4000)), "mean {}", sum / 4000);
    }
}
