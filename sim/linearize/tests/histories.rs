//! Recorded histories with known verdicts.
//!
//! `LINEARIZE_HISTORIES` names another folder of the same shape: an `expected.tsv` of file and verdict, `Ok`
//! or `Illegal`, and the compressed files.

use std::path::{Path, PathBuf};

use linearizability::kv::{Kv, KvHistory};
use linearizability::{Options, Verdict, check, formats, oracle, witness};

fn folder() -> PathBuf {
    std::env::var_os("LINEARIZE_HISTORIES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories"), PathBuf::from)
}

fn recorded() -> Vec<(String, bool, Vec<u8>)> {
    let folder = folder();
    let table = std::fs::read_to_string(folder.join("expected.tsv")).expect("a table of verdicts");
    let entry = |line: &str| {
        let (file, verdict) = line.split_once('\t')?;
        let packed = std::fs::read(folder.join(file)).ok()?;
        let text = zstd::decode_all(&packed[..]).expect("a compressed file");
        Some((file.to_owned(), verdict.trim() == "Ok", text))
    };
    let all: Vec<_> = table.lines().filter_map(entry).collect();
    assert!(all.len() > 50, "only {} histories found in {}", all.len(), folder.display());
    all
}

#[test]
fn every_recorded_verdict_is_reproduced_with_proof() {
    let mut counts = [0, 0];
    for (file, expected, text) in recorded() {
        let history = formats::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}")).history;
        let begin = std::time::Instant::now();
        let verdict = check(&Kv, &history, &Options::default());
        let spent = begin.elapsed();
        if spent.as_millis() > 50 {
            println!("{file}: {spent:?}");
        }
        counts[usize::from(expected)] += 1;
        prove(&file, expected, &history, verdict);
    }
    println!("{} illegal, {} legal", counts[0], counts[1]);
}

fn prove(file: &str, expected: bool, history: &KvHistory, verdict: Verdict) {
    match verdict {
        Verdict::Linearizable { witness } => {
            assert!(expected, "{file}: accepted");
            assert_eq!(witness::replay(&Kv, history, &witness), Ok(()), "{file}");
        }
        Verdict::Violation(violation) => {
            assert!(!expected, "{file}: rejected: {violation}");
            let mut set = [&violation.operations[..], &violation.support[..]].concat();
            set.sort_unstable();
            println!("{file}: {} operations, {} in all: {violation}", violation.operations.len(), set.len());
            if set.len() <= 14 {
                let alone: Vec<_> = set.iter().map(|&index| history.operations()[index].clone()).collect();
                assert!(!oracle::is_linearizable(&Kv, &alone), "{file}: no contradiction alone: {violation}");
            }
        }
        Verdict::Undecided(undecided) => panic!("{file}: {undecided}"),
    }
}

#[test]
fn threads_change_no_verdict() {
    for (file, _, text) in recorded() {
        let history = formats::parse(&text).expect("parsed before").history;
        let alone = check(&Kv, &history, &Options::default());
        let parallel = check(&Kv, &history, &Options { parallel: true, ..Options::default() });
        assert_eq!(alone, parallel, "{file}");
    }
}

#[test]
fn histories_survive_being_written_and_read_again() {
    for (file, _, text) in recorded() {
        let history = formats::parse(&text).expect("parsed before").history;
        let mut lines = Vec::new();
        formats::write(&history, &mut lines).expect("a vector takes everything");
        let again = formats::parse(&lines).unwrap_or_else(|error| panic!("{file}: {error}"));
        // What is known not to have happened is not written.
        assert_eq!(again.history, history.with_withdrawn(Vec::new()), "{file}");
    }
}
