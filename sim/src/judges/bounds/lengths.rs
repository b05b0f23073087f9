//! How long keys and values are: what a client asks for, and what appends build of it.

use pbkv::protocol::{
    command::{Command, Entry, Expected, Update},
    identity::OpNumber,
    replica::Replica,
};

use super::{Excess, at_most, limits::Limits};

const KEY: &str = "bytes of a key";
const VALUE: &str = "bytes of a value";

/// The lengths that an entry names, when it gets into a log.
pub(super) fn check_entry(entry: &Entry, limits: &Limits) -> Result<(), Excess> {
    let Command::Update { update, .. } = &entry.command else { return Ok(()) };
    at_most(KEY, update.key().len() as u64, limits.key_bytes_max)?;
    let longest = match update {
        Update::Put { value, .. } | Update::Append { value, .. } => value.len(),
        Update::Delete { .. } => 0,
        Update::CompareAndSwap { expected, new, .. } => {
            let expected = match expected {
                Expected::Value(value) => value.as_ref().map_or(0, |value| value.len()),
                Expected::Revision(_) => 0,
            };
            expected.max(new.len())
        }
    };
    at_most(VALUE, longest as u64, limits.value_bytes_max)
}

/// What the appends built that were applied after this operation.
pub(super) fn check_applied(machine: &Replica, after: OpNumber, limits: &Limits) -> Result<(), Excess> {
    let applied =
        machine.log().entries_from(after.next()).take_while(|it| it.position.op <= machine.commit());
    for entry in applied {
        if let Command::Update { update: Update::Append { key, .. }, .. } = &entry.command {
            let built = machine.state().get(key).map_or(0, |found| found.value.len());
            at_most(VALUE, built as u64, limits.value_bytes_max)?;
        }
    }
    Ok(())
}
