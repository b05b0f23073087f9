//! A check's history: what is in a file stays there until a whole history takes its place.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::cluster::{Cluster, failed, run, succeeded, testclient};

const OLD: &str = "an older history\n";

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
    let mut names: Vec<String> = entries.map(|entry| name(entry.expect("readable"))).collect();
    names.sort();
    names
}

#[test]
fn a_history_replaces_a_file_only_if_that_was_asked_for_and_there_is_one() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let server = cluster.server(&[]);
        cluster.settled(&server, 0).await;
        let folder = cluster.dir().join("histories");
        fs::create_dir(&folder).expect("a folder");
        let path = folder.join("h.jsonl");
        let name = path.to_str().expect("UTF-8");
        let check = ["check", "--time", "100ms", "--clients", "2", "--save", name];
        let replace = [&check[..], &["--replace"]].concat();

        // There is nothing to lose.
        succeeded(&cluster.testclient(&check));
        let operations = fs::read_to_string(&path).expect("saved").lines().count();
        assert!(operations > 0, "it is empty");

        // Not without being told to.
        fs::write(&path, OLD).expect("written");
        let refused = failed(&cluster.testclient(&check), 2);
        assert!(refused.contains("h.jsonl exists: choose another name, or add --replace"), "{refused}");

        // Not if there is no history, or it cannot be written.
        let unreached = testclient(&[&["--vs", "localhost:1", "--deadline", "100ms"], &replace[..]].concat());
        failed(&unreached, 3);
        let small = "ulimit -f 1; trap '' XFSZ; exec \"$0\" \"$@\"";
        let disk = std::process::Command::new("sh")
            .args(["-c", small, env!("CARGO_BIN_EXE_testclient"), "--vs", &cluster.view_service.address])
            .args(&replace)
            .output()
            .expect("a shell");
        assert!(failed(&disk, 9).contains("cannot save the history to"), "{disk:?}");
        assert_eq!(
            (fs::read_to_string(&path).expect("there"), names(&folder)),
            (OLD.into(), vec!["h.jsonl".into()])
        );

        succeeded(&cluster.testclient(&replace));
        assert_ne!(fs::read_to_string(&path).expect("saved"), OLD);

        // What a link leads to is replaced, and not the link.
        fs::write(&path, OLD).expect("written");
        let link = folder.join("link");
        symlink("h.jsonl", &link).expect("a link");
        let link = link.to_str().expect("UTF-8");
        let by_link = ["check", "--time", "100ms", "--clients", "2", "--replace", "--save", link];
        succeeded(&cluster.testclient(&by_link));
        assert_ne!(fs::read_to_string(&path).expect("saved"), OLD);
        assert_eq!(names(&folder), ["h.jsonl", "link"]);
        assert!(fs::symlink_metadata(link).expect("there").is_symlink());
    });
}
