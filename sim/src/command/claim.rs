//! Claims: named plans, and what must be seen in them.

use clap::Args;
use sim::{
    bound::{Outcome, Plan},
    claims::{self, Claim},
};
use testbed::command::{
    replay::{Telling, told},
    say,
};
use testbed::{
    data::{
        exit,
        outcome::{Class, RunOptions},
    },
    report::screen::{self, counted},
    run,
};

#[derive(Args)]
pub struct ClaimOptions {
    /// Part of the names of the claims to try; without it, all are listed.
    name: Option<String>,
    /// NAME is the whole name of one claim.
    #[arg(long, requires = "name")]
    exact: bool,
    /// Only this seed, and its timeline.
    #[arg(long, value_name = "S", requires = "name", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// How many seeds each.
    #[arg(long, value_name = "N", requires = "name", default_value_t = claims::SEEDS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Every step of every machine (with --seed).
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Print the plan instead of running it (with --seed).
    #[arg(long, requires = "seed", conflicts_with = "trace")]
    plan: bool,
}

/// `cargo sim claim`.
pub fn claim(options: &ClaimOptions) -> Result<u8, String> {
    let Some(name) = &options.name else {
        for claim in claims::all() {
            let plan = (claim.plan)(0);
            let reaches: Vec<String> = plan.reaches.iter().map(|mark| mark.name()).collect();
            say(&format!("{}\n    {}\n    reaches {}", claim.name, claim.about, reaches.join(", ")));
        }
        return Ok(exit::OK);
    };
    let mut claims = claims::all();
    claims.retain(|claim| if options.exact { claim.name == *name } else { claim.name.contains(name) });
    if claims.is_empty() {
        return Err(format!("no claim's name contains {name}; `cargo sim claim` lists them"));
    }
    if let Some(seed) = options.seed {
        let [claim] = claims.as_slice() else {
            return Err(format!("{} claims match {name}; --seed wants one (see --exact)", claims.len()));
        };
        return one(claim, seed, options);
    }
    let codes = claims.iter().map(|claim| batch(claim, options.seeds));
    Ok(codes.reduce(worse).unwrap_or(exit::OK))
}

fn one(claim: &Claim, seed: u64, options: &ClaimOptions) -> Result<u8, String> {
    let plan = (claim.plan)(seed);
    if options.plan {
        say(toml::to_string_pretty(&plan).map_err(|error| error.to_string())?.trim_end());
        return Ok(exit::OK);
    }
    let outcome = told(&plan, &Telling { trace: options.trace, ..Telling::default() });
    say(&screen::verdict(&outcome));
    Ok(judge(claim, seed, &plan, &outcome))
}

fn batch(claim: &Claim, seeds: u64) -> u8 {
    for seed in 0..seeds {
        let plan = (claim.plan)(seed);
        let outcome = run(&plan, &RunOptions::default());
        let code = judge(claim, seed, &plan, &outcome);
        if code != exit::OK {
            return code;
        }
    }
    say(&format!("ok {} ({})", claim.name, counted(seeds, "seed", "seeds")));
    exit::OK
}

/// The general judges first, then the claim itself: a false claim is a safety violation. One that
/// holds must also have reached what it is about.
fn judge(claim: &Claim, seed: u64, plan: &Plan, outcome: &Outcome) -> u8 {
    let again = format!("claim --exact {} --seed {seed}", claim.name);
    if outcome.class() != Class::Ok {
        say(&screen::failure(plan, outcome, &again));
        return exit::code(outcome.class());
    }
    if let Err(seen) = claim.judge(outcome) {
        say(&format!("{:>10}  {} (seed {seed})", "FALSE", claim.name));
        say(&format!("{:>10}  {}", "promised", claim.about));
        say(&format!("{:>10}  {seen}", "seen"));
        say(&format!("{:>10}  cargo sim {again}", "replay"));
        return exit::SAFETY;
    }
    let missed = outcome.missed(plan);
    if !missed.is_empty() {
        say(&screen::blind(&missed));
        say(&format!("{:>10}  cargo sim {again}", "replay"));
        return exit::MARKS;
    }
    exit::OK
}

/// Of two exit codes the one to report: any failure over none, a safety violation over all.
fn worse(a: u8, b: u8) -> u8 {
    if a == exit::OK || b == exit::SAFETY { b } else { a }
}

/// The runs of all claims, with the seeds that the tests try.
pub fn runs() -> Vec<(String, Plan)> {
    let seeds = |claim: Claim| {
        let run = |seed| (format!("claim {} {seed}", claim.name), (claim.plan)(seed));
        (0..claims::SEEDS_DEFAULT).map(run).collect::<Vec<_>>()
    };
    claims::all().into_iter().flat_map(seeds).collect()
}
