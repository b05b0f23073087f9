//! Whether what clients saw is linearizable, for any system with a model.
//!
//! Operations that were certainly not executed are left out: they promise nothing and change nothing.

use std::{collections::BTreeMap, time::Duration};

use ::linearizability::{Budget, History, Operation as Judged, Options, Outcome as Ending, Violation};

use crate::{
    data::{
        node::NodeName,
        outcome::{Contradiction, End, Operation, Verdict},
    },
    system::System,
};

/// What a judgement may cost. A history that needs more is undecided, which is a failure to be looked at;
/// histories of generated plans need a small fraction.
pub const BUDGET: Budget = Budget { configurations: 4_000_000, bytes: 512 << 20 };

/// The history of a system's clients, as the checker takes it.
pub type HistoryOf<S> = History<<S as System>::Input, <S as System>::Output>;

/// Judges all operations.
pub fn judge<S: System>(operations: &[Operation<S>]) -> Verdict {
    let (places, history) = history(operations, |_| true);
    decide::<S>(&places, &history, BUDGET, sentence)
}

/// Judges the operations on the object of the one at a place.
pub fn judge_object<S: System>(operations: &[Operation<S>], place: usize, budget: Budget) -> Verdict {
    let object = S::object(&operations[place].input);
    let (places, history) = history(operations, |operation| S::object(&operation.input) == object);
    decide::<S>(&places, &history, budget, sentence)
}

/// The checker's history of some of the operations, and the place of each of its operations in the whole
/// list.
pub fn history<S: System>(
    operations: &[Operation<S>],
    is_judged: impl Fn(&Operation<S>) -> bool,
) -> (Vec<usize>, HistoryOf<S>) {
    let mut places = Vec::new();
    let mut judged = Vec::new();
    let mut processes = Processes::default();
    for (place, operation) in operations.iter().enumerate() {
        let (outcome, is_unknown) = match &operation.end {
            End::NotExecuted { .. } => continue,
            End::Returned { at, output } => {
                (Ending::Returned { at: nanoseconds(*at), output: output.clone() }, false)
            }
            End::Open | End::Unknown { .. } => (Ending::Unknown, true),
        };
        if is_judged(operation) {
            let process = processes.of(operation, is_unknown);
            let (call, input) = (nanoseconds(operation.called), operation.input.clone());
            places.push(place);
            judged.push(Judged { process, call, input, outcome });
        }
    }
    (places, History::new(judged).expect("clients do one thing after the other"))
}

/// What the checker says of a history. `places` are those of its operations in the whole list, and `sentence`
/// puts a contradiction into words.
pub fn decide<S: System>(
    places: &[usize],
    history: &HistoryOf<S>,
    budget: Budget,
    sentence: impl FnOnce(&Violation) -> String,
) -> Verdict {
    let options = Options { budget, witness: false, ..Options::default() };
    match ::linearizability::check(&S::Model::default(), history, &options) {
        ::linearizability::Verdict::Linearizable { .. } => Verdict::Linearizable,
        ::linearizability::Verdict::Violation(violation) => {
            let outer = |inner: &[usize]| inner.iter().map(|index| places[*index]).collect();
            Verdict::Violation(Contradiction {
                key: violation.key.clone().into(),
                operations: outer(&violation.operations),
                support: outer(&violation.support),
                sentence: sentence(&violation),
            })
        }
        ::linearizability::Verdict::Undecided(undecided) => Verdict::Undecided(undecided.to_string()),
    }
}

/// All that can be said of a contradiction without knowing the model.
fn sentence(violation: &Violation) -> String {
    match violation.operations.len() {
        1 => "no state of the object explains this answer".into(),
        count => format!("no order explains the answers of these {count} operations"),
    }
}

/// Sequential processes: a client is one until an outcome stays unknown, and then goes on as another. What it
/// calls while a call of it is under way is called by another, too.
#[derive(Default)]
struct Processes {
    /// Those of each client, with the end of the latest call of each.
    free: BTreeMap<NodeName, Vec<(u64, Duration)>>,
    next: u64,
}

impl Processes {
    fn of<S: System>(&mut self, operation: &Operation<S>, retires: bool) -> u64 {
        let free = self.free.entry(operation.client.clone()).or_default();
        let place = free.iter().position(|(_, since)| *since <= operation.called);
        let process = match place {
            Some(place) => free.swap_remove(place).0,
            None => {
                self.next += 1;
                self.next
            }
        };
        if !retires {
            free.push((process, operation.end.at().unwrap_or(operation.called)));
        }
        process
    }
}

/// A virtual time as the checker counts it.
pub fn nanoseconds(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).expect("less than 500 years")
}
