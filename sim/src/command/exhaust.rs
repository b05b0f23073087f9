//! `cargo sim exhaust`: every state of a small cluster.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use clap::Args;
use sim::{
    exhaust::{CHOICES_MAX, Ending, Limits, Order, Progress, Search, Why, search},
    mutants::{FoundByExhaust, judge},
    store::Pbkv,
    walk::{
        self,
        cluster::{self, Budget, NoStart, Start},
    },
};
use testbed::command::{cause, explore::interruption, say, span::span};
use testbed::{
    data::{exit, saved},
    minimise::Signature,
    report::screen::counted,
};

/// MiB of memory after which a search ends.
const MEMORY_MIB: u64 = 4_096;
/// One of so many states is led to a good end when a mutant is looked for.
const SOUGHT_ENDS_EVERY: u64 = 500;
/// Between two lines that say how far a search is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Args, Clone)]
pub struct Options {
    /// Servers, 1 to 6.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=6))]
    servers: u32,
    /// Copies that are wanted, 1 to 6.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=6))]
    replicas: u32,
    /// Clients, 1 to 3: the first one appends, the others get and append in turn.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3))]
    clients: u32,
    /// Operations of each client, 0 to 255. So are the counts that follow.
    #[arg(long, value_name = "N", default_value_t = 1)]
    calls: u8,
    /// How often a client asks again for what it waits for.
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u8,
    /// How often a server's clock goes on by a ping interval, and its timer goes off. Counts beside all else,
    /// unless 0 is given.
    #[arg(long, value_name = "N", default_value_t = 1)]
    ticks: u8,
    /// How often the view service's clock goes on by a dead interval: it takes all for dead that it did not
    /// hear since. Counts beside all else, unless 0 is given.
    #[arg(long, value_name = "N", default_value_t = 1)]
    suspicions: u8,
    /// How often a server ends and starts again with what was durable.
    #[arg(long, value_name = "N", default_value_t = 0)]
    restarts: u8,
    /// How often a server ends and starts again without its memory.
    #[arg(long, value_name = "N", default_value_t = 0)]
    wipes: u8,
    /// How often the view service ends and starts again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    view_service_restarts: u8,
    /// How often a primary or backup hears nothing for as long as it takes to suspect others.
    #[arg(long, value_name = "N", default_value_t = 0)]
    silences: u8,
    /// How often a message arrives and may arrive again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    copies: u8,
    /// Each write becomes durable in a step of its own, and not at once.
    #[arg(long)]
    slow_disks: bool,
    /// Look at states with a short way first: a failure has a shortest way, and much more memory is needed.
    #[arg(long)]
    breadth: bool,
    /// Make moves that commute in every order.
    #[arg(long)]
    all_orders: bool,
    /// Keep on their way messages that can never count again.
    #[arg(long)]
    all_messages: bool,
    /// Lead one of so many states to a good end, in which everybody is owed something; 0: none.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    ends_every: u64,
    /// Look at no state that is more moves away.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    moves: u64,
    /// Try no more moves in one state, 1 to 64.
    #[arg(long, value_name = "N", default_value_t = CHOICES_MAX as u64, value_parser = clap::value_parser!(u64).range(1..=CHOICES_MAX as u64))]
    choices: u64,
    /// End after so many states.
    #[arg(long, value_name = "N", default_value_t = u64::MAX)]
    states: u64,
    /// End after this time.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = span)]
    time: Duration,
    /// End when so many MiB are in use (where the system tells it: /proc/self/statm).
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB)]
    memory: u64,
    /// Leave a script of a failure in this folder [default: target/sim-failures].
    #[arg(long, value_name = "FOLDER")]
    failures: Option<PathBuf>,
}

impl Options {
    fn failures(&self) -> PathBuf {
        self.failures.clone().unwrap_or_else(cause::failures::<Pbkv>)
    }

