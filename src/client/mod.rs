//! The client: finds the primary through the view service, retries, fails over, and knows what it does not
//! know.
//!
//! An update is executed at most once however often it is sent, because each attempt carries the same session
//! and request number. The client sends it again until it is answered or the deadline has passed; without an
//! answer its fate is unknown, unless no attempt ever reached a server. It never guesses.
//!
//! A session is opened by the first update and ends when it is not used for its time to live, which the
//! server grants and the log's clock measures. The client's own clock proves nothing about it: the machine
//! may have stood still, or run at another rate. So a session that ended while an attempt was in doubt leaves
//! the update's fate unknown: the attempt may have been executed, and the session forgotten since. Without
//! such an attempt the update goes on in a new session. The client's clock only makes that rare: a session
//! not used for half of its life is replaced beforehand.
//!
//! Every answer has a *revision*: the number of the operation after which it was true. Of two answers that
//! followed each other, to whichever clients, the later never has the smaller one, as long as the generation
//! is the same: after [`ClientError::DataLost`] revisions begin anew.
//!
//! A client makes one call at a time. Clients are cheap: use one for each task, and make them by
//! [`Client::another`]. They share a connection then, and the calls that are under way at a time travel over
//! one stream, together, which costs a fraction of what they cost one by one. A call of more than 32 KiB
//! travels alone. So does an answer, after the stream has said that it is too long; a client that was told so
//! makes its next calls alone.
//!
//! ```
//! use pbkv::{client::{Client, ClientError, ClientOptions}, clock::SystemClock};
//! # use std::error::Error;
//! # use pbkv::{channel, options::TOGETHER_BYTES_MAX, process::{Listener, block_on}, protocol::{
//! #     identity::{Boot, ServerId}, log::Durable, options::ViewServiceOptions,
//! #     replica::Start, view::Record, view_service::SealKey,
//! # }, server::{kv::{KvConfig, KvServer}, view::{ViewConfig, ViewServer}},
//! # storage::{journal::Journal, record_file::RecordFile},
//! # wire::{kv_server, kv_stream_server, replication_server, view_service_server::ViewServiceServer}};
//!
//! async fn example(view_service: &str) -> Result<(), Box<dyn Error>> {
//!     let mut client = Client::new(ClientOptions::new(view_service), SystemClock);
//!     client.put("fruit", "apple").await?;
//!     assert_eq!(client.get("fruit").await?, Some("apple".into()));
//!
//!     let swap = client.compare_and_swap("fruit", Some("apple".into()), "pear").await?;
//!     assert!(swap.swapped);
//!     match client.append("log", "a line").await {
//!         Ok(revision) => println!("operation {} appended it", revision.0),
//!         Err(ClientError::Unknown { why }) => println!("it may be appended, now or later: {why}"),
//!         Err(error) => return Err(error.into()), // nothing was changed
//!     }
//!     let mut other = client.another();
//!     let (one, two) = tokio::join!(client.put("one", "1"), other.put("two", "2")); // they travel together
//!     (one?, two?);
//!     other.close().await?;
//!     client.close().await?;
//!     Ok(())
//! }
//! # fn main() -> Result<(), Box<dyn Error>> {
//! #     block_on(async {
//! #         let folder = tempfile::tempdir()?;
//! #         let listener = Listener::bind("localhost:0").await?;
//! #         let view_service = listener.address()?.to_string();
//! #         let (record, storage) = RecordFile::open(folder.path()).await?;
//! #         let (adopt, command, key) = (None, String::new(), SealKey(1, 2));
//! #         let options = ViewServiceOptions { replicas: 1, ..ViewServiceOptions::default() };
//! #         let config = ViewConfig { record, adopt, epoch: 1, key, options, command };
//! #         let views = ViewServer::start(config, storage, SystemClock, ());
//! #         let router = channel::server().add_service(ViewServiceServer::new(views.service()));
//! #         let views_served = listener.serve(router);
//! #         let listener = Listener::bind("localhost:0").await?;
//! #         let server = ServerId::new(listener.address()?.to_string());
//! #         let start = Start { server, boot: Boot(1), nonce: 1, durable: Durable::default() };
//! #         let (options, limits) = Default::default();
//! #         let together_bytes_max = TOGETHER_BYTES_MAX;
//! #         let view_service_too = view_service.clone();
//! #         let config =
//! #             KvConfig { start, options, limits, together_bytes_max, view_service: view_service_too };
//! #         let kv = KvServer::start(config, None::<Journal>, SystemClock, ());
//! #         let router = channel::server().add_service(kv_server::KvServer::new(kv.kv()));
//! #         let router = router.add_service(kv_stream_server::KvStreamServer::new(kv.kv()));
//! #         let router = router.add_service(replication_server::ReplicationServer::new(kv.replication()));
//! #         tokio::select! {
//! #             biased;
//! #             done = example(&view_service) => done,
//! #             ended = views_served => Err(format!("{ended:?}").into()),
//! #             ended = listener.serve(router) => Err(format!("{ended:?}").into()),
//! #         }
//! #     })?
//! # }
//! ```

