//! What can be left out of a plan: its tail, faults, clients, operations, processes, odd options.

use super::retain;
use crate::{
    data::{
        line::{at, at_ms, words},
        outcome::{Class, Outcome},
        plan::{Network, Plan},
    },
    system::{Process, Setup, System},
};

/// Networks from the calmest on.
const CALM: [Network; 3] = [
    Network { latency_us_min: 1_000, latency_us_max: 1_001, bytes_per_ms: None },
    Network { latency_us_min: 500, latency_us_max: 1_000, bytes_per_ms: None },
    Network { latency_us_min: 200, latency_us_max: 2_000, bytes_per_ms: None },
];

/// Without what begins after the failure; the faults are then healed at the failure, or when they were
/// before.
pub(super) fn without_tail<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> Vec<Plan<S>> {
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
pub(super) fn with_faults<S: System>(plan: &Plan<S>, kept: &[usize]) -> Plan<S> {
    let faults = kept.iter().map(|place| plan.faults[*place].clone()).collect();
    Plan { faults, ..plan.clone() }
}

/// With these clients only. Places are kept as long as another client follows, so that names mean the
/// same; the last ones without a script are dropped.
pub(super) fn with_clients<S: System>(plan: &Plan<S>, kept: &[usize]) -> Plan<S> {
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
pub(super) fn operations<S: System>(plan: &Plan<S>) -> usize {
    plan.clients.iter().map(|client| client.script.len()).sum()
}

/// With these operations only, counted through all scripts.
pub(super) fn with_operations<S: System>(plan: &Plan<S>, kept: &[usize]) -> Plan<S> {
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
pub(super) fn pinned<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> Plan<S> {
    let mut pinned = plan.clone();
    for (place, client) in pinned.clients.iter_mut().enumerate() {
        let name = format!("c{}", place + 1);
        let mut called: Vec<_> = outcome.operations.iter().filter(|it| *it.client == *name).collect();
        called.dedup_by_key(|operation| operation.called); // what is called at once is one line
        let calls = |line: &&mut String| {
            let word = words(line).split_whitespace().next();
            S::VERBS.iter().any(|verb| word == Some(verb.word))
        };
        for (line, operation) in client.script.iter_mut().filter(calls).zip(called) {
            // Rounded down: a millisecond that has not begun would be waited for.
            *line = at(line, u64::try_from(operation.called.as_millis()).unwrap_or(u64::MAX));
        }
    }
    pinned
}

/// Without clients that do nothing, and with the scripts of two clients given to one.
pub(super) fn with_clients_joined<S: System>(plan: &Plan<S>, _: &Outcome<S>) -> Vec<Plan<S>> {
    let clients = &plan.clients;
    let idle = (0..clients.len()).filter(|place| clients[*place].script.is_empty());
    let mut alternatives: Vec<Plan<S>> = idle.map(|place| without_client(plan, place)).collect();
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
fn without_client<S: System>(plan: &Plan<S>, place: usize) -> Plan<S> {
    let mut fewer = plan.clone();
    fewer.clients.remove(place);
    forget(&mut fewer, &format!("c{}", place + 1));
    for number in place + 2..=plan.clients.len() {
        rename(&mut fewer, &format!("c{number}"), &format!("c{}", number - 1));
    }
    fewer
}

/// With smaller set-ups. Nodes that are not in them are forgotten.
pub(super) fn with_smaller_setups<S: System>(plan: &Plan<S>, _: &Outcome<S>) -> Vec<Plan<S>> {
    let names = |processes: Vec<Process>| processes.into_iter().map(|process| process.name);
    let smaller = plan.cluster.smaller().into_iter();
    smaller
        .map(|cluster| {
            let left: Vec<String> = names(cluster.processes()).collect();
            let mut smaller = Plan { cluster, ..plan.clone() };
            for gone in names(plan.cluster.processes()).filter(|name| !left.contains(name)) {
                forget(&mut smaller, &gone);
            }
            smaller
        })
        .collect()
}

/// With options that need no explanation, first all of them, then one by one.
pub(super) fn with_plain_options<S: System>(plan: &Plan<S>, _: &Outcome<S>) -> Vec<Plan<S>> {
    let with = |change: &dyn Fn(&mut Plan<S>)| {
        let mut plain = plan.clone();
        change(&mut plain);
        plain
    };
    let mut plainer = plan.cluster.plainer().into_iter();
    let all = plainer.next().unwrap_or_else(|| plan.cluster.clone());
    let all = Plan { cluster: all, network: CALM[0].clone(), data_loss: false, ..plan.clone() };
    let mut alternatives = vec![all];
    alternatives.extend(plainer.map(|cluster| Plan { cluster, ..plan.clone() }));
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

/// Takes a node out of the set-up and every fault. A fault that was about this node alone goes with it.
fn forget<S: System>(plan: &mut Plan<S>, node: &str) {
    plan.cluster.forget(node);
    plan.faults.retain_mut(|fault| {
        let mut groups = fault.kind.lists();
        let about_others = groups.iter_mut().all(|group| {
            let named = !group.is_empty();
            group.retain(|name| *name != node);
            // An empty list means all nodes, and must not come about by leaving one out.
            !named || !group.is_empty()
        });
        let single = fault.kind.single().is_some_and(|name| name == node);
        about_others && !single
    });
}

fn rename<S: System>(plan: &mut Plan<S>, from: &str, to: &str) {
    let rename = |name: &mut String| {
        if name == from {
            to.clone_into(name);
        }
    };
    plan.cluster.rename(from, to);
    for fault in &mut plan.faults {
        fault.kind.lists().into_iter().flatten().for_each(rename);
        fault.kind.single().into_iter().for_each(rename);
    }
}
