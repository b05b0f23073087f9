//! Plans from seeds, for any system: its network, its clocks, what its clients do, and what goes wrong.
//!
//! * **Swarm**: each seed enables a random subset of the fault kinds, the empty one included, at rates that
//!   differ by orders of magnitude. Runs in which everything happens at once find less than runs in which few
//!   things happen often.
//! * **Streams**: network, clocks, each client and each fault kind draw from named streams of the seed
//!   ([`dice`]), so that a change to one leaves the others as they were.
//!
//! What seeds draw can be narrowed to plans of one sort ([`narrow`]).
//!
//! A system with misfortunes of its own draws them itself, from streams of its own, and adds them.

pub mod dice;
pub mod faults;
pub mod narrow;

use dice::Dice;

use crate::{
    data::plan::{Client, Clock, Network, Plan},
    system::System,
};

/// The shortest and longest time under faults, in milliseconds.
pub const FAULTS_MS: (u64, u64) = (5_000, 20_000);
/// The time after the heal within which everything must end well, in milliseconds.
pub const SETTLE_MS: u64 = 60_000;
/// How long clients go on after the heal, in milliseconds. What they call then may still fail, because the
/// system has half of the settling time to recover; what must not is what [`System::finally`] says.
const AFTER_HEAL_MS: u64 = 5_000;
/// Drift of a clock at most, in parts per million.
pub const DRIFT_PPM_MAX: u64 = 100_000;

/// What the clients of a plan do.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The fewest and the most clients.
    pub clients: (u64, u64),
    /// What they call, by weight: the words of a script before the object.
    pub verbs: &'a [(u64, &'a str)],
    /// The objects that they call it of.
    pub objects: &'a [&'a str],
}

/// The plan of a seed.
pub fn plan<S: System>(seed: u64, cluster: S::Setup, load: &Load<'_>) -> Plan<S> {
    let faults_ms = Dice::new(seed, "duration").between(FAULTS_MS.0, FAULTS_MS.1);
    let mut plan = Plan {
        about: String::new(),
        reaches: Vec::new(),
        seed,
        faults_ms,
        settle_ms: SETTLE_MS,
        watch_ms: 0,
        cluster,
        network: network(seed),
        data_loss: false,
        clients: clients(seed, faults_ms, load),
        faults: Vec::new(),
    };
    plan.faults = faults::swarm(&plan);
    plan
}

/// The clocks of these nodes: right, a little wrong, or very wrong.
pub fn clocks<'a>(seed: u64, nodes: impl IntoIterator<Item = &'a str>) -> Vec<Clock> {
    let mut dice = Dice::new(seed, "clocks");
    let drift_ppm_max = dice.weighted(&[(3, 0), (3, 200), (4, DRIFT_PPM_MAX)]);
    let skew_ms_max = dice.weighted(&[(3, 0), (3, 100), (2, 60_000)]);
    if drift_ppm_max == 0 && skew_ms_max == 0 {
        return Vec::new();
    }
    let mut signed = |max: u64| dice.between(0, 2 * max) as i64 - max as i64;
    let clock = |node: &str| Clock {
        node: node.into(),
        skew_ms: signed(skew_ms_max),
        drift_ppm: signed(drift_ppm_max),
    };
    nodes.into_iter().map(clock).collect()
}

/// The network of a seed, fast or slow, even or uneven.
pub fn network(seed: u64) -> Network {
    let mut dice = Dice::new(seed, "network");
    let latency_us_min = dice.magnitude(100, 10_000);
    let times = dice.magnitude(1, 16).min(40_000 / latency_us_min);
    Network {
        latency_us_min,
        latency_us_max: latency_us_min * times + latency_us_min / 2,
        bytes_per_ms: None,
    }
}

fn clients(seed: u64, faults_ms: u64, load: &Load<'_>) -> Vec<Client> {
    let count = Dice::new(seed, "workload").between(load.clients.0, load.clients.1);
    (1..=count)
        .map(|number| {
            let mut dice = Dice::new(seed, &format!("workload/c{number}"));
            let deadline_ms = dice.weighted(&[(2, 400), (2, 1_500), (3, 5_000)]);
            // Calls of unknown fate may take effect at any later time, and the effort of judging grows with
            // those that are pending at once.
            let pauses_ms: &[u64] =
                if deadline_ms < 1_000 { &[1_000, 2_000] } else { &[100, 250, 500, 1_500] };
            let pause_ms = *dice.pick(pauses_ms);
            let mut at_ms = dice.between(0, 2_000);
            let mut script = Vec::new();
            while at_ms < faults_ms + AFTER_HEAL_MS {
                let (verb, object) = (dice.weighted(load.verbs), dice.pick(load.objects));
                script.push(format!("{}.{:03} {verb} {object}", at_ms / 1000, at_ms % 1000));
                at_ms += dice.wait(pause_ms);
            }
            Client { deadline_ms, script }
        })
        .collect()
}
