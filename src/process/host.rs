//! The operating system: a runtime, a listening socket, signals, the frames of an answer. The one place that
//! only the real world has; a binary built for the other world says so and ends.

#[cfg(not(madsim))]
mod admission;
#[cfg(not(madsim))]
mod connections;

#[cfg(madsim)]
pub use elsewhere::{
    Interrupts, Listener, Watched, aside, block_on, guarded, is_refused, mark_refusals, watch,
};
#[cfg(not(madsim))]
pub use real::{Interrupts, Listener, Watched, aside, block_on, guarded, is_refused, mark_refusals, watch};

#[cfg(not(madsim))]
mod real {
    use std::{future::Future, io, net::SocketAddr};

    use http_body_util::BodyExt;
    use tokio::{net::TcpListener, signal::unix};
    use tonic::{
        Code, Status,
        body::Body,
        codegen::http::{HeaderValue, Request, Response},
        service::{LayerExt, Layered},
        transport::{Channel, Error, server::Router},
    };
    use tower::util::{BoxCloneSyncService, MapResponse, MapResponseLayer};

    use super::{admission::Guarded, connections};
    use crate::{
        channel::{self, Progress},
        process::signals::Signal,
        proto::NOT_EXECUTED,
    };

    /// Runs a future to its end, on all cores. What may block and is not done by then is left to end with the
    /// process.
    ///
    /// # Errors
    ///
    /// If the operating system refuses threads.
    pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let output = runtime.block_on(async {
            // A file that may not grow is an error of whoever writes it, and no reason to die without a word.
            let too_long = unix::SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
            let _too_long = unix::signal(too_long)?;
            io::Result::Ok(future.await)
        })?;
        runtime.shutdown_background();
        Ok(output)
    }

    /// Does what may block, on a thread of its own, which goes on if this future is dropped.
    pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            // The process ends.
            Err(error) if error.is_cancelled() => std::future::pending().await,
            Err(error) => panic!("{error}"),
        }
    }

    /// A bound socket.
    #[derive(Debug)]
    pub struct Listener(TcpListener);

    impl Listener {
        /// Binds `address` (`host:port`; port 0 for any that is free).
        ///
        /// # Errors
        ///
        /// In a sentence that says what to do.
        pub async fn bind(address: &str) -> Result<Self, String> {
            channel::check_address(address)?;
            TcpListener::bind(address).await.map(Self).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "cannot listen on {address}: the port is in use. Stop the process that uses it, or choose another with --addr"
                ),
                _ => format!("cannot listen on {address}: {error}. Choose an address of this machine with --addr"),
            })
        }

        /// What was bound.
        ///
        /// # Errors
        ///
        /// If the operating system does not tell.
        pub fn address(&self) -> io::Result<SocketAddr> {
            self.0.local_addr()
        }

        /// Serves until the future is dropped.
        ///
        /// # Errors
        ///
        /// If the operating system allows too few open files.
        pub async fn serve(self, router: Router) -> Result<(), String> {
            let incoming = connections::accept(self.0, connections::room()?);
            router.serve_with_incoming(incoming).await.map_err(|error| channel::cause(&error))
        }
    }

    type Mark = fn(Response<Body>) -> Response<Body>;

    /// A service whose refusals of messages that are too large are marked as what they are: nothing was
    /// executed. gRPC refuses them before the service sees them. An answer that is too large to be sent has
    /// the same code, but in the trailers, after the service was called.
    pub fn mark_refusals<S>(service: S) -> Layered<MapResponse<S, Mark>, S> {
        let mark: Mark = |mut response| {
            let too_large = HeaderValue::from(Code::OutOfRange as i32);
            if response.headers().get("grpc-status") == Some(&too_large) {
                response.headers_mut().insert(NOT_EXECUTED, HeaderValue::from_static("1"));
            }
            response
        };
        MapResponseLayer::new(mark).named_layer(service)
    }

    /// A connection whose answers are watched.
    pub type Watched = BoxCloneSyncService<Request<Body>, Response<Body>, Error>;

    /// What arrives of the answers on `channel` is counted in `progress`.
    pub fn watch(channel: Channel, progress: Progress) -> Watched {
        BoxCloneSyncService::new(MapResponse::new(channel, move |response: Response<Body>| {
            response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    progress.note(frame.data_ref().map_or(0, |data| data.len()));
                    frame
                }))
            })
        }))
    }

    /// Whether a connection was refused: nobody listens at the address that was called.
    pub fn is_refused(status: &Status) -> bool {
        let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        channel::chain(status).filter_map(|error| error.downcast_ref()).any(refused)
    }

    /// A service that refuses clients for whose connections there is no room.
    pub fn guarded<S>(service: S) -> Guarded<S> {
        Guarded(service)
    }

    /// The signals of the operating system that ask this process to end.
    #[derive(Debug)]
    pub struct Interrupts {
        interrupt: unix::Signal,
        terminate: unix::Signal,
    }

    impl Interrupts {
        /// From now on they do not end the process by themselves any more.
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            let signal = |kind| {
                unix::signal(kind).expect("a runtime with signals, and no signal that cannot be caught")
            };
            Self {
                interrupt: signal(unix::SignalKind::interrupt()),
                terminate: signal(unix::SignalKind::terminate()),
            }
        }

        /// The next one.
        pub async fn next(&mut self) -> Signal {
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => Signal::Interrupt,
                _ = self.terminate.recv() => Signal::Terminate,
            }
        }
    }
}

#[cfg(madsim)]
#[allow(missing_docs, clippy::missing_errors_doc, clippy::unused_async)]
mod elsewhere {
    use std::{future, future::Future, io, net::SocketAddr};

    use tonic::{
        Status,
        transport::{Channel, server::Router},
    };

    use crate::{channel::Progress, process::signals::Signal};

    const WHY: &str =
        "this binary was built without an operating system below it; build it without extra RUSTFLAGS";

    pub fn block_on<F: Future>(_future: F) -> io::Result<F::Output> {
        Err(io::Error::new(io::ErrorKind::Unsupported, WHY))
    }

    pub async fn aside<T>(work: impl FnOnce() -> T) -> T {
        work()
    }

    pub fn mark_refusals<S>(service: S) -> S {
        service
    }

    pub type Watched = Channel;

    /// Messages arrive whole: there is nothing to count.
    pub fn watch(channel: Channel, _progress: Progress) -> Watched {
        channel
    }

    /// What is said where nobody listens, by madsim and by a partition that refuses: there is no error below
    /// the status.
    const REFUSED: [&str; 2] = ["transport error", "connection refused"];

    pub fn is_refused(status: &Status) -> bool {
        REFUSED.contains(&status.message())
    }

    pub fn guarded<S>(service: S) -> S {
        service
    }

    #[derive(Debug)]
    pub struct Listener(());

    impl Listener {
        pub async fn bind(_address: &str) -> Result<Self, String> {
            Err(WHY.into())
        }

        pub fn address(&self) -> io::Result<SocketAddr> {
            Err(io::Error::new(io::ErrorKind::Unsupported, WHY))
        }

        pub async fn serve(self, _router: Router) -> Result<(), String> {
            Err(WHY.into())
        }
    }

    #[derive(Debug)]
    pub struct Interrupts(());

    impl Interrupts {
        #[allow(clippy::new_without_default)]
        pub fn new() -> Self {
            Self(())
        }

        pub async fn next(&mut self) -> Signal {
            future::pending().await
        }
    }
}
