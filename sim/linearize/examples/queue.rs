//! A queue as a model of one's own: first in, first out.
//!
//! `cargo run --example queue`

use std::collections::VecDeque;

use linearizability::{Model, Operation, Options, Recorder, Verdict, check};

/// Queues by name.
struct Queues;

#[derive(Clone, Debug)]
enum Ask {
    Push { queue: &'static str, item: u32 },
    Pop { queue: &'static str },
}

/// What a pop found; `None` for a push, or for a pop of an empty queue.
type Answer = Option<u32>;

impl Model for Queues {
    type Input = Ask;
    type Output = Answer;
    type State = VecDeque<u32>;
    type Key<'a> = &'static str;

    fn init(&self) -> VecDeque<u32> {
        VecDeque::new()
    }

    fn step(&self, state: &VecDeque<u32>, ask: &Ask, answer: Option<&Answer>) -> Option<VecDeque<u32>> {
        let mut next = state.clone();
        let right = match ask {
            Ask::Push { item, .. } => {
                next.push_back(*item);
                None
            }
            Ask::Pop { .. } => next.pop_front(),
        };
        // Without an answer every answer is possible.
        answer.is_none_or(|answer| *answer == right).then_some(next)
    }

    fn partition(&self, ask: &Ask) -> &'static str {
        match ask {
            Ask::Push { queue, .. } | Ask::Pop { queue } => queue,
        }
    }

    fn describe(&self, operation: &Operation<Ask, Answer>) -> Option<String> {
        Some(match (&operation.input, operation.output()) {
            (Ask::Push { queue, item }, _) => format!("push {item} to {queue}"),
            (Ask::Pop { queue }, None) => format!("pop from {queue} -> ?"),
            (Ask::Pop { queue }, Some(None)) => format!("pop from {queue} -> empty"),
            (Ask::Pop { queue }, Some(Some(item))) => format!("pop from {queue} -> {item}"),
        })
    }
}

fn main() -> Result<(), linearizability::HistoryError> {
    let mut recorder = Recorder::new();
    recorder.call(1, 10, Ask::Push { queue: "mail", item: 1 })?;
    recorder.returned(1, 12, None)?;
    recorder
        .call(2, 11, Ask::Push { queue: "mail", item: 2 })
        .expect_err("events come in the order of one clock");
    recorder.call(2, 13, Ask::Push { queue: "mail", item: 2 })?;
    recorder.call(1, 14, Ask::Pop { queue: "mail" })?;
    recorder.returned(1, 15, Some(2))?; // 1 was there first.
    recorder.returned(2, 16, None)?;

    let history = recorder.finish();
    match check(&Queues, &history, &Options::default()) {
        Verdict::Linearizable { witness } => println!("linearizable in the order {witness:?}"),
        Verdict::Violation(violation) => println!("not linearizable: {violation}"),
        Verdict::Undecided(undecided) => println!("{undecided}"),
    }
    assert!(check(&Queues, &history, &Options::default()).violation().is_some());
    Ok(())
}
