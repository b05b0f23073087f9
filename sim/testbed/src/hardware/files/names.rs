//! Which names there are in a folder, and which file each leads to.
//!
//! Each change of a name is atomic. Until the names are synced, each becomes durable or not, independently of
//! the others and of what the files hold. A sync that fails makes some of the changes durable and forgets
//! about the others, as with contents.

use std::collections::{BTreeMap, BTreeSet};

use super::part::Part;

/// A change of a name.
#[derive(Clone, Debug)]
enum Change {
    /// It leads to this file, and what led to it before does not any more.
    Leads(String, u64),
    /// It is gone.
    Gone(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Leads(name, file) => {
                names.retain(|_, other| other != file);
                names.insert(name.clone(), *file);
            }
            Self::Gone(name) => {
                names.remove(name);
            }
        }
    }
}

/// The names in a folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// As processes see them.
    shown: BTreeMap<String, u64>,
    /// As they are on the drive.
    durable: BTreeMap<String, u64>,
    /// What the next sync writes.
    changes: Vec<Change>,
}

impl Names {
    /// The file that a name leads to.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.shown.get(name).copied()
    }

    /// The names that there are and their files, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&String, u64)> {
        self.shown.iter().map(|(name, file)| (name, *file))
    }

    /// Whether a name leads to the same file after a loss of power.
    pub fn is_durable(&self, name: &str) -> bool {
        self.durable.get(name) == self.shown.get(name)
    }

    /// The names that lead to another file on the drive than processes see, or to one that they do not see.
    pub fn replaced(&self) -> impl Iterator<Item = (&String, u64)> {
        let is_other = |(name, file): &(&String, &u64)| self.shown.get(*name) != Some(*file);
        self.durable.iter().filter(is_other).map(|(name, file)| (name, *file))
    }

    /// Whether there are changes for the next sync.
    pub fn are_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// A name leads to this file, and what led to it before does not any more.
    pub fn lead(&mut self, name: &str, file: u64) {
        self.change(Change::Leads(name.to_owned(), file));
    }

    /// A name is gone.
    pub fn remove(&mut self, name: &str) {
        self.change(Change::Gone(name.to_owned()));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.shown);
        self.changes.push(change);
    }

    /// Every change is durable.
    pub fn sync(&mut self) {
        self.settle(&Part::All);
    }

    /// Some of the changes are durable, which the hash chooses, and the rest are not and will not be.
    pub fn sync_in_part(&mut self, hash: u64) {
        self.settle(&Part::drawn(hash, self.changes.len()));
    }

    /// Some of the changes are durable, which the hash chooses, and nothing else is left.
    pub fn lose_power(&mut self, hash: u64) {
        self.sync_in_part(hash);
        self.shown.clone_from(&self.durable);
    }

    fn settle(&mut self, part: &Part) {
        for (place, change) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            if part.holds(place) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// They are durable as processes see them, whatever failed before.
    pub fn all_durable(&mut self) {
        self.durable.clone_from(&self.shown);
        self.changes.clear();
    }

    /// The files that are still to be found, or may be again after a loss of power.
    pub fn files(&self) -> BTreeSet<u64> {
        let changed = self.changes.iter().filter_map(|change| match change {
            Change::Leads(_, file) => Some(file),
            Change::Gone(_) => None,
        });
        self.shown.values().chain(self.durable.values()).chain(changed).copied().collect()
    }
}
