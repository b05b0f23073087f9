//! Structured logs: on standard error, and in a file for each day if a folder is given. What is not read at
//! once, on a terminal, says in each line which process wrote it.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use tracing::{Event, Subscriber};
use tracing_appender::{non_blocking::WorkerGuard, rolling};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::LevelFilter,
    fmt::{
        self, FmtContext, FormatEvent, FormatFields, MakeWriter,
        format::{JsonFields, Writer},
        time::{FormatTime, SystemTime},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

/// Our programs and crates.
const OURS: [&str; 4] = ["pbkv", "kvserver", "viewservice", "testclient"];

/// All others log at most at this level, unless a rule names them: below it they tell of frames and polls.
const OTHERS_MAX: LevelFilter = LevelFilter::INFO;

/// The flags of every binary that logs.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug or trace, of libraries nothing below info; or rules like
    /// those of RUST_LOG, which this overrides (info,h2=debug)
    #[arg(long, value_name = "LEVEL", value_parser = rules, global = true)]
    log: Option<String>,
    /// Also log to a file for each day in this folder, named after the program and its address
    #[arg(long, value_name = "DIR", global = true)]
    log_dir: Option<PathBuf>,
    /// How a line is written; json: one object per line
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text, global = true)]
    log_format: LogFormat,
}

/// How a line of a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Keeps the log file open; dropping it writes what is still buffered.
#[must_use = "logs to a file end when this is dropped"]
#[derive(Debug)]
pub struct Logs {
    _file: Option<WorkerGuard>,
}

/// What `--log` was given. A word alone is a level, or one of our programs or crates. Any other would be
/// taken for the name of a module, and nothing else would be logged.
fn rules(text: &str) -> Result<String, String> {
    let is_known = |word: &str| {
        let module = word.split("::").next().unwrap_or_default();
        word.is_empty() || word.contains(['=', '[']) || OURS.contains(&module) || level(word).is_some()
    };
    let example = "write error, warn, info, debug or trace, for example --log debug";
    if let Some(word) = text.split(',').map(str::trim).find(|word| !is_known(word)) {
        return Err(format!("'{word}' is not a log level; {example}"));
    }
    EnvFilter::try_new(text).map_err(|error| format!("{error}; {example}"))?;
    Ok(text.to_owned())
}

fn level(word: &str) -> Option<LevelFilter> {
    word.parse().ok()
}

/// The filter of these rules: a level alone is meant for us.
fn filter(rules: &str) -> EnvFilter {
    let mut full = Vec::new();
    for word in rules.split(',').map(str::trim) {
        match level(word) {
            Some(level) => {
                full.push(level.min(OTHERS_MAX).to_string());
                full.extend(OURS.map(|ours| format!("{ours}={level}")));
            }
            None => full.push(word.to_owned()),
        }
    }
    EnvFilter::new(full.join(","))
}

impl LogArgs {
    /// Starts logging for the process, at `default` if neither the flag nor `RUST_LOG` says otherwise. What
    /// several processes write to one folder is told apart by `name`, an address, for example.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used.
    pub fn start(&self, binary: &str, name: &str, default: &str) -> Result<Logs, String> {
        let rules = self
            .log
            .clone()
            .or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|rules| !rules.is_empty()))
            .unwrap_or_else(|| default.to_owned());
        let process = format!("{binary} {name}");
        let is_terminal = io::stderr().is_terminal();
        let seen_at_once = if is_terminal { String::new() } else { process.clone() };
        let screen = self.layer(io::stderr, is_terminal, seen_at_once).with_filter(filter(&rules));
        let (file, guard) = match &self.log_dir {
            None => (None, None),
            Some(dir) => {
                let appender = rolling::Builder::new()
                    .rotation(rolling::Rotation::DAILY)
                    .filename_prefix(file_name(binary, name))
                    .filename_suffix("log")
                    .build(dir)
                    .map_err(|error| format!("cannot log to the folder {}: {error}", dir.display()))?;
                let (writer, guard) = tracing_appender::non_blocking(appender);
                (Some(self.layer(writer, false, process).with_filter(filter(&rules))), Some(guard))
            }
        };
        tracing_subscriber::registry()
            .with(vec![Some(screen), file].into_iter().flatten().collect::<Vec<_>>())
            .try_init()
            .map_err(|error| format!("cannot log: {error}"))?;
        Ok(Logs { _file: guard })
    }

    fn layer<W>(&self, writer: W, ansi: bool, process: String) -> Box<dyn Layer<Registry> + Send + Sync>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        // It would tell its own errors on standard error, and panic if that is what is gone.
        let layer = fmt::layer().with_writer(writer).with_ansi(ansi).log_internal_errors(false);
        match self.log_format {
            LogFormat::Text => layer.with_target(false).with_timer(Stamp { process }).boxed(),
            LogFormat::Json => layer
                .fmt_fields(JsonFields::new())
                .event_format(Named { inner: fmt::format().json().flatten_event(true), process })
                .boxed(),
        }
    }
}

/// The part of a file's name before its day.
fn file_name(binary: &str, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    format!("{binary}-{}", name.chars().map(plain).collect::<String>())
}

/// When, and by which process: in this order, so that the lines of several processes can be merged.
struct Stamp {
    process: String,
}

impl FormatTime for Stamp {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        SystemTime.format_time(writer)?;
        if self.process.is_empty() { Ok(()) } else { write!(writer, " {}", self.process) }
    }
}

/// An object that begins with the process that wrote it.
struct Named<F> {
    inner: F,
    process: String,
}

impl<F, S, N> FormatEvent<S, N> for Named<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let rest = line.strip_prefix('{').expect("an object");
        write!(writer, "{{\"process\":{},{rest}", serde_json::Value::from(self.process.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in
            ["info", "WARN", "off", "pbkv", "pbkv::server=debug,warn", "info,h2=error", "h2=trace", ""]
        {
            assert_eq!(rules(good).as_deref(), Ok(good));
        }
        for bad in ["verbose", "warning", "info,nonsense", "h2", "inof", "INFO1"] {
            assert!(rules(bad).is_err_and(|why| why.contains("is not a log level")), "{bad}");
        }
        assert!(rules("pbkv=loud").is_err_and(|why| why.contains("--log debug")));
    }

    #[test]
    fn a_level_is_meant_for_us() {
        let said = |rules: &str| filter(rules).to_string();
        assert!(said("debug").contains("pbkv=debug") && said("debug").ends_with("info"), "{}", said("debug"));
        assert!(said("error").ends_with("error"), "{}", said("error"));
        assert!(said("debug,h2=trace").contains("h2=trace"));
    }

    #[test]
    fn files_of_two_addresses_have_two_names() {
        assert_eq!(file_name("kvserver", "localhost:8001"), "kvserver-localhost_8001");
        assert_eq!(file_name("kvserver", "[::1]:8001"), "kvserver-___1__8001");
    }
}
