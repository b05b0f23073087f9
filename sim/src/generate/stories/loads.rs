//! A joiner has to get in sync while clients write as fast as they are answered; clients come and go, and ask
//! for more than there is room for.

use testbed::data::{
    fault::{Memory, Node},
    plan::Client,
};

use super::{
    super::{
        faults::cut,
        workload::{LOADED_KEYS_MAX, load},
    },
    BEGIN_MS, Dice, LENGTH_MS, ROUND_MS, Targets, apart, at, at_least, crash, keep, nodes, on,
    promoted_at_last, rounds, sessions,
};
use crate::{
    bound::{FaultKind, Plan},
    store::{fault::Trigger, settings::Settings},
};

/// Updates of each client while a joiner is chased.
const CHASE: u64 = 300;
/// Clients of a load that does not end: one of them always asks while a message is under way to a backup and
/// back.
const ENDLESS_CLIENTS: usize = 6;
/// When it ends after all, in milliseconds: later than redundancy is due.
const ENDLESS_MS: u64 = LENGTH_MS + 5_000;

/// Clients of a load that comes and goes: several of them ask while one waits.
const BURST_CLIENTS: usize = 14;

/// Clients of a crowd.
const CROWD: usize = 20;

/// The share of crowds that fill the session table, in percent.
const FULL_PERCENT: u64 = 40;

/// A joiner gets its state over a long link, while clients write as fast as they are answered: when it has
/// the state, the log has gone on by many checkpoints.
pub(super) fn chased_joiner(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    let cluster = &mut plan.cluster;
    cluster.checkpoint_interval = dice.magnitude(8, 64);
    cluster.log_entries_max = None;
    cluster.append_window = dice.magnitude(64, 1_024);
    cluster.chunk_bytes_max = dice.magnitude(128, 4_096) as usize;
    cluster.disk_ms_max = 0;
    let begin_ms = BEGIN_MS + dice.between(0, 3_000);
    let (from, to) = (nodes(&["primary"]), Targets::of(plan).servers());
    let slow = FaultKind::Slow {
        from,
        to,
        one_way: false,
        latency_ms: dice.between(20, 120),
        jitter_ms: 0,
        lasts_ms: LENGTH_MS - begin_ms,
    };
    let forget = crash("backup", dice.magnitude(10, 300), Memory::Lost);
    plan.faults.extend([at(begin_ms, forget), at(begin_ms + 50, slow)]);
    promoted_at_last(dice, plan);
    plan.clients[0].script.splice(0..0, load(LOADED_KEYS_MAX));
    let (pause_ms, longest_ms) = (dice.between(10, 25), plan.cluster.session_ttl_ms / 2);
    for client in &mut plan.clients {
        let chase = (0..CHASE).map(|n| {
            let ms = begin_ms + n * pause_ms;
            format!("{}.{:03} put cold{}", ms / 1_000, ms % 1_000, dice.below(LOADED_KEYS_MAX))
        });
        keep(client, |at_ms| at_ms < begin_ms);
        client.script.extend(chase);
        client.deadline_ms = client.deadline_ms.max(5_000).min(longest_ms);
    }
}

/// A backup forgets everything, once, and that is all that goes wrong. The clients write on, so that it never
/// holds the whole log at any moment: redundancy has to come back nevertheless. While it receives the state
/// the log goes on by more than two checkpoints and than a window.
pub(super) fn endless_load(dice: &mut Dice, plan: &mut Plan) {
    at_least(plan, 2, 2);
    let cluster = &mut plan.cluster;
    cluster.replicas = 2;
    cluster.checkpoint_interval = dice.magnitude(8, 24);
    cluster.log_entries_max = None;
    cluster.append_window = 4 * (ENDLESS_CLIENTS as u64 + 1);
    cluster.join_lag_max_ms = 500;
    cluster.chunk_bytes_max = dice.magnitude(32, 100) as usize;
    cluster.disk_ms_max = 0;
    plan.network.latency_us_min = dice.between(14_000, 16_000);
    plan.network.latency_us_max = plan.network.latency_us_min + 1_000;
    let answer_ms = 2 * plan.network.latency_us_max / 1_000;
    plan.clients.truncate(1);
    keep(&mut plan.clients[0], |at_ms| at_ms < BEGIN_MS / 2);
    plan.clients[0].script.splice(0..0, load(dice.between(80, 110)));
    for _ in 0..ENDLESS_CLIENTS {
        let first_ms = BEGIN_MS / 2 + dice.below(answer_ms);
        let times = (first_ms..ENDLESS_MS).step_by(answer_ms as usize);
        let script =
            times.map(|ms| format!("{}.{:03} put cold{}", ms / 1_000, ms % 1_000, dice.below(20))).collect();
        plan.clients.push(Client { deadline_ms: 5_000, script });
    }
    let forget = crash("backup", dice.magnitude(50, 500), Memory::Lost);
    plan.faults.push(at(BEGIN_MS, forget));
}

