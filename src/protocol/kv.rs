//! The replicated key-value store: the operations on keys, what they do, and what they answer.
//!
//! The rest of the protocol orders operations, forwards them and executes each at most once, and knows of
//! them no more than how long they are, which key they change and what is remembered of their outcome
//! (which `replica::sessions` estimates before they are executed).
//! Whatever decides an outcome is in the operation itself or in the keys, never in a replica's options or
//! clock: replicas that executed the same operations hold the same.

use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use imbl::OrdMap;

use super::identity::OpNumber;

/// All keys with what they hold. Copies share structure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Keys {
    map: OrdMap<Bytes, Versioned>,
    /// How many bytes keys and values have together.
    bytes: u64,
}

impl Keys {
    /// What `key` holds.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Versioned> {
        self.map.get(key)
    }

    /// How many bytes they and what they hold have together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.map.len()
    }

    /// In order, those after `key`, or all.
    pub(super) fn after(&self, key: Option<&Bytes>) -> impl Iterator<Item = (&Bytes, &Versioned)> {
        let from = key.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        self.map.range((from, Bound::Unbounded))
    }

    /// A page. Finding its beginning costs the depth of a tree, and each key the step to the next one:
    /// nothing is copied, and the rest of the store is not looked at.
    pub(super) fn page(&self, scan: &Scan) -> (Vec<Listed>, bool) {
        let from = match scan.after >= scan.prefix && !scan.after.is_empty() {
            true => Bound::Excluded(scan.after.clone()),
            false => Bound::Included(scan.prefix.clone()),
        };
        let (keys_max, mut bytes, mut keys) = (scan.keys_max(), 0, Vec::new());
        for (key, held) in self.map.range((from, Bound::Unbounded)) {
            if !key.starts_with(&scan.prefix) {
                break;
            }
            let listed = Listed {
                key: key.clone(),
                mod_revision: held.mod_revision,
                value: scan.values.then(|| held.value.clone()),
            };
            bytes += listed.bytes();
            if keys.len() == keys_max || (bytes > PAGE_BYTES_MAX && !keys.is_empty()) {
                return (keys, true);
            }
            keys.push(listed);
        }
        (keys, false)
    }

    /// Sets a key to what it holds elsewhere.
    pub(super) fn restore(&mut self, key: Bytes, held: Versioned) {
        self.insert(key, held);
    }

    /// Executes an update as the operation `op`.
    pub(super) fn execute(&mut self, op: OpNumber, update: &Update) -> Outcome {
        match update {
            Update::Put { key, value } => {
                self.set(op, key, value.clone());
                Outcome::Done
            }
            Update::Append { key, value, value_bytes_max } => {
                let current = self.map.get(key).map(|found| found.value.clone()).unwrap_or_default();
                if (current.len() + value.len()) as u64 > *value_bytes_max {
                    return Outcome::ValueTooLarge { value_bytes_max: *value_bytes_max };
                }
                let mut appended = BytesMut::with_capacity(current.len() + value.len());
                appended.extend_from_slice(&current);
                appended.extend_from_slice(value);
                self.set(op, key, appended.freeze());
                Outcome::Done
            }
            Update::Delete { key } => Outcome::Deleted { existed: self.remove(key) },
            Update::CompareAndSwap { key, expected, new } => {
                let previous = self.map.get(key).cloned();
                let swapped = expected.is_met_by(previous.as_ref());
                if swapped {
                    self.set(op, key, new.clone());
                }
                Outcome::Swapped { swapped, previous }
            }
        }
    }

    fn set(&mut self, op: OpNumber, key: &Bytes, value: Bytes) {
        self.insert(key.clone(), Versioned { value, mod_revision: op });
    }

    fn insert(&mut self, key: Bytes, held: Versioned) {
        let (length, value) = (key.len() as u64, held.value.len() as u64);
        self.bytes += value;
        match self.map.insert(key, held) {
            Some(before) => self.bytes -= before.value.len() as u64,
            None => self.bytes += length,
        }
    }

    fn remove(&mut self, key: &Bytes) -> bool {
        let removed = self.map.remove(key);
        if let Some(before) = &removed {
            self.bytes -= key.len() as u64 + before.value.len() as u64;
        }
        removed.is_some()
    }
}

/// The most keys that one page has.
pub const PAGE_KEYS_MAX: usize = 1_000;

/// The most bytes that one page has, unless a single key and its value have more: far below the 4 MiB that
/// most gRPC clients take in one message.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Asks for a page: the first keys, in order, of those that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scan {
    /// Those that begin so; empty: all.
    pub prefix: Bytes,
    /// Those after this one, which need not be there; empty: from the first one on.
    pub after: Bytes,
    /// So many at most; 0: as many as a page may have ([`PAGE_KEYS_MAX`]).
    pub keys_max: u32,
    /// With their values.
    pub values: bool,
}

