//! Runs what the schedule hands out, on several threads at once, and watches over it.
//!
//! A run cannot be stopped from outside. One that takes too long is reported and given up: its thread is left
//! behind, another takes its place, and the process ends without waiting for it.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{Assignment, Job, Report, Schedule, kind::SIMULATOR_ITSELF};
use crate::{
    data::outcome::{Outcome, Panic},
    system::System,
};

/// How often the calling thread looks at the time if nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// Runs that do not end after which no further one is begun: each of them takes a core for good.
const HANGS_MAX: usize = 8;
/// How long runs that are under way may go on after the exploration was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How runs are made.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many at once.
    pub jobs: usize,
    /// How long one may take, in wall time.
    pub run_time_max: Duration,
    /// How long runs may go on after the exploration was told to stop.
    pub grace: Duration,
}

impl Limits {
    /// This many runs at once, each for at most this long.
    pub fn new(jobs: usize, run_time_max: Duration) -> Self {
        Self { jobs, run_time_max, grace: GRACE }
    }
}

/// What the calling thread is told.
#[derive(Debug)]
pub enum News<S: System> {
    /// A run ended. Its job is finished as far as the schedule knows.
    Ended(Box<Report<S>>),
    /// A run takes too long, and was given up.
    Hangs(Job),
    /// Some time has passed.
    Tick,
}

/// Locks the schedule; a panic of another holder does not matter.
pub fn lock<S: System>(schedule: &Mutex<Schedule<S>>) -> MutexGuard<'_, Schedule<S>> {
    schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Message<S: System> {
    Ended(Box<Report<S>>),
    Left,
}

/// Makes runs until there are none left or `proceed` says no, and tells `hear` of each on the calling thread,
/// in the order in which they end; workers wait for a listener that falls behind. An error of the
/// listener ends everything.
///
/// # Errors
///
/// Those of the listener.
pub fn work<S: System, E>(
    schedule: &Arc<Mutex<Schedule<S>>>,
    limits: Limits,
    proceed: impl Fn() -> bool + Send + Sync + 'static,
    run: impl Fn(&Assignment) -> Report<S> + Send + Sync + 'static,
    mut hear: impl FnMut(News<S>) -> Result<(), E>,
) -> Result<(), E> {
    let (sender, receiver) = mpsc::sync_channel(limits.jobs);
    let (proceed, run) = (Arc::new(proceed), Arc::new(run));
    let start = || {
        let (schedule, sender) = (schedule.clone(), sender.clone());
        let (proceed, run) = (proceed.clone(), run.clone());
        let worker = move || {
            if serve(&schedule, &sender, &*proceed, &*run) {
                // Without a listener, nobody counts those who leave.
                let _ = sender.send(Message::Left);
            }
        };
        thread::Builder::new().name("worker".into()).spawn(worker).expect("a thread can be started");
    };
    (0..limits.jobs).for_each(|_| start());
    let (mut live, mut hangs) = (limits.jobs, 0);
    let mut stopped: Option<Instant> = None;
    while live > 0 {
        match receiver.recv_timeout(TICK) {
            Ok(Message::Left) => live -= 1,
            Ok(Message::Ended(report)) => {
                let mut schedule = lock(schedule);
                schedule.learn(&report);
                schedule.finish(&report.job);
                drop(schedule);
                hear(News::Ended(report))?;
            }
            Err(_) => {}
        }
        let overdue = lock(schedule).overdue(limits.run_time_max);
        for job in overdue {
            lock(schedule).finish(&job);
            hear(News::Hangs(job))?;
            hangs += 1;
            if hangs < HANGS_MAX {
                start();
            } else {
                live -= 1;
            }
        }
        if stopped.is_none() && !proceed() {
            stopped = Some(Instant::now());
        }
        if stopped.is_some_and(|since| since.elapsed() > limits.grace) {
            break;
        }
        hear(News::Tick)?;
    }
    Ok(())
}

/// Makes one run after the other. False if the last one was given up: then somebody else has taken this
/// worker's place.
fn serve<S: System>(
    schedule: &Mutex<Schedule<S>>,
    sender: &mpsc::SyncSender<Message<S>>,
    proceed: &dyn Fn() -> bool,
    run: &dyn Fn(&Assignment) -> Report<S>,
) -> bool {
    while proceed() {
        let next = lock(schedule).take();
        let Some(assignment) = next else { break };
        let report = panic::catch_unwind(AssertUnwindSafe(|| run(&assignment)))
            .unwrap_or_else(|payload| panicked(&assignment.job, &*payload));
        let given_up = !lock(schedule).running().any(|job| *job == assignment.job);
        if sender.send(Message::Ended(Box::new(report))).is_err() || given_up {
            return false;
        }
    }
    true
}

