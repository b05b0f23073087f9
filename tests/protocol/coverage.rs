//! What really occurred: a property that is never put to the test holds for no reason.

use std::collections::{BTreeMap, BTreeSet};

use pbkv::protocol::{
    command::{Refusal, Reply, RequestBody},
    identity::{ServerId, Ticket},
    log::Write,
    message::{AppendResult, PeerMessage},
    replica::{Effect, Event, Notice, Replica, RoleName},
    view::Record,
    view_service,
};

/// How often each thing occurred.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    pub counts: BTreeMap<&'static str, u64>,
    last_primary: Option<ServerId>,
    receiving: BTreeSet<ServerId>,
    sending: BTreeSet<ServerId>,
    /// The request that is being taken: its ticket, and whether it is an update or a Get.
    request: Option<(Ticket, bool)>,
    /// Gets are answered at once only by a primary that is alone or has a lease.
    reads_alone: bool,
}

impl Coverage {
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// Whether a server sends or receives a state right now, as far as its notices tell.
    pub fn is_transferring(&self, server: &ServerId) -> bool {
        self.sending.contains(server) || self.receiving.contains(server)
    }

    /// Before a replica takes an event.
    pub fn before(&mut self, replica: &Replica, event: &Event) {
        self.request = None;
        self.reads_alone = replica.as_primary().is_some_and(|primary| primary.waits_for().is_empty());
        match event {
            Event::Request { ticket, request } => {
                let is_update = matches!(request.body, RequestBody::Update { .. });
                self.request = Some((*ticket, is_update));
            }
            Event::Peer(PeerMessage::AppendAck(ack)) => match ack.result {
                AppendResult::Mismatch { hint } if hint > replica.log().base().op => {
                    self.count("log catch-up")
                }
                AppendResult::Match(_) if ack.view < replica.view_seen() => {
                    self.count("late acknowledgement")
                }
                _ => {}
            },
            Event::Peer(PeerMessage::Append(append)) if append.view < replica.view_seen() => {
                self.count("message of a replaced primary");
            }
            _ => {}
        }
    }

    /// After a replica took an event.
    pub fn after(&mut self, replica: &Replica, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Notice(notice) => self.notice(replica.server(), notice),
                Effect::Reply { ticket, reply } => self.answered(*ticket, reply),
                _ => {}
            }
        }
    }

    fn answered(&mut self, ticket: Ticket, reply: &Reply) {
        let at_once = self.request.is_some_and(|(current, _)| current == ticket);
        let is_update = self.request.is_some_and(|(_, is_update)| is_update);
        match reply {
            Reply::Executed(_) if at_once && is_update => self.count("retry answered from the session table"),
            Reply::Value { .. } if self.reads_alone => self.count("read alone"),
            Reply::Value { .. } if at_once => self.count("read under a lease"),
            Reply::Value { .. } => self.count("read confirmed or leased later"),
            _ => {}
        }
    }

    fn notice(&mut self, server: &ServerId, notice: &Notice) {
        match notice {
            Notice::RoleChanged { role: RoleName::Primary, .. } => {
                if self.last_primary.as_ref().is_some_and(|last| last != server) {
                    self.count("promotion of another server");
                }
                self.last_primary = Some(server.clone());
            }
            Notice::Fenced { .. } => self.count("primary fenced"),
            Notice::Suspected { .. } => self.count("replica suspected"),
            Notice::TransferBegan { .. } => {
                self.sending.insert(server.clone());
                self.count("state transfer began");
            }
            Notice::TransferCompleted { .. } => {
                self.sending.remove(server);
                self.count("state transfer completed");
            }
            Notice::TransferAbandoned { .. } => self.count("state transfer abandoned"),
            Notice::ReceivingState { .. } => {
                self.receiving.insert(server.clone());
            }
            Notice::StateInstalled { .. } => {
                self.receiving.remove(server);
                self.count("state installed");
            }
            Notice::BootRaised { .. } => self.count("stale boot raised"),
            Notice::OldCopy { .. } => self.count("old copy noticed"),
            _ => {}
        }
    }

    pub fn view_notice(&mut self, notice: &view_service::Notice) {
        match notice {
            view_service::Notice::Proposed { view, .. } => {
                self.count("view proposed");
                if !view.joining.is_empty() {
                    self.count("joiner named");
                }
            }
            view_service::Notice::Copies { .. } => self.count("copies told"),
            view_service::Notice::DataLost(_) => self.count("all data lost"),
            _ => {}
        }
    }

    /// The view service's record changed on disk.
    pub fn record(&mut self, before: &Record, after: &Record) {
        if before.number == after.number && after.stable.len() > before.stable.len() {
            self.count("backup joined");
        }
        if after.stable.len() < before.stable.len() {
            self.count("smaller view activated");
        }
    }

    pub fn write(&mut self, write: &Write) {
        match write {
            Write::Truncate(_) => self.count("conflicting operations removed"),
            Write::Checkpoint(_) => self.count("checkpoint"),
            Write::Install(_) => self.count("log replaced by a state"),
            _ => {}
        }
    }

    pub fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Executed(_) => self.count("update answered"),
            Reply::Refused(Refusal::SessionExpired) => self.count("session expired"),
            _ => {}
        }
    }

    pub fn crash(&mut self, replica: Option<&Replica>) {
        let Some(replica) = replica else { return };
        if replica.as_primary().is_some() {
            self.count("primary crashed");
        }
        if self.receiving.remove(replica.server()) {
            self.count("crash while receiving the state");
        }
        if self.sending.remove(replica.server()) {
            self.count("crash while sending the state");
        }
    }
}
