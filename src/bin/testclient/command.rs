//! The operations, as they are written on the command line and at the prompt.

use std::ffi::OsString;

use clap::Subcommand;
use pbkv::{
    client::{Client, ClientError},
    clock::SystemClock,
    process::{Exit, exit},
    protocol::identity::OpNumber,
};

use crate::{
    answer::Answer,
    encoding::{Decoder, Value},
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
    #[command(after_help = help(&["get fruit", "get fruit --encoding hex"], &[Exit::Done, Exit::No]))]
    Get {
        /// The key
        key: OsString,
    },
    /// Append to what a key holds; an absent key counts as empty
    #[command(after_help = updates(&["append fruit s", "append log --file today.log"]))]
    Append {
        /// The key
        key: OsString,
        #[command(flatten)]
        value: Value,
    },
    /// Remove a key; one that is absent counts as removed
    #[command(after_help = updates(&["delete fruit"]))]
    Delete {
        /// The key
        key: OsString,
    },
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
        #[arg(long, value_name = "VALUE")]
        expect: Option<OsString>,
        /// The revision that changed it last, as told by 'get --revision'; 0: it must be absent
        #[arg(long, value_name = "N", conflicts_with = "expect")]
        expect_revision: Option<u64>,
    },
    /// Print the current view, and what is missing in it
    #[command(visible_alias = "status", after_help = help(
        &["view", "view --quiet || page-somebody"],
        &[Exit::Done, Exit::DataLost, Exit::NoService, Exit::CopiesMissing],
    ))]
    View,
}

fn updates(examples: &[&str]) -> String {
    help(examples, &[Exit::Done, Exit::Unknown])
}

/// Every operation can fail or be wrong, besides what it can end with of its own.
fn help(examples: &[&str], own: &[Exit]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("testclient {example}")).collect();
    let is_possible = |exit: &Exit| own.contains(exit) || matches!(exit, Exit::Usage | Exit::Failed);
    let exits: Vec<Exit> = Exit::ALL.into_iter().filter(is_possible).collect();
    exit::help(&examples.iter().map(String::as_str).collect::<Vec<_>>(), &exits)
}

impl Command {
    /// Performs it.
    pub async fn run(
        self,
        client: &mut Client<SystemClock>,
        decoder: Decoder,
    ) -> Result<Answer, ClientError> {
        Ok(match self {
            Self::Put { key, value } => {
                let (key, value) = (decoder.bytes(&key)?, decoder.value(&value)?);
                Answer::Written(key.clone(), client.put(key, value).await?)
            }
            Self::Get { key } => {
                let key = decoder.bytes(&key)?;
                Answer::Found(key.clone(), client.find(key).await?)
            }
            Self::Append { key, value } => {
                let (key, value) = (decoder.bytes(&key)?, decoder.value(&value)?);
                Answer::Written(key.clone(), client.append(key, value).await?)
            }
            Self::Delete { key } => {
                let key = decoder.bytes(&key)?;
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
            Self::View => Answer::View(client.view().await?),
        })
    }
}
