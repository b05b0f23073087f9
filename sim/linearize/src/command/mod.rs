//! The command `check`: judges histories that were recorded elsewhere.
//!
//! A history is a file in any format that [`crate::formats`] reads, found by its content. Each file is judged
//! alone. A file that is no history is a refusal with its line, never a verdict, and does not keep the others from
//! being judged. Compressed files are not unpacked: decompress them into standard input.
//!
//! Streams come in as values, so that tests can do without processes.

mod json;
mod pages;

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use crate::{
    Budget, Verdict, Violation,
    formats::{self, Format, Recorded},
    kv::{
        Kv,
        describe::describe,
        sentence::{Words, tell},
    },
};

use pages::Pages;

/// Exit codes.
pub mod exit {
    /// Every history is linearizable.
    pub const OK: u8 = 0;
    /// A history is not.
    pub const SAFETY: u8 = 1;
    /// An input is not usable.
    pub const USAGE: u8 = 2;
    /// The judge gave up.
    pub const UNDECIDED: u8 = 6;
}

/// Configurations that the search of one file may visit unless told otherwise: minutes on one core.
pub const CONFIGURATIONS_DEFAULT: u64 = 100_000_000;
/// What the search of one file may remember unless told otherwise, in MiB.
pub const MEMORY_MIB_DEFAULT: u64 = 4_096;
/// Above this, a number of MiB is a slip of the finger.
const MEMORY_MIB_MAX: u64 = 1 << 30;
/// Operations of one list that are printed; `--json` has all.
const LISTED_MAX: usize = 40;
/// The name of standard input.
const STDIN: &str = "-";

/// What the exit codes say.
pub const EXIT_CODES: &str = "Exit codes: 0 all histories are linearizable, 1 at least one is not, \
                              2 an input is not usable or holds no operation (standard error says where and what was expected), \
                              6 the budget ended before a verdict. Of several, the first of 1, 2, 6 counts.";

/// The command line.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Files with one history each; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Call a history without a single operation linearizable; otherwise it is an error, since nothing was judged.
    #[arg(long)]
    allow_empty: bool,
    /// Print one JSON object a file instead of text.
    #[arg(long)]
    json: bool,
    /// Draw the history with its verdict into this page; with several files, into pages in this folder.
    #[arg(long, value_name = "FILE.html|FOLDER")]
    html: Option<PathBuf>,
    /// What the times of JSON lines are counted in, which sentences show in seconds; logs of events have no times.
    #[arg(long, value_name = "UNIT", value_enum, default_value_t = Unit::Ns)]
    unit: Unit,
    /// How many configurations the search may visit in each file before it gives up.
    #[arg(long, value_name = "N", default_value_t = CONFIGURATIONS_DEFAULT, value_parser = clap::value_parser!(u64).range(1..))]
    configurations: u64,
    /// How many MiB of visited configurations the search may remember in each file before it gives up.
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=MEMORY_MIB_MAX))]
    memory_mib: u64,
}

/// What times are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// No known unit: shown as it is.
    None,
}

impl Unit {
    fn show(self, time: u64) -> String {
        let digits = match self {
            Unit::Ns => 9,
            Unit::Us => 6,
            Unit::Ms => 3,
            Unit::S => return format!("{time} s"),
            Unit::None => return time.to_string(),
        };
        let second = 10u64.pow(digits);
        format!("{}.{:0width$} s", time / second, time % second, width = digits as usize)
    }
}

impl Options {
    fn judged_with(&self) -> crate::Options {
        crate::Options {
            budget: Budget { configurations: self.configurations, bytes: self.memory_mib << 20 },
            parallel: true,
            // Only a drawing shows the order.
            witness: self.html.is_some(),
            smallest: true,
        }
    }
}

/// Where input comes from and output goes, line by line.
pub struct Streams<'a> {
    /// Standard input.
    pub input: &'a mut dyn io::Read,
    /// Takes a line of standard output.
    pub say: &'a mut dyn FnMut(&str),
    /// Takes a line of standard error.
    pub complain: &'a mut dyn FnMut(&str),
}

/// Judges every file and returns the exit code; an error if the command line as a whole is not usable.
pub fn check(options: &Options, streams: &mut Streams<'_>) -> Result<u8, String> {
    if options.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err("standard input (-) can be read only once".into());
    }
    let mut pages = Pages::new(options)?;
    let mut code = exit::OK;
    for file in &options.files {
        let judged = judge(file, options, streams.input);
        code = worse(code, judged.code());
        if let Err(refusal) = &judged.result {
            (streams.complain)(&format!("error: {}", refusal.sentence(&judged.name)));
        }
        let page = match pages.draw(file, &judged) {
            Ok(page) => page,
            Err(message) => {
                (streams.complain)(&format!("error: {message}"));
                code = worse(code, exit::USAGE);
                None
            }
        };
        if options.json {
            (streams.say)(&json::json(&judged, page.as_deref()));
        } else if let Ok(history) = &judged.result {
            (streams.say)(text(&judged.name, history, page.as_deref()).trim_end());
        }
    }
    Ok(code)
}

/// A proved violation outweighs a file that could not be judged, and that a judgement that gave up.
fn worse(one: u8, other: u8) -> u8 {
    let weight =
        |code: &u8| [exit::OK, exit::UNDECIDED, exit::USAGE, exit::SAFETY].iter().position(|c| c == code);
    if weight(&other) > weight(&one) { other } else { one }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == STDIN
}

