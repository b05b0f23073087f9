//! What the clients of the store ask and are told.

use std::time::Duration;

use bytes::Bytes;
pub use linearizability::kv::{Input, Output};
use pbkv::protocol::identity::OpNumber;
use testbed::{
    data::{node::NodeName, outcome::Contradiction},
    report::screen::{bytes, optional},
    system::{Access, Verb},
};

use crate::{
    bound::{End, Operation, Outcome},
    store::script::Asked,
};

/// What is kept of an operation beyond what the checker's model knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Detail {
    /// The revision that a compare-and-swap by revision expects; the operation's `input` has the value that
    /// the client was told with it.
    pub expected_revision: Option<OpNumber>,
    /// What an answer said of the order of changes.
    pub told: Option<Told>,
    /// The generation, by its number, in which it was asked; 0 if its client knew none.
    pub generation: u64,
    /// It is what a scan read of one key.
    pub scanned: bool,
}

impl Detail {
    /// Whether the operation belongs to this generation, or may.
    pub fn is_of(&self, generation: u64) -> bool {
        self.generation == generation || self.generation == 0
    }
}

/// An operation that a client was just asked for.
pub fn called(client: NodeName, at: Duration, asked: Asked) -> Operation {
    let Asked { input, expected_revision } = asked;
    let detail = Detail { expected_revision, ..Detail::default() };
    Operation { detail, ..Operation::called(client, at, input) }
}

/// What an answer says of the order of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Told {
    /// The operation after which the answer was true; an update's own.
    pub revision: OpNumber,
    /// The operation that had changed the key last when it was read, or before it was swapped; 0 if it was
    /// absent.
    pub found: Option<OpNumber>,
}

const PUT: Verb = Verb { word: "put", access: Access::Writes };
const GET: Verb = Verb { word: "get", access: Access::Reads };
const APPEND: Verb = Verb { word: "append", access: Access::Writes };
const CAS: Verb = Verb { word: "cas", access: Access::Both };
const DELETE: Verb = Verb { word: "delete", access: Access::Both };
/// Is recorded as a Get of every key that it is about.
const SCAN: Verb = Verb { word: "scan", access: Access::Reads };
const CAS_REVISION: Verb = Verb { word: "cas-revision", access: Access::Both };

/// The operations, from plain to odd.
pub const VERBS: &[Verb] = &[PUT, GET, APPEND, CAS, DELETE, CAS_REVISION, SCAN];

/// Which operation this is. The checker's model knows one compare-and-swap.
pub fn verb(input: &Input) -> Verb {
    match input {
        Input::Get { .. } => GET,
        Input::Put { .. } => PUT,
        Input::Append { .. } => APPEND,
        Input::Delete { .. } => DELETE,
        Input::CompareAndSwap { .. } => CAS,
    }
}

/// What a client asked, as a line.
pub fn asked(operation: &Operation) -> String {
    match (&operation.input, operation.detail.expected_revision) {
        (Input::CompareAndSwap { key, new, .. }, Some(revision)) => swap_by_revision(key, revision, new),
        (Input::Get { key }, _) if operation.detail.scanned => format!("scan, for {}", bytes(key)),
        (asked, _) => input(asked),
    }
}

/// A compare-and-swap by revision, as a line.
pub fn swap_by_revision(key: &Bytes, expected: OpNumber, new: &Bytes) -> String {
    format!("cas-revision {} {expected} {}", bytes(key), bytes(new))
}

/// What is asked in the words of the checker's model, as a line.
pub fn input(input: &Input) -> String {
    match input {
        Input::Get { key } => format!("get {}", bytes(key)),
        Input::Put { key, value } => format!("put {} {}", bytes(key), bytes(value)),
        Input::Append { key, value } => format!("append {} {}", bytes(key), bytes(value)),
        Input::Delete { key } => format!("delete {}", bytes(key)),
        Input::CompareAndSwap { key, expected, new } => {
            format!("cas {} {} {}", bytes(key), optional(expected.as_ref()), bytes(new))
        }
    }
}

