//! Streams between replicas.
//!
//! A primary opens one stream to each replica it speaks to; the replica's acknowledgements come back on it. A
//! stream that broke is opened again by the next message, after a pause that grows with each failure. What
//! cannot be sent or queued is dropped: the protocol repeats what was not acknowledged. A stream that breaks
//! again and again is logged with its cause: it may be one that can never work. What it carries is agreed
//! upon first ([`Terms`]).
//!
//! ```text
//!  primary                                    replica
//!  Links::send ─► queue ─► stream ───────────► conversation ─► inbox
//!        inbox ◄──────────────────── stream ◄─ conversation ◄─ queue ◄─ Links::send
//! ```

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use futures::{Stream, StreamExt, future, stream};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Status, Streaming};

use super::terms::Terms;
use crate::{
    channel,
    clock::{Clock, before},
    proto::Outgoing,
    protocol::{identity::ServerId, message::PeerMessage},
    wire::{self, replication_client::ReplicationClient},
};

/// Messages queued for one stream.
const QUEUE_MAX: usize = 256;

/// The pause before a broken stream is opened again: this after the first failure, doubled by each further
/// one,
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// up to this.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A stream that lived this long was no failure.
const LIFE_MIN: Duration = Duration::from_secs(1);

/// A stream that carries nothing for so long is closed. A primary's heartbeats are far more frequent, so this
/// is a stream whose other end lost power, or has nothing to say any more.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// A stream that broke so many times in a row is logged as a warning, and again whenever that number has
/// doubled.
const FAILURES_LOGGED: u32 = 4;

/// A broken stream that was not opened again for so long is forgotten: its server is no member any more.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Streams from other servers remembered for answers. Beyond this, new ones get no answer.
const ROUTES_MAX: usize = 1024;

/// A message that arrived.
pub struct Arrived {
    /// What it says.
    pub message: PeerMessage,
    /// Where answers to its sender go: back on the stream it came by, if that was opened by the sender.
    pub back: Option<mpsc::Sender<PeerMessage>>,
}

/// All streams of one server, both ways.
pub struct Links<C, I> {
    clock: C,
    inbox: mpsc::Sender<I>,
    terms: Terms,
    outgoing: BTreeMap<ServerId, Link>,
    routes: BTreeMap<ServerId, mpsc::Sender<PeerMessage>>,
}

/// The latest stream to one replica.
struct Link {
    queue: mpsc::Sender<PeerMessage>,
    opened_at: Duration,
    /// When it may be opened again, once it was seen broken.
    pause: Duration,
    /// How many streams to this replica broke in a row before this one.
    failures: u32,
}

