use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use super::*;
use crate::walk::{
    Dice, World,
    cluster::{Action, Budget, Cluster, Counts, Failure, Move, Start},
};

/// Two counters. They are a bad pair if they are equal to `bad`.
#[derive(Clone, Debug)]
struct Two {
    steps: [u64; 2],
    max: u64,
    bad: Option<[u64; 2]>,
    /// The second one may be set to the first,
    may_follow: bool,
    /// which counts as no look at the first.
    hides_it: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Up(usize),
    Follow,
}

impl World for Two {
    type Action = Step;
    type Swarm = ();
    type Failure = String;

    fn swarm(&self, _: &mut Dice) {}

    fn choose(&self, _: &mut Dice, (): &mut ()) -> Option<Step> {
        None
    }

    fn take(&mut self, step: Step) -> Result<bool, String> {
        match step {
            Step::Up(which) => self.steps[which] += 1,
            Step::Follow => {
                self.steps[1] = self.steps[0];
                self.may_follow = false;
            }
        }
        if Some(self.steps) == self.bad { Err(format!("{:?} is bad", self.steps)) } else { Ok(true) }
    }

    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn tell(&self, step: Step) -> String {
        format!("{step:?}")
    }

    fn heard(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn listen(&mut self) {}
}

impl Space for Two {
    type Move = Step;

    fn moves(&self, into: &mut Vec<Choice<Step>>) {
        let up = (0..2).filter(|which| self.steps[*which] < self.max);
        into.extend(up.map(|which| Choice { print: 1 + which as u64, next: Step::Up(which) }));
        if self.may_follow {
            into.push(Choice { print: 3, next: Step::Follow });
        }
    }

    fn make(&mut self, next: Step, actions: &mut Vec<Step>) -> Result<Touched, String> {
        actions.push(next);
        self.take(next)?;
        let parts = match next {
            Step::Up(which) => 1 << which,
            Step::Follow if self.hides_it => 2,
            Step::Follow => 3,
        };
        Ok(Touched { parts, idle: false })
    }

