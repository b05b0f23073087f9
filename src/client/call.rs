//! One call of the user: attempts, until one is answered or the deadline has passed.

use std::{
    future::pending,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tonic::Code;

use super::{
    Client, ClientError, ViewReport,
    connection::{Answered, Connection, How},
    page,
};
use crate::{
    channel::{self, Progress},
    clock::{Clock, before},
    proto::{Malformed, proves_not_executed},
    protocol::{
        command::{Refusal, Reply, RequestBody},
        identity::{Generation, ServerId},
        view::View,
        view_service::{Distress, NotTaken},
    },
    wire,
};

/// A connection over which an update travels more slowly than this, in bytes a second, is too slow to wait
/// for.
const BYTES_PER_SECOND_MIN: u64 = 1 << 20;

/// After an answer that was too long for the stream a client makes so many calls alone: where one value is
/// long, others are.
const ALONE_AFTER_LONG: u32 = 32;

/// A server may say this often in one call that it is busy before the view service is asked for another one:
/// a replaced primary that nobody else reaches stays busy, and does not know that it was replaced.
const BUSY_ANSWERS_MAX: u32 = 1;

/// Whether it may have changed something although no answer came.
fn changes_data(ask: &RequestBody) -> bool {
    matches!(ask, RequestBody::Update { .. })
}

/// The time that the bytes of what is asked may need.
fn travels(ask: &RequestBody) -> Duration {
    let bytes = match ask {
        RequestBody::Update { update, .. } => update.bytes() as u64,
        RequestBody::Get { .. }
        | RequestBody::Scan(_)
        | RequestBody::OpenSession
        | RequestBody::CloseSession { .. } => 0,
    };
    Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_SECOND_MIN)
}

/// One call of the user, with all its attempts.
pub(super) struct Call {
    pub(super) deadline: Duration,
    pause: Duration,
    /// An attempt of an update was sent, and it is not proved that it has no effect.
    pub(super) doubt: bool,
    /// The view service says that all data is lost.
    is_data_lost: bool,
    /// The view failed us: ask for a later one.
    stale: bool,
    /// How often a server said that it is busy.
    busy_answers: u32,
    /// Attempts are made alone, and not on the stream of calls.
    pub(super) alone: bool,
    /// What was seen last: of the view service,
    pub(super) view_service_said: Option<String>,
    /// and of a server.
    pub(super) server_said: Option<String>,
}

impl Call {
    pub(super) fn new(deadline: Duration, pause: Duration) -> Self {
        Self {
            deadline,
            pause,
            doubt: false,
            is_data_lost: false,
            stale: false,
            busy_answers: 0,
            alone: false,
            view_service_said: None,
            server_said: None,
        }
    }

    pub(super) fn gave_up(&self) -> ClientError {
        let why = self.seen().unwrap_or_else(|| "nothing could be tried before the deadline".to_owned());
        match (self.doubt, self.is_data_lost) {
            (true, _) => ClientError::Unknown { why },
            (false, true) => ClientError::NothingLeft { why },
            (false, false) => ClientError::NotExecuted { why },
        }
    }

    /// What was seen last, if anything was.
    fn seen(&self) -> Option<String> {
        let seen: Vec<&str> =
            [&self.server_said, &self.view_service_said].into_iter().flatten().map(String::as_str).collect();
        (!seen.is_empty()).then(|| seen.join("; "))
    }

    /// An error that would be final, were it not for earlier attempts.
    pub(super) fn unless_in_doubt(&self, error: ClientError) -> ClientError {
        if self.doubt { ClientError::Unknown { why: error.to_string() } } else { error }
    }
}

/// Why the view service told no view.
pub(super) enum NoView {
    /// It may do so later.
    Unreached(String),
    /// It never will: something else answers at its address.
    Impostor(String),
}

