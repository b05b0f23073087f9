//! A failure in sentences: what was seen, why that cannot be, and what each process was at that moment.

use std::{fmt, time::Duration};

use super::data::Nodes;
use crate::{
    data::{
        node::NodeName,
        outcome::{Contradiction, End, Happening, Operation, Outcome, Verdict, Violation},
        plan::Plan,
    },
    observer::messages::MessageKind,
    system::{
        Access, Notice, Promise, Setup, System,
        notice::{Era, LaneChange},
    },
};

/// Sentences about one failure, at most.
const SENTENCES_MAX: usize = 8;

/// Operations that a sentence sets against what was seen, at most.
const NAMED_MAX: usize = 2;

/// Who answered an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServedBy {
    process: String,
    /// What the process took itself for, if its sort takes itself for anything.
    role: Option<String>,
    /// The era that was in force, if another.
    instead: Option<String>,
}

impl fmt::Display for ServedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "served by {}", self.process)?;
        self.role.as_ref().map_or(Ok(()), |role| write!(f, ", {role}"))?;
        self.instead.as_ref().map_or(Ok(()), |instead| write!(f, ", while {instead}"))
    }
}

/// Who answered an operation: the process that sent its client the last answer before the operation returned.
/// Known only if messages were kept.
pub(super) fn served_by<S: System>(
    plan: &Plan<S>,
    outcome: &Outcome<S>,
    operation: usize,
) -> Option<ServedBy> {
    let operation = &outcome.operations[operation];
    let End::Returned { at, .. } = &operation.end else { return None };
    let client = Nodes::new(plan).find(&operation.client)?;
    let processes = plan.cluster.processes();
    let end = outcome.messages.partition_point(|message| message.sent <= *at);
    let answer =
        outcome.messages[..end].iter().rev().take_while(|message| message.sent >= operation.called).find(
            |message| {
                message.kind == MessageKind::CLIENT
                    && message.to == client
                    && processes.get(message.from).is_none_or(|process| process.aside.is_none())
                    && !message.lost
            },
        )?;
    let process = crate::data::nodes::Nodes::new(plan).name(answer.from).clone();
    Some(standing(outcome, &process, answer.sent))
}

/// What a process takes itself for at a time, and what is in force instead.
fn standing<S: System>(outcome: &Outcome<S>, process: &NodeName, at: Duration) -> ServedBy {
    let mut role = (!S::ROLES.is_empty()).then(|| "without a role".to_string());
    let mut own_era = None;
    for moment in outcome.timeline.iter().take_while(|moment| moment.at <= at) {
        let Happening::Notice(notice) = &moment.event else { continue };
        if moment.node != *process {
            continue;
        }
        for change in notice.lane() {
            if let LaneChange::Is { text, era: Some(era), .. } = change {
                (role, own_era) = (Some(text), Some(era));
            }
        }
    }
    let current = era_at(outcome, at).filter(|(era, _)| own_era.is_some_and(|own| own != era.number));
    let instead = current.zip(S::ERAS).map(|((era, since), words)| {
        let state = if era.is_in_force { words.in_force } else { words.proposed };
        format!("{} had been {state} for {}", era.name, ago(at.saturating_sub(since)))
    });
    ServedBy { process: process.to_string(), role, instead }
}

/// What the node of a broken invariant took itself for.
fn context<S: System>(outcome: &Outcome<S>, node: &NodeName, at: Duration) -> Option<String> {
    let ServedBy { process, role, instead } = standing(outcome, node, at);
    let (role, instead) = (role?, instead?);
    Some(format!("At that moment {process} took itself for {role}, while {instead}."))
}

/// The latest era at a time, and since when it was proposed or in force.
fn era_at<S: System>(outcome: &Outcome<S>, at: Duration) -> Option<(Era, Duration)> {
    let mut current: Option<(Era, Duration)> = None;
    for moment in outcome.timeline.iter().take_while(|moment| moment.at <= at) {
        let Happening::Notice(notice) = &moment.event else { continue };
        let Some(era) = notice.era() else { continue };
        let was_in_force = current.take().filter(|(last, _)| era.is_in_force && last.is_in_force);
        current = Some((era, was_in_force.map_or(moment.at, |(_, since)| since)));
    }
    current
}

/// The failure in sentences.
pub(super) fn sentences<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> Vec<String> {
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
fn contradicting<S: System>(
    plan: &Plan<S>,
    outcome: &Outcome<S>,
    contradiction: &Contradiction,
) -> Vec<String> {
    let mut involved = contradiction.operations.clone();
    involved.sort_by_key(|index| outcome.operations[*index].end.at().unwrap_or(Duration::MAX));
    // The last one to return that looked at the value: it completed the contradiction.
    let looked = |index: &&usize| S::verb(&outcome.operations[**index].input).access != Access::Writes;
    let Some(last) = involved.iter().rev().find(looked).or(involved.last()).copied() else {
        return vec![contradiction.sentence.clone()];
    };
    let culprit = &outcome.operations[last];
    let mut first = format!("{} {}", clock(culprit.end.at().unwrap_or(culprit.called)), told(culprit));
    let before = involved.iter().filter(|index| **index != last).map(|index| &outcome.operations[*index]);
    let before: Vec<(Duration, &Operation<S>)> = before
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

fn told<S: System>(operation: &Operation<S>) -> String {
    let asked = S::asked(operation);
    match &operation.end {
        End::Returned { output, .. } => {
            format!("{}'s {asked} returned {}", operation.client, S::told(output))
        }
        End::Unknown { .. } | End::Open => format!("{}'s {asked} had no answer", operation.client),
        End::NotExecuted { .. } => format!("{}'s {asked} was not executed", operation.client),
    }
}

fn finished<S: System>(operation: &Operation<S>) -> String {
    match S::verb(&operation.input).access {
        Access::Reads => told(operation),
        Access::Writes | Access::Both => format!("{}'s {} finished", operation.client, S::asked(operation)),
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
