//! A walk as a plan of the simulator, as far as a plan can say what happened; and what it cannot.
//!
//! Calls, crashes, restarts and clocks have their places in a plan. Which message is late, lost or copied,
//! what of a write a crash keeps, and when each timer goes off is left to the simulator's own seed: several
//! are to be tried.

use std::{collections::BTreeMap, time::Duration};

use testbed::data::{fault::Memory, plan::Client};

use super::{Action, Cluster, clients::KEYS};
use crate::{
    bound::{Fault, FaultKind, Plan},
    store::script,
    walk::World,
};

/// After the last action, clients have so long to be served, in milliseconds.
const SETTLE_MS: u64 = 60_000;
/// The deadline of each operation, in milliseconds.
const DEADLINE_MS: u64 = 2_000;

/// A plan that is as much like a walk as a plan can be, and how many actions of which sort it leaves out.
pub fn plan(start: &Cluster, actions: &[Action]) -> (Plan, BTreeMap<&'static str, u64>) {
    let mut world = start.clone();
    let mut plan = Plan {
        faults_ms: 1,
        settle_ms: SETTLE_MS,
        watch_ms: 0,
        clients: vec![Client { deadline_ms: DEADLINE_MS, script: Vec::new() }; world.clients.len()],
        ..(*world.plan).clone()
    };
    let mut left_out = BTreeMap::new();
    for action in actions {
        let at_ms = millis(world.now);
        let name = |node: u8| world.name(node).to_owned();
        let mut crash = |node: u8, memory| {
            let kind = FaultKind::Crash { node: name(node), down_ms: None, memory };
            plan.faults.push(Fault { at_ms, on: None, after_ms: 0, kind });
        };
        let mut leave_out = |sort: &'static str| *left_out.entry(sort).or_insert(0) += 1;
        match *action {
            Action::Crash(node, kept) => {
                crash(node, Memory::Kept);
                if kept > 0 {
                    leave_out("writes kept in part");
                }
            }
            Action::Wipe(node) => crash(node, Memory::Lost),
            Action::Start(node, _) => {
                let name = name(node);
                let ended = plan.faults.iter_mut().rev().find_map(|fault| match &mut fault.kind {
                    FaultKind::Crash { node, down_ms, .. } if *node == name => Some((fault.at_ms, down_ms)),
                    _ => None,
                });
                if let Some((ended_at, down_ms)) = ended {
                    *down_ms = Some((at_ms - ended_at).max(1));
                }
            }
            Action::Call(client, wish, _) => {
                let action = match wish.action {
                    script::Action::CompareAndSwap => "cas".to_owned(),
                    script::Action::CompareAndSwapRevision => "cas-revision".to_owned(),
                    other => format!("{other:?}").to_lowercase(),
                };
                let line = format!("{:.3} {action} {}", at_ms as f64 / 1_000.0, KEYS[usize::from(wish.key)]);
                plan.clients[usize::from(client) - 1 - world.servers.len()].script.push(line);
            }
            Action::Lose(_) => leave_out("messages lost"),
            Action::Copy(_) => leave_out("messages copied"),
            Action::Jump(..) => leave_out("clocks that jump"),
            Action::Gather(_) | Action::Flush(_) => leave_out("batches"),
            Action::Deliver(key) if world.flight.is_overtaking(key) => leave_out("messages overtaken"),
            Action::Deliver(_)
            | Action::Tick(_)
            | Action::Advance(_)
            | Action::Persist(_)
            | Action::Retry(..)
            | Action::GiveUp(_) => {}
        }
        if world.take(*action).is_err() {
            break;
        }
    }
    for fault in &mut plan.faults {
        if let FaultKind::Crash { down_ms, .. } = &mut fault.kind {
            down_ms.get_or_insert(SETTLE_MS / 10);
        }
    }
    plan.faults_ms = millis(world.now) + 1;
    (plan, left_out)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
