//! Random small histories: executed on one store at random instants, then perhaps falsified.

use bytes::Bytes;
use linearizability::kv::{Input, Kv, KvHistory, KvOperation, Output};
use linearizability::{History, Model, Operation, Outcome};
use proptest::prelude::*;

/// Which operations and values a family of histories is made of.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Weights of get, put, append, delete, compare-and-swap.
    pub mix: [u32; 5],
    /// Values are drawn from so many; 0 makes each unique.
    pub values: u8,
    /// Whether answers leave out what a foreign log does not record.
    pub terse: bool,
    pub operations_max: usize,
}

/// One operation before its execution.
#[derive(Clone, Debug)]
struct Draft {
    kind: u8,
    call: u64,
    length: u64,
    effect: u64,
    value: u8,
    expected: u8,
    /// 0..20: unknown and effective, unknown and without effect, answered, falsified.
    fate: u8,
    lie: u8,
}

/// Histories of one family; about a third of them are not linearizable.
fn histories(family: Family) -> impl Strategy<Value = KvHistory> {
    let kinds = family.mix.iter().enumerate().map(|(kind, &weight)| (weight, Just(kind as u8)));
    let kind = proptest::strategy::Union::new_weighted(kinds.filter(|(weight, _)| *weight > 0).collect());
    let draft = (kind, 0..16u64, 0..8u64, 0..8u64, any::<u8>(), any::<u8>(), 0..20u8, any::<u8>()).prop_map(
        |(kind, call, length, effect, value, expected, fate, lie)| Draft {
            kind,
            call,
            length,
            effect,
            value,
            expected,
            fate,
            lie,
        },
    );
    (prop::collection::vec(draft, 1..=family.operations_max), 0..4u8)
        .prop_map(move |(drafts, lies)| execute(family, &drafts, lies))
}

/// Judges many histories of a family: `LINEARIZE_CASES`, or as many as given. The same ones every time.
pub fn run(family: Family, cases: u32, judge: impl Fn(KvHistory) -> Result<(), TestCaseError>) {
    let cases = std::env::var("LINEARIZE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let seed = proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(config, seed);
    if let Err(failure) = runner.run(&histories(family), judge) {
        panic!("{failure}");
    }
}

fn execute(family: Family, drafts: &[Draft], lies: u8) -> KvHistory {
    let key = Bytes::from_static(b"k");
    let token = |choice: u8, index: usize| {
        let number = if family.values == 0 { index } else { usize::from(choice % family.values) };
        // Without a separator, some values continue others, which makes appended values ambiguous. The empty
        // one is written too: it is not the same as no value, and to append it can still make a difference.
        if family.values > 3 && number == 7 {
            return Bytes::new();
        }
        let separator = if family.values > 3 { "" } else { "," };
        Bytes::from(format!("{number}{separator}"))
    };
    let inputs: Vec<Input> = drafts
        .iter()
        .enumerate()
        .map(|(index, draft)| match draft.kind {
            0 => Input::Get { key: key.clone() },
            1 => Input::Put { key: key.clone(), value: token(draft.value, index) },
            2 => Input::Append { key: key.clone(), value: token(draft.value, index) },
            3 => Input::Delete { key: key.clone() },
            _ => {
                let other = usize::from(draft.expected) % (drafts.len() + 1);
                let expected = (other < drafts.len()).then(|| token(draft.expected, other));
                Input::CompareAndSwap { key: key.clone(), expected, new: token(draft.value, index) }
            }
        })
        .collect();
    let mut order: Vec<usize> = (0..drafts.len()).filter(|&index| drafts[index].fate != 0).collect();
    order.sort_by_key(|&index| {
        let draft = &drafts[index];
        // An operation of unknown outcome may take effect long after its client gave up.
        draft.call + if draft.fate == 1 { draft.effect * 3 } else { draft.effect.min(draft.length) }
    });
    let mut state = None;
    let mut outputs: Vec<Option<Output>> = vec![None; drafts.len()];
    for index in order {
        let output = answer(&state, &inputs[index], family.terse);
        state = Kv.step(&state, &inputs[index], Some(&output)).expect("the answer is the store's own");
        outputs[index] = Some(output);
    }
    let operations =
        drafts.iter().zip(inputs).zip(outputs).enumerate().map(|(index, ((draft, input), output))| {
            let outcome = match output {
                Some(output) if draft.fate > 2 => {
                    let output =
                        if draft.fate >= 20 - lies { lie(output, draft.lie, drafts, token) } else { output };
                    Outcome::Returned { at: draft.call + draft.length, output }
                }
                _ => Outcome::Unknown,
            };
            Operation { process: index as u64, call: draft.call, input, outcome }
        });
    History::new(operations.collect()).expect("every operation has its own process")
}

fn answer(state: &Option<Bytes>, input: &Input, terse: bool) -> Output {
    match input {
        Input::Get { .. } => Output::Value(state.clone()),
        Input::Put { .. } | Input::Append { .. } => Output::Done,
        Input::Delete { .. } => Output::Deleted { existed: (!terse).then_some(state.is_some()) },
        Input::CompareAndSwap { expected, .. } => {
            Output::Swapped { swapped: state == expected, previous: (!terse).then(|| state.clone()) }
        }
    }
}

/// Changes an answer, mostly to one that another history could have given.
fn lie(output: Output, choice: u8, drafts: &[Draft], token: impl Fn(u8, usize) -> Bytes) -> Output {
    let other = usize::from(choice) % (drafts.len() + 1);
    let value = (other < drafts.len()).then(|| token(drafts[other].value, other));
    match output {
        Output::Value(Some(seen)) if choice.is_multiple_of(3) && seen.len() > 2 => {
            Output::Value(Some(seen.slice(..seen.len() - 2)))
        }
        Output::Value(Some(seen)) if choice % 5 == 1 && seen.len() > 1 => {
            Output::Value(Some(seen.slice(..seen.len() - 1)))
        }
        Output::Value(_) => Output::Value(value),
        Output::Done => Output::Done,
        Output::Deleted { existed } => Output::Deleted { existed: existed.map(|existed| !existed) },
        Output::Swapped { swapped, previous } => match previous {
            Some(_) if choice.is_multiple_of(2) => Output::Swapped { swapped, previous: Some(value) },
            previous => Output::Swapped { swapped: !swapped, previous },
        },
    }
}

/// The operations of a history at some indexes.
pub fn select(history: &KvHistory, indexes: &[usize]) -> Vec<KvOperation> {
    indexes.iter().map(|&index| history.operations()[index].clone()).collect()
}