/// What an operation was told.
pub fn told(output: &Output) -> String {
    match output {
        Output::Value(value) => optional(value.as_ref()),
        Output::Done => "done".into(),
        Output::Deleted { existed: None } => "deleted".into(),
        Output::Deleted { existed: Some(true) } => "deleted, it existed".into(),
        Output::Deleted { existed: Some(false) } => "deleted, it was absent".into(),
        Output::Swapped { swapped: true, .. } => "swapped".into(),
        Output::Swapped { swapped: false, previous: None } => "not swapped".into(),
        Output::Swapped { swapped: false, previous: Some(found) } => {
            format!("not swapped, found {}", optional(found.as_ref()))
        }
    }
}

/// The sorts of contradictions a client can be shown. One bug shows itself in several shapes (a stale value
/// contradicts now a Put, now another Get), so the sorts are few. They are told apart by what the
/// contradicting operations returned and what the supporting ones may have written.
pub fn contradiction(contradiction: &Contradiction, outcome: &Outcome) -> &'static str {
    let involved = contradiction.operations.iter().chain(&contradiction.support);
    let involved: Vec<_> = involved.filter_map(|index| outcome.operations.get(*index)).collect();
    let written: Vec<&[u8]> = involved
        .iter()
        .filter_map(|operation| match &operation.input {
            Input::Put { value, .. } | Input::Append { value, .. } => Some(&**value),
            Input::CompareAndSwap { new, .. } => Some(&**new),
            Input::Get { .. } | Input::Delete { .. } => None,
        })
        .filter(|value| !value.is_empty())
        .collect();
    let seen: Vec<&[u8]> = involved
        .iter()
        .filter_map(|operation| match &operation.end {
            End::Returned { output: Output::Value(Some(value)), .. } => Some(&**value),
            End::Returned { output: Output::Swapped { previous: Some(Some(value)), .. }, .. } => {
                Some(&**value)
            }
            _ => None,
        })
        .collect();
    if seen.iter().any(|value| written.iter().any(|part| occurrences(value, part) > 1)) {
        return "a write took effect twice";
    }
    let known = |value: &&[u8]| value.is_empty() || written.iter().any(|part| occurrences(value, part) > 0);
    if seen.iter().all(known) { "a stale or lost value" } else { "a value that nobody wrote" }
}

fn occurrences(value: &[u8], part: &[u8]) -> usize {
    value.windows(part.len()).filter(|window| *window == part).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::{data::outcome::Verdict, judges::signature::Signature};

    fn operation(input: Input, output: Output) -> Operation {
        let end = End::Returned { at: Duration::from_secs(2), output };
        Operation { end, ..Operation::called("c1".into(), Duration::from_secs(1), input) }
    }

    fn key() -> Bytes {
        Bytes::from_static(b"k")
    }

    fn reason(written: &[&'static str], read: Option<&'static str>) -> String {
        let mut operations: Vec<Operation> = written
            .iter()
            .map(|value| operation(Input::Append { key: key(), value: (*value).into() }, Output::Done))
            .collect();
        operations.push(operation(Input::Get { key: key() }, Output::Value(read.map(Bytes::from))));
        let contradiction = Contradiction {
            key: key(),
            operations: (0..operations.len()).collect(),
            support: Vec::new(),
            sentence: String::new(),
        };
        let verdict = Verdict::Violation(contradiction);
        let signature = Signature::of(&Outcome { operations, verdict, ..Outcome::default() });
        signature.expect("it failed").to_string()
    }

    #[test]
    fn contradictions_are_told_apart_by_what_a_client_saw() {
        assert_eq!(reason(&["a.", "b."], Some("a.")), "not linearizable: a stale or lost value");
        assert_eq!(reason(&["a."], None), "not linearizable: a stale or lost value");
        assert_eq!(reason(&["a.", "b."], Some("a.b.a.")), "not linearizable: a write took effect twice");
        assert_eq!(reason(&["a."], Some("x.")), "not linearizable: a value that nobody wrote");
    }
}
