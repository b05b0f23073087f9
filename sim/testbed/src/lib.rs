//! A deterministic simulation testbed: whole systems of gRPC services, the code of production, in one thread
//! and in virtual time, under faults, with judges. It knows no system: [`system`] has the traits that tell it
//! about one. `README.md` beside this is the handbook: how to put a service of your own into it.
//!
//! ```text
//!  draw ──► data ──► world ──► data ──► report
//!  a seed's a plan   │         an       screen, page
//!  plan              │         outcome
//!                    ├─ hardware   clock, disk, files and network of each node, simulated
//!                    ├─ nemesis    executes the plan's faults, draws nothing
//!                    ├─ observer   trace and its hash, timeline, messages
//!                    ├─ judges     linearizability, liveness, what the system itself demands
//!                    └─ marks      which situations were reached
//! ```
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`system`] | the traits of a system under test, with a default for all that a simple one can do without |
//! | [`data`] | plans, faults and outcomes |
//! | [`draw`] | plans from seeds |
//! | `world` | a run: processes, clients, gRPC with the fault layer in it, and a relay for other protocols |
//! | [`hardware`], `nemesis`, [`observer`], [`judges`], [`marks`] | see above |
//! | [`explore`] | many seeds: schedule, workers, findings, coverage |
//! | [`minimise`] | a failure made small |
//! | [`report`] | what people read |
//! | `command` | the command line: the whole of `cargo sim` |
//! | [`harness`] | all that as ordinary tests |
//! | [`template`] | a start for a system of one's own: `cargo sim new` |
//! | [`rules`] | a lint for code that is simulated |
//!
//! Only execution needs the simulated world (`--cfg madsim`); the rest builds, and is tested, without it.
//!
//! # Where chance could come in, and what keeps it out
//!
//! A run is a function of its plan: same trace, in any process, alone or in a batch. Every exploration checks
//! a sample of its runs in a second process, and the doctor names the first step that differs.
//!
//! | source | answer |
//! | --- | --- |
//! | order of ready tasks, latencies, time a poll takes | drawn by madsim from the plan's seed, and nothing else is drawn from there but what madsim-tonic draws for a call |
//! | what faults do to single messages, how long a write takes, what of it a crash keeps, identities | hashes of seed, place and ordinal ([`data::hash::stable_hash`]), not draws: nothing shifts when something is added |
//! | iteration of the standard library's hash maps | madsim seeds their keys for the first map of a thread only, so each run has a fresh thread; our own code iterates ordered maps |
//! | keys of `ahash`, `rand` from the operating system | not used in anything that is simulated |
//! | unbiased `select!` | forbidden ([`rules`]); `biased;` everywhere |
//! | tokio's `watch` wakes its listeners by a randomly chosen shard | not used between simulated tasks; `Notify` wakes in order of arrival |
//! | the trace's hash | a hasher without keys, fed with numbers of fixed width; the machines' state is part of it ([`observer::chain`]) |
//! | wall clock, file system, threads | nodes have simulated clocks and disks, nothing simulated starts a thread |
//! | dates that madsim-tonic's own server adds to answers | our accept loop adds none |
//! | names of nodes and services | fixed addresses; each server and client resolves names to the same ones |
//! | the executor's task numbers, counted by process | in no trace |
//! | dropping what was paused under the executor's lock | a process is resumed in the instant in which it is killed |

#[cfg(madsim)]
pub mod command;
pub mod data;
pub mod draw;
pub mod explore;
pub mod hardware;
pub mod harness;
pub mod judges;
pub mod marks;
pub mod minimise;
#[cfg(madsim)]
pub mod nemesis;
pub mod observer;
pub mod report;
pub mod rules;
pub mod system;
pub mod template;
#[cfg(madsim)]
pub mod world;

#[cfg(madsim)]
pub use command::main;
pub use linearizability;
#[cfg(madsim)]
pub use world::run::run;

/// What a simulator's `main` does that was built without the simulated world: it says what to do.
pub fn needs_madsim() -> std::process::ExitCode {
    eprintln!(
        "error: this simulator was built without `--cfg madsim`, so there is no simulated world in it.\n\
         Start it as `cargo sim`. If you did: an exported RUSTFLAGS or CARGO_ENCODED_RUSTFLAGS replaces the flags\n\
         that `cargo sim` sets. Run `unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS`, or add `--cfg madsim` to the variable."
    );
    std::process::ExitCode::from(data::exit::USAGE)
}
