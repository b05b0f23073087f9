//! Connections to servers, shared by the clients of one process.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tonic::{Status, transport::Channel};

use super::{ClientOptions, call_stream::CallStream};
use crate::{
    channel::{self, Progress},
    clock::{Clock, before},
    process::{self, Watched},
    proto::{self, Malformed},
    protocol::{
        command::{Reply, RequestBody, Scan, Update},
        identity::{Generation, ServerId},
    },
    wire::{
        self, answer, call, kv_client::KvClient, kv_stream_client::KvStreamClient,
        view_service_client::ViewServiceClient,
    },
};

/// Connections kept open. Beyond this, all are closed and those still needed opened again.
const CONNECTIONS_MAX: usize = 16;

/// The connections to a cluster.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Mutex<BTreeMap<ServerId, Arc<Connection>>>,
    /// Of the view service, by its addresses.
    view_services: Mutex<BTreeMap<String, ViewServiceClient<Channel>>>,
    /// One is opened at a time to each server: whoever else needs it waits for it.
    opening: Mutex<BTreeMap<ServerId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Connections {
    /// The connection to a server. Opens one if there is none.
    ///
    /// # Errors
    ///
    /// In words, if it cannot be opened, or not before `until`.
    pub async fn get<C: Clock>(
        &self,
        server: &ServerId,
        clock: &C,
        until: Duration,
        options: &ClientOptions,
    ) -> Result<Arc<Connection>, String> {
        if let Some(connection) = self.usable(server) {
            return Ok(connection);
        }
        let opened = async {
            let opening = self.opening(server);
            let _opening = opening.lock().await;
            if let Some(connection) = self.usable(server) {
                return Ok(connection);
            }
            let connection = Arc::new(Connection::open(server, options).await?);
            let mut open = self.open();
            if open.len() >= CONNECTIONS_MAX {
                open.clear();
            }
            open.insert(server.clone(), connection.clone());
            Ok(connection)
        };
        before(clock, until, opened).await.ok_or("it could not be reached in time")?
    }

    /// Held by whoever opens a connection to a server.
    fn opening(&self, server: &ServerId) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, opening| Arc::strong_count(opening) > 1);
        all.entry(server.clone()).or_default().clone()
    }

    /// A connection failed: no client uses it any more.
    pub fn forget(&self, server: &ServerId, failed: &Arc<Connection>) {
        failed.has_failed.store(true, Ordering::Relaxed);
        let mut open = self.open();
        if open.get(server).is_some_and(|known| Arc::ptr_eq(known, failed)) {
            open.remove(server);
        }
    }

    /// The connection to the view service at an address, which is opened when it is used.
    ///
    /// # Errors
    ///
    /// If that is no address.
    pub fn view_service(&self, address: &str) -> Result<ViewServiceClient<Channel>, String> {
        let mut known = self.view_services();
        if let Some(client) = known.get(address) {
            return Ok(client.clone());
        }
        let client = ViewServiceClient::new(channel::lazy(address)?);
        known.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    /// The view service was not reached there: another connection is opened the next time.
    pub fn forget_view_service(&self, address: &str) {
        self.view_services().remove(address);
    }

    fn view_services(&self) -> MutexGuard<'_, BTreeMap<String, ViewServiceClient<Channel>>> {
        self.view_services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self, server: &ServerId) -> Option<Arc<Connection>> {
        self.open().get(server).filter(|connection| !connection.is_over()).cloned()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<ServerId, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Connection {
    /// For calls that are made alone.
    channel: Channel,
    /// Absent if each call is to be made alone.
    together: Option<CallStream>,
    /// Of the stream.
    progress: Progress,
    has_failed: AtomicBool,
}

/// How a call is made.
pub(super) struct How<'a> {
    /// By a client that knows this generation,
    pub generation: Generation,
    /// with these options,
    pub options: &'a ClientOptions,
    /// and as an RPC of its own, whatever they say.
    pub alone: bool,
}

/// What a call came to.
pub(super) enum Answered {
    /// A reply, unless it makes no sense.
    Reply(Result<Reply, Malformed>),
    /// There is no stream, or the reply is too long for it: the call has to be made again, alone.
    OnlyAlone {
        /// It was executed.
        executed: bool,
    },
}

impl Connection {
    async fn open(server: &ServerId, options: &ClientOptions) -> Result<Self, String> {
        let connected = channel::endpoint(server.as_str())?.connect().await;
        let channel = connected.map_err(|error| channel::cause(&error))?;
        let progress = Progress::default();
        let open = || {
            let watched = process::watch(channel.clone(), progress.clone());
            CallStream::open(KvStreamClient::new(watched), options.together_bytes_max)
        };
        let together = (!options.unary).then(open);
        Ok(Self { channel, together, progress, has_failed: AtomicBool::new(false) })
    }

    /// Whether it takes no more calls.
    pub fn is_over(&self) -> bool {
        let is_over = |stream: &CallStream| stream.is_over() && !stream.is_unknown();
        self.has_failed.load(Ordering::Relaxed) || self.together.as_ref().is_some_and(is_over)
    }

