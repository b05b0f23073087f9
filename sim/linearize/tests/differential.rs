//! The checker against the textbook oracle, on random small histories.
//!
//! `LINEARIZE_CASES` sets the number of histories for each family.
//!
//! # Rules broken on purpose
//!
//! Each was broken alone, and these tests failed with at most 1500 histories for each family. The number is
//! how many of the families failed; where they are few, they are named.
//!
//! | Direct decision: rule broken | Caught by |
//! | --- | ---: |
//! | a write may return before what it continues was called | 11 |
//! | a read may return before its version was written | 19 |
//! | the calls of reads do not extend a zone | 19 |
//! | the returns of reads do not begin a zone | 14 |
//! | circles of swaps are not looked for | `repeated_swaps`, and without answers |
//! | forward zones may overlap | 16 |
//! | a backward zone may lie inside a forward one | 19 |
//! | a backward zone may not touch a forward one | 19 |
//! | backward zones are ordered by their ends | 17 |
//! | an append may be seen twice | 3 |
//! | values of one era need not begin the longest | 4 |
//! | two swaps may find the same version | `everything_unique`, `repeated_swaps_without_answers` |
//! | an overwritten version may be seen | 5 |
//! | a doubtful read keeps its latest version for good | 9 |
//! | statements about what a value was not are not tried | 3 |
//! | a failed swap fits anywhere | 3 |
//! | a failed swap may come after its return | 3 |
//!
//! | Search: rule broken | Caught by |
//! | --- | ---: |
//! | configurations are remembered without their state | 19 |
//! | configurations are remembered without what is optional | 5 |
//! | optional operations may come before their calls | 17 |
//! | the look-ahead forgets optional operations | 19 |
//! | of one class, the one that returns last is taken | 11 |
//! | whatever an optional operation did is hidden by the next | 19 |
//! | an append enables what begins with it | 11 |
//! | unseen changes are dropped in spite of statements about what a value was not | 9 |
//! | the lens: every append leaves a dead value | 11 |
//! | the lens: every put does | 18 |
//! | the lens: a value that can grow into a named one is dead | 11 |
//! | the lens: absence and a dead value are one state | 19 |
//!
//! | Contradiction made small: rule broken | Caught by |
//! | --- | ---: |
//! | a set keeps what has lost its support | 12 |
//! | the pass over operations leaves one out after each trial | 18 |
//! | the last observer is taken as needed untried | 11 |
//!
//! One rule can be broken unseen: that a version called after a read returned is not considered as its
//! source. It saves time only: such a source contradicts the read at once, and a doubtful one is left to the
//! search.

mod random;
#[path = "../benches/workload/mod.rs"]
mod workload;

use linearizability::kv::{Input, Kv, KvHistory, KvOperation, Output};
use linearizability::{
    Decision, History, Lens, Model, Options, Outcome, Reason, Verdict, check, oracle, witness,
};
use proptest::prelude::*;
use random::{Family, select};
use workload::Workload;

/// The store without anything that makes checking fast: only the search itself is left.
struct Plain;

impl Model for Plain {
    type Input = Input;
    type Output = Output;
    type State = Option<bytes::Bytes>;
    type Key<'a> = ();

    fn init(&self) -> Self::State {
        Kv.init()
    }

    fn partition(&self, _input: &Input) {}

    fn step(&self, state: &Self::State, input: &Input, output: Option<&Output>) -> Option<Self::State> {
        Kv.step(state, input, output)
    }
}

/// The store with every help for the search, but without the direct decision.
struct Searched;

impl Model for Searched {
    type Input = Input;
    type Output = Output;
    type State = Option<bytes::Bytes>;
    type Key<'a> = ();

    fn init(&self) -> Self::State {
        Kv.init()
    }

    fn partition(&self, _input: &Input) {}

