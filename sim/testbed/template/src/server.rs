//! The server: takes requests one at a time, and answers when what the answer says is durable.

use std::{collections::BTreeMap, future::Future, io};

use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::wire::{IncrementRequest, ReadRequest, Total, counters_server::Counters};

/// Requests that wait for their turn.
const WAITING_MAX: usize = 1024;

/// What the server needs of a disk. In production that is a file; the simulator has its own.
pub trait Log: Send + 'static {
    /// All records, in the order in which they were appended.
    fn load(&mut self) -> impl Future<Output = io::Result<Vec<Record>>> + Send;

    /// Appends a record; durable on return. After an error the server stops.
    fn append(&mut self, record: &Record) -> impl Future<Output = io::Result<()>> + Send;
}

/// A call that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was incremented,
    pub counter: String,
    /// for which client,
    pub client: String,
    /// by which of its calls,
    pub call: u64,
    /// and what it has come to.
    pub total: u64,
}

/// The gRPC service. Hand it to `wire::counters_server::CountersServer::new`, and that to any server.
pub struct Server(mpsc::Sender<(Ask, oneshot::Sender<u64>)>);

enum Ask {
    Increment(IncrementRequest),
    Read(ReadRequest),
}

/// The log, replayed.
#[derive(Default)]
struct State {
    totals: BTreeMap<String, u64>,
    /// The last call of each client, and its answer.
    last: BTreeMap<String, (u64, u64)>,
}

impl State {
    fn total(&self, counter: &str) -> u64 {
        self.totals.get(counter).copied().unwrap_or_default()
    }

    fn apply(&mut self, record: Record) {
        self.totals.insert(record.counter, record.total);
        self.last.insert(record.client, (record.call, record.total));
    }
}

impl Server {
    /// Replays the log. The service answers as long as the returned future runs, which ends with the first
    /// failure of the log.
    pub async fn open<L: Log>(mut log: L) -> io::Result<(Self, impl Future<Output = io::Result<()>> + Send)> {
        let mut state = State::default();
        log.load().await?.into_iter().for_each(|record| state.apply(record));
        let (calls, waiting) = mpsc::channel(WAITING_MAX);
        Ok((Self(calls), run(log, state, waiting)))
    }

    async fn ask(&self, ask: Ask) -> Result<Response<Total>, Status> {
        let gone = || Status::unavailable("the server is stopping: its log failed");
        let (answer, answered) = oneshot::channel();
        self.0.send((ask, answer)).await.map_err(|_| gone())?;
        let total = answered.await.map_err(|_| gone())?;
        Ok(Response::new(Total { total }))
    }
}

async fn run<L: Log>(
    mut log: L,
    mut state: State,
    mut waiting: mpsc::Receiver<(Ask, oneshot::Sender<u64>)>,
) -> io::Result<()> {
    while let Some((ask, answer)) = waiting.recv().await {
        let total = match ask {
            Ask::Read(ReadRequest { counter }) => state.total(&counter),
            Ask::Increment(IncrementRequest { counter, client, call }) => match state.last.get(&client) {
                // Its answer was lost, or this is a copy that comes late.
                Some((last, total)) if call <= *last => *total,
                _ => {
                    let total = state.total(&counter) + 1;
                    let record = Record { counter, client, call, total };
                    log.append(&record).await?;
                    state.apply(record);
                    total
                }
            },
        };
        // A caller that left will ask again if it has to know.
        let _ = answer.send(total);
    }
    Ok(())
}

#[tonic::async_trait]
impl Counters for Server {
    async fn increment(&self, request: Request<IncrementRequest>) -> Result<Response<Total>, Status> {
        self.ask(Ask::Increment(request.into_inner())).await
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Total>, Status> {
        self.ask(Ask::Read(request.into_inner())).await
    }
}
