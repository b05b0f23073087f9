//! `viewservice.proto` and `storage.proto`.

use std::{collections::BTreeSet, time::Duration};

use prost::Message;

use super::{Malformed, generation, line, malformed, nanoseconds, number, position, present, server};
use crate::{
    protocol::{
        identity::{Boot, DataId, ServerId, ViewNumber},
        message::{Echo, Ping, PingReply, PingReplyBody, Probe, Token},
        options::{ClusterOptions, SPAN_MAX, SPAN_MIN},
        view::{Adopted, Members, Record, View},
        view_service::{Awaited, Distress, NotTaken, ServerStatus, Standing},
    },
    wire,
};

/// The most members or suspects that a message may name.
const MEMBERS_MAX: usize = 1024;

fn to_members(members: Members) -> Vec<wire::Member> {
    members
        .into_iter()
        .map(|(server, data)| wire::Member { server: server.as_str().to_owned(), data: Some(data.into()) })
        .collect()
}

fn from_members(what: &str, members: Vec<wire::Member>) -> Result<Members, Malformed> {
    if members.len() > MEMBERS_MAX {
        return malformed(format!("{what} names {} servers, the limit is {MEMBERS_MAX}", members.len()));
    }
    let mut named = Members::new();
    for member in members {
        let server = server(what, member.server)?;
        let data = DataId::try_from(present("a member's data", member.data)?)?;
        if named.insert(server.clone(), data).is_some() {
            return malformed(format!("{what} names {server} twice"));
        }
    }
    Ok(named)
}

impl From<View> for wire::View {
    fn from(view: View) -> Self {
        Self {
            generation: Some(view.generation.into()),
            number: view.number.0,
            primary: view.primary.as_str().to_owned(),
            primary_boot: view.primary_boot.0,
            insync: to_members(view.insync),
            joining: to_members(view.joining),
            activated: view.activated,
        }
    }
}

impl TryFrom<wire::View> for View {
    type Error = Malformed;

    fn try_from(view: wire::View) -> Result<Self, Malformed> {
        let primary = server("a view's primary", view.primary)?;
        let insync = from_members("a view's in-sync set", view.insync)?;
        let joining = from_members("a view's joining set", view.joining)?;
        if !insync.contains_key(&primary) {
            return malformed(format!("primary {primary} is not in sync in its own view"));
        }
        if let Some(both) = joining.keys().find(|server| insync.contains_key(server)) {
            return malformed(format!("{both} is both in sync and joining"));
        }
        Ok(Self {
            generation: generation(view.generation)?,
            number: ViewNumber(number("view", view.number)?),
            primary,
            primary_boot: Boot(number("boot", view.primary_boot)?),
            insync,
            joining,
            activated: view.activated,
        })
    }
}

impl From<Record> for wire::Record {
    fn from(record: Record) -> Self {
        Self {
            generation: Some(record.generation.into()),
            number: record.number.0,
            view: record.view.map(Into::into),
            stable: to_members(record.stable),
            promised_ns: nanoseconds(record.promised),
            adopted: record
                .adopted
                .map(|adopted| wire::Adopted { view: adopted.view.0, end: Some(adopted.end.into()) }),
        }
    }
}

impl TryFrom<wire::Record> for Record {
    type Error = Malformed;

    fn try_from(record: wire::Record) -> Result<Self, Malformed> {
        let adopted = record.adopted.map(|adopted| {
            let view = ViewNumber(number("view", adopted.view)?);
            Ok::<_, Malformed>(Adopted { view, end: position(adopted.end)? })
        });
        Ok(Self {
            generation: generation(record.generation)?,
            number: ViewNumber(number("view", record.number)?),
            view: record.view.map(View::try_from).transpose()?,
            stable: from_members("the stable set", record.stable)?,
            promised: Duration::from_nanos(record.promised_ns),
            adopted: adopted.transpose()?,
        })
    }
}

/// A record as it is stored.
pub fn encode_record(record: &Record) -> Vec<u8> {
    wire::Record::from(record.clone()).encode_to_vec()
}

/// A record as it was stored.
///
/// # Errors
///
/// If the bytes are no record.
pub fn decode_record(bytes: &[u8]) -> Result<Record, Malformed> {
    wire::Record::decode(bytes).map_err(|error| Malformed(error.to_string()))?.try_into()
}

impl From<Echo> for wire::Echo {
    fn from(echo: Echo) -> Self {
        Self { epoch: echo.epoch, at_ns: nanoseconds(echo.at) }
    }
}

impl From<wire::Echo> for Echo {
    fn from(echo: wire::Echo) -> Self {
        Self { epoch: echo.epoch, at: Duration::from_nanos(echo.at_ns) }
    }
}

