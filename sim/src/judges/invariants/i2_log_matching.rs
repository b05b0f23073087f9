//! I2: two logs of one generation that have an entry of the same view at the same place have the same entry
//! there, and the same entries before it.
//!
//! Source: rule R5; Raft calls it log matching. It cannot see entries that were in nobody's log when a
//! step ended.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use pbkv::protocol::{
    command::Entry,
    identity::{Generation, Position, ServerId},
    replica::Replica,
};

use super::{Broken, Check};

#[derive(Clone, Debug, Default, Hash)]
pub(super) struct LogMatching {
    /// For every entry ever seen: a fingerprint of it, and the position before it.
    entries: BTreeMap<Key, (u64, Position)>,
    ends: BTreeMap<ServerId, Key>,
}

/// A place in one history: its generation, number and nonce, and the position.
type Key = (u64, u64, Position);

fn key(generation: Generation, position: Position) -> Key {
    (generation.number, generation.nonce, position)
}

/// A fingerprint that is the same in every process.
fn fingerprint(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    (entry.timestamp, &entry.command).hash(&mut hasher);
    hasher.finish()
}

impl LogMatching {
    /// What stands before an entry that somebody's log had.
    pub(super) fn before(&self, generation: Generation, position: Position) -> Option<Position> {
        self.entries.get(&key(generation, position)).map(|(_, before)| *before)
    }

    pub(super) fn forget(&mut self, server: &ServerId) {
        self.ends.remove(server);
    }

    pub(super) fn check(&mut self, server: &ServerId, replica: &Replica) -> Check {
        let log = replica.log();
        let end = key(replica.generation(), log.end());
        if self.ends.get(server) == Some(&end) {
            return Ok(());
        }
        self.ends.insert(server.clone(), end);
        let mut op = log.end().op;
        while let Some(entry) = log.entry(op) {
            let before = log.position(pbkv::protocol::identity::OpNumber(op.0 - 1)).expect("no gaps");
            let seen = (fingerprint(entry), before);
            let place = key(replica.generation(), entry.position);
            match self.entries.get(&place) {
                None => {
                    self.entries.insert(place, seen);
                }
                Some(first) if *first == seen => return Ok(()), // and so is everything before it
                Some((_, first_before)) => {
                    return Err(Broken {
                        invariant: "I2",
                        promised: "entries of one view at one place are equal, and so is all before them",
                        seen: format!(
                            "{server} has {:?} after {before:?}, and elsewhere another stands there, after {first_before:?}",
                            entry.position
                        ),
                    });
                }
            }
            op = before.op;
        }
        Ok(())
    }
}