/// Messages to a joiner overtake each other, and its answers are late: it complains of a gap that is long
/// filled, and is sent a state which is older than the end of its log. What follows that state it has vouched
/// for, and must keep. The load ends while all this is under way, the joiner gets in sync, and soon the
/// primary dies.
pub(super) fn underrated_joiner(dice: &mut Dice, plan: &mut Plan) {
    plan.cluster.clocks.clear();
    if dice.percent(80) {
        return unsent_suffix(dice, plan);
    }
    let cluster = &mut plan.cluster;
    let copies = dice.weighted(&[(1, 2), (2, 3)]);
    (cluster.servers, cluster.replicas) = (copies + dice.below(2) as u32, copies);
    // Operations that a backup already has are not committed yet: they wait for another one, or for a slow
    // disk.
    cluster.disk_ms_max = if copies == 2 { 100 } else { 2 };
    // The log that a joiner needs is soon too long.
    cluster.checkpoint_interval = dice.between(1, 3);
    cluster.log_entries_max = Some(4 * cluster.checkpoint_interval);
    cluster.join_lag_max_ms = 100;
    (cluster.chunk_bytes_max, cluster.append_window) = (65_536, 1_024);
    cluster.session_ttl_ms = 60_000;
    plan.clients.truncate(1);
    keep(&mut plan.clients[0], |at_ms| at_ms < BEGIN_MS / 2);
    let mut scripts = vec![Vec::new(); BURST_CLIENTS];
    for begin_ms in rounds() {
        let (late_ms, jitter_ms) = (dice.between(100, 400), dice.between(100, 500));
        let (lasts_ms, pause_ms) = (dice.between(2_500, 4_500), late_ms + jitter_ms + dice.below(100));
        for script in &mut scripts {
            let first_ms = begin_ms + dice.below(pause_ms);
            let times = (first_ms..begin_ms + lasts_ms).step_by(pause_ms as usize);
            script.extend(
                times.map(|ms| format!("{}.{:03} put cold{}", ms / 1_000, ms % 1_000, dice.below(20))),
            );
        }
        let slow = |from: Vec<Node>, to: Vec<Node>, latency_ms, jitter_ms| {
            let lasts_ms = lasts_ms + 1_500;
            FaultKind::Slow { from, to, one_way: true, latency_ms, jitter_ms, lasts_ms }
        };
        let (primary, servers) = (nodes(&["primary"]), Targets::of(plan).servers());
        let death = crash("primary", 3_000, Memory::Kept);
        plan.faults.extend([
            at(begin_ms, crash("backup", dice.magnitude(10, 300), Memory::Lost)),
            at(begin_ms + 350, slow(servers.clone(), primary.clone(), late_ms, 1)),
            at(begin_ms + 350, slow(primary, servers, 1, jitter_ms)),
            on(Trigger::Joined, begin_ms + lasts_ms / 2, dice.magnitude(1, 1_500), death),
        ]);
    }
    plan.clients.extend(scripts.into_iter().map(|script| Client { deadline_ms: 5_000, script }));
}

