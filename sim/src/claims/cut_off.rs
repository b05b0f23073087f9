//! Primaries that are cut off from somebody, asleep or deaf, and do not know what they missed.

use std::time::Duration;

use testbed::{
    data::fault::{Cut, Mistreatment},
    marks::Strike,
};

use super::{
    Draft,
    build::{around, at, client, cut, on, quiet, strikes},
    evidence::{Evidence, name},
};
use crate::{
    bound::{End, FaultKind, Operation, Plan},
    store::{
        fault::Trigger,
        marks::{Role, Situation},
        operation::Input,
        settings::Settings,
    },
};

/// How long a partition lasts: longer than any takeover.
const CUT_MS: u64 = 8_000;

pub fn drafts() -> Vec<Draft> {
    vec![
        Draft {
            name: "stale_primary_cut_off_from_the_view_service_cannot_read",
            about: "a primary that hears everybody but the view service is replaced and answers no stale Get",
            reaches: vec![
                strikes(Strike::Partition, Role::Primary),
                Situation::TwoPrimaries.into(),
                Situation::Fenced.into(),
                Situation::FencedRefuses.into(),
                Situation::StaleAppend.into(),
            ],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                let cut_ms = around(6_000, seed);
                plan.faults = vec![at(cut_ms, cut("s1", "vs", CUT_MS)), delayed_gets(cut_ms)];
                plan
            },
            holds: |seen| {
                let cut = seen.fault(0)?;
                let took = seen.takes_over("s2", cut, seen.patience)?;
                seen.served(took, cut + Duration::from_millis(CUT_MS) + seen.patience)?;
                reads_go_on(seen)
            },
        },
        Draft {
            name: "stale_primary_cut_off_from_the_view_service_lists_nothing",
            about: "a primary that was replaced without knowing it answers no page of keys, and no page misses a key",
            reaches: vec![
                strikes(Strike::Partition, Role::Primary),
                Situation::TwoPrimaries.into(),
                Situation::Fenced.into(),
            ],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                for (reader, pages) in plan.clients[2..].iter_mut().zip(["scan hot 1", "scan -", "scan - 3"])
                {
                    *reader = client(700, 1_040, 22_000, 61, &[pages]);
                }
                plan.clients.push(client(
                    30_000,
                    1_100,
                    22_000,
                    131,
                    &["put cold0", "put cold1", "delete cold0"],
                ));
                let cut_ms = around(6_000, seed);
                plan.faults = vec![at(cut_ms, cut("s1", "vs", CUT_MS)), delayed_gets(cut_ms)];
                plan
            },
            holds: |seen| {
                let cut = seen.fault(0)?;
                let took = seen.takes_over("s2", cut, seen.patience)?;
                let is_listed = |operation: &&Operation| operation.detail.scanned;
                let listed = seen.called(took, Duration::MAX).filter(is_listed);
                let answered =
                    listed.filter(|operation| matches!(operation.end, End::Returned { .. })).count();
                if answered < 100 {
                    return Err(format!("only {answered} keys were listed after the takeover"));
                }
                reads_go_on(seen)
            },
        },
        Draft {
            name: "stale_primary_cut_off_from_the_backup_cannot_read",
            about: "a primary cut off from its backup alone drops it by a new view, and reads are never stale",
            reaches: vec![
                strikes(Strike::Partition, Role::Backup),
                Situation::PairApart.into(),
                Situation::Suspected.into(),
                Situation::SuspectLeftOut.into(),
            ],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                let cut_ms = around(6_000, seed);
                plan.faults = vec![at(cut_ms, cut("s1", "s2", CUT_MS)), delayed_gets(cut_ms)];
                plan
            },
            holds: |seen| {
                let cut = seen.fault(0)?;
                let dropped = seen.proposals().find(|(at, _)| *at > cut);
                let (at, view) = dropped.ok_or("no view without the backup that cannot be reached")?;
                if view.insync.len() != 1 {
                    return Err(format!("the view after the cut still has both: {view:?}"));
                }
                seen.served(at, cut + seen.patience)?;
                reads_go_on(seen)
            },
        },
        Draft {
            name: "stale_primary_cut_off_from_both_cannot_complete_anything",
            about: "a primary that only its clients can reach completes neither a write nor a read",
            reaches: vec![
                Situation::TwoPrimaries.into(),
                Situation::StaleReadRefused.into(),
                Situation::ShorterLog.into(),
                Situation::Conflict.into(),
                Situation::DuplicateAcrossViews.into(),
            ],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                let cut_ms = around(6_000, seed);
                plan.faults = vec![
                    at(cut_ms, cut("s1", "vs", CUT_MS)),
                    at(cut_ms, cut("s1", "s2", CUT_MS)),
                    delayed_gets(cut_ms),
                ];
                plan
            },
            holds: |seen| {
                let cut = seen.fault(0)?;
                seen.takes_over("s2", cut, seen.patience)?;
                seen.served(cut, cut + 2 * seen.patience)?;
                reads_go_on(seen)
            },
        },
        Draft {
            name: "busy_primary_that_was_replaced_does_not_keep_its_clients",
            about: "a primary that only clients reach is full and answers busy; they find its successor all the same",
            reaches: vec![strikes(Strike::Partition, Role::Primary), Situation::TwoPrimaries.into()],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = quiet(seed, 20_000);
                plan.cluster.starts_ms = vec![0, 1_000, 2_000];
                plan.cluster.settings = vec![Settings { waiting_max: Some(2), ..Settings::default() }];
                let appender =
                    |n: u64| client(30_000, 3_000 + n * 7, 17_000, 250, &["append hot0", "append hot1"]);
                plan.clients = (0..5u64).map(appender).collect();
                let others = ["vs", "s2", "s3"].map(String::from).to_vec();
                let alone = FaultKind::Partition {
                    from: vec!["s1".into()],
                    to: others,
                    both_ways: true,
                    how: Cut::BlackHole,
                    lasts_ms: Some(2 * CUT_MS),
                };
                plan.faults = vec![at(around(6_000, seed), alone)];
                plan
            },
            holds: |seen| {
                let cut = seen.fault(0)?;
                seen.takes_over("s2", cut, seen.patience)?;
                seen.longest_wait(seen.patience)
            },
        },
        Draft {
            name: "deaf_primary_is_replaced",
            about: "a primary whose pings arrive but who hears no answer is not alive",
            reaches: vec![
                strikes(Strike::Partition, Role::Primary),
                Situation::DeafPrimary.into(),
                Situation::TwoPrimaries.into(),
            ],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                let deaf = FaultKind::Partition {
                    from: vec!["vs".into()],
                    to: vec!["s1".into()],
                    both_ways: false,
                    how: Cut::BlackHole,
                    lasts_ms: Some(2 * CUT_MS),
                };
                plan.faults = vec![at(around(6_000, seed), deaf)];
                plan
            },
            holds: |seen| {
                let deaf = seen.fault(0)?;
                // Two dead intervals: until its echo is too old.
                seen.takes_over("s2", deaf, seen.patience + Duration::from_secs(2))?;
                reads_go_on(seen)
            },
        },
        Draft {
            name: "primary_that_nobody_reaches_is_replaced",
            about: "a primary whose pings arrive and are answered, but that nobody reaches, is not alive",
            reaches: vec![
                strikes(Strike::Message(Mistreatment::DropRequest), Role::Primary),
                Situation::DeafPrimary.into(),
            ],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                let shut = FaultKind::Rpc {
                    from: ["vs", "c1", "c2", "c3", "c4", "c5"].map(String::from).into(),
                    to: vec!["s1".into()],
                    how: Mistreatment::DropRequest,
                    percent: 100,
                    lasts_ms: 2 * CUT_MS,
                };
                plan.faults = vec![at(around(6_000, seed), shut)];
                plan
            },
            holds: |seen| {
                let shut = seen.fault(0)?;
                // Two dead intervals: until its token is too old.
                let took = seen.takes_over("s2", shut, seen.patience + Duration::from_secs(2))?;
                seen.served(took, shut + Duration::from_millis(2 * CUT_MS))?;
                reads_go_on(seen)
            },
        },
        Draft {
            name: "primary_that_no_backup_hears_is_replaced",
            about: "a primary that the view service hears and reaches, and no backup hears, keeps nobody waiting",
            reaches: vec![strikes(Strike::Partition, Role::Primary), Situation::UnheardPrimary.into()],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                plan.cluster.servers = 3;
                plan.cluster.replicas = 3;
                plan.cluster.starts_ms = vec![0, 1_000, 1_000];
                let dumb = FaultKind::Partition {
                    from: vec!["s1".into()],
                    to: ["s2", "s3", "c1", "c2", "c3", "c4", "c5"].map(String::from).into(),
                    both_ways: false,
                    how: Cut::BlackHole,
                    lasts_ms: None,
                };
                plan.faults = vec![at(around(6_000, seed), dumb)];
                plan
            },
            holds: |seen| {
                let dumb = seen.fault(0)?;
                let replaced = seen.proposals().find(|(at, view)| *at > dumb && name(&view.primary) != "s1");
                let (took, view) = replaced.ok_or("the primary that nobody hears stays")?;
                if took > dumb + seen.patience || view.insync.len() != 2 {
                    return Err(format!("replaced at {took:?} by {view:?}"));
                }
                seen.served(took, took + seen.patience)?;
                reads_go_on(seen)
            },
        },
        Draft {
            name: "primary_that_slept_through_its_replacement_answers_nothing_stale",
            about: "a paused primary wakes up after it was replaced, with requests waiting, and misleads nobody",
            reaches: vec![
                strikes(Strike::Pause, Role::Primary),
                Situation::TwoPrimaries.into(),
                Situation::StaleReadRefused.into(),
            ],
            middle_ms: 7_500,
            plan: |seed| {
                let mut plan = readers_and_writers(seed);
                let pause = FaultKind::Pause { node: "s1".into(), lasts_ms: Some(4_000) };
                let paused_ms = around(6_000, seed);
                plan.faults = vec![
                    at(paused_ms, pause),
                    // It wakes up into a network that does not tell it.
                    on(Trigger::Promoted, paused_ms, 0, cut("s1", "vs", CUT_MS)),
                ];
                plan
            },
            holds: |seen| {
                let paused = seen.fault(0)?;
                seen.takes_over("s2", paused, seen.patience)?;
                seen.fault(1)?;
                reads_go_on(seen)
            },
        },
        Draft {
            name: "pings_do_not_grow_with_client_operations",
            about: "the view service hears a server's regular pings, however many operations clients call",
            reaches: vec![Situation::GrowsInPlace.into(), Situation::AdoptedFromPrimary.into()],
            middle_ms: 8_000,
            plan: |seed| {
                let mut plan = quiet(seed, 20_000);
                let busy =
                    |n: u64| client(30_000, 1_000 + n, 20_000, 10, &["put hot0", "get hot0", "append cold1"]);
                plan.clients = (0..4).map(busy).collect();
                plan
            },
            holds: |seen| {
                seen.all_returned(4_000)?;
                let stats = &seen.outcome.stats;
                let regular = stats.virtual_time.as_millis() as u64 / 500;
                // At once after each change of view or of confirmation, too.
                let changes = 8 * (seen.proposals().count() + seen.activations().count()) as u64;
                let most = regular + regular / 10 + changes;
                if stats.own.pings.is_empty() {
                    return Err("no ping was counted".into());
                }
                match stats.own.pings.iter().find(|(_, pings)| **pings > most) {
                    None => Ok(()),
                    Some((server, pings)) => {
                        Err(format!("{pings} pings of {server}, at most {most} are regular"))
                    }
                }
            },
        },
    ]
}

