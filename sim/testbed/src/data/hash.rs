//! The hash on which everything hangs that must be the same in every process: the fingerprint of a trace, and
//! the decisions that are made by place and not drawn.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};

/// Fingerprint of a whole trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TraceHash(pub u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A hasher whose result depends on nothing but what it was fed: no random keys, no word size, no byte
/// order. Each word is mixed in by a multiplication to 128 bits whose halves are folded (the round of
/// wyhash). Not meant to withstand an adversary.
#[derive(Clone, Debug)]
pub struct StableHasher {
    state: u64,
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
const STEP: u64 = 0xe703_7ed1_a0b4_28db;

impl Default for StableHasher {
    fn default() -> Self {
        Self { state: STEP }
    }
}

impl StableHasher {
    /// A hasher that has been fed nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.state ^ word).wrapping_mul(u128::from(MIX));
        let folded = (wide as u64) ^ ((wide >> 64) as u64);
        self.state = folded.rotate_left(23).wrapping_add(STEP);
    }
}

impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        let mut last = self.clone();
        last.mix(MIX);
        last.mix(STEP);
        last.state
    }

    fn write(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.mix(n.into());
    }

    fn write_u16(&mut self, n: u16) {
        self.mix(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.mix(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }

    fn write_u128(&mut self, n: u128) {
        self.mix(n as u64);
        self.mix((n >> 64) as u64);
    }

    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }

    fn write_i8(&mut self, n: i8) {
        self.mix(i64::from(n).cast_unsigned());
    }

    fn write_i16(&mut self, n: i16) {
        self.mix(i64::from(n).cast_unsigned());
    }

    fn write_i32(&mut self, n: i32) {
        self.mix(i64::from(n).cast_unsigned());
    }

    fn write_i64(&mut self, n: i64) {
        self.mix(n.cast_unsigned());
    }

    fn write_i128(&mut self, n: i128) {
        self.write_u128(n.cast_unsigned());
    }

    fn write_isize(&mut self, n: isize) {
        self.mix((n as i64).cast_unsigned());
    }
}

/// The stable hash of one value.
pub fn stable_hash(value: &impl Hash) -> u64 {
    let mut hasher = StableHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A number below `bound` (0 if that is 0), chosen by a hash, as evenly as matters here.
pub fn below(hash: u64, bound: u64) -> u64 {
    ((u128::from(hash) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_pinned() {
        assert_eq!(stable_hash(&(1u64, "one", Some(-1i32), [1u8, 2, 3].as_slice())), PINNED);
    }

    const PINNED: u64 = 2_980_147_195_962_755_165;

    #[test]
    fn a_hash_tells_order_length_and_value_apart() {
        let distinct = [
            stable_hash(&[1u64, 2].as_slice()),
            stable_hash(&[2u64, 1].as_slice()),
            stable_hash(&[1u64, 2, 0].as_slice()),
            stable_hash(&("ab", "c")),
            stable_hash(&("a", "bc")),
            stable_hash(&0u64),
            stable_hash(&1u64),
        ];
        for (i, one) in distinct.iter().enumerate() {
            assert!(!distinct[..i].contains(one), "collision at {i}");
        }
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut seen = [0u32; 10];
        for i in 0..10_000u64 {
            seen[below(stable_hash(&i), 10) as usize] += 1;
        }
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
        assert_eq!(below(u64::MAX, 0), 0);
    }
}
