//! Clients: one operation at a time, asked again until somebody answers; and the history of it.

use std::time::Duration;

use bytes::Bytes;
use pbkv::{
    options::Limits,
    protocol::{
        command::{Executed, Expected, Outcome, Refusal, Reply, Request, RequestBody, Update, mod_revision},
        identity::{Generation, RequestNumber, SessionId, ViewNumber},
    },
};
use testbed::data::{
    node::{NodeIndex, NodeName},
    outcome::CLIENT_ENDED,
};

use super::{Checked, Cluster, Failure, VS, flight::Body, flight::Key};
use crate::{
    bound::End,
    store::{
        operation::{Input, Output, Told},
        script::{Action, Asked, Seen, Step},
    },
};

/// Few keys, so that clients meet.
pub(super) const KEYS: [&str; 3] = ["k", "l", "m"];

/// What a client may want, in the words of the simulator's scripts. A key is a place in a list of few; what
/// ends a session has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// What to do
    pub action: Action,
    /// with this key.
    pub key: u8,
}

/// What a client waits for.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Its operation in the history; none if the session is closed.
    place: Option<usize>,
    want: Want,
    /// Counts the attempts of what is asked at the moment.
    attempts: u32,
    /// An earlier attempt, or a copy of this one, may be executed, whatever becomes of this one.
    doubt: bool,
    pub asked_at: Duration,
    /// How often it asked, whatever it was.
    pub asked: u64,
}

#[derive(Clone, Debug, Hash)]
enum Want {
    Get(Bytes),
    /// A session, so that this update can be sent.
    Session(Update),
    Update(RequestNumber, Update),
    Close(SessionId),
}

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub name: NodeName,
    session: Option<SessionId>,
    generation: Generation,
    last_request: RequestNumber,
    pub pending: Option<Pending>,
    seen: Seen,
    /// Numbers what it asks, so that an answer to something else is not taken for one to this.
    call: u64,
    /// The latest view that it knows, and its primary.
    pub view: Option<(ViewNumber, NodeIndex)>,
    /// Operations that were answered.
    pub served: u64,
    /// When the last one was.
    pub served_at: Duration,
}

impl Client {
    pub fn new(name: NodeName) -> Self {
        Self {
            name,
            session: None,
            generation: Generation::UNKNOWN,
            last_request: RequestNumber(0),
            pending: None,
            seen: Seen::default(),
            call: 0,
            view: None,
            served: 0,
            served_at: Duration::ZERO,
        }
    }

    fn request(&self) -> Option<Request> {
        let body = match &self.pending.as_ref()?.want {
            Want::Get(key) => RequestBody::Get { key: key.clone() },
            Want::Session(_) => RequestBody::OpenSession,
            Want::Close(session) => RequestBody::CloseSession { session: *session },
            Want::Update(request, update) => {
                RequestBody::Update { session: self.session?, request: *request, update: update.clone() }
            }
        };
        Some(Request { generation: self.generation, body })
    }

    /// What it waits for, in words.
    pub fn waits_for(&self) -> String {
        self.pending.as_ref().map_or("nothing".into(), |pending| format!("{:?}", pending.want))
    }

    /// What decides what it does and is told from now on, as far as it does not look at what it has seen.
    pub fn what_counts(&self) -> impl std::hash::Hash + use<'_> {
        let pending = self.pending.as_ref().map(|it| (it.place, &it.want, it.attempts, it.doubt));
        (self.session, self.generation, self.last_request, self.call, pending)
    }

    fn next_update(&mut self, update: Update) -> Want {
        self.last_request = self.last_request.next();
        Want::Update(self.last_request, update)
    }
}

impl Cluster {
    fn client(&mut self, node: NodeIndex) -> &mut Client {
        let first = self.servers.len() + 1;
        &mut self.clients[node - first]
    }

    pub(super) fn is_waiting(&self, node: NodeIndex) -> bool {
        self.clients[node - self.servers.len() - 1].pending.is_some()
    }

