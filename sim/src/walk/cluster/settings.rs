//! The settings of a walk's cluster, each option at an edge or near it: what is everyday life in a long run
//! under load should happen in a short walk with few operations.
//!
//! They are those of a plan of the simulator, so that its judges know them. What matters to them beside: how
//! long a message and a write take in the calm at the end of the walk, and how much clients may ask for.

use testbed::data::plan::{Client, Clock, Network};

use super::{
    calm::{CALLS_MAX, DISK_MS, LATENCY_MS},
    clients::KEYS,
};
use crate::{
    bound::Plan,
    store::{
        settings::Settings,
        setup::{Cluster, Reads},
    },
    walk::Dice,
};

/// Clocks differ from true time by at most so many millionths (5.3),
const DRIFTS_PPM: [i64; 7] = [-110_000, -50_000, 0, 0, 0, 50_000, 110_000];
/// and in some clusters by nearly as many.
const DRIFTS_AT_EDGES_PPM: [i64; 2] = [-110_000, 110_000];

/// Within this time whatever an operator must know is owed, in milliseconds; with longer times than usual it
/// is not.
const WATCH_MS: u64 = 20_000;

/// Draws a cluster.
pub fn settings(dice: &mut Dice) -> Plan {
    let servers = dice.pick(&[1, 2, 2, 3, 3, 3, 3, 4]);
    let replicas = dice.pick(&[1, 2, 2, 2, 2, 3, 3]);
    let clients = dice.pick(&[1, 2, 2, 3]);
    let reads = dice.pick(&[Reads::Confirm, Reads::Confirm, Reads::Lease]);
    let at_edges = dice.percent(85);
    let mut cluster = Cluster {
        servers,
        replicas,
        reads,
        disk_ms_max: dice.pick(&[0, DISK_MS, DISK_MS]),
        ..Cluster::small()
    };
    let mut settings = Settings::default();
    if at_edges {
        cluster.checkpoint_interval = dice.pick(&[1, 2, 3, 3, 5, 1_000]);
        cluster.log_entries_max = Some(cluster.checkpoint_interval * dice.pick(&[4, 4, 12, 100]));
        cluster.join_lag_max_ms = dice.pick(&[1, 20, 500, 500, 500]);
        cluster.chunk_bytes_max = dice.pick(&[1, 48, 48, 10_000]);
        cluster.append_window = dice.pick(&[1, 3, 16, 100]);
        cluster.session_ttl_ms = dice.pick(&[2_000, 4_000, 4_000, 60_000]);
        settings.append_bytes_max = dice.pick(&[None, Some(1)]);
        settings.waiting_max = dice.pick(&[None, None, Some(1), Some(2)]);
        settings.waiting_bytes_max = dice.pick(&[None, None, None, Some(1), Some(200)]);
        settings.checkpoint_bytes = dice.pick(&[None, None, None, Some(100)]);
        if cluster.session_ttl_ms <= 4_000 {
            // Not so few that all are in use: what is full then, and refuses nobody, is not over either.
            settings.sessions_max = dice.pick(&[None, None, Some(clients + 1), Some(clients + 2)]);
            settings.session_bytes_max = dice.pick(&[None, None, None, Some(8)]);
        }
        settings.dead_ms = dice.pick(&[None, None, Some(600), Some(3_000)]);
        settings.suspicion_ms = dice.pick(&[None, Some(500), Some(500)]);
        settings.suspect_ms = dice.pick(&[None, None, Some(300), Some(2_000)]);
        settings.ping_ms = dice.pick(&[None, None, Some(100), Some(2_000)]);
        let copies = replicas.min(servers) as usize;
        settings.copies_min = dice.pick(&[None, None, None, Some(copies)]);
    }
    if settings != Settings::default() {
        cluster.settings.push(settings);
    }
    let nodes = (1..=servers).map(|n| format!("s{n}")).chain(["vs".to_owned()]);
    let drifts = if dice.percent(20) { &DRIFTS_AT_EDGES_PPM[..] } else { &DRIFTS_PPM };
    for node in nodes {
        let drift_ppm = dice.pick(drifts);
        if drift_ppm != 0 {
            cluster.clocks.push(Clock { node, skew_ms: 0, drift_ppm });
        }
    }
    Plan {
        about: String::new(),
        reaches: Vec::new(),
        seed: 0,
        faults_ms: 0,
        settle_ms: dice.pick(&[20_000, 20_000, 20_000, 60_000, 600_000]),
        watch_ms: dice.pick(&[0, 0, 0, 0, 0, 5_000, WATCH_MS]),
        cluster,
        network: Network {
            latency_us_min: 1_000 * LATENCY_MS,
            latency_us_max: 1_000 * LATENCY_MS,
            bytes_per_ms: None,
        },
        data_loss: false,
        clients: (0..clients).map(|_| client()).collect(),
        faults: Vec::new(),
    }
}

/// A client that may ask for as much as one of a walk may.
fn client() -> Client {
    let line = |place: usize| format!("0.000 put {}", KEYS[place % KEYS.len()]);
    Client { deadline_ms: 1_000, script: (0..CALLS_MAX).map(line).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_settings_are_such_as_the_programs_accept() {
        for seed in 0..2_000 {
            let plan = settings(&mut Dice::new(seed));
            assert_eq!(plan.cluster.validate_settings(), Ok(()), "seed {seed}");
        }
    }
}
