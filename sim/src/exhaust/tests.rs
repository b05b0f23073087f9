use std::time::Duration;

use super::*;
use crate::walk::{
    Dice, World,
    cluster::{Budget, Start},
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
    // What the system tells, and what the search knows of its own tables.
    assert!(
        whys(Limits { bytes: 1 << 30, memory: || 2 << 30, ..LIMITS }, true)
            .all(|why| why == Why::Bytes(1 << 30))
    );
    assert!(whys(Limits { bytes: 1 << 10, ..LIMITS }, true).all(|why| why == Why::Bytes(1 << 10)));
}

/// A cluster whose states are all looked at, in every way: the states are the same ones.
fn agree(numbers: (u32, u32, u32), slow_disks: bool, budget: Budget, states_min: u64) {
    let start = Start::new(numbers, slow_disks, budget).expect("it comes about");
    let found: Vec<Progress> = searches()
        .map(|how| {
            let (ending, progress) = search(&start.lean(), &start.whole, &how, &mut |_, _| true);
            assert!(matches!(ending, Ending::Complete), "{budget}: {how:?}: {ending:?}");
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
    assert!(
        found[0].states >= states_min && found[0].ends > 0 && found[0].at_rest > 0,
        "{budget}: {:?}",
        found[0]
    );
    assert!(found[1].moves < found[0].moves && found[3].moves < found[2].moves, "{budget}: {found:?}");
}

#[test]
fn breadth_and_depth_and_fewer_orders_see_the_same_states() {
    let none = Budget::default();
    agree((2, 2, 1), true, Budget { calls: [1, 0, 0], ticks: 1, ..none }, 200);
    agree((2, 2, 2), false, Budget { calls: [1, 1, 0], suspicions: 1, copies: 1, ..none }, 200);
    agree((2, 2, 1), false, Budget { calls: [1, 0, 0], restarts: 1, ..none }, 200);
}
