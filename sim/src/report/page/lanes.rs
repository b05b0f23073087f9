//! What happened to whom from when until when: the timeline's moments as spans.

use std::{collections::BTreeMap, time::Duration};

use pbkv::protocol::{identity::ServerId, replica, view_service};
use serde::Serialize;

use super::data::{Nodes, micros};
use crate::{
    data::{
        fault::{Fault, FaultKind},
        node::NodeIndex,
        outcome::{Down, Happening, Outcome},
        plan::Plan,
    },
    report::timeline::name,
    store,
};

/// A time in which a node was in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// From, in microseconds,
    pub from: u64,
    /// to.
    pub to: u64,
    /// `starting`, `idle`, `backup`, `primary`, `fenced`, `serving` (the view service), `down`, or `off`
    /// (power loss). On the second track: `paused`, `receives` or `sends` state.
    pub state: &'static str,
    /// In words, such as `primary of v3`.
    pub text: String,
    /// What it is part of, and ends with.
    #[serde(skip)]
    of: Of,
}

/// What a span is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Of {
    /// One of the node's roles, until the next one.
    Role,
    /// A fault, by its place in the plan.
    Fault(usize),
    /// A state transfer to this server.
    TransferTo(ServerId),
    /// A state transfer to the node itself.
    TransferHere,
}

impl Of {
    fn is_sent(&self) -> bool {
        matches!(self, Self::TransferTo(_))
    }
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// Index of the node.
    pub node: usize,
    /// Its roles, one after the other.
    pub roles: Vec<Span>,
    /// What was going on besides: pauses and state transfers.
    pub besides: Vec<Span>,
}

/// A view, from its proposal until the next one's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ViewSpan {
    /// Its number.
    pub number: u64,
    /// When it was proposed, in microseconds,
    pub from: u64,
    /// and when the next one was.
    pub to: u64,
    /// When its activation was recorded.
    pub active: Option<u64>,
    /// Its primary,
    pub primary: String,
    /// the other in-sync replicas,
    pub backups: Vec<String>,
    /// and those to which state is transferred.
    pub joining: Vec<String>,
    /// Why it was proposed.
    pub why: String,
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

/// The view service and the servers.
pub(super) fn lanes(plan: &Plan, outcome: &Outcome, nodes: &Nodes) -> Vec<Lane> {
    let end = micros(outcome.stats.virtual_time.max(outcome.failed_at().unwrap_or_default()));
    let cluster = plan.cluster.servers as usize + 1;
    let mut lanes: Vec<Lane> =
        (0..cluster).map(|node| Lane { node, roles: Vec::new(), besides: Vec::new() }).collect();
    for moment in &outcome.timeline {
        let Some(lane) = nodes.find(&moment.node).and_then(|node| lanes.get_mut(node)) else {
            if let Happening::FaultBegan { fault, nodes, .. } = &moment.event {
                pause(plan, &mut lanes, *fault, nodes, moment.at, end);
            }
            if let Happening::FaultEnded { fault } = &moment.event {
                close(&mut lanes, &Of::Fault(*fault), moment.at);
            }
            if matches!(moment.event, Happening::Healed) {
                for (fault, Fault { kind, .. }) in plan.faults.iter().enumerate() {
                    if !matches!(kind, FaultKind::Pause { lasts_ms: None, .. }) {
                        close(&mut lanes, &Of::Fault(fault), moment.at);
                    }
                }
            }
            continue;
        };
        step(lane, &moment.event, moment.at, end);
    }
    lanes
}

