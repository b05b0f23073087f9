//! I10: what clients are told of the order of changes is the order of the servers.
//!
//! Each answer has a revision, the number of the operation after which it was true. An update's is the
//! operation at which the servers committed it, also when it was asked for twice. A read's may be any that
//! keeps time: no smaller than what anyone was told before the read was called, no larger than what is
//! committed; and what was read is what the key held after that operation, changed last by the operation that
//! the answer names.
//!
//! Source: section 7 of [`pbkv::protocol`]. It sees a stale read even of a key that nobody changed meanwhile,
//! which no history of values shows. It cannot see that a revision is older than it need be, as long as
//! nobody was told a later one; and it looks at updates and values only as far as each commitment was seen.

use std::collections::BTreeMap;

use bytes::Bytes;
use pbkv::protocol::{command::Update, identity::OpNumber};
use testbed::{
    data::{node::NodeName, outcome::DATA_LOST},
    judges::broken::{Broken, Check},
};

use crate::{
    bound::{End, Operation},
    judges::order::{ServersOrder, Version},
    store::operation::{Detail, Input, Output, Told},
};

/// What clients were told of the order so far.
#[derive(Clone, Debug, Default)]
pub struct Revisions {
    /// The largest revision that any client was told.
    highest: OpNumber,
    /// What that was when each operation was called, and the generation.
    floors: Vec<(OpNumber, u64)>,
    /// How often all data was given up: the generation that is served has the number that follows.
    given_up: u64,
    /// The latest generation that each client was answered in or told of.
    known: BTreeMap<NodeName, u64>,
}

/// What was told when something was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// The latest revision that any client had been told.
    pub revision: OpNumber,
    /// The generation that was served.
    pub generation: u64,
}

impl Revisions {
    /// What an answer to a question of this moment must not be older than.
    pub fn floor(&self) -> Floor {
        Floor { revision: self.highest, generation: self.given_up + 1 }
    }

    /// The next operation is called.
    pub fn called(&mut self) {
        self.floors.push((self.highest, self.given_up + 1));
    }

    /// All data is given up: a generation begins whose revisions begin anew.
    pub fn begin_anew(&mut self) {
        self.given_up += 1;
        self.highest = OpNumber(0);
    }

    /// A client ended, and comes back as one that knows nothing.
    pub fn client_ended(&mut self, client: &NodeName) {
        self.known.remove(client);
    }

    /// The operation at `place` ended. What it was told must be the order in which the servers took the
    /// updates.
    ///
    /// # Errors
    ///
    /// What was promised, and what was told instead.
    pub fn answered(&mut self, place: usize, operation: &Operation, order: &ServersOrder) -> Check {
        let (floor, current) = self.floors[place];
        self.one_history(operation, current)?;
        let (Some(told), End::Returned { output, .. }) = (operation.detail.told, &operation.end) else {
            return Ok(());
        };
        let revision = told.revision;
        let order = order.of(operation);
        if operation.detail.generation == 0 || operation.detail.generation == self.given_up + 1 {
            self.highest = self.highest.max(revision);
        }
        let floor = if operation.detail.generation > current { OpNumber(0) } else { floor };
        let is_known = order.is_complete();
        let broken = if revision < floor {
            Some(format!("when it was called, a client had been told {floor} already"))
        } else if is_known && revision > order.committed_up_to() {
            Some(format!("the servers have committed up to {} alone", order.committed_up_to()))
        } else if is_known {
            contradiction(operation, output, told, order)
        } else {
            None
        };
        broken.map_or(Ok(()), |why| Err(broken_by(operation, revision, &why)))
    }
}

impl Revisions {
    /// I12: once an operator gave the data up, nothing that is called later is answered by what was given up;
    /// a client that was answered before is told so once, before it is answered by what followed. An
    /// operation that ended was called when generation `current` was the latest.
    fn one_history(&mut self, operation: &Operation, current: u64) -> Check {
        let Operation { client, end, detail: Detail { generation, .. }, .. } = operation;
        let known = self.known.get(client).copied();
        let broken = |seen: String| {
            let promised =
                "data that an operator gave up answers no more, and each client is told once that it is gone";
            let asked = crate::store::operation::asked(operation);
            Err(Broken { invariant: "I12", promised, seen: format!("{asked} {seen}") })
        };
        match end {
            End::Unknown { why, .. } if why.starts_with(DATA_LOST) => {
                if *generation > self.given_up {
                    return broken(format!("was told that generation {generation} is gone, which is served"));
                }
                self.known.insert(client.clone(), self.given_up + 1);
            }
            End::Returned { .. } if *generation > 0 => {
                if *generation < current {
                    return broken(format!(
                        "was answered by generation {generation}, given up before it was called"
                    ));
                }
                if let Some(known) = known.filter(|known| known != generation) {
                    return broken(format!(
                        "was answered by generation {generation}, and its client was never told that {known} is gone"
                    ));
                }
                self.known.insert(client.clone(), *generation);
            }
            _ => {}
        }
        Ok(())
    }
}

