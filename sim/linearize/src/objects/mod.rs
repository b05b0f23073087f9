//! Objects beside the key-value store that histories are often about: a mutex, a queue, a set, a counter.
//!
//! | object | operations | begins |
//! | --- | --- | --- |
//! | [`Object::Mutex`] | `Acquire` needs it free, `Release` needs it held, by anybody | free |
//! | [`Object::Queue`] | `Enqueue` adds at the end, `Dequeue` takes from the front; of an empty queue it finds nothing; `Drain` does so as one of several in a row | empty |
//! | [`Object::Set`] | `Add`, `Remove`, `Read` of all elements | empty |
//! | [`Object::Counter`] | `Increase` by an amount that may be negative, `Read` | 0 |
//!
//! They are what Knossos calls `mutex`, `fifo-queue` and `set`; a counter is Jepsen's, but judged as an
//! atomic one: its reads must agree on one order. Every operation has a key, and each key is an object of its
//! own. A set to which each element is added once, and from which none is removed, is decided without a
//! search, and so is a queue to which each item is added once, whatever drains took. The others are searched.

mod grown;
mod ordered;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::history::{History, Operation, Outcome};
use crate::kv::sentence::Words;
use crate::model::{Decision, Lens, Model};
use crate::verdict::{Options, Reason, Violation};

/// A history of operations on such objects.
pub type ObjectHistory = History<Input, Output>;

/// What a client asks, and of which object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// The object's name; empty if there is only one.
    pub key: Bytes,
    /// What is asked.
    pub action: Action,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Takes the mutex.
    Acquire,
    /// Gives the mutex back.
    Release,
    /// Adds to the end of the queue.
    Enqueue(Bytes),
    /// Takes from the front of the queue.
    Dequeue,
    /// The same as one of several, a drain, that follow each other: within `drain`, a greater `place` comes
    /// later.
    Drain {
        /// The drain, by any number that no other of the queue has.
        drain: u64,
        /// The place in it.
        place: u32,
    },
    /// Adds an element to the set.
    Add(Bytes),
    /// Removes an element from the set.
    Remove(Bytes),
    /// Adds to the counter.
    Increase(i64),
    /// Reads the whole set, or the counter.
    Read,
}

/// What the object answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// It was done.
    Done,
    /// To a `Dequeue`: what was taken; `None` if the queue was empty.
    Item(Option<Bytes>),
    /// To a `Read` of a set: its elements.
    Items(BTreeSet<Bytes>),
    /// To a `Read` of a counter.
    Number(i64),
}

/// An object with the state in which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A lock.
    Mutex {
        /// Whether it is held at the beginning.
        held: bool,
    },
    /// First in, first out.
    Queue(VecDeque<Bytes>),
    /// Elements without order, each at most once.
    Set(BTreeSet<Bytes>),
    /// A whole number.
    Counter(i64),
}

impl Action {
    /// Whether it takes from a queue.
    fn takes(&self) -> bool {
        matches!(self, Action::Dequeue | Action::Drain { .. })
    }
}

/// The state of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Whether the mutex is held.
    Mutex(bool),
    /// The items from front to end, and the last place of each drain that took some.
    Queue(VecDeque<Bytes>, BTreeMap<u64, u32>),
    /// The elements.
    Set(BTreeSet<Bytes>),
    /// The number. Wider than what is added, since a sum in between may not fit.
    Counter(i128),
}

impl Model for Object {
    type Input = Input;
    type Output = Output;
    type State = State;
    type Key<'a> = &'a [u8];

    fn init(&self) -> State {
        match self {
            Object::Mutex { held } => State::Mutex(*held),
            Object::Queue(items) => State::Queue(items.clone(), BTreeMap::new()),
            Object::Set(items) => State::Set(items.clone()),
            Object::Counter(number) => State::Counter((*number).into()),
        }
    }

    fn step(&self, state: &State, input: &Input, output: Option<&Output>) -> Option<State> {
        match (state, &input.action) {
            (State::Mutex(held), action) => mutex(*held, action, output).map(State::Mutex),
            (State::Queue(items, drained), Action::Drain { drain, place }) => {
                // Only what came too late is illegal, so that leaving out others never makes one illegal.
                let follows = drained.get(drain).is_none_or(|last| last < place);
                let after = follows.then(|| queue(items, &Action::Dequeue, output)).flatten()?;
                let mut drained = drained.clone();
                drained.insert(*drain, *place);
                Some(State::Queue(after, drained))
            }
            (State::Queue(items, drained), action) => {
                Some(State::Queue(queue(items, action, output)?, drained.clone()))
            }
            (State::Set(items), action) => set(items, action, output).map(State::Set),
            (State::Counter(number), action) => counter(*number, action, output).map(State::Counter),
        }
    }

