//! A replica does what the reference does: after every event of any sequence, role, view, log, commitments,
//! state, answers, acknowledgements and what the view service is told are equal.
//!
//! `PROPTEST_CASES` and `PBKV_SEED` as in [`properties`](crate::properties). A sequence that shows a
//! difference is made small.

use std::{cell::RefCell, collections::BTreeMap, collections::VecDeque, time::Duration};

use bytes::Bytes;
use pbkv::protocol::{
    command::{Command, Entry, Refusal, Reply, Request, RequestBody, Update},
    identity::{
        Boot, DataId, OpNumber, Position, RequestNumber, ServerId, SessionId, Ticket, ViewNumber, WriteNumber,
    },
    log::Durable,
    machine::Machine,
    message::{Append, AppendAck, AppendResult, Echo, PeerMessage, Ping, PingReply, PingReplyBody},
    options::{ReplicaOptions, ViewServiceOptions},
    replica::{Effect, Event, Replica, RoleName, Start},
    view::{self, Members},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

use crate::{
    pair::GENERATION,
    reference::{Ack, Reference, Role, Said, View},
};

/// Sequences tried by default, and events in the longest.
const CASES: u32 = 1_500;
const LENGTH_MAX: usize = 80;

const NOW: Duration = Duration::from_secs(1_000);
const KEY: &str = "k";
const OTHER_DATA: DataId = DataId { boot: Boot(1), nonce: 77 };

/// What happens next. Numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Another view begins: of this server or the other one, which then has so much of this one's log and so
    /// many entries of its own.
    View {
        leads: bool,
        alone: bool,
        kept: u8,
        own: u8,
    },
    /// The view service tells the latest view or an earlier one.
    Tell {
        back: u8,
        activated: bool,
    },
    /// The other server says what is in its log, in its latest view or an earlier one.
    Append {
        back: u8,
        from: u8,
        count: u8,
        commit: u8,
    },
    /// It answers in this server's latest view or an earlier one.
    Acknowledge {
        back: u8,
        unanswered: u8,
        missing: u8,
        what: u8,
    },
    Open,
    Update {
        session: u8,
        request: u8,
    },
    Get,
    Persist,
}

fn step() -> impl Strategy<Value = Step> {
    let back = || prop_oneof![8 => Just(0_u8), 2 => 1..4_u8];
    prop_oneof![
        2 => (any::<bool>(), prop::bool::weighted(0.3), 0..6_u8, 0..4_u8)
            .prop_map(|(leads, alone, kept, own)| Step::View { leads, alone, kept, own }),
        3 => (back(), prop::bool::weighted(0.7)).prop_map(|(back, activated)| Step::Tell { back, activated }),
        5 => (back(), 0..6_u8, 0..5_u8, 0..9_u8)
            .prop_map(|(back, from, count, commit)| Step::Append { back, from, count, commit }),
        5 => (back(), 0..3_u8, prop_oneof![3 => Just(0_u8), 1 => 0..3_u8], 0..10_u8).prop_map(
            |(back, unanswered, missing, what)| Step::Acknowledge { back, unanswered, missing, what }
        ),
        1 => Just(Step::Open),
        3 => (0..3_u8, 0..4_u8).prop_map(|(session, request)| Step::Update { session, request }),
        2 => Just(Step::Get),
        6 => Just(Step::Persist),
    ]
}

/// What the machine said in one step.
#[derive(Default)]
struct Heard {
    answers: Vec<(u64, Said)>,
    acks: Vec<Ack>,
    pings: Vec<Ping>,
}

struct Both {
    machine: Replica,
    reference: Reference,
    writes: VecDeque<WriteNumber>,
    /// All views, and the other server's log in those that it leads.
    views: Vec<View>,
    logs: BTreeMap<u64, Vec<Entry>>,
    /// The latest message to the other server in each view.
    sent: BTreeMap<u64, u64>,
    tickets: u64,
    values: u64,
    heard: Heard,
    marks: BTreeMap<&'static str, u64>,
}

impl Both {
    fn new() -> Self {
        let start =
            Start { server: ServerId::new("A"), boot: Boot(1), nonce: 1, durable: Durable::default() };
        let mut both = Self {
            machine: Replica::new(ReplicaOptions::default(), start, NOW),
            reference: Reference::new(),
            writes: VecDeque::new(),
            views: Vec::new(),
            logs: BTreeMap::new(),
            sent: BTreeMap::new(),
            tickets: 0,
            values: 0,
            heard: Heard::default(),
            marks: BTreeMap::new(),
        };
        both.takes(Event::Tick);
        both.persists();
        both.is_told(None, 1);
        both.persists();
        both.reference.pings = both.heard.pings.last().map_or(0, |ping| ping.number);
        both
    }

