use std::{
    fs,
    future::Future,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::grants::NAME_BYTES_MAX;

/// The log of a file never waits, so one poll completes it.
fn now<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}

fn records() -> Vec<Record> {
    let (lock, owner) = (|| "a".to_owned(), |name: &str| name.to_owned());
    vec![
        Record::Grant { lock: lock(), owner: owner("c1") },
        Record::Release { lock: lock(), owner: owner("c1") },
        Record::Grant { lock: lock(), owner: owner("Grüße") },
    ]
}

/// A log file with these records, and where each of them ends.
fn written(path: &Path, records: &[Record]) -> Vec<usize> {
    let mut log = FileLog::open(path).expect("nobody has it");
    assert_eq!(now(log.load()).expect("loaded"), []);
    let length = || fs::metadata(path).expect("a file").len() as usize;
    let mut ends = vec![length()];
    for record in records {
        now(log.append(record)).expect("appended");
        ends.push(length());
    }
    ends
}

fn load(path: &Path) -> io::Result<Vec<Record>> {
    now(FileLog::open(path)?.load())
}

#[test]
fn records_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    written(&path, &records()[..2]);
    let mut again = FileLog::open(&path).expect("it is free again");
    assert_eq!(now(again.load()).expect("loaded"), records()[..2]);
    now(again.append(&records()[2])).expect("appended");
    drop(again);
    assert_eq!(load(&path).expect("loaded"), records());
}

#[test]
fn a_log_cut_anywhere_keeps_all_whole_records_and_can_be_written_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let ends = written(&path, &records());
    let whole = fs::read(&path).expect("read");
    for cut in (0..=whole.len()).filter(|cut| cut % 64 < 2 || cut % SECTOR == SECTOR - 1) {
        let kept = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        fs::write(&path, &whole[..cut]).expect("written");
        let mut log = FileLog::open(&path).expect("opened");
        assert_eq!(now(log.load()).expect("loaded"), records()[..kept], "cut to {cut}");
        now(log.append(&records()[0])).expect("appended");
        drop(log);
        assert_eq!(load(&path).expect("loaded").len(), kept + 1, "cut to {cut}, and written again");
    }
}

#[test]
fn zeros_behind_the_last_record_are_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let ends = written(&path, &records());
    let whole = fs::read(&path).expect("read");
    for (kept, end) in ends.into_iter().enumerate() {
        for zeros in [1, 20, 5000] {
            fs::write(&path, [&whole[..end], &vec![0; zeros]].concat()).expect("written");
            assert_eq!(load(&path).expect("loaded"), records()[..kept], "{zeros} zeros");
            assert_eq!(fs::metadata(&path).expect("a file").len(), end as u64);
        }
    }
}

#[test]
fn a_sector_that_is_missing_is_an_unfinished_record_at_the_end_and_damage_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let long = Record::Grant { lock: "l".repeat(NAME_BYTES_MAX), owner: "o".repeat(NAME_BYTES_MAX) };
    written(&path, &[records()[0].clone(), long.clone()]);
    let last = fs::read(&path).expect("read");
    assert_eq!(load(&path).expect("loaded"), [records()[0].clone(), long.clone()]);
    written(&folder.path().join("other"), &[long, records()[1].clone(), records()[2].clone()]);
    let first = fs::read(folder.path().join("other")).expect("read");
    for (whole, sector, is_last) in
        [(&last, 2, true), (&last, 3, true), (&first, 1, false), (&first, 2, false)]
    {
        let mut torn = whole.clone();
        torn[sector * SECTOR..][..SECTOR].fill(0);
        fs::write(&path, &torn).expect("written");
        match load(&path) {
            Ok(found) => assert!(is_last && found == records()[..1], "sector {sector}: {found:?}"),
            Err(error) => assert!(!is_last && error.kind() == io::ErrorKind::InvalidData, "{error}"),
        }
    }
}

#[test]
fn a_changed_bit_anywhere_is_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    written(&path, &records());
    let whole = fs::read(&path).expect("read");
    for bit in 0..whole.len() * 8 {
        let mut changed = whole.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &changed).expect("written");
        let error = load(&path).expect_err("damaged");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "bit {bit}");
        assert!(error.to_string().contains("restore the file"), "{error}");
        assert_eq!(fs::read(&path).expect("read"), changed, "nothing was changed");
    }
}

#[test]
fn a_file_serves_one_process_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log");
    let _first = FileLog::open(&path).expect("a new file");
    let error = FileLog::open(&path).expect_err("it is locked");
    assert!(error.to_string().contains("another process is using"), "{error}");
}
