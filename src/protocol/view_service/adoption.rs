//! The record is lost, and servers still hold the data: an operator names the server whose data goes on
//! (VS-ADOPT).
//!
//! A view service that adopts begins without a record, and for [`LISTEN_DEAD_INTERVALS`] it only listens. Who
//! holds data is told what any view service without a record tells it (VS-PING 1): it has another history. So
//! a primary of the lost history gives up its role, and from then on completes nothing that was not heard
//! here. Then the named server's data goes on, as the only stable copy, in a view above all that was heard of
//! its generation; or it is said why not.
//!
//! Why the longest log of the latest view is enough: whatever was committed is in the log of every stable
//! replica, and so is whatever precedes it. A log whose end is at least that of one of them holds it, too
//! (I2, I4). So one stable replica must have been heard. Which servers were stable nobody knows any more: an
//! operator must see to it that every server that still holds data runs and is heard, and that a primary that
//! is not heard is stopped. A server that comes later and holds more than the adopted one did is not taken in
//! ([`Adopted`]): what it holds would be overwritten.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::{Effect, Notice, VIEWS_LEFT_OUT_MAX, ViewService, servers::Servers, strangers::Strangers};
use crate::protocol::{
    identity::{Boot, DataId, Generation, Position, ServerId, ViewNumber},
    message::Ping,
    options::ViewServiceOptions,
    view::{Adopted, Members, Record, View},
    view_service::SealKey,
};

/// A view service that adopts listens for so many dead intervals: long enough that every server connects, is
/// probed, is told to give up its role, and is heard again.
pub const LISTEN_DEAD_INTERVALS: u32 = 4;

/// So far above all that was heard of its generation at least is the number of the view that goes on: a
/// server that was away may know later views, and each start of a view service leaves out up to 65,535
/// numbers. It is further up by the epoch, so that two services that adopt without hearing of each other
/// hardly give the same number.
pub const VIEW_MARGIN: u64 = 1 << 19;

/// No cluster comes to a later view by itself: with one a microsecond that takes a century.
pub const VIEW_HEARD_MAX: u64 = 1 << 51;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Adopt {
    /// The server whose data goes on.
    pub server: ServerId,
    /// Also if another server holds more, belongs to a later generation, still acts as primary or is not
    /// reached.
    pub anyway: bool,
}

/// A server that was heard by a view service that adopts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeardServer {
    /// Its latest life.
    pub boot: Boot,
    /// What it holds; none if it was not accepted by any view service yet.
    pub data: Option<DataId>,
    /// The history of that.
    pub generation: Generation,
    /// The latest view that it adopted.
    pub view_known: ViewNumber,
    /// The end of its log.
    pub log_end: Position,
    /// It still acted as primary when it was heard last.
    pub is_primary: bool,
    last_ping: Duration,
}

impl HeardServer {
    fn holds_operations(&self) -> bool {
        self.data.is_some() && self.log_end.op.0 > 0
    }
}

/// All servers that were heard.
pub type Heard = BTreeMap<ServerId, HeardServer>;

/// Why a server's data does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NotAdopted {
    /// No server was heard at all.
    NobodyHeard,
    /// The named one was not heard, or not any more.
    NotHeard(ServerId),
    /// It holds no operation.
    HoldsNothing(ServerId),
    /// This one holds data of a generation that followed.
    LaterGeneration(ServerId),
    /// This one has a longer log, or one of a later view.
    HoldsMore(ServerId),
    /// This one still acts as primary: it hears nothing of what it is told.
    ActsAsPrimary(ServerId),
    /// This one pings and is not reached at the address that it advertises: nobody knows what it holds, and
    /// if it is primary it does not give that up.
    NotReached(ServerId),
    /// This one claims a view whose number would leave none for the views after it.
    ImplausibleView(ServerId),
}

