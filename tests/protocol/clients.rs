//! Clients: one operation at a time, retried under the same request number until somebody answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use linearizability::kv::{Input, Output};
use pbkv::protocol::{
    command::{Executed, Expected, Outcome, Refusal, Reply, Request, RequestBody, Update, Versioned},
    identity::{Generation, OpNumber, RequestNumber, SessionId},
};

/// What a client may want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Get { key: Bytes },
    Update(Update),
    Close,
}

/// What a client waits for.
#[derive(Clone, Debug)]
pub enum Waiting {
    /// A session, so that this update can be sent.
    Session(Update),
    Get {
        key: Bytes,
    },
    Update {
        request: RequestNumber,
        update: Update,
    },
    Close,
}

/// A client.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub session: Option<SessionId>,
    last_request: RequestNumber,
    pub waiting: Option<Waiting>,
    /// Values it was told, by the operation that wrote them.
    told: BTreeMap<OpNumber, Bytes>,
    /// Numbers its calls, so that an answer to an earlier one is not taken for one to this.
    pub call: u64,
}

/// What an answer means for the client's history.
pub enum Progress {
    /// Nothing yet: somebody else may answer.
    None,
    /// The session is open, the update itself can be sent.
    Opened,
    /// The operation ended with this answer.
    Done(Output),
    /// The operation ended and nobody knows how.
    Unknown,
    /// The session is closed.
    Closed,
    /// The value would have become too long: nothing happened.
    TooLong,
}

/// The checker's name for an operation. The checker knows values alone: a revision stands for the value that
/// the client was told with it.
pub fn input(client: &Client, wish: &Wish) -> Option<Input> {
    Some(match wish {
        Wish::Get { key } => Input::Get { key: key.clone() },
        Wish::Update(Update::Put { key, value }) => Input::Put { key: key.clone(), value: value.clone() },
        Wish::Update(Update::Append { key, value, .. }) => {
            Input::Append { key: key.clone(), value: value.clone() }
        }
        Wish::Update(Update::Delete { key }) => Input::Delete { key: key.clone() },
        Wish::Update(Update::CompareAndSwap { key, expected, new }) => {
            let expected = match expected {
                Expected::Value(value) => value.clone(),
                Expected::Revision(OpNumber(0)) => None,
                Expected::Revision(revision) => {
                    Some(client.told.get(revision).expect("a revision that the client was told").clone())
                }
            };
            Input::CompareAndSwap { key: key.clone(), expected, new: new.clone() }
        }
        Wish::Close => return None,
    })
}

fn output(outcome: &Outcome) -> Option<Output> {
    Some(match outcome {
        Outcome::Done => Output::Done,
        Outcome::Deleted { existed } => Output::Deleted { existed: Some(*existed) },
        Outcome::Swapped { swapped, previous } => Output::Swapped {
            swapped: *swapped,
            previous: Some(previous.as_ref().map(|held| held.value.clone())),
        },
        Outcome::ValueTooLarge { .. } => return None,
    })
}

impl Client {
    /// Begins an operation. False if there is nothing to do.
    pub fn begin(&mut self, wish: Wish) -> bool {
        assert!(self.waiting.is_none(), "a client does one thing at a time");
        self.call += 1;
        self.waiting = match wish {
            Wish::Get { key } => Some(Waiting::Get { key }),
            Wish::Close => self.session.map(|_| Waiting::Close),
            Wish::Update(update) if self.session.is_none() => Some(Waiting::Session(update)),
            Wish::Update(update) => Some(self.next_update(update)),
        };
        self.waiting.is_some()
    }

    fn next_update(&mut self, update: Update) -> Waiting {
        self.last_request = self.last_request.next();
        Waiting::Update { request: self.last_request, update }
    }

    /// What is sent for the current operation, every time the same.
    pub fn request(&self) -> Option<Request> {
        let body = match self.waiting.as_ref()? {
            Waiting::Session(_) => RequestBody::OpenSession,
            Waiting::Get { key } => RequestBody::Get { key: key.clone() },
            Waiting::Close => RequestBody::CloseSession { session: self.session? },
            Waiting::Update { request, update } => {
                RequestBody::Update { session: self.session?, request: *request, update: update.clone() }
            }
        };
        Some(Request { generation: Generation::UNKNOWN, body })
    }

    /// Gives up on the current operation.
    pub fn give_up(&mut self) {
        self.call += 1;
        self.waiting = None;
    }

    fn learn(&mut self, held: Option<&Versioned>) {
        self.told.extend(held.map(|held| (held.mod_revision, held.value.clone())));
    }

    /// Takes an answer to the call `call`.
    pub fn answer(&mut self, call: u64, reply: &Reply) -> Progress {
        if call != self.call {
            return Progress::None;
        }
        let Some(waiting) = &self.waiting else { return Progress::None };
        match (waiting, reply) {
            (Waiting::Session(update), Reply::Opened { session, .. }) => {
                let update = update.clone();
                self.session = Some(*session);
                self.last_request = RequestNumber(0);
                self.call += 1;
                self.waiting = Some(self.next_update(update));
                Progress::Opened
            }
            (Waiting::Get { .. }, Reply::Value { found, .. }) => {
                self.waiting = None;
                self.learn(found.as_ref());
                Progress::Done(Output::Value(found.as_ref().map(|found| found.value.clone())))
            }
            (Waiting::Update { update, .. }, Reply::Executed(Executed { revision, outcome })) => {
                if let Update::Put { value, .. } = update {
                    self.told.insert(*revision, value.clone());
                }
                if let (Update::CompareAndSwap { new, .. }, Outcome::Swapped { swapped: true, .. }) =
                    (update, outcome)
                {
                    self.told.insert(*revision, new.clone());
                }
                if let Outcome::Swapped { previous, .. } = outcome {
                    self.learn(previous.as_ref());
                }
                self.waiting = None;
                output(outcome).map_or(Progress::TooLong, Progress::Done)
            }
            (Waiting::Close, Reply::Closed { .. }) => {
                self.waiting = None;
                self.session = None;
                Progress::Closed
            }
            (Waiting::Update { .. }, Reply::Refused(Refusal::SessionExpired)) => {
                self.waiting = None;
                self.session = None;
                Progress::Unknown // an earlier attempt may have been executed
            }
            (Waiting::Update { request, .. }, Reply::Refused(Refusal::Superseded)) => {
                panic!("request {request} is the latest of its session, nothing can supersede it")
            }
            _ => Progress::None,
        }
    }
}
