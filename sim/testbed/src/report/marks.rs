//! Marks in words.

use crate::{
    marks::{Counts, Mark, unreachable},
    report::screen::counted,
    system::System,
};

/// Those that no run reached, in the order of the tables.
pub fn never<S: System>(counts: &Counts<S>) -> Vec<Mark<S>> {
    Mark::all().filter(|mark| !counts.contains_key(mark)).collect()
}

/// How many situations were reached, for the end of a summary; and which were not, if all had to be.
pub fn line<S: System>(counts: &Counts<S>, required: bool) -> String {
    let (all, never) = (Mark::<S>::all().count(), never(counts));
    let reached = all - never.len();
    match never.is_empty() {
        true => format!("all {all} situations reached"),
        false if required => {
            let named: Vec<String> = never.iter().map(|mark| mark.name()).collect();
            format!("{reached} of {all} situations reached; never: {}", named.join(", "))
        }
        false => format!("{reached} of {all} situations reached (--marks lists all)"),
    }
}

/// The situations that one run reached, a line each.
pub fn of_run<S: System>(counts: &Counts<S>) -> String {
    let line = |mark: &Mark<S>| format!("{:>10}  {:<52} {}", "reached", mark.name(), mark.about());
    if counts.is_empty() {
        return format!("{:>10}  no situation of the table", "reached");
    }
    counts.keys().map(line).collect::<Vec<_>>().join("\n")
}

/// Every mark with the number of runs that reached it, the rarest first, and what no run can reach.
pub fn table<S: System>(counts: &Counts<S>, runs: u64) -> String {
    let mut marks: Vec<(u64, Mark<S>)> =
        Mark::all().map(|mark| (counts.get(&mark).copied().unwrap_or(0), mark)).collect();
    marks.sort();
    let mut text = format!("of {} reached\n", counted(runs, "run", "runs"));
    for (count, mark) in marks {
        text.push_str(&format!("{count:>8}  {:<52} {}\n", mark.name(), mark.about()));
    }
    text.push_str("cannot be reached\n");
    for (what, why) in unreachable::<S>() {
        text.push_str(&format!("{:>8}  {what:<52} {why}\n", "-"));
    }
    text.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::toy::Toy;

    #[test]
    fn what_was_never_reached_is_named() {
        let mut counts: Counts<Toy> = Mark::all().map(|mark| (mark, 3)).collect();
        assert_eq!(line(&counts, true), format!("all {} situations reached", counts.len()));
        let missing = Mark::find("read_of_nothing").expect("a mark");
        counts.remove(&missing);
        assert_eq!(never(&counts), [missing]);
        assert!(line(&counts, true).ends_with("never: read_of_nothing"), "{}", line(&counts, true));
        assert!(!line(&counts, false).contains("read_of_nothing"), "only if it is asked for");
        let one = of_run(&[(missing, 1)].into());
        assert!(one.contains("read_of_nothing") && one.contains("A read finds nothing."), "{one}");
        assert!(of_run(&Counts::<Toy>::new()).contains("no situation"));
        let table = table(&counts, 3);
        assert!(table.lines().nth(1).is_some_and(|line| line.contains("read_of_nothing")), "{table}");
        let (marks, unreachable) = (Mark::<Toy>::all().count(), unreachable::<Toy>().count());
        assert_eq!(table.lines().count(), 2 + marks + unreachable);
    }
}
