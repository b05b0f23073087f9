//! What is promised about the cluster's health, and what is said when it is not kept.

use testbed::system;

/// Which promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

impl system::Promise for Promise {
    fn name(&self) -> &'static str {
        match self {
            Self::Redundancy => "redundancy",
            Self::Stability => "stability",
            Self::Bound(_) => "bounds",
            Self::Silence => "silence",
        }
    }

    fn broken(&self) -> String {
        match self {
            Self::Redundancy => "fewer copies than the living servers allow".into(),
            Self::Stability => "what worked was not left alone".into(),
            Self::Bound(quantity) => format!("too many {quantity}"),
            Self::Silence => "an operator was not told".into(),
        }
    }

    fn promised(&self) -> &'static str {
        match self {
            Self::Redundancy => {
                "soon after the last fault there are as many copies in sync as the living servers allow"
            }
            Self::Stability => "what works is left alone: no view, suspicion or transfer without a fault",
            Self::Bound(_) => "no machine holds or does more than its limits allow",
            Self::Silence => "what an operator must know is said in time, and taken back when it is over",
        }
    }
}