    fn print(&self) -> u64 {
        1 + self.steps[0] + 100 * self.steps[1] + 10_000 * u64::from(self.may_follow)
    }
}

const START: Two = Two { steps: [0, 0], max: 4, bad: None, may_follow: false, hides_it: false };

const LIMITS: Limits = Limits {
    states: u64::MAX,
    time: Duration::from_secs(600),
    bytes: u64::MAX,
    memory: || 0,
    moves: u64::MAX,
    choices: CHOICES_MAX,
};

/// Every order of states, with and without sleep.
fn searches() -> impl Iterator<Item = Search> {
    let ways = [(Order::Breadth, false), (Order::Breadth, true), (Order::Depth, false), (Order::Depth, true)];
    ways.into_iter().map(|(order, sleep)| Search { order, limits: LIMITS, sleep, ends_every: 50 })
}

fn run<S: Space>(start: &S, how: &Search) -> (Ending<S::Action>, Progress) {
    search(start, start, how, &mut |_, _| true)
}

#[test]
fn all_states_are_reached_and_what_commutes_is_made_in_one_order() {
    for how in searches() {
        let (ending, progress) = run(&START, &how);
        assert!(matches!(ending, Ending::Complete), "{ending:?}");
        let moves = if how.sleep { 24 } else { 40 };
        assert_eq!((progress.states, progress.moves, progress.at_rest), (25, moves, 1), "{how:?}");
        assert_eq!(progress.longest, 8, "{how:?}");
    }
}

#[test]
fn a_failure_is_found_and_breadth_first_by_a_shortest_way() {
    let start = Two { bad: Some([3, 2]), ..START };
    for how in searches() {
        let (Ending::Failed(way), _) = run(&start, &how) else { panic!("nothing was found: {how:?}") };
        let (world, ending) = crate::walk::replay(start.clone(), &way);
        assert!(ending.is_failure() && world.steps == [3, 2], "{how:?}: {way:?}");
        assert_eq!(way.len(), 5, "{how:?}: {way:?}");
    }
    let start = Two { bad: Some([3, 3]), may_follow: true, ..START };
    let lengths = searches().map(|how| match run(&start, &how).0 {
        Ending::Failed(way) => way.len(),
        ending => panic!("{ending:?}"),
    });
    assert_eq!(lengths.take(2).collect::<Vec<_>>(), [4, 4]);
}

/// The comparison that the tests of the cluster make shows a mistake in what commutes.
#[test]
fn a_move_that_hides_what_it_looks_at_loses_states() {
    let states = |hides_it| {
        let start = Two { may_follow: true, hides_it, ..START };
        searches().map(|how| run(&start, &how).1.sums.0).collect::<Vec<_>>()
    };
    let honest = states(false);
    assert!(honest.iter().all(|sum| *sum == honest[0]), "{honest:?}");
    assert_ne!(states(true), honest);
}

#[test]
fn a_search_that_was_cut_off_says_so() {
    let cut = |limits: Limits, say: bool| {
        searches().map(move |how| {
            search(&Two { max: 200, ..START }, &START, &Search { limits, ..how }, &mut |_, _| say).0
        })
    };
    let whys = |limits, say| {
        cut(limits, say).map(|ending| match ending {
            Ending::Cut(why) => why,
            ending => panic!("{ending:?}"),
        })
    };
    assert!(whys(Limits { states: 100, ..LIMITS }, true).all(|why| why == Why::States(100)));
    assert!(whys(Limits { moves: 50, ..LIMITS }, true).all(|why| why == Why::Moves(50)));
    assert!(whys(Limits { time: Duration::ZERO, ..LIMITS }, true).all(|why| matches!(why, Why::Time(_))));
    assert!(whys(LIMITS, false).all(|why| matches!(why, Why::Time(_))));
    assert!(whys(Limits { choices: 1, ..LIMITS }, true).all(|why| why == Why::Choices(1)));
    // What the system tells, and what the search knows of its own tables.
    assert!(
        whys(Limits { bytes: 1 << 30, memory: || 2 << 30, ..LIMITS }, true)
            .all(|why| why == Why::Bytes(1 << 30))
    );
    assert!(whys(Limits { bytes: 1 << 10, ..LIMITS }, true).all(|why| why == Why::Bytes(1 << 10)));
}

thread_local! {
    /// The states that were seen, without their messages.
    static SEEN: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

/// A cluster that notes what is seen of it.
#[derive(Clone)]
struct Watched(Cluster);

impl World for Watched {
    type Action = Action;
    type Swarm = ();
    type Failure = Failure;

    fn swarm(&self, _: &mut Dice) {}

    fn choose(&self, _: &mut Dice, (): &mut ()) -> Option<Action> {
        None
    }

    fn take(&mut self, action: Action) -> Result<bool, Failure> {
        self.0.take(action)
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.0.end()
    }

    fn tell(&self, action: Action) -> String {
        self.0.tell(action)
    }

    fn heard(&mut self) -> Vec<String> {
        self.0.heard()
    }

    fn listen(&mut self) {
        self.0.listen();
    }
}

impl Space for Watched {
    type Move = Move;

    fn moves(&self, into: &mut Vec<Choice<Move>>) {
        self.0.moves(into);
    }

    fn make(&mut self, next: Move, actions: &mut Vec<Action>) -> Result<Touched, Failure> {
        self.0.make(next, actions)
    }

    fn print(&self) -> u64 {
        SEEN.with_borrow_mut(|seen| seen.insert(self.0.print_without_messages()));
        self.0.print()
    }
}

fn begin(numbers: (u32, u32, u32), slow_disks: bool, budget: Budget) -> Start {
    let start = Start::new(numbers, slow_disks, budget);
    start.unwrap_or_else(|_| panic!("a cluster of {numbers:?} does not come about"))
}

/// All states of a cluster, looked at in every way: those that are to be the same are, with and without each
/// reduction.
fn agree(numbers: (u32, u32, u32), slow_disks: bool, budget: Budget, states_min: u64) {
    let mut machines = Vec::new();
    for keeps_all in [true, false] {
        let budget = Budget { keeps_all, ..budget };
        let start = begin(numbers, slow_disks, budget);
        let found: Vec<Progress> = searches()
            .map(|how| {
                SEEN.with_borrow_mut(BTreeSet::clear);
                let (lean, whole) = (Watched(start.lean()), Watched(start.whole.clone()));
                let (ending, progress) = search(&lean, &whole, &how, &mut |_, _| true);
                assert!(matches!(ending, Ending::Complete), "{budget}: {how:?}: {ending:?}");
                machines.push(SEEN.with_borrow(Clone::clone));
                progress
            })
            .collect();
        for progress in &found {
            assert_eq!(
                (progress.states, progress.sums),
                (found[0].states, found[0].sums),
                "{budget}: {progress:?}"
            );
        }
        let first = &found[0];
        assert!(first.states >= states_min && first.ends > 0 && first.at_rest > 0, "{budget}: {first:?}");
        assert!(found[1].moves < first.moves && found[3].moves < found[2].moves, "{budget}: {found:?}");
    }
    let counts: Vec<usize> = machines.iter().map(BTreeSet::len).collect();
    assert!(machines.iter().all(|seen| *seen == machines[0]), "{budget}: {counts:?}");
}

#[test]
fn no_reduction_loses_a_state_of_the_machines() {
    let none = Budget::default();
    agree((2, 2, 1), true, Budget { calls: [1, 0, 0], ticks: 1, ..none }, 100);
    agree((2, 2, 2), false, Budget { calls: [1, 1, 0], suspicions: 1, copies: 1, ..none }, 100);
    agree((2, 2, 1), false, Budget { calls: [1, 0, 0], restarts: 1, ..none }, 100);
    agree((2, 2, 1), false, Budget { wipes: 1, ticks: 1, ..none }, 100);
}

/// What a cluster comes to by these moves, if then all that is on its way arrives.
fn comes_to(budget: Budget, moves: &[Move]) -> Counts {
    let start = begin((2, 2, 1), false, budget);
    let (mut world, mut actions) = (start.whole.clone(), Vec::new());
    let before = start.whole.counts();
    for next in moves {
        let mut choices = Vec::new();
        world.moves(&mut choices);
        let choice = choices.into_iter().find(|choice| format!("{:?}", choice.next) == format!("{next:?}"));
        let choice = choice.unwrap_or_else(|| panic!("{next:?} is not possible"));
        world.make(choice.next, &mut actions).expect("no promise is broken");
    }
    world.settle(&mut actions).expect("no promise is broken");
    let after = world.counts();
    Counts {
        views: after.views - before.views,
        promotions: after.promotions - before.promotions,
        transfers: after.transfers - before.transfers,
        ..Counts::default()
    }
}

#[test]
fn what_is_in_the_budget_has_the_effect_that_it_is_there_for() {
    let all = Budget { ticks: 2, suspicions: 1, silences: 1, restarts: 1, wipes: 1, ..Budget::default() };
    // The primary is taken for dead when the backup was heard.
    let suspected = comes_to(all, &[Move::Suspect, Move::Tick(2)]);
    assert!(suspected.promotions > 0 && suspected.views > 0, "{suspected:?}");
    // The primary suspects its backup, and the view service hears of it.
    let silent = comes_to(all, &[Move::Silence(1)]);
    assert!(silent.views > 0, "{silent:?}");
    let restarted = comes_to(all, &[Move::Restart(1)]);
    assert!(restarted.promotions > 0, "{restarted:?}");
    let wiped = comes_to(all, &[Move::Wipe(2)]);
    assert!(wiped.views > 0, "{wiped:?}");
}

/// The print and the parts of what a choice leads to, if it is there.
fn led_by(print: u64, from: &Cluster) -> Option<(u64, u64)> {
    let (mut world, mut choices) = (from.clone(), Vec::new());
    world.moves(&mut choices);
    let choice = choices.into_iter().find(|choice| choice.print == print)?;
    let touched = world.make(choice.next, &mut Vec::new()).expect("no promise is broken");
    Some((world.print(), touched.parts))
}

/// What sleep rests on: in every state, two moves that share no part lead to one state in either order, and
/// touch the same.
#[test]
fn moves_that_share_no_part_commute() {
    let none = Budget::default();
    for (slow_disks, budget) in [
        (false, Budget { wipes: 1, ticks: 1, ..none }),
        (true, Budget { calls: [1, 0, 0], suspicions: 1, ticks: 1, ..none }),
    ] {
        let start = begin((2, 2, 1), slow_disks, budget);
        let (mut todo, mut known, mut pairs) = (vec![start.lean()], BTreeSet::new(), 0);
        while let Some(world) = todo.pop().filter(|_| known.len() < 1_500) {
            if !known.insert(world.print()) {
                continue;
            }
            let mut choices = Vec::new();
            world.moves(&mut choices);
            let mut made: Vec<(Choice<Move>, Cluster, Touched)> = Vec::new();
            for choice in choices {
                let mut after = world.clone();
                let touched = after.make(choice.next, &mut Vec::new()).expect("no promise is broken");
                for (other, after_other, touched_other) in &made {
                    if touched.parts & touched_other.parts != 0 {
                        continue;
                    }
                    pairs += 1;
                    let then_other = led_by(other.print, &after);
                    let then_this = led_by(choice.print, after_other);
                    // One may have made the other void, which then changes nothing.
                    let (Some(one), Some(two)) = (then_other, then_this) else { continue };
                    let both = format!("{:?} and {:?}", choice.next, other.next);
                    assert_eq!(one.0, two.0, "{budget}: {both} do not commute");
                    assert_eq!((one.1, two.1), (touched_other.parts, touched.parts), "{budget}: {both}");
                }
                todo.extend((!touched.idle).then(|| after.clone()));
                made.push((choice, after, touched));
            }
        }
        assert!(pairs > 1_000, "{budget}: only {pairs} pairs");
    }
}
