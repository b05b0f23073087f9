//! The one place that writes to standard output and standard error.
//!
//! Neither ever panics. Nothing is said if the reader of a pipe has gone: it wants no more. What cannot be
//! written for another reason, to a full disk for example, is told on standard error, and [`Printed`] says
//! what it does to the exit code. What cannot be written to standard error is lost.

use std::{
    fmt::Display,
    io::{self, Write},
};

use super::{Exit, Failure};

/// What came of a text for standard output.
#[must_use = "a text that could not be written changes the exit code, or ends a listing"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// It was written.
    Whole,
    /// The reader has gone.
    Unread,
    /// It could not be written, which was told.
    Failed,
}

impl Printed {
    /// How a command ends that would end like that. What was answered was answered: only a plain success
    /// becomes something else if it could not be written.
    pub fn exit(self, own: Exit) -> Exit {
        match (self, own) {
            (Self::Failed, Exit::Done) => Exit::InPart,
            _ => own,
        }
    }

    /// For a process that has done its work when this is printed.
    ///
    /// # Errors
    ///
    /// If it could not be written.
    pub fn done(self) -> Result<(), Failure> {
        match self {
            Self::Whole | Self::Unread => Ok(()),
            Self::Failed => Err(Failure::NotPrinted),
        }
    }
}

/// Writes a text, which may hold any bytes, and the end of a line to standard output.
pub fn stdout(text: impl AsRef<[u8]>) -> Printed {
    printed(line(&mut io::stdout().lock(), text.as_ref()))
}

/// Writes these bytes to standard output, and nothing else.
pub fn exactly(bytes: impl AsRef<[u8]>) -> Printed {
    let mut out = io::stdout().lock();
    printed(out.write_all(bytes.as_ref()).and_then(|()| out.flush()))
}

fn printed(written: io::Result<()>) -> Printed {
    match written {
        Ok(()) => Printed::Whole,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Printed::Unread,
        Err(error) => {
            stderr(format!("error: cannot write to standard output: {error}"));
            Printed::Failed
        }
    }
}

/// Writes a text and the end of a line to standard error.
pub fn stderr(text: impl Display) {
    let _ = line(&mut io::stderr().lock(), text.to_string().as_bytes());
}

/// Writes a question to standard error; the answer is typed behind it.
pub fn ask(question: impl Display) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{question} ").and_then(|()| out.flush());
}

fn line(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    out.write_all(&[text, b"\n"].concat()).and_then(|()| out.flush())
}
