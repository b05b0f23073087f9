//! The order in which the servers took updates, and what it explains of what the clients saw.
//!
//! An observer of the whole cluster sees each commitment, hence an order of all updates, with the time at
//! which each took effect. For a correct cluster that order, with every Get put where its answer was true, is
//! a linearization, and it is found without a search. It is a *suggestion*: nothing here is believed before
//! the checker replayed it on its own model of the store, and where it explains nothing the clients' view
//! alone decides.
//!
//! Which entries of the log took effect is decided by applying them, as a replica does: an entry may stand
//! there twice, or on behalf of a session that is forgotten. Which value a key then had is decided by the
//! checker's model, so that a mistake of the store is not repeated here.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use linearizability::{Model, kv::Kv};
use pbkv::protocol::{
    command::{Command, Entry, Expected, Outcome, Update},
    identity::{OpNumber, RequestNumber, SessionId, ViewNumber},
    log::Write,
    replica::Effect,
    store::{Applied, State},
};

use crate::{
    bound::{End, Operation},
    judges::invariants::Committed,
    store::operation::{Input, Output},
};

/// How often the state is kept, in operations. Keeping one costs a copy of what the next operation changes.
const STATE_INTERVAL: u64 = 16;

/// So many of the latest states are kept: a replica that is further behind is compared when it has caught up.
const STATES_MAX: usize = 64;

/// A change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// When it was committed.
    pub at: Duration,
    /// Its place in the log: it orders what was committed at one time.
    pub op: OpNumber,
    /// What it did.
    pub update: Update,
    /// What the key held before, by the checker's model.
    pub before: Option<Bytes>,
    /// What it held then.
    pub after: Option<Bytes>,
    /// The operation that changed it last, this one included; 0 if it is absent then.
    pub modified: OpNumber,
}

/// The updates that took effect, in the order of the log.
#[derive(Clone, Debug, Default)]
pub struct ServersOrder {
    /// The state after all that is committed,
    state: State,
    /// and after every [`STATE_INTERVAL`]th operation of the latest ones.
    states: BTreeMap<OpNumber, State>,
    /// An operation was committed that nobody was seen to write: the states are not those of the log any
    /// more.
    has_gap: bool,
    /// Entries on somebody's disk that are not committed yet.
    written: BTreeMap<(OpNumber, ViewNumber), Entry>,
    committed: OpNumber,
    versions: BTreeMap<Bytes, Vec<Version>>,
    /// The places, in `versions` of their key, of those that wrote a value. Written values are unique.
    values: BTreeMap<(Bytes, Bytes), usize>,
    /// The orders of the generations that were given up, from the first on.
    former: Vec<Self>,
}

impl ServersOrder {
    /// Takes note of what a replica's step handed to the disk, and of what was committed by it. An operation
    /// is on a disk before it is committed, and may be compacted away in the very step that commits it.
    pub fn note(&mut self, at: Duration, effects: &[Effect], committed: &Committed) {
        for effect in effects {
            let Effect::Persist { writes, .. } = effect else { continue };
            for write in writes {
                if let Write::Entry(entry) = write {
                    self.written(entry);
                }
            }
        }
        while let Some(next) = committed.get(self.committed.next()) {
            self.committed(at, next.view);
        }
    }

    /// All data is given up: the next generation begins, empty.
    pub fn begin_anew(&mut self) {
        let mut given_up = std::mem::take(self);
        self.former = std::mem::take(&mut given_up.former);
        self.former.push(given_up);
    }

    /// The orders of all generations, each with its number.
    pub fn generations(&self) -> impl Iterator<Item = (u64, &Self)> {
        (1..).zip(self.former.iter().chain([self]))
    }

    /// The order of an operation's generation.
    pub fn of(&self, operation: &Operation) -> &Self {
        self.of_generation(operation.detail.generation)
    }

