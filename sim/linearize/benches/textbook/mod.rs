//! The peer of the measurements: the search of Wing and Gong (1993) as the literature describes its best
//! form.
//!
//! Keys apart (Horn and Kroening 2015), events in a linked list from which operations are lifted, and a cache
//! of the configurations visited, each a bit set of linearized operations with the state (Lowe 2017). The
//! hash covers both. Operations of unknown outcome return after everything else. This is what public checkers
//! run; it is written here plainly, without any shortcut of this crate, so that a ratio of times on one
//! machine can be given.

use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use linearizability::kv::{Kv, KvOperation};
use linearizability::{Model, Operation};
use rustc_hash::{FxHashMap, FxHasher};

/// No entry.
const NONE: u32 = u32::MAX;
/// The clock is read, and memory counted, once in so many steps.
const PATIENCE: u64 = 4096;
/// The cache may hold so many bytes.
pub const BYTES_MAX: usize = 4 << 30;

/// Whether all keys are linearizable; `None` if `limit` or [`BYTES_MAX`] ended the search.
pub fn check(operations: &[KvOperation], limit: Duration) -> Option<bool> {
    let end = Instant::now() + limit;
    let mut keys: FxHashMap<&[u8], Vec<&KvOperation>> = FxHashMap::default();
    let mut order: Vec<&[u8]> = Vec::new();
    for operation in operations {
        let key = Kv.partition(&operation.input).0;
        let list = keys.entry(key).or_insert_with(|| {
            order.push(key);
            Vec::new()
        });
        list.push(operation);
    }
    for key in order {
        if !search(&keys[key], end)? {
            return Some(false);
        }
    }
    Some(true)
}

struct List {
    next: Vec<u32>,
    previous: Vec<u32>,
    /// The operation of an event, and its return event if it is a call.
    operation: Vec<u32>,
    matching: Vec<u32>,
}

impl List {
    /// Event 0 is the head.
    fn new(operations: &[&KvOperation]) -> Self {
        let mut events: Vec<(u64, bool, u32)> = Vec::with_capacity(operations.len() * 2);
        for (index, operation) in operations.iter().enumerate() {
            events.push((operation.call, false, index as u32));
            events.push((operation.returned_at().unwrap_or(u64::MAX), true, index as u32));
        }
        events.sort_unstable();
        let mut list = List {
            next: (1..=events.len() as u32).chain([NONE]).collect(),
            previous: [NONE].into_iter().chain(0..events.len() as u32).collect(),
            operation: [NONE].into_iter().chain(events.iter().map(|event| event.2)).collect(),
            matching: vec![NONE; events.len() + 1],
        };
        let mut call = vec![NONE; operations.len()];
        for (place, &(_, returned, index)) in events.iter().enumerate() {
            if returned {
                list.matching[call[index as usize] as usize] = place as u32 + 1;
            } else {
                call[index as usize] = place as u32 + 1;
            }
        }
        list
    }

    fn lift(&mut self, call: u32) {
        for node in [call, self.matching[call as usize]] {
            let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
            self.next[previous as usize] = next;
            if next != NONE {
                self.previous[next as usize] = previous;
            }
        }
    }

    fn unlift(&mut self, call: u32) {
        for node in [self.matching[call as usize], call] {
            let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
            self.next[previous as usize] = node;
            if next != NONE {
                self.previous[next as usize] = node;
            }
        }
    }
}

type State = <Kv as Model>::State;

fn search(operations: &[&KvOperation], end: Instant) -> Option<bool> {
    let mut list = List::new(operations);
    let mut cache: FxHashMap<u64, Vec<(Vec<u64>, State)>> = FxHashMap::default();
    let mut linearized = vec![0u64; operations.len().div_ceil(64)];
    let entry_bytes = linearized.len() * 8 + size_of::<(Vec<u64>, State)>() + 16;
    let mut calls: Vec<(u32, State)> = Vec::new();
    let mut state = Kv.init();
    let mut entry = list.next[0];
    let (mut steps, mut entries) = (0u64, 0);
    while list.next[0] != NONE {
        steps += 1;
        if steps.is_multiple_of(PATIENCE) && (Instant::now() > end || entries * entry_bytes > BYTES_MAX) {
            return None;
        }
        if list.matching[entry as usize] == NONE {
            let Some((call, before)) = calls.pop() else { return Some(false) };
            let number = list.operation[call as usize];
            linearized[number as usize / 64] &= !(1 << (number % 64));
            state = before;
            list.unlift(call);
            entry = list.next[call as usize];
            continue;
        }
        let number = list.operation[entry as usize];
        let Operation { input, .. } = operations[number as usize];
        let next = Kv.step(&state, input, operations[number as usize].output());
        let Some(next) = next else {
            entry = list.next[entry as usize];
            continue;
        };
        linearized[number as usize / 64] |= 1 << (number % 64);
        let mut hasher = FxHasher::default();
        linearized.hash(&mut hasher);
        next.hash(&mut hasher);
        let known = cache.entry(hasher.finish()).or_default();
        if known.iter().any(|(set, state)| *set == linearized && *state == next) {
            linearized[number as usize / 64] &= !(1 << (number % 64));
            entry = list.next[entry as usize];
            continue;
        }
        known.push((linearized.clone(), next.clone()));
        entries += 1;
        calls.push((entry, std::mem::replace(&mut state, next)));
        list.lift(entry);
        entry = list.next[0];
    }
    Some(true)
}
