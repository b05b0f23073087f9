//! gRPC connections: addresses, time-outs and what keeps a dead connection from looking alive.

use std::{
    error::Error,
    future, iter, mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tonic::{
    Code, Status,
    transport::{Channel, Endpoint, Server},
};

/// How long opening a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that is silent this long is asked for a sign of life, by either end,
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// and given up if none comes within this time: its other end lost power.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes in flight to one end of a stream and of a connection: more than one largest message by default. Each
/// end sets them for what it receives: servers for requests, appends and state, callers for answers.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// How much has arrived of answers on a connection: tells a slow one from a missing one.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// So many bytes more.
    pub fn note(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lets all that is ready have its turn once: what that has to say travels with what there is to say already.
/// Unlike a yield of the runtime's it does not wait for the operating system.
pub async fn give_way() {
    let mut gave_way = false;
    future::poll_fn(|context| {
        if mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Checks an address of the form `host:port`.
///
/// # Errors
///
/// In words, with an example of a good one.
pub fn check_address(address: &str) -> Result<(), String> {
    let why = match address.rsplit_once(':') {
        None => "it has no port",
        Some(("", _)) => "it has no host",
        Some((_, port)) if port.parse::<u16>().is_err() => "its port is not a number from 0 to 65535",
        Some((host, _)) if host.contains("//") => "it must not start with a scheme",
        Some((host, _)) if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) => {
            "an IPv6 host must stand in brackets"
        }
        Some(_) if format!("http://{address}").parse::<tonic::codegen::http::Uri>().is_err() => {
            "its host is not a name or number"
        }
        Some(_) => return Ok(()),
    };
    Err(format!("'{address}' is not an address: {why} (write host:port, for example localhost:8000)"))
}

/// How to connect to `address`.
///
/// # Errors
///
/// If it is no address.
pub fn endpoint(address: &str) -> Result<Endpoint, String> {
    check_address(address)?;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}

/// How to serve: the other end of [`endpoint`].
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
}

/// A connection that is opened when it is first used, and again whenever it broke.
///
/// # Errors
///
/// If it is no address.
pub fn lazy(address: &str) -> Result<Channel, String> {
    Ok(endpoint(address)?.connect_lazy())
}

/// Why something failed, in one line: its innermost cause. What is around that says only, and more than once,
/// that a connection or a call failed.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    let innermost = chain(error).last().expect("the error itself");
    let text = match innermost.downcast_ref::<Status>() {
        Some(status) if status.message().is_empty() => status.code().to_string(),
        Some(status) => status.message().to_owned(),
        None => innermost.to_string(),
    };
    // What the operating system calls it is enough.
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// What answered instead of the service that was asked, if that is so: asking again is no use.
pub fn impostor(status: &Status) -> Option<&'static str> {
    if status.code() == Code::Unimplemented {
        return Some("another gRPC service");
    }
    let is_garbage = |error: &h2::Error| {
        error.is_library() && error.is_go_away() && error.reason() != Some(h2::Reason::NO_ERROR)
    };
    let garbled = chain(status).filter_map(|error| error.downcast_ref()).any(is_garbage);
    garbled.then_some("something that does not speak gRPC")
}

/// An error and what caused it, from the outside in.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with a cause.
    #[derive(Debug, thiserror::Error)]
    #[error("the connection failed")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_innermost_cause_is_told_and_nothing_around_it() {
        let refused = || std::io::Error::from_raw_os_error(111);
        assert_eq!(cause(&Outer(refused())), "Connection refused");
        let status = Status::from_error(Box::new(Outer(refused())));
        assert_eq!(cause(&status), "Connection refused");
        assert_eq!(cause(&Status::unavailable("going away")), "going away");
        assert_eq!(cause(&Status::aborted("")), Code::Aborted.to_string());
        assert_eq!(impostor(&status), None);
        assert!(impostor(&Status::unimplemented("")).is_some());
    }

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["localhost:8000", "127.0.0.1:0", "db-1.example.com:65535", "[::1]:8000"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in ["", "localhost", ":8000", "localhost:", "a:b", "a:65536", "http://a:1", "::1:80", "a b:1"]
        {
            let error = check_address(bad).expect_err(bad);
            assert!(error.contains("host:port"), "{error}");
        }
    }
}
