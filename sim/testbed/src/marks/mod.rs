//! Coverage marks: situations that a good exploration must reach.
//!
//! A tester that finds nothing may be blind. A *mark* is a situation in which protocols of this kind have
//! been wrong, seen from outside the production code; a run *reaches* it or not. An exploration counts the
//! runs that reach each mark and names those that none did: what it found out there is nothing.
//!
//! There are two sorts, both told by the system's [`Table`]: *situations*, named one by one, and *overlaps*
//! ([`overlap`]): each kind of fault striking each role that a node has. What no run can reach is no mark,
//! and is listed with the reason ([`unreachable()`]).
//!
//! A system's lookout sees every step of every machine through the run's one observer, and what the nemesis
//! and the disks do. It keeps what it needs beside the machines, decides nothing, and draws nothing: a run is
//! the same, byte for byte, with or without it.
//!
//! # To add a mark
//!
//! 1. Give it a row in the system's table: a name that is a claim about a run, and a sentence.
//! 2. Reach it in the system's lookout. The condition states the situation itself, not a plan that may lead
//!    to it.
//! 3. Explore (`--seeds 1000 --marks`). If no seed reaches it, the generator lacks a plan.

pub mod family;
pub mod overlap;
pub mod struck;
pub mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub use overlap::{Overlap, Role, Strike};
pub use table::{Row, Table};

use crate::system::System;

/// A situation that a run reaches or not: a place in the system's tables. Behind the situations are all
/// overlaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark<S: System> {
    place: usize,
    of: PhantomData<S>,
}

/// How many runs reached each mark.
pub type Counts<S> = BTreeMap<Mark<S>, u64>;

impl<S: System> Mark<S> {
    /// The situation in this row of the system's table.
    pub fn situation(row: usize) -> Self {
        assert!(row < S::MARKS.situations.len(), "the system's table has no row {row}");
        Self { place: row, of: PhantomData }
    }

    /// All marks, in the order of the tables.
    pub fn all() -> impl Iterator<Item = Self> {
        let possible = Overlap::all::<S>().filter(|overlap| overlap.impossible::<S>().is_none());
        (0..S::MARKS.situations.len()).map(Self::situation).chain(possible.map(Self::from))
    }

    /// The mark of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|mark| mark.name() == name)
    }

    /// A claim that a run bears out or not.
    pub fn name(self) -> String {
        self.row().map_or_else(|overlap| overlap.name::<S>(), |row| row.name.to_string())
    }

    /// What it is, in a sentence.
    pub fn about(self) -> String {
        let about = self.row().map_or("The fault strikes a node that has this role.", |row| row.about);
        about.to_string()
    }

    /// Its row, if it is a situation.
    fn row(self) -> Result<&'static Row, Overlap> {
        let situations = S::MARKS.situations;
        let overlap = |behind| Overlap::all::<S>().nth(behind).expect("a mark is in the tables");
        situations.get(self.place).ok_or_else(|| overlap(self.place - situations.len()))
    }
}

impl<S: System> From<Overlap> for Mark<S> {
    fn from(overlap: Overlap) -> Self {
        Self { place: S::MARKS.situations.len() + overlap.index::<S>(), of: PhantomData }
    }
}

impl<S: System> fmt::Debug for Mark<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl<S: System> Serialize for Mark<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de, S: System> Deserialize<'de> for Mark<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::find(&name).ok_or_else(|| {
            let hint = "`cargo sim explore --seeds 1 --marks` lists them";
            D::Error::custom(format!("no mark is called {name:?}: {hint}"))
        })
    }
}

/// What no run can reach, and why: situations that were considered, and overlaps.
pub fn unreachable<S: System>() -> impl Iterator<Item = (String, &'static str)> {
    let situations = S::MARKS.unreachable.iter().map(|(what, why)| ((*what).to_string(), *why));
    let overlap = |overlap: Overlap| Some((overlap.name::<S>(), overlap.impossible::<S>()?));
    situations.chain(Overlap::all::<S>().filter_map(overlap))
}

