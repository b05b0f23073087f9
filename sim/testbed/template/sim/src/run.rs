//! How it runs: the server of production on a simulated disk, and the client of production.

use std::{io, sync::Arc, time::Duration};

use my_counter::{
    client::{Client, Lost},
    server::{Log, Record, Server},
    wire::{self, counters_server::CountersServer},
};
use testbed::{
    data::node::NodeIndex,
    hardware::disk::{Content, SimulatedDisk},
    system::Access,
    world::{
        World,
        encoding::Type,
        script::{Answer, Caller},
        serve::{Lengths, Services},
        simulated::{Disks, Simulated},
    },
};

use super::{Ask, CounterService, SERVER};

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

impl Simulated for CounterService {
    type Shared = Disks<Records>;
    type Caller = CounterClient;

    const MESSAGES: &'static [Type] =
        &[Type::of::<wire::IncrementRequest>(), Type::of::<wire::ReadRequest>(), Type::of::<wire::Total>()];

    /// One life of the server: from its start to a crash.
    async fn process(world: Arc<World<Self>>, node: NodeIndex, _life: u64) {
        let log = DiskLog(Disks::open(&world, node));
        let (server, run) = Server::open(log).await.expect("a disk can be read");
        let services = Services::default().with(CountersServer::new(server));
        tokio::select! {
            biased;
            // Its drive failed.
            _ = run => world.look(),
            () = world.serve(node, services, Lengths::ANY) => {}
        }
    }
}

/// A client: production's.
pub struct CounterClient(Client);

impl Caller<CounterService> for CounterClient {
    fn new(world: &World<CounterService>, node: NodeIndex) -> Self {
        let address = format!("{}:{}", SERVER.0, SERVER.1);
        Self(Client::new(&address, world.nodes.name(node)).expect("it is an address"))
    }

    async fn call(&mut self, ask: &Ask, deadline: Duration) -> Answer<u64> {
        let told = match ask.verb.access {
            Access::Reads => self.0.read(&ask.counter, deadline).await,
            _ => self.0.increment(&ask.counter, deadline).await,
        };
        match told {
            Ok(total) => Answer::Returned(total),
            Err(Lost::Unknown(why)) => Answer::Unknown(why.message().into()),
            Err(Lost::NotExecuted(why)) => Answer::NotExecuted(why.message().into()),
        }
    }
}
