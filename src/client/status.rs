//! What an operator asks of the view service.

use super::{Call, Client, ClientError, NoView, ViewReport};
use crate::{
    channel,
    clock::{Clock, before},
    proto::{self, Malformed},
    protocol::view_service::ServerStatus,
    wire,
};

/// The longest command line that is taken, in bytes: it names folders, of which each byte may be written as
/// four.
const COMMAND_BYTES_MAX: usize = 64 << 10;

/// What the view service knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// What every client is told.
    pub report: ViewReport,
    /// Each server that it hears or has in its record, the members of the view first; asked a moment later.
    pub servers: Vec<ServerStatus>,
    /// Nothing else runs, as far as the view service can know: see
    /// [`Survey`](crate::protocol::view_service::Survey).
    pub is_complete: bool,
    /// The command line by which an operator starts the view service again in its place, if it knows one.
    pub command: Option<String>,
}

impl<C: Clock> Client<C> {
    /// Asks the view service for the current view, and for what it knows of each server.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotExecuted`] if it cannot be reached.
    pub async fn status(&mut self) -> Result<StatusReport, ClientError> {
        let mut call = self.begin()?;
        while self.clock.now() < call.deadline {
            match self.get_status(&call).await {
                Ok(report) => return Ok(report),
                Err(NoView::Unreached(why)) => call.view_service_said = Some(why),
                Err(NoView::Impostor(why)) => return Err(ClientError::Invalid(why)),
            }
            self.pause(&mut call).await;
        }
        Err(call.gave_up())
    }

    async fn get_status(&mut self, call: &Call) -> Result<StatusReport, NoView> {
        let silent =
            |why: String| NoView::Unreached(format!("the view service says nothing of its servers: {why}"));
        let report = self.get_view(call).await?;
        let address = &self.options.view_service[self.asks];
        let mut client = self.connections.view_service(address).map_err(silent)?;
        let answer = before(&self.clock, call.deadline, client.get_status(wire::GetStatusRequest {})).await;
        let answer = answer.ok_or_else(|| silent("no answer in time".into()))?;
        let answer = answer.map_err(|status| silent(channel::cause(&status)))?.into_inner();
        let servers: Result<_, Malformed> = answer.servers.into_iter().map(ServerStatus::try_from).collect();
        let servers = servers.map_err(|malformed| silent(malformed.to_string()))?;
        let is_complete = answer.complete;
        // One that is not for every terminal is no pbkv view service's.
        let command = proto::line("the command line", answer.command, COMMAND_BYTES_MAX).ok();
        Ok(StatusReport {
            report,
            servers,
            is_complete,
            command: command.filter(|command| !command.is_empty()),
        })
    }
}
