//! With which options each process is started. They may differ between processes, and between the lives of
//! one.

use std::{ops::RangeInclusive, time::Duration};

use pbkv::{
    options::Limits,
    protocol::options::{ClusterOptions, ReadMode, ReplicaOptions, ViewServiceOptions},
    storage::journal::JournalOptions,
};
use serde::{Deserialize, Serialize};
use testbed::data::fault::Node;

use super::setup::{Cluster, Reads};

/// Options that differ from those of the cluster: of all processes or of one, from one of its lives on. Where
/// several are about the same option, the last one counts. Times are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `vs` or a server; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
    /// Not before this life of the process. The first is 1.
    #[serde(skip_serializing_if = "is_zero")]
    pub from_life: u64,
    /// [`ReplicaOptions::ping_interval`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_ms: Option<u64>,
    /// [`ReplicaOptions::heartbeat_interval`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
    /// [`ReplicaOptions::suspect_after`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspect_ms: Option<u64>,
    /// [`ViewServiceOptions::dead_after`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_ms: Option<u64>,
    /// [`ViewServiceOptions::join_stall_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_stall_ms: Option<u64>,
    /// [`ViewServiceOptions::suspicion_min`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspicion_ms: Option<u64>,
    /// [`ViewServiceOptions::servers_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers_max: Option<usize>,
    /// [`ReplicaOptions::checkpoint_interval`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_interval: Option<u64>,
    /// [`ReplicaOptions::join_lag_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join_lag_max_ms: Option<u64>,
    /// [`ReplicaOptions::append_window`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_window: Option<u64>,
    /// [`ReplicaOptions::append_bytes_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_bytes_max: Option<usize>,
    /// [`ReplicaOptions::sessions_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_max: Option<usize>,
    /// [`ReplicaOptions::waiting_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_max: Option<usize>,
    /// [`ReplicaOptions::scans_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scans_max: Option<usize>,
    /// [`ReplicaOptions::scan_bytes_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_bytes_max: Option<usize>,
    /// [`ReplicaOptions::checkpoint_bytes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_bytes: Option<u64>,
    /// [`ReplicaOptions::waiting_bytes_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_bytes_max: Option<u64>,
    /// [`ReplicaOptions::session_bytes_max`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_bytes_max: Option<u64>,
    /// [`Limits::key_bytes_max`], which is the same for all servers and lives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_bytes_max: Option<usize>,
    /// [`Limits::value_bytes_max`], likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_bytes_max: Option<usize>,
    /// [`ReplicaOptions::session_ttl`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_ttl_ms: Option<u64>,
    /// [`JournalOptions::growth_min`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_growth_min: Option<u64>,
    /// [`JournalOptions::rewrite_min`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_rewrite_min: Option<u64>,
    /// [`JournalOptions::piece`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_piece: Option<usize>,
    /// [`JournalOptions::ahead`]; 2048 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_ahead: Option<usize>,
    /// [`ReplicaOptions::copies_min`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies_min: Option<usize>,
}

/// How many zeros servers write ahead of their journals if a plan says nothing else, in bytes.
const AHEAD: usize = 2_048;
/// And at most, whatever it says.
const AHEAD_MAX: usize = 1 << 20;

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn set<T: Copy>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

fn set_time(option: &mut Duration, value: Option<u64>) {
    set(option, value.map(Duration::from_millis));
}

impl Cluster {
    /// What is set for a life of a process, in order.
    fn settings_of(&self, node: &str, life: u64) -> impl Iterator<Item = &Settings> {
        self.settings.iter().filter(move |settings| {
            settings.from_life <= life && settings.node.as_ref().is_none_or(|own| own == node)
        })
    }