    fn partition<'a>(&self, input: &'a Input) -> &'a [u8] {
        &input.key
    }

    fn label(&self, input: &Input) -> Vec<u8> {
        input.key.to_vec()
    }

    fn observes(&self, input: &Input, output: &Output) -> bool {
        matches!((&input.action, output), (Action::Read, _) | (Action::Dequeue, Output::Item(None)))
    }

    /// Those that ask and answer the same are interchangeable.
    fn lens<'a>(&'a self, operations: &'a [Operation<Input, Output>], part: &[u32]) -> Lens<'a, State> {
        let mut class_of = FxHashMap::default();
        let class = |&index: &u32| {
            let Operation { input, outcome, .. } = &operations[index as usize];
            let output = match outcome {
                Outcome::Returned { output, .. } => Some(output),
                Outcome::Unknown => None,
            };
            let next = class_of.len() as u32;
            *class_of.entry((&input.action, output)).or_insert(next)
        };
        let classes = part.iter().map(class).collect();
        Lens { classes, overwrites: vec![false; part.len()], representative: Box::new(|state| state) }
    }

    fn decide(&self, operations: &[Operation<Input, Output>], part: &[u32], _: &Options) -> Decision {
        match self {
            Object::Set(begin) if begin.is_empty() => grown::decide(operations, part),
            Object::Queue(begin) if begin.is_empty() => ordered::decide(operations, part),
            _ => Decision::Open(0),
        }
    }

    fn may_enable(&self, change: &Operation<Input, Output>, waiting: &Operation<Input, Output>) -> bool {
        match (&change.input.action, &waiting.input.action, waiting.output()) {
            (Action::Acquire, Action::Release, _) | (Action::Release, Action::Acquire, _) => true,
            (Action::Acquire | Action::Release, _, _) => false,
            (change, waiting, _) if change.takes() && waiting.takes() => true,
            (Action::Enqueue(item), waiting, Some(Output::Item(taken))) if waiting.takes() => {
                taken.as_ref() == Some(item)
            }
            (Action::Add(item), Action::Read, Some(Output::Items(seen))) => seen.contains(item),
            (Action::Remove(item), Action::Read, Some(Output::Items(seen))) => !seen.contains(item),
            (Action::Increase(amount), Action::Read, _) => *amount != 0,
            (Action::Read, _, _) => false,
            _ => true,
        }
    }

    fn describe(&self, operation: &Operation<Input, Output>) -> Option<String> {
        Some(describe(operation))
    }

    fn describe_state(&self, state: &State) -> Option<String> {
        let list = |items: Vec<String>| if items.is_empty() { "empty".to_owned() } else { items.join(" ") };
        Some(match state {
            State::Mutex(held) => if *held { "held" } else { "free" }.to_owned(),
            State::Queue(items, _) => list(items.iter().map(show).collect()),
            State::Set(items) => list(items.iter().map(show).collect()),
            State::Counter(number) => number.to_string(),
        })
    }

    /// Of a queue and a set some operations can be left out; a mutex and a counter need them all.
    fn support(&self, operations: &[Operation<Input, Output>], part: &[u32], operation: u32) -> Vec<u32> {
        let of = |index: u32| &operations[index as usize];
        let about = of(operation);
        let needs = |other: &Operation<Input, Output>| match (self, &about.input.action, &other.input.action)
        {
            // Whatever may have taken an item, and whatever brought it.
            (Object::Queue(_), _, taker) if taker.takes() && other.output().is_none() => true,
            (Object::Queue(_), Action::Enqueue(item), taker) if taker.takes() => {
                matches!(other.output(), Some(Output::Item(taken)) if taken.as_ref() == Some(item))
            }
            (Object::Queue(_), taker, Action::Enqueue(item)) if taker.takes() => {
                matches!(about.output(), Some(Output::Item(taken)) if taken.as_ref() == Some(item))
            }
            (Object::Queue(_), ..) => false,
            (Object::Set(_), Action::Read, Action::Add(item)) => {
                matches!(about.output(), Some(Output::Items(seen)) if seen.contains(item))
            }
            (Object::Set(_), Action::Add(item), Action::Remove(removed)) => item == removed,
            (Object::Set(_), ..) => false,
            _ => true,
        };
        part.iter().copied().filter(|&index| needs(of(index))).collect()
    }

    /// An operation of unknown outcome is dropped where no other can tell whether it happened.
    fn unobserved(&self, operations: &[Operation<Input, Output>], part: &[u32]) -> Vec<u32> {
        let seen: FxHashSet<&Bytes> = part
            .iter()
            .filter_map(|&index| match operations[index as usize].output() {
                Some(Output::Items(items)) => Some(items),
                _ => None,
            })
            .flatten()
            .collect();
        let is_unobserved = |&&index: &&u32| {
            let operation = &operations[index as usize];
            operation.output().is_none()
                && match &operation.input.action {
                    Action::Read => true,
                    Action::Add(item) => !seen.contains(item),
                    _ => false,
                }
        };
        part.iter().filter(is_unobserved).copied().collect()
    }
}

