//! The simulator's own way of serving gRPC, with the fault layer in it.
//!
//! madsim-tonic's server awaits the first message of each connection inside its accept loop, so one slow
//! client holds up all others and requests never overtake each other. Here several tasks accept, and each
//! connection has a task of its own. What madsim-tonic's client puts on a connection (its `client.rs` draws
//! the table) is handed to the same generated services that production serves:
//!
//! ```text
//!              first message                              then
//! unary        (path, false, Request<message>)            Result<Response<message>> back
//! streaming    (path, true, Request<()>)                  messages there;
//!                                                         Result<Response<()>>, Result<message>, .., () back
//! ```
//!
//! Every message passes the fault layer here, at the server's end of its connection, in both directions: the
//! peer's address says between which nodes it travels. Messages are type-erased; only to duplicate one must
//! its type be known. A call is mistreated as a whole, by the verdict on its request. Messages of a stream
//! are mistreated one by one; the protocol expects that they are lost, doubled, late and out of order. A
//! stream ends with `Unavailable` at a partition that refuses, and stays silent at one that swallows.
//!
//! What is under way arrives even if its sender ends first: what comes to a server waits at that server's
//! end, what leaves it is carried by the simulator's own node, and a stream whose opener left goes on until
//! all that it sent is there. A connection ends behind what was sent on it, never before.
//!
//! Kinder than the world: where no process runs, a connection is refused at once, and one that was open ends
//! at once, even behind a partition that swallows. A caller there would hear nothing.
//!
//! Each call of madsim-tonic's client makes two connections, the first one (its handshake) empty and dropped
//! at once. An empty connection costs no task here.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use madsim::net::{Endpoint, Payload, Receiver, Sender};
use tonic::{
    Request, Response, Status,
    codegen::{BoxFuture, BoxMessage, BoxMessageStream, Service, http::uri::PathAndQuery},
    transport::NamedService,
};

use crate::{
    data::{
        fault::Mistreatment,
        node::NodeIndex,
        nodes::{Nodes, ip},
    },
    hardware::network::{Treatment, Verdict, Way},
    observer::messages::{Message, MessageIndex, MessageKind},
    world::{
        encoding,
        flights::{Due, Entry},
        links::{Arrival, Links, on_the_way},
        now, stream,
    },
};

/// Tasks that accept connections. madsim lets each accept at most one per millisecond.
const ACCEPTORS: usize = 32;

/// What is said of a network that refuses: no more than where nobody listens.
pub(crate) const REFUSED: &str = "connection refused";

/// A call as the generated services take it.
pub type Call = (PathAndQuery, Request<BoxMessageStream>);

/// What a call results in.
pub type Answer = Result<Response<BoxMessageStream>, Status>;

/// A generated service with its message types erased.
pub type AnyService = Box<
    dyn Service<
            Call,
            Response = Response<BoxMessageStream>,
            Error = Status,
            Future = BoxFuture<Response<BoxMessageStream>, Status>,
        > + Send,
>;

/// The services of one server, by name.
#[derive(Default)]
pub struct Services(Vec<(&'static str, Mutex<AnyService>)>);

impl Services {
    /// Adds a service.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<
                Call,
                Response = Response<BoxMessageStream>,
                Error = Status,
                Future = BoxFuture<Response<BoxMessageStream>, Status>,
            > + NamedService
            + Send
            + 'static,
    {
        self.0.push((S::NAME, Mutex::new(Box::new(service))));
        self
    }

    pub(crate) async fn call(&self, (path, request): Call) -> Answer {
        let name = path.path().split('/').nth(1).unwrap_or_default();
        let Some((_, service)) = self.0.iter().find(|(own, _)| *own == name) else {
            return Err(Status::unimplemented(format!("service not found: {path}")));
        };
        let lock = || service.lock().expect("no panic while locked");
        poll_fn(|cx| lock().poll_ready(cx)).await?;
        let answer = lock().call((path, request));
        answer.await
    }
}

/// What the connections of a server have in common.
pub(crate) struct Server {
    pub(crate) node: NodeIndex,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) links: Arc<Links>,
    pub(crate) services: Services,
    lengths: Lengths,
    /// Told of every message that this server hears, if nothing else tells what its process does.
    listener: Option<Listener>,
}

/// The longest messages of a server, in bytes, if messages travel as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// The longest message that it takes. Both ends of a stream have the same limit.
    pub taken_max: usize,
    /// The longest answer that it gives to a call that is no stream.
    pub answered_max: usize,
}

