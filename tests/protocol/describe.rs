//! Protocol values in the words of the scripts.

use bytes::Bytes;
use pbkv::protocol::{
    command::{Executed, Expected, Outcome, Refusal, Reply, Request, RequestBody, Update, Versioned},
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

fn value(held: Option<&Versioned>) -> String {
    held.map_or("nothing".to_owned(), |held| text(&held.value))
}

/// Begins a revision in a script, where a value could stand as well.
pub const REVISION: &str = "op";

pub fn update(update: &Update) -> String {
    match update {
        Update::Put { key, value } => format!("put {} {}", text(key), text(value)),
        Update::Append { key, value, .. } => format!("append {} {}", text(key), text(value)),
        Update::Delete { key } => format!("delete {}", text(key)),
        Update::CompareAndSwap { key, expected, new } => {
            let expected = match expected {
                Expected::Value(expected) => expected.as_ref().map_or("nothing".to_owned(), text),
                Expected::Revision(revision) => format!("{REVISION}{}", revision.0),
            };
            format!("swap {} {expected} {}", text(key), text(new))
        }
    }
}

pub fn request(request: &Request) -> String {
    match &request.body {
        RequestBody::Get { key } => format!("get {}", text(key)),
        RequestBody::Scan(scan) => format!("scan {} after {}", text(&scan.prefix), text(&scan.after)),
        RequestBody::OpenSession => "open".to_owned(),
        RequestBody::CloseSession { session } => format!("close {session}"),
        RequestBody::Update { session, request, update: what } => {
            format!("{} as {session}/{request}", update(what))
        }
    }
}

pub fn reply(reply: &Reply) -> String {
    match reply {
        Reply::Value { found, .. } => value(found.as_ref()),
        Reply::Page(page) => {
            let keys: Vec<_> = page.keys.iter().map(|listed| text(&listed.key)).collect();
            format!("{}{}", keys.join(" "), if page.more { " and more" } else { "" })
        }
        Reply::Opened { session, .. } => format!("opened {session}"),
        Reply::Closed { .. } => "closed".to_owned(),
        Reply::Executed(Executed { outcome, .. }) => match outcome {
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
            Refusal::TooManySessions => "refused, too many sessions".to_owned(),
            Refusal::TooFewHoldIt { copies, copies_min } => {
                format!("executed, {copies} copies hold it, {copies_min} needed")
            }
            Refusal::TooFewCopies { copies, copies_min } => {
                format!("refused, {copies} copies, {copies_min} needed")
            }
            Refusal::DataLost { generation } => format!("refused, data lost before {generation}"),
        },
    }
}

/// At which operation an answer was true, and which one wrote the value that it tells.
pub fn revisions(reply: &Reply) -> String {
    let written = |held: &Option<Versioned>| {
        held.as_ref().map_or(String::new(), |held| format!(", written by {}", held.mod_revision))
    };
    match reply {
        Reply::Value { revision, found } => format!(" ({revision}{})", written(found)),
        Reply::Executed(Executed { revision, outcome: Outcome::Swapped { previous, .. } }) => {
            format!(" ({revision}; before: {}{})", value(previous.as_ref()), written(previous))
        }
        Reply::Executed(Executed { revision, .. }) | Reply::Closed { revision } => format!(" ({revision})"),
        Reply::Page(page) => format!(" ({})", page.revision),
        Reply::Opened { .. } | Reply::Refused(_) => String::new(),
    }
}

pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Accepted => "is accepted".to_owned(),
        Notice::RoleChanged { role, view } => format!("is {role:?} in {view}").to_lowercase(),
        Notice::Confirmed { view } => format!("confirmed {view}"),
        Notice::Activated { view } => format!("knows that {view} is activated"),
        Notice::Fenced { view } => format!("is fenced by {view}"),
        Notice::AnotherPrimary { view, primary } => format!("hears that {primary} is primary of {view}, too"),
        Notice::HeardAgain { server } => format!("hears {server} again"),
        Notice::Suspected { server } => format!("suspects {server}"),
        Notice::PrimarySilent { server } => format!("does not hear {server}"),
        Notice::PrimarySilenceEnds { server } => format!("no longer misses {server}"),
        Notice::ViewServiceSilent => "does not hear the view service".to_owned(),
        Notice::ViewServiceAnswers => "hears the view service again".to_owned(),
        Notice::FewCopies { copies: 1, .. } => "acknowledges with a single copy".to_owned(),
        Notice::FewCopies { copies, wanted } => format!("acknowledges with {copies} of {wanted} copies"),
        Notice::EnoughCopies { copies } => format!("acknowledges with {copies} copies again"),
        Notice::UpdatesRefused { copies, copies_min } => {
            format!("refuses updates: {copies} of {copies_min} copies")
        }
        Notice::UpdatesTaken { copies } => format!("takes updates again, with {copies} copies"),
        Notice::SessionsFull { limit, held, max } => {
            format!("is full of sessions: {limit:?}, {held} of {max}")
        }
        Notice::SessionsHaveRoom { limit, held } => format!("has room for sessions again: {limit:?}, {held}"),
        Notice::PingsMoreOften { told, interval, dead_after } => {
            format!("pings every {interval:?}, not {told:?}: the dead interval is {dead_after:?}")
        }
        Notice::CopiesOutOfReach { copies_min, wanted } => {
            format!("asks for {copies_min} copies, the view service strives for {wanted}")
        }
        Notice::Joined { server, at } => format!("lets {server} join, up to date at {at}"),
        Notice::TransferBegan { to, at } => format!("begins to transfer its state at {at:?} to {to}"),
        Notice::TransferCompleted { to, at } => format!("transferred its state at {at} to {to}"),
        Notice::TransferAbandoned { to } => format!("leaves {to} behind"),
        Notice::ReceivingState { from, at } => format!("receives the state at {at:?} from {from}"),
        Notice::StateInstalled { at } => format!("has installed the state at {at:?}"),
        Notice::PeerRefused { from, why } => format!("refuses a message of {from}: {why}"),
        Notice::BootRaised { boot } => format!("goes on as {boot}"),
        Notice::OldCopy { end } => format!("holds an older copy of its data, up to {end:?}"),
        Notice::Unconfirmed { own, holder: None, .. } => format!("is not believed as {own}"),
        Notice::Unconfirmed { own, holder: Some(holder), .. } => {
            format!("is not believed as {own}: {holder} answers there")
        }
        Notice::Believed => "is believed again".to_owned(),
        Notice::WrongGeneration { own, current } => format!("holds {own}, but {current} is current"),
    }
}

