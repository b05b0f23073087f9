//! What the page is given: the run as JSON, in the page's own terms.
//!
//! Times are whole microseconds of virtual time. Nodes are indexes into `Page::nodes`, operations into
//! `Page::operations`. Long texts are shared (`Page::texts`), because messages repeat themselves.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    explain,
    history::{self, KeyHistory},
    lanes::{self, FaultSpan, Lane, ViewSpan},
};
use crate::{
    data::{
        outcome::{Class, End, Happening, Operation, Outcome, Verdict},
        plan::Plan,
    },
    observer::messages::{MESSAGES_MAX, MessageKind},
    report::{screen, timeline},
    store::{self, operation::Input},
};

/// Characters of a value that are shown, at most.
pub const TEXT_MAX: usize = 60;

/// Microseconds since the start.
pub fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

/// The names of all nodes: `vs`, servers, clients, the reader, the simulator.
#[derive(Clone, Debug)]
pub struct Nodes(Vec<String>);

impl Nodes {
    /// The nodes of a plan, in the order of [`crate::data::nodes::Nodes`].
    pub fn new(plan: &Plan) -> Self {
        let all = crate::data::nodes::Nodes::new(plan);
        Self((0..all.len()).map(|node| all.name(node).to_string()).collect())
    }

    /// The place of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|own| own == name)
    }
}

