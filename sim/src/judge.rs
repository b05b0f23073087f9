//! Hands what the clients saw to the linearizability checker, and translates what it says.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use linearize::{
    Budget, History, Operation as Judged, Options, Outcome as Ending,
    kv::{Input as KvInput, Kv, Output as KvOutput},
};
use pbkv::protocol::identity::OpNumber;

use crate::outcome::{Contradiction, End, Input, NodeName, Operation, Output, Verdict};

/// What a judgement may cost. A history that needs more is undecided, which is a failure to be looked at;
/// histories of generated scenarios need a small fraction.
const BUDGET: Budget = Budget { configurations: 4_000_000, bytes: 512 << 20 };

/// What may be spent on following the servers' order; with it most histories need no search at all.
const HINTED_BUDGET: Budget = Budget { configurations: 200_000, bytes: 64 << 20 };

/// When and where a written value was first committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// When.
    pub at: Duration,
    /// Its place in the log: it orders what was committed at one time.
    pub op: OpNumber,
}

/// The commitment of each written value, by key and value. Written values are unique.
pub type Commits = BTreeMap<(Bytes, Bytes), Commit>;

/// With commitments, judged times have room for an order within each nanosecond: calls come first, then
/// commitments in the order of the log, then returns. So equal times still count as concurrent.
const ORDER_BITS: u32 = 20;
const LAST: u64 = (1 << ORDER_BITS) - 1;

/// Judges the operations of a run. Operations that were certainly not executed are left out: they promise
/// nothing and change nothing.
///
/// Many operations of unknown fate on one key can be placed in too many orders. So the judge first tries the
/// order that `commits`, what the servers did, suggests: a write that was never committed is left out, one
/// that was took effect just then. Both only narrow what the clients saw, so an order found is an order of
/// what they saw, and needs no trust in the servers. If there is none, nothing is proved, and the clients'
/// view alone decides.
pub fn judge(operations: &[Operation], commits: &Commits) -> Verdict {
    match judge_as_seen(operations, Some(commits), HINTED_BUDGET) {
        Verdict::Linearizable => Verdict::Linearizable,
        _ => judge_as_seen(operations, None, BUDGET),
    }
}

