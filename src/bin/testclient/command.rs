//! The operations, as they are written on the command line and at the prompt.

use bytes::Bytes;
use clap::{Parser, Subcommand};
use pbkv::{
    client::{Client, ClientError, ViewReport},
    protocol::view::Members,
    server::clock::SystemClock,
};

/// One operation.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Set a key
    Put {
        /// The key
        key: String,
        /// Its new value
        value: String,
    },
    /// Print the value of a key; '(absent)' on standard error if there is none
    Get {
        /// The key
        key: String,
    },
    /// Append to what a key holds; an absent key counts as empty
    Append {
        /// The key
        key: String,
        /// What is appended
        value: String,
    },
    /// Remove a key
    Delete {
        /// The key
        key: String,
    },
    /// Set a key if it holds exactly what is expected (without --expect: if it is absent)
    Cas {
        /// The key
        key: String,
        /// Its new value
        value: String,
        /// What it must hold
        #[arg(long)]
        expect: Option<String>,
    },
    /// Print the current view
    View,
}

impl Command {
    /// Performs it and returns what is to be printed.
    pub async fn run(self, client: &mut Client<SystemClock>) -> Result<Vec<u8>, ClientError> {
        Ok(match self {
            Self::Put { key, value } => {
                client.put(key, value).await?;
                b"ok\n".to_vec()
            }
            Self::Get { key } => match client.get(key).await? {
                Some(value) => [&value[..], b"\n"].concat(),
                None => {
                    eprintln!("(absent)");
                    Vec::new()
                }
            },
            Self::Append { key, value } => {
                client.append(key, value).await?;
                b"ok\n".to_vec()
            }
            Self::Delete { key } => {
                if client.delete(key).await? {
                    b"deleted\n".to_vec()
                } else {
                    b"was absent\n".to_vec()
                }
            }
            Self::Cas { key, value, expect } => {
                let swap = client.compare_and_swap(key, expect.map(Bytes::from), value).await?;
                match (swap.swapped, swap.previous) {
                    (true, _) => b"swapped\n".to_vec(),
                    (false, Some(found)) => [b"not swapped, found ", &found[..], b"\n"].concat(),
                    (false, None) => b"not swapped, the key is absent\n".to_vec(),
                }
            }
            Self::View => describe(&client.view().await?).into_bytes(),
        })
    }
}

fn describe(report: &ViewReport) -> String {
    let names = |members: &Members, except: Option<&str>| {
        let names: Vec<&str> =
            members.keys().map(|server| server.as_str()).filter(|name| Some(*name) != except).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(" ") }
    };
    let mut text = match &report.view {
        None => "no view: no server was accepted yet\n".to_owned(),
        Some(view) => format!(
            "view {} of generation {}{}\nprimary  {}\nbackups  {}\njoining  {}\n",
            view.number.0,
            view.generation.0,
            if view.activated { "" } else { ", not acknowledged yet" },
            view.primary,
            names(&view.insync, Some(view.primary.as_str())),
            names(&view.joining, None),
        ),
    };
    if report.data_lost {
        text.push_str(
            "DATA LOST: no server that holds all the data is left; see viewservice --accept-data-loss\n",
        );
    }
    text
}

/// A line at the prompt.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// Do this.
    Command(Command),
    /// An empty line.
    Nothing,
    /// The end.
    Quit,
}

#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_help_flag = true, disable_version_flag = true)]
struct Prompted {
    #[command(subcommand)]
    command: Command,
}

impl Line {
    /// Reads a line: words, or phrases in double quotes.
    ///
    /// # Errors
    ///
    /// An explanation to print.
    pub fn parse(line: &str) -> Result<Self, String> {
        let words = words(line)?;
        match words.first().map(String::as_str) {
            None => Ok(Self::Nothing),
            Some("quit" | "exit") => Ok(Self::Quit),
            Some(_) => Prompted::try_parse_from(words)
                .map(|prompted| Self::Command(prompted.command))
                .map_err(|error| error.to_string()),
        }
    }
}

fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let word;
        if let Some(quoted) = rest.strip_prefix('"') {
            (word, rest) = quoted.split_once('"').ok_or("a double quote is not closed")?;
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (word, rest) = rest.split_at(end);
        }
        words.push(word.to_owned());
        rest = rest.trim_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        let put = Command::Put { key: "a key".into(), value: String::new() };
        assert_eq!(Line::parse(" put \"a key\" \"\" \n"), Ok(Line::Command(put)));
        let cas = Command::Cas { key: "k".into(), value: "new".into(), expect: Some("old".into()) };
        assert_eq!(Line::parse("cas k new --expect old"), Ok(Line::Command(cas)));
        assert_eq!(Line::parse("  \n"), Ok(Line::Nothing));
        assert_eq!(Line::parse("quit"), Ok(Line::Quit));
    }

    #[test]
    fn a_wrong_line_is_explained() {
        for (line, hint) in [("put k", "VALUE"), ("push k", "push"), ("get \"k", "quote"), ("help", "append")]
        {
            let help = Line::parse(line).expect_err(line);
            assert!(help.contains(hint), "{line}: {help}");
        }
    }
}
