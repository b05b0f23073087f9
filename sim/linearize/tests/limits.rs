//! Budgets, models other than the store, and histories that are none.

use bytes::Bytes;
use linearizability::kv::{Input, Kv, KvOperation, Output};
use linearizability::{
    Budget, History, HistoryError, Model, Operation, Options, Outcome, Reason, Recorder, Verdict, check,
    witness,
};

fn returned<I, O>(process: u64, call: u64, at: u64, input: I, output: O) -> Operation<I, O> {
    Operation { process, call, input, outcome: Outcome::Returned { at, output } }
}

/// How many appends make a history hard.
const APPENDS: usize = 16;

/// Concurrent appends that can be cut in many ways, and a read that no choice of them explains.
fn hard(key: &'static str) -> Vec<KvOperation> {
    let key = Bytes::from_static(key.as_bytes());
    let token = |number: usize| Bytes::from("1".repeat(number + 1));
    let mut operations: Vec<KvOperation> = (0..APPENDS)
        .map(|n| returned(n as u64, 0, 10, Input::Append { key: key.clone(), value: token(n) }, Output::Done))
        .collect();
    let all = "1".repeat((1..=APPENDS).sum::<usize>() - 1);
    operations.push(returned(20, 11, 12, Input::Get { key }, Output::Value(Some(all.into()))));
    operations
}

fn numbered(mut operations: Vec<KvOperation>) -> linearizability::kv::KvHistory {
    operations.iter_mut().enumerate().for_each(|(index, operation)| operation.process = index as u64);
    History::new(operations).expect("every operation has its own process")
}