fn judge_as_seen(operations: &[Operation], commits: Option<&Commits>, budget: Budget) -> Verdict {
    let mut places = Vec::new();
    let mut judged = Vec::new();
    let mut processes = Processes::default();
    let mut free = BTreeMap::<u64, u64>::new();
    let time = |at: Duration, order: u64| match commits {
        None => nanoseconds(at),
        Some(_) => (nanoseconds(at) << ORDER_BITS) | order,
    };
    for (place, operation) in operations.iter().enumerate() {
        let mut call = time(operation.called, 0);
        let mut outcome = match &operation.end {
            End::NotExecuted { .. } => continue,
            End::Returned { at, output } => {
                Ending::Returned { at: time(*at, LAST), output: kv_output(output) }
            }
            End::Open | End::Unknown { .. } => Ending::Unknown,
        };
        let is_known = matches!(outcome, Ending::Returned { .. });
        match commits.map(|commits| fate(operation, commits)) {
            None | Some(Fate::Unknown) => {}
            Some(Fate::Never) if is_known => {}
            Some(Fate::Never) => continue,
            Some(Fate::At(commit)) => {
                let at = time(commit.at, commit.op.0 & LAST);
                outcome = match outcome {
                    Ending::Returned { at: returned, .. } if at > returned => outcome,
                    Ending::Returned { output, .. } => Ending::Returned { at, output },
                    Ending::Unknown => Ending::Returned { at, output: KvOutput::Done },
                };
                if matches!(&outcome, Ending::Returned { at: narrowed, .. } if *narrowed == at) {
                    call = call.max(at);
                }
            }
        }
        let process = processes.of(&operation.client, !is_known);
        // What one client does at one time is in its own order.
        let free = free.entry(process).or_default();
        call = call.max(*free);
        if let Ending::Returned { at, .. } = &mut outcome {
            *at = call.max(*at);
            *free = *at;
        }
        places.push(place);
        judged.push(Judged { process, call, input: kv_input(&operation.input), outcome });
    }
    let history = History::new(judged).expect("clients do one thing after the other");
    let options = Options { budget, witness: false, ..Options::default() };
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

/// What became of an operation whose client does not know.
enum Fate {
    /// It cannot be told.
    Unknown,
    /// It never took effect.
    Never,
    /// If it took effect, then here.
    At(Commit),
}

fn fate(operation: &Operation, commits: &Commits) -> Fate {
    let committed = |key: &Bytes, value: &Bytes| commits.get(&(key.clone(), value.clone())).copied();
    let is_known = matches!(operation.end, End::Returned { .. });
    match &operation.input {
        Input::Get { .. } => Fate::Never,
        Input::Delete { .. } => Fate::Unknown,
        Input::Put { key, value } | Input::Append { key, value } => {
            committed(key, value).map_or(Fate::Never, Fate::At)
        }
        Input::CompareAndSwap { key, new, .. } => match committed(key, new) {
            None => Fate::Never,
            Some(commit) if is_known => Fate::At(commit),
            Some(_) => Fate::Unknown, // committed, it may still have found another value
        },
    }
}

/// Sequential processes: a client is one until an outcome stays unknown, and then goes on as another.
#[derive(Default)]
struct Processes {
    current: BTreeMap<NodeName, u64>,
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
        assert_eq!(judge(&operations, &Commits::new()), Verdict::Linearizable);
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
        let Verdict::Violation(contradiction) = judge(&operations, &Commits::new()) else {
            panic!("b was never written")
        };
        assert!(contradiction.operations.contains(&3), "in places of the whole list: {contradiction:?}");
        assert_eq!(contradiction.key, KEY);
    }

    #[test]
    fn a_stale_read_is_a_violation() {
        let operations = [put("c1", 0, "a", done(1)), put("c1", 2, "b", done(3)), get("c2", 4, 5, Some("a"))];
        assert!(matches!(judge(&operations, &Commits::new()), Verdict::Violation(_)));
    }

    /// So many writes of unknown fate, and Gets that see few of them, that no budget suffices without help.
    fn doubtful(stale: bool) -> (Vec<Operation>, Commits) {
        let mut operations = Vec::new();
        let mut commits = Commits::new();
        for n in 0..60u64 {
            let value = Bytes::from(format!("{n},"));
            let unknown = End::Unknown { at: Duration::from_nanos(10 * n + 5), why: "gave up".into() };
            let input = Input::Append { key: KEY, value: value.clone() };
            operations.push(operation("c1", 10 * n, input, unknown));
            if n % 2 == 0 {
                commits
                    .insert((KEY, value), Commit { at: Duration::from_nanos(10 * n + 4), op: OpNumber(n) });
            }
        }
        let all: String = (0..60).filter(|n| n % 2 == 0).map(|n| format!("{n},")).collect();
        let seen = if stale { &all[3..] } else { &all };
        let output = Output::Value(Some(Bytes::copy_from_slice(seen.as_bytes())));
        let end = End::Returned { at: Duration::from_nanos(1001), output };
        operations.push(operation("c2", 1000, Input::Get { key: KEY }, end));
        (operations, commits)
    }

    #[test]
    fn what_the_servers_did_only_narrows_what_the_clients_saw() {
        let (operations, commits) = doubtful(false);
        assert_eq!(judge_as_seen(&operations, Some(&commits), BUDGET), Verdict::Linearizable);
        let (operations, commits) = doubtful(true);
        assert_ne!(judge_as_seen(&operations, Some(&commits), BUDGET), Verdict::Linearizable);
        assert_ne!(judge(&operations, &commits), judge_as_seen(&operations, Some(&commits), BUDGET));
    }
}
