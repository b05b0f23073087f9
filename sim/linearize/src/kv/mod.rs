//! The key-value store: the model with the fast path.
//!
//! Every key is an independent register that holds a byte string or nothing ("absent", the initial state).
//!
//! | operation | effect | answer |
//! | --- | --- | --- |
//! | `Get` | none | the value, if any |
//! | `Put` | replaces the value | - |
//! | `Append` | adds to the end of the value; absent counts as empty | - |
//! | `Delete` | makes the key absent | whether it held a value |
//! | `CompareAndSwap` | replaces the value if it is the expected one (which may be "absent") | whether it did, and the value found |
//!
//! Answers may leave out what a foreign log does not record: [`Output::Deleted`] and [`Output::Swapped`] have
//! optional parts, and less said is less checked.

pub mod describe;
mod fact;
mod fast;
mod fork;
mod lens;
pub mod monitor;
pub mod sentence;
mod support;

use std::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::history::{History, Operation};
use crate::model::{Decision, Lens, Model};
use crate::parts::{Parts, Shard, same};
use crate::verdict::{Options, Reason, Violation};

/// A history of key-value operations.
pub type KvHistory = History<Input, Output>;

/// A key-value operation with its outcome.
pub type KvOperation = Operation<Input, Output>;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Reads a key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Replaces the value of a key.
    Put {
        /// The key.
        key: Bytes,
        /// The new value.
        value: Bytes,
    },
    /// Adds to the end of a key's value.
    Append {
        /// The key.
        key: Bytes,
        /// What to add.
        value: Bytes,
    },
    /// Makes a key absent.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Replaces the value of a key if it is the expected one.
    CompareAndSwap {
        /// The key.
        key: Bytes,
        /// The value the key must have; `None` for absent.
        expected: Option<Bytes>,
        /// The value it gets.
        new: Bytes,
    },
}

impl Input {
    /// The key that is asked about.
    pub fn key(&self) -> &Bytes {
        match self {
            Input::Get { key }
            | Input::Put { key, .. }
            | Input::Append { key, .. }
            | Input::Delete { key }
            | Input::CompareAndSwap { key, .. } => key,
        }
    }
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// To a `Get`: the value, `None` if absent.
    Value(Option<Bytes>),
    /// To a `Put` or an `Append`.
    Done,
    /// To a `Delete`.
    Deleted {
        /// Whether the key held a value; `None` if not reported.
        existed: Option<bool>,
    },
    /// To a `CompareAndSwap`.
    Swapped {
        /// Whether the value was replaced.
        swapped: bool,
        /// The value found: `None` if not reported, `Some(None)` for absent.
        previous: Option<Option<Bytes>>,
    },
}

/// A key of the store, which tells its registers apart.
#[derive(Clone, Copy, Debug, PartialOrd, Ord)]
pub struct Key<'a>(pub &'a [u8]);

impl PartialEq for Key<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        same(self.0, other.0)
    }
}

impl Eq for Key<'_> {}

impl Hash for Key<'_> {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(self.0);
    }
}

/// The key-value store as a [`Model`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Kv;

impl Model for Kv {
    type Input = Input;
    type Output = Output;
    type State = Option<Bytes>;
    type Key<'a> = Key<'a>;

    fn init(&self) -> Self::State {
        None
    }

    fn step(&self, state: &Self::State, input: &Input, output: Option<&Output>) -> Option<Self::State> {
        match (input, output) {
            (Input::Get { .. }, Some(Output::Value(value))) => (value == state).then(|| state.clone()),
            (Input::Get { .. }, None) => Some(state.clone()),
            (Input::Put { value, .. }, Some(Output::Done) | None) => Some(Some(value.clone())),
            (Input::Append { value, .. }, Some(Output::Done) | None) => Some(Some(appended(state, value))),
            (Input::Delete { .. }, Some(Output::Deleted { existed })) => {
                existed.is_none_or(|existed| existed == state.is_some()).then_some(None)
            }
            (Input::Delete { .. }, None) => Some(None),
            (Input::CompareAndSwap { expected, new, .. }, output) => {
                let equal = state == expected;
                let possible = match output {
                    None => true,
                    Some(Output::Swapped { swapped, previous }) => {
                        *swapped == equal && previous.as_ref().is_none_or(|previous| previous == state)
                    }
                    Some(_) => false,
                };
                possible.then(|| if equal { Some(new.clone()) } else { state.clone() })
            }
            _ => None,
        }
    }

    #[inline]
    fn partition<'a>(&self, input: &'a Input) -> Key<'a> {
        Key(input.key())
    }

    fn label(&self, input: &Input) -> Vec<u8> {
        input.key().to_vec()
    }

    fn observes(&self, input: &Input, output: &Output) -> bool {
        match (input, output) {
            (Input::Get { .. }, _) => true,
            (Input::Delete { .. }, Output::Deleted { existed }) => *existed == Some(false),
            (Input::CompareAndSwap { expected, new, .. }, Output::Swapped { swapped, .. }) => {
                !swapped || expected.as_ref() == Some(new)
            }
            _ => false,
        }
    }

    fn lens<'a>(&'a self, operations: &'a [KvOperation], part: &[u32]) -> Lens<'a, Self::State> {
        lens::lens(operations, part)
    }

    fn may_enable(&self, change: &KvOperation, waiting: &KvOperation) -> bool {
        support::may_enable(fact::fact(change), fact::fact(waiting))
    }

    fn describe(&self, operation: &KvOperation) -> Option<String> {
        Some(describe::describe(operation))
    }

    fn describe_state(&self, state: &Self::State) -> Option<String> {
        Some(describe::show_value(state.as_ref()))
    }

    fn decide(&self, operations: &[KvOperation], part: &[u32], options: &Options) -> Decision {
        fast::decide(operations, part, options)
    }

    fn decide_all(&self, operations: &[KvOperation], options: &Options) -> (Parts, Vec<Decision>) {
        fast::decide_all(operations, options)
    }

    fn decide_shard(
        &self,
        operations: &[KvOperation],
        shard: &Shard<'_>,
        options: &Options,
    ) -> Vec<Decision> {
        fast::decide_shard(operations, shard, options)
    }

    fn unobserved(&self, operations: &[KvOperation], part: &[u32]) -> Vec<u32> {
        support::unobserved(operations, part)
    }

    fn essential(&self, operations: &[KvOperation], violation: &Violation) -> Option<Vec<usize>> {
        match violation.reason {
            Reason::Forked { one, other } => fork::essential(operations, &told(violation), one, other),
            _ => None,
        }
    }

    fn support(&self, operations: &[KvOperation], part: &[u32], operation: u32) -> Vec<u32> {
        support::support(operations, part, operation)
    }
}

fn appended(state: &Option<Bytes>, value: &Bytes) -> Bytes {
    match state {
        None => value.clone(),
        Some(before) => [before.as_ref(), value.as_ref()].concat().into(),
    }
}

/// All operations of a contradiction but the two of a fork.
fn told(violation: &Violation) -> Vec<usize> {
    let named = violation.operations.iter().chain(&violation.support).copied();
    let mut told: Vec<usize> = match violation.reason {
        Reason::Forked { one, other } => named.filter(|&index| index != one && index != other).collect(),
        _ => named.collect(),
    };
    told.sort_unstable();
    told
}