    /// What a client would ask next; none if it would close its session.
    pub(super) fn asked(&self, node: NodeIndex, wish: Wish) -> Option<Asked> {
        let key = Bytes::from_static(KEYS[usize::from(wish.key)].as_bytes());
        let step = Step { at: Duration::ZERO, action: wish.action, key, bytes: None, keys_max: None };
        let value = step.value(&(self.written_values + 1).to_string());
        self.clients[node - self.servers.len() - 1].seen.asked(&step, value)
    }

    /// A client begins an operation and asks a server. False if it waits for another one, or there is nothing
    /// to do.
    pub(super) fn call(&mut self, node: NodeIndex, wish: Wish, server: NodeIndex) -> bool {
        if self.is_waiting(node) {
            return false;
        }
        let (now, written) = (self.now, self.written_values + 1);
        let asked = self.asked(node, wish);
        let client = &mut *self.client(node);
        let (asked, want) = match asked {
            None => {
                let Some(session) = client.session else { return false };
                (None, Want::Close(session))
            }
            Some(asked) => {
                let want = match (update(&asked), client.session) {
                    (None, _) => Want::Get(asked.input.key().clone()),
                    (Some(update), None) => Want::Session(update),
                    (Some(update), Some(_)) => client.next_update(update),
                };
                (Some(asked), want)
            }
        };
        client.call += 1;
        let name = client.name.clone();
        let place = asked.map(|asked| self.judges.called(now, name, asked));
        self.written_values = written;
        self.client(node).pending =
            Some(Pending { place, want, attempts: 0, doubt: false, asked_at: now, asked: 0 });
        self.ask(node, server)
    }

    /// A client asks a server for what it waits for. False if it waits for nothing.
    pub(super) fn ask(&mut self, node: NodeIndex, server: NodeIndex) -> bool {
        let now = self.now;
        let client = self.client(node);
        let (Some(request), Some(pending)) = (client.request(), &mut client.pending) else { return false };
        pending.attempts += 1;
        pending.doubt |= pending.attempts > 1;
        pending.asked_at = now;
        pending.asked += 1;
        let (call, attempt) = (client.call, pending.attempts);
        self.flight.send(node, server, Body::Request { call, attempt, request });
        true
    }

    pub(super) fn ask_for_view(&mut self, node: NodeIndex) {
        self.flight.send(node, VS, Body::Question);
    }

    /// A request arrives more than once.
    pub(super) fn note_copy(&mut self, key: Key, body: &Body) {
        if let Body::Request { call, .. } = body {
            let client = self.client(key.from.into());
            if client.call == *call
                && let Some(pending) = &mut client.pending
            {
                pending.doubt = true;
            }
        }
    }

    /// A client gives up what it waits for. False if it waits for nothing.
    pub(super) fn give_up(&mut self, node: NodeIndex) -> bool {
        let client = self.client(node);
        let Some(pending) = client.pending.take() else { return false };
        client.call += 1;
        let never_sent = matches!(pending.want, Want::Session(_));
        if let Some(place) = pending.place {
            let (at, why) = (self.judges.instant(), CLIENT_ENDED.to_owned());
            let end = if never_sent { End::NotExecuted { at, why } } else { End::Unknown { at, why } };
            self.judges.gave_up(place, end);
        }
        true
    }

    pub(super) fn client_hears(&mut self, node: NodeIndex, from: NodeIndex, body: Body) -> Checked {
        match body {
            Body::View(Some(view)) => {
                let primary = self.nodes.server(&view.primary).expect("a server is primary");
                let client = self.client(node);
                if client.view.is_none_or(|(known, _)| view.number >= known) {
                    client.view = Some((view.number, primary));
                }
                Ok(())
            }
            Body::Reply { call, attempt, reply } if call == self.client(node).call => {
                self.is_answered(node, from, attempt, reply)
            }
            _ => Ok(()),
        }
    }

