//! The textbook checker, kept as the judge of the others.
//!
//! Wing and Gong (1993): take any operation that no remaining operation precedes, apply it, and go on with
//! the rest; undo when stuck. Lowe's (2017) memory of the sets already tried is the only addition. It shares
//! no code with the fast path or the search, is exponential, and is meant for histories of a handful of
//! operations.

use std::collections::HashSet;

use crate::history::Operation;
use crate::model::Model;

/// Whether the operations are linearizable.
pub fn is_linearizable<M: Model>(model: &M, operations: &[Operation<M::Input, M::Output>]) -> bool {
    let mut remaining: Vec<bool> = vec![true; operations.len()];
    let mut tried = HashSet::new();
    extend(model, operations, &mut remaining, model.init(), &mut tried)
}

fn extend<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    remaining: &mut Vec<bool>,
    state: M::State,
    tried: &mut HashSet<(Vec<bool>, M::State)>,
) -> bool {
    let done = operations.iter().zip(remaining.iter()).all(|(o, &left)| !left || o.output().is_none());
    if done {
        return true;
    }
    if !tried.insert((remaining.clone(), state.clone())) {
        return false;
    }
    for candidate in 0..operations.len() {
        let operation = &operations[candidate];
        let first = remaining[candidate]
            && operations.iter().zip(remaining.iter()).all(|(o, &left)| !left || !o.precedes(operation));
        if !first {
            continue;
        }
        let Some(next) = model.step(&state, &operation.input, operation.output()) else { continue };
        remaining[candidate] = false;
        if extend(model, operations, remaining, next, tried) {
            return true;
        }
        remaining[candidate] = true;
    }
    false
}
