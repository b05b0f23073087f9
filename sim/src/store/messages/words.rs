//! Messages in words, short enough to stand beside an arrow.

use pbkv::protocol::{
    command::{Command, Entry, Expected, Update},
    identity::ServerId,
    message::{AppendResult, ChunkResult, PeerMessage, Ping, PingReply, PingReplyBody},
    view::Members,
};
use testbed::{observer::messages::MessageKind, report::screen};

use super::{REPLICATION, TRANSFER};
use crate::store::{notice::name, operation::swap_by_revision};

/// Entries of a message that are named.
const ENTRIES_MAX: usize = 3;

pub(super) fn ping(ping: &Ping) -> String {
    let mut text = format!("ping {}: knows {}, log end {:?}", ping.number, ping.view_known, ping.log_end);
    if !ping.confirmed.is_empty() {
        text.push_str(&format!(", acknowledges it with {}", members(&ping.confirmed)));
    }
    if !ping.suspects.is_empty() {
        let suspects: Vec<&str> = ping.suspects.iter().map(name).collect();
        text.push_str(&format!(", suspects {}", suspects.join(" ")));
    }
    text
}

pub(super) fn ping_reply(reply: &PingReply) -> String {
    match &reply.body {
        PingReplyBody::Accepted { view: None, .. } => format!("pong {}: no view yet", reply.number),
        PingReplyBody::Accepted { view: Some(view), lease, .. } => {
            let active = if view.activated { "active" } else { "not active" };
            let lease = lease.map_or_else(String::new, |lease| format!(", lease {} ms", lease.as_millis()));
            let primary = name(&view.primary);
            format!("pong {}: {} ({active}), primary {primary}{lease}", reply.number, view.number)
        }
        PingReplyBody::StaleBoot { max } => {
            format!("pong {}: a later life is known, {max}", reply.number)
        }
        PingReplyBody::StaleData { data } => {
            format!("pong {}: what it holds of {data:?} is an older copy", reply.number)
        }
        PingReplyBody::Unconfirmed { .. } => format!("pong {}: not believed without a token", reply.number),
        PingReplyBody::WrongGeneration { generation } => {
            format!("pong {}: the generation is {generation}", reply.number)
        }
    }
}

pub(super) fn kind(message: &PeerMessage) -> MessageKind {
    match message {
        PeerMessage::Append(_) | PeerMessage::AppendAck(_) => REPLICATION,
        PeerMessage::Chunk(_) | PeerMessage::ChunkAck(_) => TRANSFER,
    }
}

pub(super) fn sender(message: &PeerMessage) -> &ServerId {
    match message {
        PeerMessage::Append(append) => &append.from,
        PeerMessage::AppendAck(ack) => &ack.from,
        PeerMessage::Chunk(chunk) => &chunk.from,
        PeerMessage::ChunkAck(ack) => &ack.from,
    }
}

/// What a message between servers says.
pub fn peer(message: &PeerMessage) -> String {
    match message {
        PeerMessage::Append(append) if append.entries.is_empty() => {
            format!("heartbeat {} of {}, commit {}", append.round, append.view, append.commit)
        }
        PeerMessage::Append(append) => {
            let mut entries: Vec<String> = append.entries.iter().take(ENTRIES_MAX).map(entry).collect();
            if append.entries.len() > ENTRIES_MAX {
                entries.push(format!("{} more", append.entries.len() - ENTRIES_MAX));
            }
            format!("append in {}: {}; commit {}", append.view, entries.join(", "), append.commit)
        }
        PeerMessage::AppendAck(ack) => match ack.result {
            AppendResult::Match(up_to) => format!("holds all up to {up_to} in {}", ack.view),
            AppendResult::Mismatch { hint } => format!("does not agree in {}, send from {hint}", ack.view),
            AppendResult::Stale { view_seen } => format!("refuses {}: knows {view_seen}", ack.view),
        },
        PeerMessage::Chunk(chunk) => {
            let last = if chunk.last { ", the last" } else { "" };
            format!("state after {:?}, part {}{last}: {} items", chunk.at, chunk.part, chunk.items.len())
        }
        PeerMessage::ChunkAck(ack) => match ack.result {
            ChunkResult::Next(part) => format!("expects part {part} of the state"),
            ChunkResult::Installed(up_to) => format!("installed the state after {up_to}"),
            ChunkResult::Stale { view_seen } => format!("refuses the state: knows {view_seen}"),
        },
    }
}

fn entry(entry: &Entry) -> String {
    let what = match &entry.command {
        Command::OpenSession { .. } => "open session".into(),
        Command::CloseSession { .. } => "close session".into(),
        Command::Update { update, .. } => match update {
            Update::Put { key, value } => format!("put {} {}", screen::bytes(key), screen::bytes(value)),
            Update::Append { key, value, .. } => {
                format!("append {} {}", screen::bytes(key), screen::bytes(value))
            }
            Update::Delete { key } => format!("delete {}", screen::bytes(key)),
            Update::CompareAndSwap { key, expected: Expected::Revision(revision), new } => {
                swap_by_revision(key, *revision, new)
            }
            Update::CompareAndSwap { key, expected: Expected::Value(_), new } => {
                format!("cas {} {}", screen::bytes(key), screen::bytes(new))
            }
        },
    };
    format!("{:?} {what}", entry.position)
}

fn members(members: &Members) -> String {
    members.keys().map(name).collect::<Vec<_>>().join(" ")
}
