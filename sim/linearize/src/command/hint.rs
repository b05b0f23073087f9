//! What else there is to say about a contradiction: that another understanding of the file would explain it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::options::{NilChoice, Options};
use crate::formats::{File, Format, initial};
use crate::kv::{Input, Kv, KvHistory, KvOperation, Output};
use crate::{Budget, Violation, check};

/// Values that are tried as what the keys begin with.
const TRIED_MAX: usize = 4;
/// Configurations that each trial may visit.
const CONFIGURATIONS: u64 = 100_000;

/// An option that would make the history linearizable, or may.
pub(super) fn hint(
    file: &File,
    history: &KvHistory,
    violation: &Violation,
    options: &Options,
    judged_with: &crate::Options,
) -> Option<String> {
    let named = violation.operations.iter().chain(&violation.support);
    let named: Vec<&KvOperation> = named.map(|&index| &history.operations()[index]).collect();
    if options.initial.is_none() {
        let budget = Budget { configurations: CONFIGURATIONS, ..judged_with.budget };
        let trial = crate::Options { budget, witness: false, smallest: false, ..judged_with.clone() };
        let came_first = |operation: &&&KvOperation| seen_before_any_write(history, operation);
        let seen: BTreeSet<&Bytes> =
            named.iter().filter(came_first).filter_map(|operation| seen(operation)).collect();
        let explains = |value: &&&Bytes| {
            let text = std::str::from_utf8(value).ok();
            let begins = initial::of_all_keys(history, text);
            let begun = initial::begin_with(history.clone(), begins);
            text.is_some() && begun.is_ok_and(|begun| check(&Kv, &begun, &trial).is_linearizable())
        };
        if let Some(value) = seen.iter().take(TRIED_MAX).find(explains) {
            let value = value.escape_ascii();
            return Some(format!(
                "only an initial value explains it: if every key began with \"{value}\", which nobody wrote before it was seen, \
                 the history would be linearizable (--initial {value})"
            ));
        }
    }
    let is_nil = |operation: &&KvOperation| operation.output() == Some(&Output::Value(None));
    let has_nil = !matches!(file.format, Format::Lines | Format::Porcupine) && named.iter().any(is_nil);
    (has_nil && options.nil == NilChoice::Absent).then(|| {
        "a read of nil counts as one that saw the register absent; Knossos lets it say nothing (--nil unknown)".to_owned()
    })
}

/// Whether an operation had found its value and returned before anything was called that writes this value to its key.
fn seen_before_any_write(history: &KvHistory, operation: &KvOperation) -> bool {
    let writes = |other: &&KvOperation| match &other.input {
        Input::Put { key, value } | Input::CompareAndSwap { key, new: value, .. } => {
            key == operation.input.key() && Some(value) == seen(operation)
        }
        _ => false,
    };
    history.operations().iter().filter(writes).all(|write| operation.precedes(write))
}

/// The value that an operation found.
fn seen(operation: &KvOperation) -> Option<&Bytes> {
    match (&operation.input, operation.output()?) {
        (_, Output::Value(value)) => value.as_ref(),
        (Input::CompareAndSwap { expected, .. }, Output::Swapped { swapped: true, .. }) => expected.as_ref(),
        (_, Output::Swapped { previous: Some(previous), .. }) => previous.as_ref(),
        _ => None,
    }
}
