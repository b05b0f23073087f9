//! Signals end a client that has no terminal, whatever it waits for.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tonic::Status;

use crate::{
    cluster::{Cluster, eventually, run},
    wrong_pages::{Fake, Pages, page},
};

/// A client whose standard input stays open.
fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_testclient"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built")
}

/// Waits until the process hears signals itself: until then they end it as they end any process.
async fn hears(child: &Child) {
    let path = format!("/proc/{}/status", child.id());
    eventually("signals are caught", async || {
        let status = std::fs::read_to_string(&path).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        let both = 1 << (Signal::INT.as_raw() - 1) | 1 << (Signal::TERM.as_raw() - 1);
        (caught & both == both).then_some(())
    })
    .await;
}

/// Its exit code, and what it said on standard output and standard error from now on.
async fn ends(mut child: Child, signal: Signal) -> (Option<i32>, String, String) {
    kill_process(Pid::from_child(&child), signal).expect("it was not waited for");
    let begun = eventually("the client ends", async || child.try_wait().expect("a child")).await;
    let output = child.wait_with_output().expect("a child");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (begun.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_command_that_waits_ends_by_a_signal_with_the_exit_code_of_the_table() {
    run(async {
        for signal in [Signal::INT, Signal::TERM] {
            for waits in [&["get", "k"][..], &["put", "k", "-"], &["delete", "--prefix", "k"], &[]] {
                let child = start(&[&["--vs", "localhost:1", "--deadline", "1h"], waits].concat());
                hears(&child).await;
                let (code, said, why) = ends(child, signal).await;
                assert_eq!((code, &*said), (Some(130), ""), "{waits:?}: {why}");
                assert!(why.contains("ended without an answer"), "{waits:?}: {why}");
            }
            let child = start(&["--vs", "localhost:1", "--deadline", "1h", "--output", "json", "view"]);
            hears(&child).await;
            let (code, said, why) = ends(child, signal).await;
            assert_eq!((code, &*why), (Some(130), ""), "{said}");
            let told: Value = serde_json::from_str(&said).expect("JSON");
            assert_eq!(told["error"], "ended", "{told}");
        }
    });
}

#[test]
fn a_signal_tells_whether_an_update_may_take_effect() {
    run(async {
        let pages: Pages = |asked| match asked.prefix.is_empty() {
            true => page(&["a", "b", "never"], false),
            false if asked.start_after.is_empty() => page(&["p1"], true),
            false => Err(Status::resource_exhausted("too much to do")),
        };
        for signal in [Signal::INT, Signal::TERM] {
            for json in [false, true] {
                let fake = Fake::start(pages).await;
                let output = if json { "json" } else { "text" };
                let own = ["--vs", &*fake.address, "--attempt-timeout", "1h", "--deadline", "1h"];
                let begin = |args: &[&str]| start(&[&own[..], &["--output", output], args].concat());
                let ends = async |child, code| {
                    let (ended, out, err) = ends(child, signal).await;
                    assert_eq!(ended, Some(code), "{out}{err}");
                    if !json {
                        assert_eq!(out, "");
                        return (err, Value::Null);
                    }
                    assert_eq!((&*err, out.lines().count()), ("", 1), "{out}");
                    let told: Value = serde_json::from_str(&out).expect("JSON");
                    (told["message"].as_str().expect("a message").to_owned(), told)
                };

                let put = begin(&["put", "update", "v"]);
                fake.has("update").await;
                let (why, told) = ends(put, 4).await;
                assert!(why.contains("an update was sent, which may or may not take effect"), "{why}");
                assert!(!json || told["error"] == "unknown", "{told}");

                let mut piped = begin(&[]);
                writeln!(piped.stdin.as_mut().expect("piped"), "put piped v").expect("it reads");
                fake.has("piped").await;
                assert!(ends(piped, 4).await.0.contains("may or may not take effect"));

                let get = begin(&["get", "read"]);
                fake.has("read").await;
                let (why, told) = ends(get, 130).await;
                assert!(why.ends_with("ended without an answer") || why.ends_with("an answer\n"), "{why}");
                assert!(!json || told["error"] == "ended", "{told}");

                // Many keys: those that are gone are told, whether one more is in doubt or not.
                let delete = begin(&["delete", "--prefix", "", "--yes"]);
                fake.has("never").await;
                let (why, told) = ends(delete, 4).await;
                assert!(why.contains("deleted 2 keys, then ended after an update was sent"), "{why}");
                assert!(!json || told["deleted"] == 2, "{told}");
                let delete = begin(&["delete", "--prefix", "p", "--yes"]);
                eventually("three are deleted", async || (fake.deleted() == 3).then_some(())).await;
                eventually("more is asked", async || (fake.refusals() > 0).then_some(())).await;
                let (why, told) = ends(delete, 9).await;
                assert!(why.contains("deleted 1 key, then ended without an answer"), "{why}");
                assert!(!json || told["deleted"] == 1, "{told}");
            }
        }
    });
}

#[test]
fn a_check_that_a_signal_ends_before_an_answer_is_ended() {
    run(async {
        let check = ["--vs", "localhost:1", "--deadline", "100ms", "check", "--time", "1h", "--clients", "1"];
        for (output, signal) in [("text", Signal::INT), ("json", Signal::TERM)] {
            let child = start(&[&check[..], &["--output", output]].concat());
            hears(&child).await;
            let (code, out, err) = ends(child, signal).await;
            assert_eq!(code, Some(130), "{out}{err}");
            let told = if output == "json" { out } else { err };
            assert!(told.contains("no answer came, and nothing was judged"), "{told}");
        }
    });
}

#[test]
fn a_signal_ends_piped_commands_after_a_check_as_well() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let server = cluster.server(&[]);
        cluster.settled(&server, 0).await;
        for signal in [Signal::INT, Signal::TERM] {
            let mut child = start(&["--vs", &cluster.view_service.address]);
            let mut commands = child.stdin.take().expect("piped");
            let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
            let mut says = |text: &str| output.by_ref().any(|line| line.expect("UTF-8").contains(text));
            writeln!(commands, "check --time 100ms --clients 2").expect("it reads");
            assert!(says("linearizable"), "a verdict");
            // Signals are the check's until it is over, which another answer shows.
            writeln!(commands, "count --prefix nothing/").expect("it reads");
            assert!(says("0"), "a number");
            assert_eq!(ends(child, signal).await.0, Some(130));

            // What is under way is judged; the first signal is its own.
            let mut child = start(&["--vs", &cluster.view_service.address]);
            let mut commands = child.stdin.take().expect("piped");
            let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
            let mut says = |text: &str| output.by_ref().any(|line| line.expect("UTF-8").contains(text));
            writeln!(commands, "put k v\ncheck --time 1h --clients 2").expect("it reads");
            assert!(says("ok"), "an answer before");
            eventually("the check is under way", async || {
                let check = cluster.testclient(&["count", "--prefix", "check-"]);
                (check.stdout != b"0\n").then_some(())
            })
            .await;
            kill_process(Pid::from_child(&child), signal).expect("it was not waited for");
            assert!(says("linearizable"), "a verdict");
            drop(commands);
            let status = eventually("it ends", async || child.try_wait().expect("a child")).await;
            assert_eq!(status.code(), Some(0));
            let delete = cluster.testclient(&["delete", "--prefix", "check-", "--yes"]);
            assert_eq!(delete.status.code(), Some(0));
        }
    });
}
