use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{
    data::{
        fault::{Fault, FaultKind, Memory},
        line::at_ms,
        outcome::{Stall, Violation},
    },
    generate::generate,
    marks::Mark,
};

fn crash(node: &str, at_ms: u64) -> Fault {
    let kind = FaultKind::Crash { node: node.into(), down_ms: Some(437), memory: Memory::Lost };
    Fault { at_ms, on: None, after_ms: 0, kind }
}

/// A generated plan with two crashes in it that matter.
fn large() -> Plan {
    let seeds = (0..).map(generate);
    let mut plan = seeds
        .into_iter()
        .find(|plan| plan.faults.len() > 40 && plan.clients.len() > 3)
        .expect("some seed has many faults");
    plan.cluster.servers = 4;
    plan.faults.insert(20, crash("s1", 7_813));
    plan.faults.push(crash("s2", 9_377));
    plan.clients[2].script.insert(5, "9.912 get needle".into());
    plan
}

/// Fails if `s1` crashes, `s2` crashes later, and somebody reads after both.
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
    if let (Some(first), Some(second)) = (crash("s1"), crash("s2"))
        && first < second
        && let Some(read) = reads().filter(|read| *read > second).min()
    {
        outcome.violations.push(Violation {
            at: Duration::from_millis(read + 5),
            node: "s1".into(),
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

fn aim() -> Aim {
    Aim::Failure(Signature::Invariant("I5".into()))
}

#[test]
fn a_mark_is_met_by_a_run_that_ends_well_and_reaches_it() {
    let mark = Mark::find("stale_append_refused").expect("a mark");
    let mut outcome: Outcome = Outcome::default();
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
    assert_eq!(small.plan.cluster.servers, 2);
    assert!(small.plan.faults_ms < 2_000, "{}", small.plan.faults_ms);
    for fault in &small.plan.faults {
        let FaultKind::Crash { down_ms, memory, .. } = &fault.kind else { panic!("{fault:?}") };
        assert_eq!((*down_ms, *memory), (Some(1), Memory::Kept));
    }
}

/// Fails if more than `enough` operations are planned.
fn fails_beyond(plan: &Plan, enough: u64) -> Outcome {
    let mut outcome = Outcome::default();
    if structure::operations(plan) as u64 > enough {
        let at = Duration::from_secs(10_000);
        let (node, invariant, message) = ("s1".into(), "I5".into(), "diverged".into());
        outcome.violations.push(Violation { at, node, invariant, message });
    }
    outcome
}

#[test]
fn what_must_outgrow_a_checkpoint_or_a_message_is_given_a_smaller_one() {
    type Enough = fn(&Plan) -> u64;
    let forms: [(&str, Enough); 3] = [
        ("a checkpoint after few operations will do", |plan| plan.cluster.checkpoint_interval),
        // After fewer than three it does not fail, so that only halving it helps.
        ("the interval must not be too short", |plan| match plan.cluster.checkpoint_interval {
            0..3 => u64::MAX,
            more => more,
        }),
        ("small parts will do", |plan| plan.cluster.chunk_bytes_max as u64 / 40),
    ];
    let mut plan = large();
    plan.cluster.checkpoint_interval = 64;
    plan.cluster.chunk_bytes_max = 2_000;
    for (name, enough) in forms {
        let options = Options { time_max: Duration::from_secs(600), runs_max: 50_000, jobs: 1 };
        let run = |plan: &Plan| fails_beyond(plan, enough(plan));
        let small = minimise(&plan, aim(), &options, run, |_| {}).expect("it fails");
        assert!(small.before.operations > 64, "{name}: {}", small.before);
        assert!(small.after.operations <= OPERATIONS_FEW, "{name}: {}", small.after);
    }
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
