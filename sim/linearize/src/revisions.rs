//! The order that revisions propose.
//!
//! A store that numbers its changes may tell with each answer after which of them it was true. Operations
//! sorted by that number, changes before what was merely seen after them, are an order that takes no search:
//! if it stands its replay, it is a linearization, whatever the store is worth. If it does not, nothing
//! follows: the numbers may be wrong, and the search goes on without them.
//!
//! An operation without a revision, most often one of unknown outcome, has its place somewhere between the
//! others. Then the search is asked, but each operation with a revision is shrunk to a point, so that only
//! those without one leave a choice. Its effort is bounded by the length of the history, and what it finds is
//! replayed with the true times.

use crate::check::observed;
use crate::history::{History, Operation};
use crate::model::Model;
use crate::search::{Progress, Search};
use crate::stop::Stop;
use crate::verdict::Options;
use crate::witness;

/// Configurations that are visited at most, for each operation of an object.
const CONFIGURATIONS_EACH: u64 = 16;

/// A linearization of one object's operations that follows their revisions, if one is found in linear time.
/// Adds the configurations that were visited to `spent`.
pub(crate) fn order<M: Model>(
    model: &M,
    history: &History<M::Input, M::Output>,
    part: &[u32],
    options: &Options,
    spent: &mut u64,
) -> Option<Vec<u32>> {
    if !history.has_revisions() {
        return None;
    }
    let operations = history.operations();
    let told = told(model, history, part);
    if told.is_empty() {
        return None;
    }
    if witness::stands(model, operations, part, &told) {
        return Some(told);
    }
    let kept = observed(model, operations, part);
    if told.len() == kept.len() {
        return None;
    }
    let windows = Windows::new(history, &told);
    let placed: Vec<(u64, u64)> = kept.iter().map(|&index| windows.of(history, index)).collect();
    if placed.iter().any(|(from, to)| from > to) {
        return None;
    }
    let window = |index: u32| placed[kept.binary_search(&index).expect("a part is ascending")];
    let mut search = Search::within(model, operations, &kept, window).until(Stop::of(options));
    // However small the budget is: this is no more than reading the history a few times.
    let progress = search.run(CONFIGURATIONS_EACH * (kept.len() as u64 + 1), options.budget.bytes);
    *spent += search.configurations();
    match progress {
        Progress::Linearizable => {
            let order = search.order();
            witness::stands(model, operations, part, &order).then_some(order)
        }
        Progress::Illegal | Progress::Paused => None,
    }
}

/// The operations that have revisions, in their order. What has the same one is ordered by its calls, which
/// the clock never contradicts.
fn told<M: Model>(model: &M, history: &History<M::Input, M::Output>, part: &[u32]) -> Vec<u32> {
    let mut told: Vec<(u64, bool, u64, u32)> = part
        .iter()
        .filter_map(|&index| {
            let revision = history.revision(index as usize)?;
            let operation = &history.operations()[index as usize];
            let observes = model.observes(&operation.input, operation.output()?);
            Some((revision, observes, operation.call, index))
        })
        .collect();
    told.sort_unstable();
    told.into_iter().map(|(_, _, _, index)| index).collect()
}

/// Where operations may be placed: those with a revision at one point, the others between two.
struct Windows {
    /// The place of each operation with a revision, by index.
    places: Vec<(u32, u64)>,
    /// By the time of a return, the latest place of what had returned by then.
    returned: Vec<(u64, u64)>,
    /// By the time of a call, the earliest place of what was called from then on.
    called: Vec<(u64, u64)>,
}

impl Windows {
    fn new<I, O>(history: &History<I, O>, told: &[u32]) -> Self {
        let of = |index: u32| &history.operations()[index as usize];
        let numbered = || told.iter().copied().zip(0u64..);
        let mut places: Vec<(u32, u64)> = numbered().collect();
        places.sort_unstable();
        let mut returned: Vec<(u64, u64)> =
            numbered().filter_map(|(index, place)| Some((of(index).returned_at()?, place))).collect();
        returned.sort_unstable();
        let mut latest = 0;
        for (_, place) in &mut returned {
            latest = latest.max(*place);
            *place = latest;
        }
        let mut called: Vec<(u64, u64)> = numbered().map(|(index, place)| (of(index).call, place)).collect();
        called.sort_unstable();
        let mut earliest = u64::MAX;
        for (_, place) in called.iter_mut().rev() {
            earliest = earliest.min(*place);
            *place = earliest;
        }
        Windows { places, returned, called }
    }

    /// From when to when: a place is an odd time, and between two places is an even one.
    fn of<I, O>(&self, history: &History<I, O>, index: u32) -> (u64, u64) {
        if let Ok(found) = self.places.binary_search_by_key(&index, |(index, _)| *index) {
            let point = 2 * self.places[found].1 + 1;
            return (point, point);
        }
        let Operation { call, .. } = history.operations()[index as usize];
        let before = self.returned.partition_point(|(at, _)| *at < call);
        let from = before.checked_sub(1).map_or(0, |last| 2 * self.returned[last].1 + 2);
        let to = history.operations()[index as usize].returned_at().and_then(|at| {
            let after = self.called.partition_point(|(call, _)| *call <= at);
            self.called.get(after).map(|(_, place)| 2 * place)
        });
        (from, to.unwrap_or(u64::MAX))
    }
}
