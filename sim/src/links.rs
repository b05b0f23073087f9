//! The network as those see it who carry its messages: verdicts, and waiting until something passes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{
    network::{Network, NodeIndex},
    scenario::Cut,
};

/// The faults of the network, shared by the nemesis and by every connection.
pub struct Links {
    network: Mutex<Network>,
    changed: Notify,
}

/// What became of a message at a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It passes.
    Open,
    /// It was held in a black hole until now.
    Held,
    /// Its sender is told that it cannot be delivered.
    Refused,
}

impl Links {
    /// Shares a network.
    pub fn new(network: Network) -> Self {
        Self { network: Mutex::new(network), changed: Notify::new() }
    }

    /// The network, for one question.
    pub fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the faults and lets everything that waits look again.
    pub fn change(&self, change: impl FnOnce(&mut Network)) {
        change(&mut self.network());
        self.changed.notify_waiters();
    }

    /// Waits until a message can pass from one node to another, or is refused.
    pub async fn pass(&self, from: NodeIndex, to: NodeIndex) -> Passage {
        let mut passage = Passage::Open;
        loop {
            let changed = self.changed.notified();
            let cut = self.network().cut(from, to);
            match cut {
                None => return passage,
                Some(Cut::Refuse) => return Passage::Refused,
                Some(Cut::BlackHole) => passage = Passage::Held,
            }
            changed.await;
        }
    }

    /// Waits until the fault at this place of the scenario is over.
    pub async fn over(&self, fault: usize) {
        loop {
            let changed = self.changed.notified();
            if !self.network().is_active(fault) {
                return;
            }
            changed.await;
        }
    }
}
