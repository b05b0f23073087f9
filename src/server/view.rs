//! The view service: its machine and the service it offers.

use std::{future, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, async_trait};

use super::{
    ServerError,
    driver::{self, Driver, Port},
    probe::{Gone, Probes},
    tickets::Tickets,
};
use crate::{
    clock::Clock,
    proto,
    protocol::{
        identity::WriteNumber,
        machine::{Held, Observer},
        message::Ping,
        options::ViewServiceOptions,
        view::{Record, View},
        view_service::{
            Answer, Effect, Event, Notice, SealKey, ViewService,
            adoption::{Adopt, Heard, NotAdopted},
        },
    },
    storage::Storage,
    wire,
};

/// Inputs queued for the machine.
const INBOX_MAX: usize = 4_096;

/// Of these, so many are kept free for pings: while a record is being written everybody asks for the view,
/// and a server whose pings are refused meanwhile would be taken for dead.
const INBOX_RESERVED: usize = 1_024;

/// What a view service is started with.
#[derive(Clone, Debug)]
pub struct ViewConfig {
    /// What it remembers.
    pub record: Record,
    /// Whose data goes on, if the record was lost and servers hold the data; `record` is the default one
    /// then.
    pub adopt: Option<Adopt>,
    /// Names this life; must differ from that of every other.
    pub epoch: u64,
    /// Random, and known to nobody else: makes the tokens of its probes.
    pub key: SealKey,
    /// The protocol's options.
    pub options: ViewServiceOptions,
    /// The command line by which an operator starts the service again in its place; empty if there is none.
    pub command: String,
}

/// How it ended that a view service listened in order to adopt a server's data.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// The view in which the data goes on, or why it does not: then the service has to be stopped.
    pub view: Result<View, NotAdopted>,
    /// All servers that were heard.
    pub heard: Heard,
}

/// A running view service. Stops when dropped.
#[derive(Debug)]
pub struct ViewServer {
    inbox: mpsc::Sender<Input>,
    command: String,
    adoption: Option<oneshot::Receiver<Adoption>>,
    driver: Driver,
}

impl ViewServer {
    /// Starts the service on the current runtime. `storage` must hold `config.record`.
    pub fn start<S, C, O>(config: ViewConfig, storage: S, clock: C, observer: O) -> Self
    where
        S: Storage<Write = Record>,
        C: Clock,
        O: Observer<ViewService>,
    {
        let (inbox, inputs) = mpsc::channel(INBOX_MAX);
        let ViewConfig { record, adopt, epoch, key, options, command } = config;
        let (tell, told) = oneshot::channel();
        let (machine, adoption) = match adopt {
            Some(wanted) => (ViewService::adopting(options, wanted, epoch, key, clock.now()), Some(told)),
            None => (ViewService::new(options, record, epoch, key, clock.now()), None),
        };
        let probes = Probes::new(clock.clone(), inbox.clone());
        let port = ViewPort { callers: Tickets::new(), probes, adoption: Some(tell) };
        let driver = Driver::spawn(driver::run(machine, port, inputs, storage, clock, observer));
        Self { inbox, command, adoption, driver }
    }

    /// Resolves when it is decided whether a server's data goes on; never, if none was to be adopted, or for
    /// the second time.
    pub fn adopted(&mut self) -> impl Future<Output = Adoption> + Send + use<> {
        let adoption = self.adoption.take();
        async {
            match adoption {
                Some(told) => match told.await {
                    Ok(adoption) => adoption,
                    Err(_) => future::pending().await, // the task ended, and `failed` says so
                },
                None => future::pending().await,
            }
        }
    }

    /// The service for servers and clients.
    pub fn service(&self) -> ViewServiceService {
        ViewServiceService { inbox: self.inbox.clone(), command: self.command.clone() }
    }

    /// Resolves only if the service had to stop on its own.
    pub async fn failed(&mut self) -> ServerError {
        self.driver.failed().await
    }
}

/// What is queued for the machine.
#[derive(Debug)]
enum Input {
    Asked { question: Question, caller: oneshot::Sender<Answer> },
    Gone(Gone),
}

impl From<Gone> for Input {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

#[derive(Debug)]
enum Question {
    Ping(Box<Ping>),
    GetView,
    GetStatus,
}

struct ViewPort<C> {
    callers: Tickets<oneshot::Sender<Answer>>,
    probes: Probes<C, Input>,
    adoption: Option<oneshot::Sender<Adoption>>,
}

impl<C> ViewPort<C> {
    fn decided(&mut self, adoption: Adoption) {
        if let Some(tell) = self.adoption.take() {
            // Nobody who does not wait for it needs it.
            let _ = tell.send(adoption);
        }
    }
}

impl<C: Clock> Port for ViewPort<C> {
    type Machine = ViewService;
    type Input = Input;
    type Write = Record;