mod call;
mod call_stream;
mod connection;
mod error;
mod options;
mod page;
mod status;
mod waiting;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    protocol::{
        command::{Executed, Expected, Outcome, Page, Refusal, Reply, RequestBody, Scan, Update, Versioned},
        identity::{Generation, OpNumber, RequestNumber, ServerId, SessionId},
        view::View,
        view_service::{Distress, NotTaken},
    },
};
use bytes::Bytes;
use call::{Call, NoView, unexpected};
use connection::{Connection, Connections};
pub use error::ClientError;
pub use options::ClientOptions;
pub use status::StatusReport;
pub use waiting::Waiting;

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The last operation applied when the key was read.
    pub revision: OpNumber,
    /// What the key held, with the operation that wrote it; nothing if it was absent.
    pub held: Option<Versioned>,
}

/// What a delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// Its operation.
    pub revision: OpNumber,
    /// Whether the key was there.
    pub existed: bool,
}

/// What a compare-and-swap did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Its operation; if the new value was set, the one that the key was changed by.
    pub revision: OpNumber,
    /// Whether the new value was set.
    pub swapped: bool,
    /// What the key held before, with the operation that wrote it.
    pub previous: Option<Versioned>,
}

/// What the view service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewReport {
    /// The current view, absent until the first server was accepted.
    pub view: Option<View>,
    /// Copies to strive for, the primary included.
    pub replicas: u32,
    /// Why no view begins, or why nobody would replace a primary that fails.
    pub distress: Option<Distress>,
    /// Which servers run and are not taken, if copies are missing.
    pub not_taken: Option<NotTaken>,
}

/// A client of one cluster. One call at a time.
#[derive(Debug)]
pub struct Client<C> {
    options: ClientOptions,
    /// Whether the options can work together.
    is_valid: Result<(), String>,
    clock: C,
    /// Which of the view service's addresses is asked.
    asks: usize,
    waiting: Waiting,
    connections: Arc<Connections>,
    /// So many of its next calls are made alone: an answer was too long for the stream.
    alone: u32,
    /// The connection that was used last.
    connection: Option<(ServerId, Arc<Connection>)>,
    /// The latest view heard of.
    view: Option<View>,
    generation: Generation,
    session: Option<OpenSession>,
}

#[derive(Clone, Copy, Debug)]
struct OpenSession {
    id: SessionId,
    last: RequestNumber,
    /// When it need not be alive any more for all that is known here, and is replaced before it is used
    /// again.
    replace_at: Duration,
    ttl: Duration,
}

impl OpenSession {
    /// It was used by an attempt that was sent at this time and executed.
    fn used(&mut self, at: Duration) {
        self.replace_at = at.saturating_add(self.ttl / 2);
    }
}

impl<C> Client<C> {
    /// The generation that this client knows: the one of its answers. Unknown before the first.
    pub fn generation(&self) -> Generation {
        self.generation
    }
}

impl<C: Clock> Client<C> {
    /// A client; connects when it is first used. Wrong options are reported by the first call.
    pub fn new(options: ClientOptions, clock: C) -> Self {
        Self {
            is_valid: options.validate(),
            options,
            clock,
            asks: 0,
            waiting: Waiting::default(),
            connections: Arc::default(),
            alone: 0,
            connection: None,
            view: None,
            generation: Generation::UNKNOWN,
            session: None,
        }
    }

    /// This client, over the connections that another client of the same cluster uses. Whoever opens one
    /// decides whether it has a stream, and how much travels together on it.
    #[must_use]
    pub fn over_the_connections_of(self, other: &Self) -> Self {
        Self { connections: other.connections.clone(), connection: None, ..self }
    }

