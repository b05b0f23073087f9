//! The client: sends a request again until it is answered or its deadline has passed.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint, Error},
};

use crate::wire::{IncrementRequest, ReadRequest, Total, counters_client::CountersClient};

/// How long one attempt may take, connecting included.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);
/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum Lost {
    /// The request was sent: it may have taken effect, or may yet.
    Unknown(Status),
    /// It was never sent.
    NotExecuted(Status),
}

/// A client. Makes one call at a time.
pub struct Client {
    server: Endpoint,
    name: String,
    calls: u64,
    /// Kept as long as it works.
    connection: Option<CountersClient<Channel>>,
}

impl Client {
    /// A client of the server at `host:port`. No other client may ever have this name.
    pub fn new(server: &str, name: &str) -> Result<Self, Error> {
        let server = Endpoint::from_shared(format!("http://{server}"))?;
        Ok(Self { server, name: name.into(), calls: 0, connection: None })
    }

    /// Adds one and returns the total.
    pub async fn increment(&mut self, counter: &str, deadline: Duration) -> Result<u64, Lost> {
        self.calls += 1;
        let (client, call) = (self.name.clone(), self.calls);
        let request = IncrementRequest { counter: counter.into(), client, call };
        let send = |mut client: CountersClient<_>| {
            let request = request.clone();
            async move { client.increment(request).await }
        };
        self.answered(deadline, send).await
    }

    /// The total.
    pub async fn read(&mut self, counter: &str, deadline: Duration) -> Result<u64, Lost> {
        let request = ReadRequest { counter: counter.into() };
        let send = |mut client: CountersClient<_>| {
            let request = request.clone();
            async move { client.read(request).await }
        };
        self.answered(deadline, send).await
    }

    async fn answered<F: Future<Output = Result<Response<Total>, Status>>>(
        &mut self,
        deadline: Duration,
        send: impl Fn(CountersClient<Channel>) -> F,
    ) -> Result<u64, Lost> {
        let until = Instant::now() + deadline;
        let mut sent = false;
        loop {
            let attempt = async {
                let client = self.connected().await?;
                sent = true;
                send(client).await
            };
            let rest = until.saturating_duration_since(Instant::now());
            let answer = timeout(rest.min(ATTEMPT_MAX), attempt).await;
            let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
            match answer {
                Ok(answer) => return Ok(answer.into_inner().total),
                Err(status) if Instant::now() + PAUSE >= until => {
                    return Err(if sent { Lost::Unknown(status) } else { Lost::NotExecuted(status) });
                }
                Err(_) => self.connection = None,
            }
            sleep(PAUSE).await;
        }
    }

    async fn connected(&mut self) -> Result<CountersClient<Channel>, Status> {
        if let Some(client) = &self.connection {
            return Ok(client.clone());
        }
        let channel = self.server.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(self.connection.insert(CountersClient::new(channel)).clone())
    }
}
