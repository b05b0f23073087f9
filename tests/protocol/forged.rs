//! Messages that no server sends that keeps to the protocol: refused and reported, and nothing comes of them.

use std::time::Duration;

use pbkv::protocol::{
    command::{Command, Entry, Reply, RequestBody},
    identity::{OpNumber, Position, ServerId, SessionId, ViewNumber},
    message::{Append, AppendAck, AppendResult, Chunk, PeerMessage, TransferId},
    options::ReplicaOptions,
    replica::{Event, Notice, RoleName},
};

use crate::pair::{GENERATION, Pair, view};

fn position(view: u64, op: u64) -> Position {
    Position { view: ViewNumber(view), op: OpNumber(op) }
}

/// The first operation opens it.
const SESSION: SessionId = SessionId(1);

/// A and B in sync in view 2, with six operations committed by both.
fn pair() -> Pair {
    let options = ReplicaOptions { checkpoint_interval: 2, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    assert_eq!(pair.a.open(), Ok(SESSION));
    pair.join(2);
    for request in 1..=5 {
        pair.a.put(SESSION, request, "key".to_owned(), 1);
        (0..50).for_each(|_| pair.step());
    }
    assert!(pair.is_joined() && pair.b.replica.commit() == OpNumber(6), "{}", pair.b.replica.commit());
    pair.b.sent.clear();
    pair.b.notices.clear();
    pair
}

/// An append to B in `view`, of entries that `of` put into the log after `previous`.
fn append(pair: &Pair, view: u64, previous: Position, of: u64, count: u64) -> Event {
    let entries = (1..=count).map(|n| Entry {
        position: position(of, previous.op.0 + n),
        timestamp: Duration::from_secs(1),
        command: Command::OpenSession { ttl: Duration::from_secs(60) },
    });
    Event::Peer(PeerMessage::Append(Append {
        generation: GENERATION,
        view: ViewNumber(view),
        from: ServerId::new("C"),
        to_data: pair.b.data(),
        round: 1,
        previous,
        entries: entries.collect(),
        commit: OpNumber(0),
        silence_max: Duration::from_millis(500),
    }))
}

fn is_refused(pair: &mut Pair, event: Event) {
    let (commit, end) = (pair.b.replica.commit(), pair.b.replica.log().end());
    pair.b.step(event);
    assert_eq!((pair.b.replica.commit(), pair.b.replica.log().end()), (commit, end));
    assert!(pair.b.sent.is_empty(), "it is not answered");
    assert_eq!(pair.b.count(|notice| matches!(notice, Notice::PeerRefused { .. })), 1);
}

#[test]
fn operations_that_contradict_committed_ones_are_refused() {
    let mut pair = pair();
    let base = pair.b.replica.log().base();
    assert!(base.op.0 > 2, "part of the log is in the snapshot");
    let end = pair.b.replica.log().end();
    let before = pair.b.replica.log().position(OpNumber(end.op.0 - 1)).expect("it is in the log");
    let event = append(&pair, 3, before, 3, 1);
    is_refused(&mut pair, event);
    // From before the snapshot through to the end, all of a view that is older than the snapshot's.
    pair.b.notices.clear();
    let event = append(&pair, 4, Position::default(), 0, end.op.0 + 1);
    is_refused(&mut pair, event);
}

#[test]
fn a_state_that_contradicts_committed_operations_is_refused() {
    let mut pair = pair();
    for at in [position(0, 100), position(9, 100)] {
        pair.b.notices.clear();
        let chunk = Chunk {
            generation: GENERATION,
            view: ViewNumber(3 + at.view.0 / 9),
            from: ServerId::new("C"),
            to_data: pair.b.data(),
            transfer: TransferId { view: ViewNumber(3), number: 1 },
            at,
            part: 0,
            items: Vec::new(),
            last: true,
        };
        is_refused(&mut pair, Event::Peer(PeerMessage::Chunk(chunk)));
    }
}

#[test]
fn a_view_number_far_beyond_all_others_is_not_obeyed() {
    let mut pair = pair();
    let event = append(&pair, u64::MAX / 4, Position::default(), 0, 0);
    is_refused(&mut pair, event);
    assert_eq!(pair.b.replica.view_seen(), ViewNumber(2));
    let before = pair.b.replica.commit();
    pair.a.put(SESSION, 6, "key".to_owned(), 1);
    (0..50).for_each(|_| pair.step());
    assert!(pair.b.replica.commit() > before, "it goes on as A's backup");
}

#[test]
fn a_primary_that_was_told_of_a_view_that_does_not_exist_goes_on() {
    let mut pair = pair();
    let ack = AppendAck {
        view: ViewNumber(2),
        from: pair.b.replica.server().clone(),
        data: pair.b.data(),
        round: 1,
        result: AppendResult::Stale { view_seen: ViewNumber(1_000) },
    };
    pair.a.step(Event::Peer(PeerMessage::AppendAck(ack)));
    assert!(pair.a.notices.contains(&Notice::Fenced { view: ViewNumber(1_000) }));
    let before = pair.a.replica.commit();
    pair.a.told(Some(view(2, &pair.a, Some(&pair.b))));
    pair.a.put(SESSION, 6, "key".to_owned(), 1);
    (0..50).for_each(|_| pair.step());
    assert_eq!(pair.a.replica.role(), RoleName::Primary);
    assert!(pair.a.replica.commit() > before, "it answers again");
}

#[test]
fn an_answer_to_a_heartbeat_that_was_never_sent_confirms_no_read() {
    let mut pair = pair();
    let ack = AppendAck {
        view: ViewNumber(2),
        from: pair.b.replica.server().clone(),
        data: pair.b.data(),
        round: u64::MAX,
        result: AppendResult::Match(OpNumber(6)),
    };
    for result in [ack.result, AppendResult::Mismatch { hint: OpNumber(6) }] {
        pair.a.step(Event::Peer(PeerMessage::AppendAck(AppendAck { result, ..ack.clone() })));
        pair.a.replies.clear();
        pair.a.ask(RequestBody::Get { key: "key".into() });
        pair.a.step(Event::Flush);
        assert!(pair.a.replies.is_empty(), "{:?}", pair.a.replies);
        (0..10).for_each(|_| pair.step());
        assert!(matches!(pair.a.replies[..], [Reply::Value { .. }]), "{:?}", pair.a.replies);
    }
}
