//! The timeline of a run as text: one line a moment, with virtual time and node.

use std::time::Duration;

use pbkv::protocol::{
    identity::ServerId,
    replica::{Notice, SessionLimit},
    view::{Members, View},
    view_service,
};

use crate::{
    data::outcome::{Happening, Moment, Outcome},
    report::screen,
};

/// Whether this changes who is who or what is wrong: what a timeline shows by default.
pub fn is_turn(event: &Happening) -> bool {
    !matches!(event, Happening::Called { .. } | Happening::Returned { .. })
}

/// A moment as a line: time, node, what.
pub fn line(moment: &Moment, outcome: &Outcome) -> String {
    format!("{} {:<6} {}", time(moment.at), moment.node, words(moment, outcome))
}

/// What happened at a moment.
pub fn words(moment: &Moment, outcome: &Outcome) -> String {
    match &moment.event {
        Happening::Up { life, memory } => format!("up, life {life}, memory {}", lower(memory)),
        Happening::Down(how) => format!("down, {}", lower(how)),
        Happening::FaultBegan { fault, what } => format!("fault {fault}: {what}"),
        Happening::FaultEnded { fault } => format!("fault {fault} is over"),
        Happening::FaultSkipped { fault, why } => format!("fault {fault} not possible: {why}"),
        Happening::Healed => "all healed".into(),
        Happening::Replica(notice) => replica(notice),
        Happening::ViewService(notice) => view_service(notice),
        Happening::Called { operation } => {
            format!("calls {}", screen::asked(&outcome.operations[*operation]))
        }
        Happening::Returned { operation } => screen::operation(&outcome.operations[*operation]),
    }
}

/// A virtual time, in seconds.
pub fn time(at: Duration) -> String {
    format!("{:>4}.{:06}", at.as_secs(), at.subsec_micros())
}

fn replica(notice: &Notice) -> String {
    match notice {
        Notice::Accepted => "accepted by the view service".into(),
        Notice::RoleChanged { role, view } => format!("is {} in {view}", lower(role)),
        Notice::Confirmed { view } => format!("confirmed the replicas of {view}"),
        Notice::Activated { view } => format!("knows that {view} is active"),
        Notice::Fenced { view } => format!("is fenced: {view} exists"),
        Notice::AnotherPrimary { view, primary } => {
            format!("gives up its role: {} is primary of {view}, too", name(primary))
        }
        Notice::HeardAgain { server } => format!("hears {} again", name(server)),
        Notice::Suspected { server } => format!("suspects {}", name(server)),
        Notice::PrimarySilent { server } => format!("does not hear the primary {}", name(server)),
        Notice::PrimarySilenceEnds { server } => format!("no longer misses {}", name(server)),
        Notice::ViewServiceSilent => "does not hear the view service".into(),
        Notice::ViewServiceAnswers => "hears the view service again".into(),
        Notice::FewCopies { copies: 1, .. } => "acknowledges with a single copy".into(),
        Notice::FewCopies { copies, wanted } => format!("acknowledges with {copies} of {wanted} copies"),
        Notice::EnoughCopies { copies } => format!("acknowledges with {copies} copies again"),
        Notice::UpdatesRefused { copies, copies_min } => {
            format!("refuses updates: {copies} of {copies_min} copies")
        }
        Notice::UpdatesTaken { copies } => format!("takes updates again, with {copies} copies"),
        Notice::SessionsFull { limit: SessionLimit::Count, held, .. } => {
            format!("refuses sessions: {held} are open")
        }
        Notice::SessionsFull { limit: SessionLimit::Bytes, held, .. } => {
            format!("refuses swaps: sessions remember {held} bytes")
        }
        Notice::SessionsHaveRoom { limit: SessionLimit::Count, held } => {
            format!("has room for sessions again: {held} are open")
        }
        Notice::SessionsHaveRoom { limit: SessionLimit::Bytes, held } => {
            format!("has room for swaps again: sessions remember {held} bytes")
        }
        Notice::PingsMoreOften { told, interval, dead_after } => {
            format!("pings every {interval:?}, not {told:?}: the dead interval is {dead_after:?}")
        }
        Notice::CopiesOutOfReach { copies_min, wanted } => {
            format!("asks for {copies_min} copies, the view service strives for {wanted}")
        }
        Notice::Joined { server, at } => format!("lets {} join, up to date at {at}", name(server)),
        Notice::TransferBegan { to, at } => format!("sends the state after {at:?} to {}", name(to)),
        Notice::TransferCompleted { to, at } => format!("{} has the state after {at}", name(to)),
        Notice::TransferAbandoned { to } => format!("leaves {} behind: it needs too long a log", name(to)),
        Notice::ReceivingState { from, at } => format!("receives the state after {at:?} from {}", name(from)),
        Notice::StateInstalled { at } => format!("installed the state after {at:?}"),
        Notice::PeerRefused { from, why } => format!("refuses a message of {}: {why}", name(from)),
        Notice::BootRaised { boot } => format!("calls its life {boot}, a later one was known"),
        Notice::Unconfirmed { holder: None, .. } => {
            "is not believed: it is not reached at its address".into()
        }
        Notice::Unconfirmed { own, holder: Some(holder), .. } => {
            format!("is not believed: {holder} answers at its address, not {own}")
        }
        Notice::Believed => "is believed again".into(),
        Notice::WrongGeneration { own, current } => {
            format!("holds data of generation {own}, the current one is {current}")
        }
    }
}

