//! What clients did to an object, and when: the input of every checker.
//!
//! A history is a list of operations. Each has the process that issued it, the instant of its **call**, and
//! its **outcome**: either it **returned** at an instant with an output, or nothing is known. An operation of
//! unknown outcome may have taken effect at any instant after its call, even after the last event of the
//! history, or never.
//!
//! Times are `u64` in any unit. Operation `a` **precedes** `b` if `a` returned strictly before `b` was
//! called; equal times count as concurrent, because a clock that shows the same value twice does not order
//! the two readings.
//!
//! [`History`] guarantees what the checkers rely on: no operation returns before its call, and the operations
//! of one process follow each other. Whatever breaks that is a mistake of the recorder, so it is an error
//! ([`HistoryError`]) and never a verdict. [`Recorder`] builds a history from single events, as they are met
//! in a log or in a running test.
//!
//! An answer may come with a **revision**: the number of the change of the whole store after which it was
//! true; of an update, its own number. Revisions are a suggestion of the store in which order the operations
//! took effect. Where that order stands its replay it is a proof; otherwise a check goes on as if it had not
//! been told.
//!
//! A process may go on after an operation of unknown outcome. A client that gave up waiting does just that,
//! and since an unknown operation stays open for ever, the order of the two is not assumed.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

/// The latest time an event may carry. Checkers shift times up to make room for "before everything".
pub const TIME_MAX: u64 = u64::MAX - 4;

/// How an operation ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome<O> {
    /// The client received an answer.
    Returned {
        /// When the answer arrived.
        at: u64,
        /// What it said.
        output: O,
    },
    /// No answer: the operation took effect at some instant after its call, or never.
    Unknown,
}

/// One operation of one process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation<I, O> {
    /// The sequential client that issued the operation.
    pub process: u64,
    /// When it was called.
    pub call: u64,
    /// What was asked.
    pub input: I,
    /// How it ended.
    pub outcome: Outcome<O>,
}

impl<I, O> Operation<I, O> {
    /// When the operation returned; `None` if its outcome is unknown.
    pub fn returned_at(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Returned { at, .. } => Some(*at),
            Outcome::Unknown => None,
        }
    }

    /// The answer; `None` if the outcome is unknown.
    pub fn output(&self) -> Option<&O> {
        match &self.outcome {
            Outcome::Returned { output, .. } => Some(output),
            Outcome::Unknown => None,
        }
    }

    /// Whether this operation returned strictly before `other` was called.
    pub fn precedes(&self, other: &Self) -> bool {
        self.returned_at().is_some_and(|at| at < other.call)
    }
}

/// Why a list of operations or events is not a history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// An operation ended before it began.
    #[error("operation {operation} of process {process} returned at {returned}, before its call at {call}")]
    ReturnBeforeCall {
        /// Index of the operation.
        operation: usize,
        /// Its process.
        process: u64,
        /// When it was called.
        call: u64,
        /// When it claims to have returned.
        returned: u64,
    },
    /// A process called an operation while its previous one was still open.
    #[error(
        "process {process} called operation {operation} at {call} while its operation {previous} was still open: \
         a process has one operation at a time"
    )]
    Overlap {
        /// The process.
        process: u64,
        /// Index of its earlier operation.
        previous: usize,
        /// Index of the operation that began too early.
        operation: usize,
        /// When that one was called.
        call: u64,
    },
    /// An event is earlier than one listed before it.
    #[error("the clock of {clock} went back from {from} to {to} at operation {operation}")]
    ClockWentBack {
        /// Whose clock: one process, or the recorder of the events.
        clock: String,
        /// The time read before.
        from: u64,
        /// The earlier time read after.
        to: u64,
        /// Index of the operation at which it was read.
        operation: usize,
    },
    /// A process reported the end of an operation it never called.
    #[error("process {process} ended an operation at {at} without having called one")]
    ReturnWithoutCall {
        /// The process.
        process: u64,
        /// The time of the event.
        at: u64,
    },
    /// A time beyond [`TIME_MAX`].
    #[error("operation {operation} carries the time {time}, above the largest one supported, {TIME_MAX}")]
    TimeTooLarge {
        /// Index of the operation.
        operation: usize,
        /// The time.
        time: u64,
    },
    /// A revision of an operation that was not answered.
    #[error(
        "operation {operation} has the revision {revision} and no answer: a revision comes with an answer"
    )]
    RevisionWithoutAnswer {
        /// Index of the operation.
        operation: usize,
        /// The revision.
        revision: u64,
    },
    /// A list of revisions that is not one for each operation.
    #[error("{revisions} revisions for {operations} operations: expected one, or none, for each")]
    RevisionsMiscounted {
        /// How many revisions were given.
        revisions: usize,
        /// How many operations there are.
        operations: usize,
    },
    /// More operations than indexes of 32 bits can name.
    #[error("{operations} operations in one history; at most {} are supported", u32::MAX / 4)]
    TooLong {
        /// How many were given.
        operations: usize,
    },
}

