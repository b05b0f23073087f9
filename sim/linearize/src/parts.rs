//! Which operations belong to which independent object.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::history::Operation;
use crate::model::Model;
use crate::threads::{available, in_parallel};

/// The operations of each object.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub struct Parts {
    /// Indexes of operations, object after object.
    indexes: Vec<u32>,
    /// Where each object's indexes end.
    ends: Vec<u32>,
}

impl Parts {
    /// Groups operations by object, in the order of first appearance. Calls `met` with each operation and the
    /// number of its object.
    pub fn new<M: Model>(
        model: &M,
        operations: &[Operation<M::Input, M::Output>],
        met: impl FnMut(u32, u32),
    ) -> Self {
        let groups = Groups::new(model, operations, met);
        Self::of(groups.counts, groups.part_of)
    }

    fn of(counts: Vec<u32>, part_of: impl IntoIterator<Item = u32>) -> Self {
        let length: u32 = counts.iter().sum();
        if counts.len() == 1 {
            return Parts { indexes: (0..length).collect(), ends: counts };
        }
        let mut ends = Vec::with_capacity(counts.len());
        let mut begin = 0;
        for count in counts {
            ends.push(begin);
            begin += count;
        }
        let mut indexes = vec![0; length as usize];
        for (index, part) in part_of.into_iter().enumerate() {
            let end = &mut ends[part as usize];
            indexes[*end as usize] = index as u32;
            *end += 1;
        }
        Parts { indexes, ends }
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the history is empty.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The operations of an object, ascending.
    pub fn get(&self, part: usize) -> &[u32] {
        let begin = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.indexes[begin as usize..self.ends[part] as usize]
    }

    /// The operations of each object.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.len()).map(|part| self.get(part))
    }
}

/// The objects of a history by number, in the order of first appearance.
struct Groups<K> {
    names: Vec<K>,
    table: HashTable<u32>,
    counts: Vec<u32>,
    /// The object of each operation.
    part_of: Vec<u32>,
}

impl<K: Hash + Eq> Groups<K> {
    fn with_capacity(operations: usize) -> Self {
        let part_of = Vec::with_capacity(operations);
        Groups { names: Vec::new(), table: HashTable::new(), counts: Vec::new(), part_of }
    }

    #[inline]
    fn new<'a, M: Model<Key<'a> = K>>(
        model: &M,
        operations: &'a [Operation<M::Input, M::Output>],
        mut met: impl FnMut(u32, u32),
    ) -> Self {
        let mut groups = Self::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let part = groups.number(model.partition(&operation.input));
            groups.counts[part as usize] += 1;
            groups.part_of.push(part);
            met(index as u32, part);
        }
        groups
    }

    /// The same, each core reading its share of the history.
    fn in_parallel<'a, M>(model: &M, operations: &'a [Operation<M::Input, M::Output>]) -> Self
    where
        M: Model<Key<'a> = K> + Sync,
        M::Input: Sync,
        M::Output: Sync,
        K: Send,
    {
        let stretches: Vec<_> = operations.chunks(operations.len().div_ceil(available()).max(1)).collect();
        let mut all = Self::with_capacity(operations.len());
        for stretch in in_parallel(stretches.len(), |number| Groups::new(model, stretches[number], |_, _| {}))
        {
            let numbers: Vec<u32> = stretch.names.into_iter().map(|name| all.number(name)).collect();
            for (&number, count) in numbers.iter().zip(stretch.counts) {
                all.counts[number as usize] += count;
            }
            all.part_of.extend(stretch.part_of.into_iter().map(|part| numbers[part as usize]));
        }
        all
    }

    // Once for each operation.
    #[inline(always)]
    fn number(&mut self, name: K) -> u32 {
        let names = &mut self.names;
        let hash = hash_of(&name);
        if let Some(&part) = self.table.find(hash, |&part| names[part as usize] == name) {
            return part;
        }
        let part = names.len() as u32;
        self.table.insert_unique(hash, part, |&part| hash_of(&names[part as usize]));
        names.push(name);
        self.counts.push(0);
        part
    }
}

/// A history divided into shards, one for each core: more would each read less of what a cache line holds.
pub(crate) struct Sharded {
    pub(crate) parts: Parts,
    /// The object of each operation.
    part_of: Vec<u32>,
    /// Objects of each shard, ascending.
    pub(crate) shards: Vec<Vec<u32>>,
}

impl Sharded {
    /// Groups operations by object and gives each shard about the same number of operations, on all cores.
    pub(crate) fn new<M>(model: &M, operations: &[Operation<M::Input, M::Output>]) -> Self
    where
        M: Model + Sync,
        M::Input: Sync,
        M::Output: Sync,
    {
        let Groups { counts, part_of, .. } = Groups::in_parallel(model, operations);
        let count = available().min(counts.len());
        let mut shards = vec![Vec::new(); count];
        let mut lightest: BinaryHeap<Reverse<(u32, usize)>> =
            (0..count).map(|shard| Reverse((0, shard))).collect();
        for (part, &length) in counts.iter().enumerate() {
            if let Some(mut least) = lightest.peek_mut() {
                let Reverse((held, shard)) = &mut *least;
                shards[*shard].push(part as u32);
                *held += length;
            }
        }
        let parts = Parts::of(counts, part_of.iter().copied());
        Sharded { parts, part_of, shards }
    }

    pub(crate) fn shard(&self, number: usize) -> Shard<'_> {
        Shard { history: self, objects: &self.shards[number] }
    }
}

/// Some of the objects of a history, which one thread decides.
#[doc(hidden)]
pub struct Shard<'a> {
    history: &'a Sharded,
    /// Ascending.
    objects: &'a [u32],
}

impl Shard<'_> {
    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// How many operations there are.
    pub fn operations(&self) -> usize {
        self.iter().map(<[u32]>::len).sum()
    }

    /// The operations of each object.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.objects.iter().map(|&part| self.history.parts.get(part as usize))
    }

    /// Calls `met` with each operation, in the order of the history, and the place of its object among the
    /// shard's.
    pub fn in_order(&self, mut met: impl FnMut(u32, u32)) {
        const ELSEWHERE: u32 = u32::MAX;
        let mut places = vec![ELSEWHERE; self.history.parts.len()];
        for (place, &part) in self.objects.iter().enumerate() {
            places[part as usize] = place as u32;
        }
        for (index, &part) in self.history.part_of.iter().enumerate() {
            let place = places[part as usize];
            if place != ELSEWHERE {
                met(index as u32, place);
            }
        }
    }
}

/// Whether two byte strings are equal. Clones of one [`bytes::Bytes`] are, and need not be read.
#[inline]
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// A hash that is the same in every run.
#[inline]
fn hash_of(key: &impl Hash) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The same, of bytes.
pub(crate) fn hash(name: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(name);
    hasher.finish()
}
