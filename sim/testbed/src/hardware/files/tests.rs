use super::*;

fn replaced(salt: u64, steps: usize) -> Files {
    let mut files = Files::new(salt, 2);
    files.write("view.new", b"old");
    files.sync("view.new").expect("it is there");
    files.rename("view.new", "view").expect("it is there");
    files.sync_names();
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
        let found = files.read("view").expect("it is there");
        let is_new = found == b"the new one";
        assert!(is_new || found == b"old", "{steps} steps: {found:?}");
        assert!(if steps == 4 { is_new } else { steps == 3 || !is_new }, "{steps} steps: {found:?}");
        seen[usize::from(is_new)] += usize::from(steps == 3);
    }
    assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
}

#[test]
fn what_was_not_synced_is_lost_in_part() {
    let mut shorter = 0;
    for salt in 0..100 {
        let mut files = replaced(salt, 1);
        files.rename("view.new", "view").expect("it is there");
        files.sync_names();
        let mut after_crash = files.clone();
        after_crash.crash();
        assert_eq!(after_crash.read("view").expect("it is there"), b"the new one");
        files.lose_power();
        shorter += usize::from(files.read("view").expect("it is there").len() < 11);
    }
    assert!(shorter > 50, "{shorter}");
}

#[test]
fn a_damaged_copy_differs_in_one_bit() {
    let mut files = replaced(1, 4);
    let damaged = files.damaged("view").expect("it is there").read("view").expect("it is there");
    let whole = files.read("view").expect("it is there");
    let bits: u32 = whole.iter().zip(&damaged).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((bits, whole.len()), (1, damaged.len()));
    assert!(files.damaged("none").is_none());
}