impl fmt::Display for NotAdopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyHeard => write!(
                f,
                "no server was heard. Start this service at the address that the servers know (their --vs), and see that \
                 it reaches them at the addresses they advertise"
            ),
            Self::NotHeard(server) => write!(
                f,
                "{server} was not heard. Name a server by the address that it advertises, and see that it runs"
            ),
            Self::HoldsNothing(server) => write!(f, "{server} holds no data. Name a server that does"),
            Self::LaterGeneration(better) => write!(
                f,
                "{better} holds data of a later generation. Adopt that server, or add --adopt-anyway to give its data up"
            ),
            Self::HoldsMore(better) => write!(
                f,
                "{better} has a longer log or one of a later view. Adopt that server, or add --adopt-anyway to give up what \
                 only it holds"
            ),
            Self::ActsAsPrimary(other) => write!(
                f,
                "{other} still acts as primary and does not hear this service. Stop it or adopt it; with --adopt-anyway \
                 what it acknowledges from now on is lost"
            ),
            Self::NotReached(other) => write!(
                f,
                "{other} pings, and is not reached at that address, which it advertises: it may hold more, and if it is \
                 primary it goes on. See that this service reaches it or stop it; with --adopt-anyway what only it \
                 holds is lost"
            ),
            Self::ImplausibleView(server) => write!(
                f,
                "{server} claims a view whose number leaves none for later ones. No server counts so far: stop it, it is not \
                 one of this cluster or is damaged"
            ),
        }
    }
}

/// A view service that listens before it adopts.
#[derive(Clone, Debug, Hash)]
pub(super) struct Adoption {
    wanted: Adopt,
    heard: Heard,
    /// Servers whose pings are not believed, perhaps not yet (VS-PROBE), and when they pinged last.
    unreached: BTreeMap<ServerId, Duration>,
    /// It was decided, and refused.
    refused: bool,
}

impl Adoption {
    pub(super) fn new(wanted: Adopt) -> Self {
        Self { wanted, heard: Heard::new(), unreached: BTreeMap::new(), refused: false }
    }

    /// The server whose data is to go on, if that is not decided.
    pub(super) fn awaited(&self) -> Option<&ServerId> {
        (!self.refused).then_some(&self.wanted.server)
    }

    /// Takes note of a ping that is not believed.
    pub(super) fn hear_unreached(&mut self, now: Duration, server: &ServerId, servers_max: usize) {
        if self.unreached.len() < servers_max || self.unreached.contains_key(server) {
            self.unreached.insert(server.clone(), now);
        }
    }

    /// Takes note of a ping that is believed.
    pub(super) fn hear(&mut self, now: Duration, ping: &Ping, servers_max: usize) {
        let known = self.heard.get(&ping.server);
        let is_late = known.is_some_and(|known| ping.boot < known.boot);
        if is_late || (known.is_none() && self.heard.len() >= servers_max) {
            return;
        }
        let heard = HeardServer {
            boot: ping.boot,
            data: ping.data,
            generation: ping.generation,
            view_known: ping.view_known,
            log_end: ping.log_end,
            is_primary: !ping.confirmed.is_empty(),
            last_ping: now,
        };
        self.heard.insert(ping.server.clone(), heard);
    }

    /// The view with which the named server's data goes on, and the end of that data; not if what others hold
    /// may be given up.
    fn decide(&self, now: Duration, dead_after: Duration, epoch: u64) -> Result<(View, Adopted), NotAdopted> {
        let Adopt { server, anyway } = &self.wanted;
        if self.heard.is_empty() {
            return Err(NotAdopted::NobodyHeard);
        }
        let named = self.heard.get(server).filter(|named| now < named.last_ping + dead_after);
        let named = named.ok_or_else(|| NotAdopted::NotHeard(server.clone()))?;
        let Some(data) = named.data.filter(|_| named.holds_operations()) else {
            return Err(NotAdopted::HoldsNothing(server.clone()));
        };
        if !anyway {
            self.check_others(server, named, |last_ping| now < last_ping + dead_after)?;
        }
        let same = self.heard.iter().filter(|(_, heard)| heard.generation == named.generation);
        let (told_by, latest) =
            same.max_by_key(|(_, heard)| heard.view_known).expect("the named one is heard");
        if latest.view_known.0 > VIEW_HEARD_MAX {
            return Err(NotAdopted::ImplausibleView(told_by.clone()));
        }
        let view = View {
            generation: named.generation,
            number: ViewNumber(latest.view_known.0 + VIEW_MARGIN + epoch % VIEWS_LEFT_OUT_MAX),
            primary: server.clone(),
            primary_boot: named.boot,
            insync: Members::from([(server.clone(), data)]),
            joining: Members::new(),
            activated: true, // its replicas are the stable ones
        };
        let adopted = Adopted { view: view.number, end: named.log_end };
        Ok((view, adopted))
    }

