//! Every operation takes effect exactly once, whatever becomes of its messages.

use testbed::{
    data::fault::{Cut, Mistreatment},
    marks::Strike,
};

use super::{
    Draft,
    build::{around, at, client, crash, quiet, strikes},
};
use crate::{
    bound::{End, FaultKind, Plan},
    store::{
        marks::{Role, Situation},
        setup::Calls,
    },
};

/// Clients that append to one key.
const APPENDERS: u64 = 8;

pub fn drafts() -> Vec<Draft> {
    vec![
        Draft {
            name: "concurrent_appends_survive_a_crash_of_the_primary_once_and_in_order",
            about: "many clients append to one key while the primary dies: each value once, in its client's order",
            reaches: vec![strikes(Strike::Crash, Role::Primary), Situation::GrowsInPlace.into()],
            middle_ms: 6_000,
            plan: |seed| {
                let mut plan = appenders(seed);
                plan.faults = vec![at(around(6_000, seed), crash("primary", Some(5_000)))];
                plan
            },
            holds: |seen| {
                seen.fault(0)?;
                seen.longest_wait(seen.patience)?;
                seen.each_append_once_in_order("hot0", 200)
            },
        },
        Draft {
            name: "lost_replies_and_retries_across_a_takeover_apply_once",
            about: "most replies to clients are lost while the primary dies; retries at the new one apply nothing twice",
            reaches: vec![
                strikes(Strike::Crash, Role::Primary),
                strikes(Strike::Message(Mistreatment::DropReply), Role::Client),
                Situation::RetryFromTable.into(),
                Situation::RetryFromTableAfterFailover.into(),
            ],
            middle_ms: 6_500,
            plan: |seed| {
                let mut plan = appenders(seed);
                let dropped = mistreat(Mistreatment::DropReply, 60, 6_000);
                // Down for longer than a restarted view service needs to find it dead.
                plan.faults =
                    vec![at(4_000, dropped), at(around(6_000, seed), crash("primary", Some(8_000)))];
                plan
            },
            holds: |seen| {
                let died = seen.fault(1)?;
                let dropped = seen.outcome.stats.faults.get("drop reply").copied().unwrap_or_default();
                if dropped < 20 {
                    return Err(format!("only {dropped} replies were lost: nothing was tested"));
                }
                seen.takes_over("s2", died, seen.patience)?;
                seen.each_append_once_in_order("hot0", 100)
            },
        },
        Draft {
            name: "duplicated_and_delayed_requests_apply_once",
            about: "requests arrive twice and late, also at a primary that was just promoted; nothing applies twice",
            reaches: vec![
                strikes(Strike::Crash, Role::Primary),
                strikes(Strike::Message(Mistreatment::Duplicate), Role::Client),
                strikes(Strike::Message(Mistreatment::Delay), Role::Client),
                Situation::RetryFromTable.into(),
                Situation::Superseded.into(),
            ],
            middle_ms: 6_500,
            plan: |seed| {
                let mut plan = appenders(seed);
                plan.faults = vec![
                    at(3_000, mistreat(Mistreatment::Duplicate, 70, 8_000)),
                    at(3_000, mistreat(Mistreatment::Delay, 50, 8_000)),
                    at(around(6_000, seed), crash("primary", Some(5_000))),
                ];
                plan
            },
            holds: |seen| {
                seen.fault(2)?;
                let faults = &seen.outcome.stats.faults;
                for kind in ["duplicate", "delay"] {
                    let struck = faults.get(kind).copied().unwrap_or_default();
                    if struck < 10 {
                        return Err(format!("{kind} struck only {struck} messages: nothing was tested"));
                    }
                }
                seen.each_append_once_in_order("hot0", 100)
            },
        },
        Draft {
            name: "calls_of_a_shared_stream_that_breaks_apply_once",
            about: "all clients share one stream, which breaks again and again; the calls on it apply once, in each client's order",
            reaches: vec![
                strikes(Strike::Partition, Role::Client),
                Situation::ClientStreamBreaks.into(),
                Situation::RetryFromTable.into(),
            ],
            middle_ms: 6_500,
            plan: |seed| {
                let mut plan = appenders(seed);
                plan.cluster.calls = Calls::Shared;
                let cut = |how, lasts_ms| FaultKind::Partition {
                    from: (1..=APPENDERS + 1).map(|n| format!("c{n}")).collect(),
                    to: vec!["primary".into()],
                    both_ways: true,
                    how,
                    lasts_ms: Some(lasts_ms),
                };
                let times = (4_000..12_000).step_by(800).map(|at_ms| around(at_ms, seed));
                plan.faults = times.map(|at_ms| at(at_ms, cut(Cut::Refuse, 40))).collect();
                plan.faults.push(at(around(12_500, seed), cut(Cut::BlackHole, 1_500)));
                plan
            },
            holds: |seen| {
                seen.fault(9)?;
                seen.longest_wait(seen.patience)?;
                seen.each_append_once_in_order("hot0", 200)
            },
        },
        Draft {
            name: "calls_that_are_made_alone_apply_once",
            about: "clients that know no streams lose most replies; their retries apply nothing twice",
            reaches: vec![
                strikes(Strike::Message(Mistreatment::DropReply), Role::Client),
                strikes(Strike::Message(Mistreatment::Duplicate), Role::Client),
                Situation::RetryFromTable.into(),
            ],
            middle_ms: 6_500,
            plan: |seed| {
                let mut plan = appenders(seed);
                plan.cluster.calls = Calls::Unary;
                let lost = mistreat(Mistreatment::DropReply, 60, 3_000);
                let twice = mistreat(Mistreatment::Duplicate, 60, 3_000);
                plan.faults = vec![at(around(4_000, seed), lost), at(around(8_000, seed), twice)];
                plan
            },
            holds: |seen| {
                seen.fault(1)?;
                seen.each_append_once_in_order("hot0", 200)
            },
        },
        Draft {
            name: "update_in_doubt_is_not_repeated_in_another_session",
            about: "a client lost a reply and was away until its session was forgotten: it says that it does not know",
            reaches: vec![
                strikes(Strike::Message(Mistreatment::DropReply), Role::Client),
                strikes(Strike::Partition, Role::Client),
                Situation::SessionUnknown.into(),
            ],
            middle_ms: 6_500,
            plan: |seed| {
                let mut plan = appenders(seed);
                plan.cluster.session_ttl_ms = 2_000;
                let away = FaultKind::Partition {
                    from: vec!["c1".into()],
                    to: vec![],
                    both_ways: true,
                    how: Cut::Refuse,
                    lasts_ms: Some(5_000),
                };
                let dropped = FaultKind::Rpc {
                    from: vec!["c1".into()],
                    to: vec![],
                    how: Mistreatment::DropReply,
                    percent: 100,
                    lasts_ms: 1_000,
                };
                let begins_ms = around(5_000, seed);
                plan.faults = vec![at(begins_ms, dropped), at(begins_ms + 800, away)];
                plan
            },
            holds: |seen| {
                seen.fault(1)?;
                let mut of_c1 = seen.outcome.operations.iter().filter(|operation| &*operation.client == "c1");
                if !of_c1.any(|operation| matches!(operation.end, End::Unknown { .. })) {
                    return Err("the client knew the fate of every update: nothing was tested".into());
                }
                seen.each_append_once_in_order("hot0", 200)
            },
        },
    ]
}

fn appenders(seed: u64) -> Plan {
    let mut plan = quiet(seed, 18_000);
    plan.cluster.starts_ms = vec![0, 1_000, 2_000];
    plan.clients =
        (0..APPENDERS).map(|n| client(30_000, 3_000 + n * 7, 14_000, 230, &["append hot0"])).collect();
    plan.clients.push(client(30_000, 3_000, 14_000, 110, &["get hot0"]));
    plan
}

/// A share of the messages of all clients to all servers.
fn mistreat(how: Mistreatment, percent: u32, lasts_ms: u64) -> FaultKind {
    let from = (1..=APPENDERS).map(|n| format!("c{n}")).collect();
    FaultKind::Rpc { from, to: vec![], how, percent, lasts_ms }
}
