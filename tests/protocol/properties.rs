//! No sequence of choices breaks a promise.
//!
//! Every plan must end without a broken invariant, a panic or a caller who is answered twice; its history
//! must be linearizable; and once everybody is up again and hears everybody, clients must be served again,
//! unless every replica that may become primary lost its memory: then nothing may ever be served.
//!
//! `PROPTEST_CASES` chooses how many plans are tried and `PBKV_SEED` which; without them it is the same plans
//! every time. A failing one is made small and printed as a script.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use bytes::Bytes;
use linearizability::{Options, Verdict, kv::Kv};
use pbkv::protocol::{command::Update, identity::ServerId, options::ReadMode};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use crate::{
    choices::{Plan, plans},
    clients::Wish,
    cluster::{Checked, Cluster},
    command::{Command, VIEW_SERVICE, WallClock},
    coverage::Coverage,
};

/// Plans tried by default for each mode of reading.
const CASES: u32 = 500;

/// Choices in the longest plan.
const LENGTH_MAX: usize = 250;

/// Attempts to make a failing plan smaller.
const SHRINK_STEPS_MAX: u32 = 20_000;

/// Milliseconds spent on that.
const SHRINK_MILLIS_MAX: u32 = 60_000;

/// After the last fault, clients are served again within this time.
const CALM_MAX: Duration = Duration::from_secs(20);

/// How often a client asks anew while it waits.
const RETRY: Duration = Duration::from_millis(200);

/// Everybody comes back with the memory that is left, and everything in flight arrives.
fn calm(cluster: &mut Cluster) -> Checked {
    let nodes: Vec<_> = cluster.setup.servers.iter().cloned().chain([ServerId::new(VIEW_SERVICE)]).collect();
    for command in [Command::Heal, Command::Release, Command::FastDisks] {
        cluster.apply(&command)?;
    }
    for node in nodes {
        if !cluster.is_up(&node) {
            cluster.apply(&Command::Restart(node, WallClock::GoesOn))?;
        }
    }
    cluster.apply(&Command::Run(Duration::from_secs(2)))
}

/// A client asks the primary until it is served. False if time ran out.
fn is_served(cluster: &mut Cluster, client: &ServerId, wish: Wish) -> Result<bool, String> {
    let end = cluster.now + CALM_MAX;
    let nobody = ServerId::new("nobody");
    cluster.apply(&Command::Call(client.clone(), wish, nobody))?;
    while cluster.now < end {
        if let Some(primary) = cluster.primary() {
            cluster.apply(&Command::Retry(client.clone(), primary))?;
        }
        cluster.apply(&Command::Run(RETRY))?;
        if cluster.clients[client].waiting.is_none() {
            return Ok(true);
        }
    }
    cluster.apply(&Command::GiveUp(client.clone()))?;
    Ok(false)
}

fn serves_again(cluster: &mut Cluster) -> Checked {
    calm(cluster)?;
    let key = Bytes::from("k");
    let client = ServerId::new("last");
    let put = Update::Put { key: key.clone(), value: Bytes::from("last") };
    for wish in [Wish::Update(put), Wish::Get { key }] {
        let served = is_served(cluster, &client, wish.clone())?;
        match (served, cluster.has_data()) {
            (true, true) | (false, false) => {}
            (false, true) => return Err(format!("{wish:?} is not served, though all is well again")),
            (true, false) => return Err(format!("{wish:?} is served, though all data is lost")),
        }
    }
    Ok(())
}

/// Judges what the clients saw.
pub fn is_linearizable(cluster: &Cluster) -> Checked {
    let history = cluster.recorder.clone().finish();
    match linearizability::check(&Kv, &history, &Options::default()) {
        Verdict::Linearizable { .. } => Ok(()),
        Verdict::Violation(violation) => {
            let involved: Vec<_> =
                violation.operations.iter().map(|index| &history.operations()[*index]).collect();
            Err(format!("{}\n{involved:#?}", violation.sentence))
        }
        Verdict::Undecided(undecided) => Err(undecided.to_string()),
    }
}

fn keeps_all_promises(plan: &Plan) -> Result<Coverage, String> {
    let (mut cluster, checked) = plan.play(|_, _| ());
    checked?;
    serves_again(&mut cluster)?;
    is_linearizable(&cluster)?;
    Ok(cluster.coverage)
}

/// Tries plans and demands that all of `marks` occurred.
fn explore(reads: ReadMode, marks: &[&str]) {
    let chosen = |name: &str| std::env::var(name).ok().map(|it| it.parse::<u32>().expect("a number"));
    let cases = chosen("PROPTEST_CASES").unwrap_or(CASES);
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(chosen("PBKV_SEED").unwrap_or(1).into()),
        failure_persistence: None, // a script is better
        max_shrink_iters: chosen("PROPTEST_MAX_SHRINK_ITERS").unwrap_or(SHRINK_STEPS_MAX),
        max_shrink_time: SHRINK_MILLIS_MAX,
        ..Config::default()
    };
    let coverage = RefCell::new(Coverage::default());
    let kept = Cell::new(0_u32);
    let mut runner = TestRunner::new(config);
    let result = runner.run(&plans(reads, LENGTH_MAX), |plan| {
        let number = kept.get();
        let fail = |broken| TestCaseError::fail(format!("plan {number} of this seed: {broken}"));
        let seen = keeps_all_promises(&plan).map_err(fail)?;
        coverage.borrow_mut().add(&seen);
        kept.set(kept.get() + 1);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let coverage = coverage.into_inner().counts;
    println!("{cases} plans: {coverage:#?}");
    let missing: Vec<_> = marks.iter().filter(|mark| !coverage.contains_key(*mark)).collect();
    assert!(missing.is_empty() || cases < CASES, "these never occurred, so nothing was shown: {missing:?}");
}

const MARKS: &[&str] = &[
    "promotion of another server",
    "backup joined",
    "smaller view activated",
    "state transfer completed",
    "crash while receiving the state",
    "crash while sending the state",
    "log replaced by a state",
    "log catch-up",
    "conflicting operations removed",
    "checkpoint",
    "retry answered from the session table",
    "session expired",
    "stale boot raised",
    "primary fenced",
    "replica suspected",
    "late acknowledgement",
    "message of a replaced primary",
    "all data lost",
    "read alone",
    "read confirmed or leased later",
];

#[test]
fn no_sequence_of_choices_breaks_a_promise() {
    explore(ReadMode::Confirm, MARKS);
}

#[test]
fn no_sequence_of_choices_breaks_a_promise_under_leases() {
    let marks: Vec<_> = MARKS.iter().copied().chain(["read under a lease"]).collect();
    explore(ReadMode::Lease, &marks);
}
