//! `replication.proto`: what replicas say to each other.

use std::time::Duration;

use super::{Malformed, generation, kv, malformed, nanoseconds, number, position, present, server};
use crate::{
    protocol::{
        command::{Command, Entry, Executed, Update},
        identity::{DataId, OpNumber, Position, RequestNumber, SessionId, ViewNumber},
        message::{Append, AppendAck, AppendResult, Chunk, ChunkAck, ChunkResult, PeerMessage, TransferId},
        options::{SPAN_MAX, SPAN_MIN},
        store::{Item, Session},
    },
    wire,
};

impl From<Entry> for wire::LogEntry {
    fn from(entry: Entry) -> Self {
        use wire::log_entry as to;
        use wire::log_entry::update::Update as Kind;
        let command = match entry.command {
            Command::OpenSession { ttl } => {
                to::Command::OpenSession(to::OpenSession { ttl_ns: nanoseconds(ttl) })
            }
            Command::CloseSession { session } => {
                to::Command::CloseSession(to::CloseSession { session: session.0 })
            }
            Command::Update { session, request, update } => {
                let update = match update {
                    Update::Put { key, value } => Kind::Put(to::Put { key, value }),
                    Update::Append { key, value, value_bytes_max } => {
                        Kind::Append(to::Append { key, value, value_bytes_max })
                    }
                    Update::Delete { key } => Kind::Delete(to::Delete { key }),
                    Update::CompareAndSwap { key, expected, new } => {
                        let (expected, expected_revision) = kv::expected_fields(expected);
                        Kind::CompareAndSwap(to::CompareAndSwap { key, expected, new, expected_revision })
                    }
                };
                to::Command::Update(to::Update {
                    session: session.0,
                    request: request.0,
                    update: Some(update),
                })
            }
        };
        Self {
            position: Some(entry.position.into()),
            timestamp_ns: nanoseconds(entry.timestamp),
            command: Some(command),
        }
    }
}

impl TryFrom<wire::LogEntry> for Entry {
    type Error = Malformed;

    fn try_from(entry: wire::LogEntry) -> Result<Self, Malformed> {
        use wire::log_entry::{Command as From, update::Update as Kind};
        let command = match present("an entry's command", entry.command)? {
            From::OpenSession(open) => Command::OpenSession { ttl: Duration::from_nanos(open.ttl_ns) },
            From::CloseSession(close) => {
                Command::CloseSession { session: SessionId(number("session", close.session)?) }
            }
            From::Update(update) => Command::Update {
                session: SessionId(number("session", update.session)?),
                request: RequestNumber(number("request", update.request)?),
                update: match present("an entry's update", update.update)? {
                    Kind::Put(put) => Update::Put { key: put.key, value: put.value },
                    Kind::Append(append) => Update::Append {
                        key: append.key,
                        value: append.value,
                        value_bytes_max: append.value_bytes_max,
                    },
                    Kind::Delete(delete) => Update::Delete { key: delete.key },
                    Kind::CompareAndSwap(swap) => Update::CompareAndSwap {
                        key: swap.key,
                        expected: kv::expected(swap.expected, swap.expected_revision)?,
                        new: swap.new,
                    },
                },
            },
        };
        Ok(Self {
            position: position(entry.position)?,
            timestamp: Duration::from_nanos(entry.timestamp_ns),
            command,
        })
    }
}

impl From<Append> for wire::ForwardUpdate {
    fn from(append: Append) -> Self {
        Self {
            generation: Some(append.generation.into()),
            view: append.view.0,
            from: append.from.as_str().to_owned(),
            to_data: Some(append.to_data.into()),
            round: append.round,
            previous: Some(append.previous.into()),
            entries: append.entries.into_iter().map(Into::into).collect(),
            commit: append.commit.0,
            silence_max_ns: nanoseconds(append.silence_max),
        }
    }
}

impl TryFrom<wire::ForwardUpdate> for Append {
    type Error = Malformed;

    fn try_from(append: wire::ForwardUpdate) -> Result<Self, Malformed> {
        let view = ViewNumber(number("view", append.view)?);
        let previous = position(append.previous)?;
        let mut entries = Vec::with_capacity(append.entries.len());
        let mut end = previous;
        for entry in append.entries {
            let entry = Entry::try_from(entry)?;
            let at = entry.position;
            if at.op != end.op.next() || at.view < end.view || at.view > view {
                return malformed(format!("entry {at:?} cannot follow {end:?} in view {view}"));
            }
            end = at;
            entries.push(entry);
        }
        Ok(Self {
            generation: generation(append.generation)?,
            view,
            from: server("the primary", append.from)?,
            to_data: data(append.to_data)?,
            round: number("round", append.round)?,
            previous,
            entries,
            commit: OpNumber(number("commit", append.commit)?),
            silence_max: Duration::from_nanos(append.silence_max_ns).clamp(SPAN_MIN, SPAN_MAX),
        })
    }
}

