//! Real processes on ephemeral ports, in a folder of their own, ended with the test.
//!
//! A server that is *wired* is reached through a [`Proxy`] and reaches the view service through another, so
//! that the test can damage either.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use pbkv::{
    client::{Client, ClientOptions, ViewReport},
    clock::SystemClock,
    protocol::{identity::ViewNumber, view::View},
    wire::kv_client::KvClient,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::proxy::Proxy;

/// Nothing that a test waits for takes longer, on a busy machine, than this.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const VIEWSERVICE: &str = env!("CARGO_BIN_EXE_viewservice");
const KVSERVER: &str = env!("CARGO_BIN_EXE_kvserver");
const TESTCLIENT: &str = env!("CARGO_BIN_EXE_testclient");

/// Runs a test's future on a runtime of its own.
pub fn run<F: Future>(test: F) -> F::Output {
    pbkv::process::block_on(test).expect("the operating system gives threads")
}

/// Asks again and again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server process. Killed when dropped; its log is printed if the test failed.
pub struct Process {
    child: Child,
    pub address: String,
    log: PathBuf,
}

impl Process {
    /// Starts a server and waits until it listens.
    fn start(binary: &str, args: &[&str], log: PathBuf) -> Self {
        let mut child = Command::new(binary)
            .args(args)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("a log file"))
            .spawn()
            .expect("the binary was built");
        let output = child.stdout.take().expect("piped");
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = tell.send(line);
        });
        let mut process = Self { child, address: String::new(), log };
        let line = told.recv_timeout(PATIENCE).expect("the server says that it listens");
        let listens = line.trim().strip_prefix("listening ");
        let address =
            listens.map(|at| at.split_once(", advertised as ").map_or(at, |(_, advertised)| advertised));
        process.address = address.unwrap_or_else(|| panic!("the first line is '{line}'")).to_owned();
        process
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The time that all cores together spent on this process so far.
    pub fn busy(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(path).expect("the process lives");
        let (_, fields) = stat.rsplit_once(") ").expect("the name stands in brackets");
        // User and system time are the fields 14 and 15; the first one here is the third.
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        Duration::from_millis(10 * ticks)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is a child and was not waited for");
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.die();
    }

    /// `kill -9`, and something may be started in its place.
    pub fn die(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    /// Asks the process to end and returns its exit code.
    pub async fn end(&mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        let child = &mut self.child;
        let status = eventually("the process ends", async || child.try_wait().expect("a child")).await;
        status.code()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log file")
    }

    /// Waits for a line in the log.
    pub async fn logs(&self, text: &str) {
        eventually(&format!("'{text}' in the log of {}", self.address), async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
            eprintln!("--- {} {}\n{log}", self.log.display(), self.address);
        }
    }
}

/// A command line client at work. Killed when dropped.
pub struct AtWork(Option<Child>);

impl AtWork {
    pub fn of(child: Child) -> Self {
        Self(Some(child))
    }

