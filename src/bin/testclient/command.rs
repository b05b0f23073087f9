//! The operations, as they are written on the command line and at the prompt.

use bytes::Bytes;
use clap::{Args, Parser, Subcommand};
use pbkv::{
    client::{Client, ClientError, ViewReport},
    clock::SystemClock,
    protocol::{command::mod_revision, identity::OpNumber, view::Members},
};

use crate::{
    keys::{self, CountArgs, KeysArgs},
    status,
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
        #[command(flatten)]
        show: Show,
    },
    /// Print the value of a key; '(absent)' on standard error if there is none
    Get {
        /// The key
        key: String,
        #[command(flatten)]
        show: Show,
    },
    /// Append to what a key holds; an absent key counts as empty
    Append {
        /// The key
        key: String,
        /// What is appended
        value: String,
        #[command(flatten)]
        show: Show,
    },
    /// Remove a key, or all keys that begin so. Those are removed one by one: a concurrent reader sees some
    /// gone and others still there; one that is written meanwhile is removed if its turn is still to come,
    /// and stays otherwise; after an error the rest is there. A retry is harmless
    Delete {
        /// The key
        #[arg(required_unless_present = "prefix")]
        key: Option<String>,
        /// Instead of a key: all that begin so, after a confirmation
        #[arg(long, conflicts_with_all = ["key", "revision"])]
        prefix: Option<String>,
        /// Do not ask for the confirmation
        #[arg(long, conflicts_with = "key")]
        yes: bool,
        #[command(flatten)]
        show: Show,
    },
    /// List keys in the order of their bytes, one a line; what is not plain text is escaped (\\n, \\xff).
    /// They are read in pages of 1000 keys or 1 MiB; each page is as of one moment and as new as a 'get',
    /// several pages are of several moments
    Keys(KeysArgs),
    /// Count keys, in pages as 'keys' reads them
    Count(CountArgs),
    /// Set a key if it holds what is expected (without --expect and --expect-revision: if it is absent)
    Cas {
        /// The key
        key: String,
        /// Its new value
        value: String,
        /// What it must hold, exactly
        #[arg(long)]
        expect: Option<String>,
        /// The revision that changed it last, as told by 'get --revision'; 0: it must be absent
        #[arg(long, value_name = "N", conflicts_with = "expect")]
        expect_revision: Option<u64>,
        #[command(flatten)]
        show: Show,
    },
    /// Print the current view, and what is missing in it
    View {
        /// For monitors: exit with 0 if all wanted copies are in sync, 3 if there are fewer or the view is
        /// not acknowledged yet, 4 if there is no service, updates are refused, or nobody would replace a
        /// primary that fails (1: no answer from it)
        #[arg(long)]
        monitor: bool,
    },
}

/// Exit code of `view --monitor`: copies are missing.
const COPIES_MISSING: u8 = 3;

/// Exit code of `view --monitor`: there is no service, updates are refused, or nobody would replace a primary
/// that fails.
const NO_SERVICE: u8 = 4;

/// What a command comes to.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// What is to be printed.
    pub text: Vec<u8>,
    /// With what to exit.
    pub code: u8,
}

impl From<Vec<u8>> for Said {
    fn from(text: Vec<u8>) -> Self {
        Self { text, code: 0 }
    }
}

/// What is printed beside the answer.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Print on standard error at which revision this was true, and which one changed the key last
    #[arg(long)]
    revision: bool,
}

impl Show {
    /// Tells the revision of an answer, and what the key was changed by last: before a compare-and-swap that
    /// did not swap, as of the answer otherwise.
    fn tell(self, revision: OpNumber, changed_by: OpNumber) {
        if self.revision {
            eprintln!("revision {}, changed by {}", revision.0, changed_by.0);
        }
    }
}

impl Command {
    /// Performs it.
    pub async fn run(self, client: &mut Client<SystemClock>) -> Result<Said, ClientError> {
        let text = match self {
            Self::Put { key, value, show } => {
                let revision = client.put(key, value).await?;
                show.tell(revision, revision);
                b"ok\n".to_vec()
            }
            Self::Get { key, show } => {
                let found = client.find(key).await?;
                show.tell(found.revision, mod_revision(found.held.as_ref()));
                match found.held {
                    Some(held) => [&held.value[..], b"\n"].concat(),
                    None => {
                        eprintln!("(absent)");
                        Vec::new()
                    }
                }
            }
            Self::Append { key, value, show } => {
                let revision = client.append(key, value).await?;
                show.tell(revision, revision);
                b"ok\n".to_vec()
            }
            Self::Delete { prefix: Some(prefix), yes, .. } => {
                keys::delete(client, &prefix, yes).await?.into_bytes()
            }
            Self::Keys(args) => {
                keys::list(client, &args).await?;
                Vec::new()
            }
            Self::Count(args) => format!("{}\n", keys::count(client, &args.prefix).await?).into_bytes(),
            Self::Delete { key, show, .. } => {
                let deleted = client.delete(key.unwrap_or_default()).await?;
                show.tell(deleted.revision, OpNumber(0));
                if deleted.existed { b"deleted\n".to_vec() } else { b"was absent\n".to_vec() }
            }
            Self::Cas { key, value, expect, expect_revision, show } => {
                let swap = match expect_revision {
                    Some(revision) => {
                        client.compare_and_swap_revision(key, OpNumber(revision), value).await?
                    }
                    None => client.compare_and_swap(key, expect.map(Bytes::from), value).await?,
                };
                let before = mod_revision(swap.previous.as_ref());
                show.tell(swap.revision, if swap.swapped { swap.revision } else { before });
                match (swap.swapped, swap.previous) {
                    (true, _) => b"swapped\n".to_vec(),
                    (false, Some(found)) => [b"not swapped, found ", &found.value[..], b"\n"].concat(),
                    (false, None) => b"not swapped, the key is absent\n".to_vec(),
                }
            }
            Self::View { monitor } => {
                let status = client.status().await?;
                let code = if monitor { health(&status.report) } else { 0 };
                let text = describe(&status.report) + &status::describe(&status);
                return Ok(Said { text: text.into_bytes(), code });
            }
        };
        Ok(text.into())
    }
}

