//! The protocol's timings and limits: names, units, defaults, and the relations between them.

use std::time::Duration;

/// What the view service may be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ViewServiceOptions {
    /// Copies the view service strives for, the primary included.
    pub replicas: usize,
    /// A server not heard for this long is dead (rule VS-PING 3). Also the length of a lease (5.3).
    pub dead_after: Duration,
    /// A joiner that makes no progress for this long is replaced.
    pub join_stall_max: Duration,
    /// A server that the primary reported unreachable is not used for this long; doubles each time
    /// the same pair fails again, up to [`Self::suspicion_max`].
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

/// How a primary with backups answers a Get (R10, 5.2 and 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadMode {
    /// Every in-sync backup confirms, after the Get arrived, that it knows no later view. No clock is trusted.
    Confirm,
    /// The view service promises to promote nobody for a while. Trusts that clocks run at nearly the
    /// same rate, also through suspends.
    Lease,
}

/// What a replica may be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaOptions {
    /// How often a server signals the view service.
    pub ping_interval: Duration,
    /// How often a primary shows itself to a replica to which it has nothing else to say.
    pub heartbeat_interval: Duration,
    /// A replica that the primary waits for and that is silent this long is reported to the view service.
    pub suspect_after: Duration,
    /// How Gets are answered.
    pub reads: ReadMode,
    /// A joiner at most this many operations behind is waited for (R9a).
    pub join_lag_max: u64,
    /// Log time without an update after which a session is forgotten.
    pub session_ttl: Duration,
    /// Sessions that may be open at once.
    pub sessions_max: usize,
    /// Requests that may wait for an answer at once.
    pub waiting_max: usize,
    /// Bytes of operations in one message to a replica (at least one operation is sent).
    pub append_bytes_max: usize,
    /// Operations on their way to a replica and not yet acknowledged.
    pub append_window: u64,
    /// Bytes of state in one part of a state transfer (at least one item is sent).
    pub chunk_bytes_max: usize,
    /// After so many operations a checkpoint of the state is taken; the log keeps between one and two
    /// times as many, plus what a running state transfer still needs.
    pub checkpoint_interval: u64,
    /// When a state transfer makes the log grow beyond this many operations, the transfer is abandoned.
    pub log_entries_max: u64,
    /// The longest value that an append may build, in bytes.
    pub value_bytes_max: u64,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_millis(500),
            heartbeat_interval: Duration::from_millis(100),
            suspect_after: Duration::from_secs(1),
            reads: ReadMode::Confirm,
            join_lag_max: 64,
            session_ttl: Duration::from_secs(60),
            sessions_max: 100_000,
            waiting_max: 16_384,
            append_bytes_max: 1 << 20,
            append_window: 8_192,
            chunk_bytes_max: 256 << 10,
            checkpoint_interval: 10_000,
            log_entries_max: 1_000_000,
            value_bytes_max: 1 << 20,
        }
    }
}

/// Of a lease of length `D` the holder uses four fifths: `L (1 + rho) <= D (1 - rho)` then holds for
/// clocks whose rates differ from true time by up to rho = 11 %.
pub(crate) fn usable_lease(granted: Duration) -> Duration {
    granted * 4 / 5
}

impl ViewServiceOptions {
    /// Whether these values can work together; the error says what to change.
    pub fn validate(&self) -> Result<(), String> {
        if self.replicas == 0 {
            return Err("replicas must be at least 1 (the primary itself)".into());
        }
        if self.dead_after < 2 * self.policy_interval {
            return Err(format!(
                "dead-after ({:?}) must be at least twice the policy interval ({:?})",
                self.dead_after, self.policy_interval
            ));
        }
        if self.suspicion_min > self.suspicion_max {
            return Err("the shortest suspicion must not exceed the longest".into());
        }
        Ok(())
    }
}

impl ReplicaOptions {
    /// Whether these values can work together; the error says what to change.
    pub fn validate(&self) -> Result<(), String> {
        if self.ping_interval.is_zero() || self.heartbeat_interval.is_zero() {
            return Err("ping and heartbeat intervals must be longer than zero".into());
        }
        if self.suspect_after < 3 * self.heartbeat_interval {
            return Err(format!(
                "suspect-after ({:?}) must be at least three heartbeat intervals ({:?} each)",
                self.suspect_after, self.heartbeat_interval
            ));
        }
        let positive = [
            ("append-window", self.append_window),
            ("checkpoint-interval", self.checkpoint_interval),
            ("waiting-max", self.waiting_max as u64),
            ("sessions-max", self.sessions_max as u64),
            ("value-bytes-max", self.value_bytes_max),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(format!("{name} must be at least 1"));
            }
        }
        if self.log_entries_max < 4 * self.checkpoint_interval {
            return Err(format!(
                "log-entries-max ({}) must be at least four checkpoint intervals ({} each)",
                self.log_entries_max, self.checkpoint_interval
            ));
        }
        if self.session_ttl < Duration::from_secs(2) {
            return Err("session-ttl must be at least 2 s: a client retries for half of it".into());
        }
        Ok(())
    }
}