fn view_service(notice: &view_service::Notice) -> String {
    use view_service::Notice;
    match notice {
        Notice::ServerSeen(ping) => {
            let data = ping.data.map_or_else(|| "no data yet".into(), |data| format!("data {data:?}"));
            format!("hears {}, life {}, {data}, log end {:?}", name(&ping.server), ping.boot, ping.log_end)
        }
        Notice::Proposed { view: new, why, .. } => format!("proposes {} ({why})", view(new)),
        Notice::Activated(new) => format!("activates {}", view(new)),
        Notice::DataLost(number) => format!("no copy of the data of {number} is left"),
        Notice::Waiting { servers, .. } => {
            let servers: Vec<&str> = servers.iter().map(name).collect();
            format!("waits for one of {}: nobody can be promoted", servers.join(" "))
        }
        Notice::DataIsBack { servers, .. } => {
            let servers: Vec<&str> = servers.iter().map(name).collect();
            format!("waits no longer: {} can be promoted", servers.join(" "))
        }
        Notice::Copies { insync, wanted, .. } => format!("counts {insync} of {wanted} copies in sync"),
        Notice::Updates { insync, copies_min, .. } => {
            format!("counts {insync} copies in sync, and the primary takes updates with {copies_min}")
        }
        Notice::OldRecord { server, told, recorded } if told == recorded => {
            format!("has an old record, to {recorded}: {} acts as primary in another {told}", name(server))
        }
        Notice::OldRecord { server, told, recorded } => {
            format!("has an old record, to {recorded}: {} was told of {told}", name(server))
        }
        Notice::LedAstray { server, obeys, current } => {
            format!("sees that {} obeys {obeys}, and not {current}", name(server))
        }
        Notice::HoldsMore { server, end, adopted } => {
            format!(
                "does not take in {}, which ends at {end:?}, beyond {adopted:?} that was adopted",
                name(server)
            )
        }
        Notice::Adopted { view: adopted, .. } => format!("adopts {}", view(adopted)),
        Notice::NotAdopted { why, .. } => format!("adopts nothing: {why}"),
        Notice::OtherHistory { server, holds, current } => {
            format!("{} holds data of generation {holds}, the current one is {current}", name(server))
        }
        Notice::Contested { server, holder, other } => {
            format!("{holder} answers at {}, but {other} pings, too", name(server))
        }
        Notice::Unreached(server) => format!("does not reach {}, which pings", name(server)),
        Notice::UnreachedEnds(server) => format!("reaches {}, or it pings no longer", name(server)),
        Notice::ImplausibleLife { server, boot } => {
            format!("does not believe {} that it lives as {boot}", name(server))
        }
        Notice::TooManyServers(server) => format!("ignores {}: too many servers", name(server)),
    }
}

fn view(view: &View) -> String {
    let mut text =
        format!("{}: primary {}, in sync {}", view.number, name(&view.primary), members(&view.insync));
    if !view.joining.is_empty() {
        text.push_str(&format!(", joining {}", members(&view.joining)));
    }
    text
}

fn members(members: &Members) -> String {
    members.keys().map(name).collect::<Vec<_>>().join(" ")
}

/// A server's name without its port.
pub fn name(server: &ServerId) -> &str {
    server.as_str().split(':').next().unwrap_or_default()
}

fn lower(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
