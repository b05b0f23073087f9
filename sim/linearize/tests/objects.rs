//! The search of mutexes, queues, sets and counters against the slow checker, on random histories, and each
//! contradiction as a history of its own.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use linearizability::objects::{Action, Input, Object, ObjectHistory, Output};
use linearizability::{History, Model, Operation, Options, Outcome, Verdict, check, oracle, witness};

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

fn item(random: &mut Random) -> Bytes {
    Bytes::copy_from_slice(random.below(3).to_string().as_bytes())
}

fn asked(object: &Object, random: &mut Random) -> Action {
    let kind = random.below(4);
    match object {
        Object::Mutex { .. } if kind < 2 => Action::Acquire,
        Object::Mutex { .. } => Action::Release,
        Object::Queue(_) if kind < 2 => Action::Enqueue(item(random)),
        Object::Queue(_) => Action::Dequeue,
        Object::Set(_) if kind == 0 => Action::Add(item(random)),
        Object::Set(_) if kind == 1 => Action::Remove(item(random)),
        Object::Counter(_) if kind < 2 => Action::Increase(random.below(4) as i64 - 1),
        Object::Set(_) | Object::Counter(_) => Action::Read,
    }
}

/// An answer of a legal run in the order of the calls, or now and then any other.
fn answered(
    state: &mut <Object as Model>::State,
    object: &Object,
    input: &Input,
    random: &mut Random,
) -> Output {
    let any = match (&input.action, object) {
        (Action::Dequeue, _) if random.below(4) == 0 => Output::Item(None),
        (Action::Dequeue, _) => Output::Item(Some(item(random))),
        (Action::Read, Object::Set(_)) => Output::Items((0..random.below(4)).map(|_| item(random)).collect()),
        (Action::Read, _) => Output::Number(random.below(5) as i64 - 1),
        _ => Output::Done,
    };
    let numbers = (-20..20).map(Output::Number);
    let items = ["0", "1", "2"].map(|text| Output::Item(Some(text.into())));
    let sets = (0..8u32).map(|bits| {
        Output::Items(
            (0..3u32).filter(|bit| bits >> bit & 1 == 1).map(|bit| bit.to_string().into()).collect(),
        )
    });
    let right = [Output::Done, Output::Item(None)].into_iter().chain(items).chain(sets).chain(numbers);
    let mut right = right.filter_map(|output| Some((object.step(state, input, Some(&output))?, output)));
    match right.next() {
        Some((next, output)) if random.below(6) > 0 => {
            *state = next;
            output
        }
        _ => any,
    }
}

/// Makes every element that is added another one, and then and now only adds and reads.
fn grow_only(operations: &mut [Operation<Input, Output>]) {
    for (number, operation) in operations.iter_mut().enumerate() {
        match operation.input.action {
            Action::Add(_) if number < 3 => operation.input.action = Action::Add(number.to_string().into()),
            Action::Add(_) | Action::Remove(_) => {
                operation.input.action = Action::Add(format!("unseen {number}").into());
            }
            _ => {}
        }
    }
}

fn history(object: &Object, random: &mut Random) -> ObjectHistory {
    let mut state = object.init();
    let mut free = [0; 4];
    let length = 2 + random.below(6);
    let mut operations = Vec::new();
    for number in 0..length {
        let process = random.below(4);
        let input = Input { key: Bytes::new(), action: asked(object, random) };
        let call = (number * 2 + random.below(3)).max(free[process as usize]);
        let at = call + random.below(8);
        let output = answered(&mut state, object, &input, random);
        let is_known = random.below(5) > 0;
        let outcome = if is_known { Outcome::Returned { at, output } } else { Outcome::Unknown };
        free[process as usize] = if is_known { at } else { call };
        operations.push(Operation { process, call, input, outcome });
    }
    if matches!(object, Object::Set(_)) && random.below(2) == 0 {
        grow_only(&mut operations);
    }
    History::new(operations).expect("processes wait for their answers")
}

