//! The command `check`: judges histories that were recorded elsewhere.
//!
//! A history is a file in any format that [`crate::formats`] reads, found by its content. Each file is judged
//! alone. A file that is no history is a refusal with its line, never a verdict, and does not keep the others
//! from being judged.
//!
//! Streams come in as values, so that tests can do without processes.

mod hint;
mod json;
mod options;
mod pages;
mod progress;

use std::{
    fmt::Write,
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Cancel, Limit, Verdict, Violation,
    formats::{self, AnyHistory, File, Format},
    kv::{
        self, Kv,
        sentence::{Words, tell},
    },
    objects,
};
pub use options::{Options, Unit};
use pages::Pages;
pub use progress::interrupt;

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

/// Operations of one list that are printed; `--json` has all.
const LISTED_MAX: usize = 40;
/// Operations at the end of an unfinished order that are printed; `--json` has all.
const LAST_SHOWN: usize = 5;
/// The name of standard input.
const STDIN: &str = "-";

/// What else there is to say about the command: how files are understood, and exit codes.
pub const HELP: &str = "\
Formats, found by their grammar: JSON lines, JSON events, porcupine's key-value text, and Jepsen's jepsen.log (of any \
version), history.txt and history.edn; any of them in gzip or Zstandard.

How events are understood: :info is an unknown outcome. :fail did not take place, also of a compare-and-set (as in \
Knossos; only in logs with 'jepsen.util - ' it found another value, as in porcupine). A completed read of nil saw the \
register absent, as in porcupine; to Knossos it says nothing: --nil unknown. An empty list is a key that holds nothing. \
The empty string is a value, but in porcupine's key-value text (maps with :key, all of them :get, :put, :append or \
:delete) it is absence, since there keys begin empty. What an :ok says to have written must be what its call said. A \
:drain takes one item after the other, in the order of its list, and one that is :ok found the queue empty at last. \
Values are compared by their text: 1 and \"1\" are one value, so are :a and \"a\", and so are a list and the text of its \
items with a comma behind each, [1 2] and \"1,2,\". How often an element stands in a set that was read does not count. \
Transactions over several keys are refused.

Exit codes: 0 all histories are linearizable, 1 at least one is not, 2 an input is not usable or holds no operation that returned \
(standard error says where and what was expected), 6 the budget or the time ended before a verdict. Of several, the first of 1, 2, \
6 counts.";

/// Where input comes from and output goes, line by line.
pub struct Streams<'a> {
    /// Standard input.
    pub input: &'a mut dyn io::Read,
    /// Takes a line of standard output.
    pub say: &'a mut dyn FnMut(&str),
    /// Takes a line of standard error.
    pub complain: &'a mut dyn FnMut(&str),
    /// Ends the search at hand and leaves the files after it alone; see [`interrupt()`].
    pub cancel: Cancel,
    /// Whether standard error is a terminal on which a line may show how far a long check is.
    pub is_terminal: bool,
}

/// Judges every file and returns the exit code; an error if the command line as a whole is not usable.
pub fn check(options: &Options, streams: &mut Streams<'_>) -> Result<u8, String> {
    if options.files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err("standard input (-) can be read only once".into());
    }
    let mut pages = Pages::new(options)?;
    let mut code = exit::OK;
    for (place, file) in options.files.iter().enumerate() {
        if streams.cancel.is_cancelled() {
            let left = options.files.len() - place;
            (streams.complain)(&format!("error: interrupted; files not judged: {left}"));
            return Ok(worse(code, exit::UNDECIDED));
        }
        let judged = judge(file, options, streams);
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
    file: File,
    verdict: Verdict,
    /// What else there is to say about a contradiction.
    hint: Option<String>,
    unit: Unit,
    /// Until when the check could last; a drawing may use what is left.
    judged_with: crate::Options,
    parsing: Duration,
    checking: Duration,
}

