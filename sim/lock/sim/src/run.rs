//! How it runs: production's server on the testbed's disk, and production's client.

use std::{io, sync::Arc, time::Duration};

use lock::{
    client::{Acquired, CallError, Client, Released},
    grants::Record,
    log::Log,
    server::LockServer,
    wire,
};
use testbed::{
    data::node::NodeIndex,
    hardware::disk::{Content, SimulatedDisk},
    world::{
        World,
        encoding::Type,
        script::{Answer, Caller},
        serve::{Lengths, Services},
        simulated::{Disks, Simulated},
    },
};

use super::{Ask, LockService, SERVER, Told};

/// What is on the disk.
#[derive(Clone, Debug, Default)]
pub struct Records(Vec<Record>);

impl Content for Records {
    type Write = Record;

    fn change(&mut self, record: Record) {
        self.0.push(record);
    }
}

struct DiskLog(SimulatedDisk<Records>);

impl Log for DiskLog {
    async fn load(&mut self) -> io::Result<Vec<Record>> {
        Ok(self.0.content().0)
    }

    async fn append(&mut self, record: &Record) -> io::Result<()> {
        self.0.persist(vec![record.clone()]).await
    }
}

impl Simulated for LockService {
    type Shared = Disks<Records>;

    type Caller = LockClient;

    const MESSAGES: &'static [Type] = &[
        Type::of::<wire::AcquireRequest>(),
        Type::of::<wire::AcquireResponse>(),
        Type::of::<wire::ReleaseRequest>(),
        Type::of::<wire::ReleaseResponse>(),
        Type::of::<wire::HolderRequest>(),
        Type::of::<wire::HolderResponse>(),
    ];

    async fn process(world: Arc<World<Self>>, node: NodeIndex, _life: u64) {
        let log = DiskLog(Disks::open(&world, node));
        let (server, run) = LockServer::open(log).await.expect("a disk can be read");
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
