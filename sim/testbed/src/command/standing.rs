//! How a run stands at a moment, and what each of the next steps changes of it, as lines on the screen.

use crate::{
    data::{
        nodes::Nodes,
        outcome::Outcome,
        plan::Plan,
        standing::{Sort, Stands, Step, changes, narrowed},
    },
    system::System,
};

use super::say;

/// Changes that are told of one step, at most.
const CHANGES_MAX: usize = 20;

/// Whether each name is that of a node of the plan.
///
/// # Errors
///
/// Which is not, and which there are.
pub fn check<S: System>(names: &[String], plan: &Plan<S>) -> Result<(), String> {
    let nodes = Nodes::new(plan);
    let Some(name) = names.iter().find(|name| nodes.find(name).is_none_or(|node| node == nodes.simulator()))
    else {
        return Ok(());
    };
    let all: Vec<&str> = (0..nodes.simulator()).map(|node| &**nodes.name(node)).collect();
    Err(format!("--state {name} is no machine of this run: there are {}", all.join(", ")))
}

/// Says how everything stands, or what is about these nodes.
pub fn stands(lines: &[Stands], names: &[String]) {
    let lines = narrowed(lines, names);
    for sort in Sort::ALL {
        let of_sort: Vec<&Stands> = lines.iter().filter(|line| line.sort == sort).collect();
        of_sort.iter().take(sort.lines_max()).for_each(|line| row(sort.label(), &line.text));
        left_off(sort.label(), of_sort.len().saturating_sub(sort.lines_max()), "lines");
    }
}

/// Says each step after a moment, and below it what it changed.
pub fn steps<S: System>(before: &[Stands], outcome: &Outcome<S>, count: usize, names: &[String]) {
    let mut before = narrowed(before, names);
    for (place, Step { lines, standing }) in outcome.steps.iter().enumerate() {
        row(&format!("step {}", place + 1), "");
        lines.iter().for_each(|line| say(&line.to_string()));
        let Some(after) = standing else { continue };
        let after = narrowed(after, names);
        let (gone, new) = changes(&before, &after);
        let all = gone.iter().map(|line| ("-", line)).chain(new.iter().map(|line| ("+", line)));
        all.clone().take(CHANGES_MAX).for_each(|(sign, line)| {
            say(&format!("{:>10}  {sign} {}", line.sort.label(), line.text));
        });
        left_off("", (gone.len() + new.len()).saturating_sub(CHANGES_MAX), "changes");
        before = after;
    }
    if outcome.steps.len() < count {
        row(
            "steps",
            &format!("the run ends after {} of the {count} that were asked for", outcome.steps.len()),
        );
    }
}

fn row(label: &str, text: &str) {
    say(format!("{label:>10}  {text}").trim_end());
}

fn left_off(label: &str, more: usize, what: &str) {
    if more > 0 {
        row(label, &format!("... and {more} more {what}"));
    }
}
