//! The client against servers that are slow, deaf or forgetful, on loopback.
#![cfg(not(madsim))]

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use lock::{
    client::{Acquired, CallError, Client, Released},
    grants::Record,
    log::Log,
    server::LockServer,
    wire::{self, lock_server},
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Long enough for everything that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(20);

struct Nothing;

impl Log for Nothing {
    async fn load(&mut self) -> io::Result<Vec<Record>> {
        Ok(Vec::new())
    }

    async fn append(&mut self, _record: &Record) -> io::Result<()> {
        Ok(())
    }
}

/// Executes every request, and loses the answers to the first few changes.
struct Lossy {
    server: LockServer,
    losses: AtomicU32,
}

impl Lossy {
    fn answer<T>(&self, answer: T) -> Result<T, Status> {
        let lost = self.losses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        lost.map_or(Ok(answer), |_| Err(Status::unavailable("the reply was lost")))
    }
}

#[tonic::async_trait]
impl lock_server::Lock for Lossy {
    async fn holder(
        &self,
        request: Request<wire::HolderRequest>,
    ) -> Result<Response<wire::HolderResponse>, Status> {
        self.server.holder(request).await
    }

    async fn acquire(
        &self,
        request: Request<wire::AcquireRequest>,
    ) -> Result<Response<wire::AcquireResponse>, Status> {
        self.answer(self.server.acquire(request).await?)
    }

    async fn release(
        &self,
        request: Request<wire::ReleaseRequest>,
    ) -> Result<Response<wire::ReleaseResponse>, Status> {
        self.answer(self.server.release(request).await?)
    }
}

/// Serves on a free port, and returns the address.
async fn lossy(losses: u32) -> String {
    let (server, running) = LockServer::open(Nothing).await.expect("a log that can be read");
    let service = lock_server::LockServer::new(Lossy { server, losses: AtomicU32::new(losses) });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(running);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
    address
}

#[tokio::test]
async fn lost_answers_are_asked_for_again() {
    let address = lossy(2).await;
    let mut client = Client::new(&address, PATIENCE).expect("an address");
    assert_eq!(client.acquire("a", "c1").await, Ok(Acquired::Granted { version: 1 }));
    let mut other = Client::new(&address, PATIENCE).expect("an address");
    assert_eq!(other.acquire("a", "c2").await, Ok(Acquired::Held { owner: "c1".into() }));
    let address = lossy(1).await;
    let mut client = Client::new(&address, PATIENCE).expect("an address");
    client.acquire("a", "c1").await.expect("granted");
    let held = client.release("a", "c2").await;
    assert_eq!(held, Ok(Released::NotYours { owner: Some("c1".into()) }));
    assert_eq!(client.release("a", "c1").await, Ok(Released::Released));
    assert_eq!(client.release("a", "c1").await, Ok(Released::NotYours { owner: None }));
}

#[tokio::test]
async fn a_change_without_an_answer_is_unknown() {
    let address = lossy(u32::MAX).await;
    let mut client = Client::new(&address, Duration::from_millis(300)).expect("an address");
    let error = client.acquire("a", "c1").await.expect_err("no answer");
    assert_eq!(error, CallError::Unknown("the reply was lost".into()));
    let owner = client.holder("a").await.expect("an answer").owner;
    assert_eq!(owner.as_deref(), Some("c1"), "and in this case it took effect");
}

#[tokio::test]
async fn a_change_that_was_never_sent_is_not_executed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut client = Client::new(&address, Duration::from_millis(300)).expect("an address");
    let deaf = client.acquire("a", "c1").await.expect_err("no answer");
    assert_eq!(deaf, CallError::NotExecuted("no answer in time".into()));
    drop(listener);
    let CallError::NotExecuted(why) = client.acquire("a", "c1").await.expect_err("no server") else {
        panic!()
    };
    assert!(why.contains("refused"), "{why}");
}

#[tokio::test]
async fn a_name_that_is_none_is_not_executed() {
    let mut client = Client::new(&lossy(0).await, PATIENCE).expect("an address");
    let error = client.acquire("", "c1").await.expect_err("no name");
    assert_eq!(error, CallError::NotExecuted("a name cannot be empty".into()));
}
