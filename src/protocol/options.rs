//! The protocol's timings and limits: names, units, defaults, and the relations between them.

use std::{fmt::Display, time::Duration};

/// What the view service may be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ViewServiceOptions {
    /// Copies the view service strives for, the primary included.
    pub replicas: usize,
    /// A server not heard for this long is dead (rule VS-PING 3). Also the length of a lease (5.3).
    pub dead_after: Duration,
    /// A joiner that makes no progress for this long is replaced; see [`Self::join_stall`].
    pub join_stall_max: Duration,
    /// A server that the primary reported unreachable, or that pings and is not reached at its address, is
    /// not used for this long; doubles each time the same pair fails again soon, up to
    /// [`Self::suspicion_max`], and up to ten times that for a pair that never was in sync.
    pub suspicion_min: Duration,
    /// The longest time for which a suspicion is remembered.
    pub suspicion_max: Duration,
    /// How often the policy runs when no ping arrives.
    pub policy_interval: Duration,
    /// Servers the view service keeps in mind at once; pings of more are refused by silence.
    pub servers_max: usize,
}

impl Default for ViewServiceOptions {
    fn default() -> Self {
        Self {
            replicas: 2,
            dead_after: Duration::from_millis(1500),
            join_stall_max: Duration::from_secs(3),
            suspicion_min: Duration::from_secs(3),
            suspicion_max: Duration::from_secs(30),
            policy_interval: Duration::from_millis(100),
            servers_max: 1024,
        }
    }
}

/// What the view service decides for all servers: each of its answers to a ping says so (R21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClusterOptions {
    /// [`ViewServiceOptions::dead_after`].
    pub dead_after: Duration,
    /// [`ViewServiceOptions::replicas`].
    pub replicas: usize,
}

impl ClusterOptions {
    /// How often a server pings at least, so that it is not taken for dead when pings are lost or late.
    pub fn ping_interval_max(&self) -> Duration {
        (self.dead_after / PINGS_PER_DEAD_INTERVAL).max(SPAN_MIN)
    }
}

/// A server pings so many times within a dead interval, at least.
pub const PINGS_PER_DEAD_INTERVAL: u32 = 3;

/// How a primary with backups answers a Get (R10, 5.2 and 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// Every in-sync backup confirms, after the Get arrived, that it knows no later view. No clock is
    /// trusted.
    Confirm,
    /// The view service promises to promote nobody for a while. Trusts that clocks run at nearly the
    /// same rate, also through suspends.
    Lease,
}

/// What a replica may be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaOptions {
    /// How often a server signals the view service. It does so more often if the view service's
    /// [`ViewServiceOptions::dead_after`] demands it (R21).
    pub ping_interval: Duration,
    /// How often a primary shows itself to a replica to which it has nothing else to say.
    pub heartbeat_interval: Duration,
    /// A replica that the primary waits for and that is silent this long is reported to the view service. Has
    /// nothing to do with the view service's [`ViewServiceOptions::dead_after`]: whichever is shorter ends
    /// the wait for a dead replica; for all of several at once, half a second later at most (VS-POLICY).
    pub suspect_after: Duration,
    /// How Gets are answered.
    pub reads: ReadMode,
    /// A joiner is waited for when a round of catching up took it at most this long (R9a): so much time, and
    /// not so many operations, because load alone must not keep it out. Less than a round trip does.
    pub join_lag_max: Duration,
    /// Log time without an update after which a session is forgotten.
    pub session_ttl: Duration,
    /// Sessions that may be open at once.
    pub sessions_max: usize,
    /// While fewer copies than this hold what is acknowledged, the primary included, updates are refused, and
    /// none that is under way is acknowledged; 0: that never is a reason.
    pub copies_min: usize,
    /// Requests that may wait for an answer at once.
    pub waiting_max: usize,
    /// Of these, so many may ask for a page of keys: one costs as much as a thousand Gets.
    pub scans_max: usize,
    /// Bytes of pages that a primary reads in one go; one more page may end them. The next ones wait until
    /// everything else that is queued has been heard, and pings and heartbeats have left.
    pub scan_bytes_max: usize,
    /// Bytes of operations in one message to a replica (at least one operation is sent).
    pub append_bytes_max: usize,
    /// Operations on their way to a replica and not yet acknowledged.
    pub append_window: u64,
    /// Bytes of state in one part of a state transfer (at least one item is sent).
    pub chunk_bytes_max: usize,
    /// After so many operations a checkpoint of the state is taken; the log keeps between one and two
    /// times as many, plus what a joiner still needs.
    pub checkpoint_interval: u64,
    /// After so many bytes of operations a checkpoint is taken, too: the log keeps between one and two times
    /// as many, plus what a joiner still needs.
    pub checkpoint_bytes: u64,
    /// When the log that a joiner needs grows beyond this many operations, the joiner is left behind: it gets
    /// a later state.
    pub log_entries_max: u64,
    /// When it grows beyond so many bytes, likewise.
    pub log_bytes_max: u64,
    /// Bytes of operations that may wait to be committed at once; one more operation may end them.
    pub waiting_bytes_max: u64,
    /// Bytes that the open sessions may remember at once (the answers to compare-and-swaps); one more answer
    /// may end them.
    pub session_bytes_max: u64,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_millis(500),
            heartbeat_interval: Duration::from_millis(100),
            suspect_after: Duration::from_secs(1),
            reads: ReadMode::Confirm,
            join_lag_max: Duration::from_millis(500),
            session_ttl: Duration::from_secs(60),
            sessions_max: 100_000,
            copies_min: 0,
            waiting_max: 16_384,
            scans_max: 1_024,
            scan_bytes_max: 256 << 10,
            append_bytes_max: 1 << 20,
            append_window: 8_192,
            chunk_bytes_max: 256 << 10,
            checkpoint_interval: 10_000,
            log_entries_max: 1_000_000,
            checkpoint_bytes: 64 << 20,
            log_bytes_max: 1 << 30,
            waiting_bytes_max: 256 << 20,
            session_bytes_max: 64 << 20,
        }
    }
}

