//! The bug zoo: mistakes that look right, planted one at a time to see whether the simulator notices.
//!
//! A simulator that finds nothing may be blind. Each *mutant* is a small patch against `src/` that breaks one
//! numbered rule of the protocol; it lives in `sim/mutants/NAME.patch`, outside the production code. `cargo
//! sim mutants` builds them in a copy of the source tree, most of them as one program that can be each of
//! them. For one after the other it runs seeds in order until one fails, and makes that failure small. The
//! result is a matrix: which judge caught which mutant, after how many seeds.
//!
//! ```text
//!  NAME.patch ─► patch     header, and the changed files as text
//!                bodies    which functions have other bodies in them
//!                combined  a source tree that is many mutants, behind a switch
//!                tree      the copy under target/mutants, where only what differs is written
//!                workshop  builds programs
//!                trial     explore, explore without invariants, minimise
//!                matrix    a row for each mutant; text, markdown, JSON
//! ```
//!
//! A mutant that only an invariant catches says something, too: that no client can see the mistake, or that
//! the workload never asks. So each mutant is also tried with the invariants switched off, with the clients'
//! history and their patience as the only judges.
//!
//! Each is also looked for by walks through its bare machines ([`crate::walk`]). What one of both misses is a
//! hole in it, or lies where it does not look: both lists are told at the end.
//!
//! Left out: mutants that are equivalent, because another guard protects the same rule; those that nothing in
//! the simulated world can reach (files, sockets, command lines).

mod bodies;
mod combined;
mod matrix;
mod patch;
mod rules;
mod tree;
mod trial;
mod workshop;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;

pub use matrix::{Catch, Clients, Exhaust, Row, Small, Walks};
pub use patch::{Header, Mutant, Overlay};
pub use rules::rules;
pub use tree::Copy;
pub use trial::{Found, FoundByExhaust, FoundByWalks, judge};

use testbed::data::exit;
use trial::Effort;
use workshop::{Planted, Workshop};

/// What `cargo sim mutants` is told.
#[derive(Args)]
pub struct Options {
    /// Those whose names contain one of these [default: all].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Name the mutants and what their users would see, and do nothing.
    #[arg(long)]
    list: bool,
    /// Only see whether each is caught: neither ask the clients alone nor minimise.
    #[arg(long)]
    quick: bool,
    /// Build each in a program of its own, instead of many in one. Does not change the result.
    #[arg(long)]
    alone: bool,
    /// Seeds that are tried before a mutant counts as not caught.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// How many runs at once [default: one per core]. Does not change the result.
    #[arg(long, value_name = "J")]
    jobs: Option<NonZeroUsize>,
    /// Seconds for making each failure small.
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Seconds of walks through the bare machines before a mutant counts as not caught by them; 0: none.
    #[arg(long, value_name = "S", default_value_t = 10)]
    walk_seconds: u64,
    /// Seconds of exhaustive search through the bare machines before a mutant counts as not caught by it; 0:
    /// none.
    #[arg(long, value_name = "S", default_value_t = 10)]
    exhaust_seconds: u64,
    /// Print the matrix as a table for documentation.
    #[arg(long)]
    markdown: bool,
    /// Write the matrix into this file, too: one JSON object a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The root of the source tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Where the repository keeps its mutants.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants")
}

/// All mutants in a folder, by name.
///
/// # Errors
///
/// The first file that is no usable mutant, and what to change.
pub fn list(folder: &Path) -> Result<Vec<Mutant>, String> {
    let entries =
        fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    paths.sort();
    paths.iter().map(|path| Mutant::read(path)).collect()
}

