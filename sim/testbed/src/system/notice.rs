//! What processes report, and how the page draws it: a lane for each process, and on top a band of the times
//! that the whole system goes through (terms, epochs).

use std::fmt;

use serde::Serialize;

use super::Data;

/// Something that a process reports about itself: a moment on the timeline. `{:#}` is the long form in words.
pub trait Notice: Data + fmt::Display {
    /// How the lane of the process changes.
    fn lane(&self) -> Vec<LaneChange> {
        Vec::new()
    }

    /// The time of the whole system that begins with it, or comes into force.
    fn era(&self) -> Option<Era> {
        None
    }
}

/// The notice of a system whose processes report nothing.
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum NoNotice {}

impl fmt::Display for NoNotice {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Notice for NoNotice {}

/// What a process is, or does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Tells it from others.
    pub name: &'static str,
    /// How it is drawn.
    pub colour: Colour,
    /// What the legend calls it; absent: it is not in the legend.
    pub legend: Option<&'static str>,
}

impl State {
    /// A process runs, and more is not known.
    pub const UP: Self = Self { name: "up", colour: Colour::Light, legend: None };
}

/// How a state is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The process on which most depends.
    Strong,
    /// One that does its part.
    Light,
    /// One that does nothing.
    Grey,
    /// One with which something is not right.
    Amber,
    /// One that is not there yet.
    Outline,
    /// What goes on besides.
    Teal,
    /// The testbed's own: the process is down,
    Down,
    /// or stands still.
    Paused,
}

impl Colour {
    /// Its class on the page, behind that of what is drawn.
    pub fn class(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Light => "light",
            Self::Grey => "grey",
            Self::Amber => "amber",
            Self::Outline => "outline",
            Self::Teal => "teal",
            Self::Down => "down",
            Self::Paused => "paused",
        }
    }
}

/// How the lane of a process changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneChange {
    /// From now on the process is in this state, and no longer in the one before.
    Is {
        /// The state.
        state: State,
        /// In words, such as `leader of t3`.
        text: String,
        /// The number of the era for which the process takes itself for this.
        era: Option<u64>,
    },
    /// Something begins besides.
    Begins {
        /// What.
        state: State,
        /// In words, such as `copies to n2`.
        text: String,
    },
    /// It ends.
    Ends {
        /// What.
        state: State,
        /// In the same words as it began; absent: all of this sort.
        text: Option<String>,
    },
}

/// A time of the whole system, from when it is proposed until the next one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Era {
    /// Its number.
    pub number: u64,
    /// Whether it is in force; else it is proposed.
    pub is_in_force: bool,
    /// In a sentence, such as `t3 (leader n2)`.
    pub name: String,
    /// In the band, short.
    pub text: String,
    /// Its details, one a line.
    pub details: Vec<String>,
    /// Why it was proposed, if that is known now.
    pub why: Option<String>,
}

/// What the eras of a system are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EraWords {
    /// All of them: `terms`.
    pub title: &'static str,
    /// What one has been since it was proposed, until it is in force: `proposed`,
    pub proposed: &'static str,
    /// and since then: `active`.
    pub in_force: &'static str,
    /// What the legend calls one that is not in force yet.
    pub legend: &'static str,
    /// What is said of one that never was.
    pub never: &'static str,
}
