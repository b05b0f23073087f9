//! What a person sees while an exploration goes on: on a terminal one line that changes, otherwise a line
//! from time to time.

use std::time::{Duration, Instant};

use crate::{
    explore::{Tally, summary},
    system::System,
};
use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where nothing can be changed any more.
const LINE_INTERVAL: Duration = Duration::from_secs(60);
/// Between two changes of the line on a terminal.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// Where an exploration says how it is getting on.
pub struct Display {
    bar: ProgressBar,
    said: Instant,
}

impl Display {
    /// So many seeds will be made, unless that is not known.
    pub fn new(seeds: Option<u64>) -> Self {
        let (bar, style) = match seeds {
            Some(seeds) => (ProgressBar::new(seeds), "{bar:20} {pos}/{len} {msg}, {eta} left"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg}, {elapsed}"),
        };
        bar.set_style(ProgressStyle::with_template(style).expect("the template is well formed"));
        Self { bar, said: Instant::now() }
    }

    /// Shows how far it is, if it is time to.
    pub fn refresh<S: System>(&mut self, tally: &Tally<S>, wall: Duration, next: Option<u64>) {
        let interval = if self.bar.is_hidden() { LINE_INTERVAL } else { REFRESH_INTERVAL };
        if self.said.elapsed() < interval {
            return;
        }
        self.said = Instant::now();
        let status = summary::status(tally, wall, next);
        if self.bar.is_hidden() {
            eprintln!("{status}");
        } else {
            self.bar.set_message(status);
            self.bar.set_position(tally.sums.seeds);
        }
    }

    /// Says something that stays.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Nothing is to be said any more.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
