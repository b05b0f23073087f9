//! `kvserver backup` and `kvserver restore`: what a server holds, in one file, and back.

// rules: allow fs: an operator's files
use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use pbkv::{
    process::{self, Exit, Failure, Target, exit, print},
    protocol::identity::{DataId, ServerId},
    storage::{
        journal::{self, Journal, Looked, backup},
        record_file,
    },
};
use serde_json::json;

use crate::{boot, inspect};

/// What is backed up, and where it goes.
#[derive(clap::Args, Debug)]
pub struct BackupArgs {
    /// The folder that the server was given with --data-dir. The server may be running
    dir: PathBuf,
    /// The file that is written
    file: PathBuf,
    /// Replace the file if it exists, when the new one is whole
    #[arg(long)]
    replace: bool,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

/// What is restored, and for which server.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    /// A file that `kvserver backup` wrote
    file: PathBuf,
    /// The folder to give to the server with --data-dir, created if needed. Nothing may be kept in it yet
    dir: PathBuf,
    /// The address under which clients and other servers are to reach that server
    #[arg(long, default_value = "localhost:8001", value_name = "HOST:PORT", value_parser = process::reached)]
    advertise: String,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub fn backup_help() -> String {
    let examples = [
        "kvserver backup s1 monday.pbkv          # while the server runs",
        "kvserver inspect monday.pbkv            # what is in it; every checksum is verified",
        "kvserver restore monday.pbkv r1         # into the folder of the first server of a new cluster",
    ];
    exit::help(&examples, &[Exit::Done, Exit::Usage, Exit::Failed, Exit::InPart])
}

pub fn restore_help() -> String {
    let examples = [
        "kvserver restore monday.pbkv r1 --advertise localhost:8001",
        "kvserver --data-dir r1 &                                 # then start the server,",
        "viewservice --dir new.data --adopt localhost:8001        # and a view service that goes on with its data",
    ];
    exit::help(&examples, &[Exit::Done, Exit::Usage, Exit::Failed, Exit::InPart])
}

fn failed(error: impl ToString) -> Failure {
    Failure::Failed(error.to_string())
}

/// A backup takes the place of nothing but a backup, and lies where no server keeps what it remembers: a slip
/// must not cost the data that it was to save.
fn check_place(file: &Path) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut names = names.map(|name| name.to_string_lossy().into_owned());
    let locks = [journal::LOCK, record_file::LOCK];
    if names.any(|name| name.ends_with(journal::SUFFIX) || locks.contains(&&*name)) {
        let folder = folder.display();
        return Err(failed(format!(
            "{folder} is the folder of a server: a backup has no place there, choose another one"
        )));
    }
    if fs::metadata(file).is_ok_and(|found| found.is_file()) {
        let mut begins = Vec::new();
        let found = File::open(file).map_err(failed)?;
        found.take(backup::BEGINS.len() as u64).read_to_end(&mut begins).map_err(failed)?;
        if begins != backup::BEGINS {
            return Err(failed(format!("{} exists and is no backup: choose another name", file.display())));
        }
    }
    Ok(())
}

/// Writes all keys of a server to a file, as they were after one operation.
pub async fn back_up(args: &BackupArgs) -> Result<(), Failure> {
    let looked = inspect::folder(&args.dir).await?;
    check_place(&args.file)?;
    if args.file.to_str().is_none() {
        return Err(failed(format!("the name {} is not UTF-8: choose another one", args.file.display())));
    }
    let target = Target::at(&args.file, args.replace).map_err(Failure::Failed)?;
    let nothing =
        || failed(format!("the server of {} holds nothing that could be backed up", args.dir.display()));
    let memory = backup::of(&looked).ok_or_else(nothing)?;
    let (generation, at) = (memory.generation, memory.log.base());
    let keys = memory.log.snapshot().state.keys();
    let mut bytes = 0;
    let save =
        |file: &mut dyn Write| backup::write(&looked.server, memory, file).map(|length| bytes = length);
    target.save("the backup", save).map_err(Failure::Failed)?;
    let (file, server) = (args.file.display(), looked.server);
    let told = if args.json {
        let file = file.to_string();
        json!({
            "file": file, "bytes": bytes, "server": server.as_str(), "keys": keys,
            "after": inspect::position(at), "generation": inspect::generation(generation),
        })
        .to_string()
    } else {
        format!("{file}: {keys} keys of {server} after {at:?} of {generation}, {bytes} bytes")
    };
    match target {
        // A pipe may be this program's own output.
        Target::Special(_) => print::stderr(told),
        Target::New(_) | Target::Replaced(_) => print::stdout(told).done()?,
    }
    Ok(())
}

/// Makes a backup the memory of a server of a new cluster.
pub async fn restore(args: &RestoreArgs) -> Result<(), Failure> {
    process::check_reached(&args.advertise).map_err(|why| Failure::option(format!("advertise: {why}")))?;
    let Looked { memory, .. } = backup::look(&args.file).map_err(failed)?;
    // rules: allow clock: as the first life of a server in production does
    let boot = boot(SystemTime::now())?;
    // rules: allow randomness: identities come from the operating system
    let (data, nonce) = (DataId { boot, nonce: rand::random() }, rand::random());
    let (at, keys) = (memory.log.base(), memory.log.snapshot().state.keys());
    let server = ServerId::new(args.advertise.as_str());
    let folder = Journal::lock(&args.dir).map_err(failed)?;
    let generation = backup::restore(memory, folder, &server, data, nonce).await.map_err(failed)?;
    let dir = args.dir.display();
    print::stdout(if args.json {
        json!({
            "dir": dir.to_string(), "server": server.as_str(), "keys": keys, "after": inspect::position(at),
            "generation": inspect::generation(generation),
        })
        .to_string()
    } else {
        format!(
            "{dir}: {keys} keys as they were after {at:?}, now of {generation}. Start the server {server} with --data-dir \
             {dir}, and a view service with a new --dir and --adopt {server}"
        )
    })
    .done()
}
