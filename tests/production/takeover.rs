//! The situations that a course on primary and backup asks about first, and that textbook stores get wrong:
//! clients at work while servers die, lose answers, come back without their memory, or are cut off without
//! knowing it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use pbkv::{
    client::Client,
    clock::SystemClock,
    protocol::identity::ViewNumber,
    wire::{
        GetRequest, OpenSessionRequest, PutRequest, RequestId, kv_client::KvClient, open_session_response,
        update_response,
    },
};
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::{
    cluster::{Cluster, Wired, connect, eventually, run},
    proxy::{Damage, Proxy},
};

/// The view service declares a server dead after less than this.
const SURELY_DEAD: Duration = Duration::from_secs(3);
/// How long answers are lost: not so long that anybody is suspected.
const LOSS_TIME: Duration = Duration::from_millis(300);
/// After a fault each client must have done so much more.
const PROGRESS: u64 = 20;

/// What clients write, again and again. No value is written twice.
#[derive(Clone, Copy)]
enum Write {
    /// All append to one key.
    Appends,
    /// All put to the same few keys.
    Puts,
}

/// The key that is appended to.
const LOG: &str = "log";
/// Those that are put to.
const KEYS: [&str; 2] = ["left", "right"];

impl Write {
    /// The call of this number by this client. It succeeds.
    async fn call(self, client: &mut Client<SystemClock>, number: u64, call: u64) {
        let value = format!("{number}.{call} ");
        let done = match self {
            Self::Appends => client.append(LOG, value).await,
            Self::Puts => client.put(KEYS[call as usize % KEYS.len()], value).await,
        };
        done.expect("an update");
    }
}

/// Clients that write until they are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    done: Vec<Arc<AtomicU64>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    fn start(cluster: &Cluster, clients: u64, write: Write) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done: Vec<Arc<AtomicU64>> = (0..clients).map(|_| Arc::default()).collect();
        let tasks = done.iter().zip(0..).map(|(done, number)| {
            let (stop, done) = (stop.clone(), done.clone());
            let options = cluster.options();
            tokio::spawn(async move {
                let mut client = Client::new(options, SystemClock);
                while !stop.load(Ordering::Relaxed) {
                    write.call(&mut client, number, done.load(Ordering::Relaxed)).await;
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let tasks = tasks.collect();
        Self { stop, done, tasks }
    }

    fn counts(&self) -> Vec<u64> {
        self.done.iter().map(|done| done.load(Ordering::Relaxed)).collect()
    }

    /// Waits until every client has got on.
    async fn get_on(&self) {
        let before = self.counts();
        eventually("every client gets on", async || {
            assert!(!self.tasks.iter().any(JoinHandle::is_finished), "a call failed");
            let on = |(now, before): (u64, &u64)| now >= before + PROGRESS;
            self.counts().into_iter().zip(&before).all(on).then_some(())
        })
        .await;
    }

    /// Ends them and says how many calls each made.
    async fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("every call succeeds");
        }
        self.done.iter().map(|done| done.load(Ordering::Relaxed)).collect()
    }
}

/// That what is appended took effect once each, in the order of each client's calls.
fn once_each(log: &[u8], calls: &[u64]) {
    let mut next = vec![0; calls.len()];
    let log = str::from_utf8(log).expect("clients write text");
    for (place, entry) in log.split_whitespace().enumerate() {
        let (client, call) = entry.split_once('.').expect("client and call");
        let (client, call): (usize, u64) =
            (client.parse().expect("a number"), call.parse().expect("a number"));
        assert_eq!(
            call, next[client],
            "entry {place}, of client {client}: lost, or there twice; the whole is {log}"
        );
        next[client] += 1;
    }
    assert_eq!(next, calls, "what was acknowledged last is missing");
}

/// What a server that is asked directly answers to a read, if it answers with a value or the absence of one.
async fn read(client: &mut KvClient<Channel>, key: &str) -> Option<Option<Vec<u8>>> {
    let request = GetRequest { key: key.to_owned().into(), ..Default::default() };
    let asked = tokio::time::timeout(SURELY_DEAD, client.get(request)).await;
    let response = asked.ok()?.ok()?.into_inner();
    response.refusal.is_none().then(|| response.value.map(|value| value.to_vec()))
}

/// Whether a server that is asked directly says that it executed a put.
async fn put(client: &mut KvClient<Channel>, session: u64, number: u64, key: &str, value: &str) -> bool {
    let id = Some(RequestId { session, number, ..Default::default() });
    let request = PutRequest { id, key: key.to_owned().into(), value: value.to_owned().into() };
    let asked = tokio::time::timeout(SURELY_DEAD, client.put(request)).await;
    let Ok(Ok(response)) = asked else { return false };
    matches!(response.into_inner().result, Some(update_response::Result::Executed(_)))
}

/// The server at an address.
fn place(servers: &[Wired], address: &str) -> usize {
    servers.iter().position(|server| server.process.address == address).expect("a server of this test")
}

#[test]
fn a_client_writes_through_the_death_of_the_primary_and_of_the_backup() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, s2) = cluster.pair_of(&[]).await;
        let s3 = cluster.server(&[]);
        s3.logs("accepted by the view service").await;
        let writers = Writers::start(&cluster, 1, Write::Appends);
        writers.get_on().await;

        s1.kill();
        let before = cluster.settled(&s2, 1).await;
        writers.get_on().await;

        s3.kill();
        let s4 = cluster.server(&[]);
        let view = cluster.pair(before.number.next()).await;
        assert!(view.backups().any(|backup| backup.as_str() == s4.address), "{view:?}");
        writers.get_on().await;

        let calls = writers.end().await;
        let log = cluster.client().get(LOG).await.expect("get").expect("there");
        once_each(&log, &calls);
    });
}

