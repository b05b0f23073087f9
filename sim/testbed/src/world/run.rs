//! Executes a plan and judges it.
//!
//! A run has two phases. In the first the fault plan is executed, and only safety is judged, except in
//! stretches in which nothing is wrong ([`crate::nemesis`]): calls made then must succeed. Then everything is
//! healed that is not broken for good, and progress is demanded for every client that must be served
//! ([`crate::judges::liveness`]). It must come to the end of its script; calls that it begins after the first
//! half of the settling time must succeed, and so must those that the system has it make at last
//! ([`System::finally`]); then a fresh client looks at everything ([`System::look`]). All of that joins the
//! history. A client that cannot be served must not get an answer.
//!
//! Each run has a thread of its own, because hash maps of the standard library iterate in an order that
//! depends on what the thread did before. A panic, wherever it happens, ends the run and becomes part of
//! its outcome.

// rules: allow thread: around a run, not inside of it
use std::{collections::BTreeMap, panic, sync::Arc, thread, time::Duration};

use madsim::runtime::Runtime;

use crate::{
    data::{
        node::NodeIndex,
        outcome::{Class, End, Outcome, Panic, RunOptions, Stall},
        plan::Plan,
        standing::Stands,
        validate::validate,
    },
    judges::liveness::{self, Prospect},
    nemesis::Nemesis,
    observer::panics::catch,
    report::screen,
    system::{Setup, System, Witness},
    world::{
        World,
        cluster::{self, Cluster},
        now,
        simulated::Simulated,
        standing::{call, standing},
    },
};

/// If some clients are owed nothing, the run goes on for this share of the settling time to see whether they
/// are served.
const UNOWED_SHARE: u32 = 4;

/// What ends at a time ends so long before it.
const JUST_BEFORE: Duration = Duration::from_micros(1);

/// How often the witness is asked whether the system has settled.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Executes a plan on a fresh thread and judges what happened.
pub fn run<S: Simulated>(plan: &Plan<S>, options: &RunOptions) -> Outcome<S> {
    if let Err(why) = validate(plan) {
        let message = format!("the plan cannot be executed: {why}");
        let panic = Panic { at: Duration::ZERO, node: "sim".into(), message };
        return Outcome { panic: Some(panic), ..Outcome::default() };
    }
    // What happens at that time itself comes after it.
    let until = options.until.map_or(Duration::MAX, |until| until.saturating_sub(JUST_BEFORE));
    execute(plan, options, |world| live_until(world, until))
}

/// Lets a world live on a fresh thread, and judges what happened in it. [`live`] is how worlds live; a test
/// may add something that no process does.
pub fn execute<S: Simulated, L: Future<Output = Ending>>(
    plan: &Plan<S>,
    options: &RunOptions,
    live: impl FnOnce(Arc<World<S>>) -> L + Send,
) -> Outcome<S> {
    thread::scope(|scope| {
        let run = thread::Builder::new()
            .name("run".into())
            .spawn_scoped(scope, || {
                let world = Arc::new(World::new(plan, options));
                let life = live(world.clone());
                judged(world, life, options)
            })
            .expect("a thread can be started");
        run.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
    })
}

