//! Options that `validate` accepts work: no machine panics, spins or stalls, whatever they are.
//!
//! Each case draws every option from its default, its least, its greatest and something between, for a
//! cluster of three servers, and demands of it a fixed load, before and after a backup fails: each operation
//! is answered within a bound that follows from the options, no machine asks to be woken at a time that is
//! over, and the machines fall silent after each step of time ([`Cluster`] counts their messages). What takes
//! too many steps to be played is not drawn: a dead interval of a month that is looked after every
//! millisecond.

use std::time::Duration;

use bytes::Bytes;
use pbkv::protocol::{
    command::{Expected, Update},
    identity::ServerId,
    machine::Machine,
    options::{
        BYTES_MAX, COUNT_MAX, GATHERED_BYTES_MAX, REPLICAS_MAX, ReadMode, ReplicaOptions, SERVERS_MAX,
        SESSION_TTL_MIN, SPAN_MAX, SPAN_MIN, ViewServiceOptions,
    },
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

use crate::{
    clients::Wish,
    cluster::{Checked, Cluster, Setup},
    command::{Command, WallClock},
    properties::is_linearizable,
};

/// Cases tried by default; `PROPTEST_CASES` chooses others.
const CASES: u32 = 150;

/// The most steps of time that an operation may take in a case that is played.
const STEPS_MAX: u128 = 4_000;

/// A value of the load, longer than many a limit.
const VALUE: &[u8] = &[b'v'; 100];

/// One of the default, the least, the greatest, and what is between.
fn edges(default: u64, least: u64, greatest: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => Just(default),
        1 => Just(least),
        1 => Just(greatest),
        1 => (0.0..1.0_f64).prop_map(move |at| {
            let (low, high) = ((least as f64).ln_1p(), (greatest as f64).ln_1p());
            ((low + at * (high - low)).exp_m1() as u64).clamp(least, greatest)
        }),
    ]
}

fn spans(default: Duration, least: Duration) -> impl Strategy<Value = Duration> {
    let nanos = |span: Duration| span.as_nanos() as u64;
    edges(nanos(default), nanos(least), nanos(SPAN_MAX)).prop_map(Duration::from_nanos)
}

fn view_options() -> impl Strategy<Value = ViewServiceOptions> {
    let default = ViewServiceOptions::default();
    let times = (
        spans(default.dead_after, 3 * SPAN_MIN),
        spans(default.join_stall_max, SPAN_MIN),
        spans(default.suspicion_min, SPAN_MIN),
        spans(default.suspicion_max, SPAN_MIN),
        spans(default.policy_interval, SPAN_MIN),
    );
    let counts = (edges(2, 1, REPLICAS_MAX as u64), edges(1024, 1, SERVERS_MAX as u64));
    (times, counts).prop_map(|((dead_after, stall, min, max, policy_interval), (replicas, servers))| {
        // What `validate` demands of two options together.
        let policy_interval = policy_interval.min(SPAN_MAX / 2);
        let looked_after = 2 * policy_interval;
        ViewServiceOptions {
            replicas: replicas as usize,
            dead_after: dead_after.max(looked_after),
            join_stall_max: stall.max(looked_after),
            suspicion_min: min.min(max),
            suspicion_max: max,
            policy_interval,
            servers_max: servers.max(replicas) as usize,
        }
    })
}

fn replica_options() -> impl Strategy<Value = ReplicaOptions> {
    let default = ReplicaOptions::default();
    let times = (
        spans(default.ping_interval, SPAN_MIN),
        spans(default.heartbeat_interval, SPAN_MIN),
        spans(default.suspect_after, SPAN_MIN),
        spans(default.join_lag_max, SPAN_MIN),
        spans(default.session_ttl, SESSION_TTL_MIN),
    );
    let counts = (
        edges(default.sessions_max as u64, 1, COUNT_MAX),
        edges(default.waiting_max as u64, 1, COUNT_MAX),
        edges(default.append_window, 1, COUNT_MAX),
        edges(default.checkpoint_interval, 1, COUNT_MAX / 4),
        edges(default.log_entries_max, 1, COUNT_MAX),
        edges(default.scans_max as u64, 1, COUNT_MAX),
    );
    let bytes = (
        edges(default.append_bytes_max as u64, 1, GATHERED_BYTES_MAX as u64),
        edges(default.chunk_bytes_max as u64, 1, GATHERED_BYTES_MAX as u64),
        edges(default.checkpoint_bytes, 1, BYTES_MAX / 4),
        edges(default.log_bytes_max, 1, BYTES_MAX),
        edges(default.waiting_bytes_max, 1, BYTES_MAX),
        edges(default.session_bytes_max, 1, BYTES_MAX),
        edges(default.scan_bytes_max as u64, 1, GATHERED_BYTES_MAX as u64),
    );
    let reads = prop_oneof![Just(ReadMode::Confirm), Just(ReadMode::Lease)];
    (times, counts, bytes, reads, 0..=1_usize).prop_map(
        |((ping, heartbeat, suspect, lag, ttl), counts, bytes, reads, copies_min)| ReplicaOptions {
            ping_interval: ping,
            heartbeat_interval: heartbeat.min(SPAN_MAX / 3),
            suspect_after: suspect.max(3 * heartbeat.min(SPAN_MAX / 3)),
            reads,
            join_lag_max: lag,
            session_ttl: ttl,
            sessions_max: counts.0 as usize,
            copies_min,
            waiting_max: counts.1 as usize,
            scans_max: counts.5 as usize,
            scan_bytes_max: bytes.6 as usize,
            append_bytes_max: bytes.0 as usize,
            append_window: counts.2,
            chunk_bytes_max: bytes.1 as usize,
            checkpoint_interval: counts.3,
            checkpoint_bytes: bytes.2,
            log_entries_max: counts.4.max(4 * counts.3),
            log_bytes_max: bytes.3.max(4 * bytes.2),
            waiting_bytes_max: bytes.4,
            session_bytes_max: bytes.5,
        },
    )
}