    fn budget(&self) -> Budget {
        let mut calls = [0; 3];
        calls[..self.clients as usize].fill(self.calls);
        Budget {
            calls,
            retries: self.retries,
            ticks: self.ticks,
            suspicions: self.suspicions,
            restarts: self.restarts,
            wipes: self.wipes,
            view_service_restarts: self.view_service_restarts,
            silences: self.silences,
            copies: self.copies,
            keeps_all: self.all_messages,
        }
    }

    fn search(&self) -> Search {
        Search {
            order: if self.breadth { Order::Breadth } else { Order::Depth },
            limits: Limits {
                states: self.states,
                time: self.time,
                bytes: self.memory << 20,
                memory: memory_in_use,
                moves: self.moves,
                choices: self.choices as usize,
            },
            sleep: !self.all_orders,
            ends_every: self.ends_every,
        }
    }
}

/// Bytes of memory that this process has; 0 if the system does not tell.
fn memory_in_use() -> u64 {
    let told = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = told.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4_096
}

/// `cargo sim exhaust`.
pub fn exhaust(options: &Options) -> Result<u8, String> {
    let (stop, failures) = (interruption()?, options.failures());
    saved::check_folder(&failures)
        .map_err(|error| format!("cannot write into {}: {error}", failures.display()))?;
    let budget = options.budget();
    let numbers = (options.servers, options.replicas, options.clients);
    let start = match Start::new(numbers, options.slow_disks, budget) {
        Ok(start) => start,
        Err(NoStart::Unusable(why)) => return Err(why),
        Err(NoStart::Broken(first, actions)) => {
            say("FAILED in peace, before anything was searched");
            return tell(&first, &actions, &first, &[], options);
        }
    };
    say(&format!(
        "{}, {}, {}, {}: {budget}",
        counted(options.servers.into(), "server", "servers"),
        counted(options.replicas.into(), "copy", "copies"),
        counted(options.clients.into(), "client", "clients"),
        if options.slow_disks { "each write a step" } else { "writes at once" },
    ));
    let began = Instant::now();
    let mut said = Instant::now();
    let (ending, progress) =
        search(&start.lean(), &start.whole, &options.search(), &mut |progress, elapsed| {
            if said.elapsed() > PROGRESS_INTERVAL {
                said = Instant::now();
                say(&format!("  {}", numbers_of(progress, elapsed)));
            }
            !stop.load(Ordering::Relaxed)
        });
    let numbers = numbers_of(&progress, began.elapsed());
    match ending {
        Ending::Complete => {
            say(&format!("complete: {numbers}"));
            Ok(exit::OK)
        }
        Ending::Cut(why) => {
            let is_stopped = stop.load(Ordering::Relaxed);
            let why = match why {
                _ if is_stopped => "interrupted".to_owned(),
                Why::States(states) => format!("after {} (--states)", counted(states, "state", "states")),
                Why::Time(_) => format!("after {:?} (--time)", options.time),
                Why::Bytes(bytes) => format!("with {} MiB in use (--memory)", bytes >> 20),
                Why::Moves(moves) => {
                    format!("some ways are longer than {} (--moves)", counted(moves, "move", "moves"))
                }
                Why::Choices(choices) => {
                    format!("in some states more can happen than is tried (--choices {choices})")
                }
            };
            say(&format!("cut off, {why}: nothing is known of what was not looked at; {numbers}"));
            Ok(if is_stopped { exit::INTERRUPTED } else { exit::UNDECIDED })
        }
        Ending::Failed(actions) => {
            say(&format!("FAILED: {numbers}"));
            tell(&start.whole, &actions, &start.first, &start.peace, options)
        }
    }
}

