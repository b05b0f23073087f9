//! Spends more seeds on families of plans that reach rare marks.
//!
//! A seed keeps its one meaning; steering only passes over seeds. A *family* is a feature of a plan that is
//! known without running it ([`crate::marks::family`]), and a mark is *rare* if few runs reached it so far.
//! Earlier runs show, for each mark, how much more or less often each family occurs among the runs that reach
//! it than among all (naive Bayes: families are assumed to be independent). A seed is worth what its families
//! promise, summed over the rare marks; the marks that were reached least count most. Of each few seeds in
//! order the most promising one is run and the others are passed over. A share of the runs takes the next
//! seed as it comes: what promises nothing so far is tried, too.
//!
//! Which seeds are run is a function of the first seed and of the results: they are chosen a *block* at a
//! time, from the results of all blocks but the one before, which may still be running. So the order in which
//! runs end does not matter, nor how many there are at once, unless one takes as long as a whole block of the
//! others: its block is then not waited for, and the next one is not steered.
//!
//! What it gains, where a mark counts as rare if fewer than one in fifty of 10,000 runs in order reach it:
//! from seed 0 on, 1,126 steered runs reached rare marks 155 times for a thousand runs, and 161 of all 162
//! marks; from seed 3,000 on, 1,112 runs 163 times, and 161. In order it was 84 times, and 157 to 161 marks
//! in as many runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    marks::{Counts, Mark, family::Families},
    system::System,
};

/// Runs of a block.
const BLOCK: usize = 50;
/// Seeds of which one is run.
const CANDIDATES: usize = 8;
/// Every Nth run takes the next seed as it comes.
const PLAIN_INTERVAL: usize = 8;
/// A mark is rare if fewer than one run of this many reached it.
const RARE: u64 = 50;
/// This many runs in which a family is as frequent as among all are taken for granted: a single run proves
/// little.
const PRIOR: f64 = 2.0;
/// How much more a plan may promise than any other, at most.
const LIFT_MAX: f64 = 100.0;

/// How often each family occurred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Occurrences {
    runs: u64,
    families: Vec<u64>,
}

impl Occurrences {
    fn none<S: System>() -> Self {
        Self { runs: 0, families: vec![0; S::FAMILIES.len()] }
    }

    fn add(&mut self, families: Families) {
        self.runs += 1;
        families.iter().for_each(|family| self.families[family] += 1);
    }

    fn merge(&mut self, other: &Self) {
        self.runs += other.runs;
        self.families.iter_mut().zip(&other.families).for_each(|(own, more)| *own += more);
    }
}

/// What was learned from runs: how often each family occurred, among all of them and among those that reached
/// a mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
struct Learned<S: System> {
    all: Occurrences,
    reached: BTreeMap<Mark<S>, Occurrences>,
}

impl<S: System> Default for Learned<S> {
    fn default() -> Self {
        Self { all: Occurrences::none::<S>(), reached: BTreeMap::new() }
    }
}

impl<S: System> Learned<S> {
    fn add(&mut self, families: Families, marks: &Counts<S>) {
        self.all.add(families);
        marks.keys().for_each(|mark| self.of(*mark).add(families));
    }

    fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        other.reached.iter().for_each(|(mark, more)| self.of(*mark).merge(more));
    }

    fn of(&mut self, mark: Mark<S>) -> &mut Occurrences {
        self.reached.entry(mark).or_insert_with(Occurrences::none::<S>)
    }

    /// What to expect of plans.
    fn promises(&self) -> Promises {
        let rare = |reached: &&Occurrences| reached.runs * RARE < self.all.runs;
        let promise = |reached: &Occurrences| {
            let mut absent = 0.0;
            let mut lift = |family: usize| {
                let usual = self.all.families[family] as f64 / self.all.runs as f64;
                if usual == 0.0 || usual == 1.0 {
                    return 0.0;
                }
                let here = (reached.families[family] as f64 + PRIOR * usual) / (reached.runs as f64 + PRIOR);
                let without = ((1.0 - here) / (1.0 - usual)).ln();
                absent += without;
                (here / usual).ln() - without
            };
            let lifts = (0..S::FAMILIES.len()).map(&mut lift).collect();
            Promise { weight: 1.0 / (1 + reached.runs) as f64, absent, lifts }
        };
        Promises(self.reached.values().filter(rare).map(promise).collect())
    }
}

