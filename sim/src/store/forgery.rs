//! A message as a liar sends it who heard a genuine one: the same with something false in it.
//!
//! Anybody who reaches a port can say anything. [`pbkv::protocol::message`] says what each claim can do at
//! worst. Here are those after which nobody else may get a wrong answer, and the service has to return by
//! itself:
//!
//! | message | what is false |
//! | --- | --- |
//! | any of a replica or its primary | the contents or the generation that it is about; a number that the wire refuses |
//! | operations | a view that nobody proposed, or an older one; another sender; a predecessor that is not in the log |
//! | a state | the same; a session that is named twice, the genuine one last; a part of another transfer, or out of order |
//! | their acknowledgements | another view; a later view that nobody proposed; where logs differ; an older heartbeat, or one that was never sent; the part that is wanted |
//! | a ping | any number, under a seal that no view service made |
//! | a probe | its token |
//! | any | nothing: it is one that a former life of its sender said ([`Earlier`]) |
//!
//! Not here, because data may be lost or an old value read by it, as that table says: a state or operations
//! that never were, told with the contents' identity in the current view; and acknowledgements of what is not
//! held, or of a heartbeat that was sent and not heard.

use pbkv::{
    protocol::message::VIEW_LEAP_MAX,
    wire::{
        DataId, ForwardAck, ForwardUpdate, Generation, PingRequest, Position, PrimaryMessage, ProbeRequest,
        ReplicaMessage, StateItem, SyncAck, SyncState, forward_ack, primary_message, replica_message,
        state_item, sync_ack,
    },
};
use testbed::{
    data::{
        hash::{below, stable_hash},
        node::NodeIndex,
    },
    world::{encoding::duplicate, simulated::Liar},
};
use tonic::codegen::BoxMessage;

use crate::store::wire::TYPES;

/// The largest number that the wire takes.
const NUMBER_MAX: u64 = u64::MAX / 4;

/// Who is named as a sender that there is not.
const NOBODY: &str = "nobody:9";

/// One lie of so many is what a former life said, if a liar heard that.
const REPEATS_ONE_IN: u64 = 4;

/// So many messages of each pair a liar keeps, the first of each life.
const KEPT_MAX: usize = 4;

/// What liars heard, to be said again when the life that said it is over.
#[derive(Default)]
pub struct Earlier(Vec<Heard>);

struct Heard {
    /// From whom, in which life, to whom.
    way: (NodeIndex, u64, NodeIndex),
    message: BoxMessage,
}

impl Liar for Earlier {
    /// What a liar says that hears this message, of this life of its sender: one like it of a former life, or
    /// a forgery.
    fn lie(
        &mut self,
        (from, life, to): (NodeIndex, u64, NodeIndex),
        message: &BoxMessage,
        hash: u64,
    ) -> Option<BoxMessage> {
        let kind = |message: &BoxMessage| (**message).type_id();
        let of_pair = |heard: &&Heard| {
            (heard.way.0, heard.way.2) == (from, to) && kind(&heard.message) == kind(message)
        };
        let former: Vec<_> = self.0.iter().filter(of_pair).filter(|heard| heard.way.1 < life).collect();
        if !former.is_empty() && stable_hash(&(hash, "repeats")).is_multiple_of(REPEATS_ONE_IN) {
            let place = below(stable_hash(&(hash, "which")), former.len() as u64) as usize;
            return Some(duplicate(TYPES, &former[place].message));
        }
        if self.0.iter().filter(of_pair).filter(|heard| heard.way.1 == life).count() < KEPT_MAX {
            self.0.push(Heard { way: (from, life, to), message: duplicate(TYPES, message) });
        }
        forge(message, hash)
    }
}

/// What a liar makes of a message, if there is anything that it could gain.
fn forge(message: &BoxMessage, hash: u64) -> Option<BoxMessage> {
    let mut lie = Lie { hash };
    if let Some(PrimaryMessage { body: Some(body) }) = message.downcast_ref() {
        let body = match body.clone() {
            primary_message::Body::Forward(append) => primary_message::Body::Forward(lie.append(append)),
            primary_message::Body::Sync(part) => primary_message::Body::Sync(lie.part(part)),
        };
        return Some(Box::new(PrimaryMessage { body: Some(body) }));
    }
    if let Some(ReplicaMessage { body: Some(body) }) = message.downcast_ref() {
        let body = match body.clone() {
            replica_message::Body::Forward(ack) => replica_message::Body::Forward(lie.ack(ack)),
            replica_message::Body::Sync(ack) => replica_message::Body::Sync(lie.part_ack(ack)),
        };
        return Some(Box::new(ReplicaMessage { body: Some(body) }));
    }
    if let Some(ProbeRequest { token: Some(token), view }) = message.downcast_ref() {
        let (mut token, mut view) = (*token, *view);
        lie.one_of(&mut [&mut token.at_ns, &mut token.seal, &mut view]);
        return Some(Box::new(ProbeRequest { token: Some(token), view }));
    }
    let ping = message.downcast_ref::<PingRequest>()?;
    Some(Box::new(lie.ping(ping.clone())))
}

