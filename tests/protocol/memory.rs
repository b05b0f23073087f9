//! What a replica keeps is bounded in bytes as well as in number, and is its own; how few copies are enough.

use std::time::Duration;

use bytes::Bytes;
use pbkv::protocol::{
    command::{Expected, Outcome, Refusal, Reply, RequestBody, Update},
    identity::{
        Boot, DataId, OpNumber, Position, RequestNumber, ServerId, SessionId, Ticket, ViewNumber, WriteNumber,
    },
    machine::Machine,
    message::{Append, AppendResult, PeerMessage, Ping},
    options::{ReplicaOptions, ViewServiceOptions},
    replica::{self, Notice, Replica},
    view::Record,
    view_service::{ANSWERS_WAITING_MAX, Effect, Event, SealKey, ViewService},
};

use crate::{
    pair::{Driven, GENERATION, Pair, view},
    pings,
};

const DATA: DataId = DataId { boot: Boot(1), nonce: 7 };

fn is_done(reply: &Reply) -> bool {
    matches!(reply, Reply::Executed(executed) if executed.outcome == Outcome::Done)
}

/// A sole primary with a session.
fn sole(options: &ReplicaOptions) -> (Driven, SessionId) {
    let mut a = Driven::new("A", options);
    a.told(Some(view(1, &a, None)));
    let session = a.open().expect("a session");
    (a, session)
}

