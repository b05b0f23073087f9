//! The client on a terminal: what a person sees who waits, and the prompt.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

use serde_json::Value;
use tonic::Status;

use crate::{
    cluster::{Cluster, eventually, failed, run, succeeded, testclient},
    wrong_pages::{Fake, Pages, page},
};

/// By this the editor begins a line: it tells the terminal to mark what is pasted.
const PROMPT: &str = "\x1b[?2004h";

/// A process whose input and output is a terminal.
struct Terminal {
    child: Child,
    keys: File,
    /// How many were waited for.
    prompts: usize,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(args: &[&str]) -> Self {
        Self::with_output(args, None)
    }

    /// What it prints may go to a file.
    fn with_output(args: &[&str], output: Option<File>) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
        let name = ptsname(&keyboard, Vec::new()).expect("it has a name");
        let end =
            || -> OwnedFd { open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it opens") };
        let child = Command::new(env!("CARGO_BIN_EXE_testclient"))
            .args(args)
            .env("TERM", "xterm")
            .stdin(Stdio::from(end()))
            .stdout(output.map_or_else(|| Stdio::from(end()), Stdio::from))
            .stderr(Stdio::from(end()))
            .spawn()
            .expect("the binary was built");
        let keys = File::from(keyboard);
        let (mut screen, seen) = (keys.try_clone().expect("one more"), Arc::<Mutex<Vec<u8>>>::default());
        let filled = seen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Fails when the process has ended.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                filled.lock().expect("no panic").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys, prompts: 0, seen }
    }

    /// Types at the next prompt.
    async fn types(&mut self, keys: &str) {
        self.prompts += 1;
        self.shows(PROMPT, self.prompts).await;
        self.keys.write_all(keys.as_bytes()).expect("it reads");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it was not waited for");
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("no panic")).into_owned()
    }

    /// Waits until the screen shows something so many times.
    async fn shows(&self, text: &str, times: usize) {
        let enough = async || (self.screen().matches(text).count() >= times).then_some(());
        eventually(&format!("'{text}' {times} times on the terminal"), enough).await;
    }

    async fn ends(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the client ends", async || child.try_wait().expect("a child")).await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the terminal\n{}", self.screen());
        }
    }
}

#[test]
fn a_person_who_waits_is_told_for_what() {
    run(async {
        let args = ["get", "k", "--vs", "localhost:1", "--deadline", "2500ms"];
        let mut terminal = Terminal::start(&args);
        terminal.shows("waiting for 2s more: the view service at localhost:1 cannot be reached", 1).await;
        assert_eq!(terminal.ends().await.code(), Some(3));
        assert_eq!(terminal.screen().matches("waiting").count(), 1, "once, as nothing changes");
        // A script is not.
        assert!(!failed(&testclient(&args), 3).contains("waiting"));
    });
}

#[test]
fn each_page_is_waited_for_as_long_as_a_call_may_take() {
    run(async {
        // The first page takes a while; the second one does not come.
        let pages: Pages = |asked| match asked.start_after.is_empty() {
            true => {
                thread::sleep(Duration::from_millis(2500));
                page(&["a"], true)
            }
            false => Err(Status::resource_exhausted("too much to do")),
        };
        let fake = Fake::start(pages).await;
        let args = ["--vs", &*fake.address, "--deadline", "5s", "--attempt-timeout", "5s", "count"];
        let mut terminal = Terminal::start(&args);
        assert_eq!(terminal.ends().await.code(), Some(3));
        let screen = terminal.screen();
        let told = screen.lines().find(|line| line.contains("too much to do")).expect("it waited");
        assert!(["waiting for 4s", "waiting for 5s"].iter().any(|rest| told.starts_with(rest)), "{screen}");
    });
}