/// How an attempt failed.
enum Failure {
    /// Try again; `sent` if the request may have reached the server, and may be executed.
    Retry { sent: bool, why: String },
    /// The server is there but has too much to do; `sent` if something else said so, and the request may be
    /// executed.
    Busy { sent: bool, why: String },
    /// There is no stream, or the answer is too long for it: the call is to be made alone.
    OnlyAlone { sent: bool },
    /// Trying again is no use; `sent` as above.
    Invalid { sent: bool, why: String },
}

impl<C: Clock> Client<C> {
    /// Asks the primary, whoever that is, until there is an answer to return or the deadline has passed.
    pub(super) async fn ask(&mut self, call: &mut Call, ask: &RequestBody) -> Result<Reply, ClientError> {
        loop {
            if self.clock.now() >= call.deadline {
                return Err(call.gave_up());
            }
            let Some(primary) = self.primary(call).await? else { continue };
            if self.clock.now() >= call.deadline {
                continue; // what is sent now could not be answered any more, and would be in doubt
            }
            match self.attempt(call, &primary, ask).await {
                Ok(Reply::Refused(Refusal::NotPrimary { .. })) => {
                    // An earlier copy of this attempt may be in that server's log: doubt, if it changes
                    // anything.
                    call.doubt |= changes_data(ask);
                    call.server_said = Some(format!("{primary} is not, or is no longer, the primary"));
                    call.stale = true;
                }
                Ok(Reply::Refused(Refusal::DataLost { generation })) => {
                    return Err(self.other_generation(call, primary.as_str(), generation));
                }
                Ok(reply) => return Ok(reply),
                Err(Failure::Retry { sent, why }) => {
                    call.doubt |= sent && changes_data(ask);
                    // An attempt that the deadline cut short says less than the one before.
                    if call.server_said.is_none() || self.clock.now() < call.deadline {
                        call.server_said = Some(format!("{primary}: {why}"));
                    }
                    call.stale = true;
                }
                Err(Failure::Busy { sent, why }) => {
                    call.doubt |= sent && changes_data(ask);
                    call.server_said = Some(format!("{primary}: {why}"));
                    call.busy_answers += 1;
                    if call.busy_answers > BUSY_ANSWERS_MAX {
                        call.stale = true; // pauses, unless there is a later view
                    } else {
                        self.pause(call).await;
                    }
                }
                Err(Failure::OnlyAlone { sent }) => {
                    call.doubt |= sent && changes_data(ask);
                    call.alone = true;
                    if sent {
                        self.alone = ALONE_AFTER_LONG;
                    }
                }
                Err(Failure::Invalid { sent, why }) => {
                    call.doubt |= sent && changes_data(ask);
                    return Err(call.unless_in_doubt(ClientError::Invalid(why)));
                }
            }
            self.waiting.doubts(call.doubt);
        }
    }

    /// The primary of the latest view; asks for a later view if that one failed us.
    async fn primary(&mut self, call: &mut Call) -> Result<Option<ServerId>, ClientError> {
        if call.stale || self.view.is_none() {
            let known = self.view.as_ref().map(|view| view.number);
            match self.get_view(call).await {
                Ok(ViewReport { view, distress, not_taken, .. }) => {
                    call.is_data_lost = matches!(distress, Some(Distress::DataLost(_)));
                    let said = [distress.map(|it| it.to_string()), not_taken.map(|it| it.to_string())];
                    let said = said.into_iter().flatten().collect::<Vec<_>>().join("; ");
                    let nobody = || view.is_none().then(|| "the view service knows no server yet".to_owned());
                    call.view_service_said = Some(said).filter(|said| !said.is_empty()).or_else(nobody);
                    if let Some(view) = view {
                        self.learn(call, view)?;
                    }
                }
                Err(NoView::Impostor(why)) => return Err(call.unless_in_doubt(ClientError::Invalid(why))),
                // An attempt that the deadline cut short says nothing of the view service.
                Err(_) if self.clock.now() >= call.deadline && call.seen().is_some() => {}
                Err(NoView::Unreached(why)) => call.view_service_said = Some(why),
            }
            let found = self.view.as_ref().map(|view| view.number);
            call.stale = false;
            if found == known {
                self.pause(call).await;
            }
        }
        Ok(self.view.as_ref().map(|view| view.primary.clone()))
    }

