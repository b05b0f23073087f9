//! What clients ask for: which keys, how often they read, how long values are.

use bytes::Bytes;
use rand::{Rng, rngs::StdRng};
use rand_distr::{Distribution, Zipf};

/// Values are cut out of a text that is longer than one by so many bytes, so that they differ.
const VALUES_DIFFER_BYTES: usize = 4 << 10;

/// One operation of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Get(Bytes),
    Put(Bytes, Bytes),
}

/// How keys are chosen.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Uniform,
    Zipf(Zipf<f64>),
}

/// What all clients ask for.
#[derive(Clone, Debug)]
pub struct Load {
    keys: u64,
    choice: Choice,
    read_ratio: f64,
    value_bytes: usize,
    /// Random bytes, so that nothing gains by compressing them.
    bytes: Bytes,
}

impl Load {
    /// Without an exponent all keys are as likely.
    pub fn new(
        keys: u64,
        exponent: Option<f64>,
        read_ratio: f64,
        value_bytes: usize,
        rng: &mut StdRng,
    ) -> Self {
        let choice = exponent.map_or(Choice::Uniform, |exponent| {
            Choice::Zipf(Zipf::new(keys as f64, exponent).expect("at least one key, and a checked exponent"))
        });
        let mut bytes = vec![0; value_bytes + VALUES_DIFFER_BYTES];
        rng.fill(&mut bytes[..]);
        Self { keys, choice, read_ratio, value_bytes, bytes: bytes.into() }
    }

    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// The next operation of a client with this generator.
    pub fn next(&self, rng: &mut StdRng) -> Operation {
        let key = key(self.number(rng));
        match rng.random_bool(self.read_ratio) {
            true => Operation::Get(key),
            false => Operation::Put(key, self.value(rng)),
        }
    }

    /// The first value of a key.
    pub fn first(&self, number: u64, rng: &mut StdRng) -> (Bytes, Bytes) {
        (key(number), self.value(rng))
    }

    fn number(&self, rng: &mut StdRng) -> u64 {
        match &self.choice {
            Choice::Uniform => rng.random_range(0..self.keys),
            // Ranks begin at 1 and are whole.
            Choice::Zipf(zipf) => (zipf.sample(rng) as u64).clamp(1, self.keys) - 1,
        }
    }

    fn value(&self, rng: &mut StdRng) -> Bytes {
        let from = rng.random_range(0..=VALUES_DIFFER_BYTES);
        self.bytes.slice(from..from + self.value_bytes)
    }
}

/// All are of one length.
fn key(number: u64) -> Bytes {
    format!("bench-{number:010}").into()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const DRAWN: usize = 100_000;

    /// How often each key is asked for.
    fn counts(keys: u64, exponent: Option<f64>) -> Vec<usize> {
        let mut rng = StdRng::seed_from_u64(1);
        let load = Load::new(keys, exponent, 0.5, 1, &mut rng);
        let mut counts = vec![0; usize::try_from(keys).expect("few")];
        for _ in 0..DRAWN {
            counts[usize::try_from(load.number(&mut rng)).expect("few")] += 1;
        }
        counts
    }

    fn is_near(seen: usize, expected: f64) -> bool {
        (seen as f64 - expected).abs() < expected * 0.1
    }

    #[test]
    fn uniform_keys_are_as_likely() {
        let counts = counts(20, None);
        assert!(counts.iter().all(|&seen| is_near(seen, DRAWN as f64 / 20.0)), "{counts:?}");
    }

    #[test]
    fn a_key_of_zipf_is_as_likely_as_its_rank_says() {
        for exponent in [0.99, 1.0, 2.0] {
            let counts = counts(100, Some(exponent));
            let all: f64 = (1..=100).map(|rank| f64::from(rank).powf(-exponent)).sum();
            for rank in 1..=5 {
                let expected = DRAWN as f64 * (rank as f64).powf(-exponent) / all;
                assert!(is_near(counts[rank - 1], expected), "{exponent}, rank {rank}: {counts:?}");
            }
        }
    }

    #[test]
    fn reads_are_as_many_as_asked_for_and_values_as_long() {
        let mut rng = StdRng::seed_from_u64(1);
        for (read_ratio, value_bytes) in [(0.0, 0), (0.3, 100), (1.0, 1)] {
            let load = Load::new(10, None, read_ratio, value_bytes, &mut rng);
            let asked: Vec<Operation> = (0..DRAWN).map(|_| load.next(&mut rng)).collect();
            let reads = asked.iter().filter(|it| matches!(it, Operation::Get(_))).count();
            assert!((reads as f64 - DRAWN as f64 * read_ratio).abs() <= DRAWN as f64 * 0.01, "{reads}");
            for operation in asked {
                let (Operation::Get(key) | Operation::Put(key, _)) = &operation;
                assert_eq!(key.len(), "bench-0000000000".len());
                assert!(!matches!(operation, Operation::Put(_, value) if value.len() != value_bytes));
            }
        }
    }
}
