//! The replicated state alone: what applying an entry does is a function of the log and of nothing else.

use std::time::Duration;

use bytes::Bytes;
use pbkv::protocol::{
    command::{Command, Entry, Executed, Expected, Outcome, Update, Versioned},
    identity::{OpNumber, Position, RequestNumber, SessionId, ViewNumber},
    store::{Applied, Cursor, Item, Session, State},
};

use crate::command::append;

const TTL: Duration = Duration::from_secs(10);

/// A log under construction, and the state after it.
#[derive(Default)]
struct Written {
    state: State,
    last: u64,
}

impl Written {
    fn apply(&mut self, seconds: u64, command: Command) -> Applied {
        self.last += 1;
        let position = Position { view: ViewNumber(1), op: OpNumber(self.last) };
        self.state.apply(&Entry { position, timestamp: Duration::from_secs(seconds), command })
    }

    fn open(&mut self, seconds: u64) -> SessionId {
        assert_eq!(self.apply(seconds, Command::OpenSession { ttl: TTL }), Applied::Opened);
        SessionId(self.last)
    }

    fn update(&mut self, seconds: u64, session: SessionId, request: u64, update: Update) -> Applied {
        self.apply(seconds, Command::Update { session, request: RequestNumber(request), update })
    }

    fn value(&self, key: &str) -> Option<&[u8]> {
        self.state.get(key.as_bytes()).map(|held| &held.value[..])
    }
}

/// An update that this operation executed, with no more to say.
fn done(revision: u64) -> Applied {
    executed(revision, Outcome::Done)
}

fn executed(revision: u64, outcome: Outcome) -> Applied {
    Applied::Executed(Executed { revision: OpNumber(revision), outcome })
}

fn add(value: &'static str) -> Update {
    append(Bytes::from("k"), Bytes::from(value))
}

#[test]
fn an_update_that_stands_in_the_log_twice_takes_effect_once() {
    let mut log = Written::default();
    let session = log.open(0);
    for _ in 0..2 {
        assert_eq!(log.update(1, session, 1, add("a")), done(2), "the second answer is the first one's");
        assert_eq!(log.value("k"), Some(&b"a"[..]));
    }
}

#[test]
fn an_update_behind_a_later_one_of_its_session_has_no_effect() {
    let mut log = Written::default();
    let session = log.open(0);
    assert_eq!(log.update(1, session, 2, add("b")), done(2));
    assert_eq!(log.update(1, session, 1, add("a")), Applied::Superseded);
    assert_eq!(log.value("k"), Some(&b"b"[..]));
}

#[test]
fn an_unknown_session_executes_nothing_and_is_not_created() {
    let mut log = Written::default();
    for _ in 0..2 {
        assert_eq!(log.update(1, SessionId(7), 1, add("a")), Applied::SessionExpired);
    }
    assert_eq!((log.value("k"), log.state.sessions()), (None, 0));
}

#[test]
fn a_session_lives_by_the_clock_of_the_log() {
    let mut log = Written::default();
    let (used, unused) = (log.open(0), log.open(0));
    assert_eq!(log.update(9, used, 1, add("a")), done(3));
    // Exactly its time later a session is still there; afterwards it is not.
    assert_eq!(log.update(19, used, 2, add("b")), done(4));
    assert_eq!(log.update(19, unused, 1, add("c")), Applied::SessionExpired);
    assert_eq!(log.update(30, used, 3, add("d")), Applied::SessionExpired);
    // An entry with an earlier time does not turn the clock back.
    log.open(5);
    assert_eq!(log.state.clock(), Duration::from_secs(30));
    assert_eq!(log.value("k"), Some(&b"ab"[..]));
}

#[test]
fn a_value_grows_to_its_limit_and_not_beyond() {
    let mut log = Written::default();
    let session = log.open(0);
    let grow = |value: &'static str| Update::Append {
        key: Bytes::from("k"),
        value: Bytes::from(value),
        value_bytes_max: 3,
    };
    assert_eq!(log.update(1, session, 1, grow("abc")), done(2));
    let too_large = Outcome::ValueTooLarge { value_bytes_max: 3 };
    assert_eq!(log.update(1, session, 2, grow("d")), executed(3, too_large));
    assert_eq!(log.value("k"), Some(&b"abc"[..]));
}

#[test]
fn a_state_put_together_from_its_parts_is_the_same_state() {
    let mut log = Written::default();
    let sessions: Vec<_> = (0..5).map(|second| log.open(second)).collect();
    for (index, session) in sessions.iter().enumerate() {
        let key = Bytes::from(format!("key{index}"));
        let update = Update::Put { key, value: Bytes::from(vec![b'v'; 10 * index]) };
        assert_eq!(log.update(5, *session, 1, update), done(log.last));
    }
    for bytes_max in [1, 40, 100, 10_000] {
        let (mut copy, mut cursor) = (State::default(), Cursor::Start);
        while cursor != Cursor::End {
            let (items, next) = log.state.part(&cursor, bytes_max);
            assert!(!items.is_empty(), "every part brings something");
            items.into_iter().for_each(|item| copy.restore(item));
            cursor = next;
        }
        assert_eq!(copy, log.state);
    }
}

