//! The timeline of a run as text: one line a moment, with virtual time and node.

use std::time::Duration;

use crate::{
    data::outcome::{Happening, Moment, Outcome},
    report::screen,
    system::System,
};

/// Whether this changes the role of a process or what is wrong: what a timeline shows by default.
pub fn is_turn<S: System>(event: &Happening<S>) -> bool {
    !matches!(event, Happening::Called { .. } | Happening::Returned { .. })
}

/// A moment as a line: time, node, what.
pub fn line<S: System>(moment: &Moment<S>, outcome: &Outcome<S>) -> String {
    format!("{} {:<6} {}", time(moment.at), moment.node, words(moment, outcome))
}

/// What happened at a moment.
pub fn words<S: System>(moment: &Moment<S>, outcome: &Outcome<S>) -> String {
    match &moment.event {
        Happening::Up { life, memory } => format!("up, life {life}, memory {}", lower(memory)),
        Happening::Down(how) => format!("down, {}", lower(how)),
        Happening::FaultBegan { fault, what, .. } => format!("fault {fault}: {what}"),
        Happening::FaultEnded { fault } => format!("fault {fault} is over"),
        Happening::FaultSkipped { fault, why } => format!("fault {fault} not possible: {why}"),
        Happening::Healed => "all healed".into(),
        Happening::Notice(notice) => format!("{notice:#}"),
        Happening::Called { operation } => {
            format!("calls {}", S::asked(&outcome.operations[*operation]))
        }
        Happening::Returned { operation } => {
            let operation = &outcome.operations[*operation];
            let took = moment.at.saturating_sub(operation.called);
            format!("{}, after {:.3} ms", screen::call(operation), took.as_secs_f64() * 1e3)
        }
    }
}

/// A virtual time, in seconds.
pub fn time(at: Duration) -> String {
    format!("{:>4}.{:06}", at.as_secs(), at.subsec_micros())
}

fn lower(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