impl<C: Clock, I: From<Arrived> + Send + 'static> Links<C, I> {
    /// No streams yet. What arrives goes to `inbox`.
    pub fn new(clock: C, inbox: mpsc::Sender<I>, terms: Terms) -> Self {
        Self { clock, inbox, terms, outgoing: BTreeMap::new(), routes: BTreeMap::new() }
    }

    /// Answers to the sender of `message` go `back` from now on.
    pub fn route(&mut self, message: &PeerMessage, back: mpsc::Sender<PeerMessage>) {
        let from = match message {
            PeerMessage::Append(append) => &append.from,
            PeerMessage::Chunk(chunk) => &chunk.from,
            PeerMessage::AppendAck(_) | PeerMessage::ChunkAck(_) => return,
        };
        match self.routes.get_mut(from) {
            Some(route) if route.same_channel(&back) => {}
            Some(route) => *route = back,
            None => {
                // A stream is one server's: who speaks in many names takes no room from others.
                self.routes.retain(|_, route| !route.same_channel(&back));
                if self.routes.len() >= ROUTES_MAX {
                    self.routes.retain(|_, route| !route.is_closed());
                }
                if self.routes.len() < ROUTES_MAX {
                    self.routes.insert(from.clone(), back);
                }
            }
        }
    }

    /// Says something to a server, if it can be reached just now.
    pub fn send(&mut self, now: Duration, to: ServerId, message: PeerMessage) {
        match message {
            PeerMessage::Append(_) | PeerMessage::Chunk(_) => self.forward(now, to, message),
            PeerMessage::AppendAck(_) | PeerMessage::ChunkAck(_) => {
                if let Some(route) = self.routes.get(&to)
                    && let Err(mpsc::error::TrySendError::Closed(_)) = route.try_send(message)
                {
                    self.routes.remove(&to);
                }
            }
        }
    }

    fn forward(&mut self, now: Duration, to: ServerId, message: PeerMessage) {
        let (pause, failures) = match self.outgoing.get(&to) {
            Some(link) => match link.queue.try_send(message) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => return,
                Err(mpsc::error::TrySendError::Closed(_)) if now < link.opened_at + link.pause => return,
                Err(mpsc::error::TrySendError::Closed(message)) => {
                    let failed = now < link.opened_at + link.pause.max(LIFE_MIN);
                    let (pause, failures) = if failed {
                        ((2 * link.pause).min(PAUSE_MAX), link.failures.saturating_add(1))
                    } else {
                        (PAUSE_MIN, 0)
                    };
                    return self.open(now, to, pause, failures, message);
                }
            },
            None => (PAUSE_MIN, 0),
        };
        self.open(now, to, pause, failures, message);
    }

    fn open(&mut self, now: Duration, to: ServerId, pause: Duration, failures: u32, first: PeerMessage) {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        queue.try_send(first).expect("an empty queue has room");
        self.outgoing.retain(|_, link| !link.queue.is_closed() || now < link.opened_at + FORGET_AFTER);
        self.outgoing.insert(to.clone(), Link { queue, opened_at: now, pause, failures });
        let stream = carry(self.clock.clone(), to.clone(), self.terms, messages, self.inbox.clone());
        tokio::spawn(async move {
            if let Err(error) = stream.await {
                let failures = failures.saturating_add(1);
                if failures >= FAILURES_LOGGED && failures.is_power_of_two() {
                    tracing::warn!(replica = %to, failures, %error, "the stream to a replica breaks again and again");
                } else {
                    tracing::debug!(replica = %to, %error, "the stream to a replica broke");
                }
            }
        });
    }
}