    /// Takes note of a view, unless a later one of its generation is known.
    fn learn(&mut self, call: &mut Call, view: View) -> Result<(), ClientError> {
        let generation = view.generation;
        if self.generation != Generation::UNKNOWN && generation != self.generation {
            let address = self.options.view_service[self.asks].clone();
            let error = self.other_generation(call, &address, generation);
            if self.generation == generation {
                self.view = Some(view);
            }
            return Err(error);
        }
        self.generation = generation;
        match &self.view {
            Some(known) if view.number < known.number => {
                call.view_service_said = Some(format!(
                    "the view service is at view {}, this client knows view {}: it runs with an old record",
                    view.number.0, known.number.0
                ));
            }
            _ => self.view = Some(view),
        }
        Ok(())
    }

    /// What a client makes of a generation that is not its own. One that follows is taken, and reported once.
    fn other_generation(&mut self, call: &Call, address: &str, found: Generation) -> ClientError {
        if found.is_later_than(self.generation) {
            self.generation = found;
            self.session = None;
            self.view = None; // its numbers mean nothing any more
            return ClientError::DataLost { generation: found };
        }
        let (address, known) = (address.to_owned(), self.generation);
        call.unless_in_doubt(ClientError::OtherHistory { address, known, found })
    }

    pub(super) async fn pause(&mut self, call: &mut Call) {
        self.waiting.note(call.seen());
        let until = (self.clock.now() + call.pause).min(call.deadline);
        self.clock.sleep_until(until).await;
        call.pause = (2 * call.pause).min(self.options.pause_max);
    }

    fn attempt_until(&self, call: &Call) -> Duration {
        (self.clock.now() + self.options.attempt_timeout).min(call.deadline)
    }

    /// Asks the view service, and at its next address if something else answers at one.
    pub(super) async fn get_view(&mut self, call: &Call) -> Result<ViewReport, NoView> {
        let mut impostors = Vec::new();
        for _ in 0..self.options.view_service.len() {
            match self.get_view_there(call).await {
                Err(NoView::Impostor(why)) => impostors.push(why),
                Err(NoView::Unreached(why)) => {
                    impostors.insert(0, why);
                    return Err(NoView::Unreached(impostors.join("; ")));
                }
                Ok(report) => return Ok(report),
            }
        }
        Err(NoView::Impostor(impostors.join("; ")))
    }

    async fn get_view_there(&mut self, call: &Call) -> Result<ViewReport, NoView> {
        let address = &self.options.view_service[self.asks];
        let unreached = |why: String| {
            NoView::Unreached(format!("the view service at {address} cannot be reached: {why}"))
        };
        let mut client = self.connections.view_service(address).map_err(unreached)?;
        let until = self.attempt_until(call);
        let answer = before(&self.clock, until, client.get_view(wire::GetViewRequest {})).await;
        let answer = answer.ok_or_else(|| unreached("no answer in time".into())).and_then(|answer| {
            answer.map_err(|status| match channel::impostor(&status) {
                Some(what) => NoView::Impostor(format!(
                    "{what} answers at {address}, not a view service; is --vs right?"
                )),
                None => unreached(format!("{}; is it running, is --vs right?", channel::cause(&status))),
            })
        });
        if answer.is_err() {
            self.connections.forget_view_service(address);
            self.asks = (self.asks + 1) % self.options.view_service.len();
        }
        let answer = answer?.into_inner();
        let malformed = |error: Malformed| unreached(error.to_string());
        let view = answer.view.map(View::try_from).transpose().map_err(malformed)?;
        let distress = answer.distress.map(Distress::try_from).transpose().map_err(malformed)?;
        let not_taken = answer.not_taken.map(NotTaken::try_from).transpose().map_err(malformed)?;
        Ok(ViewReport { view, replicas: answer.replicas, distress, not_taken })
    }

