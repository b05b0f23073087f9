//! One execution of a run, to be asked about its steps: in this process, or in another one.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::{
    command::load,
    data::{
        chance::Chance,
        exit,
        outcome::{Outcome, RunOptions},
    },
    explore::{Job, Report},
    observer::chain::{Glance, Table, TableOptions},
    report::screen,
    run,
    system::System,
    world::simulated::Simulated,
};
use clap::Args;
use serde::{Deserialize, Serialize};

/// How a run is made that is to be asked about.
#[derive(Args, Clone, Debug)]
pub struct Execution {
    /// A seed or a plan.
    pub run: String,
    /// Every Nth step has the whole state.
    #[arg(long, default_value_t = 1)]
    pub digest_interval: u64,
    /// The first step that is wanted as lines,
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// and the first one that is not.
    #[arg(long, default_value_t = 0)]
    pub to: u64,
    /// What is planted.
    #[arg(long)]
    pub plant_chance: Option<Chance>,
    /// Judge the history, too.
    #[arg(long)]
    pub judge: bool,
    /// Do not look out for marks.
    #[arg(long)]
    pub skip_marks: bool,
    /// Do not check invariants.
    #[arg(long)]
    pub without_invariants: bool,
    /// Make this run before, in the same process.
    #[arg(long, value_name = "SEED|PLAN.toml")]
    pub after: Option<String>,
}

impl Execution {
    /// A run without lines and without judgement.
    pub fn new(run: String, digest_interval: u64, plant_chance: Option<Chance>) -> Self {
        Self {
            run,
            digest_interval,
            from: 0,
            to: 0,
            plant_chance,
            judge: false,
            skip_marks: false,
            without_invariants: false,
            after: None,
        }
    }

    /// The options of such a run.
    pub fn options(&self) -> RunOptions {
        let lines = self.from..self.to;
        RunOptions {
            table: Some(TableOptions { digest_interval: self.digest_interval, lines }),
            chance: self.plant_chance,
            skip_judgement: !self.judge,
            skip_marks: self.skip_marks,
            skip_invariants: self.without_invariants,
            ..RunOptions::default()
        }
    }
}

/// Makes the run and answers questions about it, one a line, until there are no more.
pub fn answer<S: Simulated>(execution: &Execution) -> Result<u8, String> {
    if let Some(before) = &execution.after {
        let options = RunOptions { chance: execution.plant_chance, ..RunOptions::default() };
        run(&load::<S>(before)?, &options);
    }
    let mut outcome = run(&load::<S>(&execution.run)?, &execution.options());
    let end = End::of(&outcome);
    let side = Side::here(&mut outcome)?;
    let report = Report::new(Job::named(&execution.run), outcome, None);
    let mut output = io::stdout().lock();
    let lost = |error: io::Error| format!("nobody listens: {error}");
    for question in io::stdin().lock().lines() {
        let question: Question = serde_json::from_str(&question.map_err(lost)?)
            .map_err(|error| format!("not a question: {error}"))?;
        let answer = match question {
            Question::End => serde_json::to_string(&end),
            Question::Value(step) => serde_json::to_string(&side.table.value(step)),
            Question::Glance(step) => serde_json::to_string(&side.table.glance(step)),
            Question::Lines => serde_json::to_string(side.table.lines()),
            Question::Report => serde_json::to_string(&report),
        };
        let answer = answer.map_err(|error| error.to_string())?;
        writeln!(output, "{answer}").and_then(|()| output.flush()).map_err(lost)?;
    }
    Ok(exit::OK)
}

#[derive(Debug, Serialize, Deserialize)]
enum Question {
    End,
    Value(u64),
    Glance(u64),
    Lines,
    Report,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// After this many steps,
    pub steps: u64,
    /// with this trace hash among other things, in lines of words.
    pub verdict: Vec<String>,
}

impl End {
    fn of<S: System>(outcome: &Outcome<S>) -> Self {
        let steps = outcome.table.as_ref().map_or(0, Table::steps);
        let verdict = screen::verdict(outcome).lines().map(String::from).collect();
        Self { steps, verdict }
    }
}

