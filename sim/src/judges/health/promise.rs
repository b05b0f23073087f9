//! What is promised about the cluster's health, and what is said when it is not kept.

use std::{fmt, time::Duration};

/// Which promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// As many copies as the surroundings allow.
    Redundancy,
    /// What works is left alone.
    Stability,
    /// No machine holds or does more than this of it ([`crate::judges::bounds`]).
    Bound(&'static str),
    /// Whatever an operator must know is said, and taken back when it is over.
    Silence,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redundancy => "redundancy",
            Self::Stability => "stability",
            Self::Bound(_) => "bounds",
            Self::Silence => "silence",
        })
    }
}

/// A promise about the cluster's health that was broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Unhealthy {
    /// When.
    pub at: Duration,
    /// Which.
    pub promise: Promise,
    /// What was seen.
    pub seen: String,
}
