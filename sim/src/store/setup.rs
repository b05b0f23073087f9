//! What a plan may say of the store, in `[cluster]`.

use std::time::Duration;

use pbkv::protocol::options::{ReplicaOptions, ViewServiceOptions};
use serde::{Deserialize, Serialize};
use testbed::{
    data::plan::Clock,
    report::screen::counted,
    system::{Process, Setup},
};

use super::{messages, settings::Settings, smaller};

/// Servers without a start time are started one after the other, so far apart.
pub const START_INTERVAL: Duration = Duration::from_millis(50);

/// The name of the view service.
pub const VIEW_SERVICE: &str = "vs";

/// The port on which the view service listens.
pub const VIEW_SERVICE_PORT: u16 = 8000;

/// The port on which servers listen.
pub const SERVER_PORT: u16 = 8001;

/// The servers and their options. What a plan leaves out is as in [`Cluster::default`].
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// How many KV servers, named `s1`, `s2`, ...
    pub servers: u32,
    /// Copies the view service strives for.
    pub replicas: u32,
    /// How Gets are answered.
    pub reads: Reads,
    /// Operations between checkpoints; small values exercise state transfer.
    pub checkpoint_interval: u64,
    /// Lag at which a joiner is waited for, in milliseconds.
    pub join_lag_max_ms: u64,
    /// Bytes in one part of a state transfer.
    pub chunk_bytes_max: usize,
    /// Unacknowledged operations on their way to a replica.
    pub append_window: u64,
    /// Log time without an update after which a session is forgotten, in milliseconds.
    pub session_ttl_ms: u64,
    /// The longest a write to disk takes, in milliseconds; each takes between nothing and that. Absent:
    /// nothing.
    pub disk_ms_max: u64,
    /// Operations in the log at which a joiner that needs them is left behind; absent: so many that it does
    /// not happen. At least four checkpoint intervals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_entries_max: Option<u64>,
    /// When each server is first started, in milliseconds; absent: at the beginning, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub starts_ms: Vec<u64>,
    /// Whether servers keep nothing on disk, as those of production without `--data-dir`: whatever ends one
    /// takes its memory, even if the fault says `kept`. The last copy is spared as ever.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub volatile: bool,
    /// Whether the handler of a call ends when its caller has left, as it does in production; else it runs to
    /// its end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub callers_leave: bool,
    /// How clients make their calls.
    #[serde(skip_serializing_if = "Calls::is_default")]
    pub calls: Calls,
    /// Bytes of calls, and of answers, that travel together on a client's stream; what is longer travels
    /// alone. Absent: what production allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together_bytes: Option<usize>,
    /// Whether messages travel as bytes, and are refused by a receiver to which they are too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encoded: bool,
    /// Options that are not the defaults, or not the same for all processes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Settings>,
    /// Clocks that are not perfect.
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "clock")]
    pub clocks: Vec<Clock>,
}

/// Three servers and two copies; each option is what a server of production has if it is told nothing.
impl Default for Cluster {
    fn default() -> Self {
        let own = ReplicaOptions::default();
        Self {
            servers: 3,
            replicas: ViewServiceOptions::default().replicas as u32,
            reads: Reads::Confirm,
            checkpoint_interval: own.checkpoint_interval,
            join_lag_max_ms: own.join_lag_max.as_millis() as u64,
            chunk_bytes_max: own.chunk_bytes_max,
            append_window: own.append_window,
            session_ttl_ms: own.session_ttl.as_millis() as u64,
            disk_ms_max: 0,
            log_entries_max: None,
            starts_ms: Vec::new(),
            volatile: false,
            callers_leave: false,
            calls: Calls::Stream,
            together_bytes: None,
            encoded: false,
            settings: Vec::new(),
            clocks: Vec::new(),
        }
    }
}

impl Cluster {
    /// The one that claims are about: small enough that a few operations show everything.
    pub fn small() -> Self {
        Self {
            checkpoint_interval: 100,
            join_lag_max_ms: 500,
            chunk_bytes_max: 4_096,
            append_window: 1_024,
            session_ttl_ms: 60_000,
            disk_ms_max: 2,
            ..Self::default()
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

/// How clients make their calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// Each client on a stream of its own.
    #[default]
    Stream,
    /// All clients on one stream, as tasks of one process do.
    Shared,
    /// One by one, as other people's clients do.
    Unary,
}

impl Calls {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Setup for Cluster {
    fn processes(&self) -> Vec<Process> {
        // Clients that ask for the view are as many as pings, and say as little.
        let view_service = Process::new(VIEW_SERVICE, VIEW_SERVICE_PORT).aside(messages::PING);
        let server = |place: u32| {
            let given = self.starts_ms.get(place as usize).map(|ms| Duration::from_millis(*ms));
            let starts_at = given.unwrap_or(START_INTERVAL * place);
            Process::new(format!("s{}", place + 1), SERVER_PORT).starting_at(starts_at)
        };
        std::iter::once(view_service).chain((0..self.servers).map(server)).collect()
    }

    fn clocks(&self) -> &[Clock] {
        &self.clocks
    }

    fn summary(&self) -> String {
        let reads = match self.reads {
            Reads::Confirm => "confirmed",
            Reads::Lease => "lease",
        };
        format!(
            "{}, {}, {reads} reads",
            counted(self.servers.into(), "server", "servers"),
            counted(self.replicas.into(), "replica", "replicas"),
        )
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("servers", format!("{}, {} copies", self.servers, self.replicas)),
            ("reads", format!("{:?}", self.reads).to_lowercase()),
        ]
    }

    const SIZE: &'static str = "servers";
    const REMOVING: &'static str = "removing servers";

    fn size(&self) -> usize {
        self.servers as usize
    }

    fn forget(&mut self, node: &str) {
        self.clocks.retain(|clock| clock.node != node);
        self.settings.retain(|settings| settings.node.as_deref() != Some(node));
    }

    fn rename(&mut self, from: &str, to: &str) {
        for clock in self.clocks.iter_mut().filter(|clock| clock.node == from) {
            to.clone_into(&mut clock.node);
        }
    }

    fn smaller(&self) -> Vec<Self> {
        smaller::smaller(self)
    }

    fn plainer(&self) -> Vec<Self> {
        smaller::plainer(self)
    }

    const FORMS: &'static [fn(&mut Self)] = smaller::FORMS;
    fn disk_ms_max(&self) -> u64 {
        self.disk_ms_max
    }

    fn callers_leave(&self) -> bool {
        self.callers_leave
    }

    fn is_encoded(&self) -> bool {
        self.encoded
    }

    fn steps_within(&self) -> Duration {
        // By the slowest clock of any seed.
        self.longest_ping_interval() * 3 / 2
    }
}
