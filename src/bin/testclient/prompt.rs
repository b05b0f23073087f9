//! Commands, one per line: from standard input, or at a prompt.
//!
//! Of piped input all lines are run. The exit code is that of the first error, else 1 if some answer was no,
//! else 0; a signal ends the process. At a prompt a person saw what failed, and the exit code is 0. Ctrl-C
//! there ends what is under way, and not the prompt; SIGTERM ends both. Of piped input an error names its
//! line. A line that begins with `#` is a comment.

use std::{
    ffi::OsString,
    future,
    io::{self, IsTerminal},
    os::unix::ffi::OsStringExt,
    pin::pin,
};

use clap::{CommandFactory, Parser, Subcommand};
use pbkv::{
    client::{Client, ClientOptions},
    clock::SystemClock,
    process::{self, Claim, Exit, Failure, Signal, Signals, print},
};

use crate::{
    Top, bench, check, close,
    encoding::Dash,
    lines::{Before, Lines},
    screen::Screen,
    under_way::UnderWay,
};

const ABOUT: &str = "Commands, one per line. Put double quotes around anything that contains spaces; inside \
                     them nothing is escaped. A line that begins with # is a comment";

/// What is said of a line that is not understood and holds other quotes.
const QUOTES: &str = "only double quotes hold words together, and inside them nothing is escaped";

/// A line.
#[derive(Parser, Clone, Debug)]
#[command(no_binary_name = true, name = "", about = ABOUT)]
pub struct Line {
    #[command(flatten)]
    screen: Screen,
    #[command(subcommand)]
    typed: Typed,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Typed {
    #[command(flatten)]
    Do(Top),
    /// End; so does Ctrl-D
    #[command(visible_alias = "exit")]
    Quit,
}

/// What a line comes to.
#[derive(Debug)]
enum Read {
    /// Do this, and print the answer like that.
    Do(Top, Screen),
    /// There is nothing to do.
    Nothing,
    /// It asked for help.
    Help(String),
    /// The end.
    Quit,
}

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    why: String,
    /// What would be one.
    usage: String,
}

impl Refused {
    /// What the parser says of a line.
    fn new(said: &str, line: &[u8]) -> Self {
        let said = said.trim_end();
        let said = said.strip_prefix("error: ").unwrap_or(said);
        let end = ["\n\nUsage:", "\n\nFor more information"].iter().filter_map(|part| said.find(part)).min();
        let (why, usage) = said.split_at(end.unwrap_or(said.len()));
        let has_other_quotes = line.contains(&b'\'') || line.windows(2).any(|pair| pair == b"\\\"");
        let hint = if has_other_quotes { format!("\n\n  tip: {QUOTES}") } else { String::new() };
        Self { why: format!("{why}{hint}"), usage: usage.trim_start().to_owned() }
    }
}

impl Read {
    /// Reads a line: words, or phrases in double quotes.
    ///
    /// # Errors
    ///
    /// An explanation to print.
    fn parse(line: &[u8]) -> Result<Self, Refused> {
        if line.trim_ascii_start().starts_with(b"#") {
            return Ok(Self::Nothing);
        }
        let words = words(line).map_err(|why| Refused::new(why, line))?;
        if words.is_empty() {
            return Ok(Self::Nothing);
        }
        match Line::try_parse_from(words) {
            Ok(Line { typed: Typed::Quit, .. }) => Ok(Self::Quit),
            Ok(Line { typed: Typed::Do(top), screen }) => Ok(Self::Do(top, screen)),
            Err(error) if !error.use_stderr() => Ok(Self::Help(error.to_string())),
            Err(error) => Err(Refused::new(&error.to_string(), line)),
        }
    }
}

/// Words are bytes, as they are on the command line.
fn words(line: &[u8]) -> Result<Vec<OsString>, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = quoted.iter().position(|byte| *byte == b'"');
                let end = end.ok_or("a double quote is not closed")?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => rest.split_at(rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len())),
        };
        words.push(OsString::from_vec(word.to_vec()));
        rest = behind.trim_ascii_start();
    }
    Ok(words)
}

/// Reads commands until they end.
pub async fn run(
    client: Client<SystemClock>,
    options: ClientOptions,
    under_way: UnderWay,
    screen: Screen,
    signals: &Signals,
) -> Exit {
    let is_terminal = io::stdin().is_terminal();
    let (claim, before) = (is_terminal.then(|| signals.claim()), Before::now());
    let unreadable = |error| screen.fail::<Line>(Failure::Failed(format!("cannot read commands: {error}")));
    let mut lines = match Lines::open(Line::command()) {
        Ok(lines) => lines,
        Err(error) => return unreadable(error),
    };
    if is_terminal {
        print::stderr(
            "put, get, append, delete, cas, keys, count, view, check, bench; 'help' explains, 'quit' ends",
        );
    }
    let mut prompt = Prompt { client, options, under_way, signals, claim, before, is_terminated: false };
    let (mut exit, mut last, mut number) = (Exit::Done, Exit::Done, 0);
    while !prompt.is_terminated {
        let line;
        (lines, line) = prompt.next(lines).await;
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                exit = first(exit, unreadable(error));
                break;
            }
        };
        number += 1;
        let screen = screen.at(Some(number).filter(|_| !is_terminal));
        last = match Read::parse(&line) {
            Ok(Read::Nothing) => continue,
            Ok(Read::Quit) => break,
            Ok(Read::Help(help)) => screen.explain(&help),
            Ok(Read::Do(top, own)) => prompt.perform(top, own.or(screen)).await,
            Err(Refused { why, usage }) => screen.refuse(&why, &usage),
        };
        exit = first(exit, last);
    }
    close(&mut prompt.client, signals).await;
    match (is_terminal, prompt.is_terminated) {
        (true, true) if matches!(last, Exit::Unknown | Exit::InPart) => last,
        (true, true) => Exit::Ended,
        (true, false) => Exit::Done,
        (false, _) => exit,
    }
}

