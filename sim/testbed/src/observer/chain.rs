//! The hash chain of a run: one value after each step, which stands for all steps so far.
//!
//! A *step* is one event taken by a machine, with its effects; or a call of a client, its end, or something
//! that the simulator did. Each is fed into one hasher as data: when, where, the event, the effects, and of
//! the machine's state a summary (such as its role and the end of its log). The state as a whole is fed in
//! with every [`DIGEST_INTERVAL`]th step, because hashing it costs more than the step itself, and with every
//! step after the end of the run ([`Chain::close`]), when each machine that is up takes a few more. So the
//! trace's hash tells apart two runs whose machines differ, although no event has shown it, unless a failure
//! ends one of them early.
//!
//! On request the chain keeps a [`Table`]: a value after each step, and its parts, hashed one by one. Values
//! of two runs agree up to some step, and from there on differ for ever: so the first step that differs is
//! found by bisection, with few questions to runs in other processes ([`first_difference`]). The table of a
//! doctor's run holds the whole state at every step.
//!
//! Left out of the state: what a snapshot holds beyond its position (it was a state once, and was hashed
//! then), and what is on the way between nodes.

use std::{
    hash::{Hash, Hasher},
    ops::Range,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    data::{
        hash::{StableHasher, TraceHash, stable_hash},
        node::NodeName,
    },
    observer::step::StepName,
};

/// The state as a whole is hashed with every Nth step.
pub const DIGEST_INTERVAL: u64 = 256;

/// What a table should hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// Every Nth step has the whole state.
    pub digest_interval: u64,
    /// Keep what these steps were, as lines.
    pub lines: Range<u64>,
}

/// A chain as it grows.
#[derive(Debug, Default)]
pub struct Chain {
    hasher: StableHasher,
    steps: u64,
    closing: bool,
    options: Option<TableOptions>,
    table: Table,
    open: Option<Link>,
}

impl Chain {
    /// A chain without links.
    pub fn new(options: Option<TableOptions>) -> Self {
        Self { options, ..Self::default() }
    }

    /// The steps from here on are the last ones: each shows the whole state.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// A step begins.
    pub fn begin(&mut self, at: Duration, node: (usize, &NodeName), name: StepName, event: &impl Hash) {
        self.hasher.write_u64(u64::try_from(at.as_nanos()).expect("less than 500 years"));
        self.hasher.write_usize(node.0);
        event.hash(&mut self.hasher);
        if self.options.is_some() {
            let node = node.1.clone();
            self.open =
                Some(Link { at, node, name, event: stable_hash(event), effects: 0, state: 0, value: 0 });
        }
    }

    /// The step has these effects, and leaves the machine so. `state` feeds in the whole of it.
    pub fn end(&mut self, effects: &impl Hash, summary: &impl Hash, state: impl Fn(&mut StableHasher)) {
        effects.hash(&mut self.hasher);
        summary.hash(&mut self.hasher);
        let is_due = |interval| self.closing || self.steps.is_multiple_of(interval);
        if is_due(DIGEST_INTERVAL) {
            state(&mut self.hasher);
        }
        if let Some(mut link) = self.open.take() {
            let interval = self.options.as_ref().map_or(DIGEST_INTERVAL, |options| options.digest_interval);
            link.effects = stable_hash(effects);
            link.state = stable_hash(summary);
            if is_due(interval) {
                let mut digest = StableHasher::new();
                state(&mut digest);
                link.state = stable_hash(&(link.state, digest.finish()));
            }
            self.table.push(link);
        }
        self.steps += 1;
    }

    /// A step of something that has no state.
    pub fn note(&mut self, at: Duration, node: (usize, &NodeName), name: StepName, event: &impl Hash) {
        self.begin(at, node, name, event);
        self.end(&(), &(), |_| {});
    }

    /// Whether the current step, or the next one if none is under way, is wanted as lines.
    pub fn wants_lines(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.lines.contains(&self.steps))
    }

    /// A line about the current step.
    pub fn line(&mut self, text: String) {
        self.table.lines.push((self.steps, text));
    }

    /// How many steps there were.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// What stands for everything so far.
    pub fn hash(&self) -> TraceHash {
        TraceHash(self.hasher.finish())
    }

    /// The table, if one was asked for. A step that was not completed has no effects.
    pub fn into_table(mut self) -> Option<Table> {
        self.options?;
        if let Some(link) = self.open.take() {
            self.table.push(link);
        }
        Some(self.table)
    }
}

