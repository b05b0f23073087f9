use std::collections::BTreeMap;

use testbed::data::hash::stable_hash;

use super::*;

/// Walks that are made in each build of the tests.
const WALKS: u64 = 40;

#[test]
fn no_walk_breaks_a_promise() {
    for seed in 0..WALKS {
        let walk = of(seed);
        let told = match &walk.ending {
            Ending::Failed(failure) => walk.world.explain(failure),
            ending => vec![format!("{ending:?}")],
        };
        assert!(!walk.ending.is_failure(), "seed {seed}: {told:#?}");
    }
}

/// The same in the ordinary world and in the simulated one, optimised or not.
#[test]
fn seeds_mean_the_walks_that_they_meant() {
    let traces: Vec<u64> = (0..8).map(|seed| of(seed).world.fingerprint().0).collect();
    assert_eq!(stable_hash(&traces), PINNED, "{traces:x?}");
}

const PINNED: u64 = 18_091_201_157_024_793_403;

#[test]
fn walks_come_by_all_that_may_happen() {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..WALKS {
        let counts = of(seed).world.counts().clone();
        for (what, count) in [
            ("steps", counts.steps),
            ("copies", counts.copied),
            ("losses", counts.lost),
            ("crashes", counts.crashes),
            ("wipes", counts.wipes),
            ("views", counts.views),
            ("promotions", counts.promotions),
            ("transfers", counts.transfers),
        ] {
            *sums.entry(what).or_default() += count;
        }
    }
    let rare: Vec<_> = sums.iter().filter(|(_, count)| **count < WALKS / 4).collect();
    assert!(rare.is_empty(), "{rare:?} of {sums:?}");
}

/// Numbers that are added up to no more than ten, by a machine that forgets its limit after three resets.
#[derive(Clone, Debug, Default)]
struct Counter {
    sum: u64,
    resets: u64,
    heard: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Add(u64),
    Reset,
    Look,
}

impl World for Counter {
    type Action = Change;
    type Swarm = u64;
    type Failure = String;

    fn swarm(&self, dice: &mut Dice) -> u64 {
        dice.pick(&[1, 5, 20])
    }

    fn choose(&self, dice: &mut Dice, resets: &mut u64) -> Option<Change> {
        Some(match dice.below(100) {
            point if point < *resets => Change::Reset,
            point if point < 50 => Change::Add(1 + dice.below(3)),
            point if point < 90 => Change::Look,
            _ => return None,
        })
    }

    fn take(&mut self, change: Change) -> Result<bool, String> {
        match change {
            Change::Look => {}
            Change::Reset => {
                self.resets += 1;
                self.sum = 0;
            }
            Change::Add(_) if self.sum >= 7 && self.resets < 3 => return Ok(false),
            Change::Add(more) => self.sum += more,
        }
        self.heard.push(format!("it is {}", self.sum));
        assert!(self.sum != 13, "thirteen");
        if self.sum > 10 { Err(format!("{} is more than ten", self.sum)) } else { Ok(true) }
    }

    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn tell(&self, change: Change) -> String {
        format!("{change:?}")
    }

    fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }

    fn listen(&mut self) {}
}

#[test]
fn a_walk_finds_the_way_to_a_failure_and_what_is_not_needed_is_left_out() {
    let walks = (0..50).map(|seed| walk(Counter::default(), &mut Dice::new(seed), 300));
    let failed = walks.into_iter().find(|walk| matches!(walk.ending, Ending::Failed(_))).expect("a mistake");
    let start = Counter::default();
    let forever = std::time::Duration::from_secs(60);
    let small =
        shrink::shrink(&start, &failed.actions, forever, |_, ending| matches!(ending, Ending::Failed(_)));
    let count = |change: fn(&Change) -> bool| small.iter().filter(|it| change(it)).count();
    assert_eq!((count(|it| *it == Change::Reset), count(|it| *it == Change::Look)), (3, 0), "{small:?}");
    assert!(small.len() <= 3 + 7, "{small:?}");
    let (lines, ending) = tell(start, &small);
    assert!(ending.is_failure() && lines.iter().any(|line| line == "Reset"), "{lines:?}");
    assert!(lines.last().is_some_and(|line| line.trim_start().starts_with("it is 1")), "{lines:?}");
}

#[test]
fn a_panic_is_a_failure_with_its_words_and_its_place() {
    let resets = [Change::Reset; 3];
    let way: Vec<_> = resets.into_iter().chain([Change::Add(3), Change::Add(3), Change::Add(3)]).collect();
    let (world, ending) = replay(Counter::default(), &way);
    assert!(!ending.is_failure(), "{world:?}");
    let more = [&way[..], &[Change::Add(1), Change::Add(3)]].concat();
    let (_, ending) = replay(Counter::default(), &more);
    let Ending::Panicked(message) = ending else { panic!("{ending:?}") };
    assert!(message.starts_with("thirteen (") && message.contains("tests.rs"), "{message}");
}