/// A valid list of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<I, O> {
    operations: Vec<Operation<I, O>>,
    /// One for each operation, or empty if no operation has one.
    revisions: Vec<Option<u64>>,
    withdrawn: Vec<Operation<I, O>>,
}

impl<I, O> Default for History<I, O> {
    fn default() -> Self {
        History { operations: Vec::new(), revisions: Vec::new(), withdrawn: Vec::new() }
    }
}

impl<I, O> History<I, O> {
    /// Takes operations in any order of processes; those of one process must be listed in the order it issued
    /// them.
    pub fn new(operations: Vec<Operation<I, O>>) -> Result<Self, HistoryError> {
        if operations.len() > (u32::MAX / 4) as usize {
            return Err(HistoryError::TooLong { operations: operations.len() });
        }
        let mut last_of_process: FxHashMap<u64, usize> = FxHashMap::default();
        for (index, operation) in operations.iter().enumerate() {
            check_times(index, operation)?;
            if let Some(previous) = last_of_process.insert(operation.process, index) {
                check_succession(&operations, previous, index)?;
            }
        }
        Ok(History { operations, revisions: Vec::new(), withdrawn: Vec::new() })
    }

    /// The same operations with the revisions of their answers, one or none for each.
    pub fn with_revisions(self, revisions: Vec<Option<u64>>) -> Result<Self, HistoryError> {
        let History { operations, withdrawn, .. } = self;
        if revisions.len() != operations.len() {
            let (revisions, operations) = (revisions.len(), operations.len());
            return Err(HistoryError::RevisionsMiscounted { revisions, operations });
        }
        for (operation, revision) in revisions.iter().enumerate() {
            if let (Some(revision), None) = (*revision, operations[operation].output()) {
                return Err(HistoryError::RevisionWithoutAnswer { operation, revision });
            }
        }
        let is_told = revisions.iter().any(Option::is_some);
        Ok(History { operations, revisions: if is_told { revisions } else { Vec::new() }, withdrawn })
    }

    /// The same operations, beside others that are known not to have taken effect.
    pub fn with_withdrawn(self, withdrawn: Vec<Operation<I, O>>) -> Self {
        History { withdrawn, ..self }
    }

    /// Operations that are known not to have taken effect, in the order of their calls. They are no part of
    /// what is judged, and help to explain it: their values may have been seen in spite of that.
    pub fn withdrawn(&self) -> &[Operation<I, O>] {
        &self.withdrawn
    }

    /// The revision that came with the answer to an operation.
    pub fn revision(&self, operation: usize) -> Option<u64> {
        self.revisions.get(operation).copied().flatten()
    }

    /// Whether any answer came with a revision.
    pub fn has_revisions(&self) -> bool {
        !self.revisions.is_empty()
    }

    /// The operations, in the order in which they were given. Verdicts name operations by their index here.
    pub fn operations(&self) -> &[Operation<I, O>] {
        &self.operations
    }

    /// Gives the operations back.
    pub fn into_operations(self) -> Vec<Operation<I, O>> {
        self.operations
    }

