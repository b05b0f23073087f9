//! A failure in sentences: what was seen, why that cannot be, and who was responsible at that moment.

use std::{fmt, time::Duration};

use pbkv::protocol::{
    replica::{Notice, RoleName},
    view::View,
    view_service,
};

use super::data::Nodes;
use crate::{
    data::{
        node::NodeName,
        outcome::{Contradiction, End, Happening, Operation, Outcome, Verdict, Violation},
        plan::Plan,
    },
    observer::messages::MessageKind,
    report::{screen, timeline::name},
    store::{self, operation::Input},
    system::Promise,
};

/// Sentences about one failure, at most.
const SENTENCES_MAX: usize = 8;

/// Operations that a sentence sets against what was seen, at most.
const NAMED_MAX: usize = 2;

/// Who answered an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServedBy {
    server: String,
    /// What the server took itself for.
    role: String,
    /// The view that was in force, if another.
    instead: Option<String>,
}

impl fmt::Display for ServedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "served by {}, {}", self.server, self.role)?;
        self.instead.as_ref().map_or(Ok(()), |instead| write!(f, ", while {instead}"))
    }
}

/// Who answered an operation: the server that sent its client the last answer before the operation returned.
/// Known only if messages were kept.
pub(super) fn served_by(plan: &Plan, outcome: &Outcome, operation: usize) -> Option<ServedBy> {
    let operation = &outcome.operations[operation];
    let End::Returned { at, .. } = &operation.end else { return None };
    let client = Nodes::new(plan).find(&operation.client)?;
    let end = outcome.messages.partition_point(|message| message.sent <= *at);
    let answer =
        outcome.messages[..end].iter().rev().take_while(|message| message.sent >= operation.called).find(
            |message| {
                message.kind == MessageKind::Client
                    && message.to == client
                    && message.from != crate::store::nodes::Nodes::VIEW_SERVICE
                    && !message.lost
            },
        )?;
    let server = crate::data::nodes::Nodes::new(plan).name(answer.from).clone();
    Some(standing(outcome, &server, answer.sent))
}

/// What a server takes itself for at a time, and what is in force instead.
fn standing(outcome: &Outcome, server: &NodeName, at: Duration) -> ServedBy {
    let mut role = "without a role".to_string();
    let mut own_view = None;
    for moment in outcome.timeline.iter().take_while(|moment| moment.at <= at) {
        if moment.node == *server
            && let Happening::Notice(store::Notice::Replica(Notice::RoleChanged { role: new, view })) =
                &moment.event
        {
            role = match new {
                RoleName::Primary => format!("primary of {view}"),
                RoleName::Backup => format!("backup in {view}"),
                RoleName::Idle => "idle".into(),
            };
            own_view = Some(*view);
        }
    }
    let current = view_at(outcome, at).filter(|(view, ..)| own_view.is_some_and(|own| own != view.number));
    let instead = current.map(|(view, active, since)| {
        let state = if active { "active" } else { "proposed" };
        let (number, primary) = (view.number, name(&view.primary));
        format!("{number} (primary {primary}) had been {state} for {}", ago(at.saturating_sub(since)))
    });
    ServedBy { server: server.to_string(), role, instead }
}

/// What the node of a broken invariant took itself for.
fn context(outcome: &Outcome, node: &NodeName, at: Duration) -> Option<String> {
    let ServedBy { server, role, instead } = standing(outcome, node, at);
    instead.map(|instead| format!("At that moment {server} took itself for {role}, while {instead}."))
}

/// The view service's view at a time, whether it was active, and since when.
fn view_at(outcome: &Outcome, at: Duration) -> Option<(View, bool, Duration)> {
    let mut current = None;
    for moment in outcome.timeline.iter().take_while(|moment| moment.at <= at) {
        match &moment.event {
            Happening::Notice(store::Notice::ViewService(view_service::Notice::Proposed {
                view, ..
            })) => {
                current = Some((view.clone(), false, moment.at));
            }
            Happening::Notice(store::Notice::ViewService(view_service::Notice::Activated(view))) => {
                let since =
                    current.take().filter(|(_, active, _)| *active).map_or(moment.at, |(.., since)| since);
                current = Some((view.clone(), true, since));
            }
            _ => {}
        }
    }
    current
}

