//! The simulator as ordinary tests of `cargo test`: what every simulator has ([`testbed::harness`]: saved
//! plans, batches of seeds, the promise that a seed is one run), every claim, and what else it must keep to.
//!
//! `PBKV_SEED=S` makes the batch the seed S alone, `PBKV_SEEDS=N` makes it the first N seeds,
//! `PBKV_SEEDS=A..B` those from A up to but without B.

mod simulator;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::ExitCode,
};

use sim::store::Pbkv;
use testbed::{
    harness::{Failed, Trial, text, told},
    system::System,
};

use self::simulator::PBKV;

/// Mutants that few seeds catch, each by another judge. `cargo sim mutants` tries them all.
const MUTANTS: [&str; 6] = [
    "answers_before_the_backups_have_it",
    "busy_primary_keeps_its_clients",
    "client_takes_silence_for_failure",
    "conflict_is_cut_one_operation_too_late",
    "reads_before_the_activation_is_recorded",
    "unacknowledged_view_is_left_alone",
];
/// A mutant that is also built alone: it changes a function that waits, and one that another changes as well.
const COMPARED: &str = "client_believes_its_last_attempt";

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for claim in sim::claims::all() {
        let name = claim.name.clone();
        trials.push(Trial::test(format!("claim::{name}"), move || PBKV.passes(&["claim", "--exact", &name])));
    }
    trials.push(Trial::test("exhaust::no_state_within_small_budgets_breaks_a_promise", exhausts));
    trials.push(Trial::test("exhaust::what_cuts_a_search_off_is_said", is_cut_off));
    trials.push(Trial::test("marks::looking_out_for_them_changes_no_run", marks_change_nothing));
    trials.push(Trial::test("marks::a_regression_that_goes_blind_fails", blind_plan));
    trials.push(Trial::test(
        "mutants::some_are_caught_and_do_in_one_program_what_they_do_alone",
        some_are_caught_and_one_of_many_is_what_it_is_alone,
    ));
    trials.push(Trial::test("command_line::wrong_usage_is_refused_with_code_2", wrong_usage));
    trials.push(Trial::test("command_line::what_the_handbooks_show_exists", documented));
    PBKV.main::<Pbkv>(trials)
}

/// The searches that take seconds, to their end. The handbook has those that take minutes.
fn exhausts() -> Result<(), Failed> {
    PBKV.passes(&["exhaust"])?;
    PBKV.passes(&[
        "exhaust",
        "--clients",
        "1",
        "--slow-disks",
        "--breadth",
        "--all-orders",
        "--all-messages",
    ])?;
    PBKV.passes(&["exhaust", "--clients", "1", "--retries", "1"])?;
    PBKV.passes(&["exhaust", "--restarts", "1", "--ticks", "0", "--suspicions", "0"])
}

fn is_cut_off() -> Result<(), Failed> {
    for (arguments, why) in [
        (["exhaust", "--slow-disks", "--states", "100"], "cut off, after 100 states (--states)"),
        (["exhaust", "--slow-disks", "--memory", "0"], "cut off, with 0 MiB in use (--memory)"),
        (["exhaust", "--slow-disks", "--moves", "5"], "cut off, some ways are longer than 5 moves (--moves)"),
    ] {
        let output = PBKV.simulate(&arguments)?;
        let says = String::from_utf8_lossy(&output.stdout).contains(why);
        if output.status.code() != Some(6) || !says {
            return Err(told(&arguments, &output));
        }
    }
    Ok(())
}

/// Every trace hash is the same with and without the lookout for marks.
fn marks_change_nothing() -> Result<(), Failed> {
    let seeds = ["--seeds", "24"];
    let with = PBKV.hashes("marked", &seeds)?;
    let without = PBKV.hashes("unmarked", &[seeds.as_slice(), &["--skip-marks"]].concat())?;
    if with.len() != 24 || with != without {
        return Err(format!("with the lookout for marks:\n{with:#?}\nwithout:\n{without:#?}").into());
    }
    Ok(())
}

