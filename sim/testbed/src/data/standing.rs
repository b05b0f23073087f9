//! How a run stands at a moment, as lines: each about something, and about the nodes that it names.

use std::time::Duration;

use crate::{
    data::{node::NodeName, outcome::RunOptions},
    observer::trace::TraceLine,
};

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// A process, or what the system says of itself.
    Stands,
    /// What is on a disk, and what is wrong with its drive.
    Disk,
    /// What is in the way between nodes.
    Link,
    /// A message on its way.
    Message,
    /// A call of a client that has not ended.
    Call,
}

impl Sort {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Stands, Self::Disk, Self::Link, Self::Message, Self::Call];

    /// With which its lines begin.
    pub fn label(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Disk => "disk",
            Self::Link => "link",
            Self::Message => "in flight",
            Self::Call => "under way",
        }
    }

    /// Lines of it that are told of one moment, at most.
    pub fn lines_max(self) -> usize {
        match self {
            Self::Stands | Self::Disk | Self::Link => 60,
            Self::Message | Self::Call => 30,
        }
    }
}

/// A line about how something stands. It says times, not how long ago they were: it changes only when what it
/// is about does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stands {
    /// What it is about.
    pub sort: Sort,
    /// The nodes that it is about; none if it is about the system as a whole.
    pub nodes: Vec<NodeName>,
    /// What it says.
    pub text: String,
}

/// Which steps are to be kept, each with how everything stood after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Those that are not before this time,
    pub from: Duration,
    /// and so many of them. The run ends with the last one.
    pub count: usize,
}

impl RunOptions {
    /// Whether the run is looked at before it is over.
    pub fn looks(&self) -> bool {
        self.until.is_some() || self.steps.is_some()
    }
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its lines of the trace.
    pub lines: Vec<TraceLine>,
    /// How everything stood when the next one was about to begin; none if the run ended in this one.
    pub standing: Option<Vec<Stands>>,
}

/// The lines that are about any of these nodes or about none, all if no names are given.
pub fn narrowed(lines: &[Stands], names: &[String]) -> Vec<Stands> {
    let is_named = |line: &&Stands| {
        let mut nodes = line.nodes.iter().peekable();
        names.is_empty()
            || nodes.peek().is_none()
            || nodes.any(|node| names.iter().any(|name| *name == **node))
    };
    lines.iter().filter(is_named).cloned().collect()
}

/// What differs between two moments: the lines that are gone, and those that are new.
pub fn changes(before: &[Stands], after: &[Stands]) -> (Vec<Stands>, Vec<Stands>) {
    let without = |lines: &[Stands], others: &[Stands]| {
        let mut rest = others.to_vec();
        let is_left = |line: &&Stands| match rest.iter().position(|other| other == *line) {
            Some(place) => {
                rest.swap_remove(place);
                false
            }
            None => true,
        };
        lines.iter().filter(is_left).cloned().collect()
    };
    (without(before, after), without(after, before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nodes: &[&str], text: &str) -> Stands {
        let nodes = nodes.iter().map(|name| (*name).into()).collect();
        Stands { sort: Sort::Message, nodes, text: text.into() }
    }

    #[test]
    fn lines_are_narrowed_to_nodes_and_what_is_about_no_node_stays() {
        let lines = [line(&[], "all"), line(&["s1", "s2"], "between"), line(&["s3"], "alone")];
        let texts = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            narrowed(&lines, &names).into_iter().map(|line| line.text).collect::<Vec<_>>()
        };
        assert_eq!(texts(&[]), ["all", "between", "alone"]);
        assert_eq!(texts(&["s2"]), ["all", "between"]);
        assert_eq!(texts(&["s3", "s1"]), ["all", "between", "alone"]);
        assert_eq!(texts(&["c1"]), ["all"]);
    }

    #[test]
    fn a_line_that_is_there_twice_and_then_once_is_gone_once() {
        let (one, two) = (line(&["s1"], "one"), line(&["s1"], "two"));
        let before = [one.clone(), one.clone(), two.clone()];
        assert_eq!(changes(&before, &[two.clone(), one.clone()]), (vec![one.clone()], vec![]));
        assert_eq!(changes(&before, &before), (vec![], vec![]));
        assert_eq!(changes(&before[2..], &before[..1]), (vec![two], vec![one]));
    }
}
