//! Sequential objects: what a history is compared with.
//!
//! A [`Model`] says how one operation at a time changes an object: [`Model::init`] and [`Model::step`]. It
//! also says what tells independent objects apart, [`Model::partition`]: that is what makes a check fast.
//! Nothing else is needed. The examples `queue`, `lock` and `bank` are whole models.
//!
//! [`Model::observes`] and [`Model::support`] are worth a thought: the one spares the search branches, the
//! other makes contradictions smaller. The trait has further methods for models that are searched a lot,
//! which its documentation leaves out: `lens` and `may_enable` spare further branches, `unobserved` drops
//! operations, and `decide`, `decide_all` and `decide_shard` may answer without any search. They are
//! explained in the source of this file, and [`crate::kv::Kv`] has them all.

use std::fmt::Debug;
use std::hash::Hash;

use crate::history::Operation;
use crate::parts::{Parts, Shard};
use crate::verdict::{Options, Reason, Violation};

/// A deterministic sequential object.
pub trait Model {
    /// What an operation asks.
    type Input;
    /// What an operation answers.
    type Output;
    /// The object's state between two operations.
    type State: Clone + Eq + Hash;
    /// What tells independent objects apart, such as a key; `()` if there is only one. It may borrow from the
    /// input.
    type Key<'a>: Hash + Ord + Debug + Send
    where
        Self::Input: 'a;

    /// The state before the first operation.
    fn init(&self) -> Self::State;

    /// Applies one operation. `None` if the object cannot give this output in this state.
    ///
    /// `output` is `None` for an operation of unknown outcome: every output is then possible, and the next
    /// state is the one of a client whose answer was lost.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// The independent object that an operation belongs to, such as its key.
    ///
    /// A history is linearizable if and only if each of its independent objects' histories is (locality,
    /// Herlihy and Wing 1990), so each is checked alone. Each starts in the state of [`Model::init`].
    fn partition<'a>(&self, input: &'a Self::Input) -> Self::Key<'a>;

    /// How reports name the object that an operation belongs to. The default is the key's [`Debug`]; of `()`,
    /// nothing.
    fn label(&self, input: &Self::Input) -> Vec<u8> {
        let label = format!("{:?}", self.partition(input));
        if label == "()" { Vec::new() } else { label.into_bytes() }
    }

    /// Whether an operation with this output leaves every state unchanged in which it is legal.
    ///
    /// The search linearizes such an operation as soon as it is legal, without a branch. `true` for an
    /// operation that does change some state makes verdicts wrong; `false` is always safe.
    fn observes(&self, _input: &Self::Input, _output: &Self::Output) -> bool {
        false
    }

    /// What a search of one independent object's operations may treat as the same. The default is nothing.
    #[doc(hidden)]
    fn lens<'a>(
        &'a self,
        _operations: &'a [Operation<Self::Input, Self::Output>],
        part: &[u32],
    ) -> Lens<'a, Self::State> {
        Lens {
            classes: (0..part.len() as u32).collect(),
            overwrites: vec![false; part.len()],
            representative: Box::new(|state| state),
        }
    }

    /// Whether `change` may lead from a state in which `waiting` is not legal straight to one in which it is.
    ///
    /// The search gives up on a configuration if the operation that must come next at the latest is not legal
    /// and none that may come before it can help. `false` where it can makes verdicts wrong; `true` is always
    /// safe.
    #[doc(hidden)]
    fn may_enable(
        &self,
        _change: &Operation<Self::Input, Self::Output>,
        _waiting: &Operation<Self::Input, Self::Output>,
    ) -> bool {
        true
    }

    /// An operation with its answer in a few words, such as `push 1` or `pop -> 2`, for sentences and
    /// drawings. The default leaves it at the operation's number.
    fn describe(&self, _operation: &Operation<Self::Input, Self::Output>) -> Option<String> {
        None
    }

    /// A state in a few words, for drawings. The default says nothing.
    fn describe_state(&self, _state: &Self::State) -> Option<String> {
        None
    }

    /// Tries to decide one independent object's history without a search.
    ///
    /// `part` lists the indexes of its operations in `operations`.
    #[doc(hidden)]
    fn decide(
        &self,
        _operations: &[Operation<Self::Input, Self::Output>],
        _part: &[u32],
        _options: &Options,
    ) -> Decision {
        Decision::Open(0)
    }

    /// Splits a history into its objects and decides each like [`Model::decide`], in order, up to the first
    /// with a contradiction.
    ///
    /// A model may do both in one pass over the history, which is kinder to a processor's cache.
    #[doc(hidden)]
    fn decide_all(
        &self,
        operations: &[Operation<Self::Input, Self::Output>],
        options: &Options,
    ) -> (Parts, Vec<Decision>)
    where
        Self: Sized,
    {
        let parts = Parts::new(self, operations, |_, _| {});
        let decisions = until_contradiction(parts.iter().map(|part| self.decide(operations, part, options)));
        (parts, decisions)
    }

    /// The same for some of the objects, where [`Options::parallel`] spreads a long history over threads.
    #[doc(hidden)]
    fn decide_shard(
        &self,
        operations: &[Operation<Self::Input, Self::Output>],
        shard: &Shard<'_>,
        options: &Options,
    ) -> Vec<Decision> {
        until_contradiction(shard.iter().map(|part| self.decide(operations, part, options)))
    }

    /// Operations of unknown outcome that may be left out, because no other operation can tell whether they
    /// happened.
    ///
    /// Called before a search; must be a subset of `part`'s operations of unknown outcome.
    #[doc(hidden)]
    fn unobserved(&self, _operations: &[Operation<Self::Input, Self::Output>], _part: &[u32]) -> Vec<u32> {
        Vec::new()
    }

    /// Of the operations of a contradiction that is complete, those beside its reason's own that are worth
    /// telling, if these are not all.
    #[doc(hidden)]
    fn essential(
        &self,
        _operations: &[Operation<Self::Input, Self::Output>],
        _violation: &Violation,
    ) -> Option<Vec<usize>> {
        None
    }

    /// The operations without which `operation` could not have seen what it saw: those that may have written
    /// it.
    ///
    /// A contradiction is only a proof if it holds these, because without them it would contradict anything.
    /// The default takes every operation of the part, which is right for every object and minimal for none.
    fn support(
        &self,
        _operations: &[Operation<Self::Input, Self::Output>],
        part: &[u32],
        _operation: u32,
    ) -> Vec<u32> {
        part.to_vec()
    }
}