/// One step of a table, without its particulars.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    at: Duration,
    node: NodeName,
    name: StepName,
    event: u64,
    effects: u64,
    state: u64,
    value: u64,
}

/// The links of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    links: Vec<Link>,
    lines: Vec<(u64, String)>,
}

impl Table {
    fn push(&mut self, mut link: Link) {
        let Link { at, node, event, effects, state, .. } = &link;
        let before = self.links.last().map_or(0, |link| link.value);
        link.value = stable_hash(&(before, at, node, event, effects, state));
        self.links.push(link);
    }

    /// How many steps it has.
    pub fn steps(&self) -> u64 {
        self.links.len() as u64
    }

    /// The value after a step; steps count from 0.
    pub fn value(&self, step: u64) -> Option<u64> {
        self.links.get(usize::try_from(step).ok()?).map(|link| link.value)
    }

    /// A step, for comparison.
    pub fn glance(&self, step: u64) -> Option<Glance> {
        let link = self.links.get(usize::try_from(step).ok()?)?;
        Some(Glance {
            at: link.at,
            node: link.node.to_string(),
            name: link.name.to_string(),
            event: link.event,
            effects: link.effects,
            state: link.state,
        })
    }

    /// The lines that were asked for, each with its step.
    pub fn lines(&self) -> &[(u64, String)] {
        &self.lines
    }
}

/// A step as another process sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// When,
    pub at: Duration,
    /// where,
    pub node: String,
    /// and what sort of step.
    pub name: String,
    event: u64,
    effects: u64,
    state: u64,
}

impl Glance {
    /// The parts in which two steps differ, in words; none if they do not.
    pub fn differs(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("time", self.at == other.at),
            ("node", self.node == other.node),
            ("event", (&self.name, self.event) == (&other.name, other.event)),
            ("effects", self.effects == other.effects),
            ("state", self.state == other.state),
        ];
        parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect()
    }
}

