//! The view service: its machine and the service it offers.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, async_trait};

use super::{
    ServerError,
    clock::Clock,
    driver::{self, Driver, Port},
    tickets::Tickets,
};
use crate::{
    protocol::{
        identity::WriteNumber,
        machine::Observer,
        message::Ping,
        options::ViewServiceOptions,
        view::Record,
        view_service::{Answer, Effect, Event, Notice, ViewService},
    },
    storage::Storage,
    wire,
};

/// Inputs queued for the machine.
const INBOX_MAX: usize = 4_096;

/// What a view service is started with.
#[derive(Clone, Debug)]
pub struct ViewConfig {
    /// What it remembers.
    pub record: Record,
    /// Names this life; must differ from that of every other.
    pub epoch: u64,
    /// The protocol's options.
    pub options: ViewServiceOptions,
}

/// A running view service. Stops when dropped.
#[derive(Debug)]
pub struct ViewServer {
    inbox: mpsc::Sender<Input>,
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
        let machine = ViewService::new(config.options, config.record, config.epoch, clock.now());
        let port = ViewPort { callers: Tickets::new() };
        let driver = Driver::spawn(driver::run(machine, port, inputs, storage, clock, observer));
        Self { inbox, driver }
    }

    /// The service for servers and clients.
    pub fn service(&self) -> ViewServiceService {
        ViewServiceService { inbox: self.inbox.clone() }
    }

    /// Resolves only if the service had to stop on its own.
    pub async fn failed(&mut self) -> ServerError {
        self.driver.failed().await
    }
}

/// What is queued for the machine.
#[derive(Debug)]
struct Input {
    question: Question,
    caller: oneshot::Sender<Answer>,
}

#[derive(Debug)]
enum Question {
    Ping(Ping),
    GetView,
}

struct ViewPort {
    callers: Tickets<Answer>,
}

impl Port for ViewPort {
    type Machine = ViewService;
    type Input = Input;
    type Write = Record;

    fn admit(&mut self, _now: Duration, input: Input) -> Option<Event> {
        let ticket = self.callers.issue(input.caller);
        Some(match input.question {
            Question::Ping(ping) => Event::Ping { ticket, ping },
            Question::GetView => Event::GetView { ticket },
        })
    }

    fn perform(&mut self, _now: Duration, effect: Effect) -> Option<(WriteNumber, Vec<Record>)> {
        match effect {
            Effect::Persist { number, record } => return Some((number, vec![record])),
            Effect::Answer { ticket, answer } => self.callers.answer(ticket, answer),
            Effect::Notice(notice) => log(notice),
        }
        None
    }

    fn persisted(number: WriteNumber) -> Event {
        Event::Persisted(number)
    }
}

fn log(notice: Notice) {
    use tracing::{error, info, warn};
    match notice {
        Notice::ServerSeen(ping) => info!(server = %ping.server, boot = %ping.boot, "a server appeared"),
        Notice::Proposed { view, why } => {
            let (number, primary) = (view.number, &view.primary);
            info!(view = %number, %primary, insync = ?view.insync, joining = ?view.joining, why, "a new view");
        }
        Notice::Activated(view) => {
            info!(view = %view.number, primary = %view.primary, insync = ?view.insync, "the view is active");
        }
        Notice::DataLost(view) => error!(
            %view,
            "no server that holds all the data is left. If one of them can come back with its data, start it. \
             If not, the data is lost: stop this service, run it once with --accept-data-loss, and start it again"
        ),
        Notice::UnknownHistory { server, view } => error!(
            %server, %view,
            "a server knows a view that this record does not: this service runs with an old or wrong record"
        ),
        Notice::TooManyServers(server) => warn!(%server, "ignored, too many servers are known already"),
    }
}

/// Answers servers and clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ViewServiceService {
    inbox: mpsc::Sender<Input>,
}

impl ViewServiceService {
    async fn ask(&self, question: Question) -> Result<Answer, Status> {
        let (caller, waiting) = oneshot::channel();
        self.inbox.try_send(Input { question, caller }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Status::resource_exhausted("the view service is overloaded; try again after a pause")
            }
            mpsc::error::TrySendError::Closed(_) => Status::unavailable("the view service is stopping"),
        })?;
        waiting.await.map_err(|_| Status::unavailable("the view service did not answer"))
    }
}

#[async_trait]
impl wire::view_service_server::ViewService for ViewServiceService {
    async fn ping(
        &self,
        request: Request<wire::PingRequest>,
    ) -> Result<Response<wire::PingResponse>, Status> {
        let ping = Ping::try_from(request.into_inner())?;
        match self.ask(Question::Ping(ping)).await? {
            Answer::Ping(reply) => Ok(Response::new(reply.into())),
            Answer::View { .. } => Err(Status::internal("the protocol answered another question")),
        }
    }

    async fn get_view(
        &self,
        _request: Request<wire::GetViewRequest>,
    ) -> Result<Response<wire::GetViewResponse>, Status> {
        match self.ask(Question::GetView).await? {
            Answer::View { view, data_lost } => {
                Ok(Response::new(wire::GetViewResponse { view: view.map(Into::into), data_lost }))
            }
            Answer::Ping(_) => Err(Status::internal("the protocol answered another question")),
        }
    }
}