    /// The machine takes an event, and nothing more is waiting.
    fn takes(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.step(NOW, event, &mut effects);
        self.machine.step(NOW, Replica::flush(), &mut effects);
        for effect in effects {
            match effect {
                Effect::Persist { number, .. } => self.writes.push_back(number),
                Effect::Reply { ticket, reply } => self.heard.answers.push((ticket.0, said(reply))),
                Effect::Send { message: PeerMessage::AppendAck(ack), .. } => {
                    self.heard.acks.push((ack.view.0, ack.round, ack.result));
                }
                Effect::Send { message: PeerMessage::Append(append), .. } => {
                    let sent = self.sent.entry(append.view.0).or_default();
                    *sent = (*sent).max(append.round);
                }
                Effect::Ping(ping) => self.heard.pings.push(ping),
                Effect::Send { .. } | Effect::Notice(_) => {}
            }
        }
    }

    fn persists(&mut self) {
        if let Some(number) = self.writes.pop_front() {
            self.takes(Event::Persisted(number));
        }
    }

    fn is_told(&mut self, view: Option<view::View>, ping: u64) {
        let echo = Echo { epoch: 1, at: NOW };
        let body = PingReplyBody::Accepted { view, echo, lease: None, generation: GENERATION };
        let cluster = ViewServiceOptions::default().of_all();
        self.takes(Event::PingReply(PingReply { boot: Boot(1), number: ping, cluster, body }));
    }

    fn view(&self, view: View, activated: bool) -> view::View {
        let own = (ServerId::new("A"), self.machine.data().expect("it was accepted"));
        let other = (ServerId::new("B"), OTHER_DATA);
        let (primary, backup) = if view.leads { (own, other) } else { (other, own) };
        view::View {
            generation: GENERATION,
            number: ViewNumber(view.number),
            primary: primary.0.clone(),
            primary_boot: Boot(1),
            insync: [primary].into_iter().chain((!view.alone).then_some(backup)).collect::<Members>(),
            joining: Members::new(),
            activated,
        }
    }

    /// The latest view that this server leads or not, or one before it.
    fn of(&self, leads: bool, back: u8) -> Option<View> {
        let views: Vec<View> = self.views.iter().copied().filter(|view| view.leads == leads).collect();
        views.len().checked_sub(1 + usize::from(back)).map(|place| views[place])
    }

    fn put(&mut self, session: u64, request: u64) -> RequestBody {
        self.values += 1;
        let update = Update::Put { key: Bytes::from(KEY), value: Bytes::from(self.values.to_string()) };
        RequestBody::Update { session: SessionId(session), request: RequestNumber(request), update }
    }

    fn session(&self, which: u8) -> u64 {
        let opened = self.reference.opened();
        opened.get(usize::from(which) % opened.len().max(1)).copied().unwrap_or(1)
    }

    /// The log of the other server in a new view: the first `kept` beyond what is committed here, and `own`
    /// entries more.
    fn log_of(&mut self, number: u64, kept: u8, own: u8) -> Vec<Entry> {
        let log = &self.reference.log;
        let mut entries = log[..(self.reference.commit + usize::from(kept)).min(log.len())].to_vec();
        for place in 0..own {
            let op = OpNumber(entries.len() as u64 + 1);
            let session = self.session(place);
            let command = if place == 0 {
                Command::OpenSession { ttl: ReplicaOptions::default().session_ttl }
            } else {
                match self.put(session, u64::from(place)) {
                    RequestBody::Update { session, request, update } => {
                        Command::Update { session, request, update }
                    }
                    _ => unreachable!("that is an update"),
                }
            };
            let position = Position { view: ViewNumber(number), op };
            entries.push(Entry { position, timestamp: Duration::ZERO, command });
        }
        entries
    }

    fn asks(&mut self, body: RequestBody) {
        self.tickets += 1;
        self.reference.asked(self.tickets, &body);
        let request = Request { generation: GENERATION, body };
        self.takes(Event::Request { ticket: Ticket(self.tickets), request });
    }

