//! Making plain what cannot be left out: shorter and rounder times, plainer operations, milder faults.
//!
//! Every change goes down in an order without infinite descent (fewer digits, then smaller; or earlier in
//! a list of forms from plain to odd), so that rounds of changes come to an end.

use super::search::{Edit, Knob};
use crate::{
    data::{
        fault::{Fault, FaultKind},
        line::{at, at_ms},
        plan::Plan,
    },
    system::{Access, System},
};

/// Times that are simpler than `value`, the simplest first: fewer significant digits, then smaller.
/// None below `least`.
pub(super) fn rounder(value: u64, least: u64) -> Vec<u64> {
    let mut candidates = vec![least, 1];
    for share in [value / 8, value / 4, value / 2, value] {
        for digits in 1..=3 {
            let unit = 10u64.pow((share.max(1).ilog10() + 1).saturating_sub(digits));
            candidates.extend([share / unit * unit, share.div_ceil(unit) * unit]);
        }
    }
    candidates.retain(|candidate| *candidate >= least && simplicity(*candidate) < simplicity(value));
    candidates.sort_by_key(|candidate| simplicity(*candidate));
    candidates.dedup();
    candidates
}

/// Significant digits, then size.
fn simplicity(value: u64) -> (usize, u64) {
    (value.to_string().trim_end_matches('0').len(), value)
}

/// One knob for each pause in the plan: everything after it moves up.
pub(super) fn gaps<S: System>(plan: &Plan<S>) -> Vec<Knob<S>> {
    let mut times: Vec<u64> =
        plan.clients.iter().flat_map(|client| &client.script).map(|line| at_ms(line)).collect();
    times.extend(plan.faults.iter().map(Fault::begins_ms));
    times.push(0);
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| (pair[0], pair[1] - pair[0]));
    gaps.map(|(from, gap)| {
        let mut shorter: Vec<u64> = (0..4).map(|quarter| gap * quarter / 4 / 100 * 100).collect();
        shorter.dedup();
        shorter.retain(|shorter| *shorter < gap);
        shorter.into_iter().map(|shorter| edit(move |plan| move_up(plan, from, gap - shorter))).collect()
    })
    .collect()
}

/// Everything planned after `from` happens `by` earlier.
fn move_up<S: System>(plan: &mut Plan<S>, from: u64, by: u64) {
    let shift = |at: u64| if at > from { at.saturating_sub(by).max(from) } else { at };
    for line in plan.clients.iter_mut().flat_map(|client| &mut client.script) {
        *line = at(line, shift(at_ms(line)));
    }
    for fault in &mut plan.faults {
        let begins = if fault.on.is_some() { &mut fault.after_ms } else { &mut fault.at_ms };
        *begins = shift(*begins);
    }
    plan.faults_ms = shift(plan.faults_ms).max(1);
}

/// A change of one fault.
type Change<S> = Box<dyn Fn(&mut FaultKind<S>)>;

/// Knobs for each fault: its form, its nodes, its times.
pub(super) fn faults<S: System>(plan: &Plan<S>) -> Vec<Knob<S>> {
    let mut knobs = Vec::new();
    for (place, fault) in plan.faults.iter().enumerate() {
        let changes = |changes: Vec<Change<S>>| -> Knob<S> {
            changes.into_iter().map(|change| edit(move |plan| change(&mut plan.faults[place].kind))).collect()
        };
        let mut kind = fault.kind.clone();
        let milder = kind.milder().into_iter();
        knobs.push(changes(
            milder.map(|milder| -> Change<S> { Box::new(move |kind| *kind = milder.clone()) }).collect(),
        ));
        // Always two, so that the knobs behind them keep their places.
        for list in 0..2 {
            let count = kind.lists().get(list).map_or(0, |nodes| nodes.len());
            knobs.push(changes(if count > 1 { fewer_nodes(list, count) } else { Vec::new() }));
        }
        for number in 0..kind.numbers().len() {
            let (value, least) = &kind.numbers()[number];
            let rounder = rounder(**value, *least).into_iter();
            let set = |simple| -> Change<S> { Box::new(move |kind| *kind.numbers()[number].0 = simple) };
            knobs.push(changes(rounder.map(set).collect()));
        }
        knobs.push(changes(more_often(&kind)));
        let at = rounder(fault.at_ms, 0).into_iter();
        knobs.push(at.map(|at_ms| edit(move |plan| plan.faults[place].at_ms = at_ms)).collect());
        let after = rounder(fault.after_ms, 0).into_iter();
        knobs.push(after.map(|after_ms| edit(move |plan| plan.faults[place].after_ms = after_ms)).collect());
    }
    knobs
}

