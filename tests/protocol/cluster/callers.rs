//! What clients send and hear, and the history of it.

use pbkv::protocol::identity::ServerId;

use super::{Cluster, process};
use crate::{
    clients::{Progress, Waiting},
    describe,
    network::{Body, Packet},
};

impl Cluster {
    pub(super) fn ask(&mut self, client: &ServerId, server: &ServerId) {
        let Some(state) = self.clients.get(client) else { return };
        let Some(request) = state.request() else { return };
        let call = state.call;
        self.send(client, server, Body::Request(call, request));
    }

    pub(super) fn client_receives(&mut self, packet: &Packet) {
        let Body::Reply(call, reply) = &packet.body else { return };
        let client = self.clients.get_mut(&packet.to).expect("it is a client");
        if *call == client.call && client.waiting.is_some() {
            let mut heard = describe::reply(reply);
            if self.setup.shows_revisions {
                heard.push_str(&describe::revisions(reply));
            }
            self.happened.push(format!("{} hears from {}: {heard}", packet.to, packet.from));
        }
        self.coverage.reply(reply);
        let waited_for_session = matches!(client.waiting, Some(Waiting::Session(_)));
        let progress = client.answer(*call, reply);
        let process = process(&packet.to);
        self.instant += 1;
        let recorded = match progress {
            Progress::None | Progress::Closed => return,
            Progress::Opened => {
                assert!(waited_for_session, "only a session that was wanted is opened");
                return self.ask(&packet.to.clone(), &packet.from.clone());
            }
            Progress::Done(output) => self.recorder.returned(process, self.instant, output),
            Progress::Unknown => self.recorder.unknown(process, self.instant),
            Progress::TooLong => self.recorder.withdrawn(process, self.instant),
        };
        recorded.expect("the operation was called");
    }

    pub(super) fn give_up(&mut self, name: &ServerId) {
        let Some(client) = self.clients.get_mut(name) else { return };
        let Some(waiting) = client.waiting.clone() else { return };
        client.give_up();
        self.instant += 1;
        let process = process(name);
        match waiting {
            Waiting::Session(_) => self.recorder.withdrawn(process, self.instant),
            Waiting::Get { .. } | Waiting::Update { .. } => self.recorder.unknown(process, self.instant),
            Waiting::Close => return,
        }
        .expect("the operation was called");
    }
}
