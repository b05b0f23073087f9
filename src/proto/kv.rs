//! `kvserver.proto`: requests with their limits, replies with their refusals.

use bytes::Bytes;
use tonic::Status;

use super::{Malformed, malformed, number, present, server};
use crate::{
    options::Limits,
    protocol::{
        command::{Outcome, Refusal, Reply, Request, RequestBody, Update},
        identity::{Generation, RequestNumber, SessionId, ViewNumber},
    },
    wire,
};

impl Limits {
    fn key(&self, key: Bytes) -> Result<Bytes, Malformed> {
        if key.is_empty() {
            return malformed("the key is empty; use at least one byte");
        }
        if key.len() > self.key_bytes_max {
            return malformed(format!(
                "the key has {} bytes, the limit is {} (--key-bytes-max of the servers)",
                key.len(),
                self.key_bytes_max
            ));
        }
        Ok(key)
    }

    fn value(&self, value: Bytes) -> Result<Bytes, Malformed> {
        if value.len() > self.value_bytes_max {
            return malformed(format!(
                "the value has {} bytes, the limit is {} (--value-bytes-max of the servers)",
                value.len(),
                self.value_bytes_max
            ));
        }
        Ok(value)
    }
}

/// A request of a client that can be checked against limits.
pub trait FromClient: Sized {
    /// What the protocol is asked.
    ///
    /// # Errors
    ///
    /// If something is missing, empty or too long.
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed>;
}

fn update(id: Option<wire::RequestId>, update: Update) -> Result<Request, Malformed> {
    let id = present("the request's id (session and number)", id)?;
    let request = RequestNumber(number("request", id.number)?);
    if request.0 == 0 {
        return malformed("requests of a session are numbered from 1");
    }
    Ok(Request {
        generation: Generation(number("generation", id.generation)?),
        body: RequestBody::Update { session: SessionId(number("session", id.session)?), request, update },
    })
}

impl FromClient for wire::GetRequest {
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed> {
        Ok(Request {
            generation: Generation(number("generation", self.generation)?),
            body: RequestBody::Get { key: limits.key(self.key)? },
        })
    }
}

impl FromClient for wire::PutRequest {
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed> {
        update(self.id, Update::Put { key: limits.key(self.key)?, value: limits.value(self.value)? })
    }
}

impl FromClient for wire::AppendRequest {
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed> {
        let value_bytes_max = limits.value_bytes_max as u64;
        let (key, value) = (limits.key(self.key)?, limits.value(self.value)?);
        update(self.id, Update::Append { key, value, value_bytes_max })
    }
}

impl FromClient for wire::DeleteRequest {
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed> {
        update(self.id, Update::Delete { key: limits.key(self.key)? })
    }
}

impl FromClient for wire::CompareAndSwapRequest {
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed> {
        let expected = self.expected.map(|expected| limits.value(expected)).transpose()?;
        let (key, new) = (limits.key(self.key)?, limits.value(self.new)?);
        update(self.id, Update::CompareAndSwap { key, expected, new })
    }
}

impl FromClient for wire::OpenSessionRequest {
    fn into_request(self, _limits: &Limits) -> Result<Request, Malformed> {
        Ok(Request {
            generation: Generation(number("generation", self.generation)?),
            body: RequestBody::OpenSession,
        })
    }
}

