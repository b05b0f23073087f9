use std::{env, process::Command};

use super::{workshop::linked, *};

const TEXT: &str = "\
rule: R7
mutant: M24
shows: An acknowledged value is gone:
  no backup had it.
known: Jepsen: Redis (2013).
--- a/src/one.rs
+++ b/src/one.rs
@@ -1,3 +1,3 @@
 first
-second
+another
 third
";

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("mutants-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("src")).expect("a writable folder");
    folder
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("below the root")).expect("a writable folder");
    fs::write(path, text).expect("a writable file");
}

#[test]
fn every_mutant_of_the_repository_applies_and_breaks_a_rule_that_exists() {
    let protocol = fs::read_to_string(root().join("src/protocol/mod.rs")).expect("the rules");
    let rules = rules(&protocol);
    let mutants = list(&folder()).expect("every file is a mutant with a whole header");
    assert!(mutants.len() >= 20, "only {} mutants", mutants.len());
    let mut overlays = Vec::new();
    for mutant in &mutants {
        let rule = &mutant.header.rule;
        assert!(
            rules.contains(rule),
            "{}: src/protocol/mod.rs states no rule {rule}: {rules:?}",
            mutant.name
        );
        overlays.push(mutant.apply(root()).unwrap_or_else(|why| panic!("{why}")));
    }
    for (place, overlay) in overlays.iter().enumerate() {
        let same = overlays[..place].iter().position(|earlier| earlier == overlay);
        let name = |place: usize| &mutants[place].name;
        assert!(same.is_none(), "{} is {:?} again", name(place), same.map(name));
    }
}

#[test]
fn rules_are_read_from_where_they_are_stated() {
    let text = "//! # Section 6: sessions\n//! ## 4.4 State transfer\n//! * **V-a** A new primary\n\
                //! * **5.1 sole** It waits\n//!   *R1b*: the same\n//! **VS-PING** and *life* and 5.3 and
                //!   R99\n";
    let expected = ["4.4", "5.1", "R1b", "Section 6", "V-a", "VS-PING"];
    assert_eq!(rules(text), expected.into_iter().map(String::from).collect());
}

#[test]
fn a_mutant_is_a_header_and_a_patch() {
    let root = scratch("applies");
    write(&root, "src/one.rs", "zeroth\nfirst\nsecond\nthird\n");
    let mutant = Mutant::parse("answers_too_early", TEXT).expect("it is one");
    assert_eq!(mutant.header.rule, "R7");
    assert_eq!(mutant.header.mutant.as_deref(), Some("M24"));
    assert_eq!(mutant.header.shows, "An acknowledged value is gone: no backup had it.");
    let overlay = mutant.apply(&root).expect("it applies, one line further down");
    assert_eq!(overlay, [("src/one.rs".into(), "zeroth\nfirst\nanother\nthird\n".into())].into());
    fs::remove_dir_all(root).expect("it is there");
}

