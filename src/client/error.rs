//! Why a call did not succeed, and what is known of what it changed.

use crate::protocol::identity::Generation;

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No answer before the deadline, although the request was sent.
    #[error("fate unknown, it may or may not take effect, now or later: {why}")]
    Unknown {
        /// What was seen last.
        why: String,
    },
    /// Proved: nothing was or will be changed (always so for a read).
    #[error("not executed: {why}")]
    NotExecuted {
        /// What was seen last.
        why: String,
    },
    /// Proved as well, and trying again is no use: all data is lost, and no operator has decided yet how it
    /// goes on.
    #[error("not executed: {why}")]
    NothingLeft {
        /// What was seen last.
        why: String,
    },
    /// The request itself is wrong, or what answers it is not what it should be; repeating it is no use.
    /// Nothing was changed.
    #[error("{0}")]
    Invalid(String),
    /// The append would have made the value longer than allowed; nothing was changed.
    #[error(
        "the value would be longer than {value_bytes_max} bytes (--value-bytes-max of the servers); nothing was changed"
    )]
    ValueTooLarge {
        /// The longest value allowed, in bytes.
        value_bytes_max: u64,
    },
    /// The data this client knew was lost and an operator started a new generation. Reported once; later
    /// calls work on the new generation.
    #[error("all data of earlier generations was lost; generation {} is empty or has new data", generation.number)]
    DataLost {
        /// The generation that is served now.
        generation: Generation,
    },
    /// The view service or a server speaks of a history that did not follow the one this client knows:
    /// another cluster's, or a record was lost. Nothing was changed. This client stays with the history it
    /// knows; a new client takes what it finds.
    #[error(
        "{address} has another history ({found}) than this client knows ({known}): it belongs to another cluster, \
         or the record of the view service was lost or exchanged"
    )]
    OtherHistory {
        /// Who said it.
        address: String,
        /// The generation that this client knows.
        known: Generation,
        /// The one that was found.
        found: Generation,
    },
}
