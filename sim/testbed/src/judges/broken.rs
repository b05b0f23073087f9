//! What a check finds.

use std::fmt;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which invariant, by its number or name.
    pub invariant: &'static str,
    /// What was promised.
    pub promised: &'static str,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; but {}", self.invariant, self.promised, self.seen)
    }
}

/// What a check yields.
pub type Check = Result<(), Broken>;
