//! Between the wire and the protocol.
//!
//! Generated types ([`crate::wire`]) end here: everything further in has types that cannot be malformed. What
//! goes out is a `From`; what comes in is a `TryFrom` that checks all that the machines take for granted
//! (numbers far from overflow, logs without gaps, views whose primary is a member), so that no message can
//! make a machine panic.

pub mod kv;
mod replication;
mod storage;
#[cfg(test)]
mod tests;
mod view;

use std::time::Duration;

pub use replication::Outgoing;
pub use storage::{put_change, take_change};
pub use view::{decode_record, encode_record, statuses};

use crate::{
    protocol::identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, ViewNumber},
    wire,
};

/// What is wrong with a message, as its sender is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl From<Malformed> for tonic::Status {
    fn from(malformed: Malformed) -> Self {
        not_executed(Self::invalid_argument(malformed.to_string()))
    }
}

/// The metadata of a status by which a server says that it refused before anything was done.
pub const NOT_EXECUTED: &str = "pbkv-not-executed";

/// Marks a status as a proof: this attempt was not and will not be executed. Codes alone prove nothing,
/// because proxies and gRPC itself use the same ones for reasons of their own, also after a request was
/// executed. The proof ends where something between client and server sends a request again that was
/// answered: no connection does.
pub fn not_executed(mut status: tonic::Status) -> tonic::Status {
    status.metadata_mut().insert(NOT_EXECUTED, tonic::metadata::MetadataValue::from_static("1"));
    status
}

/// Whether a status is such a proof.
pub fn proves_not_executed(status: &tonic::Status) -> bool {
    status.metadata().contains_key(NOT_EXECUTED)
}

fn malformed<T>(why: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(format!("malformed message: {}", why.into())))
}

/// No number that is counted up gets near this in any real life; whatever is larger is refused, so that
/// "the next" always exists.
pub const NUMBER_MAX: u64 = u64::MAX / 4;

/// The longest server name, in bytes: a DNS name, a colon and a port.
const SERVER_BYTES_MAX: usize = 260;

fn number(what: &str, value: u64) -> Result<u64, Malformed> {
    if value > NUMBER_MAX { malformed(format!("{what} {value} is out of range")) } else { Ok(value) }
}

fn present<T>(what: &str, value: Option<T>) -> Result<T, Malformed> {
    value.map_or_else(|| malformed(format!("{what} is missing")), Ok)
}

fn server(what: &str, address: String) -> Result<ServerId, Malformed> {
    if address.is_empty() || address.len() > SERVER_BYTES_MAX {
        return malformed(format!("{what} must be an address of 1 to {SERVER_BYTES_MAX} bytes"));
    }
    // It is written to logs and terminals: nobody is to write anything else there.
    if !address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return malformed(format!(
            "{what} has an address with blanks, control characters or letters that are not ASCII"
        ));
    }
    Ok(ServerId::new(address))
}

/// Words for a terminal: one line, in ASCII.
pub(crate) fn line(what: &str, text: String, bytes_max: usize) -> Result<String, Malformed> {
    if text.len() > bytes_max || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return malformed(format!("{what} is not told in one line of at most {bytes_max} plain letters"));
    }
    Ok(text)
}

/// More than 500 years do not fit; they mean "for ever" as well.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl From<DataId> for wire::DataId {
    fn from(data: DataId) -> Self {
        Self { boot: data.boot.0, nonce: data.nonce }
    }
}

impl TryFrom<wire::DataId> for DataId {
    type Error = Malformed;

    fn try_from(data: wire::DataId) -> Result<Self, Malformed> {
        Ok(Self { boot: Boot(number("boot", data.boot)?), nonce: data.nonce })
    }
}

impl From<Generation> for wire::Generation {
    fn from(generation: Generation) -> Self {
        Self { number: generation.number, nonce: generation.nonce }
    }
}

/// A generation; absent if none is known.
fn generation(generation: Option<wire::Generation>) -> Result<Generation, Malformed> {
    generation.map_or(Ok(Generation::UNKNOWN), |generation| {
        Ok(Generation { number: number("generation", generation.number)?, nonce: generation.nonce })
    })
}

impl From<Position> for wire::Position {
    fn from(position: Position) -> Self {
        Self { view: position.view.0, op: position.op.0 }
    }
}

impl TryFrom<wire::Position> for Position {
    type Error = Malformed;

    fn try_from(position: wire::Position) -> Result<Self, Malformed> {
        Ok(Self {
            view: ViewNumber(number("view", position.view)?),
            op: OpNumber(number("operation", position.op)?),
        })
    }
}

/// A position that protobuf leaves out when it is all zeros.
fn position(position: Option<wire::Position>) -> Result<Position, Malformed> {
    position.map_or(Ok(Position::default()), Position::try_from)
}
