//! The real binary: processes, signals, exit codes, and the commands of the README.
#![cfg(not(madsim))]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

const LOCK: &str = env!("CARGO_BIN_EXE_lock");

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(log: &Path, listen: &str) -> Self {
        let mut command = Command::new(LOCK);
        command.args(["serve", "--listen", listen, "--log"]).arg(log).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the binary");
        let mut line = String::new();
        let said = process.stdout.as_mut().expect("piped");
        BufReader::new(said).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening ").expect(&line).to_owned();
        Self { process, address }
    }

    /// Runs a client, and returns its exit code and all that it says.
    fn ask(&self, words: &str) -> (i32, String) {
        ask(&self.address, words)
    }

    fn kill(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ask(address: &str, words: &str) -> (i32, String) {
    let mut command = Command::new(LOCK);
    let output = command.args(words.split(' ')).env("LOCK_SERVER", address).output().expect("the binary");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it exits"), String::from_utf8(said).expect("text").trim().to_owned())
}

fn says(code: i32, text: &str) -> (i32, String) {
    (code, text.to_owned())
}

#[test]
fn grants_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let mut server = Server::start(&log, "127.0.0.1:0");
    assert_eq!(server.ask("holder door"), says(0, "free"));
    assert_eq!(server.ask("acquire door --as alice"), says(0, "granted to alice, version 1"));
    assert_eq!(server.ask("acquire door --as bob"), says(1, "held by alice"));
    server.kill();
    let server = Server::start(&log, &server.address);
    assert_eq!(server.ask("acquire door --as bob"), says(1, "held by alice"));
    assert_eq!(server.ask("acquire door --as alice"), says(0, "granted to alice, version 1"));
    assert_eq!(server.ask("release door --as bob"), says(1, "not yours: held by alice"));
    assert_eq!(server.ask("release door --as alice"), says(0, "released"));
    assert_eq!(server.ask("release door --as alice"), says(1, "not yours: free"));
    assert_eq!(server.ask("acquire door --as bob"), says(0, "granted to bob, version 3"));
}

#[test]
fn a_server_ends_cleanly_when_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(&folder.path().join("log"), "127.0.0.1:0");
    let pid = server.process.id().to_string();
    assert!(Command::new("kill").arg(&pid).status().expect("a command").success());
    assert_eq!(server.process.wait().expect("it ended").code(), Some(0));
}

#[test]
fn errors_are_one_line_and_have_an_exit_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let server = Server::start(&log, "127.0.0.1:0");
    let serve =
        |listen: &str, log: &Path| ask("", &format!("serve --listen {listen} --log {}", log.display()));
    let other = folder.path().join("other");
    let (code, why) = serve(&server.address, &other);
    assert!(code == 1 && why.contains("cannot listen on") && why.lines().count() == 1, "{code} {why}");
    let (code, why) = serve("127.0.0.1:0", &log);
    assert!(
        code == 1 && why.contains("another process is using") && why.lines().count() == 1,
        "{code} {why}"
    );
    fs::write(&other, "no log at all").expect("written");
    let (code, why) = serve("127.0.0.1:0", &other);
    assert!(code == 1 && why.contains("damaged at byte 0") && why.lines().count() == 1, "{code} {why}");

    assert_eq!(ask(&server.address, "acquire door").0, 2, "no owner");
    assert_eq!(ask(&server.address, "holder door --timeout 0").0, 2);
    assert_eq!(ask("nonsense at all", "holder door").0, 2);
    let address = server.address.clone();
    drop(server);
    let (code, why) = ask(&address, "acquire door --as alice --timeout 0.2");
    assert!(
        code == 3 && why.starts_with("error: not executed: ") && why.lines().count() == 1,
        "{code} {why}"
    );
}

/// Runs the README's session in one shell, on another port, and compares all that is printed.
#[test]
fn the_readme_says_what_happens() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("a README");
    let session: Vec<&str> = readme
        .split("```console\n")
        .skip(1)
        .flat_map(|rest| rest.split("```").next().expect("an end").lines())
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let script = session.iter().filter_map(|line| line.strip_prefix("$ ")).collect::<Vec<_>>().join("\n");
    let script = script.replace("cargo run -q -p lock --", LOCK).replace("7000", &port.to_string());
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]).current_dir(folder.path()).env("LOCK_SERVER", format!("127.0.0.1:{port}"));
    let output = shell.stderr(Stdio::inherit()).output().expect("a shell");
    let said = String::from_utf8(output.stdout).expect("text").replace(&port.to_string(), "7000");
    let expected: Vec<&str> = session.into_iter().filter(|line| !line.starts_with("$ ")).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "from\n{script}");
}
