//! A server's contact with the view service: pings go out, what comes back goes to the inbox. The machine
//! knows when the contact is lost and when it is back; the log says so once each, with the error, and not on
//! every attempt.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc};

use crate::{
    channel,
    clock::{Clock, before},
    protocol::message::{Ping, PingReply},
    wire::view_service_client::ViewServiceClient,
};

/// Pings that may be on their way at once. More are dropped: the machine pings again on its own time.
const PINGS_IN_FLIGHT_MAX: usize = 4;

/// How long a ping waits for its answer.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// While there is no contact, the log repeats it this often.
const REMINDER_INTERVAL: Duration = Duration::from_secs(30);

/// How a ping ended.
pub type Pinged = Result<PingReply, String>;

/// The contact of one server with the view service.
pub struct Contact<C, I> {
    clock: C,
    inbox: mpsc::Sender<I>,
    view_service: String,
    client: Result<ViewServiceClient<tonic::transport::Channel>, String>,
    in_flight: Arc<Semaphore>,
    state: State,
    /// Why the latest ping failed that did.
    error: String,
}

enum State {
    /// No ping was answered yet.
    Unknown,
    Made,
    Lost {
        reminded_at: Duration,
    },
}

impl<C: Clock, I: From<Pinged> + Send + 'static> Contact<C, I> {
    /// No contact yet. Ends of pings go to `inbox`.
    pub fn new(clock: C, inbox: mpsc::Sender<I>, view_service: String) -> Self {
        Self {
            clock,
            inbox,
            client: channel::lazy(&view_service).map(ViewServiceClient::new),
            view_service,
            in_flight: Arc::new(Semaphore::new(PINGS_IN_FLIGHT_MAX)),
            state: State::Unknown,
            error: "no answer".into(),
        }
    }

    /// Pings, unless too many pings are on their way.
    pub fn ping(&mut self, ping: Ping) {
        let Ok(permit) = self.in_flight.clone().try_acquire_owned() else { return };
        let clock = self.clock.clone();
        let client = self.client.clone();
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let pinged = send(&clock, client, ping).await;
            // Fails only if the server is going away.
            let _ = inbox.send(pinged.into()).await;
        });
    }

    /// Notes how a ping ended and returns its answer.
    pub fn ended(&mut self, now: Duration, pinged: Pinged) -> Option<PingReply> {
        let error = match pinged {
            Ok(reply) => {
                if matches!(self.state, State::Unknown) {
                    self.is_back();
                }
                return Some(reply);
            }
            Err(error) => error,
        };
        // A connection whose other end lost power hangs; a new one finds out, and looks the name up again.
        self.client = channel::lazy(&self.view_service).map(ViewServiceClient::new);
        if let State::Lost { reminded_at } = &mut self.state
            && now >= *reminded_at + REMINDER_INTERVAL
        {
            tracing::warn!(view_service = %self.view_service, %error, "still cannot reach the view service");
            *reminded_at = now;
        }
        self.error = error;
        None
    }

    /// The view service does not answer.
    pub fn is_lost(&mut self, now: Duration) {
        let Self { view_service, error, .. } = self;
        if matches!(self.state, State::Made) {
            tracing::warn!(%view_service, %error, "lost the view service, will keep trying");
        } else {
            tracing::warn!(
                %view_service, %error,
                "cannot reach the view service, will keep trying; is it running, is --vs right?"
            );
        }
        self.state = State::Lost { reminded_at: now };
    }

    /// It answers, for the first time or again.
    pub fn is_back(&mut self) {
        tracing::info!(view_service = %self.view_service, "connected to the view service");
        self.state = State::Made;
    }
}

async fn send<C: Clock>(
    clock: &C,
    client: Result<ViewServiceClient<tonic::transport::Channel>, String>,
    ping: Ping,
) -> Pinged {
    let mut client = client?;
    let answer = before(clock, clock.now() + PING_TIMEOUT, client.ping(crate::wire::PingRequest::from(ping)))
        .await
        .ok_or_else(|| format!("no answer within {PING_TIMEOUT:?}"))?;
    let answer = answer.map_err(|status| match channel::impostor(&status) {
        Some(what) => format!("{what} answers there, not a view service"),
        None => channel::cause(&status),
    })?;
    PingReply::try_from(answer.into_inner()).map_err(|error| error.to_string())
}
