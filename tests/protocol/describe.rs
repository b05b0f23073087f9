//! Protocol values in the words of the scripts.

use bytes::Bytes;
use pbkv::protocol::{
    command::{Outcome, Refusal, Reply, Request, RequestBody, Update},
    replica::Notice,
    view::{Members, View},
    view_service,
};

pub fn members(members: &Members) -> String {
    if members.is_empty() {
        return "nobody".to_owned();
    }
    members.keys().map(|server| server.as_str().to_owned()).collect::<Vec<_>>().join("+")
}

pub fn view(view: &View) -> String {
    let joining = match view.joining.is_empty() {
        true => String::new(),
        false => format!(", joining {}", members(&view.joining)),
    };
    let activated = if view.activated { "activated" } else { "not activated" };
    format!(
        "{} primary {} in life {}, in sync {}{joining}, {activated}",
        view.number,
        view.primary,
        view.primary_boot,
        members(&view.insync)
    )
}

pub fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn value(value: Option<&Bytes>) -> String {
    value.map_or("nothing".to_owned(), text)
}

pub fn update(update: &Update) -> String {
    match update {
        Update::Put { key, value } => format!("put {} {}", text(key), text(value)),
        Update::Append { key, value, .. } => format!("append {} {}", text(key), text(value)),
        Update::Delete { key } => format!("delete {}", text(key)),
        Update::CompareAndSwap { key, expected, new } => {
            format!("swap {} {} {}", text(key), value(expected.as_ref()), text(new))
        }
    }
}

pub fn request(request: &Request) -> String {
    match &request.body {
        RequestBody::Get { key } => format!("get {}", text(key)),
        RequestBody::OpenSession => "open".to_owned(),
        RequestBody::CloseSession { session } => format!("close {session}"),
        RequestBody::Update { session, request, update: what } => {
            format!("{} as {session}/{request}", update(what))
        }
    }
}

pub fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Value(found) => value(found.as_ref()),
        Reply::Opened { session, .. } => format!("opened {session}"),
        Reply::Closed => "closed".to_owned(),
        Reply::Executed(outcome) => match outcome {
            Outcome::Done => "done".to_owned(),
            Outcome::Deleted { existed: true } => "deleted".to_owned(),
            Outcome::Deleted { existed: false } => "was not there".to_owned(),
            Outcome::Swapped { swapped: true, .. } => "swapped".to_owned(),
            Outcome::Swapped { previous, .. } => format!("not swapped, held {}", value(previous.as_ref())),
            Outcome::ValueTooLarge { value_bytes_max } => format!("longer than {value_bytes_max} bytes"),
        },
        Reply::Refused(refusal) => match refusal {
            Refusal::NotPrimary { primary: Some(primary), .. } => format!("refused, ask {primary}"),
            Refusal::NotPrimary { primary: None, .. } => "refused, not primary".to_owned(),
            Refusal::SessionExpired => "refused, session expired".to_owned(),
            Refusal::Superseded => "refused, superseded".to_owned(),
            Refusal::Busy => "refused, busy".to_owned(),
            Refusal::DataLost { generation } => format!("refused, data lost before {generation}"),
        },
    }
}

pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Accepted => "is accepted".to_owned(),
        Notice::RoleChanged { role, view } => format!("is {role:?} in {view}").to_lowercase(),
        Notice::Confirmed { view } => format!("confirmed {view}"),
        Notice::Activated { view } => format!("knows that {view} is activated"),
        Notice::Fenced { view } => format!("is fenced by {view}"),
        Notice::Suspected { server } => format!("suspects {server}"),
        Notice::Joined { server, at } => format!("lets {server} join, up to date at {at}"),
        Notice::TransferBegan { to, at } => format!("begins to transfer its state at {at:?} to {to}"),
        Notice::TransferCompleted { to, at } => format!("transferred its state at {at} to {to}"),
        Notice::TransferAbandoned { to } => format!("abandons the transfer to {to}"),
        Notice::ReceivingState { from, at } => format!("receives the state at {at:?} from {from}"),
        Notice::StateInstalled { at } => format!("has installed the state at {at:?}"),
        Notice::BootRaised { boot } => format!("goes on as {boot}"),
        Notice::WrongGeneration { own, current } => format!("holds {own}, but {current} is current"),
    }
}

pub fn view_notice(notice: &view_service::Notice) -> String {
    use view_service::Notice as N;
    match notice {
        N::ServerSeen(ping) => match ping.data {
            Some(data) => {
                format!("sees {} in life {} with data of life {}", ping.server, ping.boot, data.boot)
            }
            None => format!("sees {} in life {} without data", ping.server, ping.boot),
        },
        N::Proposed { view: proposed, why } => format!("proposes {}: {why}", view(proposed)),
        N::Activated(activated) => format!("records {}", view(activated)),
        N::DataLost(number) => format!("says that all data of {number} is lost"),
        N::UnknownHistory { server, view } => format!("does not know {view}, which {server} knows"),
        N::TooManyServers(server) => format!("knows too many servers to hear {server}"),
    }
}
