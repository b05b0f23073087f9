//! The server: takes requests one at a time, and answers when what the answer says is durable.

use std::{future::Future, io};

use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::{
    grants::{Decision, Grants, Lock, check_name},
    log::Log,
    wire,
};

/// Requests that wait for their turn. Beyond that, a connection waits to hand over its request.
const WAITING_MAX: usize = 1024;

/// The gRPC service `Lock`. Hand it to `wire::lock_server::LockServer::new`, and that to any server.
#[derive(Clone, Debug)]
pub struct LockServer {
    calls: mpsc::Sender<Call>,
}

#[derive(Debug)]
enum Ask {
    Holder,
    Acquire { owner: String, version: u64 },
    Release { owner: String, version: u64 },
}

#[derive(Debug)]
struct Call {
    lock: String,
    ask: Ask,
    answer: oneshot::Sender<Answer>,
}

/// Whether the answer is yes, and the lock after it.
type Answer = (bool, Lock);

impl LockServer {
    /// Replays the log. The service answers as long as the returned future runs; that one ends with the first
    /// failure of the log, after which nothing is answered, or when the last copy of the service is dropped.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub async fn open<L: Log>(mut log: L) -> io::Result<(Self, impl Future<Output = io::Result<()>> + Send)> {
        let mut grants = Grants::default();
        log.load().await?.iter().for_each(|record| grants.apply(record));
        let (calls, waiting) = mpsc::channel(WAITING_MAX);
        Ok((Self { calls }, run(log, grants, waiting)))
    }

    async fn ask(&self, lock: String, ask: Ask) -> Result<Answer, Status> {
        if let Ask::Acquire { owner, .. } | Ask::Release { owner, .. } = &ask {
            check_name(owner).map_err(Status::invalid_argument)?;
        }
        check_name(&lock).map_err(Status::invalid_argument)?;
        let (answer, answered) = oneshot::channel();
        let gone = || Status::unavailable("the server is stopping: its log failed");
        self.calls.send(Call { lock, ask, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

async fn run<L: Log>(mut log: L, mut grants: Grants, mut waiting: mpsc::Receiver<Call>) -> io::Result<()> {
    while let Some(Call { lock, ask, answer }) = waiting.recv().await {
        let decision = match &ask {
            Ask::Holder => Decision::Done,
            Ask::Acquire { owner, version } => grants.acquire(&lock, owner, *version),
            Ask::Release { owner, version } => grants.release(&lock, owner, *version),
        };
        if let Decision::Write(record) = &decision {
            log.append(record).await?;
            grants.apply(record);
        }
        // A caller that left will ask again if it has to know.
        let _ = answer.send((decision != Decision::Refused, grants.lock(&lock)));
    }
    Ok(())
}

impl From<Lock> for wire::State {
    fn from(Lock { owner, version }: Lock) -> Self {
        Self { owner, version }
    }
}

#[tonic::async_trait]
impl wire::lock_server::Lock for LockServer {
    async fn holder(
        &self,
        request: Request<wire::HolderRequest>,
    ) -> Result<Response<wire::HolderResponse>, Status> {
        let wire::HolderRequest { lock } = request.into_inner();
        let (_, state) = self.ask(lock, Ask::Holder).await?;
        Ok(Response::new(wire::HolderResponse { state: Some(state.into()) }))
    }

    async fn acquire(
        &self,
        request: Request<wire::AcquireRequest>,
    ) -> Result<Response<wire::AcquireResponse>, Status> {
        let wire::AcquireRequest { lock, owner, version } = request.into_inner();
        let (granted, state) = self.ask(lock, Ask::Acquire { owner, version }).await?;
        Ok(Response::new(wire::AcquireResponse { granted, state: Some(state.into()) }))
    }

    async fn release(
        &self,
        request: Request<wire::ReleaseRequest>,
    ) -> Result<Response<wire::ReleaseResponse>, Status> {
        let wire::ReleaseRequest { lock, owner, version } = request.into_inner();
        let (released, state) = self.ask(lock, Ask::Release { owner, version }).await?;
        Ok(Response::new(wire::ReleaseResponse { released, state: Some(state.into()) }))
    }
}
