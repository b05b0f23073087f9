//! Who becomes primary, when, and what clients notice.

use std::time::Duration;

use testbed::{data::plan::Client, marks::Strike};

use super::{
    Draft, TAKEOVER,
    build::{around, at, client, crash, crash_forgetting, on, power_loss, quiet, strikes},
    evidence::{Evidence, name},
};
use crate::{
    bound::{End, FaultKind, Happening, Plan},
    store::{
        fault::Trigger,
        marks::{Role, Situation},
        operation::Input,
        setup::Reads,
    },
};

/// A server that is silent this long is dead, plus the time for the view service to act on it.
const DEAD: Duration = Duration::from_millis(1_500);

/// A process that ended is replaced after this time: after a few messages and a write of the record.
const AT_ONCE: Duration = Duration::from_millis(100);

pub fn drafts() -> Vec<Draft> {
    vec![
        Draft {
            name: "first_server_becomes_primary_and_the_second_its_backup",
            about: "the first server that pings becomes primary alone, the second becomes its in-sync backup",
            reaches: vec![Situation::JoinByLog.into(), Situation::GrowsInPlace.into()],
            middle_ms: 1_500,
            plan: |seed| {
                let mut plan = steady(seed, 10_000, 1_000);
                plan.cluster.servers = 2;
                plan.cluster.starts_ms = vec![0, around(2_000, seed)];
                plan
            },
            holds: |seen| {
                let (_, first) = seen.proposals().next().ok_or("no view at all")?;
                if name(&first.primary) != "s1" || first.insync.len() != 1 || !first.joining.is_empty() {
                    return Err(format!("the first view is {first:?}"));
                }
                in_sync(seen, "s1", &["s2"])?;
                seen.all_returned(10)
            },
        },
        Draft {
            name: "backup_takes_over",
            about: "when the primary dies for good, its backup becomes primary and has everything",
            reaches: vec![strikes(Strike::PowerLoss, Role::Primary), Situation::SoleRead.into()],
            middle_ms: 6_000,
            plan: |seed| {
                let mut plan = steady(seed, 15_000, 1_000);
                plan.cluster.servers = 2;
                plan.cluster.starts_ms = vec![0, 1_000];
                plan.faults = vec![at(around(6_000, seed), power_loss("s1", None))];
                plan
            },
            holds: |seen| {
                let died = seen.fault(0)?;
                let took = seen.takes_over("s2", died, seen.patience)?;
                if took - died + Duration::from_millis(600) < DEAD {
                    return Err(format!("s1 was declared dead {:?} after it died, too early", took - died));
                }
                seen.longest_wait(seen.patience)?;
                seen.each_append_once_in_order("hot0", 10)
            },
        },
        Draft {
            name: "idle_third_server_becomes_backup_in_a_single_view_change",
            about: "the view that replaces a dead primary already brings in the idle server as the new backup",
            reaches: vec![strikes(Strike::Crash, Role::Primary), Situation::GrowsInPlace.into()],
            middle_ms: 6_000,
            plan: |seed| {
                let mut plan = steady(seed, 15_000, 1_000);
                plan.cluster.starts_ms = vec![0, 1_000, 2_000];
                plan.faults = vec![at(around(6_000, seed), crash("s1", None))];
                plan
            },
            holds: |seen| {
                let died = seen.fault(0)?;
                let after: Vec<_> = seen.proposals().filter(|(at, _)| *at > died).collect();
                let [(_, view)] = after.as_slice() else {
                    return Err(format!(
                        "{} views after the death of the primary, expected one",
                        after.len()
                    ));
                };
                if name(&view.primary) != "s2" || !view.joining.keys().any(|joiner| name(joiner) == "s3") {
                    return Err(format!("the view after the death of the primary is {view:?}"));
                }
                in_sync(seen, "s2", &["s3"])?;
                seen.all_returned(10)
            },
        },
        Draft {
            name: "restarted_primary_is_treated_as_dead",
            about: "a primary without a lease that restarts without its memory is replaced at once, before its time-out",
            reaches: vec![strikes(Strike::MemoryLoss, Role::Primary), Situation::GrowsInPlace.into()],
            middle_ms: 5_500,
            plan: |seed| {
                let mut plan = steady(seed, 15_000, 1_000);
                plan.cluster.reads = Reads::Confirm;
                plan.cluster.starts_ms = vec![0, 1_000, 2_000];
                plan.faults = vec![at(around(6_000, seed), crash_forgetting("s1", Some(100)))];
                plan
            },
            holds: |seen| {
                let died = seen.fault(0)?;
                let took = seen.takes_over("s2", died, seen.patience)?;
                // A restarted view service acts only after a full dead interval.
                if seen.patience == TAKEOVER && took - died > Duration::from_millis(600) {
                    return Err(format!("the stranger was replaced only after {:?}", took - died));
                }
                seen.longest_wait(seen.patience)?;
                seen.each_append_once_in_order("hot0", 10)
            },
        },
        Draft {
            name: "new_empty_server_never_becomes_primary_when_all_data_died",
            about: "when every copy of the data is lost, no empty server becomes primary and no Get returns",
            reaches: vec![
                strikes(Strike::MemoryLoss, Role::Primary),
                strikes(Strike::MemoryLoss, Role::Backup),
                Situation::AllCopiesDown.into(),
                Situation::IdleRefuses.into(),
            ],
            middle_ms: 8_500,
            plan: |seed| {
                let mut plan = steady(seed, 20_000, 1_000);
                plan.data_loss = true;
                plan.cluster.starts_ms = vec![0, 1_000, 12_000];
                let died_ms = around(6_000, seed);
                plan.faults = vec![
                    at(died_ms, crash_forgetting("s1", Some(1_000))),
                    at(died_ms, crash_forgetting("s2", Some(2_000))),
                ];
                plan
            },
            holds: |seen| {
                seen.all_returned(1).err().ok_or("all operations were answered")?;
                let died = seen.fault(0)?.max(seen.fault(1)?);
                // One may still be named that died unheard; it must not act.
                if let Some((at, server)) = seen.promotions().find(|(at, _)| *at > died) {
                    return Err(format!("{server}, which holds nothing, became primary at {at:?}"));
                }
                let mut later = seen.called(died, Duration::MAX);
                let got = later.find(|operation| {
                    matches!(operation.input, Input::Get { .. })
                        && matches!(operation.end, End::Returned { .. })
                });
                got.map_or(Ok(()), |get| Err(format!("a Get that returned without data: {get:?}")))
            },
        },
        Draft {
            name: "backup_that_dies_before_the_view_is_acknowledged_is_no_deadlock",
            about: "the new backup dies before the new primary acknowledged their view; the cluster goes on",
            reaches: vec![
                strikes(Strike::PowerLoss, Role::Primary),
                Situation::JoinerGivenUp.into(),
                Situation::ViewJumps.into(),
            ],
            middle_ms: 7_500,
            plan: |seed| {
                let mut plan = steady(seed, 20_000, 1_000);
                plan.cluster.starts_ms = vec![0, 1_000, 2_000];
                let died_ms = around(6_000, seed);
                plan.faults = vec![
                    at(died_ms, power_loss("s1", None)),
                    on(Trigger::ViewProposed, died_ms + 10, 0, crash("s3", Some(6_000))),
                ];
                plan
            },
            holds: |seen| {
                let died = seen.fault(0)?;
                let backup_died = seen.fault(1)?;
                seen.takes_over("s2", died, seen.patience)?;
                // Alone, long before the backup is back.
                seen.served(backup_died, backup_died + seen.patience)?;
                in_sync(seen, "s2", &["s3"])?;
                seen.all_returned(20)
            },
        },
        Draft {
            name: "process_that_ends_is_replaced_at_once",
            about: "the primary crashes, and later the backup: each is out of the view long before its silence is noticed",
            reaches: vec![
                strikes(Strike::Crash, Role::Primary),
                strikes(Strike::Crash, Role::Backup),
                Situation::ServerEnded.into(),
            ],
            middle_ms: 15_000,
            plan: |seed| {
                let mut plan = steady(seed, 20_000, 1_000);
                plan.cluster.reads = Reads::Confirm; // a lease would be waited for
                plan.cluster.starts_ms = vec![0, 1_000, 2_000];
                plan.faults = vec![
                    at(around(6_000, seed), crash("primary", None)),
                    at(around(10_000, seed), crash("backup", None)),
                ];
                plan
            },
            holds: |seen| {
                for fault in 0..2 {
                    let died = seen.fault(fault)?;
                    let (next, _) = seen.proposals().find(|(at, _)| *at >= died).ok_or("no view after it")?;
                    if next - died > AT_ONCE {
                        return Err(format!("the view after fault {fault} comes {:?} later", next - died));
                    }
                    seen.served(died, died + seen.patience)?;
                }
                seen.all_returned(20)
            },
        },
        Draft {
            name: "put_right_after_the_backup_failed_is_answered",
            about: "a Put that is called just after the backup died is answered within the time of a takeover",
            reaches: vec![
                strikes(Strike::PowerLoss, Role::Backup),
                Situation::Suspected.into(),
                Situation::PromotionWithTail.into(),
                Situation::TailCommitted.into(),
            ],
            middle_ms: 6_000,
            plan: |seed| right_after(seed, power_loss("s2", None)),
            holds: |seen| {
                answered_right_after(seen)?;
                in_sync(seen, "s1", &["s3"])
            },
        },
        Draft {
            name: "put_right_after_the_primary_failed_is_answered",
            about: "a Put that is called just after the primary died is answered within the time of a takeover",
            reaches: vec![strikes(Strike::Crash, Role::Primary), Situation::GrowsInPlace.into()],
            middle_ms: 6_000,
            plan: |seed| right_after(seed, crash("s1", None)),
            holds: |seen| {
                answered_right_after(seen)?;
                in_sync(seen, "s2", &["s3"])
            },
        },
        Draft {
            name: "repeated_crashes_make_clients_wait_for_at_most_five_seconds",
            about: "while one server after the other crashes, some forgetting all, no client waits for over 5 s",
            reaches: vec![
                strikes(Strike::PowerLoss, Role::Backup),
                strikes(Strike::MemoryLoss, Role::Primary),
                Situation::PromotionWithTail.into(),
                Situation::TailCommitted.into(),
            ],
            middle_ms: 15_000,
            plan: |seed| {
                let mut plan = steady(seed, 50_000, 1_000);
                let died_ms = |n: u64| around(6_000 + 8_000 * n, seed + n);
                plan.faults = vec![
                    at(died_ms(0), power_loss("primary", Some(2_000))),
                    at(died_ms(1), crash_forgetting("primary", Some(500))),
                    at(died_ms(2), power_loss("backup", Some(3_000))),
                    at(died_ms(3), crash_forgetting("primary", Some(3_000))),
                    at(died_ms(4), power_loss("primary", Some(100))),
                ];
                plan
            },
            holds: |seen| {
                for fault in 0..5 {
                    seen.fault(fault)?;
                }
                seen.longest_wait(seen.patience)?;
                seen.each_append_once_in_order("hot0", 40)
            },
        },
        Draft {
            name: "three_replicas_survive_two_crashes",
            about: "of three replicas the last one has everything after the two others died one after the other",
            reaches: vec![
                strikes(Strike::MemoryLoss, Role::Primary),
                Situation::ThreeCopies.into(),
                Situation::SoleRead.into(),
            ],
            middle_ms: 9_000,
            plan: |seed| {
                let mut plan = steady(seed, 25_000, 1_000);
                plan.cluster.replicas = 3;
                plan.cluster.starts_ms = vec![0, 1_000, 1_000];
                let died_ms = around(8_000, seed);
                // The second one before, while or after it takes over.
                plan.faults = vec![
                    at(died_ms, crash_forgetting("s1", None)),
                    at(died_ms + 200 + seed * 900 % 5_000, crash_forgetting("s2", None)),
                ];
                plan
            },
            holds: |seen| {
                let (first, second) = (seen.fault(0)?, seen.fault(1)?);
                let full = seen.activations().any(|(at, view)| at < first && view.insync.len() == 3);
                if !full {
                    return Err("three replicas were never in sync".into());
                }
                seen.served(second, second + 2 * seen.patience)?;
                seen.each_append_once_in_order("hot0", 20)
            },
        },
    ]
}

