//! Each bound holds for a machine that works, and is exceeded by the least that is too much.

use bytes::Bytes;
use pbkv::protocol::{
    command::{Command, Entry, Expected, Page, Reply, Request, RequestBody, Scan, Update},
    identity::{Boot, DataId, Generation, Position, RequestNumber, ServerId, SessionId, ViewNumber},
    machine::Machine,
    message::{
        Append, AppendAck, AppendResult, Chunk, ChunkAck, ChunkResult, Echo, PeerMessage, PingReply,
        PingReplyBody, TransferId,
    },
    options::{ReplicaOptions, ViewServiceOptions},
    replica::Start,
    store::Item,
    view::{Members, Record, View},
    view_service::SealKey,
};

use super::*;
use crate::{generate::generate, store::settings::Settings};

const S1: NodeIndex = 1;
const NOW: Duration = Duration::from_secs(1);
const DATA: DataId = DataId { boot: Boot(1), nonce: 7 };

/// A server with the default options, and a judge that takes it for one with `settings`.
struct Fixture {
    bounds: Bounds,
    machine: Replica,
    other: ServerId,
}

impl Fixture {
    fn new(settings: Settings) -> Self {
        let mut plan = generate(0);
        plan.cluster = Cluster { settings: vec![settings], ..Cluster::small() };
        let nodes = Nodes::new(&plan);
        let start =
            Start { server: nodes.id(S1).clone(), boot: Boot(1), nonce: 7, durable: Durable::default() };
        let mut bounds = Bounds::new(&nodes, &plan);
        bounds.server_started(S1, &Durable::default());
        let machine = Replica::new(ReplicaOptions::default(), start, NOW);
        let mut fixture = Self { bounds, machine, other: nodes.id(2).clone() };
        fixture.takes(Event::Flush).expect("nothing was done yet");
        fixture.told(None);
        fixture
    }

    fn told(&mut self, view: Option<View>) {
        let echo = Echo { epoch: 1, at: NOW };
        let body = PingReplyBody::Accepted { view, echo, lease: None, generation: Generation::FIRST };
        let cluster = ViewServiceOptions::default().of_all();
        let reply = PingReply { boot: Boot(1), number: 1, cluster, body };
        self.takes(Event::PingReply(reply)).expect("an answer to a ping is within all bounds");
    }

    /// The same, as primary of a view with another replica.
    fn primary(settings: Settings) -> Self {
        let mut fixture = Self::new(settings);
        let me = fixture.machine.server().clone();
        let insync = Members::from([(me.clone(), DATA), (fixture.other.clone(), DATA)]);
        fixture.told(Some(View {
            generation: Generation::FIRST,
            number: ViewNumber(1),
            primary: me,
            primary_boot: Boot(1),
            insync,
            joining: Members::new(),
            activated: true,
        }));
        assert!(fixture.machine.as_primary().is_some());
        fixture
    }

    /// Takes an event, flushes, and writes to disk what there is.
    fn takes(&mut self, event: Event) -> Result<(), Exceeded> {
        let mut effects = Vec::new();
        for event in [event, Event::Flush] {
            let before = effects.len();
            self.bounds.before_replica(NOW, S1, &event);
            self.machine.step(NOW, event, &mut effects);
            self.bounds.after_replica(NOW, S1, &self.machine, &effects[before..])?;
        }
        let numbers: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Persist { number, .. } => Some(*number),
                _ => None,
            })
            .collect();
        numbers.into_iter().try_for_each(|number| self.takes(Event::Persisted(number)))
    }

    /// The machine is said to have done this, while it does nothing.
    fn says(&mut self, effects: &[Effect]) -> Result<(), Exceeded> {
        self.bounds.before_replica(NOW, S1, &Event::Persisted(pbkv::protocol::identity::WriteNumber(0)));
        self.bounds.after_replica(NOW, S1, &self.machine, effects)
    }

    fn sends(&mut self, message: PeerMessage) -> Result<(), Exceeded> {
        let to = self.other.clone();
        self.says(&[Effect::Send { to, message }])
    }

    fn append(&self, ops: std::ops::RangeInclusive<u64>) -> PeerMessage {
        PeerMessage::Append(Append {
            generation: Generation::FIRST,
            view: ViewNumber(1),
            from: self.machine.server().clone(),
            to_data: DATA,
            round: 1,
            previous: position(ops.start() - 1),
            entries: ops.map(entry).collect(),
            commit: OpNumber(0),
            silence_max: Duration::from_millis(500),
        })
    }

    fn chunk(&self, part: u64, items: Vec<Item>) -> PeerMessage {
        PeerMessage::Chunk(Chunk {
            generation: Generation::FIRST,
            view: ViewNumber(1),
            from: self.machine.server().clone(),
            to_data: DATA,
            transfer: TransferId { view: ViewNumber(1), number: 1 },
            at: position(3),
            part,
            items,
            last: false,
        })
    }
}

