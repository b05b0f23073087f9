//! Checks the promise that everything else rests on: a seed is one run, the same in every process.

use std::{
    env,
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

use sim::exit;

use super::say;

/// Lines before the first difference that are shown.
const CONTEXT_MAX: usize = 8;

/// Runs each seed in two processes at once and compares what they print, line by line.
pub fn doctor(seeds: &[u64]) -> Result<u8, String> {
    let mut code = exit::OK;
    for seed in seeds {
        match compare(*seed)? {
            Comparison::Same { lines, last } => {
                say(&format!("seed {seed}: {lines} lines, twice the same; {last}"))
            }
            Comparison::Differs { line, before, first, second } => {
                code = exit::NOT_DETERMINISTIC;
                say(&format!("seed {seed}: NOT DETERMINISTIC, line {line} of the trace differs"));
                for line in before {
                    say(&format!("    both  {line}"));
                }
                say(&format!("   first  {}", first.as_deref().unwrap_or("(ended)")));
                say(&format!("  second  {}", second.as_deref().unwrap_or("(ended)")));
                say(&format!("  replay  cargo sim replay {seed} --trace"));
            }
        }
    }
    Ok(code)
}

enum Comparison {
    Same { lines: u64, last: String },
    Differs { line: u64, before: Vec<String>, first: Option<String>, second: Option<String> },
}

fn compare(seed: u64) -> Result<Comparison, String> {
    let mut first = Traced::start(seed)?;
    let mut second = Traced::start(seed)?;
    let mut before = std::collections::VecDeque::new();
    for line in 1.. {
        match (first.line()?, second.line()?) {
            (Some(a), Some(b)) if a == b => {
                if before.len() == CONTEXT_MAX {
                    before.pop_front();
                }
                before.push_back(a);
            }
            (None, None) => {
                let last = before.pop_back().ok_or_else(|| format!("the run of seed {seed} said nothing"))?;
                let (a, b) = (first.end()?, second.end()?);
                if a != b {
                    return Err(format!("the processes of seed {seed} ended differently: {a} and {b}"));
                }
                return Ok(Comparison::Same { lines: line - 1, last });
            }
            (a, b) => return Ok(Comparison::Differs { line, before: before.into(), first: a, second: b }),
        }
    }
    unreachable!("the count of lines has no end")
}

/// A process that prints the trace of a seed.
struct Traced {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Traced {
    fn start(seed: u64) -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut child = Command::new(program)
            .args(["replay", &seed.to_string(), "--trace"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start this program again: {error}"))?;
        let stdout = child.stdout.take().expect("standard output was piped");
        Ok(Self { child, lines: BufReader::new(stdout).lines() })
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        self.lines.next().transpose().map_err(|error| format!("cannot read the trace: {error}"))
    }

    fn end(&mut self) -> Result<String, String> {
        let status = self.child.wait().map_err(|error| format!("cannot wait for the run: {error}"))?;
        Ok(status.to_string())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // After a difference nobody reads the rest. Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