impl From<Token> for wire::Token {
    fn from(token: Token) -> Self {
        Self { at_ns: nanoseconds(token.at), seal: token.seal }
    }
}

impl From<wire::Token> for Token {
    fn from(token: wire::Token) -> Self {
        Self { at: Duration::from_nanos(token.at_ns), seal: token.seal }
    }
}

impl From<Probe> for wire::ProbeRequest {
    fn from(Probe { token, view }: Probe) -> Self {
        Self { token: Some(token.into()), view: view.0 }
    }
}

impl TryFrom<wire::ProbeRequest> for Probe {
    type Error = Malformed;

    fn try_from(probe: wire::ProbeRequest) -> Result<Self, Malformed> {
        let token = present("a probe's token", probe.token)?.into();
        Ok(Self { token, view: ViewNumber(probe.view) })
    }
}

impl From<Ping> for wire::PingRequest {
    fn from(ping: Ping) -> Self {
        Self {
            server: ping.server.as_str().to_owned(),
            boot: ping.boot.0,
            data: ping.data.map(Into::into),
            generation: Some(ping.generation.into()),
            view_known: ping.view_known.0,
            view_told: ping.view_told.0,
            confirmed: to_members(ping.confirmed),
            suspects: ping.suspects.iter().map(|server| server.as_str().to_owned()).collect(),
            log_end: Some(ping.log_end.into()),
            log_durable: Some(ping.log_durable.into()),
            progress: ping.progress,
            echo: ping.echo.map(Into::into),
            number: ping.number,
            nonce: ping.nonce,
            wants_lease: ping.wants_lease,
            copies_min: u32::try_from(ping.copies_min).unwrap_or(u32::MAX),
            token: ping.token.map(Into::into),
            cannot_follow: ping.cannot_follow.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::PingRequest> for Ping {
    type Error = Malformed;

    fn try_from(ping: wire::PingRequest) -> Result<Self, Malformed> {
        if ping.suspects.len() > MEMBERS_MAX {
            return malformed(format!("{} suspects, the limit is {MEMBERS_MAX}", ping.suspects.len()));
        }
        let suspects: Result<BTreeSet<ServerId>, Malformed> =
            ping.suspects.into_iter().map(|suspect| server("a suspect", suspect)).collect();
        Ok(Self {
            server: server("the pinging server", ping.server)?,
            boot: Boot(number("boot", ping.boot)?),
            data: ping.data.map(DataId::try_from).transpose()?,
            generation: generation(ping.generation)?,
            view_known: ViewNumber(number("view", ping.view_known)?),
            view_told: ViewNumber(number("view", ping.view_told)?),
            confirmed: from_members("the confirmed set", ping.confirmed)?,
            suspects: suspects?,
            log_end: position(ping.log_end)?,
            log_durable: position(ping.log_durable)?,
            progress: number("progress", ping.progress)?,
            echo: ping.echo.map(Into::into),
            token: ping.token.map(Into::into),
            number: number("ping", ping.number)?,
            nonce: ping.nonce,
            wants_lease: ping.wants_lease,
            copies_min: ping.copies_min as usize,
            cannot_follow: trouble(ping.cannot_follow, REFUSAL_BYTES_MAX)?,
        })
    }
}

impl From<PingReply> for wire::PingResponse {
    fn from(reply: PingReply) -> Self {
        use wire::ping_response::{Accepted, Body, StaleBoot, StaleData, Unconfirmed, WrongGeneration};
        let body = match reply.body {
            PingReplyBody::Accepted { view, echo, lease, generation } => Body::Accepted(Accepted {
                view: view.map(Into::into),
                echo: Some(echo.into()),
                lease_ns: lease.map(nanoseconds),
                generation: Some(generation.into()),
            }),
            PingReplyBody::StaleBoot { max } => Body::StaleBoot(StaleBoot { max: max.0 }),
            PingReplyBody::StaleData { data } => Body::StaleData(StaleData { data: Some(data.into()) }),
            PingReplyBody::Unconfirmed { holder } => {
                Body::Unconfirmed(Unconfirmed { holder: holder.map(|boot| boot.0) })
            }
            PingReplyBody::WrongGeneration { generation } => {
                Body::WrongGeneration(WrongGeneration { generation: Some(generation.into()) })
            }
        };
        Self {
            boot: reply.boot.0,
            number: reply.number,
            body: Some(body),
            dead_after_ns: nanoseconds(reply.cluster.dead_after),
            replicas: u32::try_from(reply.cluster.replicas).unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<wire::PingResponse> for PingReply {
    type Error = Malformed;

    fn try_from(reply: wire::PingResponse) -> Result<Self, Malformed> {
        use wire::ping_response::Body;
        let body = match present("the answer to a ping", reply.body)? {
            Body::Accepted(accepted) => PingReplyBody::Accepted {
                view: accepted.view.map(View::try_from).transpose()?,
                echo: present("the view service's time", accepted.echo)?.into(),
                lease: accepted.lease_ns.map(Duration::from_nanos),
                generation: generation(accepted.generation)?,
            },
            Body::StaleBoot(stale) => PingReplyBody::StaleBoot { max: Boot(number("boot", stale.max)?) },
            Body::StaleData(stale) => {
                PingReplyBody::StaleData { data: present("contents", stale.data)?.try_into()? }
            }
            Body::Unconfirmed(unconfirmed) => PingReplyBody::Unconfirmed {
                holder: unconfirmed.holder.map(|boot| number("boot", boot)).transpose()?.map(Boot),
            },
            Body::WrongGeneration(wrong) => {
                PingReplyBody::WrongGeneration { generation: generation(wrong.generation)? }
            }
        };
        let dead_after = Duration::from_nanos(reply.dead_after_ns);
        if !(SPAN_MIN..=SPAN_MAX).contains(&dead_after) || reply.replicas == 0 {
            return malformed(format!(
                "the view service says a dead-after of {dead_after:?} and {} replicas, which cannot be; are both \
                 programs of one version?",
                reply.replicas
            ));
        }
        let cluster = ClusterOptions { dead_after, replicas: reply.replicas as usize };
        let (boot, number) = (Boot(number("boot", reply.boot)?), number("ping", reply.number)?);
        Ok(Self { boot, number, cluster, body })
    }
}

impl From<Distress> for wire::Distress {
    fn from(distress: Distress) -> Self {
        use wire::distress::Kind;
        let count = |copies: usize| u32::try_from(copies).unwrap_or(u32::MAX);
        let (copies_min, replicas) = match distress {
            Distress::UpdatesRefused { copies_min, replicas, .. } => (count(copies_min), count(replicas)),
            _ => (0, 0),
        };
        let awaited = match distress {
            Distress::Replacing { after: Awaited::Lease, .. } => wire::distress::Awaited::Lease,
            Distress::Replacing { after: Awaited::Listening, .. } => wire::distress::Awaited::ListeningTime,
            _ => wire::distress::Awaited::Nothing,
        };
        let (kind, servers) = match distress {
            Distress::OldRecord => (Kind::OldRecord, Vec::new()),
            Distress::DataLost(servers) => (Kind::DataLost, servers),
            Distress::Waiting(servers) => (Kind::Waiting, servers),
            Distress::UnknownHistory(servers) => (Kind::UnknownHistory, servers),
            Distress::LedAstray(servers) => (Kind::LedAstray, servers),
            Distress::Listening(servers) => (Kind::Listening, servers),
            Distress::NoServer => (Kind::NoServer, Vec::new()),
            Distress::Unknown => (Kind::Unspecified, Vec::new()),
            Distress::Adopting(server) => (Kind::Adopting, vec![server]),
            Distress::UpdatesRefused { primary, .. } => (Kind::UpdatesRefused, vec![primary]),
            Distress::Replacing { primary, .. } => (Kind::Replacing, vec![primary]),
        };
        let named = servers.iter().take(MEMBERS_MAX).map(|server| server.as_str().to_owned());
        Self { kind: kind.into(), servers: named.collect(), copies_min, replicas, awaited: awaited.into() }
    }
}

impl TryFrom<wire::Distress> for Distress {
    type Error = Malformed;

    fn try_from(distress: wire::Distress) -> Result<Self, Malformed> {
        use wire::distress::Kind;
        let (kind, awaited) = (distress.kind(), distress.awaited());
        if distress.servers.len() > MEMBERS_MAX {
            return malformed(format!("a distress names {} servers", distress.servers.len()));
        }
        let mut servers = distress.servers.into_iter().map(|address| server("a server in distress", address));
        Ok(match kind {
            // Of a later program: no reason not to find the primary.
            Kind::Unspecified => Self::Unknown,
            Kind::LedAstray => Self::LedAstray(servers.collect::<Result<_, _>>()?),
            Kind::Listening => Self::Listening(servers.collect::<Result<_, _>>()?),
            Kind::NoServer => Self::NoServer,
            Kind::OldRecord => Self::OldRecord,
            Kind::DataLost => Self::DataLost(servers.collect::<Result<_, _>>()?),
            Kind::Waiting => Self::Waiting(servers.collect::<Result<_, _>>()?),
            Kind::UnknownHistory => Self::UnknownHistory(servers.collect::<Result<_, _>>()?),
            Kind::Adopting => Self::Adopting(present("the server to be adopted", servers.next())??),
            Kind::UpdatesRefused => Self::UpdatesRefused {
                primary: present("the primary that refuses updates", servers.next())??,
                copies_min: distress.copies_min as usize,
                replicas: distress.replicas as usize,
            },
            Kind::Replacing => Self::Replacing {
                primary: present("the primary to be replaced", servers.next())??,
                after: match awaited {
                    wire::distress::Awaited::Nothing => Awaited::Nothing,
                    wire::distress::Awaited::Lease => Awaited::Lease,
                    wire::distress::Awaited::ListeningTime => Awaited::Listening,
                },
            },
        })
    }
}

impl From<NotTaken> for wire::NotTaken {
    fn from(not_taken: NotTaken) -> Self {
        use wire::not_taken::Why;
        let why = match not_taken {
            NotTaken::OtherHistory(_) => Why::OtherHistory,
            NotTaken::HoldsMore(_) => Why::HoldsMore,
            NotTaken::Unreached(_) => Why::Unreached,
            NotTaken::Unknown(_) => Why::Unspecified,
        };
        let named = not_taken.servers().iter().take(MEMBERS_MAX).map(|server| server.as_str().to_owned());
        Self { why: why.into(), servers: named.collect() }
    }
}

impl TryFrom<wire::NotTaken> for NotTaken {
    type Error = Malformed;

    fn try_from(not_taken: wire::NotTaken) -> Result<Self, Malformed> {
        use wire::not_taken::Why;
        let why = not_taken.why();
        if not_taken.servers.len() > MEMBERS_MAX {
            return malformed(format!("{} servers are named as not taken", not_taken.servers.len()));
        }
        let named =
            not_taken.servers.into_iter().map(|address| server("a server that is not taken", address));
        let servers = named.collect::<Result<_, _>>()?;
        Ok(match why {
            Why::OtherHistory => Self::OtherHistory(servers),
            Why::HoldsMore => Self::HoldsMore(servers),
            Why::Unreached => Self::Unreached(servers),
            Why::Unspecified => Self::Unknown(servers), // of a later program
        })
    }
}

/// The longest explanation that is taken from a server, in bytes,
const REFUSAL_BYTES_MAX: usize = 500;
/// and from the view service, which may repeat that.
const TROUBLE_BYTES_MAX: usize = 600;

/// What is wrong with a server; nothing if nothing is said.
fn trouble(told: String, bytes_max: usize) -> Result<Option<String>, Malformed> {
    let told = Some(told).filter(|told| !told.is_empty());
    told.map(|told| line("what is wrong with a server", told, bytes_max)).transpose()
}

/// The statuses of servers, as many as one answer may have.
pub fn statuses(servers: Vec<ServerStatus>) -> Vec<wire::ServerStatus> {
    servers.into_iter().take(MEMBERS_MAX).map(Into::into).collect()
}

impl From<ServerStatus> for wire::ServerStatus {
    fn from(status: ServerStatus) -> Self {
        use wire::server_status::Standing as To;
        let standing = match status.standing {
            Standing::Primary => To::Primary,
            Standing::Backup => To::Backup,
            Standing::Joiner => To::Joiner,
            Standing::Idle => To::Idle,
            Standing::NotTaken => To::NotTaken,
        };
        Self {
            server: status.server.as_str().to_owned(),
            standing: standing.into(),
            trouble: status.trouble.unwrap_or_default(),
            log_end: Some(status.log_end.into()),
            progress: status.progress,
            still_for_ns: nanoseconds(status.still_for),
            silent_for_ns: nanoseconds(status.silent_for),
            runs: status.runs,
        }
    }
}

impl TryFrom<wire::ServerStatus> for ServerStatus {
    type Error = Malformed;

    fn try_from(status: wire::ServerStatus) -> Result<Self, Malformed> {
        use wire::server_status::Standing as From;
        let standing = match status.standing() {
            From::Primary => Standing::Primary,
            From::Backup => Standing::Backup,
            From::Joiner => Standing::Joiner,
            From::Idle => Standing::Idle,
            From::NotTaken => Standing::NotTaken,
        };
        Ok(Self {
            server: server("a server's status", status.server)?,
            standing,
            trouble: trouble(status.trouble, TROUBLE_BYTES_MAX)?,
            log_end: position(status.log_end)?,
            progress: number("progress", status.progress)?,
            still_for: Duration::from_nanos(status.still_for_ns),
            silent_for: Duration::from_nanos(status.silent_for_ns),
            runs: status.runs,
        })
    }
}
