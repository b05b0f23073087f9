//! An exploration in a folder, from which another process goes on.
//!
//! ```text
//! FOLDER/exploration.json    which build, which seeds, how far, sums and findings
//! FOLDER/findings/           a plan and a page for each finding
//! FOLDER/lock                held while an exploration uses the folder
//! ```
//!
//! The state is replaced as a whole: it is written beside the old one, made durable, and renamed. Whatever
//! kills the process, and whenever, the folder holds the schedule and the tally of one instant; runs that
//! ended later are made again. A state belongs to the very build that made it, because the same seed is
//! another run in another build. Plans keep their meaning: those of an earlier state are what a new one
//! begins with.

use std::{
    fs::{self, File, TryLockError},
    hash::Hasher,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{Tally, schedule::Position, schedule::Shard};
use crate::{
    data::{hash::StableHasher, seed::Only},
    system::System,
};

const STATE: &str = "exploration.json";
const FINDINGS: &str = "findings";
const LOCK: &str = "lock";

/// How far an exploration has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Progress<S: System> {
    /// The first seed of all shards.
    pub start: u64,
    /// The part of the seeds that this exploration makes.
    pub shard: Shard,
    /// To what their plans are narrowed.
    pub only: Only,
    /// Where to go on.
    pub position: Position<S>,
    /// What came out so far.
    pub tally: Tally<S>,
    /// How long that took, in wall time.
    pub wall: Duration,
}

#[derive(Serialize, Deserialize)]
struct Content<P> {
    build: String,
    progress: P,
}

/// A folder, held by this process alone.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    build: String,
    _lock: File,
}

