//! Exit codes of `cargo sim`, one for each way in which things can end.

use crate::data::outcome::Class;

/// All is well, or what was asked for was done.
pub const OK: u8 = 0;
/// Something that must never happen has happened.
pub const SAFETY: u8 = 1;
/// The command line, a plan or the build is not usable, and nothing was done; standard error says what to do.
pub const USAGE: u8 = 2;
/// Something that must happen has not.
pub const LIVENESS: u8 = 3;
/// Something panicked.
pub const PANIC: u8 = 4;
/// The same seed made two different runs.
pub const NOT_DETERMINISTIC: u8 = 5;
/// The judge gave up.
pub const UNDECIDED: u8 = 6;
/// Nothing failed, but not every situation was reached that had to be.
pub const MARKS: u8 = 7;
/// A mutant was not caught.
pub const NOT_CAUGHT: u8 = 8;
/// A promise about the system's health was broken.
pub const HEALTH: u8 = 9;
/// Nothing failed, but a fault of the plan never struck.
pub const NOT_STRUCK: u8 = 10;
/// It was interrupted before anything failed: what a shell says of a program that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// The same as a table, for `--help`.
pub const TABLE: &str = "\
Exit codes:
    0  all well; of minimise and save: done
    1  safety: an invariant was broken, or a history is not linearizable
    2  usage: the command line, a file or the build is not usable; nothing was done, or a file was left out
    3  liveness: something did not end in time
    4  a panic
    5  not deterministic: a seed made two different runs
    6  undecided: the judge gave up, or a search was cut off
    7  nothing failed, but a situation was not reached that had to be
    8  a mutant was not caught
    9  health: a promise about the system's health was broken
   10  nothing failed, but a fault of a plan never struck
  130  interrupted, and nothing had failed before";

/// The exit code for a run of this class.
pub fn code(class: Class) -> u8 {
    match class {
        Class::Ok => OK,
        Class::Safety => SAFETY,
        Class::Liveness => LIVENESS,
        Class::Health => HEALTH,
        Class::Panic => PANIC,
        Class::Undecided => UNDECIDED,
    }
}

/// The exit code of something that may have been interrupted: what failed before counts more.
pub fn unless_interrupted(code: u8, interrupted: bool) -> u8 {
    if interrupted && matches!(code, OK | MARKS | USAGE) { INTERRUPTED } else { code }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_code_once_and_in_order() {
        let codes = TABLE.lines().skip(1).map(|line| line[..5].trim().parse::<u8>().expect("a code"));
        let all = [
            OK,
            SAFETY,
            USAGE,
            LIVENESS,
            PANIC,
            NOT_DETERMINISTIC,
            UNDECIDED,
            MARKS,
            NOT_CAUGHT,
            HEALTH,
            NOT_STRUCK,
            INTERRUPTED,
        ];
        assert_eq!(codes.collect::<Vec<_>>(), all);
    }

    #[test]
    fn an_interruption_hides_no_failure_and_is_no_success() {
        for failed in [SAFETY, LIVENESS, PANIC, NOT_DETERMINISTIC, UNDECIDED, HEALTH] {
            assert_eq!(unless_interrupted(failed, true), failed);
        }
        assert_eq!((unless_interrupted(OK, true), unless_interrupted(OK, false)), (INTERRUPTED, OK));
        assert_eq!(unless_interrupted(MARKS, true), INTERRUPTED, "it did not have its time");
    }
}
