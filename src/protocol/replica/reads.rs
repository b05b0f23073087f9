//! Answering Gets and pages of keys (R10): sole, confirmed, or under a lease.
//!
//! * *Sole*: the primary waits for nobody, so nobody else can be promoted; it just answers.
//! * *Confirmed*: every replica the primary waits for answers a message that was sent after the Get arrived.
//!   Every one of them, not only one: each may be the next primary. It answered in this view, so it had
//!   not adopted a later one. No clock is trusted.
//! * *Lease*: the view service promised to promote nobody for a while. Clocks must run at nearly the same
//!   rate, also through suspends.
//!
//! In each way nothing is read before all that an earlier primary may have acknowledged is committed.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;

use super::{Core, Effect, Primary};
use crate::protocol::{
    command::{Page, Reply, Scan},
    identity::{OpNumber, Ticket},
    options::{ReadMode, usable_lease},
    store::State,
};

/// What is read.
#[derive(Clone)]
pub(super) enum Wanted {
    Key(Bytes),
    Page(Scan),
}

impl Wanted {
    fn found_in(&self, revision: OpNumber, state: &State) -> Reply {
        match self {
            Self::Key(key) => Reply::Value { revision, found: state.get(key).cloned() },
            Self::Page(scan) => {
                let (keys, more) = state.page(scan);
                Reply::Page(Page { revision, keys, more })
            }
        }
    }
}

/// A key as it was hashed when nothing else could be read: a run without pages is the run it was.
impl Hash for Wanted {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self {
            Self::Key(key) => key.hash(hasher),
            Self::Page(scan) => (usize::MAX, scan).hash(hasher), // no key is so long
        }
    }
}

/// A Get, or a question for a page, that waits.
#[derive(Clone, Hash)]
pub(super) struct Read {
    pub(super) ticket: Ticket,
    pub(super) wanted: Wanted,
    /// Every replica that the primary waits for must have answered this round, sent after the question
    /// arrived, or a later one.
    pub(super) round: u64,
}

impl Primary {
    /// Something is to be read.
    pub(super) fn read(
        &mut self,
        core: &Core,
        now: Duration,
        ticket: Ticket,
        wanted: Wanted,
        effects: &mut Vec<Effect>,
    ) {
        self.round_wanted = true;
        let round = self.round + 1;
        self.reads.push_back(Read { ticket, wanted, round });
        self.serve_reads(core, now, effects);
    }

    /// The view service promises to promote nobody for a while, counted from when the ping was *sent*.
    pub(super) fn on_lease(
        &mut self,
        core: &Core,
        now: Duration,
        ping: u64,
        granted: Duration,
        effects: &mut Vec<Effect>,
    ) {
        let Some(sent_at) = core.pinger.sent_at.get(&ping) else { return };
        let until = *sent_at + usable_lease(granted);
        if core.options.reads == ReadMode::Lease {
            self.lease_until = self.lease_until.max(Some(until));
            self.serve_reads(core, now, effects);
        }
    }

    /// R10. Values and pages are read from the applied state after the confirmation, so they are at least as
    /// new as anything acknowledged before the question arrived. So are their revisions (section 7): what is
    /// applied, not what is in the log.
    pub(super) fn serve_reads(&mut self, core: &Core, now: Duration, effects: &mut Vec<Effect>) {
        let held = core.outbox.is_held(); // R1: the view is not adopted durably yet
        if held || !self.active || core.commit < self.takeover_end || self.fenced.is_some() {
            return;
        }
        let leased = self.lease_until.is_some_and(|until| now < until);
        let confirmed = if self.waits_for.is_empty() || leased {
            u64::MAX // sole: nobody else can be promoted
        } else {
            let acked = self.waits_for.iter().map(|server| self.peers[server].round_answered);
            acked.min().expect("not empty")
        };
        while let Some(read) = self.reads.pop_front_if(|read| read.round <= confirmed) {
            let reply = read.wanted.found_in(core.commit, &core.state);
            effects.push(Effect::Reply { ticket: read.ticket, reply });
        }
        if self.reads.is_empty() {
            self.round_wanted = false;
        }
    }
}