#[test]
fn a_server_without_the_data_keeps_silent_while_the_primary_stands_still() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.server(&[]);
        cluster.settled(&s1, 0).await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");

        s1.signal(Signal::STOP); // the only copy
        let s2 = cluster.server(&[]);
        s2.logs("accepted by the view service").await;
        let mut empty = connect(&s2.address).await;
        let until = Instant::now() + SURELY_DEAD;
        while Instant::now() < until {
            assert_eq!(read(&mut empty, "k").await, None, "an empty server answers");
            let view = cluster.report().await.view.expect("one");
            assert_eq!(view.primary.as_str(), s1.address, "an empty server is promoted");
        }
        s1.signal(Signal::CONT);
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
        cluster.settled(&s1, 1).await;
    });
}

/// Puts of many clients to the same keys, while `harm` is done to the primary and the backup; then the backup
/// must hold what the primary held.
async fn replicas_are_equal(harm: impl AsyncFn(&Writers, &Wired, &Wired)) {
    let mut cluster = Cluster::start(&[]);
    let s1 = cluster.wired(&[]).await;
    cluster.settled(&s1.process, 0).await;
    let s2 = cluster.wired(&[]).await;
    cluster.settled(&s1.process, 1).await;
    let writers = Writers::start(&cluster, 6, Write::Puts);
    writers.get_on().await;
    harm(&writers, &s1, &s2).await;
    writers.end().await;

    let mut client = cluster.client();
    let mut values = Vec::new();
    for key in KEYS {
        values.push(client.get(key).await.expect("get").expect("written"));
    }
    cluster.settled(&s1.process, 1).await;
    s1.process.kill();
    cluster.settled(&s2.process, 0).await;
    for (key, value) in KEYS.iter().zip(values) {
        assert_eq!(client.get(*key).await.expect("get"), Some(value), "{key}");
    }
}

#[test]
fn concurrent_puts_leave_both_replicas_equal() {
    run(replicas_are_equal(async |writers, _, _| writers.get_on().await));
}

#[test]
fn concurrent_puts_whose_replies_get_lost_leave_both_replicas_equal() {
    run(replicas_are_equal(async |writers, primary, backup| {
        for _ in 0..3 {
            for link in [&primary.inward, &backup.inward] {
                let lost = link.replies_lost();
                link.damage(Damage::RepliesLost);
                eventually("a reply is lost", async || (link.replies_lost() > lost).then_some(())).await;
                tokio::time::sleep(LOSS_TIME).await;
                link.heal();
                writers.get_on().await;
            }
        }
    }));
}

#[test]
fn appends_take_effect_once_through_repeated_crashes() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(cluster.wired(&[]).await);
        }
        let mut view = cluster.pair(ViewNumber(1)).await;
        let writers = Writers::start(&cluster, 3, Write::Appends);
        for round in 0..5 {
            writers.get_on().await;
            let primary = place(&servers, view.primary.as_str());
            // What was executed last is not known to those who asked for it.
            let link = &servers[primary].inward;
            let lost = link.replies_lost();
            link.damage(Damage::RepliesLost);
            eventually("a reply is lost", async || (link.replies_lost() > lost).then_some(())).await;
            let backup = view.backups().next().expect("one");
            let victim = if round % 3 == 1 { place(&servers, backup.as_str()) } else { primary };
            servers[victim].process.die();
            servers[primary].heal();
            cluster.restart(&mut servers[victim], &[]);
            view = cluster.pair(view.number.next()).await;
        }
        writers.get_on().await;
        let calls = writers.end().await;
        let log = cluster.client().get(LOG).await.expect("get").expect("there");
        once_each(&log, &calls);
    });
}

#[test]
fn a_restarted_primary_does_not_answer_from_memory() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let (s1, s2) = cluster.pair_of(&[]).await;
        let mut client = cluster.client();
        client.put("k", "v").await.expect("put");

        // Before anybody can have noticed.
        let address = s1.address.clone();
        s1.kill();
        let s1 = cluster.server_at(&address, &[]);
        let mut restarted = connect(&s1.address).await;
        eventually("the backup is primary, and the restarted server its backup", async || {
            assert_eq!(read(&mut restarted, "k").await, None, "a server without its memory answers");
            let view = cluster.report().await.view?;
            (view.primary.as_str() == s2.address && view.activated && view.backups().count() == 1)
                .then_some(())
        })
        .await;
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
        client.append("k", "w").await.expect("append");
        s2.kill();
        assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"vw"[..]), "by state transfer");
    });
}