    fn admit(&mut self, _now: Duration, input: Input) -> Option<Event> {
        let (question, caller) = match input {
            Input::Asked { question, caller } => (question, caller),
            Input::Gone(Gone(server)) => return Some(Event::Gone(server)),
        };
        let ticket = self.callers.issue(caller);
        Some(match question {
            Question::Ping(ping) => Event::Ping { ticket, ping: *ping },
            Question::GetView => Event::GetView { ticket },
            Question::GetStatus => Event::GetStatus { ticket },
        })
    }

    fn perform(&mut self, _now: Duration, effect: Effect) -> Option<(WriteNumber, Vec<Record>)> {
        match effect {
            Effect::Persist { number, record } => return Some((number, vec![record])),
            Effect::Answer { ticket, answer } => self.callers.answer(ticket, answer),
            Effect::Dismiss { ticket } => self.callers.dismiss(ticket),
            Effect::Probe { server, probe, known } => self.probes.send(server, probe, known),
            Effect::Notice(Notice::Adopted { view, heard }) => {
                self.decided(Adoption { view: Ok(view), heard });
            }
            Effect::Notice(Notice::NotAdopted { why, heard }) => {
                self.decided(Adoption { view: Err(why), heard });
            }
            Effect::Notice(notice) => log(notice),
        }
        None
    }

    fn held(&self) -> Held {
        Held { callers: self.callers.len() }
    }

    fn persisted(number: WriteNumber) -> Event {
        Event::Persisted(number)
    }
}

fn log(notice: Notice) {
    use tracing::{error, info, warn};
    match notice {
        Notice::ServerSeen(ping) => match ping.data {
            None => {
                info!(server = %ping.server, boot = %ping.boot, "a server appeared, which has no store yet")
            }
            Some(data) => info!(server = %ping.server, boot = %ping.boot, ?data, "a server has a store"),
        },
        Notice::Gone(server) => {
            info!(%server, "connections to a server are refused: it has ended, or something in front of it refuses them")
        }
        Notice::Proposed { view, why, dropped } => {
            let (number, primary, why) = (view.number, &view.primary, why.to_string());
            let dropped: Vec<_> = dropped.iter().map(|(server, why)| (server, why.to_string())).collect();
            info!(view = %number, %primary, insync = ?view.insync, joining = ?view.joining, why, ?dropped, "a new view");
        }
        Notice::Activated(view) => {
            info!(view = %view.number, primary = %view.primary, insync = ?view.insync, "the view is active");
        }
        // With no command line: a server that was not heard yet may hold something older.
        Notice::DataLost(view) => error!(
            %view,
            "no server that holds all the data is left: each came back without it. If another machine still has the data of \
             one, start that one. If not, what was acknowledged last is lost. 'testclient view' shows whether a server that runs \
             holds what was there before, and the command line to go on with that, or to begin empty"
        ),
        Notice::Waiting { view, servers } => error!(
            %view, ?servers,
            "no service: none of the servers that hold all the data is there; waiting for one of them to come back with \
             its data"
        ),
        Notice::DataIsBack { view, servers } => {
            info!(%view, ?servers, "a server that holds all the data is there again, and can be promoted: service can go on");
        }
        Notice::Copies { view, insync, wanted } if insync < wanted => {
            warn!(%view, insync, wanted, "fewer copies than wanted are in sync: updates are acknowledged with these, or refused if --copies-min says so");
        }
        Notice::Copies { view, insync, wanted } => info!(%view, insync, wanted, "all copies are in sync"),
        Notice::Updates { view, insync, copies_min } if insync < copies_min => error!(
            %view, insync, copies_min,
            "no updates: the primary refuses them until as many copies as its --copies-min are in sync"
        ),
        Notice::Updates { view, insync, copies_min } => {
            info!(%view, insync, copies_min, "the primary takes updates again");
        }
        Notice::OldRecord { server, told, recorded } => error!(
            %server, %told, %recorded,
            "this service runs with an old copy of its record: a server was told of a view that the record does not know, or \
             acts as primary in another one of that number. No view is proposed any more. Stop this service and restore the \
             latest record; if it is lost, move this one away and see viewservice --help, --adopt. If this is the latest \
             record, a service with another one ran meanwhile, and that server took part: stop it and start this service \
             again, or adopt its data"
        ),
        Notice::LedAstray { server, obeys, current } => error!(
            %server, %obeys, %current,
            "no service: a server that could be primary obeys a view that this service never announced, and takes up no other one; \
             no other server that holds all the data is there. If one can come back with its data, start it. If not, stop \
             this service, move its record away, and see viewservice --help, --adopt"
        ),
        Notice::HoldsMore { server, end, adopted } => error!(
            %server, ?end, ?adopted,
            "a server comes that holds more than the data that was adopted. It is not taken in and keeps its data. To give \
             that up start it again empty. To keep it instead of what was done since the adoption, stop this service, move its \
             record away, adopt that server with --adopt-anyway, and start the others again empty"
        ),
        Notice::OtherHistory { server, holds, current } => error!(
            %server, %holds, %current,
            "a server holds data of another history than this service's record: it is not taken in and keeps its data. \
             If this service lost its record or runs with a wrong one, stop the service and restore the record, or else see \
             viewservice --help, --adopt: that server may hold the only copy. Only if it belongs to another cluster or to data \
             that was declared lost, stop it and start it again empty"
        ),
        Notice::Contested { server, holder, other } => warn!(
            %server, %holder, %other,
            "two servers advertise one address; one is reached there, the other one is not used. Give each an address \
             of its own with --advertise"
        ),
        Notice::Unreached(server) => warn!(
            %server,
            "a server pings, but cannot be reached at its advertised address, so it is not used: is its --advertise right, \
             and does a firewall let connections from here in?"
        ),
        Notice::Reached(server) => {
            info!(%server, "a server that pings is reached at its advertised address now")
        }
        Notice::UnreachedStopped(server) => {
            info!(%server, "a server that could not be reached at its advertised address pings no longer");
        }
        Notice::ImplausibleLife { server, boot } => error!(
            %server, %boot,
            "a server calls its life by a number that no clock shows before the year 2100; it is not taken. Set the clock of \
             its machine and start it again"
        ),
        Notice::TooManyServers(server) => warn!(%server, "ignored, too many servers are known already"),
        // Whoever started the service is told.
        Notice::Adopted { .. } | Notice::NotAdopted { .. } => {}
    }
}

/// Answers servers and clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ViewServiceService {
    inbox: mpsc::Sender<Input>,
    command: String,
}

