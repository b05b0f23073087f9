//! The clients of a run: each executes its script with the client that production uses, and everything it
//! asked and was told is recorded.
//!
//! Until the heal an operation may fail: that is what deadlines are for. After it a client gets a long
//! deadline, and is otherwise the client it was, with its view, session, connections and failures. What it
//! begins once the cluster has had time to recover must succeed. At the end of its script, and after the
//! heal, it makes one update of each kind, each until it is answered, and reads one of them back. At last a
//! fresh client, the reader, reads every key until it is told a value, and then does the same.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pbkv::{
    client::{Client, ClientError, ClientOptions},
    options::Limits,
    protocol::{
        command::mod_revision,
        identity::{Generation, OpNumber},
    },
};
use testbed::{
    data::{
        node::NodeIndex,
        outcome::{CLIENT_ENDED, DATA_LOST, INVALID},
    },
    world::now,
};

use crate::{
    bound::{End, World},
    store::{
        hardware::Clock,
        observe,
        operation::{Input, Output, Told},
        script::{self, Action, Asked, Seen, Step},
        setup::Calls,
    },
};

/// The deadline of a client after the heal.
const DEADLINE_MAX: Duration = Duration::from_secs(10);

/// The pause between two attempts of what must succeed.
const INSIST_PAUSE: Duration = Duration::from_millis(100);

/// The pause between two calls of light use.
const LINGER_PAUSE: Duration = Duration::from_millis(400);

/// How often a client that is at the end of its script looks whether everything is healed.
const HEAL_PAUSE: Duration = Duration::from_millis(1);

struct Caller {
    world: Arc<World>,
    node: NodeIndex,
    deadline: Duration,
    client: Client<Clock>,
    /// Values written after the script.
    written: u64,
}

impl Caller {
    fn new(world: Arc<World>, node: NodeIndex, deadline: Duration) -> Self {
        let client = Self::client(&world, node, deadline);
        Self { world, node, deadline, client, written: 0 }
    }

    fn client(world: &World, node: NodeIndex, deadline: Duration) -> Client<Clock> {
        let cluster = &world.plan.cluster;
        let mut options = ClientOptions { deadline, ..ClientOptions::new(world.own.nodes.view_service()) };
        options.unary = cluster.calls == Calls::Unary;
        options.together_bytes_max = cluster.together_bytes.unwrap_or(options.together_bytes_max);
        let client = Client::new(options, Clock(world.clock(node)));
        if cluster.calls == Calls::Shared { world.own.in_one_process(client) } else { client }
    }

    /// Gives the client a long deadline.
    fn be_patient(&mut self) {
        self.deadline = DEADLINE_MAX;
        self.client.set_deadline(DEADLINE_MAX);
    }

    /// The client comes back, after it ended without a word, as one that knows nothing.
    fn restart(&mut self) {
        self.client = Self::client(&self.world, self.node, self.deadline);
        observe::client_ended(&mut self.world.observer(), self.node);
    }

    /// Calls until it is answered. Each attempt is an operation of its own, and writes a value of its own.
    async fn insist(&mut self, input: impl Fn(Bytes) -> Input) -> Input {
        loop {
            self.written += 1;
            let value = format!("{}.after{},", self.world.nodes.name(self.node), self.written);
            let input = input(value.into());
            if let (End::Returned { .. }, _) = self.call(input.clone().into()).await {
                return input;
            }
            madsim::time::sleep(INSIST_PAUSE).await;
        }
    }

    /// One update of each kind: on a key of its own, but for the append, which destroys no evidence, to a
    /// shared one.
    async fn update_everything(&mut self, shared: Option<Bytes>) {
        let key: Bytes = format!("after-{}", self.world.nodes.name(self.node)).into();
        let shared = shared.unwrap_or_else(|| key.clone());
        let put = self.insist(|value| Input::Put { key: key.clone(), value }).await;
        let Input::Put { value: put, .. } = put else { unreachable!("it is what was asked") };
        self.insist(|new| Input::CompareAndSwap { key: key.clone(), expected: Some(put.clone()), new }).await;
        self.insist(|value| Input::Append { key: shared.clone(), value }).await;
        self.insist(|_| Input::Get { key: key.clone() }).await;
        self.insist(|_| Input::Delete { key: key.clone() }).await;
    }

    async fn call(&mut self, asked: Asked) -> (End, Option<Told>) {
        self.call_until(asked, None).await
    }

