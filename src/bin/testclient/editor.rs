//! The prompt's line: editing, history and completion.

use std::{collections::VecDeque, io};

use clap::{Arg, Command};
use rustyline::{
    Config, Context, Editor, Helper,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::MemHistory,
    validate::Validator,
};

/// What is typed at a terminal. The history ends with the process: values may be secrets.
pub struct Keyboard {
    editor: Editor<Words, MemHistory>,
    /// Lines that were pasted together with one before.
    pasted: VecDeque<String>,
}

impl Keyboard {
    /// Completes what this grammar knows.
    ///
    /// # Errors
    ///
    /// If it is no terminal that can be used.
    pub fn new(grammar: Command) -> io::Result<Self> {
        let mut editor =
            Editor::with_history(Config::default(), MemHistory::new()).map_err(io::Error::other)?;
        editor.set_helper(Some(Words(grammar)));
        Ok(Self { editor, pasted: VecDeque::new() })
    }

    /// The next line; nothing at the end.
    ///
    /// # Errors
    ///
    /// If the terminal is gone.
    pub fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.pasted.pop_front() {
                return Ok(Some(line));
            }
            match self.editor.readline("> ") {
                Ok(text) => {
                    for line in text.lines() {
                        // A line that is too long for it is not remembered.
                        let _ = self.editor.add_history_entry(line);
                        self.pasted.push_back(line.to_owned());
                    }
                }
                Err(ReadlineError::Interrupted) => {} // drops the line
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

/// The names of commands and options.
struct Words(Command);

impl Words {
    /// Where the word that is being typed begins, and what it may become.
    fn completed(&self, before: &str) -> (usize, Vec<Pair>) {
        let start = before.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
        let (earlier, word) = before.split_at(start);
        let known: Vec<String> = match earlier.split_whitespace().next() {
            None => self.0.get_subcommands().map(|command| command.get_name().to_owned()).collect(),
            Some(_) if word.is_empty() => Vec::new(), // of keys it knows nothing
            Some(command) => {
                let own = self.0.find_subcommand(command).into_iter().flat_map(Command::get_arguments);
                let names = own.chain(self.0.get_arguments()).filter_map(Arg::get_long);
                names.map(|name| format!("--{name}")).collect()
            }
        };
        let fitting = known.into_iter().filter(|name| name.starts_with(word));
        (start, fitting.map(|name| Pair { replacement: format!("{name} "), display: name }).collect())
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(self.completed(&line[..position]))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}

impl Validator for Words {}

impl Helper for Words {}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::prompt::Line;

    #[test]
    fn commands_and_options_are_completed_and_keys_are_not() {
        let words = Words(Line::command());
        let completed = |before: &str| {
            let (start, found) = words.completed(before);
            (start, found.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>())
        };
        assert_eq!(completed("ap"), (0, vec!["append ".to_owned()]));
        assert!(completed("").1.contains(&"check ".to_owned()));
        assert_eq!(completed("cas k v --expect-"), (8, vec!["--expect-revision ".to_owned()]));
        assert_eq!(completed("get k --enc"), (6, vec!["--encoding ".to_owned()]));
        assert_eq!(completed("get "), (4, vec![]));
    }
}
