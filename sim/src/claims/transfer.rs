//! State transfer: crashes of each side in the middle of it, and writes that do not wait for it.

use std::time::Duration;

use pbkv::protocol::{options::ViewServiceOptions, replica::Notice};
use testbed::marks::Strike;

use super::{
    Draft,
    build::{at, client, crash, crash_forgetting, loader, on, quiet, slow, strikes},
    evidence::{Evidence, name},
};
use crate::{
    bound::{End, Plan},
    store::{
        fault::Trigger,
        marks::{Role, Situation},
        settings::Settings,
    },
};

/// When the server that needs the state is started, in milliseconds.
const JOINS_MS: u64 = 6_000;

pub fn drafts() -> Vec<Draft> {
    vec![
        Draft {
            name: "writes_during_state_transfer_are_not_blocked",
            about: "while a new server receives the state over a slow link, clients go on writing at full speed",
            reaches: vec![
                strikes(Strike::Slow, Role::Idle),
                Situation::TransferInParts.into(),
                Situation::CommitInTransfer.into(),
                Situation::CompactionInTransfer.into(),
            ],
            middle_ms: JOINS_MS + 200,
            plan: |seed| {
                let mut plan = large_state(seed);
                plan.faults = vec![at(0, slow(&["s1"], &["s2"], 120, 10, 60_000))];
                plan
            },
            holds: |seen| {
                let (began, ended) = transfer(seen, "s2")?;
                if ended - began < Duration::from_millis(200) {
                    return Err(format!("the transfer took {:?}: too short to show anything", ended - began));
                }
                let during: Vec<_> = seen.called(began, ended).collect();
                let slowest =
                    during.iter().filter_map(|operation| Some(operation.end.at()? - operation.called)).max();
                match slowest {
                    None => Err("nobody called during the transfer".into()),
                    // Then operations wait for the joiner, over the slow link, once there and back.
                    Some(wait) if wait > Duration::from_millis(600) => {
                        Err(format!("an operation during the transfer took {wait:?}"))
                    }
                    Some(_) => seen.all_returned(50),
                }
            },
        },
        Draft {
            name: "crash_of_the_receiver_during_state_transfer_is_survived",
            about: "the server that receives the state dies in the middle, comes back and gets all of it",
            reaches: vec![
                strikes(Strike::MemoryLoss, Role::Joiner),
                Situation::ReceiverCrashes.into(),
                Situation::TransferInParts.into(),
            ],
            middle_ms: JOINS_MS + 1_000,
            plan: |seed| {
                let mut plan = large_state(seed);
                plan.faults = vec![
                    at(0, slow(&["s1"], &["s2"], 120, 10, 60_000)),
                    on(Trigger::TransferBegan, 0, 140 + seed * 37 % 160, crash_forgetting("s2", Some(1_500))),
                ];
                plan
            },
            holds: |seen| {
                let died = seen.fault(1)?;
                transfer_after(seen, "s2", died)?;
                joined(seen, 2)?;
                seen.all_returned(50)?;
                seen.each_append_once_in_order("hot0", 20)
            },
        },
        Draft {
            name: "crash_of_the_sender_during_state_transfer_is_survived",
            about: "the primary dies while it sends the state; with its backup the new server gets all of it",
            reaches: vec![
                strikes(Strike::Crash, Role::Primary),
                Situation::SenderCrashes.into(),
                Situation::ThreeCopies.into(),
                Situation::TransferInParts.into(),
            ],
            middle_ms: JOINS_MS + 1_500,
            plan: |seed| {
                let mut plan = large_state(seed);
                plan.cluster.servers = 3;
                plan.cluster.replicas = 3;
                plan.cluster.starts_ms = vec![0, 0, JOINS_MS];
                plan.faults = vec![
                    at(0, slow(&["s1", "s2"], &["s3"], 120, 10, 60_000)),
                    on(
                        Trigger::TransferBegan,
                        JOINS_MS,
                        100 + seed * 37 % 200,
                        crash("primary", Some(4_000)),
                    ),
                ];
                plan
            },
            holds: |seen| {
                let died = seen.fault(1)?;
                seen.served(died, died + seen.patience)?;
                transfer_after(seen, "s3", died)?;
                seen.longest_wait(seen.patience)?;
                seen.each_append_once_in_order("hot0", 20)
            },
        },
        Draft {
            name: "sole_primary_that_crashes_during_state_transfer_keeps_the_data",
            about: "the only copy restarts with its disk in the middle of a transfer; the joiner is not promoted",
            reaches: vec![
                Situation::SenderCrashes.into(),
                Situation::AllCopiesDown.into(),
                Situation::RebootedPrimary.into(),
                Situation::TransferInParts.into(),
            ],
            middle_ms: JOINS_MS + 1_500,
            plan: |seed| {
                let mut plan = large_state(seed);
                plan.faults = vec![
                    at(0, slow(&["s1"], &["s2"], 120, 10, 60_000)),
                    on(Trigger::TransferBegan, 0, 100 + seed * 37 % 200, crash("s1", Some(3_000))),
                ];
                plan
            },
            holds: |seen| {
                let died = seen.fault(1)?;
                if let Some((at, _)) = seen.promotions().find(|(_, server)| *server == "s2") {
                    return Err(format!("s2, which never had the data, became primary at {at:?}"));
                }
                transfer_after(seen, "s2", died)?;
                joined(seen, 2)?;
                seen.each_append_once_in_order("hot0", 20)
            },
        },
        Draft {
            name: "joiner_that_writes_a_large_state_keeps_its_place",
            about: "a new server takes longer to write the state to its disk than a joiner may make no progress",
            reaches: vec![Situation::TransferInParts.into(), Situation::ProgressWhileWriting.into()],
            middle_ms: JOINS_MS + 7_000,
            plan: |seed| {
                let mut plan = large_state(seed);
                let loads = |client_of: usize| {
                    let values = (0..20).map(|key| format!("put large{client_of}.{key} 3000"));
                    let values: Vec<String> = values.collect();
                    let values: Vec<&str> = values.iter().map(String::as_str).collect();
                    client(30_000, 1_000, 6_000, 250, &values)
                };
                plan.clients = (0..3).map(loads).collect();
                plan.clients.push(client(30_000, 8_000, 22_000, 513, &["append hot0", "get hot0"]));
                plan.cluster.starts_ms = vec![0, JOINS_MS + 4_000];
                plan.cluster.checkpoint_interval = 4;
                plan.cluster.chunk_bytes_max = 4_096;
                plan.cluster.disk_ms_max = 520;
                plan.cluster.settings = vec![Settings { journal_piece: Some(256), ..Settings::default() }];
                plan
            },
            holds: |seen| {
                let (began, ended) = transfer(seen, "s2")?;
                let stall = ViewServiceOptions::default().join_stall();
                if ended - began < stall {
                    return Err(format!("it took {:?}: too short to show anything", ended - began));
                }
                joined(seen, 2)?;
                match seen.proposals().filter(|(at, _)| *at > began).count() {
                    0 => Ok(()),
                    views => Err(format!("{views} views were proposed since the transfer began")),
                }
            },
        },
    ]
}

