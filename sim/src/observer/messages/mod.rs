//! The messages of a run, as arrows: who said what to whom, when it left and when it arrived.
//!
//! What machines say is seen where they are stepped: an effect sends, an event receives, and the two are
//! the same message if their contents are equal. What clients say is seen where servers accept it, so of an
//! answer the arrival is not known, and of a request the departure only roughly.
//!
//! Kept only on request ([`crate::data::outcome::RunOptions::keep_messages`]), and at most [`MESSAGES_MAX`].

mod words;

use std::{collections::BTreeMap, hash::Hash, sync::Arc, time::Duration};

use pbkv::protocol::{
    identity::Ticket,
    replica,
    view_service::{self, Answer},
};

use crate::{
    data::{hash::stable_hash, node::NodeIndex},
    store::nodes::Nodes,
};

/// Messages that are kept of one run, at most; later ones are counted only.
pub const MESSAGES_MAX: usize = 60_000;

/// A message on its way from one node to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// From this node
    pub from: NodeIndex,
    /// to this one.
    pub to: NodeIndex,
    /// In which conversation.
    pub kind: MessageKind,
    /// What it said.
    pub text: Arc<str>,
    /// When it left. For a client's request, which is seen where it arrives, this is when the network
    /// brought it to the server's door: later by one latency, earlier than faults that hold it there.
    pub sent: Duration,
    /// When it arrived; not known of a message to a client.
    pub received: Option<Duration>,
    /// It never arrived.
    pub lost: bool,
}

/// The conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageKind {
    /// Between a server and the view service: pings, answers, probes.
    Ping,
    /// Operations, heartbeats and their acknowledgements.
    Replication,
    /// Parts of a state transfer and their acknowledgements.
    Transfer,
    /// A client's request, or the answer to it.
    Client,
}

/// Collects messages.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    kept: Vec<Message>,
    /// Messages on their way, and the latest one with that content for copies that arrive later.
    sent: BTreeMap<(NodeIndex, NodeIndex, u64), Vec<usize>>,
    /// Pings that the view service has not answered, with their senders.
    pinged: BTreeMap<Ticket, NodeIndex>,
    dropped: u64,
}

/// Names a message that was kept.
#[derive(Clone, Copy, Debug)]
pub struct MessageIndex(usize);

impl Messages {
    /// A message left. Whether it arrives is seen later.
    pub fn sent(
        &mut self,
        at: Duration,
        (from, to): (NodeIndex, NodeIndex),
        kind: MessageKind,
        content: &impl Hash,
        text: impl FnOnce() -> String,
    ) {
        let message = Message {
            from,
            to,
            kind,
            text: if self.is_full() { "".into() } else { text().into() },
            sent: at,
            received: None,
            lost: true,
        };
        if let Some(MessageIndex(index)) = self.keep(message) {
            self.sent.entry((from, to, stable_hash(content))).or_default().push(index);
        }
    }

    /// A message arrived: the oldest on its way with this content, or a copy of the latest.
    pub fn received(&mut self, at: Duration, (from, to): (NodeIndex, NodeIndex), content: &impl Hash) {
        let Some(sent) = self.sent.get_mut(&(from, to, stable_hash(content))) else { return };
        let copies = sent.len() == 1;
        let index = if copies { sent[0] } else { sent.remove(0) };
        let message = &mut self.kept[index];
        if message.lost {
            (message.received, message.lost) = (Some(at), false);
        } else {
            let copy = Message { received: Some(at), ..message.clone() };
            self.keep(copy);
        }
    }

    /// A replica is about to be told something.
    pub fn replica_heard(&mut self, at: Duration, nodes: &Nodes, node: NodeIndex, event: &replica::Event) {
        match event {
            replica::Event::PingReply(reply) => self.received(at, (Nodes::VIEW_SERVICE, node), reply),
            replica::Event::Probe(token) => self.received(at, (Nodes::VIEW_SERVICE, node), token),
            replica::Event::Peer(message) => {
                if let Some(from) = nodes.server(words::sender(message)) {
                    self.received(at, (from, node), message);
                }
            }
            _ => {}
        }
    }

