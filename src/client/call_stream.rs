//! One stream of calls to a server, shared by all clients of a connection.
//!
//! ```text
//!  clients ──► queue ──► stream ──────────► server        what is queued at a time travels together
//!  clients ◄── answers ◄─────────── stream ◄─ server
//! ```
//!
//! A call that is given up while it is queued is never sent. When the stream ends, all that wait are told
//! why.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use futures::stream;
use prost::Message;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, Status};

use crate::{
    channel,
    process::Watched,
    proto::{kv, not_executed, proves_not_executed},
    wire::{self, answer, call, kv_stream_client::KvStreamClient},
};

/// So many callers are told their answers at a time.
const ANSWERED_MAX: usize = 16;

/// A stream of calls. Ends when dropped.
#[derive(Debug)]
pub(super) struct CallStream {
    queue: Arc<Queue>,
    running: JoinHandle<()>,
}

impl CallStream {
    /// Opens a stream on a connection, on which so many bytes of calls travel together. Calls can be queued
    /// at once.
    pub fn open(client: KvStreamClient<Watched>, bytes_max: usize) -> Self {
        let queue = Arc::new(Queue { state: Mutex::default(), bytes_max });
        let running = tokio::spawn(run(client, queue.clone()));
        Self { queue, running }
    }

    /// Whether it takes no more calls.
    pub fn is_over(&self) -> bool {
        self.queue.state().over.is_some()
    }

    /// Whether it is over because the server knows no streams of calls.
    pub fn is_unknown(&self) -> bool {
        self.queue.state().is_unknown
    }

    /// Makes a call. `unsent` is set if the future is dropped before it was sent: then it never will be.
    ///
    /// # Errors
    ///
    /// What was asked, if it is too long to travel together with others.
    pub fn call<'a>(
        &self,
        request: call::Request,
        unsent: &'a AtomicBool,
    ) -> Result<impl Future<Output = Result<answer::Result, Status>> + use<'a>, Box<call::Request>> {
        let (tell, told) = oneshot::channel();
        let id = self.queue.push(request, tell)?;
        let calling = Calling { queue: self.queue.clone(), id, unsent };
        Ok(async move {
            let _calling = calling;
            told.await.unwrap_or_else(|_| Err(Status::unavailable("the stream of calls ended")))
        })
    }
}

impl Drop for CallStream {
    fn drop(&mut self) {
        self.queue.close();
        self.running.abort();
    }
}

/// A call that may be given up.
struct Calling<'a> {
    queue: Arc<Queue>,
    id: u64,
    unsent: &'a AtomicBool,
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        if self.queue.withdraw(self.id) {
            self.unsent.store(true, Ordering::Relaxed);
        }
    }
}

/// Carries calls and answers until the stream ends.
async fn run(mut client: KvStreamClient<Watched>, queue: Arc<Queue>) {
    let calls = {
        let queue = queue.clone();
        stream::poll_fn(move |context| queue.poll_calls(context))
    };
    let ended = async {
        let opened = client.open(calls).await.inspect_err(|status| {
            queue.state().is_unknown = status.code() == Code::Unimplemented;
        });
        let mut answers = opened?.into_inner();
        while let Some(wire::Answers { answers }) = answers.message().await? {
            let mut answers = answers.into_iter().peekable();
            while answers.peek().is_some() {
                queue.answer(answers.by_ref().take(ANSWERED_MAX));
                // What they ask next can leave while others are told.
                channel::give_way().await;
            }
        }
        Err::<(), Status>(Status::unavailable("the server ended the stream of calls"))
    };
    if let Err(status) = ended.await {
        queue.end(&status);
    }
}

