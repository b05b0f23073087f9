//! What the processes of the store report.

use std::fmt;

use pbkv::protocol::{
    identity::ServerId,
    replica::{self, RoleName},
    view::View,
    view_service,
};
use testbed::{
    data::node::NodeIndex,
    system::{
        self,
        notice::{Colour, Era, EraWords, LaneChange, State},
    },
};

use crate::store::nodes::Nodes;

/// A moment in the life of a server or of the view service.
// A run has few of them.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Notice {
    /// A server reports.
    Replica(replica::Notice),
    /// The view service reports.
    ViewService(view_service::Notice),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(notice) => notice.fmt(f),
            Self::ViewService(notice) => notice.fmt(f),
        }
    }
}

impl system::Notice for Notice {
    fn lane(&self) -> Vec<LaneChange> {
        match self {
            Self::Replica(notice) => lane(notice),
            Self::ViewService(_) => Vec::new(),
        }
    }

    fn era(&self) -> Option<Era> {
        match self {
            Self::ViewService(view_service::Notice::Proposed { view, why, .. }) => {
                Some(Era { why: Some(format!("proposed because {why}")), ..era(view, false) })
            }
            Self::ViewService(view_service::Notice::Activated(view)) => Some(era(view, true)),
            Self::ViewService(_) | Self::Replica(_) => None,
        }
    }
}

const PRIMARY: State = State { name: "primary", colour: Colour::Strong, legend: Some("primary") };
const BACKUP: State = State { name: "backup", colour: Colour::Light, legend: Some("backup") };
const IDLE: State = State { name: "idle", colour: Colour::Grey, legend: Some("idle") };
const FENCED: State = State { name: "fenced", colour: Colour::Amber, legend: Some("fenced") };
const STARTING: State = State { name: "starting", colour: Colour::Outline, legend: None };
const SERVING: State = State { name: "serving", colour: Colour::Light, legend: None };
const RECEIVES: State = State { name: "receives", colour: Colour::Teal, legend: Some("state transfer") };
const SENDS: State = State { name: "sends", colour: Colour::Teal, legend: None };

/// What a process can be,
pub const STATES: &[State] = &[PRIMARY, BACKUP, IDLE, FENCED, STARTING, SERVING];
/// and do besides.
pub const ACTIVITIES: &[State] = &[RECEIVES, SENDS];

/// Views, as eras.
pub const VIEWS: EraWords = EraWords {
    title: "views",
    proposed: "proposed",
    in_force: "active",
    legend: "view not active yet",
    never: "never acknowledged by its primary",
};

/// What a process is when it has just been started.
pub fn up(node: NodeIndex, life: u64) -> LaneChange {
    if node == Nodes::VIEW_SERVICE {
        is(SERVING, format!("view service, life {life}"))
    } else {
        is(STARTING, format!("life {life}, not accepted yet"))
    }
}

fn lane(notice: &replica::Notice) -> Vec<LaneChange> {
    use replica::Notice;
    let sends = |to: &ServerId| format!("sends state to {}", name(to));
    match notice {
        Notice::Accepted => vec![is(IDLE, "idle".into())],
        Notice::RoleChanged { role, view } => {
            let (state, text) = match role {
                RoleName::Idle => (IDLE, "idle".to_string()),
                RoleName::Backup => (BACKUP, format!("backup in {view}")),
                RoleName::Primary => (PRIMARY, format!("primary of {view}")),
            };
            let is = LaneChange::Is { state, text, era: Some(view.0) };
            // What a server receives goes on, whatever its role is.
            vec![is, LaneChange::Ends { state: SENDS, text: None }]
        }
        Notice::Fenced { view } => vec![is(FENCED, format!("fenced: {view} exists"))],
        Notice::TransferBegan { to, .. } => vec![LaneChange::Begins { state: SENDS, text: sends(to) }],
        Notice::TransferCompleted { to, .. } | Notice::TransferAbandoned { to } => {
            vec![LaneChange::Ends { state: SENDS, text: Some(sends(to)) }]
        }
        Notice::ReceivingState { from, .. } => {
            let text = format!("receives state from {}", name(from));
            vec![
                LaneChange::Ends { state: RECEIVES, text: None },
                LaneChange::Begins { state: RECEIVES, text },
            ]
        }
        Notice::StateInstalled { .. } => vec![LaneChange::Ends { state: RECEIVES, text: None }],
        _ => Vec::new(),
    }
}

fn is(state: State, text: String) -> LaneChange {
    LaneChange::Is { state, text, era: None }
}

fn era(view: &View, is_in_force: bool) -> Era {
    let primary = name(&view.primary);
    let in_sync: Vec<&str> = std::iter::once(primary).chain(view.backups().map(name)).collect();
    let joining: Vec<&str> = view.joining.keys().map(name).collect();
    let mut text = format!("{} {}", view.number, in_sync.join("+"));
    let mut details =
        vec![format!("view {}: primary {primary}", view.number.0), format!("in sync: {}", in_sync.join(" "))];
    if !joining.is_empty() {
        text.push_str(&format!(" ({} joins)", joining.join(" ")));
        details.push(format!("joining: {}", joining.join(" ")));
    }
    let name = format!("{} (primary {primary})", view.number);
    Era { number: view.number.0, is_in_force, name, text, details, why: None }
}

/// A server's name without its port.
pub fn name(server: &ServerId) -> &str {
    server.host()
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::{
        identity::{Boot, DataId, Generation, OpNumber, Position, ViewNumber},
        view::View,
    };

    use super::*;
    use testbed::system::Notice as _;

    fn server(name: &str) -> ServerId {
        ServerId::new(format!("{name}:1"))
    }

    /// The states that begin with a notice, and those that end.
    fn changes(notice: replica::Notice) -> (Vec<&'static str>, Vec<&'static str>) {
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for change in Notice::Replica(notice).lane() {
            match change {
                LaneChange::Is { state, .. } | LaneChange::Begins { state, .. } => begun.push(state.name),
                LaneChange::Ends { state, .. } => ended.push(state.name),
            }
        }
        (begun, ended)
    }

    #[test]
    fn a_server_in_another_role_sends_no_state_any_more_and_may_still_receive_one() {
        let at = Position { op: OpNumber(3), view: ViewNumber(1) };
        let idle = replica::Notice::RoleChanged { role: RoleName::Idle, view: ViewNumber(2) };
        assert_eq!(changes(idle), (vec!["idle"], vec!["sends"]));
        let receives = replica::Notice::ReceivingState { from: server("s2"), at };
        assert_eq!(changes(receives), (vec!["receives"], vec!["receives"]));
        assert_eq!(changes(replica::Notice::TransferBegan { to: server("s2"), at }), (vec!["sends"], vec![]));
    }

    #[test]
    fn a_view_is_said_by_its_members() {
        let view = View {
            generation: Generation::FIRST,
            number: ViewNumber(3),
            primary: server("s2"),
            primary_boot: Boot(1),
            insync: ["s1", "s2"].map(|name| (server(name), DataId { boot: Boot(1), nonce: 1 })).into(),
            joining: [(server("s3"), DataId { boot: Boot(1), nonce: 2 })].into(),
            activated: true,
        };
        let era = Notice::ViewService(view_service::Notice::Activated(view)).era().expect("it is a view");
        assert_eq!((era.text.as_str(), era.name.as_str()), ("v3 s2+s1 (s3 joins)", "v3 (primary s2)"));
        assert_eq!(era.details, ["view 3: primary s2", "in sync: s2 s1", "joining: s3"]);
        assert!(era.is_in_force);
    }
}
