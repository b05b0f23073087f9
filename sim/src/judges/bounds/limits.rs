//! What a life of a server may hold and do, by the options that the plan gives to it.

use std::time::Duration;

use pbkv::protocol::options::ReplicaOptions;

use crate::store::setup::Cluster;

/// The length of the time in which steps and messages are counted. Clocks are faster than true time by less
/// than an eighth, and timers are not aligned with it: what is due so often by its interval is given twice as
/// much.
pub const WINDOW: Duration = Duration::from_secs(1);

/// Beside what timers and inputs ask for, so much may happen in a window: what a new view or a new life
/// begins with.
pub const SPARE: u64 = 16;

/// The limits of a life.
#[derive(Clone, Debug)]
pub struct Limits {
    /// [`ReplicaOptions::waiting_max`].
    pub waiting_max: u64,
    /// [`ReplicaOptions::scans_max`].
    pub scans_max: u64,
    /// [`ReplicaOptions::scan_bytes_max`].
    pub scan_bytes_max: u64,
    /// [`ReplicaOptions::waiting_bytes_max`].
    pub waiting_bytes_max: u64,
    /// The largest [`ReplicaOptions::sessions_max`] of any server.
    pub sessions_max: u64,
    /// The largest [`ReplicaOptions::session_bytes_max`] of any server, and one more answer.
    pub session_bytes_max: u64,
    /// [`ReplicaOptions::checkpoint_interval`].
    pub checkpoint_interval: u64,
    /// [`ReplicaOptions::checkpoint_bytes`].
    pub checkpoint_bytes: u64,
    /// [`ReplicaOptions::log_entries_max`].
    pub log_entries_max: u64,
    /// [`ReplicaOptions::log_bytes_max`].
    pub log_bytes_max: u64,
    /// [`ReplicaOptions::append_window`].
    pub append_window: u64,
    /// [`ReplicaOptions::append_bytes_max`].
    pub append_bytes_max: u64,
    /// [`ReplicaOptions::chunk_bytes_max`].
    pub chunk_bytes_max: u64,
    /// [`pbkv::options::Limits::key_bytes_max`].
    pub key_bytes_max: u64,
    /// [`pbkv::options::Limits::value_bytes_max`].
    pub value_bytes_max: u64,
    /// Acknowledgements that wait for one batch: of operations and of parts of a state, to each other server.
    pub unsaid: u64,
    /// Ticks in a window, beside those that follow inputs.
    pub ticks: u64,
    /// Messages to one replica in a window that repeat what was said, beside those that are asked for.
    pub repetitions: u64,
}

impl Limits {
    /// Those of a life of a server.
    pub fn of(cluster: &Cluster, server: &str, life: u64) -> Self {
        let all: Vec<ReplicaOptions> = (1..=cluster.servers)
            .flat_map(|n| {
                let server = format!("s{n}");
                cluster.lives().map(move |life| cluster.replica_options(&server, life)).collect::<Vec<_>>()
            })
            .collect();
        let largest = |of: &dyn Fn(&ReplicaOptions) -> u64| all.iter().map(of).max().unwrap_or_default();
        let options = cluster.replica_options(server, life);
        let dead_after = cluster.lives().map(|life| cluster.view_service_options(life).dead_after).min();
        let ping = dead_after.map_or(options.ping_interval, |dead_after| {
            options.ping_interval.min(dead_after / pbkv::protocol::options::PINGS_PER_DEAD_INTERVAL)
        });
        let heartbeats = often(options.heartbeat_interval);
        Self {
            waiting_max: options.waiting_max as u64,
            scans_max: options.scans_max as u64,
            scan_bytes_max: options.scan_bytes_max as u64,
            waiting_bytes_max: options.waiting_bytes_max,
            sessions_max: largest(&|options| options.sessions_max as u64),
            session_bytes_max: largest(&|options| options.session_bytes_max)
                .saturating_add(cluster.limits().value_bytes_max as u64),
            checkpoint_interval: options.checkpoint_interval,
            checkpoint_bytes: options.checkpoint_bytes,
            log_entries_max: options.log_entries_max,
            log_bytes_max: options.log_bytes_max,
            append_window: options.append_window,
            append_bytes_max: options.append_bytes_max as u64,
            chunk_bytes_max: options.chunk_bytes_max as u64,
            key_bytes_max: cluster.limits().key_bytes_max as u64,
            value_bytes_max: cluster.limits().value_bytes_max as u64,
            unsaid: 2 * u64::from(cluster.servers),
            // A heartbeat and a part for each other server, a look at the primary, a ping.
            ticks: SPARE + 2 * heartbeats * u64::from(cluster.servers) + often(ping),
            repetitions: SPARE + 2 * heartbeats,
        }
    }
}

/// Ticks of the view service in a window, beside those that follow inputs.
pub fn ticks_of_the_view_service(cluster: &Cluster) -> u64 {
    let intervals = cluster.lives().map(|life| cluster.view_service_options(life).policy_interval);
    SPARE + intervals.map(often).max().unwrap_or_default()
}

/// How often in a window something may happen that is due once in an interval.
fn often(interval: Duration) -> u64 {
    2 + 2 * u64::try_from(WINDOW.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u64::MAX / 4)
}
