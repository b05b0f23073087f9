//! A primary that says that it is busy, and was replaced without knowing it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use pbkv::{
    channel,
    client::{Client, ClientOptions},
    clock::SystemClock,
    process::Listener,
    wire::{
        self,
        kv_server::{Kv, KvServer},
        view_service_client::ViewServiceClient,
        view_service_server::{ViewService, ViewServiceServer},
    },
};
use tonic::{Request, Response, Status, async_trait};

use crate::cluster::{Cluster, run};

/// Has no room for anything, for ever.
#[derive(Clone, Default)]
struct Busy {
    asked: Arc<AtomicU64>,
}

impl Busy {
    fn refuse<T>(&self) -> Result<Response<T>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(Status::resource_exhausted("too many requests are queued at this server"))
    }
}

macro_rules! refuses {
    ($($method:ident($request:ident) -> $response:ident;)*) => {
        #[async_trait]
        impl Kv for Busy {
            $(async fn $method(
                &self,
                _request: Request<wire::$request>,
            ) -> Result<Response<wire::$response>, Status> {
                self.refuse()
            })*
        }
    };
}

refuses! {
    get(GetRequest) -> GetResponse;
    scan(ScanRequest) -> ScanResponse;
    put(PutRequest) -> UpdateResponse;
    append(AppendRequest) -> UpdateResponse;
    delete(DeleteRequest) -> UpdateResponse;
    compare_and_swap(CompareAndSwapRequest) -> UpdateResponse;
    open_session(OpenSessionRequest) -> OpenSessionResponse;
    close_session(CloseSessionRequest) -> CloseSessionResponse;
}

/// Tells first a view with the busy one as the primary, and then what the real view service tells, as the
/// next view.
struct Outdated {
    real: String,
    busy: String,
    asked: AtomicU64,
}

#[async_trait]
impl ViewService for Outdated {
    async fn ping(
        &self,
        _request: Request<wire::PingRequest>,
    ) -> Result<Response<wire::PingResponse>, Status> {
        Err(Status::unimplemented("for servers only"))
    }

    async fn get_view(
        &self,
        request: Request<wire::GetViewRequest>,
    ) -> Result<Response<wire::GetViewResponse>, Status> {
        let mut real = ViewServiceClient::new(channel::lazy(&self.real).expect("an address"));
        let mut answer = real.get_view(request.into_inner()).await?.into_inner();
        if let Some(view) = &mut answer.view {
            match self.asked.fetch_add(1, Ordering::Relaxed) {
                0 => {
                    let primary = std::mem::replace(&mut view.primary, self.busy.clone());
                    for member in view.insync.iter_mut().filter(|member| member.server == primary) {
                        member.server.clone_from(&self.busy);
                    }
                }
                _ => view.number += 1,
            }
        }
        Ok(Response::new(answer))
    }

    async fn get_status(
        &self,
        _request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        Err(Status::unimplemented("for operators only"))
    }
}

/// Serves on a port of its own until the test ends.
async fn serve(router: tonic::transport::server::Router) -> String {
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.address().expect("bound").to_string();
    tokio::spawn(listener.serve(router));
    address
}

#[test]
fn a_client_leaves_a_busy_primary_that_was_replaced() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let primary = cluster.server(&[]);
        cluster.settled(&primary, 0).await;
        let busy = Busy::default();
        let address = serve(channel::server().add_service(KvServer::new(busy.clone()))).await;
        let real = cluster.view_service.address.clone();
        let outdated = Outdated { real, busy: address, asked: AtomicU64::new(0) };
        let address = serve(channel::server().add_service(ViewServiceServer::new(outdated))).await;
        let mut client = Client::new(ClientOptions::new(address), SystemClock);
        client.put("colour", "blue").await.expect("the primary has room");
        let asked = busy.asked.load(Ordering::Relaxed);
        assert!((1..=3).contains(&asked), "the busy one was asked {asked} times");
    });
}
