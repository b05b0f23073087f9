//! The check of a whole history: split, decide, try the order of the revisions, search, report.

use crate::history::{History, Operation};
use crate::minimise;
use crate::model::{Decision, Model};
use crate::parts::{Parts, Sharded};
use crate::revisions;
use crate::search::{Progress, Search};
use crate::stop::Stop;
use crate::threads::in_parallel;
use crate::verdict::{Budget, Limit, Options, Undecided, Verdict, Violation};
use crate::witness;

/// Configurations a search may visit before the other objects have their turn; grows by [`SLICE_GROWTH`] each
/// round.
const SLICE: u64 = 500;
const SLICE_GROWTH: u64 = 8;

/// Shorter histories are decided before a thread has started.
const PARALLEL_FROM: usize = 1 << 15;

/// Judges a history.
///
/// Independent objects are checked one after another, or in parallel on request; the verdict is the same. The
/// first object with a contradiction, in the order of first appearance, is the one reported.
pub fn check<M>(model: &M, history: &History<M::Input, M::Output>, options: &Options) -> Verdict
where
    M: Model + Sync,
    M::Input: Sync,
    M::Output: Sync,
    M::State: Send,
{
    let operations = history.operations();
    let (parts, decisions) = if options.parallel && is_for_threads(model, operations) {
        decide_in_parallel(model, operations, options)
    } else {
        let (parts, decisions) = model.decide_all(operations, options);
        (parts, decisions.into_iter().map(Some).collect())
    };
    let mut orders = Vec::with_capacity(parts.len());
    let mut open = Vec::new();
    let mut spent = 0;
    for (part, decision) in parts.iter().zip(decisions) {
        match decision {
            // A missing decision lies behind an object with a contradiction.
            Some(Decision::Violation(violation)) => {
                let refined = |violation| minimise::refine(model, operations, violation, options);
                return Verdict::Violation(if options.smallest { refined(*violation) } else { *violation });
            }
            Some(Decision::Proof(violation)) => {
                let told = |violation| minimise::told(model, operations, violation);
                return Verdict::Violation(if options.smallest { told(*violation) } else { *violation });
            }
            Some(Decision::Contradiction { around, .. }) => {
                return Verdict::Violation(minimise::isolate(model, operations, part, &around, options));
            }
            Some(Decision::Linearizable(order)) => orders.push(order),
            Some(Decision::Open(visited)) => {
                spent += visited;
                match revisions::order(model, history, part, options, &mut spent) {
                    Some(order) => orders.push(order),
                    None => open.push(part),
                }
            }
            None => open.push(part),
        }
    }
    if let Err(verdict) = search_all(model, operations, &open, options, spent, &mut orders) {
        return *verdict;
    }
    let witness = if options.witness { witness::merge(operations, &orders) } else { Vec::new() };
    Verdict::Linearizable { witness }
}

/// Whether a history is long enough for threads, and of several objects as far as its beginning tells.
fn is_for_threads<M: Model>(model: &M, operations: &[Operation<M::Input, M::Output>]) -> bool {
    let Some(beginning) = operations.get(..PARALLEL_FROM) else { return false };
    beginning
        .iter()
        .any(|operation| model.partition(&operation.input) != model.partition(&beginning[0].input))
}

/// Judges one independent object's operations, with a bound on the configurations of a search. `None` if that
/// ends first.
pub(crate) fn check_part<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[u32],
    budget: Budget,
) -> Option<Result<(), Violation>> {
    let options = Options { witness: false, ..Options::default() };
    match model.decide(operations, part, &options) {
        Decision::Linearizable(_) => Some(Ok(())),
        Decision::Violation(violation) => {
            Some(Err(minimise::refine(model, operations, *violation, &options)))
        }
        Decision::Proof(violation) => Some(Err(minimise::told(model, operations, *violation))),
        Decision::Contradiction { around, .. } => {
            Some(Err(minimise::isolate(model, operations, part, &around, &options)))
        }
        Decision::Open(_) => {
            let mut search = prepare(model, operations, part);
            match search.run(budget.configurations, budget.bytes) {
                Progress::Linearizable => Some(Ok(())),
                Progress::Illegal => Some(Err(explain(model, operations, part, &search, &options))),
                Progress::Paused => None,
            }
        }
    }
}

/// Decides shards until each has a contradiction or an end; what lies behind a contradiction stays `None`.
fn decide_in_parallel<M>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    options: &Options,
) -> (Parts, Vec<Option<Decision>>)
where
    M: Model + Sync,
    M::Input: Sync,
    M::Output: Sync,
{
    let history = Sharded::new(model, operations);
    let decided = in_parallel(history.shards.len(), |shard| {
        model.decide_shard(operations, &history.shard(shard), options)
    });
    let mut decisions: Vec<Option<Decision>> = history.parts.iter().map(|_| None).collect();
    for (objects, decided) in history.shards.iter().zip(decided) {
        for (&object, decision) in objects.iter().zip(decided) {
            decisions[object as usize] = Some(decision);
        }
    }
    (history.parts, decisions)
}

