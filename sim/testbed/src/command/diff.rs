//! `cargo sim diff`: the step at which two runs part, such as those of a plan and of the same plan after a
//! change.

use clap::Args;

use crate::{
    data::{
        exit,
        outcome::{Outcome, RunOptions},
        plan::Plan,
    },
    report::screen,
    run,
    world::simulated::Simulated,
};

use super::{load, say};

/// The options of `cargo sim diff`.
#[derive(Args)]
pub struct Options {
    /// A seed, or the path of a plan.
    #[arg(value_name = "SEED|PLAN.toml")]
    first: String,
    /// Another one.
    #[arg(value_name = "SEED|PLAN.toml")]
    second: String,
    /// How many lines to show of what both have, and of what each has after that.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    lines: u32,
}

/// `cargo sim diff`.
pub fn diff<S: Simulated>(options: &Options) -> Result<u8, String> {
    let traced = |named: &str| -> Result<Outcome<S>, String> {
        let plan: Plan<S> = load(named)?;
        Ok(run(&plan, &RunOptions { keep_trace: true, ..RunOptions::default() }))
    };
    let (first, second) = (traced(&options.first)?, traced(&options.second)?);
    let shown = options.lines as usize;
    let common = first.trace.iter().zip(&second.trace).take_while(|(a, b)| a == b).count();
    if (common, common) == (first.trace.len(), second.trace.len()) {
        say(&format!("the same run: {}", screen::counted(common as u64, "line", "lines")));
        return Ok(exit::OK);
    }
    say(&format!("{} are the same", screen::counted(common as u64, "line", "lines")));
    for line in &first.trace[common.saturating_sub(shown)..common] {
        say(&format!("{:>10}  {line}", "both"));
    }
    for (label, named, outcome) in [("first", &options.first, &first), ("second", &options.second, &second)] {
        outcome.trace[common..].iter().take(shown).for_each(|line| say(&format!("{label:>10}  {line}")));
        if outcome.trace.len() == common {
            say(&format!("{label:>10}  ends here"));
        }
        let verdict = screen::verdict(outcome);
        say(&format!("{label:>10}  {named}: {}", verdict.lines().last().unwrap_or_default()));
    }
    Ok(exit::OK)
}
