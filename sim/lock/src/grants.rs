//! What requests mean. Pure: nothing in here waits, reads a clock or touches a disk.

use std::collections::BTreeMap;

/// The longest name of a lock or an owner, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// A change of a lock, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// The lock was free and has an owner now.
    Grant {
        /// Name of the lock.
        lock: String,
        /// Name of the owner.
        owner: String,
    },
    /// The lock is free again.
    Release {
        /// Name of the lock.
        lock: String,
        /// The owner that held it.
        owner: String,
    },
}

/// A lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lock {
    /// Its owner; none if it is free.
    pub owner: Option<String>,
    /// Number of the record that changed it last, from 1; 0 if it never changed.
    pub version: u64,
}

/// What is to be done about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, as soon as this record is durable.
    Write(Record),
    /// Yes: it is so already.
    Done,
    /// No, and nothing changes.
    Refused,
}

/// All locks: the log, replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    /// A lock that was released stays: its version must go on.
    locks: BTreeMap<String, Lock>,
    records: u64,
}

impl Grants {
    /// Takes note of the log's next record.
    pub fn apply(&mut self, record: &Record) {
        self.records += 1;
        let (name, owner) = match record {
            Record::Grant { lock, owner } => (lock, Some(owner.clone())),
            Record::Release { lock, .. } => (lock, None),
        };
        self.locks.insert(name.clone(), Lock { owner, version: self.records });
    }

    /// The lock of this name.
    pub fn lock(&self, name: &str) -> Lock {
        self.locks.get(name).cloned().unwrap_or_default()
    }

    /// `owner` wants the lock, which had this version when `owner` looked.
    pub fn acquire(&self, name: &str, owner: &str, version: u64) -> Decision {
        let lock = self.lock(name);
        match lock.owner.as_deref() {
            // The caller holds it: a retry whose first answer was lost must not be told "held".
            Some(holder) if holder == owner => Decision::Done,
            None if lock.version == version => {
                Decision::Write(Record::Grant { lock: name.to_owned(), owner: owner.to_owned() })
            }
            _ => Decision::Refused,
        }
    }

    /// `owner` no longer wants the lock, which it was granted with this version.
    pub fn release(&self, name: &str, owner: &str, version: u64) -> Decision {
        let lock = self.lock(name);
        if version < lock.version {
            // A retry, again: the grant is over, and only its owner can have ended it.
            Decision::Done
        } else if version == lock.version && lock.owner.as_deref() == Some(owner) {
            Decision::Write(Record::Release { lock: name.to_owned(), owner: owner.to_owned() })
        } else {
            Decision::Refused
        }
    }
}

/// Checks the name of a lock or an owner.
///
/// # Errors
///
/// In words.
pub fn check_name(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("a name cannot be empty".into()),
        1..=NAME_BYTES_MAX => Ok(()),
        bytes => Err(format!("a name has at most {NAME_BYTES_MAX} bytes, this one has {bytes}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(records: &[Record]) -> Grants {
        let mut grants = Grants::default();
        records.iter().for_each(|record| grants.apply(record));
        grants
    }

    fn grant(lock: &str, owner: &str) -> Record {
        Record::Grant { lock: lock.into(), owner: owner.into() }
    }

    fn release(lock: &str, owner: &str) -> Record {
        Record::Release { lock: lock.into(), owner: owner.into() }
    }

    #[test]
    fn a_free_lock_is_granted_and_a_held_one_is_not() {
        assert_eq!(after(&[]).acquire("a", "c1", 0), Decision::Write(grant("a", "c1")));
        let held = after(&[grant("a", "c1")]);
        assert_eq!(held.lock("a"), Lock { owner: Some("c1".into()), version: 1 });
        assert_eq!(held.acquire("a", "c2", 1), Decision::Refused);
        assert_eq!(held.acquire("b", "c2", 0), Decision::Write(grant("b", "c2")), "another lock");
    }

    #[test]
    fn the_owner_of_a_lock_is_granted_it_again() {
        let held = after(&[grant("a", "c1")]);
        assert_eq!(held.acquire("a", "c1", 0), Decision::Done, "a retry: its first answer was lost");
        assert_eq!(held.acquire("a", "c1", 1), Decision::Done, "another call");
    }

    #[test]
    fn only_the_owner_releases() {
        let held = after(&[grant("a", "c1")]);
        assert_eq!(held.release("a", "c2", 1), Decision::Refused);
        assert_eq!(held.release("b", "c1", 0), Decision::Refused, "free");
        assert_eq!(held.release("a", "c1", 2), Decision::Refused, "a version that is still to come");
        assert_eq!(held.release("a", "c1", 1), Decision::Write(release("a", "c1")));
    }

    #[test]
    fn a_released_grant_is_released_again_whoever_holds_the_lock_by_now() {
        let mut grants = after(&[grant("a", "c1"), release("a", "c1")]);
        assert_eq!(grants.release("a", "c1", 1), Decision::Done);
        grants.apply(&grant("a", "c2"));
        assert_eq!(grants.release("a", "c1", 1), Decision::Done);
        assert_eq!(grants.lock("a").owner.as_deref(), Some("c2"));
    }

    #[test]
    fn a_late_copy_of_a_request_changes_nothing() {
        let free = after(&[grant("a", "c1"), release("a", "c1")]);
        assert_eq!(free.acquire("a", "c1", 0), Decision::Refused);
        let held_again = after(&[grant("a", "c1"), release("a", "c1"), grant("a", "c1")]);
        assert_eq!(held_again.release("a", "c1", 1), Decision::Done);
        assert_eq!(held_again.lock("a").owner.as_deref(), Some("c1"));
    }

    #[test]
    fn names_are_neither_empty_nor_long() {
        assert!(check_name("a").is_ok() && check_name(&"a".repeat(NAME_BYTES_MAX)).is_ok());
        assert!(check_name("").is_err() && check_name(&"a".repeat(NAME_BYTES_MAX + 1)).is_err());
    }
}
