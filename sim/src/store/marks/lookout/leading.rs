//! Becoming, being and having been primary.

use std::collections::BTreeSet;

use pbkv::protocol::{
    command::Command,
    identity::{OpNumber, ServerId, ViewNumber},
    message::{AppendAck, AppendResult, PingReply, PingReplyBody},
    replica::{Notice, Replica, RoleName},
};
use testbed::data::node::NodeIndex;

use super::{super::Situation, Before, Incoming, Lookout};
use crate::judges::invariants::Facts;

/// What is known of a server that leads.
#[derive(Default)]
pub(super) struct Leading {
    /// Replicas to which a state transfer is under way in this view,
    sending: BTreeSet<ServerId>,
    /// and those to which there was one.
    sent: BTreeSet<ServerId>,
    /// The latest lease: in which view, granted by which life of the view service.
    pub(super) lease: Option<(ViewNumber, u64)>,
}

impl Leading {
    /// Another view: transfers of the old one are over.
    pub(super) fn begins_view(&mut self) {
        self.sending.clear();
        self.sent.clear();
    }

    /// Whether a state transfer is under way.
    pub(super) fn is_sending(&self) -> bool {
        !self.sending.is_empty()
    }
}

impl Lookout {
    pub(super) fn answer_arrives(&mut self, node: NodeIndex, machine: &Replica, reply: &PingReply) {
        if reply.boot != machine.boot() {
            return self.reach(Situation::FormerLifeAnswered);
        }
        if let PingReplyBody::Accepted { view: Some(view), echo, lease: Some(_), .. } = &reply.body {
            self.servers[node].leading.lease = Some((view.number, echo.epoch));
        }
    }

    pub(super) fn ack_arrives(&mut self, node: NodeIndex, machine: &Replica, ack: &AppendAck) {
        let Some(primary) = machine.as_primary().filter(|_| ack.view == machine.view_seen()) else {
            return self.reach(Situation::LateAck);
        };
        let confirms =
            matches!(ack.result, AppendResult::Match(_)) && primary.waits_for().contains(&ack.from);
        if confirms && primary.waits_for().len() > 1 && self.is_outdated(ack.view) {
            let read_waits = self.servers[node].requests.has_stale_read();
            self.reach_if(read_waits, Situation::PartlyConfirmedStaleRead);
        }
    }

    pub(super) fn noticed(
        &mut self,
        node: NodeIndex,
        machine: &Replica,
        before: &Before,
        notice: &Notice,
        facts: &Facts,
    ) {
        let leading = &mut self.servers[node].leading;
        match notice {
            Notice::RoleChanged { role: RoleName::Primary, view } => {
                self.promoted(node, machine, *view, facts);
                self.reach_if(self.nodes.twin() == Some(node), Situation::TwinLeads);
            }
            Notice::RoleChanged { .. } => leading.begins_view(),
            Notice::TransferBegan { to, .. } => {
                leading.sending.insert(to.clone());
                leading.sent.insert(to.clone());
                self.reach_if(
                    matches!(before.event, Incoming::NothingReceived),
                    Situation::TransferBeginsAnew,
                );
            }
            Notice::TransferCompleted { to, .. } => {
                leading.sending.remove(to);
            }
            Notice::TransferAbandoned { to } => {
                leading.sending.remove(to);
                self.reach(Situation::TransferAbandoned);
            }
            Notice::Joined { server, .. } => {
                let by_log = !leading.sent.contains(server);
                self.reach_if(by_log, Situation::JoinByLog);
            }
            Notice::Fenced { .. } => self.reach(Situation::Fenced),
            Notice::Suspected { .. } => self.reach(Situation::Suspected),
            Notice::BootRaised { .. } => self.reach(Situation::BootRaised),
            Notice::OldCopy { .. } => self.reach(Situation::OldCopy),
            Notice::Unconfirmed { holder, .. } => {
                let leads = machine.role() == RoleName::Primary;
                self.reach_if(leads && holder.is_some(), Situation::AddressLost);
            }
            Notice::StateInstalled { at } => self.installed(node, at.op),
            Notice::Accepted
            | Notice::Confirmed { .. }
            | Notice::Activated { .. }
            | Notice::ReceivingState { .. }
            | Notice::Believed
            | Notice::PeerRefused { .. }
            | Notice::AnotherPrimary { .. }
            | Notice::HeardAgain { .. }
            | Notice::PrimarySilent { .. }
            | Notice::PrimarySilenceEnds { .. }
            | Notice::ViewServiceSilent
            | Notice::ViewServiceAnswers
            | Notice::FewCopies { .. }
            | Notice::EnoughCopies { .. }
            | Notice::UpdatesRefused { .. }
            | Notice::UpdatesTaken { .. }
            | Notice::SessionsFull { .. }
            | Notice::SessionsHaveRoom { .. }
            | Notice::PingsMoreOften { .. }
            | Notice::CopiesOutOfReach { .. }
            | Notice::WrongGeneration { .. } => {}
        }
    }

    fn promoted(&mut self, node: NodeIndex, machine: &Replica, view: ViewNumber, facts: &Facts) {
        let end = machine.log().end();
        let uncommitted = end.op.0 > facts.committed.len() as u64;
        self.reach_if(uncommitted, Situation::PromotionWithTail);
        let longer = |server: &ServerId| facts.disks.get(server).is_some_and(|disk| disk.end() > end);
        let own = self.nodes.id(node);
        let shorter = self.record.stable.keys().any(|server| server != own && longer(server));
        self.reach_if(shorter, Situation::ShorterLog);
        let transferred = self.servers[node].following.transferred.is_some();
        self.reach_if(transferred, Situation::PromotionAfterTransfer);
        let another = self
            .nodes
            .servers()
            .any(|other| other != node && self.servers[other].role == Some(RoleName::Primary));
        self.reach_if(another && view.0 > 1, Situation::TwoPrimaries);
    }

    /// A primary's commit point moved on.
    pub(super) fn committed(&mut self, node: NodeIndex, machine: &Replica, from: OpNumber, facts: &Facts) {
        let sending = self.servers[node].leading.is_sending();
        self.reach_if(sending, Situation::CommitInTransfer);
        let mut op = from.next();
        while op <= machine.commit() {
            if let Some(entry) = machine.log().entry(op) {
                let first = op.0 > facts.committed.len() as u64;
                let inherited = entry.position.view < machine.view_seen();
                self.reach_if(first && inherited, Situation::TailCommitted);
                if let (true, Command::Update { session, request, .. }) = (first, &entry.command) {
                    let twice = self.log.commit((*session, *request), op);
                    self.reach_if(twice, Situation::TwiceInLog);
                }
            }
            op = op.next();
        }
    }

    /// Whether the view service went down since it granted the lease of this server's view; and whether it
    /// takes the holder for dead.
    pub(super) fn lease_used(&mut self, node: NodeIndex, machine: &Replica) {
        self.reach(Situation::LeasedRead);
        self.reach_if(self.drift_ppm[node].abs() >= 50_000, Situation::DriftingLease);
        let Some((view, epoch)) = self.servers[node].leading.lease else { return };
        let orphaned = view == machine.view_seen() && self.views.epoch != Some(epoch);
        self.reach_if(orphaned, Situation::OrphanedLease);
        let due = self.views.waits_for_lease_of == Some(node);
        self.reach_if(due, Situation::LeaseWhileCutOff);
    }
}
