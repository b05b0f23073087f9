//! What keys hold before the first operation.
//!
//! A key of the store begins absent. One that begins with a value is one that was written before everything
//! else: each such key gets a put at the end of the list of operations, which returned before all others were
//! called.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::ParseError;
use crate::history::{History, Operation, Outcome};
use crate::kv::{Input, KvHistory, Output};

/// The same value for every key of a history.
pub fn of_all_keys(history: &KvHistory, value: Option<&str>) -> BTreeMap<Bytes, Bytes> {
    let Some(value) = value else { return BTreeMap::new() };
    let keys: BTreeSet<&Bytes> = history.operations().iter().map(|operation| operation.input.key()).collect();
    keys.into_iter().map(|key| (key.clone(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

/// The history of keys that begin with these values, and by how much all times became later: by 1 if the
/// first operation is at 0.
pub fn begin_with(
    mut history: KvHistory,
    begins: BTreeMap<Bytes, Bytes>,
) -> Result<(KvHistory, u64), ParseError> {
    if begins.is_empty() {
        return Ok((history, 0));
    }
    let mut revisions: Vec<_> = (0..history.len()).map(|index| history.revision(index)).collect();
    let mut withdrawn = history.take_withdrawn();
    let mut operations = history.into_operations();
    let later = u64::from(operations.iter().any(|operation| operation.call == 0));
    if later > 0 {
        for operation in operations.iter_mut().chain(&mut withdrawn) {
            operation.call += later;
            if let Outcome::Returned { at, .. } = &mut operation.outcome {
                *at += later;
            }
        }
    }
    let process =
        operations.iter().map(|operation| operation.process).max().map_or(0, |most| most.saturating_add(1));
    for (key, value) in begins {
        let outcome = Outcome::Returned { at: 0, output: Output::Done };
        operations.push(Operation { process, call: 0, input: Input::Put { key, value }, outcome });
    }
    revisions.resize(operations.len(), None);
    History::new(operations)
        .and_then(|history| history.with_revisions(revisions))
        .map(|history| (history.with_withdrawn(withdrawn), later))
        .map_err(|error| ParseError::new(0, format!("with initial values: {error}")))
}
