//! What may only be said when a record is durable (V-c).
//!
//! A record that cannot be written, because its disk stalls, keeps nobody from asking. So what waits is
//! bounded: beyond [`ANSWERS_WAITING_MAX`] whoever asked first is dismissed. It is most likely gone, or has
//! asked again since.

use std::collections::VecDeque;

use super::{Answer, Effect, Notice};
use crate::protocol::identity::{Ticket, WriteNumber};

/// Answers that wait until a record is durable.
pub const ANSWERS_WAITING_MAX: usize = 4_096;

/// Answers and notices, each with the record that it waits for.
#[derive(Clone, Default, Hash)]
pub(super) struct Unsaid {
    answers: VecDeque<(WriteNumber, Ticket, Answer)>,
    notices: VecDeque<(WriteNumber, Notice)>,
}

impl Unsaid {
    /// How many answers wait.
    pub(super) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// An answer waits for record `after`, no earlier one than those that others wait for.
    pub(super) fn answer(
        &mut self,
        after: WriteNumber,
        ticket: Ticket,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        self.answers.push_back((after, ticket, answer));
        if self.answers.len() > ANSWERS_WAITING_MAX {
            let dismissed = self.answers.pop_front();
            effects.extend(dismissed.map(|(_, ticket, _)| Effect::Dismiss { ticket }));
        }
    }

    /// A notice waits for record `after`.
    pub(super) fn notice(&mut self, after: WriteNumber, notice: Notice) {
        self.notices.push_back((after, notice));
    }

    /// All records up to `persisted` are durable.
    pub(super) fn say(&mut self, persisted: WriteNumber, effects: &mut Vec<Effect>) {
        while let Some((_, ticket, answer)) = self.answers.pop_front_if(|(after, ..)| *after <= persisted) {
            effects.push(Effect::Answer { ticket, answer });
        }
        while let Some((_, notice)) = self.notices.pop_front_if(|(after, _)| *after <= persisted) {
            effects.push(Effect::Notice(notice));
        }
    }
}
