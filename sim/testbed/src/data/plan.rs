//! A run, described as data: processes, what clients do, what goes wrong. Drawn from a seed, printed, saved
//! as TOML, edited by hand, executed. Execution adds no choices of its own.
//!
//! A plan written by hand says what it is about: only its seed must be given, and of a fault what strikes
//! which nodes for how long. A plan that is printed says everything.

use serde::{Deserialize, Serialize};

use crate::{data::fault::Fault, draw::SETTLE_MS, marks::Mark, system::System};

/// One run.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound = "")]
pub struct Plan<S: System> {
    /// What it is meant to show.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The situations it was made for. A regression that no longer reaches them has gone blind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reaches: Vec<Mark<S>>,
    /// Seeds what madsim itself draws (latencies, task order) and the per-message decisions of faults.
    pub seed: u64,
    /// Virtual time under faults, in milliseconds. Then everything is healed that is not broken for good.
    #[serde(default = "absent::faults_ms")]
    pub faults_ms: u64,
    /// Virtual time after the heal within which every client operation must end well, in milliseconds.
    #[serde(default = "absent::settle_ms")]
    pub settle_ms: u64,
    /// After that the system is watched for this long under light load, in milliseconds: what works must be
    /// left alone.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub watch_ms: u64,
    /// The processes and their options.
    #[serde(default)]
    pub cluster: S::Setup,
    /// The network between all nodes.
    #[serde(default)]
    pub network: Network,
    /// Whether a loss of memory strikes even the last intact copy of the data. Otherwise that copy is
    /// spared: its process keeps its memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_loss: bool,
    /// The clients and what they do.
    #[serde(default, rename = "client")]
    pub clients: Vec<Client>,
    /// What goes wrong.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault<S>>,
}

impl<S: System> Plan<S> {
    /// Whether it is what its seed stands for, whatever is said about it.
    pub fn is_drawn(&self) -> bool {
        let drawn = S::draw(self.seed);
        *self == Self { about: self.about.clone(), reaches: self.reaches.clone(), ..drawn }
    }
}

/// A node's clock: `node time = true time * (1 + drift) + skew`.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Its name.
    pub node: String,
    /// How far ahead, in milliseconds. Steps of the wall clock, too: it differs from life to life.
    #[serde(default)]
    pub skew_ms: i64,
    /// How much faster it runs, in parts per million.
    #[serde(default)]
    pub drift_ppm: i64,
}

/// The network without faults.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Shortest one-way latency, in microseconds.
    pub latency_us_min: u64,
    /// Longest one-way latency, in microseconds.
    pub latency_us_max: u64,
    /// Bytes that a link carries in each direction in a millisecond, one message after the other, whatever
    /// connection they are of; absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_ms: Option<u64>,
}

/// That of a machine room.
impl Default for Network {
    fn default() -> Self {
        Self { latency_us_min: 200, latency_us_max: 2_000, bytes_per_ms: None }
    }
}

/// A client and its script.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// How long an operation may take before its outcome is given up as unknown, in milliseconds.
    #[serde(default = "absent::deadline_ms")]
    pub deadline_ms: u64,
    /// One call after the other: `<seconds> <words>`, for example `1.250 append k3`. Each starts at its
    /// time, or when the one before it ended, whichever is later. What the words mean is the system's affair
    /// ([`System::parse`]); values that are written are made unique by client and place in the script.
    #[serde(default)]
    pub script: Vec<String>,
}

/// What a plan means that says nothing.
mod absent {
    pub fn faults_ms() -> u64 {
        10_000
    }

    pub fn settle_ms() -> u64 {
        super::SETTLE_MS
    }

    pub fn deadline_ms() -> u64 {
        5_000
    }
}
