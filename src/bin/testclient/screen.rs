//! What is printed, and in which form.

use std::{
    future::Future,
    io::{self, IsTerminal, Write},
    pin::pin,
    time::Duration,
};

use clap::{Args, ValueEnum};
use pbkv::{
    client::{ClientError, Waiting},
    clock::{Clock, SystemClock, before},
    process::{self, Exit, Span},
};
use serde_json::Value as Json;

use crate::{
    answer::{Answer, Text, error_json},
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
    /// Print on standard error at which revision an answer was true, and which one changed the key last
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
    pub fn tell(self, ran: &Result<Answer, ClientError>) -> Exit {
        let (exit, printed) = match ran {
            Ok(answer) if self.is_json() => match answer.json(self.encoding()) {
                Json::Null => (answer.exit(), Ok(())),
                json => (answer.exit(), object(&json)),
            },
            Ok(answer) => (answer.exit(), self.print(answer)),
            Err(error) if self.is_json() => (error.into(), object(&error_json(error))),
            Err(error) => {
                process::fail(error);
                if matches!(error, ClientError::Unknown { .. }) {
                    eprintln!("read the key to see whether it took effect; it may still do so later");
                }
                (error.into(), Ok(()))
            }
        };
        ended(printed, exit)
    }

    /// Prints that a line is no command, and why.
    pub fn refuse(self, why: &str) -> Exit {
        if self.is_json() {
            return self.tell(&Err(ClientError::Invalid(why.to_owned())));
        }
        eprintln!("{why}");
        Exit::Usage
    }

    fn print(self, answer: &Answer) -> io::Result<()> {
        if self.revision
            && let Some((revision, changed_by)) = answer.revisions()
        {
            eprintln!("revision {}, changed by {}", revision.0, changed_by.0);
        }
        match answer.text(self.encoding()) {
            Text::Value(value) => line(&value),
            Text::Said(said) if !self.quiet => line(&said),
            Text::Aside(said) if !self.quiet => {
                eprintln!("{said}");
                Ok(())
            }
            Text::Said(_) | Text::Aside(_) | Text::Nothing => Ok(()),
        }
    }

    /// Waits for a call of a client; a person at a terminal is told what for.
    pub async fn patiently<T>(
        self,
        waiting: Waiting,
        deadline: Duration,
        call: impl Future<Output = T>,
    ) -> T {
        let is_watched = io::stderr().is_terminal() && !self.quiet;
        let until = SystemClock.now() + deadline;
        let mut call = pin!(call);
        let mut told = None;
        loop {
            let now = SystemClock.now();
            if let Some(ended) = before(&SystemClock, now + PATIENCE, call.as_mut()).await {
                return ended;
            }
            let why = waiting.why();
            if is_watched && why != told {
                let seconds = until.saturating_sub(SystemClock.now()).as_secs() + 1;
                let rest = Span(Duration::from_secs(seconds));
                eprintln!("waiting for {rest} more: {}", why.as_deref().unwrap_or("no answer yet"));
                told = why;
            }
        }
    }
}

/// Prints an object on a line of its own.
pub fn object(object: &Json) -> io::Result<()> {
    line(object.to_string().as_bytes())
}

/// Prints a line, which may hold any bytes.
pub fn line(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(&[text, b"\n"].concat()).and_then(|()| out.flush())
}

/// How a command ended, unless that could not be printed.
pub fn ended(printed: io::Result<()>, exit: Exit) -> Exit {
    match printed {
        Ok(()) => exit,
        Err(error) => process::fail(format!("cannot write to standard output: {error}")),
    }
}
