//! The growing check against the check of every prefix.
//!
//! `LINEARIZE_CASES` sets the number of histories for each family.

mod random;

use bytes::Bytes;
use linearizability::kv::monitor::Monitor;
use linearizability::kv::{Input, Kv, KvHistory, KvOperation, Output};
use linearizability::{Budget, History, Options, Outcome, check};
use proptest::prelude::*;
use random::{Family, select};

const BUDGET: Budget = Budget { configurations: 100_000, bytes: 1 << 28 };

/// A call (`false`) or a return (`true`) of an operation, in the order of time; calls first among equals.
fn events(history: &KvHistory) -> Vec<(u64, bool, usize)> {
    let mut events = Vec::new();
    for (index, operation) in history.operations().iter().enumerate() {
        events.push((operation.call, false, index));
        events.extend(operation.returned_at().map(|at| (at, true, index)));
    }
    events.sort_unstable();
    events
}

/// The history as it was known after some events, with operations in the order of their calls.
fn prefix(history: &KvHistory, events: &[(u64, bool, usize)]) -> Vec<KvOperation> {
    let mut known = Vec::new();
    let mut place = vec![0; history.len()];
    for &(_, returned, index) in events {
        let operation = &history.operations()[index];
        if returned {
            let known: &mut KvOperation = &mut known[place[index]];
            known.outcome = operation.outcome.clone();
        } else {
            place[index] = known.len();
            known.push(KvOperation { outcome: Outcome::Unknown, ..operation.clone() });
        }
    }
    known
}

fn agrees(history: &KvHistory, eager: bool) -> Result<(), TestCaseError> {
    let events = events(history);
    let mut monitor = Monitor::new(BUDGET);
    if eager {
        monitor = monitor.eager();
    }
    let mut done = 0;
    for &(at, returned, index) in &events {
        let operation = &history.operations()[index];
        done += 1;
        let Some(output) = operation.output().filter(|_| returned) else {
            monitor.call(operation.process, at, operation.input.clone()).expect("a call in order");
            if operation.output().is_none() {
                monitor.unknown(operation.process, at).expect("just called");
            }
            continue;
        };
        let found = monitor.returned(operation.process, at, output.clone()).expect("a return in order");
        let known = History::new(prefix(history, &events[..done])).expect("a prefix of a history");
        let verdict = check(&Kv, &known, &Options::default());
        prop_assert_eq!(
            found.is_some(),
            verdict.violation().is_some(),
            "after {} events the monitor finds {:?}, and the check of the prefix {:?}",
            done,
            found,
            verdict
        );
        if let Some(violation) = found {
            let all = [&violation.operations[..], &violation.support[..]].concat();
            prop_assert!(select(&known, &all).len() == all.len() && !violation.sentence.is_empty());
            return Ok(());
        }
    }
    prop_assert_eq!(monitor.finish(), None);
    Ok(())
}

fn run(family: Family) {
    random::run(family, 600, |history| {
        agrees(&history, true)?;
        agrees(&history, false)
    });
}

macro_rules! families {
    ($($name:ident: $mix:expr, values $values:expr, terse $terse:expr;)*) => {
        $(#[test]
        fn $name() {
            run(Family { mix: $mix, values: $values, terse: $terse, operations_max: 14 });
        })*
    };
}

families! {
    unique_puts: [5, 5, 0, 0, 0], values 0, terse false;
    unique_puts_and_appends: [5, 2, 4, 0, 0], values 0, terse false;
    unique_swaps: [4, 3, 0, 0, 4], values 0, terse false;
    unique_swaps_without_answers: [4, 3, 0, 0, 4], values 0, terse true;
    unique_swaps_and_appends: [4, 2, 3, 0, 3], values 0, terse false;
    deletes: [4, 4, 0, 3, 0], values 0, terse false;
    repeated_puts: [5, 5, 0, 0, 0], values 3, terse false;
    everything_unique: [4, 3, 3, 2, 3], values 0, terse false;
    everything_repeated: [4, 3, 3, 2, 3], values 2, terse false;
    everything_ambiguous_and_terse: [4, 3, 3, 2, 3], values 12, terse true;
}

