//! What became of each mutant, as a line, as a table, as JSON.

use std::{fmt::Write as _, io};

use serde::Serialize;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub mutant: String,
    /// The rule that it breaks.
    pub rule: String,
    /// Its number in the specification's catalogue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// What the simulator would have to do to catch it, if it is known not to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits: Option<String>,
    /// Who caught it first, with all judges at work.
    pub caught: Option<Catch>,
    /// Whether clients alone caught it.
    pub clients: Clients,
    /// Whether a walk through the bare machines caught it.
    pub walks: Walks,
    /// Whether a search through the states of the bare machines caught it.
    pub exhaust: Exhaust,
    /// The failure made small, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small: Option<Small>,
}

/// A seed that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Catch {
    /// An invariant (`I4`), `checker`, `liveness`, `panic`, `redundancy`, `stability` or `silence`.
    pub judge: String,
    /// How many seeds it took, the failing one included.
    pub seeds: u64,
    /// Virtual seconds of those that were run.
    pub virtual_s: f64,
    /// Seconds of wall time for them.
    pub wall_s: f64,
    /// Fingerprint of their traces.
    pub traces: String,
}

/// Whether clients noticed, with no invariant to help.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clients {
    /// Nobody asked.
    NotAsked,
    /// A history is not linearizable, or an operation does not end.
    Caught(Catch),
    /// Nothing was to be seen.
    Never {
        /// In so many seeds.
        seeds: u64,
    },
}

/// Whether walks noticed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Walks {
    /// Nobody asked.
    NotAsked,
    /// One failed.
    Caught {
        /// Who says so.
        judge: String,
        /// How many walks it took, the failing one included.
        walks: u64,
        /// Seconds of wall time for them.
        wall_s: f64,
    },
    /// None did.
    Never {
        /// Of so many,
        walks: u64,
        /// in so many seconds of wall time.
        wall_s: f64,
    },
}

/// Whether exhaustive search noticed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhaust {
    /// Nobody asked.
    NotAsked,
    /// A state or its end failed.
    Caught {
        /// Who says so.
        judge: String,
        /// The actions that lead there, from a cluster in peace.
        steps: u64,
        /// How many states were looked at,
        states: u64,
        /// in so many seconds of wall time.
        wall_s: f64,
    },
    /// None did.
    Never {
        /// Of so many states,
        states: u64,
        /// in so many seconds of wall time.
        wall_s: f64,
    },
}

/// The size of a minimised failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Small {
    /// Faults.
    pub faults: usize,
    /// Operations.
    pub operations: usize,
}

/// Whether this judge sees nothing but what clients see.
pub(super) fn is_a_client(judge: &str) -> bool {
    matches!(judge, "checker" | "liveness")
}

impl Row {
    /// Not caught, although nothing says that this was to be expected.
    pub fn is_missed(&self) -> bool {
        self.caught.is_none() && self.awaits.is_none()
    }

    /// Caught, but no client noticed.
    pub fn is_unseen_by_clients(&self) -> bool {
        matches!(self.clients, Clients::Never { .. })
    }

    fn clients(&self) -> String {
        match &self.clients {
            Clients::NotAsked => "-".into(),
            Clients::Caught(catch) => format!("{} {}", catch.judge, catch.seeds),
            Clients::Never { seeds } => format!("never in {seeds}"),
        }
    }

    fn walks(&self) -> String {
        match &self.walks {
            Walks::NotAsked => "-".into(),
            Walks::Caught { judge, walks, wall_s } => format!("{judge} {walks} in {wall_s:.1} s"),
            Walks::Never { walks, .. } => format!("never in {walks}"),
        }
    }

    fn exhaust(&self) -> String {
        match &self.exhaust {
            Exhaust::NotAsked => "-".into(),
            Exhaust::Caught { judge, steps, wall_s, .. } => format!("{judge} {steps} steps in {wall_s:.1} s"),
            Exhaust::Never { states, .. } => format!("never in {states}"),
        }
    }

    fn small(&self) -> String {
        self.small.map_or("-".into(), |small| format!("{} + {}", small.faults, small.operations))
    }

    /// One line, in columns.
    pub fn line(&self) -> String {
        let caught = self.caught.as_ref().map_or(format!("{:46}", "NOT CAUGHT"), |catch| {
            format!(
                "{:8} {:>4} seeds {:>7.1} h virtual {:>6.1} s",
                catch.judge,
                catch.seeds,
                catch.virtual_s / 3600.0,
                catch.wall_s
            )
        });
        let Self { mutant, rule, .. } = self;
        let (clients, walks, exhaust, small) = (self.clients(), self.walks(), self.exhaust(), self.small());
        format!(
            "{mutant:<52} {rule:<10} {caught}   walks {walks:<24} exhaust {exhaust:<26} clients {clients:<14} faults + operations {small}"
        )
    }
}

/// A table for documentation.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| mutant | rule | caught by | seeds | virtual | wall | by walks | by exhaustive search | by clients alone | faults + operations |\n\
         | --- | --- | --- | --: | --: | --: | --- | --- | --- | --: |\n",
    );
    for row in rows {
        let caught = row.caught.as_ref().map_or("**nobody** | - | - | -".into(), |catch| {
            let Catch { judge, seeds, virtual_s, wall_s, .. } = catch;
            format!("{judge} | {seeds} | {:.1} h | {wall_s:.1} s", virtual_s / 3600.0)
        });
        let clients =
            if row.is_unseen_by_clients() { format!("**{}**", row.clients()) } else { row.clients() };
        let number = row.number.as_ref().map_or(String::new(), |number| format!(" ({number})"));
        let _ = writeln!(
            text,
            "| `{}`{number} | {} | {caught} | {} | {} | {clients} | {} |",
            row.mutant,
            row.rule,
            row.walks(),
            row.exhaust(),
            row.small()
        );
    }
    text
}

/// A JSON object a line.
pub(super) fn write_json(row: &Row, mut to: impl io::Write) -> io::Result<()> {
    serde_json::to_writer(&mut to, row)?;
    writeln!(to)?;
    to.flush()
}
