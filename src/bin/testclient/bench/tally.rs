//! What was measured: counts and latencies.
//!
//! An operation counts if it was due in the time that is measured, whenever its answer came. Only answers
//! have a latency: an error is no success, nor is an unknown outcome. Operations a second are those answered
//! within that time, whenever they were due.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use pbkv::client::ClientError;
use serde_json::{Value as Json, json};

use crate::{answer::kind, check::is_final, encoding::counted};

/// Latencies are kept to so many digits.
const DIGITS: u8 = 3;

/// What is told of latencies.
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Read,
    Update,
}

/// Operations of one kind.
#[derive(Clone, Debug)]
pub struct Answers {
    /// In nanoseconds, of all that were due in the time that is measured.
    latencies: Histogram<u64>,
    /// Answered within that time.
    in_time: u64,
    /// Reads that found no key.
    absent: u64,
}

/// What all clients report to.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The time that is measured.
    from: Duration,
    until: Duration,
    reads: Answers,
    updates: Answers,
    errors: BTreeMap<&'static str, u64>,
    /// Answers and errors so far, also those while it warms up.
    answered: u64,
    failed: u64,
    last_error: Option<ClientError>,
    /// Why it is no use to ask more.
    ended_by: Option<ClientError>,
}

impl Answers {
    fn new() -> Self {
        Self { latencies: Histogram::new(DIGITS).expect("few digits"), in_time: 0, absent: 0 }
    }

    fn latency(&self, percentile: f64) -> Duration {
        let nanoseconds = self.latencies.value_at_percentile(percentile).min(self.latencies.max());
        Duration::from_nanos(nanoseconds)
    }

    fn json(&self, seconds: f64) -> Json {
        let milliseconds = |latency: Duration| latency.as_secs_f64() * 1000.0;
        let mut latencies = serde_json::Map::new();
        for (name, percentile) in PERCENTILES {
            latencies.insert(name.into(), milliseconds(self.latency(percentile)).into());
        }
        latencies.insert("max".into(), milliseconds(self.latency(100.0)).into());
        let latencies = if self.latencies.is_empty() { Json::Null } else { latencies.into() };
        json!({
            "ok": self.latencies.len(),
            "per_second": self.in_time as f64 / seconds,
            "latency_ms": latencies,
        })
    }

    fn text(&self, name: &str, seconds: f64) -> String {
        let mut text = format!("{name:<8} {:>9.0}/s", self.in_time as f64 / seconds);
        for (name, percentile) in PERCENTILES {
            text.push_str(&format!(", {name} {:.1?}", self.latency(percentile)));
        }
        text.push_str(&format!(", max {:.1?}; {} ok", self.latency(100.0), self.latencies.len()));
        text
    }
}

impl Tally {
    /// Measures from one time until another.
    pub fn new(from: Duration, until: Duration) -> Self {
        Self {
            from,
            until,
            reads: Answers::new(),
            updates: Answers::new(),
            errors: BTreeMap::new(),
            answered: 0,
            failed: 0,
            last_error: None,
            ended_by: None,
        }
    }

    /// An operation that was due at a time came to this now. A read says whether it found a key.
    pub fn note(&mut self, asked: Asked, due: Duration, now: Duration, came_to: Result<bool, ClientError>) {
        let is_counted = (self.from..self.until).contains(&due);
        match came_to {
            Ok(found) => {
                self.answered += 1;
                let answers = match asked {
                    Asked::Read => &mut self.reads,
                    Asked::Update => &mut self.updates,
                };
                if (self.from..self.until).contains(&now) {
                    answers.in_time += 1;
                }
                if is_counted {
                    let latency = u64::try_from(now.saturating_sub(due).as_nanos()).unwrap_or(u64::MAX);
                    answers.latencies.record(latency).expect("it grows as far as needed");
                    answers.absent += u64::from(asked == Asked::Read && !found);
                }
            }
            Err(error) => {
                self.failed += 1;
                if is_final(&error) {
                    self.ended_by.get_or_insert(error.clone());
                }
                if is_counted {
                    *self.errors.entry(kind(&error)).or_default() += 1;
                }
                self.last_error = Some(error);
            }
        }
    }

    /// Nothing that is due or answered later counts.
    pub fn end(&mut self, now: Duration) {
        self.until = self.until.min(now);
    }

    /// Answers and errors so far, also those while it warms up.
    pub fn so_far(&self) -> (u64, u64) {
        (self.answered, self.failed)
    }

    /// Whether no answer counts.
    pub fn is_empty(&self) -> bool {
        self.reads.latencies.is_empty() && self.updates.latencies.is_empty()
    }

