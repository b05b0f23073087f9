//! Files of format 1 that are kept in `src/storage/kept`: whatever becomes of this program, it reads them.
//! They are never written again; another format gets files of its own.

use std::path::Path;

use super::*;
use crate::{
    protocol::{
        command::{Expected, Outcome},
        store::Item,
    },
    storage::journal::{backup, look},
};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/storage/kept");
const BOOT: Boot = Boot(1_700_000_000_000_000_000);

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Batches with everything that format 1 can say. The state in the middle begins the file.
fn everything() -> Vec<Vec<Write>> {
    let update = |op, update| {
        let (session, request) = (SessionId(1), RequestNumber(op));
        entry(1, op, Command::Update { session, request, update })
    };
    let swap = |op, key, expected| {
        update(op, Update::CompareAndSwap { key: text(key), expected, new: text("swapped") })
    };
    let (key, value_bytes_max) = (text("fruit"), 20);
    let append =
        |op, value| update(op, Update::Append { key: key.clone(), value: text(value), value_bytes_max });
    let (data, generation) =
        (DataId { boot: BOOT, nonce: u64::MAX }, Generation { number: 3, nonce: 0xfeed });
    let ttl = Duration::from_secs(60);
    let mut batches = vec![
        vec![Write::Data { data, generation }, Write::Boot(BOOT), Write::ViewSeen(ViewNumber(1))],
        vec![
            entry(1, 1, Command::OpenSession { ttl }),
            update(2, Update::Put { key: key.clone(), value: text("apple") }),
            append(3, " pie"),
            swap(4, "fruit", Expected::Value(Some(text("pear")))),
        ],
    ];
    let state_after = |batches: &[Vec<Write>], op| snapshot(memories(batches).last().expect("one"), op);
    let state = state_after(&batches, 4);
    batches.push(vec![Write::Install(state)]);
    batches.push(vec![
        update(5, Update::Put { key: text("gone"), value: text("soon") }),
        update(6, Update::Delete { key: text("gone") }),
        entry(1, 7, Command::OpenSession { ttl }),
        entry(1, 8, Command::CloseSession { session: SessionId(7) }),
        append(9, " and much more of that"),
    ]);
    let state = state_after(&batches, 6);
    batches.push(vec![Write::Checkpoint(state)]);
    batches.push(vec![
        swap(10, "fruit", Expected::Revision(OpNumber(3))),
        update(11, Update::Put { key: text("never"), value: Bytes::from(vec![b'n'; 600]) }),
    ]);
    batches.push(vec![Write::ViewSeen(ViewNumber(2)), Write::Truncate(OpNumber(11))]);
    batches
}

/// The files that are kept, as this version writes them.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let (shelf, name, _) = written(&everything());
    let looked = look(&shelf).expect("it can be read").expect("something is there");
    let mut saved = Vec::new();
    let memory = backup::of(&looked).expect("it holds operations");
    backup::write(&looked.server, memory, &mut saved).expect("memory does not fail");
    let torn = [shelf.read(&name).expect("it is there"), vec![0; SECTOR], b"cut off".to_vec()].concat();
    vec![("journal", torn), ("backup", saved)]
}

#[test]
fn what_this_version_writes_is_what_is_kept() {
    for (name, bytes) in files() {
        let file = Path::new(KEPT).join("journal-1").join(name);
        if !file.exists() && std::env::var_os("UPDATE_GOLDENFILES").is_some() {
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(&file, &bytes).expect("written");
        }
        assert!(fs::read(&file).expect("it is kept") == bytes, "{name}: another format needs another number");
    }
}

#[test]
fn a_journal_of_format_1_can_be_read() {
    let file = fs::read(Path::new(KEPT).join("journal-1/journal")).expect("it is kept");
    let Opened { memory, damage, cut, .. } =
        open(&Shelf::holding([("7.journal".to_owned(), file)].into())).expect("it can be read");
    assert_eq!((damage, cut), (None, 7));
    assert_eq!(memory.data, Some(DataId { boot: BOOT, nonce: u64::MAX }));
    assert_eq!(memory.generation, Generation { number: 3, nonce: 0xfeed });
    assert_eq!((memory.boot, memory.view_seen), (BOOT, ViewNumber(2)));
    assert_eq!((memory.log.base(), memory.log.end()), (at(1, 6), at(1, 10)));
    let Snapshot { state, .. } = change::at_the_end(&memory.log);
    let items: Vec<Item> = change::items(state.clone()).collect();
    let Item::Pair { key, held } = &items[0] else { panic!("{items:?}") };
    assert_eq!(
        (&key[..], &held.value[..], held.mod_revision),
        (&b"fruit"[..], &b"swapped"[..], OpNumber(10))
    );
    assert_eq!((state.keys(), state.sessions()), (1, 1));
    let session = state.session(SessionId(1)).expect("it is open");
    assert_eq!(session.ttl, Duration::from_secs(60));
    let (request, executed) = session.last.as_ref().expect("it is remembered");
    assert_eq!((*request, executed.revision), (RequestNumber(10), OpNumber(10)));
    let Outcome::Swapped { swapped: true, previous: Some(previous) } = &executed.outcome else {
        panic!("{executed:?}")
    };
    assert_eq!((&previous.value[..], previous.mod_revision), (&b"apple pie"[..], OpNumber(3)));
}

#[test]
fn a_backup_of_format_1_can_be_read() {
    let found = backup::look(&Path::new(KEPT).join("journal-1/backup")).expect("it is sound");
    assert_eq!(found.server, server());
    let (log, state) = (&found.memory.log, &found.memory.log.snapshot().state);
    assert_eq!((log.end(), state.keys(), state.sessions()), (at(1, 10), 1, 0));
    assert_eq!(found.memory.generation, Generation { number: 3, nonce: 0xfeed });
}
