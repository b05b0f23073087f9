//! What a command comes to, for people and as JSON.

use bytes::Bytes;
use pbkv::{
    client::{ClientError, Deleted, Found, StatusReport, Swap, ViewReport},
    process::{Exit, Printed},
    protocol::{
        command::mod_revision,
        identity::{OpNumber, ServerId},
        view::Members,
        view_service::Distress,
    },
};
use serde_json::{Value as Json, json};

use crate::{
    encoding::{Encoding, counted},
    status,
};

/// What a command comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A key was set or appended to, by this operation.
    Written(Bytes, OpNumber),
    /// What a key holds, and whether that is printed byte for byte.
    Found(Bytes, Found, bool),
    /// Whether a key was there that is not any more.
    Deleted(Bytes, Deleted),
    /// What a compare-and-swap did to a key.
    Swapped(Bytes, Swap),
    /// Keys were printed, page by page, until there were no more, or no more could be printed.
    Listed(Printed),
    /// How many keys there are, and of which moment the last page was.
    Counted(u64, OpNumber),
    /// How many keys that begin alike were removed.
    DeletedAll(u64),
    /// Whoever was asked did not mean it.
    NotMeant,
    /// What the view service says.
    View(StatusReport),
}

/// What people read.
#[derive(Debug, PartialEq, Eq)]
pub enum Text {
    /// What was asked for.
    Value(Vec<u8>),
    /// Like that, without an end of the line.
    Bytes(Vec<u8>),
    /// What the exit code says as well, if less exactly.
    Said(Vec<u8>),
    /// Like that, where a value could have stood.
    Aside(&'static str),
    /// It is printed already.
    Nothing,
}

impl Answer {
    /// Whether that is a yes.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Found(_, Found { held: None, .. }, _) | Self::Swapped(_, Swap { swapped: false, .. }) => {
                Exit::No
            }
            Self::NotMeant => Exit::No,
            Self::View(status) => health(&status.report),
            Self::Listed(printed) => printed.exit(Exit::Done),
            _ => Exit::Done,
        }
    }

    /// At which operation this was true, and by which one the key was changed last: before a compare-and-swap
    /// that did not swap, as of the answer otherwise. What consists of pages tells their revisions itself.
    pub fn revisions(&self) -> Option<(OpNumber, OpNumber)> {
        match self {
            Self::Written(_, revision) => Some((*revision, *revision)),
            Self::Found(_, found, _) => Some((found.revision, mod_revision(found.held.as_ref()))),
            Self::Deleted(_, deleted) => Some((deleted.revision, OpNumber(0))),
            Self::Swapped(_, swap) if swap.swapped => Some((swap.revision, swap.revision)),
            Self::Swapped(_, swap) => Some((swap.revision, mod_revision(swap.previous.as_ref()))),
            Self::Listed(_) | Self::Counted(..) | Self::DeletedAll(_) | Self::NotMeant | Self::View(_) => {
                None
            }
        }
    }

    /// For people.
    pub fn text(&self, encoding: Encoding) -> Text {
        let said = |said: &str| Text::Said(said.into());
        match self {
            Self::Written(..) => said("ok"),
            Self::Found(_, found, is_raw) => match &found.held {
                Some(held) if *is_raw => Text::Bytes(encoding.written(&held.value)),
                Some(held) => Text::Value(encoding.written(&held.value)),
                None => Text::Aside("(absent)"),
            },
            Self::Deleted(_, deleted) => said(if deleted.existed { "deleted" } else { "was absent" }),
            Self::Swapped(_, swap) => match &swap.previous {
                _ if swap.swapped => said("swapped"),
                Some(held) => {
                    Text::Said([b"not swapped, found ", &encoding.written(&held.value)[..]].concat())
                }
                None => said("not swapped, the key is absent"),
            },
            Self::Listed(_) => Text::Nothing,
            Self::Counted(count, _) => Text::Value(count.to_string().into()),
            Self::DeletedAll(count) => said(&format!("deleted {}", counted(*count, "key"))),
            Self::NotMeant => said("nothing was deleted"),
            Self::View(status) => said((describe_view(status) + &status::describe(status)).trim_end()),
        }
    }

    /// For programs; null if it is printed already.
    pub fn json(&self, encoding: Encoding) -> Json {
        let written = |bytes: &[u8]| encoding.json(bytes);
        match self {
            Self::Written(key, revision) => json!({ "key": written(key), "revision": revision.0 }),
            Self::Found(key, found, _) => json!({
                "key": written(key),
                "value": found.held.as_ref().map(|held| written(&held.value)),
                "mod_revision": mod_revision(found.held.as_ref()).0,
                "revision": found.revision.0,
            }),
            Self::Deleted(key, deleted) => {
                json!({ "key": written(key), "existed": deleted.existed, "revision": deleted.revision.0 })
            }
            Self::Swapped(key, swap) => json!({
                "key": written(key),
                "swapped": swap.swapped,
                "previous": swap.previous.as_ref().map(|held| written(&held.value)),
                "previous_mod_revision": mod_revision(swap.previous.as_ref()).0,
                "revision": swap.revision.0,
            }),
            Self::Listed(_) => Json::Null,
            Self::Counted(count, revision) => json!({ "count": count, "revision": revision.0 }),
            Self::DeletedAll(count) => json!({ "deleted": count }),
            Self::NotMeant => json!({ "deleted": 0, "confirmed": false }),
            Self::View(status) => {
                let mut view = view_json(&status.report);
                view["complete"] = status.is_complete.into();
                view["servers"] = status.servers.iter().map(status::json).collect();
                view
            }
        }
    }
}

