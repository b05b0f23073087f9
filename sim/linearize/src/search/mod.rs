//! The search: for objects and histories that no direct method decides.
//!
//! A depth-first search over **configurations**, pairs of the set of operations linearized so far and the
//! state they lead to (Wing and Gong 1993, Lowe 2017). From a configuration, any operation may come next that
//! was called before the first return of an operation not yet linearized. What makes it fast:
//!
//! - *Observers at once.* An operation that changes no state is linearized the moment it is legal, without a
//!   branch: moving it to the front of any linearization disturbs nobody.
//! - *Configurations are remembered with their state*, after the observers, in 16 bytes: a sum of random
//!   words (Zobrist 1970) stands for the set. Two different configurations share a key with a probability of
//!   about n²/2¹²⁹ for n configurations. A collision can only hide a branch, never invent one.
//! - *Operations of unknown outcome are optional*, and come last among the choices. Those of one class are
//!   interchangeable, so the earliest called is taken and only their number counts. A configuration is not
//!   visited if another with the same state and the same returned operations got there with fewer of each
//!   kind: whatever is possible from here was possible from there. And none is taken right before an
//!   operation that overwrites it.
//! - *Events in a doubly linked list* (Horn and Kroening 2015): to linearize is to unlink a call and its
//!   return, to undo is to link them again, both in constant time.
//! - *Choices by deadline.* Whatever returns first is tried first, which leaves the others to be placed where
//!   they are needed. Of one class ([`Lens`]) only the one that returns first is tried at all. For let an
//!   order take `b` now and `a` of the same class later, both called already, and let `a` return first: then
//!   the two can change places, since `a` is open now, and `b` has not returned where `a` has not; and no
//!   state changes.
//! - *Look-ahead.* The operation that returns first is linearized before anything is called that is not open
//!   now. If it is not legal and no open operation can make it so ([`Model::may_enable`]), no order goes on.
//! - *One state for all that nothing can tell apart* ([`Lens`]): the values that nobody names.
//! - *States are numbered*, and each operation's step from each state is computed once.
//! - *It can pause*, so that many objects share one budget and a cheap contradiction never waits.
//!
//! Two ideas of others are left out, because these rules have their effect. *Cuts at quiescent instants*,
//! where nothing is open, carry a set of states from one segment to the next. Here all configurations of such
//! an instant have one set, so they are told apart by their states alone, and what follows is searched once
//! for each; without a cut, states are only reached as far as a legal history needs them. *Writes that nobody
//! needs, placed late*: those whose values nobody names are one class, of which one is tried.

mod classes;
mod events;
mod seen;

use rustc_hash::FxHashMap;

use crate::history::Operation;
use crate::model::{Lens, Model};
use crate::stop::Stop;
use classes::{Kind, kinds, shared};
use events::{Events, NONE};
use seen::{Seen, States, word};

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

/// Which choice to try next: returned operations from a node on, then optional ones from a kind on.
#[derive(Clone, Copy)]
enum Cursor {
    Returned(u32),
    Optional(u32),
}

/// A search over the operations of one independent object.
pub(crate) struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [Operation<M::Input, M::Output>],
    /// Index in `operations` by local number: returned operations first.
    indexes: Vec<u32>,
    /// When each operation of unknown outcome was called.
    optional_calls: Vec<u64>,
    observer: Vec<bool>,
    overwrites: Vec<bool>,
    /// The class of each returned operation; [`NONE`] if it is the only one of its class.
    class: Vec<u32>,
    representative: Box<dyn Fn(M::State) -> M::State + Send + 'a>,
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
    /// Configurations reached, also those that had been visited before.
    turns: u64,
    stop: Stop,
    /// The longest order noted, and how many returned operations the next one has to place.
    longest: Vec<u32>,
    longer_from: usize,
}

