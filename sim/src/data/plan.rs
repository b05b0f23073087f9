//! A run, described as data: cluster, workload, fault plan. Generated from a seed, printed, saved as
//! TOML, edited by hand, executed. Execution adds no choices of its own.

use serde::{Deserialize, Serialize};

use crate::{
    data::fault::Fault,
    data::settings::{Settings, own},
    marks::Mark,
};

/// One run.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What it is meant to show.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The situations it was made for. A regression that no longer reaches them has gone blind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reaches: Vec<Mark>,
    /// Seeds what madsim itself draws (latencies, task order) and the per-message decisions of faults.
    pub seed: u64,
    /// Virtual time under faults, in milliseconds. Then everything is healed that is not broken for good.
    pub faults_ms: u64,
    /// Virtual time after the heal within which every client operation must end well, in milliseconds.
    pub settle_ms: u64,
    /// After that the cluster is watched for so long under light load, in milliseconds: what works is left
    /// alone.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub watch_ms: u64,
    /// The servers.
    pub cluster: Cluster,
    /// The network between all nodes.
    pub network: Network,
    /// Whether a loss of memory strikes even the last intact copy of the data. Otherwise that copy is
    /// spared: its server keeps its memory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data_loss: bool,
    /// The clients and what they do.
    #[serde(default, rename = "client")]
    pub clients: Vec<Client>,
    /// What goes wrong.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
}

/// The servers and their options. One that is absent is what a server of production has if it is told
/// nothing.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// How many KV servers, named `s1`, `s2`, ...
    pub servers: u32,
    /// Copies the view service strives for.
    pub replicas: u32,
    /// How Gets are answered.
    pub reads: Reads,
    /// Operations between checkpoints; small values exercise state transfer.
    #[serde(default = "own::checkpoint_interval")]
    pub checkpoint_interval: u64,
    /// Lag at which a joiner is waited for, in milliseconds.
    #[serde(default = "own::join_lag_max_ms")]
    pub join_lag_max_ms: u64,
    /// Bytes in one part of a state transfer.
    #[serde(default = "own::chunk_bytes_max")]
    pub chunk_bytes_max: usize,
    /// Unacknowledged operations on their way to a replica.
    #[serde(default = "own::append_window")]
    pub append_window: u64,
    /// Log time without an update after which a session is forgotten, in milliseconds.
    #[serde(default = "own::session_ttl_ms")]
    pub session_ttl_ms: u64,
    /// The longest a write to disk takes, in milliseconds; each takes between nothing and that. Absent:
    /// nothing.
    #[serde(default)]
    pub disk_ms_max: u64,
    /// Operations in the log at which a joiner that needs them is left behind; absent: so many that it does
    /// not happen. At least four checkpoint intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_entries_max: Option<u64>,
    /// When each server is first started, in milliseconds; absent: at the beginning, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts_ms: Vec<u64>,
    /// Whether servers keep nothing on disk, as those of production do: whatever ends one takes its memory,
    /// even if the fault says `kept`. The last copy is spared as ever.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub volatile: bool,
    /// Whether the handler of a call ends when its caller has left, as it does in production; else it runs to
    /// its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub callers_leave: bool,
    /// Whether messages travel as bytes, and are refused by a receiver to which they are too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encoded: bool,
    /// Options that are not the defaults, or not the same for all processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Settings>,
    /// Clocks that are not perfect.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "clock")]
    pub clocks: Vec<Clock>,
}

/// Three servers and two copies, nothing out of the ordinary.
impl Default for Cluster {
    fn default() -> Self {
        Self {
            servers: 3,
            replicas: 2,
            reads: Reads::Confirm,
            checkpoint_interval: 100,
            join_lag_max_ms: 500,
            chunk_bytes_max: 4_096,
            append_window: 1_024,
            session_ttl_ms: 60_000,
            disk_ms_max: 2,
            log_entries_max: None,
            starts_ms: Vec::new(),
            volatile: false,
            callers_leave: false,
            encoded: false,
            settings: Vec::new(),
            clocks: Vec::new(),
        }
    }
}

/// How Gets are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// In-sync backups confirm.
    Confirm,
    /// The view service grants a lease.
    Lease,
}

/// A node's clock: `node time = true time * (1 + drift) + skew`.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// `vs`, `s1`, `c1`, ...
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
    /// One operation after the other: `<seconds> <operation> <key>`, for example `1.250 append k3`. Each
    /// starts at its time, or when the one before it ended, whichever is later. Written values are made
    /// unique by client and place in the script. A `cas` expects what the client saw last, a `cas-revision`
    /// the latest revision that it was told together with a value.
    pub script: Vec<String>,
}
