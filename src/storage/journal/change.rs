//! What a journal says: changes of a server's durable memory, one after another.
//!
//! [`Durable`] is what all of them make. A snapshot is said in pieces, so that a large one needs no memory of
//! its own; one that the log runs through is only named, since it can be computed.

use std::iter;

use crate::protocol::{
    command::Entry,
    identity::{Boot, DataId, Generation, OpNumber, Position, ServerId, ViewNumber},
    log::{Durable, Log, Write},
    store::{Cursor, Item, Snapshot, State},
};

/// How many bytes of a state are turned into changes in one go.
const PIECES_BYTES: usize = 64 << 10;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Who the server is.
    Server(ServerId),
    /// The number of a life.
    Boot(Boot),
    /// A new, empty store.
    Store {
        /// Its identity.
        data: DataId,
        /// Its generation.
        generation: Generation,
    },
    /// A view was adopted.
    ViewSeen(ViewNumber),
    /// The log goes on.
    Entry(Entry),
    /// The log ends before this operation.
    Truncate(OpNumber),
    /// The snapshot is the state after this operation of the log, which begins after it now.
    Checkpoint(Position),
    /// A piece of a state.
    Item(Item),
    /// The pieces that came last are the snapshot after this operation, and the log is empty.
    State(Position),
}

/// The changes that a write consists of.
pub fn of_write(write: Write) -> Box<dyn Iterator<Item = Change> + Send> {
    let change = match write {
        Write::Boot(boot) => Change::Boot(boot),
        Write::Data { data, generation } => Change::Store { data, generation },
        Write::ViewSeen(view) => Change::ViewSeen(view),
        Write::Entry(entry) => Change::Entry(entry),
        Write::Truncate(from) => Change::Truncate(from),
        Write::Checkpoint(snapshot) => Change::Checkpoint(snapshot.at),
        Write::Install(snapshot) => return Box::new(of_snapshot(snapshot)),
    };
    Box::new(iter::once(change))
}

/// The changes that make a memory out of nothing.
pub fn of_memory(server: ServerId, memory: Durable) -> impl Iterator<Item = Change> + Send {
    let Durable { boot, data, generation, view_seen, log } = memory;
    let store = data.map(|data| Change::Store { data, generation });
    let (snapshot, first) = (log.snapshot().clone(), log.base().op.next());
    let entries = (first.0..).map_while(move |op| log.entry(OpNumber(op)).cloned());
    iter::once(Change::Server(server))
        .chain((boot != Boot(0)).then_some(Change::Boot(boot)))
        .chain(store)
        .chain((view_seen != ViewNumber(0)).then_some(Change::ViewSeen(view_seen)))
        .chain(of_snapshot(snapshot))
        .chain(entries.map(Change::Entry))
}

fn of_snapshot(snapshot: Snapshot) -> impl Iterator<Item = Change> + Send {
    let Snapshot { at, state } = snapshot;
    items(state).map(Change::Item).chain(iter::once(Change::State(at)))
}

/// All that a state consists of.
pub fn items(state: State) -> impl Iterator<Item = Item> + Send {
    let mut cursor = Cursor::Start;
    let pieces = iter::from_fn(move || {
        let (items, next) = state.part(&cursor, PIECES_BYTES);
        let goes_on = cursor != Cursor::End;
        cursor = next;
        goes_on.then_some(items)
    });
    pieces.flatten()
}

/// Performs changes, one after another.
#[derive(Debug, Default)]
pub struct Replay {
    /// What they make.
    pub memory: Durable,
    /// Whose memory it is.
    pub server: Option<ServerId>,
    /// The pieces of a state so far.
    gathered: State,
}

impl Replay {
    /// Performs the next one.
    ///
    /// # Errors
    ///
    /// Why it cannot follow what came before.
    pub fn perform(&mut self, change: Change) -> Result<(), String> {
        let log = &self.memory.log;
        let write = match change {
            Change::Server(server) => {
                self.server = Some(server);
                return Ok(());
            }
            Change::Item(item) => {
                self.gathered.restore(item.detached());
                return Ok(());
            }
            Change::State(at) => {
                let state = std::mem::take(&mut self.gathered);
                Write::Install(Snapshot { at, state })
            }
            Change::Boot(boot) => Write::Boot(boot),
            Change::Store { data, generation } => Write::Data { data, generation },
            Change::ViewSeen(view) => Write::ViewSeen(view),
            Change::Entry(entry) => {
                let (at, end) = (entry.position, log.end());
                if at.op != end.op.next() || at.view < end.view {
                    return Err(format!("operation {at:?} cannot follow {end:?}"));
                }
                Write::Entry(entry.detached())
            }
            Change::Truncate(from) => {
                if from <= log.base().op {
                    return Err(format!("the log is cut before {from}, and begins after {:?}", log.base()));
                }
                Write::Truncate(from)
            }
            Change::Checkpoint(at) => Write::Checkpoint(checkpoint(log, at)?),
        };
        // What was gathered and never became a state belongs to a write that did not come to its end.
        self.gathered = State::default();
        self.memory.apply(write);
        Ok(())
    }
}

/// The state after the last operation of the log.
pub fn at_the_end(log: &Log) -> Snapshot {
    checkpoint(log, log.end()).expect("the log runs through its end")
}

/// The state after an operation of the log.
fn checkpoint(log: &Log, at: Position) -> Result<Snapshot, String> {
    if log.position(at.op) != Some(at) {
        return Err(format!("the log does not run through its snapshot {at:?}"));
    }
    let mut state = log.snapshot().state.clone();
    let entries = log.entries_from(OpNumber(0)).take_while(|entry| entry.position.op <= at.op);
    entries.for_each(|entry| _ = state.apply(entry));
    Ok(Snapshot { at, state })
}
