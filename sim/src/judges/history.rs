//! Hands what the clients saw to the linearizability checker, and translates what it says.

use std::{collections::BTreeMap, time::Duration};

use ::linearizability::{
    Budget, Reason, Violation,
    kv::{
        Kv, KvHistory,
        sentence::{Words, tell},
    },
    witness,
};
use bytes::Bytes;
use pbkv::protocol::{command::Update, identity::OpNumber};
use testbed::{
    data::outcome::{self, Verdict},
    judges::linearizability::{self, BUDGET, history, nanoseconds},
    report::screen,
};

use crate::{
    bound::{End, Operation},
    judges::order::{ServersOrder, Version},
    store::{
        Pbkv,
        operation::{Input, Output},
    },
};

/// Judges the operations of a run. Operations that were certainly not executed are left out: they promise
/// nothing and change nothing. Each generation is a history of its own, which begins empty.
///
/// Many operations of unknown fate on one key can be placed in too many orders. So the judge first lets the
/// checker replay the order in which the servers took them. If that is a linearization, it is one whatever
/// the servers are worth. If it is none, the clients' view alone decides whether their history can be, and
/// [`unexplained`] names what the servers and the clients do not agree on.
pub fn judge(operations: &[Operation], order: &ServersOrder) -> Verdict {
    let mut undecided = None;
    for (generation, order) in order.generations() {
        let (places, history) = history(operations, |operation| operation.detail.is_of(generation));
        let verdict =
            match proposal(operations, &places, order).map(|order| witness::replay(&Kv, &history, &order)) {
                Some(Ok(())) => Verdict::Linearizable,
                None | Some(Err(_)) => decide(operations, &places, &history, BUDGET),
            };
        match verdict {
            Verdict::Linearizable | Verdict::NotJudged => {}
            Verdict::Undecided(_) => undecided = Some(verdict),
            Verdict::Violation(_) => return verdict,
        }
    }
    undecided.unwrap_or(Verdict::Linearizable)
}

/// I9: what clients were told is what the servers committed. An answer that the servers' order does not
/// explain, or an update that was reported as not executed and stands in the order, is a broken promise even
/// if no client could tell. A delete that was executed although its client was told otherwise cannot be told
/// from another one.
pub fn unexplained(operations: &[Operation], order: &ServersOrder) -> Option<outcome::Violation> {
    operations.iter().find_map(|operation| {
        let order = order.of(operation);
        if !order.is_complete() {
            return None;
        }
        let seen = match &operation.end {
            End::Returned { .. } if !order.explains(operation) => {
                "the order in which the servers committed does not explain it".to_owned()
            }
            End::NotExecuted { .. } => {
                let version = order.version_of_input(&operation.input)?;
                format!("it was committed as {} at {:.6} s", version.op, version.at.as_secs_f64())
            }
            _ => return None,
        };
        Some(outcome::Violation {
            at: operation.end.at().unwrap_or_default(),
            node: operation.client.clone(),
            invariant: "I9".into(),
            message: format!(
                "what a client is told is what the servers committed; but of {} {seen}",
                screen::operation(operation)
            ),
        })
    })
}

/// Judges the operations on the key of one that was answered, in its generation, by what the clients saw
/// alone.
pub fn judge_key(operations: &[Operation], answered: &Operation, budget: Budget) -> Verdict {
    let is_judged = |operation: &Operation| {
        operation.input.key() == answered.input.key()
            && (answered.detail.generation == 0 || operation.detail.is_of(answered.detail.generation))
    };
    let (places, history) = history(operations, is_judged);
    decide(operations, &places, &history, budget)
}

fn decide(operations: &[Operation], places: &[usize], history: &KvHistory, budget: Budget) -> Verdict {
    let words = |violation: &Violation| sentence(operations, places, history, violation);
    linearizability::decide::<Pbkv>(places, history, budget, words)
}