/// Two servers; writers of one key and readers of it who ask all the time.
fn readers_and_writers(seed: u64) -> Plan {
    let mut plan = quiet(seed, 25_000);
    plan.cluster.servers = 2;
    plan.cluster.starts_ms = vec![0, 1_000];
    let often =
        |from_ms, every_ms, operations: &[&str]| client(30_000, from_ms, 22_000, every_ms, operations);
    plan.clients = vec![
        often(1_000, 97, &["append hot0"]),
        often(1_020, 113, &["put hot1", "append hot0"]),
        often(1_040, 41, &["get hot0"]),
        often(1_060, 53, &["get hot1", "get hot0"]),
        client(700, 1_080, 22_000, 61, &["get hot0", "get hot1"]),
    ];
    plan
}

/// Requests of readers are held back, so that some reach the old primary long after it was replaced.
fn delayed_gets(from_ms: u64) -> crate::bound::Fault {
    at(
        from_ms,
        FaultKind::Rpc {
            from: vec!["c3".into(), "c4".into(), "c5".into()],
            to: vec!["s1".into()],
            how: Mistreatment::Delay,
            percent: 50,
            lasts_ms: CUT_MS,
        },
    )
}

/// The readers were served; that they saw nothing stale is for the general judge.
fn reads_go_on(seen: &Evidence) -> Result<(), String> {
    let is_get = |operation: &&Operation| matches!(operation.input, Input::Get { .. });
    let gets = seen.called(Duration::ZERO, Duration::MAX).filter(is_get);
    let returned = gets.filter(|get| matches!(get.end, End::Returned { .. })).count();
    if returned < 100 {
        return Err(format!("only {returned} Gets returned: nothing was tested"));
    }
    seen.each_append_once_in_order("hot0", 20)
}
