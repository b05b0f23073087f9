//! What a check may cost, and what it finds.

use std::fmt;
use std::time::Instant;

use crate::stop::Cancel;

/// What a check may spend, and what it should return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Limits of what is searched. What is nearly linear in the length of the history has none.
    pub budget: Budget,
    /// Decides the objects of a long history, and searches several, on all cores. With `false` no thread is
    /// created. The verdict is the same.
    pub parallel: bool,
    /// Returns a linearization with a positive verdict.
    pub witness: bool,
    /// Makes a contradiction as small as it gets. Otherwise it is told as it was found, which takes no longer
    /// than the verdict and may name every operation up to the one that no order can place.
    pub smallest: bool,
    /// When a check gives up searching, or making a contradiction smaller. Without one, no clock is read.
    /// What is nearly linear in the length of the history goes on to its end.
    pub deadline: Option<Instant>,
    /// A flag with which another thread ends a check like that.
    pub cancel: Option<Cancel>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            budget: Budget::default(),
            parallel: false,
            witness: true,
            smallest: true,
            deadline: None,
            cancel: None,
        }
    }
}

/// Limits of the search over all objects of a history together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many configurations (sets of linearized operations with a state) may be visited.
    pub configurations: u64,
    /// How many bytes the caches of visited configurations may hold at once.
    pub bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { configurations: 100_000_000, bytes: 4 << 30 }
    }
}

/// Whether a history is linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Linearizable {
        /// The operations in an order that can be replayed on the model (see [`crate::witness::replay`]).
        /// Operations of unknown outcome that are not listed never took effect. Empty if [`Options::witness`]
        /// is off.
        witness: Vec<usize>,
    },
    /// It is not.
    Violation(Violation),
    /// The budget ended first.
    Undecided(Undecided),
}

impl Verdict {
    /// Whether the history was proved linearizable.
    pub fn is_linearizable(&self) -> bool {
        matches!(self, Verdict::Linearizable { .. })
    }

    /// The contradiction, if there is one.
    pub fn violation(&self) -> Option<&Violation> {
        match self {
            Verdict::Violation(violation) => Some(violation),
            _ => None,
        }
    }
}

/// A contradiction: operations that no order can explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The independent object it is about, as [`crate::Model::label`] names it.
    pub key: Vec<u8>,
    /// The operations that contradict each other, ascending.
    pub operations: Vec<usize>,
    /// Further operations that may have written what those above saw, ascending. Together the two lists are a
    /// history that is not linearizable on its own, and whose contradiction carries over to the whole.
    pub support: Vec<usize>,
    /// Why, as data.
    pub reason: Reason,
    /// Why, as a sentence that names operations by index.
    pub sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// Why operations contradict each other. All numbers are indexes of operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The operation's own output fits no state at all.
    Impossible {
        /// The operation.
        operation: usize,
    },
    /// It saw a value that no operation could have written.
    NeverWritten {
        /// The operation that saw it.
        read: usize,
    },
    /// What it saw was overwritten before it was called, or never written: the operations that would tell are
    /// forgotten ([`crate::kv::monitor`]).
    Gone {
        /// The operation that saw the value.
        read: usize,
    },
    /// Every operation that could have written what it saw was overwritten before it was called.
    Stale {
        /// The operation that saw the value.
        read: usize,
        /// The last one called of those that wrote it; `None` if only the initial value comes into question.
        write: Option<usize>,
        /// What overwrote it: called after `write` had returned, and returned before `read` was called.
        by: usize,
    },
    /// It returned before the only operation that wrote what it saw was called.
    FromTheFuture {
        /// The operation that saw the value.
        read: usize,
        /// The operation that wrote it.
        write: usize,
    },
    /// Two values both had to be the object's state at one instant.
    ///
    /// The first had to hold from the return of `first.0` to the call of `first.1`, the second from the
    /// return of `second.0` to the call of `second.1`; the two spans overlap. If the second span is empty
    /// (`second.0` returned after `second.1` was called), all of the second value's operations lie inside the
    /// span of the first.
    TwoValuesAtOnce {
        /// The first value's earliest return and latest call; `None` for the initial value, which holds from
        /// the start.
        first: (Option<usize>, usize),
        /// The second value's earliest return and latest call.
        second: (usize, usize),
    },
    /// The values seen prove that `earlier` took effect before `later`, but `later` returned before `earlier`
    /// was called.
    WrongOrder {
        /// First by the values.
        earlier: usize,
        /// First by the clock.
        later: usize,
    },
    /// Two operations saw the same value continued in two ways.
    Forked {
        /// One of them.
        one: usize,
        /// The other.
        other: usize,
    },
    /// One write shows up in more than one place.
    SeenTwice {
        /// The operations that saw it.
        reads: Vec<usize>,
        /// The write.
        write: usize,
    },
    /// Swaps in a circle: each found what the one before it wrote.
    Circle {
        /// The swaps.
        operations: Vec<usize>,
    },
    /// Every order was tried.
    NoOrder {
        /// How many operations the longest order found could place.
        placed: usize,
        /// The operation at which that order got stuck: it had returned and could not be placed.
        stuck: usize,
    },
}

