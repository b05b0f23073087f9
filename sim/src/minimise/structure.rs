//! What can be left out of a plan: its tail, faults, clients, operations, servers, odd options.

use super::retain;
use crate::{
    data::{
        line::{at, at_ms},
        outcome::{Class, Outcome},
        plan::{Network, Plan},
    },
    store::{
        script::Step,
        setup::{Cluster, Reads},
    },
};

/// Networks from the calmest on.
const CALM: [Network; 3] = [
    Network { latency_us_min: 1_000, latency_us_max: 1_001, bytes_per_ms: None },
    Network { latency_us_min: 500, latency_us_max: 1_000, bytes_per_ms: None },
    Network { latency_us_min: 200, latency_us_max: 2_000, bytes_per_ms: None },
];

/// Without what begins after the failure; the faults are then healed at the failure, or when they were
/// before.
pub(super) fn without_tail(plan: &Plan, outcome: &Outcome) -> Vec<Plan> {
    // A stall and missing copies are seen long after the heal, and what is waited for may begin late.
    let Some(failed_at) =
        outcome.failed_at().filter(|_| !matches!(outcome.class(), Class::Liveness | Class::Health))
    else {
        return Vec::new();
    };
    let end_ms = u64::try_from(failed_at.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let mut shorter = plan.clone();
    shorter.faults.retain(|fault| fault.begins_ms() < end_ms);
    for client in &mut shorter.clients {
        *client = retain(client, |place| at_ms(&client.script[place]) <= end_ms);
    }
    let healed_at_failure = Plan { faults_ms: end_ms.min(shorter.faults_ms), ..shorter.clone() };
    vec![healed_at_failure, shorter]
}

/// With these faults only. What a fault does to a message depends on its content, not on its place, so the
/// others go on as before.
pub(super) fn with_faults(plan: &Plan, kept: &[usize]) -> Plan {
    let faults = kept.iter().map(|place| plan.faults[*place].clone()).collect();
    Plan { faults, ..plan.clone() }
}

/// With these clients only. Places are kept as long as another client follows, so that names mean the
/// same; the last ones without a script are dropped.
pub(super) fn with_clients(plan: &Plan, kept: &[usize]) -> Plan {
    let mut fewer = plan.clone();
    for (place, client) in fewer.clients.iter_mut().enumerate() {
        if !kept.contains(&place) {
            client.script.clear();
        }
    }
    while fewer.clients.last().is_some_and(|client| client.script.is_empty()) {
        let name = format!("c{}", fewer.clients.len());
        fewer.clients.pop();
        forget(&mut fewer, &name);
    }
    fewer
}

/// How many operations all scripts hold together.
pub(super) fn operations(plan: &Plan) -> usize {
    plan.clients.iter().map(|client| client.script.len()).sum()
}

/// With these operations only, counted through all scripts.
pub(super) fn with_operations(plan: &Plan, kept: &[usize]) -> Plan {
    let mut fewer = plan.clone();
    let mut first = 0;
    for client in &mut fewer.clients {
        let count = client.script.len();
        *client = retain(client, |place| kept.binary_search(&(first + place)).is_ok());
        first += count;
    }
    fewer
}

/// The same run, with each operation planned for the time at which it was called: without one of them, those
/// behind it no longer move up.
pub(super) fn pinned(plan: &Plan, outcome: &Outcome) -> Plan {
    let mut pinned = plan.clone();
    for (place, client) in pinned.clients.iter_mut().enumerate() {
        let name = format!("c{}", place + 1);
        let called = outcome.operations.iter().filter(|operation| *operation.client == *name);
        let calls = |line: &&mut String| Step::parse(line).is_ok_and(|step| step.action.is_call());
        for (line, operation) in client.script.iter_mut().filter(calls).zip(called) {
            // Rounded down: a millisecond that has not begun would be waited for.
            *line = at(line, u64::try_from(operation.called.as_millis()).unwrap_or(u64::MAX));
        }
    }
    pinned
}

/// The same plan with checkpoints twice as often: what takes many operations because the log must outgrow a
/// checkpoint takes few.
pub(super) fn with_frequent_checkpoints(plan: &Plan, _: &Outcome) -> Plan {
    let mut frequent = plan.clone();
    frequent.cluster.checkpoint_interval = frequent.cluster.checkpoint_interval.div_ceil(2);
    frequent
}

/// The same at once, with a checkpoint after every other operation, where halving would take a round for each
/// half.
pub(super) fn with_eager_checkpoints(plan: &Plan, _: &Outcome) -> Plan {
    let mut eager = plan.clone();
    eager.cluster.checkpoint_interval = eager.cluster.checkpoint_interval.min(2);
    eager
}

/// The same with transfers in the smallest parts: a state that must outgrow one takes few operations.
pub(super) fn with_small_parts(plan: &Plan, _: &Outcome) -> Plan {
    let mut small = plan.clone();
    small.cluster.chunk_bytes_max = 1;
    small
}

/// Without clients that do nothing, and with the scripts of two clients given to one.
pub(super) fn with_clients_joined(plan: &Plan, _: &Outcome) -> Vec<Plan> {
    let clients = &plan.clients;
    let idle = (0..clients.len()).filter(|place| clients[*place].script.is_empty());
    let mut alternatives: Vec<Plan> = idle.map(|place| without_client(plan, place)).collect();
    for second in (1..clients.len()).rev() {
        for first in 0..second {
            let mut joined = plan.clone();
            let script = &mut joined.clients[first].script;
            script.extend(clients[second].script.iter().cloned());
            script.sort_by_key(|line| at_ms(line));
            alternatives.push(without_client(&joined, second));
        }
    }
    alternatives
}

/// Without a client; those behind it move up, in the faults, too.
fn without_client(plan: &Plan, place: usize) -> Plan {
    let mut fewer = plan.clone();
    fewer.clients.remove(place);
    forget(&mut fewer, &format!("c{}", place + 1));
    for number in place + 2..=plan.clients.len() {
        rename(&mut fewer, &format!("c{number}"), &format!("c{}", number - 1));
    }
    fewer
}

/// With fewer servers, or with fewer copies.
pub(super) fn with_fewer_servers(plan: &Plan, _: &Outcome) -> Vec<Plan> {
    let Cluster { servers, replicas, .. } = plan.cluster;
    let mut alternatives = Vec::new();
    for fewer in 1..servers {
        let mut smaller = plan.clone();
        for gone in fewer + 1..=servers {
            forget(&mut smaller, &format!("s{gone}"));
        }
        smaller.cluster.servers = fewer;
        smaller.cluster.replicas = replicas.min(fewer);
        smaller.cluster.starts_ms.truncate(fewer as usize);
        alternatives.push(smaller);
    }
    for fewer in 1..replicas {
        let mut smaller = plan.clone();
        smaller.cluster.replicas = fewer;
        alternatives.push(smaller);
    }
    alternatives
}

/// With options that need no explanation, first all of them, then one by one.
pub(super) fn with_plain_options(plan: &Plan, _: &Outcome) -> Vec<Plan> {
    const SETTERS: [fn(&mut Cluster); 14] = [
        |cluster| cluster.settings.clear(),
        |cluster| cluster.encoded = false,
        |cluster| cluster.callers_leave = false,
        |cluster| cluster.volatile = false,
        |cluster| cluster.log_entries_max = None,
        |cluster| cluster.clocks.clear(),
        |cluster| cluster.starts_ms.clear(),
        |cluster| cluster.reads = Reads::Confirm,
        |cluster| cluster.disk_ms_max = 0,
        |cluster| cluster.checkpoint_interval = 100,
        |cluster| cluster.join_lag_max_ms = 500,
        |cluster| cluster.chunk_bytes_max = 4_096,
        |cluster| cluster.append_window = 1_024,
        |cluster| cluster.session_ttl_ms = 60_000,
    ];
    let with = |change: &dyn Fn(&mut Plan)| {
        let mut plain = plan.clone();
        change(&mut plain);
        plain
    };
    let mut alternatives = vec![with(&|plain| {
        SETTERS.iter().for_each(|set| set(&mut plain.cluster));
        plain.network = CALM[0].clone();
        plain.data_loss = false;
    })];
    alternatives.extend(SETTERS.iter().map(|set| with(&|plain| set(&mut plain.cluster))));
    for place in 0..plan.cluster.settings.len() {
        alternatives.push(with(&|plain| {
            plain.cluster.settings.remove(place);
        }));
    }
    for clock in 0..plan.cluster.clocks.len() {
        alternatives.push(with(&|plain| {
            plain.cluster.clocks.remove(clock);
        }));
    }
    alternatives.push(with(&|plain| plain.data_loss = false));
    for network in CALM.iter().take_while(|calm| **calm != plan.network) {
        alternatives.push(with(&|plain| plain.network = network.clone()));
    }
    for place in 0..plan.clients.len() {
        alternatives.push(with(&|plain| {
            plain.clients[place].deadline_ms = 10_000;
        }));
    }
    alternatives
}

/// Takes a node out of every fault and every clock. A fault that was about this node alone goes with it.
fn forget(plan: &mut Plan, node: &str) {
    plan.cluster.clocks.retain(|clock| clock.node != node);
    plan.cluster.settings.retain(|settings| settings.node.as_deref() != Some(node));
    plan.faults.retain_mut(|fault| {
        let mut groups = fault.kind.lists();
        let about_others = groups.iter_mut().all(|group| {
            let named = !group.is_empty();
            group.retain(|name| *name != node);
            // An empty list means everybody, which nobody may become by leaving.
            !named || !group.is_empty()
        });
        let single = fault.kind.single().is_some_and(|name| name == node);
        about_others && !single
    });
}

fn rename(plan: &mut Plan, from: &str, to: &str) {
    let rename = |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    plan.cluster.clocks.iter_mut().for_each(|clock| rename(&mut clock.node));
    for fault in &mut plan.faults {
        fault.kind.lists().into_iter().flatten().for_each(rename);
        fault.kind.single().into_iter().for_each(rename);
    }
}
