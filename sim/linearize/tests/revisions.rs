//! Revisions make a check linear where it would need a search, and never change a verdict.
//!
//! # Rules broken on purpose
//!
//! Each was broken alone, and these tests failed.
//!
//! | Rule broken | Caught by |
//! | --- | --- |
//! | an order that does not stand its replay is no proof | four of five |
//! | changes come before what was seen after them | the first two |
//! | an operation of unknown outcome has a place, too | `those_without_a_revision_are_placed_between_the_others` |

mod random;
#[path = "../benches/workload/mod.rs"]
mod workload;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use linearizability::kv::{Input, Kv, KvHistory, KvOperation, Output};
use linearizability::{
    Budget, HistoryError, Lens, Model, Options, Outcome, Recorder, Verdict, check, oracle, witness,
};
use proptest::prelude::*;
use random::{Family, select};
use workload::Workload;

/// The store without its direct decision, which counts what is asked of it.
#[derive(Default)]
struct Counted {
    steps: AtomicU64,
}

impl Model for Counted {
    type Input = Input;
    type Output = Output;
    type State = Option<Bytes>;
    type Key<'a> = <Kv as Model>::Key<'a>;

    fn init(&self) -> Self::State {
        Kv.init()
    }

    fn step(&self, state: &Self::State, input: &Input, output: Option<&Output>) -> Option<Self::State> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        Kv.step(state, input, output)
    }

    fn partition<'a>(&self, input: &'a Input) -> Self::Key<'a> {
        Kv.partition(input)
    }

    fn observes(&self, input: &Input, output: &Output) -> bool {
        Kv.observes(input, output)
    }

    fn lens<'a>(&'a self, operations: &'a [KvOperation], part: &[u32]) -> Lens<'a, Self::State> {
        Kv.lens(operations, part)
    }

    fn may_enable(&self, change: &KvOperation, waiting: &KvOperation) -> bool {
        Kv.may_enable(change, waiting)
    }

    fn unobserved(&self, operations: &[KvOperation], part: &[u32]) -> Vec<u32> {
        Kv.unobserved(operations, part)
    }

    fn support(&self, operations: &[KvOperation], part: &[u32], operation: u32) -> Vec<u32> {
        Kv.support(operations, part, operation)
    }
}

/// A thousand clients on four keys, with all five operations: what `testclient check` does.
const THOUSAND: Workload = Workload {
    operations: 8_000,
    clients: 1_000,
    keys: 4,
    gets: 40,
    puts: 15,
    deletes: 5,
    swaps: 15,
    unknown: 0,
    values: 0,
    terse: false,
    stale: false,
    revisions: true,
};

/// No search of the whole may be begun.
const NO_SEARCH: Options = Options {
    budget: Budget { configurations: 0, bytes: 1 << 30 },
    parallel: false,
    witness: true,
    smallest: true,
    deadline: None,
    cancel: None,
};

fn steps_of(history: &KvHistory) -> u64 {
    let model = Counted::default();
    match check(&model, history, &NO_SEARCH) {
        Verdict::Linearizable { witness } => assert_eq!(witness::replay(&Kv, history, &witness), Ok(())),
        other => panic!("{other:?}"),
    }
    assert!(check(&Kv, history, &NO_SEARCH).is_linearizable());
    model.steps.load(Ordering::Relaxed)
}

#[test]
fn a_thousand_clients_are_judged_in_linear_time() {
    for operations in [2_000, 8_000] {
        let history = workload::history(Workload { operations, ..THOUSAND }, 3);
        assert_eq!(steps_of(&history), operations as u64, "each operation is replayed once");
    }
    let without = workload::history(Workload { operations: 2_000, revisions: false, ..THOUSAND }, 3);
    let budget = Budget { configurations: 20_000, bytes: 1 << 30 };
    let verdict = check(&Counted::default(), &without, &Options { budget, ..Options::default() });
    assert!(matches!(verdict, Verdict::Undecided(_)), "it takes no revisions: this history is too easy");
}

#[test]
fn those_without_a_revision_are_placed_between_the_others() {
    for operations in [2_000, 8_000] {
        let history = workload::history(Workload { operations, unknown: 2, ..THOUSAND }, 3);
        let steps = steps_of(&history);
        println!("{operations} operations, {steps} steps");
        assert!(steps < 16 * operations as u64, "{steps} steps for {operations} operations");
    }
}

