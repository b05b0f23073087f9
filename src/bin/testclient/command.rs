//! The operations, as they are written on the command line and at the prompt.

use std::ffi::OsString;

use clap::Subcommand;
use pbkv::{
    client::Client,
    clock::SystemClock,
    process::{self, Exit, exit},
    protocol::identity::OpNumber,
};

use crate::{
    answer::{Answer, Failed},
    encoding::{Dash, Decoder, Value},
    keys::{self, CountArgs, KeysArgs},
    screen::Screen,
    under_way::UnderWay,
};

/// One operation.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Set a key
    #[command(after_help = updates(&["put fruit apple", "put photo --file apple.jpg", "put photo - < apple.jpg"]))]
    Put {
        /// The key
        key: OsString,
        #[command(flatten)]
        value: Value,
    },
    /// Print the value of a key; '(absent)' on standard error if there is none
    #[command(after_help = help(
        &["get fruit", "get fruit --encoding hex", "get photo --raw > apple.jpg"], &[Exit::Done, Exit::No],
    ))]
    Get {
        /// The key
        key: OsString,
        /// Print the value byte for byte, without the end of a line; JSON has it so anyway
        #[arg(long)]
        raw: bool,
    },
    /// Append to what a key holds; an absent key counts as empty
    #[command(after_help = updates(&["append fruit s", "append log --file today.log"]))]
    Append {
        /// The key
        key: OsString,
        #[command(flatten)]
        value: Value,
    },
    /// Remove a key, or all keys that start with a prefix. Those are listed in pages, as 'keys' lists them,
    /// and removed one by one: a concurrent reader sees some gone and others still there; a key that is made
    /// meanwhile stays if the page in which it would stand was read before; after an error the rest is there.
    /// A retry is harmless. An absent key counts as removed
    #[command(after_help = help(
        &["delete fruit", "delete --prefix fruit/ --yes"], &[Exit::Done, Exit::No, Exit::Unknown],
    ))]
    Delete {
        /// The key
        #[arg(required_unless_present = "prefix")]
        key: Option<OsString>,
        /// Instead of a key: all keys that start with PREFIX, after a confirmation at a terminal
        #[arg(long, conflicts_with = "key")]
        prefix: Option<OsString>,
        /// Do not ask for the confirmation
        #[arg(long, conflicts_with = "key")]
        yes: bool,
    },
    /// List keys in the order of their bytes, one a line; what is not plain text is escaped (\n, \xff).
    /// They are read in pages of 1000 keys or 1 MiB; each page is as of one moment and as new as a 'get',
    /// several pages are of several moments. As JSON, each page is an object, with its revision
    #[command(after_help = help(&["keys --prefix fruit/ --limit 20", "keys --values --output json"], &[Exit::Done]))]
    Keys(KeysArgs),
    /// Count keys, in pages as 'keys' reads them
    #[command(after_help = help(&["count", "count --prefix fruit/"], &[Exit::Done]))]
    Count(CountArgs),
    /// Set a key if it holds what is expected (without --expect and --expect-revision: if it is absent)
    #[command(after_help = help(
        &["cas lock mine && run-as-owner", "cas fruit pear --expect apple", "cas fruit pear --expect-revision 3"],
        &[Exit::Done, Exit::No, Exit::Unknown],
    ))]
    Cas {
        /// The key
        key: OsString,
        #[command(flatten)]
        value: Value,
        /// What it must hold, exactly
        #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
        expect: Option<OsString>,
        /// The revision that changed it last, as told by 'get --revision'; 0: it must be absent
        #[arg(
            long, value_name = "N", conflicts_with = "expect", value_parser = process::whole(0, u64::MAX),
        )]
        expect_revision: Option<u64>,
    },
    /// Print the current view, and what is missing in it
    #[command(visible_alias = "status", after_help = help(
        &["view", "view --quiet || page-the-operator"],
        &[Exit::Done, Exit::NoService, Exit::CopiesMissing],
    ))]
    View,
}

fn updates(examples: &[&str]) -> String {
    help(examples, &[Exit::Done, Exit::Unknown])
}

/// Every operation can fail, find that the data is lost, be wrong, be ended or not be printed, besides what
/// it can end with of its own.
fn help(examples: &[&str], own: &[Exit]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("testclient {example}")).collect();
    let is_possible = |exit: &Exit| {
        own.contains(exit)
            || matches!(exit, Exit::Usage | Exit::Failed | Exit::DataLost | Exit::InPart | Exit::Ended)
    };
    let exits: Vec<Exit> = Exit::ALL.into_iter().filter(is_possible).collect();
    exit::help(&examples.iter().map(String::as_str).collect::<Vec<_>>(), &exits)
}

impl Command {
    /// Performs it. `dash` is what a value of `-` means.
    pub async fn run(
        self,
        client: &mut Client<SystemClock>,
        under_way: &UnderWay,
        screen: Screen,
        dash: Dash,
    ) -> Result<Answer, Failed> {
        let decoder = Decoder { encoding: screen.encoding(), dash };
        Ok(match self {
            Self::Put { key, value } => {
                let (key, value) = (decoder.bytes(&key)?, decoder.value(&value)?);
                Answer::Written(key.clone(), client.put(key, value).await?)
            }
            Self::Get { key, raw } => {
                let key = decoder.bytes(&key)?;
                Answer::Found(key.clone(), client.find(key).await?, raw)
            }
            Self::Append { key, value } => {
                let (key, value) = (decoder.bytes(&key)?, decoder.value(&value)?);
                Answer::Written(key.clone(), client.append(key, value).await?)
            }
            Self::Delete { prefix: Some(prefix), yes, .. } => {
                keys::delete(client, under_way, decoder.bytes(&prefix)?, yes).await?
            }
            Self::Delete { key, .. } => {
                let key = decoder.bytes(&key.unwrap_or_default())?;
                Answer::Deleted(key.clone(), client.delete(key).await?)
            }
            Self::Cas { key, value, expect, expect_revision } => {
                let (key, value) = (decoder.bytes(&key)?, decoder.value(&value)?);
                let expected = expect.map(|expected| decoder.bytes(&expected)).transpose()?;
                let swap = match expect_revision {
                    Some(revision) => {
                        client.compare_and_swap_revision(key.clone(), OpNumber(revision), value).await?
                    }
                    None => client.compare_and_swap(key.clone(), expected, value).await?,
                };
                Answer::Swapped(key, swap)
            }
            Self::Keys(args) => keys::list(client, &args, screen, decoder).await?,
            Self::Count(args) => keys::count(client, decoder.bytes(&args.prefix)?, screen).await?,
            Self::View => Answer::View(client.status().await?),
        })
    }
}