/// Opens a stream to `to`, sends what is queued, delivers what comes back, until it breaks.
async fn carry<C: Clock, I: From<Arrived>>(
    clock: C,
    to: ServerId,
    terms: Terms,
    mut messages: mpsc::Receiver<PeerMessage>,
    inbox: mpsc::Sender<I>,
) -> Result<(), String> {
    // However this ends, the queue is closed: a transport may go on with what it was given, although nobody
    // reads answers.
    let (_carrying, over) = oneshot::channel::<()>();
    let queued = stream::poll_fn(move |context| messages.poll_recv(context)).take_until(over);
    let outgoing = queued.filter_map(|message| {
        future::ready(match message.into() {
            Outgoing::Primary(message) => Some(message),
            Outgoing::Replica(_) => None,
        })
    });
    let mut client = ReplicationClient::new(channel::lazy(to.as_str())?)
        .max_decoding_message_size(terms.message_bytes_max())
        .max_encoding_message_size(terms.message_bytes_max());
    let mut call = Request::new(outgoing);
    terms.tell(call.metadata_mut());
    let opened = before(&clock, clock.now() + channel::CONNECT_TIMEOUT, client.replicate(call)).await;
    let mut answers = opened
        .ok_or("it could not be opened in time")?
        .map_err(|status| channel::cause(&status))?
        .into_inner();
    loop {
        let next = before(&clock, clock.now() + SILENCE_MAX, answers.next()).await;
        let answer = next.ok_or("no answer for too long")?.ok_or("it was closed")?;
        let answer = answer.map_err(|status| channel::cause(&status))?;
        match PeerMessage::try_from(answer) {
            // A full inbox loses it; the replica will say it again.
            Ok(message) => drop(inbox.try_send(Arrived { message, back: None }.into())),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// What a replica sends back on a primary's stream.
pub type Answers = Pin<Box<dyn Stream<Item = Result<wire::ReplicaMessage, Status>> + Send>>;

/// One stream as its receiver sees it: polling the answers also takes in the messages, so that it lives
/// exactly as long as the call, and a caller that reads no answers is not heard either.
pub fn conversation<C, I>(
    clock: C,
    messages: Streaming<wire::PrimaryMessage>,
    inbox: mpsc::Sender<I>,
) -> Answers
where
    C: Clock,
    I: From<Arrived> + Send + 'static,
{
    let (back, answers) = mpsc::channel(QUEUE_MAX);
    let state = Conversation { clock, messages, inbox, back, answers };
    Box::pin(stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next_answer().await {
            Ok(answer) => Some((Ok(answer), Some(state))),
            Err(status) => Some((Err(status), None)),
        }
    }))
}

struct Conversation<C, I> {
    clock: C,
    messages: Streaming<wire::PrimaryMessage>,
    inbox: mpsc::Sender<I>,
    back: mpsc::Sender<PeerMessage>,
    answers: mpsc::Receiver<PeerMessage>,
}

impl<C: Clock, I: From<Arrived>> Conversation<C, I> {
    async fn next_answer(&mut self) -> Result<wire::ReplicaMessage, Status> {
        let mut heard_at = self.clock.now();
        loop {
            tokio::select! {
                biased;
                answer = self.answers.recv() => {
                    let answer = answer.expect("one sender is kept right here");
                    if let Outgoing::Replica(answer) = answer.into() {
                        return Ok(answer);
                    }
                }
                message = self.messages.next() => {
                    heard_at = self.clock.now();
                    let message = message.ok_or_else(|| Status::ok("the primary closed the stream"))??;
                    let message = PeerMessage::try_from(message)?;
                    // A full inbox loses it; the primary will say it again.
                    drop(self.inbox.try_send(Arrived { message, back: Some(self.back.clone()) }.into()));
                }
                () = self.clock.sleep_until(heard_at + SILENCE_MAX) => {
                    return Err(Status::deadline_exceeded("no message for too long"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        clock::SystemClock,
        options::Limits,
        protocol::{
            identity::{Boot, DataId, Generation, OpNumber, Position, ViewNumber},
            message::{Append, AppendAck, AppendResult},
            options::ReplicaOptions,
        },
    };

    const DATA: DataId = DataId { boot: Boot(1), nonce: 1 };

    fn append(from: &str) -> PeerMessage {
        PeerMessage::Append(Append {
            generation: Generation::FIRST,
            view: ViewNumber(1),
            from: ServerId::new(from),
            to_data: DATA,
            round: 1,
            previous: Position::default(),
            entries: Vec::new(),
            commit: OpNumber(0),
            silence_max: Duration::from_secs(1),
        })
    }

    fn answer(from: &str) -> PeerMessage {
        PeerMessage::AppendAck(AppendAck {
            view: ViewNumber(1),
            from: ServerId::new(from),
            data: DATA,
            round: 1,
            result: AppendResult::Match(OpNumber(0)),
        })
    }

    #[tokio::test]
    async fn a_stream_that_speaks_in_many_names_takes_no_answers_from_others() {
        let (inbox, _inputs) = mpsc::channel::<Arrived>(1);
        let terms = Terms::new(&Limits::default(), &ReplicaOptions::default());
        let mut links = Links::new(SystemClock, inbox, terms);
        let (liar, _lies) = mpsc::channel(1);
        for name in 0..2 * ROUTES_MAX {
            links.route(&append(&format!("s{name}:1")), liar.clone());
        }
        let (back, mut answers) = mpsc::channel(1);
        links.route(&append("primary:1"), back);
        links.send(Duration::ZERO, ServerId::new("primary:1"), answer("own:1"));
        assert_eq!(answers.try_recv().ok(), Some(answer("own:1")));
    }
}