impl Lengths {
    /// Messages may be of any length.
    pub const ANY: Self = Self { taken_max: usize::MAX, answered_max: usize::MAX };
}

/// Is told of the messages that a process hears: of the method that was called, and of the contents by a
/// hash.
pub type Listener = Box<dyn Fn(&str, u64) + Send + Sync>;

/// Serves on a node's own address until the node dies.
pub async fn serve(
    node: NodeIndex,
    nodes: Arc<Nodes>,
    links: Arc<Links>,
    services: Services,
    lengths: Lengths,
    listener: Option<Listener>,
) -> io::Result<()> {
    let endpoint = Endpoint::bind(SocketAddr::from((ip(node), nodes.port(node)))).await?;
    let server = Arc::new(Server { node, nodes, links, services, lengths, listener });
    for _ in 1..ACCEPTORS {
        madsim::task::spawn(accept(server.clone(), endpoint.clone()).map(drop));
    }
    accept(server, endpoint).await
}

async fn accept(server: Arc<Server>, endpoint: Endpoint) -> io::Result<()> {
    loop {
        let (tx, mut rx, peer) = endpoint.accept1().await?;
        let first = rx.next().now_or_never();
        if !matches!(first, Some(None)) {
            let first = first.flatten();
            madsim::task::spawn(connection(server.clone(), tx, rx, peer, first));
        }
    }
}

/// One connection; ends when it does.
async fn connection(
    server: Arc<Server>,
    tx: Sender,
    mut rx: Receiver,
    peer: SocketAddr,
    first: Option<io::Result<Payload>>,
) {
    let IpAddr::V4(ip) = peer.ip() else { unreachable!("nodes have addresses of version 4") };
    let peer = server.nodes.at(ip).expect("only nodes connect");
    let entry = server.links.begin((peer, server.node), |_| "a call".into(), Links::by_latency);
    let first = match first {
        Some(first) => Some(first),
        None => rx.next().await,
    };
    let Some(Ok(first)) = first else { return };
    let (path, streaming, request) = *first
        .downcast::<(PathAndQuery, bool, Request<BoxMessage>)>()
        .expect("madsim-tonic's client opens every connection with a request");
    if streaming {
        entry.iter().for_each(|entry| entry.says(format!("a stream, {}", method(&path))));
        stream::serve(server, tx, rx, peer, path, request, entry).await;
    } else {
        entry.iter().for_each(|entry| entry.says(server.links.words(request.get_ref())));
        unary(server, tx, peer, path, request, entry).await;
    }
}

impl Server {
    /// A message to or from this server as its receiver decodes it, if messages travel as bytes in this run.
    /// A client that is answered takes anything; whether this server may say it is another matter.
    pub(crate) fn decoded(&self, message: BoxMessage, is_answer: bool) -> Result<BoxMessage, Status> {
        let bytes_max = if is_answer { self.lengths.answered_max } else { self.lengths.taken_max };
        match self.links.encoded {
            true => encoding::carry(self.links.types, &message, bytes_max),
            false => Ok(message),
        }
    }

    /// A message is handed to this server's process.
    pub(crate) fn hears(&self, path: &PathAndQuery, message: &BoxMessage) {
        if let Some(listener) = &self.listener {
            listener(path.path(), encoding::hash(self.links.types, message));
        }
    }

    /// A request was seen for the first time; it is kept if it is a client's.
    fn requested(&self, peer: NodeIndex, path: &PathAndQuery) -> Option<MessageIndex> {
        let (node, at) = (self.node, now());
        let client = !self.nodes.is_process(peer);
        client.then(|| self.links.keep(|| client_message((peer, node), method(path), at, true))).flatten()
    }

    /// A client was answered.
    fn answered(&self, peer: NodeIndex, method: &str, at: Duration, lost: bool) {
        if !self.nodes.is_process(peer) {
            let text = || format!("answer to {method}");
            self.links.keep(|| client_message((self.node, peer), text(), at, lost));
        }
    }

