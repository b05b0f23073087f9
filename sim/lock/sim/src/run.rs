//! How it runs: production's server and log in the testbed's folder, and production's client.

use std::{fmt, io, sync::Arc, time::Duration};

use lock::{
    client::{Acquired, CallError, Client, Released},
    disk::Disk,
    file::FileLog,
    server::LockServer,
    wire,
};
use testbed::{
    data::node::NodeIndex,
    hardware::files::SimulatedFolder,
    world::{
        World,
        drive::is_failure,
        encoding::Type,
        folders::Folders,
        script::{Answer, Caller},
        serve::{Lengths, Services},
        simulated::Simulated,
    },
};

use super::{Ask, LockService, SERVER, Told};

/// The name of the log's file.
const LOG: &str = "grants.log";

/// The log's file, in the testbed's folder.
struct SimulatedFile(SimulatedFolder);

impl fmt::Display for SimulatedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LOG)
    }
}

impl Disk for SimulatedFile {
    async fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.until_read().await?;
        if self.0.names()?.contains(&LOG.into()) { self.0.read(LOG) } else { Ok(Vec::new()) }
    }

    async fn write_at(&mut self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        self.0.write_at(LOG, offset, bytes).await
    }

    async fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(LOG, length)
    }

    async fn remove(&mut self) -> io::Result<()> {
        if self.0.names()?.contains(&LOG.into()) { self.0.remove(LOG) } else { Ok(()) }
    }

    async fn sync(&mut self) -> io::Result<()> {
        self.0.sync(LOG).await
    }

    async fn sync_name(&mut self) -> io::Result<()> {
        self.0.sync_names().await
    }
}

impl Simulated for LockService {
    type Shared = Folders;

    type Caller = LockClient;

    const MESSAGES: &'static [Type] = &[
        Type::of::<wire::AcquireRequest>(),
        Type::of::<wire::AcquireResponse>(),
        Type::of::<wire::ReleaseRequest>(),
        Type::of::<wire::ReleaseResponse>(),
        Type::of::<wire::HolderRequest>(),
        Type::of::<wire::HolderResponse>(),
    ];

    fn parts_of_a_write(_node: NodeIndex) -> u64 {
        // Of a new file its contents are synced, and then its name.
        2
    }

    fn accesses_of_a_start(_node: NodeIndex) -> u64 {
        3
    }

    async fn process(world: Arc<World<Self>>, node: NodeIndex, _life: u64) {
        let log = FileLog::new(SimulatedFile(Folders::open(&world, node)));
        let (server, run) = match LockServer::open(log).await {
            Ok(opened) => opened,
            Err(error) if is_failure(&error) => return world.look(),
            Err(error) => panic!("what a crash or a loss of power left is not used: {error}"),
        };
        let services = Services::default().with(wire::lock_server::LockServer::new(server));
        tokio::select! {
            biased;
            // Its drive failed.
            _ = run => world.look(),
            () = world.serve(node, services, Lengths::ANY) => {}
        }
    }
}

/// A client: production's.
pub struct LockClient(Client);

impl Caller<LockService> for LockClient {
    fn new(_: &World<LockService>, _: NodeIndex) -> Self {
        let address = format!("{}:{}", SERVER.0, SERVER.1);
        Self(Client::new(&address, Duration::ZERO).expect("it is an address"))
    }

    async fn call(&mut self, ask: &Ask, deadline: Duration) -> Answer<Told> {
        let (lock, owner) = (&*ask.lock, &*ask.owner);
        self.0.set_deadline(deadline);
        let told = match ask.verb.word {
            "acquire" => self.0.acquire(lock, owner).await.map(|acquired| match acquired {
                Acquired::Granted { .. } => Told::Granted,
                Acquired::Held { .. } => Told::Held,
            }),
            "release" => self.0.release(lock, owner).await.map(|released| match released {
                Released::Released => Told::Released,
                Released::NotYours { .. } => Told::NotYours,
            }),
            _ => self.0.holder(lock).await.map(|lock| Told::Holder(lock.owner)),
        };
        match told {
            Ok(told) => Answer::Returned(told),
            Err(CallError::Unknown(why)) => Answer::Unknown(why),
            Err(CallError::NotExecuted(why)) => Answer::NotExecuted(why),
        }
    }
}

#[cfg(test)]
mod tests;
