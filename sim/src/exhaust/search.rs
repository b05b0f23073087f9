//! The search itself.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use testbed::observer::panics;

use super::{Choice, Space, known::Known};

/// After so many moves time and memory are looked at.
const LOOK_MOVES: u64 = 1 << 12;

/// No limit on the moves that are tried in one state is larger.
pub const CHOICES_MAX: usize = u64::BITS as usize;

/// Moves of one state that may sleep; further ones are always made.
const SLEEPERS_MAX: usize = 32;

/// Which states come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Those with a short way.
    Breadth,
    /// Those after the latest one.
    Depth,
}

/// When a search ends, if nothing else ends it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After so many states,
    pub states: u64,
    /// so much wall time,
    pub time: Duration,
    /// and with so many bytes in use: by `memory`, or by the tables of the search if these are more.
    pub bytes: u64,
    /// Tells the bytes in use; 0 if that is not known.
    pub memory: fn() -> u64,
    /// No state is looked at that is so many moves away.
    pub moves: u64,
    /// In no state more moves are tried; at most [`CHOICES_MAX`].
    pub choices: usize,
}

/// What a search is told.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Which states come first.
    pub order: Order,
    /// When it ends.
    pub limits: Limits,
    /// Moves that commute are made in one order only.
    pub sleep: bool,
    /// Every so many-th state is led to a good end; 0: none.
    pub ends_every: u64,
}

/// What ended a search too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many states.
    States(u64),
    /// So much time.
    Time(Duration),
    /// So many bytes.
    Bytes(u64),
    /// Some ways were longer.
    Moves(u64),
    /// In some state more could happen: so much was tried there.
    Choices(usize),
}

/// How a search ended. A failure's way is the actions from the start on.
#[derive(Clone, Debug)]
pub enum Ending<A> {
    /// All states were looked at.
    Complete,
    /// Not all were.
    Cut(Why),
    /// A promise was broken. The failure shows itself again when these actions are taken, and at the end if
    /// it did so there.
    Failed(Vec<A>),
}

/// How far a search is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// States that were looked at,
    pub states: u64,
    /// moves that were made,
    pub moves: u64,
    /// moves that changed nothing,
    pub idle: u64,
    /// moves that were left out because they slept,
    pub slept: u64,
    /// states in which nothing can happen any more,
    pub at_rest: u64,
    /// states that were led to a good end,
    pub ends: u64,
    /// the moves of the longest way,
    pub longest: u64,
    /// bytes in use when that was last looked at,
    pub bytes: u64,
    /// a sum over the prints of all states, and over those of the states at rest.
    pub sums: (u64, u64),
}

/// A move that sleeps: its print and the parts that it touches.
#[derive(Clone, Copy)]
struct Sleeper {
    print: u64,
    parts: u64,
}

/// A state some of whose moves are still to be made.
struct Open<S: Space> {
    world: S,
    choices: Vec<Choice<S::Move>>,
    /// The places of the next one, and of those to be made.
    place: usize,
    todo: u64,
    sleepers: Vec<Sleeper>,
    /// Its place among the ways, if these are kept; the place of the choice that led here, if not.
    way: u32,
    depth: u64,
}

struct Walker<'a, S: Space> {
    start: &'a S,
    search: &'a Search,
    /// By the state's print: which of its choices, in the order of their prints, slept whenever it was
    /// reached.
    known: Known,
    /// Breadth first: for each state where it was reached from, and by which of the choices there.
    ways: Vec<(u32, u8)>,
    open: VecDeque<Open<S>>,
    progress: Progress,
    /// Some state had more moves than are tried.
    is_crowded: bool,
    began: Instant,
}

/// Looks at all states that can be reached from `start`. `whole` is the same state with all judges, from
/// which ways are gone again. `say` is told how far it is, now and then, and may end the search by returning
/// false.
pub fn search<S: Space>(
    start: &S,
    whole: &S,
    search: &Search,
    say: &mut dyn FnMut(&Progress, Duration) -> bool,
) -> (Ending<S::Action>, Progress) {
    assert!(search.limits.choices <= CHOICES_MAX, "each move of a state has a bit of a word");
    let mut walker = Walker {
        start: whole,
        search,
        known: Known::new(),
        ways: vec![(0, 0)],
        open: VecDeque::new(),
        progress: Progress::default(),
        is_crowded: false,
        began: Instant::now(),
    };
    let ending = walker.go(start.clone(), say);
    (ending, walker.progress)
}