    /// Calls, and ends at a time if there is no answer by then.
    async fn call_until(&mut self, asked: Asked, ends_at: Option<Duration>) -> (End, Option<Told>) {
        let operation = observe::called(&mut self.world.observer(), now(), self.node, asked.clone());
        let known = self.client.generation();
        self.world.observer().detail(operation).generation = known.number;
        let result = match ends_at {
            None => self.execute(asked).await,
            Some(ends_at) => {
                tokio::select! {
                    biased;
                    result = self.execute(asked) => result,
                    () = madsim::time::sleep(ends_at.saturating_sub(now())) => Err(ended()),
                }
            }
        };
        self.ends(operation, known, result)
    }

    /// Reads all pages of a scan. Every key of the plan that it is about counts as a Get, called together
    /// with the others and answered by the page in which its place is. A page as a whole is judged when it
    /// comes.
    async fn scan(&mut self, step: &Step, ends_at: Option<Duration>, seen: &mut Seen) {
        let mut scan = step.scan();
        let keys = script::keys(&self.world.plan);
        let mut open: Vec<(Bytes, usize)> = Vec::new();
        for key in keys.into_iter().filter(|key| key.starts_with(&scan.prefix)) {
            let asked = Asked::from(Input::Get { key: key.clone() });
            let operation = observe::called(&mut self.world.observer(), now(), self.node, asked);
            self.world.observer().detail(operation).scanned = true;
            self.world.observer().detail(operation).generation = self.client.generation().number;
            open.push((key, operation));
        }
        while !open.is_empty() {
            let known = self.client.generation();
            let floor = observe::page_called(&self.world.observer());
            let result = match ends_at {
                None => self.client.scan(&scan).await,
                Some(ends_at) => {
                    tokio::select! {
                        biased;
                        result = self.client.scan(&scan) => result,
                        () = madsim::time::sleep(ends_at.saturating_sub(now())) => Err(ended()),
                    }
                }
            };
            let page = match result {
                Ok(page) => page,
                Err(error) => {
                    if let ClientError::Invalid(why) = &error {
                        observe::page_refused(&mut self.world.observer(), now(), self.node, &scan, why);
                    }
                    if matches!(error, ClientError::DataLost { .. }) {
                        *seen = Seen::default();
                    }
                    for (_, operation) in open {
                        self.ends(operation, known, Err(error.clone()));
                    }
                    return;
                }
            };
            let generation = self.client.generation().number;
            observe::page_came(
                &mut self.world.observer(),
                now(),
                self.node,
                (floor, generation),
                &scan,
                &page,
            );
            let last = page.keys.last().filter(|_| page.more).map(|listed| listed.key.clone());
            let is_later = |key: &Bytes| last.as_ref().is_some_and(|last| key > last);
            let (later, answered) = open.into_iter().partition(|(key, _)| is_later(key));
            open = later;
            for (key, operation) in answered {
                let found = page.keys.iter().find(|listed| listed.key == key);
                let modified = found.map_or(OpNumber(0), |listed| listed.mod_revision);
                let told = Told { revision: page.revision, found: Some(modified) };
                let output = Output::Value(found.and_then(|listed| listed.value.clone()));
                seen.learn(&Input::Get { key }, &output, told);
                self.ends(operation, known, Ok((output, told)));
            }
            scan.go_on(&page);
        }
    }

    /// An operation ends with this result; its client knew a generation when it called.
    fn ends(
        &self,
        operation: usize,
        known: Generation,
        result: Result<(Output, Told), ClientError>,
    ) -> (End, Option<Told>) {
        let at = now();
        let is_gone = matches!(result, Err(ClientError::DataLost { .. }));
        let generation = if is_gone { known } else { self.client.generation() };
        self.world.observer().detail(operation).generation = generation.number;
        let (end, told) = match result {
            Ok((output, told)) => (End::Returned { at, output }, Some(told)),
            Err(ClientError::Unknown { why }) => (End::Unknown { at, why }, None),
            // It may have been executed in the generation that was given up.
            Err(error @ ClientError::DataLost { .. }) => {
                (End::Unknown { at, why: format!("{DATA_LOST}{error}") }, None)
            }
            Err(error @ (ClientError::Invalid(_) | ClientError::ValueTooLarge { .. })) => {
                (End::NotExecuted { at, why: format!("{INVALID}{error}") }, None)
            }
            Err(error) => (End::NotExecuted { at, why: error.to_string() }, None),
        };
        if !self.world.observer().is_stopped() {
            self.world.observer().detail(operation).told = told;
        }
        self.world.returned(self.node, operation, end.clone());
        (end, told)
    }

