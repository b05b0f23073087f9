use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{
    data::{
        fault::{Cut, Fault, FaultKind, Memory},
        line::at_ms,
        outcome::{Stall, Violation},
        plan::Clock,
    },
    marks::Mark,
    system::toy::{self, Toy},
};

type Plan = crate::data::plan::Plan<Toy>;
type Outcome = crate::data::outcome::Outcome<Toy>;
type Minimised = super::Minimised<Toy>;

fn fault(at_ms: u64, kind: FaultKind<Toy>) -> Fault<Toy> {
    Fault { at_ms, on: None, after_ms: 0, kind }
}

fn crash(node: &str, at_ms: u64) -> Fault<Toy> {
    fault(at_ms, FaultKind::Crash { node: node.into(), down_ms: Some(437), memory: Memory::Lost })
}

/// A plan with many faults and operations, and with two crashes in it that matter.
fn large() -> Plan {
    let mut plan = toy::plan();
    plan.faults_ms = 20_000;
    plan.cluster.count = 4;
    plan.cluster.oddity = 7;
    plan.cluster.clocks = vec![Clock { node: "p3".into(), skew_ms: 5, drift_ppm: 90 }];
    plan.faults = (0..45)
        .map(|n| {
            let (node, at_ms) = (format!("p{}", n % 4 + 1), 401 * n);
            let kind = match n % 3 {
                0 => FaultKind::Pause { node, lasts_ms: Some(333) },
                1 => FaultKind::DiskStall { node, lasts_ms: 29 },
                _ => FaultKind::Partition {
                    from: vec![node],
                    to: vec!["c1".into(), "p1".into()],
                    both_ways: true,
                    how: Cut::Refuse,
                    lasts_ms: Some(1_234),
                },
            };
            fault(at_ms, kind)
        })
        .collect();
    let verbs = ["put", "get", "append"];
    let line = |client: u64, n: u64| {
        let at_ms = 97 * n + client;
        format!("{}.{:03} {} k{}", at_ms / 1_000, at_ms % 1_000, verbs[n as usize % 3], n % 7)
    };
    plan.clients = (0..5)
        .map(|client| Client { deadline_ms: 3_000, script: (0..70).map(|n| line(client, n)).collect() })
        .collect();
    plan.faults.insert(20, crash("p1", 7_813));
    plan.faults.push(crash("p2", 9_377));
    plan.clients[2].script.insert(5, "9.912 get needle".into());
    plan
}

/// Fails if `p1` crashes, `p2` crashes later, and somebody reads after both.
fn fails(plan: &Plan) -> Outcome {
    let crash = |name: &str| {
        let mut crashes = plan.faults.iter().filter(|fault| fault.on.is_none());
        crashes.find_map(|fault| match &fault.kind {
            FaultKind::Crash { node, .. } if node == name => Some(fault.at_ms),
            _ => None,
        })
    };
    let reads = || {
        let lines = plan.clients.iter().flat_map(|client| &client.script);
        lines.filter(|line| line.contains(" get ")).map(|line| at_ms(line))
    };
    let mut outcome = Outcome::default();
    if let (Some(first), Some(second)) = (crash("p1"), crash("p2"))
        && first < second
        && let Some(read) = reads().filter(|read| *read > second).min()
    {
        outcome.violations.push(Violation {
            at: Duration::from_millis(read + 5),
            node: "p1".into(),
            invariant: "I5".into(),
            message: "diverged".into(),
        });
    } else if plan.faults.is_empty() {
        // Another bug, easier to reach: minimising must not slip into it.
        outcome.stall = Some(Stall { at: Duration::ZERO, waiting: Vec::new(), cluster: Vec::new() });
    }
    outcome
}

fn minimised(jobs: usize, runs_max: u64) -> Minimised {
    let options = Options { time_max: Duration::from_secs(600), runs_max, jobs };
    minimise(&large(), aim(), &options, fails, |_| {}).expect("it fails")
}

fn aim() -> Aim<Toy> {
    Aim::Failure(Signature::Invariant("I5".into()))
}

#[test]
fn a_mark_is_met_by_a_run_that_ends_well_and_reaches_it() {
    let mark = Mark::all().next().expect("a mark");
    let mut outcome = Outcome::default();
    assert!(!Aim::Reaches(mark).is_met(&outcome));
    outcome.stats.marks.insert(mark, 1);
    assert!(Aim::Reaches(mark).is_met(&outcome));
    assert!(!aim().is_met(&outcome));
    outcome.stall = Some(Stall { at: Duration::ZERO, waiting: Vec::new(), cluster: Vec::new() });
    assert!(!Aim::Reaches(mark).is_met(&outcome), "it has to end well");
}

