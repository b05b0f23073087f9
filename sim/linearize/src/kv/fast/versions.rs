//! Versions: what one key held, from one write to the next, and who saw it.

use std::hash::Hasher;

use bytes::Bytes;
use hashbrown::HashTable;
use rustc_hash::FxHasher;

use super::super::KvOperation;
use super::super::fact::{Fact, fact};

/// No version, or no operation.
pub(super) const NONE: u32 = u32::MAX;
/// The version before every write.
pub(super) const INITIAL: u32 = 0;
/// After everything.
pub(super) const NEVER: u64 = u64::MAX;

/// Times are shifted by one, so that 0 lies before everything.
pub(super) fn call(operation: &KvOperation) -> u64 {
    operation.call + 1
}

/// See [`call`]. An unknown operation returns after everything.
pub(super) fn returned(operation: &KvOperation) -> u64 {
    operation.returned_at().map_or(NEVER, |at| at + 1)
}

/// One write, and the reads of what it left behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    /// The value, if it was written whole; empty for appends and absence.
    pub(super) value: &'a [u8],
    /// The operation; [`NONE`] for the initial version.
    pub(super) write: u32,
    /// The write surely took effect.
    pub(super) happened: bool,
    pub(super) call: u64,
    pub(super) returned: u64,
    /// The earliest return of a read.
    pub(super) first_return: u64,
    /// The latest call of a read.
    pub(super) last_call: u64,
}

/// An operation that saw a version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    pub(super) operation: u32,
    pub(super) version: u32,
}

/// All versions of one key.
pub(super) struct Versions<'a> {
    pub(super) operations: &'a [KvOperation],
    pub(super) list: Vec<Version<'a>>,
    /// Operations that only read, with the version once it is known.
    pub(super) reads: Vec<Read>,
    /// Versions made by compare-and-swaps.
    pub(super) swaps: Vec<u32>,
    /// Versions made by appends.
    pub(super) appends: Vec<u32>,
    /// Versions made by deletes.
    pub(super) erasures: Vec<u32>,
    /// Some operation says only what the value was not.
    pub(super) negative: bool,
    /// Versions with the same value, beyond the first: (first, other), in the order of the history.
    pub(super) repeated: Vec<(u32, u32)>,
    by_value: HashTable<u32>,
    /// The version that a swap or an append continues; empty if there are none of these.
    pub(super) before: Vec<u32>,
    /// The swap or append that continues a version.
    pub(super) after: Vec<u32>,
}

impl<'a> Versions<'a> {
    /// Reads the writes of one key. Fails with the index of an operation that contradicts itself.
    pub(super) fn new(operations: &'a [KvOperation], part: &[u32]) -> Result<Self, u32> {
        let initial = Version {
            value: &[],
            write: NONE,
            happened: true,
            call: 0,
            returned: 0,
            first_return: NEVER,
            last_call: 0,
        };
        let mut versions = Versions {
            operations,
            list: Vec::with_capacity(part.len() / 2 + 1),
            reads: Vec::with_capacity(part.len() / 2 + 1),
            swaps: Vec::new(),
            appends: Vec::new(),
            erasures: Vec::new(),
            negative: false,
            repeated: Vec::new(),
            by_value: HashTable::with_capacity(part.len() / 2 + 1),
            before: Vec::new(),
            after: Vec::new(),
        };
        versions.list.push(initial);
        for &index in part {
            let operation = &operations[index as usize];
            match fact(operation) {
                Fact::Nothing => {}
                Fact::Impossible => return Err(index),
                Fact::Read(_) => versions.reads.push(Read { operation: index, version: NONE }),
                Fact::Differs => versions.negative = true,
                Fact::Write(value) => {
                    let version = versions.push(index, value);
                    versions.name(version, value);
                }
                Fact::Swap { new, .. } => {
                    let version = versions.push(index, new);
                    versions.name(version, new);
                    versions.swaps.push(version);
                }
                Fact::Append(_) => {
                    let version = versions.push(index, &[]);
                    versions.appends.push(version);
                }
                Fact::Erase { present } => {
                    let version = versions.push(index, &[]);
                    versions.erasures.push(version);
                    versions.negative |= present;
                }
            }
        }
        if !versions.swaps.is_empty() || !versions.appends.is_empty() {
            versions.before = vec![NONE; versions.list.len()];
            versions.after = vec![NONE; versions.list.len()];
        }
        Ok(versions)
    }

    /// The first version written as this value.
    pub(super) fn find(&self, value: &[u8]) -> Option<u32> {
        self.by_value.find(hash(value), |&version| self.list[version as usize].value == value).copied()
    }

    /// Notes that an operation saw a version.
    pub(super) fn note_read(&mut self, operation: u32, version: u32) {
        let operation = &self.operations[operation as usize];
        let version = &mut self.list[version as usize];
        version.happened = true;
        version.first_return = version.first_return.min(returned(operation));
        version.last_call = version.last_call.max(call(operation));
    }

    /// Notes that `next` continues `version`. Fails with the version that already does.
    pub(super) fn link(&mut self, version: u32, next: u32) -> Result<(), u32> {
        let after = &mut self.after[version as usize];
        if *after != NONE && *after != next {
            return Err(*after);
        }
        *after = next;
        self.before[next as usize] = version;
        Ok(())
    }

    /// Forgets every read and link, for another attempt.
    pub(super) fn reset(&mut self) {
        for version in &mut self.list {
            version.happened = version.returned != NEVER;
            version.first_return = NEVER;
            version.last_call = 0;
        }
        self.before.fill(NONE);
        self.after.fill(NONE);
    }

    /// The value expected by the swap that made a version, if a swap did.
    pub(super) fn expected(&self, version: u32) -> Option<Option<&'a Bytes>> {
        let write = self.list[version as usize].write;
        match self.operations.get(write as usize).map(fact) {
            Some(Fact::Swap { expected, .. }) => Some(expected),
            _ => None,
        }
    }

    /// What an append added to make a version.
    pub(super) fn token(&self, version: u32) -> &'a Bytes {
        match fact(&self.operations[self.list[version as usize].write as usize]) {
            Fact::Append(token) => token,
            other => unreachable!("version {version} was made by {other:?}, not by an append"),
        }
    }

    fn push(&mut self, index: u32, value: &'a [u8]) -> u32 {
        let operation = &self.operations[index as usize];
        let returned = returned(operation);
        let version = self.list.len() as u32;
        self.list.push(Version {
            value,
            write: index,
            happened: returned != NEVER,
            call: call(operation),
            returned,
            first_return: NEVER,
            last_call: 0,
        });
        version
    }

    fn name(&mut self, version: u32, value: &[u8]) {
        let list = &self.list;
        let known = |&other: &u32| list[other as usize].value;
        let entry =
            self.by_value.entry(hash(value), |other| known(other) == value, |other| hash(known(other)));
        match entry {
            hashbrown::hash_table::Entry::Occupied(first) => self.repeated.push((*first.get(), version)),
            hashbrown::hash_table::Entry::Vacant(slot) => {
                slot.insert(version);
            }
        }
    }
}

pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}
