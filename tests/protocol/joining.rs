//! How a joiner catches up: under load, over links that take their time, through view changes.

use std::time::Duration;

use pbkv::protocol::{
    command::Refusal,
    identity::{SessionId, ViewNumber},
    machine::Machine,
    message::{AppendAck, AppendResult, ChunkAck, ChunkResult, PeerMessage, TransferId},
    options::ReplicaOptions,
    replica::{Event, Notice, Replica, SessionLimit},
};

use crate::pair::{Driven, Pair, view};

fn began(notice: &Notice) -> bool {
    matches!(notice, Notice::TransferBegan { .. })
}

/// Steps until B is in sync, with `puts` updates of 20 keys in each step; at most `steps_max` of them.
fn steps_until_joined(pair: &mut Pair, session: SessionId, puts: u64, steps_max: u64) -> Option<u64> {
    (0..steps_max).find(|step| {
        for put in 0..puts {
            let request = 1_000_000 + step * puts + put;
            pair.a.put(session, request, format!("key{}", request % 20), 10);
        }
        pair.step();
        pair.is_joined()
    })
}

#[test]
fn one_transfer_is_enough_however_long_the_load_lasts() {
    let options = ReplicaOptions {
        checkpoint_interval: 100,
        append_window: 100,
        chunk_bytes_max: 1,
        ..ReplicaOptions::default()
    };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    for key in 0..200 {
        pair.a.put(session, key + 1, format!("key{key}"), 10);
    }
    pair.join(2);
    let steps = steps_until_joined(&mut pair, session, 10, 3_000);
    assert_eq!(pair.a.count(began), 1, "one transfer, and the log after it");
    assert!(steps.is_some_and(|steps| steps < 2_000), "in sync under load: {steps:?}");
}

