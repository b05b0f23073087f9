//! The one task that owns a protocol machine.
//!
//! It waits for input, a finished write or the machine's deadline, takes some of what is queued, steps the
//! machine through it, flushes, performs the effects (messages and answers at once, all changes of durable
//! memory gathered into one write), and gives way before it takes more. While the disk works the machine goes
//! on, so that a slow disk does not make the server look dead; the changes of that time form the next write.
//! That is group commit.
//!
//! Guarantees: one write is under way at a time and writes are in order; the clock is read after the inputs
//! of a batch were taken, so an input is never handled at a time before it arrived (leases rely on that); a
//! tick comes within one batch of its deadline however full the inbox is, unless the disk has no room; every
//! step passes the observer.

use std::{future, io, pin::Pin, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle};

use super::ServerError;
use crate::{
    channel,
    clock::Clock,
    protocol::{
        identity::WriteNumber,
        machine::{AT_ONCE, Garbage, Held, Machine, NEVER, Observer},
    },
    storage::{Progress, Storage},
};

/// Inputs handled before the effects are performed. Few, so that other servers, the network and the clients
/// are at work on the first part of a burst while the rest of it is handled here.
const BATCH_MAX: usize = 32;

/// Changes waiting for the disk beyond which the machine stands still: it takes no more input, nor does it
/// decide anything by the silence of those whom it does not hear.
const WRITES_WAITING_MAX: usize = 16_384;

/// The machine's hands: turns inputs into events, and effects into actions.
pub trait Port: Send + 'static {
    /// Whose hands.
    type Machine: Machine;
    /// What is queued for the machine.
    type Input: Send + 'static;
    /// A change of durable memory.
    type Write: Send + 'static;

    /// Turns an input into an event, noting who waits for the answer; nothing if it was for the port alone.
    fn admit(&mut self, now: Duration, input: Self::Input) -> Option<<Self::Machine as Machine>::Event>;

    /// Performs an effect at once; returns it if it is a write.
    fn perform(
        &mut self,
        now: Duration,
        effect: <Self::Machine as Machine>::Effect,
    ) -> Option<(WriteNumber, Vec<Self::Write>)>;

    /// What is held for others, now that all effects are performed.
    fn held(&self) -> Held {
        Held::default()
    }

    /// The event that reports a write and all before it as durable.
    fn persisted(number: WriteNumber) -> <Self::Machine as Machine>::Event;

    /// The event that reports a long write as under way and not standing still, if anybody wants to know.
    fn writing() -> Option<<Self::Machine as Machine>::Event> {
        None
    }
}

/// Runs a machine until nobody can give it input any more.
///
/// # Errors
///
/// If the storage fails: nothing may be promised after that.
pub async fn run<P, S, C, O>(
    mut machine: P::Machine,
    mut port: P,
    mut inbox: mpsc::Receiver<P::Input>,
    storage: S,
    clock: C,
    mut observer: O,
) -> io::Result<()>
where
    P: Port,
    S: Storage<Write = P::Write>,
    C: Clock,
    O: Observer<P::Machine>,
{
    let mut disk = Disk::new(storage);
    let mut inputs = Vec::with_capacity(BATCH_MAX);
    let mut effects = Vec::new();
    loop {
        let mut persisted = None;
        let deadline = machine.deadline();
        tokio::select! {
            biased;
            number = disk.written() => {
                persisted = number?;
                while inputs.len() < BATCH_MAX && disk.has_room() {
                    let Ok(input) = inbox.try_recv() else { break };
                    inputs.push(input);
                }
            }
            count = inbox.recv_many(&mut inputs, BATCH_MAX), if disk.has_room() => {
                if count == 0 {
                    return Ok(());
                }
            }
            () = clock.sleep_until(deadline), if disk.has_room() && deadline < NEVER => {}
        }

        let now = clock.now();
        let mut step = |machine: &mut P::Machine, event| {
            let before = effects.len();
            observer.before(now, machine, &event);
            machine.step(now, event, &mut effects);
            observer.after(now, machine, &effects[before..]);
        };
        if let Some(number) = persisted {
            step(&mut machine, P::persisted(number));
        }
        for input in inputs.drain(..) {
            if let Some(event) = port.admit(now, input) {
                step(&mut machine, event);
            }
        }
        if let Some(event) = P::writing().filter(|_| disk.has_advanced()) {
            step(&mut machine, event);
        }
        if machine.deadline() <= now {
            step(&mut machine, P::Machine::tick());
        }
        step(&mut machine, P::Machine::flush());

        for effect in effects.drain(..) {
            if let Some((number, writes)) = port.perform(now, effect) {
                disk.queue(number, writes);
            }
        }
        disk.start();
        observer.holds(&machine, port.held());
        if let Some(garbage) = machine.take_garbage() {
            tokio::spawn(free(garbage));
        }
        if machine.deadline() == AT_ONCE {
            clock.give_way().await;
        } else if !inbox.is_empty() {
            channel::give_way().await; // what was just said is to leave
        }
    }
}