    fn is_answered(&mut self, node: NodeIndex, from: NodeIndex, attempt: u32, reply: Reply) -> Checked {
        let client = self.client(node);
        let Some(pending) = &client.pending else { return Ok(()) };
        let (place, doubt, attempts) = (pending.place, pending.doubt, pending.attempts);
        let want = pending.want.clone();
        match (want, reply) {
            (Want::Session(update), Reply::Opened { session, generation, .. }) => {
                client.session = Some(session);
                client.generation = generation;
                client.last_request = RequestNumber(0);
                client.call += 1;
                let want = client.next_update(update);
                let pending = client.pending.as_mut().expect("it waits for that");
                (pending.want, pending.attempts, pending.doubt) = (want, 0, false);
                self.ask(node, from);
                Ok(())
            }
            (Want::Close(_), Reply::Closed { .. } | Reply::Refused(Refusal::SessionExpired)) => {
                client.session = None;
                client.pending = None;
                Ok(())
            }
            (Want::Get(_), Reply::Value { revision, found }) => {
                let told = Told { revision, found: Some(mod_revision(found.as_ref())) };
                self.ends(node, place, Output::Value(found.map(|found| found.value)), told)
            }
            (Want::Update(..), Reply::Executed(Executed { revision, outcome })) => {
                let mut told = Told { revision, found: None };
                let output = match outcome {
                    Outcome::Done => Output::Done,
                    Outcome::Deleted { existed } => Output::Deleted { existed: Some(existed) },
                    Outcome::Swapped { swapped, previous } => {
                        told.found = Some(mod_revision(previous.as_ref()));
                        Output::Swapped { swapped, previous: Some(previous.map(|held| held.value)) }
                    }
                    Outcome::ValueTooLarge { .. } => return self.fails(node, place, false, "too long"),
                };
                self.ends(node, place, output, told)
            }
            (_, Reply::Refused(refusal)) => match refusal {
                Refusal::SessionExpired => {
                    client.session = None;
                    self.fails(node, place, doubt, "the session is over")
                }
                Refusal::NotPrimary { view, primary: Some(primary) } => {
                    let primary = self.nodes.server(&primary).expect("a server is primary");
                    let client = self.client(node);
                    if attempt == attempts && client.view.is_none_or(|(known, _)| view > known) {
                        client.view = Some((view, primary));
                    }
                    Ok(())
                }
                Refusal::Superseded => {
                    Err(Failure::client(&self.client(node).name, "its latest request was superseded"))
                }
                Refusal::DataLost { generation } => {
                    let seen = format!("was told that its data was given up for {generation}");
                    Err(Failure::client(&self.client(node).name, &seen))
                }
                Refusal::NotPrimary { .. }
                | Refusal::Busy
                | Refusal::TooManySessions
                | Refusal::TooFewCopies { .. }
                | Refusal::TooFewHoldIt { .. } => Ok(()),
            },
            (want, reply) => {
                Err(Failure::client(&client.name.clone(), &format!("{want:?} was answered with {reply:?}")))
            }
        }
    }

    fn ends(&mut self, node: NodeIndex, place: Option<usize>, output: Output, told: Told) -> Checked {
        let now = self.now;
        let client = self.client(node);
        client.pending = None;
        client.served += 1;
        client.served_at = now;
        let generation = client.generation.number;
        let place = place.expect("operations are part of the history");
        let input = self.judges.input(place).clone();
        self.client(node).seen.learn(&input, &output, told);
        self.judges.returned(place, output, told, generation)
    }

    /// The operation ends; whether it was executed is in doubt or not.
    fn fails(&mut self, node: NodeIndex, place: Option<usize>, doubt: bool, why: &str) -> Checked {
        let client = self.client(node);
        client.pending = None;
        let (at, why) = (self.judges.instant(), why.to_owned());
        let end = if doubt { End::Unknown { at, why } } else { End::NotExecuted { at, why } };
        self.judges.gave_up(place.expect("operations are part of the history"), end);
        Ok(())
    }
}

/// The update that is asked for, if it is one.
fn update(asked: &Asked) -> Option<Update> {
    Some(match asked.input.clone() {
        Input::Get { .. } => return None,
        Input::Put { key, value } => Update::Put { key, value },
        Input::Append { key, value } => {
            Update::Append { key, value, value_bytes_max: Limits::default().value_bytes_max as u64 }
        }
        Input::Delete { key } => Update::Delete { key },
        Input::CompareAndSwap { key, expected, new } => {
            let expected = asked.expected_revision.map_or(Expected::Value(expected), Expected::Revision);
            Update::CompareAndSwap { key, expected, new }
        }
    })
}
