//! What 'view' says of single servers: spares, joiners with their progress, and what an operator can do
//! when the data is lost.

use std::{cmp::Reverse, time::Duration};

use pbkv::{
    client::StatusReport,
    protocol::{
        identity::{Position, ServerId},
        view_service::{Distress, NotTaken, ServerStatus, Standing},
    },
};
use serde_json::{Value as Json, json};

/// The lines about servers, below those about the view.
pub fn describe(status: &StatusReport) -> String {
    let mut lines = Vec::new();
    let primary = status.servers.iter().find(|it| it.standing == Standing::Primary);
    let end = primary.map(|primary| primary.log_end).unwrap_or_default();
    for server in &status.servers {
        lines.extend(line(server, end));
    }
    if let Some(Distress::DataLost(_)) = &status.report.distress {
        lines.extend(ways_out(status));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Whether each of these servers has a line of its own that says why it is not taken.
pub fn tells(status: &StatusReport, not_taken: &NotTaken) -> bool {
    let told = |server: &ServerId| {
        status.servers.iter().any(|it| it.server == *server && it.standing == Standing::NotTaken)
    };
    not_taken.servers().iter().all(told)
}

/// A server, for programs.
pub fn json(status: &ServerStatus) -> Json {
    let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    json!({
        "server": status.server.as_str(),
        "role": match status.standing {
            Standing::Primary => "primary",
            Standing::Backup => "backup",
            Standing::Joiner => "joiner",
            Standing::Idle => "spare",
            Standing::NotTaken => "not_taken",
        },
        "log_end": { "operation": status.log_end.op.0, "view": status.log_end.view.0 },
        "silent_ms": milliseconds(status.silent_for),
        "runs": status.runs,
        "still_ms": milliseconds(status.still_for),
        "trouble": status.trouble,
    })
}

/// What is to be said of a server, if the lines about the view do not say it. The primary's log ends at
/// `end`.
fn line(status: &ServerStatus, end: Position) -> Option<String> {
    let ServerStatus { server, trouble, log_end, .. } = status;
    match (status.standing, trouble) {
        (Standing::Primary | Standing::Backup, None) => None,
        (Standing::Primary | Standing::Backup, Some(trouble)) => Some(format!("{server} {trouble}")),
        (Standing::Joiner, trouble) => {
            let moved = format!("last progress {:.1?} ago (step {})", status.still_for, status.progress);
            let but = trouble.as_ref().map_or(String::new(), |trouble| format!("; it {trouble}"));
            // Without a primary nothing is known that it could reach.
            let of = if end >= *log_end { format!(" of {}", end.op.0) } else { String::new() };
            Some(format!("{server} is joining: at operation {}{of}, {moved}{but}", log_end.op.0))
        }
        (Standing::NotTaken, trouble) => {
            Some(format!("NOT TAKEN: {server} {}", trouble.as_deref().unwrap_or("pings")))
        }
        (Standing::Idle, None) => Some(format!("{server} is a spare")),
        (Standing::Idle, Some(trouble)) => Some(format!("{server} is not used: it {trouble}")),
    }
}

/// Command lines for the machine of the view service. Nothing is given up while a server that runs holds
/// something that could be gone on with, or may turn out to.
fn ways_out(status: &StatusReport) -> Vec<String> {
    let holders = status.servers.iter().filter(|it| it.runs && it.log_end.op.0 > 0);
    let command = status.command.as_deref().unwrap_or(COMMAND_UNKNOWN);
    let generation = status.report.view.as_ref().map_or(1, |view| view.generation.number);
    match holders.min_by_key(|holder| Reverse(holder.log_end)) {
        Some(best) => vec![
            format!(
                "{} is running and holds the data up to operation {} of view {}. To go on with that, stop the view service, move \
                 its record away, and start it like this:",
                best.server, best.log_end.op.0, best.log_end.view.0
            ),
            format!("  {command} --adopt {}", best.server),
        ],
        None if status.is_complete => vec![
            "No running server holds any of the data. (One that found its journal damaged says so in its log, and keeps the file in \
             its folder, as *.damaged.) To begin empty, stop the view service, run this once, and start it again:"
                .to_owned(),
            format!("  {command} --accept-data-loss {generation}"),
        ],
        None => vec![
            "Whether a running server holds any of the data is not known yet: the view service has just started and is listening, \
             or it does not accept a server that pings. Look again; if a line above says NOT TAKEN, see to that first"
                .to_owned(),
        ],
    }
}

/// What stands for the command line of a view service that does not tell its own.
const COMMAND_UNKNOWN: &str = "viewservice --dir ITS_FOLDER";