/// Of a lease of length `D` the holder uses four fifths: `L (1 + rho) <= D (1 - rho)` then holds for
/// clocks whose rates differ from true time by up to rho = 11 %.
pub(crate) fn usable_lease(granted: Duration) -> Duration {
    granted * 4 / 5
}

/// The shortest interval and time-out: what is due more often than this is always due.
pub const SPAN_MIN: Duration = Duration::from_millis(1);

/// The longest interval and time-out. Some hundred of them still are a time.
pub const SPAN_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The shortest time to live of a session: a client that has to wait for a fail-over keeps it.
pub const SESSION_TTL_MIN: Duration = Duration::from_secs(2);

/// The largest number of anything that is counted (operations, sessions, requests): far beyond what fits in
/// memory, and far from where sums overflow.
pub const COUNT_MAX: u64 = 1 << 40;

/// The largest number of copies, and of servers that a view service keeps in mind.
pub const REPLICAS_MAX: usize = 64;
/// See [`REPLICAS_MAX`].
pub const SERVERS_MAX: usize = 1 << 20;

/// The most bytes that are gathered for one message.
pub const GATHERED_BYTES_MAX: usize = 64 << 20;

/// The longest value that may be allowed, in bytes.
pub const VALUE_BYTES_MAX: u64 = 64 << 20;

/// The most bytes of anything that is kept: far beyond any memory.
pub const BYTES_MAX: u64 = 1 << 50;

/// The units in which a time span is written, from short to long.
pub const UNITS: [(&str, Duration); 6] = [
    ("us", Duration::from_micros(1)),
    ("ms", Duration::from_millis(1)),
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(3600)),
    ("d", Duration::from_secs(24 * 3600)),
];

/// A time span as people write it: in the longest unit of which it is a whole number, and beyond a second not
/// in smaller ones than that.
pub fn written(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let whole = |(_, unit): &&(&str, Duration)| {
        span.as_nanos().is_multiple_of(unit.as_nanos()) && !(unit.as_secs() == 0 && seconds > 1.0)
    };
    match UNITS.iter().rev().find(whole) {
        _ if span.is_zero() => "0s".into(),
        Some((name, unit)) => format!("{}{name}", span.as_nanos() / unit.as_nanos()),
        None if seconds > 1.0 => format!("{seconds}s"),
        None => format!("{}us", seconds * 1e6),
    }
}

/// Whether `value` is within bounds, both included.
///
/// # Errors
///
/// A sentence that begins with the name of the option, with its value and the bounds.
pub fn check_span(name: &str, value: Duration, min: Duration, max: Duration) -> Result<(), String> {
    check(name, &written(value), &written(min), &written(max), value < min || value > max)
}