fn broken_by(operation: &Operation, revision: OpNumber, why: &str) -> Broken {
    Broken {
        invariant: "I10",
        promised: "the revision of an answer is the operation of the servers' order after which it was true",
        seen: format!("{} was answered at {revision}: {why}", crate::store::operation::asked(operation)),
    }
}

/// What the servers' order has at the revision of an answer, if it is something else.
fn contradiction(operation: &Operation, output: &Output, told: Told, order: &ServersOrder) -> Option<String> {
    let versions = order.versions(operation.input.key());
    let upto = versions.partition_point(|version| version.op <= told.revision);
    let last = upto.checked_sub(1).map(|place| &versions[place]);
    if let (Input::Get { .. }, Output::Value(value)) = (&operation.input, output) {
        let held = last.and_then(|version| version.after.as_ref());
        let modified = last.map_or(OpNumber(0), |version| version.modified);
        return if held != value.as_ref() {
            Some(format!("the key held {} then", value_of(held)))
        } else {
            changed_by(told.found, modified)
        };
    }
    let own = last.filter(|version| version.op == told.revision && is_of(version, &operation.input));
    if own.is_none() {
        return Some(match order.version_of_input(&operation.input) {
            Some(version) => format!("the servers committed it as {}", version.op),
            None => format!("the servers did not commit it as {}", told.revision),
        });
    }
    let before = upto.checked_sub(2).map_or(OpNumber(0), |place| versions[place].modified);
    if let (Some(expected), Output::Swapped { swapped, .. }) = (operation.detail.expected_revision, output)
        && *swapped != (expected == before)
    {
        let not = if *swapped { "" } else { "not " };
        return Some(format!(
            "it was {not}swapped for {expected}, and the last change of the key was {before}"
        ));
    }
    changed_by(told.found, before)
}

fn changed_by(found: Option<OpNumber>, modified: OpNumber) -> Option<String> {
    let found = found.filter(|found| *found != modified)?;
    Some(format!("it names {found} as the last change of the key, which was {modified}"))
}

/// Whether a version is what an operation asked for.
fn is_of(version: &Version, input: &Input) -> bool {
    match (&version.update, input) {
        (Update::Put { value, .. }, Input::Put { value: asked, .. })
        | (Update::Append { value, .. }, Input::Append { value: asked, .. })
        | (Update::CompareAndSwap { new: value, .. }, Input::CompareAndSwap { new: asked, .. }) => {
            value == asked
        }
        (Update::Delete { .. }, Input::Delete { .. }) => true,
        _ => false,
    }
}

