//! Queues to which no item is added twice, decided without a search.
//!
//! If every item is added once, each dequeue names its enqueue. The history of a queue that begins empty is
//! then linearizable if and only if (Henzinger, Sezgin and Vafeiadis 2013)
//!
//! - no dequeue takes what was never added, or returns before it was, and no two take the same;
//! - of two items, the one that surely was added first was not surely taken last, or left behind;
//! - no dequeue found the queue empty while there surely was something in it all the time. An item is surely
//!   there from the return of its enqueue to the call of its dequeue.
//!
//! "Surely" means by the clock. An enqueue has taken effect when its item was taken; one of unknown outcome
//! whose item was never taken is left out. A dequeue of unknown outcome may have taken what had to be taken
//! by someone: those that had to be taken soonest get those that were called first. If that does not explain
//! everything, the search decides.
//!
//! What one drain took, was taken in its order, and so added in it: of two items in a row, neither time of
//! the second is before that of the first. With times so narrowed the same is asked again.
//!
//! What comes out is an order of the items, in which a dequeue that found nothing stands between those that
//! were taken before and those that were added after. Enqueues and dequeues follow it as early as they can,
//! and the order of all of them is replayed; if it did not stand that, the search would decide.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use super::{Action, Input, Output};
use crate::history::Operation;
use crate::model::Decision;
use crate::verdict::{Reason, Violation};

const NONE: u32 = u32::MAX;
const NEVER: u64 = u64::MAX;

/// An item, or a dequeue that found nothing, with the times between which it is added and taken.
#[derive(Clone, Copy)]
struct Life {
    /// [`NONE`] of a dequeue that found nothing.
    enqueue: u32,
    /// [`NONE`] if it was never taken.
    dequeue: u32,
    added: (u64, u64),
    taken: (u64, u64),
    /// The drain that took it, and its place there; of others the same for all.
    drain: (u64, u32),
}

struct Lives<'a> {
    operations: &'a [Operation<Input, Output>],
    part: &'a [u32],
    list: Vec<Life>,
    /// Whether the order within each drain counts.
    drains: bool,
}

/// Decides a part, or leaves it to the search. The queue begins empty.
pub(super) fn decide(operations: &[Operation<Input, Output>], part: &[u32]) -> Decision {
    let drain = |index: u32| match operations[index as usize].input.action {
        Action::Drain { drain, .. } => Some(drain),
        _ => None,
    };
    let lives = |drains| Lives { operations, part, list: Vec::new(), drains };
    match lives(false).decide() {
        Err(violation) => return Decision::Violation(violation),
        Ok(order) if part.iter().all(|&index| drain(index).is_none()) => {
            return order.map_or(Decision::Open(0), Decision::Linearizable);
        }
        Ok(_) => {}
    }
    match lives(true).decide() {
        Ok(order) => order.map_or(Decision::Open(0), Decision::Linearizable),
        // It rests on the order within these drains.
        Err(violation) => {
            let named: Vec<u32> = violation.operations.iter().map(|&index| index as u32).collect();
            let drains: FxHashSet<u64> = named.iter().copied().filter_map(drain).collect();
            let is_drained = |index: &u32| drain(*index).is_some_and(|drain| drains.contains(&drain));
            let around = named.iter().copied().chain(part.iter().copied().filter(is_drained)).collect();
            Decision::Contradiction { around, why: None }
        }
    }
}