/// See [`check_span`].
///
/// # Errors
///
/// As there.
pub fn check_count(name: &str, value: u64, min: u64, max: u64) -> Result<(), String> {
    check(name, &value, &min, &max, value < min || value > max)
}

fn check(
    name: &str,
    value: &dyn Display,
    min: &dyn Display,
    max: &dyn Display,
    bad: bool,
) -> Result<(), String> {
    if bad { Err(format!("{name} ({value}) must be at least {min} and at most {max}")) } else { Ok(()) }
}

impl ViewServiceOptions {
    /// What all servers are told.
    pub fn of_all(&self) -> ClusterOptions {
        ClusterOptions { dead_after: self.dead_after, replicas: self.replicas }
    }

    /// How long a joiner may make no progress: a dead interval at least, as it tells its progress with its
    /// pings.
    pub fn join_stall(&self) -> Duration {
        self.join_stall_max.max(self.dead_after)
    }

    /// Whether these values can work together; the error says what to change.
    pub fn validate(&self) -> Result<(), String> {
        check_count("replicas", self.replicas as u64, 1, REPLICAS_MAX as u64)?;
        check_count("servers-max", self.servers_max as u64, self.replicas as u64, SERVERS_MAX as u64)?;
        check_span("policy-interval", self.policy_interval, SPAN_MIN, SPAN_MAX / 2)?;
        let dead_after_min = (2 * self.policy_interval).max(PINGS_PER_DEAD_INTERVAL * SPAN_MIN);
        check_span("dead-after", self.dead_after, dead_after_min, SPAN_MAX)
            .map_err(|why| format!("{why}: it is checked every --policy-interval"))?;
        check_span("join-stall-max", self.join_stall_max, 2 * self.policy_interval, SPAN_MAX)
            .map_err(|why| format!("{why}: it is checked every --policy-interval"))?;
        check_span("suspicion-min", self.suspicion_min, SPAN_MIN, SPAN_MAX)?;
        check_span("suspicion-max", self.suspicion_max, self.suspicion_min, SPAN_MAX)
    }
}

impl ReplicaOptions {
    /// Whether these values can work together; the error says what to change.
    pub fn validate(&self) -> Result<(), String> {
        check_span("ping-interval", self.ping_interval, SPAN_MIN, SPAN_MAX)?;
        check_span("heartbeat-interval", self.heartbeat_interval, SPAN_MIN, SPAN_MAX / 3)?;
        check_span("join-lag-max", self.join_lag_max, SPAN_MIN, SPAN_MAX)?;
        check_span("suspect-after", self.suspect_after, 3 * self.heartbeat_interval, SPAN_MAX)
            .map_err(|why| format!("{why}: a replica is heard every --heartbeat-interval"))?;
        check_span("session-ttl", self.session_ttl, SESSION_TTL_MIN, SPAN_MAX)?;
        check_count("copies-min", self.copies_min as u64, 0, REPLICAS_MAX as u64)?;
        let counts = [
            ("append-window", self.append_window, COUNT_MAX),
            ("checkpoint-interval", self.checkpoint_interval, COUNT_MAX / 4),
            ("checkpoint-bytes", self.checkpoint_bytes, BYTES_MAX / 4),
            ("waiting-bytes-max", self.waiting_bytes_max, BYTES_MAX),
            ("session-bytes-max", self.session_bytes_max, BYTES_MAX),
            ("waiting-max", self.waiting_max as u64, COUNT_MAX),
            ("scans-max", self.scans_max as u64, COUNT_MAX),
            ("scan-bytes-max", self.scan_bytes_max as u64, GATHERED_BYTES_MAX as u64),
            ("sessions-max", self.sessions_max as u64, COUNT_MAX),
            ("append-bytes-max", self.append_bytes_max as u64, GATHERED_BYTES_MAX as u64),
            ("chunk-bytes-max", self.chunk_bytes_max as u64, GATHERED_BYTES_MAX as u64),
        ];
        for (name, value, max) in counts {
            check_count(name, value, 1, max)?;
        }
        check_count("log-entries-max", self.log_entries_max, 4 * self.checkpoint_interval, COUNT_MAX)
            .map_err(|why| format!("{why}: the log keeps what up to four checkpoint intervals need"))?;
        check_count("log-bytes-max", self.log_bytes_max, 4 * self.checkpoint_bytes, BYTES_MAX)
            .map_err(|why| format!("{why}: the log keeps what up to four checkpoints need"))
    }
}