/// Why a command failed, and what it had done by then.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub error: ClientError,
    /// How many keys it had removed, if it removes many.
    pub deleted: Option<u64>,
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self { error, deleted: None }
    }
}

impl Failed {
    /// An error after which something was changed does not say that nothing was.
    pub fn exit(&self) -> Exit {
        match (Exit::from(&self.error), self.deleted) {
            (Exit::Failed, Some(1..)) => Exit::InPart,
            (exit, _) => exit,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self.deleted {
            Some(deleted @ 1..) => {
                format!("deleted {}, then failed: {}", counted(deleted, "key"), self.error)
            }
            _ => self.error.to_string(),
        }
    }

    /// For programs.
    pub fn json(&self) -> Json {
        let mut json = error_json(kind(&self.error), &self.error.to_string());
        if let Some(deleted) = self.deleted {
            json["deleted"] = deleted.into();
        }
        json
    }
}

/// An error of this kind, for programs.
pub fn error_json(kind: &str, message: &str) -> Json {
    json!({ "error": kind, "message": message })
}

/// The kind of an error, for programs.
pub fn kind(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unknown { .. } => "unknown",
        ClientError::NotExecuted { .. } => "not_executed",
        ClientError::Invalid(_) => "invalid",
        ClientError::ValueTooLarge { .. } => "value_too_large",
        ClientError::NothingLeft { .. } | ClientError::DataLost { .. } => "data_lost",
        ClientError::OtherHistory { .. } => "other_history",
    }
}

/// How the cluster is, as an exit code.
fn health(report: &ViewReport) -> Exit {
    match (&report.view, &report.distress) {
        (_, Some(Distress::DataLost(_))) => Exit::DataLost,
        (Some(view), None) if view.activated && view.insync.len() >= report.replicas as usize => Exit::Done,
        (Some(_), None) => Exit::CopiesMissing,
        _ => Exit::NoService,
    }
}

fn names(members: &Members, except: Option<&str>) -> Vec<String> {
    members.keys().map(ToString::to_string).filter(|name| Some(&**name) != except).collect()
}

