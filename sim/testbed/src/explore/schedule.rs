//! Which run is made next.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    ops::Range,
    path::PathBuf,
    str::FromStr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Report, Steering, steering::Course};
use crate::{
    data::seed::{Only, Seed},
    marks::{Counts, family::Families},
    system::System,
};

/// Every Nth run is made a second time, in another process. The first one always is.
pub const RECHECK_INTERVAL: u64 = 50;

/// One run to be made. Regressions come before seeds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// A plan in a file that must not fail again.
    Regression(PathBuf),
    /// The plan that is drawn from this seed.
    Seed(Seed),
}

impl Job {
    /// A seed of whose plan nothing is narrowed.
    pub fn seed(number: u64) -> Self {
        Self::Seed(number.into())
    }

    /// The job that `replay` is told by this name.
    pub fn named(run: &str) -> Self {
        run.parse().map_or_else(|_| Self::Regression(run.into()), Self::Seed)
    }

    /// What `replay` is told to run it: `42`, `42,servers=3` or the path of a plan.
    pub fn again(&self) -> String {
        match self {
            Self::Regression(path) => path.display().to_string(),
            Self::Seed(seed) => seed.to_string(),
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Regression(path) => write!(f, "{}", path.display()),
            Self::Seed(seed) => write!(f, "seed {seed}"),
        }
    }
}

/// The part of all seeds that one of several machines explores: `index/of`, counted from 0. A seed belongs
/// to the shard of its remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Shard {
    /// The smallest seed of this shard that is not below `seed`, if there is one.
    fn at_or_after(self, seed: u64) -> Option<u64> {
        let behind = (self.index + self.of - seed % self.of) % self.of;
        seed.checked_add(behind)
    }

    /// How many seeds of the range it holds.
    pub fn share(self, seeds: &Range<u64>) -> u64 {
        match self.at_or_after(seeds.start) {
            Some(first) if first < seeds.end => (seeds.end - 1 - first) / self.of + 1,
            _ => 0,
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected i/n with i counted from 0, such as 0/4, 1/4, 2/4 and 3/4".to_string();
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let shard = Self { index: index.parse().map_err(|_| wrong())?, of: of.parse().map_err(|_| wrong())? };
        // A half of the range of seeds, so that sums of two stay within it.
        if shard.index < shard.of && shard.of <= u64::from(u32::MAX) { Ok(shard) } else { Err(wrong()) }
    }
}

/// A job that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What to run.
    pub job: Job,
    /// Whether to run it twice, and to compare.
    pub recheck: bool,
}

/// How far a schedule has come, as it is stored. What was handed out and not finished is waiting again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Position<S: System> {
    /// Handed out before any further seed.
    pub waiting: Vec<Job>,
    /// The first seed that was never handed out.
    pub next: u64,
    /// What chooses among them, if anything does.
    pub steering: Option<Course<S>>,
}

/// Hands out jobs, each once: regressions first, then the seeds of a shard in order. Workers share it behind
/// a lock.
#[derive(Debug)]
pub struct Schedule<S: System> {
    waiting: VecDeque<Job>,
    next: Option<u64>,
    end: u64,
    shard: Shard,
    only: Only,
    running: BTreeMap<Job, Instant>,
    handed_out: u64,
    /// Where a steering was when it was stored.
    course: Option<Course<S>>,
    steering: Option<Steering<S>>,
}

impl<S: System> Schedule<S> {
    /// These regressions, then those of the seeds that belong to the shard.
    pub fn new(regressions: Vec<Job>, seeds: Range<u64>, shard: Shard) -> Self {
        Self::resume(Position { waiting: regressions, next: seeds.start, steering: None }, seeds.end, shard)
    }

    /// Goes on from a position, up to but without a last seed.
    pub fn resume(position: Position<S>, end: u64, shard: Shard) -> Self {
        Self {
            waiting: position.waiting.into(),
            next: shard.at_or_after(position.next),
            end,
            shard,
            only: Only::default(),
            running: BTreeMap::new(),
            handed_out: 0,
            course: position.steering,
            steering: None,
        }
    }

    /// Of the plans of all seeds only this sort.
    #[must_use]
    pub fn narrowed(self, only: Only) -> Self {
        Self { only, ..self }
    }

    /// Only the seeds that a steering chooses, by the families of each. It goes on from the position, unless
    /// no steering came so far.
    #[must_use]
    pub fn steered(self, families: impl Fn(u64) -> Families + Send + 'static) -> Self {
        let course = self.course.unwrap_or_default();
        Self { course: None, steering: Some(Steering::new(families, course)), ..self }
    }

    /// The job to be run next, if any is left.
    pub fn take(&mut self) -> Option<Assignment> {
        let job = self.waiting.pop_front().or_else(|| self.take_seed())?;
        let recheck = self.handed_out.is_multiple_of(RECHECK_INTERVAL);
        self.handed_out += 1;
        self.running.insert(job.clone(), Instant::now());
        Some(Assignment { job, recheck })
    }

    fn take_seed(&mut self) -> Option<Job> {
        let Self { next, end, shard, steering, only, .. } = self;
        let mut in_order = || {
            let seed = next.filter(|seed| *seed < *end)?;
            *next = seed.checked_add(shard.of);
            Some(seed)
        };
        let number = match steering {
            Some(steering) => steering.choose(in_order),
            None => in_order(),
        }?;
        Some(Job::Seed(Seed { number, only: only.clone() }))
    }