/// A run that brought down the simulator instead of ending.
fn panicked<S: System>(job: &Job, payload: &(dyn Any + Send)) -> Report<S> {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    let message = format!("{SIMULATOR_ITSELF}: {}", text.unwrap_or_else(|| "without words".into()));
    let panic = Panic { at: Duration::ZERO, node: "sim".into(), message };
    Report::new(job.clone(), Outcome { panic: Some(panic), ..Outcome::default() }, None)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;
    use crate::{
        explore::{Kind, Shard},
        system::toy::Toy,
    };

    type Report = super::Report<Toy>;
    type Schedule = super::Schedule<Toy>;
    type Tally = crate::explore::Tally<Toy>;

    fn schedule(seeds: u64) -> Arc<Mutex<Schedule>> {
        Arc::new(Mutex::new(Schedule::new(Vec::new(), 0..seeds, Shard::default())))
    }

    fn limits() -> Limits {
        Limits { jobs: 3, run_time_max: Duration::from_secs(60), grace: Duration::from_secs(60) }
    }

    fn fine(assignment: &Assignment) -> Report {
        Report::new(assignment.job.clone(), Outcome::default(), None)
    }

    fn seed(job: &Job) -> u64 {
        match job {
            Job::Seed(seed) => seed.number,
            Job::Regression(path) => panic!("{path:?} is no seed"),
        }
    }

    /// Folds all news into a tally; the second value are the seeds that ended.
    fn explore(
        schedule: &Arc<Mutex<Schedule>>,
        limits: Limits,
        proceed: impl Fn() -> bool + Send + Sync + 'static,
        run: impl Fn(&Assignment) -> Report + Send + Sync + 'static,
    ) -> (Tally, Vec<u64>) {
        let (mut tally, mut ended) = (Tally::default(), Vec::new());
        work(schedule, limits, proceed, run, |news| {
            match news {
                News::Ended(report) => {
                    ended.push(seed(&report.job));
                    tally.add(&report);
                }
                News::Hangs(job) => {
                    tally.hangs(&job);
                }
                News::Tick => {}
            }
            Ok::<(), ()>(())
        })
        .expect("the listener never fails");
        ended.sort_unstable();
        (tally, ended)
    }

    #[test]
    fn every_seed_is_run_once() {
        let (tally, ended) = explore(&schedule(200), limits(), || true, fine);
        assert_eq!(ended, (0..200).collect::<Vec<_>>());
        assert_eq!((tally.runs(), tally.code()), (200, 0));
    }

    #[test]
    fn a_run_that_does_not_end_is_named_and_the_others_go_on() {
        let limits = Limits { run_time_max: Duration::from_millis(200), ..limits() };
        let schedule = schedule(40);
        let (tally, ended) = explore(
            &schedule,
            limits,
            || true,
            |assignment| {
                while seed(&assignment.job) == 7 {
                    thread::sleep(Duration::from_secs(1));
                }
                fine(assignment)
            },
        );
        assert_eq!(ended, (0..40).filter(|seed| *seed != 7).collect::<Vec<_>>());
        let hang = tally.findings.get(&Kind::hang()).expect("it was reported");
        assert_eq!(hang.jobs, [Job::seed(7)]);
        assert_eq!(lock(&schedule).running().count(), 0, "and is not begun again after a resumption");
    }

    #[test]
    fn when_many_runs_do_not_end_no_further_ones_are_begun() {
        let limits = Limits { run_time_max: Duration::from_millis(50), ..limits() };
        let (tally, ended) = explore(
            &schedule(1000),
            limits,
            || true,
            |assignment| {
                thread::sleep(Duration::from_secs(3600));
                fine(assignment)
            },
        );
        assert!(ended.is_empty());
        let hang = tally.findings.get(&Kind::hang()).expect("they were reported");
        assert!(hang.count as usize >= HANGS_MAX, "{hang:?}");
        assert!((hang.count as usize) < HANGS_MAX + limits.jobs, "{hang:?}");
    }

    #[test]
    fn told_to_stop_it_ends_what_is_under_way_and_begins_nothing_else() {
        static STOP: AtomicBool = AtomicBool::new(false);
        let schedule = schedule(u64::MAX);
        let (_, ended) = explore(
            &schedule,
            limits(),
            || !STOP.load(Ordering::Relaxed),
            |assignment| {
                STOP.store(seed(&assignment.job) >= 20, Ordering::Relaxed);
                fine(assignment)
            },
        );
        assert_eq!(lock(&schedule).position().waiting, []);
        assert_eq!(ended, (0..lock(&schedule).position().next).collect::<Vec<_>>());
    }

    #[test]
    fn what_does_not_end_after_the_stop_is_left_for_a_resumption() {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let schedule = schedule(10);
        let limits = Limits { jobs: 2, grace: Duration::from_millis(50), ..limits() };
        let (_, ended) = explore(
            &schedule,
            limits,
            || RUNS.load(Ordering::Relaxed) == 0,
            |assignment| {
                RUNS.fetch_add(1, Ordering::Relaxed);
                while seed(&assignment.job) == 0 {
                    thread::sleep(Duration::from_secs(1));
                }
                fine(assignment)
            },
        );
        assert!(!ended.contains(&0));
        assert!(lock(&schedule).position().waiting.contains(&Job::seed(0)));
    }

    #[test]
    fn a_simulator_that_panics_is_a_failure_of_that_seed() {
        let (tally, ended) = explore(
            &schedule(5),
            limits(),
            || true,
            |assignment| {
                assert!(seed(&assignment.job) != 3, "a judge went wrong");
                fine(assignment)
            },
        );
        assert_eq!(ended.len(), 5);
        let [finding] = tally.findings.by_gravity()[..] else { panic!("one finding") };
        assert_eq!(finding.jobs, [Job::seed(3)]);
        assert!(finding.kind.reason.contains("a judge went wrong"), "{}", finding.kind);
        assert!(!finding.kind.shows_again(), "running it again would end the exploration");
    }

    #[test]
    fn an_error_of_the_listener_ends_everything() {
        let ended = work(&schedule(u64::MAX), limits(), || true, fine, |_| Err("the disk is full"));
        assert_eq!(ended, Err("the disk is full"));
    }
}
