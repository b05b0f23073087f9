//! Each invariant holds on a good state and breaks on the smallest bad one.

use std::time::Duration;

use bytes::Bytes;
use pbkv::protocol::{
    command::{Command, Entry, Request, RequestBody},
    identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, Ticket, ViewNumber},
    log::{Durable, Write},
    machine::Machine,
    message::{
        Append, AppendAck, AppendResult, Chunk, Echo, PeerMessage, PingReply, PingReplyBody, TransferId,
    },
    options::{ReplicaOptions, ViewServiceOptions},
    replica::{Effect, Event, Replica, Start},
    store::{Cursor, State},
    view::{Members, Record, View},
};

mod memory;
mod one_history;
mod refusals;

use super::{Check, Invariants, i3_commit_reaches_all};
use crate::judges::order::ServersOrder;

const NOW: Duration = Duration::from_secs(1);
const BOOT: Boot = Boot(1);

fn server(name: &str) -> ServerId {
    ServerId::new(name)
}

fn data(name: &str) -> DataId {
    DataId { boot: BOOT, nonce: u64::from(name.as_bytes()[0]) }
}

fn members(names: &[&str]) -> Members {
    names.iter().map(|name| (server(name), data(name))).collect()
}

/// An activated view whose first member is the primary.
fn view(number: u64, insync: &[&str]) -> View {
    View {
        generation: Generation::FIRST,
        number: ViewNumber(number),
        primary: server(insync[0]),
        primary_boot: BOOT,
        insync: members(insync),
        joining: Members::new(),
        activated: true,
    }
}

fn record(number: u64, insync: &[&str]) -> Record {
    Record {
        generation: Generation::FIRST,
        number: ViewNumber(number),
        view: Some(view(number, insync)),
        stable: members(insync),
        ..Record::default()
    }
}

fn position(view: u64, op: u64) -> Position {
    Position { view: ViewNumber(view), op: OpNumber(op) }
}

fn entry(view: u64, op: u64) -> Entry {
    let command = Command::OpenSession { ttl: Duration::from_secs(60) };
    Entry { position: position(view, op), timestamp: Duration::ZERO, command }
}

/// A replica in its first life, all of whose writes become durable at once, with and without the
/// invariants' knowledge.
struct Node {
    replica: Replica,
    written: u64,
}

impl Node {
    /// A server that the view service has accepted.
    fn start(name: &str) -> Self {
        let nonce = u64::from(name.as_bytes()[0]);
        let durable = Durable::default();
        let start = Start { server: server(name), boot: BOOT, nonce, durable };
        let mut node = Self { replica: Replica::new(ReplicaOptions::default(), start, NOW), written: 0 };
        node.quietly(Event::Flush);
        node.told(None);
        node
    }

    /// The same, as primary of a view.
    fn primary(number: u64, insync: &[&str]) -> Self {
        let mut node = Self::start(insync[0]);
        node.told(Some(view(number, insync)));
        assert!(node.replica.as_primary().is_some());
        node
    }

    fn told(&mut self, view: Option<View>) {
        let echo = Echo { epoch: 1, at: NOW };
        let body = PingReplyBody::Accepted { view, echo, lease: None, generation: Generation::FIRST };
        self.quietly(Event::PingReply(PingReply {
            boot: BOOT,
            number: 1,
            cluster: ViewServiceOptions::default().of_all(),
            body,
        }));
    }

    /// Takes an event and all that follows from it, unseen.
    fn quietly(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.replica.step(NOW, event, &mut effects);
        self.replica.step(NOW, Event::Flush, &mut effects);
        let persisted: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Persist { number, .. } => Some(*number),
                _ => None,
            })
            .collect();
        for number in persisted {
            self.written += 1;
            self.replica.step(NOW, Event::Persisted(number), &mut effects);
        }
        effects
    }

    /// Takes an event; then its writes are seen, and then its state.
    fn seen(&mut self, invariants: &mut Invariants, event: Event) -> Check {
        let name = self.replica.server().clone();
        let effects = self.quietly(event);
        for effect in &effects {
            if let Effect::Persist { writes, .. } = effect {
                writes.iter().try_for_each(|write| invariants.disk_written(&name, write))?;
            }
        }
        invariants.replica_stepped(&name, &self.replica, &effects)
    }

    fn check(&self, invariants: &mut Invariants) -> Check {
        invariants.replica_stepped(self.replica.server(), &self.replica, &[])
    }
}

fn request(ticket: u64, body: RequestBody) -> Event {
    Event::Request { ticket: Ticket(ticket), request: Request { generation: Generation::UNKNOWN, body } }
}

