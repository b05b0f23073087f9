//! What happens in a walk, in the words of the protocol.

use pbkv::protocol::{
    command::{Command, Entry, Reply, RequestBody, Update},
    message::{AppendResult, ChunkResult, PeerMessage, Ping, PingReplyBody},
    view::{Members, View},
    view_service::Notice,
};
use testbed::system::Promise;

use super::{Action, Cluster, Failure, Key, WallClock, clients::KEYS, flight::Body};
use crate::store::script;

fn members(members: &Members) -> String {
    let names: Vec<&str> = members.keys().map(short).collect();
    format!("[{}]", names.join(" "))
}

/// A server without its port.
fn short(server: &pbkv::protocol::identity::ServerId) -> &str {
    server.as_str().split(':').next().unwrap_or_default()
}

pub(super) fn view(view: &View) -> String {
    let joining =
        if view.joining.is_empty() { String::new() } else { format!(", joining {}", members(&view.joining)) };
    let activated = if view.activated { ", activated" } else { "" };
    format!(
        "{}: primary {}, in sync {}{joining}{activated}",
        view.number,
        short(&view.primary),
        members(&view.insync)
    )
}

pub(super) fn view_notice(notice: &Notice) -> String {
    match notice {
        Notice::Proposed { view: proposed, why, .. } => format!("proposes {} ({why})", view(proposed)),
        Notice::Activated(activated) => format!("activates {}", view(activated)),
        Notice::ServerSeen(ping) => {
            format!("sees {} in life {} for the first time", short(&ping.server), ping.boot)
        }
        Notice::Gone(server) => format!("finds that {} has ended", short(server)),
        other => format!("{other:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn update(update: &Update) -> String {
    match update {
        Update::Put { key, value } => format!("put {} {}", text(key), text(value)),
        Update::Append { key, value, .. } => format!("append {} {}", text(key), text(value)),
        Update::Delete { key } => format!("delete {}", text(key)),
        Update::CompareAndSwap { key, expected, new } => {
            format!("swap {} from {expected:?} to {}", text(key), text(new))
        }
    }
}

fn entry(entry: &Entry) -> String {
    let what = match &entry.command {
        Command::OpenSession { .. } => "open".to_owned(),
        Command::CloseSession { session } => format!("close {session}"),
        Command::Update { session, request, update: asked } => {
            format!("{session}/{request} {}", update(asked))
        }
    };
    format!("{:?} {what}", entry.position)
}

fn ping(ping: &Ping) -> String {
    let mut words = format!("life {}, knows {}, log to {:?}", ping.boot, ping.view_known, ping.log_end);
    if ping.data.is_none() {
        words.push_str(", holds nothing");
    }
    if !ping.confirmed.is_empty() {
        words.push_str(&format!(", confirms {}", members(&ping.confirmed)));
    }
    if !ping.suspects.is_empty() {
        let suspects: Vec<&str> = ping.suspects.iter().map(short).collect();
        words.push_str(&format!(", suspects [{}]", suspects.join(" ")));
    }
    words
}

fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Value { revision, found: Some(found) } => {
            format!("{} of {} at {revision}", text(&found.value), found.mod_revision)
        }
        Reply::Value { revision, found: None } => format!("nothing at {revision}"),
        Reply::Opened { session, .. } => format!("session {session}"),
        other => format!("{other:?}"),
    }
}