/// What became of a file.
struct Judged {
    name: String,
    result: Result<Judgement, Refusal>,
}

/// A history and its verdict.
struct Judgement {
    recorded: Recorded,
    verdict: Verdict,
    unit: Unit,
    parsing: Duration,
    checking: Duration,
}

/// Why a file is not judged.
struct Refusal {
    /// The verdict that `--json` prints.
    verdict: &'static str,
    /// Where, if the file could be read.
    line: Option<usize>,
    /// What was expected and what was found.
    problem: String,
}

impl Judgement {
    /// The sentence of a contradiction, which names operations by their lines.
    fn sentence(&self, violation: &Violation) -> String {
        let Judgement { recorded, unit, .. } = self;
        let operation = |index: usize, did: &str| format!("line {} ({did})", recorded.lines[index]);
        let time = |time: u64| match recorded.format {
            Format::Lines => unit.show(time),
            _ => format!("event {time}"),
        };
        tell(&recorded.history, violation, &Words { operation: &operation, time: &time })
    }
}

impl Judged {
    fn code(&self) -> u8 {
        match &self.result {
            Err(_) => exit::USAGE,
            Ok(judgement) => match judgement.verdict {
                Verdict::Linearizable { .. } => exit::OK,
                Verdict::Violation(_) => exit::SAFETY,
                Verdict::Undecided(_) => exit::UNDECIDED,
            },
        }
    }
}

impl Refusal {
    fn sentence(&self, name: &str) -> String {
        match self.line {
            Some(line) => format!("{name}, line {line}: {}", self.problem),
            None => format!("{name}: {}", self.problem),
        }
    }
}

fn judge(file: &Path, options: &Options, input: &mut dyn io::Read) -> Judged {
    let name = if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() };
    Judged { name, result: judgement(file, options, input) }
}

fn judgement(file: &Path, options: &Options, input: &mut dyn io::Read) -> Result<Judgement, Refusal> {
    let bytes = read(file, input).map_err(|error| Refusal {
        verdict: "unreadable",
        line: None,
        problem: format!("cannot be read: {error}"),
    })?;
    let begin = Instant::now();
    let recorded = formats::parse(&bytes).map_err(|error| Refusal {
        verdict: "malformed",
        line: Some(error.line),
        problem: error.problem,
    })?;
    drop(bytes);
    if recorded.history.is_empty() && !options.allow_empty {
        let problem = format!(
            "no operation of a client, so there is nothing to judge: {}, {} (--allow-empty lets it pass)",
            recorded.format, recorded.summary
        );
        return Err(Refusal { verdict: "empty", line: None, problem });
    }
    let parsing = begin.elapsed();
    let begin = Instant::now();
    let verdict = crate::check(&Kv, &recorded.history, &options.judged_with());
    Ok(Judgement { recorded, verdict, unit: options.unit, parsing, checking: begin.elapsed() })
}

fn read(file: &Path, input: &mut dyn io::Read) -> io::Result<Vec<u8>> {
    if !is_stdin(file) {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The verdict for a reader: a line, and what lies behind it indented below.
fn text(name: &str, judgement: &Judgement, page: Option<&Path>) -> String {
    let Judgement { recorded, verdict, parsing, checking, .. } = judgement;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{name}: {}; {}, {} operations, read in {}, judged in {}",
        headline(verdict),
        recorded.format,
        recorded.history.len(),
        time(*parsing),
        time(*checking),
    );
    let _ = writeln!(text, "  {}", recorded.summary);
    match verdict {
        Verdict::Linearizable { .. } => {}
        Verdict::Violation(violation) => {
            let _ = writeln!(text, "  {}", judgement.sentence(violation));
            list(&mut text, "operations that contradict each other", recorded, &violation.operations);
            list(&mut text, "operations that wrote what these saw", recorded, &violation.support);
        }
        Verdict::Undecided(undecided) => {
            let _ = writeln!(
                text,
                "  keys without a verdict: {}, the hardest is \"{}\"; spent: {} configurations, {} MiB",
                undecided.keys,
                undecided.key.escape_ascii(),
                undecided.configurations,
                undecided.bytes.div_ceil(1 << 20),
            );
            list(&mut text, "operations open where the search got stuck", recorded, &undecided.open);
        }
    }
    if let Some(page) = page {
        let _ = writeln!(text, "  drawn in {}", page.display());
    }
    text
}

fn headline(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Linearizable { .. } => "linearizable",
        Verdict::Violation(_) => "NOT LINEARIZABLE",
        Verdict::Undecided(_) => "UNDECIDED",
    }
}

fn list(text: &mut String, title: &str, recorded: &Recorded, indexes: &[usize]) {
    if indexes.is_empty() {
        return;
    }
    let _ = writeln!(text, "  {title}:");
    for &index in indexes.iter().take(LISTED_MAX) {
        let operation = &recorded.history.operations()[index];
        let _ = writeln!(
            text,
            "    line {:>6}  operation {index:>6}  process {:>4}  {}",
            recorded.lines[index],
            operation.process,
            describe(operation)
        );
    }
    if indexes.len() > LISTED_MAX {
        let _ = writeln!(text, "    and {} more (see --json)", indexes.len() - LISTED_MAX);
    }
}

fn time(spent: Duration) -> String {
    match spent.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}
