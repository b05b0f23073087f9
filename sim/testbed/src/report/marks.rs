//! Marks in words.

use crate::{
    marks::{Counts, Mark, unreachable},
    system::System,
};

/// Names of marks that a line of a summary holds at most.
const NAMED_MAX: usize = 12;

/// Those that no run reached, in the order of the tables.
pub fn never<S: System>(counts: &Counts<S>) -> Vec<Mark<S>> {
    Mark::all().filter(|mark| !counts.contains_key(mark)).collect()
}

/// How many situations were reached, and which not, for the end of a summary.
pub fn line<S: System>(counts: &Counts<S>) -> String {
    let (all, never) = (Mark::<S>::all().count(), never(counts));
    let reached = all - never.len();
    if never.is_empty() {
        return format!("all {all} situations reached");
    }
    let named: Vec<String> = never.iter().take(NAMED_MAX).map(|mark| mark.name()).collect();
    let rest = never.len().saturating_sub(NAMED_MAX);
    let rest = if rest > 0 { format!(" and {rest} more (--marks lists them)") } else { String::new() };
    format!("{reached} of {all} situations reached; never: {}{rest}", named.join(", "))
}

/// Every mark with the number of runs that reached it, the rarest first, and what no run can reach.
pub fn table<S: System>(counts: &Counts<S>, runs: u64) -> String {
    let mut marks: Vec<(u64, Mark<S>)> =
        Mark::all().map(|mark| (counts.get(&mark).copied().unwrap_or(0), mark)).collect();
    marks.sort();
    let mut text = format!("of {runs} runs reached\n");
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
        assert_eq!(line(&counts), format!("all {} situations reached", counts.len()));
        let missing = Mark::find("read_of_nothing").expect("a mark");
        counts.remove(&missing);
        assert_eq!(never(&counts), [missing]);
        assert!(line(&counts).ends_with("never: read_of_nothing"), "{}", line(&counts));
        let table = table(&counts, 3);
        assert!(table.lines().nth(1).is_some_and(|line| line.contains("read_of_nothing")), "{table}");
        let (marks, unreachable) = (Mark::<Toy>::all().count(), unreachable::<Toy>().count());
        assert_eq!(table.lines().count(), 2 + marks + unreachable);
    }

    #[test]
    fn a_long_list_is_cut() {
        let line = line(&Counts::<Toy>::new());
        assert!(line.contains(" more (--marks") && line.len() < 700, "{line}");
    }
}