/// Two writers and a reader of one key, and a client with keys of its own.
fn steady(seed: u64, faults_ms: u64, from_ms: u64) -> Plan {
    let mut plan = quiet(seed, faults_ms);
    let patient = |every_ms, operations: &[&str]| -> Client {
        client(30_000, from_ms + every_ms, faults_ms, every_ms, operations)
    };
    plan.clients = vec![
        patient(410, &["append hot0"]),
        patient(530, &["append hot0", "get hot0"]),
        patient(290, &["get hot0"]),
        patient(370, &["put cold1", "cas cold1", "get cold1", "delete cold1", "append cold2"]),
    ];
    plan
}

/// A server dies, and 10 ms later everybody puts.
fn right_after(seed: u64, death: FaultKind) -> Plan {
    let mut plan = quiet(seed, 15_000);
    plan.cluster.starts_ms = vec![0, 1_000, 2_000];
    let died_ms = around(6_000, seed);
    plan.faults = vec![at(died_ms, death)];
    plan.clients = (0..3)
        .map(|n| {
            let mut client = client(30_000, 3_000 + n * 50, 5_500, 500, &["put hot0", "get hot0"]);
            let moments = [died_ms + 10 + n, died_ms + 5_000 + n * 100];
            client.script.extend(moments.map(|at_ms| super::build::step(at_ms, "put hot0")));
            client
        })
        .collect();
    plan
}

fn answered_right_after(seen: &Evidence) -> Result<(), String> {
    let died = seen.fault(0)?;
    if seen.called(died, died + Duration::from_millis(100)).count() < 3 {
        return Err("nobody called right after the crash".into());
    }
    seen.all_returned(15)?;
    seen.longest_wait(seen.patience)
}

/// The last acknowledged view has this primary and exactly these in-sync backups.
fn in_sync(seen: &Evidence, primary: &str, backups: &[&str]) -> Result<(), String> {
    let healed = |moment: &&crate::bound::Moment| moment.event == Happening::Healed;
    let end = seen.outcome.timeline.iter().find(healed).map_or(Duration::MAX, |moment| moment.at);
    let last = seen.activations().filter(|(at, _)| *at <= end).last();
    let (_, view) = last.ok_or("no view was ever acknowledged")?;
    let found: Vec<&str> = view.backups().map(name).collect();
    if name(&view.primary) == primary && found == backups {
        return Ok(());
    }
    Err(format!("the last acknowledged view is {view:?}, expected {primary} with {backups:?} in sync"))
}