/// Searches the parts in turns of growing length, so that a cheap contradiction never waits for a hard
/// object. So many configurations are `spent` already.
fn search_all<M>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    parts: &[&[u32]],
    options: &Options,
    mut spent: u64,
    orders: &mut Vec<Vec<u32>>,
) -> Result<(), Box<Verdict>>
where
    M: Model + Sync,
    M::Input: Sync,
    M::Output: Sync,
    M::State: Send,
{
    let stop = Stop::of(options);
    let search = |indexes: &[u32]| prepare(model, operations, indexes).until(stop.clone());
    let mut searches: Vec<(usize, Search<'_, M>)> =
        parts.iter().enumerate().map(|(part, indexes)| (part, search(indexes))).collect();
    let mut slice = SLICE;
    let mut is_first = true;
    while !searches.is_empty() {
        let left = options.budget.configurations.saturating_sub(spent);
        stop.set_keys(searches.len());
        let is_full = held(&searches) > options.budget.bytes;
        // Even who has no time left is told an order of some operations.
        let limit = stop
            .reached()
            .filter(|_| !is_first)
            .or(is_full.then_some(Limit::Bytes))
            .or((left == 0).then_some(Limit::Configurations));
        if let Some(limit) = limit {
            let undecided = undecided(model, operations, parts, &searches, spent, limit);
            return Err(Box::new(Verdict::Undecided(undecided)));
        }
        is_first = false;
        let turn = slice.min(left.div_ceil(searches.len() as u64));
        let bytes = options.budget.bytes / searches.len() as u64;
        let before: u64 = searches.iter().map(|(_, search)| search.configurations()).sum();
        let outcomes = take_turns(&mut searches, turn, bytes, options.parallel);
        spent += searches.iter().map(|(_, search)| search.configurations()).sum::<u64>() - before;
        if let Some(at) = outcomes.iter().position(|&progress| progress == Progress::Illegal) {
            let (part, search) = &searches[at];
            let violation = explain(model, operations, parts[*part], search, options);
            return Err(Box::new(Verdict::Violation(violation)));
        }
        let mut outcomes = outcomes.into_iter();
        searches.retain(|(_, search)| {
            let done = outcomes.next() == Some(Progress::Linearizable);
            if done {
                orders.push(search.order());
            }
            !done
        });
        let stalled = held(&searches) > options.budget.bytes.saturating_sub(1);
        slice = if stalled { slice } else { slice.saturating_mul(SLICE_GROWTH) };
    }
    Ok(())
}

fn held<M: Model>(searches: &[(usize, Search<'_, M>)]) -> u64 {
    searches.iter().map(|(_, search)| search.bytes()).sum()
}

fn take_turns<M>(
    searches: &mut [(usize, Search<'_, M>)],
    slice: u64,
    bytes: u64,
    parallel: bool,
) -> Vec<Progress>
where
    M: Model + Sync,
    M::Input: Sync,
    M::Output: Sync,
    M::State: Send,
{
    if !parallel || searches.len() < 2 {
        return searches.iter_mut().map(|(_, search)| search.run(slice, bytes)).collect();
    }
    let cells: Vec<std::sync::Mutex<&mut (usize, Search<'_, M>)>> =
        searches.iter_mut().map(std::sync::Mutex::new).collect();
    in_parallel(cells.len(), |number| {
        let mut search = cells[number].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        search.1.run(slice, bytes)
    })
}

/// A search of one part, without the operations that nobody can tell from never having happened.
pub(crate) fn prepare<'a, M: Model>(
    model: &'a M,
    operations: &'a [Operation<M::Input, M::Output>],
    part: &[u32],
) -> Search<'a, M> {
    Search::new(model, operations, &observed(model, operations, part))
}

/// A part without the operations that nobody can tell from never having happened.
pub(crate) fn observed<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[u32],
) -> Vec<u32> {
    let dropped = model.unobserved(operations, part);
    part.iter().copied().filter(|index| dropped.binary_search(index).is_err()).collect()
}

fn explain<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    part: &[u32],
    search: &Search<'_, M>,
    options: &Options,
) -> Violation {
    let (stuck, placed) = search.stuck();
    let prefix = search.illegal_prefix();
    if options.smallest {
        minimise::explain(model, operations, part, &prefix, (stuck, placed), options)
    } else {
        minimise::no_order(model, operations, &prefix, stuck, placed)
    }
}

fn undecided<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    parts: &[&[u32]],
    searches: &[(usize, Search<'_, M>)],
    configurations: u64,
    limit: Limit,
) -> Undecided {
    let hardest = searches.iter().max_by_key(|(part, search)| (search.configurations(), usize::MAX - part));
    let wide = |list: Vec<u32>| list.into_iter().map(|index| index as usize).collect();
    let (bytes, keys) = (held(searches), searches.len());
    let mut undecided = Undecided {
        key: Vec::new(),
        open: Vec::new(),
        configurations,
        bytes,
        keys,
        limit,
        order: Vec::new(),
        operations: 0,
    };
    if let Some((part, search)) = hardest {
        undecided.key = model.label(&operations[parts[*part][0] as usize].input);
        undecided.open = wide(search.open());
        undecided.order = wide(search.longest());
        undecided.operations = parts[*part].len();
    }
    undecided
}
