//! Hands what the clients saw to the linearizability checker, and translates what it says.

use std::time::Duration;

use linearize::{
    Budget, History, Operation as Judged, Options, Outcome as Ending,
    kv::{Input as KvInput, Kv, Output as KvOutput},
};

use crate::outcome::{Contradiction, End, Input, NodeName, Operation, Output, Verdict};

/// What a judgement may cost. A history that needs more is undecided, which is a failure to be looked at;
/// histories of generated scenarios need a small fraction.
const BUDGET: Budget = Budget { configurations: 4_000_000, bytes: 512 << 20 };

/// Judges the operations of a run. Operations that were certainly not executed are left out: they promise
/// nothing and change nothing.
pub fn judge(operations: &[Operation]) -> Verdict {
    let mut places = Vec::new();
    let mut judged = Vec::new();
    let mut processes = Processes::default();
    for (place, operation) in operations.iter().enumerate() {
        let outcome = match &operation.end {
            End::NotExecuted { .. } => continue,
            End::Open | End::Unknown { .. } => Ending::Unknown,
            End::Returned { at, output } => {
                Ending::Returned { at: nanoseconds(*at), output: kv_output(output) }
            }
        };
        let process = processes.of(&operation.client, outcome == Ending::Unknown);
        places.push(place);
        let call = nanoseconds(operation.called);
        judged.push(Judged { process, call, input: kv_input(&operation.input), outcome });
    }
    let history = History::new(judged).expect("clients do one thing after the other");
    let options = Options { budget: BUDGET, witness: false, ..Options::default() };
    match linearize::check(&Kv, &history, &options) {
        linearize::Verdict::Linearizable { .. } => Verdict::Linearizable,
        linearize::Verdict::Violation(violation) => {
            let outer = |inner: &[usize]| inner.iter().map(|index| places[*index]).collect();
            Verdict::Violation(Contradiction {
                key: violation.key.clone().into(),
                operations: outer(&violation.operations),
                support: outer(&violation.support),
                sentence: violation.sentence.clone(),
            })
        }
        linearize::Verdict::Undecided(undecided) => Verdict::Undecided(undecided.to_string()),
    }
}

/// Sequential processes: a client is one until an outcome stays unknown, and then goes on as another.
#[derive(Default)]
struct Processes {
    current: std::collections::BTreeMap<NodeName, u64>,
    next: u64,
}

impl Processes {
    fn of(&mut self, client: &NodeName, retires: bool) -> u64 {
        let process = *self.current.entry(client.clone()).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        if retires {
            self.current.remove(client);
        }
        process
    }
}

pub(crate) fn nanoseconds(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).expect("less than 500 years")
}

pub(crate) fn kv_input(input: &Input) -> KvInput {
    match input.clone() {
        Input::Get { key } => KvInput::Get { key },
        Input::Put { key, value } => KvInput::Put { key, value },
        Input::Append { key, value } => KvInput::Append { key, value },
        Input::Delete { key } => KvInput::Delete { key },
        Input::CompareAndSwap { key, expected, new } => KvInput::CompareAndSwap { key, expected, new },
    }
}

pub(crate) fn kv_output(output: &Output) -> KvOutput {
    match output.clone() {
        Output::Value(value) => KvOutput::Value(value),
        Output::Done => KvOutput::Done,
        Output::Deleted { existed } => KvOutput::Deleted { existed },
        Output::Swapped { swapped, previous } => KvOutput::Swapped { swapped, previous },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const KEY: Bytes = Bytes::from_static(b"k");

    fn operation(client: &str, called: u64, input: Input, end: End) -> Operation {
        Operation { client: client.into(), called: Duration::from_nanos(called), input, end }
    }

    fn put(client: &str, called: u64, value: &'static str, end: End) -> Operation {
        operation(client, called, Input::Put { key: KEY, value: value.into() }, end)
    }

    fn get(client: &str, called: u64, at: u64, value: Option<&'static str>) -> Operation {
        let output = Output::Value(value.map(Bytes::from));
        let end = End::Returned { at: Duration::from_nanos(at), output };
        operation(client, called, Input::Get { key: KEY }, end)
    }

    fn done(at: u64) -> End {
        End::Returned { at: Duration::from_nanos(at), output: Output::Done }
    }

    #[test]
    fn a_write_of_unknown_fate_may_show_up_at_any_later_time() {
        let unknown = End::Unknown { at: Duration::from_nanos(5), why: "gave up".into() };
        let operations = [
            put("c1", 0, "a", unknown),
            put("c1", 6, "b", done(7)),
            get("c2", 8, 9, Some("b")),
            get("c2", 10, 11, Some("a")),
        ];
        assert_eq!(judge(&operations), Verdict::Linearizable);
    }

    #[test]
    fn a_write_that_was_not_executed_must_not_show_up() {
        let refused = End::NotExecuted { at: Duration::from_nanos(5), why: "invalid".into() };
        let operations = [
            put("c1", 0, "a", done(1)),
            put("c2", 2, "x", refused.clone()),
            put("c1", 2, "b", refused),
            get("c2", 8, 9, Some("b")),
        ];
        let Verdict::Violation(contradiction) = judge(&operations) else { panic!("b was never written") };
        assert!(contradiction.operations.contains(&3), "in places of the whole list: {contradiction:?}");
        assert_eq!(contradiction.key, KEY);
    }

    #[test]
    fn a_stale_read_is_a_violation() {
        let operations = [put("c1", 0, "a", done(1)), put("c1", 2, "b", done(3)), get("c2", 4, 5, Some("a"))];
        assert!(matches!(judge(&operations), Verdict::Violation(_)));
    }
}
