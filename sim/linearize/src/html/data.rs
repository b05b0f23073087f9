//! What the page draws.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Labels, OPERATIONS_MAX};
use crate::check::prepare;
use crate::history::{History, Operation, Outcome};
use crate::model::{Decision, Model};
use crate::search::Progress;
use crate::stop::Stop;
use crate::verdict::{Budget, Options, Undecided, Verdict};

/// Above so many processes, lanes are shared.
const LANES_MAX: usize = 120;
/// What a search for a beginning that can be explained may visit and hold.
const CONFIGURATIONS_MAX: u64 = 100_000;
const BYTES_MAX: u64 = 256 << 20;
/// Where a bar ends and points lie, as a part of the distance from one event to the next: what returned at
/// the time of a call overlaps with it.
const RETURN: f64 = 0.6;

#[derive(Serialize)]
pub(super) struct Page {
    pub(super) title: String,
    /// `ok`, `bad` or `undecided`.
    verdict: &'static str,
    sentence: String,
    file: String,
    /// How many operations the history has.
    total: usize,
    lanes: Vec<String>,
    /// The times of events, in words, by their place on the axis.
    times: Vec<String>,
    operations: Vec<Bar>,
    keys: Vec<Order>,
}

/// An operation.
#[derive(Serialize)]
struct Bar {
    index: usize,
    lane: usize,
    from: f64,
    to: Option<f64>,
    process: String,
    call: String,
    ret: Option<String>,
    text: String,
    line: Option<usize>,
    /// Its part in the verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<&'static str>,
    key: String,
}

/// The order in which the operations on one object took effect.
#[derive(Serialize)]
struct Order {
    name: String,
    /// Place among the bars, place on the axis, and the state after it.
    order: Vec<(usize, f64, Option<String>)>,
    /// If no order explains everything: from where on this one does not.
    until: Option<f64>,
}

impl Page {
    pub(super) fn new<M>(
        model: &M,
        history: &History<M::Input, M::Output>,
        verdict: &Verdict,
        labels: &Labels<'_>,
        options: &Options,
    ) -> Self
    where
        M: Model,
        M::Input: Clone,
        M::Output: Clone,
    {
        let operations = history.operations();
        let (class, title, sentence) = match verdict {
            Verdict::Linearizable { .. } => {
                ("ok", "Linearizable", "Each operation took effect at its point.".to_owned())
            }
            Verdict::Violation(violation) => {
                let sentence = labels.sentence.clone().unwrap_or_else(|| violation.sentence.clone());
                ("bad", "Not linearizable", sentence)
            }
            Verdict::Undecided(undecided) => ("undecided", "Undecided", undecided.to_string()),
        };
        let parts = parts(verdict);
        let centre: BTreeSet<usize> = parts.keys().copied().collect();
        let shown = shown(operations, &centre);
        let axis = Axis::new(operations, &shown);
        let (lane_of, lanes) = lanes(operations, &shown, &centre, labels);
        let name = |operation: &Operation<M::Input, M::Output>| {
            String::from_utf8_lossy(&model.label(&operation.input)).into_owned()
        };
        let bars = shown.iter().zip(lane_of).map(|(&index, lane)| {
            let operation = &operations[index];
            Bar {
                index,
                lane,
                from: axis.at(operation.call),
                to: operation.returned_at().map(|at| axis.at(at) + RETURN),
                process: (labels.process)(operation.process),
                call: (labels.time)(operation.call),
                ret: operation.returned_at().map(labels.time),
                text: model.describe(operation).unwrap_or_else(|| format!("operation {index}")),
                line: (labels.line)(index),
                part: parts.get(&index).copied(),
                key: name(operation),
            }
        });
        let bars = bars.collect();
        let keys = orders(model, operations, verdict, options)
            .into_iter()
            .map(|(order, until)| draw(model, operations, &shown, &axis, (order, until)))
            .collect();
        Page {
            title: format!(
                "{title}: {} operation{}",
                operations.len(),
                if operations.len() == 1 { "" } else { "s" }
            ),
            verdict: class,
            sentence,
            file: labels.file.to_owned(),
            total: operations.len(),
            lanes,
            times: axis.times.iter().map(|&time| (labels.time)(time)).collect(),
            operations: bars,
            keys,
        }
    }
}