    /// The options of a life of a server.
    pub fn replica_options(&self, server: &str, life: u64) -> ReplicaOptions {
        let defaults = ReplicaOptions::default();
        let log_entries_max = defaults.log_entries_max;
        let mut options = ReplicaOptions {
            reads: match self.reads {
                Reads::Confirm => ReadMode::Confirm,
                Reads::Lease => ReadMode::Lease,
            },
            join_lag_max: Duration::from_millis(self.join_lag_max_ms),
            session_ttl: Duration::from_millis(self.session_ttl_ms),
            append_window: self.append_window,
            chunk_bytes_max: self.chunk_bytes_max,
            checkpoint_interval: self.checkpoint_interval,
            ..defaults
        };
        for settings in self.settings_of(server, life) {
            set_time(&mut options.ping_interval, settings.ping_ms);
            set_time(&mut options.heartbeat_interval, settings.heartbeat_ms);
            set_time(&mut options.suspect_after, settings.suspect_ms);
            set(&mut options.checkpoint_interval, settings.checkpoint_interval);
            set_time(&mut options.join_lag_max, settings.join_lag_max_ms);
            set(&mut options.append_window, settings.append_window);
            set(&mut options.append_bytes_max, settings.append_bytes_max);
            set(&mut options.sessions_max, settings.sessions_max);
            set(&mut options.waiting_max, settings.waiting_max);
            set(&mut options.scans_max, settings.scans_max);
            set(&mut options.scan_bytes_max, settings.scan_bytes_max);
            set(&mut options.checkpoint_bytes, settings.checkpoint_bytes);
            set(&mut options.waiting_bytes_max, settings.waiting_bytes_max);
            set(&mut options.session_bytes_max, settings.session_bytes_max);
            set_time(&mut options.session_ttl, settings.session_ttl_ms);
            set(&mut options.copies_min, settings.copies_min);
        }
        let unset = log_entries_max.max(options.checkpoint_interval.saturating_mul(4));
        options.log_entries_max = self.log_entries_max.unwrap_or(unset);
        options
    }

    /// When a life of a server writes its journal anew.
    pub fn journal_options(&self, server: &str, life: u64) -> JournalOptions {
        // Files are short here.
        let mut options = JournalOptions { ahead: AHEAD, ..JournalOptions::default() };
        for settings in self.settings_of(server, life) {
            set(&mut options.growth_min, settings.journal_growth_min);
            set(&mut options.rewrite_min, settings.journal_rewrite_min);
            set(&mut options.piece, settings.journal_piece);
            set(&mut options.ahead, settings.journal_ahead);
        }
        options
    }

