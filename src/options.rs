//! Size limits of the shell. The protocol's own timings and limits are in [`crate::protocol::options`].

use std::time::Duration;

use crate::protocol::{
    command::PAGE_BYTES_MAX,
    options::{ReplicaOptions, VALUE_BYTES_MAX, check_count, written},
};

/// What a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest key, in bytes.
    pub key_bytes_max: usize,
    /// The longest value, in bytes: of a put, of what an append adds and of what it builds.
    pub value_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { key_bytes_max: 4 << 10, value_bytes_max: 1 << 20 }
    }
}

/// What the largest message may cost beyond keys and values: field tags, numbers, names.
const MESSAGE_OVERHEAD_BYTES: usize = 64 << 10;

/// So many bytes of calls of a client, and of answers to it, travel together on its stream. What is longer
/// travels alone.
pub const TOGETHER_BYTES_MAX: usize = 32 << 10;

/// The longest message on such a stream that a server takes: what travels together, and its frame. No longer,
/// because a call of two bytes occupies a hundred times as much.
pub const STREAM_MESSAGE_BYTES_MAX: usize = 2 * TOGETHER_BYTES_MAX;

/// Servers whose connection is slower than this, in bytes a second, cannot replicate to each other.
const LINK_BYTES_PER_SECOND_MIN: u64 = 16 << 20;

impl Limits {
    /// The largest gRPC message that a server may have to take: operations are gathered up to
    /// `append_bytes_max` and state up to `chunk_bytes_max`, and one more item of the largest size may end
    /// either (a compare-and-swap carries two values). Doubled, because the gathering counts bytes roughly.
    pub fn message_bytes_max(&self, options: &ReplicaOptions) -> usize {
        let gathered = options.append_bytes_max.max(options.chunk_bytes_max);
        let item = self.key_bytes_max + 2 * self.value_bytes_max;
        2 * (gathered + item) + MESSAGE_OVERHEAD_BYTES
    }

    /// The largest answer to a client: a value, or a page of keys. What a page may hold does not follow from
    /// any option.
    pub fn answer_bytes_max(&self, options: &ReplicaOptions) -> usize {
        self.message_bytes_max(options).max(PAGE_BYTES_MAX + MESSAGE_OVERHEAD_BYTES)
    }

    /// Whether these values can work, among themselves and with the protocol's; the error says what to
    /// change.
    ///
    /// # Errors
    ///
    /// If a limit is zero or so large that one message could not be sent, or not before its receiver is
    /// suspected.
    pub fn validate(&self, options: &ReplicaOptions) -> Result<(), String> {
        check_count("key-bytes-max", self.key_bytes_max as u64, 1, VALUE_BYTES_MAX)?;
        check_count("value-bytes-max", self.value_bytes_max as u64, 1, VALUE_BYTES_MAX)?;
        let item = (self.key_bytes_max + 2 * self.value_bytes_max) as u64;
        let travels = Duration::from_micros(item * 1_000_000 / LINK_BYTES_PER_SECOND_MIN);
        if options.suspect_after < travels {
            return Err(format!(
                "suspect-after ({}) must be at least {}: a replica may need so long to receive one operation \
                 with --value-bytes-max {}",
                written(options.suspect_after),
                written(travels),
                self.value_bytes_max
            ));
        }
        Ok(())
    }
}
