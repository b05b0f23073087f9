//! Operations in words, for sentences and drawings.

use bytes::Bytes;

use super::{Input, KvOperation, Output};

/// The most bytes of a value that are shown.
const SHOWN_MAX: usize = 24;

/// One operation with its answer, shortened: `get "k" -> "v"`.
pub fn describe(operation: &KvOperation) -> String {
    let key = show(operation.input.key());
    let question = match &operation.input {
        Input::Get { .. } => format!("get {key}"),
        Input::Put { value, .. } => format!("put {key} {}", show(value)),
        Input::Append { value, .. } => format!("append {key} {}", show(value)),
        Input::Delete { .. } => format!("delete {key}"),
        Input::CompareAndSwap { expected, new, .. } => {
            format!("compare-and-swap {key} {} to {}", show_value(expected.as_ref()), show(new))
        }
    };
    match operation.output() {
        None => format!("{question} of unknown outcome"),
        Some(Output::Done) => question,
        Some(Output::Value(value)) => format!("{question} -> {}", show_value(value.as_ref())),
        Some(Output::Deleted { existed: None }) => question,
        Some(Output::Deleted { existed: Some(true) }) => format!("{question} -> existed"),
        Some(Output::Deleted { existed: Some(false) }) => format!("{question} -> did not exist"),
        Some(Output::Swapped { swapped, previous }) => {
            let found = previous.as_ref().map(|value| format!(", found {}", show_value(value.as_ref())));
            let done = if *swapped { "swapped" } else { "not swapped" };
            format!("{question} -> {done}{}", found.unwrap_or_default())
        }
    }
}

/// A value or its absence.
pub fn show_value(value: Option<&Bytes>) -> String {
    value.map_or_else(|| "absent".to_owned(), show)
}

fn show(bytes: &Bytes) -> String {
    if bytes.len() <= SHOWN_MAX {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    // The end is what tells appended values apart.
    let tail = bytes.slice(bytes.len() - SHOWN_MAX..);
    format!("\"...{}\" ({} bytes)", tail.escape_ascii(), bytes.len())
}