    /// An answer is left to the network.
    fn lets_go(&self, peer: NodeIndex, answer: &Result<Response<BoxMessage>, Status>) {
        self.links.let_go((self.node, peer), |links| told(links, answer));
        if !self.nodes.is_process(peer) {
            let what = match answer {
                Ok(answer) => (self.links.own_words)(answer.get_ref()).unwrap_or_else(|| "an answer".into()),
                Err(status) => refusal(status),
            };
            self.links.attempts.told(peer, self.node, now(), true, what);
        }
    }

    /// What is on the way between this server and a caller ends its call.
    async fn breaks(&self, tx: &Sender, peer: NodeIndex, status: Status) {
        if !self.nodes.is_process(peer) {
            self.links.attempts.told(peer, self.node, now(), false, refusal(&status));
        }
        send(tx, Err(status)).await;
    }
}

/// What an error says.
pub(super) fn refusal(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// What an answer says.
fn told(links: &Links, answer: &Result<Response<BoxMessage>, Status>) -> String {
    match answer {
        Ok(answer) => links.words(answer.get_ref()),
        Err(status) => refusal(status),
    }
}

async fn unary(
    server: Arc<Server>,
    tx: Sender,
    peer: NodeIndex,
    path: PathAndQuery,
    request: Request<BoxMessage>,
    entry: Option<Entry>,
) {
    let queued = server.links.queue(peer, server.node, request.get_ref());
    let mut verdict = server.links.network().message(peer, server.node);
    verdict.delay += queued;
    let struck = verdict.treatment;
    let called = server.requested(peer, &path);
    if !server.nodes.is_process(peer) {
        server.links.attempts.asked(peer, server.node, now());
    }
    let method = method(&path);
    let late = |at: bool| match struck {
        Some(Treatment { how: Mistreatment::Delay, variant, after, .. }) if variant == at => after,
        _ => Duration::ZERO,
    };
    match server.links.carry(Way::to(peer, server.node), &verdict, late(false), entry).await {
        Arrival::Arrived => {}
        Arrival::Refused => return server.breaks(&tx, peer, unavailable(REFUSED)).await,
        Arrival::Lost => return tx.closed().await,
    }
    let answer = match struck.map(|treatment| (treatment.how, treatment)) {
        Some((Mistreatment::DropRequest, _)) => {
            return server.breaks(&tx, peer, unavailable("the request was lost")).await;
        }
        Some((Mistreatment::Hang, treatment)) => {
            if treatment.variant {
                let _ = execute(&server, called, path, request).await;
            }
            return tx.closed().await;
        }
        Some((Mistreatment::Cancel, treatment)) => {
            match within(treatment.after, execute(&server, called, path, request)).await {
                Some(answer) => answer,
                None => return server.breaks(&tx, peer, Status::cancelled("the call was cancelled")).await,
            }
        }
        Some((Mistreatment::Duplicate, treatment)) => {
            let copy = encoding::duplicate(server.links.types, request.get_ref());
            let copy = Request::from_parts(request.metadata().clone(), request.extensions().clone(), copy);
            let (server_again, path_again) = (server.clone(), path.clone());
            let entry = server.links.begin(
                (peer, server.node),
                |links| format!("copy of {}", links.words(copy.get_ref())),
                |_, now| Due::At(now + treatment.after),
            );
            let refused = Arc::new(AtomicBool::new(false));
            let is_refused = refused.clone();
            madsim::task::spawn(async move {
                madsim::time::sleep(treatment.after).await;
                drop(entry);
                // A proof holds for a request, so it could not stand a network that delivers another copy
                // afterwards.
                if !is_refused.load(Ordering::Relaxed) {
                    let _ = execute(&server_again, None, path_again, copy).await;
                }
            });
            let answer = execute(&server, called, path, request).await;
            let is_proof = answer.as_ref().is_err_and(server.links.proves_not_executed);
            refused.store(is_proof, Ordering::Relaxed);
            answer
        }
        Some((Mistreatment::Forge, _)) => {
            let forged = server.links.lie(peer, server.node, request.get_ref(), verdict.hash);
            if let Some(forged) = forged {
                let forged =
                    Request::from_parts(request.metadata().clone(), request.extensions().clone(), forged);
                let (server, path) = (server.clone(), path.clone());
                madsim::task::spawn(async move {
                    let _ = execute(&server, None, path, forged).await;
                });
            }
            execute(&server, called, path, request).await
        }
        Some((Mistreatment::DropReply, _)) => {
            let _ = execute(&server, called, path, request).await;
            server.answered(peer, &method, now(), true);
            return server.breaks(&tx, peer, unavailable("the reply was lost")).await;
        }
        Some((Mistreatment::Delay, _)) | None => {
            let executed = execute(&server, called, path, request);
            tokio::select! {
                biased;
                // What arrives is taken up: that its caller left is heard only after it.
                answer = executed => answer,
                () = tx.closed(), if server.links.callers_leave => return,
            }
        }
    };
    let queued = answer.as_ref().map(|answer| server.links.queue(server.node, peer, answer.get_ref()));
    let (mut verdict, cut) = {
        let mut network = server.links.network();
        (network.reply(server.node, peer), network.blocked(Way::back(peer, server.node)))
    };
    verdict.delay += queued.unwrap_or_default();
    let late = late(true);
    if verdict.delay.is_zero() && late.is_zero() && cut.is_none() {
        server.answered(peer, &method, now(), false);
        server.lets_go(peer, &answer);
        return send(&tx, answer).await;
    }
    let tx = Arc::new(tx);
    on_the_way(deliver(server, tx.clone(), peer, method, answer, verdict, late));
    // A lost answer leaves the connection open for as long as this process lasts.
    tx.closed().await;
}

/// An answer on its way back.
async fn deliver(
    server: Arc<Server>,
    tx: Arc<Sender>,
    peer: NodeIndex,
    method: String,
    answer: Result<Response<BoxMessage>, Status>,
    verdict: Verdict,
    late: Duration,
) {
    let answered = now();
    let (way, text) = ((server.node, peer), |links: &Links| told(links, &answer));
    let entry = server.links.begin(way, text, Links::by_latency);
    let arrival = server.links.carry_on(Way::back(peer, server.node), &verdict, late, entry).await;
    server.answered(peer, &method, answered, arrival != Arrival::Arrived);
    match arrival {
        Arrival::Arrived => {
            server.lets_go(peer, &answer);
            send(&tx, answer).await;
        }
        Arrival::Refused => server.breaks(&tx, peer, unavailable("the connection broke")).await,
        Arrival::Lost => {}
    }
}

fn method(path: &PathAndQuery) -> String {
    path.path().rsplit('/').next().unwrap_or_default().to_owned()
}

/// Of a request it is known when it arrives, and of an answer when it leaves; both begin as such.
pub(super) fn client_message(
    (from, to): (NodeIndex, NodeIndex),
    text: String,
    at: Duration,
    lost: bool,
) -> Message {
    let (kind, text) = (MessageKind::CLIENT, text.into());
    Message { from, to, kind, text, sent: at, received: None, lost }
}

/// Executes a unary call to its end.
async fn execute(
    server: &Server,
    called: Option<MessageIndex>,
    path: PathAndQuery,
    request: Request<BoxMessage>,
) -> Result<Response<BoxMessage>, Status> {
    server.links.delivered(called, now());
    let (metadata, extensions, message) = request.into_parts();
    let message = server.decoded(message, false)?;
    server.hears(&path, &message);
    let request = Request::from_parts(metadata, extensions, message);
    let request = request.map(|message| futures::stream::once(async move { Ok(message) }).boxed());
    let (metadata, mut messages, extensions) = server.services.call((path, request)).await?.into_parts();
    let message = messages.next().await.expect("a unary call has one answer")?;
    Ok(Response::from_parts(metadata, server.decoded(message, true)?, extensions))
}

async fn send(tx: &Sender, answer: Result<Response<BoxMessage>, Status>) {
    // A caller that went away needs no answer.
    let _ = tx.send(Box::new(answer)).await;
}

pub(crate) fn unavailable(why: &str) -> Status {
    Status::unavailable(why)
}

/// What a future resolves to within a time; at least it is polled once.
async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = madsim::time::sleep(time) => None,
    }
}
