//! Exit codes of `cargo sim`, one for each way in which things can end.

use crate::data::outcome::Class;

/// All is well.
pub const OK: u8 = 0;
/// Something that must never happen has happened.
pub const SAFETY: u8 = 1;
/// The command line, a plan or the build is not usable; standard error says what to do.
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