fn value_of(held: Option<&Bytes>) -> String {
    held.map_or("nothing".into(), |held| format!("\"{}\"", held.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pbkv::protocol::{
        command::{Command, Entry, Expected},
        identity::{Position, RequestNumber, SessionId, ViewNumber},
    };

    use super::*;

    const KEY: Bytes = Bytes::from_static(b"k");

    /// Opens a session (op1), puts "a" (op2), puts "b" (op3), swaps in vain (op4) and by revision (op5),
    /// deletes (op6).
    fn order() -> ServersOrder {
        let mut order = ServersOrder::default();
        let swap =
            |expected, new: &'static str| Update::CompareAndSwap { key: KEY, expected, new: new.into() };
        let updates = [
            Update::Put { key: KEY, value: "a".into() },
            Update::Put { key: KEY, value: "b".into() },
            swap(Expected::Revision(OpNumber(2)), "x"),
            swap(Expected::Revision(OpNumber(3)), "c"),
            Update::Delete { key: KEY },
        ];
        let updates = (1..).zip(updates).map(|(request, update)| Command::Update {
            session: SessionId(1),
            request: RequestNumber(request),
            update,
        });
        let view = ViewNumber(1);
        for command in [Command::OpenSession { ttl: Duration::from_secs(60) }].into_iter().chain(updates) {
            let position = Position { view, op: order.committed_up_to().next() };
            order.written(&Entry { position, timestamp: Duration::ZERO, command });
            order.committed(Duration::from_nanos(1), view);
        }
        order
    }

    fn answer(input: Input, output: Output, revision: u64, found: Option<u64>) -> Operation {
        Operation {
            end: End::Returned { at: Duration::from_nanos(9), output },
            detail: Detail {
                told: Some(Told { revision: OpNumber(revision), found: found.map(OpNumber) }),
                ..Detail::default()
            },
            ..Operation::called("c1".into(), Duration::ZERO, input)
        }
    }

    fn get(value: Option<&'static str>, revision: u64, found: u64) -> Operation {
        answer(Input::Get { key: KEY }, Output::Value(value.map(Bytes::from)), revision, Some(found))
    }

    fn put(value: &'static str, revision: u64) -> Operation {
        answer(Input::Put { key: KEY, value: value.into() }, Output::Done, revision, None)
    }

    fn swap(new: &'static str, swapped: bool, revision: u64, found: u64) -> Operation {
        let output = Output::Swapped { swapped, previous: None };
        answer(
            Input::CompareAndSwap { key: KEY, expected: None, new: new.into() },
            output,
            revision,
            Some(found),
        )
    }

    fn judged(operation: &Operation) -> Option<String> {
        let mut revisions = Revisions::default();
        revisions.called();
        revisions.answered(0, operation, &order()).err().map(|broken| broken.seen)
    }

    #[test]
    fn what_is_told_is_the_order_of_the_servers() {
        let delete = |revision| {
            answer(Input::Delete { key: KEY }, Output::Deleted { existed: Some(true) }, revision, None)
        };
        for right in [
            put("a", 2),
            put("b", 3),
            swap("x", false, 4, 3),
            swap("c", true, 5, 3),
            delete(6),
            get(None, 0, 0),
            get(None, 1, 0),
            get(Some("a"), 2, 2),
            get(Some("b"), 3, 3),
            get(Some("b"), 4, 3),
            get(Some("c"), 5, 5),
            get(None, 6, 0),
        ] {
            assert_eq!(judged(&right), None, "{right:?}");
        }
        for (wrong, words) in [
            (put("a", 3), "committed it as op2"),
            (put("z", 3), "did not commit it as op3"),
            (swap("c", true, 4, 3), "committed it as op5"),
            (swap("c", true, 5, 2), "names op2 as the last change of the key, which was op3"),
            (delete(5), "did not commit it as op5"),
            (get(Some("a"), 3, 2), "the key held \"b\" then"),
            (get(None, 5, 0), "the key held \"c\" then"),
            (get(Some("b"), 4, 4), "names op4 as the last change of the key, which was op3"),
            (get(Some("b"), 4, 0), "names op0 as the last change of the key, which was op3"),
            (get(None, 7, 0), "committed up to op6 alone"),
        ] {
            let seen = judged(&wrong).unwrap_or_else(|| panic!("accepted: {wrong:?}"));
            assert!(seen.contains(words), "{seen}");
        }
    }

    #[test]
    fn a_swap_by_revision_is_made_exactly_if_the_key_has_the_revision() {
        let swap = |expected, swapped, op| {
            let mut operation = swap(if op == 4 { "x" } else { "c" }, swapped, op, 3);
            operation.detail.expected_revision = Some(OpNumber(expected));
            operation
        };
        assert_eq!(judged(&swap(2, false, 4)), None);
        assert_eq!(judged(&swap(3, true, 5)), None);
        for (wrong, words) in [
            (swap(2, true, 4), "it was swapped for op2, and the last change of the key was op3"),
            (swap(3, false, 5), "it was not swapped for op3, and the last change of the key was op3"),
        ] {
            let seen = judged(&wrong).unwrap_or_else(|| panic!("accepted: {wrong:?}"));
            assert!(seen.contains(words), "{seen}");
        }
    }

    #[test]
    fn no_answer_is_older_than_what_was_told_before_its_call() {
        let order = order();
        let mut revisions = Revisions::default();
        revisions.called();
        revisions.called();
        assert_eq!(revisions.answered(0, &get(Some("b"), 3, 3), &order), Ok(()));
        revisions.called();
        let earlier = get(Some("a"), 2, 2);
        assert_eq!(revisions.answered(1, &earlier, &order), Ok(()), "it was called before op3 was told");
        let late = revisions.answered(2, &earlier, &order).expect_err("it was called after that");
        assert!(late.seen.contains("had been told op3 already"), "{late}");
    }

    #[test]
    fn what_was_given_up_answers_no_more_and_its_clients_are_told_once() {
        let mut order = order();
        let mut revisions = Revisions::default();
        let of = |generation, mut operation: Operation| {
            operation.detail.generation = generation;
            operation
        };
        let told = |generation| {
            let end = End::Unknown { at: Duration::ZERO, why: format!("{DATA_LOST}all") };
            Operation { end, ..of(generation, put("z", 1)) }
        };
        (0..2).for_each(|_| revisions.called());
        assert_eq!(revisions.answered(0, &of(1, put("a", 2)), &order), Ok(()));
        order.begin_anew();
        revisions.begin_anew();
        (2..8).for_each(|_| revisions.called());
        let next = |client: &str| Operation { client: client.into(), ..of(2, get(None, 0, 0)) };
        let mut judged = |place, operation: &Operation| {
            revisions.answered(place, operation, &order).err().map_or(String::new(), |broken| broken.seen)
        };
        assert_eq!(judged(1, &of(1, put("b", 3))), "", "it was called before");
        assert!(judged(2, &of(1, get(Some("a"), 2, 2))).contains("given up before it was called"));
        assert!(judged(3, &next("c1")).contains("never told that 1 is gone"));
        assert_eq!(judged(4, &told(1)), "");
        assert_eq!(judged(5, &next("c1")), "");
        assert_eq!(judged(6, &next("c2")), "", "it knew nothing before");
        assert!(judged(7, &told(2)).contains("generation 2 is gone, which is served"));
    }

    #[test]
    fn what_was_not_seen_committed_is_not_compared() {
        let mut order = ServersOrder::default();
        order.committed(Duration::ZERO, ViewNumber(1));
        let mut revisions = Revisions::default();
        revisions.called();
        assert_eq!(revisions.answered(0, &put("a", 9), &order), Ok(()));
    }
}