    pub fn is_done(&mut self) -> bool {
        self.0.as_mut().is_none_or(|child| child.try_wait().expect("a child").is_some())
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.0.as_ref().expect("not ended yet"));
        kill_process(pid, signal).expect("the process is a child and was not waited for");
    }

    /// Waits until it ends.
    pub fn output(mut self) -> Output {
        self.0.take().expect("not ended yet").wait_with_output().expect("a child")
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A server behind two proxies.
pub struct Wired {
    pub process: Process,
    /// From whoever asks it, clients and other servers, to the server.
    pub inward: Proxy,
    /// From the server to the view service.
    pub outward: Proxy,
}

impl Wired {
    /// Asks the server itself, past its proxy.
    pub async fn directly(&self) -> KvClient<Channel> {
        connect(&self.inward.target).await
    }

    pub fn heal(&self) {
        self.inward.heal();
        self.outward.heal();
    }
}

/// A client without a library: it asks one server, once.
pub async fn connect(address: &str) -> KvClient<Channel> {
    KvClient::connect(format!("http://{address}")).await.expect("the server listens")
}

/// A view service and the means to start servers.
pub struct Cluster {
    pub view_service: Process,
    dir: TempDir,
    started: usize,
}

impl Cluster {
    /// One server that serves, and no copies.
    pub async fn of_one() -> (Self, Process) {
        let mut cluster = Self::start(&["--replicas", "1"]);
        let server = cluster.server(&[]);
        cluster.settled(&server, 0).await;
        (cluster, server)
    }

    pub fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let record = dir.path().join("record");
        let view_service = start_view_service(dir.path(), &record, "localhost:0", args, 0);
        Self { view_service, dir, started: 0 }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a KV server.
    pub fn server(&mut self, args: &[&str]) -> Process {
        self.server_at("localhost:0", args)
    }

    /// Starts two KV servers, first the one that becomes primary, then its backup.
    pub async fn pair_of(&mut self, args: &[&str]) -> (Process, Process) {
        let primary = self.server(args);
        self.settled(&primary, 0).await;
        let backup = self.server(args);
        self.settled(&primary, 1).await;
        (primary, backup)
    }

    /// Starts a KV server that may have so many files open, connections among them, and may not raise that
    /// limit.
    pub fn server_with_open_files(&mut self, limit: u32, args: &[&str]) -> Process {
        self.server_with_ulimit(&format!("-n {limit}"), args)
    }

    /// Starts a KV server after `ulimit` with these arguments.
    pub fn server_with_ulimit(&mut self, limit: &str, args: &[&str]) -> Process {
        self.started += 1;
        let log = self.dir.path().join(format!("kvserver-{}.log", self.started));
        let limited = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        let own = ["-c", &limited, KVSERVER, "--addr", "localhost:0", "--vs", &self.view_service.address];
        Process::start("sh", &[&own, args].concat(), log)
    }

    /// Starts a KV server at an address.
    pub fn server_at(&mut self, address: &str, args: &[&str]) -> Process {
        let vs = self.view_service.address.clone();
        self.start_server(&[&["--addr", address, "--vs", &vs], args].concat())
    }

    /// Starts a KV server behind two proxies.
    pub async fn wired(&mut self, args: &[&str]) -> Wired {
        let (inward, outward) = (Proxy::for_server().await, Proxy::to(&self.view_service.address).await);
        let process = self.start_wired(&inward, &outward, args);
        Wired { process, inward, outward }
    }

    /// Starts a KV server in the place of one that was killed.
    pub fn restart(&mut self, server: &mut Wired, args: &[&str]) {
        server.process = self.start_wired(&server.inward, &server.outward, args);
    }

    fn start_wired(&mut self, inward: &Proxy, outward: &Proxy, args: &[&str]) -> Process {
        let ends = ["--addr", &inward.target, "--advertise", &inward.address, "--vs", &outward.address];
        self.start_server(&[&ends, args].concat())
    }

    /// Starts a KV server with these arguments only.
    pub fn start_server(&mut self, args: &[&str]) -> Process {
        self.started += 1;
        let log = self.dir.path().join(format!("kvserver-{}.log", self.started));
        Process::start(KVSERVER, args, log)
    }

    /// Ends the view service with a signal and starts it again, at the same address with the same record.
    pub async fn restart_view_service(&mut self, signal: Signal, args: &[&str]) {
        self.view_service.end(signal).await;
        self.start_view_service(args);
    }

    /// Starts the view service again, after its process ended.
    pub fn start_view_service(&mut self, args: &[&str]) {
        self.start_view_service_in(&self.dir.path().join("record"), args);
    }

    /// The same, with the record in this folder.
    pub fn start_view_service_in(&mut self, record: &Path, args: &[&str]) {
        self.started += 1;
        let address = self.view_service.address.clone();
        self.view_service = start_view_service(self.dir.path(), record, &address, args, self.started);
    }

    /// Those of a client that waits as long as a busy machine may take.
    pub fn options(&self) -> ClientOptions {
        ClientOptions { deadline: PATIENCE, ..ClientOptions::new(&self.view_service.address) }
    }

    pub fn client(&self) -> Client<SystemClock> {
        Client::new(self.options(), SystemClock)
    }

    /// Runs the command line client to its end.
    pub fn testclient(&self, args: &[&str]) -> Output {
        testclient(&[&["--vs", &self.view_service.address], args].concat())
    }

    /// Starts the command line client, which finds the view service at this address.
    pub fn spawn_testclient(&self, view_service: &str, args: &[&str]) -> AtWork {
        let child = Command::new(TESTCLIENT)
            .args(["--vs", view_service])
            .args(args)
            .current_dir(self.dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        AtWork::of(child)
    }

    pub async fn report(&self) -> ViewReport {
        self.client().view().await.expect("the view service is there")
    }

    /// Waits for a view.
    pub async fn view(&self, what: &str, fits: impl Fn(&View) -> bool) -> View {
        let mut client = self.client();
        eventually(what, async || client.view().await.ok()?.view.filter(&fits)).await
    }

    /// Waits until, in a view from `from` on, some primary has a backup: every single server may fail then.
    pub async fn pair(&self, from: ViewNumber) -> View {
        self.view("a primary with a backup", |view| {
            view.number >= from && view.activated && view.backups().count() == 1
        })
        .await
    }

    /// Waits until `primary` is the primary, with so many backups that its view is acknowledged.
    pub async fn settled(&self, primary: &Process, backups: usize) -> View {
        let what = format!("{} is primary with {backups} backups", primary.address);
        self.view(&what, |view| {
            view.primary.as_str() == primary.address && view.activated && view.backups().count() == backups
        })
        .await
    }
}

fn start_view_service(dir: &Path, record: &Path, address: &str, args: &[&str], number: usize) -> Process {
    let record = record.to_str().expect("UTF-8");
    let args = [&["--addr", address, "--dir", record], args].concat();
    Process::start(VIEWSERVICE, &args, dir.join(format!("viewservice-{number}.log")))
}

/// Runs the view service's binary to its end.
pub fn viewservice(args: &[&str]) -> Output {
    ended(VIEWSERVICE, args)
}

/// Runs the KV server's binary to its end.
pub fn kvserver(args: &[&str]) -> Output {
    ended(KVSERVER, args)
}

/// Runs a server that is to refuse, or only to tell something. It is killed if it serves.
fn ended(binary: &str, args: &[&str]) -> Output {
    let mut command = Command::new(binary);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary was built");
    let begun = Instant::now();
    while child.try_wait().expect("a child").is_none() && begun.elapsed() < PATIENCE / 4 {
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill(); // it has no pid any more if it ended
    child.wait_with_output().expect("a child")
}

/// Runs the command line client to its end, with this on its standard input.
pub fn testclient_reads(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(TESTCLIENT)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    child.wait_with_output().expect("a child")
}

/// Runs the command line client to its end.
pub fn testclient(args: &[&str]) -> Output {
    Command::new(TESTCLIENT).args(args).stdin(Stdio::null()).output().expect("the binary was built")
}

/// Standard output of a process that must have succeeded.
pub fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    said(output)
}

/// Standard output of a process, however it ended.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Standard error of a process that must have ended with this exit code.
pub fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
