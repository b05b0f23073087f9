//! The fault layer before a server that speaks a protocol of its own over madsim's connections.
//!
//! Such a server binds an endpoint and accepts connections itself, where no fault of the testbed strikes it.
//! So it listens at an address of its own node, and the relay listens at that of the process:
//!
//! ```text
//!  client ──network──► relay ──loopback──► server        one node: it crashes and stands still as a whole
//! ```
//!
//! Messages are sealed: any type, carried as it is. What can be done with one unread is done as to gRPC
//! ([`super::serve`]): partitions, closed doors and slowness, and single messages that are late, lost, or
//! hang. Of a lost one its sender sees the end of the connection. What cannot be done is in
//! [`Table::RELAYED`](crate::marks::Table::RELAYED). Within a connection one message is carried at a time, so
//! they keep their order; a mistreatment that concerns answers strikes the next one.
//!
//! Not covered: that a message takes longer the longer it is, and what a message says in the trace's hash.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use madsim::net::{Endpoint, Receiver, Sender};
use tokio::sync::oneshot;

use crate::{
    data::{fault::Mistreatment, node::NodeIndex, nodes::ip},
    hardware::network::{Treatment, Way},
    observer::messages::MessageIndex,
    world::{
        World,
        links::{Arrival, Links, on_the_way},
        now,
        serve::client_message,
        simulated::Simulated,
    },
};

/// How long a relay waits until it looks again whether its server listens.
const LISTEN_PAUSE: Duration = Duration::from_millis(1);

struct Relay<S: Simulated, A> {
    world: Arc<World<S>>,
    node: NodeIndex,
    /// What is awaited before an answer leaves.
    answers: A,
}

/// Relays a node's own address to its server until the node dies.
pub(super) async fn serve<S: Simulated, F: Future<Output = ()> + Send + 'static>(
    world: Arc<World<S>>,
    node: NodeIndex,
    server: SocketAddr,
    answers: impl Fn() -> F + Send + Sync + 'static,
) -> io::Result<()> {
    let inside = Endpoint::connect(server).await?;
    while inside.connect1(server).await.is_err() {
        madsim::time::sleep(LISTEN_PAUSE).await;
    }
    let outside = Endpoint::bind(SocketAddr::from((ip(node), world.nodes.port(node)))).await?;
    let relay = Arc::new(Relay { world, node, answers });
    loop {
        let (tx, rx, peer) = outside.accept1().await?;
        let server = inside.connect1(server).await?;
        madsim::task::spawn(relay.clone().connection((tx, rx), server, peer));
    }
}

impl<S: Simulated, F: Future<Output = ()> + Send + 'static, A: Fn() -> F + Send + Sync + 'static>
    Relay<S, A>
{
    /// One connection; ends when one of its ends does.
    async fn connection(
        self: Arc<Self>,
        (tx, mut rx): (Sender, Receiver),
        (server, mut answers): (Sender, Receiver),
        peer: SocketAddr,
    ) {
        let IpAddr::V4(ip) = peer.ip() else { unreachable!("nodes have addresses of version 4") };
        let peer = self.world.nodes.at(ip).expect("only nodes connect");
        let tx = Arc::new(tx);
        let mut struck = None;
        loop {
            let arrival = tokio::select! {
                biased;
                message = rx.next() => {
                    let Some(Ok(message)) = message else { return };
                    let arrival = self.request(peer, &mut struck).await;
                    if arrival == Arrival::Arrived && server.send(message).await.is_err() {
                        return;
                    }
                    arrival
                }
                answer = answers.next() => {
                    let Some(Ok(answer)) = answer else { return };
                    (self.answers)().await;
                    self.answer(peer, &tx, answer, struck.take()).await
                }
            };
            match arrival {
                Arrival::Arrived => {}
                Arrival::Refused => {
                    let what = "the connection broke".into();
                    return self.world.links.attempts.told(peer, self.node, now(), false, what);
                }
                // A lost message leaves the connection open for as long as this process lasts.
                Arrival::Lost => return tx.closed().await,
            }
        }
    }

    /// A request on its way to the server. What it is struck by may concern the answer.
    async fn request(&self, peer: NodeIndex, struck: &mut Option<Treatment>) -> Arrival {
        let links = &self.world.links;
        let called = self.shown(peer, (peer, self.node), "request", true);
        links.attempts.asked(peer, self.node, now());
        let verdict = links.network().message(peer, self.node);
        *struck = verdict.treatment;
        let entry = links.begin((peer, self.node), |_| "request".into(), Links::by_latency);
        let arrival = links.carry(Way::to(peer, self.node), &verdict, late(*struck, false), entry).await;
        let arrival = match *struck {
            _ if arrival != Arrival::Arrived => arrival,
            Some(Treatment { how: Mistreatment::DropRequest, .. }) => Arrival::Refused,
            Some(Treatment { how: Mistreatment::Hang, variant: false, .. }) => Arrival::Lost,
            _ => Arrival::Arrived,
        };
        if arrival == Arrival::Arrived {
            links.delivered(called, now());
            if !S::HAS_STEPS {
                self.world.observer().heard(now(), self.node, "request", 0);
            }
        }
        arrival
    }

    /// An answer on its way back.
    async fn answer(
        &self,
        peer: NodeIndex,
        tx: &Arc<Sender>,
        answer: madsim::net::Payload,
        struck: Option<Treatment>,
    ) -> Arrival {
        let fate = match struck.map(|treatment| treatment.how) {
            Some(Mistreatment::DropReply) => Arrival::Refused,
            Some(Mistreatment::Hang) => Arrival::Lost,
            _ => Arrival::Arrived,
        };
        self.shown(peer, (self.node, peer), "answer", fate != Arrival::Arrived);
        if fate != Arrival::Arrived {
            return fate;
        }
        let links = self.world.links.clone();
        let verdict = links.network().reply(self.node, peer);
        let (tx, way, late) = (tx.clone(), Way::back(peer, self.node), late(struck, true));
        let (nodes, text) = ((self.node, peer), |_: &Links| "answer".to_owned());
        let entry = links.begin(nodes, text, Links::by_latency);
        let (told, arrival) = oneshot::channel();
        // It arrives even if this process ends first.
        on_the_way(async move {
            let arrival = links.carry_on(way, &verdict, late, entry).await;
            if arrival == Arrival::Arrived {
                links.attempts.told(peer, nodes.0, now(), true, "an answer".into());
                links.let_go(nodes, text);
                // A caller that went away needs no answer.
                let _ = tx.send(answer).await;
            }
            let _ = told.send(arrival);
        });
        arrival.await.unwrap_or(Arrival::Lost)
    }

    /// Keeps a message for the page, if it is a client's.
    fn shown(
        &self,
        peer: NodeIndex,
        way: (NodeIndex, NodeIndex),
        what: &str,
        lost: bool,
    ) -> Option<MessageIndex> {
        let is_client = !self.world.nodes.is_process(peer);
        is_client.then(|| self.world.links.keep(|| client_message(way, what.into(), now(), lost))).flatten()
    }
}

/// How long a message is held back that is struck so: the request, or the answer to it.
fn late(struck: Option<Treatment>, of_answer: bool) -> Duration {
    match struck {
        Some(Treatment { how: Mistreatment::Delay, variant, after, .. }) if variant == of_answer => after,
        _ => Duration::ZERO,
    }
}
