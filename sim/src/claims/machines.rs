//! Machines that keep nothing, stand still, or hardly get on.

use testbed::marks::Strike;

use super::{
    Draft,
    build::{around, at, client, crash, quiet, strikes},
};
use crate::{
    bound::{FaultKind, Plan},
    store::{
        marks::{Role, Situation},
        setup::Reads,
    },
};

pub fn drafts() -> Vec<Draft> {
    vec![
        Draft {
            name: "servers_that_keep_nothing_on_disk_survive_a_rolling_restart",
            about: "the state of servers without disks outlives each of them, if they restart one at a time",
            reaches: vec![
                strikes(Strike::MemoryLoss, Role::Primary),
                Situation::PromotionAfterTransfer.into(),
                Situation::StateReplacesLog.into(),
            ],
            middle_ms: 16_300,
            plan: |seed| {
                let mut plan = busy(seed, 34_000);
                plan.cluster.volatile = true;
                plan.cluster.checkpoint_interval = 10;
                let restart =
                    |round: u64| at(around(8_000 + 8_000 * round, seed), crash("primary", Some(300)));
                plan.faults = (0..3).map(restart).collect();
                plan
            },
            holds: |seen| {
                seen.fault(2)?;
                let copies = seen.promotions().count();
                if copies < 4 { Err(format!("{copies} promotions")) } else { seen.all_returned(300) }
            },
        },
        Draft {
            name: "what_piles_up_while_a_primary_stutters_is_handled_in_one_batch",
            about: "requests, acknowledgements and an answer of the view service are handled before one flush, and all is well",
            reaches: vec![strikes(Strike::Stutter, Role::Primary), Situation::MixedBatch.into()],
            middle_ms: 9_000,
            plan: |seed| {
                let mut plan = busy(seed, 20_000);
                let node = "primary".into();
                let stutter = FaultKind::Stutter { node, pause_ms: 120, run_ms: 1, lasts_ms: 12_000 };
                plan.faults = vec![at(around(4_000, seed), stutter)];
                plan
            },
            holds: |seen| {
                seen.fault(0)?;
                seen.all_returned(200)
            },
        },
        Draft {
            name: "primary_whose_clock_stood_still_with_it_reads_nothing_stale",
            about: "a primary that by its own clock was never away finds out that it was replaced before it answers a Get",
            reaches: vec![strikes(Strike::Pause, Role::Primary), Situation::TwoPrimaries.into()],
            middle_ms: 7_500,
            plan: |seed| {
                let mut plan = busy(seed, 20_000);
                plan.cluster.reads = Reads::Confirm;
                let freeze = FaultKind::Freeze { node: "s1".into(), lasts_ms: 5_000 };
                plan.faults = vec![at(around(6_000, seed), freeze)];
                plan
            },
            holds: |seen| {
                let frozen = seen.fault(0)?;
                seen.takes_over("s2", frozen, seen.patience)?;
                seen.all_returned(200)
            },
        },
    ]
}

/// Three clients that write, read and swap all the time.
fn busy(seed: u64, faults_ms: u64) -> Plan {
    let mut plan = quiet(seed, faults_ms);
    let each = |n: u64| {
        client(30_000, 1_000 + 7 * n, faults_ms, 130, &["append hot0", "get hot0", "put hot1", "cas hot1"])
    };
    plan.clients = (0..3).map(each).collect();
    plan
}