    fn step(&self, state: &Self::State, input: &Input, output: Option<&Output>) -> Option<Self::State> {
        Kv.step(state, input, output)
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

fn judge<M>(model: &M, history: &KvHistory, expected: bool) -> Result<(), TestCaseError>
where
    M: Model<Input = Input, Output = Output> + Sync,
    M::State: Send,
{
    match check(model, history, &Options::default()) {
        Verdict::Linearizable { witness } => {
            prop_assert!(expected, "accepted, but the oracle finds no order");
            prop_assert_eq!(witness::replay(model, history, &witness), Ok(()));
        }
        Verdict::Violation(violation) => {
            prop_assert!(!expected, "rejected, but the oracle finds an order: {}", violation);
            let mut set: Vec<usize> = [&violation.operations[..], &violation.support[..]].concat();
            set.sort_unstable();
            let count = set.len();
            set.dedup();
            prop_assert_eq!(set.len(), count, "listed twice: {:?}", violation);
            let alone = oracle::is_linearizable(&Kv, &select(history, &set));
            prop_assert!(!alone, "not a contradiction on its own: {:?}", violation);
            // A direct decision knows more closely than `Model::support` what an operation can have seen.
            if matches!(violation.reason, Reason::NoOrder { .. }) {
                prop_assert_eq!(&closed(history, set.clone()), &set, "without support: {:?}", violation);
            }
            // With deletes, others may explain an operation that is named as a fact.
            let deletes = |operation: &KvOperation| matches!(operation.input, Input::Delete { .. });
            let is_fact = !matches!(violation.reason, Reason::NoOrder { .. });
            if is_fact && history.operations().iter().any(deletes) {
                return Ok(());
            }
            for &one in &set {
                let rest = closed(history, set.iter().copied().filter(|&other| other != one).collect());
                let smaller = !oracle::is_linearizable(&Kv, &select(history, &rest));
                prop_assert!(!smaller, "still a contradiction without {}: {:?}", one, violation);
            }
        }
        Verdict::Undecided(undecided) => prop_assert!(false, "{undecided}"),
    }
    Ok(())
}

/// What is told as it was found is a contradiction, too, if a larger one.
fn judge_as_found<M>(model: &M, history: &KvHistory, expected: bool) -> Result<(), TestCaseError>
where
    M: Model<Input = Input, Output = Output> + Sync,
    M::State: Send,
{
    let verdict = check(model, history, &Options { smallest: false, ..Options::default() });
    prop_assert_eq!(verdict.is_linearizable(), expected);
    if let Verdict::Violation(violation) = verdict {
        let mut set: Vec<usize> = [&violation.operations[..], &violation.support[..]].concat();
        set.sort_unstable();
        let alone = oracle::is_linearizable(&Kv, &select(history, &set));
        prop_assert!(!alone, "not a contradiction on its own: {:?}", violation);
    }
    Ok(())
}

/// Leaves out what has lost a write that it may have seen.
fn closed(history: &KvHistory, mut set: Vec<usize>) -> Vec<usize> {
    let all: Vec<u32> = (0..history.len() as u32).collect();
    loop {
        let kept: Vec<usize> = set
            .iter()
            .copied()
            .filter(|&one| {
                let support = Kv.support(history.operations(), &all, one as u32);
                support.iter().all(|needed| set.contains(&(*needed as usize)))
            })
            .collect();
        if kept.len() == set.len() {
            return kept;
        }
        set = kept;
    }
}

/// Values are unique but for absence, and every answer tells what was found: that takes no search.
fn decided_without_a_search(history: &KvHistory) -> Result<(), TestCaseError> {
    let part: Vec<u32> = (0..history.len() as u32).collect();
    let decision = Kv.decide(history.operations(), &part, &Options::default());
    prop_assert!(!matches!(decision, Decision::Open(_)), "left to the search");
    Ok(())
}

fn run(family: Family) {
    random::run(family, 3_000, |history| {
        let expected = oracle::is_linearizable(&Kv, history.operations());
        if family.values == 0 && !family.terse {
            decided_without_a_search(&history)?;
        }
        judge(&Kv, &history, expected)?;
        judge(&Searched, &history, expected)?;
        judge_as_found(&Kv, &history, expected)?;
        judge_as_found(&Searched, &history, expected)?;
        let plain = check(&Plain, &history, &Options { witness: false, ..Options::default() });
        prop_assert_eq!(plain.is_linearizable(), expected, "the bare search disagrees with the oracle");
        Ok(())
    });
}

macro_rules! families {
    ($($name:ident: $mix:expr, values $values:expr, terse $terse:expr;)*) => {
        $(#[test]
        fn $name() {
            run(Family { mix: $mix, values: $values, terse: $terse, operations_max: 8 });
        })*
    };
}

families! {
    unique_puts: [5, 5, 0, 0, 0], values 0, terse false;
    unique_puts_and_appends: [5, 2, 4, 0, 0], values 0, terse false;
    unique_appends_only: [5, 0, 5, 0, 0], values 0, terse false;
    unique_swaps: [4, 3, 0, 0, 4], values 0, terse false;
    unique_swaps_without_answers: [4, 3, 0, 0, 4], values 0, terse true;
    unique_swaps_and_appends: [4, 2, 3, 0, 3], values 0, terse false;
    deletes: [4, 4, 0, 3, 0], values 0, terse false;
    deletes_without_answers: [4, 4, 0, 3, 0], values 0, terse true;
    repeated_puts: [5, 5, 0, 0, 0], values 3, terse false;
    repeated_swaps: [4, 3, 0, 0, 4], values 3, terse false;
    repeated_swaps_without_answers: [4, 3, 0, 0, 4], values 3, terse true;
    ambiguous_appends: [5, 3, 5, 0, 0], values 12, terse false;
    appends_and_deletes: [4, 2, 5, 3, 0], values 0, terse false;
    appends_and_deletes_without_answers: [4, 2, 5, 3, 0], values 0, terse true;
    repeated_appends_and_deletes: [4, 2, 5, 3, 0], values 3, terse false;
    everything_unique: [4, 3, 3, 2, 3], values 0, terse false;
    everything_unique_without_answers: [4, 3, 3, 2, 3], values 0, terse true;
    swaps_and_deletes: [2, 1, 0, 4, 4], values 0, terse false;
    swaps_and_deletes_without_answers: [2, 1, 0, 4, 4], values 0, terse true;
    mostly_deletes: [3, 1, 1, 6, 1], values 0, terse false;
    everything_repeated: [4, 3, 3, 2, 3], values 2, terse false;
    everything_ambiguous_and_terse: [4, 3, 3, 2, 3], values 12, terse true;
}

/// Long histories are read in one pass over all keys, or over those of a thread; short ones key by key.
#[test]
fn long_histories_get_the_verdict_that_each_key_gets_alone() {
    let base = Workload { operations: 40_000, keys: 200, unknown: 5, ..Workload::default() };
    let mixes = [
        base,
        Workload { gets: 40, puts: 10, ..base },
        Workload { gets: 40, puts: 20, swaps: 30, deletes: 10, ..base },
        Workload { gets: 40, puts: 20, swaps: 20, deletes: 10, keys: 2_000, ..base },
        Workload { values: 1_000, ..base },
    ];
    for mix in mixes {
        for stale in [false, true] {
            let history = workload::history(Workload { stale, ..mix }, 11);
            judge_in_another_order(&history, stale);
            let together = check(&Kv, &history, &Options::default());
            let apart = check(&Kv, &history, &Options { parallel: true, ..Options::default() });
            assert_eq!(together, apart, "{mix:?}, stale: {stale}");
            match &together {
                Verdict::Linearizable { witness } => {
                    assert_eq!(witness::replay(&Kv, &history, witness), Ok(()), "{mix:?}");
                }
                Verdict::Violation(violation) => assert!(stale, "{mix:?}: {violation}"),
                Verdict::Undecided(undecided) => panic!("{mix:?}: {undecided}"),
            }
        }
    }
}

/// Many keys contradict: the one that appears first is told, whichever thread finds one first.
#[test]
fn the_first_key_with_a_contradiction_is_told() {
    let base = Workload { operations: 40_000, keys: 200, ..Workload::default() };
    let mut operations = workload::history(base, 11).operations().to_vec();
    let mut keys: Vec<bytes::Bytes> = Vec::new();
    for operation in &mut operations {
        let key = operation.input.key();
        if !keys.contains(key) {
            keys.push(key.clone());
        }
        let sound = keys.iter().take(50).any(|early| early == key);
        if let (false, Outcome::Returned { output: Output::Value(value), .. }) =
            (sound, &mut operation.outcome)
        {
            *value = Some("written by nobody".into());
        }
    }
    let history = History::new(operations).expect("only answers were changed");
    for parallel in [false, true] {
        let Verdict::Violation(violation) = check(&Kv, &history, &Options { parallel, ..Options::default() })
        else {
            panic!("a value that nobody wrote was taken");
        };
        assert_eq!(violation.key, keys[50], "parallel: {parallel}");
    }
}

/// A history may list one process after another instead of going by the clock.
fn judge_in_another_order(history: &KvHistory, stale: bool) {
    let mut operations = history.operations().to_vec();
    operations.sort_by_key(|operation| operation.process);
    let history = History::new(operations).expect("each process keeps its order");
    match check(&Kv, &history, &Options::default()) {
        Verdict::Linearizable { witness } => assert_eq!(witness::replay(&Kv, &history, &witness), Ok(())),
        Verdict::Violation(violation) => assert!(stale, "{violation}"),
        Verdict::Undecided(undecided) => panic!("{undecided}"),
    }
}