/// Frees what takes long between everything else that is to be done.
async fn free(mut garbage: impl Garbage) {
    while garbage.free_part() {
        tokio::task::yield_now().await;
    }
}

/// The running task. Ends when dropped.
#[derive(Debug)]
pub struct Driver(JoinHandle<io::Result<()>>);

impl Driver {
    /// Starts a [`run`] on the current runtime.
    pub fn spawn(run: impl Future<Output = io::Result<()>> + Send + 'static) -> Self {
        Self(tokio::spawn(run))
    }

    /// Resolves only if the task had to end on its own.
    pub async fn failed(&mut self) -> ServerError {
        match (&mut self.0).await {
            Ok(Ok(())) => ServerError::Stopped("nobody can reach it any more".into()),
            Ok(Err(error)) => ServerError::Storage(error),
            Err(error) => ServerError::Stopped(error.to_string()),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Storage that works while others do: one write under way, the changes after it gathered for the next.
struct Disk<S: Storage> {
    /// Absent while it works.
    storage: Option<S>,
    /// The write that is under way; without a number, what is to be done between two of them.
    writing: Option<(Option<WriteNumber>, Writing<S>)>,
    waiting: Vec<S::Write>,
    waiting_number: Option<WriteNumber>,
    progress: Progress,
    /// How many steps of the write under way are known.
    steps: u64,
}

type Writing<S> = Pin<Box<dyn Future<Output = (S, io::Result<()>)> + Send>>;

impl<S: Storage> Disk<S> {
    fn new(storage: S) -> Self {
        let (waiting, waiting_number, progress) = (Vec::new(), None, storage.progress());
        Self { storage: Some(storage), writing: None, waiting, waiting_number, progress, steps: 0 }
    }

    /// Whether a write is under way of which more was done than when this was asked before.
    fn has_advanced(&mut self) -> bool {
        let steps = self.progress.steps();
        let is_more = std::mem::replace(&mut self.steps, steps) != steps;
        is_more && matches!(self.writing, Some((Some(_), _)))
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < WRITES_WAITING_MAX
    }

    fn queue(&mut self, number: WriteNumber, mut writes: Vec<S::Write>) {
        self.waiting.append(&mut writes);
        self.waiting_number = Some(number);
    }

    /// Starts writing what waits, unless a write is under way or nothing waits.
    fn start(&mut self) {
        let Some(number) = self.waiting_number else { return };
        let Some(mut storage) = self.storage.take() else { return };
        let writes = std::mem::take(&mut self.waiting);
        self.waiting_number = None;
        let writing = async move {
            channel::give_way().await;
            let result = storage.persist(writes).await;
            (storage, result)
        };
        self.writing = Some((Some(number), Box::pin(writing)));
    }

    /// Waits for the write that is under way, for ever if there is none; or until there is room again. May be
    /// dropped and called again.
    async fn written(&mut self) -> io::Result<Option<WriteNumber>> {
        loop {
            let Some((number, writing)) = &mut self.writing else { return future::pending().await };
            let number = *number;
            let (mut storage, result) = writing.await;
            self.writing = None;
            if let Some(number) = number {
                result?;
                let keeping_up = async move {
                    let result = storage.keep_up().await;
                    (storage, result)
                };
                self.writing = Some((None, Box::pin(keeping_up)));
                return Ok(Some(number));
            }
            self.storage = Some(storage);
            result?;
            let had_room = self.has_room();
            self.start();
            if !had_room {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests;
