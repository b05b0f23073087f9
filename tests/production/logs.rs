//! What processes log: which of them wrote a line, where, and how much.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, run};

#[test]
fn two_servers_on_one_machine_log_to_two_files_and_each_line_names_its_server() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let logs = cluster.dir().join("logs");
        let (mut s1, mut s2) = cluster.pair_of(&["--log-dir", logs.to_str().expect("UTF-8")]).await;
        for server in [&mut s1, &mut s2] {
            assert_eq!(server.end(Signal::TERM).await, Some(0));
        }
        let files = fs::read_dir(&logs).expect("a folder").map(|file| file.expect("a file").path());
        let files: Vec<_> = files.collect();
        assert_eq!(files.len(), 2, "{files:?}");
        for server in [&s1, &s2] {
            let name = format!("kvserver-{}", server.address.replace(':', "_"));
            let own =
                files.iter().find(|path| path.to_string_lossy().contains(&name)).expect("named after it");
            let text = fs::read_to_string(own).expect("a log");
            assert!(text.contains("the role changed") && text.contains("SIGTERM"), "{text}");
            let named = format!(" kvserver {} ", server.address);
            assert!(text.lines().all(|line| line.contains(&named)), "{text}");
            // So does what is redirected to a file.
            assert!(server.log().lines().all(|line| line.contains(&named)), "{}", server.log());
        }
    });
}

#[test]
fn a_log_at_debug_is_ours_and_json_lines_are_objects() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let args = ["--log", "debug", "--log-format", "json"];
        let mut s1 = cluster.server(&args);
        cluster.settled(&s1, 0).await;
        let mut s2 = cluster.server(&args);
        cluster.settled(&s1, 1).await;
        // A stream that breaks is told at debug.
        assert_eq!(s2.end(Signal::KILL).await, None);
        s1.logs("the stream to a replica broke").await;
        assert_eq!(s1.end(Signal::TERM).await, Some(0));
        let log = s1.log();
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).expect("an object per line")).collect();
        let process = format!("kvserver {}", s1.address);
        for line in &lines {
            assert_eq!(line["process"], *process, "{line}");
            let is_ours = ["pbkv", "kvserver"].iter().any(|ours| {
                line["target"].as_str().is_some_and(|target| target.split("::").next() == Some(ours))
            });
            assert!(is_ours || line["level"] != "DEBUG", "{line}");
        }
        assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "{log}");
        assert!(lines.iter().any(|line| line["message"] == "the server is listening"), "{log}");
    });
}
