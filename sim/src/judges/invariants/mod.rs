//! The protocol's invariants, checked after every step of every machine.
//!
//! One invariant a file: the property in a sentence, where it comes from, what it cannot see. They share
//! [`Facts`], what an all-knowing observer has seen so far: the view service's durable record, every
//! server's disk, every commitment. Each check costs a little for each step and nothing for the length of
//! the run, so it can be done always.
//!
//! The judge of the clients' history sees only what clients see; these see a broken promise even if nobody
//! has asked yet.

mod facts;
mod i11_complete_is_offered;
mod i12_one_history;
mod i1_one_primary_per_view;
mod i2_log_matching;
mod i3_commit_reaches_all;
mod i4_stable_holds_committed;
mod i5_same_history;
mod i6_no_late_completion;
mod i7_activated_with_memory;
mod i8_state_of_the_log;

use std::hash::{Hash, Hasher};

use pbkv::protocol::{
    command::Request,
    identity::{ServerId, Ticket, ViewNumber},
    log::{Durable, Write},
    replica::{Effect, Replica},
    view::{Record, View},
};
use testbed::judges::broken::{Broken, Check};

pub use facts::{Committed, Disk, Facts};

use crate::judges::order::ServersOrder;

/// All invariants and what they have seen.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    facts: Facts,
    /// No server takes an operation that fewer copies would hold.
    copies_min: usize,
    /// Servers hear what no server says.
    hears_lies: bool,
    /// The record was lost; this was its number.
    lost: Option<ViewNumber>,
    one_primary: i1_one_primary_per_view::OnePrimaryPerView,
    log_matching: i2_log_matching::LogMatching,
    same_history: i5_same_history::SameHistory,
    no_late_completion: i6_no_late_completion::NoLateCompletion,
    activated_with_memory: i7_activated_with_memory::ActivatedWithMemory,
    state_of_the_log: i8_state_of_the_log::StateOfTheLog,
}

impl Hash for Invariants {
    /// What decides about later steps and is not in the machines and on their disks.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.facts, self.lost, &self.one_primary, &self.log_matching).hash(hasher);
        (&self.no_late_completion, &self.activated_with_memory).hash(hasher);
    }
}

impl Invariants {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing seen yet of servers that all ask for so many copies.
    pub fn asking_for(copies_min: usize) -> Self {
        Self { copies_min, ..Self::default() }
    }

    /// A process of this name has the address of a server at times.
    #[must_use]
    pub fn with_twin(mut self, twin: Option<ServerId>) -> Self {
        self.facts.twin = twin;
        self
    }

    /// Somebody lies to servers from now on: what they refuse need not have been said by another server.
    pub fn lies_begin(&mut self) {
        self.hears_lies = true;
    }

    /// Whether servers may have heard what no server says.
    pub fn hears_lies(&self) -> bool {
        self.hears_lies
    }

    /// What was seen so far.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The view service has its disk write this record.
    pub fn record_written(&mut self, record: &Record) {
        self.activated_with_memory.written(&self.facts, record);
    }

    /// The view service's record became durable.
    pub fn record_persisted(&mut self, record: &Record) -> Check {
        self.one_primary.check_record(&self.facts, record)?;
        self.activated_with_memory.check(&self.facts, record)?;
        i12_one_history::check_record(&self.facts, record, self.lost.is_some())?;
        let lost = self.lost.take();
        if record.generation != self.facts.record.generation {
            // An operator declared everything lost, or the record was: a new history begins.
            self.facts.committed = facts::Committed::default();
            self.same_history = i5_same_history::SameHistory::default();
            if lost.is_some() {
                self.no_late_completion = i6_no_late_completion::NoLateCompletion::default();
            }
        } else if let Some(lost) = lost {
            self.one_primary.check_adopted(lost, record)?;
        }
        self.facts.recorded(record, lost.is_some());
        i4_stable_holds_committed::check(&self.facts)?;
        i11_complete_is_offered::check(&self.facts)
    }

