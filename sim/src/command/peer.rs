//! The peer of the benchmark: remote calls through madsim-tonic and nothing else.

use std::time::{Duration, Instant};

use madsim::runtime::{Handle, Runtime};
use pbkv::wire::{
    GetStatusRequest, GetStatusResponse, GetViewRequest, GetViewResponse, PingRequest, PingResponse,
    view_service_client::ViewServiceClient,
    view_service_server::{ViewService, ViewServiceServer},
};
use tonic::{Request, Response, Status, transport::Server};

/// Answers everything with nothing.
struct Echo;

#[tonic::async_trait]
impl ViewService for Echo {
    async fn ping(&self, _: Request<PingRequest>) -> Result<Response<PingResponse>, Status> {
        Ok(Response::new(PingResponse::default()))
    }

    async fn get_view(&self, _: Request<GetViewRequest>) -> Result<Response<GetViewResponse>, Status> {
        Ok(Response::new(GetViewResponse::default()))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(GetStatusResponse::default()))
    }
}

/// The wall time of so many calls, one after the other.
pub fn calls(count: u64) -> Duration {
    // Inside a simulation every clock is virtual.
    let began = Instant::now();
    let thread = std::thread::spawn(move || {
        let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
        runtime.block_on(async move {
            let handle = Handle::current();
            let server =
                handle.create_node().name("echo").ip("10.1.0.1".parse().expect("an address")).build();
            server.spawn(async {
                let address = "10.1.0.1:8000".parse().expect("an address");
                Server::builder().add_service(ViewServiceServer::new(Echo)).serve(address).await
            });
            let client =
                handle.create_node().name("caller").ip("10.1.0.2".parse().expect("an address")).build();
            let calls = client.spawn(async move {
                madsim::time::sleep(Duration::from_secs(1)).await;
                let mut client = ViewServiceClient::connect("http://10.1.0.1:8000").await?;
                for _ in 0..count {
                    client.get_view(GetViewRequest {}).await?;
                }
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            });
            calls.await.expect("the caller does not panic").expect("the echo answers");
        });
    });
    thread.join().expect("the peer does not panic");
    began.elapsed()
}
