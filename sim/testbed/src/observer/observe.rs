//! The one observer of a run: it sees every step and everything done to processes, and keeps the trace, the
//! timeline, the clients' operations and the numbers. What only the system knows is kept by its
//! [`Witness`].
//!
//! A step is fed into the trace's hash as data, not as text: writing events out costs more than making them.
//! The first broken invariant, or answer that no order explains, stops the observer; what the machines do
//! afterwards is not part of the run.

use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use crate::{
    data::{
        node::{NodeIndex, NodeName},
        nodes::Nodes,
        outcome::{End, Happening, Moment, Operation, Outcome, RunOptions, Stats, Violation},
        plan::Plan,
    },
    judges::{broken::Check, early::Watch},
    observer::{
        chain::Chain,
        messages::{Message, Messages},
        step::StepName,
        trace::TraceLine,
    },
    system::{System, Witness},
};

/// Steps at one instant of virtual time after which the machines are taken to be running in circles.
const STEPS_AT_ONCE_MAX: u64 = 100_000;

/// Everything that is kept of a run.
pub struct Observer<S: System> {
    /// What the system's own witness keeps.
    pub witness: S::Witness,
    /// Messages between processes, if they are kept.
    pub messages: Option<Messages>,
    nodes: Arc<Nodes>,
    options: RunOptions,
    chain: Chain,
    trace: Vec<TraceLine>,
    timeline: Vec<Moment<S>>,
    operations: Vec<Operation<S>>,
    violations: Vec<Violation>,
    stats: Stats<S>,
    occurrences: Vec<(S::Trigger, Duration)>,
    watch: Watch,
    /// Whose machine is being stepped.
    stepping: Option<NodeIndex>,
    /// What is being done, while it is.
    step: Option<StepName>,
    failed_step: Option<StepName>,
    now: Duration,
    steps_at_once: u64,
    stopped: bool,
}

impl<S: System> Observer<S> {
    /// Nothing seen yet.
    pub fn new(nodes: Arc<Nodes>, plan: &Plan<S>, options: RunOptions) -> Self {
        Self {
            witness: S::Witness::new(plan, &options),
            messages: (options.keep_messages || options.looks()).then(Messages::default),
            nodes,
            chain: Chain::new(options.table.clone()),
            options,
            trace: Vec::new(),
            timeline: Vec::new(),
            operations: Vec::new(),
            violations: Vec::new(),
            stats: Stats::default(),
            occurrences: Vec::new(),
            watch: Watch::default(),
            stepping: None,
            step: None,
            failed_step: None,
            now: Duration::ZERO,
            steps_at_once: 0,
            stopped: false,
        }
    }

    /// Whether the run is over: an invariant was broken, or an answer cannot be explained.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The run is over but for a last look at the state of every machine.
    pub fn close(&mut self) {
        self.chain.close();
        self.witness.close();
    }

    /// What the machines do from now on is not part of the run.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// The run ends here for a reason that is no invariant; `why` is a line of the trace. Returns whether it
    /// does: not if it is over, or invariants are left out.
    pub fn cut_short(&mut self, why: impl FnOnce() -> String) -> bool {
        if self.stopped || self.options.skip_invariants {
            return false;
        }
        self.line(why);
        self.stopped = true;
        true
    }

    /// The latest time at which anything was seen.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The node whose machine is being stepped, if any is.
    pub fn stepping(&self) -> Option<&NodeName> {
        self.stepping.map(|node| self.nodes.name(node))
    }

    /// The step that is being taken, if one is.
    pub fn step(&self) -> Option<StepName> {
        self.step
    }

    /// What triggers wait for, in the order in which it happened.
    pub fn occurrences(&self) -> &[(S::Trigger, Duration)] {
        &self.occurrences
    }

    /// How many steps were taken so far.
    pub fn steps(&self) -> u64 {
        self.chain.steps()
    }

    /// The lines of the trace that are kept.
    pub fn trace(&self) -> &[TraceLine] {
        &self.trace
    }

    /// All operations so far.
    pub fn operations(&self) -> &[Operation<S>] {
        &self.operations
    }

    /// What is kept of an operation beyond what was asked and told.
    pub fn detail(&mut self, operation: usize) -> &mut S::Detail {
        &mut self.operations[operation].detail
    }

    /// The numbers.
    pub fn stats_mut(&mut self) -> &mut Stats<S> {
        &mut self.stats
    }

    /// Something for the timeline that no machine reports.
    pub fn happened(&mut self, at: Duration, node: NodeIndex, event: Happening<S>) {
        if self.stopped {
            return;
        }
        self.witness.happened(at, node, &event);
        self.stamp(at, node);
        self.line(|| format!("{event:?}"));
        self.chain.note(at, (node, self.nodes.name(node)), StepName::SIMULATOR, &event);
        let name = self.nodes.name(node).clone();
        self.timeline.push(Moment { at, node: name, event });
    }

    /// A process reports something. It is part of a step, and may be what a fault waits for.
    pub fn reports(&mut self, at: Duration, node: NodeIndex, notice: S::Notice, trigger: Option<S::Trigger>) {
        self.occurrences.extend(trigger.map(|trigger| (trigger, at)));
        let name = self.nodes.name(node).clone();
        self.timeline.push(Moment { at, node: name, event: Happening::Notice(notice) });
    }

