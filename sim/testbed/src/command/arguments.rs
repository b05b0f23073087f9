//! Command lines as people type them, and what they are told about one that is not usable.

use std::{env, ffi::OsString};

use clap::{
    CommandFactory, Parser,
    error::{ContextKind, ContextValue},
};

/// The command line of this process. One that is not usable ends it, with a message.
pub fn parse<A: Parser>() -> A {
    A::try_parse_from(meant(env::args_os().collect())).unwrap_or_else(|error| told::<A>(error).exit())
}

/// A seed or a plan alone is to be replayed.
fn meant(mut typed: Vec<OsString>) -> Vec<OsString> {
    let first = typed.get(1).and_then(|word| word.to_str());
    if first.is_some_and(|word| word.parse::<u64>().is_ok() || word.ends_with(".toml")) {
        typed.insert(1, "replay".into());
    }
    typed
}

/// Without tips that name what `--help` does not.
fn told<A: CommandFactory>(mut error: clap::Error) -> clap::Error {
    let tips = match error.remove(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(tips)) => tips,
        Some(ContextValue::String(tip)) => vec![tip],
        _ => return error,
    };
    let command = A::command();
    let is_shown = |tip: &String| {
        let named = command.get_subcommands().find(|named| named.get_name() == tip);
        named.is_some_and(|named| !named.is_hide_set())
    };
    let shown: Vec<String> = tips.into_iter().filter(is_shown).collect();
    if !shown.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(shown));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    enum Toy {
        Replay {
            run: String,
        },
        Saved,
        #[command(hide = true)]
        Saver,
    }

    fn told_of(words: &[&str]) -> String {
        let error = Toy::try_parse_from(words).expect_err("there is no such command");
        told::<Toy>(error).to_string()
    }

    #[test]
    fn a_seed_or_a_plan_alone_is_replayed() {
        for run in ["42", "plans/some.toml"] {
            let typed = ["sim", run].map(OsString::from).to_vec();
            let parsed = Toy::try_parse_from(meant(typed)).expect("it is a replay");
            assert!(matches!(parsed, Toy::Replay { run: named } if named == run));
        }
        let typed = vec!["sim".into(), "saved".into()];
        assert_eq!(meant(typed.clone()), typed);
    }

    #[test]
    fn no_tip_names_what_is_hidden() {
        let text = told_of(&["sim", "savex"]);
        assert!(text.contains("'saved'") && !text.contains("'saver'"), "{text}");
        assert!(!told_of(&["sim", "saverr"]).contains("'saver'"));
    }
}