fn judged<S: Simulated>(
    world: Arc<World<S>>,
    life: impl Future<Output = Ending>,
    options: &RunOptions,
) -> Outcome<S> {
    let runtime = Runtime::with_seed_and_config(world.plan.seed, config(&world.plan));
    let result = catch(|| runtime.block_on(life));
    let steps = world.take_steps();
    let was_over = world.observer().is_stopped();
    world.observer().stop();
    let ended = catch(|| {
        runtime.block_on(cluster::end(&world.nodes));
        // Whatever is still running is dropped where panics are caught.
        drop(runtime);
    });
    let result = result.and_then(|ending| ended.map(|()| ending));
    if result.is_ok() {
        assert_eq!(Arc::strong_count(&world), 1, "a task outlived its run");
    }
    let at = world.observer().now();
    let stepping = world.observer().stepping().cloned();
    let step = world.observer().step();
    let struck = world.links.network().struck().clone();
    let strikes = world.links.network().strikes().clone();
    let messages = world.links.network().messages();
    let (outlived, muted, broke) = {
        let network = world.links.network();
        (network.has_outlived(), network.has_muted(), network.has_broken())
    };
    let mut observer = world.take_observer();
    let kept = observer.take_messages(world.links.take_messages());
    for (how, role) in strikes {
        observer.witness.mistreated(how, role);
    }
    if outlived {
        observer.witness.message_outlived_its_sender();
    }
    if muted {
        observer.witness.stream_went_mute();
    }
    if broke {
        observer.witness.client_stream_broke();
    }
    let (mut outcome, witness) = observer.into_outcome();
    outcome.messages = kept;
    outcome.steps = steps;
    outcome.stats.messages = messages;
    for (how, count) in struck {
        *outcome.stats.faults.entry(how.name().into()).or_default() += count;
    }
    match result {
        Ok(ending) => {
            outcome.stats.virtual_time = ending.at;
            outcome.stall = ending.stall;
            outcome.excused = ending.excused;
            outcome.standing = ending.standing;
        }
        Err(_) if was_over => outcome.stats.virtual_time = at, // what came after the end is not part of the run
        Err(message) => {
            outcome.stats.virtual_time = at;
            outcome.failed_step = outcome.failed_step.or(step);
            outcome.panic = Some(Panic { at, node: stepping.unwrap_or_else(|| "sim".into()), message });
        }
    }
    if !options.skip_judgement {
        // A model that panics is a finding, and its run can be replayed.
        let judged = catch(|| {
            outcome.verdict = witness.judge(&outcome.operations);
            let is_whole = outcome.class() == Class::Ok || outcome.class() == Class::Liveness;
            if is_whole && !options.skip_invariants {
                outcome.violations.extend(witness.unexplained(&outcome.operations));
            }
        });
        if let Err(message) = judged
            && outcome.panic.is_none()
        {
            outcome.panic = Some(Panic { at, node: "sim".into(), message });
        }
    }
    outcome
}

fn config<S: System>(plan: &Plan<S>) -> madsim::Config {
    let mut config = madsim::Config::default();
    let network = &plan.network;
    config.net.send_latency =
        Duration::from_micros(network.latency_us_min)..Duration::from_micros(network.latency_us_max);
    config
}

/// How a run ended that did not panic.
pub struct Ending {
    at: Duration,
    stall: Option<Stall>,
    excused: Vec<String>,
    standing: Vec<Stands>,
}

/// A run from its start to its end.
pub async fn live<S: Simulated>(world: Arc<World<S>>) -> Ending {
    live_until(world, Duration::MAX).await
}

/// A run from its start to its end, or to a moment before the heal.
async fn live_until<S: Simulated>(world: Arc<World<S>>, until: Duration) -> Ending {
    let mut cluster = Cluster::new(world.clone());
    for client in world.nodes.clients() {
        cluster.begin(client).spawn(S::client(world.clone(), client));
    }
    let mut nemesis = Nemesis::new(world.clone(), cluster);
    let faults_end = Duration::from_millis(world.plan.faults_ms);
    let overdue = nemesis.run(faults_end.min(until)).await;
    let mut ending = Ending { at: now(), stall: None, excused: Vec::new(), standing: Vec::new() };
    if world.observer().is_stopped() {
        return ending;
    }
    if !overdue.is_empty() {
        ending.stall = Some(stalled(nemesis.cluster(), overdue));
        return ending;
    }
    if until < faults_end {
        ending.standing = standing(nemesis.cluster()).expect("nothing is in use between two turns");
        // What else is done in this instant is not part of it.
        world.observer().stop();
        return ending;
    }
    nemesis.heal();
    world.heal();
    let healed = now();
    let prospects = S::prospects(nemesis.cluster());
    let owed = |client: NodeIndex| prospects[&client] == Prospect::Served;
    let end = healed + Duration::from_millis(world.plan.settle_ms);
    let all_owed = prospects.values().all(|prospect| *prospect == Prospect::Served);
    let soonest = if all_owed { healed } else { healed + (end - healed) / UNOWED_SHARE };
    let mut reading = false;
    while now() < end && !world.observer().is_stopped() {
        let is_done = |client| world.is_finished(client) || !owed(client);
        if !reading && world.nodes.clients().all(is_done) {
            reading = true;
            let node = nemesis.cluster_mut().begin(world.nodes.reader());
            node.spawn(S::reader(world.clone()));
        }
        if reading && is_done(world.nodes.reader()) && now() >= soonest {
            break;
        }
        world.news(end).await;
    }
    let is_reader_served = owed(world.nodes.reader());
    let at_end = S::prospects(nemesis.cluster());
    let prospects = prospects
        .into_iter()
        .map(|(client, prospect)| (client, prospect.throughout(at_end[&client].clone())))
        .collect();
    let stall = stall(&world, nemesis.cluster(), healed, &prospects);
    if stall.is_none() {
        settle(&world, &mut nemesis, is_reader_served).await;
    }
    if !world.observer().is_stopped() {
        world.observer().close();
        // Every process that is up takes a step meanwhile.
        let closed = now() + world.plan.cluster.steps_within();
        while now() < closed && !world.observer().is_stopped() {
            world.news(closed).await;
        }
    }
    ending.at = now();
    if world.observer().is_stopped() {
        return ending;
    }
    ending.stall = stall;
    ending.excused = excuses(&world, prospects);
    ending
}