impl Store {
    /// Takes the folder, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// It cannot be written, or another process holds it.
    pub fn open(folder: &Path, build: String) -> Result<Self, String> {
        let cannot = |error| format!("cannot use the folder {}: {error}", folder.display());
        fs::create_dir_all(folder.join(FINDINGS)).map_err(cannot)?;
        let lock = File::create(folder.join(LOCK)).map_err(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder: folder.into(), build, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another exploration uses {}: wait until it ends, or name another folder",
                folder.display()
            )),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }

    /// Where plans and pages of findings go.
    pub fn findings(&self) -> PathBuf {
        self.folder.join(FINDINGS)
    }

    /// What an earlier process left, if it left anything.
    ///
    /// # Errors
    ///
    /// It cannot be read, or another build left it; and what to do.
    pub fn load<S: System>(&self) -> Result<Option<Progress<S>>, String> {
        let path = self.folder.join(STATE);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let unusable = |error| {
            format!(
                "{} is no state of an exploration ({error}): add --restart to begin again",
                path.display()
            )
        };
        // The build first: what another one wrote may have another shape.
        let made: Content<serde_json::Value> = serde_json::from_slice(&text).map_err(unusable)?;
        if made.build != self.build {
            return Err(format!(
                "the state in {} was made by another build ({}, this is {}): what its seeds showed says nothing about \
                 this one. Add --restart to begin again, with its findings first; or name another folder with --state",
                self.folder.display(),
                made.build,
                self.build
            ));
        }
        serde_json::from_value(made.progress).map(Some).map_err(unusable)
    }

    /// Replaces what the folder holds.
    ///
    /// # Errors
    ///
    /// It cannot be written; the folder then holds what it held before.
    pub fn save<S: System>(&self, progress: &Progress<S>) -> Result<(), String> {
        let (path, fresh) = (self.folder.join(STATE), self.folder.join(format!("{STATE}.new")));
        let content = Content { build: self.build.clone(), progress };
        let replace = || {
            let mut file = File::create(&fresh)?;
            file.write_all(&serde_json::to_vec_pretty(&content)?)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        replace().map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

/// What tells builds apart: the content of the program itself, and of nothing else.
///
/// # Errors
///
/// The program cannot be read.
pub fn fingerprint(program: &Path) -> Result<String, String> {
    let cannot = |error| format!("cannot read {}: {error}", program.display());
    let mut file = File::open(program).map_err(cannot)?;
    let (mut hasher, mut part) = (StableHasher::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut part).map_err(cannot)? {
            0 => return Ok(format!("{:016x}", hasher.finish())),
            length => hasher.write(&part[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::outcome::{Outcome, Panic},
        explore::{Job, Report, Schedule},
        system::toy::Toy,
    };

    type Progress = super::Progress<Toy>;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("exploration-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&folder);
            Self(folder)
        }

        fn open(&self, build: &str) -> Result<Store, String> {
            Store::open(&self.0, build.into())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn progress() -> Progress {
        let mut schedule =
            Schedule::new(vec![Job::Regression("a.toml".into())], 5..50, "1/3".parse().expect("a shard"));
        let mut tally = Tally::default();
        for seed in [7, 10] {
            let panic = Panic { at: Duration::ZERO, node: "s1".into(), message: "no".into() };
            let outcome = Outcome { panic: Some(panic), ..Outcome::default() };
            tally.add(&Report::new(Job::seed(seed), outcome, None));
            schedule.take();
        }
        let (position, shard) = (schedule.position(), "1/3".parse().expect("a shard"));
        let only = "clients=2".parse().expect("a narrowing");
        Progress { start: 5, shard, only, position, tally, wall: Duration::from_millis(1500) }
    }

    #[test]
    fn what_was_saved_last_is_loaded_by_the_next() {
        let scratch = Scratch::new("saved");
        let store = scratch.open("b1").expect("a folder");
        assert_eq!(store.load::<Toy>(), Ok(None));
        for seconds in [1, 2] {
            store.save(&Progress { wall: Duration::from_secs(seconds), ..progress() }).expect("writable");
        }
        drop(store);
        let loaded = scratch.open("b1").expect("nobody holds it").load::<Toy>().expect("it is usable");
        assert_eq!(loaded, Some(Progress { wall: Duration::from_secs(2), ..progress() }));
    }

    #[test]
    fn a_state_that_was_half_written_leaves_the_one_before() {
        let scratch = Scratch::new("torn");
        let store = scratch.open("b1").expect("a folder");
        store.save(&progress()).expect("writable");
        fs::write(scratch.0.join("exploration.json.new"), "{\"build\": \"b").expect("writable");
        assert_eq!(store.load::<Toy>(), Ok(Some(progress())));
        store.save(&Progress { start: 6, ..progress() }).expect("writable");
        assert_eq!(store.load::<Toy>(), Ok(Some(Progress { start: 6, ..progress() })));
    }

    #[test]
    fn a_state_of_another_build_is_refused_with_what_to_do() {
        let scratch = Scratch::new("build");
        scratch.open("b1").expect("a folder").save(&progress()).expect("writable");
        let refusal = scratch.open("b2").expect("nobody holds it").load::<Toy>().expect_err("another build");
        for part in ["b1", "b2", "another build", "--restart"] {
            assert!(refusal.contains(part), "no {part:?} in {refusal}");
        }
        // Another build's idea of progress need not be this one's.
        fs::write(scratch.0.join(STATE), "{\"build\": \"b0\", \"progress\": 1}").expect("writable");
        let refusal = scratch.open("b2").expect("nobody holds it").load::<Toy>().expect_err("another build");
        assert!(refusal.contains("another build"), "{refusal}");
    }

    #[test]
    fn what_is_no_state_is_refused_with_what_to_do() {
        let scratch = Scratch::new("damaged");
        let store = scratch.open("b1").expect("a folder");
        for text in ["", "{}", "{\"build\": \"b1\", \"progress\": {}}"] {
            fs::write(scratch.0.join(STATE), text).expect("writable");
            let refusal = store.load::<Toy>().expect_err(text);
            assert!(refusal.contains("--restart"), "{refusal}");
        }
    }

    #[test]
    fn a_folder_belongs_to_one_process_at_a_time() {
        let scratch = Scratch::new("lock");
        let store = scratch.open("b1").expect("a folder");
        let refusal = scratch.open("b1").expect_err("it is held");
        assert!(refusal.contains("another exploration"), "{refusal}");
        drop(store);
        scratch.open("b1").expect("it was given back");
    }

    #[test]
    fn a_folder_that_cannot_be_is_refused() {
        let scratch = Scratch::new("file");
        fs::write(&scratch.0, "not a folder").expect("writable");
        let refusal = scratch.open("b1").expect_err("a file is in its place");
        assert!(refusal.contains("cannot use the folder"), "{refusal}");
        fs::remove_file(&scratch.0).expect("it is there");
    }

    #[test]
    fn builds_are_told_apart_by_the_content_of_the_program() {
        let scratch = Scratch::new("program");
        fs::create_dir_all(&scratch.0).expect("writable");
        let program = |name: &str, content: &[u8]| {
            fs::write(scratch.0.join(name), content).expect("writable");
            fingerprint(&scratch.0.join(name)).expect("readable")
        };
        let one = program("one", &[7; 3 << 20]);
        assert_eq!(one, program("copy", &[7; 3 << 20]));
        assert_ne!(one, program("longer", &[7; (3 << 20) + 1]));
        assert!(fingerprint(&scratch.0.join("absent")).is_err());
    }
}