/// What the families promise for one rare mark.
struct Promise {
    weight: f64,
    /// The logarithm of how much more often runs reached the mark than others if they were of no family.
    absent: f64,
    /// By family: what to add if a plan is of it.
    lifts: Vec<f64>,
}

/// For all rare marks.
#[derive(Default)]
struct Promises(Vec<Promise>);

impl Promises {
    fn worth(&self, families: Families) -> f64 {
        let one = |promise: &Promise| {
            let lift = promise.absent + families.iter().map(|family| promise.lifts[family]).sum::<f64>();
            promise.weight * lift.exp().min(LIFT_MAX)
        };
        self.0.iter().map(one).sum()
    }
}

/// Seeds that were chosen together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
struct Block<S: System> {
    /// Those that have not ended.
    running: BTreeSet<u64>,
    learned: Learned<S>,
}

/// How far a steering has come, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Course<S: System> {
    learned: Learned<S>,
    /// Those before the block that is handed out whose results are not learned yet, and that one.
    blocks: Vec<Block<S>>,
    handed_out: usize,
}

impl<S: System> Course<S> {
    /// What to expect of plans in the block that is handed out. The one before it may still be running.
    fn promises(&self) -> Promises {
        if self.blocks.len() > 2 { Promises::default() } else { self.learned.promises() }
    }
}

/// Chooses seeds.
pub struct Steering<S: System> {
    families: Box<dyn Fn(u64) -> Families + Send>,
    course: Course<S>,
    promises: Promises,
}

impl<S: System> Steering<S> {
    /// From the beginning, with nothing learned yet, or on from where another one was; `families` are those
    /// of a seed.
    pub fn new(families: impl Fn(u64) -> Families + Send + 'static, course: Course<S>) -> Self {
        Self { families: Box::new(families), promises: course.promises(), course }
    }

    /// How far it has come.
    pub fn course(&self) -> &Course<S> {
        &self.course
    }

    /// The seed to be run next, of those that `next` gives in order.
    pub fn choose(&mut self, mut next: impl FnMut() -> Option<u64>) -> Option<u64> {
        if self.course.handed_out.is_multiple_of(BLOCK) {
            self.begin_block();
        }
        let plain = self.promises.0.is_empty() || self.course.handed_out.is_multiple_of(PLAIN_INTERVAL);
        let seed = if plain {
            next()?
        } else {
            let worth = |seed| (self.promises.worth((self.families)(seed)), seed);
            let candidates: Vec<(f64, u64)> = std::iter::from_fn(next).take(CANDIDATES).map(worth).collect();
            // The first of equals.
            candidates.into_iter().rev().max_by(|(a, _), (b, _)| a.total_cmp(b))?.1
        };
        self.course.handed_out += 1;
        self.course.blocks.last_mut().expect("a block was begun").running.insert(seed);
        Some(seed)
    }

    fn begin_block(&mut self) {
        let Course { learned, blocks, .. } = &mut self.course;
        let latest = blocks.pop();
        blocks.retain(|block| {
            let ended = block.running.is_empty();
            if ended {
                learned.merge(&block.learned);
            }
            !ended
        });
        blocks.extend(latest);
        blocks.push(Block::default());
        self.promises = self.course.promises();
    }

    /// A seed has ended and reached these marks; none, if it was given up.
    pub fn ended(&mut self, seed: u64, marks: &Counts<S>) {
        if let Some(block) = self.course.blocks.iter_mut().find(|block| block.running.contains(&seed)) {
            block.running.remove(&seed);
            block.learned.add((self.families)(seed), marks);
        }
    }
}

