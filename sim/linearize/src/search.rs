//! The search: for objects and histories that no direct method decides.
//!
//! A depth-first search over **configurations**, pairs of the set of operations linearized so far and the state they
//! lead to (Wing and Gong 1993, Lowe 2017). From a configuration, any operation may come next that was called before
//! the first return of an operation not yet linearized. What makes it fast:
//!
//! - *Observers at once.* An operation that changes no state is linearized the moment it is legal, without a branch:
//!   moving it to the front of any linearization disturbs nobody.
//! - *Configurations are remembered with their state*, after the observers, in 16 bytes: a sum of random words (Zobrist
//!   1970) stands for the set. Two different configurations share a key with a probability of about n²/2¹²⁹ for n
//!   configurations. A collision can only hide a branch, never invent one.
//! - *Operations of unknown outcome are optional*, and come last among the choices. Those that ask the same are
//!   interchangeable, so the earliest called is taken and only their number counts. A configuration is not visited if
//!   another with the same state and the same returned operations got there with fewer of each kind: whatever is
//!   possible from here was possible from there. And none is taken right before an operation that overwrites it.
//! - *Events in a doubly linked list* (Horn and Kroening 2015): to linearize is to unlink a call and its return, to
//!   undo is to link them again, both in constant time.
//! - *States are numbered*, and each operation's step from each state is computed once.
//! - *It can pause*, so that many objects share one budget and a cheap contradiction never waits for a hard object.

use std::hash::{Hash, Hasher};

use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHasher};

use crate::history::Operation;
use crate::model::Model;

const HEAD: u32 = 0;
const NONE: u32 = u32::MAX;

/// How far a search came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A linearization is complete; see [`Search::order`].
    Linearizable,
    /// There is none.
    Illegal,
    /// The slice of budget is spent.
    Paused,
}

/// Something linearized.
#[derive(Clone, Copy)]
enum Taken {
    /// An observer, without an alternative.
    Observer(u32),
    /// A returned operation.
    Returned(u32),
    /// One more of a kind of operations of unknown outcome.
    Optional(u32),
}

#[derive(Clone, Copy)]
struct Frame {
    taken: Taken,
    /// Before it was taken.
    state: u32,
    fresh: bool,
}

/// Which choice to try next in a configuration: returned operations from a node on, then optional ones from a kind on.
#[derive(Clone, Copy)]
enum Cursor {
    Returned(u32),
    Optional(u32),
}

/// Operations of unknown outcome that ask the same, by local number, in the order of their calls.
struct Kind {
    members: Vec<u32>,
    used: u16,
}

/// A search over the operations of one independent object.
pub(crate) struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Input, M::Output>],
    /// Index in `operations` by local number: returned operations first.
    indexes: Vec<u32>,
    observer: Vec<bool>,
    overwrites: Vec<bool>,
    events: Events,
    kinds: Vec<Kind>,
    states: States<M::State>,
    steps: FxHashMap<(u32, u32), u32>,
    seen: Seen,
    stack: Vec<Frame>,
    state: u32,
    /// The last operation taken is optional, and nobody has seen its effect.
    fresh: bool,
    set: u128,
    /// Returned operations not linearized yet.
    left: usize,
    returned: usize,
    /// The latest return that could not be passed, as a node.
    furthest: u32,
    placed: usize,
    /// Where to go on after a pause.
    cursor: Option<Cursor>,
    configurations: u64,
}

impl<'a, M: Model> Search<'a, M> {
    /// Prepares a search. `part` lists operations of one independent object.
    pub(crate) fn new(model: &'a M, operations: &'a [Operation<M::Input, M::Output>], part: &[u32]) -> Self {
        let of = |index: u32| &operations[index as usize];
        let (mut indexes, mut optional): (Vec<u32>, Vec<u32>) =
            part.iter().partition(|&&index| of(index).output().is_some());
        let returned = indexes.len();
        optional.sort_by_key(|&index| of(index).call);
        indexes.append(&mut optional);
        let times: Vec<(u64, u64)> = indexes[..returned]
            .iter()
            .map(|&index| (of(index).call, of(index).returned_at().unwrap_or(u64::MAX)))
            .collect();
        let observes = |operation: &Operation<M::Input, M::Output>| {
            operation.output().is_some_and(|output| model.observes(&operation.input, output))
        };
        let overwrites = |operation: &Operation<M::Input, M::Output>| {
            model.overwrites(&operation.input, operation.output())
        };
        let mut states = States::new();
        let state = states.number(model.init());
        let kinds = kinds(model, operations, &indexes, returned);
        Search {
            model,
            operations,
            observer: indexes.iter().map(|&index| observes(of(index))).collect(),
            overwrites: indexes.iter().map(|&index| overwrites(of(index))).collect(),
            indexes,
            events: Events::new(&times),
            seen: Seen::new(kinds.len()),
            kinds,
            states,
            steps: FxHashMap::default(),
            stack: Vec::new(),
            state,
            fresh: false,
            set: 0,
            left: returned,
            returned,
            furthest: 0,
            placed: 0,
            cursor: None,
            configurations: 0,
        }
    }