fn append(view: u64, from: &str, to: &str, entries: Vec<Entry>, commit: u64) -> Event {
    Event::Peer(PeerMessage::Append(Append {
        generation: Generation::FIRST,
        view: ViewNumber(view),
        from: server(from),
        to_data: data(to),
        round: 1,
        previous: Position::default(),
        entries,
        commit: OpNumber(commit),
        silence_max: Duration::from_millis(500),
    }))
}

/// Invariants that know of a durable record and of intact disks.
fn with(record: &Record) -> Invariants {
    let mut invariants = Invariants::new();
    for (server, data) in &record.stable {
        let write = Write::Data { data: *data, generation: Generation::FIRST };
        invariants.disk_written(server, &write).expect("nothing is known yet");
    }
    invariants.record_persisted(record).expect("a first record");
    invariants
}

#[track_caller]
fn breaks(invariant: &str, check: Check) {
    let broken = check.expect_err("a promise is broken");
    assert_eq!(broken.invariant, invariant, "{broken}");
}

#[test]
fn i1_a_later_number_may_name_another_primary_and_no_number_two() {
    let mut invariants = with(&record(1, &["A"]));
    assert_eq!(invariants.record_persisted(&record(2, &["B"])), Ok(()));
    breaks("I1", invariants.record_persisted(&record(2, &["A"])));
}

#[test]
fn i1_numbers_never_go_back() {
    let mut invariants = with(&record(2, &["A"]));
    breaks("I1", invariants.record_persisted(&record(1, &["A"])));
}

#[test]
fn i1_a_view_is_durable_before_it_is_told() {
    let mut invariants = with(&record(1, &["A"]));
    assert_eq!(invariants.view_told(&view(1, &["A"])), Ok(()));
    breaks("I1", invariants.view_told(&view(2, &["A"])));
}

#[test]
fn i1_only_the_named_server_acts_as_primary() {
    let node = Node::primary(1, &["A", "B"]);
    assert_eq!(node.check(&mut with(&record(1, &["A", "B"]))), Ok(()));
    breaks("I1", node.check(&mut with(&record(1, &["B", "A"]))));
}

#[test]
fn i2_the_same_place_in_the_same_view_holds_the_same_entry() {
    let mut other = entry(1, 1);
    other.timestamp = Duration::from_secs(9);
    for (second, holds) in [(entry(1, 1), true), (other, false)] {
        let mut invariants = with(&record(1, &["A", "B"]));
        let (mut one, mut two) = (Node::start("B"), Node::start("C"));
        let seen = one.seen(&mut invariants, append(1, "A", "B", vec![entry(1, 1)], 0));
        assert_eq!(seen, Ok(()));
        let check = two.seen(&mut invariants, append(1, "A", "C", vec![second], 0));
        if holds { assert_eq!(check, Ok(())) } else { breaks("I2", check) }
    }
}

#[test]
fn i2_the_same_entry_stands_after_the_same_entries() {
    let mut invariants = with(&record(2, &["A", "B"]));
    let (mut one, mut two) = (Node::start("B"), Node::start("C"));
    let seen = one.seen(&mut invariants, append(2, "A", "B", vec![entry(1, 1), entry(2, 2)], 0));
    assert_eq!(seen, Ok(()));
    breaks("I2", two.seen(&mut invariants, append(2, "A", "C", vec![entry(2, 1), entry(2, 2)], 0)));
}

#[test]
fn i3_what_is_committed_every_announced_replica_holds() {
    let (me, other) = (server("A"), server("B"));
    let check = |matched| i3_commit_reaches_all::all_hold(&me, OpNumber(2), [(&other, matched)].into_iter());
    assert_eq!(check(Some(OpNumber(2))), Ok(()));
    breaks("I3", check(Some(OpNumber(1))));
    breaks("I3", check(None));
}

#[test]
fn i3_an_operation_has_as_many_copies_as_are_asked_for() {
    for (copies_min, is_enough) in [(1, true), (2, false)] {
        let mut invariants = Invariants { copies_min, ..with(&record(1, &["A"])) };
        let mut node = Node::primary(1, &["A"]);
        let check = node.seen(&mut invariants, request(1, RequestBody::OpenSession));
        if is_enough {
            assert_eq!(check, Ok(()));
        } else {
            breaks("I3", check);
        }
    }
}

#[test]
fn i3_a_primary_waits_for_every_stable_replica() {
    let node = Node::primary(1, &["A", "B"]);
    assert_eq!(node.check(&mut with(&record(1, &["A", "B"]))), Ok(()));
    breaks("I3", node.check(&mut with(&record(1, &["A", "B", "C"]))));
}

