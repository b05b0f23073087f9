//! The numbers under which rules are cited, read from where they are written.

use std::collections::BTreeSet;

/// The rules that `text`, the source of `src/protocol/mod.rs`, states in its documentation: `V-a`, `VS-PING`,
/// `R1`, `R1b`, `4.4`, `5.2`, `Section 6`.
pub fn rules(text: &str) -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//!")) {
        if let Some(heading) = line.trim().strip_prefix('#') {
            let heading = heading.trim_start_matches('#').trim();
            let first = heading.split([' ', ':']).next().filter(|word| is_number(word));
            rules.extend(first.map(String::from));
            if let Some(number) = heading.strip_prefix("Section ").and_then(|rest| rest.split(':').next()) {
                rules.insert(format!("Section {number}"));
            }
            continue;
        }
        // Emphasised: every second part between asterisks, of which the first word is the number.
        let parts = line.split('*').map(str::trim).filter(|part| !part.is_empty());
        rules.extend(
            parts.filter_map(|part| part.split(' ').next()).filter(|word| is_rule(word)).map(String::from),
        );
    }
    rules
}

fn is_rule(word: &str) -> bool {
    let letter = |rest: &str| rest.len() == 1 && rest.chars().all(|c| c.is_ascii_lowercase());
    if let Some(rest) = word.strip_prefix("V-") {
        return letter(rest);
    }
    if let Some(rest) = word.strip_prefix("VS-") {
        return !rest.is_empty() && rest.chars().all(|c| c.is_ascii_uppercase());
    }
    if let Some(rest) = word.strip_prefix('R') {
        let suffix = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        return suffix.len() < rest.len() && (suffix.is_empty() || letter(suffix));
    }
    is_number(word)
}

/// `4.4` and its like.
fn is_number(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    parts.len() == 2 && parts.iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
}
