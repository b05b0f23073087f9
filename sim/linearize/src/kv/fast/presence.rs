//! Keys with deletes: blocks and the absence between them.
//!
//! A delete writes "absent", a value that is written again and again, so that a read of it names no write.
//! But it is the only such value. What was written otherwise still forms blocks with zones, and to everything
//! else a block is one operation that makes the key **present**:
//!
//! | move | of which operations | needs | leaves |
//! | --- | --- | --- | --- |
//! | set | a block that begins with a put; an append that no read shows | - | present |
//! | fill | a block that begins with a swap or an append that found the key absent | absent | present |
//! | clear | a delete that does not say what it found | - | absent |
//! | take | a delete that found something | present | absent |
//! | miss | a read of "absent" | absent | absent |
//! | differ | a failed swap that does not say what it found, if it is tracked | another value | the same |
//!
//! A block whose zone is backward happens at one instant of the zone. One whose zone is forward keeps the key
//! from the zone's beginning to its end: nothing else happens in between, so all that span can be taken out
//! of time, and a move that could have been made only within one part of it must be made at its end or at its
//! beginning:
//!
//! ```text
//! time         0    1    2    3    4    5    6
//! forward                f=========s
//! delete            c---------r                      must be made by f
//! delete                      c---------r            must be made from s on
//! delete            c-------------------r            before f or after s
//! ```
//!
//! What is left is the history of an object with two states and five kinds of moves. An order of its moves
//! gives an order of the operations and the other way round: the reduction is exact. Of several moves of one
//! kind, the one with the earliest deadline is made first, so that the search for such an order hardly
//! branches.
//!
//! Only failed swaps that do not say what they found are not part of that: one can lie inside a block. They
//! are put into an order of everything else where they fit, and most fit into any. Those that do not are
//! looked for a place with the next order, in which what left the value that they expected has a state of its
//! own. So a state that differs from "present" is there for few values, and for each that matters. If some
//! never fit, the key is left to the search.
//!
//! Operations of unknown outcome that no read shows may be made: a delete may have found what a lost put
//! wrote. A lost swap from one value to another changes nothing here and is left out.

use rustc_hash::FxHashMap;

use super::super::fact::{Fact, fact};
use super::blocks::{self, Conflict};
use super::refusals::{self, Unplaced};
use super::report;
use super::versions::{INITIAL, NEVER, NONE, Versions, call, returned};
use super::zones::Zones;
use crate::history::{Operation, Outcome};
use crate::model::{Decision, Lens, Model};
use crate::search::{Progress, Search};
use crate::stop::Stop;
use crate::verdict::Options;

/// Configurations that are visited at most, for each operation.
const CONFIGURATIONS_EACH: u64 = 256;
/// What even a short key of a long history may visit.
const CONFIGURATIONS_LEAST: u64 = 1024;

/// Orders that are tried at most, each with those failed swaps in sight that had no room in one before.
const ROUNDS_MAX: u32 = 32;

/// What a key holds between two moves.
type State = u32;

/// Nothing.
const ABSENT: State = 0;
/// A value that no tracked swap expected. Those that one expected have numbers from here on.
const PRESENT: State = 1;

/// What an operation or a block does to its key. See the module's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Move {
    Set(State),
    Fill(State),
    Clear,
    Take,
    Miss,
    Differ(State),
}

/// A key that is absent or present.
struct Presence;

impl Model for Presence {
    type Input = Move;
    type Output = ();
    type State = State;
    type Key<'a> = ();

    fn init(&self) -> State {
        ABSENT
    }

    fn partition(&self, _input: &Move) {}

    fn step(&self, state: &State, input: &Move, output: Option<&()>) -> Option<State> {
        let (state, absent) = (*state, *state == ABSENT);
        match *input {
            Move::Set(to) => Some(to),
            Move::Fill(to) if absent => Some(to),
            Move::Fill(_) => output.is_none().then_some(state),
            Move::Clear => Some(ABSENT),
            Move::Take => (!absent).then_some(ABSENT),
            Move::Miss => absent.then_some(ABSENT),
            Move::Differ(from) => (state != from).then_some(state),
        }
    }

    fn observes(&self, input: &Move, _: &()) -> bool {
        matches!(input, Move::Miss | Move::Differ(_))
    }

    fn lens<'a>(&'a self, operations: &'a [Operation<Move, ()>], part: &[u32]) -> Lens<'a, State> {
        let inputs = || part.iter().map(|&index| operations[index as usize].input);
        let mut numbers: FxHashMap<Move, u32> = FxHashMap::default();
        let mut classes = Vec::with_capacity(part.len());
        for input in inputs() {
            let next = numbers.len() as u32;
            classes.push(*numbers.entry(input).or_insert(next));
        }
        let overwrites = inputs().map(|input| matches!(input, Move::Set(_) | Move::Clear)).collect();
        Lens { classes, overwrites, representative: Box::new(|state| state) }
    }