    async fn execute(&mut self, asked: Asked) -> Result<(Output, Told), ClientError> {
        let client = &mut self.client;
        let Asked { input, expected_revision } = asked;
        Ok(match input {
            Input::Get { key } => {
                let found = client.find(key).await?;
                let told = Told { revision: found.revision, found: Some(mod_revision(found.held.as_ref())) };
                (Output::Value(found.held.map(|held| held.value)), told)
            }
            Input::Put { key, value } => {
                (Output::Done, Told { revision: client.put(key, value).await?, found: None })
            }
            Input::Append { key, value } => {
                (Output::Done, Told { revision: client.append(key, value).await?, found: None })
            }
            Input::Delete { key } => {
                let deleted = client.delete(key).await?;
                let output = Output::Deleted { existed: Some(deleted.existed) };
                (output, Told { revision: deleted.revision, found: None })
            }
            Input::CompareAndSwap { key, expected, new } => {
                let swap = match expected_revision {
                    Some(revision) => client.compare_and_swap_revision(key, revision, new).await?,
                    None => client.compare_and_swap(key, expected, new).await?,
                };
                let found = Some(mod_revision(swap.previous.as_ref()));
                let previous = Some(swap.previous.map(|held| held.value));
                let output = Output::Swapped { swapped: swap.swapped, previous };
                (output, Told { revision: swap.revision, found })
            }
        })
    }
}

/// What becomes of a call whose client ends.
fn ended() -> ClientError {
    ClientError::Unknown { why: CLIENT_ENDED.into() }
}

/// Executes a client's script to its end.
pub async fn run(world: Arc<World>, node: NodeIndex) {
    let place = node - world.nodes.clients().start;
    let script = &world.plan.clients[place];
    let deadline = Duration::from_millis(script.deadline_ms);
    let mut caller = Caller::new(world.clone(), node, deadline);
    let mut seen = Seen::default();
    for (index, line) in script.script.iter().enumerate() {
        let step = Step::parse(line).expect("plans are validated before they are executed");
        let wait = step.at.saturating_sub(now());
        if !wait.is_zero() {
            madsim::time::sleep(wait).await;
        }
        if world.healed().is_some() {
            caller.be_patient();
        }
        let next = script.script.get(index + 1).and_then(|line| Step::parse(line).ok());
        let ends_at = next.filter(|next| next.action == Action::Restart).map(|next| next.at);
        if step.action == Action::Scan {
            caller.scan(&step, ends_at, &mut seen).await;
            continue;
        }
        let value = step.value(&format!("{}.{}", world.nodes.name(node), index + 1));
        let Some(asked) = seen.asked(&step, value) else {
            if step.action == Action::Restart {
                caller.restart();
                seen = Seen::default();
            } else {
                // A session that could not be closed ends by itself.
                let _ = caller.client.close().await;
            }
            continue;
        };
        match caller.call_until(asked.clone(), ends_at).await {
            (End::Returned { output, .. }, Some(told)) => seen.learn(&asked.input, &output, told),
            // What was seen is gone, and its revisions mean nothing any more.
            (End::Unknown { why, .. }, _) if why.starts_with(DATA_LOST) => seen = Seen::default(),
            _ => {}
        }
    }
    madsim::time::sleep(Duration::from_millis(world.plan.faults_ms).saturating_sub(now())).await;
    while world.healed().is_none() {
        madsim::time::sleep(HEAL_PAUSE).await;
    }
    caller.be_patient();
    // What has no room for more, or is no key, would be refused for ever.
    let is_limited = world.plan.cluster.limits() != Limits::default();
    let first = script.script.first().and_then(|line| Step::parse(line).ok()).filter(|_| !is_limited);
    caller.update_everything(first.map(|step| step.key)).await;
    world.finished(node);
}

/// Keeps the cluster in light use for a while: a few calls a second, on a key of its own.
pub async fn linger(world: Arc<World>, until: Duration) {
    let node = world.nodes.reader();
    let mut caller = Caller::new(world.clone(), node, DEADLINE_MAX);
    let key: Bytes = "linger".into();
    while now() < until {
        caller.insist(|value| Input::Put { key: key.clone(), value }).await;
        madsim::time::sleep(LINGER_PAUSE).await;
        caller.insist(|_| Input::Get { key: key.clone() }).await;
        madsim::time::sleep(LINGER_PAUSE).await;
    }
}

/// Reads every key until it is told a value; then makes updates, too.
pub async fn read_everything(world: Arc<World>, keys: Vec<Bytes>) {
    let node = world.nodes.reader();
    let mut caller = Caller::new(world.clone(), node, DEADLINE_MAX);
    for key in keys {
        caller.insist(|_| Input::Get { key: key.clone() }).await;
    }
    caller.update_everything(None).await;
    world.finished(node);
}