type Answered = oneshot::Sender<Result<answer::Result, Status>>;

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    /// Bytes of calls that travel together.
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    /// The last call's id.
    last: u64,
    /// Calls that are not sent yet, in the order of their ids, with their lengths in bytes.
    queued: VecDeque<(wire::Call, usize)>,
    /// Who waits for an answer, to whichever call.
    waiting: BTreeMap<u64, Answered>,
    /// Sends what is queued.
    sender: Option<Waker>,
    /// What is ready at the same time had its turn to be queued, too.
    has_gathered: bool,
    /// Why the stream ended.
    over: Option<Status>,
    /// The server knows no streams of calls.
    is_unknown: bool,
    /// Nobody uses it any more: it is to end.
    is_closed: bool,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a call and returns its id; or gives it back if it is too long.
    fn push(&self, request: call::Request, answered: Answered) -> Result<u64, Box<call::Request>> {
        let mut state = self.state();
        let id = state.last + 1;
        let call = wire::Call { id, request: Some(request) };
        let bytes = kv::item_bytes(call.encoded_len());
        if bytes > self.bytes_max {
            return Err(Box::new(call.request.expect("just given")));
        }
        state.last = id;
        if let Some(status) = &state.over {
            // It waits for that.
            let _ = answered.send(Err(unsent(status)));
            return Ok(id);
        }
        state.queued.push_back((call, bytes));
        state.waiting.insert(id, answered);
        let sender = state.sender.take();
        drop(state);
        sender.into_iter().for_each(Waker::wake);
        Ok(id)
    }

    /// Nobody waits for a call any more. Says whether it was not sent; then it never will be.
    fn withdraw(&self, id: u64) -> bool {
        let mut state = self.state();
        state.waiting.remove(&id);
        let place = state.queued.binary_search_by_key(&id, |(call, _)| call.id);
        place.is_ok_and(|place| state.queued.remove(place).is_some())
    }

    /// The next calls that travel together.
    fn poll_calls(&self, context: &mut Context<'_>) -> Poll<Option<wire::Calls>> {
        let mut state = self.state();
        if state.is_closed || state.over.is_some() {
            return Poll::Ready(None); // else the transport would keep the connection for ever
        }
        if state.queued.is_empty() {
            state.has_gathered = false;
            state.sender = Some(context.waker().clone());
            return Poll::Pending;
        }
        if !mem::replace(&mut state.has_gathered, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (mut calls, mut bytes) = (Vec::with_capacity(state.queued.len()), 0);
        while let Some((_, own)) = state.queued.front()
            && bytes + own <= self.bytes_max
        {
            bytes += own;
            calls.extend(state.queued.pop_front().map(|(call, _)| call));
        }
        state.has_gathered = !state.queued.is_empty(); // they waited long enough
        Poll::Ready(Some(wire::Calls { calls }))
    }

    /// Gives answers to those who wait for them.
    fn answer(&self, answers: impl Iterator<Item = wire::Answer>) {
        let mut state = self.state();
        let answered: Vec<_> =
            answers.filter_map(|answer| Some((state.waiting.remove(&answer.id)?, answer.result))).collect();
        drop(state);
        for (waits, result) in answered {
            // One that left needs no answer.
            let _ = waits.send(match result {
                Some(answer::Result::Failure(failure)) => Err(kv::status(failure)),
                Some(result) => Ok(result),
                None => Err(Status::unknown("an answer of a kind that this client does not know")),
            });
        }
    }

    /// Ends what is sent.
    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let sender = state.sender.take();
        drop(state);
        sender.into_iter().for_each(Waker::wake);
    }

    /// The stream ended: all who wait are told.
    fn end(&self, status: &Status) {
        let mut state = self.state();
        state.over = Some(status.clone());
        state.sender.take().into_iter().for_each(Waker::wake);
        let queued: Vec<u64> = state.queued.drain(..).map(|(call, _)| call.id).collect();
        for (id, waits) in mem::take(&mut state.waiting) {
            let status = if queued.binary_search(&id).is_ok() { unsent(status) } else { broken(status) };
            // One that left needs no answer.
            let _ = waits.send(Err(status));
        }
    }
}

/// What a call ends with that was sent on a stream that ended so. What a stream is told is not about one of
/// its calls, but whether none was executed.
fn broken(status: &Status) -> Status {
    if proves_not_executed(status) { status.clone() } else { Status::unavailable(channel::cause(status)) }
}