    fn may_enable(&self, change: &Operation<Move, ()>, waiting: &Operation<Move, ()>) -> bool {
        match waiting.input {
            Move::Fill(_) | Move::Miss => matches!(change.input, Move::Clear | Move::Take),
            Move::Take => matches!(change.input, Move::Set(_) | Move::Fill(_)),
            Move::Differ(_) | Move::Set(_) | Move::Clear => true,
        }
    }
}

/// Where a move comes from.
#[derive(Clone, Copy)]
enum Origin {
    /// The block that begins with this version.
    Block(u32),
    Operation(u32),
}

/// A time; with `true`, what begins right after it: a forward block has no instant of its own.
type Instant = (u64, bool);

/// The moves of one key.
#[derive(Default)]
struct Moves {
    list: Vec<Operation<Move, ()>>,
    origins: Vec<Origin>,
    windows: Vec<(Instant, Instant)>,
}

impl Moves {
    fn add(&mut self, input: Move, origin: Origin, window: (Instant, Instant), optional: bool) {
        let outcome = if optional { Outcome::Unknown } else { Outcome::Returned { at: 0, output: () } };
        self.list.push(Operation { process: 0, call: 0, input, outcome });
        self.origins.push(origin);
        self.windows.push(window);
    }

    /// The windows with instants by number.
    fn numbered(&self) -> Vec<(u64, u64)> {
        let mut instants: Vec<Instant> = self.windows.iter().flat_map(|&(from, to)| [from, to]).collect();
        instants.sort_unstable();
        instants.dedup();
        let number = |instant| instants.partition_point(|&other| other < instant) as u64;
        self.windows.iter().map(|&(from, to)| (number(from), number(to))).collect()
    }
}

/// Decides a key with deletes, whose reads and swaps have found their versions as far as these are not
/// absence.
pub(super) fn decide(versions: &Versions<'_>, part: &[u32], options: &Options) -> Decision {
    let mut zones = match blocks::zones_of(versions, |version| !is_absence(versions, version)) {
        Ok(zones) => zones,
        Err(conflict) => return report::violation(versions, part, conflict),
    };
    if let Err(clash) = zones.check() {
        let conflict = Conflict::Clash { outer: clash.outer.root, inner: clash.inner.root };
        return report::violation(versions, part, conflict);
    }
    let refusals = refusals::refusals(versions.operations, part);
    let allowance = allowance(versions, part, options);
    let mut visited = 0;
    let mut tracked: Vec<Unplaced> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let moves = match moves(versions, part, &zones, &tracked) {
            Ok(moves) => moves,
            Err(conflict) => return report::violation(versions, part, conflict),
        };
        let (progress, search) = search(&moves, allowance.saturating_sub(visited), options);
        visited += search.configurations();
        match progress {
            Progress::Illegal if tracked.is_empty() => {
                let (stuck, _) = search.stuck();
                let around = operations(versions, moves.origins[stuck as usize]);
                return Decision::Contradiction { around, why: None };
            }
            // What is tracked may have had room inside a block.
            Progress::Illegal | Progress::Paused => break,
            Progress::Linearizable if refusals.is_empty() && !options.witness => {
                return Decision::Linearizable(Vec::new());
            }
            Progress::Linearizable => {}
        }
        let order = flatten(versions, &moves, &search.order());
        match refusals::place(versions.operations, &refusals, order) {
            Ok(order) => return Decision::Linearizable(order),
            Err(unplaced) => {
                let known = tracked.len();
                tracked.extend(unplaced);
                tracked.sort_unstable_by_key(|one| (one.refusal, one.left_by));
                tracked.dedup_by_key(|one| (one.refusal, one.left_by));
                if tracked.len() == known {
                    break;
                }
            }
        }
    }
    Decision::Open(visited)
}

/// How many configurations a key may visit: of the budget no larger a part than the key is of the history,
/// and something is left for the search.
fn allowance(versions: &Versions<'_>, part: &[u32], options: &Options) -> u64 {
    let (length, all) = (part.len() as u64, versions.operations.len() as u64);
    let budget = options.budget.configurations - options.budget.configurations / 4;
    let share = (budget / all.max(1)).saturating_mul(length).max(CONFIGURATIONS_LEAST);
    share.min(CONFIGURATIONS_EACH * (length + 64)).min(budget)
}

fn search<'a>(moves: &'a Moves, configurations: u64, options: &Options) -> (Progress, Search<'a, Presence>) {
    let all: Vec<u32> = (0..moves.list.len() as u32).collect();
    let windows = moves.numbered();
    let window = |index: u32| windows[index as usize];
    let mut search = Search::within(&Presence, &moves.list, &all, window).until(Stop::of(options));
    (search.run(configurations, options.budget.bytes), search)
}

fn is_absence(versions: &Versions<'_>, version: u32) -> bool {
    version == INITIAL || versions.erasures.binary_search(&version).is_ok()
}

/// What tracked swaps expected: a number for the state that each version leaves behind.
struct Expected(FxHashMap<u32, State>);

impl Expected {
    fn new(versions: &Versions<'_>, tracked: &[Unplaced]) -> Self {
        let mut left_by: Vec<u32> = tracked.iter().filter_map(|one| one.left_by).collect();
        left_by.sort_unstable();
        left_by.dedup();
        let numbered = (0..).zip(&versions.list).filter_map(|(number, version)| {
            let place = left_by.binary_search(&version.write).ok()?;
            Some((number, PRESENT + 1 + place as State))
        });
        Expected(if left_by.is_empty() { FxHashMap::default() } else { numbered.collect() })
    }