    fn check_others(
        &self,
        server: &ServerId,
        named: &HeardServer,
        is_recent: impl Fn(Duration) -> bool,
    ) -> Result<(), NotAdopted> {
        let others =
            || self.heard.iter().filter(|(other, heard)| *other != server && heard.holds_operations());
        if let Some((later, _)) = others().find(|(_, it)| it.generation.is_later_than(named.generation)) {
            return Err(NotAdopted::LaterGeneration(later.clone()));
        }
        let same = || others().filter(|(_, heard)| heard.generation == named.generation);
        let longest = same().max_by_key(|(_, heard)| heard.log_end);
        if let Some((better, _)) = longest.filter(|(_, heard)| heard.log_end > named.log_end) {
            return Err(NotAdopted::HoldsMore(better.clone()));
        }
        if let Some((other, _)) = same().find(|(_, heard)| heard.is_primary) {
            return Err(NotAdopted::ActsAsPrimary(other.clone()));
        }
        let is_there = |(other, last_ping): &(&ServerId, &Duration)| {
            is_recent(**last_ping) && !self.heard.contains_key(*other)
        };
        match self.unreached.iter().find(is_there) {
            Some((other, _)) => Err(NotAdopted::NotReached(other.clone())),
            None => Ok(()),
        }
    }
}

impl ViewService {
    /// Starts a life without a record, in which the data of one server is to go on (VS-ADOPT). The other
    /// parameters are those of [`ViewService::new`].
    pub fn adopting(
        options: ViewServiceOptions,
        wanted: Adopt,
        epoch: u64,
        key: SealKey,
        now: Duration,
    ) -> Self {
        let mut service = Self::new(options, Record::default(), epoch, key, now);
        service.adoption = Some(Adoption::new(wanted));
        service
    }

    /// VS-ADOPT: whether it is over is looked at instead of any other policy.
    pub(super) fn run_adoption(&mut self, effects: &mut Vec<Effect>) {
        let (now, dead_after) = (self.presence.now(), self.options.dead_after);
        let Some(adoption) = &mut self.adoption else { return };
        if adoption.refused || now < self.started_at + LISTEN_DEAD_INTERVALS * dead_after {
            return;
        }
        match adoption.decide(now, dead_after, self.epoch) {
            Err(why) => {
                adoption.refused = true;
                effects.push(Effect::Notice(Notice::NotAdopted { why, heard: adoption.heard.clone() }));
            }
            Ok((view, adopted)) => {
                let heard = std::mem::take(&mut adoption.heard);
                self.adoption = None;
                let notice = Notice::Adopted { view: view.clone(), heard };
                let record = Record {
                    generation: view.generation,
                    number: view.number,
                    stable: view.insync.clone(),
                    view: Some(view),
                    adopted: Some(adopted),
                    ..self.record.clone()
                };
                // From here on it is as if the service had started with this record just now.
                self.servers = Servers::after_restart(&record, now, Duration::ZERO);
                self.strangers = Strangers::default();
                self.started_at = now;
                self.listens_until = now + self.promised;
                self.write(record, effects);
                self.unsaid.notice(self.written, notice); // V-c
            }
        }
    }
}
