//! What a search remembers: configurations visited and states met.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHasher};

/// Configurations visited. With optional operations, each key holds the least numbers of each kind used so
/// far.
pub(super) struct Seen {
    kinds: usize,
    plain: HashTable<u128>,
    least: FxHashMap<u128, Vec<u16>>,
    bytes: u64,
}

impl Seen {
    pub(super) fn new(kinds: usize) -> Self {
        Seen { kinds, plain: HashTable::new(), least: FxHashMap::default(), bytes: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes + (self.plain.capacity() * 17 + self.least.capacity() * 41) as u64
    }

    /// `false` if the configuration, or one that used no more of any kind, was visited before.
    pub(super) fn insert(&mut self, key: u128, used: impl Iterator<Item = u16>) -> bool {
        if self.kinds == 0 {
            let entry = self.plain.entry(key as u64, |&other| other == key, |&other| other as u64);
            let hashbrown::hash_table::Entry::Vacant(slot) = entry else { return false };
            slot.insert(key);
            return true;
        }
        let used: Vec<u16> = used.collect();
        let least = self.least.entry(key).or_default();
        let at_most = |one: &[u16], other: &[u16]| one.iter().zip(other).all(|(one, other)| one <= other);
        if least.chunks_exact(self.kinds).any(|earlier| at_most(earlier, &used)) {
            return false;
        }
        let before = least.capacity();
        let mut kept = 0;
        for place in (0..least.len()).step_by(self.kinds) {
            let chunk = place..place + self.kinds;
            if !at_most(&used, &least[chunk.clone()]) {
                least.copy_within(chunk, kept);
                kept += self.kinds;
            }
        }
        least.truncate(kept);
        least.extend_from_slice(&used);
        self.bytes += 2 * (least.capacity() - before) as u64;
        true
    }
}

/// A random word for a number: two rounds of the splitmix finalizer with different constants.
pub(super) fn word(number: u64) -> u128 {
    let half = |seed: u64| {
        let mut x = number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    u128::from(half(0x5851_f42d_4c95_7f2d)) << 64 | u128::from(half(0x1405_7b7e_f767_814f))
}

/// States seen so far, numbered in the order of their first appearance.
pub(super) struct States<S> {
    pub(super) list: Vec<S>,
    numbers: HashTable<u32>,
}

impl<S: Eq + Hash> States<S> {
    pub(super) fn new() -> Self {
        States { list: Vec::new(), numbers: HashTable::new() }
    }

    pub(super) fn number(&mut self, state: S) -> u32 {
        let hash = |state: &S| {
            let mut hasher = FxHasher::default();
            state.hash(&mut hasher);
            hasher.finish()
        };
        let list = &self.list;
        let equal = |&number: &u32| list[number as usize] == state;
        let rehash = |&number: &u32| hash(&list[number as usize]);
        match self.numbers.entry(hash(&state), equal, rehash) {
            hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
            hashbrown::hash_table::Entry::Vacant(slot) => {
                let number = list.len() as u32;
                slot.insert(number);
                self.list.push(state);
                number
            }
        }
    }
}