impl From<Item> for wire::StateItem {
    fn from(item: Item) -> Self {
        use wire::state_item as to;
        let item = match item {
            Item::Pair { key, held } => {
                to::Item::Pair(to::Pair { key, value: held.value, mod_revision: held.mod_revision.0 })
            }
            Item::Session { id, session } => {
                let (last_request, last_outcome) = match session.last {
                    Some((request, executed)) => (request.0, Some(executed.into())),
                    None => (0, None),
                };
                to::Item::Session(to::SessionEntry {
                    id: id.0,
                    last_request,
                    last_outcome,
                    active_at_ns: nanoseconds(session.active_at),
                    ttl_ns: nanoseconds(session.ttl),
                })
            }
            Item::Clock(clock) => to::Item::ClockNs(nanoseconds(clock)),
        };
        Self { item: Some(item) }
    }
}

impl TryFrom<wire::StateItem> for Item {
    type Error = Malformed;

    fn try_from(item: wire::StateItem) -> Result<Self, Malformed> {
        use wire::state_item::Item as From;
        Ok(match present("an item of state", item.item)? {
            From::Pair(pair) => Self::Pair {
                key: pair.key,
                held: present("a value", kv::versioned(Some(pair.value), pair.mod_revision)?)?,
            },
            From::Session(session) => {
                let request = RequestNumber(number("request", session.last_request)?);
                let last = match session.last_outcome.map(Executed::try_from).transpose()? {
                    Some(executed) => Some((request, executed)),
                    None if request.0 == 0 => None,
                    None => return malformed("a session's last outcome is missing"),
                };
                Self::Session {
                    id: SessionId(number("session", session.id)?),
                    session: Session {
                        last,
                        active_at: Duration::from_nanos(session.active_at_ns),
                        ttl: Duration::from_nanos(session.ttl_ns),
                    },
                }
            }
            From::ClockNs(clock) => Self::Clock(Duration::from_nanos(clock)),
        })
    }
}

impl From<TransferId> for wire::TransferId {
    fn from(transfer: TransferId) -> Self {
        Self { view: transfer.view.0, number: transfer.number }
    }
}

impl TryFrom<Option<wire::TransferId>> for TransferId {
    type Error = Malformed;

    fn try_from(transfer: Option<wire::TransferId>) -> Result<Self, Malformed> {
        let transfer = transfer.unwrap_or_default();
        Ok(Self {
            view: ViewNumber(number("view", transfer.view)?),
            number: number("transfer", transfer.number)?,
        })
    }
}

impl From<Chunk> for wire::SyncState {
    fn from(chunk: Chunk) -> Self {
        Self {
            generation: Some(chunk.generation.into()),
            view: chunk.view.0,
            from: chunk.from.as_str().to_owned(),
            to_data: Some(chunk.to_data.into()),
            transfer: Some(chunk.transfer.into()),
            at: Some(chunk.at.into()),
            part: chunk.part,
            items: chunk.items.into_iter().map(Into::into).collect(),
            last: chunk.last,
        }
    }
}

impl TryFrom<wire::SyncState> for Chunk {
    type Error = Malformed;

    fn try_from(chunk: wire::SyncState) -> Result<Self, Malformed> {
        let view = ViewNumber(number("view", chunk.view)?);
        let at: Position = position(chunk.at)?;
        if at.view > view {
            return malformed(format!("a state after {at:?} cannot exist in view {view}"));
        }
        let items: Result<Vec<Item>, Malformed> = chunk.items.into_iter().map(Item::try_from).collect();
        Ok(Self {
            generation: generation(chunk.generation)?,
            view,
            from: server("the primary", chunk.from)?,
            to_data: data(chunk.to_data)?,
            transfer: chunk.transfer.try_into()?,
            at,
            part: number("part", chunk.part)?,
            items: items?,
            last: chunk.last,
        })
    }
}

impl From<AppendAck> for wire::ForwardAck {
    fn from(ack: AppendAck) -> Self {
        use wire::forward_ack::Result as To;
        let result = match ack.result {
            AppendResult::Match(op) => To::Match(op.0),
            AppendResult::Mismatch { hint } => To::MismatchHint(hint.0),
            AppendResult::Stale { view_seen } => To::StaleViewSeen(view_seen.0),
        };
        Self {
            view: ack.view.0,
            from: ack.from.as_str().to_owned(),
            data: Some(ack.data.into()),
            round: ack.round,
            result: Some(result),
        }
    }
}

