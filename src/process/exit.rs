//! How a process ends: one table of exit codes for all binaries, so that a number means one thing.
//!
//! A reader of the output that has gone changes no exit code. Output that could not be written for another
//! reason turns [`Exit::Done`] into [`Exit::InPart`], and no other: an update that took effect never ends
//! with [`Exit::Failed`].

use std::process::ExitCode;

use clap::{CommandFactory, error::ErrorKind};

use super::print;
use crate::client::ClientError;

/// How a process or a command ends. The number is its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done, or true.
    Done = 0,
    /// The answer is no.
    No = 1,
    /// The command line or the request has to be changed.
    Usage = 2,
    /// It was not done, and changed nothing.
    Failed = 3,
    /// An update may or may not take effect.
    Unknown = 4,
    /// Data that were acknowledged are lost.
    DataLost = 5,
    /// A check found neither a proof nor a violation.
    Undecided = 6,
    /// Clients are not served, or would not be after one more failure.
    NoService = 7,
    /// Clients are served from fewer copies than wanted.
    CopiesMissing = 8,
    /// Something was done, and not all of what was asked for.
    InPart = 9,
    /// A signal ended it before there was an answer, as shells count.
    Ended = 130,
}

impl Exit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::No,
        Self::Usage,
        Self::Failed,
        Self::Unknown,
        Self::DataLost,
        Self::Undecided,
        Self::NoService,
        Self::CopiesMissing,
        Self::InPart,
        Self::Ended,
    ];

    /// Its number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it tells a script.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; for servers, ended as asked (Ctrl-C, SIGTERM)",
            Self::No => {
                "the answer is no: the key is absent, nothing was swapped, a deletion was not confirmed, the history is \
                 not linearizable"
            }
            Self::Usage => "wrong command line or request; repeating it is no use",
            Self::Failed => "failed; if it was an update, nothing was changed",
            Self::Unknown => "the fate of an update is unknown: it may or may not take effect, now or later",
            Self::DataLost => "data is lost",
            Self::Undecided => "undecided: no proof and no violation within the limits of the search",
            Self::NoService => {
                "no service: no primary, updates are refused, or no server could replace a primary that fails"
            }
            Self::CopiesMissing => "fewer copies than wanted, or the view is not acknowledged yet",
            Self::InPart => {
                "done in part: the output or the history could not be written (a full disk), or 'delete --prefix' \
                 failed after it had removed keys"
            }
            Self::Ended => "ended by a signal before there was an answer; no update is in doubt",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<&ClientError> for Exit {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Unknown { .. } => Self::Unknown,
            ClientError::NotExecuted { .. } | ClientError::OtherHistory { .. } => Self::Failed,
            ClientError::Invalid(_) | ClientError::ValueTooLarge { .. } => Self::Usage,
            ClientError::NothingLeft { .. } | ClientError::DataLost { .. } => Self::DataLost,
        }
    }
}

/// The end of a help text: examples, and the exit codes with which it can end.
pub fn help(examples: &[&str], exits: &[Exit]) -> String {
    let mut text = String::from("Examples:\n");
    for example in examples {
        text.push_str(&format!("  {example}\n"));
    }
    text.push_str("\nExit codes:\n");
    for exit in exits {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    }
    text
}

/// Why a process ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its options cannot work: whoever typed them has to change something.
    Usage(String),
    /// The world does not allow it.
    Failed(String),
    /// It is done, and what it came to could not be written, which was told.
    NotPrinted,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Failure {
    /// An option that is wrong, in words that begin with its name.
    pub fn option(why: impl std::fmt::Display) -> Self {
        Self::Usage(format!("--{why}"))
    }

    /// Tells it on standard error. A wrong command line is told in the voice of the parser, which could not
    /// know.
    pub fn tell<A: CommandFactory>(self) -> Exit {
        match self {
            Self::Usage(why) => {
                let told = A::command().error(ErrorKind::ValueValidation, why).to_string();
                print::stderr(told.trim_end());
                Exit::Usage
            }
            Self::NotPrinted => Exit::InPart,
            Self::Failed(why) => super::fail(why),
        }
    }
}
