//! What can go wrong with this store alone, and what faults may wait for in it.

use pbkv::protocol::replica::{Notice, RoleName};
use serde::{Deserialize, Serialize};
use testbed::{data::fault::Node, marks::Strike, system::SystemFault};

/// Mistakes of operators, with the view service's record and with addresses.
#[derive(Clone, Debug, PartialEq, Hash, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mishap {
    /// The view service ends, and an operator starts it without its record or with an old copy of it. Later
    /// the operator looks: if no server's data goes on, the latest record is found and put in its place.
    Record {
        /// The server, or the role it has, whose data is to go on without a record; absent: the view
        /// service gets a copy of its record from before the latest view.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        adopt: Option<Node>,
        /// Also if that may give up what only others hold. A plan must see to it that they hold no more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        anyway: bool,
        /// After how long it is started again, in milliseconds.
        down_ms: u64,
        /// How long after that the operator looks, in milliseconds.
        runs_ms: u64,
    },
    /// The view service ends, and an operator declares all data lost, whether they are or not: every server
    /// that runs and is reached from the view service's machine is started again empty, and the view service
    /// of the next generation after a while. Later the operator looks: a server that holds data of an earlier
    /// generation is started again empty, too.
    AcceptLoss {
        /// After how long the view service is started again, in milliseconds.
        down_ms: u64,
        /// How long after that the operator looks, in milliseconds.
        runs_ms: u64,
    },
    /// A second process is started at a server's address, with nothing in its folder, while the first one
    /// runs on: what is called at the address from now on reaches the second one. The first one reaches
    /// everybody, and what was connected to it stays connected. In the end one of the two processes ends.
    Twin {
        /// Which.
        node: Node,
        /// For how long, in milliseconds.
        lasts_ms: u64,
        /// Again and again after this time the address leads to the other one of the two, in milliseconds;
        /// absent: it leads to the second one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turns_ms: Option<u64>,
        /// It is the first process that ends, and the second one keeps the address. Otherwise the second one
        /// ends. But a process that holds the last copy of the data stays.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        moves: bool,
    },
}

impl SystemFault for Mishap {
    const WORDS: &'static [&'static str] = &["record", "accept_loss", "twin"];

    fn name(&self) -> &'static str {
        match self {
            Self::Record { .. } => "record",
            Self::AcceptLoss { .. } => "accepted loss",
            Self::Twin { .. } => "twin",
        }
    }

    fn strike(&self) -> Strike {
        Strike::MemoryLoss
    }

    fn node(&self) -> Option<&str> {
        match self {
            Self::Record { adopt, .. } => adopt.as_deref(),
            Self::AcceptLoss { .. } => None,
            Self::Twin { node, .. } => Some(node),
        }
    }

    fn node_mut(&mut self) -> Option<&mut Node> {
        match self {
            Self::Record { adopt, .. } => adopt.as_mut(),
            Self::AcceptLoss { .. } => None,
            Self::Twin { node, .. } => Some(node),
        }
    }

    fn numbers(&mut self) -> Vec<(&mut u64, u64)> {
        match self {
            Self::Record { down_ms, runs_ms, .. } | Self::AcceptLoss { down_ms, runs_ms } => {
                vec![(down_ms, 1), (runs_ms, 1)]
            }
            Self::Twin { lasts_ms, .. } => vec![(lasts_ms, 1)],
        }
    }

    fn milder(&self) -> Vec<Self> {
        match self.clone() {
            Self::Twin { node, lasts_ms, turns_ms, moves } => {
                let steady =
                    turns_ms.map(|_| Self::Twin { node: node.clone(), lasts_ms, turns_ms: None, moves });
                let stays = moves.then_some(Self::Twin { node, lasts_ms, turns_ms, moves: false });
                steady.into_iter().chain(stays).collect()
            }
            Self::Record { adopt, anyway: true, down_ms, runs_ms } => {
                vec![Self::Record { adopt, anyway: false, down_ms, runs_ms }]
            }
            Self::Record { .. } | Self::AcceptLoss { .. } => Vec::new(),
        }
    }
}

/// What a fault may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// A state transfer began.
    TransferBegan,
    /// A state transfer was completed.
    TransferCompleted,
    /// The view service proposed a view.
    ViewProposed,
    /// The view service recorded an activation.
    ViewActivated,
    /// A server became primary.
    Promoted,
    /// A primary found a joiner up to date and announces it.
    Joined,
    /// A primary confirmed all replicas of its view; its acknowledgement is on its way.
    Confirmed,
    /// A primary reports a replica as silent.
    Suspected,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TransferBegan,
        Self::TransferCompleted,
        Self::ViewProposed,
        Self::ViewActivated,
        Self::Promoted,
        Self::Joined,
        Self::Confirmed,
        Self::Suspected,
    ];
}

impl Trigger {
    /// What a server's notice sets off.
    pub fn of(notice: &Notice) -> Option<Self> {
        match notice {
            Notice::TransferBegan { .. } => Some(Self::TransferBegan),
            Notice::TransferCompleted { .. } => Some(Self::TransferCompleted),
            Notice::RoleChanged { role: RoleName::Primary, .. } => Some(Self::Promoted),
            Notice::Joined { .. } => Some(Self::Joined),
            Notice::Confirmed { .. } => Some(Self::Confirmed),
            Notice::Suspected { .. } => Some(Self::Suspected),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use testbed::data::hash::stable_hash;

    use super::Trigger;
    use crate::bound::Fault;

    /// The salt is a hash of words: of kinds, of triggers, of nodes. Who improves a word changes what every
    /// saved plan does.
    #[test]
    fn saved_plans_decide_about_messages_as_they_did() {
        let salt = |rest: &str| {
            let text = format!("at_ms = 1250\n{rest}");
            toml::from_str::<Fault>(&text).unwrap_or_else(|error| panic!("{text}: {error}")).salt()
        };
        let ends = "from = [\"s1\", \"c1\"]\nto = [\"primary\"]\nlasts_ms = 300\n";
        let mut salts = vec![
            salt(&format!("fault = \"partition\"\nboth_ways = false\nhow = \"refuse\"\n{ends}")),
            salt(&format!("fault = \"closed\"\nhow = \"black_hole\"\n{ends}")),
            salt(&format!("fault = \"slow\"\nlatency_ms = 5\njitter_ms = 5\n{ends}")),
        ];
        for how in ["drop_request", "drop_reply", "duplicate", "delay", "hang", "cancel", "forge"] {
            salts.push(salt(&format!("fault = \"rpc\"\nhow = \"{how}\"\npercent = 50\n{ends}")));
        }
        for trigger in Trigger::ALL {
            let on = toml::Value::try_from(trigger).expect("a trigger is a word");
            salts.push(salt(&format!("on = {on}\nfault = \"closed\"\nhow = \"refuse\"\n{ends}")));
        }
        assert_eq!(stable_hash(&salts), PINNED, "saved plans mean something else now: {salts:?}");
    }

    const PINNED: u64 = 9_669_982_032_302_126_711;
}