/// The same in a form that has less to it, and so happens more often. Of three copies the third forgets
/// everything again and again, and each time one burst of writes strikes it while it joins: they reach it
/// soon and out of order, its answers are late, and those of the second are later, so that what the third
/// holds is not committed yet when it is sent a state. Nobody writes after the burst: what the third throws
/// away then, nobody sends again. In the end it is the only one that is left to be promoted.
fn unsent_suffix(dice: &mut Dice, plan: &mut Plan) {
    let cluster = &mut plan.cluster;
    (cluster.servers, cluster.replicas) = (3, 3);
    cluster.disk_ms_max = 2;
    cluster.checkpoint_interval = dice.between(1, 2);
    cluster.log_entries_max = Some(4 * cluster.checkpoint_interval);
    cluster.join_lag_max_ms = *dice.pick(&[500, 1_000, 1_000]);
    (cluster.chunk_bytes_max, cluster.append_window) = (65_536, 1_024);
    cluster.session_ttl_ms = 60_000;
    (plan.network.latency_us_min, plan.network.latency_us_max) = (1_000, 1_000 + dice.between(1, 1_000));
    plan.clients.truncate(1);
    keep(&mut plan.clients[0], |at_ms| at_ms < BEGIN_MS / 2);
    let mut scripts = vec![Vec::new(); BURST_CLIENTS];
    let round_ms = dice.between(3_000, 4_500);
    let begins: Vec<u64> = (BEGIN_MS..LENGTH_MS - 2 * round_ms).step_by(round_ms as usize).collect();
    for &begin_ms in &begins {
        let (late_ms, jitter_ms) = (dice.between(10, 200), dice.between(150, 350));
        let later_ms = late_ms + jitter_ms * dice.between(4, 8) / 4;
        let burst_ms = later_ms * dice.between(10, 40) / 10;
        let first_ms = begin_ms + dice.between(300, 800);
        for script in &mut scripts {
            let mut times: Vec<u64> =
                (0..dice.between(1, 8)).map(|_| first_ms + dice.below(burst_ms)).collect();
            times.sort_unstable();
            let line = |ms| format!("{}.{:03} put cold{}", ms / 1_000, ms % 1_000, dice.below(20));
            script.extend(times.into_iter().map(line));
        }
        let slow = |from: &str, to: &str, latency_ms, jitter_ms| {
            let (from, to) = (nodes(&[from]), nodes(&[to]));
            FaultKind::Slow { from, to, one_way: true, latency_ms, jitter_ms, lasts_ms: round_ms - 300 }
        };
        plan.faults.extend([
            at(begin_ms, crash("s3", dice.magnitude(1, 50), Memory::Lost)),
            at(begin_ms + dice.below(30), slow("s3", "s1", late_ms, 1)),
            at(begin_ms + dice.below(30), slow("s2", "s1", later_ms, 1)),
            at(begin_ms + dice.below(30), slow("s1", "s3", 1, jitter_ms)),
        ]);
    }
    let last_ms = begins.last().map_or(BEGIN_MS, |begin_ms| begin_ms + 500);
    let others = apart(nodes(&["s1", "s2"]), vec![], cut(dice), 6_000);
    plan.faults.push(on(Trigger::Joined, last_ms, dice.magnitude(1, 1_500), others));
    plan.clients.extend(scripts.into_iter().map(|script| Client { deadline_ms: 5_000, script }));
}

/// Clients live for two or three operations and come back as others, a thousand in a run; few close their
/// sessions. Then nobody writes for longer than a session lives, and then all come back.
pub(super) fn thousand_clients(dice: &mut Dice, plan: &mut Plan) {
    let mut own = Dice::new(plan.seed, "story/full house");
    if own.percent(FULL_PERCENT) {
        return full_table(&mut own, plan);
    }
    at_least(plan, 2, 2); // a backup may lose its memory
    let ttl_ms = dice.between(2_000, 3_000);
    sessions(plan, ttl_ms);
    plan.cluster.session_ttl_ms = ttl_ms;
    let sessions_max = dice.percent(70).then(|| dice.between(60, 120) as usize);
    plan.cluster.settings = vec![Settings { sessions_max, ..Settings::default() }];
    let line = |ms: u64, what: &str| format!("{}.{:03} {what}", ms / 1_000, ms % 1_000);
    let first = plan.clients[0].clone();
    plan.clients = (0..CROWD)
        .map(|_| {
            let mut script = Vec::new();
            let mut ms = dice.below(1_000);
            while ms < LENGTH_MS {
                if (LENGTH_MS / 4..LENGTH_MS / 2).contains(&ms) {
                    script.push(line(ms, "get hot0"));
                    ms += 1_000;
                    continue;
                }
                for _ in 0..dice.between(1, 3) {
                    let action = *dice.pick(&["put", "append", "get", "cas"]);
                    script.push(line(ms, &format!("{action} cold{}", dice.below(40))));
                    ms += dice.magnitude(1, 100);
                }
                if dice.percent(10) {
                    script.push(line(ms, "close -"));
                }
                script.push(line(ms, "restart -"));
                ms += dice.magnitude(10, 400);
            }
            Client { script, ..first.clone() }
        })
        .collect();
    let blow = match dice.below(3) {
        0 => crash("primary", dice.magnitude(100, 3_000), Memory::Kept),
        1 => crash("backup", dice.magnitude(10, 500), Memory::Lost),
        _ => FaultKind::Pause { node: "primary".into(), lasts_ms: Some(dice.between(100, 3_000)) },
    };
    plan.faults.push(at(dice.between(LENGTH_MS / 2, LENGTH_MS - ROUND_MS), blow));
}

