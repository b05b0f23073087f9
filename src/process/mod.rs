//! What the binaries share as processes: time spans on the command line, logs, listening, signals.
//!
//! A server prints one line to standard output when it is ready (`listening host:port`, with the port that
//! was bound, and `, advertised as host:port` if others reach it under another address), and everything else
//! to standard error. A process that fails says in one sentence what to do. [`exit`] has the exit codes.

mod advertise;
pub mod exit;
mod host;
pub mod logs;
pub mod print;
mod save;
mod signals;

use std::{fmt, num::IntErrorKind, process::ExitCode, str::FromStr, time::Duration};

use clap::CommandFactory;

use crate::{
    channel::check_address,
    protocol::options::{UNITS, written},
};
pub use exit::{Exit, Failure};

pub use advertise::{advertised, check_reached};
pub use host::{Listener, Watched, aside, block_on, guarded, is_refused, mark_refusals, watch};
pub use print::Printed;
pub use save::Target;
pub use signals::{Claim, Signal, Signals, end, shutdown};

/// A time span as it is written on a command line: `500ms`, `1.5s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(self.0))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            let units: Vec<_> = UNITS.iter().map(|(unit, _)| *unit).collect();
            format!("write a number and a unit ({}), for example 500ms, 1.5s or 2m", units.join(", "))
        };
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let (amount, unit) = text.split_at(digits);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        let amount: f64 = amount.parse().map_err(|_| error())?;
        Duration::try_from_secs_f64(amount * unit.as_secs_f64()).map(Self).map_err(|_| error())
    }
}

/// An address to listen on, `host:port`, as a command line has it.
///
/// # Errors
///
/// In words, with an example of a good one.
pub fn listened(address: &str) -> Result<String, String> {
    check_address(address).map(|()| address.to_owned())
}

/// An address of another process, `host:port`, as a command line has it.
///
/// # Errors
///
/// Like [`listened`], and for port 0, at which no process is reached.
pub fn reached(address: &str) -> Result<String, String> {
    let address = listened(address)?;
    match address.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(0)) => {
            Err("no process is reached at port 0; name the port that it listens on, 1 to 65535".into())
        }
        _ => Ok(address),
    }
}

/// Reads a whole number from `min` to `max`, as a command line has it.
pub fn whole(min: u64, max: u64) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse::<u64>();
        let is_too_long = number.as_ref().is_err_and(|why| *why.kind() == IntErrorKind::PosOverflow);
        let number = number.ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| match max {
            u64::MAX if is_too_long => "write a smaller number".to_owned(),
            u64::MAX => format!("write a whole number, at least {min}"),
            _ => format!("write a whole number from {min} to {max}"),
        })
    }
}

/// Reads a whole number whose limits are checked later, with those of other options.
///
/// # Errors
///
/// In words.
pub fn any_whole<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    whole(0, u64::MAX)(text)
        .and_then(|number| T::try_from(number).map_err(|_| "write a smaller number".into()))
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

/// Tells whoever started this process that it can be reached: where it listens, and under which address
/// others reach it, if that is another one.
///
/// # Errors
///
/// If that cannot be written. A reader that has gone did not want it.
pub fn ready(listens: &str, advertised: &str) -> Result<(), String> {
    let other = if advertised == listens { String::new() } else { format!(", advertised as {advertised}") };
    match print::stdout(format!("listening {listens}{other}")) {
        Printed::Whole | Printed::Unread => Ok(()),
        Printed::Failed => {
            Err("the address that this server listens on could not be written to standard output".into())
        }
    }
}

/// Runs a server's work to its end.
pub fn run<A: CommandFactory>(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    match block_on(work) {
        Ok(Ok(())) => Exit::Done,
        Ok(Err(failure)) => failure.tell::<A>(),
        Err(error) => fail(error),
    }
    .into()
}

/// Ends a process that cannot go on: one sentence on standard error.
pub fn fail(why: impl fmt::Display) -> Exit {
    print::stderr(format!("error: {why}"));
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("0s", 0),
            ("100us", 0),
            ("1h", 3_600_000),
            ("1.5d", 129_600_000),
        ] {
            let span = text.parse::<Span>().expect(text).0;
            assert_eq!(span.as_millis(), milliseconds, "{text}");
        }
        for bad in ["", "5", "s", "5w", "-1s", "1.2.3s", "9999999999999999999999s"] {
            let why = bad.parse::<Span>().expect_err(bad);
            assert!(why.contains("(us, ms, s, m, h, d)"), "{why}");
        }
    }

    #[test]
    fn spans_are_printed_as_they_are_written() {
        for text in ["0s", "250us", "500ms", "1.5s", "1m", "90s", "36h", "30d"] {
            assert_eq!(text.parse::<Span>().expect(text).to_string(), text);
        }
    }
}