async fn partitioned_primary_is_silent(reads: &str) {
    let mut cluster = Cluster::start(&[]);
    let args = ["--reads", reads];
    let old = cluster.wired(&args).await;
    cluster.settled(&old.process, 0).await;
    let new = cluster.wired(&args).await;
    cluster.settled(&old.process, 1).await;
    let mut client = cluster.client();
    client.put("k", "old").await.expect("put");
    let mut direct = old.directly().await;
    assert_eq!(read(&mut direct, "k").await, Some(Some(b"old".into())), "as long as it is the primary");
    let opened = direct.open_session(OpenSessionRequest::default()).await.expect("answered").into_inner();
    let Some(open_session_response::Result::Opened(opened)) = opened.result else { panic!("{opened:?}") };

    // From the view service, from the backup, from whoever does not ask it directly.
    old.outward.damage(Damage::BlackHole);
    new.inward.damage_for(old.process.id(), Damage::BlackHole);
    old.inward.damage(Damage::BlackHole);
    cluster.settled(&new.process, 0).await;
    client.put("k", "new").await.expect("put");

    assert_eq!(read(&mut direct, "k").await, None, "{reads}: a replaced primary answers a read");
    assert!(!put(&mut direct, opened.session, 1, "k", "lost").await, "{reads}: and acknowledges a write");
    assert_eq!(read(&mut direct, "k").await, None, "{reads}: and what it wrote");

    old.heal();
    new.heal();
    cluster.settled(&new.process, 1).await;
    assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"new"[..]));
    new.process.kill();
    assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"new"[..]), "it kept what it wrote");
}

#[test]
fn a_partitioned_primary_answers_neither_reads_nor_writes() {
    run(partitioned_primary_is_silent("confirm"));
}

#[test]
fn a_partitioned_primary_with_a_lease_answers_neither_reads_nor_writes() {
    run(partitioned_primary_is_silent("lease"));
}

#[test]
fn reads_are_served_while_the_view_service_is_slow() {
    run(async {
        let mut cluster = Cluster::start(&[]);
        let s1 = cluster.wired(&[]).await;
        cluster.settled(&s1.process, 0).await;
        let s2 = cluster.wired(&[]).await;
        let before = cluster.settled(&s1.process, 1).await;
        let asked = Proxy::to(&cluster.view_service.address).await;
        let mut options = cluster.options();
        options.view_service = vec![asked.address.clone()];
        let mut client = Client::new(options, SystemClock);
        client.put("k", "v").await.expect("put");

        // Slow for the servers, and for clients slower than any deadline.
        let late = Damage::Slow(Duration::from_millis(300));
        s1.outward.damage(late);
        s2.outward.damage(late);
        asked.damage(Damage::BlackHole);
        let until = Instant::now() + SURELY_DEAD;
        while Instant::now() < until {
            assert_eq!(client.get("k").await.expect("get").as_deref(), Some(&b"v"[..]));
            client.put("k", "v").await.expect("put");
        }
        let after = cluster.report().await.view.expect("one");
        assert_eq!((after.number, after.primary), (before.number, before.primary), "slow is not dead");
    });
}

/// The dead interval of a view service that must not wait for it.
const LONG: &str = "6s";
/// Surely sooner than that.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A process that ends is noticed by its connections: nobody waits until its silence is long enough. All
/// servers are started again one after the other, by force or as an operator does; no call fails.
#[test]
fn servers_that_end_are_replaced_long_before_they_are_missed() {
    run(async {
        let mut cluster = Cluster::start(&["--dead-after", LONG]);
        let folder = |number: usize| cluster.dir().join(format!("s{number}")).to_string_lossy().into_owned();
        let folders = [folder(1), folder(2)];
        let data = |server: usize| ["--data-dir".to_owned(), folders[server].clone()];
        let args = [data(0), data(1)];
        let args = args.each_ref().map(|args| args.each_ref().map(String::as_str));
        let first = cluster.server(&args[0]);
        cluster.settled(&first, 0).await;
        let second = cluster.server(&args[1]);
        cluster.settled(&first, 1).await;
        let addresses = [first.address.clone(), second.address.clone()];
        let mut servers = [Some(first), Some(second)];
        let writers = Writers::start(&cluster, 4, Write::Appends);
        writers.get_on().await;
        for (round, signal) in
            [Signal::KILL, Signal::TERM, Signal::TERM, Signal::KILL].into_iter().enumerate()
        {
            let (primary, other) = (round % 2, 1 - round % 2);
            let mut ended = servers[primary].take().expect("it runs");
            let began = Instant::now();
            ended.end(signal).await;
            writers.get_on().await;
            let took = began.elapsed();
            assert!(took < AT_ONCE, "{signal:?} of the primary: {took:?}");
            servers[primary] = Some(cluster.server_at(&addresses[primary], &args[primary]));
            cluster.settled(servers[other].as_ref().expect("it runs"), 1).await;
        }
        let calls = writers.end().await;
        let log = cluster.client().get(LOG).await.expect("a get").expect("it was appended to");
        once_each(&log, &calls);
    });
}