/// Clients that always have an operation open on one key, with one client in ten that never gets an answer.
#[test]
fn memory_is_bounded_by_what_is_open() {
    let key = Bytes::from_static(b"hot");
    for appends in [false, true] {
        let mut monitor = Monitor::new(BUDGET);
        let mut value: Vec<u8> = Vec::new();
        let mut most = 0;
        for round in 0..4000u64 {
            let at = round * 10;
            let token = Bytes::from(format!("{round},"));
            let write = match appends {
                true => Input::Append { key: key.clone(), value: token.clone() },
                false => Input::Put { key: key.clone(), value: token.clone() },
            };
            if !appends {
                value.clear();
            }
            value.extend_from_slice(&token);
            monitor.call(round % 5, at, write).expect("free");
            monitor.call(5 + round % 5, at + 1, Input::Get { key: key.clone() }).expect("free");
            assert_eq!(monitor.returned(round % 5, at + 2, Output::Done), Ok(None));
            let seen = Output::Value(Some(Bytes::from(value.clone())));
            assert_eq!(monitor.returned(5 + round % 5, at + 3, seen), Ok(None));
            most = most.max(monitor.held());
        }
        assert!(most <= 40, "{most} operations held although at most two were open");
        monitor.call(0, 50_000, Input::Get { key: key.clone() }).expect("free");
        let stale = monitor.returned(0, 50_001, Output::Value(Some(Bytes::from_static(b"7,"))));
        let violation = stale.expect("a return in order").expect("7 was overwritten long ago");
        assert_eq!(violation.operations.last(), Some(&8000), "{violation}");
    }
}

/// Feeds one client's operations, each at its own instants, and returns what the last one brought.
fn last_verdict(steps: &[(u64, u64, Input, Option<Output>)]) -> Option<linearizability::Violation> {
    let mut monitor = Monitor::new(BUDGET).eager();
    let mut found = None;
    for (process, (call, at, input, output)) in steps.iter().enumerate() {
        assert_eq!(found, None, "reported before the last step");
        let process = process as u64;
        monitor.call(process, *call, input.clone()).expect("in order");
        match output {
            Some(output) => found = monitor.returned(process, *at, output.clone()).expect("in order"),
            None => monitor.unknown(process, *at).expect("in order"),
        }
    }
    found
}

#[test]
fn an_unknown_write_that_was_seen_cannot_happen_again() {
    let key = Bytes::from_static(b"k");
    let put =
        |value: &'static str| Input::Put { key: key.clone(), value: Bytes::from_static(value.as_bytes()) };
    let get = || Input::Get { key: key.clone() };
    let value = |value: &'static str| Some(Output::Value(Some(Bytes::from_static(value.as_bytes()))));
    let steps = [
        (1, 2, put("9"), Some(Output::Done)),
        (3, 4, Input::Delete { key: key.clone() }, Some(Output::Deleted { existed: Some(true) })),
        (5, 6, put("1"), None),
        (7, 8, get(), value("1")),
        (9, 10, put("2"), Some(Output::Done)),
        (11, 12, get(), value("2")),
        (13, 14, get(), value("1")),
    ];
    assert!(last_verdict(&steps).is_some());
}

#[test]
fn the_initial_state_lies_before_time_zero() {
    let key = Bytes::from_static(b"k");
    let get = || Input::Get { key: key.clone() };
    let seen = Some(Output::Value(Some(Bytes::from_static(b"0,"))));
    let steps = [
        (0, 0, Input::Append { key: key.clone(), value: Bytes::from_static(b"0,") }, None),
        (0, 0, get(), seen.clone()),
        (0, 1, Input::Put { key: key.clone(), value: Bytes::from_static(b"5,") }, Some(Output::Done)),
        (5, 5, get(), seen),
    ];
    assert!(last_verdict(&steps).is_some());
}