/// And one that was not.
fn unsent(status: &Status) -> Status {
    not_executed(broken(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker;

    const BYTES_MAX: usize = 100;

    fn queue() -> Queue {
        Queue { state: Mutex::default(), bytes_max: BYTES_MAX }
    }

    fn get(bytes: usize) -> call::Request {
        call::Request::Get(wire::GetRequest { key: vec![1; bytes].into(), generation: None })
    }

    /// The ids of the calls that are sent next.
    fn sent(queue: &Queue) -> Option<Vec<u64>> {
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        for _ in 0..2 {
            // The first time it gives way to others who have something to say.
            if let Poll::Ready(calls) = queue.poll_calls(&mut context) {
                let calls = calls.expect("it does not end by itself");
                assert!(calls.encoded_len() <= BYTES_MAX);
                return Some(calls.calls.iter().map(|call| call.id).collect());
            }
        }
        None
    }

    fn push(queue: &Queue, bytes: usize) -> (u64, oneshot::Receiver<Result<answer::Result, Status>>) {
        let (tell, told) = oneshot::channel();
        (queue.push(get(bytes), tell).expect("it is short"), told)
    }

    #[test]
    fn calls_that_are_queued_travel_together_as_far_as_there_is_room() {
        let queue = queue();
        assert_eq!(sent(&queue), None);
        let _waiting: Vec<_> = (0..5).map(|_| push(&queue, 30)).collect();
        assert_eq!(
            [sent(&queue), sent(&queue), sent(&queue)],
            [Some(vec![1, 2]), Some(vec![3, 4]), Some(vec![5])]
        );
        assert_eq!(sent(&queue), None);
        let (tell, _told) = oneshot::channel();
        assert_eq!(queue.push(get(BYTES_MAX), tell), Err(Box::new(get(BYTES_MAX))), "it is to be made alone");
    }

    #[test]
    fn a_stream_that_nobody_uses_or_that_ended_sends_no_more() {
        let waker = noop_waker();
        for ends in [Queue::close as fn(&Queue), |queue| queue.end(&Status::unavailable("it broke"))] {
            let queue = queue();
            assert_eq!(sent(&queue), None);
            ends(&queue);
            assert!(matches!(queue.poll_calls(&mut Context::from_waker(&waker)), Poll::Ready(None)));
        }
    }

    #[test]
    fn an_answer_goes_to_who_asked() {
        let queue = queue();
        let ((first, mut first_told), (second, mut second_told)) = (push(&queue, 1), push(&queue, 1));
        assert_eq!(sent(&queue), Some(vec![first, second]));
        let value = |revision| answer::Result::Get(wire::GetResponse { revision, ..Default::default() });
        let answer = |id, revision| wire::Answer { id, result: Some(value(revision)) };
        queue.answer([answer(second, 2), answer(77, 3), answer(first, 1), answer(first, 4)].into_iter());
        assert_eq!(first_told.try_recv().expect("told").expect("well"), value(1));
        assert_eq!(second_told.try_recv().expect("told").expect("well"), value(2));
    }

    #[test]
    fn what_is_given_up_before_it_is_sent_is_never_sent() {
        let queue = queue();
        let ((first, _), (second, _), (third, _)) = (push(&queue, 60), push(&queue, 60), push(&queue, 60));
        assert_eq!(sent(&queue), Some(vec![first]));
        assert!(queue.withdraw(second) && !queue.withdraw(first));
        assert_eq!(sent(&queue), Some(vec![third]));
        assert!(!queue.withdraw(third) && queue.state().waiting.is_empty());
    }

    #[test]
    fn the_end_of_a_stream_proves_something_only_of_what_was_not_sent() {
        let refused = not_executed(Status::resource_exhausted("no room"));
        for (ends, sent_too) in [(Status::invalid_argument("wrong"), false), (refused, true)] {
            let queue = queue();
            let ((_, mut sent_told), (_, mut queued_told)) = (push(&queue, 60), push(&queue, 60));
            assert_eq!(sent(&queue), Some(vec![1]));
            queue.end(&ends);
            let (_, mut late_told) = push(&queue, 1);
            let told = |it: &mut oneshot::Receiver<Result<answer::Result, Status>>| {
                it.try_recv().expect("told").expect_err("it ended")
            };
            for (told, is_proof) in [
                (told(&mut sent_told), sent_too),
                (told(&mut queued_told), true),
                (told(&mut late_told), true),
            ] {
                assert_eq!(proves_not_executed(&told), is_proof, "{told:?}");
                assert_ne!(told.code(), Code::InvalidArgument, "that is not about this call");
            }
        }
    }

    #[test]
    fn bytes_are_counted_as_they_are_encoded() {
        let call = wire::Call { id: 300, request: Some(get(20)) };
        let bytes = kv::item_bytes(call.encoded_len());
        assert_eq!(wire::Calls { calls: vec![call; 2] }.encoded_len(), 2 * bytes);
    }
}
