//! Clients' requests and their answers.

use std::collections::BTreeMap;

use pbkv::protocol::{
    command::{Expected, Outcome, Refusal, Reply, Request, RequestBody, Update},
    identity::{OpNumber, RequestNumber, SessionId, Ticket, ViewNumber},
    replica::{Replica, RoleName},
};
use testbed::data::node::NodeIndex;

use super::{super::Situation, Before, Incoming, Lookout};

/// More than so many sessions are many.
const MANY_SESSIONS: usize = 50;

/// Requests that a server has not answered.
#[derive(Default)]
pub(super) struct Requests(BTreeMap<Ticket, Asked>);

impl Requests {
    /// Whether a Get waits that arrived when the server was no longer primary.
    pub(super) fn has_stale_read(&self) -> bool {
        self.0.values().any(|asked| asked.is_get && asked.outdated)
    }
}

/// What was known when a request arrived.
struct Asked {
    is_get: bool,
    /// A compare-and-swap by revision.
    by_revision: bool,
    /// It arrived at a primary that had been replaced.
    outdated: bool,
    /// The session was known.
    session_known: bool,
    /// What a Get had to wait for.
    inherited: bool,
    inactive: bool,
    /// It waits with an earlier attempt.
    joined: bool,
    /// The primary had held a lease in this view.
    had_lease: bool,
}

/// Every update that a primary took: where and when first, and where it was committed.
#[derive(Default)]
pub(super) struct History(BTreeMap<(SessionId, RequestNumber), Taken>);

#[derive(Default)]
struct Taken {
    /// The first primary that put it into the log, and in which view; the latest view.
    first: Option<(NodeIndex, ViewNumber)>,
    latest: ViewNumber,
    committed: Option<OpNumber>,
}

impl History {
    /// An update was committed for the first time at this operation. True if another operation is the same.
    pub(super) fn commit(&mut self, update: (SessionId, RequestNumber), op: OpNumber) -> bool {
        let taken = self.0.entry(update).or_default();
        taken.committed.replace(op).is_some_and(|before| before != op)
    }
}

impl Lookout {
    pub(super) fn request_arrives(
        &mut self,
        node: NodeIndex,
        machine: &Replica,
        ticket: Ticket,
        request: &Request,
    ) {
        let view = machine.view_seen();
        let primary = machine.as_primary();
        let asked = Asked {
            is_get: matches!(request.body, RequestBody::Get { .. } | RequestBody::Scan(_)),
            by_revision: match &request.body {
                RequestBody::Update { update: Update::CompareAndSwap { expected, .. }, .. } => {
                    matches!(expected, Expected::Revision(_))
                }
                _ => false,
            },
            outdated: primary.is_some() && self.is_outdated(view),
            session_known: match &request.body {
                RequestBody::Update { session, .. } => machine.state().session(*session).is_some(),
                _ => false,
            },
            inherited: primary.is_some_and(|primary| machine.commit() < primary.takeover_end()),
            inactive: primary.is_some_and(|primary| !primary.is_active()),
            joined: false,
            had_lease: self.servers[node].leading.lease.is_some_and(|(granted, _)| granted == view),
        };
        self.servers[node].requests.0.insert(ticket, asked);
    }

    /// Whether an update entered the log in this step, and whether it had before.
    pub(super) fn note_proposal(&mut self, node: NodeIndex, machine: &Replica, before: &Before) {
        let Incoming::Update(ticket, session, request) = before.event else { return };
        if before.role != RoleName::Primary || machine.role() != RoleName::Primary {
            return;
        }
        let view = machine.view_seen();
        if machine.log().end().op > before.end {
            let taken = self.log.0.entry((session, request)).or_default();
            let again = taken.first.is_some() && taken.latest < view;
            taken.first.get_or_insert((node, view));
            taken.latest = view;
            self.reach_if(again, Situation::DuplicateAcrossViews);
        } else if self.log.0.get(&(session, request)).is_some_and(|taken| taken.committed.is_none()) {
            // Neither in the log now nor answered (that follows): it waits with the one before.
            self.servers[node].requests.0.entry(ticket).and_modify(|asked| asked.joined = true);
        }
    }

