//! Which lines of a run are told.

use std::time::Duration;

use clap::Args;

use super::span::moment;
use crate::{
    data::{node::NodeIndex, nodes::Nodes, plan::Plan},
    system::System,
};

/// Lines of a timeline or a trace. Each option lets fewer through.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which lines")]
pub struct Filter {
    /// Only of this process, and faults that strike it; may be given several times.
    #[arg(long = "node", value_name = "NODE")]
    nodes: Vec<String>,
    /// Only of this client, such as c1: its calls, and how they end; may be given several times.
    #[arg(long = "client", value_name = "CLIENT")]
    clients: Vec<String>,
    /// Only what names this key, or whatever else operations are about.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only this kind, a word with which lines begin: fault, calls, put; with --trace Ping, Append, Notice,
    /// calls, ends, ...
    #[arg(long, value_name = "WORD")]
    kind: Option<String>,
    /// Not before this virtual time: as the lines say it, or with a unit.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Duration>,
    /// Not after this virtual time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Duration>,
}

impl Filter {
    /// Whether it is about what clients do.
    pub fn is_of_clients(&self) -> bool {
        !self.clients.is_empty() || self.key.is_some()
    }

    /// Whether each node that it names is one of the plan, and its times are in order.
    ///
    /// # Errors
    ///
    /// Which is not, and which there are.
    pub fn check<S: System>(&self, plan: &Plan<S>) -> Result<(), String> {
        let nodes = Nodes::new(plan);
        let names = |of: &[NodeIndex]| {
            let names: Vec<&str> = of.iter().map(|node| &**nodes.name(*node)).collect();
            names.join(", ")
        };
        let all: Vec<NodeIndex> = (0..nodes.len()).collect();
        if let Some(name) = self.nodes.iter().find(|name| nodes.find(name).is_none()) {
            return Err(format!("{name} is no node of this run: there are {}", names(&all)));
        }
        let clients: Vec<NodeIndex> = nodes.clients().chain([nodes.reader()]).collect();
        let is_client = |name: &&String| nodes.find(name).is_some_and(|node| clients.contains(&node));
        if let Some(name) = self.clients.iter().find(|name| !is_client(name)) {
            return Err(format!("{name} is no client of this run: there are {}", names(&clients)));
        }
        match (self.from, self.to) {
            (Some(from), Some(to)) if from > to => {
                Err(format!("--from {from:?} is after --to {to:?}: no line is in between"))
            }
            _ => Ok(()),
        }
    }

    /// Whether it can keep anything from being told.
    pub fn is_set(&self) -> bool {
        let Self { nodes, clients, key, kind, from, to } = self;
        !nodes.is_empty()
            || !clients.is_empty()
            || key.is_some()
            || kind.is_some()
            || from.is_some()
            || to.is_some()
    }

    /// Whether it lets a line through.
    pub fn lets(&self, at: Duration, node: &str, text: &str) -> bool {
        let head = text.split(['{', ',']).next().unwrap_or_default();
        let mut named = self.nodes.iter().chain(&self.clients).peekable();
        // What the simulator does is about the nodes that it names.
        let is_of =
            |name: &String| name == node || (node == crate::data::nodes::SIMULATOR && holds(text, name));
        self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at <= to)
            && (named.peek().is_none() || named.any(is_of))
            && self.key.as_ref().is_none_or(|key| holds(text, key))
            && self.kind.as_ref().is_none_or(|kind| holds(&head.to_lowercase(), &kind.to_lowercase()))
    }
}

/// Whether a text holds a word, with nothing on either side that words are made of.
fn holds(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy;

    fn lets(filter: &Filter) -> Vec<usize> {
        let lines = [
            (0, "p1", "Up { life: 1 }"),
            (10, "c1", "calls Put { key: b\"k1\", value: b\"c1.1,\" }"),
            (20, "p1", "< Peer(Append(Append { at: op2, key: b\"k1\" }))"),
            (30, "sim", "fault 0: pause: p1 stands still for 10 ms"),
            (40, "c1", "ends Returned { at: 40ms }"),
            (50, "p10", "< Ping { from: p1 }"),
        ];
        let through = |(at, node, text)| filter.lets(Duration::from_millis(at), node, text);
        (0..lines.len()).filter(|place| through(lines[*place])).collect()
    }

    #[test]
    fn each_option_lets_fewer_lines_through() {
        let some = |text: &str| Some(text.to_owned());
        let all = Filter::default();
        assert_eq!(lets(&all), [0, 1, 2, 3, 4, 5]);
        let p1 = Filter { nodes: vec!["p1".into()], ..all.clone() };
        assert_eq!(lets(&p1), [0, 2, 3]);
        assert_eq!(lets(&Filter { clients: vec!["c1".into()], ..p1.clone() }), [0, 1, 2, 3, 4]);
        assert_eq!(lets(&Filter { key: some("k1"), ..all.clone() }), [1, 2]);
        assert_eq!(lets(&Filter { key: some("k"), ..all.clone() }), [0; 0]);
        assert_eq!(lets(&Filter { kind: some("append"), ..all.clone() }), [2]);
        assert_eq!(lets(&Filter { kind: some("calls"), ..all.clone() }), [1]);
        let (from, to) = (Some(Duration::from_millis(20)), Some(Duration::from_millis(30)));
        assert_eq!(lets(&Filter { from, to, ..p1 }), [2, 3]);
    }

    #[test]
    fn a_node_that_is_not_there_is_named_with_those_that_are() {
        let all = Filter::default();
        let filter = Filter { nodes: vec!["p9".into()], ..all.clone() };
        let why = filter.check(&toy::plan()).expect_err("there are three");
        assert!(why.contains("p9 is no node") && why.contains("p1, p2, p3"), "{why}");
        let filter = Filter { clients: vec!["p1".into()], ..all.clone() };
        let why = filter.check(&toy::plan()).expect_err("a process");
        assert!(why.contains("p1 is no client") && why.ends_with("there are reader"), "{why}");
        let (from, to) = (Some(Duration::from_secs(2)), Some(Duration::from_secs(1)));
        let why = Filter { from, to, ..all.clone() }.check(&toy::plan()).expect_err("in no order");
        assert!(why.contains("--from 2s is after --to 1s"), "{why}");
        assert_eq!(all.check(&toy::plan()), Ok(()));
    }
}