/// The exit code for monitors.
fn health(report: &ViewReport) -> u8 {
    match &report.view {
        Some(view) if report.distress.is_none() => {
            let all = view.insync.len() >= report.replicas as usize;
            if view.activated && all { 0 } else { COPIES_MISSING }
        }
        _ => NO_SERVICE,
    }
}

fn describe(report: &ViewReport) -> String {
    let names = |members: &Members, except: Option<&str>| {
        let names: Vec<&str> =
            members.keys().map(|server| server.as_str()).filter(|name| Some(*name) != except).collect();
        if names.is_empty() { "-".to_owned() } else { names.join(" ") }
    };
    let mut text = match &report.view {
        None if report.distress.is_some() || report.not_taken.is_some() => "no view\n".to_owned(),
        None => "no view: no server was accepted yet\n".to_owned(),
        Some(view) => format!(
            "view {} of generation {}{}\nprimary  {}\nbackups  {}\njoining  {}\ncopies   {} of {}{}\n",
            view.number.0,
            view.generation.number,
            if view.activated { "" } else { ", not acknowledged yet" },
            view.primary,
            names(&view.insync, Some(view.primary.as_str())),
            names(&view.joining, None),
            view.insync.len(),
            report.replicas,
            if view.insync.len() < report.replicas as usize { ", FEWER THAN WANTED" } else { "" },
        ),
    };
    if let Some(distress) = &report.distress {
        text.push_str(&format!("{distress}\n"));
    }
    if let Some(not_taken) = &report.not_taken {
        text.push_str(&format!("{not_taken}\n"));
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
    use pbkv::protocol::{
        identity::{Boot, DataId, Generation, ServerId, ViewNumber},
        view::View,
        view_service::{Distress, NotTaken},
    };

    use super::*;

    #[test]
    fn a_monitor_tells_missing_copies_from_no_service() {
        let server = |name: &str| (ServerId::new(name), DataId { boot: Boot(1), nonce: 1 });
        let view = |insync: &[&str], activated| View {
            generation: Generation { number: 1, nonce: 1 },
            number: ViewNumber(2),
            primary: ServerId::new("a:1"),
            primary_boot: Boot(1),
            insync: insync.iter().map(|name| server(name)).collect(),
            joining: Members::new(),
            activated,
        };
        let report = |view, distress| ViewReport { view, replicas: 2, distress, not_taken: None };
        let both = || Some(view(&["a:1", "b:1"], true));
        assert_eq!(health(&report(both(), None)), 0);
        assert_eq!(health(&report(Some(view(&["a:1", "b:1"], false)), None)), COPIES_MISSING);
        assert_eq!(health(&report(Some(view(&["a:1"], true)), None)), COPIES_MISSING);
        assert_eq!(health(&report(None, None)), NO_SERVICE);
        assert_eq!(describe(&report(None, None)), "no view: no server was accepted yet\n");
        let a = || vec![ServerId::new("a:1")];
        let distresses = [
            Distress::OldRecord,
            Distress::DataLost(a()),
            Distress::Waiting(a()),
            Distress::UnknownHistory(a()),
            Distress::LedAstray(a()),
            Distress::Listening(a()),
            Distress::NoServer,
            Distress::Unknown,
            Distress::Adopting(ServerId::new("a:1")),
            Distress::UpdatesRefused { primary: ServerId::new("a:1"), copies_min: 3, replicas: 2 },
        ];
        for distress in distresses {
            let told = distress.to_string();
            for view in [both(), None] {
                let report = report(view, Some(distress.clone()));
                assert_eq!(health(&report), NO_SERVICE, "{told}");
                let text = describe(&report);
                assert!(text.ends_with(&format!("{told}\n")), "{text}");
                assert!(!text.contains("no server was accepted yet"), "{text}");
            }
        }
        for not_taken in [NotTaken::OtherHistory(a()), NotTaken::HoldsMore(a()), NotTaken::Unreached(a())] {
            let report = |view| ViewReport { not_taken: Some(not_taken.clone()), ..report(view, None) };
            let few = report(Some(view(&["a:1"], true)));
            assert_eq!(health(&few), COPIES_MISSING, "{not_taken}");
            assert!(describe(&few).ends_with(&format!("{not_taken}\n")));
            assert_eq!(health(&report(None)), NO_SERVICE);
            assert!(!describe(&report(None)).contains("no server was accepted yet"), "{not_taken}");
        }
    }

    #[test]
    fn lines_are_commands() {
        let put = Command::Put { key: "a key".into(), value: String::new(), show: Show::default() };
        assert_eq!(Line::parse(" put \"a key\" \"\" \n"), Ok(Line::Command(put)));
        let cas = |expect: Option<&str>, expect_revision, revision| Command::Cas {
            key: "k".into(),
            value: "new".into(),
            expect: expect.map(Into::into),
            expect_revision,
            show: Show { revision },
        };
        assert_eq!(Line::parse("cas k new --expect old"), Ok(Line::Command(cas(Some("old"), None, false))));
        assert_eq!(
            Line::parse("cas k new --expect-revision 0 --revision"),
            Ok(Line::Command(cas(None, Some(0), true)))
        );
        assert!(Line::parse("cas k new --expect old --expect-revision 0").is_err(), "one of the two");
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
