//! What both ends of a stream must agree on, said when it is opened.
//!
//! A server that cannot take what a primary may send would break the stream at the first such message, and
//! again each time it is repeated, long after the cause. So the primary says with the call what it may send,
//! and a server that cannot take it refuses the call, with both values.
//!
//! What both can live with is told, too, and warned of: it shows itself only after a fail-over, when the
//! receiver is primary. Limits that are larger here would have the others refuse this server's streams,
//! sessions would live for another time, and updates would need another number of copies.

use std::{fmt::Debug, str::FromStr, time::Duration};

use tonic::{Status, metadata::MetadataMap};

use crate::{options::Limits, protocol::options::ReplicaOptions};

/// The language of the streams. Raised with each message that an older server could not read.
const VERSION: u32 = 1;

const VERSION_KEY: &str = "pbkv-stream-version";
const BYTES_KEY: &str = "pbkv-message-bytes-max";
const SESSION_TTL_KEY: &str = "pbkv-session-ttl-ns";
const COPIES_MIN_KEY: &str = "pbkv-copies-min";

/// What one server may send and must be able to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    version: u32,
    /// The largest message.
    message_bytes_max: usize,
    /// How long the sessions live that this server opens as primary.
    session_ttl: Duration,
    /// As primary this server refuses updates while fewer copies would hold them; 1 for never.
    copies_min: usize,
}

impl Terms {
    /// The terms of this program with these options.
    pub fn new(limits: &Limits, options: &ReplicaOptions) -> Self {
        Self {
            version: VERSION,
            message_bytes_max: limits.message_bytes_max(options),
            session_ttl: options.session_ttl,
            copies_min: options.copies_min.max(1), // a primary always has its own
        }
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
        metadata.insert(COPIES_MIN_KEY, self.copies_min.into());
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

    /// In what this server would differ from the caller if it were primary, and what to do: a sentence for
    /// each, with both values. What an older program does not say does not differ.
    pub fn differences(self, metadata: &MetadataMap) -> Vec<String> {
        let ttl = told(metadata, SESSION_TTL_KEY).ok().map(Duration::from_nanos);
        let all = [
            differ(
                "the primary's sessions live for a different time than this server's would: {}; give all servers one --session-ttl",
                ttl,
                self.session_ttl,
            ),
            differ(
                "this server takes larger messages than the primary sends: {}; as primary it could not replicate to servers like that one. \
                 Give all servers one --key-bytes-max, --value-bytes-max, --append-bytes-max and --chunk-bytes-max",
                told(metadata, BYTES_KEY).ok(),
                self.message_bytes_max,
            ),
            differ(
                "the primary needs a different number of copies to take updates than this server would: {}; give all servers one \
                 --copies-min",
                told(metadata, COPIES_MIN_KEY).ok(),
                self.copies_min,
            ),
        ];
        all.into_iter().flatten().collect()
    }
}

/// The sentence with both values in the place of the braces, if they differ.
fn differ<T: Debug + PartialEq>(sentence: &str, primary: Option<T>, here: T) -> Option<String> {
    let primary = primary.filter(|primary| *primary != here)?;
    Some(sentence.replace("{}", &format!("{primary:?} there, {here:?} here")))
}

fn told<T: FromStr>(metadata: &MetadataMap, key: &'static str) -> Result<T, Status> {
    let value = metadata.get(key).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    value.ok_or_else(|| Status::failed_precondition(format!("the caller does not say its {key}; update it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Terms {
        let (limits, options) = (Limits::default(), ReplicaOptions::default());
        Terms { message_bytes_max: 1000, ..Terms::new(&limits, &options) }
    }

    fn told_by(terms: Terms) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        terms.tell(&mut metadata);
        metadata
    }

    #[test]
    fn what_cannot_be_taken_is_refused_with_both_values() {
        let with_bytes = |message_bytes_max| told_by(Terms { message_bytes_max, ..own() });
        assert!(own().accept(&told_by(own())).is_ok());
        assert!(own().accept(&with_bytes(999)).is_ok());
        let larger = own().accept(&with_bytes(1001)).expect_err("too large");
        assert!(larger.message().contains("1000") && larger.message().contains("1001"), "{larger}");
        let newer = own().accept(&told_by(Terms { version: VERSION + 1, ..own() })).expect_err("too new");
        assert!(newer.message().contains("older program"), "{newer}");
        assert!(own().accept(&MetadataMap::new()).is_err());
    }

    #[test]
    fn what_would_differ_after_a_fail_over_is_told_with_both_values() {
        let differences = |primary: Terms| {
            let metadata = told_by(primary);
            assert!(own().accept(&metadata).is_ok(), "it is no reason to refuse");
            own().differences(&metadata)
        };
        assert_eq!(differences(own()), [""; 0]);
        assert_eq!(own().differences(&MetadataMap::new()), [""; 0], "an older program does not say");
        let others = [
            (Terms { session_ttl: Duration::from_secs(2), ..own() }, "2s there, 60s here", "--session-ttl"),
            (Terms { message_bytes_max: 999, ..own() }, "999 there, 1000 here", "--value-bytes-max"),
            (Terms { copies_min: 2, ..own() }, "2 there, 1 here", "--copies-min"),
        ];
        for (primary, values, option) in others {
            let told = differences(primary);
            assert!(told.len() == 1 && told[0].contains(values) && told[0].contains(option), "{told:?}");
        }
        let all =
            Terms { session_ttl: Duration::from_secs(2), message_bytes_max: 999, copies_min: 2, ..own() };
        assert_eq!(differences(all).len(), 3);
    }
}
