//! What is printed, and in which form.

use std::{
    fmt::Display,
    future::Future,
    io::{self, IsTerminal},
    pin::pin,
    time::Duration,
};

use clap::{Args, CommandFactory, ValueEnum};
use pbkv::{
    client::{ClientError, Waiting},
    clock::{Clock, SystemClock, before},
    process::{self, Exit, Failure, Printed, Signal, Span, print},
    protocol::identity::OpNumber,
};
use serde_json::Value as Json;

use crate::{
    answer::{Answer, Failed, Text, error_json},
    encoding::{Encoding, counted},
    under_way::SoFar,
};

/// A person who waits longer is told for what, as often as that changes.
const PATIENCE: Duration = Duration::from_secs(1);

/// The form of what is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; errors on standard error
    #[default]
    Text,
    /// One object per line on standard output for each command, also if it fails
    Json,
}

/// What is printed, and how.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Output")]
pub struct Screen {
    /// The form of what is printed [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", global = true)]
    output: Option<Format>,
    /// How keys and values are written, on the command line and in what is printed [default: text]
    #[arg(long, value_enum, value_name = "ENCODING", global = true)]
    encoding: Option<Encoding>,
    /// Print values and errors only; the exit code says the rest
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print on standard error at which revision an answer was true, and which one changed the key last; of
    /// 'keys' and 'count', the revision of each page
    #[arg(long, global = true)]
    revision: bool,
    /// Which line of the input this command is, if nobody types them: errors name it.
    #[arg(skip)]
    line: Option<u64>,
}

impl Screen {
    /// What a line at the prompt says, and for the rest what the command line of the process said.
    pub fn or(self, process: Self) -> Self {
        Self {
            output: self.output.or(process.output),
            encoding: self.encoding.or(process.encoding),
            quiet: self.quiet || process.quiet,
            revision: self.revision || process.revision,
            line: self.line.or(process.line),
        }
    }

    /// For a command that is this line of the input.
    pub fn at(self, line: Option<u64>) -> Self {
        Self { line, ..self }
    }

    /// Where an error is, before what it is.
    fn place(self) -> String {
        self.line.map_or_else(String::new, |line| format!("line {line}: "))
    }

    /// Prints what is wrong, for people.
    pub fn wrong(self, why: impl Display) -> Exit {
        process::fail(format!("{}{why}", self.place()))
    }

    /// Prints an error, for programs.
    fn error(self, mut error: Json) -> Printed {
        if let Some(line) = self.line {
            error["line"] = line.into();
        }
        object(&error)
    }

    /// How keys and values are written.
    pub fn encoding(self) -> Encoding {
        self.encoding.unwrap_or_default()
    }

    /// Whether what the exit code says as well is not printed.
    pub fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether programs read it.
    pub fn is_json(self) -> bool {
        self.output == Some(Format::Json)
    }

    /// Prints how a command ended.
    pub fn tell(self, ran: &Result<Answer, Failed>) -> Exit {
        match ran {
            Ok(answer) if self.is_json() => match answer.json(self.encoding()) {
                Json::Null => answer.exit(),
                json => object(&json).exit(answer.exit()),
            },
            Ok(answer) => self.print(answer).exit(answer.exit()),
            Err(failed) if self.is_json() => self.error(failed.json()).exit(failed.exit()),
            Err(failed) => {
                self.wrong(failed.text());
                if matches!(failed.error, ClientError::Unknown { .. }) {
                    print::stderr(IN_DOUBT);
                }
                failed.exit()
            }
        }
    }

    /// Prints that a line is no command, why, and for people what would be one.
    pub fn refuse(self, why: &str, usage: &str) -> Exit {
        if self.is_json() {
            let words = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
            let why = why.split("\n\n").map(words).collect::<Vec<_>>().join("; ");
            return self.tell(&Err(ClientError::Invalid(why).into()));
        }
        self.wrong(why);
        if !usage.is_empty() {
            print::stderr(format!("\n{usage}"));
        }
        Exit::Usage
    }

    /// Prints a help text that was asked for. Where programs read objects, it is no answer.
    pub fn explain(self, help: &str) -> Exit {
        match self.is_json() {
            true => print::stderr(help),
            false => return print::stdout(help).exit(Exit::Done),
        }
        Exit::Done
    }