/// `cargo sim mutants`: the exit code says whether all were caught.
///
/// # Errors
///
/// A patch that does not apply, a mutant that does not build, a name that is no mutant's; and what to do
/// about it.
pub fn mutants(options: &Options, say: &mut dyn FnMut(&str)) -> Result<u8, String> {
    let mutants = choose(list(&folder())?, &options.names)?;
    if options.list {
        mutants.iter().for_each(|mutant| say(&mutant.to_string()));
        return Ok(exit::OK);
    }
    let mut overlays = Vec::new();
    for mutant in &mutants {
        overlays.push(mutant.apply(root())?); // all of them before the first is built
    }
    let effort = Effort {
        seeds: options.seeds,
        jobs: options.jobs,
        minimise: (!options.quick).then_some(Duration::from_secs(options.seconds)),
        ask_clients: !options.quick,
        exhaust: (options.exhaust_seconds > 0).then_some(Duration::from_secs(options.exhaust_seconds)),
        walk: (options.walk_seconds > 0).then_some(Duration::from_secs(options.walk_seconds)),
    };
    let failed = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut json = match &options.json {
        Some(path) => Some((path, File::create(path).map_err(|error| failed(path, error))?)),
        None => None,
    };
    let began = Instant::now();
    let planted: Vec<Planted<'_>> = mutants.iter().zip(&overlays).collect();
    let mut workshop = Workshop::open(root())?;
    if !options.alone {
        workshop.combine(&planted, &effort)?;
    }
    let mut rows = Vec::new();
    for planted in planted {
        let row = workshop.trial(planted, &effort)?;
        if !options.markdown {
            say(&row.line());
        }
        if let Some((path, file)) = &mut json {
            matrix::write_json(&row, file).map_err(|error| failed(path, error))?;
        }
        rows.push(row);
    }
    if options.markdown {
        say(&matrix::markdown(&rows));
    }
    let code = conclude(&rows, options.seeds, began.elapsed(), say);
    let alone: Vec<&str> =
        mutants.iter().map(|mutant| mutant.name.as_str()).filter(|name| !workshop.shares(name)).collect();
    if alone.len() < mutants.len() && !alone.is_empty() {
        say(&format!("built alone, because they change more than bodies of functions: {}", alone.join(", ")));
    }
    Ok(code)
}

fn choose(mutants: Vec<Mutant>, names: &[String]) -> Result<Vec<Mutant>, String> {
    if let Some(name) = names.iter().find(|name| !mutants.iter().any(|mutant| mutant.name.contains(*name))) {
        return Err(format!("no mutant's name contains {name:?}: `cargo sim mutants --list` names them all"));
    }
    let chosen =
        |mutant: &Mutant| names.is_empty() || names.iter().any(|name| mutant.name.contains(name.as_str()));
    Ok(mutants.into_iter().filter(chosen).collect())
}

/// What one way of looking finds and the other does not: the words, and whether a mutant is one of these.
type Hole = (&'static str, fn(&Row) -> bool);

const HOLES: [Hole; 3] = [
    ("caught by simulated runs, and not by walks", |row| {
        row.caught.is_some() && matches!(row.walks, Walks::Never { .. })
    }),
    ("caught by walks, and not by simulated runs", |row| {
        row.caught.is_none() && matches!(row.walks, Walks::Caught { .. })
    }),
    ("caught by exhaustive search, and not by walks", |row| {
        matches!((&row.walks, &row.exhaust), (Walks::Never { .. }, Exhaust::Caught { .. }))
    }),
];

fn conclude(rows: &[Row], seeds: u64, wall: Duration, say: &mut dyn FnMut(&str)) -> u8 {
    let missed: Vec<&Row> = rows.iter().filter(|row| row.is_missed()).collect();
    let caught = rows.iter().filter(|row| row.caught.is_some()).count();
    let unseen: Vec<&Row> = rows.iter().filter(|row| row.is_unseen_by_clients()).collect();
    for row in &unseen {
        say(&format!(
            "{}: no client noticed in {seeds} seeds, only {}",
            row.mutant,
            row.caught.as_ref().map_or("nobody", |catch| catch.judge.as_str())
        ));
    }
    for row in rows {
        match (&row.caught, &row.awaits) {
            (None, Some(awaits)) => {
                say(&format!("{}: not caught, as is known; it awaits {awaits}", row.mutant))
            }
            (Some(_), Some(_)) => say(&format!(
                "{}: caught, so remove `awaits: ` from sim/mutants/{}.patch",
                row.mutant, row.mutant
            )),
            _ => {}
        }
    }
    for (words, is_one) in HOLES {
        let names: Vec<&str> = rows.iter().filter(|row| is_one(row)).map(|row| &*row.mutant).collect();
        if !names.is_empty() {
            say(&format!("{words}: {}", names.join(", ")));
        }
    }
    for row in &missed {
        say(&format!(
            "{}: NOT CAUGHT in {seeds} seeds. Either the simulator has gone blind to rule {}: compare with the table in \
             sim/mutants/README.md, and give it the faults or the judge that it needs. Or the mutant breaks nothing any \
             more: then remove sim/mutants/{}.patch.",
            row.mutant, row.rule, row.mutant
        ));
    }
    let judges: BTreeSet<&str> =
        rows.iter().filter_map(|row| Some(row.caught.as_ref()?.judge.as_str())).collect();
    say(&format!(
        "{} of {} mutants caught in {:.0} s, by {}",
        caught,
        rows.len(),
        wall.as_secs_f64(),
        if judges.is_empty() { "nobody".into() } else { judges.into_iter().collect::<Vec<_>>().join(", ") }
    ));
    if missed.is_empty() { exit::OK } else { exit::NOT_CAUGHT }
}

#[cfg(test)]
mod tests;