impl TryFrom<wire::ForwardAck> for AppendAck {
    type Error = Malformed;

    fn try_from(ack: wire::ForwardAck) -> Result<Self, Malformed> {
        use wire::forward_ack::Result as From;
        let result = match present("an acknowledgement's result", ack.result)? {
            From::Match(op) => AppendResult::Match(OpNumber(number("operation", op)?)),
            From::MismatchHint(op) => AppendResult::Mismatch { hint: OpNumber(number("operation", op)?) },
            From::StaleViewSeen(view) => AppendResult::Stale { view_seen: ViewNumber(number("view", view)?) },
        };
        Ok(Self {
            view: ViewNumber(number("view", ack.view)?),
            from: server("the replica", ack.from)?,
            data: data(ack.data)?,
            round: number("round", ack.round)?,
            result,
        })
    }
}

impl From<ChunkAck> for wire::SyncAck {
    fn from(ack: ChunkAck) -> Self {
        use wire::sync_ack::Result as To;
        let result = match ack.result {
            ChunkResult::Next(part) => To::NextPart(part),
            ChunkResult::Installed(op) => To::Installed(op.0),
            ChunkResult::Stale { view_seen } => To::StaleViewSeen(view_seen.0),
        };
        Self {
            view: ack.view.0,
            from: ack.from.as_str().to_owned(),
            data: Some(ack.data.into()),
            transfer: Some(ack.transfer.into()),
            result: Some(result),
        }
    }
}

impl TryFrom<wire::SyncAck> for ChunkAck {
    type Error = Malformed;

    fn try_from(ack: wire::SyncAck) -> Result<Self, Malformed> {
        use wire::sync_ack::Result as From;
        let result = match present("an acknowledgement's result", ack.result)? {
            From::NextPart(part) => ChunkResult::Next(number("part", part)?),
            From::Installed(op) => ChunkResult::Installed(OpNumber(number("operation", op)?)),
            From::StaleViewSeen(view) => ChunkResult::Stale { view_seen: ViewNumber(number("view", view)?) },
        };
        Ok(Self {
            view: ViewNumber(number("view", ack.view)?),
            from: server("the replica", ack.from)?,
            data: data(ack.data)?,
            transfer: ack.transfer.try_into()?,
            result,
        })
    }
}

fn data(data: Option<wire::DataId>) -> Result<DataId, Malformed> {
    present("the identity of the data", data)?.try_into()
}

/// What the stream of a primary carries, or that of a replica.
pub enum Outgoing {
    /// From a primary.
    Primary(wire::PrimaryMessage),
    /// From a replica, back on the primary's stream.
    Replica(wire::ReplicaMessage),
}

impl From<PeerMessage> for Outgoing {
    fn from(message: PeerMessage) -> Self {
        use wire::{primary_message::Body as Primary, replica_message::Body as Replica};
        let primary = |body| Self::Primary(wire::PrimaryMessage { body: Some(body) });
        let replica = |body| Self::Replica(wire::ReplicaMessage { body: Some(body) });
        match message {
            PeerMessage::Append(append) => primary(Primary::Forward(append.into())),
            PeerMessage::Chunk(chunk) => primary(Primary::Sync(chunk.into())),
            PeerMessage::AppendAck(ack) => replica(Replica::Forward(ack.into())),
            PeerMessage::ChunkAck(ack) => replica(Replica::Sync(ack.into())),
        }
    }
}

impl TryFrom<wire::PrimaryMessage> for PeerMessage {
    type Error = Malformed;

    fn try_from(message: wire::PrimaryMessage) -> Result<Self, Malformed> {
        use wire::primary_message::Body;
        Ok(match present("the message", message.body)? {
            Body::Forward(append) => Self::Append(append.try_into()?),
            Body::Sync(chunk) => Self::Chunk(chunk.try_into()?),
        })
    }
}

impl TryFrom<wire::ReplicaMessage> for PeerMessage {
    type Error = Malformed;

    fn try_from(message: wire::ReplicaMessage) -> Result<Self, Malformed> {
        use wire::replica_message::Body;
        Ok(match present("the message", message.body)? {
            Body::Forward(ack) => Self::AppendAck(ack.try_into()?),
            Body::Sync(ack) => Self::ChunkAck(ack.try_into()?),
        })
    }
}