    /// Another client of the same cluster, over the same connection and stream; each [`Client::new`] opens
    /// its own. It knows what this one knows, and has a session of its own. If the stream breaks, the calls
    /// of all of them are in doubt at once, and are tried again. A server has 1024 calls of a stream under
    /// way at most. The stream is a task of the runtime in which it was opened: use such clients in one
    /// runtime.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            options: self.options.clone(),
            is_valid: self.is_valid.clone(),
            clock: self.clock.clone(),
            asks: self.asks,
            waiting: Waiting::default(),
            connections: self.connections.clone(),
            alone: self.alone,
            connection: None,
            view: self.view.clone(),
            generation: self.generation,
            session: None,
        }
    }

    /// What its calls wait for; can be read while one of them is under way.
    pub fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Gives later calls another deadline. Session, view and connections stay.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.options.deadline = deadline;
        self.is_valid = self.options.validate();
    }

    /// Reads a key; nothing if it is absent.
    ///
    /// # Errors
    ///
    /// Never [`ClientError::Unknown`].
    pub async fn get(&mut self, key: impl Into<Bytes>) -> Result<Option<Bytes>, ClientError> {
        Ok(self.find(key).await?.held.map(|held| held.value))
    }

    /// Reads a key with its revisions.
    ///
    /// # Errors
    ///
    /// Never [`ClientError::Unknown`].
    pub async fn find(&mut self, key: impl Into<Bytes>) -> Result<Found, ClientError> {
        let key = checked_key(key)?;
        let mut call = self.begin()?;
        match self.ask(&mut call, &RequestBody::Get { key }).await? {
            Reply::Value { revision, found } => Ok(Found { revision, held: found }),
            other => Err(unexpected(&call, &other)),
        }
    }

    /// Reads a page of keys, all at one moment: linearizable like a [`find`](Self::find). To read on, see
    /// [`Scan::go_on`]; several pages are not one moment.
    ///
    /// ```no_run
    /// # use pbkv::client::{Client, ClientError, ClientOptions};
    /// # use pbkv::{clock::SystemClock, protocol::command::Scan};
    /// # async fn count() -> Result<usize, ClientError> {
    /// let mut client = Client::new(ClientOptions::new("localhost:8000"), SystemClock);
    /// let (mut scan, mut count) = (Scan::of("user/"), 0);
    /// loop {
    ///     let page = client.scan(&scan).await?;
    ///     count += page.keys.len();
    ///     scan.go_on(&page);
    ///     if !page.more {
    ///         return Ok(count);
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Never [`ClientError::Unknown`]. [`ClientError::Invalid`] names a server whose page is not one that was
    /// asked for: a page has no other keys than those, in their order, and each loop as above ends.
    pub async fn scan(&mut self, scan: &Scan) -> Result<Page, ClientError> {
        let mut call = self.begin()?;
        match self.ask(&mut call, &RequestBody::Scan(scan.clone())).await? {
            Reply::Page(page) => Ok(page),
            other => Err(unexpected(&call, &other)),
        }
    }

    /// Sets a key. Returns the operation that did.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn put(
        &mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<OpNumber, ClientError> {
        let update = Update::Put { key: checked_key(key)?, value: value.into() };
        self.update(update).await.map(|executed| executed.revision)
    }

    /// Appends to a key; an absent key counts as empty. Returns the operation that did.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn append(
        &mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<OpNumber, ClientError> {
        // The server sets the limit that travels with the operation.
        let update = Update::Append { key: checked_key(key)?, value: value.into(), value_bytes_max: 0 };
        self.update(update).await.map(|executed| executed.revision)
    }

    /// Removes a key and says whether it was there.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn delete(&mut self, key: impl Into<Bytes>) -> Result<Deleted, ClientError> {
        let update = Update::Delete { key: checked_key(key)? };
        match self.update(update).await? {
            Executed { revision, outcome: Outcome::Deleted { existed } } => Ok(Deleted { revision, existed }),
            other => Err(ClientError::Unknown { why: format!("the server answered {other:?} to a delete") }),
        }
    }

    /// Sets a key to `new` if it holds exactly `expected` (nothing: if it is absent).
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn compare_and_swap(
        &mut self,
        key: impl Into<Bytes>,
        expected: Option<Bytes>,
        new: impl Into<Bytes>,
    ) -> Result<Swap, ClientError> {
        self.swap(checked_key(key)?, Expected::Value(expected), new.into()).await
    }

    /// Sets a key to `new` if it was changed last by the operation `expected` (0: if it is absent). Unlike
    /// its value, that tells apart a key that was left alone from one that was changed and changed back.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn compare_and_swap_revision(
        &mut self,
        key: impl Into<Bytes>,
        expected: OpNumber,
        new: impl Into<Bytes>,
    ) -> Result<Swap, ClientError> {
        self.swap(checked_key(key)?, Expected::Revision(expected), new.into()).await
    }

    async fn swap(&mut self, key: Bytes, expected: Expected, new: Bytes) -> Result<Swap, ClientError> {
        match self.update(Update::CompareAndSwap { key, expected, new }).await? {
            Executed { revision, outcome: Outcome::Swapped { swapped, previous } } => {
                Ok(Swap { revision, swapped, previous })
            }
            other => Err(ClientError::Unknown {
                why: format!("the server answered {other:?} to a compare-and-swap"),
            }),
        }
    }

    /// Asks the view service for the current view.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotExecuted`] if it cannot be reached, [`ClientError::Invalid`] if something else is
    /// reached in its place.
    pub async fn view(&mut self) -> Result<ViewReport, ClientError> {
        let mut call = self.begin()?;
        while self.clock.now() < call.deadline {
            match self.get_view(&call).await {
                Ok(report) => return Ok(report),
                Err(NoView::Unreached(why)) => call.view_service_said = Some(why),
                Err(NoView::Impostor(why)) => return Err(ClientError::Invalid(why)),
            }
            self.pause(&mut call).await;
        }
        Err(call.gave_up())
    }

    /// Closes the session, if one is open. Not needed for correctness: an unused session ends by itself.
    ///
    /// # Errors
    ///
    /// If it cannot be closed before the deadline.
    pub async fn close(&mut self) -> Result<(), ClientError> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let mut call = self.begin()?;
        match self.ask(&mut call, &RequestBody::CloseSession { session: session.id }).await {
            Ok(_) | Err(ClientError::DataLost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn begin(&mut self) -> Result<Call, ClientError> {
        self.is_valid.clone().map_err(ClientError::Invalid)?;
        let deadline = self.clock.now() + self.options.deadline;
        self.waiting.begin(deadline);
        let mut call = Call::new(deadline, self.options.pause_min);
        call.alone = self.alone > 0;
        self.alone = self.alone.saturating_sub(1);
        Ok(call)
    }

    async fn update(&mut self, update: Update) -> Result<Executed, ClientError> {
        let mut call = self.begin()?;
        loop {
            let session = self.session(&mut call).await?;
            let ask =
                RequestBody::Update { session: session.id, request: session.last, update: update.clone() };
            let began = self.clock.now();
            match self.ask(&mut call, &ask).await? {
                Reply::Executed(executed) => {
                    if let Some(session) = &mut self.session {
                        session.used(began);
                    }
                    return match executed.outcome {
                        Outcome::ValueTooLarge { value_bytes_max } => {
                            Err(ClientError::ValueTooLarge { value_bytes_max })
                        }
                        _ => Ok(executed),
                    };
                }
                Reply::Refused(Refusal::SessionExpired) => {
                    self.session = None;
                    call.server_said = Some("the session ended".into());
                    if call.doubt || self.clock.now() >= call.deadline {
                        return Err(call.gave_up());
                    }
                }
                other => return Err(unexpected(&call, &other)),
            }
        }
    }

    /// The session with the number of a new request. Opens one if there is none.
    async fn session(&mut self, call: &mut Call) -> Result<OpenSession, ClientError> {
        let began = self.clock.now();
        if self.session.is_none_or(|session| began >= session.replace_at) {
            match self.ask(call, &RequestBody::OpenSession).await? {
                Reply::Opened { session: id, generation, ttl } => {
                    self.generation = generation;
                    let mut session = OpenSession { id, last: RequestNumber(0), replace_at: began, ttl };
                    session.used(began);
                    self.session = Some(session);
                }
                other => return Err(unexpected(call, &other)),
            }
        }
        let session = self.session.as_mut().expect("opened above");
        session.last = session.last.next();
        Ok(*session)
    }
}

fn checked_key(key: impl Into<Bytes>) -> Result<Bytes, ClientError> {
    let key = key.into();
    if key.is_empty() {
        return Err(ClientError::Invalid("the key is empty; use at least one byte".into()));
    }
    Ok(key)
}
