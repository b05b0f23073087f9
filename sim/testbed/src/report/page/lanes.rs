//! The timeline's moments as spans: the state of each node over time.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::data::{Nodes, micros};
use crate::{
    data::{
        fault::{Fault, FaultKind},
        node::NodeIndex,
        outcome::{Down, Happening, Outcome},
        plan::Plan,
    },
    system::{
        Notice, System,
        notice::{Colour, LaneChange, State},
    },
};

const DOWN: State = State { name: "down", colour: Colour::Down, legend: None };
const OFF: State = State { name: "off", colour: Colour::Down, legend: None };
const PAUSED: State = State { name: "paused", colour: Colour::Paused, legend: None };

/// A time in which a node was in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From, in microseconds,
    pub from: u64,
    /// to.
    pub to: u64,
    /// `down`, `off` (power loss), or one of the system's own. On the second track: `paused`, or an own one.
    pub state: &'static str,
    /// The class with which it is drawn.
    pub colour: &'static str,
    /// In words.
    pub text: String,
    /// The fault that it is part of, by its place in the plan.
    #[serde(skip)]
    fault: Option<usize>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// Index of the node.
    pub node: usize,
    /// Its states, one after the other.
    pub states: Vec<Span>,
    /// What was going on besides, such as pauses.
    pub besides: Vec<Span>,
}

/// An era, from its proposal until the next one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EraSpan {
    /// Its number.
    pub number: u64,
    /// When it was proposed, in microseconds,
    pub from: u64,
    /// and when the next one was.
    pub to: u64,
    /// When it came into force.
    pub active: Option<u64>,
    /// What stands in the band.
    pub text: String,
    /// Its details, one a line.
    pub details: Vec<String>,
    /// Why it was proposed, in the last of these lines.
    pub why: Option<String>,
}

/// A fault, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultSpan {
    /// Its place in the plan.
    pub fault: usize,
    /// From, in microseconds,
    pub from: u64,
    /// to.
    pub to: u64,
    /// The name of its kind.
    pub kind: &'static str,
    /// What was done to whom.
    pub text: String,
    /// Whom it strikes, as indexes of nodes.
    pub nodes: Vec<usize>,
}

/// The processes.
pub(super) fn lanes<S: System>(plan: &Plan<S>, outcome: &Outcome<S>, nodes: &Nodes) -> Vec<Lane> {
    let end = micros(outcome.stats.virtual_time.max(outcome.failed_at().unwrap_or_default()));
    let mut lanes: Vec<Lane> =
        (0..nodes.processes()).map(|node| Lane { node, states: Vec::new(), besides: Vec::new() }).collect();
    for moment in &outcome.timeline {
        let Some(lane) = nodes.find(&moment.node).and_then(|node| lanes.get_mut(node)) else {
            if let Happening::FaultBegan { fault, nodes, .. } = &moment.event {
                pause(plan, &mut lanes, *fault, nodes, moment.at, end);
            }
            if let Happening::FaultEnded { fault } = &moment.event {
                close(&mut lanes, *fault, moment.at);
            }
            if matches!(moment.event, Happening::Healed) {
                for (fault, Fault { kind, .. }) in plan.faults.iter().enumerate() {
                    if !matches!(kind, FaultKind::Pause { lasts_ms: None, .. }) {
                        close(&mut lanes, fault, moment.at);
                    }
                }
            }
            continue;
        };
        step(lane, &moment.event, moment.at, end);
    }
    lanes
}

fn step<S: System>(lane: &mut Lane, event: &Happening<S>, at: Duration, end: u64) {
    match event {
        Happening::Up { life, .. } => lane.change(S::up(lane.node, *life), at, end),
        Happening::Down(how) => {
            let (state, text) = match how {
                Down::Crash => (DOWN, "crashed"),
                Down::PowerLoss => (OFF, "without power"),
            };
            lane.change(LaneChange::Is { state, text: text.into(), era: None }, at, end);
            lane.end(|_| true, at);
        }
        Happening::Notice(notice) => {
            notice.lane().into_iter().for_each(|change| lane.change(change, at, end));
        }
        _ => {}
    }
}

