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

mod call;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use tonic::transport::Channel;

use crate::{
    protocol::{
        command::{Outcome, Refusal, Reply, Update},
        identity::{Generation, RequestNumber, ServerId, SessionId},
        view::View,
    },
    server::{channel, clock::Clock},
    wire::{kv_client::KvClient, view_service_client::ViewServiceClient},
};
use call::{Ask, Call};

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
                Err(why) => call.view_service_said = Some(why),
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
        Ok(Call::new(self.clock.now() + self.options.deadline, self.options.pause_min))
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
                        call.server_said = Some("the session expired".into());
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
