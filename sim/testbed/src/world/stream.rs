//! Streams under the fault layer: each message is carried on its own, in both directions.
//!
//! The node that opened a stream may leave it. What it said before is heard all the same, and the answers are
//! dropped.
//!
//! On a client's stream a message that is lost ends the stream, as the end of its connection does: a message
//! whose reply is lost arrives before that, and one that is cancelled some time before.
//!
//! Each stream is asked for a sign of life now and then, as gRPC's connections are: where a partition refuses
//! it ends, and where one swallows it ends some time later, although nobody says anything.
//!
//! After a long black hole a stream may be *mute*: each end believes that the connection lives, and nothing
//! passes any more, as when the other end's memory of it is gone. Only a limit to silence ends it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, channel::mpsc};
use madsim::{
    net::{Receiver, Sender},
    time::Instant,
};
use tokio::sync::Notify;
use tonic::{
    Request, Response, Status,
    codegen::{BoxMessage, http::uri::PathAndQuery},
};

use crate::{
    data::{
        fault::{Cut, Mistreatment},
        hash::stable_hash,
        node::NodeIndex,
    },
    hardware::network::{Verdict, Way},
    observer::messages::MessageIndex,
    world::{
        encoding::duplicate,
        flights::{Due, Entry},
        links::{Arrival, Links, on_the_way},
        now,
        serve::{REFUSED, Server, client_message, refusal, unavailable},
    },
};

/// A connection that is silent for so long is asked for a sign of life,
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// and given up if none comes within this time.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A stream that lost a message in a black hole of this length may be mute from then on,
const MUTE_AFTER: Duration = Duration::from_secs(2);
/// and one of this many is.
const MUTE_ONE_IN: u64 = 4;

/// Serves a call whose request and response are streams.
pub(crate) async fn serve(
    server: Arc<Server>,
    tx: Sender,
    rx: Receiver,
    peer: NodeIndex,
    path: PathAndQuery,
    header: Request<BoxMessage>,
    entry: Option<Entry>,
) {
    let refuse = async |status: Status| {
        let answer: Result<Response<()>, Status> = Err(status);
        let _ = tx.send(Box::new(answer)).await;
    };
    let verdict = server.links.network().message(peer, server.node);
    match server.links.carry(Way::to(peer, server.node), &verdict, Duration::ZERO, entry).await {
        Arrival::Arrived => {}
        Arrival::Refused => return refuse(unavailable(REFUSED)).await,
        Arrival::Lost => return tx.closed().await,
    }
    match verdict.treatment.map(|treatment| treatment.how) {
        Some(Mistreatment::DropRequest | Mistreatment::DropReply | Mistreatment::Cancel) => {
            return refuse(unavailable("the stream was not opened")).await;
        }
        Some(Mistreatment::Hang) => return tx.closed().await,
        Some(Mistreatment::Duplicate | Mistreatment::Delay | Mistreatment::Forge) | None => {}
    }

    let (broken, mute) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let _open = server.links.opened((peer, server.node), &mute);
    let (deliver, inbox) = mpsc::unbounded();
    let own = server.node;
    let inbound = Direction {
        server: server.clone(),
        from: peer,
        to: own,
        broken: broken.clone(),
        mute,
        loses_answer: Arc::default(),
    };
    let outbound = Direction { from: own, to: peer, ..inbound.clone() };
    let pump = madsim::task::spawn(inbound.receive(rx, deliver));
    let asking = madsim::task::spawn(outbound.clone().keep_alive());
    // They end with this call.
    let (_pump, _asking) = (pump.cancel_on_drop(), asking.cancel_on_drop());

    let heard = {
        let (server, path) = (server.clone(), path.clone());
        inbox.inspect(move |message| {
            if let Ok(message) = message {
                server.hears(&path, message);
            }
        })
    };
    let mut responses = match server.services.call((path, header.map(|_| heard.boxed()))).await {
        Ok(response) => {
            let (metadata, stream, extensions) = response.into_parts();
            let header: Result<_, Status> = Ok(Response::from_parts(metadata, (), extensions));
            let _ = tx.send(Box::new(header)).await;
            stream
        }
        Err(status) => return refuse(status).await,
    };
    let tx = Arc::new(tx);
    let (mut peer_left, mut is_told) = (false, false);
    loop {
        let message = tokio::select! {
            biased;
            () = tx.closed(), if !peer_left => {
                peer_left = true;
                continue;
            }
            () = broken.notified(), if !is_told => {
                outbound.fail(&tx, unavailable("the connection broke")).await;
                // A client may hear of the end first, while the server still hears what was said before.
                is_told = !outbound.is_process(peer) && stable_hash(&(own, peer, now())).is_multiple_of(2);
                if !is_told {
                    return;
                }
                peer_left = true;
                continue;
            }
            message = responses.next() => message,
        };
        match message {
            Some(Ok(_)) if peer_left => {}
            Some(Ok(message)) => outbound.dispatch(message, Outlet::Peer(tx.clone())),
            Some(Err(_)) | None if is_told => return,
            Some(Err(status)) => return outbound.fail(&tx, status).await,
            None => {
                let _ = tx.send(Box::new(())).await;
                return;
            }
        }
    }
}

