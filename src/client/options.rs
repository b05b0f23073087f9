//! What a client may be told.

use std::time::Duration;

use crate::{
    channel,
    options::TOGETHER_BYTES_MAX,
    protocol::options::{SPAN_MAX, SPAN_MIN, check_count, check_span},
};

/// Addresses that a view service may have.
const ADDRESSES_MAX: u64 = 16;

/// What a client may be told.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Addresses of the view service, `host:port`, at least one. They are tried one after another when one is
    /// not reached.
    pub view_service: Vec<String>,
    /// How long a call goes on trying.
    pub deadline: Duration,
    /// How long one attempt waits for its answer, besides the time that its bytes need. While the answer to a
    /// call that is made alone is arriving, however large it is, it waits for the next of it as long; on a
    /// stream, on which answers to others arrive, once more as long.
    pub attempt_timeout: Duration,
    /// The pause before the next attempt: this after the first failure, doubled by each further one,
    pub pause_min: Duration,
    /// up to this.
    pub pause_max: Duration,
    /// The largest answer taken, in bytes. An update whose answer is larger has an unknown fate.
    pub message_bytes_max: usize,
    /// Bytes of calls that travel together, at most [`TOGETHER_BYTES_MAX`]; a longer call travels alone.
    pub together_bytes_max: usize,
    /// Makes each call alone, as an RPC of its own, which any gRPC client can do.
    pub unary: bool,
}

impl ClientOptions {
    /// The defaults, for the cluster of this view service.
    pub fn new(view_service: impl Into<String>) -> Self {
        Self {
            view_service: vec![view_service.into()],
            deadline: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(1),
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_millis(200),
            message_bytes_max: 256 << 20,
            together_bytes_max: TOGETHER_BYTES_MAX,
            unary: false,
        }
    }

    /// Whether these values can work together; the error says what to change.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn validate(&self) -> Result<(), String> {
        check_count("vs", self.view_service.len() as u64, 1, ADDRESSES_MAX)?;
        self.view_service.iter().try_for_each(|address| channel::check_address(address))?;
        check_span("deadline", self.deadline, SPAN_MIN, SPAN_MAX)?;
        check_span("attempt-timeout", self.attempt_timeout, SPAN_MIN, SPAN_MAX)?;
        check_span("pause-min", self.pause_min, SPAN_MIN, SPAN_MAX)?;
        check_span("pause-max", self.pause_max, self.pause_min, SPAN_MAX)?;
        check_count("together-bytes-max", self.together_bytes_max as u64, 0, TOGETHER_BYTES_MAX as u64)?;
        check_count("message-bytes-max", self.message_bytes_max as u64, 1, u32::MAX.into())
    }
}
