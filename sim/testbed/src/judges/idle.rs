//! Faults of a plan that never struck. Such a run shows nothing about them, and must not look like a proof.

use crate::{
    data::{
        fault::FaultKind,
        outcome::{Happening, Outcome},
        plan::Plan,
    },
    system::System,
};

/// The faults that never struck, by their places, and why. None of a plan that a seed drew, which plans more
/// than can strike, or of one that says itself what it must reach.
pub fn idle<S: System>(plan: &Plan<S>, outcome: &Outcome<S>) -> Vec<(usize, String)> {
    if !plan.reaches.is_empty() || plan.is_drawn() {
        return Vec::new();
    }
    let mut idle = Vec::new();
    for moment in &outcome.timeline {
        match &moment.event {
            Happening::FaultSkipped { fault, why } => idle.push((*fault, why.clone())),
            Happening::FaultBegan { fault, .. } => {
                let kind = &plan.faults[*fault].kind;
                // Counted by kind: if one of two struck, both pass.
                if matches!(kind, FaultKind::Rpc { .. }) && !outcome.stats.faults.contains_key(kind.name()) {
                    idle.push((*fault, "there was no message for it to strike".into()));
                }
            }
            _ => {}
        }
    }
    idle.sort();
    idle
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        data::{
            fault::{Fault, Mistreatment},
            outcome::Moment,
        },
        marks::Mark,
        system::toy::Toy,
    };

    fn plan() -> Plan<Toy> {
        let fault = |kind| Fault { at_ms: 0, on: None, after_ms: 0, kind };
        let (from, to, how) = (vec!["p1".to_owned()], Vec::new(), Mistreatment::Hang);
        let pause = FaultKind::Pause { node: "p1".into(), lasts_ms: None };
        let rpc = FaultKind::Rpc { from, to, how, percent: 1, lasts_ms: 1 };
        Plan { faults: vec![fault(pause), fault(rpc)], ..Toy::draw(3) }
    }

    fn outcome(events: Vec<Happening<Toy>>) -> Outcome<Toy> {
        let moment = |event| Moment { at: Duration::ZERO, node: "sim".into(), event };
        Outcome { timeline: events.into_iter().map(moment).collect(), ..Outcome::default() }
    }

    fn began(fault: usize) -> Happening<Toy> {
        Happening::FaultBegan { fault, nodes: Vec::new(), what: String::new() }
    }

    #[test]
    fn a_fault_that_was_skipped_or_met_no_message_is_named() {
        let skipped = Happening::FaultSkipped { fault: 0, why: "p1 is down".into() };
        let mut run = outcome(vec![began(1), skipped]);
        let found = idle(&plan(), &run);
        assert_eq!(found[0], (0, "p1 is down".into()));
        assert!(found.len() == 2 && found[1].0 == 1 && found[1].1.contains("no message"), "{found:?}");
        run.stats.faults.insert(plan().faults[1].kind.name().into(), 3);
        assert_eq!(idle(&plan(), &run).len(), 1);
        assert_eq!(idle(&plan(), &outcome(vec![began(0)])), []);
    }

    #[test]
    fn a_drawn_plan_and_one_that_says_what_it_reaches_are_left_alone() {
        let run = outcome(vec![Happening::FaultSkipped { fault: 0, why: String::new() }]);
        let mark = Mark::find("read_of_nothing").expect("a mark");
        assert_eq!(idle(&Plan { reaches: vec![mark], ..plan() }, &run), []);
        assert_eq!(idle(&Toy::draw(3), &run), []);
        assert_eq!(idle(&plan(), &run).len(), 1);
    }
}
