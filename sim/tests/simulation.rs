//! The simulator as ordinary tests of `cargo test`: every claim, a batch of generated seeds, and the
//! promise that a seed is one run.
//!
//! The simulated world needs `--cfg madsim`, which a test of this build cannot have: so each test starts the
//! simulator, built once by a child cargo into its own target directory. The tests only count exit codes;
//! what failed, and how to see it again, is what the simulator prints.
//!
//! `PBKV_SEED=S` makes the batch the seed S alone, `PBKV_SEEDS=N` makes it the first N seeds,
//! `PBKV_SEEDS=A..B` those from A up to but without B.

mod simulator;

use std::{collections::BTreeMap, env, fs, ops::Range, process::Output};

use self::simulator::scratch;
use libtest_mimic::{Arguments, Failed, Trial};
use sim::store::Pbkv;
use testbed::system::System;

/// Seeds of the batch unless the environment says otherwise.
const SEEDS_DEFAULT: u64 = 200;
/// Seeds of one test of the batch.
const BATCH: u64 = 50;
/// Mutants that few seeds catch, each by another judge. `cargo sim mutants` tries them all.
const MUTANTS: [&str; 4] = [
    "answers_before_the_backups_have_it",
    "client_takes_silence_for_failure",
    "conflict_is_cut_one_operation_too_late",
    "unacknowledged_view_is_left_alone",
];
/// Mutants of which two change the same function, and one a function that waits.
const COMPARED: [&str; 3] = [
    "client_believes_its_last_attempt",
    "reads_before_the_activation_is_recorded",
    "reads_without_confirmation",
];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for claim in sim::claims::all() {
        let name = claim.name.clone();
        trials.push(Trial::test(format!("claim::{name}"), move || passes(&["claim", "--exact", &name])));
    }
    match testbed::data::saved::list::<Pbkv>(&Pbkv::regressions()) {
        Ok(saved) => trials.extend(saved.into_iter().map(|saved| {
            let path = saved.path.display().to_string();
            Trial::test(format!("saved::{}", saved.name), move || passes(&["replay", &path]))
        })),
        Err(message) => {
            eprintln!("error: {message}");
            std::process::exit(2);
        }
    }
    match seeds() {
        Ok(seeds) => trials.extend(batches(seeds).map(|batch| {
            let name = format!("seeds::{}_to_{}", batch.start, batch.end - 1);
            Trial::test(name, move || explores(&batch))
        })),
        Err(message) => {
            eprintln!("error: {message}");
            std::process::exit(2);
        }
    }
    trials.push(Trial::test("determinism::two_processes_make_the_same_trace", || {
        passes(&["doctor", "0", "1", "2", "3"])
    }));
    trials.push(Trial::test("determinism::a_seed_alone_is_the_seed_inside_a_batch", alone_as_in_a_batch));
    trials.push(Trial::test("exhaust::no_state_within_small_budgets_breaks_a_promise", exhausts));
    trials.push(Trial::test("exhaust::what_cuts_a_search_off_is_said", is_cut_off));
    trials.push(Trial::test("marks::looking_out_for_them_changes_no_run", marks_change_nothing));
    trials.push(Trial::test("marks::a_regression_that_goes_blind_fails", blind_plan));
    trials.push(Trial::test(
        "mutants::some_are_caught_and_do_in_one_program_what_they_do_alone",
        some_are_caught_and_one_of_many_is_what_it_is_alone,
    ));
    trials.push(Trial::test("command_line::a_saved_plan_is_the_run_of_its_seed", saved_plan));
    trials.push(Trial::test("command_line::wrong_usage_is_refused_with_code_2", wrong_usage));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Which seeds the environment asks for.
