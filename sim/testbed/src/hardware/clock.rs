//! A node's clock, right or wrong.
//!
//! Virtual time is the only true time. A node sees `true time * (1 + drift) + skew`. Its monotonic clock
//! drifts, and its skew is a constant on which no code may rely. Its wall clock, from which a process that
//! remembers nothing may take the number of its life, is set anew at each start: it is off by some share of
//! the skew that differs from life to life, so that it may stand before the time of the life before.
//!
//! While a whole machine stands still (`Pacer`) its monotonic clock counts nothing; its wall clock is right
//! again at the next start.

#[cfg(madsim)]
pub use self::simulated::{Pacer, SimulatedClock};

use std::time::Duration;

use crate::data::hash::{below, stable_hash};

/// What every monotonic clock shows when the run begins, so that skew cannot make it negative.
const MONOTONIC_START: Duration = Duration::from_secs(3600);

/// What a correct wall clock shows when the run begins, in nanoseconds.
const WALL_START_NS: i64 = 24 * 3600 * 1_000_000_000;

/// How a node's clock deviates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deviation {
    /// How far ahead it is, in milliseconds.
    pub skew_ms: i64,
    /// How much faster it runs, in parts per million; more than -1,000,000.
    pub drift_ppm: i64,
}

impl Deviation {
    /// The node's monotonic time at a true time.
    pub fn node_time(self, true_time: Duration) -> Duration {
        let start = i128::try_from(MONOTONIC_START.as_nanos()).expect("small");
        let skew = i128::from(self.skew_ms) * 1_000_000;
        duration((start + skew).max(0) + self.scale(true_time))
    }

    /// The earliest true time at which the node's monotonic clock shows at least `node_time`.
    pub fn true_time(self, node_time: Duration) -> Duration {
        let ahead = self.node_time(Duration::ZERO);
        let node_ns = node_time.saturating_sub(ahead).as_nanos();
        let rate = u128::try_from(1_000_000 + self.drift_ppm).expect("time does not stand still");
        let mut guess = duration(i128::try_from(node_ns * 1_000_000 / rate).expect("less than an age"));
        while self.node_time(guess) < node_time {
            guess += Duration::from_nanos(1);
        }
        guess
    }

    /// What the wall clock shows to a life that begins at a true time, in nanoseconds; at least 1.
    pub fn wall_ns(self, true_time: Duration, life: u64, salt: u64) -> u64 {
        // Between -1 and +1 times the skew, in thousandths.
        let share = i128::from(below(stable_hash(&(salt, life)), 2001)) - 1000;
        let skew = i128::from(self.skew_ms) * 1_000_000 * share / 1000;
        let wall = i128::from(WALL_START_NS) + self.scale(true_time) + skew;
        u64::try_from(wall.max(1)).expect("less than 500 years")
    }

    fn scale(self, true_time: Duration) -> i128 {
        let ns = i128::try_from(true_time.as_nanos()).expect("less than an age");
        ns + ns * i128::from(self.drift_ppm) / 1_000_000
    }
}

fn duration(ns: i128) -> Duration {
    Duration::from_nanos(u64::try_from(ns).expect("between 0 and 500 years"))
}

#[cfg(madsim)]
mod simulated {
    use std::{
        sync::{Arc, Mutex, PoisonError},
        time::Duration,
    };

    use super::Deviation;
    use crate::data::hash::stable_hash;
    use madsim::time::TimeHandle;

    /// A timer goes off within this, unless the process stands still.
    const PUNCTUAL: Duration = Duration::from_millis(1);

    /// When a process that stood still goes on, its timers are due and what arrived meanwhile can be read,
    /// and either may come first. madsim lets a reader wait for a millisecond; every other timer waits for
    /// longer.
    const AFTER_STANDSTILL: Duration = Duration::from_millis(2);

    /// How much time a node's clock did not count, because the whole machine stood still.
    #[derive(Clone, Debug, Default)]
    pub struct Pacer(Arc<Mutex<Duration>>);

    impl Pacer {
        /// The clock stood still for this long.
        pub fn lose(&self, time: Duration) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) += time;
        }

        fn lost(&self) -> Duration {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// The clock as a running node sees it.
    #[derive(Clone)]
    pub struct SimulatedClock {
        time: TimeHandle,
        deviation: Deviation,
        pacer: Pacer,
    }

    impl SimulatedClock {
        /// A clock of the current world.
        pub fn new(deviation: Deviation, pacer: Pacer) -> Self {
            Self { time: TimeHandle::current(), deviation, pacer }
        }

        /// The time that this clock counted.
        fn counted(&self) -> Duration {
            self.time.elapsed().saturating_sub(self.pacer.lost())
        }
    }

    impl SimulatedClock {
        /// The node's time.
        pub fn now(&self) -> Duration {
            self.deviation.node_time(self.counted())
        }

        /// Waits until the node's time is this.
        pub async fn sleep_until(&self, at: Duration) {
            let until = self.deviation.true_time(at);
            let begins_at = self.counted();
            while let Some(rest) = until.checked_sub(self.counted()).filter(|rest| !rest.is_zero()) {
                self.time.sleep(rest).await;
            }
            let stood_still = begins_at < until && self.counted() > until + PUNCTUAL;
            if stood_still && stable_hash(&until).is_multiple_of(2) {
                self.time.sleep(AFTER_STANDSTILL).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_gains_and_a_slow_one_loses() {
        let hour = Duration::from_secs(3600);
        for (drift_ppm, gained_ms) in [(0, 0), (1_000, 3_600), (-1_000, -3_600), (100_000, 360_000)] {
            let clock = Deviation { skew_ms: -500, drift_ppm };
            let passed = clock.node_time(hour) - clock.node_time(Duration::ZERO);
            assert_eq!(passed.as_millis() as i64 - 3_600_000, gained_ms, "{drift_ppm} ppm");
        }
    }

    #[test]
    fn waking_is_never_early_and_never_late() {
        for drift_ppm in [0, 1, -1, 333, -77_777, 99_999] {
            let clock = Deviation { skew_ms: 12, drift_ppm };
            for ns in [1, 999, 1_000_000_007, 86_400_000_000_001] {
                let node_time = clock.node_time(Duration::ZERO) + Duration::from_nanos(ns);
                let at = clock.true_time(node_time);
                assert!(clock.node_time(at) >= node_time, "early by {drift_ppm} ppm at {ns}");
                let before = at - Duration::from_nanos(1);
                assert!(clock.node_time(before) < node_time, "late by {drift_ppm} ppm at {ns}");
            }
        }
    }

    #[test]
    fn a_wall_clock_with_skew_may_go_back_from_life_to_life_and_one_without_never_does() {
        let boots = |skew_ms| {
            let clock = Deviation { skew_ms, drift_ppm: 0 };
            (1..50).map(|life| clock.wall_ns(Duration::from_secs(life), life, 3)).collect::<Vec<_>>()
        };
        assert!(boots(0).is_sorted());
        assert!(!boots(60_000).is_sorted());
        assert!(boots(i64::MAX / 10_000_000).iter().all(|boot| *boot > 0));
    }
}
