//! Versions: what one key held, from one write to the next, and who saw it.

use bytes::Bytes;

use super::super::KvOperation;
use super::super::fact::{Fact, fact};
use super::names::{Name, Names, Recent};
use crate::parts::{hash, same};

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
    /// The value, if it was written whole; what was added, if it was appended; empty for absence.
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
#[derive(Clone, Copy)]
pub(super) struct Read {
    pub(super) operation: u32,
    /// [`NONE`] until it is known.
    pub(super) version: u32,
}

/// All versions of one key.
pub(super) struct Versions<'a> {
    pub(super) operations: &'a [KvOperation],
    pub(super) list: Vec<Version<'a>>,
    /// Operations that only read. Values written whole have a version of that value; see [`Versions::reset`].
    pub(super) reads: Vec<Read>,
    /// Reads are listed in the order of their calls.
    pub(super) in_order: bool,
    last_read: u64,
    /// The first operation that contradicts itself.
    pub(super) impossible: Option<u32>,
    /// Versions made by compare-and-swaps.
    pub(super) swaps: Vec<u32>,
    /// Versions made by appends.
    pub(super) appends: Vec<u32>,
    /// Versions made by deletes.
    pub(super) erasures: Vec<u32>,
    /// Whether the key may have been absent many times: what was built from nothing then begins with its
    /// first append.
    pub(super) absent_again: bool,
    /// Some operation says only what the value was not.
    pub(super) negative: bool,
    /// Versions with the same value, beyond the first: (first, other), in the order of the history.
    pub(super) repeated: Vec<(u32, u32)>,
    /// Every value written whole, before [`Versions::complete`].
    named: Vec<Name>,
    names: Names,
    /// Reads whose value is not recent, with its hash, before [`Versions::complete`].
    later: Vec<(u32, u64)>,
    /// What was appended.
    pub(super) tokens: Vec<Name>,
    /// The values of the last reads, from the first append on: their operations need not be fetched again.
    pub(super) shown: Vec<Option<&'a [u8]>>,
    /// The version that a swap or an append continues; empty if there are none of these.
    pub(super) before: Vec<u32>,
    /// The swap or append that continues a version.
    pub(super) after: Vec<u32>,
}

impl<'a> Versions<'a> {
    /// Reads the operations of one key.
    pub(super) fn new(operations: &'a [KvOperation], part: &[u32]) -> Self {
        let mut versions = Self::with_capacity(operations, part.len());
        let mut recent = Recent::new(part.len());
        part.iter().for_each(|&index| versions.add(index, 0, &mut recent));
        versions.complete();
        versions
    }

    /// No operation yet, and room for so many.
    pub(super) fn with_capacity(operations: &'a [KvOperation], capacity: usize) -> Self {
        let initial = Version {
            value: &[],
            write: NONE,
            happened: true,
            call: 0,
            returned: 0,
            first_return: NEVER,
            last_call: 0,
        };
        let mut list = Vec::with_capacity(capacity / 2 + 1);
        list.push(initial);
        Versions {
            operations,
            list,
            reads: Vec::with_capacity(capacity / 2 + 1),
            in_order: true,
            last_read: 0,
            swaps: Vec::new(),
            appends: Vec::new(),
            erasures: Vec::new(),
            absent_again: false,
            impossible: None,
            negative: false,
            repeated: Vec::new(),
            named: Vec::with_capacity(capacity / 2),
            names: Names::default(),
            later: Vec::new(),
            tokens: Vec::new(),
            shown: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    /// Adds an operation of the key, in the order of the history. `recent` knows the key by its number.
    #[inline(always)]
    pub(super) fn add(&mut self, index: u32, key: u32, recent: &mut Recent) {
        let operation = &self.operations[index as usize];
        match fact(operation) {
            Fact::Nothing => {}
            Fact::Impossible => self.impossible = self.impossible.or(Some(index)),
            Fact::Read(value) => {
                let version = self.seen(value, key, recent);
                if version != NONE {
                    self.note(version, call(operation), returned(operation));
                }
                self.in_order &= self.last_read <= operation.call;
                self.last_read = operation.call;
                self.reads.push(Read { operation: index, version });
            }
            Fact::Differs => self.negative = true,
            Fact::Write(value) => {
                let version = self.push(index, value);
                self.name(version, value, key, recent);
            }
            Fact::Swap { new, .. } => {
                let version = self.push(index, new);
                self.name(version, new, key, recent);
                self.swaps.push(version);
            }
            Fact::Append(token) => {
                let version = self.push(index, token);
                self.appends.push(version);
                self.tokens.push(Name::new(hash(token), version));
            }
            Fact::Erase { present } => {
                let version = self.push(index, &[]);
                self.erasures.push(version);
                self.absent_again = true;
                self.negative |= present;
            }
        }
    }

    /// After the last operation.
    pub(super) fn complete(&mut self) {
        let named = std::mem::take(&mut self.named);
        let value = |version: u32| self.list[version as usize].value;
        let repeated = &mut self.repeated;
        self.names = Names::new(
            &named,
            |one, other| same(value(one), value(other)),
            |first, other| repeated.push((first, other)),
        );
        drop(named);
        for (read, hash) in std::mem::take(&mut self.later) {
            let operation = self.reads[read as usize].operation;
            let Fact::Read(Some(value)) = fact(&self.operations[operation as usize]) else { continue };
            if let Some(version) = self.find_hashed(hash, value) {
                self.reads[read as usize].version = version;
                self.note_read(operation, version);
            }
        }
        if !self.swaps.is_empty() || !self.appends.is_empty() {
            self.before = vec![NONE; self.list.len()];
            self.after = vec![NONE; self.list.len()];
        }
    }

    /// The version that a read about to be listed saw; [`NONE`] if it is not recent. Appends make this
    /// meaningless.
    fn seen(&mut self, value: Option<&'a Bytes>, key: u32, recent: &Recent) -> u32 {
        if !self.appends.is_empty() {
            self.shown.push(value.map(Bytes::as_ref));
            return NONE;
        }
        let Some(value) = value else { return INITIAL };
        let hash = hash(value);
        match recent.find(hash, key) {
            Some(version) if same(self.list[version as usize].value, value) => version,
            _ => {
                self.later.push((self.reads.len() as u32, hash));
                NONE
            }
        }
    }

    /// The first version written as this value.
    pub(super) fn find(&self, value: &[u8]) -> Option<u32> {
        self.find_hashed(hash(value), value)
    }

    fn find_hashed(&self, hash: u64, value: &[u8]) -> Option<u32> {
        self.names.find(hash, |version| same(self.list[version as usize].value, value))
    }

    /// Notes that an operation saw a version.
    pub(super) fn note_read(&mut self, operation: u32, version: u32) {
        let operation = &self.operations[operation as usize];
        self.note(version, call(operation), returned(operation));
    }

    fn note(&mut self, version: u32, call: u64, returned: u64) {
        let version = &mut self.list[version as usize];
        version.happened = true;
        version.first_return = version.first_return.min(returned);
        version.last_call = version.last_call.max(call);
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
        self.reads.iter_mut().for_each(|read| read.version = NONE);
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

    fn name(&mut self, version: u32, value: &[u8], key: u32, recent: &mut Recent) {
        let hash = hash(value);
        self.named.push(Name::new(hash, version));
        recent.insert(hash, key, version);
    }
}
