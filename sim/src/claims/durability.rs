//! What was acknowledged survives whatever becomes of processes, power and disks, as long as one disk that
//! holds it works.

use std::time::Duration;

use testbed::{
    data::fault::{DriveFailure, Memory},
    marks::Strike,
};

use super::{
    Draft,
    build::{around, at, client, crash, quiet, strikes},
    evidence::Evidence,
};
use crate::{
    bound::{Fault, FaultKind, Plan},
    store::{
        marks::{Role, Situation},
        settings::Settings,
    },
};

/// Everybody.
const PROCESSES: [&str; 4] = ["vs", "s1", "s2", "s3"];

pub fn drafts() -> Vec<Draft> {
    vec![
        Draft {
            name: "everything_acknowledged_is_there_after_every_process_ended",
            about: "the view service and all servers end and start again in any order: service returns, and nothing is lost",
            reaches: vec![strikes(Strike::Crash, Role::Primary), Situation::AllCopiesDown.into()],
            middle_ms: 14_000,
            plan: |seed| {
                let mut plan = appending(seed);
                plan.faults = everywhere(seed, 8_000, |node, down_ms| crash(node, Some(down_ms)));
                plan
            },
            holds: |seen| {
                everything_ended(seen)?;
                nothing_is_lost(seen)
            },
        },
        Draft {
            name: "everything_acknowledged_is_there_after_power_was_lost_everywhere",
            about: "all machines lose power at once, twice, while journals are written anew: nothing is lost",
            reaches: vec![
                strikes(Strike::PowerLoss, Role::Primary),
                Situation::AllCopiesDown.into(),
                Situation::JournalAnew.into(),
            ],
            middle_ms: 14_000,
            plan: |seed| {
                let mut plan = appending(seed);
                plan.cluster.disk_ms_max = 20;
                let (journal_growth_min, journal_rewrite_min) = (Some(1_000), Some(100));
                plan.cluster.settings =
                    vec![Settings { journal_growth_min, journal_rewrite_min, ..Settings::default() }];
                plan.faults =
                    everywhere(seed, 8_000, |node, down_ms| power_loss(node, down_ms, Memory::Kept));
                plan.faults.extend(everywhere(seed + 1, 16_500, |node, down_ms| {
                    power_loss(node, down_ms, Memory::Kept)
                }));
                plan
            },
            holds: |seen| {
                everything_ended(seen)?;
                nothing_is_lost(seen)
            },
        },
        Draft {
            name: "rotten_disk_is_noticed_and_its_server_gets_the_state_again",
            about: "a bit on the disk of a backup becomes another one while it is down: it comes back as a stranger",
            reaches: vec![
                strikes(Strike::Crash, Role::Backup),
                Situation::JournalRotten.into(),
                Situation::GrowsInPlace.into(),
            ],
            middle_ms: 9_500,
            plan: |seed| {
                // After a loss of power an older file may be there again, and that one rot.
                backup_comes_back(seed, 8_000, 1_000 + seed * 97 % 1_500, Memory::Rotten)
            },
            holds: both_end_and_nothing_is_lost,
        },
        Draft {
            name: "older_copy_of_a_disk_is_noticed_and_its_server_gets_the_rest",
            about: "a backup comes back with its disk as it was seconds ago: it is a stranger, and a primary that dies is not followed by what it forgot",
            reaches: vec![
                strikes(Strike::MemoryLoss, Role::Backup),
                Situation::OldCopy.into(),
                Situation::GrowsInPlace.into(),
            ],
            middle_ms: 12_000,
            plan: |seed| backup_comes_back(seed, 9_000, 50 + seed * 97 % 500, Memory::Older),
            holds: both_end_and_nothing_is_lost,
        },
        Draft {
            name: "start_that_cannot_read_its_disk_is_tried_again",
            about: "the drive of a server fails when it is started again: it ends, takes nothing for damaged, and comes back",
            reaches: vec![strikes(Strike::Crash, Role::Backup), Situation::ReadFails.into()],
            middle_ms: 10_000,
            plan: |seed| {
                let mut plan = appending(seed);
                let down_ms = 100 + seed * 97 % 900;
                let fails = FaultKind::DiskFailure {
                    node: "s2".into(),
                    lasts_ms: 2 * down_ms + 2_000,
                    down_ms: 300,
                    how: DriveFailure::Access,
                };
                let at_ms = around(8_000, seed);
                // The second start does, if the first one read too little.
                let again = crash("s2", Some(down_ms));
                plan.faults = vec![
                    at(at_ms, crash("s2", Some(down_ms))),
                    at(at_ms + 1, fails),
                    at(at_ms + down_ms + 700, again),
                ];
                plan
            },
            holds: |seen| {
                seen.fault(0)?;
                seen.fault(1)?;
                nothing_is_lost(seen)
            },
        },
        Draft {
            name: "sync_that_failed_is_not_believed_by_the_next_life",
            about: "a sync fails, its process ends and comes back, and then all machines lose power: nothing is lost",
            reaches: vec![
                strikes(Strike::DiskFailure, Role::Backup),
                strikes(Strike::PowerLoss, Role::Primary),
            ],
            middle_ms: 14_500,
            plan: |seed| {
                let mut plan = appending(seed);
                let (node, how) = ("backup".to_owned(), DriveFailure::Sync);
                let fails = FaultKind::DiskFailure { node, lasts_ms: 2_000, down_ms: 50, how };
                plan.faults = vec![at(around(7_000, seed), fails)];
                plan.faults
                    .extend(everywhere(seed, 9_500, |node, down_ms| power_loss(node, down_ms, Memory::Kept)));
                plan
            },
            holds: |seen| {
                seen.fault(0)?;
                nothing_is_lost(seen)
            },
        },
        Draft {
            name: "server_with_a_full_disk_steps_aside_and_nothing_is_lost",
            about: "the disk of the primary is full: it acknowledges nothing more and ends, and the backup goes on",
            reaches: vec![strikes(Strike::DiskFailure, Role::Primary), Situation::GrowsInPlace.into()],
            middle_ms: 9_500,
            plan: |seed| {
                let mut plan = appending(seed);
                let (node, how) = ("primary".to_owned(), DriveFailure::Full);
                let fails = FaultKind::DiskFailure { node, lasts_ms: 2_000, down_ms: 4_000, how };
                plan.faults = vec![at(around(7_000, seed), fails)];
                plan
            },
            holds: |seen| {
                let failed = seen.fault(0)?;
                seen.served(failed + Duration::from_secs(6), Duration::from_secs(25))?;
                nothing_is_lost(seen)
            },
        },
    ]
}