/// Configurations between two looks at the bytes that a search holds.
const LOOK: u64 = 4096;
/// Turns between two looks at what may end it from outside: each is long where many operations are open.
const LOOK_OUTSIDE: u64 = 64;
/// Searches shorter than this, or than four times their operations, note no order.
const NOTED_FROM: u64 = LOOK;

impl<'a, M: Model> Search<'a, M> {
    /// Prepares a search. `part` lists operations of one independent object.
    pub(crate) fn new(model: &'a M, operations: &'a [Operation<M::Input, M::Output>], part: &[u32]) -> Self {
        Self::within(model, operations, part, |index| {
            let operation = &operations[index as usize];
            (operation.call, operation.returned_at().unwrap_or(u64::MAX))
        })
    }

    /// Prepares a search that takes other times for the calls and returns.
    pub(crate) fn within(
        model: &'a M,
        operations: &'a [Operation<M::Input, M::Output>],
        part: &[u32],
        window: impl Fn(u32) -> (u64, u64),
    ) -> Self {
        let of = |index: u32| &operations[index as usize];
        let (mut indexes, mut optional): (Vec<u32>, Vec<u32>) =
            part.iter().partition(|&&index| of(index).output().is_some());
        let returned = indexes.len();
        optional.sort_by_key(|&index| window(index).0);
        let optional_calls = optional.iter().map(|&index| window(index).0).collect();
        indexes.append(&mut optional);
        let times: Vec<(u64, u64)> = indexes[..returned].iter().map(|&index| window(index)).collect();
        let observes = |operation: &Operation<M::Input, M::Output>| {
            operation.output().is_some_and(|output| model.observes(&operation.input, output))
        };
        let Lens { classes, overwrites, representative } = model.lens(operations, &indexes);
        let mut states = States::new();
        let state = states.number(representative(model.init()));
        let kinds = kinds(&classes, returned);
        Search {
            model,
            operations,
            observer: indexes.iter().map(|&index| observes(of(index))).collect(),
            overwrites,
            representative,
            class: shared(&classes[..returned]),
            indexes,
            optional_calls,
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
            turns: 0,
            stop: Stop::default(),
            longest: Vec::new(),
            longer_from: 0,
        }
    }

