//! What an exhaustive search looks at: which cluster, and how often what is counted may happen.

use std::fmt;

use testbed::report::screen::counted;

use crate::{bound::Plan, store::setup::Cluster, walk::Dice};

/// How long a good end may take, in milliseconds.
const SETTLE_MS: u64 = 20_000;

/// Servers at most.
pub const SERVERS_MAX: usize = 6;
/// Clients at most.
pub const CLIENTS_MAX: usize = 3;

/// How often what is counted may happen. What is not named here (a message arrives, or never does) may happen
/// as often as it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Operations of each client that are still to be called.
    pub calls: [u8; CLIENTS_MAX],
    /// A client that waits asks again, the server that it takes for the primary or any other primary.
    pub retries: u8,
    /// A server's clock goes on by a ping interval, and its timer goes off.
    pub ticks: u8,
    /// The view service's clock goes on by a dead interval, and its timer goes off: it takes all for dead
    /// that it did not hear since, rightly or wrongly.
    pub suspicions: u8,
    /// A server ends, and starts again with what was durable.
    pub restarts: u8,
    /// A server ends and starts again without its memory, where that cannot lose all data.
    pub wipes: u8,
    /// The view service ends and starts again.
    pub view_service_restarts: u8,
    /// A primary or backup is left alone for as long as it takes to suspect others. Of what it says meanwhile
    /// only the latest is not lost.
    pub silences: u8,
    /// A message arrives and may arrive again.
    pub copies: u8,
    /// What can never count again stays on its way.
    pub keeps_all: bool,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: u64 = self.calls.iter().map(|calls| u64::from(*calls)).sum();
        let counts = [
            (calls, "operation", "operations"),
            (self.retries.into(), "retry", "retries"),
            (self.ticks.into(), "tick", "ticks"),
            (self.suspicions.into(), "wrong suspicion", "wrong suspicions"),
            (self.restarts.into(), "restart", "restarts"),
            (self.wipes.into(), "wipe", "wipes"),
            (
                self.view_service_restarts.into(),
                "restart of the view service",
                "restarts of the view service",
            ),
            (self.silences.into(), "silence", "silences"),
            (self.copies.into(), "copy", "copies"),
        ];
        let told: Vec<_> = counts.iter().filter(|(count, ..)| *count > 0).collect();
        for (place, (count, one, many)) in told.iter().enumerate() {
            write!(f, "{}{}", if place > 0 { ", " } else { "" }, counted(*count, one, many))?;
        }
        Ok(())
    }
}

/// The settings of a cluster whose states are all looked at: the usual ones.
pub(super) fn plan(servers: u32, replicas: u32, clients: u32, writes_are_steps: bool) -> Plan {
    let mut plan = super::settings(&mut Dice::new(0));
    plan.cluster =
        Cluster { servers, replicas, disk_ms_max: u64::from(writes_are_steps), ..Cluster::small() };
    (plan.settle_ms, plan.watch_ms) = (SETTLE_MS, 0);
    plan.clients.resize(clients as usize, plan.clients[0].clone());
    plan
}

/// Servers, copies and clients; whether each write is a step; and a budget.
pub type Row = ((u32, u32, u32), bool, Budget);

/// Small clusters in which mistakes are looked for, each with another budget; those with few states first.
pub fn rows() -> Vec<Row> {
    let none = Budget::default();
    let (one, both) = ([1, 0, 0], [1, 1, 0]);
    let ticks = Budget { calls: one, ticks: 1, ..none };
    let suspicion = Budget { suspicions: 1, ..ticks };
    vec![
        ((2, 2, 2), true, Budget { calls: both, ..none }),
        ((2, 2, 1), true, Budget { calls: one, restarts: 1, ..none }),
        ((2, 2, 2), false, Budget { calls: both, retries: 1, copies: 1, ..none }),
        ((2, 2, 1), false, Budget { view_service_restarts: 1, ..ticks }),
        ((2, 2, 1), true, suspicion),
        ((3, 2, 1), false, suspicion),
        ((3, 3, 2), false, Budget { calls: [0, 1, 0], ..suspicion }), // the second client reads
        ((2, 2, 1), false, Budget { wipes: 1, ..ticks }),
        ((2, 2, 1), false, Budget { silences: 1, ..ticks }),
        ((2, 2, 1), false, Budget { retries: 1, ..suspicion }),
        ((2, 2, 2), false, Budget { calls: both, ..suspicion }),
        ((2, 2, 1), false, Budget { copies: 1, ..suspicion }),
        ((2, 2, 1), false, Budget { restarts: 1, ..suspicion }),
        ((2, 2, 1), true, Budget { wipes: 1, ..suspicion }),
    ]
}