    /// A replica wants something done.
    pub fn replica_said(&mut self, at: Duration, nodes: &Nodes, node: NodeIndex, effect: &replica::Effect) {
        match effect {
            replica::Effect::Ping(ping) => {
                self.sent(at, (node, Nodes::VIEW_SERVICE), MessageKind::Ping, ping, || words::ping(ping));
            }
            replica::Effect::Send { to, message } => {
                if let Some(to) = nodes.server(to) {
                    self.sent(at, (node, to), words::kind(message), message, || words::peer(message));
                }
            }
            _ => {}
        }
    }

    /// The view service is about to be told something.
    pub fn view_service_heard(&mut self, at: Duration, nodes: &Nodes, event: &view_service::Event) {
        if let view_service::Event::Ping { ticket, ping } = event
            && let Some(from) = nodes.server(&ping.server)
        {
            self.received(at, (from, Nodes::VIEW_SERVICE), ping);
            self.pinged.insert(*ticket, from);
        }
    }

    /// The view service wants something done.
    pub fn view_service_said(&mut self, at: Duration, nodes: &Nodes, effect: &view_service::Effect) {
        let from = Nodes::VIEW_SERVICE;
        match effect {
            view_service::Effect::Answer { ticket, answer: Answer::Ping(reply) } => {
                if let Some(to) = self.pinged.remove(ticket) {
                    self.sent(at, (from, to), MessageKind::Ping, reply, || words::ping_reply(reply));
                }
            }
            view_service::Effect::Probe { server, token, .. } => {
                if let Some(to) = nodes.server(server) {
                    self.sent(at, (from, to), MessageKind::Ping, token, || "probe".into());
                }
            }
            _ => {}
        }
    }

    /// Keeps a message about which everything is known already, or will be told later.
    pub fn keep(&mut self, message: Message) -> Option<MessageIndex> {
        if self.is_full() {
            self.dropped += 1;
            return None;
        }
        self.kept.push(message);
        Some(MessageIndex(self.kept.len() - 1))
    }

    /// Completes a message.
    pub fn get_mut(&mut self, index: MessageIndex) -> &mut Message {
        &mut self.kept[index.0]
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= MESSAGES_MAX
    }

    /// All messages, those of `other` included, by time; and how many were not kept.
    pub fn merge(self, other: Self) -> (Vec<Message>, u64) {
        let mut all = self.kept;
        all.extend(other.kept);
        all.sort_by_key(|message| (message.sent, message.from, message.to));
        let cut = all.len().saturating_sub(MESSAGES_MAX);
        all.truncate(MESSAGES_MAX);
        (all, self.dropped + other.dropped + cut as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn send(messages: &mut Messages, at: u32, content: &str) {
        messages.sent(at * MS, (1, 2), MessageKind::Replication, &content, || content.to_string());
    }

    fn times(messages: Messages) -> Vec<(u128, Option<u128>, bool)> {
        let (all, _) = messages.merge(Messages::default());
        all.iter().map(|m| (m.sent.as_millis(), m.received.map(|at| at.as_millis()), m.lost)).collect()
    }

    #[test]
    fn a_message_is_lost_until_it_arrives() {
        let mut messages = Messages::default();
        send(&mut messages, 1, "a");
        send(&mut messages, 2, "b");
        messages.received(3 * MS, (1, 2), &"b");
        messages.received(4 * MS, (2, 1), &"a");
        assert_eq!(times(messages), [(1, None, true), (2, Some(3), false)]);
    }

    #[test]
    fn a_copy_is_an_arrow_of_its_own() {
        let mut messages = Messages::default();
        send(&mut messages, 1, "a");
        messages.received(3 * MS, (1, 2), &"a");
        messages.received(5 * MS, (1, 2), &"a");
        assert_eq!(times(messages), [(1, Some(3), false), (1, Some(5), false)]);
    }

    #[test]
    fn of_equal_messages_the_oldest_arrives_first() {
        let mut messages = Messages::default();
        send(&mut messages, 1, "a");
        send(&mut messages, 2, "a");
        messages.received(3 * MS, (1, 2), &"a");
        messages.received(4 * MS, (1, 2), &"a");
        assert_eq!(times(messages), [(1, Some(3), false), (2, Some(4), false)]);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut messages = Messages::default();
        for at in 0..=MESSAGES_MAX {
            send(&mut messages, at as u32, "a");
        }
        let (all, dropped) = messages.merge(Messages::default());
        assert_eq!((all.len(), dropped), (MESSAGES_MAX, 1));
    }
}
