//! A bank whose transfers touch two accounts at once, so that it is one object.
//!
//! `cargo run --example bank`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use linearizability::{Cancel, Model, Operation, Options, Recorder, Verdict, check};

/// Accounts begin with this.
const BEGIN: i64 = 100;

struct Bank;

#[derive(Clone, Debug)]
enum Ask {
    Transfer {
        from: u8,
        to: u8,
        amount: i64,
    },
    /// All accounts at one instant.
    Read,
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    /// Whether there was enough.
    Transferred(bool),
    Balances(BTreeMap<u8, i64>),
}

impl Model for Bank {
    type Input = Ask;
    type Output = Answer;
    type State = BTreeMap<u8, i64>;
    type Key<'a> = ();

    fn init(&self) -> BTreeMap<u8, i64> {
        [(1, BEGIN), (2, BEGIN), (3, BEGIN)].into()
    }

    fn step(&self, state: &Self::State, ask: &Ask, answer: Option<&Answer>) -> Option<Self::State> {
        let mut next = state.clone();
        let right = match ask {
            Ask::Read => Answer::Balances(state.clone()),
            Ask::Transfer { from, to, amount } => {
                let enough = state.get(from).is_some_and(|balance| balance >= amount);
                if enough {
                    *next.entry(*from).or_default() -= amount;
                    *next.entry(*to).or_default() += amount;
                }
                Answer::Transferred(enough)
            }
        };
        answer.is_none_or(|answer| *answer == right).then_some(next)
    }

    fn partition(&self, _ask: &Ask) {}

    fn observes(&self, ask: &Ask, answer: &Answer) -> bool {
        matches!(ask, Ask::Read) || *answer == Answer::Transferred(false)
    }

    fn describe(&self, operation: &Operation<Ask, Answer>) -> Option<String> {
        let answer = match operation.output() {
            None => "?".to_owned(),
            Some(Answer::Transferred(done)) => done.to_string(),
            Some(Answer::Balances(balances)) => format!("{balances:?}"),
        };
        Some(match &operation.input {
            Ask::Transfer { from, to, amount } => {
                format!("transfer {amount} from {from} to {to} -> {answer}")
            }
            Ask::Read => format!("read -> {answer}"),
        })
    }
}

fn main() -> Result<(), linearizability::HistoryError> {
    let balances = |one, two, three| Answer::Balances([(1, one), (2, two), (3, three)].into());
    let mut recorder = Recorder::new();
    recorder.call(1, 10, Ask::Transfer { from: 1, to: 2, amount: 30 })?;
    recorder.call(2, 11, Ask::Transfer { from: 2, to: 3, amount: 50 })?;
    recorder.call(3, 12, Ask::Read)?;
    recorder.returned(3, 13, balances(70, 130, 100))?;
    recorder.returned(1, 14, Answer::Transferred(true))?;
    recorder.returned(2, 15, Answer::Transferred(true))?;
    recorder.call(3, 16, Ask::Read)?;
    recorder.returned(3, 17, balances(70, 80, 150))?;
    let history = recorder.clone().finish();

    // A bank cannot be split by account, so that a long history may take long: give it a limit, and a way
    // out.
    let (deadline, cancel) = (Instant::now().checked_add(Duration::from_secs(10)), Some(Cancel::new()));
    let options = Options { deadline, cancel, ..Options::default() };
    let verdict = check(&Bank, &history, &options);
    assert!(verdict.is_linearizable());
    println!("{verdict:?}");

    recorder.call(3, 18, Ask::Read)?;
    recorder.returned(3, 19, balances(70, 130, 150))?; // 50 more than there were.
    match check(&Bank, &recorder.finish(), &options) {
        Verdict::Violation(violation) => println!("money was made: {violation}"),
        other => panic!("{other:?}"),
    }
    Ok(())
}