fn seeds() -> Result<Range<u64>, String> {
    let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(seed) = variable("PBKV_SEED") {
        let seed: u64 = seed.parse().map_err(|_| format!("PBKV_SEED must be a number, not {seed:?}"))?;
        let end = seed.checked_add(1).ok_or("PBKV_SEED is too large")?;
        return Ok(seed..end);
    }
    let Some(seeds) = variable("PBKV_SEEDS") else { return Ok(0..SEEDS_DEFAULT) };
    let wrong = || format!("PBKV_SEEDS must be a number or A..B, not {seeds:?}");
    let (start, end) = seeds.split_once("..").unwrap_or(("0", &seeds));
    let range = start.parse().map_err(|_| wrong())?..end.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

fn batches(seeds: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = seeds.end;
    seeds.step_by(BATCH as usize).map(move |start| start..end.min(start.saturating_add(BATCH)))
}

fn explores(batch: &Range<u64>) -> Result<(), Failed> {
    let (start, count) = (batch.start.to_string(), (batch.end - batch.start).to_string());
    passes(&["explore", "--start", &start, "--seeds", &count])
}

/// The simulator ends well with these arguments.
fn passes(arguments: &[&str]) -> Result<(), Failed> {
    let output = simulate(arguments)?;
    if output.status.success() { Ok(()) } else { Err(told(arguments, &output)) }
}

fn told(arguments: &[&str], output: &Output) -> Failed {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("`cargo sim {}`: {}\n{stdout}{stderr}", arguments.join(" "), output.status).into()
}

/// The searches that take seconds, to their end. The handbook has those that take minutes.
fn exhausts() -> Result<(), Failed> {
    passes(&["exhaust"])?;
    passes(&["exhaust", "--clients", "1", "--slow-disks", "--breadth", "--all-orders", "--all-messages"])?;
    passes(&["exhaust", "--clients", "1", "--retries", "1"])?;
    passes(&["exhaust", "--restarts", "1", "--ticks", "0", "--suspicions", "0"])
}

fn is_cut_off() -> Result<(), Failed> {
    for (arguments, why) in [
        (["exhaust", "--slow-disks", "--states", "100"], "cut off, after 100 states (--states)"),
        (["exhaust", "--slow-disks", "--memory", "0"], "cut off, with 0 MiB in use (--memory)"),
        (["exhaust", "--slow-disks", "--moves", "5"], "cut off, some ways are longer than 5 moves (--moves)"),
    ] {
        let output = simulate(&arguments)?;
        let says = String::from_utf8_lossy(&output.stdout).contains(why);
        if output.status.code() != Some(6) || !says {
            return Err(told(&arguments, &output));
        }
    }
    Ok(())
}

/// A seed's trace hash is the same in a batch of its neighbours, run side by side, and alone.
fn alone_as_in_a_batch() -> Result<(), Failed> {
    let hashes = |start: u64, count: u64, jobs: &str| -> Result<BTreeMap<u64, String>, Failed> {
        let (start, count) = (start.to_string(), count.to_string());
        hashes(&format!("{start}-{count}"), &["--start", &start, "--seeds", &count, "--jobs", jobs])
    };
    let batch = hashes(0, 24, "3")?;
    if batch.len() != 24 {
        return Err(format!("24 seeds, {} lines", batch.len()).into());
    }
    let distinct: std::collections::BTreeSet<&String> = batch.values().collect();
    if distinct.len() != 24 {
        return Err("two seeds made the same trace".into());
    }
    for seed in [0, 7, 13, 23] {
        let alone = hashes(seed, 1, "1")?;
        if alone.get(&seed) != batch.get(&seed) {
            return Err(format!(
                "seed {seed}: {:?} alone, {:?} inside a batch",
                alone.get(&seed),
                batch.get(&seed)
            )
            .into());
        }
    }
    Ok(())
}

/// Every trace hash is the same with and without the lookout for marks.
fn marks_change_nothing() -> Result<(), Failed> {
    let seeds = ["--seeds", "24"];
    let with = hashes("marked", &seeds)?;
    let without = hashes("unmarked", &[seeds.as_slice(), &["--skip-marks"]].concat())?;
    if with.len() != 24 || with != without {
        return Err(format!("with the lookout for marks:\n{with:#?}\nwithout:\n{without:#?}").into());
    }
    Ok(())
}

/// The trace hash of each seed that is explored with these arguments.
fn hashes(name: &str, arguments: &[&str]) -> Result<BTreeMap<u64, String>, Failed> {
    let file = scratch(&format!("hashes-{name}.json"));
    let path = file.to_str().ok_or("the path of the target directory is not UTF-8")?;
    passes(&[&["explore", "--json", path], arguments].concat())?;
    Ok(simulator::traces(&file)?)
}

/// A mutant's runs and what is seen in them are the same, trace by trace, from a program that is several
/// mutants and from one that is built for it.
fn some_are_caught_and_one_of_many_is_what_it_is_alone() -> Result<(), Failed> {
    let tried = |name: &str, mutants: &[&str], how: &[&str]| -> Result<Vec<serde_json::Value>, Failed> {
        let file = scratch(&format!("mutants-{name}.json"));
        let path = file.to_str().ok_or("the path of the target directory is not UTF-8")?;
        passes(&[&["mutants"], mutants, &["--quick", "--seeds", "300", "--json", path], how].concat())?;
        let mut rows = Vec::new();
        for line in fs::read_to_string(&file)?.lines() {
            let mut row: serde_json::Value = serde_json::from_str(line)?;
            // Walks go on for some time, so that their number is a matter of real time, too.
            for real in ["/caught/wall_s", "/clients/caught/wall_s", "/walks", "/exhaust"] {
                row.pointer_mut(real).map(serde_json::Value::take);
            }
            if row["mutant"].as_str().is_some_and(|name| COMPARED.contains(&name)) {
                rows.push(row);
            }
        }
        Ok(rows)
    };
    let together = tried("together", &[MUTANTS.as_slice(), &COMPARED].concat(), &[])?;
    let alone = tried("alone", &COMPARED, &["--alone"])?;
    if together != alone || together.len() != COMPARED.len() {
        return Err(format!("in one program:\n{together:#?}\neach in its own:\n{alone:#?}").into());
    }
    Ok(())
}

/// Every regression and every claim about faults says what it reaches, and without its faults fails because
/// it does not.
fn blind_plan() -> Result<(), Failed> {
    let saved = testbed::data::saved::list::<Pbkv>(&Pbkv::regressions())?.into_iter();
    let claims = sim::claims::all().into_iter().map(|claim| ((claim.plan)(0), claim.name));
    let claims = claims.filter(|(plan, _)| !plan.faults.is_empty());
    let all = saved.map(|saved| (saved.plan, saved.name)).chain(claims);
    for (plan, name) in all {
        if plan.reaches.is_empty() {
            return Err(format!("{name}: `reaches` must name marks").into());
        }
        let faultless = testbed::data::plan::Plan { faults: Vec::new(), ..plan };
        let file = scratch(&format!("{name}.blind.toml"));
        testbed::data::saved::write(&file, &faultless)?;
        let arguments = ["replay", file.to_str().ok_or("the path of the target directory is not UTF-8")?];
        let output = simulate(&arguments)?;
        let told = told(&arguments, &output);
        if output.status.code() != Some(i32::from(testbed::data::exit::MARKS)) {
            return Err(told);
        }
    }
    Ok(())
}

/// `plan` and `replay` agree: what is printed is what is run.
fn saved_plan() -> Result<(), Failed> {
    let plan = simulate(&["plan", "5"])?;
    let file = scratch("plan-5.toml");
    fs::write(&file, &plan.stdout)?;
    let path = file.to_str().ok_or("the path of the target directory is not UTF-8")?;
    let (saved, seed) = (simulate(&["replay", path])?, simulate(&["replay", "5"])?);
    if !seed.status.success() || saved.stdout.is_empty() || saved.stdout != seed.stdout {
        return Err(format!(
            "{}\n{}",
            told(&["replay", "5"], &seed).message().unwrap_or_default(),
            told(&["replay", path], &saved).message().unwrap_or_default()
        )
        .into());
    }
    Ok(())
}

fn wrong_usage() -> Result<(), Failed> {
    for arguments in [
        &["replay", "no-such-plan.toml"] as &[&str],
        &["explore", "--seeds", "none"],
        &["explore", "--json", "/no/such/folder/file"],
        &["claim", "no_such_claim"],
        &["mutants", "no_such_mutant"],
        &["--no-such-flag"],
    ] {
        let output = simulate(arguments)?;
        if output.status.code() != Some(2) || output.stderr.is_empty() {
            return Err(told(arguments, &output));
        }
    }
    Ok(())
}

fn simulate(arguments: &[&str]) -> Result<Output, Failed> {
    let output = simulator::command(arguments)?.output();
    output.map_err(|error| format!("cannot start the simulator: {error}").into())
}
