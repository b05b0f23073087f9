//! Histories of clients that work back to back on one store, from a seed.
//!
//! Each operation takes effect at a random instant between its call and its return, so that every history is
//! linearizable. Written values are unique unless `values` says otherwise.

use std::collections::BTreeMap;

use bytes::Bytes;
use linearizability::kv::{Input, Kv, KvHistory, KvOperation, Output};
use linearizability::{History, Model, Outcome};

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    pub operations: usize,
    pub clients: u64,
    pub keys: u64,
    /// Percent of operations that are gets, puts, deletes and swaps; the rest are appends.
    pub gets: u64,
    pub puts: u64,
    pub deletes: u64,
    pub swaps: u64,
    /// Percent of operations without an answer, half of which take effect.
    pub unknown: u64,
    /// Values are drawn from so many; 0 makes each unique.
    pub values: u64,
    /// Deletes and swaps do not say what they found.
    pub terse: bool,
    /// A read in the middle saw the value of an earlier read of its key.
    pub stale: bool,
    /// Answers come with revisions.
    pub revisions: bool,
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            operations: 1_000_000,
            clients: 100,
            keys: 10,
            gets: 50,
            puts: 50,
            deletes: 0,
            swaps: 0,
            unknown: 0,
            values: 0,
            terse: false,
            stale: false,
            revisions: false,
        }
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }
}

/// Runs the clients.
pub fn history(workload: Workload, seed: u64) -> KvHistory {
    let mut random = Random(seed);
    let keys: Vec<Bytes> = (0..workload.keys).map(|key| Bytes::from(format!("key{key}"))).collect();
    let mut free: Vec<u64> = (0..workload.clients).collect();
    let mut operations: Vec<KvOperation> = Vec::with_capacity(workload.operations);
    let mut effects: Vec<(u64, usize)> = Vec::with_capacity(workload.operations);
    // Clients take turns in the order in which they become free, so calls are in the order of time.
    let mut queue: BTreeMap<(u64, u64), ()> = free.drain(..).map(|client| ((client, client), ())).collect();
    for index in 0..workload.operations {
        let ((call, client), ()) = queue.pop_first().expect("every client comes back");
        let length = 10 + random.below(1000);
        let key = keys[random.below(workload.keys) as usize].clone();
        let number = if workload.values == 0 { index as u64 } else { random.below(workload.values) };
        let value = Bytes::from(format!("{number},"));
        let kind = random.below(100);
        let Workload { gets, puts, deletes, swaps, .. } = workload;
        let input = if kind < gets {
            Input::Get { key }
        } else if kind < gets + puts {
            Input::Put { key, value }
        } else if kind < gets + puts + deletes {
            Input::Delete { key }
        } else if kind < gets + puts + deletes + swaps {
            // What it expects is filled in when it takes effect: a client swaps what it has just read.
            Input::CompareAndSwap { key, expected: None, new: value }
        } else {
            Input::Append { key, value }
        };
        let unknown = random.below(100) < workload.unknown;
        let outcome = if unknown {
            Outcome::Unknown
        } else {
            Outcome::Returned { at: call + length, output: Output::Done }
        };
        if !unknown || random.below(2) == 0 {
            effects.push((call + random.below(length), index));
        }
        operations.push(KvOperation { process: client, call, input, outcome });
        queue.insert((call + length + 1 + random.below(5), client), ());
    }
    effects.sort_unstable();
    let mut states: BTreeMap<Bytes, [Option<Bytes>; 2]> = BTreeMap::new();
    let mut revisions = vec![None; operations.len()];
    let mut changes = 0u64;
    for (_, index) in effects {
        let operation = &mut operations[index];
        let [state, earlier] = states.entry(operation.input.key().clone()).or_default();
        if let Input::CompareAndSwap { expected, .. } = &mut operation.input {
            *expected = if random.below(3) == 0 { earlier.clone() } else { state.clone() };
        }
        if let Outcome::Returned { output, .. } = &mut operation.outcome {
            *output = answer(state, &operation.input, workload.terse);
        }
        changes += u64::from(!matches!(operation.input, Input::Get { .. }));
        revisions[index] = operation.output().map(|_| changes);
        let next = Kv.step(state, &operation.input, None).expect("the outcome is open");
        if next != *state {
            *earlier = std::mem::replace(state, next);
        }
    }
    if workload.stale {
        falsify(&mut operations);
    }
    let history = History::new(operations).expect("clients wait for their answers");
    if !workload.revisions {
        return history;
    }
    history.with_revisions(revisions).expect("one for each answer")
}

fn answer(state: &Option<Bytes>, input: &Input, terse: bool) -> Output {
    match input {
        Input::Get { .. } => Output::Value(state.clone()),
        Input::Put { .. } | Input::Append { .. } => Output::Done,
        Input::Delete { .. } => Output::Deleted { existed: (!terse).then_some(state.is_some()) },
        Input::CompareAndSwap { expected, .. } => {
            Output::Swapped { swapped: state == expected, previous: (!terse).then(|| state.clone()) }
        }
    }
}

/// Lets a read in the middle see what the first read of another value of its key saw, long before.
fn falsify(operations: &mut [KvOperation]) {
    let middle = operations.len() / 2;
    let seen = |operation: &KvOperation| match operation.output() {
        Some(Output::Value(value)) => Some(value.clone()),
        _ => None,
    };
    let Some(late) = (middle..operations.len()).find(|&index| seen(&operations[index]).is_some()) else {
        return;
    };
    let key = operations[late].input.key().clone();
    let other =
        operations[..late].iter().filter(|operation| *operation.input.key() == key).find_map(|operation| {
            let value = seen(operation)?;
            (Some(&value) != seen(&operations[late]).as_ref()).then_some(value)
        });
    if let (Some(other), Outcome::Returned { output, .. }) = (other, &mut operations[late].outcome) {
        *output = Output::Value(other);
    }
}