    /// Gives the withdrawn operations back, and keeps none.
    pub fn take_withdrawn(&mut self) -> Vec<Operation<I, O>> {
        std::mem::take(&mut self.withdrawn)
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether nothing was ever called.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

fn check_times<I, O>(index: usize, operation: &Operation<I, O>) -> Result<(), HistoryError> {
    let Operation { process, call, .. } = *operation;
    let returned = operation.returned_at().unwrap_or(call);
    if call.max(returned) > TIME_MAX {
        return Err(HistoryError::TimeTooLarge { operation: index, time: call.max(returned) });
    }
    if returned < call {
        return Err(HistoryError::ReturnBeforeCall { operation: index, process, call, returned });
    }
    Ok(())
}

fn check_succession<I, O>(
    operations: &[Operation<I, O>],
    previous: usize,
    operation: usize,
) -> Result<(), HistoryError> {
    let (before, after) = (&operations[previous], &operations[operation]);
    if after.call < before.call {
        let clock = format!("process {}", after.process);
        return Err(HistoryError::ClockWentBack { clock, from: before.call, to: after.call, operation });
    }
    if before.returned_at().is_some_and(|at| at > after.call) {
        return Err(HistoryError::Overlap { process: after.process, previous, operation, call: after.call });
    }
    Ok(())
}

fn without<T>(list: Vec<T>, dropped: &BTreeSet<usize>) -> Vec<T> {
    if dropped.is_empty() {
        return list;
    }
    let kept = list.into_iter().enumerate().filter(|(index, _)| !dropped.contains(index));
    kept.map(|(_, item)| item).collect()
}

/// Builds a [`History`] from events in the order of one clock.
///
/// Operations are numbered in the order of their calls. Those still open at the end have an unknown outcome.
#[derive(Clone, Debug)]
pub struct Recorder<I, O> {
    operations: Vec<Operation<I, O>>,
    /// As far as the last operation that has one.
    revisions: Vec<Option<u64>>,
    /// Operations that are known not to have taken effect, ascending.
    withdrawn: BTreeSet<usize>,
    open: FxHashMap<u64, usize>,
    now: u64,
}

impl<I, O> Default for Recorder<I, O> {
    fn default() -> Self {
        Recorder {
            operations: Vec::new(),
            revisions: Vec::new(),
            withdrawn: BTreeSet::new(),
            open: FxHashMap::default(),
            now: 0,
        }
    }
}

impl<I, O> Recorder<I, O> {
    /// An empty recorder.
    pub fn new() -> Self {
        Self::default()
    }

    /// A process calls an operation. Returns the operation's index.
    pub fn call(&mut self, process: u64, at: u64, input: I) -> Result<usize, HistoryError> {
        let operation = self.operations.len();
        if let Some(&previous) = self.open.get(&process) {
            return Err(HistoryError::Overlap { process, previous, operation, call: at });
        }
        self.advance(at, operation)?;
        if operation >= (u32::MAX / 4) as usize {
            return Err(HistoryError::TooLong { operations: operation + 1 });
        }
        self.open.insert(process, operation);
        self.operations.push(Operation { process, call: at, input, outcome: Outcome::Unknown });
        Ok(operation)
    }

    /// The open operation of a process returns. Returns the operation's index.
    pub fn returned(&mut self, process: u64, at: u64, output: O) -> Result<usize, HistoryError> {
        let operation = self.end(process, at)?;
        self.operations[operation].outcome = Outcome::Returned { at, output };
        Ok(operation)
    }

    /// The same, of an answer that came with a revision.
    pub fn returned_at_revision(
        &mut self,
        process: u64,
        at: u64,
        output: O,
        revision: u64,
    ) -> Result<usize, HistoryError> {
        let operation = self.returned(process, at, output)?;
        if self.revisions.len() <= operation {
            self.revisions.resize(operation + 1, None);
        }
        self.revisions[operation] = Some(revision);
        Ok(operation)
    }

    /// A process gives up on its open operation, whose outcome stays unknown. Returns the operation's index.
    pub fn unknown(&mut self, process: u64, at: u64) -> Result<usize, HistoryError> {
        self.end(process, at)
    }

    /// The open operation of a process is known not to have taken effect: it is left out of the history.
    pub fn withdrawn(&mut self, process: u64, at: u64) -> Result<usize, HistoryError> {
        let operation = self.end(process, at)?;
        self.withdrawn.insert(operation);
        Ok(operation)
    }

    /// What the open operation of a process asked.
    pub fn open_input(&self, process: u64) -> Option<&I> {
        self.open.get(&process).map(|&operation| &self.operations[operation].input)
    }

    /// The operations so far, including the withdrawn.
    pub fn operations(&self) -> &[Operation<I, O>] {
        &self.operations
    }

    /// Ends the recording. Without withdrawals every operation keeps the index it was given.
    pub fn finish(self) -> History<I, O> {
        self.finish_with(Vec::<()>::new()).0
    }

    /// Ends the recording, and keeps those of `notes`, one for each call, whose operations stay.
    pub fn finish_with<T>(self, notes: Vec<T>) -> (History<I, O>, Vec<T>) {
        let Recorder { operations, mut revisions, withdrawn, .. } = self;
        if !revisions.is_empty() {
            revisions.resize(operations.len(), None);
            revisions = without(revisions, &withdrawn);
        }
        let mut kept = Vec::with_capacity(operations.len() - withdrawn.len());
        let mut failed = Vec::with_capacity(withdrawn.len());
        for (index, operation) in operations.into_iter().enumerate() {
            if withdrawn.contains(&index) { failed.push(operation) } else { kept.push(operation) }
        }
        (History { operations: kept, revisions, withdrawn: failed }, without(notes, &withdrawn))
    }

    fn end(&mut self, process: u64, at: u64) -> Result<usize, HistoryError> {
        let Some(&operation) = self.open.get(&process) else {
            return Err(HistoryError::ReturnWithoutCall { process, at });
        };
        self.advance(at, operation)?;
        self.open.remove(&process);
        Ok(operation)
    }

    fn advance(&mut self, at: u64, operation: usize) -> Result<(), HistoryError> {
        if at > TIME_MAX {
            return Err(HistoryError::TimeTooLarge { operation, time: at });
        }
        if at < self.now {
            return Err(HistoryError::ClockWentBack {
                clock: "the recorder".to_owned(),
                from: self.now,
                to: at,
                operation,
            });
        }
        self.now = at;
        Ok(())
    }
}