/// The part of each operation that has one.
fn parts(verdict: &Verdict) -> BTreeMap<usize, &'static str> {
    let named = |list: &[usize], part: &'static str| -> Vec<(usize, &'static str)> {
        list.iter().map(|&index| (index, part)).collect()
    };
    match verdict {
        Verdict::Linearizable { .. } => BTreeMap::new(),
        Verdict::Violation(violation) => {
            let support = named(&violation.support, "support");
            support.into_iter().chain(named(&violation.operations, "against")).collect()
        }
        Verdict::Undecided(undecided) => named(&undecided.open, "open").into_iter().collect(),
    }
}

/// The operations to draw, ascending.
fn shown<I, O>(operations: &[Operation<I, O>], centre: &BTreeSet<usize>) -> Vec<usize> {
    let all = 0..operations.len();
    if operations.len() <= OPERATIONS_MAX {
        return all.collect();
    }
    let until = |index: usize| operations[index].returned_at().unwrap_or(operations[index].call);
    let begin = centre.iter().map(|&index| operations[index].call).min().unwrap_or(0);
    let end = centre.iter().map(|&index| until(index)).max().unwrap_or(0);
    let distance =
        |index: usize| begin.saturating_sub(until(index)).max(operations[index].call.saturating_sub(end));
    let mut nearest: Vec<usize> = all.collect();
    nearest.sort_by_key(|index| (!centre.contains(index), distance(*index), *index));
    nearest.truncate(OPERATIONS_MAX);
    nearest.sort_unstable();
    nearest
}

/// Places of times: even from one to the next.
struct Axis {
    times: Vec<u64>,
}

impl Axis {
    fn new<I, O>(operations: &[Operation<I, O>], shown: &[usize]) -> Self {
        let of = |&index: &usize| [Some(operations[index].call), operations[index].returned_at()];
        let mut times: Vec<u64> = shown.iter().flat_map(of).flatten().collect();
        times.sort_unstable();
        times.dedup();
        Axis { times }
    }

    fn at(&self, time: u64) -> f64 {
        self.times.partition_point(|&other| other < time) as f64
    }
}

/// The lane of each operation drawn, and the name of each lane. Those of the verdict's operations come first.
fn lanes<I, O>(
    operations: &[Operation<I, O>],
    shown: &[usize],
    centre: &BTreeSet<usize>,
    labels: &Labels<'_>,
) -> (Vec<usize>, Vec<String>) {
    let first: BTreeSet<u64> = centre.iter().map(|&index| operations[index].process).collect();
    let rest: BTreeSet<u64> = shown.iter().map(|&index| operations[index].process).collect();
    let processes: Vec<u64> = first.iter().chain(rest.difference(&first)).copied().collect();
    if processes.len() <= LANES_MAX {
        let number: BTreeMap<u64, usize> =
            processes.iter().enumerate().map(|(lane, &process)| (process, lane)).collect();
        let names = processes.iter().map(|&process| (labels.process)(process)).collect();
        return (shown.iter().map(|&index| number[&operations[index].process]).collect(), names);
    }
    let mut order: Vec<usize> = (0..shown.len()).collect();
    order.sort_by_key(|&place| (operations[shown[place]].call, place));
    let mut free_from: Vec<u64> = Vec::new();
    let mut lanes = vec![0; shown.len()];
    for place in order {
        let operation = &operations[shown[place]];
        let free = free_from.iter().position(|&free| free < operation.call);
        let lane = free.unwrap_or_else(|| {
            free_from.push(0);
            free_from.len() - 1
        });
        free_from[lane] = operation.returned_at().unwrap_or(u64::MAX);
        lanes[place] = lane;
    }
    (lanes, vec![String::new(); free_from.len()])
}

/// The order of each object's operations, as far as it is known, and until when it explains them.
fn orders<M>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    verdict: &Verdict,
    options: &Options,
) -> Vec<(Vec<usize>, Option<u64>)>
where
    M: Model,
    M::Input: Clone,
    M::Output: Clone,
{
    let label = |index: usize| model.label(&operations[index].input);
    let part =
        |key: &[u8]| (0..operations.len()).filter(|&index| label(index) == key).collect::<Vec<usize>>();
    match verdict {
        Verdict::Linearizable { witness } => {
            let mut orders: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
            witness.iter().for_each(|&index| orders.entry(label(index)).or_default().push(index));
            orders.into_values().map(|order| (order, None)).collect()
        }
        Verdict::Violation(violation) => {
            longest(model, operations, &part(&violation.key), options).into_iter().collect()
        }
        Verdict::Undecided(Undecided { order, .. }) if order.is_empty() => Vec::new(),
        Verdict::Undecided(undecided) => {
            let placed: BTreeSet<usize> = undecided.order.iter().copied().collect();
            let left = part(&undecided.key).into_iter().filter(|index| !placed.contains(index));
            let until = left.filter_map(|index| operations[index].returned_at()).min();
            vec![(undecided.order.clone(), until)]
        }
    }
}

