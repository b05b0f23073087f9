//! Checking while the history grows.
//!
//! A [`Monitor`] is told of calls and returns as they happen and reports the first contradiction at the
//! return that completes it. For each key it keeps a **window**: the operations that the future can still
//! depend on. At every return the window is judged as a history of its own, by the fast path as a rule.
//!
//! Whenever a window has doubled, what is settled is dropped from it:
//!
//! - If every value of the key is unambiguous (unique writes), a value that no read can see any more goes
//!   with its operations, and whatever led to a value that can still be seen becomes a single write. What
//!   stays is what is open, what has an unknown outcome and was never seen, and what returned since the
//!   oldest read that is still open was called.
//! - Otherwise (deletes, repeated values, swaps that failed without saying why) a window is cut at a read
//!   during which nothing else was open: from there on only the value it saw counts. Without such moments the
//!   window grows. Beyond [`WINDOW_DENSE`] operations it is then judged at fewer and fewer returns, so that a
//!   contradiction may be reported late, but never wrongly. [`Monitor::finish`] judges what was put off.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::fact::{Fact, fact};
use super::fast::{Kept, settle};
use super::sentence::sentence;
use super::support::unobserved;
use super::{Input, Kv, KvOperation, Output};
use crate::check::check_part;
use crate::history::{HistoryError, Outcome, TIME_MAX};
use crate::verdict::{Budget, Reason, Violation};

/// A window of up to this many operations is judged at every return.
pub const WINDOW_DENSE: usize = 1024;
/// Windows are not tidied before they have this many operations more than after the last time.
const WINDOW_SLACK: usize = 16;

/// Windows hold times shifted by so much: what stands for the beginning must lie before an operation at time
/// 0.
const SHIFT: u64 = 1;

/// Checks a key-value history as it grows.
#[derive(Debug)]
pub struct Monitor {
    budget: Budget,
    windows: BTreeMap<Bytes, Window>,
    /// The open operation of each process: its key and its number.
    open: BTreeMap<u64, (Bytes, usize)>,
    calls: usize,
    now: u64,
    violated: bool,
    eager: bool,
}

/// What the future of one key can depend on.
#[derive(Debug, Default)]
struct Window {
    /// What is judged. Open operations have an unknown outcome so far.
    operations: Vec<KvOperation>,
    entries: Vec<Entry>,
    /// Some operation that happened is no longer listed.
    dropped: bool,
    /// Size after the last tidying.
    tidied: usize,
    /// Returns that were not judged.
    unjudged: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The number the caller knows.
    number: usize,
    /// The operation of that number, where another stands in its place.
    original: Option<KvOperation>,
    /// Its process still waits.
    open: bool,
}

impl Monitor {
    /// A monitor whose searches may cost this much at each return; fast-path checks are not limited.
    pub fn new(budget: Budget) -> Self {
        Monitor {
            budget,
            windows: BTreeMap::new(),
            open: BTreeMap::new(),
            calls: 0,
            now: 0,
            violated: false,
            eager: false,
        }
    }

    /// Tidies every window at every return: the least memory, for more time.
    pub fn eager(mut self) -> Self {
        self.eager = true;
        self
    }

    /// A process calls an operation. Returns its number, counted from 0, by which reports name it.
    pub fn call(&mut self, process: u64, at: u64, input: Input) -> Result<usize, HistoryError> {
        let number = self.calls;
        if let Some((_, previous)) = self.open.get(&process) {
            return Err(HistoryError::Overlap { process, previous: *previous, operation: number, call: at });
        }
        self.advance(at, number)?;
        let key = input.key().clone();
        self.open.insert(process, (key.clone(), number));
        self.calls += 1;
        let window = self.windows.entry(key).or_default();
        window.operations.push(KvOperation { process, call: at + SHIFT, input, outcome: Outcome::Unknown });
        window.entries.push(Entry { number, original: None, open: true });
        Ok(number)
    }

