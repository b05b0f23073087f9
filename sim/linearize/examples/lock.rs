//! A lock that knows its holder: only the process that took it may give it back.
//!
//! `cargo run --example lock`

use linearizability::{Model, Operation, Options, Recorder, Verdict, check};

struct Lock;

#[derive(Clone, Debug)]
enum Ask {
    /// Takes the lock if it is free.
    TryLock {
        client: u64,
    },
    Unlock {
        client: u64,
    },
}

impl Model for Lock {
    type Input = Ask;
    /// Whether it was done.
    type Output = bool;
    /// The holder.
    type State = Option<u64>;
    type Key<'a> = ();

    fn init(&self) -> Option<u64> {
        None
    }

    fn step(&self, holder: &Option<u64>, ask: &Ask, done: Option<&bool>) -> Option<Option<u64>> {
        let (possible, next) = match ask {
            Ask::TryLock { client } => (holder.is_none(), Some(*client)),
            Ask::Unlock { client } => (*holder == Some(*client), None),
        };
        done.is_none_or(|done| *done == possible).then_some(if possible { next } else { *holder })
    }

    fn partition(&self, _ask: &Ask) {}

    /// What was refused changed nothing.
    fn observes(&self, _ask: &Ask, done: &bool) -> bool {
        !done
    }

    fn describe(&self, operation: &Operation<Ask, bool>) -> Option<String> {
        let answer = operation.output().map_or("?".to_owned(), bool::to_string);
        Some(match operation.input {
            Ask::TryLock { client } => format!("client {client} takes the lock -> {answer}"),
            Ask::Unlock { client } => format!("client {client} gives the lock back -> {answer}"),
        })
    }
}

fn main() -> Result<(), linearizability::HistoryError> {
    let mut recorder = Recorder::new();
    recorder.call(1, 10, Ask::TryLock { client: 1 })?;
    recorder.call(2, 11, Ask::TryLock { client: 2 })?;
    recorder.returned(1, 12, true)?;
    recorder.returned(2, 13, false)?;
    // The answer to this one is lost: it may have taken effect.
    recorder.call(1, 14, Ask::Unlock { client: 1 })?;
    recorder.unknown(1, 20)?;
    recorder.call(2, 21, Ask::TryLock { client: 2 })?;
    recorder.returned(2, 22, true)?;
    let history = recorder.clone().finish();
    let verdict = check(&Lock, &history, &Options::default());
    assert!(verdict.is_linearizable());
    println!("a lost answer explains it: {verdict:?}");

    recorder.call(3, 23, Ask::TryLock { client: 3 })?;
    recorder.returned(3, 24, true)?;
    let history = recorder.finish();
    let Verdict::Violation(violation) = check(&Lock, &history, &Options::default()) else { panic!() };
    println!("two holders at once: {violation}");
    Ok(())
}