impl<S: System> std::fmt::Debug for Steering<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering").field("handed_out", &self.course.handed_out).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::hash::stable_hash, system::toy::Toy};

    /// The family that reaches the rare mark: an eighth of the seeds.
    const PROMISING: usize = 5;

    fn families(seed: u64) -> Families {
        let others = (0..Toy::FAMILIES.len())
            .filter(|place| stable_hash(&(seed, place)).is_multiple_of(3) && *place != PROMISING);
        others.chain((seed % 8 == 3).then_some(PROMISING)).collect()
    }

    /// Every run reaches one mark, and one in 32 of the promising family another one.
    fn marks(seed: u64) -> Counts<Toy> {
        let common = Mark::find("read_of_nothing").expect("a mark");
        let rare = Mark::find("update_answered_twice").expect("a mark");
        let reached = seed % 8 == 3 && stable_hash(&seed).is_multiple_of(32);
        [Some(common), reached.then_some(rare)].into_iter().flatten().map(|mark| (mark, 1)).collect()
    }

    fn fresh() -> Steering<Toy> {
        Steering::new(families, Course::default())
    }

    /// The seeds that are run if they end in the order in which `order` picks from those that run.
    fn steered(runs: usize, order: fn(usize) -> usize) -> Vec<u64> {
        let (mut steering, mut seeds, mut chosen) = (fresh(), 0.., Vec::new());
        let mut running = Vec::new();
        while chosen.len() < runs {
            let seed = steering.choose(|| seeds.next()).expect("there are more seeds");
            chosen.push(seed);
            running.push(seed);
            if running.len() == 3 {
                let seed = running.remove(order(chosen.len()) % 3);
                steering.ended(seed, &marks(seed));
            }
        }
        chosen
    }

    #[test]
    fn a_family_that_reaches_a_rare_mark_gets_more_seeds() {
        let promising = |seed: &u64| seed % 8 == 3;
        let steered = steered(3000, |_| 0);
        let (more, usual) = (steered.iter().filter(|seed| promising(seed)).count(), 3000 / 8);
        assert!(more > 2 * usual, "{more} instead of {usual}");
        let distinct: BTreeSet<u64> = steered.iter().copied().collect();
        assert_eq!(distinct.len(), 3000, "no seed is run twice");
    }

    #[test]
    fn the_order_in_which_runs_end_does_not_matter() {
        assert_eq!(steered(300, |_| 0), steered(300, |turn| turn));
    }

    #[test]
    fn a_course_that_was_stored_goes_on_with_the_same_choices() {
        let choose = |runs: usize, stored_every: usize| {
            let (mut steering, mut seeds, mut chosen) = (fresh(), 0.., Vec::new());
            for run in 0..runs {
                if run % stored_every == stored_every - 1 {
                    let stored = serde_json::to_string(steering.course()).expect("data");
                    steering =
                        Steering::new(families, serde_json::from_str(&stored).expect("what was stored"));
                }
                chosen.push(steering.choose(|| seeds.next()).expect("there are more seeds"));
                // A few run on while others are chosen.
                if let Some(ended) = chosen.len().checked_sub(4) {
                    steering.ended(chosen[ended], &marks(chosen[ended]));
                }
            }
            chosen
        };
        let whole = choose(400, usize::MAX);
        assert_ne!(whole, (0..400).collect::<Vec<_>>(), "seeds were passed over");
        for stored_every in [1, 7, BLOCK, BLOCK + 1] {
            assert_eq!(choose(400, stored_every), whole, "stored every {stored_every} runs");
        }
    }

    #[test]
    fn a_block_that_does_not_end_is_not_waited_for() {
        let (mut steering, mut seeds) = (fresh(), 0..);
        for turn in 0..5 * BLOCK {
            let seed = steering.choose(|| seeds.next()).expect("there are more seeds");
            if turn > 0 {
                steering.ended(seed, &marks(seed));
            }
        }
        assert_eq!(
            seeds.start,
            5 * BLOCK as u64,
            "without what the first run shows, seeds come as they come"
        );
    }

    #[test]
    fn the_last_seeds_are_run_and_then_there_are_none() {
        let (mut steering, mut seeds) = (fresh(), 0..130);
        let mut chosen = Vec::new();
        while let Some(seed) = steering.choose(|| seeds.next()) {
            steering.ended(seed, &marks(seed));
            chosen.push(seed);
        }
        assert!(seeds.is_empty() && chosen.len() <= 130);
        assert_eq!(chosen[..BLOCK], (0..BLOCK as u64).collect::<Vec<_>>()[..], "nothing is known at first");
    }
}