#[test]
fn what_is_wrong_with_a_header_is_said() {
    for (from, to, says) in [
        ("rule: R7\n", "", "lacks `rule: `"),
        ("shows: ", "show: ", "not \"show\""),
        ("mutant: M24", "rule: M24", "`rule` twice"),
        ("known: Jepsen: Redis (2013).\n", "known: \n", "lacks `known: `"),
        ("known: ", "known", "not \"known"),
        ("--- a/", "=== a/", "no diff"),
    ] {
        let text = TEXT.replacen(from, to, 1);
        let error = Mutant::parse("some", &text).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
    assert!(Mutant::parse("A-mistake", TEXT).is_err());
}

#[test]
fn a_patch_that_does_not_apply_says_what_to_do() {
    let root = scratch("refused");
    write(&root, "src/one.rs", "first\nsecond\nfourth\n");
    let apply = |text: &str| Mutant::parse("some", text).expect("a whole header").apply(&root);
    for (text, says) in [
        (TEXT.to_owned(), "does not apply to src/one.rs"),
        (TEXT.replace("one.rs", "none.rs"), "src/none.rs cannot be read"),
        (TEXT.replace("src/", "sim/"), "files in src/ only"),
        (TEXT.replace("+++ b/src/one.rs", "+++ b/src/two.rs"), "files in src/ only"),
        (TEXT.replace("@@ -1,3", "@@ -1,7"), "no unified diff"),
    ] {
        let error = apply(&text).expect_err(says);
        assert!(error.contains(says) && error.contains("sim/mutants/some.patch"), "{error}");
    }
    fs::remove_dir_all(root).expect("it is there");
}

#[test]
fn a_copy_changes_only_the_files_that_differ() {
    let root = scratch("copied");
    for (path, text) in [("src/a.rs", "a"), ("src/b.rs", "b"), ("target/x", "built"), (".git/x", "history")] {
        write(&root, path, text);
    }
    let folder = root.join("target/tree");
    let open = || Copy::open(&root, &folder).expect("a writable folder");
    let at = |path: &str| folder.join(path);
    let read = |path: &str| fs::read_to_string(at(path)).ok();
    let written = |path: &str| fs::metadata(at(path)).and_then(|data| data.modified()).expect("it is there");

    open().make(&Overlay::from([("src/a.rs".into(), "mistake".into())])).expect("a writable folder");
    assert_eq!((read("src/a.rs"), read("src/b.rs")), (Some("mistake".into()), Some("b".into())));
    assert_eq!((read("target/x"), read(".git/x")), (None, None));

    let before = (written("src/a.rs"), written("src/b.rs"));
    write(&root, "src/c.rs", "c");
    std::thread::sleep(Duration::from_millis(20)); // coarser than the clock of any file system
    let copy = open();
    write(&root, "src/b.rs", "edited meanwhile");
    copy.make(&Overlay::from([("src/c.rs".into(), "mistake".into())])).expect("a writable folder");
    drop(copy);
    assert_eq!((read("src/a.rs"), read("src/c.rs")), (Some("a".into()), Some("mistake".into())));
    assert!(written("src/a.rs") > before.0, "cargo sees that it changed");
    assert_eq!(written("src/b.rs"), before.1, "cargo sees that it did not change");

    fs::remove_file(root.join("src/b.rs")).expect("it is there");
    open().make(&Overlay::new()).expect("a writable folder");
    assert_eq!(read("src/b.rs"), None);
    fs::remove_dir_all(&root).expect("it is there");
}

#[test]
fn names_choose_mutants_and_an_unknown_one_is_refused() {
    let mutant = |name: &str| Mutant::parse(name, TEXT).expect("it is one");
    let all = || vec![mutant("reads_early"), mutant("reads_late"), mutant("writes_late")];
    let chosen = |names: &[&str]| -> Result<Vec<String>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        Ok(choose(all(), &names)?.into_iter().map(|mutant| mutant.name).collect())
    };
    assert_eq!(chosen(&[]), Ok(vec!["reads_early".into(), "reads_late".into(), "writes_late".into()]));
    assert_eq!(chosen(&["late"]), Ok(vec!["reads_late".into(), "writes_late".into()]));
    assert!(chosen(&["late", "never"]).is_err_and(|why| why.contains("never") && why.contains("--list")));
}

fn catch(judge: &str, seeds: u64) -> Catch {
    Catch { judge: judge.into(), seeds, virtual_s: 7200.0, wall_s: 1.5, traces: "1f".into() }
}

fn row(name: &str, caught: Option<Catch>, clients: Clients) -> Row {
    let small = caught.as_ref().map(|_| Small { faults: 2, operations: 5 });
    Row {
        mutant: name.into(),
        rule: "R7".into(),
        number: Some("M24".into()),
        awaits: None,
        caught,
        clients,
        walks: Walks::NotAsked,
        exhaust: Exhaust::NotAsked,
        small,
    }
}

#[test]
fn the_table_marks_what_clients_never_see_and_what_nobody_does() {
    let by_walks = Walks::Caught { judge: "I6".into(), walks: 7, wall_s: 0.2 };
    let never = Exhaust::Never { states: 5_000, wall_s: 0.1 };
    let by_search = Exhaust::Caught { judge: "I4".into(), steps: 12, states: 700, wall_s: 0.3 };
    let rows = [
        row("one", Some(catch("I4", 3)), Clients::Caught(catch("checker", 40))),
        Row {
            walks: by_walks,
            exhaust: never,
            ..row("two", Some(catch("I6", 3)), Clients::Never { seeds: 1000 })
        },
        Row {
            walks: Walks::Never { walks: 900, wall_s: 10.0 },
            exhaust: by_search,
            ..row("three", None, Clients::NotAsked)
        },
    ];
    let table = matrix::markdown(&rows);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[2], "| `one` (M24) | R7 | I4 | 3 | 2.0 h | 1.5 s | - | - | checker 40 | 2 + 5 |");
    assert_eq!(
        lines[3],
        "| `two` (M24) | R7 | I6 | 3 | 2.0 h | 1.5 s | I6 7 in 0.2 s | never in 5000 | **never in 1000** | 2 + 5 |"
    );
    assert_eq!(
        lines[4],
        "| `three` (M24) | R7 | **nobody** | - | - | - | never in 900 | I4 12 steps in 0.3 s | - | - |"
    );
    assert!(rows[2].line().contains("NOT CAUGHT"));
}