fn position(op: u64) -> Position {
    if op == 0 { Position::default() } else { Position { view: ViewNumber(1), op: OpNumber(op) } }
}

fn entry(op: u64) -> Entry {
    let command = Command::OpenSession { ttl: Duration::from_secs(60) };
    Entry { position: position(op), timestamp: Duration::ZERO, command }
}

fn get(ticket: u64) -> Event {
    let body = RequestBody::Get { key: "k".into() };
    Event::Request { ticket: Ticket(ticket), request: Request { generation: Generation::UNKNOWN, body } }
}

#[track_caller]
fn exceeds(quantity: &str, check: Result<(), Exceeded>) {
    let exceeded = check.expect_err("a bound is exceeded");
    assert_eq!((exceeded.quantity, &*exceeded.node), (quantity, "s1"), "{exceeded}");
}

#[test]
fn no_more_requests_wait_than_may() {
    let mut fixture = Fixture::primary(Settings { waiting_max: Some(2), ..Settings::default() });
    assert_eq!(fixture.takes(get(1)), Ok(()));
    assert_eq!(fixture.takes(get(2)), Ok(()));
    exceeds("requests that wait", fixture.takes(get(3)));
}

#[test]
fn no_more_scans_wait_and_no_more_of_them_is_read_in_one_go_than_may() {
    let scan = |ticket| {
        let body = RequestBody::Scan(Scan::of(""));
        Event::Request { ticket: Ticket(ticket), request: Request { generation: Generation::UNKNOWN, body } }
    };
    let mut fixture = Fixture::primary(Settings { scans_max: Some(1), ..Settings::default() });
    assert_eq!(fixture.takes(get(1)), Ok(()));
    assert_eq!(fixture.takes(scan(2)), Ok(()));
    exceeds("scans that wait", fixture.takes(scan(3)));

    // One more page may end what is read in one go.
    let settings = Settings { scan_bytes_max: Some(1), ..Settings::default() };
    let answer = |ticket| {
        let page = Page { revision: OpNumber(0), keys: Vec::new(), more: false };
        Effect::Reply { ticket: Ticket(ticket), reply: Reply::Page(page) }
    };
    let mut fixture = Fixture::primary(settings);
    fixture.bounds.before_replica(NOW, S1, &scan(1));
    fixture.bounds.before_replica(NOW, S1, &scan(2));
    fixture.bounds.before_replica(NOW, S1, &scan(3));
    assert_eq!(
        fixture.says(&[answer(1)]).map_err(|it| it.quantity),
        Err("callers whose request is held no longer")
    );
    exceeds("bytes of pages read in one go", fixture.says(&[answer(2)]));
    fixture.bounds.before_replica(NOW, S1, &Event::Flush);
    let flushed = fixture.bounds.after_replica(NOW, S1, &fixture.machine, &[]);
    assert!(flushed.is_err(), "the third caller is forgotten");
    assert_eq!(fixture.says(&[answer(3)]), Ok(()), "the next go begins");
}

#[test]
fn each_request_gets_one_answer() {
    let mut fixture = Fixture::primary(Settings::default());
    let answer = Effect::Reply { ticket: Ticket(1), reply: Reply::Closed { revision: OpNumber(1) } };
    assert_eq!(fixture.takes(get(1)), Ok(()));
    exceeds("requests held after their answer", fixture.says(std::slice::from_ref(&answer)));
    exceeds("answers to one request", fixture.says(&[answer]));
    // A request that the machine never saw is one that it forgot.
    fixture.bounds.before_replica(NOW, S1, &get(2));
    fixture.bounds.before_replica(NOW, S1, &get(3));
    exceeds("callers whose request is held no longer", fixture.says(&[]));
}