fn body(body: &Body) -> String {
    match body {
        Body::Ping { ping: said, .. } => ping(said),
        Body::Answer { reply, .. } => match &reply.body {
            PingReplyBody::Accepted { view: Some(told), lease, .. } => {
                let lease = lease.map_or(String::new(), |lease| format!(", lease of {lease:?}"));
                format!("to ping {} of {}: {}{lease}", reply.number, reply.boot, view(told))
            }
            PingReplyBody::Accepted { view: None, .. } => "there is no view yet".into(),
            other => format!("to ping {} of {}: {other:?}", reply.number, reply.boot),
        },
        Body::Probe(probe) => format!("{}, made at {:?}", probe.view, probe.token.at),
        Body::Gone => "a connection is refused".into(),
        Body::Peer(PeerMessage::Append(append)) => {
            let entries: Vec<String> = append.entries.iter().map(entry).collect();
            format!(
                "{} number {}, after {:?}: [{}], commit {}",
                append.view,
                append.round,
                append.previous,
                entries.join(", "),
                append.commit
            )
        }
        Body::Peer(PeerMessage::AppendAck(ack)) => {
            let result = match ack.result {
                AppendResult::Match(op) => format!("matches to {op}"),
                AppendResult::Mismatch { hint } => format!("differs, try {hint}"),
                AppendResult::Stale { view_seen } => format!("{view_seen} is known"),
            };
            format!("{} number {}: {result}", ack.view, ack.round)
        }
        Body::Peer(PeerMessage::Chunk(chunk)) => {
            let last = if chunk.last { ", the last" } else { "" };
            format!(
                "{} part {} of {:?} at {:?}{last}",
                chunk.view, chunk.part, chunk.transfer.number, chunk.at
            )
        }
        Body::Peer(PeerMessage::ChunkAck(ack)) => match ack.result {
            ChunkResult::Next(part) => format!("{} wants part {part} of {}", ack.view, ack.transfer.number),
            ChunkResult::Installed(op) => format!("{} has the state to {op}", ack.view),
            ChunkResult::Stale { view_seen } => format!("{view_seen} is known"),
        },
        Body::Request { attempt, request, .. } => {
            let what = match &request.body {
                RequestBody::Get { key } => format!("get {}", text(key)),
                RequestBody::Scan(scan) => format!("scan {}", text(&scan.prefix)),
                RequestBody::OpenSession => "open a session".into(),
                RequestBody::CloseSession { session } => format!("close {session}"),
                RequestBody::Update { session, request, update: asked } => {
                    format!("{session}/{request} {}", update(asked))
                }
            };
            format!("{what} (attempt {attempt})")
        }
        Body::Reply { reply: given, .. } => reply(given),
        Body::Question => "who is primary?".into(),
        Body::View(told) => told.as_ref().map_or("there is no view yet".into(), view),
    }
}

impl Cluster {
    fn message(&self, verb: &str, key: Key) -> String {
        let what = self.flight.get(key).map_or("which is not there".into(), body);
        format!("{verb} {} {} {}: {what}", self.name(key.from), self.name(key.to), key.kind.word())
    }

    pub(super) fn describe(&self, action: Action) -> String {
        match action {
            Action::Deliver(key) => self.message("deliver", key),
            Action::Copy(key) => self.message("duplicate", key),
            Action::Lose(key) => self.message("drop", key),
            Action::Tick(node) => format!("a timer of {} goes off", self.name(node)),
            Action::Advance(time) => format!("{time} ms pass"),
            Action::Jump(node, time) => format!("the clock of {} jumps by {time} ms", self.name(node)),
            Action::Persist(node) => format!("persist {}", self.name(node)),
            Action::Gather(node) => format!("{} gathers a batch", self.name(node)),
            Action::Flush(node) => format!("the batch of {} is over", self.name(node)),
            Action::Crash(node, 0) => format!("crash {}", self.name(node)),
            Action::Crash(node, kept) => format!("crash {} keep={kept}", self.name(node)),
            Action::Wipe(node) => format!("wipe {}", self.name(node)),
            Action::Start(node, WallClock::GoesOn) => format!("restart {}", self.name(node)),
            Action::Start(node, WallClock::SetBack) => format!("restart {} clock=back", self.name(node)),
            Action::Start(node, WallClock::Repeats) => format!("restart {} clock=same", self.name(node)),
            Action::Call(client, wish, server) => {
                let key = KEYS[usize::from(wish.key)];
                let what = match wish.action {
                    script::Action::Close => "close".to_owned(),
                    action => format!("{action:?} {key}").to_lowercase(),
                };
                format!("{}: {what} via={}", self.name(client), self.name(server))
            }
            Action::Retry(client, server) => {
                format!("{}: retry via={}", self.name(client), self.name(server))
            }
            Action::GiveUp(client) => format!("{}: give-up", self.name(client)),
        }
    }

    /// The settings, as a plan of the simulator has them.
    pub fn told(&self) -> String {
        let mut cluster = toml::to_string(&self.plan.cluster).unwrap_or_default();
        cluster.push_str(&format!("clients = {}", self.clients.len()));
        cluster.lines().map(|line| format!("      {line}\n")).collect()
    }

    /// A failure, one thing a line.
    pub fn explain(&self, failure: &Failure) -> Vec<String> {
        match failure {
            Failure::Invariant { node, invariant, message, .. } => {
                vec![format!("{invariant} at {node}: {message}")]
            }
            Failure::NotLinearizable(found) => self.contradiction(found),
            Failure::Undecided(why) => vec![why.clone()],
            Failure::Stall(stall) => stall.waiting.iter().chain(&stall.cluster).cloned().collect(),
            Failure::Unhealthy(unhealthy) => {
                let at = unhealthy.at.as_secs_f64();
                let first = format!("{} at {at:.3} s: {}", unhealthy.promise.name(), unhealthy.seen);
                [first].into_iter().chain(self.states()).collect()
            }
        }
    }
}
