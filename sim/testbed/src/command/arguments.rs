//! Command lines as people type them, and what they are told about one that is not usable.

use std::{env, ffi::OsString};

use clap::{
    Command, CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::data::seed::Seed;

/// The command line of this process. One that is not usable ends it, with a message.
pub fn parse<A: Parser>() -> A {
    A::try_parse_from(meant(env::args_os().collect())).unwrap_or_else(|error| told::<A>(error).exit())
}

/// A seed or a plan alone is to be replayed.
fn meant(mut typed: Vec<OsString>) -> Vec<OsString> {
    let first = typed.get(1).and_then(|word| word.to_str());
    if first.is_some_and(|word| word.parse::<Seed>().is_ok() || word.ends_with(".toml")) {
        typed.insert(1, "replay".into());
    }
    typed
}

/// Without tips that name what `--help` does not; with tips about runs and their options.
fn told<A: CommandFactory>(mut error: clap::Error) -> clap::Error {
    if let Some(tip) = tip(&error, &A::command()) {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
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

/// What was probably meant by what no command knows.
fn tip(error: &clap::Error, command: &Command) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand)?;
            let is_run = word.starts_with(|c: char| c.is_ascii_digit()) || word.contains(['.', '/']);
            is_run
                .then(|| "a run is a seed, such as 42, or the path of a plan that ends with .toml".to_owned())
        }
        ErrorKind::UnknownArgument => {
            let option = text(ContextKind::InvalidArg)?;
            let long = option.strip_prefix("--")?;
            let has = |named: &&Command| {
                !named.is_hide_set()
                    && named.get_arguments().any(|argument| argument.get_long() == Some(long))
            };
            let named = command.get_subcommands().find(has)?.get_name();
            Some(format!("'{option}' is an option of '{named}', and stands behind that word"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    enum Toy {
        Replay {
            run: String,
            #[arg(long)]
            ops: bool,
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
        for run in ["42", "42,servers=3", "plans/some.toml"] {
            let typed = ["sim", run].map(OsString::from).to_vec();
            let parsed = Toy::try_parse_from(meant(typed)).expect("it is a replay");
            assert!(matches!(parsed, Toy::Replay { run: named, ops: false } if named == run));
        }
        let typed = vec!["sim".into(), "saved".into()];
        assert_eq!(meant(typed.clone()), typed);
    }

    #[test]
    fn a_run_that_is_none_and_an_option_at_another_place_are_explained() {
        for word in ["42x", "plans/some.json"] {
            let text = told_of(&["sim", word]);
            assert!(text.contains("ends with .toml"), "{text}");
        }
        let text = told_of(&["sim", "--ops", "42"]);
        assert!(text.contains("'--ops' is an option of 'replay'"), "{text}");
        assert!(!told_of(&["sim", "--opps", "42"]).contains("stands behind"));
    }

    #[test]
    fn no_tip_names_what_is_hidden() {
        let text = told_of(&["sim", "savex"]);
        assert!(text.contains("'saved'") && !text.contains("'saver'"), "{text}");
        assert!(!told_of(&["sim", "saverr"]).contains("'saver'"));
    }
}