/// Of two commands, the exit code that counts: that of the first error, else of an answer that was no.
fn first(exit: Exit, next: Exit) -> Exit {
    match exit {
        Exit::Done => next,
        Exit::No if next != Exit::Done => next,
        _ => exit,
    }
}

/// What all commands share.
struct Prompt<'a> {
    client: Client<SystemClock>,
    options: ClientOptions,
    under_way: UnderWay,
    signals: &'a Signals,
    /// At a terminal: signals do not end the process.
    claim: Option<Claim>,
    /// How the terminal was.
    before: Before,
    /// A signal that ended what was under way ends the rest as well.
    is_terminated: bool,
}

impl Prompt<'_> {
    /// The next line; nothing at the end.
    async fn next(&mut self, lines: Lines) -> (Lines, io::Result<Option<Vec<u8>>>) {
        tokio::select! {
            biased;
            () = terminated(self.claim.as_mut()) => {
                self.before.restore();
                print::stderr("SIGTERM: ended");
                process::end(Exit::Ended)
            }
            read = lines.next() => read,
        }
    }

    async fn perform(&mut self, top: Top, screen: Screen) -> Exit {
        let command = match top {
            Top::One(command) => command,
            Top::Check(args) => {
                let check = async |options, claim: &mut _| check::run(options, screen, args, claim).await;
                return self.work(check, screen).await;
            }
            Top::Bench(args) => {
                let bench = async |options, claim: &mut _| bench::run(options, screen, args, claim).await;
                return self.work(bench, screen).await;
            }
        };
        let under_way = &self.under_way;
        let runs = command.run(&mut self.client, under_way, screen, Dash::Itself);
        let mut ran = pin!(screen.patiently(under_way.waiting(), runs));
        let ended = match &mut self.claim {
            None => screen.tell(&ran.await),
            Some(claim) => tokio::select! {
                biased;
                ran = &mut ran => screen.tell(&ran),
                signal = claim.next() => {
                    self.is_terminated = claim.is_terminated();
                    screen.interrupted(signal, under_way.so_far())
                }
            },
        };
        under_way.end();
        ended
    }

    /// What has clients of its own, and ends in its own way by a signal.
    async fn work(
        &mut self,
        work: impl AsyncFnOnce(ClientOptions, &mut Claim) -> Result<Exit, Failure>,
        screen: Screen,
    ) -> Exit {
        let mut own = None;
        let claim = match &mut self.claim {
            Some(claim) => claim,
            None => own.insert(self.signals.claim()),
        };
        let worked = work(self.options.clone(), claim).await;
        self.is_terminated = claim.is_terminated();
        worked.unwrap_or_else(|failure| screen.fail::<Line>(failure))
    }
}

/// Waits for a signal that ends the prompt itself, while nothing is under way.
async fn terminated(claim: Option<&mut Claim>) {
    match claim {
        Some(claim) => while claim.next().await != Signal::Terminate {},
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use crate::{command::Command, encoding::Value};

    use super::*;

    fn command(line: &str) -> Command {
        match Read::parse(line.as_bytes()) {
            Ok(Read::Do(Top::One(command), _)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_are_commands() {
        let Command::Put { key, value } = command(" put \"a key\" \"\" \n") else { panic!("a put") };
        assert_eq!(key, "a key");
        assert_ne!(value, Value::default(), "an empty value is one");
        let Command::Cas { expect, expect_revision, .. } = command("cas k new --expect old") else {
            panic!("a cas")
        };
        assert_eq!((expect, expect_revision), (Some("old".into()), None));
        assert_eq!(command("status"), Command::View);
        assert!(matches!(Read::parse(b"  \n"), Ok(Read::Nothing)));
        assert!(matches!(Read::parse(b"quit"), Ok(Read::Quit)));
        assert!(matches!(Read::parse(b"check --time 1s"), Ok(Read::Do(Top::Check(_), _))));
        let Ok(Read::Do(_, screen)) = Read::parse(b"get k --output json --revision") else { panic!("a get") };
        assert!(screen.is_json());
    }

    #[test]
    fn a_wrong_line_is_explained_by_its_own_name() {
        for (line, hint) in [
            ("put k", "Usage: put"),
            ("push k", "push"),
            ("get \"k", "quote"),
            ("cas k new --expect old --expect-revision 0", "Usage: cas"),
        ] {
            let Refused { why, usage } = Read::parse(line.as_bytes()).expect_err(line);
            assert!(!why.contains("error: ") && !why.contains("Usage:"), "{line}: {why}");
            let why = format!("{why}\n{usage}");
            assert!(why.contains(hint), "{line}: {why}");
            assert!(!why.contains("testclient") && !why.contains("pbkv"), "{line}: {why}");
        }
        let Ok(Read::Help(help)) = Read::parse(b"help") else { panic!("help") };
        assert!(
            ["append", "check", "status", "quit", "Ctrl-D"].iter().all(|word| help.contains(word)),
            "{help}"
        );
    }
}
