//! A KV server: the replica's machine, its connections, and the two services it offers.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{
    ServerError,
    clock::Clock,
    contact::{Contact, Pinged},
    driver::{self, Driver, Port},
    link::{self, Answers, Arrived, Links},
    tickets::Tickets,
};
use crate::{
    options::Limits,
    proto::kv::{FromClient, ToClient},
    protocol::{
        command::{self, Reply},
        identity::WriteNumber,
        log::Write,
        machine::Observer,
        message::PeerMessage,
        options::ReplicaOptions,
        replica::{Effect, Event, Notice, Replica, Start},
    },
    storage::Storage,
    wire,
};

/// Inputs queued for the machine.
const INBOX_MAX: usize = 8_192;

/// Of these, so many are kept free for other servers: clients must not crowd out the acknowledgements that their own
/// requests wait for.
const INBOX_RESERVED: usize = 2_048;

/// What a KV server is started with.
#[derive(Clone, Debug)]
pub struct KvConfig {
    /// Who it is, in which life, and what it remembers.
    pub start: Start,
    /// The protocol's options. Its `value_bytes_max` is replaced by that of `limits`.
    pub options: ReplicaOptions,
    /// What clients may send. Must be the same on all servers.
    pub limits: Limits,
    /// Address of the view service, `host:port`.
    pub view_service: String,
}

/// A running KV server. Stops when dropped.
#[derive(Debug)]
pub struct KvServer {
    kv: KvService,
    replication: ReplicationService,
    message_bytes_max: usize,
    driver: Driver,
}

impl KvServer {
    /// Starts the server on the current runtime. `storage` must hold what `config.start.durable` says.
    pub fn start<S, C, O>(mut config: KvConfig, storage: S, clock: C, observer: O) -> Self
    where
        S: Storage<Write = Write>,
        C: Clock,
        O: Observer<Replica>,
    {
        let limits = config.limits;
        config.options.value_bytes_max = limits.value_bytes_max as u64;
        let message_bytes_max = limits.message_bytes_max(&config.options);
        let (inbox, inputs) = mpsc::channel(INBOX_MAX);
        let port = KvPort {
            callers: Tickets::new(),
            links: Links::new(clock.clone(), inbox.clone(), message_bytes_max),
            contact: Contact::new(clock.clone(), inbox.clone(), config.view_service),
        };
        let machine = Replica::new(config.options, config.start, clock.now());
        let driver = Driver::spawn(driver::run(machine, port, inputs, storage, clock.clone(), observer));
        let kv = KvService { inbox: inbox.clone(), limits };
        let converse = move |messages| link::conversation(clock.clone(), messages, inbox.clone());
        let replication = ReplicationService { converse: Arc::new(converse) };
        Self { kv, replication, message_bytes_max, driver }
    }

    /// The service for clients.
    pub fn kv(&self) -> KvService {
        self.kv.clone()
    }

    /// The service for other servers.
    pub fn replication(&self) -> ReplicationService {
        self.replication.clone()
    }

    /// The largest message that the services must be able to take.
    pub fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Resolves only if the server had to stop on its own.
    pub async fn failed(&mut self) -> ServerError {
        self.driver.failed().await
    }
}

/// What is queued for the machine.
#[derive(Debug)]
enum Input {
    Request { request: command::Request, caller: oneshot::Sender<Reply> },
    Arrived { message: PeerMessage, back: Option<mpsc::Sender<PeerMessage>> },
    Pinged(Pinged),
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
    callers: Tickets<Reply>,
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
        }
    }

    fn perform(&mut self, now: Duration, effect: Effect) -> Option<(WriteNumber, Vec<Write>)> {
        match effect {
            Effect::Ping(ping) => self.contact.ping(ping),
            Effect::Send { to, message } => self.links.send(now, to, message),
            Effect::Persist { number, writes } => return Some((number, writes)),
            Effect::Reply { ticket, reply } => self.callers.answer(ticket, reply),
            Effect::Notice(notice) => log(notice),
        }
        None
    }

    fn persisted(number: WriteNumber) -> Event {
        Event::Persisted(number)
    }
}

fn log(notice: Notice) {
    use tracing::{debug, error, info, warn};
    match notice {
        Notice::Accepted => info!("accepted by the view service"),
        Notice::RoleChanged { role, view } => info!(?role, %view, "the role changed"),
        Notice::Confirmed { view } => debug!(%view, "all replicas of the view are confirmed"),
        Notice::Activated { view } => info!(%view, "the view is active"),
        Notice::Fenced { view } => warn!(%view, "a later view exists: no longer primary"),
        Notice::Suspected { server } => warn!(%server, "a replica is silent, told the view service"),
        Notice::Joined { server, at } => info!(%server, %at, "a backup is up to date"),
        Notice::TransferBegan { to, at } => info!(%to, ?at, "a state transfer began"),
        Notice::TransferCompleted { to, at } => info!(%to, %at, "a state transfer completed"),
        Notice::TransferAbandoned { to } => {
            warn!(%to, "a state transfer was given up: the log outgrew its limit meanwhile");
        }
        Notice::ReceivingState { from, at } => info!(%from, ?at, "receiving the state, the transfer began"),
        Notice::StateInstalled { at } => info!(?at, "the state is installed, the transfer completed"),
        Notice::BootRaised { boot } => warn!(%boot, "the view service knows a later life of this server"),
        Notice::WrongGeneration { own, current } => error!(
            %own, %current,
            "the data of this server belongs to another generation than the view service's; \
             stop this server and start it again empty"
        ),
    }
}

/// Answers clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KvService {
    inbox: mpsc::Sender<Input>,
    limits: Limits,
}

impl KvService {
    async fn call<T: ToClient>(&self, request: impl FromClient) -> Result<Response<T>, Status> {
        let request = request.into_request(&self.limits)?;
        if self.inbox.capacity() <= INBOX_RESERVED {
            return Err(crowded());
        }
        let (caller, waiting) = oneshot::channel();
        self.inbox.try_send(Input::Request { request, caller }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => crowded(),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        let reply = waiting.await.map_err(|_| stopping())?;
        T::from_reply(reply).map(Response::new)
    }
}

fn crowded() -> Status {
    Status::resource_exhausted("too many requests are queued at this server; try again after a pause")
}

fn stopping() -> Status {
    Status::unavailable("this server is stopping; ask the view service for the primary")
}

#[async_trait]
impl wire::kv_server::Kv for KvService {
    async fn get(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::GetResponse>, Status> {
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

/// Takes the streams of primaries. Cheap to clone.
#[derive(Clone)]
pub struct ReplicationService {
    converse: Arc<dyn Fn(Streaming<wire::PrimaryMessage>) -> Answers + Send + Sync>,
}

impl fmt::Debug for ReplicationService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplicationService")
    }
}

#[async_trait]
impl wire::replication_server::Replication for ReplicationService {
    type ReplicateStream = Answers;

    async fn replicate(
        &self,
        request: Request<Streaming<wire::PrimaryMessage>>,
    ) -> Result<Response<Answers>, Status> {
        Ok(Response::new((self.converse)(request.into_inner())))
    }
}