/// An execution that can be asked.
pub trait Asked {
    fn end(&mut self) -> Result<End, String>;
    fn value(&mut self, step: u64) -> Result<u64, String>;
    fn glance(&mut self, step: u64) -> Result<Option<Glance>, String>;
    fn lines(&mut self) -> Result<Vec<(u64, String)>, String>;
}

/// An execution in this process.
pub struct Side {
    end: End,
    table: Table,
}

impl Side {
    /// Takes the table out of an outcome.
    pub fn here<S: System>(outcome: &mut Outcome<S>) -> Result<Self, String> {
        let end = End::of(outcome);
        let table = outcome.table.take().ok_or("the run kept no table: its plan cannot be executed")?;
        Ok(Self { end, table })
    }
}

impl Asked for Side {
    fn end(&mut self) -> Result<End, String> {
        Ok(self.end.clone())
    }

    fn value(&mut self, step: u64) -> Result<u64, String> {
        self.table.value(step).ok_or_else(|| format!("the run has no step {step}"))
    }

    fn glance(&mut self, step: u64) -> Result<Option<Glance>, String> {
        Ok(self.table.glance(step))
    }

    fn lines(&mut self) -> Result<Vec<(u64, String)>, String> {
        Ok(self.table.lines().to_vec())
    }
}

/// An execution in another process.
pub struct There {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl There {
    /// Begins it.
    pub fn start(execution: &Execution) -> Result<Self, String> {
        let mut command = Command::new(program()?);
        command.args(["asked", &execution.run]);
        command.args(["--digest-interval", &execution.digest_interval.to_string()]);
        command.args(["--from", &execution.from.to_string(), "--to", &execution.to.to_string()]);
        if let Some(chance) = execution.plant_chance {
            command.args(["--plant-chance", chance.name()]);
        }
        if execution.judge {
            command.arg("--judge");
        }
        if execution.skip_marks {
            command.arg("--skip-marks");
        }
        if execution.without_invariants {
            command.arg("--without-invariants");
        }
        if let Some(before) = &execution.after {
            command.args(["--after", before]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start this program again: {error}"))?;
        let questions = child.stdin.take().expect("standard input was piped");
        let answers = BufReader::new(child.stdout.take().expect("standard output was piped"));
        Ok(Self { child, questions, answers })
    }

    /// All that an exploration wants to know of it.
    ///
    /// # Errors
    ///
    /// If the process ends.
    pub fn report<S: System>(&mut self) -> Result<Report<S>, String> {
        self.ask(&Question::Report)
    }

    fn ask<A: for<'a> Deserialize<'a>>(&mut self, question: &Question) -> Result<A, String> {
        let lost = |error: io::Error| format!("the other process is gone: {error}");
        let question = serde_json::to_string(question).map_err(|error| error.to_string())?;
        writeln!(self.questions, "{question}").map_err(lost)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(lost)?;
        serde_json::from_str(&answer)
            .map_err(|error| format!("the other process answered {answer:?}: {error}"))
    }
}

impl Asked for There {
    fn end(&mut self) -> Result<End, String> {
        self.ask(&Question::End)
    }

    fn value(&mut self, step: u64) -> Result<u64, String> {
        let value: Option<u64> = self.ask(&Question::Value(step))?;
        value.ok_or_else(|| format!("the run has no step {step}"))
    }

    fn glance(&mut self, step: u64) -> Result<Option<Glance>, String> {
        self.ask(&Question::Glance(step))
    }

    fn lines(&mut self) -> Result<Vec<(u64, String)>, String> {
        self.ask(&Question::Lines)
    }
}

impl Drop for There {
    fn drop(&mut self) {
        // It may be under way with a run that nobody wants any more. Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This very program, even if its file was replaced by another build since.
fn program() -> Result<PathBuf, String> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() {
        return Ok(own);
    }
    env::current_exe().map_err(|error| format!("cannot find this program: {error}"))
}