/// How long a view service listens at least when it starts.
const LISTENING: Duration = Duration::from_secs(1);

/// How long an operation may take: the view service believes the silence of one, and a lease may run, or the
/// primary believes it, and says so. A session whose opening is interrupted by another view keeps its place
/// until it expires.
fn longest(view: &ViewServiceOptions, replica: &ReplicaOptions) -> Duration {
    let few_places = replica.sessions_max < 100;
    let expiry = if few_places { 2 * replica.session_ttl } else { Duration::ZERO };
    LISTENING + 4 * view.dead_after + 2 * replica.suspect_after + expiry
}

/// Time passes in steps of this: each machine is there to hear the others (R16).
fn step(view: &ViewServiceOptions, replica: &ReplicaOptions) -> Duration {
    view.policy_interval.min(replica.heartbeat_interval).min(view.dead_after / 6)
}

/// A cluster under test.
struct Trial {
    cluster: Cluster,
    step: Duration,
    /// In any state of the cluster an operation is answered within this.
    bound: Duration,
}

impl Trial {
    fn new(view: ViewServiceOptions, replica: ReplicaOptions) -> Self {
        let step = step(&view, &replica);
        let bound = longest(&view, &replica) + 50 * step;
        let servers = ["A", "B", "C"].map(ServerId::new).into();
        let setup = Setup { servers, view, replica, ..Setup::default() };
        Self { cluster: Cluster::new(setup), step, bound }
    }

    fn pass(&mut self) -> Checked {
        self.cluster.apply(&Command::Advance(self.step))?;
        self.cluster.apply(&Command::Settle)?;
        let now = self.cluster.now;
        let viewer = &self.cluster.viewer;
        if let Some(machine) = &viewer.machine
            && machine.deadline() <= viewer.clock.read(now)
        {
            return Err(format!("the view service spins: it is due at {:?}", machine.deadline()));
        }
        for (name, server) in &self.cluster.servers {
            if let Some(machine) = &server.replica
                && machine.deadline() <= server.clock.read(now)
            {
                return Err(format!("{name} spins: it is due at {:?}", machine.deadline()));
            }
        }
        Ok(())
    }

    /// The primary is asked until it answers.
    fn ask(&mut self, client: &str, wish: &Wish) -> Checked {
        let (client, nobody) = (ServerId::new(client), ServerId::new("nobody"));
        let end = self.cluster.now + self.bound;
        self.cluster.apply(&Command::Call(client.clone(), wish.clone(), nobody))?;
        while self.cluster.clients[&client].waiting.is_some() {
            if self.cluster.now > end {
                return Err(format!("{wish:?} is not answered within {:?}", self.bound));
            }
            if let Some(primary) = self.cluster.primary() {
                self.cluster.apply(&Command::Retry(client.clone(), primary))?;
            }
            self.pass()?;
        }
        Ok(())
    }

    fn load(&mut self) -> Checked {
        let key = || Bytes::from("k");
        let value = || Bytes::from(VALUE);
        let swap =
            || Update::CompareAndSwap { key: key(), expected: Expected::Value(Some(value())), new: value() };
        let updates = [
            Update::Put { key: key(), value: value() },
            swap(),
            swap(),
            Update::Append { key: key(), value: value(), value_bytes_max: 0 },
            Update::Delete { key: key() },
        ];
        for update in updates {
            self.ask("x", &Wish::Update(update))?;
            self.ask("x", &Wish::Get { key: key() })?;
        }
        self.ask("x", &Wish::Close)
    }

    fn run(&mut self) -> Checked {
        self.load()?;
        let end = self.cluster.now + self.bound;
        while self.cluster.now < end {
            self.pass()?; // others join
        }
        self.load()?;
        let primary = self.cluster.primary().ok_or("no view was recorded")?;
        let backup = self.cluster.setup.servers.iter().find(|it| **it != primary).cloned();
        let backup = backup.expect("there are three servers");
        self.cluster.apply(&Command::Crash(backup.clone(), 0))?;
        self.load()?;
        self.cluster.apply(&Command::Restart(backup, WallClock::GoesOn))?;
        self.load()?;
        is_linearizable(&self.cluster)
    }
}

#[test]
fn options_that_are_accepted_neither_spin_nor_panic_nor_stall() {
    let chosen = |name: &str| std::env::var(name).ok().map(|it| it.parse::<u32>().expect("a number"));
    let config = Config {
        cases: chosen("PROPTEST_CASES").unwrap_or(CASES),
        rng_seed: RngSeed::Fixed(chosen("PBKV_SEED").unwrap_or(1).into()),
        failure_persistence: None,
        max_global_rejects: 100_000,
        ..Config::default()
    };
    let can_be_played = |(view, replica): &(ViewServiceOptions, ReplicaOptions)| {
        longest(view, replica).as_nanos() / step(view, replica).as_nanos().max(1) <= STEPS_MAX
    };
    let options = (view_options(), replica_options()).prop_filter("too many steps", can_be_played);
    let result = TestRunner::new(config).run(&options, |(view, replica)| {
        let wrong = |why: String| TestCaseError::fail(format!("the drawn options are refused: {why}"));
        view.validate().map_err(wrong)?;
        replica.validate().map_err(wrong)?;
        Trial::new(view, replica).run().map_err(TestCaseError::fail)
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
