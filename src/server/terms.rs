//! What both ends of a stream must agree on, said when it is opened.
//!
//! A server that cannot take what a primary may send would break the stream at the first such message, and again each time
//! it is repeated, long after the cause. So the primary says with the call what it may send, and a server that
//! cannot take it refuses the call, with both values.
//!
//! What both can live with is told, too, and warned of: sessions live as long as the primary said that opened them, and
//! would live longer or shorter after a fail-over.

use std::{str::FromStr, time::Duration};

use tonic::{Status, metadata::MetadataMap};

/// The language of the streams. Raised with each message that an older server could not read.
const VERSION: u32 = 1;

const VERSION_KEY: &str = "pbkv-stream-version";
const BYTES_KEY: &str = "pbkv-message-bytes-max";
const SESSION_TTL_KEY: &str = "pbkv-session-ttl-ns";

/// What one server may send and must be able to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    version: u32,
    /// The largest message.
    message_bytes_max: usize,
    /// How long the sessions live that this server opens as primary.
    session_ttl: Duration,
}

impl Terms {
    /// The terms of this program, with this largest message and this lifetime of sessions.
    pub fn new(message_bytes_max: usize, session_ttl: Duration) -> Self {
        Self { version: VERSION, message_bytes_max, session_ttl }
    }

    /// The largest message.
    pub fn message_bytes_max(self) -> usize {
        self.message_bytes_max
    }

    /// Says them with a call.
    pub fn tell(self, metadata: &mut MetadataMap) {
        metadata.insert(VERSION_KEY, self.version.into());
        metadata.insert(BYTES_KEY, self.message_bytes_max.into());
        metadata.insert(SESSION_TTL_KEY, (self.session_ttl.as_nanos() as u64).into());
    }

    /// Whether this server can take what the caller may send.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` with both values.
    pub fn accept(self, metadata: &MetadataMap) -> Result<(), Status> {
        let version: u32 = told(metadata, VERSION_KEY)?;
        if version > self.version {
            return Err(Status::failed_precondition(format!(
                "this server understands streams of version {}, not {version}: it runs an older program than the \
                 primary; update it",
                self.version
            )));
        }
        let bytes: usize = told(metadata, BYTES_KEY)?;
        if bytes > self.message_bytes_max {
            return Err(Status::failed_precondition(format!(
                "this server takes messages of up to {} bytes, the primary may send {bytes}: give this server the \
                 --key-bytes-max, --value-bytes-max, --append-bytes-max and --chunk-bytes-max of the primary",
                self.message_bytes_max
            )));
        }
        Ok(())
    }

    /// How long the caller's sessions live, if those of this server would live for another time.
    pub fn other_session_ttl(self, metadata: &MetadataMap) -> Option<Duration> {
        let theirs = Duration::from_nanos(told(metadata, SESSION_TTL_KEY).ok()?);
        (theirs != self.session_ttl).then_some(theirs)
    }

    /// How long the sessions live that this server opens as primary.
    pub fn session_ttl(self) -> Duration {
        self.session_ttl
    }
}

fn told<T: FromStr>(metadata: &MetadataMap, key: &'static str) -> Result<T, Status> {
    let value = metadata.get(key).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    value.ok_or_else(|| Status::failed_precondition(format!("the caller does not say its {key}; update it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_taken_is_refused_with_both_values() {
        let told = |terms: Terms| {
            let mut metadata = MetadataMap::new();
            terms.tell(&mut metadata);
            metadata
        };
        let ttl = Duration::from_secs(60);
        let own = Terms::new(1000, ttl);
        assert!(own.accept(&told(own)).is_ok());
        assert!(own.accept(&told(Terms::new(999, ttl))).is_ok());
        let larger = own.accept(&told(Terms::new(1001, ttl))).expect_err("too large");
        assert!(larger.message().contains("1000") && larger.message().contains("1001"), "{larger}");
        let newer = own.accept(&told(Terms { version: VERSION + 1, ..own })).expect_err("too new");
        assert!(newer.message().contains("older program"), "{newer}");
        assert!(own.accept(&MetadataMap::new()).is_err());
    }

    #[test]
    fn sessions_that_would_live_for_another_time_are_noticed() {
        let mut metadata = MetadataMap::new();
        Terms::new(1000, Duration::from_secs(60)).tell(&mut metadata);
        let other = |seconds| {
            let own = Terms::new(1000, Duration::from_secs(seconds));
            assert!(own.accept(&metadata).is_ok(), "it is no reason to refuse");
            own.other_session_ttl(&metadata)
        };
        assert_eq!(other(60), None);
        assert_eq!(other(2), Some(Duration::from_secs(60)));
        let own = Terms::new(1000, Duration::from_secs(60));
        assert_eq!(own.other_session_ttl(&MetadataMap::new()), None, "an older program does not say");
    }
}
