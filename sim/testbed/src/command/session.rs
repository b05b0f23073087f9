//! What commands that go through many seeds have in common: they hear their workers, keep sums, findings and
//! how far they are, and show it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    data::seed::Only,
    explore::{
        Job, Kind, Schedule, Shard, Store, Tally,
        findings::Novelty,
        store::Progress,
        workers::{self, News},
    },
    system::System,
};

use super::explore::{display::Display, lines::Lines};

/// Between two times that the state is saved, if nothing new is found.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);

/// Which seeds a session makes.
#[derive(Clone)]
pub struct Seeds {
    /// The first one of all shards.
    pub start: u64,
    /// The part of them that this session makes.
    pub shard: Shard,
    /// To what their plans are narrowed.
    pub only: Only,
    /// How many those are, if that is known.
    pub count: Option<u64>,
}

/// Work under way.
pub struct Session<S: System> {
    seeds: Seeds,
    store: Option<Store>,
    saved: Instant,
    /// What the workers are to do.
    pub schedule: Arc<Mutex<Schedule<S>>>,
    /// What came of it so far.
    pub tally: Tally<S>,
    lines: Option<Lines>,
    /// What a person sees.
    pub display: Display,
    began: Instant,
    /// Wall time of the processes before this one.
    before: Duration,
}

/// What an earlier process left in the folder, unless it is to begin again.
///
/// # Errors
///
/// It cannot be used, or is about other seeds.
pub fn earlier<S: System>(
    store: Option<&Store>,
    restart: bool,
    seeds: &Seeds,
) -> Result<Option<Progress<S>>, String> {
    let Some(store) = store.filter(|_| !restart) else { return Ok(None) };
    let earlier: Option<Progress<S>> = store.load()?;
    let told = |start, shard: Shard, only: &Only| {
        let only = if only.is_empty() { String::new() } else { format!(" with --only {only}") };
        format!("from seed {start} in shard {shard}{only}")
    };
    let asked = told(seeds.start, seeds.shard, &seeds.only);
    match earlier.as_ref().map(|earlier| told(earlier.start, earlier.shard, &earlier.only)) {
        Some(begun) if begun != asked => Err(format!(
            "the state begins {begun}, not {asked}: name the same, or another folder with --state, or add --restart \
             to begin again"
        )),
        _ => Ok(earlier),
    }
}

impl<S: System> Session<S> {
    /// Goes on from `earlier`, which `store` holds, or begins. `json` is opened before anything runs: a path
    /// that cannot be written must not cost a whole session.
    ///
    /// # Errors
    ///
    /// That file cannot be written.
    pub fn begin(
        store: Option<Store>,
        earlier: Option<Progress<S>>,
        schedule: Schedule<S>,
        seeds: Seeds,
        json: Option<&Path>,
    ) -> Result<Self, String> {
        let lines = json.map(|path| Lines::open(path, earlier.is_some())).transpose()?;
        let (tally, before) = earlier.map(|it| (it.tally, it.wall)).unwrap_or_default();
        Ok(Self {
            display: Display::new(seeds.count),
            seeds,
            store,
            saved: Instant::now(),
            schedule: Arc::new(Mutex::new(schedule)),
            tally,
            lines,
            began: Instant::now(),
            before,
        })
    }

    /// Wall time, of the processes before this one too.
    pub fn wall(&self) -> Duration {
        self.before + self.began.elapsed()
    }

    /// Hears of its workers. Returns which findings that was, of which job, and how new each is.
    ///
    /// # Errors
    ///
    /// A file cannot be written.
    pub fn hear(&mut self, news: News<S>) -> Result<Vec<(Job, Kind, Novelty)>, String> {
        match news {
            News::Ended(report) => {
                if let Some(lines) = &mut self.lines {
                    lines.write(&report)?;
                }
                let found = self.tally.add(&report).into_iter();
                Ok(found.map(|(kind, novelty)| (report.job.clone(), kind, novelty)).collect())
            }
            News::Hangs(job) => {
                let (kind, novelty) = self.tally.hangs(&job);
                Ok(vec![(job, kind, novelty)])
            }
            News::Tick => {
                let next = workers::lock(&self.schedule).next_seed();
                self.display.refresh(&self.tally, self.wall(), next);
                if self.saved.elapsed() > SAVE_INTERVAL {
                    self.save()?;
                }
                Ok(Vec::new())
            }
        }
    }

    /// Leaves in the folder how far it is.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn save(&mut self) -> Result<(), String> {
        self.saved = Instant::now();
        let Some(store) = &self.store else { return Ok(()) };
        store.save(&Progress {
            start: self.seeds.start,
            shard: self.seeds.shard,
            only: self.seeds.only.clone(),
            position: workers::lock(&self.schedule).position(),
            tally: self.tally.clone(),
            wall: self.wall(),
        })
    }
}
