mod anew;
mod backup;
mod kept;

use std::{
    collections::BTreeMap,
    fmt, fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;

use super::*;
use crate::{
    process::block_on,
    protocol::{
        command::{Command, Entry},
        identity::{Boot, DataId, Generation, OpNumber, Position, RequestNumber, SessionId, ViewNumber},
        kv::Update,
        store::Snapshot,
    },
};

/// A folder in memory, which fails when it is told to.
#[derive(Clone, Default)]
struct Shelf {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// So many more changes succeed.
    left: Arc<Mutex<Option<usize>>>,
    /// No file can be longer.
    longest: Arc<Mutex<Option<usize>>>,
}

impl Shelf {
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.lock().expect("no panic").clone()
    }

    fn holding(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { files: Arc::new(Mutex::new(files)), ..Self::default() }
    }

    fn fails_after(&self, changes: usize) {
        *self.left.lock().expect("no panic") = Some(changes);
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> io::Result<T> {
        match &mut *self.left.lock().expect("no panic") {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(change(&mut self.files.lock().expect("no panic")))
    }
}

impl fmt::Display for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shelf")
    }
}

impl Folder for Shelf {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files().into_keys().collect())
    }

    fn read_at(&self, name: &str, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let file = self.read(name)?;
        let rest = file.get(usize::try_from(offset).expect("small")..).unwrap_or_default();
        let short = rest.len().min(into.len()).min(1000); // reads may be short
        into[..short].copy_from_slice(&rest[..short]);
        Ok(short)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files().remove(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn write(&mut self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.change(|files| _ = files.insert(name.to_owned(), bytes))
    }

    async fn write_at(&mut self, name: &str, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("small");
        let longest = *self.longest.lock().expect("no panic");
        if longest.is_some_and(|longest| offset + bytes.len() > longest) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(|files| {
            let file = files.entry(name.to_owned()).or_default();
            file.resize(file.len().max(offset + bytes.len()), 0);
            file[offset..offset + bytes.len()].copy_from_slice(&bytes);
        })
    }

    async fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).expect("small");
        self.change(|files| files.get_mut(name).expect("it is there").resize(length, 0))
    }

    async fn sync(&mut self, _: &str) -> io::Result<()> {
        self.change(|_| ())
    }

    async fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change(|files| {
            let file = files.remove(from).expect("it is there");
            files.insert(to.to_owned(), file);
        })
    }

    async fn remove(&mut self, name: &str) -> io::Result<()> {
        self.change(|files| _ = files.remove(name).expect("it is there"))
    }

    async fn sync_names(&mut self) -> io::Result<()> {
        self.change(|_| ())
    }
}

const GROWTH: u64 = 8 << 10;

fn server() -> ServerId {
    ServerId::new("localhost:8001")
}

fn open(shelf: &Shelf) -> io::Result<Opened<Shelf>> {
    open_growing(shelf, u64::MAX)
}

fn open_growing(shelf: &Shelf, growth_min: u64) -> io::Result<Opened<Shelf>> {
    open_with(shelf, growth_min, 0)
}

fn open_with(shelf: &Shelf, growth_min: u64, ahead: usize) -> io::Result<Opened<Shelf>> {
    let options = JournalOptions { growth_min, rewrite_min: 1, piece: 700, ahead };
    Journal::read(shelf.clone(), &server(), options).now_or_never().expect("a shelf never waits")
}

fn persist(journal: &mut Journal<Shelf>, writes: Vec<Write>) -> io::Result<()> {
    journal.persist(writes).now_or_never().expect("a shelf never waits")?;
    journal.keep_up().now_or_never().expect("a shelf never waits")
}

fn at(view: u64, op: u64) -> Position {
    Position { view: ViewNumber(view), op: OpNumber(op) }
}

fn entry(view: u64, op: u64, command: Command) -> Write {
    let timestamp = Duration::from_millis(op);
    Write::Entry(Entry { position: at(view, op), timestamp, command })
}

fn put(view: u64, op: u64, key: u64, bytes: usize) -> Write {
    let (key, value) = (Bytes::from(format!("k{key}")), Bytes::from(vec![b'v'; bytes]));
    let update = Update::Put { key, value };
    let (session, request) = (SessionId(1), RequestNumber(op));
    entry(view, op, Command::Update { session, request, update })
}

/// The state after an operation of a log.
fn snapshot(memory: &Durable, op: u64) -> Snapshot {
    let log = &memory.log;
    let mut state = log.snapshot().state.clone();
    let entries = log.entries_from(OpNumber(0)).take_while(|entry| entry.position.op.0 <= op);
    entries.for_each(|entry| _ = state.apply(entry));
    Snapshot { at: log.position(OpNumber(op)).expect("it is in the log"), state }
}