    /// The open operation of a process returns. The first contradiction of the history, as soon as there is
    /// one; after that the monitor only keeps count.
    pub fn returned(
        &mut self,
        process: u64,
        at: u64,
        output: Output,
    ) -> Result<Option<Violation>, HistoryError> {
        let (key, number) = self.end(process, at)?;
        let Some(window) = self.windows.get_mut(&key) else { return Ok(None) };
        if self.violated {
            return Ok(None);
        }
        // An operation whose effect was seen and settled already is not listed any more.
        let place = window.entries.iter().rposition(|entry| entry.number == number && entry.open);
        if let Some(place) = place {
            window.entries[place].open = false;
            window.operations[place].outcome = Outcome::Returned { at: at + SHIFT, output };
        }
        let violation = window.judge(self.budget, self.now + SHIFT, place, self.eager);
        self.violated |= violation.is_some();
        Ok(violation)
    }

    /// A process gives up on its open operation, whose outcome stays unknown.
    pub fn unknown(&mut self, process: u64, at: u64) -> Result<(), HistoryError> {
        self.drop_open(process, at, |input| matches!(input, Input::Get { .. }))
    }

    /// The open operation of a process is known not to have taken effect.
    pub fn withdrawn(&mut self, process: u64, at: u64) -> Result<(), HistoryError> {
        self.drop_open(process, at, |_| true)
    }

    /// How many operations are held.
    pub fn held(&self) -> usize {
        self.windows.values().map(|window| window.operations.len()).sum()
    }

    /// Ends the history and judges what was put off. A contradiction, if there is one that was not reported
    /// yet.
    pub fn finish(mut self) -> Option<Violation> {
        if self.violated {
            return None;
        }
        let budget = Budget::default();
        self.windows
            .values_mut()
            .filter(|window| window.unjudged > 0)
            .find_map(|window| window.check(budget)?.err())
    }

    fn drop_open(
        &mut self,
        process: u64,
        at: u64,
        gone: impl Fn(&Input) -> bool,
    ) -> Result<(), HistoryError> {
        let (key, number) = self.end(process, at)?;
        if let Some(window) = self.windows.get_mut(&key)
            && let Some(place) = window.entries.iter().rposition(|entry| entry.number == number && entry.open)
        {
            window.entries[place].open = false;
            if gone(&window.operations[place].input) {
                window.entries.swap_remove(place);
                window.operations.swap_remove(place);
            }
        }
        Ok(())
    }

    fn end(&mut self, process: u64, at: u64) -> Result<(Bytes, usize), HistoryError> {
        let Some((key, number)) = self.open.get(&process).cloned() else {
            return Err(HistoryError::ReturnWithoutCall { process, at });
        };
        self.advance(at, number)?;
        self.open.remove(&process);
        Ok((key, number))
    }

    fn advance(&mut self, at: u64, operation: usize) -> Result<(), HistoryError> {
        if at > TIME_MAX {
            return Err(HistoryError::TimeTooLarge { operation, time: at });
        }
        if at < self.now {
            let clock = "the monitor".to_owned();
            return Err(HistoryError::ClockWentBack { clock, from: self.now, to: at, operation });
        }
        self.now = at;
        Ok(())
    }
}

impl Window {
    /// Judges the window after the return of the operation at `place`, and tidies it if it has grown.
    fn judge(&mut self, budget: Budget, now: u64, place: Option<usize>, eager: bool) -> Option<Violation> {
        self.unjudged += 1;
        let patience = (self.operations.len() / WINDOW_DENSE).pow(2);
        if self.unjudged <= patience {
            return None;
        }
        // A search that ran out of budget has judged nothing.
        if let Err(violation) = self.check(budget)? {
            return Some(violation);
        }
        self.unjudged = 0;
        if eager || self.operations.len() >= 2 * self.tidied + WINDOW_SLACK {
            self.tidy(now, place);
        }
        None
    }

    fn check(&self, budget: Budget) -> Option<Result<(), Violation>> {
        let part: Vec<u32> = (0..self.operations.len() as u32).collect();
        let verdict = check_part(&Kv, &self.operations, &part, budget)?;
        Some(verdict.map_err(|violation| self.in_numbers(violation)))
    }

