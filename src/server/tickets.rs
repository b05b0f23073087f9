//! Callers who wait for the machine's answer.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::protocol::identity::Ticket;

/// Waiting callers by ticket. Callers may leave, and the machine does not know it: whenever their number has
/// doubled, those that left are forgotten, so at most twice as many are remembered as ever waited at once.
#[derive(Debug)]
pub struct Tickets<A> {
    next: Ticket,
    waiting: BTreeMap<Ticket, oneshot::Sender<A>>,
    sweep_at: usize,
}

/// Below this many waiting callers nothing is swept.
const SWEEP_MIN: usize = 1024;

impl<A> Tickets<A> {
    /// Nobody waits.
    pub fn new() -> Self {
        Self { next: Ticket(1), waiting: BTreeMap::new(), sweep_at: SWEEP_MIN }
    }

    /// Gives a caller a ticket.
    pub fn issue(&mut self, caller: oneshot::Sender<A>) -> Ticket {
        if self.waiting.len() >= self.sweep_at {
            self.waiting.retain(|_, caller| !caller.is_closed());
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
    pub fn answer(&mut self, ticket: Ticket, answer: A) {
        if let Some(caller) = self.waiting.remove(&ticket) {
            // A caller that left meanwhile needs no answer.
            let _ = caller.send(answer);
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
        let mut tickets = Tickets::<()>::new();
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