/// Batches with a change of each kind.
fn batches() -> Vec<Vec<Write>> {
    let data = DataId { boot: Boot(7), nonce: 9 };
    let generation = Generation { number: 1, nonce: 3 };
    let ttl = Duration::from_secs(60);
    let mut batches = vec![
        vec![Write::Boot(Boot(7))],
        vec![Write::Data { data, generation }],
        vec![Write::ViewSeen(ViewNumber(1)), entry(1, 1, Command::OpenSession { ttl })],
        (2..6).map(|op| put(1, op, op % 3, 300)).collect(),
        vec![Write::ViewSeen(ViewNumber(2)), Write::Truncate(OpNumber(5)), put(2, 5, 7, 10)],
    ];
    let mut memory = Durable::default();
    batches.iter().flatten().cloned().for_each(|write| memory.apply(write));
    batches.push(vec![Write::Checkpoint(snapshot(&memory, 4)), put(2, 6, 1, 1200)]);
    batches.push(vec![Write::Install(snapshot(&memory, 5)), put(3, 6, 2, 900)]);
    batches.push(vec![put(3, 7, 1, 2000)]);
    batches
}

/// The same without a state that replaces everything: all but the first are appended to one file.
fn appended() -> Vec<Vec<Write>> {
    let mut all = batches();
    all.swap(0, 1);
    all.truncate(6);
    all.push(vec![put(2, 7, 1, 2000)]);
    all
}

/// What is remembered after each of the batches, that before the first one included.
fn memories(batches: &[Vec<Write>]) -> Vec<Durable> {
    let mut memory = Durable::default();
    let mut memories = vec![memory.clone()];
    for batch in batches {
        batch.iter().cloned().for_each(|write| memory.apply(write));
        memories.push(memory.clone());
    }
    memories
}

/// A folder with these batches, of which the first one makes the file, and where each of them ends.
fn written(batches: &[Vec<Write>]) -> (Shelf, String, Vec<usize>) {
    written_with(batches, 0)
}

fn written_with(batches: &[Vec<Write>], ahead: usize) -> (Shelf, String, Vec<usize>) {
    let shelf = Shelf::default();
    let Opened { mut journal, .. } = open_with(&shelf, u64::MAX, ahead).expect("an empty folder");
    let mut lengths = Vec::new();
    for batch in batches {
        persist(&mut journal, batch.clone()).expect("it works");
        lengths.push(usize::try_from(journal.file.length).expect("small"));
    }
    let name = shelf.names().expect("it works").remove(0);
    (shelf, name, lengths)
}

#[test]
fn what_was_written_is_found_at_each_start() {
    for ahead in [0, 700, 8 * SECTOR] {
        let shelf = Shelf::default();
        let open = || open_with(&shelf, u64::MAX, ahead).expect("it can be read");
        for (batch, memory) in batches().into_iter().zip(memories(&batches())) {
            let mut opened = open();
            assert_eq!((opened.memory, opened.damage, opened.cut), (memory, None, 0));
            persist(&mut opened.journal, batch).expect("it works");
        }
        assert_eq!(Some(&open().memory), memories(&batches()).last());
    }
}

#[test]
fn a_batch_for_which_there_is_room_leaves_the_length_as_it_is() {
    let shelf = Shelf::default();
    let Opened { mut journal, .. } = open_with(&shelf, u64::MAX, 10 * SECTOR).expect("an empty folder");
    let mut lengths = Vec::new();
    for view in 1..=100 {
        persist(&mut journal, vec![Write::ViewSeen(ViewNumber(view))]).expect("it works");
        lengths.push(shelf.files().values().next().expect("one file").len());
    }
    lengths.dedup();
    assert_eq!(lengths.len(), 10, "one batch of eleven takes zeros along: {lengths:?}");
    let Opened { memory, damage, cut, .. } = open(&shelf).expect("it can be read");
    assert_eq!((memory.view_seen, damage, cut), (ViewNumber(100), None, 0));
}

#[test]
fn a_file_that_ends_early_holds_whole_batches() {
    let (_, name, lengths) = written(&appended());
    let memories = memories(&appended());
    let file = written(&appended()).0.read(&name).expect("it is there");
    for cut in lengths[0]..=file.len() {
        let shelf = Shelf::holding([(name.clone(), file[..cut].to_vec())].into());
        let Opened { memory, damage, cut: torn, .. } = open(&shelf).expect("it can be read");
        let whole = lengths.iter().rposition(|length| *length <= cut).expect("it begins");
        assert_eq!((&memory, damage), (&memories[1 + whole], None), "cut to {cut} bytes");
        assert_eq!(torn, (cut - lengths[whole]) as u64);
    }
    let shelf = Shelf::holding([(name.clone(), file[..lengths[0] - 1].to_vec())].into());
    assert!(open(&shelf).expect("it begins afresh").damage.is_some(), "files are whole when they are named");
}

