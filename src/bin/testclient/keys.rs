//! What is in the store: its keys, how many there are, and the removal of many.
//!
//! All of it goes page by page, and each page is one moment: see [`Client::scan`].

use std::{
    ffi::OsString,
    io::{self, BufRead, IsTerminal},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use pbkv::{
    client::{Client, ClientError},
    clock::{Clock, SystemClock},
    process::{self, Printed, print},
    protocol::{
        command::{Listed, PAGE_KEYS_MAX, Page, Scan},
        identity::OpNumber,
    },
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value as Json, json};

use crate::{
    answer::{Answer, Failed},
    encoding::{Decoder, Encoding, counted},
    screen::{self, Screen},
    under_way::UnderWay,
};

/// How often it is looked whether an answer was typed.
const LOOK: Duration = Duration::from_millis(20);

/// A question that is not answered by yes or no is asked this often; then nothing was meant.
const ASKED_MAX: u32 = 5;

/// Which keys are listed, and what of them.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysArgs {
    /// Only keys that start with PREFIX
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: OsString,
    /// Print at most N keys
    #[arg(long, value_name = "N", value_parser = process::whole(1, u64::MAX))]
    limit: Option<u64>,
    /// Print values, too, each behind its key and a tab
    #[arg(long)]
    values: bool,
}

/// Which keys are counted.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CountArgs {
    /// Only keys that start with PREFIX
    #[arg(long, default_value = "", hide_default_value = true)]
    pub prefix: OsString,
}

/// Prints keys as they come, page by page.
pub async fn list(
    client: &mut Client<SystemClock>,
    args: &KeysArgs,
    screen: Screen,
    decoder: Decoder,
) -> Result<Answer, Failed> {
    let encoding = decoder.encoding;
    let mut scan = Scan { values: args.values, ..Scan::of(decoder.bytes(&args.prefix)?) };
    let mut left = args.limit.unwrap_or(u64::MAX);
    loop {
        scan.keys_max = u32::try_from(left.min(PAGE_KEYS_MAX as u64)).expect("a page is smaller");
        let page = client.scan(&scan).await?;
        left -= page.keys.len() as u64;
        screen.page(page.revision);
        let printed = match screen.is_json() {
            true => screen::object(&object(&page, encoding)),
            false => {
                let mut lines = page.keys.iter().map(|listed| print::stdout(line(listed, encoding)));
                lines.find(|printed| *printed != Printed::Whole).unwrap_or(Printed::Whole)
            }
        };
        if printed != Printed::Whole || !page.more {
            return Ok(Answer::Listed(printed));
        }
        scan.go_on(&page);
        if left == 0 {
            if !screen.is_json() && !screen.is_quiet() {
                print::stderr("there are more keys: raise --limit, or name a longer --prefix");
            }
            return Ok(Answer::Listed(printed));
        }
    }
}

/// How many keys there are.
pub async fn count(
    client: &mut Client<SystemClock>,
    prefix: Bytes,
    screen: Screen,
) -> Result<Answer, Failed> {
    let (count, revision) = count_all(client, prefix, |page| screen.page(page.revision)).await?;
    Ok(Answer::Counted(count, revision))
}

/// How many there are, and the revision of the last page.
async fn count_all(
    client: &mut Client<SystemClock>,
    prefix: Bytes,
    tell: impl Fn(&Page),
) -> Result<(u64, OpNumber), ClientError> {
    let (mut scan, mut count) = (Scan::of(prefix), 0);
    loop {
        let page = client.scan(&scan).await?;
        tell(&page);
        count += page.keys.len() as u64;
        scan.go_on(&page);
        if !page.more {
            return Ok((count, page.revision));
        }
    }
}

