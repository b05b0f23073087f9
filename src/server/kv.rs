//! A KV server: the replica's machine, its connections, and the two services it offers.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::stream;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    ServerError,
    calls::{self, Asked, StreamCaller},
    contact::{Contact, Pinged},
    driver::{self, Driver, Port},
    link::{self, Answers, Arrived, Links},
    notices,
    terms::Terms,
    tickets::{Caller, Tickets},
};
use crate::{
    clock::Clock,
    options::Limits,
    proto::{
        kv::{FromClient, ToClient, stopping},
        not_executed,
    },
    protocol::{
        command::{self, Reply},
        identity::WriteNumber,
        log::Write,
        machine::{Held, Observer},
        message::{PeerMessage, Probe},
        options::ReplicaOptions,
        replica::{Effect, Event, Notice, Replica, Start},
    },
    storage::Storage,
    wire,
};

/// Inputs queued for the machine.
const INBOX_MAX: usize = 8_192;

/// Of these, so many are kept free for other servers: clients must not crowd out the acknowledgements that
/// their own requests wait for.
const INBOX_RESERVED: usize = 2_048;

/// A server warns of so many differences from primaries at most.
const WARNINGS_MAX: usize = 30;

/// What a KV server is started with.
#[derive(Clone, Debug)]
pub struct KvConfig {
    /// Who it is, in which life, and what it remembers.
    pub start: Start,
    /// The protocol's options.
    pub options: ReplicaOptions,
    /// What clients may send. Must be the same on all servers.
    pub limits: Limits,
    /// Bytes of answers that travel together on a client's stream, at most; a longer answer travels alone.
    pub together_bytes_max: usize,
    /// Address of the view service, `host:port`.
    pub view_service: String,
}

/// A running KV server. Stops when dropped.
#[derive(Debug)]
pub struct KvServer {
    kv: KvService,
    replication: ReplicationService,
    terms: Terms,
    answer_bytes_max: usize,
    driver: Driver,
}

impl KvServer {
    /// Starts the server on the current runtime. `storage` must hold what `config.start.durable` says.
    pub fn start<S, C, O>(config: KvConfig, storage: S, clock: C, observer: O) -> Self
    where
        S: Storage<Write = Write>,
        C: Clock,
        O: Observer<Replica>,
    {
        let limits = config.limits;
        let terms = Terms::new(&limits, &config.options);
        let answer_bytes_max = limits.answer_bytes_max(&config.options);
        let (inbox, inputs) = mpsc::channel(INBOX_MAX);
        let port = KvPort {
            callers: Tickets::new(),
            links: Links::new(clock.clone(), inbox.clone(), terms),
            contact: Contact::new(clock.clone(), inbox.clone(), config.view_service),
        };
        let machine = Replica::new(config.options, config.start, clock.now());
        let driver = Driver::spawn(driver::run(machine, port, inputs, storage, clock.clone(), observer));
        let kv = KvService { inbox: inbox.clone(), limits, together_bytes_max: config.together_bytes_max };
        let probed = inbox.clone();
        let converse = move |messages| link::conversation(clock.clone(), messages, inbox.clone());
        let (converse, warned) = (Arc::new(converse), Arc::default());
        let replication = ReplicationService { terms, warned, converse, inbox: probed };
        Self { kv, replication, terms, answer_bytes_max, driver }
    }

    /// Both services for clients: for calls that are made alone, and for those that are made on a stream.
    pub fn kv(&self) -> KvService {
        self.kv.clone()
    }

    /// The service for other servers.
    pub fn replication(&self) -> ReplicationService {
        self.replication.clone()
    }

    /// The largest message that the services must be able to take.
    pub fn message_bytes_max(&self) -> usize {
        self.terms.message_bytes_max()
    }

    /// The largest answer to a client.
    pub fn answer_bytes_max(&self) -> usize {
        self.answer_bytes_max
    }

    /// Resolves only if the server had to stop on its own.
    pub async fn failed(&mut self) -> ServerError {
        self.driver.failed().await
    }
}

/// What is queued for the machine.
#[derive(Debug)]
enum Input {
    Request { request: command::Request, caller: Waits },
    Arrived { message: PeerMessage, back: Option<mpsc::Sender<PeerMessage>> },
    Pinged(Pinged),
    Probed(Probe),
    Refused(String),
}