#[test]
fn a_batch_of_which_any_sector_is_missing_is_torn() {
    for ahead in [0, 6 * SECTOR] {
        any_sector_is_missing(ahead);
    }
}

fn any_sector_is_missing(ahead: usize) {
    let (shelf, name, lengths) = written_with(&appended(), ahead);
    let file = shelf.read(&name).expect("it is there");
    let last = lengths[lengths.len() - 2]..lengths[lengths.len() - 1];
    let sectors = last.len() / SECTOR;
    assert!(sectors >= 4, "{sectors}");
    let memories = memories(&appended());
    for kept in 0..1_u32 << sectors {
        let mut torn = file.clone();
        for sector in (0..sectors).filter(|sector| kept & 1 << sector == 0) {
            torn[last.start + sector * SECTOR..][..SECTOR].fill(0);
        }
        let Opened { memory, damage, mut journal, .. } =
            open(&Shelf::holding([(name.clone(), torn)].into())).expect("it can be read");
        let whole = if kept + 1 == 1 << sectors { memories.len() - 2 } else { memories.len() - 3 };
        assert_eq!((&memory, damage), (&memories[1 + whole], None), "kept {kept:b}");
        // What is left of it is not there any more.
        persist(&mut journal, vec![Write::ViewSeen(ViewNumber(9))]).expect("it works");
        let again = open(&journal.folder).expect("it can be read");
        assert_eq!((again.memory.view_seen, again.damage), (ViewNumber(9), None));
    }
}

#[test]
fn a_sector_that_is_missing_before_others_is_damage() {
    let (shelf, name, lengths) = written(&appended());
    let file = shelf.read(&name).expect("it is there");
    for sector in 0..lengths[lengths.len() - 2] / SECTOR {
        let mut damaged = file.clone();
        damaged[sector * SECTOR..][..SECTOR].fill(0);
        let shelf = Shelf::holding([(name.clone(), damaged.clone())].into());
        let Opened { memory, damage, .. } = open(&shelf).expect("it begins afresh");
        assert_eq!((memory, damage.is_some()), (Durable::default(), true), "sector {sector}");
        assert_eq!(shelf.read("2.damaged").expect("it is kept"), damaged);
    }
}

#[test]
fn no_damaged_byte_is_taken_for_a_torn_one() {
    let (shelf, name, _) = written_with(&appended(), 3 * SECTOR);
    let file = shelf.read(&name).expect("it is there");
    for (byte, bit) in (0..file.len()).map(|byte| (byte, byte % 8)) {
        let mut damaged = file.clone();
        damaged[byte] ^= 1 << bit;
        let opened = open(&Shelf::holding([(name.clone(), damaged)].into())).expect("it begins afresh");
        assert!(opened.damage.is_some(), "bit {bit} of byte {byte}");
    }
}