#[test]
fn i4_whoever_may_be_promoted_holds_what_is_committed() {
    // A alone commits an operation; it is on A's disk or it is not.
    let mut invariants = with(&record(1, &["A"]));
    let mut node = Node::primary(1, &["A"]);
    assert_eq!(node.seen(&mut invariants, request(1, RequestBody::OpenSession)), Ok(()));
    assert_eq!(node.replica.commit(), OpNumber(1));

    let mut invariants = with(&record(1, &["A"]));
    let mut node = Node::primary(1, &["A"]);
    node.quietly(request(1, RequestBody::OpenSession));
    breaks("I4", node.check(&mut invariants));
}

#[test]
fn i4_a_committed_operation_is_not_removed_from_a_stable_disk() {
    let mut invariants = with(&record(1, &["A"]));
    let mut node = Node::primary(1, &["A"]);
    assert_eq!(node.seen(&mut invariants, request(1, RequestBody::OpenSession)), Ok(()));
    breaks("I4", invariants.disk_written(&server("A"), &Write::Truncate(OpNumber(1))));
}

#[test]
fn i4_nobody_becomes_stable_without_what_is_committed() {
    let mut invariants = with(&record(1, &["A"]));
    let mut node = Node::primary(1, &["A"]);
    assert_eq!(node.seen(&mut invariants, request(1, RequestBody::OpenSession)), Ok(()));
    let write = Write::Data { data: data("B"), generation: Generation::FIRST };
    assert_eq!(invariants.disk_written(&server("B"), &write), Ok(()));
    breaks("I4", invariants.record_persisted(&record(1, &["A", "B"])));
}

#[test]
fn i5_all_commit_one_history() {
    for (second, holds) in [(entry(1, 1), true), (entry(2, 1), false)] {
        let mut invariants = with(&record(2, &["A"]));
        invariants.disk_lost(&server("A")); // what I4 says of A is not the question
        let (mut one, mut two) = (Node::start("B"), Node::start("C"));
        assert_eq!(one.seen(&mut invariants, append(2, "A", "B", vec![entry(1, 1)], 1)), Ok(()));
        let check = two.seen(&mut invariants, append(2, "A", "C", vec![second], 1));
        if holds { assert_eq!(check, Ok(())) } else { breaks("I5", check) }
    }
}

#[test]
fn i5_nobody_goes_back_without_a_restart() {
    let mut invariants = with(&record(1, &["A"]));
    invariants.disk_lost(&server("A"));
    let mut node = Node::start("B");
    assert_eq!(node.seen(&mut invariants, append(1, "A", "B", vec![entry(1, 1)], 1)), Ok(()));
    let again = Node::start("B");
    breaks("I5", again.check(&mut invariants));
    invariants.server_started(&server("B"), &Durable::default());
    assert_eq!(again.check(&mut invariants), Ok(()));
}

#[test]
fn i6_a_replaced_primary_completes_nothing_that_it_received_later() {
    for replaced_first in [false, true] {
        let mut invariants = with(&record(1, &["A"]));
        let (mut old, mut new) = (Node::primary(1, &["A"]), Node::start("B"));
        let get = request(7, RequestBody::Get { key: Bytes::from("k") });
        let mut take_over = |invariants: &mut Invariants| {
            let write = Write::Data { data: data("B"), generation: Generation::FIRST };
            invariants.disk_written(&server("B"), &write).expect("an empty disk");
            invariants.record_persisted(&record(2, &["B"])).expect("a later view");
            let echo = Echo { epoch: 1, at: NOW };
            let view = Some(view(2, &["B"]));
            let body = PingReplyBody::Accepted { view, echo, lease: None, generation: Generation::FIRST };
            new.seen(
                invariants,
                Event::PingReply(PingReply {
                    boot: BOOT,
                    number: 2,
                    cluster: ViewServiceOptions::default().of_all(),
                    body,
                }),
            )
        };
        if replaced_first {
            assert_eq!(take_over(&mut invariants), Ok(()));
        }
        let Event::Request { ticket, request } = &get else { unreachable!("it is a request") };
        invariants.request_received(old.replica.server(), &old.replica, *ticket, request);
        if !replaced_first {
            assert_eq!(take_over(&mut invariants), Ok(()));
        }
        let check = old.seen(&mut invariants, get);
        if replaced_first { breaks("I6", check) } else { assert_eq!(check, Ok(())) }
    }
}

#[test]
fn i7_no_view_is_acknowledged_with_a_member_that_had_lost_its_memory() {
    for lost in [false, true] {
        let mut invariants = with(&record(1, &["A", "B", "C"]));
        if lost {
            invariants.disk_lost(&server("B"));
        }
        let mut proposed = record(2, &["A", "B"]);
        proposed.stable = members(&["A", "B", "C"]);
        proposed.view.as_mut().expect("it has a view").activated = false;
        invariants.record_written(&proposed);
        invariants.disk_lost(&server("A")); // while its disk writes: nobody could know
        assert_eq!(invariants.record_persisted(&proposed), Ok(()));
        let check = invariants.record_persisted(&record(2, &["A", "B"]));
        if lost { breaks("I7", check) } else { assert_eq!(check, Ok(())) }
    }
}

