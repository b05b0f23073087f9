//! Messages that can never count again: in an exhaustive search they are lost, so that states that differ by
//! nothing else are one.

use pbkv::protocol::{
    identity::{DataId, ViewNumber},
    log::Write,
    message::{Append, AppendAck, Chunk, ChunkAck, PeerMessage},
};

use super::{Action, Checked, Cluster, Key, Server, flight::Body};

impl Cluster {
    /// Takes them off their way.
    pub(super) fn lose_what_is_void(&mut self, actions: &mut Vec<Action>) -> Checked {
        let void = self.flight.messages().filter(|(key, body)| self.is_void(*key, body));
        for key in void.map(|(key, _)| key).collect::<Vec<_>>() {
            self.takes(Action::Lose(key), actions)?;
        }
        Ok(())
    }

    /// Whether a message changes nothing and is answered by nothing that does, whenever it arrives.
    fn is_void(&self, key: Key, body: &Body) -> bool {
        match body {
            // The call is gone that it answers.
            Body::Answer { life, .. } => self.servers[usize::from(key.to) - 1].life != *life,
            // It is meant for other contents; or the answer is that there is a later view, to a sender that
            // knows that.
            Body::Peer(
                PeerMessage::Append(Append { view, to_data, .. })
                | PeerMessage::Chunk(Chunk { view, to_data, .. }),
            ) => {
                !self.holds(key.to, *to_data)
                    || (self.is_past(key.to, *view) && self.is_past(key.from, *view))
            }
            Body::Peer(
                PeerMessage::AppendAck(AppendAck { view, .. }) | PeerMessage::ChunkAck(ChunkAck { view, .. }),
            ) => self.is_past(key.to, *view),
            Body::Ping { .. }
            | Body::Probe(_)
            | Body::Gone
            | Body::Request { .. }
            | Body::Reply { .. }
            | Body::Question
            | Body::View(_) => false,
        }
    }

    /// It has durably adopted a later view, and heeds and says nothing in this one any more. If it loses its
    /// memory, it comes back in another life and with other contents.
    fn is_past(&self, server: u8, view: ViewNumber) -> bool {
        self.servers[usize::from(server) - 1].disk.view_seen > view
    }

    /// A server has these contents, or will when it has written them.
    fn holds(&self, server: u8, data: DataId) -> bool {
        let Server { disk, machine, unwritten, .. } = &*self.servers[usize::from(server) - 1];
        let is_it = |write: &Write| matches!(write, Write::Data { data: written, .. } if *written == data);
        disk.data == Some(data)
            || machine.as_ref().is_some_and(|machine| machine.data() == Some(data))
            || unwritten.iter().flat_map(|(_, writes)| writes).any(is_it)
    }
}