    /// Both take a step, if it is possible.
    fn step(&mut self, step: Step) {
        match step {
            Step::View { leads, alone, kept, own } => {
                let view = View { number: self.views.len() as u64 + 1, leads, alone };
                self.views.push(view);
                if !leads {
                    let log = self.log_of(view.number, kept, own);
                    self.logs.insert(view.number, log);
                }
            }
            Step::Tell { back, activated } => {
                let Some(place) = self.views.len().checked_sub(1 + usize::from(back)) else { return };
                let (view, ping) = (self.views[place], self.reference.pings);
                self.reference.told(view, activated, ping);
                self.is_told(Some(self.view(view, activated)), ping);
            }
            Step::Append { back, from, count, commit } => {
                let Some(view) = self.of(false, back) else { return };
                if view.alone || self.reference.is_held() {
                    return;
                }
                let log = &self.logs[&view.number];
                let from = log.len().saturating_sub(from.into());
                let entries: Vec<Entry> = log[from..].iter().take(count.into()).cloned().collect();
                let previous = from.checked_sub(1).map_or(Position::default(), |place| log[place].position);
                let commit = log.len().saturating_sub(commit.into());
                let heartbeat = u64::from(count) + 1;
                self.reference.appended(view.number, heartbeat, previous, &entries, commit);
                let append = Append {
                    generation: GENERATION,
                    view: ViewNumber(view.number),
                    from: ServerId::new("B"),
                    to_data: self.machine.data().expect("it was accepted"),
                    round: heartbeat,
                    previous,
                    entries,
                    commit: OpNumber(commit as u64),
                    silence_max: Duration::from_secs(1),
                };
                self.takes(Event::Peer(PeerMessage::Append(append)));
            }
            Step::Acknowledge { back, unanswered, missing, what } => {
                let Some(view) = self.of(true, back) else { return };
                if self.reference.is_held() {
                    return;
                }
                let heartbeat =
                    self.sent.get(&view.number).map_or(0, |sent| sent.saturating_sub(unanswered.into()));
                let op = OpNumber((self.reference.log.len() as u64).saturating_sub(missing.into()));
                let result = match what {
                    0 => AppendResult::Stale { view_seen: ViewNumber(view.number + 1) },
                    1 => AppendResult::Mismatch { hint: op },
                    2 => AppendResult::Match(op.next()), // perhaps more than there is
                    _ => AppendResult::Match(op),
                };
                self.reference.acknowledged(view.number, heartbeat, result);
                let (view, from) = (ViewNumber(view.number), ServerId::new("B"));
                let ack = AppendAck { view, from, data: OTHER_DATA, round: heartbeat, result };
                self.takes(Event::Peer(PeerMessage::AppendAck(ack)));
            }
            Step::Open => self.asks(RequestBody::OpenSession),
            Step::Update { session, request } => {
                let session = self.session(session);
                let body = self.put(session, request.into());
                self.asks(body);
            }
            Step::Get if self.reference.is_held() => {}
            Step::Get => self.asks(RequestBody::Get { key: Bytes::from(KEY) }),
            Step::Persist => {
                self.reference.persisted();
                self.persists();
            }
        }
    }

    /// Whether both are the same, by all that can be seen.
    fn compare(&mut self, confirmed_before: bool) -> Result<(), String> {
        let heard = std::mem::take(&mut self.heard);
        let (machine, reference) = (&self.machine, &mut self.reference);
        fn same<T: PartialEq + std::fmt::Debug>(what: &str, has: T, should: T) -> Result<(), String> {
            if has == should {
                Ok(())
            } else {
                Err(format!("{what}: the machine has {has:?}, the reference {should:?}"))
            }
        }
        let role = match reference.role {
            Role::Idle => RoleName::Idle,
            Role::Backup => RoleName::Backup,
            Role::Primary(_) => RoleName::Primary,
        };
        same("role", machine.role(), role)?;
        same("view", machine.view_seen().0, reference.view)?;
        let log = |entries: Vec<&Entry>| entries.into_iter().map(what).collect::<Vec<_>>();
        same(
            "log",
            log(machine.log().entries_from(OpNumber(0)).collect()),
            log(reference.log.iter().collect()),
        )?;
        same("committed", machine.commit().0, reference.commit as u64)?;
        let value = machine.state().get(KEY.as_bytes()).map(|held| &held.value);
        same("value", value, reference.value())?;
        let (mut has, mut should) = (heard.answers, std::mem::take(&mut reference.answers));
        has.sort();
        should.sort();
        same("answers", &has, &should)?;
        // Of several acknowledgements that become due at once the last one must be said, or one that says
        // more: never more than all of one view together.
        let due = std::mem::take(&mut reference.acks);
        let last = due.last().filter(|last| due.iter().all(|ack| ack.0 <= last.0));
        if let Some(unsaid) = last.filter(|last| !heard.acks.iter().any(|ack| says_what(ack, last))) {
            return Err(format!("{unsaid:?} is not acknowledged, but {:?}", heard.acks));
        }
        let is_due = |ack: &Ack| {
            let heard = due.iter().any(|it| (it.0, it.1) == (ack.0, ack.1));
            heard && due.iter().any(|it| (it.0, it.2) == (ack.0, ack.2))
        };
        if let Some(other) = heard.acks.iter().find(|ack| !is_due(ack)) {
            return Err(format!("{other:?} is acknowledged, and {due:?} should be"));
        }
        let confirmed = matches!(&reference.role, Role::Primary(primary) if primary.confirmed);
        let says = |ping: &Ping| !ping.confirmed.is_empty();
        if let Some(ping) =
            heard.pings.iter().find(|ping| says(ping) && !(confirmed && ping.view_known.0 == reference.view))
        {
            return Err(format!("{ping:?} acknowledges a view that is not confirmed"));
        }
        let must_say = confirmed && !confirmed_before && !reference.is_held();
        if must_say && !heard.pings.iter().any(says) {
            return Err(format!("v{} is confirmed, and the view service is not told", reference.view));
        }
        let mut mark = |name, count: usize| *self.marks.entry(name).or_default() += count as u64;
        for (_, answer) in &has {
            let name = match answer {
                Said::NotPrimary => "sent away",
                Said::Opened(_) => "opened",
                Said::Executed(_) => "executed",
                Said::Expired => "expired",
                Said::Superseded => "superseded",
                Said::Value(..) => "read",
            };
            mark(name, 1);
        }
        for (_, _, result) in &heard.acks {
            let name = match result {
                AppendResult::Match(_) => "match",
                AppendResult::Mismatch { .. } => "mismatch",
                AppendResult::Stale { .. } => "stale",
            };
            mark(name, 1);
        }
        mark("confirmed", heard.pings.iter().filter(|ping| says(ping)).count());
        reference.pings = heard.pings.last().map_or(reference.pings, |ping| ping.number);
        if let Role::Primary(primary) = &mut reference.role {
            primary.sent = self.sent.get(&reference.view).copied().unwrap_or_default();
        }
        Ok(())
    }
}