#[test]
fn the_search_agrees_with_the_slow_checker_and_contradictions_stand_alone() {
    let two: Vec<Bytes> = vec!["1".into(), "0".into()];
    let objects = [
        Object::Mutex { held: false },
        Object::Mutex { held: true },
        Object::Queue(VecDeque::new()),
        Object::Queue(two.clone().into()),
        Object::Set(BTreeSet::new()),
        Object::Set(two.into_iter().collect()),
        Object::Counter(0),
        Object::Counter(-1),
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for object in &objects {
        let mut counts = [0, 0];
        for _ in 0..4_000 {
            let history = history(object, &mut random);
            let expected = oracle::is_linearizable(object, history.operations());
            counts[usize::from(expected)] += 1;
            match check(object, &history, &Options::default()) {
                Verdict::Linearizable { witness } => {
                    assert!(expected, "{object:?} {history:?}");
                    assert_eq!(witness::replay(object, &history, &witness), Ok(()), "{history:?}");
                }
                Verdict::Violation(violation) => {
                    assert!(!expected, "{object:?} {history:?}");
                    let named = violation.operations.iter().chain(&violation.support);
                    let mut named: Vec<usize> = named.copied().collect();
                    named.sort_unstable();
                    let alone = named.iter().map(|&index| history.operations()[index].clone()).collect();
                    let alone = History::new(alone).expect("a part of a history");
                    assert!(
                        !oracle::is_linearizable(object, alone.operations()),
                        "{object:?} {history:?} {named:?}"
                    );
                }
                Verdict::Undecided(undecided) => panic!("{undecided}"),
            }
        }
        assert!(counts.iter().all(|&count| count > 300), "{object:?}: {counts:?}");
    }
}

/// Without a direct decision, an addition of unknown outcome that was seen doubles what a search has to try.
#[test]
fn a_lost_element_among_many_of_unknown_outcome_is_found() {
    let text = |number: u64| Bytes::copy_from_slice(number.to_string().as_bytes());
    let operation = |process, call, action, output: Option<Output>| {
        let outcome = output.map_or(Outcome::Unknown, |output| Outcome::Returned { at: call + 15, output });
        Operation { process, call, input: Input { key: Bytes::new(), action }, outcome }
    };
    let mut operations = Vec::new();
    for number in 0..2_000u64 {
        let output = (number % 10 > 0).then_some(Output::Done);
        operations.push(operation(number, number * 10, Action::Add(text(number)), output));
    }
    let read = |lost: u64| {
        let seen = (0..2_000).filter(|&number| number != lost).map(text).collect();
        operation(9_999, 30_000, Action::Read, Some(Output::Items(seen)))
    };
    for (lost, is_linearizable) in [(10, true), (11, false)] {
        let all = operations.iter().cloned().chain([read(lost)]).collect();
        let history = History::new(all).expect("a history");
        let verdict = check(&Object::Set(BTreeSet::new()), &history, &Options::default());
        assert_eq!(verdict.is_linearizable(), is_linearizable, "{lost}");
        if let Verdict::Violation(violation) = verdict {
            assert_eq!(violation.operations, [11, 2_000]);
            assert!(
                violation.sentence.contains("did not see operation 11 (add 11), which had returned before")
            );
        }
    }
}

#[test]
fn a_long_history_of_each_object_is_decided() {
    let put = |process, call, action, output| Operation {
        process,
        call,
        input: Input { key: Bytes::new(), action },
        outcome: Outcome::Returned { at: call + 5, output },
    };
    let text = |number: u64| Bytes::copy_from_slice(number.to_string().as_bytes());
    let (mut queue, mut set, mut counter) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..400u64 {
        let (process, call) = (number % 5, number * 2 + 10 * (number / 5));
        queue.push(put(process, call, Action::Enqueue(text(number)), Output::Done));
        set.push(put(process, call, Action::Add(text(number)), Output::Done));
        counter.push(put(process, call, Action::Increase(1), Output::Done));
    }
    let end = 10_000;
    for number in 0..400u64 {
        queue.push(put(9, end + 10 * number, Action::Dequeue, Output::Item(Some(text(number)))));
    }
    set.push(put(9, end, Action::Read, Output::Items((0..400).map(text).collect())));
    counter.push(put(9, end, Action::Read, Output::Number(400)));
    for (object, operations) in [
        (Object::Queue(VecDeque::new()), queue),
        (Object::Set(BTreeSet::new()), set),
        (Object::Counter(0), counter),
    ] {
        let history = History::new(operations).expect("a history");
        assert!(check(&object, &history, &Options::default()).is_linearizable(), "{object:?}");
    }
}
