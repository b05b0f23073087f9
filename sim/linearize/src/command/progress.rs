//! What a user sees of a long check, and can do about it.

use std::io::{self, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Cancel;

/// A check that ends sooner shows nothing.
const SHOWN_FROM: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(250);
/// Erases the line of a terminal and goes to its beginning.
const ERASE: &str = "\r\x1b[2K";

/// A flag that the first Ctrl-C sets, so that what is known is printed. The second ends the program.
///
/// May be called once in a program.
pub fn interrupt() -> Cancel {
    let cancel = Cancel::new();
    let flag = cancel.clone();
    let set = ctrlc::set_handler(move || {
        if flag.is_cancelled() {
            std::process::exit(130);
        }
        flag.cancel();
    });
    if let Err(error) = set {
        eprintln!("warning: Ctrl-C ends this program without a word: {error}");
    }
    cancel
}

/// Runs a check while a line of standard error says how far it is.
pub(super) fn shown<T>(name: &str, cancel: &Cancel, check: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let before = cancel.configurations();
    let (done, is_done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut wait = SHOWN_FROM;
            let mut written = false;
            while is_done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let line = line(name, begin.elapsed(), cancel.configurations() - before, cancel.keys());
                let mut terminal = io::stderr().lock();
                written = write!(terminal, "{ERASE}{line}").and_then(|()| terminal.flush()).is_ok();
                wait = INTERVAL;
            }
            if written {
                let mut terminal = io::stderr().lock();
                let _ = write!(terminal, "{ERASE}").and_then(|()| terminal.flush());
            }
        });
        let checked = check();
        drop(done);
        checked
    })
}

fn line(name: &str, spent: Duration, configurations: u64, keys: usize) -> String {
    let name: String = name.chars().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect();
    let seconds = spent.as_secs();
    if keys == 0 {
        return format!("{name}: {seconds} s");
    }
    let thousands = configurations / 1000;
    format!(
        "{name}: {seconds} s, {thousands} thousand configurations, {keys} keys to search; Ctrl-C says what is known"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_a_search_is_and_fits_a_terminal() {
        let line = line(&"x".repeat(500), Duration::from_millis(12_900), 3_456_789, 4);
        assert!(
            line.ends_with(
                "x: 12 s, 3456 thousand configurations, 4 keys to search; Ctrl-C says what is known"
            )
        );
        assert!(line.len() <= 120, "{line}");
    }
}
