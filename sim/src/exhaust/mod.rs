//! All states of a world that can be reached with a budget: exhaustive search.
//!
//! ```text
//!  start ──► moves ──► state ──► known already? ──► moves ──► ...        a state is known by its print of 64 bits
//!                        │
//!                        ├─ a promise is broken: the way there, as the actions of a walk, which is told and made small as one
//!                        └─ every Nth state: the way there once more, with all judges, and to a good end
//! ```
//!
//! A [`Space`] is a world of walks ([`World`]) with a list of what may happen next, which ends because each
//! state has a budget: so many ticks, crashes, copies and so on. What is in no budget (a message arrives)
//! uses itself up. The search looks at every state that can be reached, **breadth first**, so that the first
//! failure has a shortest way, or **depth first**, so that beside the prints only the states of one way are
//! in memory.
//!
//! # What a search says
//!
//! [`Ending::Complete`]: every state within the budget was looked at, but for two whose prints agree by
//! chance (with `n` states, some two of them do with a probability of `n * n / 2^65`).
//! [`Ending::Cut`]: a limit was reached, and which one.
//! [`Ending::Failed`]: a promise was broken, and the way there.
//!
//! # Sleep
//!
//! Two moves that touch different parts of the world commute: either order leads to one state. A move that
//! was made from a state *sleeps* in the states that its siblings lead to, until something it depends on is
//! touched: making it there would only lead to a state that is known (sleep sets; Godefroid, *Partial-Order
//! Methods*, 1996, chapter 5). All states are reached as before, on fewer ways. (If messages that can never
//! count are lost at once, some are not: those that only differ in such messages from ones that are. All
//! states at rest are reached. `sim exhaust --all-messages` keeps the messages.) What is left out are steps,
//! and what a judge would say of them: the same that it said of that step in the other order, if it looks at
//! no more than what the step touches, and at states.

mod known;
pub mod search;
#[cfg(test)]
mod tests;

use crate::walk::World;

pub use search::{CHOICES_MAX, Ending, Limits, Order, Progress, Search, Why, search};

/// Something that may happen.
#[derive(Clone, Copy, Debug)]
pub struct Choice<M> {
    /// What it is, the same in each state in which it is possible.
    pub print: u64,
    /// The same as an order to [`Space::make`] in this state.
    pub next: M,
}

/// What a move did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The parts of the world that it read or changed, one bit each. Two moves commute if they share none.
    pub parts: u64,
    /// It changed nothing but that it cannot be made again: whatever can happen after it can happen without
    /// it.
    pub idle: bool,
}

/// A world all of whose states can be looked at.
pub trait Space: World {
    /// One thing that may happen: one or more actions of the walks.
    type Move: Copy;

    /// Adds all that may happen, each once.
    fn moves(&self, into: &mut Vec<Choice<Self::Move>>);

    /// Makes it happen. Adds the actions that it consists of.
    ///
    /// # Errors
    ///
    /// The first promise that is broken.
    fn make(&mut self, next: Self::Move, actions: &mut Vec<Self::Action>) -> Result<Touched, Self::Failure>;

    /// What all states have that can do the same, and no other has, but by chance.
    fn print(&self) -> u64;
}
