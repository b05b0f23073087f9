//! What is measured: a store with keys and values, asked by one client at a time.

use std::future::Future;

use bytes::Bytes;
use pbkv::{
    client::{Client, ClientError},
    clock::SystemClock,
};

/// One client of the store that is measured, with a connection of its own.
pub trait Target: Send + 'static {
    /// Whether the key was there.
    fn get(&mut self, key: Bytes) -> impl Future<Output = Result<bool, ClientError>> + Send;

    /// Sets a key.
    fn put(&mut self, key: Bytes, value: Bytes) -> impl Future<Output = Result<(), ClientError>> + Send;

    /// Gives back what the store holds for this client.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}

impl Target for Client<SystemClock> {
    async fn get(&mut self, key: Bytes) -> Result<bool, ClientError> {
        Ok(Client::get(self, key).await?.is_some())
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), ClientError> {
        Client::put(self, key, value).await.map(drop)
    }

    async fn close(mut self) {
        let _ = Client::close(&mut self).await; // its session would end by itself
    }
}
