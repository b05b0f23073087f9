//! Answering Gets and pages of keys (R10): sole, confirmed, or under a lease.
//!
//! * *Sole*: the primary waits for nobody, so nobody else can be promoted; it just answers.
//! * *Confirmed*: every replica the primary waits for answers a message that was sent after the Get arrived.
//!   Every one of them, not only one: each may be the next primary. It answered in this view, so it had
//!   not adopted a later one. No clock is trusted.
//! * *Lease*: the view service promised to promote nobody for a while. Clocks must run at nearly the same
//!   rate, also through suspends.
//!
//! A page costs as much as a thousand Gets, and a burst of them must not keep the primary from saying that it
//! lives. So only some of them may wait, and only some are read in one go, which ends with a flush. The
//! others are read in the next one. They are confirmed by then and stay so: what is applied meanwhile was
//! committed in this view, and comes before whatever a later primary answers.
//!
//! In each way nothing is read before all that an earlier primary may have acknowledged is committed.

use std::{
    collections::VecDeque,
    hash::{Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;

use super::{Core, Effect, Primary};
use crate::protocol::{
    command::{Page, Refusal, Reply, Scan},
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

/// Pages that wait.
#[derive(Clone, Default, Hash)]
pub(super) struct Scans {
    /// How many, whether confirmed or not.
    waiting: usize,
    /// Those that are confirmed and wait for the next flush.
    confirmed: VecDeque<Read>,
    /// The bytes of the pages that were read in this go.
    bytes: usize,
}

impl Primary {
    /// Requests that wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting_updates + self.reads.len() + self.scans.confirmed.len()
    }

    /// Of these, questions for pages.
    pub(super) fn scans_waiting(&self) -> usize {
        self.scans.waiting
    }

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

    /// A page is to be read.
    pub(super) fn scan(
        &mut self,
        core: &Core,
        now: Duration,
        ticket: Ticket,
        scan: Scan,
        effects: &mut Vec<Effect>,
    ) {
        if self.scans.waiting >= core.options.scans_max {
            return effects.push(Effect::Reply { ticket, reply: Reply::Refused(Refusal::Busy) });
        }
        self.scans.waiting += 1;
        self.read(core, now, ticket, Wanted::Page(scan), effects);
    }

    /// Nothing is read any more: these wait for an answer.
    pub(super) fn take_readers(&mut self) -> impl Iterator<Item = Ticket> + use<> {
        let scans = std::mem::take(&mut self.scans);
        std::mem::take(&mut self.reads).into_iter().chain(scans.confirmed).map(|read| read.ticket)
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
            match read.wanted {
                Wanted::Page(_) if self.has_read_enough(core) => self.scans.confirmed.push_back(read),
                _ => self.serve(core, &read, effects),
            }
        }
        if self.reads.is_empty() {
            self.round_wanted = false;
        }
    }

    fn serve(&mut self, core: &Core, read: &Read, effects: &mut Vec<Effect>) {
        let reply = read.wanted.found_in(core.commit, &core.state);
        if let Reply::Page(page) = &reply {
            self.scans.waiting -= 1;
            self.scans.bytes += page.bytes();
        }
        effects.push(Effect::Reply { ticket: read.ticket, reply });
    }

    fn has_read_enough(&self, core: &Core) -> bool {
        self.scans.bytes >= core.options.scan_bytes_max
    }

    /// From one flush to the next so much is read.
    pub(super) fn begin_scanning(&mut self) {
        self.scans.bytes = 0;
    }

    /// At the end of a flush the next pages are read.
    pub(super) fn go_on_scanning(&mut self, core: &Core, effects: &mut Vec<Effect>) {
        while !self.has_read_enough(core)
            && let Some(read) = self.scans.confirmed.pop_front()
        {
            self.serve(core, &read, effects);
        }
    }

    /// Whether pages wait for the next flush.
    pub(super) fn has_scans_to_go_on(&self) -> bool {
        !self.scans.confirmed.is_empty()
    }
}
