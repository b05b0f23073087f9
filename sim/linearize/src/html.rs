//! A drawing of a history and its verdict: one page that needs nothing else, neither network nor script.
//!
//! Time runs to the right, one lane a process, one bar an operation from its call to its return; a bar that fades out
//! has an unknown outcome. Distances are even from event to event and say nothing about durations, so that a burst is as
//! readable as a pause. With a linearizable history each bar carries the point at which its operation took effect and
//! the place of that point in the order; with a contradiction the operations that prove it stand out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::kv::describe::describe;
use crate::kv::{KvHistory, KvOperation};
use crate::verdict::Verdict;

/// More operations than this are not drawn: those nearest to the contradiction, or the first ones, stand for all.
pub const OPERATIONS_MAX: usize = 2_000;
/// Above so many processes, lanes are shared.
const LANES_MAX: usize = 40;

const STEP: usize = 34;
const LANE: usize = 30;
const BAR: usize = 20;
const MARGIN: usize = 90;

const STYLE: &str = "body{font:14px system-ui,sans-serif;margin:16px;background:#fff;color:#222}\
h1{font-size:18px}p{max-width:70em}svg text{font:11px ui-monospace,monospace}\
.scroll{overflow-x:auto;border:1px solid #ddd}.lane{stroke:#eee}.bar{fill:#dbe7f5;stroke:#7a9cc6}\
.unknown .bar{fill:url(#fade);stroke-dasharray:3 3}.named .bar{fill:#f6c9c4;stroke:#b3261e;stroke-width:2}\
.support .bar{fill:#fce8c3;stroke:#b98300}.point{stroke:#1b6e3c;stroke-width:2}.place{fill:#1b6e3c;font-weight:bold}\
.ok{color:#1b6e3c}.bad{color:#b3261e}table{border-collapse:collapse}td,th{padding:2px 10px;text-align:left;\
border-bottom:1px solid #eee}";

/// Draws a history with its verdict.
pub fn page(history: &KvHistory, verdict: &Verdict) -> String {
    let operations = history.operations();
    let roles = Roles::new(operations, verdict);
    let shown = shown(operations, verdict);
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>History</title>\
         <style>{STYLE}</style></head><body>"
    );
    headline(&mut page, operations, verdict);
    if shown.len() < operations.len() {
        let _ = write!(page, "<p>{} of {} operations are drawn.</p>", shown.len(), operations.len());
    }
    drawing(&mut page, operations, &shown, &roles);
    if let Verdict::Violation(violation) = verdict {
        table(&mut page, operations, "Operations that contradict each other", &violation.operations);
        if !violation.support.is_empty() {
            table(&mut page, operations, "Operations that wrote what these saw", &violation.support);
        }
    }
    page.push_str("</body></html>\n");
    page
}

fn headline(page: &mut String, operations: &[KvOperation], verdict: &Verdict) {
    let (class, title, text) = match verdict {
        Verdict::Linearizable { .. } => {
            ("ok", "Linearizable", "Each operation took effect at its point.".to_owned())
        }
        Verdict::Violation(violation) => ("bad", "Not linearizable", violation.sentence.clone()),
        Verdict::Undecided(undecided) => ("bad", "Undecided", undecided.to_string()),
    };
    let _ = write!(
        page,
        "<h1 class=\"{class}\">{title}: {} operations</h1><p>{}</p>",
        operations.len(),
        escape(&text)
    );
}

/// What each operation is to the verdict.
struct Roles {
    named: BTreeSet<usize>,
    support: BTreeSet<usize>,
    /// The point and the place in the order.
    points: BTreeMap<usize, (u64, usize)>,
}

impl Roles {
    fn new(operations: &[KvOperation], verdict: &Verdict) -> Self {
        let mut roles = Roles { named: BTreeSet::new(), support: BTreeSet::new(), points: BTreeMap::new() };
        match verdict {
            Verdict::Linearizable { witness } => {
                let mut point = 0;
                for (place, &index) in witness.iter().enumerate() {
                    point = point.max(operations[index].call);
                    roles.points.insert(index, (point, place));
                }
            }
            Verdict::Violation(violation) => {
                roles.named.extend(&violation.operations);
                roles.support.extend(&violation.support);
            }
            Verdict::Undecided(undecided) => roles.named.extend(&undecided.open),
        }
        roles
    }
}

/// The operations to draw, ascending.
fn shown(operations: &[KvOperation], verdict: &Verdict) -> Vec<usize> {
    let all = 0..operations.len();
    let centre: &[usize] = match verdict {
        Verdict::Violation(violation) => &violation.operations,
        Verdict::Undecided(undecided) => &undecided.open,
        Verdict::Linearizable { .. } => &[],
    };
    if operations.len() <= OPERATIONS_MAX {
        return all.collect();
    }
    let begin = centre.iter().map(|&index| operations[index].call).min().unwrap_or(0);
    let end =
        centre.iter().map(|&index| operations[index].returned_at().unwrap_or(operations[index].call)).max();
    let end = end.unwrap_or(0);
    let distance = |index: usize| {
        let operation = &operations[index];
        let returned = operation.returned_at().unwrap_or(operation.call);
        begin.saturating_sub(returned).max(operation.call.saturating_sub(end))
    };
    let centre: BTreeSet<usize> = centre.iter().copied().collect();
    let mut nearest: Vec<usize> = all.collect();
    nearest.sort_by_key(|index| (!centre.contains(index), distance(*index), *index));
    nearest.truncate(OPERATIONS_MAX);
    nearest.sort_unstable();
    nearest
}