/// Where a lie's chances come from.
struct Lie {
    hash: u64,
}

impl Lie {
    fn below(&mut self, count: u64) -> u64 {
        self.hash = stable_hash(&self.hash);
        below(self.hash, count)
    }

    /// Another number: at an extreme, or next to the honest one.
    fn number(&mut self, honest: u64) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            2 => NUMBER_MAX,
            3 => NUMBER_MAX + 1,
            4 => u64::MAX - 1,
            5 => u64::MAX,
            6 => honest.wrapping_sub(1),
            _ => honest.wrapping_add(1),
        }
    }

    /// One of these numbers becomes another one.
    fn one_of(&mut self, numbers: &mut [&mut u64]) {
        let place = self.below(numbers.len() as u64) as usize;
        *numbers[place] = self.number(*numbers[place]);
    }

    /// A number that is larger by one, by much, or by as much as can be said.
    fn beyond(&mut self, number: u64) -> u64 {
        match self.below(4) {
            0 => number + 1,
            1 => NUMBER_MAX,
            _ => number + 1 + self.below(VIEW_LEAP_MAX - 1),
        }
    }

    /// A view that is over, if the wire takes it.
    fn before(&mut self, view: u64) -> u64 {
        self.below(view.max(1))
    }

    /// Other contents, or those of another history.
    fn elsewhere(&mut self, data: &mut Option<DataId>, generation: Option<&mut Generation>) {
        let mut numbers = Vec::new();
        numbers.extend(data.iter_mut().flat_map(|data| [&mut data.boot, &mut data.nonce]));
        numbers.extend(generation.into_iter().flat_map(|of| [&mut of.number, &mut of.nonce]));
        let place = self.below(numbers.len().max(1) as u64) as usize;
        if let Some(number) = numbers.get_mut(place) {
            let honest = **number;
            **number = Some(self.number(honest)).filter(|other| *other != honest).unwrap_or(honest ^ 1);
        }
    }

    fn append(&mut self, mut append: ForwardUpdate) -> ForwardUpdate {
        match self.below(5) {
            0 => {
                append.view = self.beyond(append.view);
                append.entries.clear();
            }
            1 => append.view = self.before(append.view),
            2 => self.elsewhere(&mut append.to_data, append.generation.as_mut()),
            3 => NOBODY.clone_into(&mut append.from),
            _ => {
                append.entries.clear();
                let previous = append.previous.get_or_insert_with(Position::default);
                previous.op = self.number(previous.op);
            }
        }
        append
    }

    fn part(&mut self, mut part: SyncState) -> SyncState {
        match self.below(6) {
            0 => {
                part.view = self.beyond(part.view);
                part.items.clear();
                part.last = false;
            }
            1 => part.view = self.before(part.view),
            2 => self.elsewhere(&mut part.to_data, part.generation.as_mut()),
            3 => NOBODY.clone_into(&mut part.from),
            4 => {
                part.last = false;
                match &mut part.transfer {
                    Some(transfer) => {
                        self.one_of(&mut [&mut part.part, &mut transfer.number, &mut transfer.view])
                    }
                    None => part.part = self.number(part.part),
                }
            }
            _ => part.items = self.named_twice(&part.items),
        }
        part
    }

    /// Sessions that are named twice, first as they are not.
    fn named_twice(&mut self, items: &[StateItem]) -> Vec<StateItem> {
        let mut named = Vec::with_capacity(2 * items.len());
        for item in items {
            if let Some(state_item::Item::Session(session)) = &item.item {
                let mut other = session.clone();
                other.last_outcome = None;
                other.last_request = 0;
                other.active_at_ns = self.below(other.active_at_ns.max(1));
                named.push(StateItem { item: Some(state_item::Item::Session(other)) });
            }
            named.push(item.clone());
        }
        named
    }

    fn ack(&mut self, mut ack: ForwardAck) -> ForwardAck {
        match self.below(5) {
            0 | 1 => ack.result = Some(forward_ack::Result::StaleViewSeen(self.beyond(ack.view))),
            2 => self.elsewhere(&mut ack.data, None),
            3 => {
                // That a round was heard that was sent is not claimed: reads are answered for that.
                let op = match ack.result {
                    Some(forward_ack::Result::Match(op) | forward_ack::Result::MismatchHint(op)) => op,
                    _ => ack.view,
                };
                ack.result = Some(forward_ack::Result::MismatchHint(self.number(op)));
                ack.round = match self.below(4) {
                    0 => u64::MAX, // it was never sent
                    back => ack.round.saturating_sub(back - 1),
                };
            }
            _ => ack.view = if self.below(2) == 0 { self.before(ack.view) } else { self.beyond(ack.view) },
        }
        ack
    }

    fn part_ack(&mut self, mut ack: SyncAck) -> SyncAck {
        match self.below(4) {
            0 => ack.result = Some(sync_ack::Result::StaleViewSeen(self.beyond(ack.view))),
            1 => self.elsewhere(&mut ack.data, None),
            2 => ack.view = if self.below(2) == 0 { self.before(ack.view) } else { self.beyond(ack.view) },
            _ => {
                if let (Some(transfer), Some(sync_ack::Result::NextPart(part))) =
                    (&mut ack.transfer, &mut ack.result)
                {
                    self.one_of(&mut [part, &mut transfer.number, &mut transfer.view]);
                }
            }
        }
        ack
    }

    fn ping(&mut self, mut ping: PingRequest) -> PingRequest {
        if self.below(2) == 0 {
            ping.boot = self.beyond(ping.boot);
            ping.number = NUMBER_MAX;
        } else {
            let mut end = ping.log_end.unwrap_or_default();
            let mut numbers = [
                &mut ping.boot,
                &mut ping.view_known,
                &mut ping.view_told,
                &mut end.view,
                &mut end.op,
                &mut ping.progress,
                &mut ping.number,
            ];
            self.one_of(&mut numbers);
            ping.log_end = Some(end);
        }
        if let Some(token) = &mut ping.token {
            token.seal ^= 1;
        }
        ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forgeries<M: Clone + Send + Sync + 'static>(message: &M) -> Vec<M> {
        let boxed: BoxMessage = Box::new(message.clone());
        let forged = (0..200).filter_map(|hash| forge(&boxed, stable_hash(&hash)));
        forged.filter_map(|forged| forged.downcast_ref::<M>().cloned()).collect()
    }

    #[test]
    fn a_forged_ping_has_no_genuine_seal_and_a_forged_probe_another_token() {
        use pbkv::wire::Token;
        let token = Some(Token { at_ns: 7, seal: 8 });
        let ping = PingRequest { server: "s1:8001".into(), boot: 5, token, ..PingRequest::default() };
        let forged = forgeries(&ping);
        assert_eq!(forged.len(), 200);
        assert!(forged.iter().all(|it| it.token != token && it.server == ping.server));
        assert!(forgeries(&ProbeRequest { token, view: 3 }).iter().any(|it| it.token != token));
    }

    #[test]
    fn what_is_acknowledged_in_the_current_view_for_the_genuine_contents_is_never_more_than_was() {
        let data = Some(DataId { boot: 3, nonce: 4 });
        let honest = forward_ack::Result::Match(9);
        let ack = ForwardAck { view: 6, from: "s1:8001".into(), data, round: 2, result: Some(honest) };
        let message = ReplicaMessage { body: Some(replica_message::Body::Forward(ack.clone())) };
        for forged in forgeries(&message) {
            let Some(replica_message::Body::Forward(it)) = forged.body else { panic!("another message") };
            let claims = matches!(it.result, Some(forward_ack::Result::Match(_)));
            assert!(!claims || it.view != ack.view || it.data != ack.data, "{it:?}");
        }
    }

    #[test]
    fn where_logs_differ_is_said_near_the_operation_and_for_no_heartbeat_that_may_be_sent() {
        let honest = forward_ack::Result::Match(900);
        let ack = ForwardAck { view: 6, round: 7, result: Some(honest), ..ForwardAck::default() };
        let message = ReplicaMessage { body: Some(replica_message::Body::Forward(ack)) };
        let mut hints = Vec::new();
        for forged in forgeries(&message) {
            let Some(replica_message::Body::Forward(it)) = forged.body else { panic!("another message") };
            assert!(it.round <= 7 || it.round == u64::MAX);
            hints.extend(match it.result {
                Some(forward_ack::Result::MismatchHint(hint)) => Some(hint),
                _ => None,
            });
        }
        assert!(hints.contains(&899) && hints.contains(&901), "{hints:?}");
    }

    #[test]
    fn what_a_former_life_said_is_said_again_to_the_same_server() {
        let mut earlier = Earlier::default();
        let ping = |boot| -> BoxMessage { Box::new(PingRequest { boot, ..PingRequest::default() }) };
        let mut repeated = |from, life, boot| {
            let lies = (0..40).filter_map(|hash| earlier.lie((from, life, 0), &ping(boot), hash));
            let genuine = |lie: &BoxMessage| {
                lie.downcast_ref() == Some(&PingRequest { boot: 700, ..PingRequest::default() })
            };
            lies.filter(genuine).count()
        };
        assert_eq!(repeated(1, 0, 700), 0, "the life is not over");
        assert_eq!(repeated(2, 1, 900), 0, "that is another server");
        assert!(repeated(1, 1, 900) > 3);
    }

    #[test]
    fn of_a_session_that_is_named_twice_the_genuine_one_is_the_last() {
        let session = state_item::SessionEntry {
            id: 1,
            last_request: 0,
            last_outcome: None,
            active_at_ns: 900,
            ttl_ns: 60,
        };
        let genuine = StateItem { item: Some(state_item::Item::Session(session)) };
        let named = Lie { hash: 1 }.named_twice(std::slice::from_ref(&genuine));
        assert_eq!((named.len(), &named[1]), (2, &genuine));
        assert_ne!(named[0], genuine);
    }
}
