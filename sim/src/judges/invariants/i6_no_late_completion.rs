//! I6: once a server has durably adopted a view as its primary, no primary of an earlier view completes an
//! operation that it received later.
//!
//! Source: rules R1 and R10; this is what makes reads linearizable. A retry that is answered from the
//! session table is exempt: it reports what was committed before. So is a retry of what stands in the log
//! already: what it waits for was received earlier, and every replica may have acknowledged it earlier. A
//! primary whose adoption is not durable yet has said nothing and may forget it; it does not count.

use std::collections::BTreeMap;

use pbkv::protocol::{
    command::{Command, Reply, Request, RequestBody},
    identity::{ServerId, Ticket, ViewNumber},
    replica::{Effect, Replica},
};

use super::{Broken, Check, Facts};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct NoLateCompletion {
    /// The latest view in which anybody acted as primary.
    latest: ViewNumber,
    /// For each waiting request: the latest such view when it was received.
    received: BTreeMap<(ServerId, Ticket), ViewNumber>,
    /// The request that is being taken right now.
    current: Option<(ServerId, Ticket)>,
}

impl NoLateCompletion {
    pub(super) fn forget(&mut self, server: &ServerId) {
        self.received.retain(|(of, _), _| of != server);
    }

    pub(super) fn received(
        &mut self,
        server: &ServerId,
        replica: &Replica,
        ticket: Ticket,
        request: &Request,
    ) {
        if is_retry(replica, request) {
            return;
        }
        let request = (server.clone(), ticket);
        self.received.insert(request.clone(), self.latest);
        self.current = Some(request);
    }

    pub(super) fn check(
        &mut self,
        facts: &Facts,
        server: &ServerId,
        replica: &Replica,
        effects: &[Effect],
    ) -> Check {
        let current = self.current.take();
        for effect in effects {
            let Effect::Reply { ticket, reply } = effect else { continue };
            let request = (server.clone(), *ticket);
            let Some(latest) = self.received.remove(&request) else { continue };
            let from_table = matches!(reply, Reply::Executed(_)) && current.as_ref() == Some(&request);
            if matches!(reply, Reply::Refused(_)) || from_table {
                continue;
            }
            if latest > replica.view_seen() {
                return Err(Broken {
                    invariant: "I6",
                    promised: "a replaced primary completes nothing that it received later",
                    seen: format!(
                        "{server} answered {reply:?} in {}, though {latest} had a primary when the request arrived",
                        replica.view_seen()
                    ),
                });
            }
        }
        let is_durable = facts.disks.get(server).is_some_and(|disk| disk.view_seen == replica.view_seen());
        if replica.as_primary().is_some() && is_durable {
            self.latest = self.latest.max(replica.view_seen());
        }
        Ok(())
    }
}

/// Whether the log holds this update, not yet committed, from an earlier attempt.
fn is_retry(replica: &Replica, request: &Request) -> bool {
    let RequestBody::Update { session, request, .. } = &request.body else { return false };
    replica.log().entries_from(replica.commit().next()).any(|entry| {
        matches!(&entry.command, Command::Update { session: s, request: r, .. } if s == session && r == request)
    })
}
