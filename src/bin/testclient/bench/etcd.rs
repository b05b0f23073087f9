//! An etcd server, to compare with. Of its protocol as much as a Put and a linearizable Get need.

use std::time::Duration;

use bytes::Bytes;
use pbkv::{
    channel,
    client::ClientError,
    clock::{Clock, SystemClock, before},
};
use tonic::{Request, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use super::target::Target;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

/// Without a range it is for one key.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

/// One client of an etcd server.
#[derive(Debug)]
pub struct Etcd {
    address: String,
    grpc: Grpc<Channel>,
    deadline: Duration,
}

impl Etcd {
    /// # Errors
    ///
    /// If it is no address.
    pub fn new(address: &str, deadline: Duration) -> Result<Self, String> {
        Ok(Self { address: address.to_owned(), grpc: Grpc::new(channel::lazy(address)?), deadline })
    }

    async fn ask<Q, A>(&mut self, path: &'static str, request: Q) -> Result<A, String>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let until = SystemClock.now() + self.deadline;
        let asked = async {
            self.grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            let path = PathAndQuery::from_static(path);
            self.grpc.unary(Request::new(request), path, ProstCodec::default()).await
        };
        let answered = match before(&SystemClock, until, asked).await {
            Some(answered) => answered.map(tonic::Response::into_inner).map_err(|it| channel::cause(&it)),
            None => Err("no answer in time".into()),
        };
        answered.map_err(|why| format!("{}: {why}", self.address))
    }
}

impl Target for Etcd {
    async fn get(&mut self, key: Bytes) -> Result<bool, ClientError> {
        let answer: Result<RangeResponse, _> = self.ask(RANGE, RangeRequest { key }).await;
        answer.map(|answer| !answer.kvs.is_empty()).map_err(|why| ClientError::NotExecuted { why })
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), ClientError> {
        let answer: Result<PutResponse, _> = self.ask(PUT, PutRequest { key, value }).await;
        answer.map(drop).map_err(|why| ClientError::Unknown { why })
    }
}