    /// The view service lost its record. What it records next either begins a history of its own, with view
    /// numbers of its own, and servers of the old one must stay out of it; or, if it has the lost generation,
    /// goes on with the data of a server that an operator named: then all promises hold as if nothing had
    /// been lost.
    pub fn record_lost(&mut self) {
        self.lost = Some(self.facts.record.number);
        let generation = self.facts.record.generation;
        self.facts.record = Record { generation, ..Record::default() };
    }

    /// The lost record is back, before anything else was recorded.
    pub fn record_restored(&mut self, record: &Record) {
        self.lost = None;
        self.facts.record = record.clone();
    }

    /// An old copy is in the place of the record: who holds all the data, no record says until the next
    /// acknowledgement.
    pub fn record_replaced(&mut self) {
        self.facts.record_replaced();
    }

    /// An operator gives all data up: this is the durable record now, in which another history begins.
    pub fn data_given_up(&mut self, record: &Record) {
        self.facts.committed = facts::Committed::default();
        self.same_history = i5_same_history::SameHistory::default();
        self.facts.recorded(record, false);
    }

    /// The view service told somebody of this view.
    pub fn view_told(&mut self, view: &View) -> Check {
        self.one_primary.check_told(&self.facts, view)
    }

    /// A server begins a life with this on its disk.
    pub fn server_started(&mut self, server: &ServerId, durable: &Durable) {
        self.facts.disk_read(server, durable);
        self.log_matching.forget(server);
        self.same_history.forget(server);
        self.no_late_completion.forget(server);
        self.state_of_the_log.forget(server);
    }

    /// A change became durable at a server.
    pub fn disk_written(&mut self, server: &ServerId, write: &Write) -> Check {
        i12_one_history::check_write(&self.facts, server, write)?;
        self.facts.disk_written(server, write);
        match write {
            Write::Truncate(_) | Write::Install(_) | Write::Data { .. } => {
                i4_stable_holds_committed::check(&self.facts)
            }
            _ => Ok(()),
        }
    }

    /// A server's disk was wiped.
    pub fn disk_lost(&mut self, server: &ServerId) {
        self.facts.disk_lost(server);
    }

    /// A server is about to take a request from a client.
    pub fn request_received(
        &mut self,
        server: &ServerId,
        replica: &Replica,
        ticket: Ticket,
        request: &Request,
    ) {
        self.no_late_completion.received(server, replica, ticket, request);
    }

    /// A server took a step.
    pub fn replica_stepped(&mut self, server: &ServerId, replica: &Replica, effects: &[Effect]) -> Check {
        self.facts.replica_stepped(effects);
        self.one_primary.check_replica(server, replica)?;
        self.log_matching.check(server, replica)?;
        if replica.generation() != self.facts.record.generation {
            return Ok(()); // it holds a history that was given up
        }
        let committed = self.facts.committed.len();
        let before = |position| self.log_matching.before(replica.generation(), position);
        self.same_history.check(server, replica, before, &mut self.facts.committed)?;
        if !self.hears_lies {
            i5_same_history::check_refusals(server, effects)?;
        }
        i3_commit_reaches_all::check(&self.facts, replica, self.copies_min)?;
        i3_commit_reaches_all::check_acknowledged(replica, effects, self.copies_min)?;
        if self.facts.committed.len() > committed {
            i4_stable_holds_committed::check(&self.facts)?;
        }
        self.no_late_completion.check(&self.facts, server, replica, effects)
    }

    /// A server took a step after which all that it committed is in `order`.
    pub fn state_seen(&mut self, server: &ServerId, replica: &Replica, order: &ServersOrder) -> Check {
        if replica.generation() != self.facts.record.generation {
            return Ok(());
        }
        self.state_of_the_log.check(server, replica, order)
    }

    /// The steps from here on are the last ones: every state that can be compared is.
    pub fn close(&mut self) {
        self.state_of_the_log.close();
    }
}

#[cfg(test)]
mod tests;