#[test]
fn what_a_failure_needs_is_left_and_nothing_else() {
    let small = minimised(2, 20_000);
    assert_eq!((small.after.faults, small.after.operations, small.after.clients), (2, 1, 1), "{small:#?}");
    assert_eq!(small.ended, Ended::Minimal);
    assert_eq!(small.aim, aim());
    assert!(aim().is_met(&fails(&small.plan)));
    assert!(small.plan.cluster.clocks.is_empty());
    assert_eq!((small.plan.cluster.oddity, small.plan.cluster.count), (0, 2));
    assert!(small.plan.faults_ms < 2_000, "{}", small.plan.faults_ms);
    for fault in &small.plan.faults {
        let FaultKind::Crash { down_ms, memory, .. } = &fault.kind else { panic!("{fault:?}") };
        assert_eq!((*down_ms, *memory), (Some(1), Memory::Kept));
    }
}

#[test]
fn what_must_outgrow_something_is_given_a_form_in_which_that_is_small() {
    let outgrows = |plan: &Plan| {
        let mut outcome = Outcome::default();
        if structure::operations(plan) > plan.cluster.takes {
            let at = Duration::from_secs(10_000);
            let (node, invariant, message) = ("p1".into(), "I5".into(), "diverged".into());
            outcome.violations.push(Violation { at, node, invariant, message });
        }
        outcome
    };
    let options = Options { time_max: Duration::from_secs(600), runs_max: 50_000, jobs: 1 };
    let small = minimise(&large(), aim(), &options, outgrows, |_| {}).expect("it fails");
    assert!(small.before.operations > 64, "{}", small.before);
    assert!(small.after.operations <= OPERATIONS_FEW, "{}", small.after);
}

#[test]
fn the_result_does_not_depend_on_the_number_of_cores() {
    let (one, many) = (minimised(1, 20_000), minimised(7, 20_000));
    assert_eq!(one.plan, many.plan);
    assert_eq!(one.runs, many.runs);
}

#[test]
fn runs_are_counted_and_bounded() {
    let runs = AtomicU64::new(0);
    let options = Options { time_max: Duration::from_secs(600), runs_max: 40, jobs: 1 };
    let counted = |plan: &Plan| {
        runs.fetch_add(1, Ordering::Relaxed);
        fails(plan)
    };
    let small = minimise(&large(), aim(), &options, counted, |_| {}).expect("it fails");
    assert_eq!(small.runs, runs.load(Ordering::Relaxed));
    assert!(small.runs <= 40);
    assert_eq!(small.ended, Ended::Runs);
    assert!(aim().is_met(&fails(&small.plan)), "it fails at any time");
}

#[test]
fn without_time_the_original_comes_back() {
    let options = Options { time_max: Duration::ZERO, ..Options::default() };
    let same = minimise(&large(), aim(), &options, fails, |_| {}).expect("it fails");
    assert_eq!((same.plan, same.runs, same.ended), (large(), 1, Ended::Time));
}

#[test]
fn what_does_not_fail_cannot_be_minimised() {
    assert!(minimise(&large(), aim(), &Options::default(), |_| Outcome::default(), |_| {}).is_none());
}

#[test]
fn sizes_are_said_in_words() {
    let mut plan = large();
    plan.faults.truncate(1);
    plan.clients.truncate(1);
    plan.clients[0].script.truncate(2);
    assert_eq!(Size::of(&plan).to_string(), "1 fault, 2 operations");
}

#[test]
fn a_client_that_leaves_takes_its_name_along() {
    let mut plan = large();
    plan.clients.truncate(3);
    let slow = |from: &str| FaultKind::Slow {
        from: vec![from.into()],
        to: vec!["c1".into(), "c2".into()],
        one_way: false,
        latency_ms: 1,
        jitter_ms: 0,
        lasts_ms: 1,
    };
    plan.faults =
        ["c1", "c2", "c3"].map(|from| Fault { at_ms: 0, on: None, after_ms: 0, kind: slow(from) }).into();
    plan.clients[1].script.clear();
    let outcome = Outcome::default();
    let fewer = structure::with_clients_joined(&plan, &outcome).remove(0);
    let named: Vec<_> = fewer.faults.iter().map(|fault| fault.kind.clone()).collect();
    let expected = |from: &str| FaultKind::Slow {
        from: vec![from.into()],
        to: vec!["c1".into()],
        one_way: false,
        latency_ms: 1,
        jitter_ms: 0,
        lasts_ms: 1,
    };
    assert_eq!(named, [expected("c1"), expected("c2")], "c3 is called c2 now, and c2 is gone");
}

#[test]
fn rounder_times_are_simpler_and_never_below_the_least() {
    assert_eq!(values::rounder(2_437, 0)[..5], [0, 1, 300, 400, 600]);
    for value in [1, 2, 10, 437, 2_437, 99_999] {
        for least in [0, 1] {
            let rounder = values::rounder(value, least);
            assert!(rounder.iter().all(|simple| *simple >= least));
            assert!(!rounder.contains(&value));
        }
    }
}
