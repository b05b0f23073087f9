//! What the view service holds: one answer for each question, and a caller for each that waits.

use std::collections::BTreeSet;

use pbkv::protocol::{
    identity::Ticket,
    view_service::{ANSWERS_WAITING_MAX, Effect, Event, ViewService},
};

use super::{Excess, at_most};

/// The questions that were not answered yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(BTreeSet<Ticket>);

impl Asked {
    /// Somebody asks.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Ping { ticket, .. } | Event::GetView { ticket } | Event::GetStatus { ticket } => {
                self.0.insert(*ticket);
            }
            Event::Gone(_) | Event::Persisted(_) | Event::Tick | Event::Flush => {}
        }
    }

    /// It took a step.
    pub fn stepped(&mut self, machine: &ViewService, effects: &[Effect]) -> Result<(), Excess> {
        for effect in effects {
            if let Effect::Answer { ticket, .. } | Effect::Dismiss { ticket } = effect {
                let is_asked = self.0.remove(ticket);
                at_most("answers to one question", 1 + u64::from(!is_asked), 1)?;
            }
        }
        let (waiting, asked) = (machine.answers_waiting() as u64, self.0.len() as u64);
        at_most("answers that wait for the record", waiting, ANSWERS_WAITING_MAX as u64)?;
        let durable = machine.is_durable();
        at_most("answers that wait for a durable record", if durable { waiting } else { 0 }, 0)?;
        at_most("answers held after they were given", waiting.saturating_sub(asked), 0)?;
        at_most("callers whose question is held no longer", asked.saturating_sub(waiting), 0)
    }
}
