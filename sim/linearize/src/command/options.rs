//! The command line.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::formats::{Choices, ModelName, Nil, Times};
use crate::{Budget, Cancel};

/// Configurations that the search of one file may visit unless told otherwise: minutes on one core.
pub const CONFIGURATIONS_DEFAULT: u64 = 100_000_000;
/// What the search of one file may remember unless told otherwise, in MiB.
pub const MEMORY_MIB_DEFAULT: u64 = 4_096;
/// Seconds that the search of one file may take unless told otherwise.
pub const SECONDS_DEFAULT: u64 = 60;
/// A hundred years: above this, it is a slip of the finger.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;
/// Above this, a number of MiB is a slip of the finger.
const MEMORY_MIB_MAX: u64 = 1 << 30;
/// The command line.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Files with one history each; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Call a history in which no operation returned linearizable; otherwise it is an error, since nothing
    /// was judged.
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// The object of the histories; guessed from the operations if not given.
    #[arg(long, value_name = "OBJECT", value_enum)]
    pub(super) model: Option<ModelName>,
    /// What each object begins with: the value of every key as plain text, without quotes or colon (JSON
    /// lines can say it for each: {"initial":KEY,"value":VALUE}), free or held, items such as '[1 2]', a
    /// number. Without it, and with nil or null: absent, free, empty, 0.
    #[arg(long, value_name = "VALUE", allow_hyphen_values = true)]
    pub(super) initial: Option<String>,
    /// What a completed read of nil says: that the register was absent, as in porcupine's models, or nothing,
    /// as in Knossos. In JSON lines, null is always absent, and so are the empty list and what Elle's :r
    /// reads as nil.
    #[arg(long, value_name = "MEANING", value_enum, default_value_t = Nil::Absent)]
    pub(super) nil: Nil,
    /// Print one JSON object per file instead of text.
    #[arg(long)]
    pub(super) json: bool,
    /// Draw the history with its verdict into this page; with several files, into pages in this folder.
    #[arg(long, value_name = "FILE.html|FOLDER")]
    pub(super) html: Option<PathBuf>,
    /// What the times of JSON lines are counted in, which sentences show in seconds; dates are shown as
    /// dates, and for the times that logs of events do not have, lines stand.
    #[arg(long, value_name = "UNIT", value_enum, default_value_t = Unit::Ns)]
    pub(super) unit: Unit,
    /// About how long the search of each file may take before it gives up.
    #[arg(long, value_name = "SECONDS", default_value_t = SECONDS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    pub(super) seconds: u64,
    /// How many configurations the search may visit in each file before it gives up.
    #[arg(long, value_name = "N", default_value_t = CONFIGURATIONS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) configurations: u64,
    /// How many MiB of visited configurations the search may remember in each file before it gives up.
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=MEMORY_MIB_MAX))]
    pub(super) memory_mib: u64,
}

/// What times are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// No known unit: shown as it is.
    None,
}

impl Unit {
    pub(super) fn show(self, times: &Times, time: u64) -> String {
        let digits = match self {
            Unit::Ns => 9,
            Unit::Us => 6,
            Unit::Ms => 3,
            Unit::S | Unit::None => 0,
        };
        let unit = if self == Unit::None || times.are_dates() { "" } else { " s" };
        format!("{}{unit}", times.show(time, digits))
    }
}

impl Options {
    pub(super) fn choices(&self) -> Choices {
        Choices { model: self.model, nil: self.nil, initial: self.initial.clone() }
    }

    pub(super) fn judged_with(&self, cancel: Option<Cancel>) -> crate::Options {
        crate::Options {
            budget: Budget { configurations: self.configurations, bytes: self.memory_mib << 20 },
            parallel: true,
            // Only a drawing shows the order.
            witness: self.html.is_some(),
            smallest: true,
            deadline: Instant::now().checked_add(Duration::from_secs(self.seconds)),
            cancel,
        }
    }
}