/// Who waits for a reply.
#[derive(Debug)]
enum Waits {
    Alone(oneshot::Sender<Reply>),
    OnStream(StreamCaller),
}

impl Caller for Waits {
    type Answer = Reply;

    fn has_left(&self) -> bool {
        match self {
            Self::Alone(caller) => caller.has_left(),
            Self::OnStream(caller) => caller.has_left(),
        }
    }

    fn answer(self, reply: Reply) {
        match self {
            Self::Alone(caller) => caller.answer(reply),
            Self::OnStream(caller) => caller.answer(reply),
        }
    }
}

impl From<Arrived> for Input {
    fn from(Arrived { message, back }: Arrived) -> Self {
        Self::Arrived { message, back }
    }
}

impl From<Pinged> for Input {
    fn from(pinged: Pinged) -> Self {
        Self::Pinged(pinged)
    }
}

struct KvPort<C> {
    callers: Tickets<Waits>,
    links: Links<C, Input>,
    contact: Contact<C, Input>,
}

impl<C: Clock> Port for KvPort<C> {
    type Machine = Replica;
    type Input = Input;
    type Write = Write;

    fn admit(&mut self, now: Duration, input: Input) -> Option<Event> {
        match input {
            Input::Request { request, caller } => {
                Some(Event::Request { ticket: self.callers.issue(caller), request })
            }
            Input::Arrived { message, back } => {
                if let Some(back) = back {
                    self.links.route(&message, back);
                }
                Some(Event::Peer(message))
            }
            Input::Pinged(pinged) => self.contact.ended(now, pinged).map(Event::PingReply),
            Input::Probed(probe) => Some(Event::Probe(probe)),
            Input::Refused(why) => Some(Event::Refused(why)),
        }
    }

    fn perform(&mut self, now: Duration, effect: Effect) -> Option<(WriteNumber, Vec<Write>)> {
        match effect {
            Effect::Ping(ping) => self.contact.ping(ping),
            Effect::Send { to, message } => self.links.send(now, to, message),
            Effect::Persist { number, writes } => return Some((number, writes)),
            Effect::Reply { ticket, reply } => self.callers.answer(ticket, reply),
            Effect::Notice(Notice::ViewServiceSilent) => self.contact.is_lost(now),
            Effect::Notice(Notice::ViewServiceAnswers) => self.contact.is_back(),
            Effect::Notice(notice) => notices::log(notice),
        }
        None
    }

    fn held(&self) -> Held {
        Held { callers: self.callers.len() }
    }

    fn persisted(number: WriteNumber) -> Event {
        Event::Persisted(number)
    }

    fn writing() -> Option<Event> {
        Some(Event::Writing)
    }
}

/// Answers clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KvService {
    inbox: mpsc::Sender<Input>,
    limits: Limits,
    together_bytes_max: usize,
}

impl KvService {
    async fn call<T: ToClient>(&self, request: impl FromClient) -> Result<Response<T>, Status> {
        let request = request.into_request(&self.limits)?;
        let (caller, waiting) = oneshot::channel();
        self.queue(request, Waits::Alone(caller)).map_err(|(_, status)| status)?;
        let reply = waiting.await.map_err(|_| stopping())?;
        T::from_reply(reply).map(Response::new)
    }

    /// Queues a request for the machine, or gives back who waits for it, and says why.
    fn queue(&self, request: command::Request, caller: Waits) -> Result<(), (Waits, Status)> {
        if self.inbox.capacity() <= INBOX_RESERVED {
            return Err((caller, crowded()));
        }
        let (input, status) = match self.inbox.try_send(Input::Request { request, caller }) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Full(input)) => (input, crowded()),
            Err(mpsc::error::TrySendError::Closed(input)) => (input, stopping()),
        };
        match input {
            Input::Request { caller, .. } => Err((caller, status)),
            _ => unreachable!("it is what was to be queued"),
        }
    }
}

fn crowded() -> Status {
    not_executed(Status::resource_exhausted(
        "too many requests are queued at this server; try again after a pause",
    ))
}

