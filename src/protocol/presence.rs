//! The time during which a node itself was there (R16).
//!
//! A node that stood still (a paused machine, a starved core, a disk that blocked its task) heard nothing,
//! whatever the others said. It would take its own absence for their silence, and drop what is healthy. So
//! silence is counted on this clock: it runs while the node is stepped, and stands still while it is not. Nor
//! does it run while all that the node says waits for its disk: nobody answers what was not said.

use std::time::Duration;

/// A clock that leaves out the node's own absence. It never runs ahead of the node's clock.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Presence {
    stepped_at: Duration,
    absent: Duration,
}

impl Presence {
    /// Begins at the node's time `now`, which it shows until the first absence.
    pub fn new(now: Duration) -> Self {
        Self { stepped_at: now, absent: Duration::ZERO }
    }

    /// The node is stepped at `now`. One that runs is stepped at least once in each `interval`: what is
    /// beyond that was absence.
    pub fn step(&mut self, now: Duration, interval: Duration) {
        let gap = now.saturating_sub(self.stepped_at);
        self.absent += gap.saturating_sub(interval);
        self.stepped_at = self.stepped_at.max(now);
    }

    /// The node's time at its latest step.
    pub fn stepped_at(&self) -> Duration {
        self.stepped_at
    }

    /// What this clock shows.
    pub fn now(&self) -> Duration {
        self.stepped_at - self.absent
    }
}
