//! The messages on their way, for who looks at a run at a moment. What is here is only looked at: nothing
//! that is carried depends on it.
//!
//! ```text
//!            opened         at the door                             taken up
//!  caller ─────┼── latency ─────┼──── held by a fault, or not at all ───┼───► server
//!
//!            arrives            │ let go                                │ answered
//!  caller ◄────┼── latency ─────┼──── held by a fault, or not at all ───┼──── server
//! ```
//!
//! A message's latency is drawn by madsim, which does not tell it: of a message that is not held by a fault,
//! only the bounds of its arrival are known. Of a call it is known that it is made when its connection is
//! opened, and what it says when it is at the server's door. What a stream's opener says is seen at the
//! server's door, unless the system's processes tell the observer what they say
//! ([`crate::system::System::HAS_STEPS`]).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::data::node::NodeIndex;

/// When a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Not before the first and not after the second time.
    Between(Duration, Duration),
    /// At this time, unless something is in its way then.
    At(Duration),
    /// When this lets it.
    After(&'static str),
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// From this node
    pub from: NodeIndex,
    /// to this one.
    pub to: NodeIndex,
    /// What it says.
    pub text: String,
    /// When it left, as far as is known.
    pub sent: Duration,
    /// When it arrives.
    pub due: Due,
}

/// A stream of which one end was opened.
struct Stream {
    /// Its ends.
    nodes: (NodeIndex, NodeIndex),
    /// Whether it lets nothing pass any more.
    mute: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    entries: u64,
    flights: BTreeMap<u64, Flight>,
    /// What was left to the network, until it is there for certain.
    let_go: Vec<Flight>,
    streams: BTreeMap<u64, Stream>,
}

impl State {
    fn number(&mut self) -> u64 {
        self.entries += 1;
        self.entries
    }
}

/// All messages on their way, and all streams.
#[derive(Default)]
pub struct Flights(Mutex<State>);

/// Something that is on its way, or open, until this is dropped.
pub struct Entry {
    of: Arc<Flights>,
    number: u64,
}

impl Flights {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is on its way.
    pub fn begin(self: &Arc<Self>, flight: Flight) -> Entry {
        let mut state = self.state();
        let number = state.number();
        state.flights.insert(number, flight);
        Entry { of: self.clone(), number }
    }

    /// A message is left to the network, which brings it between two times.
    pub fn let_go(&self, flight: Flight) {
        let mut state = self.state();
        let now = flight.sent;
        state.let_go.retain(|flight| !flight.due.is_over(now));
        state.let_go.push(flight);
    }

    /// A stream between two nodes is open; `mute` says whether it lets nothing pass any more.
    pub fn opened(self: &Arc<Self>, nodes: (NodeIndex, NodeIndex), mute: Arc<AtomicBool>) -> Entry {
        let mut state = self.state();
        let number = state.number();
        state.streams.insert(number, Stream { nodes, mute });
        Entry { of: self.clone(), number }
    }

    /// The messages on their way at this time, in the order in which they left.
    pub fn now(&self, now: Duration) -> Vec<Flight> {
        let state = self.state();
        let let_go = state.let_go.iter().filter(|flight| !flight.due.is_over(now));
        let mut all: Vec<Flight> = state.flights.values().chain(let_go).cloned().collect();
        all.sort_by_key(|flight| flight.sent);
        all
    }

    /// The ends of the streams that let nothing pass any more.
    pub fn mute(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let state = self.state();
        let mute = state.streams.values().filter(|stream| stream.mute.load(Ordering::Relaxed));
        mute.map(|stream| stream.nodes).collect()
    }
}

impl Due {
    /// Whether the network has brought it for certain.
    fn is_over(self, now: Duration) -> bool {
        matches!(self, Self::Between(_, last) if last < now)
    }
}

impl Entry {
    /// What the message says is known now.
    pub fn says(&self, text: String) {
        if let Some(flight) = self.of.state().flights.get_mut(&self.number) {
            flight.text = text;
        }
    }

    /// When it arrives is known now.
    pub fn arrives(&self, due: Due) {
        if let Some(flight) = self.of.state().flights.get_mut(&self.number) {
            flight.due = due;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.flights.remove(&self.number);
        state.streams.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn flight(text: &str, sent: Duration, due: Due) -> Flight {
        Flight { from: 0, to: 1, text: text.into(), sent, due }
    }

    fn texts(flights: &Flights, now: Duration) -> Vec<String> {
        flights.now(now).into_iter().map(|flight| flight.text).collect()
    }

    #[test]
    fn a_message_is_on_its_way_until_it_is_dropped_and_one_let_go_until_its_latency_is_over() {
        let flights = Arc::new(Flights::default());
        let call = flights.begin(flight("a call", 2 * MS, Due::Between(3 * MS, 4 * MS)));
        flights.let_go(flight("answer", MS, Due::Between(2 * MS, 5 * MS)));
        assert_eq!(texts(&flights, 5 * MS), ["answer", "a call"]);
        assert_eq!(texts(&flights, 6 * MS), ["a call"], "it waits at a process that stands still");
        call.says("put".into());
        call.arrives(Due::At(9 * MS));
        assert_eq!(flights.now(6 * MS), [flight("put", 2 * MS, Due::At(9 * MS))]);
        drop(call);
        assert_eq!(texts(&flights, 3 * MS), ["answer"]);
    }

    #[test]
    fn a_stream_is_mute_when_it_says_so_and_until_it_ends() {
        let (flights, mute) = (Arc::new(Flights::default()), Arc::new(AtomicBool::new(false)));
        let stream = flights.opened((1, 2), mute.clone());
        assert_eq!(flights.mute(), []);
        mute.store(true, Ordering::Relaxed);
        assert_eq!(flights.mute(), [(1, 2)]);
        drop(stream);
        assert_eq!(flights.mute(), []);
    }
}