    pub(super) fn replied(
        &mut self,
        node: NodeIndex,
        machine: &Replica,
        before: &Before,
        ticket: Ticket,
        reply: &Reply,
    ) {
        let Some(asked) = self.servers[node].requests.0.remove(&ticket) else { return };
        let at_once = match before.event {
            Incoming::Get(own) | Incoming::Update(own, ..) | Incoming::OtherRequest(own) => own == ticket,
            _ => false,
        };
        match reply {
            Reply::Value { found, .. } => {
                self.reach_if(found.is_none(), Situation::AbsentRead);
                let is_empty = found.as_ref().is_some_and(|found| found.value.is_empty());
                self.reach_if(is_empty, Situation::EmptyRead);
                self.read(node, machine, before, &asked, at_once);
            }
            Reply::Page(_) => {
                self.reach_if(matches!(before.event, Incoming::Flush), Situation::ScanGoesOn);
                self.read(node, machine, before, &asked, at_once);
            }
            Reply::Executed(executed) => {
                match executed.outcome {
                    Outcome::Swapped { swapped, .. } if asked.by_revision => self.reach(match swapped {
                        true => Situation::SwapByRevisionSucceeds,
                        false => Situation::SwapByRevisionFails,
                    }),
                    Outcome::Swapped { swapped: true, .. } => self.reach(Situation::CasSucceeds),
                    Outcome::Swapped { swapped: false, .. } => self.reach(Situation::CasFails),
                    Outcome::Deleted { existed: true } => self.reach(Situation::DeletesSomething),
                    Outcome::Deleted { existed: false } => self.reach(Situation::DeletesNothing),
                    Outcome::ValueTooLarge { .. } => self.reach(Situation::AppendTooLong),
                    Outcome::Done => {}
                }
                match before.event {
                    Incoming::Update(_, session, request) if at_once => {
                        self.answered_from_table(node, (session, request), machine.view_seen(), &asked);
                    }
                    _ => self.reach_if(asked.joined, Situation::RetryJoins),
                }
            }
            Reply::Refused(Refusal::Busy) => {
                self.reach(Situation::Busy);
                let by_number = self.waiting_max[node] <= machine.load().waiting;
                let full = if asked.is_get { Situation::ScansFull } else { Situation::FullOfBytes };
                self.reach_if(!by_number, full);
            }
            Reply::Refused(refusal) => self.refused(before, &asked, at_once, refusal),
            Reply::Closed { .. } => self.reach(Situation::SessionClosed),
            Reply::Opened { .. } => {
                self.reach_if(machine.state().sessions() > MANY_SESSIONS, Situation::ManySessions);
            }
        }
    }

    fn answered_from_table(
        &mut self,
        node: NodeIndex,
        update: (SessionId, RequestNumber),
        view: ViewNumber,
        asked: &Asked,
    ) {
        self.reach(Situation::RetryFromTable);
        let Some(Taken { first, committed, .. }) = self.log.0.get(&update) else { return };
        let elsewhere = first.is_some_and(|(first, then)| first != node && then < view);
        let transferred = self.servers[node].following.transferred;
        let by_transfer = transferred.zip(*committed).is_some_and(|(at, op)| op <= at);
        self.reach_if(elsewhere, Situation::RetryFromTableAfterFailover);
        self.reach_if(elsewhere && asked.by_revision, Situation::SwapByRevisionRetried);
        self.reach_if(by_transfer, Situation::RetryFromTransferredTable);
    }

    fn read(&mut self, node: NodeIndex, machine: &Replica, before: &Before, asked: &Asked, at_once: bool) {
        let Some(primary) = machine.as_primary() else { return };
        if primary.waits_for().is_empty() {
            self.reach(Situation::SoleRead);
        } else if at_once {
            // No confirmation can be as new as the Get.
            self.lease_used(node, machine);
        } else if matches!(before.event, Incoming::Ack) {
            self.reach(Situation::ConfirmedRead);
        }
        self.reach_if(asked.inherited, Situation::ReadWaitsForLog);
        self.reach_if(asked.inactive, Situation::ReadWaitsForActivation);
        let lapsed = asked.had_lease && !at_once && !asked.inherited && !asked.inactive;
        self.reach_if(lapsed, Situation::LeaseLapsed);
    }

    fn refused(&mut self, before: &Before, asked: &Asked, at_once: bool, refusal: &Refusal) {
        match refusal {
            Refusal::NotPrimary { .. } if at_once => self.reach(match before.role {
                RoleName::Backup => Situation::BackupRefuses,
                RoleName::Idle => Situation::IdleRefuses,
                RoleName::Primary => Situation::FencedRefuses,
            }),
            Refusal::NotPrimary { .. } if asked.is_get => {
                self.reach_if(asked.outdated, Situation::StaleReadRefused);
            }
            Refusal::NotPrimary { .. } => self.reach(Situation::UpdateRefused),
            Refusal::SessionExpired if asked.session_known => self.reach(Situation::SessionExpires),
            Refusal::SessionExpired => self.reach(Situation::SessionUnknown),
            Refusal::Superseded => self.reach(Situation::Superseded),
            Refusal::TooFewHoldIt { .. } => self.reach(Situation::TooFewHoldIt),
            Refusal::TooFewCopies { .. } => self.reach(Situation::TooFewCopies),
            Refusal::TooManySessions => self.reach(Situation::FullOfSessions),
            Refusal::Busy | Refusal::DataLost { .. } => {}
        }
    }
}