#[test]
fn a_mutant_that_nobody_caught_is_a_failure_that_says_what_to_do() {
    let mut said = Vec::new();
    let caught = row("one", Some(catch("I6", 3)), Clients::Never { seeds: 9 });
    assert_eq!(
        conclude(std::slice::from_ref(&caught), 9, Duration::ZERO, &mut |line| said.push(line.to_owned())),
        exit::OK
    );
    assert!(said[0].contains("no client noticed in 9 seeds"), "{said:?}");
    said.clear();
    let missed = row("two", None, Clients::NotAsked);
    let code = conclude(&[caught, missed], 9, Duration::ZERO, &mut |line| said.push(line.to_owned()));
    assert_eq!(code, exit::NOT_CAUGHT);
    assert!(
        said[1].starts_with("two: NOT CAUGHT in 9 seeds") && said[1].contains("sim/mutants/README.md"),
        "{said:?}"
    );
    assert!(said[2].starts_with("1 of 2 mutants caught"), "{said:?}");
}

#[test]
fn a_known_blind_spot_is_no_failure_and_its_end_is_noticed() {
    let mut said = Vec::new();
    let awaits = Some("partitions into halves".to_owned());
    let blind = Row { awaits: awaits.clone(), ..row("one", None, Clients::NotAsked) };
    let seen = Row { awaits, ..row("two", Some(catch("I6", 3)), Clients::NotAsked) };
    let code = conclude(&[blind, seen], 9, Duration::ZERO, &mut |line| said.push(line.to_owned()));
    assert_eq!(code, exit::OK);
    assert!(said[0].contains("it awaits partitions into halves"), "{said:?}");
    assert!(said[1].contains("remove `awaits: ` from sim/mutants/two.patch"), "{said:?}");
}

#[test]
fn what_one_way_of_looking_finds_and_the_other_does_not_is_named() {
    let never = Walks::Never { walks: 900, wall_s: 10.0 };
    let caught = Walks::Caught { judge: "I6".into(), walks: 7, wall_s: 0.2 };
    let searched = Exhaust::Caught { judge: "I4".into(), steps: 12, states: 700, wall_s: 0.3 };
    let rows = [
        Row { walks: never.clone(), ..row("one", Some(catch("I4", 3)), Clients::NotAsked) },
        Row { walks: caught, ..row("two", None, Clients::NotAsked) },
        Row { walks: never, exhaust: searched, ..row("three", None, Clients::NotAsked) },
    ];
    let mut said = Vec::new();
    conclude(&rows, 9, Duration::ZERO, &mut |line| said.push(line.to_owned()));
    assert_eq!(said[0], "caught by simulated runs, and not by walks: one");
    assert_eq!(said[1], "caught by walks, and not by simulated runs: two");
    assert_eq!(said[2], "caught by exhaustive search, and not by walks: three");
}

/// What rustc says about a program that compiles, and whose linker fails.
fn rustc_that_cannot_link(folder: &Path) -> String {
    write(folder, "main.rs", "fn main() {}");
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["main.rs", "-C", "linker=false"]).current_dir(folder);
    let output = rustc.output().expect("there is a compiler: it compiled this");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_does_not_link_is_built_once_more_under_another_version_and_nothing_else_is() {
    let root = scratch("linked");
    let (file, unlinked) = (root.join("version"), rustc_that_cannot_link(&root));
    // Builds by these results, in order; returns what came of it and under which versions.
    let build = |results: &[Result<(), &str>]| {
        let (mut results, mut versions) = (results.iter(), Vec::new());
        let built = linked(&file, |version| {
            versions.push(version.to_owned());
            results.next().expect("no further build").map_err(String::from)
        });
        (built, versions)
    };
    let version = |number: u64| format!("0.0.0-mutant.{number}");

    assert_eq!(build(&[Err("error[E0425]: cannot find value")]).1, [version(0)], "it would fail again");
    assert_eq!(build(&[Ok(())]), (Ok(()), vec![version(0)]));
    assert_eq!(build(&[Err(&unlinked), Ok(())]), (Ok(()), vec![version(0), version(1)]));
    assert_eq!(build(&[Ok(())]), (Ok(()), vec![version(1)]), "what does not link stays behind");
    let (built, versions) = build(&[Err(&unlinked), Err(&unlinked)]);
    assert_eq!((built, versions), (Err(unlinked.clone()), vec![version(1), version(2)]), "no third time");
    fs::remove_dir_all(root).expect("it is there");
}
