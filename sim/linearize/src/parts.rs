//! Which operations belong to which independent object.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use crate::history::Operation;
use crate::model::Model;

/// The operations of each object.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Indexes of operations, object after object.
    indexes: Vec<u32>,
    /// Where each object's indexes end.
    ends: Vec<u32>,
}

impl Parts {
    /// Groups operations by object, in the order of first appearance. Calls `met` with each operation and the number of
    /// its object.
    pub fn new<M: Model>(
        model: &M,
        operations: &[Operation<M::Input, M::Output>],
        mut met: impl FnMut(u32, u32),
    ) -> Self {
        let mut names: Vec<&[u8]> = Vec::new();
        let mut counts: Vec<u32> = Vec::new();
        let mut table: HashTable<u32> = HashTable::new();
        let mut part_of: Vec<u32> = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let own = model.partition(&operation.input);
            let equal = |&part: &u32| same(names[part as usize], own);
            let part = match table.find(hash(own), equal) {
                Some(&part) => part,
                None => {
                    let part = names.len() as u32;
                    table.insert_unique(hash(own), part, |&part| hash(names[part as usize]));
                    names.push(own);
                    counts.push(0);
                    part
                }
            };
            counts[part as usize] += 1;
            part_of.push(part);
            met(index as u32, part);
        }
        if counts.len() == 1 {
            return Parts { indexes: (0..operations.len() as u32).collect(), ends: counts };
        }
        let mut ends = Vec::with_capacity(counts.len());
        let mut begin = 0;
        for count in counts {
            ends.push(begin);
            begin += count;
        }
        let mut indexes = vec![0; operations.len()];
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

/// Whether two byte strings are equal. Clones of one [`bytes::Bytes`] are, and need not be read.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    std::ptr::eq(one, other) || one == other
}

/// A hash that is the same in every run.
pub(crate) fn hash(name: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(name);
    hasher.finish()
}
