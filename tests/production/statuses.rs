//! What the client makes of statuses: one that proves that nothing was executed (`pbkv-not-executed`), and
//! one that something on the way may have made up, of which nothing follows. The server is made up: it
//! answers each update as it is told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use pbkv::{
    channel,
    client::{Client, ClientError, ClientOptions},
    clock::SystemClock,
    process::Listener,
    proto::not_executed,
    wire::{
        self, DataId, Generation, OpenSessionResponse, Outcome, Refusal, UpdateResponse, View,
        kv_server::{Kv, KvServer},
        open_session_response, outcome, refusal, update_response,
        view_service_server::{ViewService, ViewServiceServer},
    },
};
use tonic::{Request, Response, Status, async_trait};

use crate::cluster::run;

/// What the next update is answered; all further ones are executed.
type Script = Vec<Result<UpdateResponse, Status>>;

/// A view service and its one server.
#[derive(Clone)]
struct MadeUp(Arc<State>);

struct State {
    address: String,
    script: Mutex<VecDeque<Result<UpdateResponse, Status>>>,
    /// The sessions of the updates that arrived.
    seen: Mutex<Vec<u64>>,
    opened: Mutex<u64>,
}

const GENERATION: Generation = Generation { number: 1, nonce: 1 };

impl MadeUp {
    /// Starts it, and a client of it with this deadline.
    async fn start(script: Script, deadline: Duration) -> (Self, Client<SystemClock>) {
        let listener = Listener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.address().expect("it is bound").to_string();
        let state = State {
            address: address.clone(),
            script: Mutex::new(script.into()),
            seen: Mutex::default(),
            opened: Mutex::default(),
        };
        let made_up = Self(Arc::new(state));
        let router = channel::server()
            .add_service(KvServer::new(made_up.clone()))
            .add_service(ViewServiceServer::new(made_up.clone()));
        tokio::spawn(listener.serve(router));
        let options =
            ClientOptions { deadline, pause_min: PAUSE, pause_max: PAUSE, ..ClientOptions::new(address) };
        (made_up, Client::new(options, SystemClock))
    }

    fn update(&self, id: Option<wire::RequestId>) -> Result<Response<UpdateResponse>, Status> {
        self.0.seen.lock().expect("no panic").push(id.expect("every update has one").session);
        let next = self.0.script.lock().expect("no panic").pop_front();
        next.unwrap_or_else(|| Ok(executed())).map(Response::new)
    }

    /// The sessions of the updates that arrived.
    fn seen(&self) -> Vec<u64> {
        self.0.seen.lock().expect("no panic").clone()
    }
}

fn executed() -> UpdateResponse {
    let kind = Some(outcome::Kind::Done(outcome::Done {}));
    UpdateResponse { result: Some(update_response::Result::Executed(Outcome { kind, revision: 9 })) }
}

fn session_expired() -> UpdateResponse {
    let reason = Some(refusal::Reason::SessionExpired(refusal::SessionExpired {}));
    UpdateResponse { result: Some(update_response::Result::Refusal(Refusal { reason })) }
}

#[async_trait]
impl Kv for MadeUp {
    async fn get(&self, _: Request<wire::GetRequest>) -> Result<Response<wire::GetResponse>, Status> {
        let next = self.0.script.lock().expect("no panic").pop_front();
        match next {
            Some(Err(status)) => Err(status),
            _ => Ok(Response::new(wire::GetResponse { revision: 9, ..Default::default() })),
        }
    }

    async fn scan(&self, _: Request<wire::ScanRequest>) -> Result<Response<wire::ScanResponse>, Status> {
        Err(Status::unimplemented("nobody scans"))
    }

    async fn put(&self, put: Request<wire::PutRequest>) -> Result<Response<UpdateResponse>, Status> {
        self.update(put.into_inner().id)
    }

    async fn append(&self, append: Request<wire::AppendRequest>) -> Result<Response<UpdateResponse>, Status> {
        self.update(append.into_inner().id)
    }

    async fn delete(&self, delete: Request<wire::DeleteRequest>) -> Result<Response<UpdateResponse>, Status> {
        self.update(delete.into_inner().id)
    }

    async fn compare_and_swap(
        &self,
        swap: Request<wire::CompareAndSwapRequest>,
    ) -> Result<Response<UpdateResponse>, Status> {
        self.update(swap.into_inner().id)
    }

    async fn open_session(
        &self,
        _: Request<wire::OpenSessionRequest>,
    ) -> Result<Response<OpenSessionResponse>, Status> {
        let mut opened = self.0.opened.lock().expect("no panic");
        *opened += 1;
        let opened = open_session_response::Opened {
            session: *opened,
            generation: Some(GENERATION),
            ttl_ns: 60_000_000_000,
        };
        let result = Some(open_session_response::Result::Opened(opened));
        Ok(Response::new(OpenSessionResponse { result }))
    }

    async fn close_session(
        &self,
        _: Request<wire::CloseSessionRequest>,
    ) -> Result<Response<wire::CloseSessionResponse>, Status> {
        Ok(Response::new(wire::CloseSessionResponse::default()))
    }
}

