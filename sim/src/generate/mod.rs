//! Plans from seeds: the only place of the simulator where chance decides anything about a plan.
//!
//! * **Swarm**: each seed enables a random subset of the fault kinds, the empty one included, at rates
//!   that differ by orders of magnitude. Runs in which everything happens at once find less than runs
//!   in which few things happen often.
//! * **Stories**: one seed of six tells of a misfortune that single faults do not make, however many.
//! * **Length**: a few seeds live several times as long with as much to do, for what takes its time.
//! * **Budget**: memory is lost on one server at a time with time for recovery in between, or once at an
//!   interesting moment; execution spares the last copy. A few faults are for good: what is owed to whom
//!   then, [`testbed::judges::liveness`] works out. Clocks stay within what leases assume (section 5.3 of the
//!   protocol).
//! * **Streams**: cluster, network, clocks, each client and each fault kind draw from named streams of
//!   the seed, so that a change to one leaves the others as they were.
//!
//! What a seed means is promised for one commit. A saved plan lasts.

mod disks;
mod faults;
mod length;
mod links;
mod patterns;
mod settings;
mod stories;
mod twins;
mod workload;

use faults::Targets;
use stories::Story;
pub use stories::{STORIES, story_of};
use testbed::{
    data::{hash::stable_hash, plan::Clock},
    draw::{self, dice::Dice},
};

use crate::{
    bound::{Fault, Plan},
    store::setup::{Calls, Cluster, Reads, VIEW_SERVICE},
};

/// Servers in a generated cluster, at most.
pub const SERVERS_MAX: u64 = 5;
/// Clients of a generated plan, at most.
pub const CLIENTS_MAX: u64 = 8;
/// The shortest and longest time under faults, in milliseconds.
pub const FAULTS_MS: (u64, u64) = (10_000, 40_000);
/// The time after the heal within which everything must end well, in milliseconds: a suspicion of 30 s,
/// twice, and as long again for streams that resume late, state transfer and the clients' own deadlines.
pub const SETTLE_MS: u64 = 120_000;
/// Drift of a generated clock at most, in parts per million: leases are safe below 111,111.
pub const DRIFT_PPM_MAX: u64 = draw::DRIFT_PPM_MAX;

/// The share of seeds whose servers keep nothing on disk, in percent.
const VOLATILE_PERCENT: u64 = 45;
/// The share of seeds whose messages travel as bytes, in percent.
const ENCODED_PERCENT: u64 = 12;
/// The share of seeds in which little of what clients say travels together, in percent,
const TOGETHER_PERCENT: u64 = 25;
/// and the bytes that do.
const TOGETHER_BYTES: (u64, u64) = (32, 1_024);
/// The share of seeds with four or five copies, in percent.
const MANY_COPIES_PERCENT: u64 = 5;

/// One seed of so many is watched for longer,
const WATCHED: u64 = 32;
/// for so long, in milliseconds.
const WATCH_MS: u64 = 30_000;

/// Faults of one plan, at most; a pattern counts as its parts.
pub const FAULTS_MAX: usize = 250;

/// The plan of a seed. Pure.
pub fn generate(seed: u64) -> Plan {
    let story = Story::of(seed);
    let drawn_ms = Dice::new(seed, "duration").between(FAULTS_MS.0, FAULTS_MS.1);
    let faults_ms = story.map_or(drawn_ms, |_| stories::LENGTH_MS);
    let mut cluster = cluster(seed);
    // What a story needs it sets itself.
    cluster.volatile = story.is_none() && Dice::new(seed, "volatile").percent(VOLATILE_PERCENT);
    let network = draw::network(seed);
    if story.is_none() {
        cluster.settings = settings::settings(seed, &cluster, &network);
    }
    let clients = workload::clients(seed, faults_ms, &network);
    cluster.clocks.extend(client_clocks(seed, clients.len()));
    let mut plan = Plan {
        about: String::new(),
        seed,
        faults_ms,
        settle_ms: SETTLE_MS,
        watch_ms: if stable_hash(&(seed, "watch")).is_multiple_of(WATCHED) { WATCH_MS } else { 0 },
        cluster,
        network,
        reaches: Vec::new(),
        data_loss: false,
        clients,
        faults: Vec::new(),
    };
    match story {
        None => {
            workload::swap_by_revision(seed, &mut plan.clients);
            workload::close_sessions(seed, &mut plan.clients);
            workload::restart_clients(seed, &mut plan.clients);
            workload::scan(seed, &mut plan.clients);
            workload::lengthen(seed, &plan.cluster, &mut plan.clients);
            plan.faults = faults::plan(&plan);
            patterns::strike_the_record(seed, &mut plan);
            twins::make_twins(seed, &mut plan);
            patterns::tell_lies(seed, &mut plan);
            links::narrow(&mut plan);
            length::stretch(&mut plan);
            settings::ask_for_copies(&mut plan);
            settings::wait_for_sessions(&mut plan);
            settings::limit_scans(&mut plan);
            twins::shadow_holders(&mut plan);
            twins::move_addresses(&mut plan);
            links::lengthen_transfers(&mut plan);
        }
        Some(story) => story.tell(&mut plan),
    }
    settings::shorten_journals(&mut plan);
    settings::shorten_writes(&mut plan);
    settings::write_ahead(&mut plan);
    disks::rot(&mut plan);
    disks::end_everything(&mut plan);
    disks::go_back(&mut plan);
    disks::fail_starts(&mut plan);
    // A triggered fault stands where its trigger begins to count. What would begin after the heal never does.
    plan.faults.retain(|fault| fault.begins_ms() < plan.faults_ms);
    plan.faults.sort_by_key(Fault::begins_ms);
    plan.faults.truncate(FAULTS_MAX);
    plan
}

