//! What is counted in a run of the store.

use std::{collections::BTreeMap, time::Duration};

use crate::{data::node::NodeName, judges::health::Copies, system};

/// Numbers of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Views proposed after the first.
    pub view_changes: u64,
    /// Servers that became primary.
    pub promotions: u64,
    /// State transfers completed.
    pub transfers: u64,
    /// Pings that reached the view service, by server.
    pub pings: BTreeMap<NodeName, u64>,
    /// The time with fewer copies in sync than replicas and surroundings allow.
    pub copies: Copies,
}

impl system::Numbers for Numbers {
    fn add(&mut self, other: &Self) {
        self.view_changes += other.view_changes;
        self.promotions += other.promotions;
        self.transfers += other.transfers;
        for (server, count) in &other.pings {
            *self.pings.entry(server.clone()).or_default() += count;
        }
        self.copies.add(&other.copies);
    }

    fn lines(&self, of: Duration) -> Vec<String> {
        vec![self.copies.line(of)]
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![("view changes", self.view_changes), ("transfers", self.transfers)]
    }

    fn facts(&self, of: Duration) -> Vec<(&'static str, String)> {
        vec![
            ("view changes", self.view_changes.to_string()),
            ("state transfers", self.transfers.to_string()),
            ("copies", self.copies.line(of)),
        ]
    }
}