impl Reason {
    /// The same reason with other numbers for its operations.
    pub fn renumbered(&self, number: impl Fn(usize) -> usize) -> Reason {
        let all = |list: &[usize]| list.iter().map(|&index| number(index)).collect();
        match self {
            Reason::Impossible { operation } => Reason::Impossible { operation: number(*operation) },
            Reason::NeverWritten { read } => Reason::NeverWritten { read: number(*read) },
            Reason::Gone { read } => Reason::Gone { read: number(*read) },
            Reason::Stale { read, write, by } => {
                Reason::Stale { read: number(*read), write: write.map(&number), by: number(*by) }
            }
            Reason::FromTheFuture { read, write } => {
                Reason::FromTheFuture { read: number(*read), write: number(*write) }
            }
            Reason::TwoValuesAtOnce { first, second } => Reason::TwoValuesAtOnce {
                first: (first.0.map(&number), number(first.1)),
                second: (number(second.0), number(second.1)),
            },
            Reason::WrongOrder { earlier, later } => {
                Reason::WrongOrder { earlier: number(*earlier), later: number(*later) }
            }
            Reason::Forked { one, other } => Reason::Forked { one: number(*one), other: number(*other) },
            Reason::SeenTwice { reads, write } => {
                Reason::SeenTwice { reads: all(reads), write: number(*write) }
            }
            Reason::Circle { operations } => Reason::Circle { operations: all(operations) },
            Reason::NoOrder { placed, stuck } => Reason::NoOrder { placed: *placed, stuck: number(*stuck) },
        }
    }
}

/// What ended a check without a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Budget::configurations`].
    Configurations,
    /// [`Budget::bytes`].
    Bytes,
    /// [`Options::deadline`].
    Deadline,
    /// [`Options::cancel`].
    Cancelled,
}

/// A check that ended without a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// The independent object whose search had the most operations left to place.
    pub key: Vec<u8>,
    /// The operations that were open at the point the search could not get past, ascending: too many that
    /// could be placed in too many orders.
    pub open: Vec<usize>,
    /// Configurations visited, over all objects.
    pub configurations: u64,
    /// Bytes held by the search, over all objects.
    pub bytes: u64,
    /// How many independent objects are without a verdict.
    pub keys: usize,
    /// What ended the check.
    pub limit: Limit,
    /// About the longest order of operations on the object `key` that was found to explain their answers.
    pub order: Vec<usize>,
    /// How many operations on that object there are.
    pub operations: usize,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "undecided after {} configurations and {} bytes: {} keys left, the hardest is {:?} with {} operations open at once",
            self.configurations,
            self.bytes,
            self.keys,
            self.key.escape_ascii().to_string(),
            self.open.len()
        )
    }
}
