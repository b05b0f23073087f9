//! The trace of a run: every step of every machine, in order.
//!
//! Two runs are the same run if and only if their traces are equal. A
//! [`TraceHash`](crate::data::hash::TraceHash) stands for the whole trace; it is the same in every process
//! and on every little-endian platform. The lines themselves are kept only on request, because writing them
//! costs more than the run.

use std::{fmt, time::Duration};

use crate::data::node::NodeName;

/// One thing that happened, as a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// Virtual time since the start.
    pub at: Duration,
    /// Where.
    pub node: NodeName,
    /// What.
    pub text: String,
}

impl fmt::Display for TraceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        write!(f, "{:>4}.{:09} {:<4} {}", at.as_secs(), at.subsec_nanos(), self.node, self.text)
    }
}