/// A contradiction in words. Its operations are named by what they did, by whom, and, unless the sentence is
/// about times anyway, by when they were called.
fn sentence(operations: &[Operation], places: &[usize], history: &KvHistory, found: &Violation) -> String {
    let is_about_times = matches!(
        found.reason,
        Reason::FromTheFuture { .. }
            | Reason::TwoValuesAtOnce { .. }
            | Reason::WrongOrder { .. }
            | Reason::Stale { .. }
    );
    let seconds = |time: u64| format!("{:.3} s", Duration::from_nanos(time).as_secs_f64());
    let name = |index: usize, did: &str| {
        let Operation { client, called, .. } = &operations[places[index]];
        let by = format!("{did} by {client}");
        if is_about_times { by } else { format!("{by} at {}", seconds(nanoseconds(*called))) }
    };
    tell(history, found, &Words { operation: &name, time: &seconds })
}

/// The servers' order as an order of the judged operations, if it names each update that was answered and
/// explains each Get.
fn proposal(operations: &[Operation], places: &[usize], order: &ServersOrder) -> Option<Vec<usize>> {
    /// Before or after the change with this number, at this time.
    type Instant = (Duration, OpNumber, bool);
    let mut writers = Writers::of(operations, places);
    let mut instants: Vec<(Instant, usize)> = Vec::with_capacity(places.len());
    for key in order.keys() {
        for version in order.versions(key) {
            let writer = writers.take(version)?;
            instants.push(((version.at, version.op, false), writer));
        }
    }
    for (index, place) in places.iter().enumerate() {
        let Operation { called, input, end, .. } = &operations[*place];
        if let (Input::Get { key }, End::Returned { at: returned, output: Output::Value(value) }) =
            (input, end)
        {
            let count = order.holds(key, value, *called, *returned)?;
            let after = count.checked_sub(1).map(|place| &order.versions(key)[place]);
            let instant = match after {
                Some(version) if version.at >= *called => (version.at, version.op, true),
                _ => (*called, OpNumber(u64::MAX), true),
            };
            instants.push((instant, index));
        }
    }
    instants.sort_unstable();
    Some(instants.into_iter().map(|(_, index)| index).collect())
}

/// Which operation asked for an update that took effect. Written values are unique. Deletes look alike: of
/// those that can have been it, the one that ended first, because the others have longer to wait for theirs.
#[derive(Default)]
struct Writers {
    values: BTreeMap<(Bytes, Bytes), usize>,
    deletes: BTreeMap<Bytes, Vec<Delete>>,
}

struct Delete {
    called: Duration,
    /// The end of time, if it did not end.
    ended: Duration,
    existed: Option<bool>,
    index: usize,
}

impl Writers {
    fn of(operations: &[Operation], places: &[usize]) -> Self {
        let mut writers = Self::default();
        for (index, place) in places.iter().enumerate() {
            let Operation { called, input, end, .. } = &operations[*place];
            match input {
                Input::Get { .. } => {}
                Input::Delete { key } => {
                    let (ended, existed) = match end {
                        End::Returned { at, output: Output::Deleted { existed } } => (*at, *existed),
                        _ => (Duration::MAX, None),
                    };
                    let delete = Delete { called: *called, ended, existed, index };
                    writers.deletes.entry(key.clone()).or_default().push(delete);
                }
                Input::Put { key, value }
                | Input::Append { key, value }
                | Input::CompareAndSwap { key, new: value, .. } => {
                    writers.values.insert((key.clone(), value.clone()), index);
                }
            }
        }
        writers
    }

