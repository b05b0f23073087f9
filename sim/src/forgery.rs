//! A message as a liar sends it who heard a genuine one: the same with one field at an extreme.
//!
//! Anybody who reaches a port can say anything. [`pbkv::protocol::message`] says what each claim can do at worst; here are
//! those after which the service has to return by itself: a view that nobody proposed, told to a replica or to its
//! primary, and a life of another server.

use pbkv::{
    protocol::message::VIEW_LEAP_MAX,
    wire::{PingRequest, PrimaryMessage, ReplicaMessage, forward_ack, primary_message, replica_message},
};
use tonic::codegen::BoxMessage;

use crate::trace::{below, stable_hash};

/// The largest number that the wire takes.
const NUMBER_MAX: u64 = u64::MAX / 4;

/// What a liar makes of a message, if there is anything that it could gain.
pub(crate) fn forge(message: &BoxMessage, hash: u64) -> Option<BoxMessage> {
    if let Some(PrimaryMessage { body: Some(primary_message::Body::Forward(append)) }) =
        message.downcast_ref()
    {
        let mut append = append.clone();
        append.view = beyond(append.view, hash);
        append.entries.clear();
        return Some(Box::new(PrimaryMessage { body: Some(primary_message::Body::Forward(append)) }));
    }
    if let Some(ReplicaMessage { body: Some(replica_message::Body::Forward(ack)) }) = message.downcast_ref() {
        let mut ack = ack.clone();
        ack.result = Some(forward_ack::Result::StaleViewSeen(beyond(ack.view, hash)));
        return Some(Box::new(ReplicaMessage { body: Some(replica_message::Body::Forward(ack)) }));
    }
    let ping = message.downcast_ref::<PingRequest>()?;
    let mut ping = ping.clone();
    ping.boot = beyond(ping.boot, hash);
    ping.number = NUMBER_MAX;
    if let Some(token) = &mut ping.token {
        token.seal ^= 1;
    }
    Some(Box::new(ping))
}

/// A number that is larger by one, by much, or by as much as can be said.
fn beyond(number: u64, hash: u64) -> u64 {
    match below(hash, 4) {
        0 => number + 1,
        1 => NUMBER_MAX,
        _ => number + 1 + below(stable_hash(&hash), VIEW_LEAP_MAX - 1),
    }
}