    /// Goes on for at most `slice` configurations, or until the search holds `bytes`.
    pub(crate) fn run(&mut self, slice: u64, bytes: u64) -> Progress {
        let end = self.configurations.saturating_add(slice);
        loop {
            let mut cursor = match self.cursor.take() {
                Some(cursor) => Some(cursor),
                None => {
                    self.settle();
                    if self.left == 0 {
                        return Progress::Linearizable;
                    }
                    if self.remember() {
                        let first = Cursor::Returned(self.events.first());
                        let full = self.configurations.is_multiple_of(4096) && self.bytes() > bytes;
                        if full || self.configurations >= end {
                            self.cursor = Some(first);
                            return Progress::Paused;
                        }
                        Some(first)
                    } else {
                        self.backtrack()
                    }
                }
            };
            loop {
                match cursor {
                    None => return Progress::Illegal,
                    Some(from) if self.choose(from) => break,
                    Some(_) => cursor = self.backtrack(),
                }
            }
        }
    }

    /// The operations linearized so far, in order: the linearization once there is one.
    pub(crate) fn order(&self) -> Vec<u32> {
        let mut used = vec![0; self.kinds.len()];
        let number = |frame: &Frame| match frame.taken {
            Taken::Observer(number) | Taken::Returned(number) => self.indexes[number as usize],
            Taken::Optional(kind) => {
                let place = &mut used[kind as usize];
                *place += 1;
                self.indexes[self.kinds[kind as usize].members[*place - 1] as usize]
            }
        };
        self.stack.iter().map(number).collect()
    }

    /// Configurations visited.
    pub(crate) fn configurations(&self) -> u64 {
        self.configurations
    }

    /// Bytes held, apart from what the states own on the heap.
    pub(crate) fn bytes(&self) -> u64 {
        let state = size_of::<M::State>() + 16;
        self.seen.bytes()
            + (self.steps.capacity() * 13
                + self.states.list.len() * state
                + self.stack.capacity() * size_of::<Frame>()
                + self.indexes.len() * 48) as u64
    }

    /// The operation whose return no order could pass, and how many returned operations the longest order placed.
    pub(crate) fn stuck(&self) -> (u32, usize) {
        let number = self.events.operation(self.furthest);
        (self.indexes[number as usize], self.placed)
    }

    /// The operations that were open when the operation of [`Search::stuck`] returned.
    pub(crate) fn open(&self) -> Vec<u32> {
        let open = |number: &u32| {
            let returned = self.events.returned.get(*number as usize);
            self.was_called(number) && returned.is_none_or(|&returned| returned >= self.furthest)
        };
        (0..self.indexes.len() as u32).filter(open).map(|number| self.indexes[number as usize]).collect()
    }

    /// The operations called before the return that no order could pass: they alone are not linearizable.
    pub(crate) fn illegal_prefix(&self) -> Vec<u32> {
        let called = (0..self.indexes.len() as u32).filter(|number| self.was_called(number));
        called.map(|number| self.indexes[number as usize]).collect()
    }

    fn was_called(&self, number: &u32) -> bool {
        match self.events.call.get(*number as usize) {
            Some(&call) => call < self.furthest,
            None => self.call(*number) <= self.events.time[self.furthest as usize],
        }
    }

    fn call(&self, number: u32) -> u64 {
        self.operations[self.indexes[number as usize] as usize].call
    }

    /// Linearizes every observer that is legal now.
    fn settle(&mut self) {
        let mut node = self.events.first();
        while node != NONE && !self.events.is_return(node) {
            let number = self.events.operation(node);
            if self.observer[number as usize] && self.step(number).is_some() {
                self.take(Taken::Observer(number), self.state);
            }
            node = self.events.next(node);
        }
    }

    /// Notes the configuration; `false` if it, or a better one, was visited before.
    fn remember(&mut self) -> bool {
        let key = self.set ^ word(u64::from(self.state) | 1 << 40);
        let new = self.seen.insert(key, self.kinds.iter().map(|kind| kind.used));
        self.configurations += u64::from(new);
        new
    }

