//! A primary and another replica, linked by messages that take their time, in steps of 10 ms.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use pbkv::protocol::{
    command::{Refusal, Reply, Request, RequestBody, Update},
    identity::{Boot, DataId, Generation, RequestNumber, ServerId, SessionId, Ticket, ViewNumber},
    log::Durable,
    machine::Machine,
    message::{Echo, PeerMessage, PingReply, PingReplyBody},
    options::{ReplicaOptions, ViewServiceOptions},
    replica::{Effect, Event, Notice, Replica, Start},
    view::{Members, View},
};

/// The history that all take part in.
pub const GENERATION: Generation = Generation { number: 1, nonce: 1 };

/// The grain of time.
pub const STEP: Duration = Duration::from_millis(10);

/// A replica that is driven by hand, and what came of it.
pub struct Driven {
    pub replica: Replica,
    pub now: Duration,
    pub notices: Vec<Notice>,
    pub replies: Vec<Reply>,
    pub sent: VecDeque<PeerMessage>,
    /// The replicas that its pings report as suspects.
    pub suspects: Vec<ServerId>,
    pub pings: u64,
    /// What it writes does not become durable.
    pub disk_stalls: bool,
    tickets: u64,
}

impl Driven {
    /// An accepted, empty server.
    pub fn new(name: &str, options: &ReplicaOptions) -> Self {
        let start =
            Start { server: ServerId::new(name), boot: Boot(1), nonce: 1, durable: Durable::default() };
        let now = Duration::from_secs(1000);
        let mut driven = Self {
            replica: Replica::new(options.clone(), start, now),
            now,
            notices: Vec::new(),
            replies: Vec::new(),
            sent: VecDeque::new(),
            suspects: Vec::new(),
            pings: 0,
            disk_stalls: false,
            tickets: 0,
        };
        driven.told(None);
        driven
    }

    pub fn data(&self) -> DataId {
        self.replica.data().expect("it is accepted")
    }

    /// The view service answers a ping that was sent just now.
    pub fn told(&mut self, view: Option<View>) {
        self.step(Replica::flush());
        self.now += Duration::from_secs(1); // longer than any ping interval: a ping leaves
        self.step(Replica::flush());
        self.answered(view);
        self.step(Replica::flush());
    }

    /// The view service's answer to the latest ping arrives.
    pub fn answered(&mut self, view: Option<View>) {
        let body = PingReplyBody::Accepted {
            view,
            echo: Echo { epoch: 1, at: self.now },
            lease: None,
            generation: GENERATION,
        };
        let reply = PingReply {
            boot: self.replica.boot(),
            number: self.pings,
            cluster: ViewServiceOptions::default().of_all(),
            body,
        };
        self.step(Event::PingReply(reply));
    }

    /// Takes an event; what is written is durable at once, or never if the disk stalls.
    pub fn step(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.replica.step(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Persist { .. } if self.disk_stalls => {}
                Effect::Persist { number, .. } => self.step(Event::Persisted(number)),
                Effect::Send { message, .. } => self.sent.push_back(message),
                Effect::Notice(notice) => self.notices.push(notice),
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::Ping(ping) => {
                    self.pings = ping.number;
                    self.suspects = ping.suspects.into_iter().collect();
                }
            }
        }
    }

    pub fn ask(&mut self, body: RequestBody) {
        self.tickets += 1;
        let request = Request { generation: GENERATION, body };
        self.step(Event::Request { ticket: Ticket(self.tickets), request });
    }

    pub fn put(&mut self, session: SessionId, request: u64, key: String, value_bytes: usize) {
        let update = Update::Put { key: key.into(), value: Bytes::from(vec![b'v'; value_bytes]) };
        self.ask(RequestBody::Update { session, request: RequestNumber(request), update });
    }

    /// Opens a session.
    pub fn open(&mut self) -> Result<SessionId, Refusal> {
        self.replies.clear();
        self.ask(RequestBody::OpenSession);
        self.step(Replica::flush());
        match self.replies.pop() {
            Some(Reply::Opened { session, .. }) => Ok(session),
            Some(Reply::Refused(refusal)) => Err(refusal),
            other => panic!("no session was opened: {other:?}"),
        }
    }

    pub fn count(&self, is_it: impl Fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|notice| is_it(notice)).count()
    }
}

/// The primary A, alone in sync, and the joiner B.
pub struct Pair {
    pub a: Driven,
    pub b: Driven,
    /// Steps that a message takes in each direction.
    pub delay: usize,
    /// Steps for which a part of the state occupies the link: what follows waits.
    pub part_steps: usize,
    free_at: usize,
    /// Parts that were sent so far.
    pub parts: u64,
    to_a: VecDeque<(usize, PeerMessage)>,
    to_b: VecDeque<(usize, PeerMessage)>,
    steps: usize,
}

impl Pair {
    pub fn new(options: &ReplicaOptions, delay: usize) -> Self {
        let (mut a, b) = (Driven::new("A", options), Driven::new("B", options));
        a.told(Some(view(1, &a, None)));
        let (to_a, to_b) = (VecDeque::new(), VecDeque::new());
        Self { a, b, delay, part_steps: 0, free_at: 0, parts: 0, to_a, to_b, steps: 0 }
    }

    /// A view with B as joiner begins.
    pub fn join(&mut self, number: u64) {
        let view = view(number, &self.a, Some(&self.b));
        self.a.told(Some(view.clone()));
        self.b.told(Some(view));
        self.b.now = self.a.now;
    }

    /// Messages arrive, and a step of time passes.
    pub fn step(&mut self) {
        let (now, delay) = (self.steps, self.delay);
        for message in self.a.sent.drain(..) {
            let is_part = matches!(message, PeerMessage::Chunk(_));
            self.parts += u64::from(is_part);
            self.free_at = self.free_at.max(now) + if is_part { self.part_steps } else { 0 };
            self.to_b.push_back((self.free_at + delay, message));
        }
        self.to_a.extend(self.b.sent.drain(..).map(|message| (now + delay, message)));
        self.steps += 1;
        self.a.now += STEP;
        self.b.now = self.a.now;
        while let Some((_, message)) = self.to_b.pop_front_if(|(at, _)| *at <= now) {
            self.b.step(Event::Peer(message));
        }
        self.b.step(Replica::flush());
        while let Some((_, message)) = self.to_a.pop_front_if(|(at, _)| *at <= now) {
            self.a.step(Event::Peer(message));
        }
        self.a.step(Replica::flush());
    }

    /// A waits for B with every operation, and says that it is in sync.
    pub fn is_joined(&self) -> bool {
        self.a.replica.as_primary().is_some_and(|it| it.announced().contains(self.b.replica.server()))
    }
}

/// A view of `primary` alone, in sync, and perhaps a joiner.
pub fn view(number: u64, primary: &Driven, joiner: Option<&Driven>) -> View {
    let member = |driven: &Driven| (driven.replica.server().clone(), driven.data());
    View {
        generation: GENERATION,
        number: ViewNumber(number),
        primary: primary.replica.server().clone(),
        primary_boot: primary.replica.boot(),
        insync: Members::from([member(primary)]),
        joining: joiner.map(member).into_iter().collect(),
        activated: true,
    }
}