/// About only one of its nodes, or about all but one.
fn fewer_nodes<S: System>(list: usize, count: usize) -> Vec<Change<S>> {
    let only = (0..count).map(|place| -> Change<S> {
        Box::new(move |kind| {
            let mut lists = kind.lists();
            *lists[list] = vec![lists[list][place].clone()];
        })
    });
    let without = (0..count).map(|place| -> Change<S> {
        Box::new(move |kind| {
            kind.lists()[list].remove(place);
        })
    });
    only.chain(without).collect()
}

/// A share of messages is plainest if it is all of them, then half.
fn more_often<S: System>(kind: &FaultKind<S>) -> Vec<Change<S>> {
    let FaultKind::Rpc { percent, .. } = kind else { return Vec::new() };
    let plain: &[u32] = match percent {
        100 => &[],
        50 => &[100],
        _ => &[100, 50],
    };
    let set = |share: u32| -> Change<S> {
        Box::new(move |kind| {
            if let FaultKind::Rpc { percent, .. } = kind {
                *percent = share;
            }
        })
    };
    plain.iter().map(|share| set(*share)).collect()
}

/// Knobs for the keys (one for all) and for each operation: what it does, and when.
pub(super) fn operations<S: System>(plan: &Plan<S>) -> Vec<Knob<S>> {
    let mut knobs = keys(plan);
    for (client, script) in plan.clients.iter().map(|client| &client.script).enumerate() {
        for (place, line) in script.iter().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let becomes =
                |line: String| edit(move |plan| plan.clients[client].script[place].clone_from(&line));
            let [time, operation, key] = words[..] else {
                let plain = (words.len() == 4).then(|| becomes(words[..3].join(" ")));
                knobs.extend([plain.into_iter().collect(), Knob::new()]);
                continue;
            };
            // A read has no simpler form: made a write, it would no longer look.
            let rank = S::VERBS.iter().position(|verb| verb.word == operation).unwrap_or(0);
            let reads = S::VERBS.get(rank).is_some_and(|verb| verb.access == Access::Reads);
            let simpler = S::VERBS[..rank].iter().filter(|verb| !reads && verb.access != Access::Reads);
            knobs.push(simpler.map(|verb| becomes(format!("{time} {} {key}", verb.word))).collect());
            let times = rounder(at_ms(line), 0).into_iter();
            knobs.push(times.map(|at_ms| becomes(at(line, at_ms))).collect());
        }
    }
    knobs
}

/// One key for all, then plain names for all keys.
fn keys<S: System>(plan: &Plan<S>) -> Vec<Knob<S>> {
    let mut names: Vec<String> = Vec::new();
    for line in plan.clients.iter().flat_map(|client| &client.script) {
        let Some(name) = line.split_whitespace().nth(2) else { continue };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_string());
        }
    }
    let several = names.len() > 1;
    let renamed = |plan: &mut Plan<S>, names: &[String], new: fn(usize) -> String| {
        for line in plan.clients.iter_mut().flat_map(|client| &mut client.script) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [time, operation, old] = words[..] {
                let place = names.iter().position(|name| name == old).unwrap_or(0);
                *line = format!("{time} {operation} {}", new(place));
            }
        }
    };
    let old = names.clone();
    let one = several.then(|| edit(move |plan| renamed(plan, &old, |_| "k1".into())));
    let plain = edit(move |plan| renamed(plan, &names, |place| format!("k{}", place + 1)));
    vec![one.into_iter().collect(), vec![plain]]
}

/// Knobs for the length of the run.
pub(super) fn durations<S: System>(plan: &Plan<S>) -> Vec<Knob<S>> {
    // The time to settle stays: with less of it, slow progress would pass for a stall.
    let faults_ms = rounder(plan.faults_ms, 1).into_iter();
    let watch_ms = (plan.watch_ms > 0).then(|| edit(|plan| plan.watch_ms = 0));
    let faults_ms = faults_ms.map(|faults_ms| edit(move |plan| plan.faults_ms = faults_ms));
    vec![faults_ms.collect(), watch_ms.into_iter().collect()]
}

fn edit<S: System>(change: impl Fn(&mut Plan<S>) + 'static) -> Edit<S> {
    Box::new(change)
}