    /// The stream, if the server knows streams.
    fn stream(&self) -> Option<&CallStream> {
        self.together.as_ref().filter(|stream| !stream.is_unknown())
    }

    /// Bytes of answers that arrived so far on the stream, to whomever.
    pub fn arrived(&self) -> u64 {
        self.progress.bytes()
    }

    /// Makes a call. What arrives of an answer to this call alone is counted in `progress`. `unsent` is set
    /// if the future is dropped before anything was sent: then nothing ever will be.
    ///
    /// # Errors
    ///
    /// The status that the call ended with.
    pub async fn ask(
        &self,
        ask: &RequestBody,
        how: &How<'_>,
        progress: &Progress,
        unsent: &AtomicBool,
    ) -> Result<Answered, Status> {
        let client = || {
            KvClient::new(process::watch(self.channel.clone(), progress.clone()))
                .max_decoding_message_size(how.options.message_bytes_max)
        };
        let request = match message(how.generation, ask) {
            Message::Call(request) => request,
            Message::Scan(scan) => {
                let page = client().scan(scan).await?.into_inner();
                return Ok(Answered::Reply(page.try_into()));
            }
        };
        let answer = match self.stream().filter(|_| !how.alone && !how.options.unary) {
            None => alone(client(), request).await?,
            Some(stream) => match stream.call(request, unsent) {
                Err(too_long) => alone(client(), *too_long).await?,
                Ok(calling) => match calling.await {
                    // It was the first to learn that. The next time there is no stream.
                    Err(status) if stream.is_unknown() => {
                        return Ok(Answered::OnlyAlone { executed: !proto::proves_not_executed(&status) });
                    }
                    answer => answer?,
                },
            },
        };
        use RequestBody as Asked;
        Ok(Answered::Reply(match (ask, answer) {
            (_, answer::Result::TooLong(_)) => return Ok(Answered::OnlyAlone { executed: true }),
            (_, answer::Result::Failure(failure)) => return Err(proto::kv::status(failure)),
            (Asked::Get { .. }, answer::Result::Get(answer)) => answer.try_into(),
            (Asked::Update { .. }, answer::Result::Update(answer)) => answer.try_into(),
            (Asked::OpenSession, answer::Result::OpenSession(answer)) => answer.try_into(),
            (Asked::CloseSession { .. }, answer::Result::CloseSession(answer)) => answer.try_into(),
            _ => Err(Malformed("the answer is of another kind than what was asked".into())),
        }))
    }
}

async fn alone(mut client: KvClient<Watched>, request: call::Request) -> Result<answer::Result, Status> {
    use call::Request as Call;
    Ok(match request {
        Call::Get(get) => client.get(get).await?.into_inner().into(),
        Call::Put(put) => client.put(put).await?.into_inner().into(),
        Call::Append(append) => client.append(append).await?.into_inner().into(),
        Call::Delete(delete) => client.delete(delete).await?.into_inner().into(),
        Call::CompareAndSwap(swap) => client.compare_and_swap(swap).await?.into_inner().into(),
        Call::OpenSession(open) => client.open_session(open).await?.into_inner().into(),
        Call::CloseSession(close) => client.close_session(close).await?.into_inner().into(),
    })
}

enum Message {
    Call(call::Request),
    /// Its answer is long, so it is always made alone.
    Scan(wire::ScanRequest),
}

fn message(generation: Generation, ask: &RequestBody) -> Message {
    use call::Request as Call;
    let generation = (generation != Generation::UNKNOWN).then(|| generation.into());
    Message::Call(match ask {
        RequestBody::Scan(scan) => {
            let Scan { prefix, after: start_after, keys_max: limit, values } = scan.clone();
            return Message::Scan(wire::ScanRequest { prefix, start_after, limit, values, generation });
        }
        RequestBody::Get { key } => Call::Get(wire::GetRequest { key: key.clone(), generation }),
        RequestBody::OpenSession => Call::OpenSession(wire::OpenSessionRequest { generation }),
        RequestBody::CloseSession { session } => {
            Call::CloseSession(wire::CloseSessionRequest { session: session.0, generation })
        }
        RequestBody::Update { session, request, update } => {
            let id = Some(wire::RequestId { session: session.0, number: request.0, generation });
            match update.clone() {
                Update::Put { key, value } => Call::Put(wire::PutRequest { id, key, value }),
                Update::Append { key, value, .. } => Call::Append(wire::AppendRequest { id, key, value }),
                Update::Delete { key } => Call::Delete(wire::DeleteRequest { id, key }),
                Update::CompareAndSwap { key, expected, new } => {
                    let (expected, expected_revision) = proto::kv::expected_fields(expected);
                    let swap = wire::CompareAndSwapRequest { id, key, expected, new, expected_revision };
                    Call::CompareAndSwap(swap)
                }
            }
        }
    })
}