#[test]
fn a_state_weighs_what_its_parts_weigh() {
    let mut log = Written::default();
    let weighs = |state: &State| {
        let (items, end) = state.part(&Cursor::Start, usize::MAX);
        assert_eq!(end, Cursor::End);
        let items = items.iter().filter(|item| !matches!(item, Item::Clock(_)));
        items.map(|item| item.bytes() as u64).sum::<u64>()
    };
    let session = log.open(0);
    let (key, other) = (Bytes::from("k"), Bytes::from("another"));
    let value = |bytes: usize| Bytes::from(vec![b'v'; bytes]);
    let updates = [
        Update::Put { key: key.clone(), value: value(100) },
        Update::Put { key: other.clone(), value: value(7) },
        Update::Put { key: key.clone(), value: value(30) },
        add("more"),
        Update::Delete { key: key.clone() },
        Update::Delete { key: key.clone() },
        Update::CompareAndSwap { key: other.clone(), expected: Expected::Value(None), new: value(50) },
        Update::CompareAndSwap {
            key: other.clone(),
            expected: Expected::Value(Some(value(7))),
            new: value(50),
        },
        Update::Put { key, value: value(0) },
        Update::Delete { key: other },
    ];
    for (request, update) in (1..).zip(updates) {
        log.update(1, session, request, update);
        assert_eq!(log.state.bytes(), weighs(&log.state), "after request {request}");
    }
    let mut copy = State::default();
    let (items, _) = log.state.part(&Cursor::Start, usize::MAX);
    items.iter().chain(&items).for_each(|item| copy.restore(item.clone()));
    assert_eq!(copy.bytes(), log.state.bytes());
    log.open(60);
    assert_eq!(log.state.bytes(), weighs(&log.state), "one session is over");
}

/// A liar says it; what follows must not go round for ever.
#[test]
fn a_session_that_a_state_names_twice_is_there_once_and_expires() {
    let mut state = State::default();
    let item = |second| Item::Session {
        id: SessionId(7),
        session: Session { last: None, active_at: Duration::from_secs(second), ttl: Duration::from_secs(10) },
    };
    [item(5), item(1)].into_iter().for_each(|item| state.restore(item));
    let mut log = Written { state, ..Written::default() };
    log.open(60);
    assert!(log.state.session(SessionId(7)).is_none(), "its time is over");
}

#[test]
fn a_key_tells_which_operation_changed_it_last() {
    let mut log = Written::default();
    let session = log.open(0);
    let key = Bytes::from("k");
    let held = |value: &'static str, op| Versioned { value: value.into(), mod_revision: OpNumber(op) };
    let swap = |expected, new: &'static str| Update::CompareAndSwap {
        key: Bytes::from("k"),
        expected: Expected::Revision(OpNumber(expected)),
        new: new.into(),
    };
    let put = |value: &'static str| Update::Put { key: Bytes::from("k"), value: value.into() };
    let swapped = |swapped, previous| Outcome::Swapped { swapped, previous };
    // An absent key was changed by nothing, and is what revision 0 expects.
    assert_eq!(log.update(1, session, 1, swap(1, "x")), executed(2, swapped(false, None)));
    assert_eq!(log.update(1, session, 2, swap(0, "a")), executed(3, swapped(true, None)));
    assert_eq!(log.state.get(b"k"), Some(&held("a", 3)));
    // A swap that did not happen changes nothing.
    assert_eq!(log.update(1, session, 3, swap(2, "x")), executed(4, swapped(false, Some(held("a", 3)))));
    assert_eq!(log.state.get(b"k"), Some(&held("a", 3)));
    // The same value again is another revision.
    assert_eq!(log.update(1, session, 4, put("a")), done(5));
    assert_eq!(log.update(1, session, 5, swap(3, "x")), executed(6, swapped(false, Some(held("a", 5)))));
    assert_eq!(log.update(1, session, 6, add("b")), done(7));
    assert_eq!(log.state.get(b"k"), Some(&held("ab", 7)));
    // So is a key that was deleted and written again.
    let delete = Update::Delete { key };
    assert_eq!(log.update(1, session, 7, delete), executed(8, Outcome::Deleted { existed: true }));
    assert_eq!(log.update(1, session, 8, swap(7, "x")), executed(9, swapped(false, None)));
    assert_eq!(log.update(1, session, 9, put("ab")), done(10));
    assert_eq!(log.update(1, session, 10, swap(7, "x")), executed(11, swapped(false, Some(held("ab", 10)))));
    assert_eq!(log.update(1, session, 11, swap(10, "c")), executed(12, swapped(true, Some(held("ab", 10)))));
}