/// Removes all keys that start with a prefix, one by one.
pub async fn delete(
    client: &mut Client<SystemClock>,
    under_way: &UnderWay,
    prefix: Bytes,
    yes: bool,
) -> Result<Answer, Failed> {
    if !yes {
        let (count, _) = count_all(client, prefix.clone(), |_| ()).await?;
        if count == 0 {
            return Ok(Answer::DeletedAll(0));
        }
        if !is_meant(&prefix, count).await? {
            return Ok(Answer::NotMeant);
        }
    }
    let (mut scan, mut deleted) = (Scan::of(prefix), 0_u64);
    loop {
        let so_far = |deleted| move |error| Failed { error, deleted: Some(deleted) };
        let page = client.scan(&scan).await.map_err(so_far(deleted))?;
        for listed in &page.keys {
            let done = client.delete(listed.key.clone()).await.map_err(so_far(deleted))?;
            deleted += u64::from(done.existed);
            under_way.has_deleted(deleted);
        }
        scan.go_on(&page);
        if !page.more {
            return Ok(Answer::DeletedAll(deleted));
        }
    }
}

/// Asks whoever sits there.
async fn is_meant(prefix: &Bytes, count: u64) -> Result<bool, ClientError> {
    let prefix = String::from_utf8(plainly(prefix)).unwrap_or_default();
    if !io::stdin().is_terminal() {
        let (keys, start) = (counted(count, "key"), if count == 1 { "starts" } else { "start" });
        return Err(ClientError::Invalid(format!(
            "{keys} {start} with '{prefix}': add --yes to delete without a question"
        )));
    }
    let (keys, start) = (counted(count, "key"), if count == 1 { "starts" } else { "start" });
    for _ in 0..ASKED_MAX {
        print::ask(format!("delete {keys} that {start} with '{prefix}'? (yes/no)"));
        match typed().await {
            Ok(answer) if answer.is_empty() => return Ok(false), // Ctrl-D
            Ok(answer) => match &*answer.trim_ascii().to_ascii_lowercase() {
                b"y" | b"yes" => return Ok(true),
                b"n" | b"no" => return Ok(false),
                _ => {}
            },
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}

/// The next line that is typed at the terminal. Nothing could end a read that waits for it: so the terminal
/// is looked at again and again, and a signal at the prompt ends this and not the prompt.
async fn typed() -> io::Result<Vec<u8>> {
    while poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], Some(&Timespec::default()))? == 0 {
        SystemClock.sleep_until(SystemClock.now() + LOOK).await;
    }
    let mut input = io::stdin().lock();
    let typed = input.fill_buf()?.to_vec();
    input.consume(typed.len());
    Ok(typed)
}

/// A page, for programs.
fn object(page: &Page, encoding: Encoding) -> Json {
    let key = |listed: &Listed| {
        let mut key = json!({ "key": encoding.json(&listed.key), "mod_revision": listed.mod_revision.0 });
        if let Some(value) = &listed.value {
            key["value"] = encoding.json(value);
        }
        key
    };
    json!({ "keys": page.keys.iter().map(key).collect::<Vec<_>>(), "more": page.more, "revision": page.revision.0 })
}

/// A key, and its value if there is one, as one line whatever they hold.
fn line(listed: &Listed, encoding: Encoding) -> Vec<u8> {
    let written = |bytes: &Bytes| match encoding {
        Encoding::Text => plainly(bytes),
        Encoding::Hex | Encoding::Base64 => encoding.written(bytes),
    };
    let mut text = written(&listed.key);
    if let Some(value) = &listed.value {
        text.push(b'\t');
        text.extend(written(value));
    }
    text
}

/// Text as it is; anything else, and what could be taken for an escape, with escapes.
fn plainly(bytes: &Bytes) -> Vec<u8> {
    let is_plain = str::from_utf8(bytes).is_ok_and(|it| !it.contains(|c: char| c.is_control() || c == '\\'));
    if is_plain { bytes.to_vec() } else { bytes.escape_ascii().collect() }
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::identity::OpNumber;

    use super::*;

    #[test]
    fn a_key_is_one_line_whatever_it_holds() {
        let shown = |key: &'static [u8], value: Option<&'static [u8]>| {
            let value = value.map(Bytes::from_static);
            let listed = Listed { key: Bytes::from_static(key), mod_revision: OpNumber(1), value };
            String::from_utf8(line(&listed, Encoding::Text)).expect("it is text")
        };
        assert_eq!(shown("Obst\u{e4}pfel".as_bytes(), None), "Obst\u{e4}pfel");
        assert_eq!(shown(b"a\nb", Some(b"\tc")), "a\\nb\t\\tc");
        assert_eq!(shown(b"\\n", Some(b"\xff")), "\\\\n\t\\xff");
    }
}
