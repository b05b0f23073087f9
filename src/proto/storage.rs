//! `storage.proto`: what a server's journal says.

use bytes::{Buf, Bytes};
use prost::Message;

use super::{Malformed, generation, number, position, present, server};
use crate::{
    protocol::identity::{Boot, OpNumber, ViewNumber},
    storage::journal::change::Change,
    wire,
};

impl From<Change> for wire::Change {
    fn from(change: Change) -> Self {
        use wire::change::Kind;
        let kind = match change {
            Change::Server(server) => Kind::Server(server.as_str().to_owned()),
            Change::Boot(boot) => Kind::Boot(boot.0),
            Change::Store { data, generation } => {
                Kind::Store(wire::Store { data: Some(data.into()), generation: Some(generation.into()) })
            }
            Change::ViewSeen(view) => Kind::ViewSeen(view.0),
            Change::Entry(entry) => Kind::Entry(entry.into()),
            Change::Truncate(from) => Kind::Truncate(from.0),
            Change::Checkpoint(at) => Kind::Checkpoint(at.into()),
            Change::Item(item) => Kind::Item(item.into()),
            Change::State(at) => Kind::State(at.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Change> for Change {
    type Error = Malformed;

    fn try_from(change: wire::Change) -> Result<Self, Malformed> {
        use wire::change::Kind;
        Ok(match present("a change", change.kind)? {
            Kind::Server(name) => Self::Server(server("the server", name)?),
            Kind::Boot(boot) => Self::Boot(Boot(number("boot", boot)?)),
            Kind::Store(store) => Self::Store {
                data: present("the identity of a store", store.data)?.try_into()?,
                generation: generation(store.generation)?,
            },
            Kind::ViewSeen(view) => Self::ViewSeen(ViewNumber(number("view", view)?)),
            Kind::Entry(entry) => Self::Entry(entry.try_into()?),
            Kind::Truncate(from) => Self::Truncate(OpNumber(number("operation", from)?)),
            Kind::Checkpoint(at) => Self::Checkpoint(position(Some(at))?),
            Kind::Item(item) => Self::Item(item.try_into()?),
            Kind::State(at) => Self::State(position(Some(at))?),
        })
    }
}

/// Adds a change to others, to be read back with [`take_change`].
pub fn put_change(change: Change, to: &mut Vec<u8>) {
    wire::Change::from(change).encode_length_delimited(to).expect("a vector takes everything");
}

/// The first of the changes in `from`, which is gone from there then; none if it is not there in full.
///
/// # Errors
///
/// If the bytes are no change.
pub fn take_change(from: &mut Bytes) -> Result<Option<Change>, Malformed> {
    let mut rest = from.clone();
    let Ok(length) = prost::decode_length_delimiter(&mut rest) else {
        let is_cut = from.len() < LENGTH_BYTES_MAX;
        return if is_cut { Ok(None) } else { Err(Malformed("a length is none".into())) };
    };
    if rest.remaining() < length {
        return Ok(None);
    }
    let change = wire::Change::decode(rest.split_to(length)).map_err(|error| Malformed(error.to_string()))?;
    *from = rest;
    change.try_into().map(Some)
}

/// The longest that protobuf writes a length.
const LENGTH_BYTES_MAX: usize = 10;
