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

#[derive(Clone, Copy)]
struct Frame {
    node: u32,
    state: u32,
    /// Linearized without an alternative.
    forced: bool,
}

/// A search over the operations of one independent object.
pub(crate) struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Input, M::Output>],
    /// Index in `operations` by local number.
    indexes: Vec<u32>,
    observer: Vec<bool>,
    events: Events,
    states: States<M::State>,
    steps: FxHashMap<(u32, u32), u32>,
    seen: HashTable<u128>,
    stack: Vec<Frame>,
    state: u32,
    set: u128,
    /// Returned operations not linearized yet.
    left: usize,
    returned: usize,
    /// The latest return that could not be passed, as a node.
    furthest: u32,
    placed: usize,
    /// Where to go on after a pause.
    cursor: Option<u32>,
    configurations: u64,
}

impl<'a, M: Model> Search<'a, M> {
    /// Prepares a search. `part` lists operations of one independent object.
    pub(crate) fn new(model: &'a M, operations: &'a [Operation<M::Input, M::Output>], part: &[u32]) -> Self {
        let indexes = part.to_vec();
        let observer = indexes
            .iter()
            .map(|&index| {
                let operation = &operations[index as usize];
                operation.output().is_some_and(|output| model.observes(&operation.input, output))
            })
            .collect();
        let times: Vec<(u64, Option<u64>)> = indexes
            .iter()
            .map(|&index| (operations[index as usize].call, operations[index as usize].returned_at()))
            .collect();
        let returned = times.iter().filter(|(_, returned)| returned.is_some()).count();
        let mut states = States::new();
        let state = states.number(model.init());
        Search {
            model,
            operations,
            indexes,
            observer,
            events: Events::new(&times),
            states,
            steps: FxHashMap::default(),
            seen: HashTable::new(),
            stack: Vec::new(),
            state,
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
            let mut node = match self.cursor.take() {
                Some(node) => node,
                None => {
                    self.settle();
                    if self.left == 0 {
                        return Progress::Linearizable;
                    }
                    if self.remember() {
                        let node = self.events.first();
                        let full = self.configurations.is_multiple_of(4096) && self.bytes() > bytes;
                        if full || self.configurations >= end {
                            self.cursor = Some(node);
                            return Progress::Paused;
                        }
                        node
                    } else {
                        match self.backtrack() {
                            Some(node) => node,
                            None => return Progress::Illegal,
                        }
                    }
                }
            };
            loop {
                if self.events.is_return(node) {
                    self.stuck_at(node);
                    match self.backtrack() {
                        Some(next) => node = next,
                        None => return Progress::Illegal,
                    }
                    continue;
                }
                let number = self.events.operation(node);
                if !self.observer[number as usize]
                    && let Some(state) = self.step(number)
                {
                    self.take(node, state, false);
                    break;
                }
                node = self.events.next(node);
            }
        }
    }

    /// The operations linearized so far, in order: the linearization once there is one.
    pub(crate) fn order(&self) -> Vec<u32> {
        self.stack.iter().map(|frame| self.indexes[self.events.operation(frame.node) as usize]).collect()
    }

    /// Configurations visited.
    pub(crate) fn configurations(&self) -> u64 {
        self.configurations
    }

    /// Bytes held, apart from what the states own on the heap.
    pub(crate) fn bytes(&self) -> u64 {
        let state = size_of::<M::State>() + 16;
        (self.seen.capacity() * 17
            + self.steps.capacity() * 13
            + self.states.list.len() * state
            + self.stack.capacity() * size_of::<Frame>()
            + self.indexes.len() * 48) as u64
    }

    /// The operation whose return no order could pass, and how many operations the longest order placed.
    pub(crate) fn stuck(&self) -> (u32, usize) {
        let number = self.events.operation(self.furthest);
        (self.indexes[number as usize], self.placed)
    }

