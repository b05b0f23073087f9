//! What else there is to say about a contradiction: that another understanding of the file would explain it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::options::Options;
use crate::formats::{self, AnyHistory, Choices, File, Format, Nil, initial};
use crate::kv::{Input, Kv, KvHistory, KvOperation, Output};
use crate::{Budget, Violation, check};

/// Values that are tried as what the keys begin with.
const TRIED_MAX: usize = 4;
/// Configurations that each trial may visit.
const CONFIGURATIONS: u64 = 100_000;

/// Whether a hint may need the text once more.
pub(super) fn may_read_again(file: &File, options: &Options) -> bool {
    options.nil == Nil::Absent && !matches!(file.format, Format::Lines | Format::Porcupine)
}

/// An option that would make the history linearizable.
pub(super) fn hint(
    bytes: &[u8],
    file: &File,
    history: &KvHistory,
    violation: &Violation,
    options: &Options,
    judged_with: &crate::Options,
) -> Option<String> {
    let named = violation.operations.iter().chain(&violation.support);
    let named: Vec<&KvOperation> = named.map(|&index| &history.operations()[index]).collect();
    let budget = Budget { configurations: CONFIGURATIONS, ..judged_with.budget };
    let trial = crate::Options { budget, witness: false, smallest: false, ..judged_with.clone() };
    let is_linearizable = |history: &KvHistory| check(&Kv, history, &trial).is_linearizable();
    if options.initial.is_none() {
        let came_first = |operation: &&&KvOperation| seen_before_any_write(history, operation);
        let seen: BTreeSet<&Bytes> =
            named.iter().filter(came_first).filter_map(|operation| seen(operation)).collect();
        let explains = |value: &&&Bytes| {
            let Some(text) = argument(value) else { return false };
            let begins = initial::of_all_keys(history, Some(text));
            let begun = initial::begin_with(history.clone(), begins);
            begun.is_ok_and(|(begun, _)| is_linearizable(&begun))
        };
        if let Some(value) = seen.iter().take(TRIED_MAX).find(explains) {
            let argument = quoted(argument(value).unwrap_or_default());
            return Some(format!(
                "only an initial value explains it: if every key began with \"{}\", which nobody wrote before it was seen, \
                 the history would be linearizable (--initial {argument})",
                value.escape_ascii()
            ));
        }
    }
    let is_nil = |operation: &&KvOperation| operation.output() == Some(&Output::Value(None));
    if !may_read_again(file, options) || !named.iter().any(is_nil) {
        return None;
    }
    let other = formats::read(bytes, &Choices { nil: Nil::Unknown, ..options.choices() }).ok()?;
    matches!(&other.history, AnyHistory::Kv(other) if is_linearizable(other)).then(|| {
        "a read of nil counts as one that saw the register absent; if it said nothing, as in Knossos, the history would be \
         linearizable (--nil unknown)"
            .to_owned()
    })
}

/// A value as it can be given to an option: text that a shell can be shown on one line.
fn argument(value: &Bytes) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| !text.chars().any(char::is_control))
}

/// A word for a shell, in quotation marks where it needs them.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+@%=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Whether an operation had found its value and returned before anything was called that writes this value to
/// its key.
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