#[async_trait]
impl ViewService for MadeUp {
    async fn ping(&self, _: Request<wire::PingRequest>) -> Result<Response<wire::PingResponse>, Status> {
        Err(Status::unimplemented("nobody pings"))
    }

    async fn get_view(
        &self,
        _: Request<wire::GetViewRequest>,
    ) -> Result<Response<wire::GetViewResponse>, Status> {
        let server = self.0.address.clone();
        let member = wire::Member { server: server.clone(), data: Some(DataId { boot: 1, nonce: 1 }) };
        let view = View {
            generation: Some(GENERATION),
            number: 1,
            primary: server,
            primary_boot: 1,
            insync: vec![member],
            activated: true,
            ..View::default()
        };
        let view = Some(view);
        Ok(Response::new(wire::GetViewResponse { view, replicas: 1, ..Default::default() }))
    }

    async fn get_status(
        &self,
        _: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        Err(Status::unimplemented("no operator asks"))
    }
}

const LONG: Duration = Duration::from_secs(20);
/// No attempt is under way when this is over, unless one takes longer than what it leaves of a pause: that
/// one would be in doubt.
const SHORT: Duration = Duration::from_millis(2500);
const PAUSE: Duration = Duration::from_millis(1500);

fn busy() -> Status {
    Status::resource_exhausted("busy")
}

#[test]
fn a_refusal_that_proves_itself_leaves_no_doubt() {
    run(async {
        // Tried again, and executed.
        let (made_up, mut client) = MadeUp::start(vec![Err(not_executed(busy()))], LONG).await;
        assert!(client.put("k", "v").await.is_ok());
        assert_eq!(made_up.seen(), [1, 1]);

        // To the end.
        let always = (0..1000).map(|_| Err(not_executed(busy()))).collect();
        let (_made_up, mut client) = MadeUp::start(always, SHORT).await;
        let put = client.put("k", "v").await;
        assert!(matches!(&put, Err(ClientError::NotExecuted { why }) if why.contains("busy")), "{put:?}");

        // In another session.
        let script = vec![Err(not_executed(busy())), Ok(session_expired())];
        let (made_up, mut client) = MadeUp::start(script, LONG).await;
        assert!(client.append("k", "v").await.is_ok());
        assert_eq!(made_up.seen(), [1, 1, 2]);

        // Whatever the request was wrong in.
        let script = vec![Err(not_executed(Status::invalid_argument("wrong")))];
        let (_made_up, mut client) = MadeUp::start(script, LONG).await;
        let put = client.put("k", "v").await;
        assert_eq!(put, Err(ClientError::Invalid("wrong".into())));
    });
}

#[test]
fn a_refusal_that_proves_nothing_leaves_the_update_in_doubt() {
    run(async {
        for status in [busy(), Status::unavailable("gone"), Status::internal("broken")] {
            // To the end.
            let always = (0..1000).map(|_| Err(status.clone())).collect();
            let (_made_up, mut client) = MadeUp::start(always, SHORT).await;
            let put = client.put("k", "v").await;
            assert!(matches!(put, Err(ClientError::Unknown { .. })), "{status:?}: {put:?}");

            // The same request in the same session may be repeated,
            let (made_up, mut client) = MadeUp::start(vec![Err(status.clone())], LONG).await;
            assert!(client.append("k", "v").await.is_ok(), "{status:?}");
            assert_eq!(made_up.seen(), [1, 1], "{status:?}");

            // but not in another one: the first may have been executed before its session ended.
            let script = vec![Err(status.clone()), Ok(session_expired())];
            let (made_up, mut client) = MadeUp::start(script, LONG).await;
            let append = client.append("k", "v").await;
            assert!(matches!(append, Err(ClientError::Unknown { .. })), "{status:?}: {append:?}");
            assert_eq!(made_up.seen(), [1, 1], "{status:?}");

            // A later proof is about its own attempt.
            let script = vec![Err(status.clone()), Err(not_executed(Status::invalid_argument("wrong")))];
            let (_made_up, mut client) = MadeUp::start(script, LONG).await;
            let put = client.put("k", "v").await;
            assert!(matches!(put, Err(ClientError::Unknown { .. })), "{status:?}: {put:?}");
        }
        for status in [Status::invalid_argument("wrong"), Status::out_of_range("too large")] {
            let (_made_up, mut client) = MadeUp::start(vec![Err(status)], LONG).await;
            let put = client.put("k", "v").await;
            assert!(matches!(put, Err(ClientError::Unknown { .. })), "{put:?}");
        }
    });
}

#[test]
fn a_read_is_never_in_doubt() {
    run(async {
        let always = (0..1000).map(|_| Err(busy())).collect();
        let (_made_up, mut client) = MadeUp::start(always, SHORT).await;
        let get = client.get("k").await;
        assert!(matches!(get, Err(ClientError::NotExecuted { .. })), "{get:?}");
        let (_made_up, mut client) = MadeUp::start(vec![Err(Status::out_of_range("too large"))], LONG).await;
        assert_eq!(client.get("k").await, Err(ClientError::Invalid("too large".into())));
    });
}