/// The first step whose values differ, or that one of two runs does not have. The questions are few: as many
/// as the number of steps has binary digits.
///
/// # Errors
///
/// Those of the side that is asked.
pub fn first_difference<E>(
    steps: (u64, u64),
    mut first: impl FnMut(u64) -> Result<u64, E>,
    mut second: impl FnMut(u64) -> Result<u64, E>,
) -> Result<Option<u64>, E> {
    let mut same = |step| Ok(first(step)? == second(step)?);
    let both = steps.0.min(steps.1);
    if both == 0 || same(both - 1)? {
        return Ok((steps.0 != steps.1).then_some(both));
    }
    // All steps below `low` agree; the one before `high` does not.
    let (mut low, mut high) = (0, both);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if same(middle - 1)? { low = middle } else { high = middle }
    }
    Ok(Some(low))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A run as its parts: time, node, event, effects, state.
    type Step = [u64; 5];

    fn chain(steps: &[Step], digest_interval: u64) -> Chain {
        let mut chain = Chain::new(Some(TableOptions { digest_interval, lines: 0..0 }));
        for [at, node, event, effects, state] in steps {
            let name: NodeName = format!("s{node}").into();
            let at = Duration::from_nanos(*at);
            chain.begin(at, (*node as usize, &name), StepName::SIMULATOR, event);
            chain.end(effects, &(), |hasher| state.hash(hasher));
        }
        chain
    }

    fn table(steps: &[Step]) -> Table {
        chain(steps, 1).into_table().expect("it was asked for")
    }

    fn difference(one: &Table, other: &Table) -> Option<u64> {
        let value = |table: &Table, step| table.value(step).ok_or("asked for a step that is not there");
        let steps = (one.steps(), other.steps());
        first_difference(steps, |step| value(one, step), |step| value(other, step)).expect("it stays inside")
    }

    fn steps(count: u64) -> Vec<Step> {
        (0..count).map(|n| [10 * n, n % 3, n, n + 1, n / 2]).collect()
    }

    #[test]
    fn each_part_of_a_step_is_told_apart_and_named() {
        let same = steps(100);
        for (part, name) in ["time", "node", "event", "effects", "state"].into_iter().enumerate() {
            for step in [0, 1, 37, 98, 99] {
                let mut other = same.clone();
                other[step][part] += 1_000_003;
                let (one, other) = (table(&same), table(&other));
                assert_eq!(difference(&one, &other), Some(step as u64), "{name} at {step}");
                let glances = (one.glance(step as u64), other.glance(step as u64));
                let (Some(one), Some(other)) = glances else { panic!("both have it") };
                assert_eq!(one.differs(&other), [name]);
            }
        }
    }

    #[test]
    fn a_run_that_ends_early_differs_at_the_step_it_does_not_have() {
        let all = steps(50);
        assert_eq!(difference(&table(&all), &table(&all[..49])), Some(49));
        assert_eq!(difference(&table(&[]), &table(&all)), Some(0));
        assert_eq!(difference(&table(&[]), &table(&[])), None);
        assert_eq!(difference(&table(&all), &table(&all)), None);
    }

    #[test]
    fn few_values_are_asked_for() {
        let (one, mut other) = (steps(100_000), steps(100_000));
        other[77_777][3] = 0;
        let (one, other, mut asked) = (table(&one), table(&other), 0);
        let found = first_difference::<()>(
            (100_000, 100_000),
            |step| {
                asked += 1;
                one.value(step).ok_or(())
            },
            |step| other.value(step).ok_or(()),
        );
        assert_eq!(found, Ok(Some(77_777)));
        assert!(asked <= 18, "{asked} questions");
    }

    #[test]
    fn the_trace_hash_does_not_depend_on_what_is_kept_and_sees_the_state_at_every_interval() {
        let hash = |steps: &[Step], options| {
            let mut chain = Chain::new(options);
            for [at, _, event, effects, state] in steps {
                let name: NodeName = "s1".into();
                chain.begin(Duration::from_nanos(*at), (1, &name), StepName::SIMULATOR, event);
                chain.end(effects, &(), |hasher| state.hash(hasher));
            }
            chain.hash()
        };
        let one = steps(DIGEST_INTERVAL + 1);
        let every = Some(TableOptions { digest_interval: 1, lines: 0..5 });
        assert_eq!(hash(&one, None), hash(&one, every));
        let other_state = |from: usize| {
            let mut other = one.clone();
            other[from..].iter_mut().for_each(|step| step[4] += 1_000_003);
            hash(&other, None)
        };
        for from in [0, 1, DIGEST_INTERVAL as usize] {
            assert_ne!(other_state(from), hash(&one, None), "a state that differs from step {from} on");
        }
    }

    #[test]
    fn the_last_steps_show_the_whole_state_in_hash_and_table() {
        let closed = |state: u64, closes: bool| {
            let mut chain = chain(&steps(10), DIGEST_INTERVAL);
            if closes {
                chain.close();
            }
            chain.begin(Duration::from_secs(1), (1, &"s1".into()), StepName::SIMULATOR, &0);
            chain.end(&(), &(), |hasher| state.hash(hasher));
            (chain.hash(), chain.into_table().expect("it was asked for"))
        };
        let ((one, first), (other, second)) = (closed(1, true), closed(2, true));
        assert_ne!(one, other);
        assert_eq!(difference(&first, &second), Some(10));
        assert_eq!(closed(1, false), closed(2, false), "the first interval does not end with it");
    }

    #[test]
    fn a_step_that_was_not_completed_is_the_last_of_the_table() {
        let mut chain = chain(&steps(3), 1);
        chain.begin(Duration::from_secs(1), (1, &"s1".into()), StepName::CALL, &1u8);
        let table = chain.into_table().expect("it was asked for");
        assert_eq!(table.steps(), 4);
        assert_eq!(table.glance(3).map(|glance| glance.name), Some(StepName::CALL.to_string()));
    }

    proptest! {
        #[test]
        fn bisection_finds_what_comparing_every_step_finds(
            one in prop::collection::vec(prop::array::uniform5(0u64..3), 0..60),
            changes in prop::collection::vec((0usize..60, 0usize..5, 0u64..3), 0..3),
            kept in 0usize..60,
        ) {
            let mut other = one.clone();
            for (step, part, value) in changes {
                if let Some(step) = other.get_mut(step) {
                    step[part] = value;
                }
            }
            other.truncate(kept.max(1));
            let (both, differ) = (one.len().min(other.len()), one.len() != other.len());
            let linear = (0..both).find(|step| one[*step] != other[*step]).or(differ.then_some(both));
            prop_assert_eq!(difference(&table(&one), &table(&other)), linear.map(|step| step as u64));
        }
    }
}
