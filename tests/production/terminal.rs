//! The client on a terminal: what a person sees who waits, and the prompt.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    fs::{Mode, OFlags, open},
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::cluster::{Cluster, eventually, failed, run, testclient};

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
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("it is ours");
        let name = ptsname(&keyboard, Vec::new()).expect("it has a name");
        let end =
            || -> OwnedFd { open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it opens") };
        let child = Command::new(env!("CARGO_BIN_EXE_testclient"))
            .args(args)
            .env("TERM", "xterm")
            .stdin(Stdio::from(end()))
            .stdout(Stdio::from(end()))
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
fn the_prompt_remembers_edits_and_completes() {
    run(async {
        let mut cluster = Cluster::start(&["--replicas", "1"]);
        let server = cluster.server(&[]);
        cluster.settled(&server, 0).await;
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
        let client = Pid::from_child(&terminal.child);
        kill_process(client, Signal::INT).expect("the process is a child and was not waited for");
        terminal.shows("SIGINT: no answer yet", 1).await;
        terminal.types("quit\r").await;
        assert_eq!(terminal.ends().await.code(), Some(0));
    });
}
