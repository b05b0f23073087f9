//! Sources of chance, planted on purpose: without them there is no knowing that the doctor finds any.
//!
//! Each takes what it does from the process and from the moment in which it is asked, as a real one would.
//! Nothing plants them but an option that no help mentions.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

/// A source of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// How long the writes of the disk of node 1 take.
    Time,
    /// How long node 1 remembers something, from its second life on: a state that shows itself late or never.
    State,
}

impl Chance {
    /// What it adds to the salt of the disk of this node.
    pub fn salt(self, server: usize) -> u64 {
        if self == Self::Time && server == 1 { entropy() } else { 0 }
    }

    /// What it adds to the time for which this life of this node remembers something.
    pub fn memory(self, server: usize, life: u64) -> Duration {
        let strikes = self == Self::State && server == 1 && life > 1;
        if strikes { Duration::from_nanos(1 + entropy() % 1_000_000) } else { Duration::ZERO }
    }
}

impl Chance {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::State => "state",
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
        let all = [Self::Time, Self::State];
        all.into_iter().find(|chance| chance.name() == text).ok_or_else(|| "expected time or state".into())
    }
}
