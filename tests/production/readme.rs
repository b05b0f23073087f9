//! The README's session, line for line, in a shell of its own: what a reader types is typed, and what a
//! reader is shown is seen.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::cluster::PATIENCE;

/// Addresses that the session uses.
const ADDRESSES: [&str; 3] = ["localhost:8000", "localhost:8001", "localhost:8002"];

/// A line that no command prints by itself.
const END: &str = "-- end of what it said --";

/// A command of the README, and the lines under it.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The commands of all sessions between two headings, in their order. Building is the test's own business.
fn steps(from: &str, to: &str) -> Vec<Step> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let (_, section) = readme.split_once(from).expect("the first heading");
    let (section, _) = section.split_once(to).expect("the next heading");
    let mut steps: Vec<Step> = Vec::new();
    for block in section.split("\n```console\n").skip(1) {
        let (block, _) = block.split_once("\n```").expect("a block ends");
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => {
                    let command = command.split("  #").next().unwrap_or_default().trim().to_owned();
                    steps.push(Step { command, shown: Vec::new() });
                }
                None => steps.last_mut().expect("a command first").shown.push(line.to_owned()),
            }
        }
    }
    steps.retain(|step| !step.command.starts_with("cargo ") && !step.command.starts_with("export PATH="));
    steps
}

/// A shell in which the programs under test are found first.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_kvserver")).parent().expect("a folder");
        let path = env::var("PATH").unwrap_or_default();
        let mut child = Command::new("sh")
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", programs.display()))
            .env_remove("RUST_LOG")
            .env_remove("PBKV_VS")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, told) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut shell = Self { child, input, output: told };
        writeln!(shell.input, "exec 2>&1").expect("a shell reads");
        shell
    }

    /// What a command prints. What runs in the background is waited for until it has printed so many lines.
    fn say(&mut self, command: &str, lines_min: usize) -> Vec<String> {
        writeln!(self.input, "{command}").expect("a shell reads");
        let waits = command.ends_with('&');
        let mut lines = Vec::new();
        if waits {
            while lines.len() < lines_min {
                lines.push(self.line(command));
            }
        } else {
            writeln!(self.input, "echo '{END}'").expect("a shell reads");
            loop {
                let line = self.line(command);
                if line == END {
                    break;
                }
                // Some shells tell of a job that was killed.
                if !line.contains("Killed") {
                    lines.push(line);
                }
            }
        }
        lines
    }

    fn line(&self, command: &str) -> String {
        let line = self.output.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("`{command}`: nothing more within {PATIENCE:?}: {error}"))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // With all that it started.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// A line in pieces: numbers (with their point), and what is between them.
fn pieces(line: &str) -> Vec<&str> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut pieces = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_number(c) != is_number(first)).unwrap_or(rest.len());
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces
}

/// Whether a line is the one that is shown, but for numbers and the units of times, up to dots at its end.
/// `numbers` becomes what each number shown stands for.
fn is_like(shown: &str, seen: &str, numbers: &mut BTreeMap<String, String>) -> bool {
    let is_number = |piece: &str| piece.starts_with(|c: char| c.is_ascii_digit());
    let unit =
        |piece: &str| piece.replace("µs", "T").replace("us", "T").replace("ms", "T").replace("s,", "T,");
    let (begins, is_cut) = shown.strip_suffix(" ...").map_or((shown, false), |begins| (begins, true));
    let (shown, seen) = (pieces(begins), pieces(seen));
    let alike = (shown.len() == seen.len() || is_cut && shown.len() < seen.len())
        && shown
            .iter()
            .zip(&seen)
            .all(|(shown, seen)| if is_number(shown) { is_number(seen) } else { unit(shown) == unit(seen) });
    if alike {
        let both = shown.into_iter().zip(seen).filter(|(shown, _)| is_number(shown));
        numbers.extend(both.map(|(shown, seen)| (shown.to_owned(), seen.to_owned())));
    }
    alike
}

/// A number that a reader copies from the screen is the one that stands there.
fn copied(command: &str, numbers: &BTreeMap<String, String>) -> String {
    const OPTION: &str = "--expect-revision ";
    let Some((before, rest)) = command.split_once(OPTION) else { return command.to_owned() };
    let (number, rest) = rest.split_once(' ').expect("a key follows");
    let number = numbers.get(number).map_or(number, String::as_str);
    format!("{before}{OPTION}{number} {rest}")
}

/// The section below a heading, up to the next one.
fn section(heading: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let (_, below) = readme.split_once(heading).expect("the heading");
    below.split_once("\n#").map_or(below, |(section, _)| section).to_owned()
}

/// All of what the programs are made of, with texts in one piece.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).expect("a source");
            all.extend(source.split("\\\n").map(str::trim_start));
        }
    }
    all
}

#[test]
fn messages_that_the_readme_explains_are_those_of_the_programs() {
    let section = section("\n### When something is wrong\n");
    let sources = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")));
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    let mut messages = 0;
    for row in rows {
        let says = row.split('|').nth(1).expect("a column");
        for message in says.split('`').skip(1).step_by(2) {
            assert!(sources.contains(message), "no program says '{message}'");
            messages += 1;
        }
    }
    assert!(messages > 12, "only {messages} messages were found");
}

#[test]
fn the_session_of_the_readme_goes_as_it_is_shown() {
    for address in ADDRESSES {
        if let Err(error) = TcpListener::bind(address) {
            // Whoever uses these addresses is not to be disturbed; the gate is nobody's machine.
            assert!(env::var_os("CI").is_none(), "the README's session needs {address}: {error}");
            println!("SKIPPED: the README's session needs {address}: {error}");
            return;
        }
    }
    let steps = steps("\n## Running it for real\n", "\n## The protocol in ten lines\n");
    assert!(steps.len() > 12, "only {} commands were found", steps.len());
    // What ends the session stands before what a reader tries later.
    let ends = |step: &Step| {
        ["kill $views $first $second", "wait", "rm -r viewservice.data s1 s2"].contains(&&*step.command)
    };
    let (end, session): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(ends);
    assert_eq!(end.len(), 3, "how to end, and to begin again");

    let folder = tempfile::tempdir().expect("a folder");
    let mut shell = Shell::start(folder.path());
    let mut numbers = BTreeMap::new();
    for step in session.iter().chain(&end) {
        let command = copied(&step.command, &numbers);
        let begun = Instant::now();
        loop {
            let seen = shell.say(&command, step.shown.len());
            let alike = seen.len() == step.shown.len()
                && step.shown.iter().zip(&seen).all(|(shown, seen)| is_like(shown, seen, &mut numbers));
            if alike {
                break;
            }
            // A busy machine takes longer than a reader's until the view is the one that is shown.
            let may_come = command == "testclient view" && begun.elapsed() < PATIENCE;
            assert!(
                may_come,
                "`{command}` printed\n{}\ninstead of\n{}",
                seen.join("\n"),
                step.shown.join("\n")
            );
        }
    }
    for kept in ["viewservice.data", "s1", "s2"] {
        assert!(!folder.path().join(kept).exists(), "{kept} is left");
    }
    for address in ADDRESSES {
        TcpListener::bind(address).expect("nothing is left of the cluster");
    }
    for log in ["viewservice.log", "first.log", "second.log"] {
        assert!(folder.path().join(log).metadata().expect(log).len() > 0, "{log} is empty");
    }
}
