//! Watches the clients' answers while they arrive, so that a run ends at the first one that no order explains
//! instead of long after it.
//!
//! What the system's witness explains needs no thought: that is nearly every answer of a correct system. Any
//! other answer makes its object suspicious, and the checker judges what the clients saw of it so far. It
//! is asked rarely if suspicions turn out to be unfounded again and again: an answer that is missed here is
//! found by the judge at the end of the run.

use std::collections::BTreeMap;

use bytes::Bytes;
use linearizability::Budget;

use crate::{
    data::outcome::{Operation, Verdict},
    system::{System, Witness},
};

/// What judging one suspicion may cost.
const BUDGET: Budget = Budget { configurations: 20_000, bytes: 16 << 20 };

/// The objects with answers that the witness does not explain.
#[derive(Debug, Default)]
pub struct Watch {
    suspicions: BTreeMap<Bytes, Suspicion>,
}

#[derive(Debug, Default)]
struct Suspicion {
    /// Answers that were not explained.
    answers: u64,
    /// After how many of them the object is judged next.
    judged_at: u64,
}

impl Watch {
    /// One of these operations was answered. Whether no order explains what the clients saw so far.
    pub fn is_contradiction<S: System>(
        &mut self,
        operations: &[Operation<S>],
        place: usize,
        witness: &S::Witness,
    ) -> bool {
        let operation = &operations[place];
        if witness.explains(operation) {
            return false;
        }
        let object = S::object(&operation.input);
        let suspicion = self.suspicions.entry(object).or_default();
        suspicion.answers += 1;
        if suspicion.answers < suspicion.judged_at {
            return false;
        }
        suspicion.judged_at = 2 * suspicion.answers;
        matches!(S::judge_object(operations, place, BUDGET), Verdict::Violation(_))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use linearizability::kv::{Input, Output};

    use super::*;
    use crate::{
        data::outcome::{End, RunOptions},
        system::{
            NoWitness,
            toy::{self, Toy},
        },
    };

    /// It explains nothing.
    fn blind() -> NoWitness<Toy> {
        NoWitness::new(&toy::plan(), &RunOptions::default())
    }

    const KEY: Bytes = Bytes::from_static(b"k");

    fn operation(called: u64, at: u64, input: Input, output: Output) -> Operation<Toy> {
        let end = End::Returned { at: Duration::from_nanos(at), output };
        Operation { end, ..Operation::called("c1".into(), Duration::from_nanos(called), input) }
    }

    fn put(called: u64, at: u64, value: &'static str) -> Operation<Toy> {
        operation(called, at, Input::Put { key: KEY, value: value.into() }, Output::Done)
    }

    fn get(called: u64, at: u64, value: &'static str) -> Operation<Toy> {
        operation(called, at, Input::Get { key: KEY }, Output::Value(Some(value.into())))
    }

    #[test]
    fn an_answer_that_no_order_explains_is_noticed_when_it_arrives() {
        let operations = [put(0, 1, "a"), put(2, 3, "b"), get(4, 5, "b"), get(6, 7, "a"), get(8, 9, "b")];
        let mut watch = Watch::default();
        let noticed: Vec<usize> = (0..operations.len())
            .filter(|place| watch.is_contradiction(&operations[..=*place], *place, &blind()))
            .collect();
        assert_eq!(noticed.first(), Some(&3), "the servers' order is empty: it explains nothing");
    }

    #[test]
    fn unfounded_suspicions_are_looked_into_ever_more_rarely() {
        let mut operations = vec![put(0, 1, "a")];
        operations.extend((1..=100).map(|n| get(10 * n, 10 * n + 1, "a")));
        let mut watch = Watch::default();
        for place in 0..operations.len() {
            assert!(!watch.is_contradiction(&operations[..=place], place, &blind()));
        }
        let suspicion = &watch.suspicions[&KEY];
        assert_eq!((suspicion.answers, suspicion.judged_at), (101, 128));
    }
}
