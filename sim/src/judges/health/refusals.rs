//! What no server that follows the protocol says is refused aloud: **silence** about a liar is a failure, too
//! (R19).
//!
//! A message is looked at before it is taken: one that names a view far beyond all that were ever recorded,
//! or another operation where one is committed. It is told once for each view that the server obeys.
//!
//! What it cannot see: lies that a server takes for the truth, and whether the text names the right cause.

use std::{collections::BTreeMap, time::Duration};

use pbkv::protocol::{
    identity::{DataId, Generation, ServerId, ViewNumber},
    message::{Append, PeerMessage, VIEW_LEAP_MAX},
    replica::{Effect, Event, Notice, Replica, RoleName},
};
use testbed::data::node::NodeIndex;

use super::{Health, Promise};

/// Lies, and who told of which.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    /// The latest view that was ever recorded.
    pub(super) latest: ViewNumber,
    /// The message that is being taken must be refused.
    must: bool,
    /// The view in which each server told of a lie last.
    said_in: BTreeMap<NodeIndex, ViewNumber>,
}

impl Refusals {
    /// A process begins a life.
    pub(super) fn began(&mut self, node: NodeIndex) {
        self.said_in.remove(&node);
    }

    fn is_lie(&self, machine: &Replica, event: &Event) -> bool {
        match event {
            Event::Peer(PeerMessage::Append(append)) => {
                let is_whole = append.entries.is_empty()
                    && append.previous.view <= append.view
                    && append.view > ViewNumber(0);
                is_whole
                    && is_meant(machine, (append.generation, append.to_data, append.view), &append.from)
                    && (self.is_beyond(append.view) || contradicts(machine, append))
            }
            Event::Peer(PeerMessage::Chunk(chunk)) => {
                is_meant(machine, (chunk.generation, chunk.to_data, chunk.view), &chunk.from)
                    && self.is_beyond(chunk.view)
            }
            _ => false,
        }
    }

    fn is_beyond(&self, view: ViewNumber) -> bool {
        view.0 > self.latest.0 + VIEW_LEAP_MAX
    }
}

fn is_meant(machine: &Replica, about: (Generation, DataId, ViewNumber), from: &ServerId) -> bool {
    let (generation, data, view) = about;
    let is_own = generation == machine.generation() && machine.data() == Some(data);
    is_own && view >= machine.view_seen() && from != machine.server()
}

/// A primary asks the view service whether it is replaced, and looks no further.
fn contradicts(machine: &Replica, append: &Append) -> bool {
    let previous = append.previous;
    let own = machine.log().position(previous.op).filter(|_| previous.op <= machine.commit());
    machine.role() != RoleName::Primary && own.is_some_and(|own| own != previous)
}

impl Health {
    /// A server is about to take an event.
    pub fn hears(&mut self, machine: &Replica, event: &Event) {
        self.refusals.must = self.refusals.is_lie(machine, event);
    }

    /// A server took an event.
    pub fn refuses(&mut self, at: Duration, node: NodeIndex, machine: &Replica, effects: &[Effect]) {
        let must = std::mem::take(&mut self.refusals.must);
        let tells = |effect: &Effect| matches!(effect, Effect::Notice(Notice::PeerRefused { .. }));
        let view = machine.view_seen();
        if effects.iter().any(tells) {
            self.refusals.said_in.insert(node, view);
        } else if must && node < self.names.len() && self.refusals.said_in.get(&node) != Some(&view) {
            let seen =
                format!("{} was told in {view} what no server says, and tells nobody", self.names[node]);
            self.breaks(at, Promise::Silence, seen);
        }
    }
}
