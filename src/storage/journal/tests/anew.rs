//! Files stay in proportion to what is stored.

use super::*;

#[test]
fn a_file_is_written_anew_when_it_has_grown() {
    let shelf = Shelf::default();
    let Opened { mut journal, .. } = open_growing(&shelf, GROWTH).expect("an empty folder");
    let ttl = Duration::from_secs(60);
    let mut memory = Durable::default();
    let mut longest = 0;
    let mut persist_all = |writes: Vec<Write>, memory: &mut Durable| {
        writes.iter().cloned().for_each(|write| memory.apply(write));
        persist(&mut journal, writes).expect("it works");
        longest = longest.max(shelf.files().values().map(Vec::len).sum());
    };
    persist_all(vec![Write::Boot(Boot(1)), entry(1, 1, Command::OpenSession { ttl })], &mut memory);
    for op in 2..2000 {
        persist_all(vec![put(1, op, op % 50, 1000)], &mut memory);
        if op % 10 == 0 && op > 20 {
            persist_all(vec![Write::Checkpoint(snapshot(&memory, op - 10))], &mut memory);
        }
        if op % 100 == 0 {
            let copy = Shelf::holding(shelf.files());
            let Opened { memory: found, damage, .. } = open(&copy).expect("it can be read");
            assert_eq!((&found, damage), (&memory, None), "after operation {op}");
        }
    }
    let bytes = 50 * 1000 + 20 * 1000; // what is stored, and the longest log
    assert!(longest < 5 * bytes, "{longest}");
    assert!(journal.file.file > 10, "{} files", journal.file.file);
}

#[test]
fn a_disk_with_no_room_for_zeros_may_have_room_for_changes() {
    let shelf = Shelf::default();
    let Opened { mut journal, .. } = open_with(&shelf, u64::MAX, 100 * SECTOR).expect("an empty folder");
    *shelf.longest.lock().expect("no panic") = Some(20 * SECTOR);
    let mut written = 0;
    while persist(&mut journal, vec![Write::ViewSeen(ViewNumber(written + 1))]).is_ok() {
        written += 1;
    }
    assert_eq!(shelf.files().values().next().map(Vec::len), Some(20 * SECTOR));
    assert_eq!(open(&shelf).expect("it can be read").memory.view_seen, ViewNumber(written));
}

#[test]
fn a_file_that_is_much_longer_than_what_is_stored_is_written_anew() {
    let shelf = Shelf::default();
    let Opened { mut journal, .. } = open_growing(&shelf, GROWTH).expect("an empty folder");
    let mut memory = Durable::default();
    let mut persist_all = |writes: Vec<Write>, memory: &mut Durable| {
        writes.iter().cloned().for_each(|write| memory.apply(write));
        persist(&mut journal, writes).expect("it works");
    };
    let open_session = Command::OpenSession { ttl: Duration::from_secs(60) };
    persist_all(vec![Write::Boot(Boot(1)), entry(1, 1, open_session)], &mut memory);
    (2..102).for_each(|op| persist_all(vec![put(1, op, op, 1000)], &mut memory));
    let full = shelf.files().values().map(Vec::len).sum::<usize>();
    for op in 102..202 {
        let (session, request, key) =
            (SessionId(1), RequestNumber(op), Bytes::from(format!("k{}", op - 100)));
        let update = Update::Delete { key };
        persist_all(vec![entry(1, op, Command::Update { session, request, update })], &mut memory);
        persist_all(vec![Write::Checkpoint(snapshot(&memory, op))], &mut memory);
    }
    let empty = shelf.files().values().map(Vec::len).sum::<usize>();
    assert!(full > 100_000 && empty < 3 * GROWTH as usize, "{full} bytes, then {empty}");
    assert_eq!(memory.log.snapshot().state.keys(), 0);
}

#[test]
fn a_number_after_which_there_is_none_is_refused() {
    let (shelf, name, _) = written(&batches());
    let last = format!("{}.journal", u64::MAX / 2 - 1);
    let shelf = Shelf::holding([(last, shelf.read(&name).expect("it is there"))].into());
    let before = shelf.files();
    let error = open(&shelf).err().expect("its next name would not be known").to_string();
    assert!(error.contains("move it away") && shelf.files() == before, "{error}");
}
