//! From values to versions.
//!
//! Most reads see a value that was written a moment before, in the order of the history as well as in time.
//! While the history is read, [`Recent`] remembers the last few values in a table that stays in the
//! processor's nearest cache. The table of all values, [`Names`], is built afterwards in one go, which lets
//! the processor wait for many entries at once.

use super::versions::NONE;

/// Values remembered by [`Recent`]: the writes of a moment of a thousand keys.
const RECENT_MAX: usize = 4096;

/// A hash with a version, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u64);

impl Name {
    const NOBODY: Name = Name(u64::MAX);

    pub(super) fn new(hash: u64, version: u32) -> Self {
        Name(hash >> 32 << 32 | u64::from(version))
    }

    pub(super) fn version(self) -> u32 {
        self.0 as u32
    }

    fn hash(self) -> u64 {
        self.0 >> 32
    }
}

/// The values written last, of many keys: key number and version, by hash.
pub(super) struct Recent {
    slots: Vec<(u32, u32)>,
}

impl Recent {
    /// A table that suits so many operations.
    pub(super) fn new(operations: usize) -> Self {
        Recent { slots: vec![(NONE, NONE); operations.next_power_of_two().min(RECENT_MAX)] }
    }

    /// A version of this key that may have the value.
    pub(super) fn find(&self, hash: u64, key: u32) -> Option<u32> {
        let (of, version) = self.slots[self.place(hash, key)];
        (of == key).then_some(version)
    }

    pub(super) fn insert(&mut self, hash: u64, key: u32, version: u32) {
        let place = self.place(hash, key);
        self.slots[place] = (key, version);
    }

    fn place(&self, hash: u64, key: u32) -> usize {
        (hash >> 40).wrapping_add(u64::from(key) * 5) as usize & (self.slots.len() - 1)
    }
}

/// The first version of each value.
#[derive(Default)]
pub(super) struct Names {
    /// A power of two of entries, of which a quarter at least is free.
    slots: Vec<Name>,
}

impl Names {
    /// Enters all names. Calls `repeated` with each that has the value of one entered before, and that one.
    pub(super) fn new(
        names: &[Name],
        same: impl Fn(u32, u32) -> bool,
        mut repeated: impl FnMut(u32, u32),
    ) -> Self {
        let mut table = Names { slots: vec![Name::NOBODY; (names.len() * 4 / 3 + 1).next_power_of_two()] };
        for &name in names {
            let mut place = table.first_place(name.hash());
            loop {
                let other = table.slots[place];
                if other == Name::NOBODY {
                    table.slots[place] = name;
                    break;
                }
                if other.hash() == name.hash() && same(other.version(), name.version()) {
                    repeated(other.version(), name.version());
                    break;
                }
                place = table.after(place);
            }
        }
        table
    }

    /// The version of a hash that has the value.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let wanted = Name::new(hash, 0).hash();
        let mut place = self.first_place(wanted);
        loop {
            let name = self.slots[place];
            if name == Name::NOBODY {
                return None;
            }
            if name.hash() == wanted && is_it(name.version()) {
                return Some(name.version());
            }
            place = self.after(place);
        }
    }

    fn first_place(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }
}