fn cluster(seed: u64) -> Cluster {
    let mut dice = Dice::new(seed, "cluster");
    let servers = dice.weighted(&[(4, 2), (12, 3), (3, 4), (1, SERVERS_MAX)]);
    let replicas = dice.weighted(&[(1, 1), (12, 2), (5, 3)]).min(servers);
    let mut many = Dice::new(seed, "copies");
    let (servers, replicas) = if many.percent(MANY_COPIES_PERCENT) {
        let servers = many.between(4, SERVERS_MAX);
        (servers, many.between(4, servers))
    } else {
        (servers, replicas)
    };
    let reads = if dice.percent(60) { Reads::Confirm } else { Reads::Lease };
    let starts_ms = if dice.percent(30) {
        (0..servers).map(|_| if dice.percent(50) { 0 } else { dice.between(0, 8_000) }).collect()
    } else {
        Vec::new()
    };
    let checkpoint_interval = dice.magnitude(2, 2_000);
    let chunk_bytes_max =
        if dice.percent(40) { dice.magnitude(32, 256) } else { dice.magnitude(256, 65_536) } as usize;
    Cluster {
        servers: servers as u32,
        replicas: replicas as u32,
        reads,
        checkpoint_interval,
        join_lag_max_ms: dice.weighted(&[(2, 100), (2, 200), (3, 500), (1, 1_000)]),
        chunk_bytes_max,
        append_window: dice.magnitude(1, 1_024),
        session_ttl_ms: dice.weighted(&[(1, 4_000), (1, 10_000), (6, 60_000)]),
        disk_ms_max: dice.weighted(&[(4, 0), (4, 2), (2, 20), (1, 100)]),
        log_entries_max: dice.percent(30).then_some(4 * checkpoint_interval),
        starts_ms,
        volatile: false,
        encoded: Dice::new(seed, "encoded").percent(ENCODED_PERCENT),
        calls: calls(seed),
        together_bytes: together_bytes(seed),
        settings: Vec::new(),
        callers_leave: Dice::new(seed, "callers leave").percent(50),
        clocks: clocks(seed, servers),
    }
}

fn calls(seed: u64) -> Calls {
    Dice::new(seed, "calls").weighted(&[(40, Calls::Stream), (35, Calls::Shared), (25, Calls::Unary)])
}

/// A call without its value takes some 40 bytes.
fn together_bytes(seed: u64) -> Option<usize> {
    let mut dice = Dice::new(seed, "calls/together");
    dice.percent(TOGETHER_PERCENT).then(|| dice.magnitude(TOGETHER_BYTES.0, TOGETHER_BYTES.1) as usize)
}

fn clocks(seed: u64, servers: u64) -> Vec<Clock> {
    let servers: Vec<String> = (1..=servers).map(|n| format!("s{n}")).collect();
    draw::clocks(seed, servers.iter().map(String::as_str).chain([VIEW_SERVICE]))
}

/// The clocks of clients drift as those of servers do. Their skew means nothing to anybody.
fn client_clocks(seed: u64, clients: usize) -> Vec<Clock> {
    let mut dice = Dice::new(seed, "clocks/clients");
    if !dice.percent(30) {
        return Vec::new();
    }
    let drift = |dice: &mut Dice| dice.between(0, 2 * DRIFT_PPM_MAX) as i64 - DRIFT_PPM_MAX as i64;
    (1..=clients).map(|n| Clock { node: format!("c{n}"), skew_ms: 0, drift_ppm: drift(&mut dice) }).collect()
}

#[cfg(test)]
mod tests;
