//! Size limits of the shell. The protocol's own timings and limits are in [`crate::protocol::options`].

use crate::protocol::options::ReplicaOptions;

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

impl Limits {
    /// The largest gRPC message that a server may have to take: operations are gathered up to `append_bytes_max`
    /// and state up to `chunk_bytes_max`, and one more item of the largest size may end either (a compare-and-swap
    /// carries two values). Doubled, because the gathering counts bytes roughly.
    pub fn message_bytes_max(&self, options: &ReplicaOptions) -> usize {
        let gathered = options.append_bytes_max.max(options.chunk_bytes_max);
        let item = self.key_bytes_max + 2 * self.value_bytes_max;
        2 * (gathered + item) + MESSAGE_OVERHEAD_BYTES
    }

    /// Whether these values can work; the error says what to change.
    ///
    /// # Errors
    ///
    /// If a limit is zero or so large that one message could not be sent.
    pub fn validate(&self) -> Result<(), String> {
        if self.key_bytes_max == 0 || self.value_bytes_max == 0 {
            return Err("key-bytes-max and value-bytes-max must be at least 1".into());
        }
        if self.key_bytes_max > 64 << 20 || self.value_bytes_max > 64 << 20 {
            return Err("key-bytes-max and value-bytes-max must not exceed 64 MiB".into());
        }
        Ok(())
    }
}
