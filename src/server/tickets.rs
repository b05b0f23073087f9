//! Callers who wait for the machine's answer.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::protocol::identity::Ticket;

/// Somebody who waits for one answer.
pub trait Caller {
    /// What is waited for.
    type Answer;

    /// Whether nobody waits any more.
    fn has_left(&self) -> bool;

    /// Answers. A caller that left needs no answer.
    fn answer(self, answer: Self::Answer);
}

impl<A> Caller for oneshot::Sender<A> {
    type Answer = A;

    fn has_left(&self) -> bool {
        self.is_closed()
    }

    fn answer(self, answer: A) {
        let _ = self.send(answer);
    }
}

/// Waiting callers by ticket. Callers may leave, and the machine does not know it: whenever their number has
/// doubled, those that left are forgotten, so at most twice as many are remembered as ever waited at once.
#[derive(Debug)]
pub struct Tickets<C> {
    next: Ticket,
    waiting: BTreeMap<Ticket, C>,
    sweep_at: usize,
}

/// Below this many waiting callers nothing is swept.
const SWEEP_MIN: usize = 1024;

impl<C: Caller> Tickets<C> {
    /// Nobody waits.
    pub fn new() -> Self {
        Self { next: Ticket(1), waiting: BTreeMap::new(), sweep_at: SWEEP_MIN }
    }

    /// Gives a caller a ticket.
    pub fn issue(&mut self, caller: C) -> Ticket {
        if self.waiting.len() >= self.sweep_at {
            self.waiting.retain(|_, caller| !caller.has_left());
            self.sweep_at = (2 * self.waiting.len()).max(SWEEP_MIN);
        }
        let ticket = self.next;
        self.next = ticket.next();
        self.waiting.insert(ticket, caller);
        ticket
    }

    /// How many callers are remembered.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Answers a caller, if it still waits.
    pub fn answer(&mut self, ticket: Ticket, answer: C::Answer) {
        if let Some(caller) = self.waiting.remove(&ticket) {
            caller.answer(answer);
        }
    }

    /// A caller is not answered.
    pub fn dismiss(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_who_left_are_forgotten() {
        let mut tickets = Tickets::<oneshot::Sender<()>>::new();
        for _ in 0..10 * SWEEP_MIN {
            let (caller, waiting) = oneshot::channel();
            tickets.issue(caller);
            drop(waiting);
        }
        assert!(tickets.waiting.len() <= SWEEP_MIN, "{} are remembered", tickets.waiting.len());
    }

    #[test]
    fn each_caller_gets_its_own_answer() {
        let mut tickets = Tickets::new();
        let (first, mut first_waiting) = oneshot::channel();
        let (second, mut second_waiting) = oneshot::channel();
        let first = tickets.issue(first);
        let second = tickets.issue(second);
        tickets.answer(second, 2);
        tickets.answer(first, 1);
        assert_eq!(first_waiting.try_recv(), Ok(1));
        assert_eq!(second_waiting.try_recv(), Ok(2));
    }
}