#[async_trait]
impl wire::kv_server::Kv for KvService {
    async fn get(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::GetResponse>, Status> {
        self.call(request.into_inner()).await
    }

    async fn scan(
        &self,
        request: Request<wire::ScanRequest>,
    ) -> Result<Response<wire::ScanResponse>, Status> {
        self.call(request.into_inner()).await
    }

    async fn put(
        &self,
        request: Request<wire::PutRequest>,
    ) -> Result<Response<wire::UpdateResponse>, Status> {
        self.call(request.into_inner()).await
    }

    async fn append(
        &self,
        request: Request<wire::AppendRequest>,
    ) -> Result<Response<wire::UpdateResponse>, Status> {
        self.call(request.into_inner()).await
    }

    async fn delete(
        &self,
        request: Request<wire::DeleteRequest>,
    ) -> Result<Response<wire::UpdateResponse>, Status> {
        self.call(request.into_inner()).await
    }

    async fn compare_and_swap(
        &self,
        request: Request<wire::CompareAndSwapRequest>,
    ) -> Result<Response<wire::UpdateResponse>, Status> {
        self.call(request.into_inner()).await
    }

    async fn open_session(
        &self,
        request: Request<wire::OpenSessionRequest>,
    ) -> Result<Response<wire::OpenSessionResponse>, Status> {
        self.call(request.into_inner()).await
    }

    async fn close_session(
        &self,
        request: Request<wire::CloseSessionRequest>,
    ) -> Result<Response<wire::CloseSessionResponse>, Status> {
        self.call(request.into_inner()).await
    }
}

#[async_trait]
impl wire::kv_stream_server::KvStream for KvService {
    type OpenStream = calls::Answers;

    async fn open(
        &self,
        request: Request<Streaming<wire::Calls>>,
    ) -> Result<Response<calls::Answers>, Status> {
        let (service, limits) = (self.clone(), (self.limits, self.together_bytes_max));
        let queue = move |Asked { request, caller }| {
            if let Err((Waits::OnStream(caller), status)) = service.queue(request, Waits::OnStream(caller)) {
                caller.refuse(&status);
            }
        };
        Ok(Response::new(calls::conversation(request.into_inner(), limits, queue)))
    }
}

/// Takes the streams of primaries and the probes of the view service. Cheap to clone.
#[derive(Clone)]
pub struct ReplicationService {
    terms: Terms,
    /// Of which differences from primaries the log warned.
    warned: Arc<Mutex<Vec<String>>>,
    converse: Arc<dyn Fn(Streaming<wire::PrimaryMessage>) -> Answers + Send + Sync>,
    inbox: mpsc::Sender<Input>,
}

impl ReplicationService {
    /// Says once, not with every stream, in what this server differs from a primary; so often at most, as
    /// anybody can open a stream.
    fn warn(&self, differences: Vec<String>) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        for news in differences {
            if warned.len() < WARNINGS_MAX && !warned.contains(&news) {
                tracing::warn!("{news}");
                warned.push(news);
            }
        }
    }
}

impl fmt::Debug for ReplicationService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplicationService")
    }
}

#[async_trait]
impl wire::replication_server::Replication for ReplicationService {
    type ReplicateStream = Answers;
    type WatchStream = stream::Pending<Result<wire::WatchResponse, Status>>;

    async fn replicate(
        &self,
        request: Request<Streaming<wire::PrimaryMessage>>,
    ) -> Result<Response<Answers>, Status> {
        if let Err(why) = self.terms.accept(request.metadata()) {
            self.warn(vec![format!("a primary's stream was refused: {}", why.message())]);
            // A full inbox loses it; the primary will try again.
            drop(self.inbox.try_send(Input::Refused(why.message().to_owned())));
            return Err(why);
        }
        self.warn(self.terms.differences(request.metadata()));
        Ok(Response::new((self.converse)(request.into_inner())))
    }

    async fn probe(
        &self,
        request: Request<wire::ProbeRequest>,
    ) -> Result<Response<wire::ProbeResponse>, Status> {
        let probe = Probe::try_from(request.into_inner())?;
        self.inbox.try_send(Input::Probed(probe)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => crowded(),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        Ok(Response::new(wire::ProbeResponse {}))
    }

    async fn watch(
        &self,
        _: Request<Streaming<wire::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(stream::pending()))
    }
}