    /// Why it ended early.
    pub fn ended_by(&self) -> Option<&ClientError> {
        self.ended_by.as_ref()
    }

    /// What the last operation failed with that failed.
    pub fn last_error(&self) -> Option<&ClientError> {
        self.last_error.as_ref()
    }

    /// The time that was measured.
    pub fn seconds(&self) -> f64 {
        self.until.saturating_sub(self.from).as_secs_f64()
    }

    /// For people, a line for each kind of operation.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        for (name, answers) in [("reads", &self.reads), ("updates", &self.updates)] {
            if !answers.latencies.is_empty() {
                lines.push(answers.text(name, self.seconds()));
            }
        }
        if self.reads.absent > 0 {
            lines.push(format!("{} found no key", counted(self.reads.absent, "read")));
        }
        if let (false, Some(last)) = (self.errors.is_empty(), &self.last_error) {
            let kinds = self.errors.iter().map(|(kind, count)| format!("{count} {}", kind.replace('_', " ")));
            let kinds = kinds.collect::<Vec<_>>().join(", ");
            lines.push(format!("failed: {kinds}; the last: {last}"));
        }
        lines.join("\n")
    }

    /// For programs. All that was answered, also while it warmed up, is what the servers' own work is for.
    pub fn json(&self) -> Json {
        let mut reads = self.reads.json(self.seconds());
        reads["absent"] = self.reads.absent.into();
        let mut told = json!({
            "seconds": self.seconds(),
            "answered": self.answered,
            "reads": reads,
            "updates": self.updates.json(self.seconds()),
            "errors": self.errors,
            "last_error": self.last_error.as_ref().map(ToString::to_string),
            "ended_by": self.ended_by.as_ref().map(ToString::to_string),
        });
        if let Some(error) = &self.ended_by {
            told["error"] = kind(error).into();
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn only_what_is_answered_counts_as_answered() {
        let mut tally = Tally::new(milliseconds(1000), milliseconds(2000));
        for (due, now) in [(990, 995), (990, 1010), (1100, 1101), (1990, 2010), (2000, 2001)] {
            tally.note(Asked::Update, milliseconds(due), milliseconds(now), Ok(true));
        }
        let why = || "no answer".to_owned();
        for error in [ClientError::Unknown { why: why() }, ClientError::NotExecuted { why: why() }] {
            tally.note(Asked::Update, milliseconds(1200), milliseconds(1900), Err(error));
        }
        tally.note(Asked::Read, milliseconds(1300), milliseconds(1303), Ok(false));
        let told = tally.json();
        assert_eq!(told["updates"]["ok"], 2, "those that were due in time: {told}");
        assert_eq!(told["updates"]["per_second"], 2.0, "those that were answered in time: {told}");
        assert_eq!(told["updates"]["latency_ms"]["max"].as_f64().map(f64::round), Some(20.0), "{told}");
        assert_eq!(told["errors"], json!({ "unknown": 1, "not_executed": 1 }));
        assert_eq!((&told["reads"]["ok"], &told["reads"]["absent"]), (&json!(1), &json!(1)), "{told}");
        assert_eq!((tally.is_empty(), tally.ended_by()), (false, None));
        let early = ClientError::NotExecuted { why: why() };
        tally.note(Asked::Update, milliseconds(900), milliseconds(910), Err(early));
        assert_eq!(tally.so_far(), (6, 3), "all of them");
        assert_eq!(tally.json()["errors"], told["errors"], "it was due while it warmed up");
    }

    #[test]
    fn what_comes_after_an_early_end_does_not_count() {
        let mut tally = Tally::new(milliseconds(1000), milliseconds(2000));
        tally.note(Asked::Read, milliseconds(1100), milliseconds(1200), Ok(true));
        tally.end(milliseconds(1500));
        tally.note(Asked::Read, milliseconds(1400), milliseconds(1600), Ok(true));
        let told = tally.json();
        assert_eq!((&told["seconds"], &told["reads"]["per_second"]), (&json!(0.5), &json!(2.0)), "{told}");
        assert_eq!(told["reads"]["ok"], 2, "its latency is known: {told}");
    }

    #[test]
    fn an_error_that_would_come_again_ends_it() {
        let mut tally = Tally::new(milliseconds(0), milliseconds(10));
        let error = ClientError::Invalid("too long".into());
        tally.note(Asked::Update, milliseconds(1), milliseconds(2), Err(error.clone()));
        assert_eq!(tally.ended_by(), Some(&error));
        assert_eq!((tally.is_empty(), &tally.json()["error"]), (true, &json!("invalid")));
    }
}
