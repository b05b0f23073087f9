//! Coverage marks: situations that a good exploration must reach.
//!
//! A tester that finds nothing may be blind. A *mark* is a situation in which protocols of this kind have
//! been wrong, seen from outside the production code; a run *reaches* it or not. An exploration counts the
//! runs that reach each mark and names those that none did: what it found out there is nothing.
//!
//! There are two sorts: *situations*, named one by one in [`table`], and *overlaps* ([`overlap`]): each
//! kind of fault striking each role that a node has. What no run can reach is no mark, and is listed
//! with the reason ([`unreachable()`]).
//!
//! [`lookout`] sees every step of every machine through the run's one observer, and what the nemesis and the
//! disks do. It keeps what it needs beside the machines, decides nothing, and draws nothing: a run is the
//! same, byte for byte, with or without it.
//!
//! # To add a mark
//!
//! 1. Give it a row in [`table`]: a name that is a claim about a run, where it is seen, and a sentence.
//! 2. Reach it in the file of [`lookout`] that sees it: `self.reach(Situation::Name)`. The condition states
//!    the situation itself, not a plan that may lead to it.
//! 3. Explore (`cargo sim --seeds 1000 --marks`). If no seed reaches it, the generator lacks a plan.

pub mod family;
pub mod lookout;
pub mod overlap;
pub mod table;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub use overlap::{Overlap, Role, Strike};
pub use table::Situation;

/// A situation that a run reaches or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// Named one by one.
    Situation(Situation),
    /// A kind of fault strikes a part.
    Overlap(Overlap),
}

/// How many runs reached each mark.
pub type Counts = BTreeMap<Mark, u64>;

impl Mark {
    /// All marks, in the order of the tables.
    pub fn all() -> impl Iterator<Item = Self> {
        let overlaps = Overlap::all().filter(|overlap| overlap.impossible().is_none());
        Situation::ALL.iter().copied().map(Self::Situation).chain(overlaps.map(Self::Overlap))
    }

    /// The mark of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|mark| mark.name() == name)
    }

    /// A claim that a run bears out or not.
    pub fn name(self) -> String {
        match self {
            Self::Situation(situation) => situation.name().to_string(),
            Self::Overlap(overlap) => overlap.name(),
        }
    }

    /// What it is, in a sentence.
    pub fn about(self) -> String {
        match self {
            Self::Situation(situation) => situation.about().to_string(),
            Self::Overlap(_) => "The fault strikes a node that has this role.".to_string(),
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Situation(situation) => situation as usize,
            Self::Overlap(overlap) => Situation::ALL.len() + overlap.index(),
        }
    }
}

impl From<Situation> for Mark {
    fn from(situation: Situation) -> Self {
        Self::Situation(situation)
    }
}

impl From<Overlap> for Mark {
    fn from(overlap: Overlap) -> Self {
        Self::Overlap(overlap)
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::find(&name).ok_or_else(|| {
            let hint = "`cargo sim explore --seeds 1 --marks` lists them";
            D::Error::custom(format!("no mark is called {name:?}: {hint}"))
        })
    }
}

/// What no run can reach, and why: situations that were considered, and overlaps.
pub fn unreachable() -> impl Iterator<Item = (String, &'static str)> {
    let situations = table::UNREACHABLE.iter().map(|(what, why)| ((*what).to_string(), *why));
    situations.chain(Overlap::all().filter_map(|overlap| Some((overlap.name(), overlap.impossible()?))))
}

/// Words of 64 bits in a set.
const WORDS: usize = 4;

/// A set of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks([u64; WORDS]);

impl Marks {
    /// Adds one.
    pub fn insert(&mut self, mark: impl Into<Mark>) {
        let index = mark.into().index();
        self.0[index / 64] |= 1 << (index % 64);
    }

    /// Whether it holds this one.
    pub fn contains(&self, mark: impl Into<Mark>) -> bool {
        let index = mark.into().index();
        self.0[index / 64] & (1 << (index % 64)) != 0
    }

    /// Those it holds, in the order of the tables.
    pub fn iter(&self) -> impl Iterator<Item = Mark> {
        let set = *self;
        Mark::all().filter(move |mark| set.contains(*mark))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_mark_has_a_name_and_a_place_of_its_own() {
        let names: BTreeSet<String> = Mark::all().map(Mark::name).collect();
        assert_eq!(names.len(), Mark::all().count());
        let mut marks = Marks::default();
        for (seen, mark) in Mark::all().enumerate() {
            assert!(!marks.contains(mark), "{mark:?} shares its place");
            marks.insert(mark);
            assert_eq!(marks.iter().count(), seen + 1);
            assert_eq!(Mark::find(&mark.name()), Some(mark));
        }
    }

    #[test]
    fn names_are_claims_and_descriptions_are_sentences() {
        for mark in Mark::all() {
            let (name, about) = (mark.name(), mark.about());
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(about.ends_with('.') && about.starts_with(char::is_uppercase), "{name}: {about}");
        }
    }

    #[test]
    fn a_plan_names_marks_and_one_that_does_not_exist_is_refused() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Plan {
            reaches: Vec<Mark>,
        }
        let plan = Plan { reaches: Mark::all().collect() };
        let text = toml::to_string(&plan).expect("names");
        assert_eq!(toml::from_str::<Plan>(&text).expect("what was printed can be read"), plan);
        let error = toml::from_str::<Plan>("reaches = ['stale_apend_refused']").expect_err("a typing error");
        assert!(error.to_string().contains("stale_apend_refused") && error.to_string().contains("--marks"));
    }

    #[test]
    fn what_cannot_be_reached_is_no_mark() {
        for (what, why) in unreachable() {
            assert_eq!(Mark::find(&what), None);
            assert!(!why.is_empty());
        }
    }
}