    /// Lets something else than the budget end the search.
    pub(crate) fn until(self, stop: Stop) -> Self {
        Search { stop, ..self }
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
                    let is_new = self.remember();
                    let next = if is_new { Some(Cursor::Returned(0)) } else { self.backtrack() };
                    if next.is_some() && self.must_pause(is_new, end, bytes) {
                        self.cursor = next;
                        return Progress::Paused;
                    }
                    next
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

    fn must_pause(&mut self, is_new: bool, end: u64, bytes: u64) -> bool {
        self.turns += 1;
        let looks = is_new && self.configurations.is_multiple_of(LOOK);
        if looks {
            self.stop.count(LOOK);
        }
        is_new && self.configurations >= end
            || looks && self.bytes() > bytes
            || self.turns.is_multiple_of(LOOK_OUTSIDE) && self.stop.reached().is_some()
    }

    /// About the longest order found.
    pub(crate) fn longest(&self) -> Vec<u32> {
        let now = self.order();
        if now.len() < self.longest.len() { self.longest.clone() } else { now }
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

    /// The operation whose return no order could pass, and the most returned operations that one placed.
    pub(crate) fn stuck(&self) -> (u32, usize) {
        let number = self.events.operation(self.furthest);
        (self.indexes[number as usize], self.placed)
    }

    /// The operations that were open when the operation of [`Search::stuck`] returned; that of the next one
    /// if the search was never stuck.
    pub(crate) fn open(&self) -> Vec<u32> {
        if self.left == 0 {
            return Vec::new();
        }
        let until = if self.furthest == 0 { self.events.first_return() } else { self.furthest };
        let open = |number: &u32| {
            let returned = self.events.returned.get(*number as usize);
            self.was_called(number, until) && returned.is_none_or(|&returned| returned >= until)
        };
        (0..self.indexes.len() as u32).filter(open).map(|number| self.indexes[number as usize]).collect()
    }

    /// The operations called before the return that no order could pass: they alone are not linearizable.
    pub(crate) fn illegal_prefix(&self) -> Vec<u32> {
        let called = (0..self.indexes.len() as u32).filter(|number| self.was_called(number, self.furthest));
        called.map(|number| self.indexes[number as usize]).collect()
    }

    fn was_called(&self, number: &u32, until: u32) -> bool {
        match self.events.call.get(*number as usize) {
            Some(&call) => call < until,
            None => self.call(*number) <= self.events.time[until as usize],
        }
    }

    /// When an operation of unknown outcome was called.
    fn call(&self, number: u32) -> u64 {
        self.optional_calls[number as usize - self.returned]
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
        let (mut after, first_kind) = match cursor {
            Cursor::Returned(node) => (node, 0),
            Cursor::Optional(kind) => (NONE, kind),
        };
        let node = self.events.first_return();
        if after == 0 && self.is_hopeless(node) {
            self.note_stuck(node);
            return false;
        }
        while let Some(number) = self.next_to_return(after) {
            after = self.events.returned[number as usize];
            let is_hidden = self.fresh && self.overwrites[number as usize];
            if self.observer[number as usize] || is_hidden || self.can_wait(number) {
                continue;
            }
            if let Some(state) = self.step(number) {
                self.take(Taken::Returned(number), state);
                return true;
            }
        }
        self.note_stuck(node);
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

    /// Whether the operation that returns first is not legal, and nothing before it can change that.
    fn is_hopeless(&mut self, node: u32) -> bool {
        let waiting = self.events.operation(node);
        if self.step(waiting).is_some() {
            return false;
        }
        let of = |number: u32| &self.operations[self.indexes[number as usize] as usize];
        let mut other = self.events.first();
        while other != node {
            let number = self.events.operation(other);
            if number != waiting && self.model.may_enable(of(number), of(waiting)) {
                return false;
            }
            other = self.events.next(other);
        }
        let deadline = self.events.time[node as usize];
        let helps = |kind: &Kind| {
            let next = kind.members.get(usize::from(kind.used));
            next.is_some_and(|&next| {
                self.call(next) <= deadline && self.model.may_enable(of(next), of(waiting))
            })
        };
        !self.kinds.iter().any(helps)
    }

    fn note_stuck(&mut self, node: u32) {
        self.furthest = self.furthest.max(node);
        let placed = self.returned - self.left;
        self.placed = self.placed.max(placed);
        if placed >= self.longer_from && self.configurations > NOTED_FROM.max(4 * self.returned as u64) {
            self.longest = self.order();
            // So that a long history is copied a bounded number of times.
            self.longer_from = placed + 1 + self.returned / 256;
        }
    }

    /// Of the operations that may come next, the one that returns first after a node.
    fn next_to_return(&self, after: u32) -> Option<u32> {
        let mut node = self.events.first();
        let mut found = None;
        let mut least = NONE;
        while !self.events.is_return(node) {
            let number = self.events.operation(node);
            let returned = self.events.returned[number as usize];
            if returned > after && returned < least {
                (found, least) = (Some(number), returned);
            }
            node = self.events.next(node);
        }
        found
    }

    /// Whether another operation of the class can be taken instead, and has to be taken sooner.
    fn can_wait(&self, number: u32) -> bool {
        let class = self.class[number as usize];
        if class == NONE {
            return false;
        }
        let mut node = self.events.first();
        while !self.events.is_return(node) {
            let other = self.events.operation(node) as usize;
            if self.class[other] == class
                && self.events.returned[other] < self.events.returned[number as usize]
            {
                return true;
            }
            node = self.events.next(node);
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
                    return Some(Cursor::Returned(self.events.returned[number as usize]));
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
                let next = next.map_or(NONE, |state| self.states.number((self.representative)(state)));
                self.steps.insert((number, self.state), next);
                next
            }
        };
        (next != NONE).then_some(next)
    }
}