/// What counts of an entry: not when it was made, nor for how long its session lives.
fn what(entry: &Entry) -> (Position, String) {
    let what = match &entry.command {
        Command::OpenSession { .. } => "open".to_owned(),
        other => format!("{other:?}"),
    };
    (entry.position, what)
}

fn said(reply: Reply) -> Said {
    match reply {
        Reply::Value { revision, found } => Said::Value(revision.0, found.map(|found| found.value)),
        Reply::Opened { session, .. } => Said::Opened(session.0),
        Reply::Executed(executed) => Said::Executed(executed.revision.0),
        Reply::Refused(Refusal::NotPrimary { .. }) => Said::NotPrimary,
        Reply::Refused(Refusal::SessionExpired) => Said::Expired,
        Reply::Refused(Refusal::Superseded) => Said::Superseded,
        other => unreachable!("nothing is limited here: {other:?}"),
    }
}

fn agree(steps: &[Step]) -> Result<BTreeMap<&'static str, u64>, String> {
    let mut both = Both::new();
    both.compare(false)?;
    for (place, step) in steps.iter().enumerate() {
        let before = matches!(&both.reference.role, Role::Primary(primary) if primary.confirmed && !both.reference.is_held());
        let view = both.reference.view;
        both.step(*step);
        let before = before && view == both.reference.view;
        both.compare(before).map_err(|differs| format!("after event {place}, {step:?}: {differs}"))?;
    }
    Ok(both.marks)
}

#[test]
fn a_replica_does_what_the_reference_does() {
    let chosen = |name: &str| std::env::var(name).ok().map(|it| it.parse::<u32>().expect("a number"));
    let cases = chosen("PROPTEST_CASES").unwrap_or(CASES);
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(chosen("PBKV_SEED").unwrap_or(1).into()),
        failure_persistence: None,
        ..Config::default()
    };
    let marks: RefCell<BTreeMap<&str, u64>> = RefCell::default();
    let result = TestRunner::new(config).run(&prop::collection::vec(step(), 1..LENGTH_MAX), |steps| {
        for (mark, count) in agree(&steps).map_err(TestCaseError::fail)? {
            *marks.borrow_mut().entry(mark).or_default() += count;
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let marks = marks.into_inner();
    println!("{cases} sequences: {marks:?}");
    let rare: Vec<_> = [
        "sent away",
        "opened",
        "executed",
        "expired",
        "superseded",
        "read",
        "match",
        "mismatch",
        "stale",
        "confirmed",
    ]
    .into_iter()
    .filter(|mark| marks.get(mark).is_none_or(|count| *count < 50))
    .collect();
    assert!(rare.is_empty() || cases < CASES, "hardly ever seen: {rare:?} of {marks:?}");
}

/// Whether an acknowledgement says all that another one does.
fn says_what(ack: &Ack, other: &Ack) -> bool {
    let is_match = |ack: &Ack| matches!(ack.2, AppendResult::Match(_));
    let result = match (ack.2, other.2) {
        (AppendResult::Match(holds), AppendResult::Match(held)) => holds >= held,
        (one, another) => one == another,
    };
    let heartbeat = if is_match(ack) { ack.1 >= other.1 } else { ack.1 == other.1 };
    ack.0 == other.0 && result && heartbeat
}