    /// Prints why something could not even begin, or could not be ended.
    pub fn fail<A: CommandFactory>(self, failure: Failure) -> Exit {
        let (kind, exit, why) = match &failure {
            Failure::Usage(why) => ("invalid", Exit::Usage, why),
            Failure::Failed(why) => ("failed", Exit::Failed, why),
            Failure::NotPrinted => return failure.tell::<A>(),
        };
        match self.is_json() {
            true => self.error(error_json(kind, why)).exit(exit),
            false => match failure {
                Failure::Usage(why) => Failure::Usage(self.place() + &why),
                Failure::Failed(why) => Failure::Failed(self.place() + &why),
                Failure::NotPrinted => Failure::NotPrinted,
            }
            .tell::<A>(),
        }
    }

    /// Prints that a signal ended a command that has no answer yet, and whether an update may take effect.
    pub fn interrupted(self, signal: Signal, so_far: SoFar) -> Exit {
        let exit = so_far.exit();
        let deleted = match so_far.deleted {
            0 => String::new(),
            deleted => format!("deleted {}, then ", counted(deleted, "key")),
        };
        let (kind, so) = match so_far.is_in_doubt {
            true => {
                ("unknown", "ended after an update was sent, which may or may not take effect, now or later")
            }
            false => ("ended", "ended without an answer"),
        };
        let told = format!("{signal}: {deleted}{so}");
        if self.is_json() {
            let mut json = error_json(kind, &told);
            if so_far.deleted > 0 {
                json["deleted"] = so_far.deleted.into();
            }
            return self.error(json).exit(exit);
        }
        print::stderr(told);
        if so_far.is_in_doubt {
            print::stderr(IN_DOUBT);
        }
        exit
    }

    /// Prints that a signal ended something that changes nothing that was asked for.
    pub fn ended(self, signal: Signal, so: &str) -> Exit {
        let told = format!("{signal}: {so}");
        match self.is_json() {
            true => return self.error(error_json("ended", &told)).exit(Exit::Ended),
            false => print::stderr(told),
        }
        Exit::Ended
    }

    /// Prints of which moment a page is; as JSON, it says so itself.
    pub fn page(self, revision: OpNumber) {
        if self.revision && !self.is_json() {
            print::stderr(format!("revision {}", revision.0));
        }
    }

    fn print(self, answer: &Answer) -> Printed {
        if self.revision
            && let Some((revision, changed_by)) = answer.revisions()
        {
            print::stderr(format!("revision {}, changed by {}", revision.0, changed_by.0));
        }
        match answer.text(self.encoding()) {
            Text::Value(value) => print::stdout(value),
            Text::Bytes(value) => print::exactly(value),
            Text::Said(said) if !self.quiet => print::stdout(said),
            Text::Aside(said) if !self.quiet => {
                print::stderr(said);
                Printed::Whole
            }
            Text::Said(_) | Text::Aside(_) | Text::Nothing => Printed::Whole,
        }
    }

    /// Waits for work; a person at a terminal is told again and again how far it is.
    pub async fn telling<T>(
        self,
        interval: Duration,
        so_far: impl Fn() -> String,
        work: impl Future<Output = T>,
    ) -> T {
        let is_watched = io::stderr().is_terminal() && !self.quiet;
        let mut work = pin!(work);
        loop {
            let next = SystemClock.now() + interval;
            if let Some(done) = before(&SystemClock, next, work.as_mut()).await {
                return done;
            }
            if is_watched {
                print::stderr(so_far());
            }
        }
    }

    /// Waits for calls of a client; a person at a terminal is told what for.
    pub async fn patiently<T>(self, waiting: &Waiting, calls: impl Future<Output = T>) -> T {
        let is_watched = io::stderr().is_terminal() && !self.quiet;
        let mut calls = pin!(calls);
        let mut told = None;
        loop {
            let now = SystemClock.now();
            if let Some(ended) = before(&SystemClock, now + PATIENCE, calls.as_mut()).await {
                return ended;
            }
            let why = waiting.why();
            if is_watched && why != told {
                let seconds = waiting.until().saturating_sub(SystemClock.now()).as_secs() + 1;
                let rest = Span(Duration::from_secs(seconds));
                let why_now = why.as_deref().unwrap_or("no answer yet");
                print::stderr(format!("waiting for {rest} more: {why_now}"));
                told = why;
            }
        }
    }
}

/// What to do about an update whose fate is unknown.
const IN_DOUBT: &str = "read the key to see whether it took effect; it may still do so later";

/// Prints an object on a line of its own.
pub fn object(object: &Json) -> Printed {
    print::stdout(object.to_string())
}