#[test]
fn a_stale_read_is_found_in_spite_of_its_revision() {
    let key = Bytes::from_static(b"k");
    let mut recorder = Recorder::new();
    for (n, value) in [(0u64, "a"), (2, "b")] {
        recorder.call(1, n, Input::Put { key: key.clone(), value: value.into() }).expect("a call");
        recorder.returned_at_revision(1, n + 1, Output::Done, n + 1).expect("a return");
    }
    recorder.call(2, 4, Input::Get { key }).expect("a call");
    recorder.returned_at_revision(2, 5, Output::Value(Some("a".into())), 1).expect("a return");
    let history = recorder.finish();
    assert_eq!(
        history.revision(2),
        Some(1),
        "the order of the revisions explains the value, but not the clock"
    );
    for judged in
        [check(&Kv, &history, &Options::default()), check(&Counted::default(), &history, &Options::default())]
    {
        assert!(judged.violation().is_some(), "{judged:?}");
    }
}

#[test]
fn revisions_come_with_answers_one_for_each() {
    let mut recorder = Recorder::new();
    let put = |value: &'static str| Input::Put { key: "k".into(), value: value.into() };
    recorder.call(1, 0, put("a")).expect("a call");
    recorder.withdrawn(1, 1).expect("a return");
    recorder.call(1, 2, put("b")).expect("a call");
    recorder.returned_at_revision(1, 3, Output::Done, 7).expect("a return");
    recorder.call(1, 4, put("c")).expect("a call");
    let history = recorder.finish();
    assert_eq!((history.len(), history.revision(0), history.revision(1)), (2, Some(7), None));
    let unanswered = history.clone().with_revisions(vec![None, Some(8)]);
    assert_eq!(unanswered, Err(HistoryError::RevisionWithoutAnswer { operation: 1, revision: 8 }));
    let miscounted = history.clone().with_revisions(vec![None]);
    assert_eq!(miscounted, Err(HistoryError::RevisionsMiscounted { revisions: 1, operations: 2 }));
    let none = history.with_revisions(vec![None, None]).expect("none at all");
    assert!(!none.has_revisions());
}

/// Numbers that look like revisions: right ones as far as that is known, some exchanged, missing or drawn.
fn revisions(history: &KvHistory, draw: &mut impl FnMut(u64) -> u64) -> Vec<Option<u64>> {
    let way = draw(3);
    let operations = history.operations();
    let mut order: Vec<usize> = (0..operations.len()).collect();
    order.sort_by_key(|&index| match &operations[index].outcome {
        Outcome::Returned { at, .. } => operations[index].call + draw(at - operations[index].call + 1),
        Outcome::Unknown => 0,
    });
    let mut revisions = vec![None; operations.len()];
    let mut revision = 0;
    for index in order {
        revision += u64::from(!matches!(operations[index].input, Input::Get { .. }));
        let told = if way == 0 { draw(4) } else { revision };
        let is_told = operations[index].output().is_some() && (way < 2 || draw(5) > 0);
        revisions[index] = is_told.then_some(told);
    }
    revisions
}

#[test]
fn revisions_never_change_a_verdict() {
    let draws = Cell::new(1u64);
    let proved = Cell::new(0);
    for (mix, values) in [([4, 3, 3, 2, 3], 0), ([4, 3, 3, 2, 3], 2), ([5, 5, 0, 0, 0], 0)] {
        let family = Family { mix, values, terse: false, operations_max: 8 };
        random::run(family, 1_500, |history| {
            let mut draw = |bound: u64| {
                draws.set(draws.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
                (draws.get() >> 33) % bound
            };
            let expected =
                oracle::is_linearizable(&Kv, &select(&history, &(0..history.len()).collect::<Vec<_>>()));
            let revisions = revisions(&history, &mut draw);
            let history = history.with_revisions(revisions).expect("only answers have one");
            for verdict in [
                check(&Kv, &history, &Options::default()),
                check(&Counted::default(), &history, &Options::default()),
            ] {
                prop_assert_eq!(verdict.is_linearizable(), expected, "{:?}", verdict);
                if let Verdict::Linearizable { witness } = verdict {
                    prop_assert_eq!(witness::replay(&Kv, &history, &witness), Ok(()));
                }
            }
            let unsearched = check(&Counted::default(), &history, &NO_SEARCH);
            proved.set(proved.get() + u64::from(unsearched.is_linearizable()));
            Ok(())
        });
    }
    assert!(proved.get() > 300, "the revisions explained only {} histories", proved.get());
}
