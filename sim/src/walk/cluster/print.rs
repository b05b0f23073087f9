//! What a state of a cluster is, as a number: two states that can do the same have one print.

use std::hash::{Hash, Hasher};

use testbed::data::hash::StableHasher;

use super::{
    Cluster, Server, Viewer, clients::Client, flight::Body, flight::Flight, flight::Key, judges::Judges,
};
use crate::bound::End;

fn hashed(of: impl Hash) -> u64 {
    let mut hasher = StableHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

fn server_print(server: &Server) -> u64 {
    let disk = &server.disk;
    let memory = (disk.boot, disk.data, disk.generation, disk.view_seen, &disk.log);
    let callers: Vec<_> =
        server.callers.iter().map(|(ticket, it)| (ticket, it.node, it.call, it.attempt)).collect();
    hashed((&server.machine, memory, &server.unwritten, callers, server.life, server.gathers))
}

fn viewer_print(viewer: &Viewer) -> u64 {
    let callers: Vec<_> = viewer.callers.iter().map(|(ticket, it)| (ticket, it.node, it.call)).collect();
    hashed((&viewer.machine, &viewer.record, &viewer.unwritten, callers, viewer.life))
}

fn client_print(client: &Client) -> u64 {
    hashed(client.what_counts())
}

impl Flight {
    /// The messages, each with a print of what it says, from whom and to whom.
    pub(super) fn prints(&self) -> impl Iterator<Item = (Key, u64)> {
        self.messages().map(|(key, body)| (key, body.print(|body: &Body| hashed((key.from, key.to, body)))))
    }
}

impl Judges {
    /// What the judges know that decides about later steps.
    pub(super) fn facts_print(&self) -> u64 {
        self.invariants_print(|invariants| hashed(invariants))
    }

    /// What clients saw. Of times only which answer came before which call counts.
    fn history_print(&self) -> u64 {
        let mut moments = Vec::new();
        for (place, operation) in self.operations().iter().enumerate() {
            moments.push((operation.called, false, place));
            moments.extend(operation.end.at().map(|at| (at, true, place)));
        }
        moments.sort_unstable();
        let mut runs: Vec<(bool, usize)> =
            moments.into_iter().map(|(_, is_end, place)| (is_end, place)).collect();
        runs.chunk_by_mut(|one, other| one.0 == other.0).for_each(|run| run.sort_unstable());
        let mut hasher = StableHasher::new();
        runs.hash(&mut hasher);
        for operation in self.operations() {
            match &operation.end {
                End::Open => 0.hash(&mut hasher),
                End::Returned { output, .. } => {
                    (1, output, operation.detail.told.map(|told| told.revision)).hash(&mut hasher)
                }
                End::Unknown { .. } => 2.hash(&mut hasher),
                End::NotExecuted { .. } => 3.hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}

impl Cluster {
    /// All machines, their disks and clocks.
    pub(super) fn machines_print(&self) -> u64 {
        let mut sum = self.viewer.print(viewer_print);
        for server in &self.servers {
            sum = sum.rotate_left(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ server.print(server_print);
        }
        hashed((sum, &self.clocks))
    }

    /// The same of all states that differ by nothing but messages on their way.
    pub fn print_without_messages(&self) -> u64 {
        hashed((self.machines_print(), self.judges.facts_print(), self.judges.history_print()))
    }

    pub(super) fn state_print(&self) -> u64 {
        let flight = self.flight.prints().fold(0_u64, |sum, (_, print)| sum.wrapping_add(print));
        let clients: Vec<u64> = self.clients.iter().map(|client| client.print(client_print)).collect();
        let judges = (self.judges.facts_print(), self.judges.history_print());
        hashed((self.machines_print(), flight, clients, judges, &self.budget))
    }
}
