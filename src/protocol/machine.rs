//! The one shape of both machines: an event and the node's time go in, effects come out.

use std::time::Duration;

/// A time that is always over: for what is wanted now.
pub const AT_ONCE: Duration = Duration::ZERO;

/// A time that does not come: for what nobody waits for.
pub const NEVER: Duration = Duration::MAX;

/// A protocol machine. It never waits, reads a clock, draws a random number or knows a socket.
///
/// What it is told and what it wants done are values, so that a script, a simulator and a model checker
/// can drive it exactly as a server does.
pub trait Machine: Send + 'static {
    /// What can happen to it.
    type Event: Send;
    /// What it wants done, in this order.
    type Effect: Send;

    /// Takes one event at the node's own monotonic time `now` and adds the resulting effects.
    fn step(&mut self, now: Duration, event: Self::Event, effects: &mut Vec<Self::Effect>);

    /// The node's time at which the machine wants a tick, if nothing happens before; perhaps [`AT_ONCE`], or
    /// [`NEVER`].
    fn deadline(&self) -> Duration;

    /// The event that says only that time has passed.
    fn tick() -> Self::Event;

    /// The event that says that no further event is waiting: what was put off for the sake of batching
    /// is due now.
    fn flush() -> Self::Event;

    /// What it does not need any more and takes long to free, which need not be waited for.
    fn take_garbage(&mut self) -> Option<impl Garbage> {
        None::<()>
    }
}

/// What is freed part by part.
pub trait Garbage: Send + 'static {
    /// Frees a part. Says whether something is left.
    fn free_part(&mut self) -> bool;
}

impl Garbage for () {
    fn free_part(&mut self) -> bool {
        false
    }
}

/// Sees every step of a machine, at the one place where it is stepped. `()` sees nothing.
pub trait Observer<M: Machine>: Send + 'static {
    /// Called before each step, with the event that is about to be taken.
    fn before(&mut self, now: Duration, machine: &M, event: &M::Event) {
        let _ = (now, machine, event);
    }

    /// Called after each step, with the effects that it added.
    fn after(&mut self, now: Duration, machine: &M, effects: &[M::Effect]) {
        let _ = (now, machine, effects);
    }

    /// Called when the effects of a batch of steps were performed, with what is held around the machine.
    fn holds(&mut self, machine: &M, held: Held) {
        let _ = (machine, held);
    }
}

/// What a server holds around its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Callers that are owed an answer, those that left among them.
    pub callers: usize,
}

impl<M: Machine> Observer<M> for () {}
