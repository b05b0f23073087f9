//! The trace of a run: every step of every machine, in order.
//!
//! Two runs are the same run if and only if their traces are equal. A
//! [`TraceHash`](crate::data::hash::TraceHash) stands for the whole trace; it is the same in every process
//! and on every little-endian platform. The lines themselves are kept only on request, because writing them
//! costs more than the run.

use std::{fmt, time::Duration};

use crate::{data::node::NodeName, system::System};

/// What the lines of every trace begin with.
const HEADS: [(&str, &str); 3] = [
    ("<", "an event that a machine takes"),
    (">", "an effect that it has, what follows from the event"),
    ("calls, ends", "an operation of a client"),
];

/// What stands for what in the trace of a run.
pub fn legend<S: System>() -> Vec<String> {
    let rows = HEADS.iter().chain(S::LEGEND);
    rows.map(|(short, long)| format!("{:>10}  {short:<12} {long}", "legend")).collect()
}

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
