//! The messages of a run, as arrows: from which node to which, what each says, when it left and arrived.
//!
//! What machines say is seen where they are stepped: an effect sends, an event receives, and the two are
//! the same message if their contents are equal. What clients say is seen where processes accept it, so of an
//! answer the arrival is not known, and of a request the departure only roughly.
//!
//! Kept only on request ([`crate::data::outcome::RunOptions::keep_messages`]), and at most [`MESSAGES_MAX`].

use std::{collections::BTreeMap, hash::Hash, sync::Arc, time::Duration};

use crate::data::{hash::stable_hash, node::NodeIndex};

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
    /// brought it to the process's door: later by one latency, earlier than faults that hold it there.
    pub sent: Duration,
    /// When it arrived; not known of a message to a client.
    pub received: Option<Duration>,
    /// It never arrived.
    pub lost: bool,
}

/// Of which conversation a message is: [`MessageKind::CLIENT`], or a place in
/// [`crate::system::System::CONVERSATIONS`], counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageKind(pub u8);

impl MessageKind {
    /// A client's request, or the answer to it.
    pub const CLIENT: Self = Self(0);
}

/// Collects messages.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    kept: Vec<Message>,
    /// Messages on their way, and the latest one with that content for copies that arrive later.
    sent: BTreeMap<(NodeIndex, NodeIndex, u64), Vec<usize>>,
    /// What was asked under a number and is not answered yet, with the node that asked.
    asked: BTreeMap<u64, NodeIndex>,
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

    /// A node asked something and waits for an answer to this number.
    pub fn asked(&mut self, number: u64, by: NodeIndex) {
        self.asked.insert(number, by);
    }

    /// The node that waits for the answer to this number, which it gets now.
    pub fn answered(&mut self, number: u64) -> Option<NodeIndex> {
        self.asked.remove(&number)
    }

    /// The messages that left after a time and have not arrived.
    pub fn on_their_way(&self, after: Duration) -> impl Iterator<Item = &Message> {
        self.kept.iter().filter(move |message| message.lost && message.sent >= after)
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

    /// Whether no more are kept.
    pub fn is_full(&self) -> bool {
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
        messages.sent(at * MS, (1, 2), MessageKind(1), &content, || content.to_string());
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
