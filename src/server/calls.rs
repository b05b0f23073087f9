//! Many calls of a client over one stream.
//!
//! Each is queued for the machine as if it were made alone, and is answered when its turn comes; what is
//! ready at a time travels together. So most of what a call costs (a stream of HTTP/2 of its own, its
//! headers, its tasks) is paid once for many.
//!
//! One stream has at most [`UNDER_WAY_MAX`] calls under way. What comes beyond that is not read, until
//! answers have left: a client that reads no answers is not heard either, and holds no more memory than that.

use std::{collections::VecDeque, pin::Pin};

use futures::{Stream, StreamExt, future, stream};
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;

use super::tickets::Caller;
use crate::{
    channel,
    options::Limits,
    proto::kv::{self, FromClient, ToClient},
    protocol::command::{Reply, Request},
    wire::{self, answer, call},
};

/// Calls of one stream that are under way, at most.
pub const UNDER_WAY_MAX: usize = 1024;

/// What a server answers on a stream.
pub type Answers = Pin<Box<dyn Stream<Item = Result<wire::Answers, Status>> + Send>>;

/// A call that is to be queued for the machine.
pub struct Asked {
    /// What is asked,
    pub request: Request,
    /// and who waits for the reply.
    pub caller: StreamCaller,
}

/// The caller of one call of a stream. Is told that the server stops if it is dropped unanswered.
#[derive(Debug)]
pub struct StreamCaller {
    id: u64,
    /// Makes an answer of the kind that was asked for.
    answers: fn(Reply) -> answer::Result,
    /// Never longer than [`UNDER_WAY_MAX`].
    back: mpsc::UnboundedSender<(u64, answer::Result)>,
    is_answered: bool,
}

impl StreamCaller {
    /// The call is not queued.
    pub fn refuse(mut self, status: &Status) {
        self.tell(answer::Result::Failure(kv::failure(status)));
    }

    fn tell(&mut self, result: answer::Result) {
        self.is_answered = true;
        // A client that left needs no answer.
        let _ = self.back.send((self.id, result));
    }
}

impl Caller for StreamCaller {
    type Answer = Reply;

    fn has_left(&self) -> bool {
        self.back.is_closed()
    }

    fn answer(mut self, reply: Reply) {
        let result = (self.answers)(reply);
        self.tell(result);
    }
}

impl Drop for StreamCaller {
    fn drop(&mut self) {
        if !self.is_answered {
            self.tell(answer::Result::Failure(kv::failure(&kv::stopping())));
        }
    }
}

