//! The client: finds the primary through the view service, retries, fails over, and knows what it does not know.
//!
//! An update is executed at most once however often it is sent, because each attempt carries the same session and
//! request number. The client sends it again until it is answered or the deadline has passed; without an answer its
//! fate is unknown, unless no attempt ever reached a server. It never guesses.
//!
//! A session is opened by the first update and ends when it is not used for its time to live. A server says that a
//! session is unknown only after the replicated log said so; a call takes at most half the time to live, and an attempt
//! that was executed would have kept the session alive for all of it. So such a refusal proves that no attempt of this
//! call was or will be executed, and the call goes on in a new session.
//!
//! Left out: several calls of one client at a time. Clients are cheap; use one for each task.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tonic::{Code, Status, transport::Channel};

use crate::{
    protocol::{
        command::{Outcome, Refusal, Reply, Update},
        identity::{Generation, RequestNumber, ServerId, SessionId, ViewNumber},
        view::View,
    },
    server::{
        channel,
        clock::{Clock, before},
    },
    wire::{self, kv_client::KvClient, view_service_client::ViewServiceClient},
};

/// Connections kept open. Beyond this, all are closed and those still needed opened again.
const CONNECTIONS_MAX: usize = 16;

/// What a client may be told.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Address of the view service, `host:port`.
    pub view_service: String,
    /// How long a call goes on trying. At most half of `session_ttl`.
    pub deadline: Duration,
    /// How long one attempt waits for its answer.
    pub attempt_timeout: Duration,
    /// The pause before the next attempt: this after the first failure, doubled by each further one,
    pub pause_min: Duration,
    /// up to this.
    pub pause_max: Duration,
    /// The time to live of sessions, not longer than that of the servers.
    pub session_ttl: Duration,
    /// The largest answer taken, in bytes.
    pub message_bytes_max: usize,
}

impl ClientOptions {
    /// The defaults, for the cluster of this view service.
    pub fn new(view_service: impl Into<String>) -> Self {
        Self {
            view_service: view_service.into(),
            deadline: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(1),
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_millis(200),
            session_ttl: Duration::from_secs(60),
            message_bytes_max: 256 << 20,
        }
    }

    /// Whether these values can work together; the error says what to change.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn validate(&self) -> Result<(), String> {
        channel::check_address(&self.view_service)?;
        if self.deadline > self.session_ttl / 2 {
            return Err(format!(
                "the deadline ({:?}) must be at most half of the sessions' time to live ({:?})",
                self.deadline, self.session_ttl
            ));
        }
        if self.attempt_timeout.is_zero() || self.pause_min.is_zero() || self.pause_max < self.pause_min {
            return Err(
                "attempt timeout and pauses must be longer than zero, the longest pause the longest".into()
            );
        }
        Ok(())
    }
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No answer before the deadline, although the request was sent.
    #[error("fate unknown, it may or may not take effect, now or later: {why}")]
    Unknown {
        /// What was seen last.
        why: String,
    },
    /// Proved: nothing was or will be changed (always so for a read).
    #[error("not executed: {why}")]
    NotExecuted {
        /// What was seen last.
        why: String,
    },
    /// The request itself is wrong; repeating it is no use. Nothing was changed.
    #[error("{0}")]
    Invalid(String),
    /// The append would have made the value longer than allowed; nothing was changed.
    #[error(
        "the value would be longer than {value_bytes_max} bytes (--value-bytes-max of the servers); nothing was changed"
    )]
    ValueTooLarge {
        /// The longest value allowed, in bytes.
        value_bytes_max: u64,
    },
    /// The data this client knew was lost and an operator started a new generation. Reported once; later calls work
    /// on the new generation.
    #[error("all data of earlier generations was lost; generation {} is empty or has new data", generation.0)]
    DataLost {
        /// The generation that is served now.
        generation: Generation,
    },
}

/// What a compare-and-swap found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Whether the new value was set.
    pub swapped: bool,
    /// What the key held before.
    pub previous: Option<Bytes>,
}

/// What the view service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewReport {
    /// The current view, absent until the first server was accepted.
    pub view: Option<View>,
    /// No server that holds all the data is left.
    pub data_lost: bool,
}

/// A client of one cluster. One call at a time.
#[derive(Debug)]
pub struct Client<C> {
    options: ClientOptions,
    clock: C,
    view_service: Option<ViewServiceClient<Channel>>,
    servers: BTreeMap<ServerId, KvClient<Channel>>,
    /// The latest view heard of.
    view: Option<View>,
    generation: Generation,
    session: Option<OpenSession>,
}

