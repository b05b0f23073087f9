//! What is in the store: its keys, how many there are, and the removal of many.
//!
//! All of it goes page by page, and each page is one moment: see [`Client::scan`].

use std::io::{self, BufRead, IsTerminal, Write};

use bytes::Bytes;
use clap::Args;
use pbkv::{
    client::{Client, ClientError},
    clock::SystemClock,
    protocol::command::{Listed, PAGE_KEYS_MAX, Scan},
};

/// Which keys are listed, and what of them.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysArgs {
    /// Only keys that begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// So many keys at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Print values, too, each behind its key and a tab
    #[arg(long)]
    values: bool,
}

/// Which keys are counted.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CountArgs {
    /// Only keys that begin so
    #[arg(long, default_value = "", hide_default_value = true)]
    pub prefix: String,
}

/// Prints keys as they come, page by page.
pub async fn list(client: &mut Client<SystemClock>, args: &KeysArgs) -> Result<(), ClientError> {
    let mut scan = Scan { values: args.values, ..Scan::of(args.prefix.clone()) };
    let mut left = args.limit.unwrap_or(u64::MAX);
    loop {
        scan.keys_max = u32::try_from(left.min(PAGE_KEYS_MAX as u64)).expect("a page is smaller");
        let page = client.scan(&scan).await?;
        left -= page.keys.len() as u64;
        let mut text = Vec::new();
        for listed in &page.keys {
            line(&mut text, listed);
        }
        let said = io::stdout().write_all(&text).and_then(|()| io::stdout().flush());
        said.map_err(|error| ClientError::Invalid(format!("cannot write to standard output: {error}")))?;
        scan.go_on(&page);
        if !page.more {
            return Ok(());
        }
        if left == 0 {
            eprintln!("there are more keys: raise --limit, or name a longer --prefix");
            return Ok(());
        }
    }
}

/// How many keys there are.
pub async fn count(client: &mut Client<SystemClock>, prefix: &str) -> Result<u64, ClientError> {
    let (mut scan, mut count) = (Scan::of(prefix.to_owned()), 0);
    loop {
        let page = client.scan(&scan).await?;
        count += page.keys.len() as u64;
        scan.go_on(&page);
        if !page.more {
            return Ok(count);
        }
    }
}

/// Removes all keys that begin so, one by one. Returns what to say.
pub async fn delete(
    client: &mut Client<SystemClock>,
    prefix: &str,
    yes: bool,
) -> Result<String, ClientError> {
    if !yes && !is_meant(prefix, count(client, prefix).await?)? {
        return Ok("nothing was deleted\n".to_owned());
    }
    let (mut scan, mut deleted) = (Scan::of(prefix.to_owned()), 0_u64);
    loop {
        let page = client.scan(&scan).await.inspect_err(|_| so_far(deleted))?;
        for listed in &page.keys {
            let done = client.delete(listed.key.clone()).await.inspect_err(|_| so_far(deleted))?;
            deleted += u64::from(done.existed);
        }
        scan.go_on(&page);
        if !page.more {
            return Ok(format!("deleted {deleted}\n"));
        }
    }
}

fn so_far(deleted: u64) {
    eprintln!("deleted {deleted} before that:");
}

/// Asks whoever sits there.
fn is_meant(prefix: &str, count: u64) -> Result<bool, ClientError> {
    if !io::stdin().is_terminal() {
        return Err(ClientError::Invalid(format!(
            "{count} keys begin with '{prefix}': say --yes to delete them"
        )));
    }
    eprint!("delete {count} keys that begin with '{prefix}'? (yes/no) ");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    Ok(read.is_ok() && answer.trim() == "yes")
}

/// A key, and its value if there is one, as one line whatever they hold.
fn line(text: &mut Vec<u8>, listed: &Listed) {
    plainly(text, &listed.key);
    if let Some(value) = &listed.value {
        text.push(b'\t');
        plainly(text, value);
    }
    text.push(b'\n');
}

/// Text as it is; anything else, and what could be taken for an escape, with escapes.
fn plainly(text: &mut Vec<u8>, bytes: &Bytes) {
    let is_plain = str::from_utf8(bytes).is_ok_and(|it| !it.contains(|c: char| c.is_control() || c == '\\'));
    match is_plain {
        true => text.extend_from_slice(bytes),
        false => text.extend(bytes.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::identity::OpNumber;

    use super::*;

    #[test]
    fn a_key_is_one_line_whatever_it_holds() {
        let shown = |key: &'static [u8], value: Option<&'static [u8]>| {
            let mut text = Vec::new();
            let value = value.map(Bytes::from_static);
            line(&mut text, &Listed { key: Bytes::from_static(key), mod_revision: OpNumber(1), value });
            String::from_utf8(text).expect("it is text")
        };
        assert_eq!(shown("Obst\u{e4}pfel".as_bytes(), None), "Obst\u{e4}pfel\n");
        assert_eq!(shown(b"a\nb", Some(b"\tc")), "a\\nb\t\\tc\n");
        assert_eq!(shown(b"\\n", Some(b"\xff")), "\\\\n\t\\xff\n");
    }
}