    fn state(&self, version: u32) -> State {
        self.0.get(&version).copied().unwrap_or(PRESENT)
    }
}

/// The moves of a key, with some of its failed swaps.
fn moves(
    versions: &Versions<'_>,
    part: &[u32],
    zones: &Zones,
    tracked: &[Unplaced],
) -> Result<Moves, Conflict> {
    let expected = Expected::new(versions, tracked);
    let mut moves = Moves::default();
    for zone in zones.all() {
        let window = match zone.is_forward() {
            true => ((zone.first_return, true), (zone.first_return, true)),
            false => outside(zones, (zone.last_call, zone.first_return)),
        };
        let last = match expected.0.is_empty() {
            true => zone.root,
            false => blocks::block(versions, zone.root).last().copied().unwrap_or(zone.root),
        };
        let input = beginning(versions, zone.root, expected.state(last));
        moves.add(input, Origin::Block(zone.root), window, false);
    }
    for &index in part {
        let operation = &versions.operations[index as usize];
        let input = match fact(operation) {
            Fact::Read(None) => Move::Miss,
            Fact::Erase { present: true } => Move::Take,
            Fact::Erase { present: false } => Move::Clear,
            _ => continue,
        };
        let times = (call(operation), returned(operation));
        let window = outside(zones, times);
        if window.1 < window.0 {
            let around = zones.forward_around(times.0).expect("what lies in no zone keeps its window");
            return Err(Conflict::Within { outer: around.root, operation: index });
        }
        moves.add(input, Origin::Operation(index), window, operation.output().is_none());
    }
    let version_of: FxHashMap<u32, u32> =
        expected.0.keys().map(|&version| (versions.list[version as usize].write, version)).collect();
    for &Unplaced { refusal: index, left_by } in tracked {
        let operation = &versions.operations[index as usize];
        let from = match left_by {
            None => ABSENT,
            Some(write) => version_of.get(&write).map_or(PRESENT, |&version| expected.state(version)),
        };
        // A value that nobody wrote is never there, and what lies within a block finds a place there or
        // nowhere.
        let window = outside(zones, (call(operation), returned(operation)));
        if from != PRESENT && window.0 <= window.1 {
            moves.add(Move::Differ(from), Origin::Operation(index), window, false);
        }
    }
    for (number, version) in (0..).zip(&versions.list).filter(|(_, version)| !version.happened) {
        let to = expected.state(number);
        let input = match fact(&versions.operations[version.write as usize]) {
            Fact::Write(_) | Fact::Append(_) => Move::Set(to),
            Fact::Swap { expected: None, .. } => Move::Fill(to),
            _ => continue,
        };
        let window = outside(zones, (version.call, NEVER));
        moves.add(input, Origin::Operation(version.write), window, true);
    }
    Ok(moves)
}

/// What the first version of a block needs.
fn beginning(versions: &Versions<'_>, root: u32, to: State) -> Move {
    let root = root as usize;
    let is_seen = || {
        let continued = versions.after.get(root).is_some_and(|&after| after != NONE);
        continued || versions.list[root].first_return != NEVER
    };
    match fact(&versions.operations[versions.list[root].write as usize]) {
        Fact::Swap { expected: None, .. } => Move::Fill(to),
        Fact::Append(_) if is_seen() => Move::Fill(to),
        _ => Move::Set(to),
    }
}

/// A window without the parts of it at its ends that lie within a forward zone.
fn outside(zones: &Zones, (from, to): (u64, u64)) -> (Instant, Instant) {
    let from = zones.forward_around(from).map_or(from, |zone| zone.last_call);
    let to = zones.forward_around(to).map_or(to, |zone| zone.first_return);
    ((from, false), (to, false))
}

/// The operations of a move.
fn operations(versions: &Versions<'_>, origin: Origin) -> Vec<u32> {
    match origin {
        Origin::Operation(index) => vec![index],
        Origin::Block(root) => blocks::flatten(versions, &[root]),
    }
}

/// An order of the operations, given one of the moves, without what is tracked.
fn flatten(versions: &Versions<'_>, moves: &Moves, order: &[u32]) -> Vec<u32> {
    let roots = order.iter().filter_map(|&index| match moves.origins[index as usize] {
        Origin::Block(root) => Some(root),
        Origin::Operation(_) => None,
    });
    let roots: Vec<u32> = roots.collect();
    let mut blocks = blocks::flatten_each(versions, &roots).into_iter();
    let mut flat = Vec::with_capacity(versions.reads.len() + versions.list.len());
    for &index in order {
        match moves.origins[index as usize] {
            Origin::Operation(_) if matches!(moves.list[index as usize].input, Move::Differ(_)) => {}
            Origin::Operation(operation) => flat.push(operation),
            Origin::Block(_) => flat.extend(blocks.next().expect("one for each root")),
        }
    }
    flat
}