/// One direction of a stream.
#[derive(Clone)]
struct Direction {
    server: Arc<Server>,
    from: NodeIndex,
    to: NodeIndex,
    /// Told when the stream has to end.
    broken: Arc<Notify>,
    /// Nothing passes any more, in either direction.
    mute: Arc<AtomicBool>,
    /// The next answer to a client is lost, and the stream ends with it.
    loses_answer: Arc<AtomicBool>,
}

/// Where the messages of a direction come out.
#[derive(Clone)]
enum Outlet {
    /// At this server's handler.
    Handler(mpsc::UnboundedSender<Result<BoxMessage, Status>>),
    /// At the other end of the connection.
    Peer(Arc<Sender>),
}

impl Outlet {
    async fn put(&self, message: BoxMessage) {
        match self {
            // Nobody listens any more: the stream is over.
            Self::Handler(handler) => drop(handler.unbounded_send(Ok(message))),
            Self::Peer(peer) => {
                let message: Result<BoxMessage, Status> = Ok(message);
                drop(peer.send(Box::new(message)).await);
            }
        }
    }
}

impl Direction {
    fn way(&self) -> Way {
        Way { from: self.from, to: self.to, called: self.server.node }
    }

    /// Ends the stream when no sign of life can come from the other end.
    async fn keep_alive(self) {
        let back = Way { from: self.to, to: self.from, ..self.way() };
        let blocked = || {
            let network = self.server.links.network();
            [self.way(), back].into_iter().find_map(|way| network.blocked(way))
        };
        loop {
            madsim::time::sleep(KEEP_ALIVE_INTERVAL).await;
            if matches!(blocked(), Some(Cut::BlackHole)) {
                madsim::time::sleep(KEEP_ALIVE_TIMEOUT).await;
            }
            if blocked().is_some() {
                return self.broken.notify_one();
            }
        }
    }

    /// Takes messages from the connection until it ends.
    async fn receive(self, mut rx: Receiver, handler: mpsc::UnboundedSender<Result<BoxMessage, Status>>) {
        let outlet = Outlet::Handler(handler);
        while let Some(Ok(message)) = rx.next().await {
            self.dispatch(message, outlet.clone());
        }
    }

    /// Lets a message begin its way. One that nothing is in the way of comes out at once and in order.
    fn dispatch(&self, message: BoxMessage, outlet: Outlet) {
        if self.mute.load(Ordering::Relaxed) {
            return;
        }
        if !self.is_process(self.to) && self.loses_answer.load(Ordering::Relaxed) {
            return self.broken.notify_one();
        }
        let Ok(message) = self.server.decoded(message, false) else { return self.broken.notify_one() };
        let kept = self.keep(&message);
        let queued = self.server.links.queue(self.from, self.to, &message);
        let (mut verdict, cut) = {
            let mut network = self.server.links.network();
            (network.message(self.from, self.to), network.blocked(self.way()))
        };
        verdict.delay += queued;
        if verdict.treatment.is_none() && verdict.delay.is_zero() && cut.is_none() {
            match outlet {
                Outlet::Handler(handler) => {
                    self.server.links.delivered(kept, now());
                    drop(handler.unbounded_send(Ok(message)));
                }
                Outlet::Peer(peer) => {
                    self.lets_go(&message, kept);
                    let message: Result<BoxMessage, Status> = Ok(message);
                    drop(futures::FutureExt::now_or_never(peer.send(Box::new(message))));
                }
            }
            return;
        }
        let carried = self.clone().carry(message, kept, verdict, outlet.clone());
        match outlet {
            // What a dead process would have received is lost.
            Outlet::Handler(_) => drop(madsim::task::spawn(carried)),
            Outlet::Peer(_) => on_the_way(carried),
        }
    }