/// A mutant's runs and what is seen in them are the same, trace by trace, from a program that is several
/// mutants and from one that is built for it.
fn some_are_caught_and_one_of_many_is_what_it_is_alone() -> Result<(), Failed> {
    let tried = |name: &str, mutants: &[&str], how: &[&str]| -> Result<Vec<serde_json::Value>, Failed> {
        let file = PBKV.scratch(&format!("mutants-{name}.json"));
        let path = text(&file)?;
        PBKV.passes(&[&["mutants"], mutants, &["--quick", "--seeds", "300", "--json", path], how].concat())?;
        let mut rows = Vec::new();
        for line in fs::read_to_string(&file)?.lines() {
            let mut row: serde_json::Value = serde_json::from_str(line)?;
            // Walks go on for some time, so that their number is a matter of real time, too.
            for real in ["/caught/wall_s", "/clients/caught/wall_s", "/walks", "/exhaust"] {
                row.pointer_mut(real).map(serde_json::Value::take);
            }
            if row["mutant"] == COMPARED {
                rows.push(row);
            }
        }
        Ok(rows)
    };
    let together = tried("together", &[MUTANTS.as_slice(), &[COMPARED]].concat(), &[])?;
    let alone = tried("alone", &[COMPARED], &["--alone"])?;
    if together != alone || together.len() != 1 {
        return Err(format!("in one program:\n{together:#?}\nin its own:\n{alone:#?}").into());
    }
    Ok(())
}

/// Every claim about faults says what it reaches, and so do regressions. Without their faults they fail
/// because they do not. A regression that names no mark is held to its faults: each must strike. One without
/// faults is held to its marks, which nothing can be taken away from.
fn blind_plan() -> Result<(), Failed> {
    let saved = testbed::data::saved::list::<Pbkv>(&Pbkv::regressions());
    let saved = saved.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
    let claims = sim::claims::all().into_iter().map(|claim| ((claim.plan)(0), claim.name));
    let claims = claims.filter(|(plan, _)| !plan.faults.is_empty());
    let saved = saved.map(|saved| (saved.plan, saved.name));
    let saved = saved.filter(|(plan, _)| !plan.faults.is_empty() && !plan.reaches.is_empty());
    for (plan, name) in saved.chain(claims) {
        if plan.reaches.is_empty() {
            return Err(format!("{name}: `reaches` must name marks").into());
        }
        let faultless = testbed::data::plan::Plan { faults: Vec::new(), ..plan };
        let file = PBKV.scratch(&format!("{name}.blind.toml"));
        testbed::data::saved::write(&file, &faultless)?;
        let arguments = ["replay", text(&file)?];
        let output = PBKV.simulate(&arguments)?;
        let told = told(&arguments, &output);
        if output.status.code() != Some(i32::from(testbed::data::exit::MARKS)) {
            return Err(told);
        }
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
        let output = PBKV.simulate(arguments)?;
        if output.status.code() != Some(2) || output.stderr.is_empty() {
            return Err(told(arguments, &output));
        }
    }
    Ok(())
}

/// Every command that a handbook shows exists, with every option that it shows.
fn documented() -> Result<(), Failed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut shown: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let documents = ["README.md", "sim/README.md", "sim/testbed/README.md", "sim/lock/README.md"];
    let texts: Vec<String> =
        documents.iter().map(|document| fs::read_to_string(root.join(document))).collect::<Result<_, _>>()?;
    for rest in texts.iter().flat_map(|text| text.lines()).flat_map(|line| line.split("cargo sim").skip(1)) {
        let words = rest.split(['`', '#', ';', '(', ')', '|']).next().unwrap_or_default();
        let command =
            words.split_whitespace().next().filter(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
        let options = words.split_whitespace().filter(|word| word.starts_with("--"));
        let options = options.map(|word| word.split(['=', ',']).next().unwrap_or_default().to_owned());
        shown.entry(command.unwrap_or_default()).or_default().extend(options);
    }
    for (command, options) in shown {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let output = PBKV.simulate(&arguments)?;
        let help = String::from_utf8_lossy(&output.stdout);
        let missing = options.iter().find(|option| !help.contains(option.as_str()));
        if !output.status.success() || missing.is_some() {
            return Err(format!(
                "`cargo sim {command}` with {options:?} is in a README; missing: {missing:?}"
            )
            .into());
        }
    }
    Ok(())
}