    /// A report in the numbers that the caller knows.
    fn in_numbers(&self, violation: Violation) -> Violation {
        let number = |place: usize| self.entries[place].number;
        let numbers = |places: &[usize]| {
            let mut numbers: Vec<usize> = places.iter().map(|&place| number(place)).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers
        };
        let reason = match violation.reason {
            Reason::NeverWritten { read } if self.dropped => Reason::Gone { read },
            reason => reason,
        };
        let shown: Vec<KvOperation> = self
            .entries
            .iter()
            .zip(&self.operations)
            .map(|(entry, operation)| unshifted(entry.original.as_ref().unwrap_or(operation)))
            .collect();
        let operations = numbers(&violation.operations);
        let mut support = numbers(&violation.support);
        support.retain(|number| operations.binary_search(number).is_err());
        let reason_in_numbers = reason.renumbered(number);
        let find = |wanted: usize| {
            let place = self.entries.iter().position(|entry| entry.number == wanted);
            &shown[place.expect("a report names operations of the window")]
        };
        let sentence = sentence(&reason_in_numbers, find);
        Violation { operations, support, reason: reason_in_numbers, sentence, ..violation }
    }

    fn tidy(&mut self, now: u64, place: Option<usize>) {
        let waiting = self.entries.iter().zip(&self.operations).filter(|(entry, operation)| {
            entry.open && !matches!(operation.input, Input::Put { .. } | Input::Append { .. })
        });
        let horizon = waiting.map(|(_, operation)| operation.call).min().unwrap_or(now) + 1;
        if let Some(kept) = settle(&self.operations, horizon, now + 1) {
            self.keep(kept);
        } else if let Some(place) = place {
            self.cut(place);
        }
        self.tidied = self.operations.len();
    }

    fn keep(&mut self, kept: Vec<Kept>) {
        let before = self.operations.len();
        let (mut operations, mut entries) = (Vec::new(), Vec::new());
        for kept in kept {
            match kept {
                Kept::Same(place) => {
                    operations.push(self.operations[place as usize].clone());
                    entries.push(self.entries[place as usize].clone());
                }
                Kept::Instead(place, operation) => {
                    let Entry { number, original, .. } = self.entries[place as usize].clone();
                    let original = original.or_else(|| Some(self.operations[place as usize].clone()));
                    operations.push(operation);
                    entries.push(Entry { number, original, open: false });
                }
            }
        }
        self.dropped |= operations.len() < before;
        (self.operations, self.entries) = (operations, entries);
    }

    /// Forgets everything before a read that was alone, if nothing else can still come of it.
    fn cut(&mut self, place: usize) {
        let read = &self.operations[place];
        let Fact::Read(value) = fact(read) else { return };
        let value = value.cloned();
        let alone =
            self.operations.iter().zip(&self.entries).enumerate().all(|(other, (operation, entry))| {
                other == place || !entry.open && (operation.output().is_none() || operation.precedes(read))
            });
        if !alone {
            return;
        }
        let part: Vec<u32> = (0..self.operations.len() as u32).collect();
        let unknown: Vec<u32> = part
            .iter()
            .copied()
            .filter(|&other| self.operations[other as usize].output().is_none())
            .collect();
        // An unknown write that was seen has happened, or has not if another wrote the same: that must not be
        // forgotten.
        if unobserved(&self.operations, &part) != unknown {
            return;
        }
        let mut kept: Vec<Kept> = unknown.into_iter().map(Kept::Same).collect();
        if let Some(value) = value {
            let input = Input::Put { key: read.input.key().clone(), value };
            let outcome =
                Outcome::Returned { at: read.returned_at().unwrap_or(read.call), output: Output::Done };
            kept.push(Kept::Instead(place as u32, KvOperation { input, outcome, ..read.clone() }));
        }
        self.keep(kept);
    }
}

fn unshifted(operation: &KvOperation) -> KvOperation {
    let outcome = match &operation.outcome {
        Outcome::Returned { at, output } => Outcome::Returned { at: at - SHIFT, output: output.clone() },
        Outcome::Unknown => Outcome::Unknown,
    };
    KvOperation { call: operation.call - SHIFT, outcome, ..operation.clone() }
}
