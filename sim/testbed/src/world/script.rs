//! Clients that work through their scripts, for systems whose clients do nothing else.
//!
//! Until the heal a call may fail: that is what deadlines are for. After it a client gets a long deadline,
//! and is otherwise the client it was, with its connections and failures. At the end of its script, and after
//! the heal, it makes the calls of [`System::finally`](crate::system::System::finally), each until it is
//! answered. At last a fresh client, the reader, makes those of [`System::look`](crate::system::System::look)
//! in the same way.

use std::{sync::Arc, time::Duration};

use crate::{
    data::{line, node::NodeIndex, outcome::End},
    world::{World, now, simulated::Simulated},
};

/// The deadline of a client after the heal.
const DEADLINE_MAX: Duration = Duration::from_secs(10);

/// The pause between two attempts of what must succeed.
const INSIST_PAUSE: Duration = Duration::from_millis(100);

/// The pause between two calls of light use.
const LINGER_PAUSE: Duration = Duration::from_millis(400);

/// How often a client that is at the end of its script looks whether everything is healed.
const HEAL_PAUSE: Duration = Duration::from_millis(1);

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<O> {
    /// It was answered.
    Returned(O),
    /// It may have taken effect, may still do so, or never; and what the client said.
    Unknown(String),
    /// It is proved that it was not and will not be executed; and what the client said.
    NotExecuted(String),
}

/// What a client makes its calls with: the system's own client library.
pub trait Caller<S: Simulated>: Send + Sized + 'static {
    /// A client at a node, before its first call.
    fn new(world: &World<S>, node: NodeIndex) -> Self;

    /// Makes a call. It ends about when its deadline has passed, at the latest.
    fn call(
        &mut self,
        input: &S::Input,
        deadline: Duration,
    ) -> impl Future<Output = Answer<S::Output>> + Send;
}

/// For a system whose clients do more than to work through their scripts. There is none of it.
#[derive(Clone, Copy, Debug)]
pub enum NoCaller {}

impl<S: Simulated> Caller<S> for NoCaller {
    fn new(_: &World<S>, _: NodeIndex) -> Self {
        panic!("a system without a caller says itself what its clients do")
    }

    async fn call(&mut self, _: &S::Input, _: Duration) -> Answer<S::Output> {
        match *self {}
    }
}

struct Script<S: Simulated> {
    world: Arc<World<S>>,
    node: NodeIndex,
    caller: S::Caller,
    deadline: Duration,
    /// Calls so far: what a call writes is made unique by it.
    calls: u64,
}

impl<S: Simulated> Script<S> {
    fn new(world: Arc<World<S>>, node: NodeIndex, deadline: Duration) -> Self {
        let caller = S::Caller::new(&world, node);
        Self { world, node, caller, deadline, calls: 0 }
    }

    /// Makes a call; returns whether it was answered.
    async fn call(&mut self, words: &str) -> bool {
        self.calls += 1;
        let name = self.world.nodes.name(self.node).clone();
        let unique = format!("{name}.{}", self.calls);
        let input = S::parse(words, &name, &unique).expect("plans are validated before they are executed");
        let asked = (input.clone(), S::Detail::default());
        let line = || format!("calls {words}");
        let operation = self.world.observer().called(now(), self.node, asked, line);
        let answer = self.caller.call(&input, self.deadline).await;
        let at = now();
        let end = match answer {
            Answer::Returned(output) => End::Returned { at, output },
            Answer::Unknown(why) => End::Unknown { at, why },
            Answer::NotExecuted(why) => End::NotExecuted { at, why },
        };
        let is_answered = matches!(end, End::Returned { .. });
        self.world.returned(self.node, operation, end);
        is_answered
    }

    /// Calls until it is answered. Each attempt is an operation of its own.
    async fn insist(&mut self, words: &str) {
        while !self.call(words).await {
            madsim::time::sleep(INSIST_PAUSE).await;
        }
    }
}

/// Executes a client's script to its end, and what it does after the heal.
pub async fn run<S: Simulated>(world: Arc<World<S>>, node: NodeIndex) {
    let client = &world.plan.clients[node - world.nodes.clients().start];
    let deadline = Duration::from_millis(client.deadline_ms);
    let mut script = Script::new(world.clone(), node, deadline);
    for line in &client.script {
        let at = line::time(line).expect("plans are validated before they are executed");
        let wait = at.saturating_sub(now());
        if !wait.is_zero() {
            madsim::time::sleep(wait).await;
        }
        if world.healed().is_some() {
            script.deadline = DEADLINE_MAX;
        }
        script.call(line::words(line)).await;
    }
    madsim::time::sleep(Duration::from_millis(world.plan.faults_ms).saturating_sub(now())).await;
    while world.healed().is_none() {
        madsim::time::sleep(HEAL_PAUSE).await;
    }
    script.deadline = DEADLINE_MAX;
    for words in S::finally(&world.plan, world.nodes.name(node)) {
        script.insist(&words).await;
    }
    world.finished(node);
}

/// Looks at everything, as a fresh client.
pub async fn look<S: Simulated>(world: Arc<World<S>>) {
    let node = world.nodes.reader();
    let mut script = Script::new(world.clone(), node, DEADLINE_MAX);
    for words in S::look(&world.plan) {
        script.insist(&words).await;
    }
    world.finished(node);
}

/// Keeps the system in light use until a time: the reader looks at everything, again and again.
pub async fn linger<S: Simulated>(world: Arc<World<S>>, until: Duration) {
    let node = world.nodes.reader();
    let mut script = Script::new(world.clone(), node, DEADLINE_MAX);
    let lines = S::look(&world.plan);
    while now() < until && !lines.is_empty() {
        for words in &lines {
            script.insist(words).await;
            madsim::time::sleep(LINGER_PAUSE).await;
        }
    }
}
