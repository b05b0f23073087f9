//! What one operation says about its key, whatever its name was.

use bytes::Bytes;

use super::{Input, KvOperation, Output};

/// The content of an operation, reduced to what matters to a checker.
///
/// Read/write roles differ from the operation's name: a failed compare-and-swap that reports the value it
/// found is a read, a delete that found nothing is a read of "absent", a swap of a value for itself is a read
/// too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact<'a> {
    /// Constrains nothing: an unanswered read, or one whose answer was not recorded.
    Nothing,
    /// No state allows this answer.
    Impossible,
    /// The value was this.
    Read(Option<&'a Bytes>),
    /// The value was not this: a failed compare-and-swap that does not say what it found.
    Differs,
    /// The value became this.
    Write(&'a Bytes),
    /// The value was continued by this.
    Append(&'a Bytes),
    /// The key became absent. `present` if it is known to have held a value before.
    Erase {
        /// Whether the answer says that there was something to delete.
        present: bool,
    },
    /// The value was `expected` and became `new`. If the outcome is unknown, it may also have been something
    /// else and have stayed as it was.
    Swap {
        /// Before; `None` for absent.
        expected: Option<&'a Bytes>,
        /// After.
        new: &'a Bytes,
    },
}

impl Fact<'_> {
    /// Whether the operation can change the state.
    pub(super) fn changes(&self) -> bool {
        matches!(self, Fact::Write(_) | Fact::Append(_) | Fact::Erase { .. } | Fact::Swap { .. })
    }
}

/// The fact of an operation.
#[inline]
pub(super) fn fact(operation: &KvOperation) -> Fact<'_> {
    match (&operation.input, operation.output()) {
        (Input::Get { .. }, None) => Fact::Nothing,
        (Input::Get { .. }, Some(Output::Value(value))) => Fact::Read(value.as_ref()),
        (Input::Put { value, .. }, None | Some(Output::Done)) => Fact::Write(value),
        (Input::Append { value, .. }, None | Some(Output::Done)) => Fact::Append(value),
        (Input::Delete { .. }, None) => Fact::Erase { present: false },
        (Input::Delete { .. }, Some(Output::Deleted { existed })) => match existed {
            Some(false) => Fact::Read(None),
            Some(true) => Fact::Erase { present: true },
            None => Fact::Erase { present: false },
        },
        (Input::CompareAndSwap { expected, new, .. }, output) => swap(expected.as_ref(), new, output),
        _ => Fact::Impossible,
    }
}

fn swap<'a>(expected: Option<&'a Bytes>, new: &'a Bytes, output: Option<&'a Output>) -> Fact<'a> {
    let unchanged = expected == Some(new);
    match output {
        None if unchanged => Fact::Nothing,
        None => Fact::Swap { expected, new },
        Some(Output::Swapped { swapped, previous }) => {
            let previous = previous.as_ref().map(Option::as_ref);
            match (swapped, previous) {
                (true, Some(previous)) if previous != expected => Fact::Impossible,
                (false, Some(previous)) if previous == expected => Fact::Impossible,
                (false, Some(previous)) => Fact::Read(previous),
                (false, None) => Fact::Differs,
                (true, _) if unchanged => Fact::Read(expected),
                (true, _) => Fact::Swap { expected, new },
            }
        }
        Some(_) => Fact::Impossible,
    }
}