#[test]
fn a_log_keeps_two_checkpoints_and_what_a_replica_needs() {
    let follow = |interval, ops| {
        let settings = Settings { checkpoint_interval: Some(interval), ..Settings::default() };
        let mut fixture = Fixture::new(settings);
        let PeerMessage::Append(append) = fixture.append(1..=ops) else { unreachable!() };
        let from = fixture.other.clone();
        fixture.takes(Event::Peer(PeerMessage::Append(Append { from, commit: OpNumber(ops), ..append })))
    };
    assert_eq!(follow(4, 8), Ok(()));
    exceeds("committed entries in the log", follow(4, 9));
}

#[test]
fn no_more_is_on_its_way_than_the_window_allows() {
    let settings = Settings { append_window: Some(4), append_bytes_max: Some(3 * 64), ..Settings::default() };
    let mut fixture = Fixture::primary(settings);
    assert_eq!(fixture.sends(fixture.append(1..=3)), Ok(()));
    exceeds("bytes of operations in a message", fixture.sends(fixture.append(1..=4)));
    assert_eq!(fixture.sends(fixture.append(4..=4)), Ok(()));
    exceeds("operations on their way to a replica", fixture.sends(fixture.append(5..=5)));
}

#[test]
fn a_part_follows_when_the_one_before_it_arrived() {
    let mut fixture = Fixture::primary(Settings::default());
    let answers = |fixture: &mut Fixture, part| {
        let transfer = TransferId { view: ViewNumber(1), number: 1 };
        let (from, result) = (fixture.other.clone(), ChunkResult::Next(part));
        fixture.takes(Event::Peer(PeerMessage::ChunkAck(ChunkAck {
            view: ViewNumber(1),
            from,
            data: DATA,
            transfer,
            result,
        })))
    };
    assert_eq!(fixture.sends(fixture.chunk(0, Vec::new())), Ok(()));
    answers(&mut fixture, 1).expect("an answer is no part");
    assert_eq!(fixture.sends(fixture.chunk(1, Vec::new())), Ok(()));
    exceeds("parts on their way to a replica", fixture.sends(fixture.chunk(2, Vec::new())));

    let held = |bytes| pbkv::protocol::command::Versioned {
        value: Bytes::from(vec![0; bytes]),
        mod_revision: OpNumber(1),
    };
    let pair = |bytes| Item::Pair { key: "k".into(), held: held(bytes) };
    assert_eq!(fixture.sends(fixture.chunk(1, vec![pair(4_000), pair(100_000)])), Ok(()));
    let too_much = fixture.sends(fixture.chunk(1, vec![pair(5_000), pair(1)]));
    exceeds("bytes of a part before its last item", too_much);
}

#[test]
fn a_state_that_the_log_has_overtaken_is_kept_no_longer() {
    let mut fixture = Fixture::new(Settings::default());
    let from = fixture.other.clone();
    let PeerMessage::Chunk(chunk) = fixture.chunk(0, Vec::new()) else { unreachable!() };
    fixture
        .takes(Event::Peer(PeerMessage::Chunk(Chunk { from: from.clone(), ..chunk })))
        .expect("a first part");
    assert_eq!(fixture.machine.load().staged, Some(OpNumber(3)));
    let PeerMessage::Append(append) = fixture.append(1..=3) else { unreachable!() };
    let append = Append { from, commit: OpNumber(3), ..append };
    assert_eq!(fixture.takes(Event::Peer(PeerMessage::Append(append))), Ok(()));
    assert_eq!(fixture.machine.load().staged, None);
}

#[test]
fn a_primary_repeats_itself_no_more_often_than_it_is_asked_to() {
    let mut fixture = Fixture::primary(Settings::default());
    let heartbeat = Append {
        entries: Vec::new(),
        ..match fixture.append(1..=1) {
            PeerMessage::Append(append) => append,
            _ => unreachable!(),
        }
    };
    let heartbeat = PeerMessage::Append(heartbeat);
    let limit = limits::SPARE + 2 * 22;
    for _ in 0..limit - 5 {
        fixture.sends(heartbeat.clone()).expect("a heartbeat each 100 ms, and twice that");
    }
    let refused = PeerMessage::AppendAck(AppendAck {
        view: ViewNumber(1),
        from: fixture.other.clone(),
        data: DATA,
        round: 1,
        result: AppendResult::Mismatch { hint: OpNumber(1) },
    });
    fixture.takes(Event::Peer(refused)).expect("it asks again");
    let more = (0..10).find_map(|_| fixture.sends(heartbeat.clone()).err());
    exceeds("repetitions to one replica in a second", more.map_or(Ok(()), Err));
}

