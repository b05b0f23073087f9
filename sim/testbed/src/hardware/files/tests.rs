mod damage;
mod promises;

use super::*;

/// Salts of the folders that are tried.
const SALTS: u64 = 400;

/// A sector that is full of this byte.
fn sector(byte: u8) -> Vec<u8> {
    vec![byte; SECTOR]
}

/// Writes at once.
fn write_at(files: &mut Files, name: &str, offset: usize, bytes: &[u8]) {
    files.begin_write(name, offset as u64, bytes.to_vec());
    files.complete_write();
}

fn read(files: &Files, name: &str) -> Vec<u8> {
    files.read(name).expect("it is there")
}

/// A folder with this file, durably.
fn with(salt: u64, name: &str, bytes: &[u8]) -> Files {
    let mut files = Files::new(salt, 2);
    files.write(name, bytes);
    files.sync(name).expect("it is there");
    files.sync_names();
    files
}

#[test]
fn a_file_grows_ends_earlier_and_goes() {
    let mut files = Files::new(1, 2);
    write_at(&mut files, "a", 3, b"def");
    assert_eq!(read(&files, "a"), b"\0\0\0def");
    write_at(&mut files, "a", 0, b"abc");
    write_at(&mut files, "a", 9, b"");
    assert_eq!(read(&files, "a"), b"abcdef");
    files.truncate("a", 2).expect("it is there");
    write_at(&mut files, "a", 4, b"e");
    assert_eq!(read(&files, "a"), b"ab\0\0e", "what was cut off does not come back");
    files.write("b", b"other");
    files.rename("a", "b").expect("it is there");
    assert_eq!((files.names(), read(&files, "b")), (vec!["b".to_owned()], b"ab\0\0e".to_vec()));
    files.remove("b").expect("it is there");
    assert!(files.names().is_empty());
    let missing = [
        files.read("b").map(|_| ()),
        files.read_at("b", 0, &mut [0]).map(|_| ()),
        files.truncate("b", 0),
        files.sync("b"),
        files.fail_sync("b"),
        files.rename("b", "c"),
        files.remove("b"),
    ];
    let kinds = missing.map(|done| done.map_err(|error| error.kind()));
    assert_eq!(kinds, [Err(io::ErrorKind::NotFound); 7]);
}

#[test]
fn a_read_may_return_less_and_looking_draws_nothing() {
    let (mut short, mut whole) = (0, 0);
    for salt in 0..SALTS {
        let mut files = Files::new(salt, 2);
        let written: Vec<u8> = (0..200).collect();
        write_at(&mut files, "a", 0, &written);
        let before = format!("{files:?}");
        let (mut found, mut into) = (Vec::new(), [0; 64]);
        loop {
            let read = files.read_at("a", found.len() as u64, &mut into).expect("it is there");
            let rest = written.len() - found.len();
            assert!(read > 0 || rest == 0, "nothing is read at {}", found.len());
            short += usize::from(read < rest.min(into.len()));
            whole += usize::from(read == into.len());
            found.extend_from_slice(&into[..read]);
            if read == 0 {
                break;
            }
        }
        assert_eq!(found, written);
        assert_eq!(files.read_at("a", 5_000, &mut into).expect("it is there"), 0);
        assert_eq!(files.read_at("a", 0, &mut []).expect("it is there"), 0);
        assert_eq!(format!("{files:?}"), before);
    }
    assert!(short > 100 && whole > 100, "{short} short, {whole} whole");
}

