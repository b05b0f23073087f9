//! What was not synced is lost in every way that is promised.

use std::collections::BTreeMap;

use super::*;

/// How often something was seen.
#[derive(Debug, Default)]
struct Seen(BTreeMap<&'static str, u32>);

impl Seen {
    fn count(&mut self, what: &'static str, is: bool) {
        *self.0.entry(what).or_default() += u32::from(is);
    }

    fn all_at_least(&self, times: u32) {
        assert!(self.0.values().all(|seen| *seen >= times), "{self:?}");
    }
}

const OLD: u8 = 1;
const NEW: u8 = 2;

/// A journal of four old sectors, of which two were written over, and which grew by three and a half.
fn grown(salt: u64) -> Files {
    let mut files = with(salt, "journal", &sector(OLD).repeat(4));
    write_at(&mut files, "journal", 2 * SECTOR, &vec![NEW; 5 * SECTOR + SECTOR / 2]);
    files
}

#[test]
fn a_loss_of_power_leaves_any_part_of_what_was_not_synced() {
    let mut seen = Seen::default();
    for salt in 0..SALTS {
        let mut files = grown(salt);
        let shown = read(&files, "journal");
        files.lose_power();
        let found = read(&files, "journal");
        let (old_length, new_length) = (4 * SECTOR, shown.len());
        assert!((old_length..=new_length).contains(&found.len()));
        assert_eq!(found[..2 * SECTOR], shown[..2 * SECTOR], "what was synced");
        let sectors: Vec<&[u8]> = found.chunks(SECTOR).skip(2).collect();
        let is = |place: usize, byte| {
            sectors.get(place).is_some_and(|sector: &&[u8]| sector.iter().all(|found| *found == byte))
        };
        let is_whole = |(place, sector): (usize, &&[u8])| {
            sector.iter().all(|byte| *byte == sector[0])
                && [NEW, if place < 2 { OLD } else { 0 }].contains(&sector[0])
        };
        assert!(sectors.iter().enumerate().all(is_whole), "{sectors:?}");
        seen.count("everything survives", found == shown);
        seen.count("nothing survives", found == sector(OLD).repeat(4));
        seen.count("the beginning survives", is(0, NEW) && is(1, OLD));
        seen.count("the end survives and the beginning does not", is(0, OLD) && is(5, NEW));
        seen.count("the file is longer and the sector is zeros", is(3, 0));
        seen.count("a hole", is(3, 0) && is(4, NEW));
        seen.count("the old length and new contents", found.len() == old_length && is(1, NEW));
        seen.count("a length in between", found.len() > old_length && found.len() < new_length);
        seen.count("a sector that is cut", sectors.len() < 6 && !found.len().is_multiple_of(SECTOR));
        seen.count("the new length and not all contents", found.len() == new_length && found != shown);
    }
    seen.all_at_least(10);
}

#[test]
fn a_file_that_was_replaced_or_cut_may_have_its_old_contents() {
    let mut seen = Seen::default();
    for salt in 0..SALTS {
        let mut files = with(salt, "a", &sector(OLD).repeat(3));
        files.truncate("a", SECTOR as u64 + 10).expect("it is there");
        files.lose_power();
        let cut = read(&files, "a");
        assert_eq!(cut[..SECTOR + 10], sector(OLD).repeat(2)[..SECTOR + 10]);
        seen.count("cut", cut.len() == SECTOR + 10);
        seen.count("not cut", cut == sector(OLD).repeat(3));
        let is_zero = |place: usize| cut.get(place) == Some(&0);
        let is_old = |place: usize| cut.get(place) == Some(&OLD);
        seen.count("zeros and no end", is_zero(SECTOR + 10) && is_zero(2 * SECTOR - 1) && is_old(2 * SECTOR));
        let mut files = with(salt, "a", &sector(OLD).repeat(3));
        files.write("a", &sector(NEW).repeat(2));
        files.lose_power();
        let found = read(&files, "a");
        seen.count("old", found == sector(OLD).repeat(3));
        seen.count("new", found == sector(NEW).repeat(2));
        seen.count("empty", found.is_empty());
        seen.count("mixed", found.contains(&OLD) && found.contains(&NEW));
    }
    seen.all_at_least(5);
}

#[test]
fn names_and_contents_are_lost_independently() {
    let mut seen = Seen::default();
    for salt in 0..SALTS {
        let mut files = with(salt, "journal", b"old");
        files.put("gone", b"there");
        write_at(&mut files, "journal.new", 0, &sector(NEW));
        files.rename("journal.new", "journal").expect("it is there");
        files.remove("gone").expect("it is there");
        write_at(&mut files, "created", 0, &sector(NEW));
        let mut after_crash = files.clone();
        after_crash.crash();
        assert_eq!(after_crash.names(), ["created", "journal"], "a process takes nothing with it");
        assert_eq!(after_crash.list()[1], files.list()[1]);
        files.lose_power();
        let names = files.names();
        let is = |name: &str| names.contains(&name.to_owned());
        let found = read(&files, "journal");
        let is_renamed = found != b"old";
        seen.count("renamed with contents", found == sector(NEW));
        seen.count("renamed without contents", is_renamed && found != sector(NEW));
        seen.count("renamed and empty", found.is_empty());
        seen.count("contents without the name", !is_renamed && is("journal.new"));
        seen.count("neither name", !is_renamed && !is("journal.new"));
        assert!(!(is_renamed && is("journal.new")), "a rename is atomic");
        seen.count("removed", !is("gone"));
        seen.count("removal undone", is("gone"));
        seen.count("a later change survives and an earlier one does not", !is_renamed && is("created"));
        seen.count("an earlier change survives and a later one does not", is_renamed && !is("created"));
        if is("gone") {
            assert_eq!(read(&files, "gone"), b"there");
        }
    }
    seen.all_at_least(10);
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let mut seen = Seen::default();
    for salt in 0..SALTS {
        let mut files = grown(salt);
        let shown = read(&files, "journal");
        files.fail_sync("journal").expect("it is there");
        let mut at_once = files.clone();
        files.crash();
        assert_eq!(read(&files, "journal"), shown, "processes still read it");
        let missing = files.list()[0].not_durable;
        files.sync("journal").expect("it is there");
        assert_eq!(files.list()[0].not_durable, missing, "there is nothing to be written any more");
        files.lose_power();
        let found = read(&files, "journal");
        at_once.lose_power();
        assert_eq!(found, read(&at_once, "journal"), "the failure decided what is there");
        seen.count("everything was durable", found == shown);
        seen.count("nothing was durable", found == sector(OLD).repeat(4));
        let in_part = found != shown && found.contains(&NEW);
        seen.count("a part was durable", in_part);
    }
    seen.all_at_least(30);
}

#[test]
fn a_failed_sync_of_names_is_not_made_good_by_the_next_one() {
    let mut seen = Seen::default();
    for salt in 0..SALTS {
        let mut files = with(salt, "view", b"old");
        files.put("gone", b"there");
        files.write("view.new", b"new");
        files.sync("view.new").expect("it is there");
        files.rename("view.new", "view").expect("it is there");
        files.remove("gone").expect("it is there");
        files.fail_sync_names();
        files.crash();
        assert_eq!((files.names(), read(&files, "view")), (vec!["view".to_owned()], b"new".to_vec()));
        files.sync("view").expect("it is there");
        files.sync_names();
        files.lose_power();
        let (is_renamed, is_gone) = (read(&files, "view") == b"new", !files.names().contains(&"gone".into()));
        seen.count("both", is_renamed && is_gone);
        seen.count("the rename", is_renamed && !is_gone);
        seen.count("the removal", !is_renamed && is_gone);
        seen.count("neither", !is_renamed && !is_gone);
    }
    seen.all_at_least(20);
}

#[test]
fn what_is_written_over_changes_by_whole_sectors() {
    let mut seen = Seen::default();
    for salt in 0..SALTS {
        let mut files = with(salt, "a", &[0; 3 * SECTOR]);
        files.begin_write("a", SECTOR as u64, vec![1; 3 * SECTOR]);
        files.crash();
        let found = read(&files, "a");
        let written = found.iter().filter(|byte| **byte == 1).count();
        assert!(found[SECTOR..SECTOR + written].iter().all(|byte| *byte == 1), "a prefix");
        let is_behind = found.len() > 3 * SECTOR;
        assert!(is_behind || written % SECTOR == 0, "{written} bytes");
        seen.count("nothing", written == 0);
        seen.count("one sector", written == SECTOR);
        seen.count("a part of what is new", is_behind && written % SECTOR != 0);
    }
    seen.all_at_least(20);
}

#[test]
fn a_write_that_does_not_come_to_its_end_leaves_a_prefix() {
    for ends in [Files::fail_write, |files: &mut Files| {
        files.crash();
    }] {
        let mut lengths = [0; 5];
        for salt in 0..SALTS {
            let mut files = with(salt, "a", b"0123456789");
            files.begin_write("a", 8, b"abcd".to_vec());
            assert_eq!(read(&files, "a"), b"0123456789", "nothing is written before");
            ends(&mut files);
            files.complete_write();
            let found = read(&files, "a");
            let kept = found.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
            let mut expected = b"0123456789".to_vec();
            expected.truncate(8 + kept.max(2));
            expected.resize(8 + kept.max(2), 0);
            expected[8..8 + kept].copy_from_slice(&b"abcd"[..kept]);
            assert_eq!(found, expected);
            lengths[kept] += 1;
        }
        assert_eq!(lengths[1], 0, "a part of a sector in which there is something");
        assert!([0, 2, 3, 4].iter().all(|kept| lengths[*kept] > 30), "{lengths:?}");
    }
    let mut lengths = [0; 4];
    for salt in 0..SALTS {
        let mut files = with(salt, "a", b"0123456789");
        files.write_in_part("a", b"abc");
        let found = read(&files, "a");
        assert_eq!(found, b"abc"[..found.len()]);
        lengths[found.len()] += 1;
    }
    assert!(lengths.iter().all(|times| *times > 30), "{lengths:?}");
}

#[test]
fn what_is_under_way_is_told_at_the_end_of_a_process() {
    let mut files = with(1, "a", b"old");
    assert!(!files.crash());
    write_at(&mut files, "a", 0, b"new");
    assert!(files.crash(), "it was not synced");
    write_at(&mut files, "a", 0, b"new");
    files.sync("a").expect("it is there");
    assert!(!files.crash());
    files.rename("a", "b").expect("it is there");
    assert!(files.lose_power());
}