fn view_service_machine() -> ViewService {
    ViewService::new(ViewServiceOptions::default(), Record::default(), 1, SealKey(1, 2), NOW)
}

#[test]
fn the_view_service_answers_each_question_once_and_holds_no_other() {
    let fixture = Fixture::new(Settings::default());
    let mut machine = view_service_machine();
    let (event, mut effects) = (view_service::Event::GetView { ticket: Ticket(1) }, Vec::new());
    machine.step(NOW, event.clone(), &mut effects);
    let seen = |asked: u32, effects: &[view_service::Effect]| {
        let mut bounds = fixture.bounds.clone();
        (0..asked).for_each(|_| bounds.before_view_service(&event));
        bounds.after_view_service(NOW, &machine, effects)
    };
    assert_eq!(seen(1, &effects), Ok(()));
    let exceeds = |seen: Result<(), Exceeded>| seen.expect_err("too much").quantity;
    assert_eq!(exceeds(seen(0, &effects)), "answers to one question");
    assert_eq!(exceeds(seen(1, &[])), "callers whose question is held no longer");
    let shell = |callers| fixture.bounds.shell_of_the_view_service(&machine, Held { callers });
    assert_eq!(shell(0), Ok(()));
    assert_eq!(exceeds(shell(1)), "callers without a question");
}

#[test]
fn a_machine_does_not_run_in_circles() {
    let mut fixture = Fixture::primary(Settings::default());
    let (first, last) =
        (fixture.takes(Event::Tick), (0..1_000).find_map(|_| fixture.takes(Event::Tick).err()));
    assert_eq!(first, Ok(()));
    exceeds("ticks in a second", last.map_or(Ok(()), Err));
    let machine = view_service_machine();
    let mut grantor = || {
        fixture.bounds.before_view_service(&view_service::Event::Tick);
        fixture.bounds.after_view_service(NOW, &machine, &[])
    };
    assert_eq!(grantor(), Ok(()));
    let exceeded = (0..1_000).find_map(|_| grantor().err()).expect("it runs in circles");
    assert_eq!(&*exceeded.node, "vs");
}

#[test]
fn callers_are_held_for_requests_that_wait() {
    let fixture = Fixture::new(Settings::default());
    let shell = |callers| fixture.bounds.shell(S1, &fixture.machine, Held { callers });
    assert_eq!(shell(0), Ok(()));
    assert_eq!(shell(1).expect_err("nobody asked").quantity, "callers without a request");
}

#[test]
fn keys_and_values_are_no_longer_than_may_be() {
    let settings = Settings { key_bytes_max: Some(2), value_bytes_max: Some(3), ..Settings::default() };
    // What the machine takes: a session, and an update of it.
    let take = |updates: Vec<Update>| {
        let mut fixture = Fixture::new(settings.clone());
        let PeerMessage::Append(append) = fixture.append(1..=1) else { unreachable!() };
        let mut entries = append.entries.clone();
        entries.extend((1..).zip(updates).map(|(number, update)| {
            let (session, request) = (SessionId(1), RequestNumber(number));
            Entry { command: Command::Update { session, request, update }, ..entry(number + 1) }
        }));
        let (from, commit) = (fixture.other.clone(), OpNumber(entries.len() as u64));
        fixture.takes(Event::Peer(PeerMessage::Append(Append { from, commit, entries, ..append })))
    };
    let put = |key: &'static str, value: &'static str| Update::Put { key: key.into(), value: value.into() };
    let swap = |expected: &'static str, new: &'static str| Update::CompareAndSwap {
        key: "k".into(),
        expected: Expected::Value(Some(expected.into())),
        new: new.into(),
    };
    let append =
        |value: &'static str| Update::Append { key: "k".into(), value: value.into(), value_bytes_max: 100 };
    let fit = vec![put("kk", "abc"), swap("abc", "abc"), append("ab"), append("c")];
    assert_eq!(take(fit), Ok(()));
    exceeds("bytes of a key", take(vec![put("kkk", "a")]));
    exceeds("bytes of a value", take(vec![put("k", "abcd")]));
    exceeds("bytes of a value", take(vec![swap("abcd", "a")]));
    exceeds("bytes of a value", take(vec![swap("a", "abcd")]));
    exceeds("bytes of a value", take(vec![append("ab"), append("cd")]));
}