    /// What became of a job, before it is finished.
    pub fn learn(&mut self, report: &Report<S>) {
        if let (Job::Seed(seed), Some(steering)) = (&report.job, &mut self.steering) {
            steering.ended(seed.number, &report.stats.marks);
        }
    }

    /// The job is over, or given up. False if it was so before.
    pub fn finish(&mut self, job: &Job) -> bool {
        if let (Job::Seed(seed), Some(steering)) = (job, &mut self.steering) {
            steering.ended(seed.number, &Counts::new());
        }
        self.running.remove(job).is_some()
    }

    /// What was handed out and is not finished.
    pub fn running(&self) -> impl Iterator<Item = &Job> {
        self.running.keys()
    }

    /// What was handed out longer ago than this and is not finished.
    pub fn overdue(&self, limit: Duration) -> Vec<Job> {
        let late = |(job, since): (&Job, &Instant)| (since.elapsed() > limit).then(|| job.clone());
        self.running.iter().filter_map(late).collect()
    }

    /// The seed that will be handed out next, unless something else is due first or there is none.
    pub fn next_seed(&self) -> Option<u64> {
        self.next.filter(|seed| *seed < self.end)
    }

    /// Where to go on if this process ended now.
    pub fn position(&self) -> Position<S> {
        Position {
            waiting: self.running.keys().chain(&self.waiting).cloned().collect(),
            next: self.next.unwrap_or(u64::MAX),
            steering: self.steering.as_ref().map(|steering| steering.course().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy::Toy;

    type Schedule = super::Schedule<Toy>;

    fn seeds(schedule: &mut Schedule) -> Vec<u64> {
        let jobs = std::iter::from_fn(|| schedule.take());
        jobs.filter_map(|assignment| match assignment.job {
            Job::Seed(seed) => Some(seed.number),
            Job::Regression(_) => None,
        })
        .collect()
    }

    fn shard(text: &str) -> Shard {
        text.parse().expect("a shard")
    }

    #[test]
    fn regressions_come_first_and_each_job_once() {
        let plan = Job::Regression("a.toml".into());
        let mut schedule = Schedule::new(vec![plan.clone()], 3..5, Shard::default());
        let jobs: Vec<Job> = std::iter::from_fn(|| schedule.take()).map(|next| next.job).collect();
        assert_eq!(jobs, [plan, Job::seed(3), Job::seed(4)]);
        assert_eq!(schedule.take(), None);
    }

    #[test]
    fn shards_together_hold_every_seed_once() {
        for (start, end, of) in [(0, 40, 1), (7, 40, 3), (5, 6, 4), (1_000_003, 1_000_050, 7)] {
            let mut all = Vec::new();
            for index in 0..of {
                let shard = shard(&format!("{index}/{of}"));
                let own = seeds(&mut Schedule::new(Vec::new(), start..end, shard));
                assert!(own.iter().all(|seed| seed % of == index), "{own:?} of {shard}");
                assert_eq!(own.len() as u64, shard.share(&(start..end)), "{shard} of {start}..{end}");
                all.extend(own);
            }
            all.sort_unstable();
            assert_eq!(all, (start..end).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_last_seeds_there_are_do_not_overflow() {
        let mut schedule = Schedule::new(Vec::new(), u64::MAX - 5..u64::MAX, shard("2/4"));
        let last = seeds(&mut schedule);
        assert!(!last.is_empty() && last.iter().all(|seed| seed % 4 == 2), "{last:?}");
        assert_eq!(schedule.next_seed(), None);
    }

    #[test]
    fn a_shard_that_does_not_exist_is_refused_with_an_example() {
        for text in ["", "1", "4/4", "0/0", "-1/2", "a/b", "1/2/3", "0/99999999999"] {
            let refusal = text.parse::<Shard>().expect_err(text);
            assert!(refusal.contains("0/4"), "{refusal}");
        }
        assert_eq!(shard("3/4").to_string(), "3/4");
    }

    #[test]
    fn what_was_not_finished_is_handed_out_again_after_a_resumption() {
        let mut schedule = Schedule::new(Vec::new(), 0..10, Shard::default());
        for _ in 0..4 {
            schedule.take();
        }
        assert!(schedule.finish(&Job::seed(1)) && schedule.finish(&Job::seed(2)));
        assert!(!schedule.finish(&Job::seed(2)), "it was finished before");
        let mut resumed = Schedule::resume(schedule.position(), 10, Shard::default());
        assert_eq!(seeds(&mut resumed), [0, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn the_first_run_and_one_in_every_interval_is_made_twice() {
        let mut schedule = Schedule::new(Vec::new(), 0..2 * RECHECK_INTERVAL, Shard::default());
        let twice: Vec<bool> = std::iter::from_fn(|| schedule.take()).map(|next| next.recheck).collect();
        let places: Vec<usize> = (0..twice.len()).filter(|place| twice[*place]).collect();
        assert_eq!(places, [0, RECHECK_INTERVAL as usize]);
    }

    #[test]
    fn a_job_is_overdue_from_when_it_was_handed_out_until_it_is_finished() {
        let mut schedule = Schedule::new(Vec::new(), 0..2, Shard::default());
        schedule.take();
        assert_eq!(schedule.overdue(Duration::from_secs(60)), []);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(schedule.overdue(Duration::from_millis(1)), [Job::seed(0)]);
        schedule.finish(&Job::seed(0));
        assert_eq!(schedule.overdue(Duration::ZERO), []);
    }
}