/// The first faults struck all processes.
fn everything_ended(seen: &Evidence) -> Result<(), String> {
    (0..PROCESSES.len()).try_for_each(|fault| seen.fault(fault).map(drop))
}

/// The backup ends and comes back with what became of its disk meanwhile, and then the primary dies.
fn backup_comes_back(seed: u64, at_ms: u64, down_ms: u64, memory: Memory) -> Plan {
    let mut plan = appending(seed);
    let ends = FaultKind::Crash { node: "backup".into(), down_ms: Some(down_ms), memory };
    plan.faults =
        vec![at(around(at_ms, seed), ends), at(around(16_000, seed), crash("primary", Some(3_000)))];
    plan
}

fn both_end_and_nothing_is_lost(seen: &Evidence) -> Result<(), String> {
    seen.fault(0)?;
    seen.fault(1)?;
    nothing_is_lost(seen)
}

/// Every call was answered, and the key has what was appended.
fn nothing_is_lost(seen: &Evidence) -> Result<(), String> {
    seen.all_returned(20)?;
    seen.each_append_once_in_order("hot0", 20)
}

/// Patient clients that append to one key and read it.
fn appending(seed: u64) -> Plan {
    let mut plan = quiet(seed, 25_000);
    plan.cluster.starts_ms = vec![0, 1_000, 2_000];
    let patient = |from_ms: u64, every_ms: u64, operations: &[&str]| {
        client(60_000, 3_000 + from_ms, 25_000, every_ms, operations)
    };
    plan.clients = vec![
        patient(0, 310, &["append hot0"]),
        patient(50, 430, &["append hot0", "get hot0"]),
        patient(20, 570, &["get hot0", "put cold0", "get cold0"]),
    ];
    plan
}

/// The same happens to all processes within a short time, and each is away for another.
fn everywhere(seed: u64, at_ms: u64, what: impl Fn(&str, u64) -> FaultKind) -> Vec<Fault> {
    let down_ms = |place: u64| 50 + (seed * 733 + place * 1_171) % 2_500;
    let begin_ms = around(at_ms, seed);
    let place =
        |(place, node): (u64, &&str)| at(begin_ms + (place * seed * 7) % 100, what(node, down_ms(place)));
    (0..).zip(&PROCESSES).map(place).collect()
}

fn power_loss(node: &str, down_ms: u64, memory: Memory) -> FaultKind {
    FaultKind::PowerLoss { node: node.into(), down_ms: Some(down_ms), memory }
}