    /// Takes the first legal choice from the cursor on.
    fn choose(&mut self, cursor: Cursor) -> bool {
        let (mut node, first_kind) = match cursor {
            Cursor::Returned(node) => (node, 0),
            Cursor::Optional(kind) => (self.events.first(), kind),
        };
        while !self.events.is_return(node) {
            let number = self.events.operation(node);
            if matches!(cursor, Cursor::Returned(_))
                && !self.observer[number as usize]
                && !(self.fresh && self.overwrites[number as usize])
                && let Some(state) = self.step(number)
            {
                self.take(Taken::Returned(number), state);
                return true;
            }
            node = self.events.next(node);
        }
        self.furthest = self.furthest.max(node);
        self.placed = self.placed.max(self.returned - self.left);
        let deadline = self.events.time[node as usize];
        for kind in first_kind..self.kinds.len() as u32 {
            let Kind { members, used } = &self.kinds[kind as usize];
            let Some(&number) = members.get(usize::from(*used)) else { continue };
            if self.call(number) > deadline || (self.fresh && self.overwrites[number as usize]) {
                continue;
            }
            if let Some(state) = self.step(members[0])
                && state != self.state
            {
                self.take(Taken::Optional(kind), state);
                return true;
            }
        }
        false
    }

    fn take(&mut self, taken: Taken, state: u32) {
        self.stack.push(Frame { taken, state: self.state, fresh: self.fresh });
        match taken {
            Taken::Observer(number) | Taken::Returned(number) => {
                self.events.unlink(number);
                self.set ^= word(u64::from(number));
                self.left -= 1;
                self.fresh = false;
            }
            Taken::Optional(kind) => {
                self.kinds[kind as usize].used += 1;
                self.fresh = true;
            }
        }
        self.state = state;
    }

    /// Undoes up to the last choice, and returns the one after it.
    fn backtrack(&mut self) -> Option<Cursor> {
        while let Some(frame) = self.stack.pop() {
            self.state = frame.state;
            self.fresh = frame.fresh;
            match frame.taken {
                Taken::Observer(number) | Taken::Returned(number) => {
                    self.events.relink(number);
                    self.set ^= word(u64::from(number));
                    self.left += 1;
                }
                Taken::Optional(kind) => self.kinds[kind as usize].used -= 1,
            }
            match frame.taken {
                Taken::Observer(_) => {}
                Taken::Returned(number) => {
                    return Some(Cursor::Returned(self.events.next(self.events.call[number as usize])));
                }
                Taken::Optional(kind) => return Some(Cursor::Optional(kind + 1)),
            }
        }
        None
    }

    fn step(&mut self, number: u32) -> Option<u32> {
        let next = match self.steps.get(&(number, self.state)) {
            Some(&next) => next,
            None => {
                let operation = &self.operations[self.indexes[number as usize] as usize];
                let state = &self.states.list[self.state as usize];
                let next = self.model.step(state, &operation.input, operation.output());
                let next = next.map_or(NONE, |state| self.states.number(state));
                self.steps.insert((number, self.state), next);
                next
            }
        };
        (next != NONE).then_some(next)
    }
}

/// Groups the operations of unknown outcome, which follow the first `returned` ones.
fn kinds<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    indexes: &[u32],
    returned: usize,
) -> Vec<Kind> {
    let input = |number: u32| &operations[indexes[number as usize] as usize].input;
    let mut kinds: Vec<Kind> = Vec::new();
    for number in returned as u32..indexes.len() as u32 {
        let same = kinds.iter_mut().find(|kind| {
            kind.members.len() < usize::from(u16::MAX)
                && model.interchangeable(input(kind.members[0]), input(number))
        });
        match same {
            Some(kind) => kind.members.push(number),
            None => kinds.push(Kind { members: vec![number], used: 0 }),
        }
    }
    kinds
}

/// Configurations visited. With optional operations, each key holds the least numbers of each kind used so far.
struct Seen {
    kinds: usize,
    plain: HashTable<u128>,
    least: FxHashMap<u128, Vec<u16>>,
    bytes: u64,
}

impl Seen {
    fn new(kinds: usize) -> Self {
        Seen { kinds, plain: HashTable::new(), least: FxHashMap::default(), bytes: 0 }
    }

    fn bytes(&self) -> u64 {
        self.bytes + (self.plain.capacity() * 17 + self.least.capacity() * 41) as u64
    }

