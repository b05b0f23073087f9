//! The client on a terminal: what a person sees who waits.

use std::{
    fs::File,
    io::Read,
    os::fd::OwnedFd,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::cluster::{eventually, failed, run, testclient};

/// A process whose input and output is a terminal.
struct Terminal {
    child: Child,
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
        let (mut screen, seen) = (File::from(keyboard), Arc::<Mutex<Vec<u8>>>::default());
        let filled = seen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Fails when the process has ended.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                filled.lock().expect("no panic").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, seen }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("no panic")).into_owned()
    }

    /// Waits until the screen shows something so many times.
    async fn shows(&self, text: &str, times: usize) {
        let enough = async || (self.screen().matches(text).count() >= times).then_some(());
        let what = format!("'{text}' {times} times on the terminal");
        let watch = async {
            eventually(&what, enough).await;
        };
        watch.await;
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