/// A state in one part, as it is transferred to B.
fn chunk(at: Position, state: &State) -> Event {
    let (items, _) = state.part(&Cursor::Start, usize::MAX);
    Event::Peer(PeerMessage::Chunk(Chunk {
        generation: Generation::FIRST,
        view: at.view,
        from: server("A"),
        to_data: data("B"),
        transfer: TransferId { view: at.view, number: 1 },
        at,
        part: 0,
        items,
        last: true,
    }))
}

#[test]
fn i8_a_transferred_state_is_that_of_the_log() {
    let mut order = ServersOrder::default();
    let mut state = State::default();
    for op in 1..=3 {
        let entry = Entry { timestamp: Duration::from_secs(op), ..entry(1, op) };
        order.written(&entry);
        order.committed(NOW, ViewNumber(1));
        state.apply(&entry);
    }
    let mut early = State::default();
    early.apply(&entry(1, 1));
    for (transferred, holds) in [(&state, true), (&early, false)] {
        let mut invariants = with(&record(1, &["A", "B"]));
        let mut node = Node::start("B");
        node.quietly(chunk(position(1, 3), transferred));
        assert_eq!(node.replica.commit(), OpNumber(3));
        let check = invariants.state_seen(&server("B"), &node.replica, &order);
        if holds { assert_eq!(check, Ok(())) } else { breaks("I8", check) }
    }
}

#[test]
fn i8_a_state_is_compared_when_it_can_be() {
    let mut order = ServersOrder::default();
    let mut node = Node::start("B");
    let mut invariants = with(&record(1, &["A", "B"]));
    let mut seen = |node: &Node, order: &_| invariants.state_seen(&server("B"), &node.replica, order);
    node.quietly(chunk(position(1, 1), &State::default()));
    assert_eq!(seen(&node, &order), Ok(()), "the observer knows of no such operation yet");
    order.written(&entry(1, 1));
    order.committed(NOW, ViewNumber(1));
    breaks("I8", seen(&node, &order));
}

/// B holds the log of the primary of the first view up to here.
fn acknowledged_by_b(op: u64) -> Event {
    Event::Peer(PeerMessage::AppendAck(AppendAck {
        view: ViewNumber(1),
        from: server("B"),
        data: data("B"),
        round: 0,
        result: AppendResult::Match(OpNumber(op)),
    }))
}

#[test]
fn i11_whoever_was_acknowledged_and_has_its_memory_may_be_promoted() {
    for (stable, lost, holds) in
        [(["A", "B"].as_slice(), false, true), (&["A"], false, false), (&["A"], true, true)]
    {
        let mut invariants = with(&record(1, &["A", "B"]));
        let mut node = Node::primary(1, &["A", "B"]);
        assert_eq!(node.seen(&mut invariants, acknowledged_by_b(0)), Ok(()));
        assert_eq!(invariants.record_persisted(&record(1, &["A", "B"])), Ok(()), "as the primary said");
        if lost {
            invariants.disk_lost(&server("B"));
        }
        let mut proposed = record(2, &["A"]);
        proposed.view.as_mut().expect("it has a view").activated = false;
        proposed.stable = members(stable);
        let check = invariants.record_persisted(&proposed);
        if holds { assert_eq!(check, Ok(())) } else { breaks("I11", check) }
    }
}

#[test]
fn i11_what_no_primary_said_gives_nobody_up() {
    let mut invariants = with(&record(1, &["A", "B"]));
    let mut node = Node::primary(1, &["A", "B"]);
    assert_eq!(node.seen(&mut invariants, acknowledged_by_b(0)), Ok(()));
    assert_eq!(invariants.record_persisted(&record(1, &["A", "B"])), Ok(()));
    breaks("I11", invariants.record_persisted(&record(2, &["A"])));
}

#[test]
fn a_primary_that_follows_the_rules_breaks_nothing() {
    let mut invariants = with(&record(1, &["A", "B"]));
    let mut node = Node::primary(1, &["A", "B"]);
    assert_eq!(node.seen(&mut invariants, request(1, RequestBody::OpenSession)), Ok(()));
    assert_eq!(invariants.disk_written(&server("B"), &Write::Entry(entry(1, 1))), Ok(()));
    assert_eq!(node.seen(&mut invariants, acknowledged_by_b(1)), Ok(()));
    assert_eq!(node.replica.commit(), OpNumber(1));
}
