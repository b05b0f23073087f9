//! A stretch of network that can be damaged: connections to its address go on to another process, as long as
//! it lets them.
//!
//! What happens to bytes in a real network, as far as two sockets can show it. TCP itself loses nothing
//! between two live ends, so neither does a proxy, but for what it withholds until it ends the connection.
//!
//! A server that is reached through a proxy *advertises* the proxy's address and *listens* at another
//! loopback address with the same port, which nobody else can be given. A damage concerns all who connect, or
//! one process alone: Linux says which socket belongs to which process, so that a partition can separate two
//! servers and leave their clients.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// Where servers listen that are reached through a proxy.
const BEHIND: &str = "127.0.0.2";
/// Bytes carried at once.
const CHUNK_BYTES: usize = 16 << 10;
/// A flaky link ends each connection after at most so many chunks in one direction.
const FLAKY_CHUNKS_MAX: u64 = 200;

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Connections end, and new ones end at once.
    Cut,
    /// Nothing arrives, and nobody is told. What was sent meanwhile arrives at the end.
    BlackHole,
    /// Requests arrive, answers do not. At the end, connections on which an answer was lost end, too.
    RepliesLost,
    /// Whatever arrives is late by this.
    Slow(Duration),
    /// Each connection ends after a number of chunks that depends on this seed and on the connection's
    /// number.
    Flaky(u64),
}

/// A damage and to whom it happens.
#[derive(Clone, Copy)]
struct Rule {
    damage: Damage,
    /// The process that connects; none for all of them.
    of: Option<u32>,
}

/// A proxy on loopback. It ends when dropped, and with it every connection.
pub struct Proxy {
    /// Where to connect.
    pub address: String,
    /// Where connections lead.
    pub target: String,
    rules: watch::Sender<Vec<Rule>>,
    lost: Arc<AtomicU64>,
    carrier: JoinHandle<()>,
}

impl Proxy {
    /// One that leads to a process that listens already.
    pub async fn to(target: &str) -> Self {
        Self::start(|_| target.to_owned()).await
    }

    /// One for a server that is yet to be started, and listens at its `target`.
    pub async fn for_server() -> Self {
        Self::start(|port| format!("{BEHIND}:{port}")).await
    }

    async fn start(target: impl FnOnce(u16) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let target = target(address.port());
        let (rules, seen) = watch::channel(Vec::new());
        let lost = Arc::default();
        let link = Link { port: 0, number: 0, rules: seen, damage: None, lost: Arc::clone(&lost) };
        let carrier = tokio::spawn(accept(listener, target.clone(), link));
        Self { address: address.to_string(), target, rules, lost, carrier }
    }

    /// Damages the link for everybody, instead of what was wrong with it before.
    pub fn damage(&self, damage: Damage) {
        self.rules.send_replace(vec![Rule { damage, of: None }]);
    }

    /// Damages the link for one process alone, beside what is wrong with it already.
    pub fn damage_for(&self, process: u32, damage: Damage) {
        self.rules.send_modify(|rules| rules.push(Rule { damage, of: Some(process) }));
    }

    /// On how many connections an answer was lost.
    pub fn replies_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Nothing is wrong any more.
    pub fn heal(&self) {
        self.rules.send_replace(Vec::new());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

async fn accept(listener: TcpListener, target: String, link: Link) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, peer)) = listener.accept().await else { return };
        let mut link = Link { port: peer.port(), number, ..link.clone() };
        link.rules.mark_changed();
        connections.spawn(connect(stream, target.clone(), link));
        while connections.try_join_next().is_some() {} // those that have ended
    }
}

/// One connection, until one of its ends or the link ends it.
async fn connect(stream: TcpStream, target: String, mut link: Link) {
    link.look();
    if link.damage == Some(Damage::BlackHole) {
        link.until(|damage| damage != Some(Damage::BlackHole)).await;
    }
    if link.damage == Some(Damage::Cut) {
        return;
    }
    let Ok(onward) = TcpStream::connect(&target).await else { return };
    for stream in [&stream, &onward] {
        let _ = stream.set_nodelay(true); // late, not wrong, without
    }
    let (requests, replies) = (stream.into_split(), onward.into_split());
    let (mut cut, to, back) = (link.clone(), link.clone(), link);
    tokio::select! {
        biased;
        () = cut.until(|damage| damage == Some(Damage::Cut)) => {}
        () = carry(requests.0, replies.1, false, to) => {}
        () = carry(replies.0, requests.1, true, back) => {}
    }
}

/// Carries what is sent in one direction, as the link is at the moment.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, replies: bool, mut link: Link) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut carried = 0;
    loop {
        let Ok(read @ 1..) = from.read(&mut chunk).await else { return };
        link.look();
        link.until(|damage| damage != Some(Damage::BlackHole)).await;
        match link.damage {
            Some(Damage::RepliesLost) if replies => {
                link.lost.fetch_add(1, Ordering::Relaxed);
                return link.until(|damage| damage != Some(Damage::RepliesLost)).await;
            }
            Some(Damage::Slow(late)) => tokio::time::sleep(late).await,
            Some(Damage::Flaky(seed)) if carried >= link.chunks(seed) => return,
            _ => {}
        }
        carried += 1;
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

/// What is known of a connection.
#[derive(Clone)]
struct Link {
    /// The port of the end that connected.
    port: u16,
    number: u64,
    rules: watch::Receiver<Vec<Rule>>,
    damage: Option<Damage>,
    lost: Arc<AtomicU64>,
}

impl Link {
    /// Looks at what is wrong by now.
    fn look(&mut self) {
        let concerns = |rule: &&Rule| rule.of.is_none_or(|process| owns(process, self.port));
        if self.rules.has_changed().unwrap_or(false) {
            self.damage = self.rules.borrow_and_update().iter().rev().find(concerns).map(|rule| rule.damage);
        }
    }

    /// Waits until the damage is as wanted.
    async fn until(&mut self, wanted: impl Fn(Option<Damage>) -> bool) {
        loop {
            self.look();
            if wanted(self.damage) || self.rules.changed().await.is_err() {
                return;
            }
            self.rules.mark_changed();
        }
    }

    /// After how many chunks a flaky link ends it.
    fn chunks(&self, seed: u64) -> u64 {
        let mixed = (seed ^ self.number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) % FLAKY_CHUNKS_MAX
    }
}

/// Whether a process has the socket that is bound to this port and connected.
fn owns(process: u32, port: u16) -> bool {
    let sockets = fs::read_to_string("/proc/net/tcp").expect("Linux lists its sockets");
    let local = format!(":{port:04X}");
    let inodes = sockets.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, inode) = (fields.get(1)?, fields.get(9)?);
        address.ends_with(&local).then(|| format!("socket:[{inode}]"))
    });
    let inodes: Vec<String> = inodes.collect();
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    files.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|to| inodes.iter().any(|inode| to.as_os_str() == inode.as_str()))
    })
}
