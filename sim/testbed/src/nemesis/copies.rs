//! Copies of disks are kept while a run goes on, if its plan has one put back later.

use std::time::Duration;

use super::Nemesis;
use crate::{
    data::fault::{FaultKind, Memory},
    world::{
        now,
        simulated::{Shared, Simulated},
    },
};

/// How often a copy is made of each disk.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the next copies are made, if the plan has any put back.
pub(super) fn first<S: Simulated>(faults: &[crate::data::fault::Fault<S>]) -> Option<Duration> {
    let goes_back = |kind: &FaultKind<S>| {
        matches!(
            kind,
            FaultKind::Crash { memory: Memory::Older, .. }
                | FaultKind::PowerLoss { memory: Memory::Older, .. }
        )
    };
    faults.iter().any(|fault| goes_back(&fault.kind)).then_some(INTERVAL)
}

impl<S: Simulated> Nemesis<S> {
    /// Makes copies if it is time. Returns when it is next, at the latest at `end`.
    pub(super) fn keep_copies(&mut self, end: Duration) -> Duration {
        let Some(due) = self.copies_due else { return end };
        if now() < due {
            return due.min(end);
        }
        for node in self.world.nodes.processes() {
            S::Shared::keep_copy(&self.world, node);
        }
        let next = due + INTERVAL;
        self.copies_due = Some(next);
        next.min(end)
    }
}
