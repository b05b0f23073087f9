//! What a replica notices, as an operator reads it in the log.

use crate::protocol::replica::{Notice, SessionLimit};

/// Writes it to the log.
pub fn log(notice: Notice) {
    use tracing::{debug, error, info, warn};
    match notice {
        Notice::Accepted => info!("accepted by the view service"),
        Notice::RoleChanged { role, view } => info!(?role, %view, "the role changed"),
        Notice::Confirmed { view } => debug!(%view, "all replicas of the view are confirmed"),
        Notice::Activated { view } => info!(%view, "the view is active"),
        Notice::Fenced { view } => warn!(%view, "a later view exists: no longer primary"),
        Notice::AnotherPrimary { view, primary } => error!(
            %view, %primary,
            "the view service names another primary of this server's own view: it runs with an old copy of its record. This \
             server is no longer primary"
        ),
        Notice::HeardAgain { server } => info!(%server, "a replica is heard again; the view service is told"),
        Notice::Suspected { server } => {
            warn!(%server, "a replica is silent or accepts nothing; the view service is told")
        }
        Notice::PrimarySilent { server } => {
            warn!(%server, "the primary is not heard; the view service is told")
        }
        Notice::PrimarySilenceEnds { server } => {
            info!(%server, "the primary is heard again, or there is another view")
        }
        Notice::ViewServiceSilent | Notice::ViewServiceAnswers => {} // the contact knows why
        Notice::FewCopies { copies: 1, wanted } => {
            warn!(wanted, "updates are acknowledged with a single copy: if this server is lost, the data is")
        }
        Notice::FewCopies { copies, wanted } => {
            warn!(copies, wanted, "updates are acknowledged with fewer copies than wanted")
        }
        Notice::EnoughCopies { copies } => {
            info!(copies, "updates are acknowledged with as many copies as wanted again")
        }
        Notice::UpdatesRefused { copies, copies_min } => warn!(
            copies,
            copies_min,
            "all updates are refused until as many copies as --copies-min are in sync; reads are served"
        ),
        Notice::UpdatesTaken { copies } => info!(copies, "updates are taken again"),
        Notice::SessionsFull { limit: SessionLimit::Count, held, max } => warn!(
            sessions = held,
            max,
            "clients are refused, because as many sessions are open as --sessions-max. Those that are not closed end by \
             --session-ttl"
        ),
        Notice::SessionsFull { limit: SessionLimit::Bytes, held, max } => warn!(
            bytes = held,
            max,
            "compare-and-swaps are refused, because sessions remember as many bytes as --session-bytes-max. Sessions that \
             are not closed end by --session-ttl"
        ),
        Notice::SessionsHaveRoom { limit: SessionLimit::Count, held } => {
            info!(sessions = held, "there is room for sessions again")
        }
        Notice::SessionsHaveRoom { limit: SessionLimit::Bytes, held } => {
            info!(bytes = held, "there is room again for what sessions remember")
        }
        Notice::PingsMoreOften { told, interval, dead_after } => warn!(
            ping_interval = ?told, ?dead_after, ?interval,
            "--ping-interval is too long for the view service's --dead-after: this server pings more often"
        ),
        Notice::CopiesOutOfReach { copies_min, wanted } => error!(
            copies_min,
            replicas = wanted,
            "--copies-min is more than the view service's --replicas: as primary this server refuses all updates; \
             lower the one or raise the other"
        ),
        Notice::Joined { server, at } => info!(%server, %at, "a backup is up to date"),
        Notice::TransferBegan { to, at } => info!(%to, ?at, "a state transfer began"),
        Notice::TransferCompleted { to, at } => info!(%to, %at, "a state transfer completed"),
        Notice::TransferAbandoned { to } => {
            warn!(%to, "a joiner is left behind, it gets a later state: the log that it needs outgrew its limit");
        }
        Notice::ReceivingState { from, at } => info!(%from, ?at, "receiving the state, the transfer began"),
        Notice::StateInstalled { at } => info!(?at, "the state is installed, the transfer completed"),
        Notice::PeerRefused { from, why } => error!(
            %from, why = why.to_string(),
            "refused a message of another server. If an operator gave up what this server holds, start it again empty"
        ),
        Notice::BootRaised { boot } => warn!(%boot, "the view service knows a later life of this server"),
        Notice::OldCopy { end } => warn!(
            ?end,
            "the data folder is an older copy of itself, or another process runs on a copy of it: others count on what \
             it forgot. This server keeps what it holds, as a stranger, and gets the rest like a new one"
        ),
        Notice::Unconfirmed { advertised, own, holder: Some(holder) } => error!(
            %advertised, %own, %holder,
            "another server answers at the address that this one advertises, so this one is not used; give each \
             an address of its own with --advertise"
        ),
        Notice::Unconfirmed { advertised, own, holder: None } => error!(
            %advertised, %own,
            "the view service cannot reach this server at its advertised address, so it is not used; is \
             --advertise right, does a firewall let connections in?"
        ),
        Notice::Believed => info!("the view service reaches this server again, and believes it"),
        Notice::WrongGeneration { own, current } => error!(
            %own, %current,
            "the data of this server belongs to another generation than the view service's, so this server keeps it and serves \
             nobody. See the view service's log before you stop this server: if the record was lost or is a wrong one, this may \
             be the only copy. If the data was declared lost, start this server again empty"
        ),
    }
}
