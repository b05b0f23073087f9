//! The operating system: a runtime, a listening socket, signals. The one place that only the real world has; a binary
//! built for the other world says so and ends.

#[cfg(madsim)]
pub use elsewhere::{Listener, block_on, shutdown};
#[cfg(not(madsim))]
pub use real::{Listener, block_on, shutdown};

#[cfg(not(madsim))]
mod real {
    use std::{future::Future, io};

    use tokio::{
        net::TcpListener,
        signal::unix::{SignalKind, signal},
    };
    use tonic::transport::server::{Router, TcpIncoming};

    /// Runs a future to its end, on all cores.
    ///
    /// # Errors
    ///
    /// If the operating system refuses threads.
    pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
        Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future))
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
            crate::server::channel::check_address(address)?;
            TcpListener::bind(address).await.map(Self).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "cannot listen on {address}: the port is in use. Stop the process that uses it, or choose another with --addr"
                ),
                _ => format!("cannot listen on {address}: {error}. Choose an address of this machine with --addr"),
            })
        }

        /// The port that was bound.
        ///
        /// # Errors
        ///
        /// If the operating system does not tell.
        pub fn port(&self) -> io::Result<u16> {
            Ok(self.0.local_addr()?.port())
        }

        /// Serves until the future is dropped.
        ///
        /// # Errors
        ///
        /// If accepting connections fails for good.
        pub async fn serve(self, router: Router) -> Result<(), String> {
            let incoming = TcpIncoming::from(self.0).with_nodelay(Some(true));
            router.serve_with_incoming(incoming).await.map_err(|error| crate::server::channel::causes(&error))
        }
    }

    /// Resolves when the process is asked to end, and says how.
    pub async fn shutdown() -> &'static str {
        let signal =
            |kind| signal(kind).expect("a runtime with signals, and no signal that cannot be caught");
        let mut terminate = signal(SignalKind::terminate());
        let mut interrupt = signal(SignalKind::interrupt());
        tokio::select! {
            biased;
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(madsim)]
#[allow(missing_docs, clippy::missing_errors_doc, clippy::unused_async)]
mod elsewhere {
    use std::{future, future::Future, io};

    use tonic::transport::server::Router;

    const WHY: &str =
        "this binary was built without an operating system below it; build it without extra RUSTFLAGS";

    pub fn block_on<F: Future>(_future: F) -> io::Result<F::Output> {
        Err(io::Error::new(io::ErrorKind::Unsupported, WHY))
    }

    #[derive(Debug)]
    pub struct Listener(());

    impl Listener {
        pub async fn bind(_address: &str) -> Result<Self, String> {
            Err(WHY.into())
        }

        pub fn port(&self) -> io::Result<u16> {
            Err(io::Error::new(io::ErrorKind::Unsupported, WHY))
        }

        pub async fn serve(self, _router: Router) -> Result<(), String> {
            Err(WHY.into())
        }
    }

    pub async fn shutdown() -> &'static str {
        future::pending().await
    }
}