impl ViewServiceService {
    async fn ask(&self, question: Question) -> Result<Answer, Status> {
        if !matches!(question, Question::Ping(_)) && self.inbox.capacity() <= INBOX_RESERVED {
            return Err(overloaded());
        }
        let (caller, waiting) = oneshot::channel();
        self.inbox.try_send(Input::Asked { question, caller }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(),
            mpsc::error::TrySendError::Closed(_) => Status::unavailable("the view service is stopping"),
        })?;
        waiting.await.map_err(|_| Status::unavailable("the view service did not answer"))
    }
}

fn overloaded() -> Status {
    Status::resource_exhausted("the view service is overloaded; try again after a pause")
}

#[async_trait]
impl wire::view_service_server::ViewService for ViewServiceService {
    async fn ping(
        &self,
        request: Request<wire::PingRequest>,
    ) -> Result<Response<wire::PingResponse>, Status> {
        let ping = Ping::try_from(request.into_inner())?;
        match self.ask(Question::Ping(Box::new(ping))).await? {
            Answer::Ping(reply) => Ok(Response::new(reply.into())),
            Answer::View { .. } | Answer::Status(_) => Err(mistaken()),
        }
    }

    async fn get_view(
        &self,
        _request: Request<wire::GetViewRequest>,
    ) -> Result<Response<wire::GetViewResponse>, Status> {
        match self.ask(Question::GetView).await? {
            Answer::View { view, replicas, distress, not_taken } => {
                Ok(Response::new(wire::GetViewResponse {
                    view: view.map(Into::into),
                    replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
                    distress: distress.map(Into::into),
                    not_taken: not_taken.map(Into::into),
                }))
            }
            Answer::Ping(_) | Answer::Status(_) => Err(mistaken()),
        }
    }

    async fn get_status(
        &self,
        _request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        match self.ask(Question::GetStatus).await? {
            Answer::Status(survey) => Ok(Response::new(wire::GetStatusResponse {
                servers: proto::statuses(survey.servers),
                command: self.command.clone(),
                complete: survey.is_complete,
            })),
            Answer::Ping(_) | Answer::View { .. } => Err(mistaken()),
        }
    }
}

fn mistaken() -> Status {
    Status::internal("the protocol answered another question")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::{
        clock::SystemClock, storage::record_file::RecordFile, wire::view_service_server::ViewService as _,
    };

    #[tokio::test]
    async fn a_flood_of_questions_drops_no_ping() {
        let config = ViewConfig {
            record: Record::default(),
            epoch: 1,
            key: SealKey(1, 2),
            options: ViewServiceOptions::default(),
            adopt: None,
            command: String::new(),
        };
        let server = ViewServer::start(config, None::<RecordFile>, SystemClock, ());
        let service = server.service();
        // Nobody takes anything out of the inbox meanwhile, as while a disk is slow.
        let mut questions: Vec<_> =
            (0..INBOX_MAX).map(|_| service.get_view(Request::new(wire::GetViewRequest::default()))).collect();
        let refused = questions.iter_mut().filter_map(|question| question.now_or_never()).count();
        assert_eq!(refused, INBOX_RESERVED, "the rest wait for their answers");
        let mut pings: Vec<_> = (0..INBOX_RESERVED)
            .map(|n| {
                let server = format!("s{n}:1");
                let (generation, log_end) = (Some(Default::default()), Some(Default::default()));
                let ping = wire::PingRequest { server, boot: 1, generation, log_end, ..Default::default() };
                service.ping(Request::new(ping))
            })
            .collect();
        let answers: Vec<_> = pings.iter_mut().filter_map(|ping| ping.now_or_never()).collect();
        assert!(answers.is_empty(), "{answers:?}");
    }
}