fn view_json(report: &ViewReport) -> Json {
    json!({
        "state": match health(report) {
            Exit::Done => "ok",
            Exit::CopiesMissing => "copies_missing",
            Exit::DataLost => "data_lost",
            _ => "no_service",
        },
        "view": report.view.as_ref().map(|view| json!({
            "generation": view.generation.number,
            "number": view.number.0,
            "acknowledged": view.activated,
            "primary": view.primary.as_str(),
            "backups": names(&view.insync, Some(view.primary.as_str())),
            "joining": names(&view.joining, None),
        })),
        "replicas": report.replicas,
        "distress": report.distress.as_ref().map(said),
        "not_taken": report.not_taken.as_ref().map(ToString::to_string),
    })
}

/// What is wrong, without the advice to ask for what this command says.
fn said(distress: &Distress) -> String {
    match distress {
        Distress::DataLost(servers) => {
            let servers: Vec<&str> = servers.iter().map(ServerId::as_str).collect();
            let servers = servers.join(", ");
            format!("DATA LOST: none of the servers that held all the data has it any more ({servers})")
        }
        other => other.to_string(),
    }
}

/// What is said of single servers is not said of them together.
fn describe_view(status: &StatusReport) -> String {
    let mut report = status.report.clone();
    report.not_taken = report.not_taken.filter(|it| !status::tells(status, it));
    describe(&report)
}

fn describe(report: &ViewReport) -> String {
    let list = |names: Vec<String>| if names.is_empty() { "-".to_owned() } else { names.join(" ") };
    let mut text = match &report.view {
        None if report.distress.is_some() || report.not_taken.is_some() => "no view\n".to_owned(),
        None => "no view: no server was accepted yet\n".to_owned(),
        Some(view) => format!(
            "view {} of generation {}{}\nprimary  {}\nbackups  {}\njoining  {}\ncopies   {} of {}{}\n",
            view.number.0,
            view.generation.number,
            if view.activated { "" } else { ", not acknowledged yet" },
            view.primary,
            list(names(&view.insync, Some(view.primary.as_str()))),
            list(names(&view.joining, None)),
            view.insync.len(),
            report.replicas,
            if view.insync.len() < report.replicas as usize { ", FEWER THAN WANTED" } else { "" },
        ),
    };
    if let Some(distress) = &report.distress {
        text.push_str(&said(distress));
        text.push('\n');
    }
    if let Some(not_taken) = &report.not_taken {
        text.push_str(&format!("{not_taken}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::{
        identity::{Boot, DataId, Generation, ViewNumber},
        view::View,
        view_service::NotTaken,
    };

    use super::*;

    #[test]
    fn missing_copies_lost_data_and_no_service_are_told_apart() {
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
        assert_eq!(health(&report(both(), None)), Exit::Done);
        assert_eq!(health(&report(Some(view(&["a:1", "b:1"], false)), None)), Exit::CopiesMissing);
        assert_eq!(health(&report(Some(view(&["a:1"], true)), None)), Exit::CopiesMissing);
        assert_eq!(health(&report(None, None)), Exit::NoService);
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
            let told = said(&distress);
            assert!(!told.contains("'testclient view'"), "{told}");
            let exit =
                if matches!(distress, Distress::DataLost(_)) { Exit::DataLost } else { Exit::NoService };
            for view in [both(), None] {
                let report = report(view, Some(distress.clone()));
                assert_eq!(health(&report), exit, "{told}");
                let text = describe(&report);
                assert!(text.ends_with(&format!("{told}\n")), "{text}");
                assert!(!text.contains("no server was accepted yet"), "{text}");
            }
        }
        for not_taken in [NotTaken::OtherHistory(a()), NotTaken::HoldsMore(a()), NotTaken::Unreached(a())] {
            let report = |view| ViewReport { not_taken: Some(not_taken.clone()), ..report(view, None) };
            let few = report(Some(view(&["a:1"], true)));
            assert_eq!(health(&few), Exit::CopiesMissing, "{not_taken}");
            assert!(describe(&few).ends_with(&format!("{not_taken}\n")));
            assert_eq!(health(&report(None)), Exit::NoService);
            assert!(!describe(&report(None)).contains("no server was accepted yet"), "{not_taken}");
        }
    }
}
