//! Queues to which no item is added twice, against the slow checker: decided without a search, with a proof
//! either way.

use std::collections::VecDeque;

use bytes::Bytes;
use linearizability::objects::{Action, Input, Object, ObjectHistory, Output, State};
use linearizability::{Budget, History, Model, Operation, Options, Outcome, Verdict, check, oracle, witness};

/// A sequence of numbers that is the same in every run (Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// When an operation takes effect that does not.
const NEVER: u64 = 1 << 40;

/// What a family of histories is made of.
#[derive(Clone, Copy, Debug)]
struct Family {
    object: fn() -> Object,
    asked: fn(&mut Random, u64) -> Action,
    /// Changes an answer.
    lie: fn(&mut Random, u64) -> Output,
    operations: u64,
    /// The times of calls are below this, and operations last less than `length`.
    span: u64,
    length: u64,
    /// Of a hundred.
    unknown: u64,
    lies: u64,
}

/// Operations that take effect at some instant while they last, or later if their outcome is unknown.
fn history(family: &Family, random: &mut Random) -> ObjectHistory {
    let count =
        if family.operations > 100 { family.operations } else { 2 + random.below(family.operations - 1) };
    let mut drafts: Vec<(u64, Operation<Input, Output>)> = Vec::new();
    for number in 0..count {
        let call = random.below(family.span);
        let length = random.below(family.length);
        let effect = call + random.below(length + 1);
        let input = Input { key: Bytes::new(), action: (family.asked)(random, number) };
        let (effect, outcome) = if random.below(100) < family.unknown {
            (if random.below(2) == 0 { NEVER } else { effect + random.below(10) }, Outcome::Unknown)
        } else {
            (effect, Outcome::Returned { at: call + length, output: Output::Done })
        };
        drafts.push((effect * 16 + random.below(16), Operation { process: number, call, input, outcome }));
    }
    drafts.sort_by_key(|(effect, _)| *effect);
    let object = (family.object)();
    let mut state = object.init();
    let mut places = 0;
    for (effect, operation) in &mut drafts {
        if *effect >= NEVER {
            continue;
        }
        if let Action::Drain { place, .. } = &mut operation.input.action {
            places += 1;
            *place = places;
        }
        let right = match (&operation.input.action, &state) {
            (Action::Dequeue | Action::Drain { .. }, State::Queue(items, _)) => {
                Output::Item(items.front().cloned())
            }
            _ => Output::Done,
        };
        state = object.step(&state, &operation.input, Some(&right)).expect("the answer is right");
        if let Outcome::Returned { output, .. } = &mut operation.outcome {
            *output = right;
        }
    }
    if places > 1 && random.below(100) < family.lies {
        let place = random.below(count) as usize;
        if let Action::Drain { place, .. } = &mut drafts[place].1.input.action {
            // Places must differ.
            *place = if random.below(2) == 0 { 0 } else { places + 1 };
        }
    }
    if random.below(100) < family.lies {
        let place = random.below(count) as usize;
        if let Outcome::Returned { output, .. } = &mut drafts[place].1.outcome
            && *output != Output::Done
        {
            *output = (family.lie)(random, count);
        }
    }
    drafts.sort_by_key(|(_, operation)| operation.process);
    History::new(drafts.into_iter().map(|(_, operation)| operation).collect()).expect("each its own process")
}

/// How many of the histories were left to a search.
fn compared(family: &Family, cases: u64, seed: u64) -> u64 {
    let mut random = Random(seed);
    let object = (family.object)();
    let (mut left, mut bad) = (0, 0);
    let budget = Budget { configurations: 0, ..Budget::default() };
    for _ in 0..cases {
        let history = history(family, &mut random);
        let expected = oracle::is_linearizable(&object, history.operations());
        bad += u64::from(!expected);
        match check(&object, &history, &Options { budget, ..Options::default() }) {
            Verdict::Linearizable { witness } => {
                assert!(expected, "accepted: {history:#?}");
                assert_eq!(witness::replay(&object, &history, &witness), Ok(()), "{history:#?}");
            }
            Verdict::Violation(violation) => {
                assert!(!expected, "rejected: {violation}\n{history:#?}");
                let named = violation.operations.iter().chain(&violation.support);
                let alone: Vec<_> = named.map(|&index| history.operations()[index].clone()).collect();
                assert!(
                    !oracle::is_linearizable(&object, &alone),
                    "no contradiction: {violation}\n{history:#?}"
                );
            }
            Verdict::Undecided(_) => left += 1,
        }
    }
    assert!(bad * 12 > cases, "{bad} of {cases} are not linearizable");
    left
}

fn cases() -> u64 {
    std::env::var("LINEARIZE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5_000)
}

const QUEUE: Family = Family {
    object: || Object::Queue(VecDeque::new()),
    asked: |random, number| match random.below(2) {
        0 => Action::Enqueue(number.to_string().into()),
        _ => Action::Dequeue,
    },
    lie: |random, count| match random.below(3) {
        0 => Output::Item(None),
        _ => Output::Item(Some(random.below(count).to_string().into())),
    },
    operations: 9,
    span: 16,
    length: 8,
    unknown: 0,
    lies: 60,
};

#[test]
fn queues_agree_with_the_slow_checker_and_none_is_searched() {
    for (number, (span, length)) in [(16, 8), (30, 6), (8, 12), (40, 20)].into_iter().enumerate() {
        let family = Family { span, length, ..QUEUE };
        assert_eq!(compared(&family, cases(), number as u64 + 7), 0, "{family:?}");
    }
}

#[test]
fn queues_with_unknown_outcomes_agree_with_the_slow_checker_and_few_are_searched() {
    for (number, unknown) in [10, 30].into_iter().enumerate() {
        let family = Family { unknown, ..QUEUE };
        let left = compared(&family, cases(), number as u64 + 17);
        assert!(left * 4 < cases(), "{left} of {} were left", cases());
    }
}

#[test]
fn drains_agree_with_the_slow_checker() {
    for (number, (unknown, length)) in [(0, 8), (0, 14), (20, 8)].into_iter().enumerate() {
        let asked = |random: &mut Random, number: u64| match random.below(6) {
            0..=2 => Action::Enqueue(number.to_string().into()),
            3 => Action::Dequeue,
            // Two drains, each in any order of the calls.
            kind => Action::Drain { drain: kind, place: 0 },
        };
        let family = Family { asked, unknown, length, ..QUEUE };
        let left = compared(&family, cases(), number as u64 + 27);
        assert!(left * 2 < cases(), "{left} of {} were left", cases());
    }
}

#[test]
fn long_queues_of_many_clients_are_decided() {
    for (unknown, seed) in [(0, 1), (0, 2), (2, 1), (2, 2), (2, 3)] {
        // About a hundred operations are open at once.
        let long = Family { operations: 3_000, span: 30_000, length: 2_000, unknown, lies: 0, ..QUEUE };
        let history = history(&long, &mut Random(seed));
        let budget = Budget { configurations: 0, ..Budget::default() };
        let verdict = check(&(long.object)(), &history, &Options { budget, ..Options::default() });
        assert!(verdict.is_linearizable(), "{unknown} {seed} {verdict:?}");
    }
}