/// An operation as it is shown.
struct Shown {
    /// `None` for what a key begins with.
    line: Option<usize>,
    process: u64,
    /// The name of the process, if it has one.
    name: Option<String>,
    /// As the text has them.
    call: String,
    ret: Option<String>,
    text: String,
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
    /// How many operations the file has.
    fn operations(&self) -> usize {
        self.file.origin.lines.len()
    }

    /// How many of them have an unknown outcome.
    fn unknown(&self) -> usize {
        self.operations() - self.file.history.returned(&self.file.origin)
    }

    fn shown(&self, index: usize) -> Shown {
        let origin = &self.file.origin;
        let (process, call, ret, text) = match &self.file.history {
            AnyHistory::Kv(history) => {
                let operation = &history.operations()[index];
                let text = kv::describe::describe(operation);
                (operation.process, operation.call, operation.returned_at(), text)
            }
            AnyHistory::Object(_, history) => {
                let operation = &history.operations()[index];
                (operation.process, operation.call, operation.returned_at(), objects::describe(operation))
            }
        };
        let name = origin.names.get(process).map(str::to_owned);
        let time = |time| origin.times.show(time, 0);
        let (call, ret) = (time(call), ret.map(time));
        Shown { line: origin.lines.get(index).copied(), process, name, call, ret, text }
    }

    fn time(&self, time: u64) -> String {
        let times = &self.file.origin.times;
        match self.file.format {
            Format::Lines => self.unit.show(times, time),
            _ => {
                let number = times.number(time);
                let event = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
                match event.and_then(|event| self.file.origin.events.get(event)) {
                    Some(line) => format!("line {line}"),
                    None => format!("event {number}"),
                }
            }
        }
    }

