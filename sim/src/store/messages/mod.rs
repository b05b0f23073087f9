//! What the processes of the store say to each other: an effect sends, an event receives.

mod words;

#[cfg(madsim)]
pub use self::words::peer;

use std::time::Duration;

use pbkv::protocol::{
    identity::Ticket,
    replica,
    view_service::{self, Answer},
};
use testbed::{
    data::node::NodeIndex,
    observer::messages::{MessageKind, Messages},
    system::Conversation,
};

use crate::store::nodes::Nodes;

/// Between a server and the view service: pings, answers, probes.
pub const PING: MessageKind = MessageKind(1);
/// Operations, heartbeats and their acknowledgements.
pub const REPLICATION: MessageKind = MessageKind(2);
/// Parts of a state transfer and their acknowledgements.
pub const TRANSFER: MessageKind = MessageKind(3);

/// The conversations, in the order of their numbers.
pub const CONVERSATIONS: &[Conversation] = &[
    Conversation { name: "pings, views", is_shown: false },
    Conversation { name: "replication", is_shown: true },
    Conversation { name: "state transfer", is_shown: true },
];

/// A replica is about to be told something.
pub fn replica_heard(
    messages: &mut Messages,
    at: Duration,
    nodes: &Nodes,
    node: NodeIndex,
    event: &replica::Event,
) {
    match event {
        replica::Event::PingReply(reply) => messages.received(at, (Nodes::VIEW_SERVICE, node), reply),
        replica::Event::Probe(probe) => messages.received(at, (Nodes::VIEW_SERVICE, node), probe),
        replica::Event::Peer(message) => {
            if let Some(from) = nodes.server(words::sender(message)) {
                messages.received(at, (from, node), message);
            }
        }
        _ => {}
    }
}

/// A replica wants something done.
pub fn replica_said(
    messages: &mut Messages,
    at: Duration,
    nodes: &Nodes,
    node: NodeIndex,
    effect: &replica::Effect,
) {
    match effect {
        replica::Effect::Ping(ping) => {
            messages.sent(at, (node, Nodes::VIEW_SERVICE), PING, ping, || words::ping(ping));
        }
        replica::Effect::Send { to, message } => {
            if let Some(to) = nodes.server(to) {
                messages.sent(at, (node, to), words::kind(message), message, || words::peer(message));
            }
        }
        _ => {}
    }
}

/// The view service is about to be told something.
pub fn view_service_heard(messages: &mut Messages, at: Duration, nodes: &Nodes, event: &view_service::Event) {
    if let view_service::Event::Ping { ticket: Ticket(ticket), ping } = event
        && let Some(from) = nodes.server(&ping.server)
    {
        messages.received(at, (from, Nodes::VIEW_SERVICE), ping);
        messages.asked(*ticket, from);
    }
}

/// The view service wants something done.
pub fn view_service_said(
    messages: &mut Messages,
    at: Duration,
    nodes: &Nodes,
    effect: &view_service::Effect,
) {
    let from = Nodes::VIEW_SERVICE;
    match effect {
        view_service::Effect::Answer { ticket: Ticket(ticket), answer: Answer::Ping(reply) } => {
            if let Some(to) = messages.answered(*ticket) {
                messages.sent(at, (from, to), PING, reply, || words::ping_reply(reply));
            }
        }
        view_service::Effect::Probe { server, probe, .. } => {
            if let Some(to) = nodes.server(server) {
                messages.sent(at, (from, to), PING, probe, || "probe".into());
            }
        }
        _ => {}
    }
}