#[test]
fn a_spent_budget_is_no_verdict_and_says_where_it_went() {
    let history = numbered(hard("a"));
    let budget = Budget { configurations: 500, bytes: 1 << 30 };
    match check(&Kv, &history, &Options { budget, ..Options::default() }) {
        Verdict::Undecided(undecided) => {
            assert_eq!((undecided.key.as_slice(), undecided.keys), (&b"a"[..], 1));
            assert!(undecided.configurations >= 500 && undecided.configurations < 600, "{undecided}");
            assert!(!undecided.open.is_empty());
        }
        other => panic!("{other:?}"),
    }
    let budget = Budget { configurations: u64::MAX, bytes: 200_000 };
    match check(&Kv, &history, &Options { budget, ..Options::default() }) {
        Verdict::Undecided(undecided) => assert!(undecided.bytes > 200_000, "{undecided}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_budget_of_nothing_is_no_verdict() {
    let push = Operation { process: 0, call: 0, input: Ask::Push(1), outcome: Outcome::Unknown };
    let history = History::new(vec![push]).expect("one operation");
    let budget = Budget { configurations: 0, bytes: 0 };
    match check(&Queue, &history, &Options { budget, ..Options::default() }) {
        Verdict::Undecided(undecided) => assert_eq!(undecided.open, [0; 0]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_cheap_contradiction_does_not_wait_for_a_hard_key() {
    let mut operations = hard("a");
    let key = Bytes::from_static(b"b");
    let append =
        |n: u64| Input::Append { key: Bytes::from_static(b"b"), value: Bytes::from(["1", "11"][n as usize]) };
    operations.push(returned(0, 20, 21, append(0), Output::Done));
    operations.push(returned(0, 22, 23, append(1), Output::Done));
    operations.push(returned(0, 24, 25, Input::Get { key }, Output::Value(Some(Bytes::from_static(b"11")))));
    let history = numbered(operations);
    for parallel in [false, true] {
        let budget = Budget { configurations: 30_000, bytes: 1 << 30 };
        let verdict = check(&Kv, &history, &Options { budget, parallel, ..Options::default() });
        let violation = verdict.violation().unwrap_or_else(|| panic!("{verdict:?}"));
        assert_eq!(violation.key, b"b");
        assert!(matches!(violation.reason, Reason::NoOrder { .. }), "{violation:?}");
        assert_eq!(violation.operations, [APPENDS + 1, APPENDS + 2, APPENDS + 3]);
    }
}

/// A first-in-first-out queue: any object with a sequential meaning can be judged.
struct Queue;

#[derive(Clone, Copy, Debug)]
enum Ask {
    Push(u8),
    Pop,
}

impl Model for Queue {
    type Input = Ask;
    type Output = Option<u8>;
    type State = Vec<u8>;
    type Key<'a> = ();

    fn init(&self) -> Vec<u8> {
        Vec::new()
    }

    fn partition(&self, _input: &Ask) {}

    fn step(&self, state: &Vec<u8>, input: &Ask, output: Option<&Option<u8>>) -> Option<Vec<u8>> {
        let mut next = state.clone();
        let given = match *input {
            Ask::Push(item) => {
                next.push(item);
                None
            }
            Ask::Pop if next.is_empty() => None,
            Ask::Pop => Some(next.remove(0)),
        };
        output.is_none_or(|output| *output == given).then_some(next)
    }
}

#[test]
fn any_sequential_object_can_be_judged() {
    let push = |process, call, at, item| returned(process, call, at, Ask::Push(item), None);
    let pop = |process, call, at, item| returned(process, call, at, Ask::Pop, item);
    let legal = vec![push(0, 0, 10, 1), push(1, 0, 10, 2), pop(2, 11, 12, Some(2)), pop(2, 13, 14, Some(1))];
    let history = History::new(legal.clone()).expect("a history");
    match check(&Queue, &history, &Options::default()) {
        Verdict::Linearizable { witness } => assert_eq!(witness::replay(&Queue, &history, &witness), Ok(())),
        other => panic!("{other:?}"),
    }
    let mut illegal = legal;
    illegal[1].call = 11;
    illegal[1].outcome = Outcome::Returned { at: 11, output: None };
    illegal[2].call = 12;
    let history = History::new(illegal).expect("a history");
    let verdict = check(&Queue, &history, &Options::default());
    let violation = verdict.violation().expect("1 was first in the queue");
    // The last pop was called after all is lost.
    assert_eq!(violation.operations, [0, 1, 2]);
}

#[test]
fn an_order_that_is_none_is_refuted() {
    let operations = vec![returned(0, 0, 1, Ask::Push(7), None), returned(0, 2, 3, Ask::Pop, Some(7))];
    let history = History::new(operations).expect("a history");
    use witness::Refutation;
    assert_eq!(witness::replay(&Queue, &history, &[0, 1]), Ok(()));
    assert_eq!(witness::replay(&Queue, &history, &[0]), Err(Refutation::Missing(1)));
    assert_eq!(witness::replay(&Queue, &history, &[1, 0]), Err(Refutation::Illegal(1)));
    assert_eq!(witness::replay(&Queue, &history, &[0, 0]), Err(Refutation::NotAnOrder(0)));
    assert_eq!(witness::replay(&Queue, &history, &[5]), Err(Refutation::NotAnOrder(5)));
    let pushes = vec![returned(0, 0, 1, Ask::Push(7), None), returned(0, 2, 3, Ask::Push(8), None)];
    let history = History::new(pushes).expect("a history");
    let against = Refutation::AgainstTheClock { first: 0, second: 1 };
    assert_eq!(witness::replay(&Queue, &history, &[1, 0]), Err(against));
}

#[test]
fn what_is_no_history_is_refused_with_a_reason() {
    let push = |process, call, at| returned(process, call, at, Ask::Push(1), None::<u8>);
    let refused = |operations| History::new(operations).expect_err("not a history");
    assert_eq!(
        refused(vec![push(3, 5, 4)]),
        HistoryError::ReturnBeforeCall { operation: 0, process: 3, call: 5, returned: 4 }
    );
    assert_eq!(
        refused(vec![push(3, 0, 5), push(3, 4, 6)]),
        HistoryError::Overlap { process: 3, previous: 0, operation: 1, call: 4 }
    );
    assert!(matches!(refused(vec![push(3, 5, 6), push(3, 0, 1)]), HistoryError::ClockWentBack { .. }));
    assert!(matches!(refused(vec![push(3, 5, u64::MAX)]), HistoryError::TimeTooLarge { operation: 0, .. }));
    let mut recorder: Recorder<Ask, Option<u8>> = Recorder::new();
    assert_eq!(recorder.returned(9, 1, None), Err(HistoryError::ReturnWithoutCall { process: 9, at: 1 }));
    assert_eq!(recorder.call(9, 5, Ask::Pop), Ok(0));
    assert!(matches!(recorder.call(9, 6, Ask::Pop), Err(HistoryError::Overlap { previous: 0, .. })));
    assert!(matches!(recorder.returned(9, 4, None), Err(HistoryError::ClockWentBack { from: 5, to: 4, .. })));
    assert_eq!(recorder.unknown(9, 7), Ok(0));
    assert_eq!(recorder.call(9, 8, Ask::Push(1)), Ok(1));
    assert_eq!(recorder.withdrawn(9, 9), Ok(1));
    let history = recorder.finish();
    assert_eq!((history.len(), history.operations()[0].returned_at()), (1, None));
}

#[test]
fn an_answer_of_another_operation_is_a_contradiction_and_no_panic() {
    let key = Bytes::from_static(b"k");
    let history = numbered(vec![returned(0, 0, 1, Input::Get { key }, Output::Done)]);
    let verdict = check(&Kv, &history, &Options::default());
    let violation = verdict.violation().expect("a get does not answer like a put");
    assert_eq!(violation.reason, Reason::Impossible { operation: 0 });
}