impl Lives<'_> {
    fn decide(&mut self) -> Result<Option<Vec<u32>>, Box<Violation>> {
        let mut added: FxHashMap<&Bytes, usize> = FxHashMap::default();
        let (mut empty, mut lost, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for &index in self.part {
            let operation = &self.operations[index as usize];
            let times = (operation.call, operation.returned_at().unwrap_or(NEVER));
            match (&operation.input.action, operation.output()) {
                (Action::Enqueue(item), None | Some(Output::Done)) => {
                    let life = Life {
                        enqueue: index,
                        dequeue: NONE,
                        added: times,
                        taken: (NEVER, NEVER),
                        drain: (0, 0),
                    };
                    if added.insert(item, self.list.len()).is_some() {
                        return Ok(None);
                    }
                    self.list.push(life);
                }
                (action, Some(Output::Item(Some(item)))) if action.takes() => {
                    taken.push((item, index, times))
                }
                (action, Some(Output::Item(None))) if action.takes() => empty.push((index, times)),
                (Action::Dequeue, None) => lost.push((operation.call, index)),
                _ => return Ok(None),
            }
        }
        for (item, index, times) in taken {
            let Some(&place) = added.get(item) else {
                return Err(self.violation(vec![index], Reason::NeverWritten { read: index as usize }));
            };
            self.take(place, index, times)?;
        }
        self.list.retain(|life| life.dequeue != NONE || life.added.1 != NEVER);
        if self.drains {
            self.order_drains(&mut empty)?;
        }
        if !self.keep_order(&mut lost, &empty)? {
            return Ok(None);
        }
        match self.find_nothing(&empty) {
            // Another choice of what the lost ones took might do.
            Err(_) if !lost.is_empty() => return Ok(None),
            found => found?,
        }
        let order = self.sorted().and_then(|order| self.flatten(&order));
        Ok(order.filter(|order| self.stands(order)))
    }

    /// Whether an order is one of a queue, and of the clock. Copies no queue, as [`crate::witness`] does.
    fn stands(&self, order: &[u32]) -> bool {
        let is_answered = |index: &&u32| self.operations[**index as usize].output().is_some();
        if self.part.iter().filter(is_answered).count() != order.iter().filter(is_answered).count() {
            return false;
        }
        let mut queue = VecDeque::new();
        let mut drained = FxHashMap::default();
        let mut latest = 0;
        order.iter().all(|&index| {
            let operation = &self.operations[index as usize];
            latest = operation.call.max(latest);
            if let Action::Drain { drain, place } = operation.input.action
                && drained.insert(drain, place).is_some_and(|last| last >= place)
            {
                return false;
            }
            let is_legal = match (&operation.input.action, operation.output()) {
                (Action::Enqueue(item), _) => {
                    queue.push_back(item);
                    true
                }
                (_, Some(Output::Item(item))) => queue.pop_front() == item.as_ref(),
                _ => queue.pop_front().is_some(),
            };
            is_legal && operation.returned_at().is_none_or(|returned| latest <= returned)
        })
    }

    /// A dequeue takes an item.
    fn take(&mut self, place: usize, dequeue: u32, times: (u64, u64)) -> Result<(), Box<Violation>> {
        let life = self.list[place];
        let (one, write) = (life.dequeue, life.enqueue as usize);
        if one != NONE {
            let reason = Reason::SeenTwice { reads: vec![one as usize, dequeue as usize], write };
            return Err(self.violation(vec![life.enqueue, one, dequeue], reason));
        }
        if times.1 < life.added.0 {
            let reason = Reason::FromTheFuture { read: dequeue as usize, write };
            return Err(self.violation(vec![life.enqueue, dequeue], reason));
        }
        self.give(place, dequeue, times);
        Ok(())
    }

    fn give(&mut self, place: usize, dequeue: u32, (call, returned): (u64, u64)) {
        let life = &mut self.list[place];
        let added = (life.added.0, life.added.1.min(returned));
        let taken = (call.max(life.added.0), returned);
        *life = Life { dequeue, added, taken, ..*life };
    }

    /// Narrows the times of what a drain took: its items were taken, and so added, in its order.
    fn order_drains(&mut self, empty: &mut [(u32, (u64, u64))]) -> Result<(), Box<Violation>> {
        let of =
            |index: u32| match self.operations.get(index as usize).map(|operation| &operation.input.action) {
                Some(&Action::Drain { drain, place }) => Some((drain, place)),
                _ => None,
            };
        for life in &mut self.list {
            life.drain = of(life.dequeue).unwrap_or_default();
        }
        self.list.sort_by_key(|life| life.drain);
        let is_one = |one: &Life, other: &Life| match (of(one.dequeue), of(other.dequeue)) {
            (Some(one), Some(other)) => one.0 == other.0,
            _ => false,
        };
        let mut begins = BTreeMap::new();
        for drain in self.list.chunk_by_mut(is_one).filter(|drain| of(drain[0].dequeue).is_some()) {
            for place in 1..drain.len() {
                let before = drain[place - 1];
                let life = &mut drain[place];
                life.added.0 = life.added.0.max(before.added.0);
                life.taken.0 = life.taken.0.max(before.taken.0);
            }
            for place in (1..drain.len()).rev() {
                let after = drain[place];
                let life = &mut drain[place - 1];
                life.added.1 = life.added.1.min(after.added.1);
                life.taken.1 = life.taken.1.min(after.taken.1);
            }
            begins.extend(drain.iter().map(|life| (life.drain, life.taken.0)));
        }
        for (index, times) in empty {
            if let Some((drain, place)) = of(*index)
                && let Some((_, &begin)) = begins.range((drain, 0)..(drain, place)).next_back()
            {
                times.0 = times.0.max(begin);
            }
        }
        // Of those with the same times, the one that was drained first comes first.
        self.list.sort_by_key(|life| (life.taken.0, life.added.0, life.drain));
        match self.list.iter().find(|life| life.added.0 > life.added.1 || life.taken.0 > life.taken.1) {
            Some(life) => {
                let reason = Reason::NoOrder { placed: 0, stuck: life.dequeue as usize };
                Err(self.violation(vec![life.enqueue, life.dequeue], reason))
            }
            None => Ok(()),
        }
    }

    /// Whether items were taken as they were added, if the dequeues of unknown outcome took some; `false` if
    /// that is not known.
    fn keep_order(
        &mut self,
        lost: &mut [(u64, u32)],
        empty: &[(u32, (u64, u64))],
    ) -> Result<bool, Box<Violation>> {
        let mut by_call: Vec<usize> = (0..self.list.len()).collect();
        by_call.sort_by_key(|&place| self.list[place].added.0);
        // The earliest return of a dequeue of all that were added from there on.
        let mut soonest: Vec<(u64, usize)> = vec![(NEVER, 0); by_call.len() + 1];
        for (at, &place) in by_call.iter().enumerate().rev() {
            soonest[at] = soonest[at + 1].min((self.list[place].taken.1, place));
        }
        // The same of those that found nothing: an item was taken before, or added after.
        let mut empty: Vec<(u64, u64)> = empty.iter().map(|&(_, times)| times).collect();
        empty.sort_unstable();
        let mut nothing = vec![NEVER; empty.len() + 1];
        for (at, &(_, returned)) in empty.iter().enumerate().rev() {
            nothing[at] = nothing[at + 1].min(returned);
        }
        let mut missing = Vec::new();
        for (place, life) in self.list.iter().enumerate() {
            let later = by_call.partition_point(|&other| self.list[other].added.0 <= life.added.1);
            let (until, before) = soonest[later];
            if until < life.taken.0 {
                if life.dequeue != NONE {
                    return Err(self.overtaken(place, before));
                }
                missing.push((until, place, Some(before)));
            }
            let after = empty.partition_point(|&(call, _)| call <= life.added.1);
            if life.dequeue == NONE && !lost.is_empty() && nothing[after] < until {
                missing.push((nothing[after], place, None));
            }
        }
        // Of each item what comes first.
        missing.sort_unstable_by_key(|&(until, place, _)| (place, until));
        missing.dedup_by_key(|&mut (_, place, _)| place);
        missing.sort_unstable();
        lost.sort_unstable();
        for (number, &(until, place, before)) in missing.iter().enumerate() {
            match lost.get(number) {
                Some(&(call, dequeue)) if call <= until => self.give(place, dequeue, (call, NEVER)),
                _ => match before {
                    Some(before) if lost.first().is_none_or(|&(call, _)| call > until) => {
                        return Err(self.overtaken(place, before));
                    }
                    _ => return Ok(false),
                },
            }
        }
        Ok(true)
    }

    /// An item was added first and taken last, or never.
    fn overtaken(&self, first: usize, other: usize) -> Box<Violation> {
        let (first, other) = (self.list[first], self.list[other]);
        let named = [first.enqueue, other.enqueue, other.dequeue, first.dequeue];
        let named = named.into_iter().filter(|&index| index != NONE).collect();
        let reason = Reason::WrongOrder { earlier: other.enqueue as usize, later: first.enqueue as usize };
        self.violation(named, reason)
    }

    /// Looks for an instant at which each of these dequeues may have found nothing, and lists them there.
    fn find_nothing(&mut self, empty: &[(u32, (u64, u64))]) -> Result<(), Box<Violation>> {
        let mut by_return: Vec<usize> = (0..self.list.len()).collect();
        by_return.sort_by_key(|&place| self.list[place].added.1);
        let mut last = Vec::with_capacity(by_return.len());
        let mut longest = (0, 0);
        for &place in &by_return {
            longest = longest.max((self.list[place].taken.0, place));
            last.push(longest);
        }
        let mut found = Vec::with_capacity(empty.len());
        for &(index, (call, returned)) in empty {
            let mut at = call;
            let mut named = vec![index];
            loop {
                let there = by_return.partition_point(|&place| self.list[place].added.1 < at);
                let Some((until, place)) = there.checked_sub(1).map(|there| last[there]) else { break };
                if until <= at {
                    break;
                }
                at = until;
                let life = self.list[place];
                named.extend([life.enqueue, life.dequeue].into_iter().filter(|&index| index != NONE));
                if at > returned {
                    let reason = Reason::NoOrder { placed: named.len() - 1, stuck: index as usize };
                    return Err(self.violation(named, reason));
                }
            }
            found.push(Life {
                enqueue: NONE,
                dequeue: index,
                added: (at, at),
                taken: (at, at),
                drain: (0, 0),
            });
        }
        self.list.extend(found);
        Ok(())
    }

    /// The items in an order that the clock allows.
    fn sorted(&self) -> Option<Vec<usize>> {
        let by = |key: &dyn Fn(&Life) -> u64| {
            let mut places: Vec<usize> = (0..self.list.len()).collect();
            places.sort_by_key(|&place| key(&self.list[place]));
            places
        };
        let calls = by(&|life| life.added.0);
        let (added, taken) = (by(&|life| life.added.1), by(&|life| life.taken.1));
        let (mut call, mut add, mut take) = (0, 0, 0);
        let mut is_sorted = vec![false; self.list.len()];
        let mut ready = BinaryHeap::new();
        let mut order = Vec::with_capacity(self.list.len());
        while order.len() < self.list.len() {
            while is_sorted[added[add]] {
                add += 1;
            }
            while is_sorted[taken[take]] {
                take += 1;
            }
            let until = self.list[added[add]].added.1;
            while let Some(&place) = calls.get(call).filter(|&&place| self.list[place].added.0 <= until) {
                ready.push(Reverse((self.list[place].taken.0, self.list[place].added.0, place)));
                call += 1;
            }
            let Reverse((called, _, place)) = ready.pop()?;
            if called > self.list[taken[take]].taken.1 {
                return None;
            }
            is_sorted[place] = true;
            order.push(place);
        }
        Some(order)
    }

    /// The operations, each as early as it can be.
    fn flatten(&self, order: &[usize]) -> Option<Vec<u32>> {
        let mut flat = Vec::with_capacity(self.part.len());
        let mut stretch: Vec<(u64, bool, usize, u32)> = Vec::new();
        let (mut add, mut take) = (0, 0);
        for (number, &place) in order.iter().enumerate() {
            let Life { enqueue, dequeue, added, taken, .. } = self.list[place];
            if enqueue == NONE {
                stretch.sort_unstable();
                flat.extend(stretch.drain(..).map(|(.., index)| index));
                flat.push(dequeue);
                (add, take) = (added.0.max(add).max(take), added.0.max(add).max(take));
                continue;
            }
            add = added.0.max(add);
            stretch.push((add, false, number, enqueue));
            if dequeue != NONE {
                take = taken.0.max(take).max(add);
                stretch.push((take, true, number, dequeue));
            }
        }
        stretch.sort_unstable();
        flat.extend(stretch.into_iter().map(|(.., index)| index));
        Some(flat)
    }

    fn violation(&self, mut named: Vec<u32>, reason: Reason) -> Box<Violation> {
        named.sort_unstable();
        named.dedup();
        let key = self.operations[named[0] as usize].input.key.to_vec();
        let operations = named.iter().map(|&index| index as usize).collect();
        let sentence = super::sentence(self.operations, &reason);
        Box::new(Violation { key, operations, support: Vec::new(), reason, sentence })
    }
}