/// Whether a system's tables are as they should be. For its tests.
///
/// # Errors
///
/// The first name that is not, and why.
pub fn check<S: System>() -> Result<(), String> {
    let mut names = BTreeSet::new();
    for mark in Mark::<S>::all() {
        let (name, about) = (mark.name(), mark.about());
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err(format!("{name} is not in lower case"));
        }
        if !about.ends_with('.') || !about.starts_with(char::is_uppercase) {
            return Err(format!("{name}: this is no sentence: {about}"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("two marks are called {name}"));
        }
    }
    for (what, why) in unreachable::<S>() {
        if names.contains(&what) || why.is_empty() {
            return Err(format!("{what} is a mark, or nothing says why it cannot be reached"));
        }
    }
    Ok(())
}

/// A set of marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks<S: System> {
    /// A bit for each place.
    words: Box<[u64]>,
    of: PhantomData<S>,
}

impl<S: System> Default for Marks<S> {
    fn default() -> Self {
        let places = S::MARKS.situations.len() + Overlap::all::<S>().count();
        Self { words: vec![0; places.div_ceil(64)].into(), of: PhantomData }
    }
}

impl<S: System> Marks<S> {
    /// Adds one.
    pub fn insert(&mut self, mark: impl Into<Mark<S>>) {
        let Mark { place, .. } = mark.into();
        self.words[place / 64] |= 1 << (place % 64);
    }

    /// Whether it holds this one.
    pub fn contains(&self, mark: impl Into<Mark<S>>) -> bool {
        let Mark { place, .. } = mark.into();
        self.words[place / 64] & (1 << (place % 64)) != 0
    }

    /// Those it holds, in the order of the tables.
    pub fn iter(&self) -> impl Iterator<Item = Mark<S>> {
        Mark::all().filter(|mark| self.contains(*mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy::Toy;

    #[test]
    fn there_are_no_more_marks_than_the_system_tells_of_and_they_come_in_its_order() {
        let names: Vec<String> = Mark::<Toy>::all().map(Mark::name).collect();
        assert_eq!(names[..3], ["update_answered_twice", "read_of_nothing", "crash_strikes_process"]);
        // A process can be struck by all but lies, which the toy does not know; a client by what does not ask
        // for a memory or a disk.
        assert_eq!(names.len(), 2 + (Strike::ALL.len() - 1) + (Strike::ALL.len() - 6));
        assert_eq!(names.last().map(String::as_str), Some("cancellation_strikes_client"));
    }

    #[test]
    fn names_are_claims_and_descriptions_are_sentences() {
        assert_eq!(check::<Toy>(), Ok(()));
    }

    #[test]
    fn what_is_impossible_says_why() {
        let why = |name: &str| unreachable::<Toy>().find(|(what, _)| what == name).map(|(_, why)| why);
        assert_eq!(why("a process of another sort"), Some("there is one sort"));
        assert_eq!(why("crash_strikes_client"), Some("clients do not crash, they give up"));
        assert_eq!(why("forgery_strikes_process"), Some("nobody lies to it"));
        assert_eq!(why("crash_strikes_process"), None);
    }

    #[test]
    fn a_fault_is_impossible_if_it_strikes_no_role() {
        let forge = Strike::Message(crate::data::fault::Mistreatment::Forge);
        assert_eq!(forge.impossible::<Toy>(), Some("nobody lies to it"));
        assert_eq!(Strike::Crash.impossible::<Toy>(), None, "it strikes processes, though not clients");
    }

    #[test]
    fn a_set_holds_what_was_put_into_it_and_nothing_else() {
        let mut marks = Marks::<Toy>::default();
        for (seen, mark) in Mark::all().enumerate() {
            assert!(!marks.contains(mark), "{mark:?} shares its place");
            marks.insert(mark);
            assert_eq!(marks.iter().count(), seen + 1);
            assert_eq!(Mark::find(&mark.name()), Some(mark));
        }
    }

    #[test]
    fn a_plan_names_marks_and_one_that_does_not_exist_is_refused() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Plan {
            reaches: Vec<Mark<Toy>>,
        }
        let plan = Plan { reaches: Mark::all().collect() };
        let text = toml::to_string(&plan).expect("names");
        assert_eq!(toml::from_str::<Plan>(&text).expect("what was printed can be read"), plan);
        let error = toml::from_str::<Plan>("reaches = ['read_of_nothink']").expect_err("a typing error");
        assert!(error.to_string().contains("read_of_nothink") && error.to_string().contains("--marks"));
    }
}
