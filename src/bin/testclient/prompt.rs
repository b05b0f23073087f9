//! Commands, one per line: from standard input, or at a prompt.
//!
//! Of piped input all lines are run. The exit code is that of the first error, else 1 if some answer was no,
//! else 0. At a prompt a person saw what failed, and the exit code is 0. Ctrl-C there ends what is under way,
//! and not the prompt.

use std::io::{self, BufRead, IsTerminal};

use clap::{CommandFactory, Parser, Subcommand};
use pbkv::{
    client::{Client, ClientOptions},
    clock::SystemClock,
    process::{self, Exit},
};

use crate::{Top, check, editor::Keyboard, encoding::Dash, screen::Screen};

/// A line.
#[derive(Parser, Clone, Debug)]
#[command(no_binary_name = true, name = "", about = "Commands; with double quotes around what holds blanks")]
pub struct Line {
    #[command(flatten)]
    screen: Screen,
    #[command(subcommand)]
    typed: Typed,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Typed {
    #[command(flatten)]
    Do(Top),
    /// End; so does Ctrl-D
    #[command(visible_alias = "exit")]
    Quit,
}

/// What a line comes to.
#[derive(Debug)]
enum Read {
    /// Do this, and print the answer like that.
    Do(Top, Screen),
    /// There is nothing to do.
    Nothing,
    /// It asked for help.
    Help(String),
    /// The end.
    Quit,
}

impl Read {
    /// Reads a line: words, or phrases in double quotes.
    ///
    /// # Errors
    ///
    /// An explanation to print.
    fn parse(line: &str) -> Result<Self, String> {
        let words = words(line)?;
        if words.is_empty() {
            return Ok(Self::Nothing);
        }
        match Line::try_parse_from(words) {
            Ok(Line { typed: Typed::Quit, .. }) => Ok(Self::Quit),
            Ok(Line { typed: Typed::Do(top), screen }) => Ok(Self::Do(top, screen)),
            Err(error) if !error.use_stderr() => Ok(Self::Help(error.to_string())),
            Err(error) => Err(error.to_string().trim_end().to_owned()),
        }
    }
}

fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let word;
        if let Some(quoted) = rest.strip_prefix('"') {
            (word, rest) = quoted.split_once('"').ok_or("error: a double quote is not closed")?;
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (word, rest) = rest.split_at(end);
        }
        words.push(word.to_owned());
        rest = rest.trim_start();
    }
    Ok(words)
}

/// The next line, from the keyboard if there is one, else from standard input; nothing at the end.
fn next(keyboard: &mut Option<Keyboard>) -> io::Result<Option<String>> {
    if let Some(keyboard) = keyboard {
        return keyboard.line();
    }
    let mut line = String::new();
    let bytes = io::stdin().lock().read_line(&mut line)?;
    Ok((bytes > 0).then_some(line))
}

/// Reads commands until they end.
pub async fn run(options: ClientOptions, screen: Screen) -> Exit {
    match commands(options, screen).await {
        Ok(exit) => exit,
        Err(error) => process::fail(format!("cannot read commands: {error}")),
    }
}

async fn commands(options: ClientOptions, screen: Screen) -> io::Result<Exit> {
    let mut client = Client::new(options.clone(), SystemClock);
    let is_terminal = io::stdin().is_terminal();
    let mut keyboard = is_terminal.then(|| Keyboard::new(Line::command())).transpose()?;
    if is_terminal {
        eprintln!("put, get, append, delete, cas, keys, count, view, check; 'help' explains, 'quit' ends");
    }
    let mut exit = Exit::Done;
    while let Some(line) = next(&mut keyboard)? {
        let ended = match Read::parse(&line) {
            Ok(Read::Nothing) => continue,
            Ok(Read::Quit) => break,
            Ok(Read::Help(help)) => {
                println!("{help}");
                continue;
            }
            Ok(Read::Do(top, own)) => perform(&mut client, &options, top, own.or(screen), is_terminal).await,
            Err(why) => screen.refuse(&why),
        };
        if exit == Exit::Done || exit == Exit::No && ended != Exit::Done {
            exit = ended;
        }
    }
    let _ = client.close().await;
    Ok(if is_terminal { Exit::Done } else { exit })
}

async fn perform(
    client: &mut Client<SystemClock>,
    options: &ClientOptions,
    top: Top,
    screen: Screen,
    is_terminal: bool,
) -> Exit {
    let command = match top {
        Top::One(command) => command,
        Top::Check(check) => {
            return check::run(options.clone(), screen, check)
                .await
                .unwrap_or_else(|failure| failure.tell::<Line>());
        }
    };
    let waiting = client.waiting();
    let ran = screen.patiently(waiting, options.deadline, command.run(client, screen, Dash::Itself));
    tokio::select! {
        biased;
        ran = ran => screen.tell(&ran),
        signal = process::shutdown(), if is_terminal => {
            eprintln!("{signal}: no answer yet; an update may take effect, now or later");
            Exit::Ended
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{command::Command, encoding::Value};

    use super::*;

    fn command(line: &str) -> Command {
        match Read::parse(line) {
            Ok(Read::Do(Top::One(command), _)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_are_commands() {
        let Command::Put { key, value } = command(" put \"a key\" \"\" \n") else { panic!("a put") };
        assert_eq!(key, "a key");
        assert_ne!(value, Value::default(), "an empty value is one");
        let Command::Cas { expect, expect_revision, .. } = command("cas k new --expect old") else {
            panic!("a cas")
        };
        assert_eq!((expect, expect_revision), (Some("old".into()), None));
        assert_eq!(command("status"), Command::View);
        assert!(matches!(Read::parse("  \n"), Ok(Read::Nothing)));
        assert!(matches!(Read::parse("quit"), Ok(Read::Quit)));
        assert!(matches!(Read::parse("check --time 1s"), Ok(Read::Do(Top::Check(_), _))));
        let Ok(Read::Do(_, screen)) = Read::parse("get k --output json --revision") else { panic!("a get") };
        assert!(screen.is_json());
    }

    #[test]
    fn a_wrong_line_is_explained_by_its_own_name() {
        for (line, hint) in [
            ("put k", "Usage: put"),
            ("push k", "push"),
            ("get \"k", "quote"),
            ("cas k new --expect old --expect-revision 0", "Usage: cas"),
        ] {
            let why = Read::parse(line).expect_err(line);
            assert!(why.starts_with("error: ") && why.contains(hint), "{line}: {why}");
            assert!(!why.contains("testclient") && !why.contains("pbkv"), "{line}: {why}");
        }
        let Ok(Read::Help(help)) = Read::parse("help") else { panic!("help") };
        assert!(
            ["append", "check", "status", "quit", "Ctrl-D"].iter().all(|word| help.contains(word)),
            "{help}"
        );
    }
}
