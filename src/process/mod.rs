//! What the binaries share as processes: time spans on the command line, logs, listening, signals.
//!
//! A binary prints one line to standard output when it is ready (`listening host:port`, the address under
//! which it is reached, also when it was asked for port 0), and everything else to standard error. Ctrl-C and
//! SIGTERM end it with exit code 0; a failure with 1 and a sentence that says what to do; a wrong command
//! line with 2.

mod advertise;
mod host;
pub mod logs;

use std::{fmt, io::Write, process::ExitCode, str::FromStr, time::Duration};

pub use advertise::advertised;
pub use host::{Listener, Watched, block_on, guarded, mark_refusals, shutdown, watch};

/// A time span as it is written on a command line: `500ms`, `1.5s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_secs_f64() * 1000.0;
        if milliseconds < 1000.0 {
            write!(f, "{milliseconds}ms")
        } else {
            write!(f, "{}s", milliseconds / 1000.0)
        }
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("'{text}' is no time span; write for example 500ms, 1.5s or 2m");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let (amount, unit) = text.split_at(digits);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            _ => return Err(error()),
        };
        let amount: f64 = amount.parse().map_err(|_| error())?;
        Duration::try_from_secs_f64(amount * seconds).map(Self).map_err(|_| error())
    }
}

/// `address` with the port that was bound.
///
/// # Errors
///
/// If the operating system does not tell the port.
pub fn bound(address: &str, listener: &Listener) -> Result<String, String> {
    let (host, _) = address.rsplit_once(':').ok_or("an address has a port")?;
    let bound = listener.address().map_err(|error| error.to_string())?;
    Ok(format!("{host}:{}", bound.port()))
}

/// Tells whoever started this process that it can be reached, and where.
///
/// # Errors
///
/// If nobody can read it.
pub fn ready(address: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening {address}")
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to standard output: {error}"))
}

/// Ends a process that cannot go on: one sentence on standard error.
pub fn fail(why: impl fmt::Display) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        for (text, milliseconds) in [("500ms", 500), ("1.5s", 1500), ("2m", 120_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(milliseconds))), "{text}");
        }
        for bad in ["", "5", "s", "5h", "-1s", "1.2.3s", "9999999999999999999999s"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_are_printed_as_they_are_written() {
        for text in ["0ms", "0.25ms", "500ms", "1.5s", "60s"] {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
    }
}
