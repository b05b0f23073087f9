//! Plans of one sort only: `clients=2,faults=crash+partition,servers=3`.
//!
//! | name | what a plan is narrowed to |
//! | --- | --- |
//! | `clients` | plans with so many clients |
//! | a field of `[cluster]`, such as `servers` | plans in which it has this value |
//! | `faults` | what else would go wrong is taken out: kinds as in plans, or `none` |
//! | `ops` | what else clients would call is taken out: verbs as in scripts |
//!
//! A seed then stands for the first plan that fits: its own, or one of other seeds that follow from its
//! number. So a narrowed run has a name of its own, `42,servers=3`, from which the same run is made again
//! ([`crate::data::seed`]), and as many seeds are explored as were asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    data::{
        fault::{Fault, FaultKind, Mistreatment},
        hash::stable_hash,
        line,
        plan::Plan,
        seed::{Only, Seed},
        validate::validate,
    },
    system::System,
};

/// How many plans are looked at to see whether any fit.
const SAMPLE: u64 = 1_000;
/// How many of them must: with fewer, it takes too long to find plans.
const FITTING_MIN: u64 = 3;
/// How many plans are drawn for one seed, at most. Of those that pass [`check`], none needs as many.
const DRAWS_MAX: u64 = 100_000;
/// Values of a field that are listed, at most.
const LISTED_MAX: usize = 12;

const CLIENTS: &str = "clients";
const FAULTS: &str = "faults";
const OPS: &str = "ops";
/// No faults.
const NONE: &str = "none";

/// The plan that a seed stands for.
///
/// # Errors
///
/// None, or nearly none, of the plans that are drawn is of the sort that is asked for; and of what sorts they
/// are.
pub fn plan<S: System>(seed: &Seed) -> Result<Plan<S>, String> {
    if seed.only.is_empty() {
        return Ok(S::draw(seed.number));
    }
    check_words::<S>(&seed.only)?;
    for draw in 0..DRAWS_MAX {
        if draw == SAMPLE {
            check::<S>(&seed.only)?;
        }
        let drawn = if draw == 0 { seed.number } else { stable_hash(&("narrow", seed.number, draw)) };
        if let Some(plan) = narrow(S::draw(drawn), &seed.only) {
            return Ok(plan);
        }
    }
    Err(format!("none of {DRAWS_MAX} plans fits {seed}"))
}

/// Whether seeds can be narrowed so.
///
/// # Errors
///
/// As of [`plan`].
pub fn check<S: System>(only: &Only) -> Result<(), String> {
    if only.is_empty() {
        return Ok(());
    }
    check_words::<S>(only)?;
    let sample: Vec<Plan<S>> = (0..SAMPLE).map(S::draw).collect();
    let fitting = |only: &Only| sample.iter().filter(|plan| narrow((*plan).clone(), only).is_some()).count();
    let all = fitting(only);
    if all as u64 >= FITTING_MIN {
        return Ok(());
    }
    let mut why = format!("of {SAMPLE} plans that were drawn, {all} fit {only}:");
    for (name, values) in only.iter() {
        let values = values.iter().map(String::as_str).collect::<Vec<_>>().join("+");
        let alone: Only = format!("{name}={values}").parse()?;
        why.push_str(&format!("\n  {alone} fits {}{}", fitting(&alone), seen(name, &sample)));
    }
    Err(why)
}

/// What a name is in these plans, in words that go on a line.
fn seen<S: System>(name: &str, sample: &[Plan<S>]) -> String {
    if [FAULTS, OPS].contains(&name) {
        return String::new();
    }
    let mut values: Vec<String> = sample.iter().filter_map(|plan| value(plan, name)).collect();
    if values.is_empty() {
        let fields: BTreeSet<String> = sample.iter().flat_map(|plan| fields(plan).into_keys()).collect();
        let fields: Vec<String> = fields.into_iter().collect();
        return format!(
            ": there is no such name. There are {CLIENTS}, {FAULTS}, {OPS}, and what [cluster] has: {}",
            if fields.is_empty() { "nothing".into() } else { fields.join(", ") }
        );
    }
    values.sort_by_key(|value| (value.parse::<u64>().unwrap_or(u64::MAX), value.clone()));
    values.dedup();
    match values.len() {
        ..=LISTED_MAX => format!("; it is {}", values.join(", ")),
        many => format!("; it has {many} values, from {} to {}", values[0], values[many - 1]),
    }
}

/// Whether faults and operations are called as they are in plans.
fn check_words<S: System>(only: &Only) -> Result<(), String> {
    for (name, values) in only.iter() {
        let words: Vec<&str> = match name {
            FAULTS => {
                let own = FaultKind::<S>::words().chain(Mistreatment::ALL.map(Mistreatment::word));
                own.chain([NONE]).collect()
            }
            OPS => S::VERBS.iter().map(|verb| verb.word).collect(),
            _ => continue,
        };
        if let Some(wrong) = values.iter().find(|value| !words.contains(&value.as_str())) {
            return Err(format!("{name}={wrong} is not known; write {}", words.join(", ")));
        }
        if name == FAULTS && values.len() > 1 && values.contains(NONE) {
            return Err(format!("{FAULTS}={NONE} cannot be joined with other faults"));
        }
    }
    Ok(())
}