/// A sole primary with many keys, small parts, and a second server that starts later.
fn large_state(seed: u64) -> Plan {
    let mut plan = quiet(seed, 25_000);
    plan.cluster.servers = 2;
    plan.cluster.starts_ms = vec![0, JOINS_MS];
    plan.cluster.checkpoint_interval = 20;
    plan.cluster.chunk_bytes_max = 512;
    plan.cluster.append_window = 64;
    plan.clients = vec![
        loader(300),
        client(30_000, 1_000, 22_000, 131, &["append hot0"]),
        client(30_000, 1_050, 22_000, 83, &["put hot1", "append hot0", "get hot0"]),
    ];
    plan
}

/// The span of the first transfer to `server`.
fn transfer(seen: &Evidence, server: &str) -> Result<(Duration, Duration), String> {
    let began = seen.notices().find_map(|(at, _, notice)| match notice {
        Notice::TransferBegan { to, .. } if name(to) == server => Some(at),
        _ => None,
    });
    let began = began.ok_or_else(|| format!("no state transfer to {server} began"))?;
    Ok((began, transfer_after(seen, server, began)?))
}

/// When the first transfer to `server` after this time was completed.
fn transfer_after(seen: &Evidence, server: &str, after: Duration) -> Result<Duration, String> {
    let ended = seen.notices().find_map(|(at, _, notice)| match notice {
        Notice::TransferCompleted { to, .. } if name(to) == server && at >= after => Some(at),
        _ => None,
    });
    ended.ok_or_else(|| format!("no state transfer to {server} was completed after {after:?}"))
}

/// In the last view so many are in sync.
fn joined(seen: &Evidence, replicas: usize) -> Result<(), String> {
    let (_, view) = seen.activations().last().ok_or("no view was ever acknowledged")?;
    let open = seen.called(Duration::ZERO, Duration::MAX).any(|operation| operation.end == End::Open);
    if view.insync.len() == replicas && !open {
        return Ok(());
    }
    Err(format!("at the end {} replicas are in sync, expected {replicas}", view.insync.len()))
}
