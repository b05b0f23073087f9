//! How the testbed runs the store.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::join_all};
use madsim::runtime::Runtime;
use testbed::{
    data::{
        fault::DriveFailure,
        outcome::{Class, RunOptions, Verdict},
    },
    world::{
        cluster::end,
        drive::Access,
        now,
        run::{execute, live},
    },
};

use super::{
    observe,
    operation::{Input, Output},
};
use crate::{
    bound::{Cluster, End, Fault, FaultKind, Nemesis, Outcome, Plan, World},
    claims,
};

/// Time under faults, while the clients' scripts take ten seconds.
const FAULTS_MS: u64 = 6_000;

/// How much later than its cause the end of a run may be noticed.
const SOON: Duration = Duration::from_millis(1);

/// A run of real servers and clients in which also somebody tells of answers, at these times, that no
/// server gave.
fn run_with_lies(lies: &'static [Duration]) -> Outcome {
    let claim = claims::all().into_iter().next().expect("there are claims");
    let plan = Plan { faults_ms: FAULTS_MS, ..(claim.plan)(0) };
    execute(&plan, &RunOptions::default(), |world| async move {
        let told = join_all(lies.iter().map(|at| lie(world.clone(), *at)));
        tokio::select! {
            biased;
            ending = live(world.clone()) => ending,
            never = told.then(|_| std::future::pending()) => never,
        }
    })
}

async fn lie(world: Arc<World>, at: Duration) {
    madsim::time::sleep(at - SOON).await;
    let (client, key) = (world.nodes.reader(), "hot0".into());
    let get = observe::called(&mut world.observer(), now(), client, Input::Get { key }.into());
    madsim::time::sleep(SOON).await;
    let output = Output::Value(Some("written by nobody".into()));
    world.returned(client, get, End::Returned { at: now(), output });
}

#[test]
fn a_run_ends_at_its_first_bad_answer() {
    let honest = run_with_lies(&[]);
    assert_eq!((honest.class(), &honest.verdict), (Class::Ok, &Verdict::Linearizable));
    assert!(honest.stats.virtual_time > Duration::from_secs(9), "{:?}", honest.stats.virtual_time);

    const WHILE_FAULTS: Duration = Duration::from_millis(3_300);
    const AFTER_THE_HEAL: Duration = Duration::from_millis(7_700);
    for (lies, first) in
        [(&[WHILE_FAULTS, AFTER_THE_HEAL] as &[Duration], WHILE_FAULTS), (&[AFTER_THE_HEAL], AFTER_THE_HEAL)]
    {
        let outcome = run_with_lies(lies);
        let is_lie = |place: &&usize| outcome.operations[**place].client == "reader".into();
        let Verdict::Violation(contradiction) = &outcome.verdict else {
            panic!("{:?} is no contradiction", outcome.verdict)
        };
        let lie = contradiction.operations.iter().find(is_lie).expect("it is what cannot be");
        let told = outcome.operations[*lie].end.at().expect("it returned");
        assert!(first <= told && told < first + SOON, "{told:?} is not the lie of {first:?}");
        let end = outcome.stats.virtual_time;
        assert!(told <= end && end < told + SOON, "told at {told:?}, ended at {end:?}");
    }
}

#[test]
fn a_write_that_fails_as_its_fault_ends_is_not_forgotten() {
    let claim = claims::all().into_iter().next().expect("there are claims");
    let kind =
        FaultKind::DiskFailure { node: "s1".into(), lasts_ms: 1_000, down_ms: 500, how: DriveFailure::Sync };
    let fault = Fault { at_ms: 5_000, on: None, after_ms: 0, kind };
    let mut plan = Plan { faults: vec![fault], ..(claim.plan)(0) };
    plan.cluster.volatile = false;
    let world = Arc::new(World::new(&plan, &RunOptions::default()));
    let runtime = Runtime::with_seed_and_config(0, madsim::Config::default());
    let life = runtime.block_on(async {
        let mut nemesis = Nemesis::new(world.clone(), Cluster::new(world.clone()));
        nemesis.run(Duration::from_millis(5_500)).await;
        // Nothing is to be written without clients. These writes are the process's, which has not noticed
        // yet; one of the syncs of a batch fails.
        let mut worked = 0;
        while world.drive(1).access(Access::WriteAndSync).await.is_ok() {
            worked += 1;
            assert!(worked < 3, "its drive fails");
        }
        nemesis.end(0);
        nemesis.run(Duration::from_secs(8)).await;
        let life = nemesis.cluster().life(1);
        end(&world.nodes).await;
        life
    });
    assert_eq!(life, 2, "it was started again");
}