/// One stream: polling the answers also takes in the calls, so that it lives exactly as long as the client
/// reads it. Up to `bytes_max` bytes of answers travel together.
pub fn conversation<S>(
    calls: S,
    (limits, bytes_max): (Limits, usize),
    queue: impl Fn(Asked) + Send + 'static,
) -> Answers
where
    S: Stream<Item = Result<wire::Calls, Status>> + Unpin + Send + 'static,
{
    let (back, replies) = mpsc::unbounded_channel();
    let conversation = Conversation {
        calls: Some(calls),
        limits,
        bytes_max,
        queue,
        last: 0,
        arrived: VecDeque::new(),
        under_way: 0,
        back,
        replies,
        ready: VecDeque::new(),
    };
    Box::pin(stream::unfold(Some(conversation), |state| async move {
        let mut state = state?;
        match state.next_answers().await {
            Ok(Some(answers)) => Some((Ok(answers), Some(state))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    }))
}

struct Conversation<S, Q> {
    /// Absent once the client has said that it has no more.
    calls: Option<S>,
    limits: Limits,
    /// Bytes of answers that travel together.
    bytes_max: usize,
    queue: Q,
    /// The last call's id.
    last: u64,
    /// Calls that arrived and are not under way yet.
    arrived: VecDeque<wire::Call>,
    /// Calls that were taken up and are not ready.
    under_way: usize,
    back: mpsc::UnboundedSender<(u64, answer::Result)>,
    replies: mpsc::UnboundedReceiver<(u64, answer::Result)>,
    /// Answers that are to be sent.
    ready: VecDeque<wire::Answer>,
}

impl<S, Q> Conversation<S, Q>
where
    S: Stream<Item = Result<wire::Calls, Status>> + Unpin,
    Q: Fn(Asked),
{
    /// The next answers; none if all is answered and the client has no more.
    async fn next_answers(&mut self) -> Result<Option<wire::Answers>, Status> {
        loop {
            while self.under_way + self.ready.len() < UNDER_WAY_MAX
                && let Some(call) = self.arrived.pop_front()
            {
                self.take_up(call)?;
            }
            if !self.ready.is_empty() {
                return Ok(Some(self.gather()));
            }
            if self.calls.is_none() && self.under_way == 0 {
                return Ok(None);
            }
            let has_room = self.under_way < UNDER_WAY_MAX && self.arrived.is_empty();
            let calls = async {
                match &mut self.calls {
                    Some(calls) if has_room => calls.next().await,
                    _ => future::pending().await,
                }
            };
            tokio::select! {
                biased;
                reply = self.replies.recv() => {
                    self.take(reply.expect("one sender is kept right here"));
                    // What is answered just now travels with it.
                    channel::give_way().await;
                    while let Ok(reply) = self.replies.try_recv() {
                        self.take(reply);
                    }
                }
                calls = calls => match calls {
                    Some(calls) => self.arrived.extend(calls?.calls),
                    None => self.calls = None,
                },
            }
        }
    }

    fn take(&mut self, (id, result): (u64, answer::Result)) {
        self.under_way -= 1;
        self.ready.push_back(wire::Answer { id, result: Some(result) });
    }

    /// Queues a call for the machine, or answers it.
    fn take_up(&mut self, call: wire::Call) -> Result<(), Status> {
        if call.id <= self.last {
            let (id, last) = (call.id, self.last);
            return Err(Status::invalid_argument(format!(
                "call {id} came after call {last}; number the calls of a stream upwards, from 1"
            )));
        }
        self.last = call.id;
        match self.ask(call) {
            Ok(()) => self.under_way += 1,
            Err((id, status)) => {
                let result = Some(answer::Result::Failure(kv::failure(&status)));
                self.ready.push_back(wire::Answer { id, result });
            }
        }
        Ok(())
    }

    fn ask(&self, wire::Call { id, request }: wire::Call) -> Result<(), (u64, Status)> {
        use call::Request as Call;
        let queued = match request {
            Some(Call::Get(get)) => self.queue::<wire::GetResponse>(id, get),
            Some(Call::Put(put)) => self.queue::<wire::UpdateResponse>(id, put),
            Some(Call::Append(append)) => self.queue::<wire::UpdateResponse>(id, append),
            Some(Call::Delete(delete)) => self.queue::<wire::UpdateResponse>(id, delete),
            Some(Call::CompareAndSwap(swap)) => self.queue::<wire::UpdateResponse>(id, swap),
            Some(Call::OpenSession(open)) => self.queue::<wire::OpenSessionResponse>(id, open),
            Some(Call::CloseSession(close)) => self.queue::<wire::CloseSessionResponse>(id, close),
            None => Err(kv::unknown_call()),
        };
        queued.map_err(|status| (id, status))
    }

    fn queue<T: ToClient + Into<answer::Result>>(
        &self,
        id: u64,
        request: impl FromClient,
    ) -> Result<(), Status> {
        let request = request.into_request(&self.limits)?;
        let answers = |reply| match T::from_reply(reply) {
            Ok(answer) => answer.into(),
            Err(status) => answer::Result::Failure(kv::failure(&status)),
        };
        let back = self.back.clone();
        (self.queue)(Asked { request, caller: StreamCaller { id, answers, back, is_answered: false } });
        Ok(())
    }

    /// As many of the answers that are ready as travel together. One that is too long for that is replaced.
    fn gather(&mut self) -> wire::Answers {
        let (mut answers, mut bytes) = (Vec::with_capacity(self.ready.len()), 0);
        while let Some(mut answer) = self.ready.pop_front() {
            let mut own = kv::item_bytes(answer.encoded_len());
            if own > self.bytes_max {
                answer.result = Some(answer::Result::TooLong(answer::TooLong {}));
                own = kv::item_bytes(answer.encoded_len());
            }
            if bytes + own > self.bytes_max && !answers.is_empty() {
                self.ready.push_front(answer);
                break;
            }
            bytes += own;
            answers.push(answer);
        }
        wire::Answers { answers }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use futures::FutureExt;
    use tonic::Code;

    use super::*;
    use crate::{
        options::TOGETHER_BYTES_MAX,
        protocol::{command::Versioned, identity::OpNumber},
    };

    /// What was queued for a machine that answers nothing by itself.
    type Queued = Arc<Mutex<Vec<Asked>>>;

    fn get(id: u64, key: &'static str) -> wire::Call {
        let get = wire::GetRequest { key: Bytes::from(key), generation: None };
        wire::Call { id, request: Some(call::Request::Get(get)) }
    }

    /// A conversation in which the client says this, and then nothing.
    fn says(messages: Vec<Vec<wire::Call>>) -> (Answers, Queued) {
        let queued = Queued::default();
        let calls = stream::iter(messages.into_iter().map(|calls| Ok(wire::Calls { calls })));
        let queue = {
            let queued = queued.clone();
            move |asked| queued.lock().expect("no panic").push(asked)
        };
        let limits = (Limits::default(), TOGETHER_BYTES_MAX);
        (conversation(Box::pin(calls.chain(stream::pending())), limits, queue), queued)
    }

    fn answer(asked: Asked, value: usize) {
        let held = Versioned { value: vec![7; value].into(), mod_revision: OpNumber(1) };
        asked.caller.answer(Reply::Value { revision: OpNumber(1), found: Some(held) });
    }

    /// What is answered now.
    fn answered(answers: &mut Answers) -> Option<Result<Vec<wire::Answer>, Status>> {
        let mut next = answers.next().now_or_never();
        if next.is_none() {
            next = answers.next().now_or_never(); // it gives way once
        }
        next.map(|next| next.expect("the client listens").map(|answers| answers.answers))
    }

    fn is_value(answer: &wire::Answer, bytes: usize) -> bool {
        matches!(&answer.result, Some(answer::Result::Get(get)) if get.value.as_ref().map(Bytes::len) == Some(bytes))
    }

    #[test]
    fn calls_are_answered_as_they_are_ready_and_together() {
        let (mut answers, queued) = says(vec![vec![get(1, "a"), get(2, "b"), get(5, "c")]]);
        assert!(answered(&mut answers).is_none());
        let mut asked = std::mem::take(&mut *queued.lock().expect("no panic"));
        assert_eq!(asked.len(), 3);
        answer(asked.remove(2), 3);
        answer(asked.remove(0), 1);
        let told = answered(&mut answers).expect("two are ready").expect("the stream lives");
        assert_eq!(told.iter().map(|answer| answer.id).collect::<Vec<_>>(), [5, 1]);
        assert!(is_value(&told[0], 3) && is_value(&told[1], 1), "{told:?}");
        assert!(answered(&mut answers).is_none(), "the second call is under way");
    }

    #[test]
    fn a_call_that_fails_fails_alone() {
        let unknown = wire::Call { id: 2, request: None };
        let (mut answers, queued) = says(vec![vec![get(1, ""), unknown, get(3, "a")]]);
        let told = answered(&mut answers).expect("two are refused").expect("the stream lives");
        let codes: Vec<Code> = told
            .iter()
            .map(|answer| match answer.result.clone() {
                Some(answer::Result::Failure(failure)) => kv::status(failure),
                other => panic!("{other:?}"),
            })
            .inspect(|status| assert!(crate::proto::proves_not_executed(status)))
            .map(|status| status.code())
            .collect();
        assert_eq!(codes, [Code::InvalidArgument, Code::Unimplemented]);
        assert_eq!(queued.lock().expect("no panic").len(), 1, "and the third is asked");
    }

    #[test]
    fn a_call_that_is_not_queued_is_answered_once() {
        let calls = stream::iter([Ok(wire::Calls { calls: (1..=3).map(|id| get(id, "a")).collect() })]);
        let full = |asked: Asked| asked.caller.refuse(&Status::resource_exhausted("full"));
        let mut answers = conversation(Box::pin(calls), (Limits::default(), TOGETHER_BYTES_MAX), full);
        let told = answered(&mut answers).expect("all are refused").expect("the stream lives");
        let is_refused = |answer: &wire::Answer| match &answer.result {
            Some(answer::Result::Failure(failure)) => failure.code == Code::ResourceExhausted as u32,
            _ => false,
        };
        assert!(told.len() == 3 && told.iter().all(is_refused), "{told:?}");
        assert!(answers.next().now_or_never().expect("it is over").is_none());
    }

    #[test]
    fn a_call_that_nobody_answers_any_more_is_told_so() {
        let (mut answers, queued) = says(vec![vec![get(1, "a")]]);
        assert!(answered(&mut answers).is_none());
        queued.lock().expect("no panic").clear();
        let told = answered(&mut answers).expect("it is ready").expect("the stream lives");
        let [wire::Answer { id: 1, result: Some(answer::Result::Failure(failure)) }] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!((failure.code, failure.not_executed), (Code::Unavailable as u32, false));
    }

    #[test]
    fn a_call_that_comes_twice_or_late_ends_the_stream() {
        for wrong in [vec![vec![get(1, "a")], vec![get(1, "a")]], vec![vec![get(2, "a"), get(1, "b")]]] {
            let (mut answers, queued) = says(wrong);
            let status = answered(&mut answers).expect("it ends").expect_err("with a reason");
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(!crate::proto::proves_not_executed(&status), "the first call is under way");
            assert_eq!(queued.lock().expect("no panic").len(), 1);
        }
    }

    #[test]
    fn what_is_too_long_is_not_sent_and_what_is_much_goes_in_parts() {
        let calls = (1..=4).map(|id| get(id, "a")).collect();
        let (mut answers, queued) = says(vec![calls]);
        assert!(answered(&mut answers).is_none());
        let part = TOGETHER_BYTES_MAX / 2 - 100;
        for (asked, bytes) in
            queued.lock().expect("no panic").drain(..).zip([part, TOGETHER_BYTES_MAX, part, part])
        {
            answer(asked, bytes);
        }
        let mut told = Vec::new();
        while let Some(answers) = answered(&mut answers) {
            let answers = answers.expect("the stream lives");
            assert!(wire::Answers { answers: answers.clone() }.encoded_len() <= TOGETHER_BYTES_MAX);
            told.push(answers);
        }
        assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
        assert!(matches!(told[0][1].result, Some(answer::Result::TooLong(_))));
        assert!(is_value(&told[0][0], part) && is_value(&told[0][2], part) && is_value(&told[1][0], part));
    }

    #[test]
    fn a_client_that_reads_no_answers_is_not_heard() {
        let many = 3 * UNDER_WAY_MAX as u64;
        let (mut answers, queued) = says((1..=many).map(|id| vec![get(id, "a")]).collect());
        assert!(answered(&mut answers).is_none());
        assert_eq!(queued.lock().expect("no panic").len(), UNDER_WAY_MAX);
        let asked = queued.lock().expect("no panic").pop().expect("there are many");
        answer(asked, 1);
        answered(&mut answers).expect("one is ready").expect("the stream lives");
        assert!(answered(&mut answers).is_none());
        assert_eq!(queued.lock().expect("no panic").len(), UNDER_WAY_MAX, "and one more is asked");
    }
}
