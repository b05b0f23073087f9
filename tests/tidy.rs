//! The house rules that a machine can check: who may import whom, what is banned where, how long a file
//! may be. Each failure says what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

const LINES_MAX: usize = 500;
const WIDTH_MAX: usize = 110;

/// A source file of the repository.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Its lines of code, numbered from 1, without comments and without the unit tests at its end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .enumerate()
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<PathBuf> = fs::read_dir(&folder)
            .expect("a folder of sources")
            .map(|entry| entry.expect("readable").path())
            .collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.push(Source { path: name, text: fs::read_to_string(&path).expect("UTF-8") });
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds sources");
    found
}

/// Fails with every line of code in `folders` that holds one of `words`, except in files whose path holds
/// one of `except`.
fn ban(folders: &[&str], except: &[&str], words: &[&str], why: &str) {
    let mut seen = Vec::new();
    for source in folders.iter().flat_map(|folder| sources(folder)) {
        if except.iter().any(|path| source.path.contains(path)) {
            continue;
        }
        for (number, line) in source.code() {
            if words.iter().any(|word| line.contains(word)) {
                seen.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert!(seen.is_empty(), "{why}\n{}", seen.join("\n"));
}

#[test]
fn the_protocol_is_pure() {
    let outside = [
        "tokio",
        "tonic",
        "prost",
        "rand::",
        "tracing",
        "wire::",
        "crate::server",
        "crate::storage",
        "crate::client",
        "crate::channel",
        "crate::clock",
    ];
    ban(&["src/protocol"], &[], &outside, "src/protocol may import std, bytes and imbl only");
    let effects = [
        "std::net",
        "std::fs",
        "std::thread",
        "std::sync::Mutex",
        "async fn",
        ".await",
        "Instant",
        "SystemTime",
    ];
    ban(
        &["src/protocol"],
        &[],
        &effects,
        "src/protocol neither waits nor acts: make it an effect, or pass it in",
    );
}

#[test]
fn the_product_does_not_know_the_simulator() {
    // Binding sockets and catching signals exists in one world only.
    ban(
        &["src"],
        &["src/process/host"],
        &["madsim", "sim::", "cfg(madsim)"],
        "only the dependencies in Cargo.toml switch worlds",
    );
}

#[test]
fn client_and_server_do_not_know_each_other() {
    ban(&["src/client"], &[], &["crate::server", "crate::storage"], "what both need is beside them in src");
    ban(&["src/server"], &[], &["crate::client"], "what both need is beside them in src");
}

#[test]
fn generated_types_stop_at_the_shell() {
    let shell = ["src/proto", "src/server", "src/client", "src/lib.rs", "src/bin"];
    ban(&["src"], &shell, &["wire::"], "convert in src/proto; elsewhere use the protocol's own types");
}

#[test]
fn the_pure_half_of_the_simulator_needs_no_madsim() {
    let pure = [
        "sim/src/claims",
        "sim/src/generate",
        "sim/src/judges",
        "sim/src/store/marks",
        "sim/testbed/src/data",
        "sim/testbed/src/draw",
        "sim/testbed/src/explore",
        "sim/testbed/src/judges",
        "sim/testbed/src/marks",
        "sim/testbed/src/minimise",
        "sim/testbed/src/report",
        "sim/linearize/src",
    ];
    ban(
        &pure,
        &[],
        &["madsim", "tokio", "tonic"],
        "only a run needs the simulated world: the rest builds and runs anywhere",
    );
}

#[test]
fn the_checker_stands_alone() {
    ban(&["sim/linearize/src"], &[], &["pbkv", "sim::"], "linearize could be published alone");
}

#[test]
fn the_testbed_knows_no_system() {
    let words = ["pbkv", "use sim", "use lock", "primary", "backup", "joiner", "view_service", "ViewService"];
    ban(&["sim/testbed/src"], &[], &words, "what only one system has, it tells through `testbed::system`");
    let manifest = fs::read_to_string(root().join("sim/testbed/Cargo.toml")).expect("a manifest");
    let paths: Vec<&str> = manifest.lines().filter(|line| line.contains("path = ")).collect();
    assert!(
        matches!(paths[..], [only] if only.starts_with("linearizability")),
        "the testbed builds and is tested without any system: {paths:?}"
    );
}

#[test]
fn the_lock_service_stands_alone() {
    let except = ["sim/lock/src/main.rs"]; // the binary exists in one world only
    ban(
        &["sim/lock/src"],
        &except,
        &["pbkv", "sim::", "madsim"],
        "it is a second system, not a part of the first",
    );
}

#[test]
fn a_seed_means_one_run() {
    // Rooms of the simulator that drive runs from outside have a disk, a clock and threads of their own.
    let outside = ["command", "exhaust", "explore", "harness", "minimise", "mutants", "walk"];
    let of_the_machine = ["clock", "fs", "static", "thread"];
    let folders = ["src", "sim/src", "sim/testbed/src", "sim/lock/src", "sim/etcd/src"]
        .map(|folder| root().join(folder));
    let mut found = testbed::rules::check(&folders.each_ref().map(|folder| &**folder));
    found.retain(|it| {
        let folder = it.file.parent().into_iter().flat_map(Path::components);
        let is_outside = folder.into_iter().any(|part| outside.iter().any(|room| part.as_os_str() == *room));
        !(is_outside && of_the_machine.contains(&it.rule))
    });
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(
        found.is_empty(),
        "or write an exception above it, `// rules: allow NAME: reason`:\n{}",
        found.join("\n")
    );
}

#[test]
fn errors_are_told_apart_from_bugs() {
    ban(
        &["src", "sim/src", "sim/testbed/src", "sim/lock/src", "sim/etcd/src"],
        &[],
        &[".unwrap()"],
        "say why it cannot fail: expect(\"...\"), or return an error",
    );
}

#[test]
fn one_place_prints() {
    let words = ["println!", "eprintln!", " print!(", "eprint!(", "stdout().lock", "stderr().lock"];
    let why = "use process::print: it does not panic when nobody reads any more";
    ban(&["src"], &["src/process/print.rs"], &words, why);
}

#[test]
fn files_are_short() {
    for source in ["src", "sim", "tests"].iter().flat_map(|folder| sources(folder)) {
        let lines = source.text.lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines: one subject a file, at most {LINES_MAX}",
            source.path
        );
    }
}

#[test]
fn comments_are_as_narrow_as_code() {
    for source in ["src", "sim", "tests"].iter().flat_map(|folder| sources(folder)) {
        for (number, line) in source.text.lines().enumerate() {
            let text = line.trim_start().trim_start_matches(['/', '!', ' ']);
            // Tables, pictures, and what cannot be broken.
            let whole = text.starts_with('|')
                || text.contains('─')
                || !text.contains(' ')
                || text.starts_with("cargo ");
            if line.trim_start().starts_with("//") && !whole {
                let width = line.chars().count();
                assert!(
                    width <= WIDTH_MAX,
                    "{}:{}: {width} columns, at most {WIDTH_MAX}",
                    source.path,
                    number + 1
                );
            }
        }
    }
}

#[test]
fn every_dependency_says_what_it_is_for() {
    for manifest in [
        "Cargo.toml",
        "sim/Cargo.toml",
        "sim/linearize/Cargo.toml",
        "sim/testbed/Cargo.toml",
        "sim/testbed/template/Cargo.toml",
        "sim/testbed/template/sim/Cargo.toml",
        "sim/lock/Cargo.toml",
        "sim/etcd/Cargo.toml",
        "sim/lock/sim/Cargo.toml",
    ] {
        let text = fs::read_to_string(root().join(manifest)).expect("a manifest");
        let (mut in_dependencies, mut above) = (false, "");
        for (index, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains('=') && !line.starts_with('#') {
                let says = line.contains("# ") || above.starts_with("# ");
                assert!(says, "{manifest}:{}: say in a comment what it is for: {line}", index + 1);
            }
            above = line;
        }
    }
}

#[test]
fn links_of_the_documentation_lead_somewhere() {
    let documents = [
        "README.md",
        "sim/README.md",
        "sim/testbed/README.md",
        "sim/mutants/README.md",
        "sim/linearize/README.md",
        "sim/lock/README.md",
        "sim/etcd/README.md",
    ];
    for document in documents {
        let path = root().join(document);
        let text = fs::read_to_string(&path).expect("a document");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
            let leads = path.parent().expect("a folder").join(link).exists();
            assert!(leads, "{document} links to {link}, which is not there");
        }
    }
}