#[test]
fn the_log_is_bounded_in_bytes() {
    let options =
        ReplicaOptions { checkpoint_bytes: 10_000, log_bytes_max: 40_000, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    assert!(pair.is_joined());
    for request in 1..=300 {
        pair.a.put(session, request, "key".to_owned(), 1_000);
        (0..3).for_each(|_| pair.step());
        for log in [pair.a.replica.log(), pair.b.replica.log()] {
            assert!(log.bytes() < 25_000, "{} bytes", log.bytes());
            assert_eq!(
                log.bytes(),
                log.entries_from(log.base().op.next()).map(|it| it.bytes() as u64).sum::<u64>()
            );
        }
    }
}

#[test]
fn a_joiner_holds_no_more_of_the_log_than_so_many_bytes() {
    let options = ReplicaOptions {
        checkpoint_bytes: 10_000,
        log_bytes_max: 40_000,
        append_window: 1,
        ..ReplicaOptions::default()
    };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    for request in 1..=8 {
        pair.a.put(session, request, "key".to_owned(), 1_000);
    }
    pair.join(2);
    (0..6).for_each(|_| pair.step());
    pair.delay = 1_000_000; // it answered, and takes nothing any more
    for request in 9..=200 {
        pair.a.put(session, request, "key".to_owned(), 1_000);
        pair.a.step(Replica::flush());
    }
    assert!(!pair.is_joined());
    assert!(pair.a.replica.log().bytes() < 65_000, "{} bytes", pair.a.replica.log().bytes());
}

#[test]
fn updates_that_wait_are_bounded_in_bytes() {
    let options = ReplicaOptions { waiting_bytes_max: 10_000, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    assert!(pair.is_joined());
    pair.a.replies.clear();
    for request in 1..=20 {
        pair.a.put(session, request, "key".to_owned(), 1_000);
    }
    let busy = |reply: &&Reply| **reply == Reply::Refused(Refusal::Busy);
    assert_eq!(pair.a.replies.iter().filter(busy).count(), 10, "ten of 1064 bytes wait");
    (0..50).for_each(|_| pair.step());
    pair.a.replies.clear();
    pair.a.put(session, 11, "key".to_owned(), 1_000);
    (0..50).for_each(|_| pair.step());
    assert!(pair.a.replies.iter().all(is_done) && pair.a.replies.len() == 1, "{:?}", pair.a.replies);
}

#[test]
fn what_sessions_remember_is_bounded_in_bytes() {
    let options = ReplicaOptions { session_bytes_max: 2_500, ..ReplicaOptions::default() };
    let (mut a, session) = sole(&options);
    a.put(session, 1, "key".to_owned(), 1_000);
    a.step(Replica::flush());
    let swap = |a: &mut Driven, session| {
        let update =
            Update::CompareAndSwap { key: "key".into(), expected: Expected::Value(None), new: "new".into() };
        a.replies.clear();
        a.ask(RequestBody::Update { session, request: RequestNumber(2), update });
        a.step(Replica::flush());
        a.replies.pop()
    };
    let sessions: Vec<_> = (0..4).map(|_| a.open().expect("a session")).collect();
    for session in &sessions[..3] {
        assert!(
            matches!(swap(&mut a, *session), Some(Reply::Executed(executed)) if matches!(executed.outcome, Outcome::Swapped { .. }))
        );
    }
    assert_eq!(swap(&mut a, sessions[3]), Some(Reply::Refused(Refusal::TooManySessions)));
    // Sessions that are over, or closed, leave room.
    a.now += ReplicaOptions::default().session_ttl * 2;
    assert_ne!(swap(&mut a, sessions[3]), Some(Reply::Refused(Refusal::TooManySessions)));
}

/// Swaps that fail, so that each session remembers what the key holds.
fn swap(a: &mut Driven, session: SessionId) {
    let update =
        Update::CompareAndSwap { key: "key".into(), expected: Expected::Value(None), new: "new".into() };
    a.ask(RequestBody::Update { session, request: RequestNumber(2), update });
}

fn count(a: &Driven, wanted: &Reply) -> usize {
    a.replies.iter().filter(|reply| *reply == wanted).count()
}

#[test]
fn what_sessions_will_remember_is_counted_before_it_is_committed() {
    let options = ReplicaOptions { session_bytes_max: 2_500, ..ReplicaOptions::default() };
    let (mut a, session) = sole(&options);
    a.put(session, 1, "key".to_owned(), 400);
    a.step(Replica::flush());
    let sessions: Vec<_> = (0..10).map(|_| a.open().expect("a session")).collect();
    a.replies.clear();
    a.put(session, 2, "key".to_owned(), 1_000); // not applied yet, and longer than what the key holds
    sessions.iter().for_each(|session| swap(&mut a, *session));
    assert_eq!(count(&a, &Reply::Refused(Refusal::TooManySessions)), 7, "{:?}", a.replies);
    a.step(Replica::flush());
    let remembered = a.replica.state().session_bytes();
    assert!((1_000..=2_500 + 1_000).contains(&remembered), "{remembered}");
    // What was counted is what is remembered now, and no more.
    sessions[..2].iter().for_each(|session| a.ask(RequestBody::CloseSession { session: *session }));
    a.step(Replica::flush());
    a.replies.clear();
    swap(&mut a, sessions[9]);
    a.step(Replica::flush());
    assert_eq!(count(&a, &Reply::Refused(Refusal::TooManySessions)), 0, "{:?}", a.replies);
}

#[test]
fn sessions_that_are_over_leave_as_much_room_as_they_remembered() {
    let options = ReplicaOptions { session_bytes_max: 2_500, ..ReplicaOptions::default() };
    let (mut a, first) = sole(&options);
    a.put(first, 1, "key".to_owned(), 1_000);
    a.step(Replica::flush());
    let idle = a.open().expect("a session");
    a.now += options.session_ttl / 2;
    let sessions: Vec<_> = (0..4).map(|_| a.open().expect("a session")).collect();
    a.replies.clear();
    for session in &sessions[..3] {
        swap(&mut a, *session);
        a.step(Replica::flush());
    }
    a.now += options.session_ttl * 2 / 3; // the first session and the idle one are over
    assert_eq!(a.replica.state().bytes_of(idle), 0);
    swap(&mut a, sessions[3]);
    a.step(Replica::flush());
    assert_eq!(count(&a, &Reply::Refused(Refusal::TooManySessions)), 1, "{:?}", a.replies);
    assert_eq!(a.replica.state().session_bytes(), 3_000);
}

#[test]
fn a_session_that_an_update_in_flight_keeps_alive_makes_no_room_for_another() {
    const MOMENT: Duration = Duration::from_millis(1);
    let options = ReplicaOptions { sessions_max: 2, ..ReplicaOptions::default() };
    let (mut a, first) = sole(&options);
    let second = a.open().expect("there is room for two");
    a.now += options.session_ttl - MOMENT;
    for session in [first, second] {
        a.put(session, 1, "key".to_owned(), 1); // not committed yet
    }
    a.now += 2 * MOMENT;
    a.replies.clear();
    a.ask(RequestBody::OpenSession);
    assert_eq!(a.replies, [Reply::Refused(Refusal::TooManySessions)]);
    a.now += options.session_ttl;
    a.step(Replica::flush());
    assert!(a.open().is_ok(), "now they are over");
}

#[test]
fn what_is_kept_does_not_pin_the_message_it_came_in() {
    let within = |value: &Bytes, buffer: &Bytes| buffer.as_ptr_range().contains(&value.as_ptr());
    let (mut a, session) = sole(&ReplicaOptions::default());
    let buffer = Bytes::from(vec![b'x'; 1 << 20]);
    let update = Update::Put { key: buffer.slice(..3), value: buffer.slice(3..10) };
    a.ask(RequestBody::Update { session, request: RequestNumber(1), update });
    a.step(Replica::flush());
    let value = &a.replica.state().get(b"xxx").expect("it is there").value;
    assert!(!within(value, &buffer), "the primary keeps a copy");

    // A backup that gets operations, and a joiner that gets the state.
    for interval in [1_000, 1] {
        let options = ReplicaOptions { checkpoint_interval: interval, ..ReplicaOptions::default() };
        let mut pair = Pair::new(&options, 1);
        let session = pair.a.open().expect("a session");
        (1..=5).for_each(|request| pair.a.put(session, request, "key".to_owned(), 100));
        pair.join(2);
        (0..50).for_each(|_| pair.step());
        let values = [&pair.a, &pair.b].map(|it| &it.replica.state().get(b"key").expect("it is there").value);
        assert!(!within(values[1], values[0]), "interval {interval}");
    }
}

#[test]
fn updates_wait_for_as_many_copies_as_are_asked_for() {
    let options = ReplicaOptions { copies_min: 2, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    let too_few = Refusal::TooFewCopies { copies: 1, copies_min: 2 };
    assert_eq!(pair.a.open(), Err(too_few.clone()));
    let refused = Notice::UpdatesRefused { copies: 1, copies_min: 2 };
    let told = |pair: &Pair| {
        let taken = Notice::UpdatesTaken { copies: 2 };
        (pair.a.count(|notice| *notice == refused), pair.a.count(|notice| *notice == taken))
    };
    assert_eq!(told(&pair), (1, 0));
    pair.a.ask(RequestBody::Get { key: "key".into() });
    assert!(matches!(pair.a.replies.pop(), Some(Reply::Value { found: None, .. })), "reads go on");
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    assert!(pair.is_joined());
    assert_eq!(told(&pair), (1, 0), "announced, and not recorded yet");
    let mut both = view(2, &pair.a, Some(&pair.b));
    both.insync.append(&mut both.joining);
    pair.a.told(Some(both));
    assert_eq!(told(&pair), (1, 1));
    pair.a.replies.clear();
    pair.a.ask(RequestBody::OpenSession);
    (0..50).for_each(|_| pair.step());
    let [Reply::Opened { session, .. }] = pair.a.replies[..] else { panic!("{:?}", pair.a.replies) };
    pair.a.put(session, 1, "key".to_owned(), 1);
    (0..50).for_each(|_| pair.step());
    assert!(pair.a.replies.pop().as_ref().is_some_and(is_done));
    assert_eq!(pair.a.count(single), 0, "nothing was acknowledged alone");
    // Alone again: a retry is not acknowledged, another update is not taken.
    pair.a.told(Some(view(3, &pair.a, None)));
    pair.a.put(session, 1, "key".to_owned(), 1);
    let open = Reply::Refused(Refusal::TooFewHoldIt { copies: 1, copies_min: 2 });
    assert_eq!(pair.a.replies.pop(), Some(open));
    pair.a.put(session, 2, "key".to_owned(), 1);
    assert_eq!(pair.a.replies.pop(), Some(Reply::Refused(too_few)));
    assert_eq!(told(&pair), (2, 1));
}

fn single(notice: &Notice) -> bool {
    matches!(notice, Notice::FewCopies { copies: 1, .. })
}

#[test]
fn a_primary_says_when_it_acknowledges_alone_and_when_no_longer() {
    let several = |notice: &Notice| *notice == Notice::EnoughCopies { copies: 2 };
    let mut pair = Pair::new(&ReplicaOptions::default(), 1);
    let counts = |pair: &Pair| (pair.a.count(single), pair.a.count(several));
    assert_eq!(counts(&pair), (0, 0));
    let session = pair.a.open().expect("a session");
    assert_eq!(counts(&pair), (1, 0));
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    assert_eq!(counts(&pair), (1, 1));
    pair.a.put(session, 1, "key".to_owned(), 1);
    (0..50).for_each(|_| pair.step());
    pair.a.told(Some(view(3, &pair.a, None)));
    assert_eq!(counts(&pair), (1, 1), "nothing was acknowledged since");
    for request in 2..=3 {
        pair.a.put(session, request, "key".to_owned(), 1);
        pair.a.step(Replica::flush());
    }
    assert_eq!(counts(&pair), (2, 1), "it is said once");
}

#[test]
fn the_widest_window_is_a_window() {
    let options = ReplicaOptions { append_window: u64::MAX, ..ReplicaOptions::default() };
    let mut pair = Pair::new(&options, 1);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    for request in 1..=20 {
        pair.a.put(session, request, "key".to_owned(), 1);
        (0..5).for_each(|_| pair.step());
    }
    (0..20).for_each(|_| pair.step());
    assert!(pair.is_joined());
    assert_eq!(pair.b.replica.log().end(), pair.a.replica.log().end());
}

/// While its record cannot be written, because the disk stalls, the view service answers nobody, and
/// everybody asks again.
#[test]
fn answers_that_wait_for_the_record_are_bounded() {
    let options = ViewServiceOptions::default();
    let interval = options.policy_interval;
    let mut viewer = ViewService::new(options, Record::default(), 1, SealKey(1, 2), Duration::ZERO);
    let (mut token, mut now, mut effects) = (None, Duration::ZERO, Vec::new());
    for number in 1.. {
        let ping = Ping { data: Some(DATA), ..pings::of_a_newcomer("A", number, token) };
        effects.clear();
        viewer.step(now, Event::Ping { ticket: Ticket(number), ping }, &mut effects);
        token = pings::token(&effects).or(token);
        if !viewer.is_durable() {
            break;
        }
        now += interval;
    }
    let mut dismissed = Vec::new();
    let asked = 10_001..=10_000 + 2 * ANSWERS_WAITING_MAX as u64;
    for ticket in asked.clone() {
        effects.clear();
        viewer.step(now, Event::GetView { ticket: Ticket(ticket) }, &mut effects);
        dismissed.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Dismiss { ticket } => Some(*ticket),
            _ => None,
        }));
        assert!(viewer.answers_waiting() <= ANSWERS_WAITING_MAX);
    }
    let latest = asked.clone().skip(ANSWERS_WAITING_MAX).map(Ticket);
    assert_eq!(dismissed.len(), ANSWERS_WAITING_MAX + 1, "and the ping");
    effects.clear();
    viewer.step(now, Event::Persisted(WriteNumber(1)), &mut effects);
    let answered = effects.iter().filter_map(|effect| match effect {
        Effect::Answer { ticket, .. } => Some(*ticket),
        _ => None,
    });
    assert!(answered.eq(latest), "those who asked last");
    assert_eq!(viewer.answers_waiting(), 0);
}