    async fn carry(self, message: BoxMessage, kept: Option<MessageIndex>, verdict: Verdict, outlet: Outlet) {
        let mut late = Duration::ZERO;
        let entry = self.begin(&message, |_, _| Due::After("the end of a fault"));
        let (is_call, is_answer) = (!self.is_process(self.from), !self.is_process(self.to));
        match verdict.treatment.map(|treatment| (treatment.how, treatment)) {
            // A client's connection loses no single message: it ends, before the calls arrive or after it.
            Some((Mistreatment::DropReply, _)) if is_call => self.loses_answer.store(true, Ordering::Relaxed),
            Some((Mistreatment::Cancel, treatment)) if is_call => {
                self.arrive((message, kept), &verdict, late, &outlet, entry).await;
                madsim::time::sleep(treatment.after).await;
                return self.broken.notify_one();
            }
            Some((Mistreatment::DropRequest | Mistreatment::DropReply, _)) if is_call || is_answer => {
                return self.broken.notify_one();
            }
            Some((Mistreatment::DropRequest | Mistreatment::DropReply, _)) => return,
            Some((Mistreatment::Cancel, _)) => return self.broken.notify_one(),
            Some((Mistreatment::Delay, treatment)) => late = treatment.after,
            Some((Mistreatment::Duplicate, treatment)) => {
                let copy = duplicate(self.server.links.types, &message);
                let (outlet, own) = (outlet.clone(), self.clone());
                let verdict = Verdict { treatment: None, ..verdict.clone() };
                madsim::task::spawn(async move {
                    let entry = own.begin(&copy, |_, now| Due::At(now + treatment.after));
                    own.arrive((copy, None), &verdict, treatment.after, &outlet, entry).await;
                });
            }
            Some((Mistreatment::Forge, _)) => {
                if let Some(forged) = self.server.links.lie(self.from, self.to, &message, verdict.hash) {
                    let entry = self.begin(&forged, Links::by_latency);
                    self.arrive((forged, None), &verdict, Duration::ZERO, &outlet, entry).await;
                }
            }
            // As late as can be: after the fault.
            Some((Mistreatment::Hang, treatment)) => self.server.links.over(treatment.fault).await,
            None => {}
        }
        self.arrive((message, kept), &verdict, late, &outlet, entry).await;
    }

    fn is_process(&self, node: NodeIndex) -> bool {
        self.server.nodes.is_process(node)
    }

    /// The message is on its way, if that is looked at.
    fn begin(&self, message: &BoxMessage, due: impl FnOnce(&Links, Duration) -> Due) -> Option<Entry> {
        self.server.links.begin((self.from, self.to), |links| links.words(message), due)
    }

    /// The stream ends.
    async fn fail(&self, tx: &Sender, status: Status) {
        if !self.is_process(self.to) {
            self.server.links.network().broke();
            self.server.links.attempts.told(self.to, self.from, now(), false, refusal(&status));
        }
        let last: Result<BoxMessage, Status> = Err(status);
        let _ = tx.send(Box::new(last)).await;
    }

    /// A message of a client, or for one, is kept: as one that is lost, until it arrives.
    fn keep(&self, message: &BoxMessage) -> Option<MessageIndex> {
        let (links, from, to) = (&self.server.links, self.from, self.to);
        let is_client = |node| !self.is_process(node);
        if is_client(from) {
            links.attempts.asked(from, to, now());
        }
        let kept = || client_message((from, to), links.words(message), now(), true);
        (is_client(from) || is_client(to)).then(|| links.keep(kept)).flatten()
    }

    /// The message is left to the network.
    fn lets_go(&self, message: &BoxMessage, kept: Option<MessageIndex>) {
        let (links, from, to) = (&self.server.links, self.from, self.to);
        links.let_go((from, to), |links| links.words(message));
        links.left(kept);
        if !self.is_process(to) {
            let what = (links.own_words)(message).unwrap_or_else(|| "an answer".into());
            links.attempts.told(to, from, now(), true, what);
        }
    }

    async fn arrive(
        &self,
        (message, kept): (BoxMessage, Option<MessageIndex>),
        verdict: &Verdict,
        late: Duration,
        outlet: &Outlet,
        entry: Option<Entry>,
    ) {
        let sent_at = Instant::now();
        match self.server.links.carry_on(self.way(), verdict, late, entry).await {
            Arrival::Arrived => {
                match outlet {
                    Outlet::Peer(_) => self.lets_go(&message, kept),
                    Outlet::Handler(_) => self.server.links.delivered(kept, now()),
                }
                outlet.put(message).await;
            }
            Arrival::Refused => self.broken.notify_one(),
            Arrival::Lost => {
                let goes_mute = (verdict.hash >> 8).is_multiple_of(MUTE_ONE_IN);
                if sent_at.elapsed() >= MUTE_AFTER && goes_mute && !self.mute.swap(true, Ordering::Relaxed) {
                    self.server.links.network().muted();
                }
            }
        }
    }
}
