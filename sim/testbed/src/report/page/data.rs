//! What the page is given: the run as JSON, in the page's own terms.
//!
//! Times are whole microseconds of virtual time. Nodes are indexes into `Page::nodes`, operations into
//! `Page::operations`. Long texts are shared (`Page::texts`), because messages repeat themselves.

use std::{collections::BTreeMap, iter, time::Duration};

use linearizability::Model;
use serde::Serialize;

use super::{
    explain,
    history::{self, KeyHistory},
    lanes::{self, EraSpan, FaultSpan, Lane},
};
use crate::{
    data::{
        outcome::{Class, End, Happening, Moment, Operation, Outcome, Verdict},
        plan::Plan,
    },
    observer::messages::{MESSAGES_MAX, MessageKind},
    report::{screen, timeline},
    system::{
        Access, Conversation, Numbers, Setup, System, Verb,
        notice::{EraWords, State},
    },
};

/// Characters of a value that are shown, at most.
pub const TEXT_MAX: usize = 60;

/// What clients say and are told.
const CLIENTS: Conversation = Conversation { name: "clients", is_shown: true };

/// Microseconds since the start.
pub fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

/// The names of all nodes: the processes, the clients, the reader, the simulator.
#[derive(Clone, Debug)]
pub struct Nodes {
    names: Vec<String>,
    processes: usize,
}

impl Nodes {
    /// The nodes of a plan, in the order of [`crate::data::nodes::Nodes`].
    pub fn new<S: System>(plan: &Plan<S>) -> Self {
        let all = crate::data::nodes::Nodes::new(plan);
        let names = (0..all.len()).map(|node| all.name(node).to_string()).collect();
        Self { names, processes: all.processes().len() }
    }