/// Waits until the system has settled, as its witness says, and watches it for as long as the plan says, in
/// light use if the reader `is_served`.
async fn settle<S: Simulated>(world: &Arc<World<S>>, nemesis: &mut Nemesis<S>, is_served: bool) {
    let watch = Duration::from_millis(world.plan.watch_ms);
    if !watch.is_zero() && is_served && !world.observer().is_stopped() {
        let node = nemesis.cluster_mut().begin(world.nodes.reader());
        node.spawn(S::linger(world.clone(), now() + watch));
    }
    let watched = now() + watch;
    while !world.observer().is_stopped() {
        world.observer().witness.pass(now());
        if now() >= watched && world.observer().witness.is_settled() {
            return;
        }
        // Whatever is not settled some day is overdue.
        world.news(now() + LOOK_INTERVAL).await;
    }
}

/// The clients that are owed nothing, and why: those with the same reason together.
fn excuses<S: Simulated>(world: &World<S>, prospects: BTreeMap<NodeIndex, Prospect>) -> Vec<String> {
    let mut reasons: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (client, prospect) in prospects {
        let (how, why) = match prospect {
            Prospect::Served => continue,
            Prospect::Perhaps(why) => ("need not", why),
            Prospect::Never(why) => ("cannot", why),
        };
        reasons.entry(format!("{how} be served: {why}")).or_default().push(world.nodes.name(client));
    }
    reasons.into_iter().map(|(reason, clients)| format!("{} {reason}", clients.join(", "))).collect()
}

/// What did not end as the prospects said, if anything.
fn stall<S: Simulated>(
    world: &World<S>,
    cluster: &Cluster<S>,
    healed: Duration,
    prospects: &BTreeMap<NodeIndex, Prospect>,
) -> Option<Stall> {
    let recovered = healed + Duration::from_millis(world.plan.settle_ms / 2);
    let is_data_lost = S::is_lost(world);
    let observer = world.observer();
    let mut waiting =
        liveness::broken_promises(&world.nodes, observer.operations(), prospects, healed, recovered);
    let owed = |client: NodeIndex| prospects[&client] == Prospect::Served;
    let last = |client: NodeIndex| {
        let name = world.nodes.name(client);
        let last = observer.operations().iter().rfind(|operation| operation.client == *name);
        match last {
            None => ": it never called".into(),
            Some(operation) if operation.end == End::Open => String::new(),
            Some(operation) => format!(": {}", screen::operation(operation)),
        }
    };
    for client in world.nodes.clients().filter(|client| owed(*client) && !world.is_finished(*client)) {
        waiting.push(format!("{} did not come to its end{}", world.nodes.name(client), last(client)));
    }
    let reader = world.nodes.reader();
    if waiting.is_empty() && owed(reader) && !world.is_finished(reader) {
        waiting.push(format!("{} did not come to its end{}", world.nodes.name(reader), last(reader)));
    }
    if is_data_lost && !world.plan.data_loss {
        waiting.insert(0, "all data is lost, although the plan spares the last copy".into());
    }
    drop(observer);
    (!waiting.is_empty()).then(|| stalled(cluster, waiting))
}

/// Which clients wait, each with the call that it has open, and how everything stands.
fn stalled<S: Simulated>(cluster: &Cluster<S>, overdue: Vec<String>) -> Stall {
    let world = cluster.world();
    let mut waiting: Vec<String> = {
        let observer = world.observer();
        let open = observer.operations().iter().filter(|operation| operation.end == End::Open);
        open.map(|operation| call(world, operation)).collect()
    };
    waiting.extend(overdue);
    let network = &world.plan.network;
    let round_trip = |latency_us| 2.0 * latency_us as f64 / 1e6;
    let mut standing = S::standing(cluster);
    standing.push(format!(
        "network: a request and its answer take {:.3} to {:.3} s, without faults",
        round_trip(network.latency_us_min),
        round_trip(network.latency_us_max)
    ));
    Stall { at: now(), waiting, cluster: standing }
}
