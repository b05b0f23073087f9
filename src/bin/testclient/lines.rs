//! Where commands come from: the editor at a terminal, or standard input line by line.

use std::{
    io::{self, BufRead, IsTerminal},
    mem,
};

use clap::Command;
use pbkv::process::{self, print};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::editor::Keyboard;

/// A source of lines.
pub enum Lines {
    /// With an editor, which draws on standard output.
    Edited(Box<Keyboard>),
    /// As they come. A person who types them is asked for each on standard error.
    Plain {
        /// A person types them.
        is_typed: bool,
    },
}

impl Lines {
    /// Those on standard input. The editor draws on standard output, so it is used at a terminal only: a file
    /// gets nothing but answers.
    ///
    /// # Errors
    ///
    /// If it is no terminal that can be used.
    pub fn open(grammar: Command) -> io::Result<Self> {
        let is_typed = io::stdin().is_terminal();
        Ok(match is_typed && io::stdout().is_terminal() {
            true => Self::Edited(Box::new(Keyboard::new(grammar)?)),
            false => Self::Plain { is_typed },
        })
    }

    /// The next line, which may hold any bytes; nothing at the end. It is waited for on a thread of its own:
    /// if this future is dropped, the source is gone, and the thread stays until there is a line.
    pub async fn next(mut self) -> (Self, io::Result<Option<Vec<u8>>>) {
        process::aside(move || {
            let line = self.read();
            (self, line)
        })
        .await
    }

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Edited(keyboard) => Ok(keyboard.line()?.map(String::into_bytes)),
            Self::Plain { is_typed } => {
                if *is_typed {
                    print::ask(">");
                }
                let mut line = Vec::new();
                io::stdin().lock().read_until(b'\n', &mut line)?;
                Ok(Some(line).filter(|line| !line.is_empty()))
            }
        }
    }
}

/// How the terminal was before the editor changed it.
pub struct Before(Option<Termios>);

impl Before {
    /// As it is now.
    pub fn now() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }

    /// For a process that ends while the editor waits for a key.
    pub fn restore(&mut self) {
        if let Some(before) = mem::take(&mut self.0) {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
            if io::stdout().is_terminal() {
                let _ = print::stdout(PLAIN_PASTE);
            }
        }
    }
}

/// Tells a terminal not to mark what is pasted any more.
const PLAIN_PASTE: &str = "\x1b[?2004l";