#[derive(Clone, Copy, Debug)]
struct OpenSession {
    id: SessionId,
    last: RequestNumber,
}

/// What is asked of a server.
#[derive(Clone, Debug)]
enum Ask {
    Get(Bytes),
    Open,
    Close(SessionId),
    Update(SessionId, RequestNumber, Update),
}

/// One call of the user, with all its attempts.
struct Call {
    deadline: Duration,
    pause: Duration,
    /// An attempt of an update was sent, and it is not proved that it has no effect.
    doubt: bool,
    /// The view failed us: ask for a later one.
    stale: bool,
    last_seen: String,
}

impl Call {
    fn gave_up(&self) -> ClientError {
        let why = self.last_seen.clone();
        if self.doubt { ClientError::Unknown { why } } else { ClientError::NotExecuted { why } }
    }

    /// An error that would be final, were it not for earlier attempts.
    fn unless_in_doubt(&self, error: ClientError) -> ClientError {
        if self.doubt { ClientError::Unknown { why: error.to_string() } } else { error }
    }
}

/// How an attempt failed.
enum Failure {
    /// Try again; `sent` if the request may have reached the server, and may be executed.
    Retry { sent: bool, why: String },
    /// The server is there but has too much to do.
    Busy(String),
    /// Trying again is no use.
    Invalid(String),
}

impl<C: Clock> Client<C> {
    /// A client; connects when it is first used. Wrong options are reported by the first call.
    pub fn new(options: ClientOptions, clock: C) -> Self {
        Self {
            options,
            clock,
            view_service: None,
            servers: BTreeMap::new(),
            view: None,
            generation: Generation(0),
            session: None,
        }
    }

    /// Reads a key; nothing if it is absent.
    ///
    /// # Errors
    ///
    /// Never [`ClientError::Unknown`].
    pub async fn get(&mut self, key: impl Into<Bytes>) -> Result<Option<Bytes>, ClientError> {
        let key = checked_key(key)?;
        let mut call = self.begin()?;
        match self.ask(&mut call, &Ask::Get(key)).await? {
            Reply::Value(value) => Ok(value),
            other => Err(unexpected(&call, &other)),
        }
    }

