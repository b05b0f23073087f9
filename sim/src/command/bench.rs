//! How fast the simulation is: the speed at which it finds bugs.
//!
//! Everything runs on one core, one run after the other. Absolute numbers depend on the machine, so a peer
//! is measured in the same process: plain remote calls through madsim-tonic, without any of ours.

use std::time::{Duration, Instant};

use clap::Args;
use sim::{
    bound::{Outcome, Plan, Stats},
    generate::generate,
    store::setup::Cluster,
};
use testbed::{
    data::{
        exit,
        outcome::{Class, RunOptions},
        plan::{Client, Network},
    },
    report::screen,
    run,
};

use super::{peer, say};

/// Servers and clients of the first measurement.
const SERVERS: u32 = 3;
const CLIENTS: usize = 4;
/// Clients of the second one: each waits for its answer before it goes on, so they make the batches.
const SATURATING_CLIENTS: u64 = 64;
/// Keys of the second one.
const SATURATING_KEYS: u64 = 1_000;

#[derive(Args)]
pub struct Options {
    /// Seeds of the measurement under faults.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Operations of the saturating measurement.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    operations: u64,
    /// Calls of the peer.
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
}

pub fn bench(options: &Options) -> Result<u8, String> {
    let wall = peer::calls(options.calls);
    let calls_per_second = options.calls as f64 / wall.as_secs_f64();
    say(&format!(
        "peer: {:.0} madsim-tonic calls/s of wall time, one client, stock server",
        calls_per_second
    ));

    say(&format!("\nunder faults: {SERVERS} servers, {CLIENTS} clients, a few operations a second each"));
    let plans = (0..).map(generate).filter(under_faults).take(options.seeds as usize);
    measure(plans.collect(), calls_per_second)?;

    say(&format!(
        "\nsaturating: {SERVERS} servers, 2 replicas, {SATURATING_CLIENTS} clients without pause, no faults"
    ));
    measure(vec![saturating(options.operations)], calls_per_second)?;
    Ok(exit::OK)
}

fn measure(plans: Vec<Plan>, calls_per_second: f64) -> Result<(), String> {
    let skip = RunOptions { skip_judgement: true, ..RunOptions::default() };
    let (executed, _) = timed(&plans, &skip)?;
    let (judged, stats) = timed(&plans, &RunOptions::default())?;
    let (seeds, seconds) = (plans.len() as f64, judged.as_secs_f64());
    let operations = stats.operations() as f64 / seconds;
    say(&format!(
        "  a seed     {:.3} s virtual in {:.1} ms of wall time: {:.0} times real time",
        stats.virtual_time.as_secs_f64() / seeds,
        1000.0 * seconds / seeds,
        stats.virtual_time.as_secs_f64() / seconds,
    ));
    say(&format!(
        "  a second   {operations:.0} operations simulated and judged, {:.0} messages, {:.0} steps of machines",
        stats.messages as f64 / seconds,
        stats.steps as f64 / seconds,
    ));
    say(&format!(
        "  judging    {:.1} % of the time; {:.2} operations and {:.2} messages for each call of the peer",
        100.0 * (1.0 - executed.as_secs_f64() / seconds).max(0.0),
        operations / calls_per_second,
        stats.messages as f64 / seconds / calls_per_second,
    ));
    Ok(())
}

fn timed(plans: &[Plan], options: &RunOptions) -> Result<(Duration, Stats), String> {
    let mut stats = Stats::default();
    let began = Instant::now();
    for plan in plans {
        let outcome: Outcome = run(plan, options);
        if outcome.class() != Class::Ok {
            return Err(format!(
                "a run (seed {}) does not end well: {}",
                plan.seed,
                screen::headline(&outcome)
            ));
        }
        stats.add(&outcome.stats);
    }
    Ok((began.elapsed(), stats))
}

fn under_faults(plan: &Plan) -> bool {
    plan.cluster.servers == SERVERS && plan.clients.len() == CLIENTS && !plan.faults.is_empty()
}

fn saturating(operations: u64) -> Plan {
    let each = operations.div_ceil(SATURATING_CLIENTS);
    let operation = |client: u64, n: u64| {
        let name = ["get", "put", "append"][(n % 3) as usize];
        format!("0.000 {name} k{}", (client * 7_919 + n * 104_729) % SATURATING_KEYS)
    };
    let client =
        |client| Client { deadline_ms: 30_000, script: (0..each).map(|n| operation(client, n)).collect() };
    Plan {
        about: "as many operations as the clients can".into(),
        seed: 1,
        faults_ms: 1_000,
        settle_ms: 3_600_000,
        watch_ms: 0,
        cluster: Cluster {
            servers: SERVERS,
            checkpoint_interval: 10_000,
            chunk_bytes_max: 256 << 10,
            append_window: 8_192,
            disk_ms_max: 0,
            ..Cluster::small()
        },
        network: Network { latency_us_min: 100, latency_us_max: 500, bytes_per_ms: None },
        reaches: Vec::new(),
        data_loss: false,
        clients: (0..SATURATING_CLIENTS).map(client).collect(),
        faults: Vec::new(),
    }
}