    /// How many processes there are, which come first.
    pub fn processes(&self) -> usize {
        self.processes
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The place of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own == name)
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
    processes: usize,
    clients: usize,
    /// One-way latency of the network without faults, about, in microseconds.
    latency: u64,
    end: u64,
    healed: Option<u64>,
    failed: Option<u64>,
    /// The moments that the first look should show.
    focus: (u64, u64),
    eras: Vec<EraSpan>,
    era_words: Option<EraWords>,
    /// Class and text for the legend: what processes are,
    states: Vec<(String, &'static str)>,
    /// and do besides.
    activities: Vec<(String, &'static str)>,
    faults: Vec<FaultSpan>,
    lanes: Vec<Lane>,
    operations: Vec<Call>,
    keys: Vec<Key>,
    contradiction: Option<Contradiction>,
    moments: Vec<(u64, usize, String)>,
    texts: Vec<String>,
    /// By the numbers of their kinds.
    conversations: Vec<Conversation>,
    /// Of each process the conversation with which it is shown what clients say to it, if that is no
    /// operation.
    asides: Vec<Option<u8>>,
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
    /// Whether it changes nothing.
    reads: bool,
    key: String,
    text: String,
    result: String,
    /// `ok`, `unknown`, `not`, `open`.
    end: &'static str,
    /// `against`: one of those that contradict each other; `support`: may have written what they saw.
    part: Option<&'static str>,
    by: Option<String>,
}

/// The history of an object, such as a key.
#[derive(Debug, Serialize)]
struct Key {
    name: String,
    operations: usize,
    /// Its state before the first one.
    initially: String,
    /// Operation, moment, state after it.
    order: Vec<(usize, u64, String)>,
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
    pub fn new<S: System>(plan: &Plan<S>, outcome: &Outcome<S>, title: &str) -> Self {
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
            processes: nodes.processes,
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
            eras: lanes::eras(outcome, end),
            era_words: S::ERAS,
            states: legend("r", S::STATES),
            activities: legend("b", S::ACTIVITIES),
            faults: lanes::faults(plan, outcome, end),
            lanes: lanes::lanes(plan, outcome, &nodes),
            operations: calls(plan, outcome, &nodes),
            keys: keys(outcome),
            contradiction: contradiction(outcome),
            moments: moments(outcome, &nodes),
            nodes: nodes.names,
            texts,
            conversations: [CLIENTS].iter().chain(S::CONVERSATIONS).copied().collect(),
            asides: plan.cluster.processes().iter().map(|process| process.aside.map(|kind| kind.0)).collect(),
            messages,
            messages_cut: outcome.messages.len() >= MESSAGES_MAX,
        }
    }
}

/// The classes of states, with prefix, and what the legend calls them.
fn legend(prefix: &str, states: &[State]) -> Vec<(String, &'static str)> {
    let class = |state: &State| format!("{prefix}-{}", state.colour.class());
    states.iter().filter_map(|state| Some((class(state), state.legend?))).collect()
}

/// The last time at which anything is seen.
fn last<S: System>(outcome: &Outcome<S>) -> Duration {
    let moments = outcome.timeline.iter().map(|moment| moment.at);
    let ends = outcome.operations.iter().filter_map(|operation| operation.end.at());
    let all = moments.chain(ends).chain(outcome.failed_at()).chain([outcome.stats.virtual_time]);
    all.max().unwrap_or_default().max(Duration::from_millis(1))
}

/// What the first look shows: the contradicting operations with a margin, or the seconds before the failure.
fn focus<S: System>(outcome: &Outcome<S>, end: u64) -> (u64, u64) {
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

fn facts<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> Vec<(&'static str, String)> {
    let stats = &outcome.stats;
    let mut facts = vec![
        ("seed", plan.seed.to_string()),
        ("trace", outcome.trace_hash.to_string()),
        ("virtual time", format!("{:.3} s", last(outcome).as_secs_f64())),
    ];
    facts.extend(plan.cluster.facts());
    let operations = format!("{} ({} of unknown outcome)", outcome.operations.len(), stats.unknown);
    facts.push(("operations", operations));
    facts.extend(stats.own.facts(stats.virtual_time));
    facts.push(("faults", screen::faults(stats.faults.iter().map(|(name, count)| (&**name, *count)))));
    let marks: Vec<String> = stats.marks.keys().map(|mark| mark.name()).collect();
    facts.push(("marks reached", if marks.is_empty() { "none".into() } else { marks.join(", ") }));
    facts.push((
        "replay",
        match plan.is_drawn() {
            true => format!("cargo sim replay {}", plan.seed),
            false => "cargo sim replay run.toml, with the plan below in that file".into(),
        },
    ));
    facts
}

fn calls<S: System>(plan: &Plan<S>, outcome: &Outcome<S>, nodes: &Nodes) -> Vec<Call> {
    let (against, support) = match &outcome.verdict {
        Verdict::Violation(contradiction) => {
            (contradiction.operations.as_slice(), contradiction.support.as_slice())
        }
        _ => (&[][..], &[][..]),
    };
    let call = |(index, operation): (usize, &Operation<S>)| {
        let (end, result) = match &operation.end {
            End::Open => ("open", "no answer before the end of the run".into()),
            End::Returned { output, .. } => ("ok", S::told(output)),
            End::Unknown { why, .. } => ("unknown", format!("fate unknown: {why}")),
            End::NotExecuted { why, .. } => ("not", format!("not executed: {}", screen::reason(why))),
        };
        let part = if against.contains(&index) {
            Some("against")
        } else {
            support.contains(&index).then_some("support")
        };
        let Verb { word: kind, access } = S::verb(&operation.input);
        Call {
            client: nodes.find(&operation.client).unwrap_or_default(),
            from: micros(operation.called),
            to: operation.end.at().map(micros),
            kind,
            reads: access == Access::Reads,
            key: S::object(&operation.input).escape_ascii().to_string(),
            text: S::asked(operation),
            result,
            end,
            part,
            by: explain::served_by(plan, outcome, index).map(|served| served.to_string()),
        }
    };
    outcome.operations.iter().enumerate().map(call).collect()
}

fn keys<S: System>(outcome: &Outcome<S>) -> Vec<Key> {
    let histories = history::histories(&outcome.operations).into_iter();
    histories
        .map(|KeyHistory { key, operations, order, until }| Key {
            name: key.escape_ascii().to_string(),
            operations: operations.len(),
            initially: ending(S::state(&S::Model::default().init())),
            order: order
                .into_iter()
                .map(|effect| (effect.operation, micros(effect.at), ending(effect.state)))
                .collect(),
            until: until.map(micros),
        })
        .collect()
}

/// The end of a value, where appends show.
fn ending(text: String) -> String {
    let all = text.chars().count();
    if all <= TEXT_MAX { text } else { iter::once('…').chain(text.chars().skip(all - TEXT_MAX)).collect() }
}

fn contradiction<S: System>(outcome: &Outcome<S>) -> Option<Contradiction> {
    let Verdict::Violation(contradiction) = &outcome.verdict else { return None };
    Some(Contradiction {
        key: contradiction.key.escape_ascii().to_string(),
        operations: contradiction.operations.clone(),
        support: contradiction.support.clone(),
        sentence: contradiction.sentence.clone(),
    })
}

/// The timeline in words, for stepping through it. Nodes that are none of the plan's count as the simulator.
fn moments<S: System>(outcome: &Outcome<S>, nodes: &Nodes) -> Vec<(u64, usize, String)> {
    let moment = |moment: &Moment<S>| {
        let node = nodes.find(&moment.node).unwrap_or(nodes.names.len());
        let text = match &moment.event {
            Happening::Returned { operation } => returned(&outcome.operations[*operation]),
            _ => timeline::words(moment, outcome),
        };
        (micros(moment.at), node, text)
    };
    outcome.timeline.iter().map(moment).collect()
}

fn returned<S: System>(operation: &Operation<S>) -> String {
    let asked = S::asked(operation);
    match &operation.end {
        End::Open => format!("{asked} is open"),
        End::Returned { output, .. } => format!("{asked} returns {}", S::told(output)),
        End::Unknown { why, .. } => format!("{asked} is given up: {why}"),
        End::NotExecuted { why, .. } => format!("{asked} was not executed: {}", screen::reason(why)),
    }
}

type MessageRow = (usize, usize, u8, u64, u64, u8, usize);

fn messages<S: System>(outcome: &Outcome<S>) -> (Vec<String>, Vec<MessageRow>) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut texts = Vec::new();
    let mut rows = Vec::with_capacity(outcome.messages.len());
    for message in &outcome.messages {
        let text = *places.entry(&message.text).or_insert_with(|| {
            texts.push(message.text.to_string());
            texts.len() - 1
        });
        let MessageKind(kind) = message.kind;
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