/// Nothing if the view says it.
fn listing(heard: &view_service::adoption::Heard) -> String {
    let lines = heard.iter().map(|(server, it)| {
        let acts = if it.is_primary { ", acts as primary" } else { "" };
        format!(
            "\n   {server} has {}, knows {}, log end {:?}{acts}",
            it.generation, it.view_known, it.log_end
        )
    });
    lines.collect()
}

pub fn view_notice(notice: &view_service::Notice) -> Option<String> {
    use view_service::Notice as N;
    Some(match notice {
        N::Gone(server) => format!("is refused a connection to {server}"),
        N::ServerSeen(ping) => match ping.data {
            Some(data) => {
                format!("sees {} in life {} with data of life {}", ping.server, ping.boot, data.boot)
            }
            None => format!("sees {} in life {} without data", ping.server, ping.boot),
        },
        N::Proposed { view: proposed, why, dropped } => {
            let dropped = dropped.iter().map(|(server, why)| format!("\n   {server} is out: it {why}"));
            format!("proposes {}: {why}{}", view(proposed), dropped.collect::<String>())
        }
        N::Activated(activated) => format!("records {}", view(activated)),
        N::DataLost(number) => format!("says that all data of {number} is lost"),
        N::Waiting { servers, .. } => format!("waits for one of {servers:?}"),
        N::DataIsBack { servers, .. } => format!("waits no longer: {servers:?} are back"),
        N::Copies { .. } | N::Updates { .. } => return None,
        N::OldRecord { server, told, recorded } if told == recorded => {
            format!("has an old record, to {recorded}: {} acts as primary in another {told}", server)
        }
        N::OldRecord { server, told, recorded } => {
            format!("has an old record, to {recorded}: {server} was told of {told}")
        }
        N::LedAstray { server, obeys, current } => {
            format!("sees that {} obeys {obeys}, and not {current}", server)
        }
        N::HoldsMore { server, end, adopted } => {
            format!("does not take in {}, which ends at {end:?}, beyond {adopted:?} that was adopted", server)
        }
        N::Adopted { view: adopted, heard } => format!("adopts {}{}", view(adopted), listing(heard)),
        N::NotAdopted { why, heard } => format!("adopts nothing: {why}{}", listing(heard)),
        N::OtherHistory { server, holds, current } => {
            format!("does not take in {server}, which holds {holds}, not {current}")
        }
        N::Contested { server, holder, other } => {
            format!("reaches {holder} at {server}, but {other} pings as {server}")
        }
        N::Unreached(server) => format!("does not reach {server}, which pings"),
        N::Reached(server) => format!("reaches {server} now"),
        N::UnreachedStopped(server) => format!("did not reach {server}, which pings no longer"),
        N::ImplausibleLife { server, boot } => format!("does not believe {server} that it lives as {boot}"),
        N::TooManyServers(server) => format!("knows too many servers to hear {server}"),
    })
}