    /// The operations that were open when the operation of [`Search::stuck`] returned.
    pub(crate) fn open(&self) -> Vec<u32> {
        let end = self.furthest;
        let open = |number: u32| {
            let (call, returned) = (self.events.call[number as usize], self.events.returned[number as usize]);
            call < end && (returned == NONE || returned >= end)
        };
        (0..self.indexes.len() as u32).filter(|&n| open(n)).map(|n| self.indexes[n as usize]).collect()
    }

    /// The operations called before the return that no order could pass: they alone are not linearizable.
    pub(crate) fn illegal_prefix(&self) -> Vec<u32> {
        let called = |number: &u32| self.events.call[*number as usize] < self.furthest;
        (0..self.indexes.len() as u32).filter(called).map(|n| self.indexes[n as usize]).collect()
    }

    /// Linearizes every observer that is legal now.
    fn settle(&mut self) {
        let mut node = self.events.first();
        while node != NONE && !self.events.is_return(node) {
            let number = self.events.operation(node);
            if self.observer[number as usize] && self.step(number).is_some() {
                self.take(node, self.state, true);
            }
            node = self.events.next(node);
        }
    }

    /// Notes the configuration; `false` if it was visited before.
    fn remember(&mut self) -> bool {
        let key = self.set ^ word(u64::from(self.state) | 1 << 40);
        let entry = self.seen.entry(key as u64, |&other| other == key, |&other| other as u64);
        match entry {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(slot) => {
                slot.insert(key);
                self.configurations += 1;
                true
            }
        }
    }

    fn stuck_at(&mut self, node: u32) {
        if node > self.furthest {
            self.furthest = node;
        }
        self.placed = self.placed.max(self.returned - self.left);
    }

    fn take(&mut self, node: u32, state: u32, forced: bool) {
        let number = self.events.operation(node);
        self.stack.push(Frame { node, state: self.state, forced });
        self.events.unlink(number);
        self.set ^= word(u64::from(number));
        self.left -= usize::from(self.events.returned[number as usize] != NONE);
        self.state = state;
    }

    /// Undoes up to the last choice, and returns the node after the one chosen.
    fn backtrack(&mut self) -> Option<u32> {
        while let Some(frame) = self.stack.pop() {
            let number = self.events.operation(frame.node);
            self.events.relink(number);
            self.set ^= word(u64::from(number));
            self.left += usize::from(self.events.returned[number as usize] != NONE);
            self.state = frame.state;
            if !frame.forced {
                return Some(self.events.next(frame.node));
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
    call: Vec<u32>,
    returned: Vec<u32>,
}

const RETURN: u32 = 1 << 31;

impl Events {
    fn new(times: &[(u64, Option<u64>)]) -> Self {
        let mut events: Vec<(u64, u32)> = Vec::with_capacity(times.len() * 2);
        for (number, &(call, returned)) in times.iter().enumerate() {
            events.push((call, number as u32));
            if let Some(at) = returned {
                events.push((at, number as u32 | RETURN));
            }
        }
        // Calls sort before returns of the same instant, so that equal times are concurrent.
        events.sort_unstable_by_key(|&(time, node)| (time, node));
        let nodes = events.len() as u32 + 1;
        let mut list = Events {
            next: (1..=nodes).map(|node| if node == nodes { NONE } else { node }).collect(),
            previous: (0..nodes).map(|node| node.wrapping_sub(1)).collect(),
            node: std::iter::once(NONE).chain(events.iter().map(|&(_, node)| node)).collect(),
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
        if node == NONE {
            return;
        }
        let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
        self.next[previous as usize] = next;
        if next != NONE {
            self.previous[next as usize] = previous;
        }
    }

    fn relink_node(&mut self, node: u32) {
        if node == NONE {
            return;
        }
        let (previous, next) = (self.previous[node as usize], self.next[node as usize]);
        self.next[previous as usize] = node;
        if next != NONE {
            self.previous[next as usize] = node;
        }
    }
}