    /// The order of the generation of this number; of the latest, if it is none that was given up.
    pub fn of_generation(&self, number: u64) -> &Self {
        let place = number.checked_sub(1).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| self.former.get(place)).unwrap_or(self)
    }

    /// An entry is about to be on somebody's disk. That is so before it is committed.
    pub fn written(&mut self, entry: &Entry) {
        if entry.position.op > self.committed {
            self.written.insert((entry.position.op, entry.position.view), entry.clone());
        }
    }

    /// Whether every committed operation was seen to be written before: otherwise the order explains less
    /// than it should.
    pub fn is_complete(&self) -> bool {
        !self.has_gap
    }

    /// The operation up to which commitments were told of.
    pub fn committed_up_to(&self) -> OpNumber {
        self.committed
    }

    /// The next operation was committed, as this view put it into the log.
    pub fn committed(&mut self, at: Duration, view: ViewNumber) {
        let op = self.committed.next();
        self.committed = op;
        let entry = self.written.remove(&(op, view));
        self.written = self.written.split_off(&(op.next(), ViewNumber(0)));
        // What nobody was seen to write explains nothing.
        let Some(entry) = entry else {
            self.has_gap = true;
            return;
        };
        let executed_before = match &entry.command {
            Command::Update { session, request, .. } => self.last_request(*session) == Some(*request),
            Command::OpenSession { .. } | Command::CloseSession { .. } => false,
        };
        let applied = self.state.apply(&entry);
        if let (Command::Update { update, .. }, Applied::Executed(executed)) = (entry.command, applied)
            && !executed_before
            && !matches!(executed.outcome, Outcome::ValueTooLarge { .. })
        {
            self.took_effect(at, op, update);
        }
        if op.0.is_multiple_of(STATE_INTERVAL) {
            self.states.insert(op, self.state.clone());
            if self.states.len() > STATES_MAX {
                self.states.pop_first();
            }
        }
    }

    /// The state after the committed operations up to `op`, if it is known and was kept.
    pub fn state_after(&self, op: OpNumber) -> Option<&State> {
        match op {
            _ if self.has_gap => None,
            op if op == self.committed => Some(&self.state),
            op => self.states.get(&op),
        }
    }

    fn last_request(&self, session: SessionId) -> Option<RequestNumber> {
        let last = self.state.session(session)?.last.as_ref();
        last.map(|(request, _)| *request)
    }

    fn took_effect(&mut self, at: Duration, op: OpNumber, update: Update) {
        let versions = self.versions.entry(update.key().clone()).or_default();
        let before = versions.last().and_then(|version| version.after.clone());
        let modified = versions.last().map_or(OpNumber(0), |version| version.modified);
        let input = as_input(&update, &before, modified);
        let after = Kv.step(&before, &input, None).expect("any update can be made");
        let modified = match &input {
            Input::Delete { .. } => OpNumber(0),
            Input::CompareAndSwap { expected, .. } if *expected != before => modified,
            _ => op,
        };
        if let Some(value) = written_value(&update) {
            self.values.entry((update.key().clone(), value.clone())).or_insert(versions.len());
        }
        versions.push(Version { at, op, update, before, after, modified });
    }

    /// The changes of a key, in order.
    pub fn versions(&self, key: &[u8]) -> &[Version] {
        self.versions.get(key).map_or(&[], Vec::as_slice)
    }

    /// The keys that were changed.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.versions.keys()
    }

    /// The change that wrote this value to this key.
    pub fn version_of(&self, key: &Bytes, value: &Bytes) -> Option<&Version> {
        let place = self.values.get(&(key.clone(), value.clone()))?;
        Some(&self.versions(key)[*place])
    }

    /// The change that an operation asked for, if it wrote a value.
    pub fn version_of_input(&self, input: &Input) -> Option<&Version> {
        match input {
            Input::Get { .. } | Input::Delete { .. } => None,
            Input::Put { key, value }
            | Input::Append { key, value }
            | Input::CompareAndSwap { key, new: value, .. } => self.version_of(key, value),
        }
    }

    /// How many changes of `key` came before the moment, between `called` and `returned`, at which it held
    /// `value`: the first such moment. A change is visible from the time of its commitment on.
    pub fn holds(
        &self,
        key: &[u8],
        value: &Option<Bytes>,
        called: Duration,
        returned: Duration,
    ) -> Option<usize> {
        let versions = self.versions(key);
        let first = versions.partition_point(|version| version.at <= called);
        let last = versions.partition_point(|version| version.at <= returned);
        (first..=last).find(|count| match count.checked_sub(1) {
            None => value.is_none(),
            Some(place) => versions[place].after == *value,
        })
    }

    /// Whether the servers' order explains an operation that was answered. A delete is explained by any that
    /// fits.
    pub fn explains(&self, operation: &Operation) -> bool {
        let End::Returned { at: returned, output } = &operation.end else { return true };
        let fits = |version: &Version| operation.called < version.at && version.at < *returned;
        match (&operation.input, output) {
            (Input::Get { key }, Output::Value(value)) => {
                self.holds(key, value, operation.called, *returned).is_some()
            }
            (Input::Put { key, value } | Input::Append { key, value }, _) => {
                self.version_of(key, value).is_some_and(fits)
            }
            (Input::CompareAndSwap { key, expected, new }, Output::Swapped { swapped, previous }) => {
                self.version_of(key, new).is_some_and(|version| {
                    fits(version)
                        && *swapped == (version.before == *expected)
                        && previous.as_ref().is_none_or(|previous| *previous == version.before)
                })
            }
            (Input::Delete { key }, Output::Deleted { existed }) => {
                let versions = self.versions(key);
                let first = versions.partition_point(|version| version.at <= operation.called);
                versions[first..].iter().take_while(|version| fits(version)).any(|version| {
                    matches!(version.update, Update::Delete { .. })
                        && existed.is_none_or(|existed| existed == version.before.is_some())
                })
            }
            _ => false,
        }
    }
}

/// The value that an update writes, if it writes one.
fn written_value(update: &Update) -> Option<&Bytes> {
    match update {
        Update::Put { value, .. } | Update::Append { value, .. } => Some(value),
        Update::CompareAndSwap { new, .. } => Some(new),
        Update::Delete { .. } => None,
    }
}

/// An update in the words of the checker's model, which knows values alone: a revision that the key has
/// stands for the value that it has, any other for one that it has not.
fn as_input(update: &Update, before: &Option<Bytes>, modified: OpNumber) -> Input {
    match update.clone() {
        Update::Put { key, value } => Input::Put { key, value },
        Update::Append { key, value, .. } => Input::Append { key, value },
        Update::Delete { key } => Input::Delete { key },
        Update::CompareAndSwap { key, expected, new } => {
            let expected = match expected {
                Expected::Value(value) => value,
                Expected::Revision(revision) if revision == modified => before.clone(),
                Expected::Revision(_) if before.is_none() => Some(Bytes::new()),
                Expected::Revision(_) => None,
            };
            Input::CompareAndSwap { key, expected, new }
        }
    }
}