/// What the operations of one object cannot tell apart.
#[doc(hidden)]
pub struct Lens<'a, S> {
    /// For each operation of the part, the number of its class: two of a class are legal in the same states
    /// and lead to the same ones, as far as [`Lens::representative`] tells them apart.
    pub classes: Vec<u32>,
    /// Whether each operation is legal in every state and leads to the same one from each.
    pub overwrites: Vec<bool>,
    /// Replaces a state by one that every sequence of operations of the part treats alike; the same one for
    /// all that are replaced by each other.
    pub representative: Box<dyn Fn(S) -> S + Send + 'a>,
}

/// What [`Model::decide`] found.
#[derive(Clone, Debug)]
#[doc(hidden)]
pub enum Decision {
    /// The part is linearizable in this order (empty if [`Options::witness`] is off).
    Linearizable(Vec<u32>),
    /// The part is not linearizable. The operations and their support must be a contradiction on their own.
    Violation(Box<Violation>),
    /// The same, by an argument about the whole part: other operations were ruled out as what these may have
    /// seen. It is as small as it gets, and must stay as it is.
    Proof(Box<Violation>),
    /// The part is not linearizable, and it shows at these operations. The check finds out which others it
    /// takes.
    Contradiction {
        /// Where it shows.
        around: Vec<u32>,
        /// Why, as data and as a sentence, once nothing more can be left out.
        why: Option<Box<(Reason, String)>>,
    },
    /// Only a search can tell. So many configurations were visited to find that out.
    Open(u64),
}

impl Decision {
    /// Whether the part is not linearizable.
    pub fn is_contradiction(&self) -> bool {
        matches!(self, Decision::Violation(_) | Decision::Proof(_) | Decision::Contradiction { .. })
    }
}

/// Takes decisions up to the first contradiction.
pub(crate) fn until_contradiction(decisions: impl Iterator<Item = Decision>) -> Vec<Decision> {
    let mut taken = Vec::new();
    for decision in decisions {
        let stop = decision.is_contradiction();
        taken.push(decision);
        if stop {
            break;
        }
    }
    taken
}