#[test]
fn the_prompt_remembers_edits_and_completes() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let mut terminal = Terminal::start(&["--vs", &cluster.view_service.address]);
        terminal.shows("'quit' ends", 1).await;
        terminal.types("put fruit apple\r").await;
        terminal.shows("ok\r\n", 1).await;
        terminal.types("ge\tfruit\r").await; // completes to 'get '
        terminal.shows("apple\r\n", 1).await;
        terminal.types("\x1b[A\r").await; // up
        terminal.shows("apple\r\n", 2).await;
        terminal.types("get ruit\x1b[D\x1b[D\x1b[D\x1b[Df\r").await; // four times left
        terminal.shows("apple\r\n", 3).await;
        terminal.types("put k\r").await;
        terminal.shows("Usage: put", 1).await;
        terminal.types("push\r").await;
        terminal.shows("unrecognized subcommand 'push'", 1).await;
        terminal.types("status\r").await;
        terminal.shows("copies   1 of 1", 1).await;
        terminal.types("get fruit\x03").await; // Ctrl-C drops the line
        terminal.types("get fruit\r").await;
        terminal.shows("apple\r\n", 4).await;
        terminal.types("check --time 200ms --clients 2\r").await;
        terminal.shows("linearizable", 1).await;
        terminal.types("help\r").await;
        terminal.shows("Ctrl-D", 1).await;
        terminal.types("\x04").await;
        assert_eq!(terminal.ends().await.code(), Some(0));
        assert!(!terminal.screen().contains("pbkv <"), "{}", terminal.screen());
    });
}

#[test]
fn a_signal_ends_what_is_under_way_and_not_the_prompt() {
    run(async {
        let mut terminal = Terminal::start(&["--vs", "localhost:1", "--deadline", "1h"]);
        terminal.types("get k\r").await;
        terminal.shows("waiting for", 1).await;
        terminal.signal(Signal::INT);
        terminal.shows("SIGINT: ended without an answer", 1).await;
        terminal.types("quit\r").await;
        assert_eq!(terminal.ends().await.code(), Some(0));

        // An update that was sent may take effect, a read may not; SIGTERM tells the same by its exit code.
        let fake = Fake::start(|_| page(&[], false)).await;
        let mut terminal = Terminal::start(&["--vs", &fake.address, "--attempt-timeout", "1h"]);
        terminal.types("put k v\r").await;
        fake.has("k").await;
        terminal.signal(Signal::INT);
        terminal.shows("SIGINT: ended after an update was sent", 1).await;
        terminal.types("get read\r").await;
        fake.has("read").await;
        terminal.signal(Signal::INT);
        terminal.shows("SIGINT: ended without an answer", 1).await;
        terminal.types("put late v\r").await;
        fake.has("late").await;
        terminal.signal(Signal::TERM);
        assert_eq!(terminal.ends().await.code(), Some(4));
        assert_eq!(terminal.screen().matches("may or may not take effect").count(), 2);
    });
}

#[test]
fn no_line_that_was_typed_or_pasted_is_lost() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let mut terminal = Terminal::start(&["--vs", &cluster.view_service.address]);
        terminal.types("put p1 1\rput p2 2\rput p3 3\r").await;
        terminal.shows("ok\r\n", 3).await;
        // A terminal marks what is pasted; it is done when it is accepted.
        terminal.keys.write_all(b"\x1b[200~put p4 4\rput p5 5\rput p6 6\x1b[201~\r").expect("it reads");
        terminal.shows("ok\r\n", 6).await;
        terminal.keys.write_all(b"check --time 500ms --clients 2\r").expect("it reads");
        eventually("the check is under way", async || {
            let check = cluster.testclient(&["count", "--prefix", "check-"]);
            (check.stdout != b"0\n").then_some(())
        })
        .await;
        terminal.keys.write_all(b"put p7 7\rput p8 8\r").expect("it reads");
        terminal.shows("linearizable\r\n", 1).await;
        terminal.shows("ok\r\n", 8).await;
        terminal.keys.write_all(b"quit\r").expect("it reads");
        assert_eq!(terminal.ends().await.code(), Some(0));
        let keys = cluster.testclient(&["keys", "--prefix", "p", "--values"]);
        let expected: String = (1..=8).map(|number| format!("p{number}\t{number}\n")).collect();
        assert_eq!(succeeded(&keys), expected);
    });
}

