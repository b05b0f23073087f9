//! How it runs: the server behind the testbed's relay, with a dump on disk before each answer, and its
//! client.

use std::{
    future::pending,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use madsim_etcd_client::{
    Client, Compare, CompareOp, Error, KvClient, PutOptions, Result, SimServer, Txn, TxnOp,
};
use testbed::{
    data::node::NodeIndex,
    hardware::disk::{Content, SimulatedDisk},
    world::{
        World,
        encoding::Type,
        script::{Answer, Caller},
        simulated::{Disks, Simulated},
    },
};
use tokio::sync::{Mutex, Notify};

use super::{Ask, Etcd, SERVER, Told};

/// Where the server listens, behind the relay.
const INSIDE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2380);

/// How long a lease is good for, in seconds.
const LEASE_SECONDS: i64 = 3;

/// How long a client waits after a connection broke, until its deadline at most. The fate of its call is
/// unknown, and the effort of judging grows with those.
const BACK_OFF: Duration = Duration::from_secs(1);

/// What `differ` compares with. No client writes it.
const NEVER: &str = "never";

/// What is on the disk: the last dump.
#[derive(Clone, Debug, Default)]
pub struct Dump(Option<String>);

impl Content for Dump {
    type Write = String;

    fn change(&mut self, dump: String) {
        self.0 = Some(dump);
    }
}

/// Saves the server's state.
struct Saver {
    disk: Mutex<SimulatedDisk<Dump>>,
    /// Answers that are to leave, and those of them whose state is on disk.
    asked: AtomicU64,
    saved: AtomicU64,
    failed: Notify,
}

impl Saver {
    /// Returns when all that the server did so far is on disk. Those who wait share a dump.
    async fn save(&self) {
        let own = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut disk = self.disk.lock().await;
        if self.saved.load(Ordering::Relaxed) >= own {
            return;
        }
        let all = self.asked.load(Ordering::Relaxed);
        let server = Client::connect([INSIDE.to_string()], None).await;
        let dump = server.expect("an address").dump().await.expect("it is on the same node");
        let is_new = disk.content().0.as_ref() != Some(&dump);
        if is_new && disk.persist(vec![dump]).await.is_err() {
            // Nothing is answered any more.
            self.failed.notify_one();
            return pending().await;
        }
        self.saved.store(all, Ordering::Relaxed);
    }
}

impl Simulated for Etcd {
    type Shared = Disks<Dump>;
    type Caller = EtcdClient;

    const MESSAGES: &'static [Type] = &[];

    async fn process(world: Arc<World<Self>>, node: NodeIndex, _life: u64) {
        let disk = Disks::open(&world, node);
        let server = match disk.content().0 {
            Some(dump) => SimServer::builder().load(dump),
            None => SimServer::builder(),
        };
        let (disk, failed) = (Mutex::new(disk), Notify::new());
        let saver = Arc::new(Saver { disk, asked: 0.into(), saved: 0.into(), failed });
        let answers = {
            let saver = saver.clone();
            move || {
                let saver = saver.clone();
                async move { saver.save().await }
            }
        };
        tokio::select! {
            biased;
            () = saver.failed.notified() => world.look(),
            ended = server.serve(INSIDE) => panic!("the server ended: {ended:?}"),
            () = world.relay(node, INSIDE, answers) => {}
        }
    }
}

/// A client.
#[derive(Default)]
pub struct EtcdClient {
    client: Option<Client>,
    /// The lease of the last `hold`.
    lease: i64,
    /// Whether the call under way has come to its write.
    writes: bool,
}

impl EtcdClient {
    async fn ask(&mut self, ask: &Ask) -> Result<Told> {
        if self.client.is_none() {
            self.client = Some(Client::connect([format!("{}:{}", SERVER.0, SERVER.1)], None).await?);
        }
        let client = self.client.as_ref().expect("it was just made");
        let (mut store, key, value) = (client.kv_client(), &*ask.key, &*ask.value);
        self.writes = !matches!(ask.verb.word, "get" | "swap" | "hold");
        match ask.verb.word {
            "put" => store.put(key, value, None).await.map(|_| Told::Done),
            "get" => read(&mut store, key).await.map(Told::Value),
            "delete" => store.delete(key, None).await.map(|answer| Told::Deleted(answer.deleted() > 0)),
            "swap" => {
                let Some(from) = read(&mut store, key).await? else { return Ok(Told::Value(None)) };
                self.writes = true;
                let is_same = Compare::value(key, CompareOp::Equal, &*from);
                let is_written = write_if(&mut store, is_same, key, value).await?;
                Ok(if is_written { Told::Swapped(from) } else { Told::Kept(from) })
            }
            "differ" => {
                let is_other = Compare::value(key, CompareOp::NotEqual, NEVER);
                let is_written = write_if(&mut store, is_other, key, value).await?;
                Ok(if is_written { Told::Done } else { Told::Refused })
            }
            verb => {
                if verb == "hold" {
                    self.lease = client.lease_client().grant(LEASE_SECONDS, None).await?.id();
                }
                self.writes = true;
                let options = PutOptions::new().with_lease(self.lease);
                store.put(key, value, Some(options)).await.map(|_| Told::Done)
            }
        }
    }
}

async fn read(store: &mut KvClient, key: &str) -> Result<Option<String>> {
    let answer = store.get(key, None).await?;
    Ok(answer.kvs().first().map(|entry| String::from_utf8_lossy(entry.value()).into_owned()))
}

async fn write_if(store: &mut KvClient, when: Compare, key: &str, value: &str) -> Result<bool> {
    let put = TxnOp::put(key, value, None);
    Ok(store.txn(Txn::new().when([when]).and_then([put])).await?.succeeded())
}

impl Caller<Etcd> for EtcdClient {
    fn new(_: &World<Etcd>, _: NodeIndex) -> Self {
        Self::default()
    }

    async fn call(&mut self, ask: &Ask, deadline: Duration) -> Answer<Told> {
        self.writes = false;
        let answer = async {
            match self.ask(ask).await {
                Ok(told) => Answer::Returned(told),
                // It refused, or was not reached.
                Err(why @ Error::GRpcStatus(_)) => Answer::NotExecuted(why.to_string()),
                Err(Error::IoError(why)) if why.kind() == ErrorKind::ConnectionRefused => {
                    Answer::NotExecuted(why.to_string())
                }
                Err(why) => {
                    tokio::time::sleep(BACK_OFF).await;
                    Answer::Unknown(why.to_string())
                }
            }
        };
        let answer = tokio::time::timeout(deadline, answer).await;
        match answer.unwrap_or_else(|_| Answer::Unknown("no answer in time".into())) {
            Answer::Unknown(why) if ask.verb.word != "get" && !self.writes => Answer::NotExecuted(why),
            answer => answer,
        }
    }
}
