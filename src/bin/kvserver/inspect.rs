//! `kvserver inspect`: what is in the folder of a server.

use std::{io::ErrorKind, path::PathBuf};

use pbkv::{
    process::{Exit, Failure, exit, print},
    storage::journal::{self, Journal, Looked},
};
use serde_json::json;

/// Which folder, and how it is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder that the server was given with --data-dir
    dir: PathBuf,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub fn help() -> String {
    let examples = ["kvserver inspect s1", "kvserver inspect --json s1 | jq .log"];
    exit::help(&examples, &[Exit::Done, Exit::Usage, Exit::Failed])
}

/// Says what is in the folder. It fails if that cannot be read, is damaged, or a server uses it.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let dir = args.dir.display();
    if !args.dir.is_dir() {
        return Err(Failure::Failed(format!("{dir} is no folder, or there is none of that name")));
    }
    let folder = Journal::lock(&args.dir).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => Failure::Failed(format!("{error}: stop it first")),
        _ => Failure::Failed(error.to_string()),
    })?;
    let looked = journal::look(&folder).map_err(|error| Failure::Failed(error.to_string()))?;
    let Some(looked) = looked else {
        return Err(Failure::Failed(format!("nothing was ever kept in {dir}")));
    };
    print::stdout(if args.json { object(&looked) } else { text(&looked) }).done()
}

fn text(looked: &Looked) -> String {
    let Looked { server, memory, file, length, batches, torn } = looked;
    let (log, state) = (&memory.log, &memory.log.snapshot().state);
    let store = memory
        .data
        .map_or("none yet".into(), |data| format!("{data:?} of generation {:?}", memory.generation));
    let entries = match log.len() {
        0 => "empty".into(),
        count => format!("{count} operations, up to {:?}", log.end()),
    };
    let torn = match torn {
        0 => String::new(),
        torn => format!(", and {torn} bytes of one that was not finished, which the next start cuts off"),
    };
    format!(
        "server    {server}\nlife      {}\nstore     {store}\nview      {}\nsnapshot  {} keys, {} sessions, after {:?}\n\
         log       {entries}\nfile      {file}: {length} bytes in {batches} batches{torn}\nevery checksum matches",
        memory.boot,
        memory.view_seen,
        state.keys(),
        state.sessions(),
        log.base(),
    )
}

fn object(looked: &Looked) -> String {
    let Looked { server, memory, file, length, batches, torn } = looked;
    let log = &memory.log;
    let position = |at: pbkv::protocol::identity::Position| json!({"view": at.view.0, "operation": at.op.0});
    json!({
        "server": server.as_str(),
        "boot": memory.boot.0,
        "store": memory.data.map(|data| json!({"boot": data.boot.0, "nonce": data.nonce})),
        "generation": {"number": memory.generation.number, "nonce": memory.generation.nonce},
        "view": memory.view_seen.0,
        "snapshot": {
            "after": position(log.base()), "keys": log.snapshot().state.keys(),
            "sessions": log.snapshot().state.sessions(),
        },
        "log": {"operations": log.len(), "end": position(log.end())},
        "file": {"name": file, "bytes": length, "batches": batches, "torn": torn},
    })
    .to_string()
}