#[test]
fn sigterm_ends_a_prompt_and_leaves_the_terminal_as_it_was() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let mut terminal = Terminal::start(&["--vs", &cluster.view_service.address]);
        terminal.types("put k v\r").await;
        terminal.shows("ok\r\n", 1).await;
        terminal.shows(PROMPT, 2).await;
        terminal.signal(Signal::TERM);
        assert_eq!(terminal.ends().await.code(), Some(130));
        let modes = tcgetattr(&terminal.keys).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON), "{modes:?}");
        assert!(terminal.screen().contains("SIGTERM: ended"), "{}", terminal.screen());

        // Nothing is different while something is under way.
        let mut terminal = Terminal::start(&["--vs", "localhost:1", "--deadline", "1h"]);
        terminal.types("get k\r").await;
        terminal.shows("waiting for", 1).await;
        terminal.signal(Signal::TERM);
        assert_eq!(terminal.ends().await.code(), Some(130));
    });
}

#[test]
fn a_question_can_be_answered_or_ended() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        for key in ["p1", "p2"] {
            succeeded(&cluster.testclient(&["put", key, "v"]));
        }
        let mut terminal = Terminal::start(&["--vs", &cluster.view_service.address]);
        terminal.types("delete --prefix p\r").await;
        terminal.shows("delete 2 keys that start with 'p'? (yes/no)", 1).await;
        terminal.signal(Signal::INT);
        terminal.shows("SIGINT: ended without an answer", 1).await;
        terminal.types("count\r").await;
        terminal.shows("\n2\r\n", 1).await;
        terminal.types("delete --prefix p\r").await;
        terminal.shows("(yes/no)", 2).await;
        terminal.keys.write_all(b"no\r").expect("it reads");
        terminal.shows("nothing was deleted", 1).await;
        // What is neither is asked again.
        terminal.types("delete --prefix p\r").await;
        terminal.shows("(yes/no)", 3).await;
        terminal.keys.write_all(b"what\r").expect("it reads");
        terminal.shows("(yes/no)", 4).await;
        terminal.keys.write_all(b"Yes\r").expect("it reads");
        terminal.shows("deleted 2 keys", 1).await;
        terminal.types("put p1 v\r").await;
        terminal.types("delete --prefix p\r").await;
        terminal.shows("delete 1 key that starts with 'p'? (yes/no)", 1).await;
        terminal.keys.write_all(b"y\r").expect("it reads");
        terminal.shows("deleted 1 key\r\n", 1).await;
        // Nothing has to be confirmed.
        terminal.types("delete --prefix p\r").await;
        terminal.shows("deleted 0 keys", 1).await;
        terminal.types("quit\r").await;
        assert_eq!(terminal.ends().await.code(), Some(0));
    });
}

#[test]
fn a_file_gets_answers_only() {
    run(async {
        let (cluster, _server) = Cluster::of_one().await;
        let path = cluster.dir().join("out.json");
        let args = ["--vs", &*cluster.view_service.address, "--output", "json"];
        let mut terminal = Terminal::with_output(&args, Some(File::create(&path).expect("a file")));
        terminal.shows("'quit' ends", 1).await;
        terminal.keys.write_all(b"put a 1\rhelp\rget a\rquit\r").expect("it reads");
        assert_eq!(terminal.ends().await.code(), Some(0));
        assert!(terminal.screen().contains("Ctrl-D"), "{}", terminal.screen());
        let text = fs::read_to_string(path).expect("UTF-8");
        let objects: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!(objects.len(), 2, "{text}");
        assert_eq!(objects[1]["value"], "1");
    });
}
