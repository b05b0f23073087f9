//! The deterministic simulator of pbkv: whole clusters, the code of production, in one thread and in virtual
//! time, under faults, with judges.
//!
//! ```text
//!  seed ──► scenario ──► run ──► outcome ──► report
//!           data         │        data
//!                        ├─ world      what all parts of a run share
//!                        ├─ cluster    processes, on simulated disk and clock
//!                        ├─ serve      gRPC with the fault layer in it (network, links, stream)
//!                        ├─ nemesis    executes the fault plan, draws nothing
//!                        ├─ workload   clients execute their scripts
//!                        ├─ observe    trace, timeline, invariants after every step
//!                        ├─ health     redundancy and stability, as far as the faults allow
//!                        ├─ bounds     what a machine holds and how often it steps, against its limits
//!                        ├─ order      what the servers committed; `watch` ends the run at an answer it cannot explain
//!                        └─ judge      linearizability of everything the clients saw
//! ```
//!
//! Beside the runs there are *walks* ([`walk`]): the protocol's machines alone, driven by chance, and looked at by the same judges.
//!
//! Only execution needs the simulated world (`--cfg madsim`); the rest builds, and is tested, without it.
//!
//! # Where chance could come in, and what keeps it out
//!
//! A run is a function of its scenario: same trace, in any process, alone or in a batch. Every exploration checks
//! a sample of its runs in a second process, and the doctor names the first step that differs.
//!
//! | source | answer |
//! | --- | --- |
//! | order of ready tasks, latencies, time a poll takes | drawn by madsim from the scenario's seed, and nothing else is drawn from there but what madsim-tonic draws for a call |
//! | what faults do to single messages, how long a write takes, what of it a crash keeps, identities | hashes of seed, place and ordinal ([`trace::stable_hash`]), not draws: nothing shifts when something is added |
//! | iteration of the standard library's hash maps | madsim seeds their keys for the first map of a thread only, so each run has a fresh thread; our own code iterates ordered maps |
//! | keys of `ahash`, `rand` from the operating system | not used in anything that is simulated |
//! | unbiased `select!` | forbidden; `biased;` everywhere |
//! | tokio's `watch` wakes its listeners by a randomly chosen shard | not used between simulated tasks; `Notify` wakes in order of arrival |
//! | the trace's hash | a hasher without keys, fed with numbers of fixed width; the machines' state is part of it ([`chain`]) |
//! | wall clock, file system, threads | nodes have simulated clocks and disks, nothing simulated starts a thread |
//! | dates that madsim-tonic's own server adds to answers | our accept loop adds none |
//! | names of nodes and services | fixed addresses; each server and client resolves names to the same ones |
//! | the executor's task numbers, counted by process | in no trace |
//! | dropping what was paused under the executor's lock | a process is resumed in the instant in which it is killed |

pub mod bounds;
pub mod chain;
pub mod chance;
pub mod clock;
#[cfg(madsim)]
pub mod cluster;
pub mod disk;
#[cfg(madsim)]
pub mod drive;
#[cfg(madsim)]
mod encoding;
pub mod exhaust;
pub mod exit;
pub mod explore;
pub mod files;
#[cfg(madsim)]
mod forgery;
pub mod generate;
pub mod health;
pub mod invariants;
pub mod judge;
#[cfg(madsim)]
pub mod links;
pub mod liveness;
pub mod marks;
pub mod messages;
pub mod minimise;
pub mod mutants;
#[cfg(madsim)]
pub mod nemesis;
pub mod network;
pub mod nodes;
#[cfg(madsim)]
pub mod observe;
pub mod order;
pub mod outcome;
pub mod panics;
pub mod report;
pub mod revisions;
#[cfg(madsim)]
pub mod run;
pub mod saved;
pub mod scenario;
pub mod scenarios;
pub mod screen;
pub mod script;
#[cfg(madsim)]
pub mod serve;
pub mod settings;
pub mod step;
#[cfg(madsim)]
mod stream;
pub mod timeline;
pub mod trace;
pub mod walk;
pub mod watch;
#[cfg(madsim)]
pub mod workload;
#[cfg(madsim)]
pub mod world;

#[cfg(madsim)]
pub use run::run;
