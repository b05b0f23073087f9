//! Backups, and what is restored from them.

use super::*;
use crate::{
    protocol::store::Item,
    storage::journal::{Looked, backup, look},
};

/// A memory that holds keys and a session, and its backup.
fn backed_up() -> (Looked, Durable, Vec<u8>) {
    let (shelf, ..) = written(&batches());
    let looked = look(&shelf).expect("it can be read").expect("something is there");
    let memory = backup::of(&looked).expect("it holds operations");
    let mut file = Vec::new();
    let length = backup::write(&looked.server, memory.clone(), &mut file).expect("memory does not fail");
    assert_eq!(length, file.len() as u64);
    (looked, memory, file)
}

fn keys(memory: &Durable) -> Vec<Item> {
    let Snapshot { state, .. } = change::at_the_end(&memory.log);
    change::items(state).filter(|item| matches!(item, Item::Pair { .. })).collect()
}

#[test]
fn a_backup_holds_every_key_as_it_was_after_the_last_operation() {
    let (looked, memory, file) = backed_up();
    assert_eq!(memory.log.base(), looked.memory.log.end());
    assert!(keys(&looked.memory).len() > 2, "the test has keys");
    assert_eq!(keys(&memory), keys(&looked.memory));
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("backup");
    fs::write(&path, &file).expect("written");
    let found = backup::look(&path).expect("it is sound");
    assert_eq!((found.server, found.memory), (looked.server, memory));
}

#[test]
fn nothing_is_no_backup() {
    for some in 0..3 {
        let (shelf, ..) = written(&[&[vec![Write::Boot(Boot(1))]], &batches()[..some]].concat());
        let looked = look(&shelf).expect("it can be read").expect("something is there");
        assert_eq!(backup::of(&looked), None, "{some} batches");
    }
}

#[test]
fn no_damaged_backup_is_restored() {
    let (.., file) = backed_up();
    let refused = |bytes: &[u8]| {
        let shelf = Shelf::holding([("backup".to_owned(), bytes.to_vec())].into());
        backup::look_at(&shelf, "backup").expect_err("it is not what was written").to_string()
    };
    for byte in 0..file.len() {
        let mut damaged = file.clone();
        damaged[byte] ^= 1 << (byte % 8);
        refused(&damaged);
    }
    for cut in 0..file.len() {
        refused(&file[..cut]);
    }
    assert!(refused(&[&file[..], &[0]].concat()).contains("something follows its end"));
    let (shelf, name, _) = written(&batches());
    let journal = refused(&shelf.read(&name).expect("it is there"));
    assert!(journal.contains("does not begin with the words \"pbkv backup\""), "{journal}");
}

#[test]
fn a_backup_is_no_server_s_memory() {
    let (.., file) = backed_up();
    let (shelf, name, _) = written(&batches());
    let mut files = shelf.files();
    files.insert("99.journal".to_owned(), file);
    let both = Shelf::holding(files.clone());
    let error = open(&both).err().expect("it is refused").to_string();
    assert!(error.contains("is a backup, which no server uses as it is"), "{error}");
    assert_eq!(both.files(), files, "nothing was changed");
    assert!(files.contains_key(&name));
}

#[test]
fn what_is_restored_is_another_store_of_another_history() {
    let (looked, memory, _) = backed_up();
    let own = ServerId::new("localhost:9001");
    let data = DataId { boot: Boot(3), nonce: 77 };
    let restore = |shelf: &Shelf| {
        let restored = backup::restore(memory.clone(), shelf.clone(), &own, data, 5);
        restored.now_or_never().expect("a shelf never waits")
    };
    for names in [vec![], vec!["4.damaged"], vec!["1.journal.new", "journal.lock"]] {
        let there = names.iter().map(|name| ((*name).to_owned(), vec![1; 700]));
        let shelf = Shelf::holding(there.collect());
        let generation = restore(&shelf).expect("nothing is kept there");
        assert_eq!(generation, Generation { number: 2, nonce: 5 });
        let opened = Journal::read(shelf.clone(), &own, JournalOptions::default());
        let opened = opened.now_or_never().expect("a shelf never waits").expect("it can be read");
        let found = opened.memory;
        assert_eq!((found.data, found.generation, found.boot), (Some(data), generation, Boot(0)));
        let Position { view, op } = looked.memory.log.end();
        let beyond = Position { view, op: OpNumber(op.0 + backup::REVISIONS_LEFT_OUT) };
        assert_eq!((found.log.end(), found.view_seen), (beyond, looked.memory.view_seen));
        assert_eq!((keys(&found), found.log.snapshot().state.sessions()), (keys(&looked.memory), 0));
        let error = restore(&shelf).expect_err("something is kept there");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
    // A failure leaves nothing that a server would start with, or all of it.
    for changes in 0.. {
        let shelf = Shelf::default();
        shelf.fails_after(changes);
        let restored = restore(&shelf);
        *shelf.left.lock().expect("no panic") = None;
        let found = look(&shelf).expect("it can be read");
        let names = shelf.names().expect("it works");
        let opened = open(&Shelf::holding(shelf.files()));
        if let Ok(opened) = opened {
            let is_begun = found.is_none() && names.iter().any(|name| name.ends_with(".new"));
            assert_eq!(opened.is_unfinished, is_begun, "{changes}: {names:?}");
        }
        match restored {
            Ok(_) => break,
            Err(_) => assert!(found.is_none_or(|found| keys(&found.memory) == keys(&memory)), "{changes}"),
        }
    }
}