/// A plan without what is not asked for, if it is of the sort that is.
fn narrow<S: System>(mut plan: Plan<S>, only: &Only) -> Option<Plan<S>> {
    let is_sort = |(name, values): (&str, &BTreeSet<String>)| {
        [FAULTS, OPS].contains(&name) || value(&plan, name).is_some_and(|value| values.contains(&value))
    };
    if !only.iter().all(is_sort) {
        return None;
    }
    for (name, values) in only.iter() {
        match name {
            FAULTS => {
                plan.faults.retain(|fault| is_of(fault, values));
                if plan.faults.is_empty() && !values.contains(NONE) {
                    return None;
                }
            }
            OPS => {
                for client in &mut plan.clients {
                    client.script.retain(|line| {
                        line::words(line).split_whitespace().next().is_some_and(|verb| values.contains(verb))
                    });
                }
                if plan.clients.iter().all(|client| client.script.is_empty()) {
                    return None;
                }
            }
            _ => {}
        }
    }
    // What is left may need what was taken out.
    validate(&plan).is_ok().then_some(plan)
}

fn is_of<S: System>(fault: &Fault<S>, words: &BTreeSet<String>) -> bool {
    let is_mistreatment = matches!(fault.kind, FaultKind::Rpc { how, .. } if words.contains(how.word()));
    is_mistreatment || words.contains(&fault.kind.word())
}

/// What a plan has under a name, as text.
fn value<S: System>(plan: &Plan<S>, name: &str) -> Option<String> {
    if name == CLIENTS {
        return Some(plan.clients.len().to_string());
    }
    fields(plan).remove(name)
}

/// The fields of a set-up that have one value.
fn fields<S: System>(plan: &Plan<S>) -> BTreeMap<String, String> {
    let table = toml::Table::try_from(&plan.cluster).unwrap_or_default();
    let text = |value: toml::Value| match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
        other => Some(other.to_string()),
    };
    table.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{fault::Memory, plan::Client},
        system::{
            Setup,
            toy::{Processes, Toy},
        },
    };

    fn only(text: &str) -> Only {
        text.parse().expect(text)
    }

    fn crash() -> Fault<Toy> {
        let kind = FaultKind::Crash { node: "p1".into(), down_ms: Some(1), memory: Memory::Kept };
        Fault { at_ms: 5, on: None, after_ms: 0, kind }
    }

    fn mistreated(how: Mistreatment) -> Fault<Toy> {
        let kind = FaultKind::Rpc { from: vec!["p1".into()], to: vec![], how, percent: 7, lasts_ms: 9 };
        Fault { at_ms: 6, on: None, after_ms: 0, kind }
    }

    fn drawn() -> Plan<Toy> {
        let script = ["0.1 put a", "0.2 get a", "0.3 append a"].map(str::to_owned).to_vec();
        Plan {
            clients: vec![Client { deadline_ms: 10, script }],
            faults: vec![crash(), mistreated(Mistreatment::Delay), mistreated(Mistreatment::Hang)],
            ..crate::system::toy::plan()
        }
    }

    #[test]
    fn a_plan_of_another_sort_does_not_fit() {
        for fits in ["count=3", "count=2+3", "clients=1", "clients=1,count=3,oddity=0"] {
            assert_eq!(narrow(drawn(), &only(fits)), Some(drawn()), "{fits}");
        }
        for differs in ["count=2", "clients=2", "clients=1,count=2", "clocks=1", "unknown=1"] {
            assert_eq!(narrow(drawn(), &only(differs)), None, "{differs}");
        }
    }

    #[test]
    fn other_faults_and_operations_are_taken_out() {
        let faults = |text| narrow(drawn(), &only(text)).map(|plan| plan.faults);
        assert_eq!(faults("faults=crash"), Some(vec![crash()]));
        assert_eq!(faults("faults=rpc"), Some(drawn().faults[1..].to_vec()));
        assert_eq!(faults("faults=hang+crash"), Some(vec![crash(), mistreated(Mistreatment::Hang)]));
        assert_eq!(faults("faults=none"), Some(vec![]));
        assert_eq!(faults("faults=pause"), None, "nothing would go wrong");
        let script = |text| narrow(drawn(), &only(text)).map(|plan| plan.clients[0].script.clone());
        assert_eq!(script("ops=get"), Some(vec!["0.2 get a".to_owned()]));
        assert_eq!(script("ops=append+put").map(|script| script.len()), Some(2));
    }

    #[test]
    fn a_seed_whose_own_plan_fits_stands_for_it() {
        assert_eq!(plan::<Toy>(&7.into()), Ok(Toy::draw(7)));
        let fits = Seed { number: 7, only: only("count=3") };
        assert_eq!(plan::<Toy>(&fits), Ok(Toy::draw(7)), "its own plan is the first that is looked at");
    }

    #[test]
    fn words_that_plans_do_not_know_are_refused_with_those_that_they_do() {
        for (text, known) in
            [("faults=crush", "crash"), ("ops=set", "append"), ("faults=crash+none", "joined")]
        {
            let why = plan::<Toy>(&Seed { number: 1, only: only(text) }).expect_err(text);
            assert!(why.contains(known), "{text}: {why}");
            assert_eq!(check::<Toy>(&only(text)), Err(why));
        }
    }

    #[test]
    fn what_no_plan_is_is_told_with_what_plans_are() {
        let why = plan::<Toy>(&Seed { number: 1, only: only("count=4") }).expect_err("there are 3");
        assert!(why.contains("count=4 fits 0; it is 3"), "{why}");
        let why = check::<Toy>(&only("conut=3,oddity=0")).expect_err("no such field");
        assert!(why.contains("clients, faults, ops") && why.contains("count, oddity, takes"), "{why}");
        assert!(why.contains("oddity=0 fits 1000"), "{why}");
    }

    #[test]
    fn what_was_taken_out_may_have_been_needed() {
        let needs = Plan { cluster: Processes { count: 0, ..Processes::default() }, ..drawn() };
        assert!(needs.cluster.processes().is_empty());
        assert_eq!(narrow(needs, &only("faults=none")), None, "a plan that cannot be executed does not fit");
    }
}
