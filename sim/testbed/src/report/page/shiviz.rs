//! A run as a log with vector clocks, as ShiViz reads it: what happened on each node, and what may have
//! caused it. Its parser, `(?<host>\S*) (?<clock>{.*})\n(?<event>.*)`, is what ShiViz offers by default.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::{
    data::{node::NodeIndex, nodes::Nodes, outcome::Outcome, plan::Plan},
    report::timeline,
    system::System,
};

/// How many events a node has seen of each.
type Clock = BTreeMap<NodeIndex, u64>;

/// What happened on a node. The order is that in which things of one moment are told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A moment of the timeline, by its place.
    Told(usize),
    /// A message left.
    Sent(usize),
    /// It arrived.
    Received(usize),
}

/// The log. For messages, the outcome must be that of a run that kept them.
pub fn render<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> String {
    let nodes = Nodes::new(plan);
    let mut clocks = vec![Clock::new(); nodes.len()];
    let mut sent: BTreeMap<usize, Clock> = BTreeMap::new();
    let mut log = String::new();
    for (at, what, node) in events(outcome, &nodes) {
        let text = match what {
            What::Told(place) => timeline::words(&outcome.timeline[place], outcome),
            What::Sent(place) => format!("> {}", outcome.messages[place].text),
            What::Received(place) => {
                // Nothing arrives before it left.
                let Some(cause) = sent.get(&place) else { continue };
                for (other, seen) in cause {
                    let known = clocks[node].entry(*other).or_default();
                    *known = (*known).max(*seen);
                }
                format!("< {}", outcome.messages[place].text)
            }
        };
        *clocks[node].entry(node).or_default() += 1;
        if let What::Sent(place) = what {
            sent.insert(place, clocks[node].clone());
        }
        let clock: Vec<String> =
            clocks[node].iter().map(|(other, seen)| format!("\"{}\":{seen}", nodes.name(*other))).collect();
        let text = text.replace('\n', " ");
        let _ = writeln!(log, "{} {{{}}}\n{:.6} {text}", nodes.name(node), clock.join(","), at.as_secs_f64());
    }
    log
}

/// All that happened, in the order of time.
fn events<S: System>(outcome: &Outcome<S>, nodes: &Nodes) -> Vec<(Duration, What, NodeIndex)> {
    let mut events = Vec::new();
    for (place, moment) in outcome.timeline.iter().enumerate() {
        events.extend(nodes.find(&moment.node).map(|node| (moment.at, What::Told(place), node)));
    }
    for (place, message) in outcome.messages.iter().enumerate() {
        events.push((message.sent, What::Sent(place), message.from));
        if let Some(received) = message.received.filter(|_| !message.lost) {
            events.push((received, What::Received(place), message.to));
        }
    }
    events.sort();
    events
}