fn is_done(output: Option<&Output>) -> bool {
    matches!(output, None | Some(Output::Done))
}

/// The next state. An operation of unknown outcome that cannot happen leaves the mutex as it is.
fn mutex(held: bool, action: &Action, output: Option<&Output>) -> Option<bool> {
    let after = match action {
        Action::Acquire => true,
        Action::Release => false,
        _ => return None,
    };
    (is_done(output) && (held != after || output.is_none())).then_some(after)
}

fn queue(items: &VecDeque<Bytes>, action: &Action, output: Option<&Output>) -> Option<VecDeque<Bytes>> {
    let mut after = items.clone();
    match (action, output) {
        (Action::Enqueue(item), output) if is_done(output) => after.push_back(item.clone()),
        (Action::Dequeue, None) => drop(after.pop_front()),
        (Action::Dequeue, Some(Output::Item(item))) => {
            if after.pop_front() != *item {
                return None;
            }
        }
        _ => return None,
    }
    Some(after)
}

fn set(items: &BTreeSet<Bytes>, action: &Action, output: Option<&Output>) -> Option<BTreeSet<Bytes>> {
    let mut after = items.clone();
    match (action, output) {
        (Action::Add(item), output) if is_done(output) => drop(after.insert(item.clone())),
        (Action::Remove(item), output) if is_done(output) => drop(after.remove(item)),
        (Action::Read, None) => {}
        (Action::Read, Some(Output::Items(seen))) if seen == items => {}
        _ => return None,
    }
    Some(after)
}

fn counter(number: i128, action: &Action, output: Option<&Output>) -> Option<i128> {
    match (action, output) {
        (Action::Increase(amount), output) if is_done(output) => number.checked_add((*amount).into()),
        (Action::Read, None) => Some(number),
        (Action::Read, Some(Output::Number(seen))) => (i128::from(*seen) == number).then_some(number),
        _ => None,
    }
}

/// An operation as a reader wants to see it: `enqueue 3`, `dequeue -> 3`, `read -> ?`.
pub fn describe(operation: &Operation<Input, Output>) -> String {
    let Input { key, action } = &operation.input;
    let named = if key.is_empty() { String::new() } else { format!(" \"{}\"", key.escape_ascii()) };
    let (name, argument) = match action {
        Action::Acquire => ("acquire", None),
        Action::Release => ("release", None),
        Action::Enqueue(item) => ("enqueue", Some(show(item))),
        Action::Dequeue => ("dequeue", None),
        Action::Drain { .. } => ("drain", None),
        Action::Add(item) => ("add", Some(show(item))),
        Action::Remove(item) => ("remove", Some(show(item))),
        Action::Increase(amount) => ("add", Some(amount.to_string())),
        Action::Read => ("read", None),
    };
    let argument = argument.map_or(String::new(), |argument| format!(" {argument}"));
    match operation.output() {
        None => format!("{name}{named}{argument} -> ?"),
        Some(output) => format!("{name}{named}{argument}{output}"),
    }
}

/// Why operations contradict each other, as a sentence.
pub fn tell(history: &ObjectHistory, violation: &Violation, words: &Words<'_>) -> String {
    let say = |index: usize| (words.operation)(index, &describe(&history.operations()[index]));
    grown::sentence(&violation.reason, |index| &history.operations()[index].input.action, say)
}

/// The same, with operations by number.
fn sentence(operations: &[Operation<Input, Output>], reason: &Reason) -> String {
    let say = |index: usize| format!("operation {index} ({})", describe(&operations[index]));
    grown::sentence(reason, |index| &operations[index].input.action, say)
}

fn show(bytes: &Bytes) -> String {
    bytes.escape_ascii().to_string()
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Done => Ok(()),
            Output::Item(None) => f.write_str(" -> empty"),
            Output::Item(Some(item)) => write!(f, " -> {}", show(item)),
            Output::Items(items) => {
                let items: Vec<String> = items.iter().map(show).collect();
                write!(f, " -> {{{}}}", items.join(" "))
            }
            Output::Number(number) => write!(f, " -> {number}"),
        }
    }
}
