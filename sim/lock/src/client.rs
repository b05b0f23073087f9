//! The client: sends a request again until it is answered or its deadline has passed, and says which of its
//! requests may have taken effect without an answer.

use std::{error::Error, future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{
    grants::Lock,
    wire::{self, lock_client::LockClient},
};

/// How long one attempt may take, connecting included.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(1);

/// The pause before the next attempt.
pub const PAUSE: Duration = Duration::from_millis(50);

/// The answer to [`Client::acquire`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The lock is the caller's.
    Granted {
        /// The version of the grant. Whatever the lock protects can refuse those who come with a smaller one.
        version: u64,
    },
    /// Refused: another owner has it.
    Held {
        /// That owner.
        owner: String,
    },
}

/// The answer to [`Client::release`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// The lock was the caller's, and no longer is.
    Released,
    /// Refused: it was not the caller's.
    NotYours {
        /// Its owner; none if it is free.
        owner: Option<String>,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A change was sent at least once: it may have taken effect, or may yet.
    #[error("unknown, it may or may not take effect: {0}")]
    Unknown(String),
    /// No change was ever sent.
    #[error("not executed: {0}")]
    NotExecuted(String),
}

/// A client. Makes one call at a time.
#[derive(Clone, Debug)]
pub struct Client {
    server: Endpoint,
    deadline: Duration,
    /// Kept as long as it works.
    connection: Option<LockClient<Channel>>,
}

/// A call with all its attempts.
struct Call {
    until: Instant,
    /// A change was sent.
    sent: bool,
    /// What went wrong last.
    why: Option<String>,
}

impl Client {
    /// A client of the server at `host:port` whose calls have this long, each with all its attempts.
    ///
    /// # Errors
    ///
    /// If that is no address.
    pub fn new(server: &str, deadline: Duration) -> Result<Self, String> {
        let endpoint = Endpoint::from_shared(format!("http://{server}"));
        let server = endpoint.map_err(|_| format!("'{server}' is no address; write host:port"))?;
        Ok(Self { server, deadline, connection: None })
    }

    /// Gives the calls from now on this long.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The lock and its owner.
    ///
    /// # Errors
    ///
    /// If there is no answer in time.
    pub async fn holder(&mut self, lock: &str) -> Result<Lock, CallError> {
        let mut call = self.call();
        self.look(&mut call, lock).await
    }

    /// Takes the lock, if it is free or the caller's already.
    ///
    /// # Errors
    ///
    /// If there is no answer in time.
    pub async fn acquire(&mut self, lock: &str, owner: &str) -> Result<Acquired, CallError> {
        let mut call = self.call();
        let mut version = self.look(&mut call, lock).await?.version;
        loop {
            let request = wire::AcquireRequest { lock: lock.into(), owner: owner.into(), version };
            let send = |mut client: LockClient<_>| {
                let request = request.clone();
                async move { client.acquire(request).await }
            };
            let answer = self.answered(&mut call, true, send).await?;
            let state = Lock::from(answer.state);
            match state.owner {
                _ if answer.granted => return Ok(Acquired::Granted { version: state.version }),
                Some(owner) => return Ok(Acquired::Held { owner }),
                None => version = state.version, // it was taken and released since we looked
            }
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    ///
    /// If there is no answer in time.
    pub async fn release(&mut self, lock: &str, owner: &str) -> Result<Released, CallError> {
        let mut call = self.call();
        let Lock { owner: holder, version } = self.look(&mut call, lock).await?;
        if holder.as_deref() != Some(owner) {
            return Ok(Released::NotYours { owner: holder });
        }
        let request = wire::ReleaseRequest { lock: lock.into(), owner: owner.into(), version };
        let send = |mut client: LockClient<_>| {
            let request = request.clone();
            async move { client.release(request).await }
        };
        let answer = self.answered(&mut call, true, send).await?;
        let owner = Lock::from(answer.state).owner;
        Ok(if answer.released { Released::Released } else { Released::NotYours { owner } })
    }

    fn call(&self) -> Call {
        Call { until: Instant::now() + self.deadline, sent: false, why: None }
    }

    async fn look(&mut self, call: &mut Call, lock: &str) -> Result<Lock, CallError> {
        let send = |mut client: LockClient<_>| {
            let request = wire::HolderRequest { lock: lock.into() };
            async move { client.holder(request).await }
        };
        Ok(self.answered(call, false, send).await?.state.into())
    }

    /// Sends a request until it is answered.
    async fn answered<R, F>(
        &mut self,
        call: &mut Call,
        changes: bool,
        send: impl Fn(LockClient<Channel>) -> F,
    ) -> Result<R, CallError>
    where
        F: Future<Output = Result<Response<R>, Status>>,
    {
        loop {
            let rest = call.until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                let why = call.why.take().unwrap_or_else(|| "nothing could be tried in time".into());
                return Err(if call.sent { CallError::Unknown(why) } else { CallError::NotExecuted(why) });
            }
            let attempt = async {
                let client = self.connected().await?;
                call.sent |= changes;
                send(client).await
            };
            match timeout(rest.min(ATTEMPT_MAX), attempt).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if status.code() == Code::InvalidArgument => {
                    return Err(CallError::NotExecuted(status.message().into()));
                }
                Ok(Err(status)) => call.why = Some(causes(&status)),
                // An attempt that the deadline cut short says less than the one before.
                Err(_) if rest < ATTEMPT_MAX && call.why.is_some() => {}
                Err(_) => call.why = Some("no answer in time".into()),
            }
            self.connection = None;
            sleep(PAUSE.min(call.until.saturating_duration_since(Instant::now()))).await;
        }
    }

    async fn connected(&mut self) -> Result<LockClient<Channel>, Status> {
        if let Some(client) = &self.connection {
            return Ok(client.clone());
        }
        let channel = self.server.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(causes(&error)))?;
        Ok(self.connection.insert(LockClient::new(channel)).clone())
    }
}

impl From<Option<wire::State>> for Lock {
    fn from(state: Option<wire::State>) -> Self {
        let wire::State { owner, version } = state.unwrap_or_default();
        Self { owner, version }
    }
}

/// An error with its causes in one line: gRPC hides the one that helps innermost.
fn causes(error: &(dyn Error + 'static)) -> String {
    let text = error.downcast_ref::<Status>().map_or_else(|| error.to_string(), |it| it.message().into());
    match error.source().map(causes) {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}
