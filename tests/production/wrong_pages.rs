//! A server that answers scans with anything but what was asked for: the client says so at once, names it,
//! and does nothing on its word. The same server gives other answers that no real cluster gives at will.

use std::{
    future,
    process::Output,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use pbkv::{
    channel,
    process::Listener,
    wire::{
        AppendRequest, CloseSessionRequest, CloseSessionResponse, CompareAndSwapRequest, DataId,
        DeleteRequest, Generation, GetRequest, GetResponse, GetStatusRequest, GetStatusResponse,
        GetViewRequest, GetViewResponse, Member, OpenSessionRequest, OpenSessionResponse, Outcome,
        PingRequest, PingResponse, Position, PutRequest, ScanRequest, ScanResponse, ServerStatus,
        UpdateResponse, View,
        kv_server::{Kv, KvServer},
        open_session_response::{self, Opened},
        outcome::{Deleted, Kind},
        scan_response::Listed,
        server_status::Standing,
        update_response,
        view_service_server::{ViewService, ViewServiceServer},
    },
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, async_trait};

use crate::cluster::{eventually, failed, run, succeeded, testclient};

const GENERATION: Generation = Generation { number: 1, nonce: 1 };

pub type Pages = fn(ScanRequest) -> Result<ScanResponse, Status>;

/// A view service and the primary that it names, at one address.
#[derive(Clone)]
pub struct Fake {
    pub address: String,
    pages: Pages,
    deleted: Arc<Mutex<Vec<Bytes>>>,
    /// Keys of requests that came and are never answered.
    waiting: Arc<Mutex<Vec<Bytes>>>,
    refusals: Arc<AtomicUsize>,
}

impl Fake {
    pub async fn start(pages: Pages) -> Self {
        let listener = Listener::bind("localhost:0").await.expect("a port");
        let port = listener.address().expect("bound").port();
        let fake = Self {
            address: format!("localhost:{port}"),
            pages,
            deleted: Arc::default(),
            waiting: Arc::default(),
            refusals: Arc::default(),
        };
        let router = channel::server().add_service(ViewServiceServer::new(fake.clone()));
        tokio::spawn(listener.serve(router.add_service(KvServer::new(fake.clone()))));
        fake
    }

    /// Runs the client, which does not wait long for what is refused.
    fn testclient(&self, args: &[&str]) -> Output {
        testclient(&[&["--vs", &self.address, "--deadline", "1s"], args].concat())
    }

    pub fn deleted(&self) -> usize {
        self.deleted.lock().expect("no panic").len()
    }

    /// How many pages were refused.
    pub fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Waits until a request for a key has come that is never answered.
    pub async fn has(&self, key: &str) {
        let came = async || self.waiting.lock().expect("no panic").iter().any(|it| *it == key).then_some(());
        eventually(&format!("a request for '{key}'"), came).await;
    }

    async fn never<T>(&self, key: Bytes) -> Result<Response<T>, Status> {
        self.waiting.lock().expect("no panic").push(key);
        future::pending().await
    }
}

#[async_trait]
impl ViewService for Fake {
    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_view(&self, _: Request<GetViewRequest>) -> Result<Response<GetViewResponse>, Status> {
        let data = Some(DataId { boot: 1, nonce: 1 });
        let view = View {
            generation: Some(GENERATION),
            number: 1,
            primary: self.address.clone(),
            primary_boot: 1,
            insync: vec![Member { server: self.address.clone(), data }],
            joining: Vec::new(),
            activated: true,
        };
        Ok(Response::new(GetViewResponse { view: Some(view), replicas: 1, ..Default::default() }))
    }

    /// A joiner, and no primary.
    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let log_end = Some(Position { view: 1, op: 3 });
        let standing = Standing::Joiner.into();
        let server = self.address.clone();
        let joiner = ServerStatus { server, standing, log_end, ..Default::default() };
        Ok(Response::new(GetStatusResponse { servers: vec![joiner], ..Default::default() }))
    }
}

fn refused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented(""))
}