#[test]
fn a_write_and_its_syncs_take_no_longer_than_the_slowest() {
    const SLOWEST_MS: u64 = 20;
    let mut longest = [Duration::ZERO; 4];
    for salt in 0..SALTS {
        let mut files = Files::new(salt, SLOWEST_MS);
        let write = files.begin_write("a", 0, vec![1]);
        files.complete_write();
        let (sync, names) = files.takes(write);
        let all = [write, sync, names, write + sync + names];
        assert!(all[3] <= Duration::from_millis(SLOWEST_MS), "{all:?}");
        longest.iter_mut().zip(all).for_each(|(longest, time)| *longest = time.max(*longest));
    }
    let least = [6, 9, 9, 19].map(Duration::from_millis);
    assert!(longest.iter().zip(least).all(|(longest, least)| *longest >= least), "{longest:?}");
    let mut at_once = Files::new(1, 0);
    assert_eq!(at_once.begin_write("a", 0, vec![1]), Duration::ZERO);
    assert_eq!(at_once.takes(Duration::ZERO), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn the_same_salt_makes_the_same_folder() {
    let made = |salt| {
        let mut files = with(salt, "a", &sector(1).repeat(4));
        write_at(&mut files, "a", 100, &sector(2).repeat(6));
        files.fail_sync("a").expect("it is there");
        write_at(&mut files, "b", 0, &sector(3).repeat(6));
        files.rename("b", "c").expect("it is there");
        files.begin_write("c", 0, sector(4));
        let under_way = files.lose_power();
        (files.rot(), under_way, format!("{files:?}"))
    };
    let mut seen: Vec<_> = (0..SALTS).map(made).collect();
    assert_eq!(seen, (0..SALTS).map(made).collect::<Vec<_>>());
    seen.sort();
    seen.dedup();
    assert!(seen.len() as u64 > SALTS / 2, "{} sorts of folders", seen.len());
}

#[test]
fn what_a_loss_of_power_can_take_is_named() {
    let mut files = Files::new(1, 2);
    files.write("view.new", b"old");
    files.sync("view.new").expect("it is there");
    files.rename("view.new", "view").expect("it is there");
    files.sync_names();
    let standing = |files: &Files| files.standing().join("\n");
    assert_eq!(standing(&files), "file view: 3 bytes, synced");
    files.write("view.new", b"the new one");
    let written = standing(&files);
    assert!(written.contains("file view: 3 bytes, synced\nfile view.new: 11 bytes, not synced"), "{written}");
    assert!(written.contains("can take 11 of them; its name is not synced"), "{written}");
    files.sync("view.new").expect("it is there");
    files.rename("view.new", "view").expect("it is there");
    let renamed = standing(&files);
    assert!(renamed.starts_with("file view: 11 bytes, synced; its name is not synced"), "{renamed}");
    assert!(
        renamed.contains("file view as last synced: 3 bytes; a loss of power can bring it back"),
        "{renamed}"
    );
}

#[test]
fn the_list_says_what_is_not_durable() {
    let mut files = with(1, "a", b"abc");
    write_at(&mut files, "a", 2, b"CDE");
    files.write("b", b"");
    let listed = |name: &str, length, not_durable| Listed { name: name.into(), length, not_durable };
    assert_eq!(files.list(), [listed("a", 5, 3), listed("b", 0, 0)]);
    files.sync("a").expect("it is there");
    files.truncate("a", 1).expect("it is there");
    assert_eq!(files.list()[0], listed("a", 1, 4), "what was cut off is still on the drive");
}

#[test]
fn a_copy_can_be_put_back_and_is_durable_then() {
    for salt in 0..SALTS {
        let mut files = with(salt, "a", b"old");
        write_at(&mut files, "a", 0, b"new and longer");
        files.fail_sync("a").expect("it is there");
        files.write("b", b"more");
        files.fail_sync_names();
        let kept = files.lose();
        assert_eq!(files.list(), []);
        files.put("c", b"else");
        files.put_back(kept);
        assert!(!files.crash());
        files.lose_power();
        assert_eq!(files.names(), ["a", "b"]);
        assert_eq!((read(&files, "a"), read(&files, "b")), (b"new and longer".to_vec(), b"more".to_vec()));
    }
}

#[test]
fn a_damaged_copy_differs_in_one_bit() {
    let mut files = with(1, "view", b"the new one");
    let damaged = files.damaged("view").expect("it is there");
    assert_eq!(bits_apart(&read(&files, "view"), &read(&damaged, "view")), 1);
    files.write("nothing", b"");
    assert!(files.damaged("none").is_none() && files.damaged("nothing").is_none());
}

fn bits_apart(one: &[u8], other: &[u8]) -> u32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a ^ b).count_ones()).sum()
}

#[test]
fn one_durable_bit_rots_and_stays_so() {
    let mut struck = [0; 2];
    for salt in 0..SALTS {
        let mut files = with(salt, "a", &sector(1).repeat(2));
        files.put("b", b"short");
        write_at(&mut files, "a", 0, &sector(2));
        let before = files.clone();
        let name = files.rot().expect("there are files");
        let apart = |name| bits_apart(&read(&files, name), &read(&before, name));
        assert_eq!(apart("a") + apart("b"), 1);
        assert_eq!(apart(&name), 1);
        assert_eq!(read(&files, "a")[..SECTOR], sector(2), "what is to be written is not on the drive yet");
        struck[usize::from(name == "b")] += 1;
        let shown = [read(&files, "a")[SECTOR..].to_vec(), read(&files, "b")];
        files.lose_power();
        assert_eq!([read(&files, "a")[SECTOR..].to_vec(), read(&files, "b")], shown);
    }
    assert!(struck.iter().all(|times| *times > 100), "{struck:?}");
    let mut nothing = Files::new(1, 2);
    nothing.write("a", b"not durable");
    assert_eq!(nothing.rot(), None);
}
