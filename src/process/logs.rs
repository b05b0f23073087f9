//! Structured logs: on standard error, and in a file for each day if a folder is given.

use std::{io::IsTerminal, path::PathBuf};

use clap::Args;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::{
    EnvFilter, Layer, filter::LevelFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// The flags of every binary that logs.
#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What is logged: a level (error, warn, info, debug, trace), or rules like RUST_LOG, which this
    /// overrides
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Also log to a file for each day in this folder
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

/// Keeps the log file open; dropping it writes what is still buffered.
#[must_use = "logs to a file end when this is dropped"]
#[derive(Debug)]
pub struct Logs {
    _file: Option<WorkerGuard>,
}

/// A word alone is a level, or one of our programs or crates. Any other would be taken for the name of a
/// module, and nothing else would be logged.
fn check_words(rules: &str) -> Result<(), String> {
    const OURS: [&str; 4] = ["pbkv", "kvserver", "viewservice", "testclient"];
    let is_known = |word: &str| {
        let module = word.split("::").next().unwrap_or_default();
        word.is_empty()
            || word.contains(['=', '['])
            || OURS.contains(&module)
            || word.parse::<LevelFilter>().is_ok()
    };
    match rules.split(',').map(str::trim).find(|word| !is_known(word)) {
        None => Ok(()),
        Some(word) => Err(format!(
            "cannot log at '{rules}': '{word}' is no level; write error, warn, info, debug or trace, for example --log debug"
        )),
    }
}

impl LogArgs {
    /// Starts logging for the process, at `default` if neither the flag nor `RUST_LOG` says otherwise.
    ///
    /// # Errors
    ///
    /// If the level is not understood or the folder cannot be used.
    pub fn start(&self, binary: &str, default: &str) -> Result<Logs, String> {
        let rules = self
            .log
            .clone()
            .or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|rules| !rules.is_empty()))
            .unwrap_or_else(|| default.to_owned());
        if self.log.is_some() {
            check_words(&rules)?; // RUST_LOG may be meant for others
        }
        let filter = || {
            EnvFilter::try_new(&rules).map_err(|error| {
                format!("cannot log at '{rules}': {error}; write a level, for example --log debug")
            })
        };
        let screen = fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .with_filter(filter()?);
        let (file, guard) = match &self.log_dir {
            None => (None, None),
            Some(dir) => {
                let appender = tracing_appender::rolling::Builder::new()
                    .rotation(tracing_appender::rolling::Rotation::DAILY)
                    .filename_prefix(binary)
                    .filename_suffix("log")
                    .build(dir)
                    .map_err(|error| format!("cannot log to the folder {}: {error}", dir.display()))?;
                let (writer, guard) = tracing_appender::non_blocking(appender);
                let layer = fmt::layer().with_writer(writer).with_ansi(false).with_filter(filter()?);
                (Some(layer), Some(guard))
            }
        };
        tracing_subscriber::registry()
            .with(screen)
            .with(file)
            .try_init()
            .map_err(|error| format!("cannot log: {error}"))?;
        Ok(Logs { _file: guard })
    }
}

#[cfg(test)]
mod tests {
    use super::check_words;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in
            ["info", "WARN", "off", "pbkv", "pbkv::server=debug,warn", "info,h2=error", "h2=trace", ""]
        {
            assert_eq!(check_words(good), Ok(()), "{good}");
        }
        for bad in ["verbose", "warning", "info,nonsense", "h2"] {
            assert!(check_words(bad).is_err_and(|why| why.contains("is no level")), "{bad}");
        }
    }
}