#[test]
fn a_server_that_is_ignored_is_dismissed() {
    let options = ViewServiceOptions { replicas: 1, servers_max: 1, ..ViewServiceOptions::default() };
    let mut viewer = ViewService::new(options, Record::default(), 1, SealKey(1, 2), Duration::ZERO);
    let mut last = |name: &str| {
        let (mut token, mut effects) = (None, Vec::new());
        for number in 1..=2 {
            let ping = pings::of_a_newcomer(name, number, token);
            effects.clear();
            viewer.step(Duration::ZERO, Event::Ping { ticket: Ticket(number), ping }, &mut effects);
            token = pings::token(&effects).or(token);
        }
        effects
    };
    let answer = |effect: &Effect| matches!(effect, Effect::Answer { ticket: Ticket(2), .. });
    assert!(last("A").iter().any(answer));
    let ignored = last("B");
    assert!(!ignored.iter().any(answer), "{ignored:?}");
    assert!(ignored.contains(&Effect::Dismiss { ticket: Ticket(2) }), "{ignored:?}");
}

/// A backup whose disk stalls acknowledges nothing, and the primary repeats itself.
#[test]
fn acknowledgements_that_wait_for_the_disk_are_bounded() {
    let mut pair = Pair::new(&ReplicaOptions::default(), 1);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    assert!(pair.is_joined());
    pair.b.disk_stalls = true;
    pair.a.put(session, 1, "key".to_owned(), 1);
    (0..400).for_each(|_| pair.step());
    let load = pair.b.replica.load();
    assert!(load.writing > 0, "the disk does not stall: {load:?}");
    assert!(load.unsaid as u64 <= 2 * load.writing, "{load:?}");
}

