//! What simulated code may not use, because a seed would no longer mean one run: a lint of Rust sources.
//!
//! The sources are read as tokens, so strings and comments mean nothing, and what a macro is given is looked
//! at as well. Tests are left out: whatever is under `#[cfg(test)]`, in files of its own, too.
//!
//! An exception stands in the code, above the line that needs it, with its reason:
//!
//! ```text
//! // rules: allow fs: the log of production; the simulator has its own
//! use std::fs::File;
//! ```
//!
//! It covers the statement or item that begins on the next line, to its end: a whole module, if it stands
//! above one. An exception without a reason is a finding, and so is one that nothing needs any more.
//!
//! A name counts as what it was imported as, under whatever name, also with `*`. Left out: what other crates
//! do inside, names that a macro or a re-export (`pub use`) brings in, and methods of values that were passed
//! in.

mod scan;
#[cfg(test)]
mod tests;

// rules: allow fs: it reads sources, and is no part of a run
use std::fs;
use std::{
    fmt,
    path::{Path, PathBuf},
};

use scan::Scan;

/// A rule, by what it forbids.
#[derive(Debug)]
pub struct Rule {
    /// As exceptions name it.
    pub name: &'static str,
    /// Names that are forbidden wherever they come from; with `!` those of macros.
    names: &'static [&'static str],
    /// What is forbidden by its path, with everything below it.
    paths: &'static [&'static str],
    /// Why, and what to do.
    pub instead: &'static str,
}

const SELECT: Rule = Rule {
    name: "select",
    names: &[],
    paths: &[],
    instead: "it draws which branch is looked at first: begin it with `biased;`",
};

const STATIC: Rule = Rule {
    name: "static",
    names: &["thread_local!", "lazy_static!", "once_cell"],
    paths: &[],
    instead: "it outlives a run and is shared by all simulated nodes: keep it in a value that is handed on",
};

const EXCEPTION: Rule = Rule {
    name: "exception",
    names: &[],
    paths: &[],
    instead: "write `// rules: allow NAME: reason` above the line that needs it",
};

const UNREADABLE: Rule = Rule {
    name: "unreadable",
    names: &[],
    paths: &[],
    instead: "it must be a file of Rust that can be read",
};

/// All rules.
pub const RULES: [&Rule; 8] = [
    &SELECT,
    &Rule {
        name: "iteration",
        names: &["HashMap", "HashSet", "RandomState", "ahash"],
        paths: &[],
        instead: "its order of iteration differs from run to run: use BTreeMap or BTreeSet",
    },
    &Rule {
        name: "clock",
        names: &[],
        paths: &[
            "std::time::Instant",
            "std::time::SystemTime::now",
            "chrono::Utc::now",
            "chrono::Local::now",
        ],
        instead: "it is the clock of the machine: use tokio::time, or a clock that is handed in",
    },
    &Rule {
        name: "thread",
        names: &[],
        paths: &["std::thread"],
        instead: "threads run in any order: spawn a task",
    },
    &Rule {
        name: "randomness",
        names: &["OsRng", "ThreadRng", "thread_rng", "getrandom", "from_os_rng", "from_entropy", "new_v4"],
        paths: &["rand::rng", "rand::random", "std::process::id"],
        instead: "it does not come from the seed: hand in what was drawn, or a generator with a seed",
    },
    &STATIC,
    &Rule {
        name: "net",
        names: &[],
        paths: &[
            "std::net::TcpListener",
            "std::net::TcpStream",
            "std::net::UdpSocket",
            "std::net::ToSocketAddrs",
        ],
        instead: "it leaves the simulated network: use tokio::net or gRPC",
    },
    &Rule {
        name: "fs",
        names: &[],
        paths: &["std::fs", "tokio::fs"],
        instead: "it is the disk of the machine: put it behind a trait that a simulated disk can implement",
    },
];

/// Something that a rule forbids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The name of the rule.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
    /// Why it is forbidden, and what to do.
    pub instead: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, found, instead } = self;
        write!(f, "{}:{line}: {found} ({rule}): {instead}", file.display())
    }
}