    /// The sentence of a contradiction, which names operations by their lines.
    fn sentence(&self, violation: &Violation) -> String {
        let operation = |index: usize, did: &str| match self.file.origin.lines.get(index) {
            Some(line) => format!("line {line} ({did})"),
            None => format!("the beginning ({did})"),
        };
        let time = |time: u64| self.time(time);
        let words = Words { operation: &operation, time: &time };
        match &self.file.history {
            AnyHistory::Kv(history) => tell(history, violation, &words),
            AnyHistory::Object(_, history) => objects::tell(history, violation, &words),
        }
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

fn judge(file: &Path, options: &Options, streams: &mut Streams<'_>) -> Judged {
    let name = if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() };
    let result = judgement(file, &name, options, streams);
    Judged { name, result }
}

fn judgement(
    path: &Path,
    name: &str,
    options: &Options,
    streams: &mut Streams<'_>,
) -> Result<Judgement, Refusal> {
    let bytes = read(path, streams.input).map_err(|error| Refusal {
        verdict: "unreadable",
        line: None,
        problem: format!("cannot be read: {error}"),
    })?;
    let begin = Instant::now();
    let file = formats::read(&bytes, &options.choices()).map_err(|error| Refusal {
        verdict: "malformed",
        line: (error.line > 0).then_some(error.line),
        problem: error.problem,
    })?;
    // What might be read in another way is kept until the verdict.
    let bytes = if hint::may_read_again(&file, options) { bytes } else { Vec::new() };
    let (all, returned) = (file.origin.lines.len(), file.history.returned(&file.origin));
    if returned == 0 && !options.allow_empty {
        let what = match all {
            0 => "no operation that returned or may have changed anything".to_owned(),
            1 => "the only operation is of unknown outcome".to_owned(),
            all => format!("all {all} operations are of unknown outcome"),
        };
        let problem = format!(
            "{what}, so there is nothing to judge: {}, {} (--allow-empty lets it pass)",
            file.format, file.origin.summary
        );
        return Err(Refusal { verdict: "empty", line: None, problem });
    }
    let parsing = begin.elapsed();
    let begin = Instant::now();
    let judged_with = options.judged_with(Some(streams.cancel.clone()));
    let check = || match &file.history {
        AnyHistory::Kv(history) => crate::check(&Kv, history, &judged_with),
        AnyHistory::Object(object, history) => crate::check(object, history, &judged_with),
    };
    let verdict = if streams.is_terminal { progress::shown(name, &streams.cancel, check) } else { check() };
    let checking = begin.elapsed();
    let hint = match (&file.history, &verdict) {
        (AnyHistory::Kv(history), Verdict::Violation(violation)) => {
            hint::hint(&bytes, &file, history, violation, options, &judged_with)
        }
        _ => None,
    };
    Ok(Judgement { file, verdict, hint, unit: options.unit, judged_with, parsing, checking })
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
    let Judgement { file, verdict, parsing, checking, .. } = judgement;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{name}: {}; {}, {}, {} operation{}{}, read in {}, judged in {}",
        headline(verdict),
        file.format,
        file.model,
        judgement.operations(),
        if judgement.operations() == 1 { "" } else { "s" },
        match judgement.unknown() {
            0 => String::new(),
            unknown => format!(" ({unknown} of unknown outcome)"),
        },
        time(*parsing),
        time(*checking),
    );
    let _ = writeln!(text, "  {}", file.origin.summary);
    match verdict {
        Verdict::Linearizable { .. } => {}
        Verdict::Violation(violation) => {
            let _ = writeln!(text, "  {}", judgement.sentence(violation));
            if let Some(hint) = &judgement.hint {
                let _ = writeln!(text, "  {hint}");
            }
            list(&mut text, "operations that contradict each other", judgement, &violation.operations);
            list(&mut text, "operations that wrote what these saw", judgement, &violation.support);
        }
        Verdict::Undecided(undecided) => {
            let is_single = undecided.key.is_empty() && undecided.keys == 1;
            let keys = format!(
                "; keys without a verdict: {}, the hardest is \"{}\"",
                undecided.keys,
                undecided.key.escape_ascii()
            );
            let _ = writeln!(
                text,
                "  {}{}; spent: {} configurations, {} MiB",
                ended(undecided.limit),
                if is_single { "" } else { &keys },
                undecided.configurations,
                undecided.bytes.div_ceil(1 << 20),
            );
            let _ = writeln!(
                text,
                "  the longest order found explains {} of the {} operations{}",
                undecided.order.len(),
                undecided.operations,
                if is_single { "" } else { " on that key" },
            );
            list(&mut text, "the order ends with", judgement, last(&undecided.order));
            list(&mut text, "operations open where the search got stuck", judgement, &undecided.open);
        }
    }
    if let Some(page) = page {
        let _ = writeln!(text, "  drawn in {}", page.display());
    }
    text
}

/// The end of an order that is worth a look.
fn last(order: &[usize]) -> &[usize] {
    &order[order.len().saturating_sub(LAST_SHOWN)..]
}

fn ended(limit: Limit) -> &'static str {
    match limit {
        Limit::Configurations => "the configurations are used up (--configurations)",
        Limit::Bytes => "the memory is used up (--memory-mib)",
        Limit::Deadline => "the time is used up (--seconds)",
        Limit::Cancelled => "interrupted",
    }
}

fn headline(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Linearizable { .. } => "linearizable",
        Verdict::Violation(_) => "NOT LINEARIZABLE",
        Verdict::Undecided(_) => "UNDECIDED",
    }
}

fn list(text: &mut String, title: &str, judgement: &Judgement, indexes: &[usize]) {
    if indexes.is_empty() {
        return;
    }
    let _ = writeln!(text, "  {title}:");
    for &index in indexes.iter().take(LISTED_MAX) {
        let Shown { line, process, name, text: did, .. } = judgement.shown(index);
        let place = line.map_or("at first    ".to_owned(), |line| format!("line {line:>6} "));
        let process = name.unwrap_or_else(|| process.to_string());
        let _ = writeln!(text, "    {place} operation {index:>6}  process {process:>4}  {did}");
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