impl<S: Space> Walker<'_, S> {
    fn go(&mut self, start: S, say: &mut dyn FnMut(&Progress, Duration) -> bool) -> Ending<S::Action> {
        let (mut actions, mut cut) = (Vec::new(), None);
        if let Some(first) = self.reach(start, Vec::new(), 0, 0) {
            self.open.push_back(first);
        }
        while let Some(state) = self.current() {
            let Some(place) = next_place(state) else {
                match self.search.order {
                    Order::Depth => self.open.pop_back(),
                    Order::Breadth => self.open.pop_front(),
                };
                continue;
            };
            let choice = state.choices[place];
            let (depth, way) = (state.depth + 1, state.way);
            let mut world = state.world.clone();
            actions.clear();
            self.progress.moves += 1;
            let made = panics::catch(|| world.make(choice.next, &mut actions));
            let Ok(Ok(touched)) = made else {
                return Ending::Failed(self.actions_to(way, Some(place)));
            };
            let sleeps = self.search.sleep;
            let state = self.current().expect("it is still there");
            let asleep = state.sleepers.iter().copied().filter(|it| it.parts & touched.parts == 0).collect();
            if sleeps {
                state.sleepers.push(Sleeper { print: choice.print, parts: touched.parts });
            }
            if self.progress.moves.is_multiple_of(LOOK_MOVES)
                && let Some(why) = self.look(say)
            {
                return Ending::Cut(why);
            }
            if touched.idle {
                self.progress.idle += 1;
                continue;
            }
            if depth > self.search.limits.moves {
                cut = Some(Why::Moves(self.search.limits.moves));
                continue;
            }
            let (states, kept) = (self.progress.states, self.ways.len());
            let from = if self.search.order == Order::Breadth { way } else { place as u32 };
            let Some(mut open) = self.reach(world, asleep, depth, from) else { continue };
            if self.search.order == Order::Breadth {
                open.way = u32::try_from(kept).expect("fewer states than that fit in memory");
                self.ways.push((way, place as u8));
            }
            let is_new = self.progress.states > states;
            if is_new && self.progress.states > self.search.limits.states {
                return Ending::Cut(Why::States(self.search.limits.states));
            }
            let way = open.way;
            self.open.push_back(open);
            if is_new && self.search.ends_every > 0 && states.is_multiple_of(self.search.ends_every) {
                self.progress.ends += 1;
                let actions = self.actions_to(way, None);
                if self.ends_badly(&actions) {
                    return Ending::Failed(actions);
                }
            }
        }
        self.look(say);
        let cut = cut.or(self.is_crowded.then_some(Why::Choices(self.search.limits.choices)));
        cut.map_or(Ending::Complete, Ending::Cut)
    }

    /// The state whose moves are being made: the oldest one, or the latest.
    fn current(&mut self) -> Option<&mut Open<S>> {
        match self.search.order {
            Order::Breadth => self.open.front_mut(),
            Order::Depth => self.open.back_mut(),
        }
    }

    /// A state was reached. `None`: all that is to be done there was done before.
    fn reach(&mut self, world: S, sleepers: Vec<Sleeper>, depth: u64, way: u32) -> Option<Open<S>> {
        let print = world.print();
        let mut choices = Vec::new();
        let slept = self.known.get(print);
        if slept == Some(0) {
            return None;
        }
        world.moves(&mut choices);
        choices.sort_unstable_by_key(|choice| choice.print);
        self.is_crowded |= choices.len() > self.search.limits.choices;
        choices.truncate(self.search.limits.choices);
        let is_asleep = |choice: &Choice<S::Move>| sleepers.iter().any(|it| it.print == choice.print);
        let asleep: u32 = choices
            .iter()
            .take(SLEEPERS_MAX)
            .enumerate()
            .map(|(place, choice)| u32::from(is_asleep(choice)) << place)
            .sum();
        let todo = match slept {
            None => {
                self.known.set(print, asleep);
                self.progress.states += 1;
                self.progress.sums.0 = self.progress.sums.0.wrapping_add(print);
                self.progress.longest = self.progress.longest.max(depth);
                if choices.is_empty() {
                    self.progress.at_rest += 1;
                    self.progress.sums.1 = self.progress.sums.1.wrapping_add(print);
                }
                self.progress.slept += u64::from(asleep.count_ones());
                !u64::from(asleep)
            }
            Some(slept) => {
                let awake = slept & !asleep;
                if awake == 0 {
                    return None;
                }
                self.known.set(print, slept & asleep);
                self.progress.slept -= u64::from(awake.count_ones());
                u64::from(awake)
            }
        };
        Some(Open { world, choices, place: 0, todo, sleepers, way, depth })
    }

    fn look(&mut self, say: &mut dyn FnMut(&Progress, Duration) -> bool) -> Option<Why> {
        let (elapsed, limits) = (self.began.elapsed(), &self.search.limits);
        let bytes = self.bytes();
        self.progress.bytes = self.progress.bytes.max(bytes);
        if !say(&self.progress, elapsed) || elapsed > limits.time {
            return Some(Why::Time(elapsed));
        }
        (bytes > limits.bytes).then_some(Why::Bytes(limits.bytes))
    }

    fn bytes(&self) -> u64 {
        let ways = self.ways.capacity() * size_of::<(u32, u8)>();
        (self.search.limits.memory)().max((self.known.bytes() + ways) as u64)
    }

    /// The actions that lead to a state, and on by one of its choices.
    fn actions_to(&self, way: u32, last: Option<usize>) -> Vec<S::Action> {
        let mut places: Vec<usize> = Vec::new();
        match self.search.order {
            Order::Depth => places.extend(self.open.iter().skip(1).map(|open| open.way as usize)),
            Order::Breadth => {
                let mut at = way;
                while at != 0 {
                    let (from, place) = self.ways[at as usize];
                    places.push(place.into());
                    at = from;
                }
                places.reverse();
            }
        }
        places.extend(last);
        let (mut world, mut actions, mut choices) = (self.start.clone(), Vec::new(), Vec::new());
        for place in places {
            choices.clear();
            world.moves(&mut choices);
            choices.sort_unstable_by_key(|choice| choice.print);
            let made = panics::catch(|| world.make(choices[place].next, &mut actions));
            if !matches!(made, Ok(Ok(_))) {
                break;
            }
        }
        actions
    }

    /// Whether these actions fail with all judges, or lead to a bad end.
    fn ends_badly(&self, actions: &[S::Action]) -> bool {
        crate::walk::replay(self.start.clone(), actions).1.is_failure()
    }
}

/// The place of the next choice to be made.
fn next_place<S: Space>(state: &mut Open<S>) -> Option<usize> {
    while state.place < state.choices.len() {
        let place = state.place;
        state.place += 1;
        if state.todo >> place & 1 == 1 {
            return Some(place);
        }
    }
    None
}