    /// Sets a key.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<(), ClientError> {
        let update = Update::Put { key: checked_key(key)?, value: value.into() };
        self.update(update).await.map(drop)
    }

    /// Appends to a key; an absent key counts as empty.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn append(
        &mut self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<(), ClientError> {
        // The server sets the limit that travels with the operation.
        let update = Update::Append { key: checked_key(key)?, value: value.into(), value_bytes_max: 0 };
        self.update(update).await.map(drop)
    }

    /// Removes a key and says whether it was there.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn delete(&mut self, key: impl Into<Bytes>) -> Result<bool, ClientError> {
        let update = Update::Delete { key: checked_key(key)? };
        match self.update(update).await? {
            Outcome::Deleted { existed } => Ok(existed),
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
        let update = Update::CompareAndSwap { key: checked_key(key)?, expected, new: new.into() };
        match self.update(update).await? {
            Outcome::Swapped { swapped, previous } => Ok(Swap { swapped, previous }),
            other => Err(ClientError::Unknown {
                why: format!("the server answered {other:?} to a compare-and-swap"),
            }),
        }
    }

    /// Asks the view service for the current view.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotExecuted`] if it cannot be reached.
    pub async fn view(&mut self) -> Result<ViewReport, ClientError> {
        let mut call = self.begin()?;
        while self.clock.now() < call.deadline {
            match self.get_view(&call).await {
                Ok(report) => return Ok(report),
                Err(why) => call.last_seen = why,
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
        match self.ask(&mut call, &Ask::Close(session.id)).await {
            Ok(_) | Err(ClientError::DataLost { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn begin(&self) -> Result<Call, ClientError> {
        self.options.validate().map_err(ClientError::Invalid)?;
        Ok(Call {
            deadline: self.clock.now() + self.options.deadline,
            pause: self.options.pause_min,
            doubt: false,
            stale: false,
            last_seen: "nothing was tried before the deadline".into(),
        })
    }

    async fn update(&mut self, update: Update) -> Result<Outcome, ClientError> {
        let mut call = self.begin()?;
        loop {
            let session = self.session(&mut call).await?;
            let ask = Ask::Update(session.id, session.last, update.clone());
            match self.ask(&mut call, &ask).await? {
                Reply::Executed(Outcome::ValueTooLarge { value_bytes_max }) => {
                    return Err(ClientError::ValueTooLarge { value_bytes_max });
                }
                Reply::Executed(outcome) => return Ok(outcome),
                Reply::Refused(Refusal::SessionExpired) => {
                    self.session = None;
                    if self.clock.now() >= call.deadline {
                        call.last_seen = "the session expired".into();
                        return Err(call.gave_up());
                    }
                    call.doubt = false; // as proved above
                }
                other => return Err(unexpected(&call, &other)),
            }
        }
    }

    /// The session with the number of a new request. Opens one if there is none.
    async fn session(&mut self, call: &mut Call) -> Result<OpenSession, ClientError> {
        if self.session.is_none() {
            match self.ask(call, &Ask::Open).await? {
                Reply::Opened { session, generation } => {
                    self.generation = generation;
                    self.session = Some(OpenSession { id: session, last: RequestNumber(0) });
                }
                other => return Err(unexpected(call, &other)),
            }
        }
        let session = self.session.as_mut().expect("opened above");
        session.last = session.last.next();
        Ok(*session)
    }

    /// Asks the primary, whoever that is, until there is an answer to return or the deadline has passed.
    async fn ask(&mut self, call: &mut Call, ask: &Ask) -> Result<Reply, ClientError> {
        loop {
            if self.clock.now() >= call.deadline {
                return Err(call.gave_up());
            }
            let Some(primary) = self.primary(call).await? else { continue };
            match self.attempt(call, &primary, ask).await {
                Ok(Reply::Refused(Refusal::NotPrimary { .. })) => {
                    // An earlier copy of this attempt may be in that server's log: doubt, if it changes anything.
                    call.doubt |= matches!(ask, Ask::Update(..));
                    call.last_seen = format!("{primary} is not the primary (or no longer)");
                    call.stale = true;
                }
                Ok(Reply::Refused(Refusal::DataLost { generation })) => {
                    return Err(self.data_lost(generation));
                }
                Ok(reply) => return Ok(reply),
                Err(Failure::Retry { sent, why }) => {
                    call.doubt |= sent && matches!(ask, Ask::Update(..));
                    call.last_seen = format!("{primary}: {why}");
                    call.stale = true;
                    self.servers.remove(&primary);
                }
                Err(Failure::Busy(why)) => {
                    call.last_seen = format!("{primary}: {why}");
                    self.pause(call).await;
                }
                Err(Failure::Invalid(why)) => return Err(call.unless_in_doubt(ClientError::Invalid(why))),
            }
        }
    }

    /// The primary of the latest view; asks for a later view if that one failed us.
    async fn primary(&mut self, call: &mut Call) -> Result<Option<ServerId>, ClientError> {
        if call.stale || self.view.is_none() {
            let known = self.view.as_ref().map(|view| view.number);
            match self.get_view(call).await {
                Ok(ViewReport { view, data_lost }) => {
                    if data_lost {
                        call.last_seen =
                            "no server that holds all the data is left; an operator has to decide".into();
                    } else if view.is_none() {
                        call.last_seen = "the view service knows no server yet".into();
                    }
                    if let Some(view) = view {
                        self.learn(view)?;
                    }
                }
                Err(why) if self.view.is_none() => call.last_seen = why,
                Err(why) => call.last_seen = format!("{}; {why}", call.last_seen),
            }
            let found = self.view.as_ref().map(|view| view.number);
            call.stale = false;
            if found == known {
                self.pause(call).await;
            }
        }
        Ok(self.view.as_ref().map(|view| view.primary.clone()))
    }

    /// Takes note of a view, unless a later one is known.
    fn learn(&mut self, view: View) -> Result<(), ClientError> {
        let known = self.view.as_ref().map_or(ViewNumber(0), |view| view.number);
        if view.number < known {
            return Ok(());
        }
        let generation = view.generation;
        self.view = Some(view);
        if self.generation != Generation(0) && generation > self.generation {
            return Err(self.data_lost(generation));
        }
        self.generation = generation;
        Ok(())
    }

    fn data_lost(&mut self, generation: Generation) -> ClientError {
        self.generation = generation;
        self.session = None;
        ClientError::DataLost { generation }
    }

    async fn pause(&mut self, call: &mut Call) {
        let until = (self.clock.now() + call.pause).min(call.deadline);
        self.clock.sleep_until(until).await;
        call.pause = (2 * call.pause).min(self.options.pause_max);
    }

    fn attempt_until(&self, call: &Call) -> Duration {
        (self.clock.now() + self.options.attempt_timeout).min(call.deadline)
    }

    async fn get_view(&mut self, call: &Call) -> Result<ViewReport, String> {
        let address = &self.options.view_service;
        let mut client = match &self.view_service {
            Some(client) => client.clone(),
            None => ViewServiceClient::new(channel::lazy(address)?),
        };
        let until = self.attempt_until(call);
        let answer = before(&self.clock, until, client.get_view(wire::GetViewRequest {})).await;
        let context = |why: String| format!("the view service at {address} cannot be reached: {why}");
        self.view_service = None; // until it is known to work
        let answer = answer
            .ok_or_else(|| context("no answer in time".into()))?
            .map_err(|status| context(channel::causes(&status)))?
            .into_inner();
        let view = answer.view.map(View::try_from).transpose().map_err(|error| context(error.to_string()))?;
        self.view_service = Some(client);
        Ok(ViewReport { view, data_lost: answer.data_lost })
    }

    /// One attempt: connects if need be, sends, and waits for the answer.
    async fn attempt(&mut self, call: &Call, primary: &ServerId, ask: &Ask) -> Result<Reply, Failure> {
        let unsent = |why: String| Failure::Retry { sent: false, why };
        let until = self.attempt_until(call);
        let mut client = match self.servers.get(primary) {
            Some(client) => client.clone(),
            None => {
                let endpoint = channel::endpoint(primary.as_str()).map_err(unsent)?;
                let connected = before(&self.clock, until, endpoint.connect()).await;
                let channel = connected
                    .ok_or_else(|| unsent("it could not be reached in time".into()))?
                    .map_err(|error| unsent(channel::causes(&error)))?;
                let client = KvClient::new(channel).max_decoding_message_size(self.options.message_bytes_max);
                if self.servers.len() >= CONNECTIONS_MAX {
                    self.servers.clear();
                }
                self.servers.insert(primary.clone(), client.clone());
                client
            }
        };
        match before(&self.clock, until, send(&mut client, self.generation, ask)).await {
            None => Err(Failure::Retry { sent: true, why: "no answer in time".into() }),
            Some(Ok(reply)) => {
                reply.map_err(|malformed| Failure::Retry { sent: true, why: malformed.to_string() })
            }
            Some(Err(status)) => Err(match status.code() {
                Code::InvalidArgument | Code::OutOfRange => Failure::Invalid(status.message().to_owned()),
                Code::ResourceExhausted => Failure::Busy(status.message().to_owned()),
                _ => Failure::Retry { sent: true, why: channel::causes(&status) },
            }),
        }
    }
}

type Answer = Result<Reply, crate::proto::Malformed>;

async fn send(client: &mut KvClient<Channel>, generation: Generation, ask: &Ask) -> Result<Answer, Status> {
    let generation = generation.0;
    let (session, number, update) = match ask {
        Ask::Get(key) => {
            let response = client.get(wire::GetRequest { key: key.clone(), generation }).await?;
            return Ok(response.into_inner().try_into());
        }
        Ask::Open => {
            let response = client.open_session(wire::OpenSessionRequest { generation }).await?;
            return Ok(response.into_inner().try_into());
        }
        Ask::Close(session) => {
            let request = wire::CloseSessionRequest { session: session.0, generation };
            return Ok(client.close_session(request).await?.into_inner().try_into());
        }
        Ask::Update(session, number, update) => (session.0, number.0, update.clone()),
    };
    let id = Some(wire::RequestId { session, number, generation });
    let response = match update {
        Update::Put { key, value } => client.put(wire::PutRequest { id, key, value }).await?,
        Update::Append { key, value, .. } => client.append(wire::AppendRequest { id, key, value }).await?,
        Update::Delete { key } => client.delete(wire::DeleteRequest { id, key }).await?,
        Update::CompareAndSwap { key, expected, new } => {
            client.compare_and_swap(wire::CompareAndSwapRequest { id, key, expected, new }).await?
        }
    };
    Ok(response.into_inner().try_into())
}

fn checked_key(key: impl Into<Bytes>) -> Result<Bytes, ClientError> {
    let key = key.into();
    if key.is_empty() {
        return Err(ClientError::Invalid("the key is empty; use at least one byte".into()));
    }
    Ok(key)
}

fn unexpected(call: &Call, reply: &Reply) -> ClientError {
    let why = format!("the server answered {reply:?}");
    match reply {
        // Both mean that the server understood and did nothing with this attempt.
        Reply::Refused(_) => call.unless_in_doubt(ClientError::NotExecuted { why }),
        _ => ClientError::Unknown { why },
    }
}
