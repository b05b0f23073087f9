//! The server with a log in memory, called without a network: the same in the real and the simulated world.

use std::{
    io,
    sync::{Arc, Mutex},
};

use lock::{
    grants::Record,
    log::Log,
    server::LockServer,
    wire::{AcquireRequest, HolderRequest, ReleaseRequest, lock_server::Lock},
};
use tonic::{Code, Request, Status};

/// A log that outlives its server, and whose next append may fail.
#[derive(Clone, Default)]
struct Memory {
    records: Arc<Mutex<Vec<Record>>>,
    fails: bool,
}

impl Log for Memory {
    async fn load(&mut self) -> io::Result<Vec<Record>> {
        Ok(self.records.lock().expect("no panic while locked").clone())
    }

    async fn append(&mut self, record: &Record) -> io::Result<()> {
        if self.fails {
            return Err(io::Error::other("the disk is gone"));
        }
        self.records.lock().expect("no panic while locked").push(record.clone());
        Ok(())
    }
}

async fn open(log: &Memory) -> LockServer {
    let (server, running) = LockServer::open(log.clone()).await.expect("a log that can be read");
    tokio::spawn(async { drop(running.await) });
    server
}

async fn acquire(server: &LockServer, owner: &str, version: u64) -> Result<(bool, u64), Status> {
    let request = AcquireRequest { lock: "a".into(), owner: owner.into(), version };
    let answer = server.acquire(Request::new(request)).await?.into_inner();
    Ok((answer.granted, answer.state.expect("a state").version))
}

async fn release(server: &LockServer, owner: &str, version: u64) -> bool {
    let request = ReleaseRequest { lock: "a".into(), owner: owner.into(), version };
    server.release(Request::new(request)).await.expect("an answer").into_inner().released
}

async fn holder(server: &LockServer) -> Option<String> {
    let request = HolderRequest { lock: "a".into() };
    server.holder(Request::new(request)).await.expect("an answer").into_inner().state.expect("a state").owner
}

#[tokio::test]
async fn a_lock_goes_from_owner_to_owner() {
    let log = Memory::default();
    let server = open(&log).await;
    assert_eq!(acquire(&server, "c1", 0).await.expect("an answer"), (true, 1));
    assert_eq!(acquire(&server, "c1", 0).await.expect("an answer"), (true, 1), "a retry");
    assert_eq!(acquire(&server, "c2", 1).await.expect("an answer"), (false, 1));
    assert!(release(&server, "c1", 1).await && release(&server, "c1", 1).await, "and a retry");
    assert_eq!(acquire(&server, "c1", 0).await.expect("an answer"), (false, 2), "a late copy");
    assert_eq!(acquire(&server, "c2", 2).await.expect("an answer"), (true, 3));
    assert_eq!(log.records.lock().expect("no panic while locked").len(), 3, "retries write nothing");
}

#[tokio::test]
async fn a_restart_keeps_what_was_granted() {
    let log = Memory::default();
    assert_eq!(acquire(&open(&log).await, "c1", 0).await.expect("an answer"), (true, 1));
    let server = open(&log).await;
    assert_eq!(holder(&server).await.as_deref(), Some("c1"));
    assert_eq!(acquire(&server, "c2", 0).await.expect("an answer"), (false, 1));
    assert_eq!(acquire(&server, "c1", 0).await.expect("an answer"), (true, 1), "a retry across the restart");
}

#[tokio::test]
async fn the_first_failure_of_the_log_is_the_last_thing_that_happens() {
    let log = Memory { fails: true, ..Memory::default() };
    let (server, running) = LockServer::open(log).await.expect("a log that can be read");
    let running = tokio::spawn(running);
    assert_eq!(holder(&server).await, None);
    let code = |answer: Result<_, Status>| answer.expect_err("no answer").code();
    assert_eq!(code(acquire(&server, "c1", 0).await), Code::Unavailable);
    let error = running.await.expect("no panic").expect_err("it failed");
    assert_eq!(error.to_string(), "the disk is gone");
    assert_eq!(code(acquire(&server, "c1", 0).await), Code::Unavailable, "and stays failed");
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let server = open(&Memory::default()).await;
    assert_eq!(acquire(&server, "", 0).await.expect_err("no name").code(), Code::InvalidArgument);
}