    /// What clients may send.
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for settings in &self.settings {
            set(&mut limits.key_bytes_max, settings.key_bytes_max);
            set(&mut limits.value_bytes_max, settings.value_bytes_max);
        }
        limits
    }

    /// The options of a life of the view service.
    pub fn view_service_options(&self, life: u64) -> ViewServiceOptions {
        let mut options =
            ViewServiceOptions { replicas: self.replicas as usize, ..ViewServiceOptions::default() };
        for settings in self.settings_of("vs", life) {
            set_time(&mut options.dead_after, settings.dead_ms);
            set_time(&mut options.join_stall_max, settings.join_stall_ms);
            set_time(&mut options.suspicion_min, settings.suspicion_ms);
            set(&mut options.servers_max, settings.servers_max);
        }
        options
    }

    /// The longest time between two pings of any server: what it is told, and not more than the view service
    /// demands.
    pub fn longest_ping_interval(&self) -> Duration {
        let longest = |of: fn(&Settings) -> Option<u64>, default: Duration| {
            self.settings.iter().filter_map(of).map(Duration::from_millis).fold(default, Duration::max)
        };
        let told = longest(|settings| settings.ping_ms, ReplicaOptions::default().ping_interval);
        let dead_after = longest(|settings| settings.dead_ms, ViewServiceOptions::default().dead_after);
        told.min(ClusterOptions { dead_after, replicas: 1 }.ping_interval_max())
    }

    /// The least and the largest number of copies without which some server refuses updates in some life.
    pub fn copies_min(&self) -> RangeInclusive<usize> {
        let asked = (1..=self.servers).flat_map(|n| {
            let server = format!("s{n}");
            self.lives().map(move |life| self.replica_options(&server, life).copies_min).collect::<Vec<_>>()
        });
        let (least, most) =
            asked.fold((usize::MAX, 0), |(least, most), asked| (least.min(asked), most.max(asked)));
        least.min(most)..=most
    }

    /// Whether some server has a limit that few clients reach: then calls may be refused although nothing is
    /// wrong.
    pub fn is_limited(&self) -> bool {
        self.settings.iter().any(|own| {
            let counts = own.sessions_max.is_some() || own.waiting_max.is_some() || own.scans_max.is_some();
            counts || own.waiting_bytes_max.is_some() || own.session_bytes_max.is_some()
        })
    }

    /// The lives of a process from which on it may have other options.
    pub(crate) fn lives(&self) -> impl Iterator<Item = u64> {
        self.settings.iter().map(|settings| settings.from_life).chain([1])
    }

    /// Whether all these options are such as the programs accept, and none makes all updates fail.
    ///
    /// # Errors
    ///
    /// Whose are not, and what to change.
    pub fn validate_settings(&self) -> Result<(), String> {
        let servers = (1..=self.servers).map(|n| format!("s{n}"));
        let nodes: Vec<_> = servers.chain(["vs".into()]).collect();
        for (place, settings) in self.settings.iter().enumerate() {
            if let Some(node) = &settings.node
                && !nodes.contains(node)
            {
                return Err(format!("settings {place} are of {node}, which is neither vs nor a server"));
            }
            let is_of_one = settings.node.is_some() || settings.from_life > 1;
            if is_of_one && (settings.key_bytes_max.is_some() || settings.value_bytes_max.is_some()) {
                return Err(format!("settings {place} limit keys or values of one node or life, not of all"));
            }
        }
        let ahead = self.settings.iter().filter_map(|settings| settings.journal_ahead).max();
        if let Some(ahead) = ahead.filter(|ahead| *ahead > AHEAD_MAX) {
            return Err(format!("journal_ahead is {ahead}, and at most {AHEAD_MAX} bytes are written ahead"));
        }
        // One more would never be taken, and nothing that is owed says that it need not.
        let least = self.settings.iter().filter_map(|settings| settings.servers_max).min();
        if let Some(servers_max) = least.filter(|servers_max| *servers_max < self.servers as usize) {
            return Err(format!("servers_max is {servers_max}, and there are {} servers", self.servers));
        }
        let copies_min = *self.copies_min().end();
        if copies_min > self.replicas as usize {
            return Err(format!("copies_min is {copies_min}, but replicas is {}", self.replicas));
        }
        for life in self.lives() {
            let wrong = |node: &str, why: String| format!("options of life {life} of {node}: {why}");
            for node in &nodes {
                if node == "vs" {
                    self.view_service_options(life).validate().map_err(|why| wrong(node, why))?;
                } else {
                    let options = self.replica_options(node, life);
                    options.validate().map_err(|why| wrong(node, why))?;
                    self.limits().validate(&options).map_err(|why| wrong(node, why))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(settings: Vec<Settings>) -> Cluster {
        Cluster { settings, ..Cluster::small() }
    }

    #[test]
    fn what_a_plan_leaves_out_is_what_a_server_has_that_is_told_nothing() {
        let empty: Cluster = toml::from_str("").expect("nothing is needed");
        assert_eq!(empty.replica_options("s1", 1), ReplicaOptions::default());
        assert_eq!(empty.view_service_options(1), ViewServiceOptions::default());
        assert_eq!((empty.disk_ms_max, empty.validate_settings()), (0, Ok(())));
    }

    #[test]
    fn options_are_of_one_process_and_of_one_life_on() {
        let all = Settings { ping_ms: Some(100), dead_ms: Some(800), ..Settings::default() };
        let later = Settings {
            node: Some("s2".into()),
            from_life: 2,
            ping_ms: Some(200),
            checkpoint_interval: Some(7),
            ..Settings::default()
        };
        let cluster = cluster(vec![all, later]);
        let ping = |server, life| cluster.replica_options(server, life).ping_interval.as_millis();
        assert_eq!((ping("s1", 1), ping("s2", 1), ping("s2", 2), ping("s1", 9)), (100, 100, 200, 100));
        assert_eq!(cluster.replica_options("s2", 2).checkpoint_interval, 7);
        assert_eq!(cluster.view_service_options(1).dead_after, Duration::from_millis(800));
        assert_eq!(cluster.longest_ping_interval(), ReplicaOptions::default().ping_interval);
        assert_eq!(cluster.validate_settings(), Ok(()));
    }

    #[test]
    fn what_a_program_would_refuse_is_refused_with_its_reason() {
        let late = Settings { from_life: 3, suspect_ms: Some(10), ..Settings::default() };
        let why = cluster(vec![late]).validate_settings().expect_err("shorter than three heartbeats");
        assert!(why.starts_with("options of life 3 of s1: suspect-after"), "{why}");
        let three = Settings { copies_min: Some(3), ..Settings::default() };
        let why = cluster(vec![three]).validate_settings().expect_err("no update would succeed");
        assert_eq!(why, "copies_min is 3, but replicas is 2");
        let few = Settings { servers_max: Some(2), ..Settings::default() };
        let why = cluster(vec![few]).validate_settings().expect_err("one would never be taken");
        assert_eq!(why, "servers_max is 2, and there are 3 servers");
        let much = Settings { journal_ahead: Some(usize::MAX), ..Settings::default() };
        let why = cluster(vec![much]).validate_settings().expect_err("nothing is as long");
        assert!(why.starts_with("journal_ahead is"), "{why}");
        let nobody = Settings { node: Some("s9".into()), ..Settings::default() };
        let why = cluster(vec![nobody]).validate_settings().expect_err("there are three servers");
        assert!(why.contains("settings 0 are of s9"), "{why}");
    }
}
