//! Sources of chance, planted on purpose: without them nobody would know that the doctor finds any.
//!
//! Each takes what it does from the process and from the moment in which it is asked, as a real one would.
//! Nothing plants them but an option that no help mentions.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

/// A source of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// How long the writes of a disk take.
    Time,
    /// An option of a process from its second life on, if its system asks for [`Chance::late`]: a state that
    /// shows itself late or never.
    State,
    /// The same as `Time`, but by what an earlier run left in this process: a static, say.
    Leftover,
}

impl Chance {
    /// What it adds to the salt of the disk that it strikes, once in a run.
    pub fn salt(self) -> u64 {
        // rules: allow static: chance that is planted, to be found
        static RUNS: AtomicU64 = AtomicU64::new(0);
        match self {
            Self::Time => entropy(),
            Self::State => 0,
            Self::Leftover => RUNS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What it adds to a time that a process has as an option, in this life.
    pub fn late(self, life: u64) -> Duration {
        let strikes = self == Self::State && life > 1;
        if strikes { Duration::from_nanos(1 + entropy() % 1_000_000) } else { Duration::ZERO }
    }
}

impl Chance {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::State => "state",
            Self::Leftover => "leftover",
        }
    }
}

// rules: allow clock: chance that is planted, to be found,
// rules: allow randomness: on purpose
fn entropy() -> u64 {
    // Within a simulation the standard library's clock is virtual, but the process's number is not.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    crate::data::hash::stable_hash(&(std::process::id(), now))
}

impl FromStr for Chance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Time, Self::State, Self::Leftover];
        let named = all.into_iter().find(|chance| chance.name() == text);
        named.ok_or_else(|| "expected time, state or leftover".into())
    }
}
