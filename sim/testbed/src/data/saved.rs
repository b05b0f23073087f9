//! Regressions: plans in a folder of the system's repository that once failed, or reach a mark.
//!
//! A file holds one plan; its name is a claim, its `about` says what went wrong. Each is replayed by `cargo
//! test` and must end well. A plan means the same after unrelated changes: its faults name nodes or the roles
//! they have, wait for what they need, and decide about each message by their own content. A plan may stop
//! reaching the situation it was made for, so it names that situation (`reaches`, marks of [`crate::marks`]):
//! then it fails, instead of passing blindly.

// rules: allow fs: plans are read before they are run
use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    data::{plan::Plan, validate::validate},
    system::System,
};

/// Characters of a name.
const NAME_MAX: usize = 100;

/// A plan in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved<S: System> {
    /// The name of the file without its ending.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What it holds.
    pub plan: Plan<S>,
}

/// All plans in a folder, by name; none if there is no folder.
///
/// # Errors
///
/// The first file that is no usable plan, and why.
pub fn list<S: System>(folder: &Path) -> Result<Vec<Saved<S>>, String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let plan = read(&path)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            check_name(&name)?;
            if plan.about.is_empty() {
                return Err(format!("{}: `about` must say what this plan shows", path.display()));
            }
            Ok(Saved { name, path, plan })
        })
        .collect()
}

/// Reads a plan.
///
/// # Errors
///
/// Why it cannot be read or executed, and what to change.
pub fn read<S: System>(path: &Path) -> Result<Plan<S>, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let plan = toml::from_str(&text)
        .map_err(|error| format!("the plan {} is not usable: {error}", path.display()))?;
    validate(&plan).map_err(|why| format!("the plan {} cannot be executed: {why}", path.display()))?;
    Ok(plan)
}

/// Writes a plan, and the folders it is in.
///
/// # Errors
///
/// Why it cannot be written.
pub fn write<S: System>(path: &Path, plan: &Plan<S>) -> Result<(), String> {
    let text = toml::to_string_pretty(plan).map_err(|error| format!("cannot print the plan: {error}"))?;
    write_text(path, &text)
}

/// Writes a file, and the folders it is in.
///
/// # Errors
///
/// Why it cannot be written.
pub fn write_text(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Whether a plan can be saved under this name.
///
/// # Errors
///
/// What a name looks like.
pub fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(good) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name for a plan: write a claim in lower case, such as a_stale_read_is_refused"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy::Toy;

    type Plan = super::Plan<Toy>;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("saved-plans-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_was_saved_is_listed_by_name() {
        let folder = scratch("listed");
        let plan = |seed| Plan { about: format!("seed {seed}"), ..Toy::draw(seed) };
        for (name, seed) in [("no_value_is_lost", 2), ("a_read_is_fresh", 1)] {
            write(&folder.join(format!("{name}.toml")), &plan(seed)).expect("a writable folder");
        }
        write_text(&folder.join("notes.md"), "not a plan").expect("a writable folder");
        let saved = list(&folder).expect("both are usable");
        let seen: Vec<_> = saved.iter().map(|saved| (saved.name.as_str(), saved.plan.clone())).collect();
        assert_eq!(seen, [("a_read_is_fresh", plan(1)), ("no_value_is_lost", plan(2))]);
        fs::remove_dir_all(folder).expect("it is there");
    }

    #[test]
    fn a_file_that_is_no_plan_is_named_with_what_is_wrong() {
        let folder = scratch("wrong");
        write_text(&folder.join("broken.toml"), "seed = 'one'").expect("a writable folder");
        let error = list::<Toy>(&folder).expect_err("a seed is a number");
        assert!(error.contains("broken.toml") && error.contains("seed"), "{error}");
        let silent = Plan { about: String::new(), ..Toy::draw(1) };
        write(&folder.join("broken.toml"), &silent).expect("a writable folder");
        let error = list::<Toy>(&folder).expect_err("it says nothing");
        assert!(error.contains("about"), "{error}");
        fs::remove_dir_all(folder).expect("it is there");
    }

    #[test]
    fn without_a_folder_there_are_no_plans() {
        assert_eq!(list::<Toy>(&scratch("absent")), Ok(Vec::new()));
    }

    #[test]
    fn names_are_claims_in_lower_case() {
        assert_eq!(check_name("a_stale_read_is_refused_2"), Ok(()));
        for name in ["", "Stale", "a-b", "../x", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