    /// One attempt: connects if need be, sends, and waits for the answer.
    async fn attempt(
        &mut self,
        call: &Call,
        primary: &ServerId,
        ask: &RequestBody,
    ) -> Result<Reply, Failure> {
        let until = self.attempt_until(call);
        let answered_until = (until + travels(ask)).min(call.deadline);
        let connection = self.connection(primary, until).await;
        let connection = connection.map_err(|why| Failure::Retry { sent: false, why })?;
        if changes_data(ask) && !self.waiting.sends() {
            return pending().await; // the process ends, and has said that nothing was sent
        }
        let (progress, unsent) = (Progress::default(), AtomicBool::new(false));
        let answer = {
            let how = How { generation: self.generation, options: &self.options, alone: call.alone };
            let mut asking = pin!(connection.ask(ask, &how, &progress, &unsent));
            let (mut own, mut others, mut until) = (progress.bytes(), connection.arrived(), answered_until);
            loop {
                let answer = before(&self.clock, until, asking.as_mut()).await;
                if answer.is_some() || until >= call.deadline {
                    break answer;
                }
                if progress.bytes() != own {
                    own = progress.bytes(); // its answer is large, or the link is slow
                } else if connection.arrived() > others {
                    others = u64::MAX; // it may be behind them: that is waited for once
                } else {
                    break answer;
                }
                until = self.attempt_until(call);
            }
        };
        let failed = match answer {
            None => {
                let sent = !unsent.load(Ordering::Relaxed);
                Failure::Retry { sent, why: "no answer in time".into() }
            }
            Some(Ok(Answered::OnlyAlone { executed })) => return Err(Failure::OnlyAlone { sent: executed }),
            Some(Ok(Answered::Reply(Err(malformed)))) => {
                Failure::Retry { sent: true, why: malformed.to_string() }
            }
            Some(Ok(Answered::Reply(Ok(reply)))) => {
                if let (RequestBody::Scan(scan), Reply::Page(page)) = (ask, &reply) {
                    page::check(scan, page).map_err(|wrong| Failure::Invalid {
                        sent: true,
                        why: format!("{primary} is not what it should be: of its page of keys, {wrong}"),
                    })?;
                }
                return Ok(reply);
            }
            Some(Err(status)) => {
                let sent = !proves_not_executed(&status);
                let why = status.message().to_owned();
                match status.code() {
                    Code::InvalidArgument | Code::OutOfRange => Failure::Invalid { sent, why },
                    Code::ResourceExhausted => Failure::Busy { sent, why },
                    _ => Failure::Retry { sent, why: channel::cause(&status) },
                }
            }
        };
        if let Failure::Retry { .. } = failed {
            self.connections.forget(primary, &connection);
            self.connection = None;
        }
        Err(failed)
    }

    /// The connection to a server, as it was used last or as others use it.
    async fn connection(&mut self, server: &ServerId, until: Duration) -> Result<Arc<Connection>, String> {
        match &self.connection {
            Some((to, known)) if to == server && !known.is_over() => Ok(known.clone()),
            _ => {
                self.connection = None;
                let found = self.connections.get(server, &self.clock, until, &self.options).await?;
                self.connection = Some((server.clone(), found.clone()));
                Ok(found)
            }
        }
    }
}

/// What an answer to something else means.
pub(super) fn unexpected(call: &Call, reply: &Reply) -> ClientError {
    let why = format!("the server answered {reply:?}");
    match reply {
        // Both mean that the server understood and did nothing with this attempt.
        Reply::Refused(_) => call.unless_in_doubt(ClientError::NotExecuted { why }),
        _ => ClientError::Unknown { why },
    }
}