/// The failure in sentences.
pub(super) fn sentences(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let mut sentences = Vec::new();
    for violation in &outcome.violations {
        let Violation { at, node, invariant, message } = violation;
        sentences.push(format!("{} {invariant} broken at {node}: {message}.", clock(*at)));
        sentences.extend(context(outcome, node, *at));
    }
    if let Verdict::Violation(contradiction) = &outcome.verdict {
        sentences.extend(contradicting(plan, outcome, contradiction));
    }
    if let Some(panic) = &outcome.panic {
        sentences.push(format!("{} at {}: {}", clock(panic.at), panic.node, panic.message));
    }
    if let Some(stall) = &outcome.stall {
        sentences.push(format!("{} the cluster had still not come to rest.", clock(stall.at)));
        sentences.extend(stall.waiting.iter().chain(&stall.cluster).cloned());
    }
    if let Some(unhealthy) = &outcome.unhealthy {
        sentences.push(format!("{} {}: {}.", clock(unhealthy.at), unhealthy.promise.name(), unhealthy.seen));
    }
    if let Verdict::Undecided(why) = &outcome.verdict {
        sentences.push(why.clone());
    }
    if sentences.is_empty() {
        sentences
            .push("Every operation took effect once, at one moment between its call and its return.".into());
    }
    sentences.extend(outcome.excused.iter().map(|excuse| format!("{excuse}.")));
    sentences.truncate(SENTENCES_MAX);
    sentences
}

/// What the last of the contradicting operations saw, and each of the others against it.
fn contradicting(plan: &Plan, outcome: &Outcome, contradiction: &Contradiction) -> Vec<String> {
    let mut involved = contradiction.operations.clone();
    involved.sort_by_key(|index| outcome.operations[*index].end.at().unwrap_or(Duration::MAX));
    // The last one to return that looked at the value: it completed the contradiction.
    let looked = |index: &&usize| {
        matches!(
            outcome.operations[**index].input,
            Input::Get { .. } | Input::CompareAndSwap { .. } | Input::Delete { .. }
        )
    };
    let Some(last) = involved.iter().rev().find(looked).or(involved.last()).copied() else {
        return vec![contradiction.sentence.clone()];
    };
    let culprit = &outcome.operations[last];
    let mut first = format!("{} {}", clock(culprit.end.at().unwrap_or(culprit.called)), told(culprit));
    let before = involved.iter().filter(|index| **index != last).map(|index| &outcome.operations[*index]);
    let before: Vec<(Duration, &Operation)> = before
        .filter_map(|operation| Some((operation.end.at().filter(|at| *at < culprit.called)?, operation)))
        .collect();
    // The nearest say most; all are listed beside the sentence.
    for (place, (at, operation)) in before.iter().rev().take(NAMED_MAX).enumerate() {
        let link = if place == 0 { ", although" } else { " and" };
        first.push_str(&format!("{link} {} {} earlier", finished(operation), ago(culprit.called - *at)));
    }
    if before.len() > NAMED_MAX {
        first.push_str(&format!(" and {} more before that", before.len() - NAMED_MAX));
    }
    if let Some(served) = served_by(plan, outcome, last) {
        first.push_str(&format!("; {served}"));
    }
    first.push('.');
    vec![first, format!("{}.", capital(&contradiction.sentence))]
}

fn told(operation: &Operation) -> String {
    let asked = screen::asked(operation);
    match &operation.end {
        End::Returned { output, .. } => {
            format!("{}'s {asked} returned {}", operation.client, screen::output(output))
        }
        End::Unknown { .. } | End::Open => format!("{}'s {asked} had no answer", operation.client),
        End::NotExecuted { .. } => format!("{}'s {asked} was not executed", operation.client),
    }
}

fn finished(operation: &Operation) -> String {
    match &operation.input {
        Input::Get { .. } => told(operation),
        _ => format!("{}'s {} finished", operation.client, screen::asked(operation)),
    }
}

fn clock(at: Duration) -> String {
    format!("{:.3} s:", at.as_secs_f64())
}

/// A duration for people.
fn ago(duration: Duration) -> String {
    if duration >= Duration::from_secs(1) {
        format!("{:.1} s", duration.as_secs_f64())
    } else if duration >= Duration::from_millis(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{} µs", duration.as_micros())
    }
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