    /// A machine is about to take an event. Returns whether that is part of the run.
    pub fn begin_step<E: Hash + fmt::Debug>(
        &mut self,
        at: Duration,
        node: NodeIndex,
        step: StepName,
        event: &E,
    ) -> bool {
        self.stepping = Some(node);
        self.step = Some(step);
        // Also after the end of the run: nothing else gets a turn before this node has ended its own.
        self.steps_at_once = if at == self.now { self.steps_at_once + 1 } else { 0 };
        assert!(
            self.steps_at_once < STEPS_AT_ONCE_MAX,
            "{} takes step after step while no time passes: {event:?}",
            self.nodes.name(node)
        );
        if self.stopped {
            return false;
        }
        self.stats.steps += 1;
        self.stamp(at, node);
        self.chain.begin(at, (node, self.nodes.name(node)), step, event);
        self.line(|| format!("< {event:?}"));
        true
    }

    /// A machine took a step: its effects, a summary of its state, and the state. Returns whether that is
    /// part of the run.
    pub fn end_step<E: Hash + fmt::Debug>(
        &mut self,
        effects: &[E],
        summary: &impl Hash,
        machine: &impl Hash,
    ) -> bool {
        if !self.stopped {
            for effect in effects {
                self.line(|| format!("> {effect:?}"));
            }
            self.chain.end(&effects, summary, |hasher| machine.hash(hasher));
        }
        !self.stopped
    }

    /// A process hears a message. For systems whose machines are not observed step by step.
    pub fn heard(&mut self, at: Duration, node: NodeIndex, method: &str, message: u64) {
        if self.begin_step(at, node, StepName::MESSAGE, &(method, message)) {
            self.end_step::<u64>(&[], &(), &());
            self.step_is_over();
        }
    }

    /// Everything that belongs to a step was looked at.
    pub fn step_is_over(&mut self) {
        self.step = None;
    }

    /// Looks at something that is no step of a machine.
    pub fn outside(&mut self, at: Duration, node: NodeIndex, step: StepName, check: Check) {
        self.step = Some(step);
        self.check(at, node, check);
        self.step = None;
    }

    /// What a check of the system found. The first broken invariant ends the run.
    pub fn check(&mut self, at: Duration, node: NodeIndex, check: Check) {
        let Err(broken) = check else { return };
        if !self.stopped && !self.options.skip_invariants {
            self.line(|| format!("broken: {broken}"));
            self.stopped = true;
            self.failed_step = self.step;
            self.violations.push(Violation {
                at,
                node: self.nodes.name(node).clone(),
                invariant: broken.invariant.to_owned(),
                message: format!("{}; but {}", broken.promised, broken.seen),
            });
        }
    }

    /// A client calls; returns the place of its operation. `line` says it for the trace.
    pub fn called(
        &mut self,
        at: Duration,
        client: NodeIndex,
        (input, detail): (S::Input, S::Detail),
        line: impl FnOnce() -> String,
    ) -> usize {
        let operation = self.operations.len();
        let name = self.nodes.name(client).clone();
        self.stamp(at, client);
        self.line(line);
        self.chain.note(at, (client, &name), StepName::CALL, &input);
        self.operations.push(Operation { detail, ..Operation::called(name.clone(), at, input) });
        self.witness.called(at);
        self.timeline.push(Moment { at, node: name, event: Happening::Called { operation } });
        operation
    }

    /// A client's call ended. Returns whether that ends the run, because no order explains the answer, or the
    /// system's witness does not accept it.
    pub fn returned(&mut self, at: Duration, client: NodeIndex, operation: usize, end: End<S>) -> bool {
        if self.stopped {
            return true;
        }
        self.stamp(at, client);
        self.line(|| format!("ends {end:?}"));
        match &end {
            End::Open => {}
            End::Returned { .. } => self.stats.returned += 1,
            End::Unknown { .. } => self.stats.unknown += 1,
            End::NotExecuted { .. } => self.stats.not_executed += 1,
        }
        self.chain.note(at, (client, self.nodes.name(client)), StepName::RETURN, &end);
        self.operations[operation].end = end;
        let name = self.nodes.name(client).clone();
        self.timeline.push(Moment { at, node: name, event: Happening::Returned { operation } });
        if !self.options.skip_judgement
            && self.watch.is_contradiction(&self.operations, operation, &self.witness)
        {
            self.line(|| "no order explains the answers".into());
            self.stopped = true;
        }
        let check = self.witness.returned(operation, &self.operations[operation]);
        self.outside(at, client, StepName::RETURN, check);
        self.stopped
    }

    fn stamp(&mut self, at: Duration, node: NodeIndex) {
        self.now = at;
        self.stepping = Some(node);
    }

    fn line(&mut self, text: impl FnOnce() -> String) {
        let wanted = self.chain.wants_lines();
        let keeps = self.options.keep_trace || self.options.steps.is_some_and(|steps| self.now >= steps.from);
        if !wanted && !keeps && self.options.trace_sink.is_none() {
            return;
        }
        let node = self.nodes.name(self.stepping.unwrap_or_default()).clone();
        let line = TraceLine { at: self.now, node, text: text() };
        if wanted {
            self.chain.line(line.to_string());
        }
        if let Some(sink) = &self.options.trace_sink {
            sink(&line);
        }
        if keeps {
            self.trace.push(line);
        }
    }

    /// Adds the messages between nodes to what was kept. `clients` are those of the clients.
    pub fn take_messages(&mut self, clients: Messages) -> Vec<Message> {
        self.messages.take().map_or_else(Vec::new, |messages| messages.merge(clients).0)
    }

    /// What was kept, and the system's witness. The verdict, and whatever ended the run, is added by whoever
    /// ran it.
    pub fn into_outcome(self) -> (Outcome<S>, S::Witness) {
        let mut outcome = Outcome {
            trace_hash: self.chain.hash(),
            table: self.chain.into_table(),
            trace: self.trace,
            timeline: self.timeline,
            operations: self.operations,
            violations: self.violations,
            failed_step: self.failed_step,
            stats: self.stats,
            ..Outcome::default()
        };
        self.witness.conclude(&mut outcome);
        (outcome, self.witness)
    }
}
