//! What was synced survives.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::data::hash::{below, stable_hash};

const NAME: &str = "journal";

/// What a file must hold after a loss of power, as far as that was promised.
#[derive(Default)]
struct Promised {
    /// Sectors that were synced and not changed since.
    sectors: BTreeMap<usize, Vec<u8>>,
    /// The length, if it was synced and not changed since.
    length: Option<usize>,
    /// Sectors that were changed since the last sync, and whether the length was.
    changed: BTreeSet<usize>,
    is_resized: bool,
}

impl Promised {
    fn change(&mut self, from: usize, to: usize) {
        for sector in from / SECTOR..to.div_ceil(SECTOR) {
            self.sectors.remove(&sector);
            self.changed.insert(sector);
        }
    }

    fn resize(&mut self) {
        self.length = None;
        self.is_resized = true;
    }

    fn sync(&mut self, shown: &[u8]) {
        for sector in std::mem::take(&mut self.changed) {
            let rest = shown.get(sector * SECTOR..).unwrap_or_default();
            if !rest.is_empty() {
                self.sectors.insert(sector, rest[..rest.len().min(SECTOR)].to_vec());
            }
        }
        if std::mem::take(&mut self.is_resized) {
            self.length = Some(shown.len());
        }
    }

    fn sync_fails(&mut self) {
        self.changed.clear();
        self.is_resized = false;
    }

    fn check(&self, found: &[u8]) {
        for (sector, bytes) in &self.sectors {
            let start = sector * SECTOR;
            assert_eq!(found.get(start..start + bytes.len()), Some(&bytes[..]), "sector {sector}");
        }
        assert!(self.length.is_none_or(|length| length == found.len()), "{:?}", self.length);
    }
}

#[test]
fn what_was_synced_survives_whatever_happens() {
    let mut checked = 0;
    for salt in 0..SALTS {
        let mut files = with(salt, NAME, b"");
        let mut promised = Promised { length: Some(0), ..Promised::default() };
        for step in 0..40_u64 {
            let choice =
                |what: &str, bound: usize| below(stable_hash(&(salt, step, what)), bound as u64) as usize;
            let length = read(&files, NAME).len();
            match choice("step", 10) {
                0..=3 => {
                    let (offset, bytes) =
                        (choice("offset", 4_000), vec![step as u8 + 1; choice("bytes", 1_500)]);
                    let end = offset + bytes.len();
                    write_at(&mut files, NAME, offset, &bytes);
                    if !bytes.is_empty() {
                        promised.change(offset.min(length), end);
                    }
                    if end > length && !bytes.is_empty() {
                        promised.resize();
                    }
                }
                4 => {
                    let to = choice("end", 4_000);
                    files.truncate(NAME, to as u64).expect("it is there");
                    promised.change(to.min(length), to.max(length));
                    promised.resize();
                }
                5 => files.write("other", &vec![1; choice("bytes", 1_500)]),
                6 => {
                    files.crash();
                }
                7 => {
                    files.fail_sync(NAME).expect("it is there");
                    promised.sync_fails();
                }
                8 => {
                    files.sync(NAME).expect("it is there");
                    promised.sync(&read(&files, NAME));
                }
                _ => {
                    checked += promised.sectors.len();
                    files.lose_power();
                    let found = read(&files, NAME);
                    promised.check(&found);
                    promised = Promised { length: Some(found.len()), ..Promised::default() };
                    promised.change(0, found.len());
                    promised.sync(&found);
                }
            }
        }
    }
    assert!(checked > 1_000, "{checked} sectors were checked");
}

#[test]
fn names_that_were_synced_survive_whatever_happens() {
    for salt in 0..SALTS {
        let mut files = with(salt, "1", b"one");
        files.put("0", b"zero");
        files.write("2", b"two");
        files.rename("2", "3").expect("it is there");
        files.remove("0").expect("it is there");
        files.sync_names();
        for _ in 0..3 {
            files.write("4", b"four");
            files.rename("4", "5").expect("it is there");
            files.fail_sync_names();
            files.crash();
            files.lose_power();
            let names = files.names();
            assert!(["1", "3"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
            assert!(!["0", "2"].iter().any(|name| names.contains(&(*name).to_owned())), "{names:?}");
        }
    }
}

/// A record is replaced, up to this step.
fn replaced(salt: u64, steps: usize) -> Files {
    let mut files = with(salt, "view", b"old");
    for step in 0..steps {
        match step {
            0 => files.write("view.new", b"the new one"),
            1 => files.sync("view.new").expect("it is there"),
            2 => files.rename("view.new", "view").expect("it is there"),
            _ => files.sync_names(),
        }
    }
    files
}

#[test]
fn a_synced_file_is_the_old_or_the_new_one_after_a_loss_of_power() {
    let mut seen = [0, 0];
    for (salt, steps) in (0..100).flat_map(|salt| (0..=4).map(move |steps| (salt, steps))) {
        let mut files = replaced(salt, steps);
        files.lose_power();
        let found = read(&files, "view");
        let is_new = found == b"the new one";
        assert!(is_new || found == b"old", "{steps} steps: {found:?}");
        assert!(if steps == 4 { is_new } else { steps == 3 || !is_new }, "{steps} steps: {found:?}");
        seen[usize::from(is_new)] += usize::from(steps == 3);
    }
    assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
}

#[test]
fn what_was_written_again_after_a_failed_sync_is_durable() {
    for salt in 0..SALTS {
        let mut files = with(salt, NAME, &sector(1));
        write_at(&mut files, NAME, 100, &sector(2).repeat(4));
        files.fail_sync(NAME).expect("it is there");
        let shown = read(&files, NAME);
        write_at(&mut files, NAME, 100, &sector(2).repeat(4));
        files.sync(NAME).expect("it is there");
        files.lose_power();
        assert_eq!(read(&files, NAME), shown);
        files.write("new", b"all of it");
        files.fail_sync_names();
        files.write("again", b"all of it");
        files.sync("again").expect("it is there");
        files.rename("again", "new").expect("it is there");
        files.sync_names();
        files.lose_power();
        assert_eq!(
            (files.names(), read(&files, "new")),
            (vec![NAME.into(), "new".into()], b"all of it".to_vec())
        );
    }
}