/// Everything on the page.
#[derive(Debug, Serialize)]
pub struct Page {
    title: String,
    about: String,
    class: String,
    headline: String,
    explanation: Vec<String>,
    facts: Vec<(&'static str, String)>,
    plan: String,
    nodes: Vec<String>,
    servers: u32,
    clients: usize,
    /// One-way latency of the network without faults, about, in microseconds.
    latency: u64,
    end: u64,
    healed: Option<u64>,
    failed: Option<u64>,
    /// The moments that the first look should show.
    focus: (u64, u64),
    views: Vec<ViewSpan>,
    faults: Vec<FaultSpan>,
    lanes: Vec<Lane>,
    operations: Vec<Call>,
    keys: Vec<Key>,
    contradiction: Option<Contradiction>,
    moments: Vec<(u64, usize, &'static str, String)>,
    texts: Vec<String>,
    /// From, to, kind, sent, received (or 0), lost, text.
    messages: Vec<(usize, usize, u8, u64, u64, u8, usize)>,
    messages_cut: bool,
}

/// A client's operation.
#[derive(Debug, Serialize)]
struct Call {
    client: usize,
    from: u64,
    to: Option<u64>,
    kind: &'static str,
    key: String,
    text: String,
    result: String,
    /// `ok`, `unknown`, `not`, `open`.
    end: &'static str,
    /// `against`: one of those that contradict each other; `support`: may have written what they saw.
    part: Option<&'static str>,
    by: Option<String>,
}

/// The history of a key.
#[derive(Debug, Serialize)]
struct Key {
    name: String,
    operations: usize,
    /// Operation, moment, value after it.
    order: Vec<(usize, u64, Option<String>)>,
    /// If no order explains everything: until when this one does.
    until: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Contradiction {
    key: String,
    operations: Vec<usize>,
    support: Vec<usize>,
    sentence: String,
}

impl Page {
    /// Gathers what the page shows.
    pub fn new(plan: &Plan, outcome: &Outcome, title: &str) -> Self {
        let nodes = Nodes::new(plan);
        let failed = outcome.failed_at();
        let end = micros(last(outcome));
        let (texts, messages) = messages(outcome);
        Self {
            title: title.into(),
            about: plan.about.clone(),
            class: outcome.class().to_string(),
            headline: screen::headline(outcome),
            explanation: explain::sentences(plan, outcome),
            facts: facts(plan, outcome),
            plan: toml::to_string_pretty(plan).unwrap_or_default(),
            servers: plan.cluster.servers,
            clients: plan.clients.len(),
            latency: u64::midpoint(plan.network.latency_us_min, plan.network.latency_us_max),
            end,
            healed: outcome
                .timeline
                .iter()
                .find(|moment| matches!(moment.event, Happening::Healed))
                .map(|moment| micros(moment.at)),
            failed: failed.map(micros),
            focus: focus(outcome, end),
            views: lanes::views(outcome, end),
            faults: lanes::faults(plan, outcome, end),
            lanes: lanes::lanes(plan, outcome, &nodes),
            operations: calls(plan, outcome, &nodes),
            keys: keys(outcome),
            contradiction: contradiction(outcome),
            moments: moments(outcome, &nodes),
            nodes: nodes.0,
            texts,
            messages,
            messages_cut: outcome.messages.len() >= MESSAGES_MAX,
        }
    }
}

/// The last time at which anything is seen.
fn last(outcome: &Outcome) -> Duration {
    let moments = outcome.timeline.iter().map(|moment| moment.at);
    let ends = outcome.operations.iter().filter_map(|operation| operation.end.at());
    let all = moments.chain(ends).chain(outcome.failed_at()).chain([outcome.stats.virtual_time]);
    all.max().unwrap_or_default().max(Duration::from_millis(1))
}

/// What the first look shows: the contradicting operations with a margin, or the seconds before the failure.
fn focus(outcome: &Outcome, end: u64) -> (u64, u64) {
    const FEW: usize = 8;
    const SHORTEST: u64 = 2_000_000;
    const LONGEST: u64 = 12_000_000;
    let Some(failed) = outcome.failed_at().map(micros) else { return (0, end) };
    let from = match &outcome.verdict {
        Verdict::Violation(contradiction) if outcome.violations.is_empty() => {
            let calls =
                contradiction.operations.iter().map(|index| micros(outcome.operations[*index].called));
            // Of many operations the last ones say most; few are shown all.
            let all = calls.min().unwrap_or(failed);
            if contradiction.operations.len() <= FEW { all } else { failed.saturating_sub(SHORTEST) }
        }
        _ if matches!(outcome.class(), Class::Liveness | Class::Health) => return (0, end),
        _ => failed.saturating_sub(3_000_000),
    };
    let from = from.min(failed.saturating_sub(SHORTEST)).max(failed.saturating_sub(LONGEST));
    let margin = (failed - from) / 10;
    (from.saturating_sub(margin), failed + margin)
}

fn facts(plan: &Plan, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let stats = &outcome.stats;
    vec![
        ("seed", plan.seed.to_string()),
        ("trace", outcome.trace_hash.to_string()),
        ("virtual time", format!("{:.3} s", last(outcome).as_secs_f64())),
        ("servers", format!("{}, {} copies", plan.cluster.servers, plan.cluster.replicas)),
        ("reads", format!("{:?}", plan.cluster.reads).to_lowercase()),
        ("operations", format!("{} ({} of unknown fate)", outcome.operations.len(), stats.unknown)),
        ("view changes", stats.own.view_changes.to_string()),
        ("state transfers", stats.own.transfers.to_string()),
        ("copies", stats.own.copies.line(stats.virtual_time)),
        ("faults", screen::faults(stats.faults.iter().map(|(name, count)| (*name, *count)))),
    ]
}

fn calls(plan: &Plan, outcome: &Outcome, nodes: &Nodes) -> Vec<Call> {
    let (against, support) = match &outcome.verdict {
        Verdict::Violation(contradiction) => {
            (contradiction.operations.as_slice(), contradiction.support.as_slice())
        }
        _ => (&[][..], &[][..]),
    };
    let call = |(index, operation): (usize, &Operation)| {
        let (end, result) = match &operation.end {
            End::Open => ("open", "no answer before the end of the run".into()),
            End::Returned { output, .. } => ("ok", screen::output(output)),
            End::Unknown { why, .. } => ("unknown", format!("fate unknown: {why}")),
            End::NotExecuted { why, .. } => ("not", format!("not executed: {why}")),
        };
        let part = if against.contains(&index) {
            Some("against")
        } else {
            support.contains(&index).then_some("support")
        };
        Call {
            client: nodes.find(&operation.client).unwrap_or_default(),
            from: micros(operation.called),
            to: operation.end.at().map(micros),
            kind: kind(&operation.input),
            key: operation.input.key().escape_ascii().to_string(),
            text: screen::asked(operation),
            result,
            end,
            part,
            by: explain::served_by(plan, outcome, index).map(|served| served.to_string()),
        }
    };
    outcome.operations.iter().enumerate().map(call).collect()
}

/// The name of an operation.
pub(super) fn kind(input: &Input) -> &'static str {
    match input {
        Input::Get { .. } => "get",
        Input::Put { .. } => "put",
        Input::Append { .. } => "append",
        Input::Delete { .. } => "delete",
        Input::CompareAndSwap { .. } => "cas",
    }
}

fn keys(outcome: &Outcome) -> Vec<Key> {
    let count = |key: &bytes::Bytes| {
        outcome.operations.iter().filter(|operation| operation.input.key() == key).count()
    };
    let histories = history::histories(&outcome.operations).into_iter();
    histories
        .map(|KeyHistory { key, order, until }| Key {
            name: key.escape_ascii().to_string(),
            operations: count(&key),
            order: order
                .into_iter()
                .map(|effect| (effect.operation, micros(effect.at), effect.value.map(|value| ending(&value))))
                .collect(),
            until: until.map(micros),
        })
        .collect()
}

/// The end of a value, where appends show.
fn ending(value: &[u8]) -> String {
    let text = value.escape_ascii().to_string();
    if text.len() <= TEXT_MAX { text } else { format!("…{}", &text[text.len() - TEXT_MAX..]) }
}

fn contradiction(outcome: &Outcome) -> Option<Contradiction> {
    let Verdict::Violation(contradiction) = &outcome.verdict else { return None };
    Some(Contradiction {
        key: contradiction.key.escape_ascii().to_string(),
        operations: contradiction.operations.clone(),
        support: contradiction.support.clone(),
        sentence: contradiction.sentence.clone(),
    })
}

/// The timeline in words, for stepping through it. Nodes that are none of the cluster's count as the
/// simulator.
fn moments(outcome: &Outcome, nodes: &Nodes) -> Vec<(u64, usize, &'static str, String)> {
    let moment = |moment: &crate::data::outcome::Moment| {
        let kind = match &moment.event {
            Happening::Called { .. } | Happening::Returned { .. } => "operation",
            Happening::FaultBegan { .. } | Happening::FaultEnded { .. } | Happening::FaultSkipped { .. } => {
                "fault"
            }
            Happening::Up { .. } | Happening::Down(_) | Happening::Healed => "process",
            Happening::Notice(store::Notice::ViewService(_)) => "view",
            Happening::Notice(store::Notice::Replica(_)) => "role",
        };
        let node = nodes.find(&moment.node).unwrap_or(nodes.0.len());
        let text = match &moment.event {
            Happening::Returned { operation } => returned(&outcome.operations[*operation]),
            _ => timeline::words(moment, outcome),
        };
        (micros(moment.at), node, kind, text)
    };
    outcome.timeline.iter().map(moment).collect()
}

fn returned(operation: &Operation) -> String {
    let asked = screen::asked(operation);
    match &operation.end {
        End::Open => format!("{asked} is open"),
        End::Returned { output, .. } => format!("{asked} returns {}", screen::output(output)),
        End::Unknown { why, .. } => format!("{asked} is given up: {why}"),
        End::NotExecuted { why, .. } => format!("{asked} was not executed: {why}"),
    }
}

type MessageRow = (usize, usize, u8, u64, u64, u8, usize);

fn messages(outcome: &Outcome) -> (Vec<String>, Vec<MessageRow>) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut texts = Vec::new();
    let mut rows = Vec::with_capacity(outcome.messages.len());
    for message in &outcome.messages {
        let text = *places.entry(&message.text).or_insert_with(|| {
            texts.push(message.text.to_string());
            texts.len() - 1
        });
        let kind = match message.kind {
            MessageKind::Ping => 0,
            MessageKind::Replication => 1,
            MessageKind::Transfer => 2,
            MessageKind::Client => 3,
        };
        let received = message.received.map_or(0, micros);
        rows.push((
            message.from,
            message.to,
            kind,
            micros(message.sent),
            received,
            message.lost.into(),
            text,
        ));
    }
    (texts, rows)
}