/// Each part takes longer than the time after which one that was lost is sent again.
#[test]
fn a_part_that_travels_slowly_is_not_taken_for_lost() {
    let options = ReplicaOptions { checkpoint_interval: 10, chunk_bytes_max: 1, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    pair.part_steps = 60; // 600 ms
    let session = pair.a.open().expect("a session");
    for key in 0..20 {
        pair.a.put(session, key + 1, format!("key{key}"), 10);
        pair.a.step(Replica::flush());
    }
    pair.join(2);
    let steps = steps_until_joined(&mut pair, session, 0, 10_000);
    assert!(steps.is_some_and(|steps| steps < 22 * 65), "22 parts of 600 ms: {steps:?}");
    assert!((20..=22).contains(&pair.parts), "{} parts were sent", pair.parts);
}

#[test]
fn load_alone_keeps_no_joiner_out() {
    let mut pair = Pair::new(&ReplicaOptions::default(), 5);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    let steps = steps_until_joined(&mut pair, session, 100, 1_000);
    assert!(steps.is_some_and(|steps| steps < 100), "100 ms there and back, 10,000 a second: {steps:?}");
}

#[test]
fn a_joiner_that_lags_long_is_not_waited_for() {
    // Of 100 operations a step the link takes 32.
    let options = ReplicaOptions { append_window: 128, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 2);
    let session = pair.a.open().expect("a session");
    for request in 1..=10_000 {
        pair.a.put(session, request, format!("key{}", request % 20), 10);
    }
    pair.join(2);
    assert_eq!(steps_until_joined(&mut pair, session, 100, 300), None);
}

#[test]
fn a_transfer_survives_a_new_view_of_the_same_primary() {
    let options = ReplicaOptions { chunk_bytes_max: 1, checkpoint_interval: 10, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    for key in 0..200 {
        pair.a.put(session, key + 1, format!("key{key}"), 10);
    }
    for number in 2..=20 {
        pair.join(number);
        (0..50).for_each(|_| pair.step());
    }
    assert!(pair.is_joined(), "views follow each other faster than a transfer takes");
    assert_eq!(pair.a.count(began), 1);
}

/// It came back with its data and without the parts: what is sent next is of no use to it.
#[test]
fn a_receiver_that_forgot_its_parts_gets_another_transfer() {
    let options = ReplicaOptions { chunk_bytes_max: 1, checkpoint_interval: 10, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    for key in 0..200 {
        pair.a.put(session, key + 1, format!("key{key}"), 10);
    }
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    assert_eq!((pair.a.count(began), pair.is_joined()), (1, false));
    let (view, from, data) = (ViewNumber(2), pair.b.replica.server().clone(), pair.b.data());
    let transfer = TransferId { view, number: 1 };
    let ack = ChunkAck { view, from, data, transfer, result: ChunkResult::Next(0) };
    pair.a.step(Event::Peer(PeerMessage::ChunkAck(ack)));
    assert_eq!(pair.a.count(began), 2);
}

#[test]
fn what_a_joiner_lacks_is_kept_through_a_view_change() {
    let options = ReplicaOptions { checkpoint_interval: 40, append_window: 1, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    let put = |pair: &mut Pair, requests: std::ops::Range<u64>| {
        for request in requests {
            pair.a.put(session, request, "key".to_owned(), 10);
            pair.a.step(Event::Flush);
        }
    };
    put(&mut pair, 1..30);
    pair.join(2);
    (0..20).for_each(|_| pair.step());
    put(&mut pair, 30..300);
    pair.join(3);
    put(&mut pair, 300..400);
    assert!(!pair.is_joined());
    (0..3_000).for_each(|_| pair.step());
    assert!(pair.is_joined());
    assert_eq!(pair.a.count(began), 0, "the log was enough");
}

#[test]
fn a_joiner_that_needs_too_long_a_log_gets_a_later_state() {
    let options = ReplicaOptions {
        checkpoint_interval: 10,
        log_entries_max: 40,
        append_window: 1,
        ..ReplicaOptions::default()
    };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    (0..20).for_each(|_| pair.step());
    pair.delay = 100_000;
    for request in 1..=1_000 {
        pair.a.put(session, request, "key".to_owned(), 10);
    }
    // It was waited for and is silent: the view service drops it, and takes it back.
    pair.a.told(Some(view(3, &pair.a, None)));
    pair.join(4);
    for request in 1_001..=2_000 {
        pair.a.put(session, request, "key".to_owned(), 10);
        pair.a.step(Event::Flush);
    }
    assert!(pair.a.replica.log().len() <= 60, "{} entries", pair.a.replica.log().len());
}

#[test]
fn a_replica_that_answers_and_takes_nothing_is_reported() {
    let mut pair = Pair::new(&ReplicaOptions::default(), 1);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    assert!(pair.is_joined());
    let b = pair.b.replica.server().clone();
    pair.a.put(session, 1, "key".to_owned(), 10);
    let mut reported = None;
    for step in 0..300 {
        // Its link breaks with each operation; to what is empty it answers as best it can.
        pair.a.now += crate::pair::STEP;
        pair.a.step(Event::Flush);
        for message in std::mem::take(&mut pair.a.sent) {
            let PeerMessage::Append(append) = message else { continue };
            if append.entries.is_empty() {
                let ack = AppendAck {
                    view: append.view,
                    from: b.clone(),
                    data: pair.b.data(),
                    round: append.round,
                    result: AppendResult::Mismatch { hint: append.previous.op },
                };
                pair.a.step(Event::Peer(PeerMessage::AppendAck(ack)));
            }
        }
        if pair.a.suspects.contains(&b) {
            reported = Some(step);
            break;
        }
    }
    let reported = reported.expect("all writes wait for it");
    assert!((95..=120).contains(&reported), "after suspect_after, not at once: step {reported}");
}

#[test]
fn sessions_that_are_over_make_room_for_new_ones() {
    let options =
        ReplicaOptions { sessions_max: 2, session_ttl: Duration::from_secs(10), ..ReplicaOptions::default() };
    let mut a = Driven::new("A", &options);
    a.told(Some(view(1, &a, None)));
    a.open().expect("the first of two");
    a.now += Duration::from_secs(5);
    a.open().expect("the second of two");
    let told = |a: &Driven| {
        let (limit, max) = (SessionLimit::Count, 2);
        let room = a.count(|notice| matches!(notice, Notice::SessionsHaveRoom { .. }));
        (a.count(|notice| *notice == Notice::SessionsFull { limit, held: 2, max }), room)
    };
    assert_eq!((a.open(), told(&a)), (Err(Refusal::TooManySessions), (1, 0)));
    assert_eq!((a.open(), told(&a)), (Err(Refusal::TooManySessions), (1, 0)), "it is told once");
    a.now += Duration::from_secs(6);
    a.open().expect("the first one is over");
    a.step(Replica::flush());
    assert_eq!((a.open(), told(&a)), (Err(Refusal::TooManySessions), (1, 0)), "it is still full");
    a.now += options.session_ttl * 2;
    a.step(Replica::flush());
    assert_eq!(told(&a), (1, 1), "there is room, and none was refused for a while");
}