/// Clients crash at once, and leave as many sessions as there may be; or swap as much as sessions may
/// remember. Nothing else goes wrong from then on, and for as long as a session lives nobody gets in. Then
/// all come again, and there is room.
fn full_table(dice: &mut Dice, plan: &mut Plan) {
    let ttl_ms = dice.between(18_000, 22_000);
    sessions(plan, ttl_ms);
    plan.cluster.clocks.clear();
    let line = |ms: u64, what: &str| format!("{}.{:03} {what}", ms / 1_000, ms % 1_000);
    let first = plan.clients[0].clone();
    let clients = dice.between(4, 8);
    let by_count = dice.percent(50);
    let away = FaultKind::Pause { node: "backup".into(), lasts_ms: Some(dice.between(50, 400)) };
    plan.faults.push(at(2_000, away));
    let (sessions_max, session_bytes_max) = if by_count {
        (Some(2 * clients as usize), None)
    } else {
        (None, Some(clients * dice.between(40, 100)))
    };
    plan.cluster.settings = vec![Settings { sessions_max, session_bytes_max, ..Settings::default() }];
    plan.clients = (0..clients)
        .map(|_| {
            let mut script = Vec::new();
            let full_ms = dice.between(BEGIN_MS, BEGIN_MS + 500);
            for life in 0..3 {
                let ms = full_ms + life * dice.between(100, 200);
                let key = dice.below(3);
                script.push(line(ms, &format!("put cold{key} 100")));
                script.push(line(ms + 30, &format!("cas cold{key} 100")));
                script.push(line(ms + 60, "restart -"));
            }
            let comes_ms = (full_ms + 1_000..LENGTH_MS).step_by(dice.between(700, 1_500) as usize);
            script.extend(comes_ms.map(|ms| line(ms, &format!("cas cold{}", dice.below(3)))));
            Client { script, ..first.clone() }
        })
        .collect();
}

/// Again and again many clients ask as fast as they are answered, for more than the servers have room for:
/// requests that wait, their bytes, and what sessions remember. What is refused is asked again.
pub(super) fn flood(dice: &mut Dice, plan: &mut Plan) {
    let ttl_ms = dice.between(4_000, 10_000);
    sessions(plan, ttl_ms);
    let limit = |dice: &mut Dice, min, max| dice.percent(60).then(|| dice.magnitude(min, max));
    plan.cluster.settings = vec![Settings {
        waiting_max: limit(dice, 2, 12).map(|max| max as usize),
        waiting_bytes_max: limit(dice, 300, 1_000),
        // After the heal each client swaps a few bytes, and has to find room within the time that it is owed.
        session_bytes_max: limit(dice, 150, 1_000),
        value_bytes_max: limit(dice, 50, 300).map(|max| max as usize),
        checkpoint_bytes: limit(dice, 200, 8_000),
        append_bytes_max: limit(dice, 16, 1_000).map(|max| max as usize),
        append_window: limit(dice, 1, 16),
        ..Settings::default()
    }];
    let deadline_ms = ttl_ms / 2;
    plan.clients = (0..CROWD)
        .map(|_| {
            let mut script = Vec::new();
            for begin_ms in rounds() {
                let actions = dice.between(5, 15);
                for _ in 0..actions {
                    let action = *dice.pick(&["put", "put", "append", "get", "cas", "cas"]);
                    let bytes = if action == "get" { 0 } else { dice.magnitude(1, 200) };
                    let bytes = if bytes > 0 { format!(" {bytes}") } else { String::new() };
                    let seconds = begin_ms / 1_000;
                    script.push(format!("{seconds}.000 {action} cold{}{bytes}", dice.below(20)));
                }
            }
            Client { deadline_ms, script }
        })
        .collect();
    for begin_ms in rounds() {
        let blow = match dice.below(4) {
            0 => crash("primary", dice.magnitude(100, 3_000), Memory::Kept),
            1 => FaultKind::Pause { node: "backup".into(), lasts_ms: Some(dice.between(100, 900)) },
            _ => continue,
        };
        plan.faults.push(at(begin_ms + dice.below(300), blow));
    }
    let late = FaultKind::Pause { node: "backup".into(), lasts_ms: Some(dice.between(50, 500)) };
    plan.faults.push(at(BEGIN_MS + 20, late));
}
