//! Regressions: plans in a folder of the system's repository that once failed, or reach a mark.
//!
//! A file holds one plan; its name is a claim, its `about` says what went wrong. Each is replayed by `cargo
//! test` and must end well. A plan means the same after unrelated changes: its faults name nodes or the roles
//! they have, wait for what they need, and decide about each message by their own content. A plan may stop
//! reaching the situation it was made for, so it names that situation (`reaches`, marks of [`crate::marks`]):
//! then it fails, instead of passing blindly.

// rules: allow fs: plans are read before they are run
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    data::{plan::Plan, reading::parse},
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

/// All files in a folder that should be plans, by name, each a plan or what is wrong with it; none if there
/// is no folder.
pub fn list<S: System>(folder: &Path) -> Vec<Result<Saved<S>, String>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.into_iter().map(listed).collect()
}

fn listed<S: System>(path: PathBuf) -> Result<Saved<S>, String> {
    let plan = read(&path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let wrong = |why| format!("{}: {why}", path.display());
    check_name(&name).map_err(wrong)?;
    check_about(&plan).map_err(wrong)?;
    Ok(Saved { name, path, plan })
}

/// Reads a plan.
///
/// # Errors
///
/// Why it cannot be read or executed, and what to change.
pub fn read<S: System>(path: &Path) -> Result<Plan<S>, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text).map_err(|wrong| match &wrong[..] {
        [why] => format!("the plan {} is not usable: {why}", path.display()),
        many => format!(
            "the plan {} is not usable, {} things are wrong:\n  {}",
            path.display(),
            many.len(),
            many.join("\n  ")
        ),
    })
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

/// Whether a file can be written, before something is done that takes long. Makes the folders it is in.
///
/// # Errors
///
/// Why it cannot.
pub fn check_writable(path: &Path) -> Result<(), String> {
    let wrong = |error: io::Error| format!("cannot write {}: {error}", path.display());
    if path.is_dir() {
        return Err(wrong(io::ErrorKind::IsADirectory.into()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    check_folder(folder).map_err(wrong)
}

/// Makes a folder, unless it is there, and looks whether files can be written into it.
///
/// # Errors
///
/// Why they cannot.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    // rules: allow randomness: a name that no other process uses, and that no run sees
    let probe = folder.join(format!(".{}.probe", std::process::id()));
    fs::create_dir_all(folder)?;
    fs::write(&probe, "")?;
    fs::remove_file(&probe)
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
        "{name:?} is not a usable name for a plan: write a claim in lower case, such as a_stale_read_is_refused"
    ))
}

/// Whether a plan says what it shows, as a regression must.
///
/// # Errors
///
/// If it does not.
pub fn check_about<S: System>(plan: &Plan<S>) -> Result<(), String> {
    if plan.about.trim().is_empty() { Err("`about` must say what this plan shows".into()) } else { Ok(()) }
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
        let saved: Vec<_> = list(&folder).into_iter().map(|saved| saved.expect("both are usable")).collect();
        let seen: Vec<_> = saved.iter().map(|saved| (saved.name.as_str(), saved.plan.clone())).collect();
        assert_eq!(seen, [("a_read_is_fresh", plan(1)), ("no_value_is_lost", plan(2))]);
        fs::remove_dir_all(folder).expect("it is there");
    }

    #[test]
    fn a_file_that_is_no_plan_is_named_with_what_is_wrong_and_hides_no_other() {
        let folder = scratch("wrong");
        let broken = folder.join("broken.toml");
        let other = Plan { about: "It is well.".into(), ..Toy::draw(1) };
        write(&folder.join("other.toml"), &other).expect("a writable folder");
        let refusal = || match &list::<Toy>(&folder)[..] {
            [Err(why), Ok(saved)] if saved.plan == other => why.clone(),
            files => panic!("{files:?}"),
        };
        write_text(&broken, "seed = 'one'").expect("a writable folder");
        assert!(refusal().contains("broken.toml") && refusal().contains("seed"), "{}", refusal());
        write(&broken, &Plan { about: " ".into(), ..other.clone() }).expect("a writable folder");
        assert!(refusal().contains("broken.toml: `about`"), "{}", refusal());
        fs::remove_dir_all(&folder).expect("it is there");
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = scratch("writable");
        assert_eq!(check_writable(&folder.join("a/page.html")), Ok(()));
        assert_eq!(fs::read_dir(folder.join("a")).expect("it was made").count(), 0);
        write_text(&folder.join("file"), "").expect("a writable folder");
        let why = check_writable(&folder.join("file/page.html")).expect_err("a file is no folder");
        assert!(why.contains("file/page.html"), "{why}");
        assert!(check_writable(&folder).is_err(), "a folder is no file");
        fs::remove_dir_all(&folder).expect("it is there");
    }

    #[test]
    fn without_a_folder_there_are_no_plans() {
        assert_eq!(list::<Toy>(&scratch("absent")), []);
    }

    #[test]
    fn names_are_claims_in_lower_case() {
        assert_eq!(check_name("a_stale_read_is_refused_2"), Ok(()));
        for name in ["", "Stale", "a-b", "../x", "a b"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
