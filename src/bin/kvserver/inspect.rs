//! `kvserver inspect`: what a server remembers, or a backup holds.

use std::path::{Path, PathBuf};

use pbkv::{
    process::{Exit, Failure, exit, print},
    protocol::{
        identity::{Generation, Position},
        store::Snapshot,
    },
    storage::journal::{Journal, Looked, backup, change},
};
use serde_json::{Value, json};

/// What is looked at, and how it is told.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder that a server was given with --data-dir, or a backup. The server may be running
    #[arg(value_name = "DIR|FILE")]
    path: PathBuf,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub fn help() -> String {
    let examples = [
        "kvserver inspect s1",
        "kvserver inspect monday.pbkv            # a backup",
        "kvserver inspect --json s1 | jq .log",
    ];
    exit::help(&examples, &[Exit::Done, Exit::Usage, Exit::Failed, Exit::InPart])
}

/// Says what is there. It fails if that cannot be read, or is damaged.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let looked = if args.path.is_file() {
        backup::look(&args.path).map_err(|error| Failure::Failed(error.to_string()))?
    } else {
        folder(&args.path).await?
    };
    print::stdout(if args.json { object(&looked) } else { text(&looked) }).done()
}

/// What is in the folder of a server.
pub async fn folder(dir: &Path) -> Result<Looked, Failure> {
    let name = dir.display();
    if !dir.is_dir() {
        return Err(Failure::Failed(format!("{name} is no folder, or there is none of that name")));
    }
    let looked = Journal::look(dir).await.map_err(|error| Failure::Failed(error.to_string()))?;
    looked.ok_or_else(|| Failure::Failed(format!("nothing was ever kept in {name}")))
}

fn text(looked: &Looked) -> String {
    let Looked { server, memory, file, length, batches, torn, room } = looked;
    let log = &memory.log;
    let Snapshot { at, state } = change::at_the_end(log);
    let store = memory
        .data
        .map_or("none yet".into(), |data| format!("{data:?} of generation {:?}", memory.generation));
    let entries = match log.len() {
        0 => "empty".into(),
        count => format!("{count} operations after {:?}", log.base()),
    };
    let torn = match torn {
        0 => String::new(),
        torn => format!(", and {torn} bytes of one that is not finished"),
    };
    let room = match room {
        0 => String::new(),
        room => format!(", and room for {room} bytes"),
    };
    format!(
        "server    {server}\nlife      {}\nstore     {store}\nview      {}\nholds     {} keys and {} sessions after {at:?}\n\
         log       {entries}\nfile      {file}: {length} bytes in {batches} batches{torn}{room}\nevery checksum matches",
        memory.boot,
        memory.view_seen,
        state.keys(),
        state.sessions(),
    )
}

/// A place in the log, as an object.
pub fn position(at: Position) -> Value {
    json!({"view": at.view.0, "operation": at.op.0})
}

/// A number that not every reader of JSON would take as it is.
fn long(number: u64) -> String {
    format!("{number:016x}")
}

/// A history, as an object.
pub fn generation(Generation { number, nonce }: Generation) -> Value {
    json!({"number": number, "nonce": long(nonce)})
}

fn object(looked: &Looked) -> String {
    let Looked { server, memory, file, length, batches, torn, room } = looked;
    let log = &memory.log;
    let Snapshot { at, state } = change::at_the_end(log);
    json!({
        "server": server.as_str(),
        "life": memory.boot.to_string(),
        "store": memory.data.map(|data| json!({"life": data.boot.to_string(), "nonce": long(data.nonce)})),
        "generation": generation(memory.generation),
        "view": memory.view_seen.0,
        "after": position(at),
        "keys": state.keys(),
        "sessions": state.sessions(),
        "log": {"operations": log.len(), "after": position(log.base())},
        "file": {"name": file, "bytes": length, "batches": batches, "torn": torn, "room": room},
    })
    .to_string()
}
