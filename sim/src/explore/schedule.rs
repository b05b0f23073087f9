//! Which seed runs next.

use std::ops::Range;

/// Hands out seeds, each once. Workers share it behind a lock.
#[derive(Clone, Debug)]
pub struct Schedule {
    seeds: Range<u64>,
}

impl Schedule {
    /// These seeds, in order.
    pub fn new(seeds: Range<u64>) -> Self {
        Self { seeds }
    }

    /// The seed to be run next, if any is left.
    pub fn take(&mut self) -> Option<u64> {
        self.seeds.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_is_handed_out_once_and_in_order() {
        let mut schedule = Schedule::new(3..6);
        let seeds: Vec<u64> = std::iter::from_fn(|| schedule.take()).collect();
        assert_eq!(seeds, [3, 4, 5]);
        assert_eq!(schedule.take(), None);
    }
}
