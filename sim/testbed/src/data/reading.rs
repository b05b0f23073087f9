//! Plans from text. All that is wrong with one is told at once, as far as it can be seen.

use serde::{Deserialize, de::DeserializeOwned};
use toml::{Table, Value};

use crate::{
    data::{
        fault::Fault,
        plan::{Client, Network, Plan},
        validate::validate,
    },
    system::System,
};

/// The plan that a text is.
///
/// # Errors
///
/// The things that are wrong with it, and what to change. If there is only one, the text at that place is
/// shown.
pub fn parse<S: System>(text: &str) -> Result<Plan<S>, Vec<String>> {
    let plan = toml::from_str(text).map_err(|error: toml::de::Error| {
        // What is no TOML has no sections.
        let wrong = text.parse().map(sections::<S>).unwrap_or_default();
        if wrong.len() > 1 { wrong } else { vec![error.to_string()] }
    })?;
    validate(&plan).map_err(|wrong| wrong.lines().map(str::to_owned).collect::<Vec<_>>())?;
    Ok(plan)
}

/// What is wrong with each section of a plan, looked at alone.
fn sections<S: System>(mut plan: Table) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong.extend(section::<S::Setup>(plan.remove("cluster"), "[cluster]"));
    wrong.extend(section::<Network>(plan.remove("network"), "[network]"));
    for (place, client) in elements(&mut plan, "client").into_iter().enumerate() {
        wrong.extend(section::<Client>(Some(client), &format!("client c{}", place + 1)));
    }
    for (place, fault) in elements(&mut plan, "fault").into_iter().enumerate() {
        wrong.extend(section::<Fault<S>>(Some(fault), &format!("fault {place}")));
    }
    let rest = Plan::<S>::deserialize(Value::Table(plan));
    wrong.extend(rest.err().map(|error| error.message().to_owned()));
    wrong
}

fn section<T: DeserializeOwned>(value: Option<Value>, name: &str) -> Option<String> {
    let error = T::deserialize(value?).err()?;
    Some(format!("{name}: {}", error.message()))
}

/// The elements of a list of tables, which are taken out of the plan; none if it is no list.
fn elements(plan: &mut Table, name: &str) -> Vec<Value> {
    match plan.get_mut(name) {
        Some(Value::Array(all)) => std::mem::take(all),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::fault::{Cut, FaultKind, Memory},
        system::toy::{Processes, Toy},
    };

    #[test]
    fn only_the_seed_must_be_given() {
        let plan: Plan<Toy> = parse("seed = 7").expect("nothing else is needed");
        assert_eq!((plan.seed, &plan.cluster, plan.network), (7, &Processes::default(), Network::default()));
        assert!(parse::<Toy>("").expect_err("it has no seed")[0].contains("missing field `seed`"));
        let text = "seed = 7\n[cluster]\ncount = 2\n[network]\nlatency_us_max = 900\n[[client]]\n\
                    [[fault]]\nfault = 'crash'\nnode = 'p1'\n[[fault]]\nfault = 'partition'\nfrom = ['p1']\n";
        let plan: Plan<Toy> = parse(text).expect("each section has defaults of its own");
        assert_eq!((plan.cluster.count, plan.network.latency_us_min), (2, 200));
        assert_eq!(plan.clients[0].script, [""; 0]);
        let kept = FaultKind::Crash { node: "p1".into(), down_ms: None, memory: Memory::Kept };
        let (from, to) = (vec!["p1".to_owned()], Vec::new());
        let cut = FaultKind::Partition { from, to, both_ways: true, how: Cut::BlackHole, lasts_ms: None };
        let kinds: Vec<_> = plan.faults.into_iter().map(|fault| fault.kind).collect();
        assert_eq!(kinds, [kept, cut]);
    }

    #[test]
    fn each_section_tells_what_is_wrong_with_it() {
        let text = "sead = 7\n[cluster]\ncounts = 2\n[network]\nlatency = 1\n[[client]]\nscript = 5\n\
                    [[fault]]\nfault = 'pause'\nnode = 'p1'\n[[fault]]\nfault = 'crush'\n[[fault]]\nnode = 'p1'\n";
        let wrong = parse::<Toy>(text).expect_err("everything is wrong with it");
        let parts = [
            "[cluster]: ",
            "[network]: ",
            "client c1: ",
            "fault 1: unknown variant `crush`",
            "fault 2: ",
            "sead",
        ];
        assert_eq!(wrong.len(), parts.len(), "{wrong:#?}");
        assert!(wrong.iter().zip(parts).all(|(line, part)| line.contains(part)), "{wrong:#?}");
        let wrong = parse::<Toy>("seed = 7\n[network]\nlatency = 1\n").expect_err("one field is misspelt");
        assert!(wrong.len() == 1 && wrong[0].contains("line 3"), "the place is shown: {wrong:#?}");
        let wrong = parse::<Toy>("seed = \n").expect_err("no TOML");
        assert!(wrong.len() == 1 && wrong[0].contains("line 1"), "{wrong:#?}");
    }
}
