//! What a system owes to its clients after the heal, given what stays broken.
//!
//! Some faults have no end: a process that is down for good, a cable that nothing repairs. What each client
//! can then expect is for the system to say; here is what follows from it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    data::{
        node::NodeIndex,
        nodes::Nodes,
        outcome::{CLIENT_ENDED, DATA_LOST, End, INVALID, Operation},
    },
    report::screen::reason,
    system::System,
};

/// What a process is doing once the faults are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It runs.
    Runs,
    /// It stands still for good.
    StandsStill,
    /// It is down for good.
    IsDown,
}

/// What a client can expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// To be served.
    Served,
    /// Nothing in particular, and why.
    Perhaps(String),
    /// Not to be served, and why.
    Never(String),
}

impl Prospect {
    /// What can be expected of a time at whose beginning and end this was expected: the protocol may have
    /// changed who holds the data in between.
    #[must_use]
    pub fn throughout(self, end: Self) -> Self {
        match (self, end) {
            (Self::Served, Self::Served) => Self::Served,
            (Self::Never(why), Self::Never(_)) => Self::Never(why),
            (Self::Served, other) | (other, Self::Served) => Self::Perhaps(other.why().unwrap_or_default()),
            (Self::Perhaps(why), _) | (_, Self::Perhaps(why)) => Self::Perhaps(why),
        }
    }

    /// Why nothing is promised.
    pub fn why(&self) -> Option<String> {
        match self {
            Self::Served => None,
            Self::Perhaps(why) | Self::Never(why) => Some(why.clone()),
        }
    }
}

/// The operations that ended otherwise than was to be expected, one in a sentence. What was called before
/// `recovered` may fail; the reader asks again by itself.
pub fn broken_promises<S: System>(
    nodes: &Nodes,
    operations: &[Operation<S>],
    prospects: &BTreeMap<NodeIndex, Prospect>,
    healed: Duration,
    recovered: Duration,
) -> Vec<String> {
    let broken = |operation: &Operation<S>| {
        let client = nodes.find(&operation.client).expect("clients are nodes");
        let how = match (&operation.end, &prospects[&client]) {
            (_, Prospect::Perhaps(_)) => return None,
            (End::Returned { .. }, Prospect::Never(why)) if operation.called > healed => {
                format!("was answered, although {why}")
            }
            (End::Returned { .. }, _) | (_, Prospect::Never(_)) => return None,
            _ if client == nodes.reader() || operation.called < recovered => return None,
            (End::Open, _) => "was not answered".into(),
            (End::Unknown { why, .. }, _) if why == CLIENT_ENDED || why.starts_with(DATA_LOST) => {
                return None;
            }
            (End::NotExecuted { why, .. }, _) if why.starts_with(INVALID) => return None,
            (End::Unknown { why, .. }, _) => format!("ended with its fate unknown: {why}"),
            (End::NotExecuted { why, .. }, _) => format!("was not executed: {}", reason(why)),
        };
        let Operation { input, client, called, .. } = operation;
        Some(format!("{input:?} of {client}, called {:?} after the last fault, {how}", *called - healed))
    };
    operations.iter().filter_map(broken).collect()
}
