//! A run in the trace event format that Chrome and Perfetto read: one process for each node, spans for its
//! states, its calls and the faults, and an arrow for each message that was kept.

use serde_json::{Value, json};

use super::{
    data::{Nodes, micros},
    lanes::{self, Span},
};
use crate::{
    data::{nodes::SIMULATOR, outcome::Outcome, plan::Plan},
    report::screen,
    system::System,
};

/// The run as a text. For messages as arrows, the outcome must be that of a run that kept them.
pub fn render<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> String {
    let nodes = Nodes::new(plan);
    let end = micros(outcome.stats.virtual_time);
    let mut events: Vec<Value> = nodes.names().enumerate().map(|(node, name)| named(node, name)).collect();
    for lane in lanes::lanes(plan, outcome, &nodes) {
        events.extend(lane.states.iter().map(|it| span((lane.node, 0), it)));
        events.extend(lane.besides.iter().map(|it| span((lane.node, 1), it)));
    }
    let simulator = nodes.find(SIMULATOR).unwrap_or_default();
    for fault in lanes::faults(plan, outcome, end) {
        let lasts = fault.to.saturating_sub(fault.from);
        events.push(complete((simulator, fault.fault), &fault.text, "fault", (fault.from, lasts)));
    }
    for operation in &outcome.operations {
        let node = nodes.find(&operation.client).unwrap_or_default();
        let from = micros(operation.called);
        let to = operation.end.at().map_or(end, micros);
        let call = screen::call(operation);
        events.push(complete((node, 0), &call, "operation", (from, to.saturating_sub(from))));
    }
    for (place, message) in outcome.messages.iter().enumerate() {
        let Some(received) = message.received.filter(|_| !message.lost) else { continue };
        for (phase, node, at) in [("s", message.from, message.sent), ("f", message.to, received)] {
            events.push(json!({
                "name": message.text.to_string(), "cat": "message", "ph": phase, "bp": "e", "id": place,
                "ts": micros(at), "pid": node, "tid": 0,
            }));
        }
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
}

fn named(node: usize, name: &str) -> Value {
    json!({ "name": "process_name", "ph": "M", "pid": node, "tid": 0, "args": { "name": name } })
}

fn span(track: (usize, usize), span: &Span) -> Value {
    complete(track, &span.text, "state", (span.from, span.to.saturating_sub(span.from)))
}

/// Something that takes time, in microseconds.
fn complete((pid, tid): (usize, usize), name: &str, sort: &str, (ts, dur): (u64, u64)) -> Value {
    json!({ "name": name, "cat": sort, "ph": "X", "ts": ts, "dur": dur, "pid": pid, "tid": tid })
}