impl Scan {
    /// A scan of all keys that begin so, without values, in pages as large as may be.
    pub fn of(prefix: impl Into<Bytes>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// The most keys that its page has.
    pub fn keys_max(&self) -> usize {
        match self.keys_max as usize {
            0 => PAGE_KEYS_MAX,
            asked => asked.min(PAGE_KEYS_MAX),
        }
    }

    /// Goes on behind a page. The next page is of another moment: this one's revision, or a later one.
    pub fn go_on(&mut self, page: &Page) {
        if let Some(last) = page.keys.last() {
            self.after = last.key.clone();
        }
    }
}

/// Some keys in order, as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    /// The last operation applied then.
    pub revision: OpNumber,
    /// The keys.
    pub keys: Vec<Listed>,
    /// There are others behind them.
    pub more: bool,
}

impl Page {
    /// About how many bytes it occupies on the wire: no less than it does.
    pub fn bytes(&self) -> usize {
        32 + self.keys.iter().map(Listed::bytes).sum::<usize>()
    }
}

/// A key of a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// The key.
    pub key: Bytes,
    /// The operation that changed it last.
    pub mod_revision: OpNumber,
    /// What it holds, if that was asked for.
    pub value: Option<Bytes>,
}

impl Listed {
    /// About how many bytes it occupies on the wire: no less than it does.
    fn bytes(&self) -> usize {
        32 + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Update {
    /// Sets `key` to `value`.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Appends `value` to what `key` holds; an absent key counts as empty.
    Append {
        /// The key.
        key: Bytes,
        /// What is appended.
        value: Bytes,
        /// The longest value that may result, in bytes. It travels with the operation because every
        /// replica must decide alike, whatever its own options are.
        value_bytes_max: u64,
    },
    /// Removes `key`.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Sets `key` to `new` if it holds what is `expected`.
    CompareAndSwap {
        /// The key.
        key: Bytes,
        /// What it must hold.
        expected: Expected,
        /// Its new value.
        new: Bytes,
    },
}

impl Update {
    /// The key that is changed.
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Put { key, .. }
            | Self::Append { key, .. }
            | Self::Delete { key }
            | Self::CompareAndSwap { key, .. } => key,
        }
    }

    /// The bytes of its key and values.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value } | Self::Append { key, value, .. } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
            Self::CompareAndSwap { key, expected, new } => key.len() + new.len() + expected.bytes(),
        }
    }

    pub(super) fn detached(&self) -> Self {
        match self {
            Self::Put { key, value } => Self::Put { key: detached(key), value: detached(value) },
            Self::Append { key, value, value_bytes_max } => {
                Self::Append { key: detached(key), value: detached(value), value_bytes_max: *value_bytes_max }
            }
            Self::Delete { key } => Self::Delete { key: detached(key) },
            Self::CompareAndSwap { key, expected, new } => {
                Self::CompareAndSwap { key: detached(key), expected: expected.detached(), new: detached(new) }
            }
        }
    }
}

/// What an update did. Part of the replicated session table, so that a retry gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A put or append took effect.
    Done,
    /// A delete took effect.
    Deleted {
        /// Whether the key was there.
        existed: bool,
    },
    /// A compare-and-swap was decided.
    Swapped {
        /// Whether the new value was set.
        swapped: bool,
        /// What the key held before.
        previous: Option<Versioned>,
    },
    /// The append would have made the value longer than allowed; nothing was changed.
    ValueTooLarge {
        /// The longest value allowed, in bytes.
        value_bytes_max: u64,
    },
}

impl Outcome {
    /// How many bytes it remembers beyond its own size.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Swapped { previous: Some(previous), .. } => previous.value.len(),
            _ => 0,
        }
    }

    pub(super) fn detached(&self) -> Self {
        match self {
            Self::Swapped { swapped, previous: Some(previous) } => {
                Self::Swapped { swapped: *swapped, previous: Some(previous.detached()) }
            }
            other => other.clone(),
        }
    }
}

/// What a key must hold for a compare-and-swap to change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// Exactly this value (`None`: it must be absent).
    Value(Option<Bytes>),
    /// What this operation wrote, not changed since (operation 0: it must be absent). It tells apart two
    /// writes of the same value.
    Revision(OpNumber),
}

impl Expected {
    /// Whether this is what is expected.
    pub fn is_met_by(&self, found: Option<&Versioned>) -> bool {
        match self {
            Self::Value(value) => value.as_ref() == found.map(|found| &found.value),
            Self::Revision(revision) => *revision == mod_revision(found),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Value(value) => value.as_ref().map_or(0, Bytes::len),
            Self::Revision(_) => 8,
        }
    }

    fn detached(&self) -> Self {
        match self {
            Self::Value(value) => Self::Value(value.as_ref().map(detached)),
            Self::Revision(revision) => Self::Revision(*revision),
        }
    }
}

/// A value, and the operation that wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The operation that changed the key last.
    pub mod_revision: OpNumber,
}

impl Versioned {
    pub(super) fn detached(&self) -> Self {
        Self { value: detached(&self.value), ..*self }
    }
}

/// The operation that changed a key last; 0 if the key is absent, however it became so.
pub fn mod_revision(found: Option<&Versioned>) -> OpNumber {
    found.map_or(OpNumber(0), |found| found.mod_revision)
}

/// The same bytes in an allocation of their own. What arrived in a message is a slice of the buffer in which
/// the message was received: kept for long, a small key would keep a large buffer.
pub(super) fn detached(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
