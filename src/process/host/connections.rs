//! The connections of a listening process: how many, and for how long.
//!
//! A connection that says nothing is closed. HTTP/2 asks silent peers for a sign of life
//! ([`channel::server`](crate::channel::server)), so what stays silent has lost power, was forgotten by a
//! router in between, or never spoke HTTP/2. No keep-alive of TCP is needed beside that, and none would
//! notice the last kind.
//!
//! There are at most [`CONNECTIONS_MAX`] connections, and fewer if the operating system allows fewer open
//! files. A few of these places are kept for other servers and the view service
//! ([`admission`](super::admission)). That there is no room for more is logged when it begins and when it is
//! over. An `accept` that fails is logged and tried again after a pause.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{Stream, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep},
};
use tonic::transport::server::Connected;

use super::admission::{Guest, Places};
use crate::channel::{KEEP_ALIVE_INTERVAL, KEEP_ALIVE_TIMEOUT};

/// Connections at once, at most.
pub const CONNECTIONS_MAX: u64 = 16_384;

/// Open files that are not for clients: logs, the record, connections to other servers.
pub const OPEN_FILES_RESERVED: u64 = 32;

/// When one of so many places is free, a table that was full counts as having room again.
const FREE_SHARE: usize = 8;

/// A new connection that says nothing for so long is closed.
const FIRST_WORD_MAX: Duration = Duration::from_secs(5);

/// And an old one: twice the time in which a peer that lives must have said something.
const SILENCE_MAX: Duration =
    Duration::from_millis(2 * (KEEP_ALIVE_INTERVAL.as_millis() + KEEP_ALIVE_TIMEOUT.as_millis()) as u64);

/// The pause after an `accept` that failed for want of something that takes time to come back.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Raises the limit of open files to what the operating system allows, and returns how many connections fit.
///
/// # Errors
///
/// If fewer files may be open than the process needs for itself.
pub fn room() -> Result<usize, String> {
    let limit = getrlimit(Resource::Nofile);
    // What may not be raised stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < 2 * OPEN_FILES_RESERVED {
        return Err(format!(
            "only {files} files may be open at once, which is not enough: allow at least {} (ulimit -n)",
            2 * OPEN_FILES_RESERVED
        ));
    }
    let room = CONNECTIONS_MAX.min(files - OPEN_FILES_RESERVED);
    Ok(usize::try_from(room).expect("not more than the constant"))
}

/// The connections that a listener accepts, `room` of them at once.
pub fn accept(listener: TcpListener, room: usize) -> impl Stream<Item = io::Result<Connection>> {
    let door = Door { listener, places: Places::new(room), full: false, failing: false };
    stream::unfold(door, |mut door| async move {
        let connection = door.next().await;
        Some((Ok(connection), door))
    })
}

struct Door {
    listener: TcpListener,
    places: Places,
    /// There was no room, that was logged, and there is still hardly any.
    full: bool,
    /// The last `accept` failed, and that was logged.
    failing: bool,
}

impl Door {
    async fn next(&mut self) -> Connection {
        let mut place = self.place().await;
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.failing = false;
                    place.arrive();
                    // Refused by a peer that is gone already; reading will say so.
                    let _ = stream.set_nodelay(true);
                    return Connection::new(stream, place, FIRST_WORD_MAX);
                }
                Err(error) => self.endure(error).await,
            }
        }
    }

    /// An `accept` failed: waits until it is worth while to try again.
    async fn endure(&mut self, error: io::Error) {
        if is_of_one_connection(&error) {
            return;
        }
        if !self.failing {
            self.failing = true;
            tracing::warn!(%error, "cannot accept connections, will keep trying");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    /// Waits until there is room. A table that is full takes each connection that ends for another one at
    /// once: that is one time of want, logged when it begins and when a share of the places is free again.
    async fn place(&mut self) -> Guest {
        let free = self.places.free();
        if free == 0 && !self.full {
            self.full = true;
            tracing::warn!(
                connections = self.places.room,
                "no room for more connections: clients that come now are refused (see ulimit -n)"
            );
        } else if self.full && free > self.places.room / FREE_SHARE {
            self.full = false;
            tracing::info!("there is room for connections again");
        }
        self.places.take().await
    }
}

/// The peer went away before it was accepted: that concerns no other connection.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

/// An accepted connection. Fails when it was silent for too long.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    heard_at: Instant,
    silence_max: Duration,
    /// Looks again after a silence could be too long.
    check: Pin<Box<Sleep>>,
    guest: Guest,
}

impl Connection {
    fn new(stream: TcpStream, guest: Guest, silence_max: Duration) -> Self {
        let check = Box::pin(tokio::time::sleep(silence_max));
        Self { stream, heard_at: Instant::now(), silence_max, check, guest }
    }

    /// When it ends unless something comes.
    fn ends_at(&self) -> Instant {
        let silent = self.heard_at + self.silence_max;
        self.guest.ends_at().map_or(silent, |at| at.min(silent))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.guest.leave();
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let refused = self.guest.ends_at().is_some_and(|at| Instant::now() >= at);
        if refused {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no room for it")));
        }
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            (self.heard_at, self.silence_max) = (Instant::now(), SILENCE_MAX);
            return Poll::Ready(read);
        }
        loop {
            let until = self.ends_at();
            if until < self.check.deadline() {
                self.check.as_mut().reset(until);
            }
            ready!(self.check.as_mut().poll(context));
            if Instant::now() >= until {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "silent for too long")));
            }
            self.check.as_mut().reset(until);
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = Guest;

    fn connect_info(&self) -> Guest {
        self.guest.clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const SILENCE: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_connection_that_says_nothing_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let _silent = TcpStream::connect(address).await.expect("it listens");
        let places = Places::new(1);
        let place = places.take().await;
        let (stream, _) = listener.accept().await.expect("one waits");
        let mut connection = Connection::new(stream, place, SILENCE);
        let begun = Instant::now();
        let error = connection.read_u8().await.expect_err("nothing comes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= SILENCE);
        drop(connection);
        assert_eq!(places.free(), 1);
    }

    #[tokio::test]
    async fn an_accept_that_failed_is_tried_again_after_a_pause() {
        const EMFILE: i32 = 24;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut door = Door { listener, places: Places::new(1), full: false, failing: false };
        let begun = Instant::now();
        door.endure(io::ErrorKind::ConnectionAborted.into()).await;
        assert!(begun.elapsed() < ACCEPT_PAUSE && !door.failing, "that concerns no other connection");
        door.endure(io::Error::from_raw_os_error(EMFILE)).await;
        assert!(begun.elapsed() >= ACCEPT_PAUSE && door.failing);
    }

    #[tokio::test]
    async fn one_that_has_spoken_may_be_silent_for_longer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut caller = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        caller.write_u8(7).await.expect("connected");
        let (stream, _) = listener.accept().await.expect("one waits");
        stream.readable().await.expect("it was written"); // however slow the machine is
        let place = Places::new(1).take().await;
        let mut connection = Connection::new(stream, place, SILENCE);
        assert_eq!(connection.read_u8().await.expect("something came"), 7);
        assert!(tokio::time::timeout(4 * SILENCE, connection.read_u8()).await.is_err());
    }
}
