//! What is printed where nothing reads it, or where it cannot be written: no program panics, and the exit
//! code still says what was done.

use std::{
    fs::{self, File},
    io,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::cluster::{AtWork, Cluster, failed, run, succeeded, testclient, viewservice};

const TESTCLIENT: &str = env!("CARGO_BIN_EXE_testclient");
const VIEWSERVICE: &str = env!("CARGO_BIN_EXE_viewservice");
const KVSERVER: &str = env!("CARGO_BIN_EXE_kvserver");

/// A pipe whose reader has gone.
fn unread() -> Stdio {
    let (_, writer) = io::pipe().expect("a pipe");
    writer.into()
}

/// A file on a disk that is full.
fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("Linux has it").into()
}

/// Runs a program to its end, with another standard output or standard error.
fn ended(program: &str, args: &[&str], out: Option<Stdio>, err: Option<Stdio>) -> Output {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(out.unwrap_or_else(Stdio::piped))
        .stderr(err.unwrap_or_else(Stdio::piped))
        .output()
        .expect("the binary was built")
}

#[test]
fn a_reader_that_has_gone_changes_no_exit_code() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let vs = cluster.view_service.address.clone();
        let asked = |args: &[&str], code| {
            for out in [true, false] {
                let (out, err) = if out { (Some(unread()), None) } else { (None, Some(unread())) };
                let output = ended(TESTCLIENT, &[&["--vs", &vs], args].concat(), out, err);
                assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(!said.contains("error") && !said.contains("panicked"), "{args:?}: {said}");
            }
        };
        asked(&["put", "k", "v"], 0);
        asked(&["append", "log", "x"], 0);
        asked(&["get", "k", "--revision"], 0);
        asked(&["keys", "--values"], 0);
        asked(&["keys", "--output", "json"], 0);
        asked(&["view"], 0);
        asked(&["check", "--time", "100ms", "--clients", "2"], 0);
        // Its reason is told on standard error.
        let gone = ended(TESTCLIENT, &["--vs", &vs, "get", "nothing"], None, Some(unread()));
        assert_eq!(gone.status.code(), Some(1), "{gone:?}");
        let unreached = ["--vs", "localhost:1", "--deadline", "50ms", "put", "k", "v"];
        let gone = ended(TESTCLIENT, &unreached, None, Some(unread()));
        assert_eq!(gone.status.code(), Some(3), "{gone:?}");
        assert_eq!(succeeded(&cluster.testclient(&["get", "log"])), "xx\n", "once for each");

        let path = cluster.dir().join("commands");
        fs::write(&path, "help\nput a 1\nget nothing\nget a\n").expect("written");
        let mut prompt = Command::new(TESTCLIENT);
        prompt.args(["--vs", &vs]).stdin(File::open(&path).expect("just written"));
        let prompt = prompt.stdout(unread()).stderr(unread()).output().expect("the binary was built");
        assert_eq!(prompt.status.code(), Some(1), "{prompt:?}");
    });
}

#[test]
fn an_answer_that_cannot_be_written_is_still_an_answer() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let vs = cluster.view_service.address.clone();
        for output in ["text", "json"] {
            let asked = |args: &[&str], code| {
                let args = [&["--vs", &vs, "--output", output], args].concat();
                failed(&ended(TESTCLIENT, &args, Some(full()), None), code)
            };
            let why = "error: cannot write to standard output: No space left on device";
            for args in [&["append", output, "x"][..], &["get", output], &["keys"], &["count"], &["view"]] {
                let said = asked(args, 9);
                assert!(said.starts_with(why) && said.lines().count() == 1, "{args:?}: {said}");
            }
            assert!(asked(&["cas", output, "y"], 1).contains(why));
            assert!(asked(&["check", "--time", "100ms", "--clients", "2"], 9).contains(why));
            asked(&["get", "nothing"], 1);
            asked(&["get", ""], 2);
            assert_eq!(succeeded(&cluster.testclient(&["get", output])), "x\n", "it took effect once");
        }
    });
}

#[test]
fn a_verdict_is_told_although_the_history_cannot_be_saved() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let check = ["check", "--time", "100ms", "--clients", "2", "--save", "/dev/full"];
        let text = cluster.testclient(&check);
        assert!(failed(&text, 9).starts_with("error: cannot save the history to /dev/full: "), "{text:?}");
        assert!(String::from_utf8_lossy(&text.stdout).ends_with("\nlinearizable\n"), "{text:?}");
        let told = cluster.testclient(&[&check[..], &["--output", "json"]].concat());
        assert_eq!(failed(&told, 9), "");
        let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
        assert_eq!(told["verdict"], "linearizable");
        assert!(told["unsaved"].as_str().is_some_and(|why| why.contains("/dev/full")), "{told}");
    });
}

#[test]
fn programs_are_told_every_error_as_an_object() {
    for (args, hint) in [
        (&["check", "--save", "/nonexistent/x"][..], "save: cannot write to /nonexistent/x"),
        (&["--deadline", "0s", "get", "a"], "deadline (0s) must be at least"),
        (&["get", "a", "--log-dir", "/dev/null/x"], "cannot log to the folder"),
    ] {
        let output = testclient(&[args, &["--output", "json"]].concat());
        assert_eq!(failed(&output, 2), "", "{args:?}");
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(told["error"], "invalid", "{told}");
        assert!(told["message"].as_str().is_some_and(|why| why.contains(hint)), "{told}");
    }
}

#[test]
fn servers_need_no_reader_of_what_they_print() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let vs = cluster.view_service.address.clone();
        // It logs a lot, and nothing reads that; nor does anything read where it listens.
        let serve = ["--addr", "localhost:0", "--vs", &vs, "--log", "debug"];
        let child = Command::new(KVSERVER).args(serve).stdout(unread()).stderr(unread()).spawn();
        let _server = AtWork::of(child.expect("the binary was built"));
        cluster.view("a primary", |view| view.activated).await;
        succeeded(&cluster.testclient(&["put", "k", "v"]));
        assert_eq!(succeeded(&cluster.testclient(&["get", "k"])), "v\n");

        let wrong = ended(KVSERVER, &["--copies-min", "100"], None, Some(unread()));
        assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
        let refused = failed(&ended(KVSERVER, &["--addr", "localhost:0"], Some(full()), None), 3);
        assert!(refused.starts_with("error: cannot write to standard output"), "{refused}");

        // What an operator gives up is given up, whether that is read or not.
        cluster.view_service.die();
        let record = cluster.dir().join("record");
        let record = record.to_str().expect("UTF-8");
        let look = ["--dir", record, "--accept-data-loss"];
        assert_eq!(ended(VIEWSERVICE, &look, Some(unread()), None).status.code(), Some(0));
        failed(&ended(VIEWSERVICE, &look, Some(full()), None), 9);
        let lose = [&look[..], &["1"]].concat();
        let lost = ended(VIEWSERVICE, &lose, Some(unread()), Some(unread()));
        assert_eq!(lost.status.code(), Some(0), "{lost:?}");
        assert!(failed(&viewservice(&lose), 3).contains("(generation 2)"), "it was done once");
    });
}