    fn take(&mut self, version: &Version) -> Option<usize> {
        match &version.update {
            Update::Put { key, value }
            | Update::Append { key, value, .. }
            | Update::CompareAndSwap { key, new: value, .. } => {
                self.values.remove(&(key.clone(), value.clone()))
            }
            Update::Delete { key } => {
                let deletes = self.deletes.get_mut(key)?;
                let fits = |delete: &Delete| {
                    delete.called < version.at
                        && version.at < delete.ended
                        && delete.existed.is_none_or(|existed| existed == version.before.is_some())
                };
                let fitting = deletes.iter().enumerate().filter(|(_, delete)| fits(delete));
                let (place, _) = fitting.min_by_key(|(_, delete)| delete.ended)?;
                Some(deletes.swap_remove(place).index)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::{
        command::{Command, Entry},
        identity::{Position, RequestNumber, SessionId, ViewNumber},
    };

    use super::*;

    const KEY: Bytes = Bytes::from_static(b"k");

    fn operation(client: &str, called: u64, input: Input, end: End) -> Operation {
        Operation { end, ..Operation::called(client.into(), Duration::from_nanos(called), input) }
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

    fn commit(order: &mut ServersOrder, at: u64, command: Command) {
        let view = ViewNumber(1);
        let position = Position { view, op: order.committed_up_to().next() };
        order.written(&Entry { position, timestamp: Duration::ZERO, command });
        order.committed(Duration::from_nanos(at), view);
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
        assert_eq!(judge(&operations, &ServersOrder::default()), Verdict::Linearizable);
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
        let Verdict::Violation(contradiction) = judge(&operations, &ServersOrder::default()) else {
            panic!("b was never written")
        };
        assert!(contradiction.operations.contains(&3), "in places of the whole list: {contradiction:?}");
        assert_eq!(contradiction.key, KEY);
    }

    #[test]
    fn what_the_servers_committed_must_be_what_clients_were_told() {
        let at = |nanoseconds| Duration::from_nanos(nanoseconds);
        let mut order = ServersOrder::default();
        commit(&mut order, 1, Command::OpenSession { ttl: Duration::from_secs(60) });
        let update = Update::Put { key: KEY, value: "a".into() };
        commit(&mut order, 3, Command::Update { session: SessionId(1), request: RequestNumber(1), update });
        let broken = |operation| unexplained(&[operation], &order).map(|violation| violation.message);
        assert_eq!(broken(put("c1", 2, "a", done(4))), None);
        assert_eq!(broken(put("c1", 2, "b", End::Open)), None);
        assert_eq!(broken(put("c1", 2, "a", End::Unknown { at: at(4), why: "silence".into() })), None);
        let refused = |value| put("c1", 2, value, End::NotExecuted { at: at(4), why: "refused".into() });
        assert_eq!(broken(refused("b")), None);
        let denied = broken(refused("a")).expect("it was executed");
        assert!(denied.contains("it was committed as op2"), "{denied}");
        assert!(broken(put("c1", 2, "b", done(4))).expect("it is absent").contains("does not explain"));
        assert!(broken(put("c1", 4, "a", done(5))).is_some(), "it was committed before it was called");
    }

    #[test]
    fn a_contradiction_is_told_by_what_was_done_by_whom_and_when() {
        const S: u64 = 1_000_000_000;
        let invalid = End::NotExecuted { at: Duration::ZERO, why: "invalid".into() };
        let told = |mut operations: Vec<Operation>| {
            // The checker counts without it.
            operations.insert(0, put("c3", 0, "x", invalid.clone()));
            match judge(&operations, &ServersOrder::default()) {
                Verdict::Violation(contradiction) => contradiction.sentence,
                verdict => panic!("{verdict:?}"),
            }
        };
        let stale = vec![
            put("c1", S, "a", done(2 * S)),
            put("c2", 3 * S + S / 4, "b", done(4 * S)),
            get("c1", 5 * S, 6 * S, Some("a")),
        ];
        assert_eq!(
            told(stale),
            "get \"k\" -> \"a\" by c1 is stale: it was called at 5.000 s, but put \"k\" \"b\" by c2 had replaced \"a\" between \
             3.250 s and 4.000 s, after put \"k\" \"a\" by c1 had returned at 2.000 s"
        );
        let invented = vec![get("c1", 5 * S + S / 8, 6 * S, Some("x"))];
        assert_eq!(told(invented), "get \"k\" -> \"x\" by c1 at 5.125 s saw a value that nobody had written");
    }

    #[test]
    fn each_generation_is_a_history_of_its_own() {
        let mut order = ServersOrder::default();
        order.begin_anew();
        let of = |generation, mut operation: Operation| {
            operation.detail.generation = generation;
            operation
        };
        let judged = |last: Operation| judge(&[of(1, put("c1", 0, "a", done(1))), last], &order);
        assert_eq!(judged(of(2, get("c2", 2, 3, None))), Verdict::Linearizable);
        assert_eq!(judged(of(1, get("c2", 2, 3, Some("a")))), Verdict::Linearizable);
        assert!(matches!(judged(of(2, get("c2", 2, 3, Some("a")))), Verdict::Violation(_)), "it comes back");
        assert!(matches!(judged(of(1, get("c2", 2, 3, None))), Verdict::Violation(_)));
    }

    #[test]
    fn a_stale_read_is_a_violation() {
        let operations = [put("c1", 0, "a", done(1)), put("c1", 2, "b", done(3)), get("c2", 4, 5, Some("a"))];
        assert!(matches!(judge(&operations, &ServersOrder::default()), Verdict::Violation(_)));
    }

    /// So many writes of unknown fate, and Gets that see few of them, that no budget suffices without help.
    fn doubtful(stale: bool) -> (Vec<Operation>, ServersOrder) {
        let mut operations = Vec::new();
        let mut order = ServersOrder::default();
        let mut commit = |at, command| commit(&mut order, at, command);
        commit(0, Command::OpenSession { ttl: Duration::from_secs(60) });
        for n in 0..60u64 {
            let value = Bytes::from(format!("{n},"));
            let unknown = End::Unknown { at: Duration::from_nanos(10 * n + 5), why: "gave up".into() };
            let input = Input::Append { key: KEY, value: value.clone() };
            operations.push(operation("c1", 10 * n, input, unknown));
            // A retry that stands in the log twice takes effect once.
            for _ in 0..2 * u64::from(n % 2 == 0) {
                let update = Update::Append { key: KEY, value: value.clone(), value_bytes_max: 1000 };
                let (session, request) = (SessionId(1), RequestNumber(n + 1));
                commit(10 * n + 4, Command::Update { session, request, update });
            }
        }
        let all: String = (0..60).filter(|n| n % 2 == 0).map(|n| format!("{n},")).collect();
        let seen = if stale { &all[3..] } else { &all };
        let output = Output::Value(Some(Bytes::copy_from_slice(seen.as_bytes())));
        let end = End::Returned { at: Duration::from_nanos(1001), output };
        operations.push(operation("c2", 1000, Input::Get { key: KEY }, end));
        (operations, order)
    }

    #[test]
    fn the_servers_order_explains_what_no_search_could() {
        let (operations, order) = doubtful(false);
        assert_eq!(judge(&operations, &order), Verdict::Linearizable);
        assert!(operations.iter().all(|operation| order.explains(operation)));
    }

    #[test]
    fn what_the_servers_order_does_not_explain_is_left_to_the_clients_view() {
        let (operations, order) = doubtful(true);
        assert_ne!(judge(&operations, &order), Verdict::Linearizable);
        let get = operations.last().expect("there are operations");
        assert!(!order.explains(get), "it is stale");
    }

    #[test]
    fn deletes_that_look_alike_go_to_those_who_asked() {
        let mut order = ServersOrder::default();
        let mut commit = |at, command| commit(&mut order, at, command);
        let update = |request, update| Command::Update {
            session: SessionId(1),
            request: RequestNumber(request),
            update,
        };
        commit(0, Command::OpenSession { ttl: Duration::from_secs(60) });
        commit(2, update(1, Update::Put { key: KEY, value: "a".into() }));
        commit(12, update(2, Update::Delete { key: KEY }));
        commit(14, update(3, Update::Delete { key: KEY }));
        let delete = |client, called, at, existed| {
            let end = End::Returned { at: Duration::from_nanos(at), output: Output::Deleted { existed } };
            operation(client, called, Input::Delete { key: KEY }, end)
        };
        let unknown = End::Unknown { at: Duration::from_nanos(11), why: "gave up".into() };
        let operations = [
            put("c1", 1, "a", done(3)),
            operation("c2", 10, Input::Delete { key: KEY }, unknown),
            delete("c1", 10, 20, Some(false)),
            delete("c3", 10, 13, Some(true)),
            get("c3", 16, 17, None),
        ];
        let (places, judged) = history(&operations, |_| true);
        let proposed = proposal(&operations, &places, &order).expect("each commitment was asked for");
        assert_eq!(proposed, [0, 3, 2, 4]);
        assert_eq!(witness::replay(&Kv, &judged, &proposed), Ok(()));
    }
}
