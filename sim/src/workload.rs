//! The clients of a run: each executes its script with the client that production uses, and everything it
//! asked and was told is recorded.
//!
//! Until the heal an operation may fail: that is what deadlines are for. After it a client gets the longest
//! deadline its sessions allow, and what it begins once the cluster has had time to recover must succeed.
//! At the end a fresh client, the reader, reads every key until it is told a value.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pbkv::client::{Client, ClientError, ClientOptions};

use crate::{
    clock::SimulatedClock,
    network::NodeIndex,
    outcome::{End, Input, Output},
    script::{Action, Seen, Step},
    world::{World, now},
};

/// The longest deadline of a client after the heal, where its sessions last long enough.
const DEADLINE_MAX: Duration = Duration::from_secs(10);

/// The pause of the reader between two attempts.
const READER_PAUSE: Duration = Duration::from_millis(100);

struct Caller {
    world: Arc<World>,
    node: NodeIndex,
    client: Client<SimulatedClock>,
    deadline: Duration,
}

impl Caller {
    fn new(world: Arc<World>, node: NodeIndex, deadline: Duration) -> Self {
        let client = Self::client(&world, node, deadline);
        Self { world, node, client, deadline }
    }

    fn client(world: &World, node: NodeIndex, deadline: Duration) -> Client<SimulatedClock> {
        let session_ttl = Duration::from_millis(world.scenario.cluster.session_ttl_ms);
        let mut options = ClientOptions::new(world.nodes.view_service());
        options.session_ttl = session_ttl;
        options.deadline = deadline.min(session_ttl / 2);
        Client::new(options, SimulatedClock::new(world.deviation(node)))
    }

    /// Gives the client a longer deadline. It forgets its session by that.
    fn be_patient(&mut self) {
        if self.deadline < DEADLINE_MAX {
            self.deadline = DEADLINE_MAX;
            self.client = Self::client(&self.world, self.node, DEADLINE_MAX);
        }
    }

    async fn call(&mut self, input: Input) -> End {
        let operation = self.world.observer().called(now(), self.node, input.clone());
        let result = self.execute(input).await;
        let at = now();
        let end = match result {
            Ok(output) => End::Returned { at, output },
            Err(ClientError::Unknown { why }) => End::Unknown { at, why },
            Err(error) => End::NotExecuted { at, why: error.to_string() },
        };
        self.world.returned(self.node, operation, end.clone());
        end
    }

    async fn execute(&mut self, input: Input) -> Result<Output, ClientError> {
        let client = &mut self.client;
        Ok(match input {
            Input::Get { key } => Output::Value(client.get(key).await?),
            Input::Put { key, value } => {
                client.put(key, value).await?;
                Output::Done
            }
            Input::Append { key, value } => {
                client.append(key, value).await?;
                Output::Done
            }
            Input::Delete { key } => Output::Deleted { existed: Some(client.delete(key).await?) },
            Input::CompareAndSwap { key, expected, new } => {
                let swap = client.compare_and_swap(key, expected, new).await?;
                Output::Swapped { swapped: swap.swapped, previous: Some(swap.previous) }
            }
        })
    }
}

/// Executes a client's script to its end.
pub async fn run(world: Arc<World>, node: NodeIndex) {
    let place = node - world.nodes.clients().start;
    let script = &world.scenario.clients[place];
    let deadline = Duration::from_millis(script.deadline_ms);
    let mut caller = Caller::new(world.clone(), node, deadline);
    let mut seen = Seen::default();
    for (index, line) in script.script.iter().enumerate() {
        let step = Step::parse(line).expect("scenarios are validated before they are executed");
        let wait = step.at.saturating_sub(now());
        if !wait.is_zero() {
            madsim::time::sleep(wait).await;
        }
        if world.healed().is_some() {
            caller.be_patient();
        }
        let value = match step.action {
            Action::Get | Action::Delete => Bytes::new(),
            Action::Put | Action::Append | Action::CompareAndSwap => {
                format!("{}.{},", world.nodes.name(node), index + 1).into()
            }
        };
        let input = seen.input(&step, value);
        if let End::Returned { output, .. } = caller.call(input.clone()).await {
            seen.learn(&input, &output);
        }
    }
    world.finished(node);
}

/// Reads every key until it is told a value.
pub async fn read_everything(world: Arc<World>, keys: Vec<Bytes>) {
    let node = world.nodes.reader();
    let mut caller = Caller::new(world.clone(), node, DEADLINE_MAX);
    for key in keys {
        while !matches!(caller.call(Input::Get { key: key.clone() }).await, End::Returned { .. }) {
            madsim::time::sleep(READER_PAUSE).await;
        }
    }
    world.finished(node);
}