impl Lane {
    fn change(&mut self, change: LaneChange, at: Duration, end: u64) {
        let span = |State { name, colour, .. }: State, text: String| Span {
            from: micros(at),
            to: end,
            state: name,
            colour: colour.class(),
            text,
            fault: None,
        };
        match change {
            LaneChange::Is { state, text, era: _ } => {
                if let Some(last) = self.states.last_mut() {
                    last.to = micros(at);
                }
                self.states.push(span(state, text));
            }
            LaneChange::Begins { state, text } => self.besides.push(span(state, text)),
            LaneChange::Ends { state, text } => self.end(
                |span| {
                    let is_named = text.as_ref().is_none_or(|text| span.text == *text);
                    span.fault.is_none() && span.state == state.name && is_named
                },
                at,
            ),
        }
    }

    /// Ends what goes on besides.
    fn end(&mut self, is: impl Fn(&Span) -> bool, at: Duration) {
        let at = micros(at);
        let open = self.besides.iter_mut().filter(|span| is(span) && span.to > at);
        open.for_each(|span| span.to = at);
    }
}

fn pause<S: System>(
    plan: &Plan<S>,
    lanes: &mut [Lane],
    fault: usize,
    nodes: &[NodeIndex],
    at: Duration,
    end: u64,
) {
    let how = match plan.faults.get(fault).map(|fault| &fault.kind) {
        Some(FaultKind::Pause { .. } | FaultKind::Freeze { .. }) => "stands still",
        Some(FaultKind::Stutter { .. }) => "stutters",
        Some(FaultKind::DiskStall { .. }) => "stalls",
        _ => return,
    };
    for lane in lanes.iter_mut().filter(|lane| nodes.contains(&lane.node)) {
        let text = format!("{how} (fault {fault})");
        let (state, colour) = (PAUSED.name, PAUSED.colour.class());
        lane.besides.push(Span { from: micros(at), to: end, state, colour, text, fault: Some(fault) });
    }
}

fn close(lanes: &mut [Lane], fault: usize, at: Duration) {
    lanes.iter_mut().for_each(|lane| lane.end(|span| span.fault == Some(fault), at));
}

/// The eras that were proposed.
pub(super) fn eras<S: System>(outcome: &Outcome<S>, end: u64) -> Vec<EraSpan> {
    let mut spans: Vec<EraSpan> = Vec::new();
    for moment in &outcome.timeline {
        let Happening::Notice(notice) = &moment.event else { continue };
        let Some(era) = notice.era() else { continue };
        let at = micros(moment.at);
        let known = spans.iter_mut().rev().find(|span| span.number == era.number);
        if let (true, Some(span)) = (era.is_in_force, known) {
            span.active.get_or_insert(at);
            (span.text, span.details) = (era.text, era.details);
            continue;
        }
        if let Some(last) = spans.last_mut() {
            last.to = at;
        }
        spans.push(EraSpan {
            number: era.number,
            from: at,
            to: end,
            active: era.is_in_force.then_some(at),
            text: era.text,
            details: era.details,
            why: era.why,
        });
    }
    spans
}

/// The faults that were executed.
pub(super) fn faults<S: System>(plan: &Plan<S>, outcome: &Outcome<S>, end: u64) -> Vec<FaultSpan> {
    let mut faults: BTreeMap<usize, FaultSpan> = BTreeMap::new();
    let mut done = Vec::new();
    for moment in &outcome.timeline {
        match &moment.event {
            Happening::FaultBegan { fault, nodes, what } => {
                let kind = plan.faults.get(*fault).map(|fault| &fault.kind);
                let from = micros(moment.at);
                let kind = kind.map_or("fault", FaultKind::name);
                let (text, nodes) = (what.clone(), nodes.clone());
                faults.insert(*fault, FaultSpan { fault: *fault, from, to: end, kind, text, nodes });
            }
            Happening::FaultEnded { fault } => {
                if let Some(mut span) = faults.remove(fault) {
                    span.to = micros(moment.at);
                    done.push(span);
                }
            }
            _ => {}
        }
    }
    done.extend(faults.into_values());
    done.sort_by_key(|span| (span.from, span.fault));
    done
}