fn step(lane: &mut Lane, event: &Happening, at: Duration, end: u64) {
    use replica::{Notice, RoleName};
    let mut role = |state: &'static str, text: String| turn(&mut lane.roles, at, end, state, text);
    match event {
        Happening::Up { life, .. } if lane.node == crate::store::nodes::Nodes::VIEW_SERVICE => {
            role("serving", format!("view service, life {life}"))
        }
        Happening::Up { life, .. } => role("starting", format!("life {life}, not accepted yet")),
        Happening::Down(how) => {
            let (state, text) = match how {
                Down::Crash => ("down", "crashed"),
                Down::PowerLoss => ("off", "without power"),
            };
            role(state, text.into());
            end_besides(lane, |_| true, at);
        }
        Happening::Notice(store::Notice::Replica(Notice::Accepted)) => role("idle", "idle".into()),
        Happening::Notice(store::Notice::Replica(Notice::RoleChanged { role: new, view })) => {
            let (state, text) = match new {
                RoleName::Idle => ("idle", "idle".to_string()),
                RoleName::Backup => ("backup", format!("backup in {view}")),
                RoleName::Primary => ("primary", format!("primary of {view}")),
            };
            role(state, text);
            end_besides(lane, Of::is_sent, at);
        }
        Happening::Notice(store::Notice::Replica(Notice::Fenced { view })) => {
            role("fenced", format!("fenced: {view} exists"))
        }
        Happening::Notice(store::Notice::Replica(Notice::TransferBegan { to, .. })) => {
            let text = format!("sends state to {}", name(to));
            let of = Of::TransferTo(to.clone());
            lane.besides.push(Span { from: micros(at), to: end, state: "sends", text, of });
        }
        Happening::Notice(store::Notice::Replica(
            Notice::TransferCompleted { to, .. } | Notice::TransferAbandoned { to },
        )) => {
            end_besides(lane, |of| *of == Of::TransferTo(to.clone()), at);
        }
        Happening::Notice(store::Notice::Replica(Notice::ReceivingState { from, .. })) => {
            end_besides(lane, |of| *of == Of::TransferHere, at);
            let text = format!("receives state from {}", name(from));
            let of = Of::TransferHere;
            lane.besides.push(Span { from: micros(at), to: end, state: "receives", text, of });
        }
        Happening::Notice(store::Notice::Replica(Notice::StateInstalled { .. })) => {
            end_besides(lane, |of| *of == Of::TransferHere, at);
        }
        _ => {}
    }
}

/// Ends the current role and begins another.
fn turn(roles: &mut Vec<Span>, at: Duration, end: u64, state: &'static str, text: String) {
    let from = micros(at);
    if let Some(last) = roles.last_mut() {
        last.to = from;
    }
    roles.push(Span { from, to: end, state, text, of: Of::Role });
}

fn end_besides(lane: &mut Lane, is: impl Fn(&Of) -> bool, at: Duration) {
    let at = micros(at);
    let open = lane.besides.iter_mut().filter(|span| is(&span.of) && span.to > at);
    open.for_each(|span| span.to = at);
}

fn pause(plan: &Plan, lanes: &mut [Lane], fault: usize, nodes: &[NodeIndex], at: Duration, end: u64) {
    let how = match plan.faults.get(fault).map(|fault| &fault.kind) {
        Some(FaultKind::Pause { .. } | FaultKind::Freeze { .. }) => "stands still",
        Some(FaultKind::Stutter { .. }) => "stutters",
        Some(FaultKind::DiskStall { .. }) => "stalls",
        _ => return,
    };
    for lane in lanes.iter_mut().filter(|lane| nodes.contains(&lane.node)) {
        let text = format!("{how} (fault {fault})");
        lane.besides.push(Span { from: micros(at), to: end, state: "paused", text, of: Of::Fault(fault) });
    }
}

fn close(lanes: &mut [Lane], whose: &Of, at: Duration) {
    lanes.iter_mut().for_each(|lane| end_besides(lane, |of| of == whose, at));
}

/// The views that the view service proposed.
pub(super) fn views(outcome: &Outcome, end: u64) -> Vec<ViewSpan> {
    let mut views: Vec<ViewSpan> = Vec::new();
    for moment in &outcome.timeline {
        let Happening::Notice(store::Notice::ViewService(notice)) = &moment.event else { continue };
        match notice {
            view_service::Notice::Proposed { view, why, .. } => {
                if let Some(last) = views.last_mut() {
                    last.to = micros(moment.at);
                }
                views.push(ViewSpan {
                    number: view.number.0,
                    from: micros(moment.at),
                    to: end,
                    active: None,
                    primary: name(&view.primary).into(),
                    backups: view.backups().map(|server| name(server).into()).collect(),
                    joining: view.joining.keys().map(|server| name(server).into()).collect(),
                    why: why.to_string(),
                });
            }
            view_service::Notice::Activated(view) => {
                if let Some(span) = views.iter_mut().rev().find(|span| span.number == view.number.0) {
                    span.active.get_or_insert(micros(moment.at));
                    span.backups = view.backups().map(|server| name(server).into()).collect();
                    span.joining = view.joining.keys().map(|server| name(server).into()).collect();
                }
            }
            _ => {}
        }
    }
    views
}

/// The faults that were executed.
pub(super) fn faults(plan: &Plan, outcome: &Outcome, end: u64) -> Vec<FaultSpan> {
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
