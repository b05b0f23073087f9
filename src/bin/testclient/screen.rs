//! What is printed, and in which form.

use std::{
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
    encoding::Encoding,
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
}

impl Screen {
    /// What a line at the prompt says, and for the rest what the command line of the process said.
    pub fn or(self, process: Self) -> Self {
        Self {
            output: self.output.or(process.output),
            encoding: self.encoding.or(process.encoding),
            quiet: self.quiet || process.quiet,
            revision: self.revision || process.revision,
        }
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
            Err(failed) if self.is_json() => object(&failed.json()).exit(failed.exit()),
            Err(failed) => {
                if let Some(deleted @ 1..) = failed.deleted {
                    print::stderr(format!("deleted {deleted} before that:"));
                }
                process::fail(&failed.error);
                if matches!(failed.error, ClientError::Unknown { .. }) {
                    print::stderr("read the key to see whether it took effect; it may still do so later");
                }
                failed.exit()
            }
        }
    }

    /// Prints that a line is no command, and why.
    pub fn refuse(self, why: &str) -> Exit {
        if self.is_json() {
            return self.tell(&Err(ClientError::Invalid(why.to_owned()).into()));
        }
        print::stderr(why);
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
            true => object(&error_json(kind, why)).exit(exit),
            false => failure.tell::<A>(),
        }
    }

    /// Prints that a signal came before there was an answer.
    pub fn interrupted(self, signal: Signal, so: &str) -> Exit {
        let told = format!("{signal}: {so}");
        match self.is_json() {
            true => return object(&error_json("ended", &told)).exit(Exit::Ended),
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
            Text::Said(said) if !self.quiet => print::stdout(said),
            Text::Aside(said) if !self.quiet => {
                print::stderr(said);
                Printed::Whole
            }
            Text::Said(_) | Text::Aside(_) | Text::Nothing => Printed::Whole,
        }
    }

    /// Waits for calls of a client; a person at a terminal is told what for.
    pub async fn patiently<T>(self, waiting: Waiting, calls: impl Future<Output = T>) -> T {
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

/// What a signal means for a command that is under way.
pub const UNDER_WAY: &str = "ended without an answer; an update under way may take effect, now or later";

/// Prints an object on a line of its own.
pub fn object(object: &Json) -> Printed {
    print::stdout(object.to_string())
}