#[test]
fn what_was_acknowledged_is_there_wherever_the_disk_fails() {
    let mut failures = 0;
    for changes in 0.. {
        let shelf = Shelf::default();
        let mut acknowledged = 0;
        let mut opened = open_growing(&shelf, GROWTH).expect("an empty folder");
        let mut all = batches();
        all.extend((8..40).map(|op| vec![put(3, op, op % 3, 1000)]));
        shelf.fails_after(changes);
        for batch in &all {
            if persist(&mut opened.journal, batch.clone()).is_err() {
                failures += 1;
                break;
            }
            acknowledged += 1;
        }
        *shelf.left.lock().expect("no panic") = None;
        let is_over = acknowledged == all.len();
        let refused = persist(&mut opened.journal, vec![Write::Boot(Boot(99))]);
        assert_eq!(refused.is_ok(), is_over, "after a failure nothing is written any more");
        if is_over {
            break;
        }
        let found = open(&shelf).expect("it can be read");
        let memories = memories(&all);
        let known = &memories[acknowledged..=acknowledged + 1];
        assert!(known.contains(&found.memory), "{changes} changes, then {:?}", found.memory);
        assert_eq!(found.damage, None, "{changes} changes");
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn a_start_that_fails_harms_nothing() {
    let (shelf, name, _) = written(&batches());
    let memories = memories(&batches());
    let mut failures = 0;
    for changes in 0.. {
        let shelf = Shelf::holding(shelf.files());
        shelf.files.lock().expect("no panic").insert("7.journal.new".into(), vec![1; 700]);
        shelf.fails_after(changes);
        let first = open(&shelf);
        *shelf.left.lock().expect("no panic") = None;
        let again = open(&shelf).expect("it can be read");
        assert_eq!((Some(&again.memory), again.damage), (memories.last(), None), "{changes} changes");
        let names = shelf.names().expect("it works");
        assert!(names.len() == 1 && names[0] != name, "{names:?}");
        match first {
            Err(_) => failures += 1,
            Ok(_) => break,
        }
    }
    assert!(failures > 4, "{failures}");
}

#[test]
fn an_older_file_is_not_taken_after_a_damaged_one_was_set_aside() {
    let (old, name, _) = written(&batches()[..4]);
    let (new, new_name, _) = written(&batches());
    let mut damaged = new.read(&new_name).expect("it is there");
    damaged[700] ^= 1;
    let both =
        [("5.journal".to_owned(), old.read(&name).expect("it is there")), ("6.journal".into(), damaged)];
    let mut failures = 0;
    for changes in 0.. {
        let shelf = Shelf::holding(both.clone().into());
        shelf.fails_after(changes);
        let first = open(&shelf);
        *shelf.left.lock().expect("no panic") = None;
        let again = open(&shelf).expect("it begins afresh");
        assert_eq!(again.memory, Durable::default(), "{changes} changes");
        let names = shelf.names().expect("it works");
        assert!(names.contains(&"6.damaged".into()) && !names.contains(&"5.journal".into()), "{names:?}");
        match first {
            Err(_) => failures += 1,
            Ok(_) => break,
        }
    }
    assert!(failures > 6, "{failures}");
}

#[test]
fn files_that_are_not_the_journal_s_are_left_alone() {
    let (shelf, name, _) = written(&batches());
    for other in
        ["007.journal", "+9.journal", "18446744073709551615.journal", "journal", "x.journal", "x.journal.new"]
    {
        shelf.files.lock().expect("no panic").insert(other.into(), vec![7]);
    }
    let before = shelf.files();
    let opened = open(&shelf).expect("it can be read");
    assert_eq!((Some(&opened.memory), opened.damage), (memories(&batches()).last(), None));
    let after = shelf.files();
    assert!(before.keys().filter(|file| **file != name).all(|file| after[file] == [7]), "{after:?}");
}

#[test]
fn a_state_that_replaces_everything_is_a_new_file() {
    let shelf = Shelf::default();
    let mut opened = open(&shelf).expect("an empty folder");
    for batch in batches() {
        let replaces = batch.iter().any(|write| matches!(write, Write::Install(_)));
        let (number, length) = (opened.journal.file.file, opened.journal.file.length);
        persist(&mut opened.journal, batch).expect("it works");
        if replaces {
            assert_eq!(opened.journal.file.file, number + 1);
            assert!(opened.journal.file.length < length, "nothing of what it replaces is there");
        }
    }
    assert_eq!(shelf.files().len(), 1);
}

#[test]
fn another_server_and_another_format_are_refused() {
    let (shelf, name, _) = written(&batches());
    let other = ServerId::new("localhost:8002");
    let opened = Journal::read(shelf.clone(), &other, JournalOptions::default())
        .now_or_never()
        .expect("it does not wait");
    let error = opened.err().expect("it is another server's").to_string();
    assert!(error.contains("belongs to the server localhost:8001"), "{error}");
    // Nor is one damaged that is another server's.
    let mut file = shelf.read(&name).expect("it is there");
    file[3 * SECTOR] ^= 1;
    let foreign = Shelf::holding([(name.clone(), file)].into());
    let opened = Journal::read(foreign.clone(), &other, JournalOptions::default());
    let error = opened.now_or_never().expect("it does not wait").err().expect("it is another server's");
    assert!(error.to_string().contains("belongs to the server localhost:8001"), "{error}");
    assert_eq!(foreign.names().expect("it works"), shelf.names().expect("it works"), "nothing was changed");
    let mut file = shelf.read(&name).expect("it is there");
    file[13] = b'2';
    let sum = crc32fast::hash(&file[..SECTOR - 4]).to_be_bytes();
    file[SECTOR - 4..SECTOR].copy_from_slice(&sum);
    let before = Shelf::holding([(name, file)].into());
    let error = open(&before).err().expect("it is of a later version").to_string();
    assert!(error.contains("format 2"), "{error}");
    assert_eq!(before.names().expect("it works"), shelf.names().expect("it works"), "nothing was changed");
}

#[test]
fn a_folder_of_the_operating_system_keeps_what_was_written() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path().join("not").join("there yet");
    let memories = memories(&batches());
    for (number, batch) in batches().into_iter().enumerate() {
        let round = async {
            let mut opened =
                Journal::open(&dir, &server(), JournalOptions::default()).await.expect("it can be read");
            assert_eq!((&opened.memory, &opened.damage), (&memories[number], &None));
            let second = Journal::open(&dir, &server(), JournalOptions::default())
                .await
                .err()
                .expect("it is in use")
                .to_string();
            assert!(second.contains("another server"), "{second}");
            opened.journal.persist(batch).await.expect("the disk works");
        };
        block_on(round).expect("a runtime");
    }
    assert_eq!(fs::read_dir(&dir).expect("it is there").count(), 2, "the journal and its lock");
}