fn numbers_of(progress: &Progress, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    format!(
        "{}, {} ({} without effect, {} asleep), longest way {}, {} at rest, {}; {seconds:.1} s, {:.0} states and \
         {:.0} moves a second, {} MiB",
        counted(progress.states, "state", "states"),
        counted(progress.moves, "move", "moves"),
        progress.idle,
        progress.slept,
        progress.longest,
        counted(progress.at_rest, "state", "states"),
        counted(progress.ends, "end", "ends"),
        progress.states as f64 / seconds.max(0.001),
        progress.moves as f64 / seconds.max(0.001),
        progress.bytes.div_ceil(1 << 20),
    )
}

/// Makes the way to a failure small, says what is left of it, and keeps it.
///
/// The way leads from `start`, which `peace` makes of `first`.
fn tell(
    start: &cluster::Cluster,
    actions: &[cluster::Action],
    first: &cluster::Cluster,
    peace: &[cluster::Action],
    options: &Options,
) -> Result<u8, String> {
    let (world, ending) = walk::replay(start.clone(), actions);
    let outcome = cluster::outcome_of(&world, &ending);
    let signature = Signature::of(&outcome);
    let is_same = |world: &cluster::Cluster, ending: &walk::Ending<_>| {
        ending.is_failure() && Signature::of(&cluster::outcome_of(world, ending)) == signature
    };
    let small = walk::shrink::shrink(start, actions, Duration::from_secs(20), is_same);
    say(&format!("{} -> {}", counted(actions.len() as u64, "action", "actions"), small.len()));
    let (lines, ending) = walk::tell(start.clone(), &small);
    lines.iter().for_each(|line| say(&format!("    {line}")));
    match &ending {
        walk::Ending::Well => say("  not seen again when the same actions were taken"),
        walk::Ending::Failed(failure) => {
            world.explain(failure).iter().for_each(|line| say(&format!("  {line}")));
        }
        walk::Ending::Panicked(message) => say(&format!("  panic: {message}")),
    }
    let path = options.failures().join("exhaust");
    let whole = [peace, &small].concat();
    saved::write_text(&path, &cluster::script(first, &whole).text)?;
    say(&format!(
        "{:>10}  {} (a script: tests/scripts/NAME, cargo test --test protocol)",
        "kept as",
        path.display()
    ));
    Ok(exit::code(outcome.class()))
}

/// `cargo sim seek --exhaust-seconds`: several small clusters one after the other, each for its part of the
/// time, until a promise is broken.
pub fn seek(time: Duration) -> Result<u8, String> {
    let began = Instant::now();
    let rows = cluster::rows();
    let (mut states, mut failed) = (0, None);
    for (place, (numbers, slow_disks, budget)) in rows.iter().enumerate() {
        let limits = Limits {
            states: u64::MAX,
            time: time.saturating_sub(began.elapsed()) / (rows.len() - place) as u32,
            bytes: MEMORY_MIB << 20,
            memory: memory_in_use,
            moves: u64::MAX,
            choices: CHOICES_MAX,
        };
        let how = Search { order: Order::Depth, limits, sleep: true, ends_every: SOUGHT_ENDS_EVERY };
        let failure = match Start::new(*numbers, *slow_disks, *budget) {
            Ok(start) => {
                let (ending, progress) = search(&start.lean(), &start.whole, &how, &mut |_, _| true);
                states += progress.states;
                match ending {
                    Ending::Failed(actions) => Some((start.whole, actions)),
                    Ending::Complete | Ending::Cut(_) => None,
                }
            }
            Err(NoStart::Broken(first, actions)) => Some((*first, actions)),
            Err(NoStart::Unusable(why)) => return Err(why),
        };
        if let Some((start, actions)) = failure {
            let (world, ending) = walk::replay(start, &actions);
            failed = judge(&cluster::outcome_of(&world, &ending), false)
                .map(|judge| (actions.len() as u64, judge));
            if failed.is_some() {
                break;
            }
        }
    }
    let found = FoundByExhaust { failed, states, wall_s: began.elapsed().as_secs_f64() };
    say(&serde_json::to_string(&found).map_err(|error| format!("cannot print what was found: {error}"))?);
    Ok(exit::OK)
}
