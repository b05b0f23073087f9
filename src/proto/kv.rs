//! `kvserver.proto`: requests with their limits, replies with their refusals.

use std::time::Duration;

use bytes::Bytes;
use tonic::Status;

use super::{
    Malformed, generation, malformed, nanoseconds, not_executed, number, present, proves_not_executed, server,
};
use crate::{
    options::Limits,
    protocol::{
        command::{
            Executed, Expected, Listed, Outcome, Page, Refusal, Reply, Request, RequestBody, Scan, Update,
            Versioned, mod_revision,
        },
        identity::{Generation, OpNumber, RequestNumber, SessionId, ViewNumber},
    },
    wire,
};

impl Limits {
    fn key(&self, key: Bytes) -> Result<Bytes, Malformed> {
        if key.is_empty() {
            return Err(Malformed("the key is empty; use at least one byte".into()));
        }
        if key.len() > self.key_bytes_max {
            let (bytes, limit) = (key.len(), self.key_bytes_max);
            return Err(Malformed(format!(
                "key too long: {bytes} bytes, limit {limit} (--key-bytes-max of the servers)"
            )));
        }
        Ok(key)
    }

    fn value(&self, value: Bytes) -> Result<Bytes, Malformed> {
        if value.len() > self.value_bytes_max {
            let (bytes, limit) = (value.len(), self.value_bytes_max);
            return Err(Malformed(format!(
                "value too long: {bytes} bytes, limit {limit} (--value-bytes-max of the servers)"
            )));
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

/// Sessions of different generations have the same names: a request that names one must say which it means.
fn session_generation(given: Option<wire::Generation>) -> Result<Generation, Malformed> {
    match generation(given)? {
        Generation::UNKNOWN => malformed(
            "the generation of the session is missing; send the one that came with the session when it was opened",
        ),
        known => Ok(known),
    }
}

fn update(id: Option<wire::RequestId>, update: Update) -> Result<Request, Malformed> {
    let id = present("the request's id (session and number)", id)?;
    let request = RequestNumber(number("request", id.number)?);
    if request.0 == 0 {
        return malformed("requests of a session are numbered from 1");
    }
    Ok(Request {
        generation: session_generation(id.generation)?,
        body: RequestBody::Update { session: SessionId(number("session", id.session)?), request, update },
    })
}

impl FromClient for wire::GetRequest {
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed> {
        Ok(Request {
            generation: generation(self.generation)?,
            body: RequestBody::Get { key: limits.key(self.key)? },
        })
    }
}

impl FromClient for wire::ScanRequest {
    fn into_request(self, limits: &Limits) -> Result<Request, Malformed> {
        for (what, key) in [("prefix", &self.prefix), ("key to start after", &self.start_after)] {
            if key.len() > limits.key_bytes_max {
                return malformed(format!(
                    "the {what} has {} bytes, and no key is longer than {} (--key-bytes-max of the servers)",
                    key.len(),
                    limits.key_bytes_max
                ));
            }
        }
        let Self { prefix, start_after: after, limit: keys_max, values, generation: known } = self;
        let scan = Scan { prefix, after, keys_max, values };
        Ok(Request { generation: generation(known)?, body: RequestBody::Scan(scan) })
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
        let value = self.expected.map(|expected| limits.value(expected)).transpose()?;
        let expected = expected(value, self.expected_revision)?;
        let (key, new) = (limits.key(self.key)?, limits.value(self.new)?);
        update(self.id, Update::CompareAndSwap { key, expected, new })
    }
}

impl FromClient for wire::OpenSessionRequest {
    fn into_request(self, _limits: &Limits) -> Result<Request, Malformed> {
        Ok(Request { generation: generation(self.generation)?, body: RequestBody::OpenSession })
    }
}

impl FromClient for wire::CloseSessionRequest {
    fn into_request(self, _limits: &Limits) -> Result<Request, Malformed> {
        Ok(Request {
            generation: session_generation(self.generation)?,
            body: RequestBody::CloseSession { session: SessionId(number("session", self.session)?) },
        })
    }
}

/// What a compare-and-swap expects, from its two fields on the wire.
pub(super) fn expected(value: Option<Bytes>, revision: Option<u64>) -> Result<Expected, Malformed> {
    match (value, revision) {
        (value, None) => Ok(Expected::Value(value)),
        (None, Some(revision)) => Ok(Expected::Revision(OpNumber(number("revision", revision)?))),
        (Some(_), Some(_)) => {
            malformed("a compare-and-swap expects a value or a revision; leave one of the two out")
        }
    }
}

/// The two fields on the wire for what a compare-and-swap expects.
pub(crate) fn expected_fields(expected: Expected) -> (Option<Bytes>, Option<u64>) {
    match expected {
        Expected::Value(value) => (value, None),
        Expected::Revision(revision) => (None, Some(revision.0)),
    }
}

/// A value with the operation that wrote it, from its two fields on the wire.
pub(super) fn versioned(value: Option<Bytes>, revision: u64) -> Result<Option<Versioned>, Malformed> {
    let mod_revision = OpNumber(number("revision", revision)?);
    match value {
        Some(_) if mod_revision == OpNumber(0) => {
            malformed("a value has no mod_revision: the sender is of a version before revisions")
        }
        Some(value) => Ok(Some(Versioned { value, mod_revision })),
        None => Ok(None),
    }
}

fn revision(revision: u64) -> Result<OpNumber, Malformed> {
    Ok(OpNumber(number("revision", revision)?))
}

impl From<Executed> for wire::Outcome {
    fn from(Executed { revision, outcome }: Executed) -> Self {
        use wire::outcome as to;
        let kind = match outcome {
            Outcome::Done => to::Kind::Done(to::Done {}),
            Outcome::Deleted { existed } => to::Kind::Deleted(to::Deleted { existed }),
            Outcome::Swapped { swapped, previous } => to::Kind::Swapped(to::Swapped {
                swapped,
                previous_mod_revision: mod_revision(previous.as_ref()).0,
                previous: previous.map(|previous| previous.value),
            }),
            Outcome::ValueTooLarge { value_bytes_max } => {
                to::Kind::ValueTooLarge(to::ValueTooLarge { value_bytes_max })
            }
        };
        Self { kind: Some(kind), revision: revision.0 }
    }
}

impl TryFrom<wire::Outcome> for Executed {
    type Error = Malformed;

    fn try_from(outcome: wire::Outcome) -> Result<Self, Malformed> {
        use wire::outcome::Kind;
        let revision = revision(outcome.revision)?;
        let outcome = match present("an outcome", outcome.kind)? {
            Kind::Done(_) => Outcome::Done,
            Kind::Deleted(deleted) => Outcome::Deleted { existed: deleted.existed },
            Kind::Swapped(swap) => Outcome::Swapped {
                swapped: swap.swapped,
                previous: versioned(swap.previous, swap.previous_mod_revision)?,
            },
            Kind::ValueTooLarge(large) => Outcome::ValueTooLarge { value_bytes_max: large.value_bytes_max },
        };
        Ok(Self { revision, outcome })
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
        Refusal::DataLost { generation } => {
            to::Reason::DataLost(to::DataLost { generation: Some(generation.into()) })
        }
        Refusal::TooManySessions => {
            return Err(not_executed(Status::resource_exhausted(
                "as many sessions are open at this server, or they remember as much, as may be; close some, let \
                 their time pass, or raise --sessions-max or --session-bytes-max",
            )));
        }
        Refusal::TooFewCopies { copies, copies_min } => {
            return Err(not_executed(Status::resource_exhausted(format!(
                "copies of the data: {copies}, and updates need {copies_min} (--copies-min); start another server, or try again after a \
                 pause"
            ))));
        }
        // Not marked as not executed: it was.
        Refusal::TooFewHoldIt { copies, copies_min } => {
            return Err(Status::resource_exhausted(format!(
                "executed, and not acknowledged yet: copies that hold it: {copies}, and --copies-min asks for {copies_min}; start \
                 another server, or try again after a pause"
            )));
        }
        Refusal::Busy => {
            return Err(not_executed(Status::resource_exhausted(
                "too many requests are waiting at this server; try again after a pause",
            )));
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
            Reason::DataLost(lost) => Self::DataLost { generation: generation(lost.generation)? },
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
            Reply::Value { revision, found } => Ok(Self {
                refusal: None,
                revision: revision.0,
                mod_revision: mod_revision(found.as_ref()).0,
                value: found.map(|found| found.value),
            }),
            Reply::Refused(refusal) => Ok(Self { refusal: Some(to_refusal(refusal)?), ..Self::default() }),
            other => mismatched(&other),
        }
    }
}

impl ToClient for wire::ScanResponse {
    fn from_reply(reply: Reply) -> Result<Self, Status> {
        match reply {
            Reply::Page(Page { revision, keys, more }) => Ok(Self {
                refusal: None,
                revision: revision.0,
                keys: keys.into_iter().map(Into::into).collect(),
                more,
            }),
            Reply::Refused(refusal) => Ok(Self { refusal: Some(to_refusal(refusal)?), ..Self::default() }),
            other => mismatched(&other),
        }
    }
}

impl From<Listed> for wire::scan_response::Listed {
    fn from(Listed { key, mod_revision, value }: Listed) -> Self {
        Self { key, mod_revision: mod_revision.0, value }
    }
}

impl ToClient for wire::UpdateResponse {
    fn from_reply(reply: Reply) -> Result<Self, Status> {
        use wire::update_response::Result as To;
        let result = match reply {
            Reply::Executed(executed) => To::Executed(executed.into()),
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
            Reply::Opened { session, generation, ttl } => To::Opened(Opened {
                session: session.0,
                generation: Some(generation.into()),
                ttl_ns: nanoseconds(ttl),
            }),
            Reply::Refused(refusal) => To::Refusal(to_refusal(refusal)?),
            other => return mismatched(&other),
        };
        Ok(Self { result: Some(result) })
    }
}

impl ToClient for wire::CloseSessionResponse {
    fn from_reply(reply: Reply) -> Result<Self, Status> {
        match reply {
            Reply::Closed { revision } => Ok(Self { refusal: None, revision: revision.0 }),
            Reply::Refused(refusal) => Ok(Self { refusal: Some(to_refusal(refusal)?), revision: 0 }),
            other => mismatched(&other),
        }
    }
}

/// What a call would have ended with, had it been made alone.
pub fn failure(status: &Status) -> wire::answer::Failure {
    wire::answer::Failure {
        code: status.code() as u32,
        message: status.message().to_owned(),
        not_executed: proves_not_executed(status),
    }
}

/// The status that a call ended with, as if it had been made alone.
pub fn status(failure: wire::answer::Failure) -> Status {
    let code = i32::try_from(failure.code).unwrap_or_default().into();
    let status = Status::new(code, failure.message);
    if failure.not_executed { not_executed(status) } else { status }
}

/// What a caller is told whom nobody will answer any more.
pub fn stopping() -> Status {
    Status::unavailable("this server is stopping; ask the view service for the primary")
}

/// The refusal of a call that this program does not know.
pub fn unknown_call() -> Status {
    not_executed(Status::unimplemented("a call of this kind is not known here; update the server"))
}

/// What one of several messages takes of the message that has them, if it takes so many bytes itself.
pub fn item_bytes(bytes: usize) -> usize {
    // A tag of one byte, and the length.
    1 + prost::length_delimiter_len(bytes) + bytes
}

impl From<wire::GetResponse> for wire::answer::Result {
    fn from(answer: wire::GetResponse) -> Self {
        Self::Get(answer)
    }
}

impl From<wire::UpdateResponse> for wire::answer::Result {
    fn from(answer: wire::UpdateResponse) -> Self {
        Self::Update(answer)
    }
}

impl From<wire::OpenSessionResponse> for wire::answer::Result {
    fn from(answer: wire::OpenSessionResponse) -> Self {
        Self::OpenSession(answer)
    }
}

impl From<wire::CloseSessionResponse> for wire::answer::Result {
    fn from(answer: wire::CloseSessionResponse) -> Self {
        Self::CloseSession(answer)
    }
}

impl TryFrom<wire::GetResponse> for Reply {
    type Error = Malformed;

    fn try_from(response: wire::GetResponse) -> Result<Self, Malformed> {
        match response.refusal {
            Some(refusal) => Ok(Self::Refused(refusal.try_into()?)),
            None => Ok(Self::Value {
                revision: revision(response.revision)?,
                found: versioned(response.value, response.mod_revision)?,
            }),
        }
    }
}

impl TryFrom<wire::ScanResponse> for Reply {
    type Error = Malformed;

    fn try_from(response: wire::ScanResponse) -> Result<Self, Malformed> {
        if let Some(refusal) = response.refusal {
            return Ok(Self::Refused(refusal.try_into()?));
        }
        let keys = response.keys.into_iter().map(|listed| {
            let mod_revision = revision(listed.mod_revision)?;
            Ok(Listed { key: listed.key, mod_revision, value: listed.value })
        });
        Ok(Self::Page(Page {
            revision: revision(response.revision)?,
            keys: keys.collect::<Result<_, Malformed>>()?,
            more: response.more,
        }))
    }
}

impl TryFrom<wire::UpdateResponse> for Reply {
    type Error = Malformed;

    fn try_from(response: wire::UpdateResponse) -> Result<Self, Malformed> {
        use wire::update_response::Result as From;
        Ok(match present("the result of an update", response.result)? {
            From::Executed(executed) => Self::Executed(executed.try_into()?),
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
                generation: generation(opened.generation)?,
                ttl: Duration::from_nanos(opened.ttl_ns),
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
            None => Ok(Self::Closed { revision: revision(response.revision)? }),
        }
    }
}
