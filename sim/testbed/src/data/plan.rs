//! A run, described as data: processes, what clients do, what goes wrong. Drawn from a seed, printed, saved
//! as TOML, edited by hand, executed. Execution adds no choices of its own.

use serde::{Deserialize, Serialize};

use crate::{data::fault::Fault, marks::Mark, system::System};

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
    pub faults_ms: u64,
    /// Virtual time after the heal within which every client operation must end well, in milliseconds.
    pub settle_ms: u64,
    /// After that the system is watched for this long under light load, in milliseconds: what works must be
    /// left alone.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub watch_ms: u64,
    /// The processes and their options.
    pub cluster: S::Setup,
    /// The network between all nodes.
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

/// A node's clock: `node time = true time * (1 + drift) + skew`.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Its name.
    pub node: String,
    /// How far ahead, in milliseconds. Steps of the wall clock, too: it differs from life to life.
    pub skew_ms: i64,
    /// How much faster it runs, in parts per million.
    pub drift_ppm: i64,
}

/// The network without faults.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Shortest one-way latency, in microseconds.
    pub latency_us_min: u64,
    /// Longest one-way latency, in microseconds.
    pub latency_us_max: u64,
    /// Bytes that a link carries in each direction in a millisecond, one message after the other, whatever
    /// connection they are of; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_ms: Option<u64>,
}

/// A client and its script.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// How long an operation may take before its outcome is given up as unknown, in milliseconds.
    pub deadline_ms: u64,
    /// One call after the other: `<seconds> <words>`, for example `1.250 append k3`. Each starts at its
    /// time, or when the one before it ended, whichever is later. What the words mean is the system's affair
    /// ([`System::parse`]); values that are written are made unique by client and place in the script.
    pub script: Vec<String>,
}