    /// `false` if the configuration, or one that used no more of any kind, was visited before.
    fn insert(&mut self, key: u128, used: impl Iterator<Item = u16>) -> bool {
        if self.kinds == 0 {
            let entry = self.plain.entry(key as u64, |&other| other == key, |&other| other as u64);
            let hashbrown::hash_table::Entry::Vacant(slot) = entry else { return false };
            slot.insert(key);
            return true;
        }
        let used: Vec<u16> = used.collect();
        let least = self.least.entry(key).or_default();
        let at_most = |one: &[u16], other: &[u16]| one.iter().zip(other).all(|(one, other)| one <= other);
        if least.chunks_exact(self.kinds).any(|earlier| at_most(earlier, &used)) {
            return false;
        }
        let before = least.capacity();
        let mut kept = 0;
        for place in (0..least.len()).step_by(self.kinds) {
            let chunk = place..place + self.kinds;
            if !at_most(&used, &least[chunk.clone()]) {
                least.copy_within(chunk, kept);
                kept += self.kinds;
            }
        }
        least.truncate(kept);
        least.extend_from_slice(&used);
        self.bytes += 2 * (least.capacity() - before) as u64;
        true
    }
}

/// A random word for a number: two rounds of the splitmix finalizer with different constants.
fn word(number: u64) -> u128 {
    let half = |seed: u64| {
        let mut x = number.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    u128::from(half(0x5851_f42d_4c95_7f2d)) << 64 | u128::from(half(0x1405_7b7e_f767_814f))
}

/// States seen so far, numbered in the order of their first appearance.
struct States<S> {
    list: Vec<S>,
    numbers: HashTable<u32>,
}

impl<S: Eq + Hash> States<S> {
    fn new() -> Self {
        States { list: Vec::new(), numbers: HashTable::new() }
    }

    fn number(&mut self, state: S) -> u32 {
        let hash = |state: &S| {
            let mut hasher = FxHasher::default();
            state.hash(&mut hasher);
            hasher.finish()
        };
        let list = &self.list;
        let equal = |&number: &u32| list[number as usize] == state;
        let rehash = |&number: &u32| hash(&list[number as usize]);
        match self.numbers.entry(hash(&state), equal, rehash) {
            hashbrown::hash_table::Entry::Occupied(entry) => *entry.get(),
            hashbrown::hash_table::Entry::Vacant(slot) => {
                let number = list.len() as u32;
                slot.insert(number);
                self.list.push(state);
                number
            }
        }
    }
}

/// Calls and returns in the order of time, as a linked list. Node 0 is its head.
struct Events {
    next: Vec<u32>,
    previous: Vec<u32>,
    /// The operation of a node; the top bit marks a return.
    node: Vec<u32>,
    time: Vec<u64>,
    call: Vec<u32>,
    returned: Vec<u32>,
}

const RETURN: u32 = 1 << 31;

impl Events {
    fn new(times: &[(u64, u64)]) -> Self {
        let mut events: Vec<(u64, u32)> = Vec::with_capacity(times.len() * 2);
        for (number, &(call, returned)) in times.iter().enumerate() {
            events.push((call, number as u32));
            events.push((returned, number as u32 | RETURN));
        }
        // Calls sort before returns of the same instant, so that equal times are concurrent.
        events.sort_unstable_by_key(|&(time, node)| (time, node));
        let nodes = events.len() as u32 + 1;
        let mut list = Events {
            next: (1..=nodes).map(|node| if node == nodes { NONE } else { node }).collect(),
            previous: (0..nodes).map(|node| node.wrapping_sub(1)).collect(),
            node: std::iter::once(NONE).chain(events.iter().map(|&(_, node)| node)).collect(),
            time: std::iter::once(0).chain(events.iter().map(|&(time, _)| time)).collect(),
            call: vec![NONE; times.len()],
            returned: vec![NONE; times.len()],
        };
        for (index, &(_, node)) in events.iter().enumerate() {
            let number = (node & !RETURN) as usize;
            let place = if node & RETURN == 0 { &mut list.call } else { &mut list.returned };
            place[number] = index as u32 + 1;
        }
        list
    }

    fn first(&self) -> u32 {
        self.next[HEAD as usize]
    }

    fn next(&self, node: u32) -> u32 {
        self.next[node as usize]
    }

    fn is_return(&self, node: u32) -> bool {
        self.node[node as usize] & RETURN != 0
    }

    fn operation(&self, node: u32) -> u32 {
        self.node[node as usize] & !RETURN
    }

    /// The call goes last, so that its `next` leads to an event still in the list.
    fn unlink(&mut self, number: u32) {
        self.unlink_node(self.returned[number as usize]);
        self.unlink_node(self.call[number as usize]);
    }

    fn relink(&mut self, number: u32) {
        self.relink_node(self.call[number as usize]);
        self.relink_node(self.returned[number as usize]);
    }

    fn unlink_node(&mut self, node: u32) {
        let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
        self.next[previous as usize] = next;
        if next != NONE {
            self.previous[next as usize] = previous;
        }
    }

    fn relink_node(&mut self, node: u32) {
        let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
        self.next[previous as usize] = node;
        if next != NONE {
            self.previous[next as usize] = node;
        }
    }
}