fn drawing(page: &mut String, operations: &[KvOperation], shown: &[usize], roles: &Roles) {
    let mut times: Vec<u64> = shown
        .iter()
        .flat_map(|&index| [Some(operations[index].call), operations[index].returned_at()])
        .flatten()
        .collect();
    times.sort_unstable();
    times.dedup();
    let x = |time: u64| MARGIN + STEP * times.partition_point(|&other| other < time);
    let (lanes, names) = lanes(operations, shown);
    let (width, height) = (MARGIN + STEP * (times.len() + 3), LANE * (names.len() + 1));
    let _ = write!(
        page,
        "<div class=\"scroll\"><svg width=\"{width}\" height=\"{height}\" role=\"img\"><defs>\
         <linearGradient id=\"fade\"><stop offset=\"0\" stop-color=\"#dbe7f5\"/>\
         <stop offset=\"1\" stop-color=\"#fff\"/></linearGradient></defs>"
    );
    for (lane, name) in names.iter().enumerate() {
        let y = LANE * lane + LANE / 2;
        let _ = write!(
            page,
            "<line class=\"lane\" x1=\"0\" x2=\"{width}\" y1=\"{y}\" y2=\"{y}\"/><text x=\"4\" y=\"{}\">{name}</text>",
            y + 4
        );
    }
    for (&index, &lane) in shown.iter().zip(&lanes) {
        let operation = &operations[index];
        let begin = x(operation.call);
        let end = operation.returned_at().map_or(width - STEP, &x).max(begin + STEP / 2);
        bar(page, operation, index, (begin, end, LANE * lane + (LANE - BAR) / 2), roles);
        if let Some(&(point, place)) = roles.points.get(&index) {
            let (at, top) = (x(point) + STEP / 4, LANE * lane + 2);
            let _ = write!(
                page,
                "<line class=\"point\" x1=\"{at}\" x2=\"{at}\" y1=\"{top}\" y2=\"{}\"/>\
                 <text class=\"place\" x=\"{}\" y=\"{}\">{place}</text>",
                top + LANE - 4,
                at + 2,
                top + LANE
            );
        }
    }
    page.push_str("</svg></div>");
}

fn bar(
    page: &mut String,
    operation: &KvOperation,
    index: usize,
    (begin, end, top): (usize, usize, usize),
    roles: &Roles,
) {
    let mut classes = Vec::new();
    classes.extend(operation.output().is_none().then_some("unknown"));
    classes.extend(roles.named.contains(&index).then_some("named"));
    classes.extend(roles.support.contains(&index).then_some("support"));
    let text = escape(&describe(operation));
    let times = match operation.returned_at() {
        Some(at) => format!("{} to {at}", operation.call),
        None => format!("from {}", operation.call),
    };
    let width = end - begin;
    let _ = write!(
        page,
        "<g class=\"{}\"><title>operation {index}, process {}, {times}: {text}</title>\
         <rect class=\"bar\" x=\"{begin}\" y=\"{top}\" width=\"{width}\" height=\"{BAR}\" rx=\"3\"/>\
         <svg x=\"{begin}\" y=\"{top}\" width=\"{width}\" height=\"{BAR}\"><text x=\"3\" y=\"14\">{index}: {text}</text></svg></g>",
        classes.join(" "),
        operation.process
    );
}

/// The lane of each operation drawn, and the name of each lane.
fn lanes(operations: &[KvOperation], shown: &[usize]) -> (Vec<usize>, Vec<String>) {
    let processes: BTreeSet<u64> = shown.iter().map(|&index| operations[index].process).collect();
    if processes.len() <= LANES_MAX {
        let number: BTreeMap<u64, usize> =
            processes.iter().enumerate().map(|(lane, &process)| (process, lane)).collect();
        let names = processes.iter().map(|process| format!("process {process}")).collect();
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

fn table(page: &mut String, operations: &[KvOperation], title: &str, indexes: &[usize]) {
    let _ = write!(page, "<h1>{title}</h1><table><tr><th>operation<th>process<th>call<th>return<th></tr>");
    for &index in indexes.iter().take(OPERATIONS_MAX) {
        let operation = &operations[index];
        let returned = operation.returned_at().map_or_else(|| "unknown".to_owned(), |at| at.to_string());
        let _ = write!(
            page,
            "<tr><td>{index}<td>{}<td>{}<td>{returned}<td>{}</tr>",
            operation.process,
            operation.call,
            escape(&describe(operation))
        );
    }
    page.push_str("</table>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