/// Everything that the rules forbid in the Rust sources of these folders, by file and line.
pub fn check(folders: &[&Path]) -> Vec<Finding> {
    let (mut findings, mut files, mut tests) = (Vec::new(), Vec::new(), Vec::new());
    for folder in folders {
        collect(folder, &mut files, &mut findings);
    }
    for file in files {
        match fs::read_to_string(&file) {
            Ok(text) => {
                let (found, modules) = check_source(&file, &text);
                findings.extend(found);
                tests.extend(modules);
            }
            Err(error) => findings.push(finding(&file, 0, &UNREADABLE, error.to_string())),
        }
    }
    findings.retain(|found| !tests.iter().any(|module| is_of(&found.file, module)));
    findings.sort();
    findings
}

/// Fails with everything that the rules forbid in the Rust sources of these folders.
///
/// # Panics
///
/// If there is anything.
pub fn assert_clean(folders: &[&Path]) {
    let findings: Vec<String> = check(folders).iter().map(Finding::to_string).collect();
    assert!(
        findings.is_empty(),
        "{}\nor, with a reason, on the line above: // rules: allow NAME: reason",
        findings.join("\n")
    );
}

/// What the rules forbid in one file, and the modules that it includes in tests only, by their paths without
/// `.rs`.
fn check_source(file: &Path, text: &str) -> (Vec<Finding>, Vec<PathBuf>) {
    let scan = match Scan::of(text) {
        Ok(scan) => scan,
        Err((line, why)) => return (vec![finding(file, line, &UNREADABLE, why)], Vec::new()),
    };
    // Each with whether something needs it.
    let mut exceptions: Vec<(Exception, bool)> =
        exceptions(text, &scan).into_iter().map(|it| (it, false)).collect();
    let mut findings = Vec::new();
    for (line, rule, found) in &scan.found {
        let mut excepted = false;
        for (exception, used) in &mut exceptions {
            if exception.rule == rule.name && exception.first <= *line && *line <= exception.last {
                (excepted, *used) = (true, true);
            }
        }
        if !excepted {
            findings.push(finding(file, *line, rule, found.clone()));
        }
    }
    for (exception, used) in exceptions {
        let known = RULES.iter().any(|rule| rule.name == exception.rule);
        let why = if !known {
            format!("there is no rule '{}'", exception.rule)
        } else if !exception.has_reason {
            "an exception without a reason".to_owned()
        } else if !used {
            format!("nothing here needs the exception '{}': remove it", exception.rule)
        } else {
            continue;
        };
        findings.push(finding(file, exception.line, &EXCEPTION, why));
    }
    let folder = file.parent().unwrap_or(Path::new(""));
    let stem = file.file_stem().unwrap_or_default();
    let inside = match stem.to_str() {
        Some("mod" | "lib" | "main") => folder.to_owned(),
        _ => folder.join(stem),
    };
    (findings, scan.test_modules.iter().map(|name| inside.join(name)).collect())
}

/// An exception, as it stands in a file.
struct Exception {
    line: usize,
    rule: String,
    has_reason: bool,
    /// The lines that it covers.
    first: usize,
    last: usize,
}

fn exceptions(text: &str, scan: &Scan) -> Vec<Exception> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(words) = line.strip_prefix("// rules: allow ") else { continue };
        if scan.is_no_comment(index + 1) {
            continue;
        }
        let (rule, reason) = words.split_once(':').unwrap_or((words, ""));
        let below = lines[index..].iter().take_while(|line| line.starts_with("//")).count();
        let first = index + 1 + below;
        let last = scan.end_of_what_begins_at(first);
        let (rule, has_reason) = (rule.trim().to_owned(), !reason.trim().is_empty());
        found.push(Exception { line: index + 1, rule, has_reason, first, last });
    }
    found
}

fn finding(file: &Path, line: usize, rule: &Rule, found: String) -> Finding {
    Finding { file: file.to_owned(), line, rule: rule.name, found, instead: rule.instead }
}

/// All Rust files below a folder, or the file itself, without what was built.
fn collect(path: &Path, files: &mut Vec<PathBuf>, findings: &mut Vec<Finding>) {
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    match entries {
        Ok(entries) => {
            for path in entries.into_iter().map(|entry| entry.path()) {
                let is_built = path.file_name().is_some_and(|name| name == "target");
                if (path.is_dir() && !is_built) || path.extension().is_some_and(|it| it == "rs") {
                    collect(&path, files, findings);
                }
            }
        }
        Err(error) => findings.push(finding(path, 0, &UNREADABLE, error.to_string())),
    }
}

/// Whether a file is that of a module, or of one inside it.
fn is_of(file: &Path, module: &Path) -> bool {
    file.starts_with(module) || file == module.with_extension("rs")
}
