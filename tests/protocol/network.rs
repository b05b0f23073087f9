//! Messages in flight: data, until somebody decides what becomes of each.

use std::fmt;

use pbkv::protocol::{
    command::{Reply, Request},
    identity::ServerId,
    message::{AppendResult, ChunkResult, PeerMessage, Ping, PingReply, PingReplyBody, Probe},
};

use crate::describe::{members, reply, request, view};

/// A message on its way. `from` and `to` are servers, the view service or clients.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: ServerId,
    pub to: ServerId,
    pub body: Body,
    /// How many of its kind were sent before from one to the other.
    pub nth: u64,
}

/// What is in a message.
#[derive(Clone, Debug)]
pub enum Body {
    Ping(Ping),
    PingReply(PingReply),
    Probe(Probe),
    Peer(PeerMessage),
    /// A client's call, with the number of the call for which it was sent.
    Request(u64, Request),
    Reply(u64, Reply),
}

impl Body {
    /// The word by which scripts name this kind of message.
    pub fn kind(&self) -> &'static str {
        match self {
            Body::Ping(_) => "ping",
            Body::PingReply(_) => "answer",
            Body::Probe(_) => "probe",
            Body::Peer(PeerMessage::Append(_)) => "append",
            Body::Peer(PeerMessage::AppendAck(_)) => "ack",
            Body::Peer(PeerMessage::Chunk(_)) => "part",
            Body::Peer(PeerMessage::ChunkAck(_)) => "part-ack",
            Body::Request(..) => "request",
            Body::Reply(..) => "reply",
        }
    }
}

/// Which messages a command means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pick {
    /// The one with this number.
    Number(u64),
    /// All from one to another, of one kind if it is named.
    Link { from: ServerId, to: ServerId, kind: Option<String> },
    /// The oldest of those.
    First { from: ServerId, to: ServerId, kind: Option<String> },
    /// The one that so many of its kind preceded from one to another.
    Nth { from: ServerId, to: ServerId, kind: String, nth: u64 },
    /// All to one.
    To(ServerId),
    /// All of one kind.
    Kind(String),
}

impl Pick {
    pub fn matches(&self, number: u64, packet: &Packet) -> bool {
        match self {
            Pick::Number(wanted) => *wanted == number,
            Pick::To(to) => packet.to == *to,
            Pick::Kind(kind) => packet.body.kind() == kind,
            Pick::Nth { from, to, kind, nth } => {
                let link = packet.from == *from && packet.to == *to;
                link && packet.body.kind() == kind && packet.nth == *nth
            }
            Pick::Link { from, to, kind } | Pick::First { from, to, kind } => {
                let right_kind = kind.as_ref().is_none_or(|kind| kind == packet.body.kind());
                packet.from == *from && packet.to == *to && right_kind
            }
        }
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pick::Number(number) => write!(f, "{number}"),
            Pick::Link { from, to, kind: Some(kind) } => write!(f, "{from} {to} {kind}"),
            Pick::Link { from, to, kind: None } => write!(f, "{from} {to}"),
            Pick::First { from, to, kind } => {
                let kind = kind.as_deref().unwrap_or_default();
                write!(f, "first {from} {to} {kind}")
            }
            Pick::Nth { from, to, kind, nth } => write!(f, "{from} {to} {kind} nth={nth}"),
            Pick::To(to) => write!(f, "all {to}"),
            Pick::Kind(kind) => write!(f, "every {kind}"),
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}: {} ", self.from, self.to, self.body.kind())?;
        match &self.body {
            Body::Ping(ping) => describe_ping(f, ping),
            Body::PingReply(answer) => match &answer.body {
                PingReplyBody::Accepted { view: told, lease, .. } => {
                    let lease = lease.map(|length| format!(", lease of {length:?}")).unwrap_or_default();
                    let told = told.as_ref().map_or("no view yet".to_owned(), view);
                    write!(f, "{} of {}: {told}{lease}", answer.number, answer.boot)
                }
                PingReplyBody::StaleBoot { max } => write!(f, "to {}: {max} is known", answer.boot),
                PingReplyBody::StaleData { data } => write!(f, "to {}: {data:?} is older", answer.boot),
                PingReplyBody::Unconfirmed { holder } => {
                    write!(f, "{} of {} is not believed", answer.number, answer.boot)?;
                    holder.map_or(Ok(()), |holder| write!(f, ", {holder} answers there"))
                }
                PingReplyBody::WrongGeneration { generation } => write!(f, "{generation} is current"),
            },
            Body::Probe(probe) => write!(f, "made at {:?}", probe.token.at),
            Body::Peer(PeerMessage::Append(append)) => {
                write!(f, "{} after {:?}: ", append.view, append.previous)?;
                match (append.entries.first(), append.entries.last()) {
                    (Some(first), Some(last)) => write!(f, "{:?} to {:?}", first.position, last.position)?,
                    _ => write!(f, "nothing")?,
                }
                write!(f, ", commit {}", append.commit)
            }
            Body::Peer(PeerMessage::AppendAck(ack)) => match ack.result {
                AppendResult::Match(op) => write!(f, "{} matches to {op}", ack.view),
                AppendResult::Mismatch { hint } => write!(f, "{} differs, try {hint}", ack.view),
                AppendResult::Stale { view_seen } => write!(f, "{} is stale, {view_seen} is known", ack.view),
            },
            Body::Peer(PeerMessage::Chunk(chunk)) => write!(
                f,
                "{} of transfer {} at {:?}, {} items{}",
                chunk.part,
                chunk.transfer.number,
                chunk.at,
                chunk.items.len(),
                if chunk.last { ", the last" } else { "" }
            ),
            Body::Peer(PeerMessage::ChunkAck(ack)) => match ack.result {
                ChunkResult::Next(part) => write!(f, "wants {part} of transfer {}", ack.transfer.number),
                ChunkResult::Installed(op) => write!(f, "has the state to {op}"),
                ChunkResult::Stale { view_seen } => {
                    write!(f, "{} is stale, {view_seen} is known", ack.view)
                }
            },
            Body::Request(_, asked) => write!(f, "{}", request(asked)),
            Body::Reply(_, given) => write!(f, "{}", reply(given)),
        }
    }
}

fn describe_ping(f: &mut fmt::Formatter<'_>, ping: &Ping) -> fmt::Result {
    write!(f, "{} of {}, knows {}", ping.number, ping.boot, ping.view_known)?;
    if !ping.confirmed.is_empty() {
        write!(f, ", confirmed {}", members(&ping.confirmed))?;
    }
    if !ping.suspects.is_empty() {
        write!(f, ", suspects {:?}", ping.suspects)?;
    }
    Ok(())
}