/// An order of the longest beginning that has one: beginnings of a history that can be explained can be
/// explained, too. If time or budget end first, of the longest one known by then.
fn longest<M>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[usize],
    options: &Options,
) -> Option<(Vec<usize>, Option<u64>)>
where
    M: Model,
    M::Input: Clone,
    M::Output: Clone,
{
    let stop = Stop::of(options);
    let mut left = options.budget.configurations;
    let mut until = |end: u64| {
        let begun: Vec<usize> = part.iter().copied().filter(|&index| operations[index].call <= end).collect();
        let cut = |&index: &usize| {
            let mut operation = operations[index].clone();
            if operation.returned_at().is_some_and(|at| at > end) {
                operation.outcome = Outcome::Unknown;
            }
            operation
        };
        let order = order(model, &begun.iter().map(cut).collect::<Vec<_>>(), options, &mut left)?;
        Some(order.into_iter().map(|place| begun[place as usize]).collect::<Vec<usize>>())
    };
    let mut ends: Vec<u64> = part.iter().filter_map(|&index| operations[index].returned_at()).collect();
    ends.sort_unstable();
    ends.dedup();
    let (mut good, mut bad) = (0, ends.len());
    let mut longest = None;
    while good < bad && stop.reached().is_none() {
        let middle = good.midpoint(bad);
        match until(ends[middle]) {
            Some(order) => (longest, good) = (Some(order), middle + 1),
            None => bad = middle,
        }
    }
    (longest.is_some() || stop.reached().is_none())
        .then(|| (longest.unwrap_or_default(), ends.get(good).copied()))
}

/// An order of all operations, if one is found while configurations are `left`.
fn order<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    options: &Options,
    left: &mut u64,
) -> Option<Vec<u32>> {
    let part: Vec<u32> = (0..operations.len() as u32).collect();
    let budget = Budget { configurations: *left, ..options.budget };
    match model.decide(operations, &part, &Options { budget, witness: true, ..options.clone() }) {
        Decision::Linearizable(order) => Some(order),
        Decision::Open(visited) => {
            let mut search = prepare(model, operations, &part).until(Stop::of(options));
            let most = CONFIGURATIONS_MAX.min(left.saturating_sub(visited));
            let progress = search.run(most, BYTES_MAX.min(options.budget.bytes));
            *left = left.saturating_sub(visited + search.configurations());
            (progress == Progress::Linearizable).then(|| search.order())
        }
        _ => None,
    }
}

/// An order on the axis, with the states it leads through.
fn draw<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    shown: &[usize],
    axis: &Axis,
    (order, until): (Vec<usize>, Option<u64>),
) -> Order {
    let name = order.first().map(|&first| model.label(&operations[first].input)).unwrap_or_default();
    let mut steps: Vec<(usize, u64, Option<String>)> = Vec::with_capacity(order.len());
    let mut state = model.init();
    let mut point = 0;
    for &index in &order {
        let operation = &operations[index];
        point = point.max(operation.call);
        let output = operation.output().filter(|_| operation.returned_at() < until || until.is_none());
        if let Some(next) = model.step(&state, &operation.input, output) {
            state = next;
        }
        steps.push((index, point, model.describe_state(&state)));
    }
    let mut drawn = Vec::with_capacity(steps.len());
    for group in steps.chunk_by(|one, other| one.1 == other.1) {
        for (place, (index, point, state)) in group.iter().enumerate() {
            let at = axis.at(*point) + RETURN * (place + 1) as f64 / (group.len() + 1) as f64;
            if let Ok(bar) = shown.binary_search(index) {
                drawn.push((bar, at, state.clone()));
            }
        }
    }
    let name = String::from_utf8_lossy(&name).into_owned();
    Order { name, order: drawn, until: until.map(|until| axis.at(until)) }
}