impl FromClient for wire::CloseSessionRequest {
    fn into_request(self, _limits: &Limits) -> Result<Request, Malformed> {
        Ok(Request {
            generation: Generation(number("generation", self.generation)?),
            body: RequestBody::CloseSession { session: SessionId(number("session", self.session)?) },
        })
    }
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        use wire::outcome as to;
        let kind = match outcome {
            Outcome::Done => to::Kind::Done(to::Done {}),
            Outcome::Deleted { existed } => to::Kind::Deleted(to::Deleted { existed }),
            Outcome::Swapped { swapped, previous } => to::Kind::Swapped(to::Swapped { swapped, previous }),
            Outcome::ValueTooLarge { value_bytes_max } => {
                to::Kind::ValueTooLarge(to::ValueTooLarge { value_bytes_max })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Outcome> for Outcome {
    type Error = Malformed;

    fn try_from(outcome: wire::Outcome) -> Result<Self, Malformed> {
        use wire::outcome::Kind;
        Ok(match present("an outcome", outcome.kind)? {
            Kind::Done(_) => Self::Done,
            Kind::Deleted(deleted) => Self::Deleted { existed: deleted.existed },
            Kind::Swapped(swap) => Self::Swapped { swapped: swap.swapped, previous: swap.previous },
            Kind::ValueTooLarge(large) => Self::ValueTooLarge { value_bytes_max: large.value_bytes_max },
        })
    }
}

/// A refusal as a value, or as a status if the server is merely busy.
fn to_refusal(refusal: Refusal) -> Result<wire::Refusal, Status> {
    use wire::refusal as to;
    let reason = match refusal {
        Refusal::NotPrimary { view, primary } => to::Reason::NotPrimary(to::NotPrimary {
            view: view.0,
            primary: primary.map(|primary| primary.as_str().to_owned()).unwrap_or_default(),
        }),
        Refusal::SessionExpired => to::Reason::SessionExpired(to::SessionExpired {}),
        Refusal::Superseded => to::Reason::Superseded(to::Superseded {}),
        Refusal::DataLost { generation } => to::Reason::DataLost(to::DataLost { generation: generation.0 }),
        Refusal::Busy => {
            return Err(Status::resource_exhausted(
                "too many requests are waiting at this server; try again after a pause",
            ));
        }
    };
    Ok(wire::Refusal { reason: Some(reason) })
}

impl TryFrom<wire::Refusal> for Refusal {
    type Error = Malformed;

    fn try_from(refusal: wire::Refusal) -> Result<Self, Malformed> {
        use wire::refusal::Reason;
        Ok(match present("the reason of a refusal", refusal.reason)? {
            Reason::NotPrimary(not) => Self::NotPrimary {
                view: ViewNumber(number("view", not.view)?),
                primary: match not.primary {
                    unknown if unknown.is_empty() => None,
                    primary => Some(server("the primary", primary)?),
                },
            },
            Reason::SessionExpired(_) => Self::SessionExpired,
            Reason::Superseded(_) => Self::Superseded,
            Reason::DataLost(lost) => {
                Self::DataLost { generation: Generation(number("generation", lost.generation)?) }
            }
        })
    }
}

/// A machine that answers a question with the answer to another has a bug; the caller learns that much.
fn mismatched<T>(reply: &Reply) -> Result<T, Status> {
    Err(Status::internal(format!("the protocol answered another question: {reply:?}")))
}

/// An answer to a client: the message, or the status for what is no value.
pub trait ToClient: Sized {
    /// The message that carries `reply`.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` if the server is busy.
    fn from_reply(reply: Reply) -> Result<Self, Status>;
}

impl ToClient for wire::GetResponse {
    fn from_reply(reply: Reply) -> Result<Self, Status> {
        match reply {
            Reply::Value(value) => Ok(Self { refusal: None, value }),
            Reply::Refused(refusal) => Ok(Self { refusal: Some(to_refusal(refusal)?), value: None }),
            other => mismatched(&other),
        }
    }
}

impl ToClient for wire::UpdateResponse {
    fn from_reply(reply: Reply) -> Result<Self, Status> {
        use wire::update_response::Result as To;
        let result = match reply {
            Reply::Executed(outcome) => To::Executed(outcome.into()),
            Reply::Refused(refusal) => To::Refusal(to_refusal(refusal)?),
            other => return mismatched(&other),
        };
        Ok(Self { result: Some(result) })
    }
}

impl ToClient for wire::OpenSessionResponse {
    fn from_reply(reply: Reply) -> Result<Self, Status> {
        use wire::open_session_response::{Opened, Result as To};
        let result = match reply {
            Reply::Opened { session, generation } => {
                To::Opened(Opened { session: session.0, generation: generation.0 })
            }
            Reply::Refused(refusal) => To::Refusal(to_refusal(refusal)?),
            other => return mismatched(&other),
        };
        Ok(Self { result: Some(result) })
    }
}

impl ToClient for wire::CloseSessionResponse {
    fn from_reply(reply: Reply) -> Result<Self, Status> {
        match reply {
            Reply::Closed => Ok(Self { refusal: None }),
            Reply::Refused(refusal) => Ok(Self { refusal: Some(to_refusal(refusal)?) }),
            other => mismatched(&other),
        }
    }
}

impl TryFrom<wire::GetResponse> for Reply {
    type Error = Malformed;

    fn try_from(response: wire::GetResponse) -> Result<Self, Malformed> {
        match response.refusal {
            Some(refusal) => Ok(Self::Refused(refusal.try_into()?)),
            None => Ok(Self::Value(response.value)),
        }
    }
}

impl TryFrom<wire::UpdateResponse> for Reply {
    type Error = Malformed;

    fn try_from(response: wire::UpdateResponse) -> Result<Self, Malformed> {
        use wire::update_response::Result as From;
        Ok(match present("the result of an update", response.result)? {
            From::Executed(outcome) => Self::Executed(outcome.try_into()?),
            From::Refusal(refusal) => Self::Refused(refusal.try_into()?),
        })
    }
}

impl TryFrom<wire::OpenSessionResponse> for Reply {
    type Error = Malformed;

    fn try_from(response: wire::OpenSessionResponse) -> Result<Self, Malformed> {
        use wire::open_session_response::Result as From;
        Ok(match present("the result of opening a session", response.result)? {
            From::Opened(opened) => Self::Opened {
                session: SessionId(number("session", opened.session)?),
                generation: Generation(number("generation", opened.generation)?),
            },
            From::Refusal(refusal) => Self::Refused(refusal.try_into()?),
        })
    }
}

impl TryFrom<wire::CloseSessionResponse> for Reply {
    type Error = Malformed;

    fn try_from(response: wire::CloseSessionResponse) -> Result<Self, Malformed> {
        match response.refusal {
            Some(refusal) => Ok(Self::Refused(refusal.try_into()?)),
            None => Ok(Self::Closed),
        }
    }
}
