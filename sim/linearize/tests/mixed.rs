//! Many clients that put, get, append, swap and delete a few keys: decided without a search, with a proof
//! either way.
//!
//! Written values are unique and every answer tells what was found, as most tests of a store arrange. With 40
//! or more operations open at once on a key, a search gets nowhere, however long it is given.

#[path = "../benches/workload/mod.rs"]
mod workload;

use bytes::Bytes;
use linearizability::kv::{Input, Kv, KvHistory, KvOperation, Output};
use linearizability::{
    Budget, Cancel, History, Limit, Options, Outcome, Verdict, Violation, check, html, oracle, witness,
};
use std::time::Instant;
use workload::Workload;

/// Far too little for a search with many clients.
const BUDGET: Budget = Budget { configurations: 1_000_000, bytes: 1 << 30 };

/// What the clients of these tests do.
const MIXED: Workload = Workload {
    operations: 3_000,
    clients: 100,
    keys: 4,
    gets: 35,
    puts: 20,
    deletes: 10,
    swaps: 15,
    unknown: 0,
    values: 0,
    terse: false,
    stale: false,
    revisions: false,
};

fn judge(history: &KvHistory) -> Result<(), Box<Violation>> {
    match check(&Kv, history, &Options { budget: BUDGET, ..Options::default() }) {
        Verdict::Linearizable { witness } => {
            assert_eq!(witness::replay(&Kv, history, &witness), Ok(()));
            Ok(())
        }
        Verdict::Violation(violation) => Err(Box::new(violation)),
        Verdict::Undecided(undecided) => panic!("{undecided}"),
    }
}

#[test]
fn healthy_histories_of_many_clients_are_linearizable() {
    for clients in [40, 100, 300] {
        for keys in [1, 4] {
            for unknown in [0, 5] {
                let workload = Workload { clients, keys, unknown, ..MIXED };
                for seed in 0..3 {
                    let verdict = judge(&workload::history(workload, seed));
                    assert_eq!(verdict, Ok(()), "{workload:?}, seed {seed}");
                }
            }
        }
    }
}

/// One answer is changed. Mostly that is a contradiction, and then what is named as one is one on its own.
#[test]
fn one_wrong_answer_is_found_among_thousands() {
    let mut found = 0;
    for seed in 0..60 {
        let workload = Workload { clients: [40, 100, 300][seed as usize % 3], ..MIXED };
        let sound = workload::history(workload, seed);
        let Some(history) = falsified(&sound, seed) else { continue };
        if let Err(violation) = judge(&history) {
            found += 1;
            let set = [&violation.operations[..], &violation.support[..]].concat();
            if set.len() <= 12 {
                let set: Vec<KvOperation> =
                    set.iter().map(|&index| history.operations()[index].clone()).collect();
                assert!(!oracle::is_linearizable(&Kv, &set), "seed {seed}: {violation}");
            }
        }
    }
    assert!(found > 15, "only {found} were contradictions");
}

/// Changes an answer in the middle to one that another moment would have given.
fn falsified(history: &KvHistory, seed: u64) -> Option<KvHistory> {
    let mut operations = history.operations().to_vec();
    let from = operations.len() / 4 + seed as usize * 7;
    let kind = seed % 4;
    let value_before = |key: &Bytes, at: usize| {
        operations[..at].iter().rev().filter(|operation| operation.input.key() == key).find_map(|operation| {
            match operation.output() {
                Some(Output::Value(Some(value))) => Some(value.clone()),
                _ => None,
            }
        })
    };
    let place = (from..operations.len()).find_map(|at| {
        let operation = &operations[at];
        let key = operation.input.key();
        let output = match (operation.output()?, kind) {
            (Output::Value(Some(_)), 0) => Output::Value(None),
            (Output::Value(seen), 1) => {
                let other = value_before(key, at * 9 / 10)?;
                (Some(&other) != seen.as_ref()).then_some(Output::Value(Some(other)))?
            }
            (Output::Deleted { existed: Some(existed) }, 2) => Output::Deleted { existed: Some(!existed) },
            (Output::Swapped { swapped: false, previous: Some(previous) }, 3) => {
                let Input::CompareAndSwap { expected, .. } = &operation.input else { return None };
                (previous != expected)
                    .then(|| Output::Swapped { swapped: true, previous: Some(expected.clone()) })?
            }
            _ => return None,
        };
        Some((at, output))
    });
    let (at, changed) = place?;
    if let Outcome::Returned { output, .. } = &mut operations[at].outcome {
        *output = changed;
    }
    Some(History::new(operations).expect("only an answer was changed"))
}

/// What the budget and others say holds for keys with deletes as for any: there, too, something is searched.
#[test]
fn keys_with_deletes_keep_to_the_budget_and_end_when_told_to() {
    let history = workload::history(Workload { keys: 1, ..MIXED }, 1);
    let cancel = Cancel::new();
    cancel.cancel();
    let told = Options { cancel: Some(cancel), ..Options::default() };
    let late = Options { deadline: Some(Instant::now()), ..Options::default() };
    let budget = Budget { configurations: 500, ..BUDGET };
    let few = Options { budget, ..Options::default() };
    for (options, limit) in [(told, Limit::Cancelled), (late, Limit::Deadline), (few, Limit::Configurations)]
    {
        match check(&Kv, &history, &options) {
            Verdict::Undecided(undecided) => {
                assert_eq!(undecided.limit, limit);
                assert!((64..=500).contains(&undecided.configurations), "{undecided}");
                assert!(undecided.order.len() >= 64, "{undecided}");
            }
            verdict => panic!("{verdict:?}"),
        }
    }
}

/// A drawing takes no longer than the check may.
#[test]
fn a_drawing_looks_for_no_beginning_once_the_time_is_over() {
    let sound = workload::history(Workload { keys: 1, ..MIXED }, 1);
    let (history, verdict) = (0..60)
        .filter_map(|seed| falsified(&sound, seed))
        .map(|history| (check(&Kv, &history, &Options::default()), history))
        .find_map(|(verdict, history)| verdict.violation().is_some().then_some((history, verdict)))
        .expect("a wrong answer is found");
    let late = Options { deadline: Some(Instant::now()), ..Options::default() };
    let draw = |options| html::draw(&Kv, &history, &verdict, &html::Labels::default(), options);
    assert!(draw(&late).contains("\"keys\":[]"));
    assert!(draw(&Options::default()).contains("\"keys\":[{"));
}

/// Failed swaps say only what they did not find. Most fit into any order; others are looked for that leave
/// room for the rest.
#[test]
fn failed_swaps_that_do_not_say_what_they_found_fit_into_the_order() {
    let terse = Workload { terse: true, gets: 25, puts: 15, deletes: 0, swaps: 60, ..MIXED };
    for (deletes, puts) in [(0, 15), (2, 13), (10, 5)] {
        for appends in [0, 20] {
            for (clients, seed) in [(100, 1), (100, 2), (300, 1), (300, 2)] {
                let swaps = terse.swaps - appends;
                let workload = Workload { deletes, puts, swaps, clients, keys: 1, ..terse };
                let verdict = judge(&workload::history(workload, seed));
                assert_eq!(verdict, Ok(()), "{workload:?}, seed {seed}");
            }
        }
    }
}