/// A stranger who speaks under ever new names takes no room beyond a limit, and the primary is acknowledged
/// anyway.
#[test]
fn names_that_are_made_up_keep_no_acknowledgement_waiting() {
    let mut pair = Pair::new(&ReplicaOptions::default(), 1);
    let session = pair.a.open().expect("a session");
    pair.join(2);
    (0..50).for_each(|_| pair.step());
    pair.b.disk_stalls = true;
    pair.a.put(session, 1, "key".to_owned(), 1);
    (0..20).for_each(|_| pair.step());
    let before = pair.b.replica.load();
    assert!(before.unsaid > 0, "{before:?}");
    for stranger in 0..1_000 {
        let append = Append {
            generation: GENERATION,
            view: ViewNumber(1),
            from: ServerId::new(format!("stranger-{stranger}")),
            to_data: pair.b.data(),
            round: 1,
            previous: Position::default(),
            entries: Vec::new(),
            commit: OpNumber(0),
            silence_max: Duration::from_millis(500),
        };
        pair.b.step(replica::Event::Peer(PeerMessage::Append(append)));
    }
    let load = pair.b.replica.load();
    assert!(load.unsaid <= before.unsaid + 16, "{load:?}");
    // The acknowledgements that waited say what they said, or more.
    pair.b.sent.clear();
    pair.b.disk_stalls = false;
    pair.b.step(replica::Event::Persisted(WriteNumber(u64::MAX / 2)));
    let acknowledged = pair.b.sent.iter().any(|message| match message {
        PeerMessage::AppendAck(ack) => {
            ack.view == ViewNumber(2) && matches!(ack.result, AppendResult::Match(OpNumber(2)))
        }
        _ => false,
    });
    assert!(acknowledged, "{:?}", pair.b.sent);
}