#[async_trait]
impl Kv for Fake {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        self.never(request.into_inner().key).await
    }

    async fn scan(&self, request: Request<ScanRequest>) -> Result<Response<ScanResponse>, Status> {
        let page = (self.pages)(request.into_inner());
        self.refusals.fetch_add(usize::from(page.is_err()), Ordering::Relaxed);
        page.map(Response::new)
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<UpdateResponse>, Status> {
        self.never(request.into_inner().key).await
    }

    async fn append(&self, _: Request<AppendRequest>) -> Result<Response<UpdateResponse>, Status> {
        refused()
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<UpdateResponse>, Status> {
        let key = request.into_inner().key;
        if key == "never" {
            return self.never(key).await;
        }
        self.deleted.lock().expect("no panic").push(key);
        let outcome = Outcome { kind: Some(Kind::Deleted(Deleted { existed: true })), revision: 9 };
        let result = Some(update_response::Result::Executed(outcome));
        Ok(Response::new(UpdateResponse { result }))
    }

    async fn compare_and_swap(
        &self,
        _: Request<CompareAndSwapRequest>,
    ) -> Result<Response<UpdateResponse>, Status> {
        refused()
    }

    async fn open_session(
        &self,
        _: Request<OpenSessionRequest>,
    ) -> Result<Response<OpenSessionResponse>, Status> {
        let ttl_ns = 60_000_000_000;
        let opened = Opened { session: 8, generation: Some(GENERATION), ttl_ns };
        let result = Some(open_session_response::Result::Opened(opened));
        Ok(Response::new(OpenSessionResponse { result }))
    }

    async fn close_session(
        &self,
        _: Request<CloseSessionRequest>,
    ) -> Result<Response<CloseSessionResponse>, Status> {
        Ok(Response::new(CloseSessionResponse { refusal: None, revision: 10 }))
    }
}

pub fn page(keys: &[&'static str], more: bool) -> Result<ScanResponse, Status> {
    let listed = |key: &&'static str| Listed { key: Bytes::from(*key), mod_revision: 1, value: None };
    Ok(ScanResponse { refusal: None, revision: 9, keys: keys.iter().map(listed).collect(), more })
}

#[test]
fn a_page_that_was_not_asked_for_is_an_error_and_nothing_is_done_on_its_word() {
    let cases: [(Pages, &[&str], &str); 5] = [
        (|_| page(&["a", "b", "c"], true), &["keys", "--limit", "2"], "it has 3 keys, and 2 were asked for"),
        (|_| page(&["a", "b"], true), &["count"], "the key \"a\" does not follow \"b\""),
        (
            |_| page(&["other"], false),
            &["delete", "--prefix", "pre/", "--yes"],
            "does not begin with \"pre/\"",
        ),
        (|_| page(&["a"], false), &["keys", "--values"], "the key \"a\" has no value"),
        (|_| page(&[], true), &["count"], "it has no keys, and says that there are more"),
    ];
    run(async {
        for (pages, args, wrong) in cases {
            let fake = Fake::start(pages).await;
            let begun = Instant::now();
            let said = failed(&fake.testclient(&[args, &["--deadline", "1m"]].concat()), 2);
            let expected = format!("error: {} is not what it should be: of its page of keys, ", fake.address);
            assert!(said.starts_with(&expected) && said.contains(wrong), "{args:?}: {said}");
            assert!(begun.elapsed() < Duration::from_secs(30), "{args:?}: it was asked again and again");
            assert_eq!(fake.deleted(), 0);
        }
    });
}

#[test]
fn a_deletion_that_fails_in_the_middle_does_not_say_that_nothing_was_changed() {
    run(async {
        let pages: Pages = |asked| match asked.start_after.is_empty() {
            true => page(&["a", "b"], true),
            false => Err(Status::resource_exhausted("too much to do")),
        };
        let fake = Fake::start(pages).await;
        let delete = ["delete", "--prefix", "", "--yes"];
        let said = failed(&fake.testclient(&delete), 9);
        assert!(said.starts_with("error: deleted 2 keys, then failed: not executed: "), "{said}");
        assert_eq!(fake.deleted(), 2);
        let told = fake.testclient(&[&delete[..], &["--output", "json"]].concat());
        assert_eq!(failed(&told, 9), "");
        let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        assert_eq!((&told["error"], &told["deleted"]), (&json!("not_executed"), &json!(2)));

        // An error before the first key is what it was.
        let fake = Fake::start(|_| Err(Status::resource_exhausted("too much to do"))).await;
        failed(&fake.testclient(&delete), 3);
    });
}

#[test]
fn a_joiner_is_measured_by_a_primary_only() {
    run(async {
        let fake = Fake::start(|_| page(&[], false)).await;
        let view = succeeded(&fake.testclient(&["view"]));
        assert!(view.contains("is joining: at operation 3, last progress"), "{view}");
    });
}
