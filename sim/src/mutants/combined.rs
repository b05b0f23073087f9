//! Many mutants in one program, one of which is chosen when it starts.
//!
//! To build a mutant takes longer than to catch it. Most mutants change nothing but the bodies of some
//! functions ([`bodies`](super::bodies)); such a function is given all of its bodies, and a switch between
//! them:
//!
//! ```text
//! fn agreed(&self, own: OpNumber) -> Option<OpNumber> {
//!     match crate::planted::mutant() {
//!         /* mutant 6 */ 6 => { Some(own) }
//!         /* mutant 0 */ _ => { self.waits_for.iter().try_fold(...) }
//!     }
//! }
//! ```
//!
//! Patches may overlap: each mutant has whole bodies of its own. The switch exists in the copy of the source
//! tree only, and reads an environment variable once, so that a program that starts itself again stays the
//! mutant it was. Without it the program is the original.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{Mutant, Overlay, bodies::Source};

/// Names the mutant that the program is.
pub const VARIABLE: &str = "PBKV_MUTANT";
/// The crate to which the module with the switch is added.
const CRATE: &str = "src/lib.rs";
/// The module.
const MODULE: &str = "src/planted.rs";
/// Before each body of a function that has several: whose it is follows.
const MARK: &str = "/* mutant ";
/// Programs are crates of their own: they have no such module.
const PROGRAMS: &str = "src/bin";

/// What a mutant changes, as far as one program can hold it beside others: by file, which functions get which
/// bodies.
type Change = BTreeMap<PathBuf, Vec<(usize, String)>>;

/// A source tree that is several mutants.
#[derive(Default)]
pub struct Combined<'a> {
    names: Vec<&'a str>,
    changes: Vec<Change>,
}

impl<'a> Combined<'a> {
    /// Adds a mutant, if it changes nothing but bodies; `original` has the text of a file without it.
    pub fn add<'t>(
        &mut self,
        mutant: &'a Mutant,
        overlay: &Overlay,
        original: impl Fn(&Path) -> Option<&'t str>,
    ) -> bool {
        let change = overlay.iter().map(|(path, text)| {
            if path.starts_with(PROGRAMS) {
                return None;
            }
            let original = Source::parse(original(path)?)?;
            let bodies = original.other_bodies(&Source::parse(text)?)?;
            Some((path.clone(), bodies.into_iter().map(|(function, body)| (function, body.into())).collect()))
        });
        let change: Option<Change> = change.collect();
        let fits = change.is_some();
        self.changes.extend(change);
        self.names.extend(fits.then_some(mutant.name.as_str()));
        fits
    }

    /// What is written instead of some files of the source tree.
    ///
    /// # Errors
    ///
    /// If the original is not the one with which the mutants were compared.
    pub fn overlay<'t>(&self, original: impl Fn(&Path) -> Option<&'t str>) -> Result<Overlay, String> {
        let mut variants = BTreeMap::<&Path, BTreeMap<usize, Vec<(usize, &str)>>>::new();
        for (index, change) in self.changes.iter().enumerate() {
            for (path, bodies) in change {
                let file = variants.entry(path).or_default();
                for (function, body) in bodies {
                    file.entry(*function).or_default().push((index + 1, body));
                }
            }
        }
        let read = |path: &Path| original(path).ok_or_else(|| format!("{} cannot be read", path.display()));
        let mut overlay = Overlay::new();
        for (path, functions) in variants {
            let source =
                Source::parse(read(path)?).ok_or_else(|| format!("{} is no longer Rust", path.display()))?;
            let text = source.with_bodies(|function, old| Some(switch(functions.get(&function)?, old)));
            overlay.insert(path.into(), text);
        }
        let root = match overlay.remove(Path::new(CRATE)) {
            Some(text) => text,
            None => read(Path::new(CRATE))?.into(),
        };
        overlay.insert(CRATE.into(), format!("{root}\nmod planted;\n"));
        overlay.insert(MODULE.into(), module(&self.names));
        Ok(overlay)
    }

    /// Those whose bodies the compiler refuses, by what it says about `overlay`.
    pub fn to_blame(&self, overlay: &Overlay, complaints: &str) -> BTreeSet<&'a str> {
        let mut to_blame = BTreeSet::new();
        let mut error = false;
        for line in complaints.lines() {
            if line.starts_with("error") || line.starts_with("warning") {
                error = line.starts_with("error");
            }
            let Some(place) = line.trim_start().strip_prefix("--> ").filter(|_| error) else { continue };
            let mut place = place.split(':');
            let text = place.next().and_then(|path| overlay.get(Path::new(path)));
            let number = place.next().and_then(|number| number.parse().ok());
            if let (Some(text), Some(number)) = (text, number) {
                to_blame.extend(self.mutant_at(text, number));
            }
        }
        to_blame
    }

    /// Whose body a line is in.
    fn mutant_at(&self, text: &str, line: usize) -> Option<&'a str> {
        let above = text.lines().take(line).collect::<Vec<_>>();
        let mark = above.iter().rev().find_map(|line| line.trim_start().strip_prefix(MARK))?;
        let number: usize = mark.split(' ').next()?.parse().ok()?;
        self.names.get(number.checked_sub(1)?).copied()
    }
}

/// A body that is one of several.
fn switch(variants: &[(usize, &str)], original: &str) -> String {
    let mut text = String::from("{\n    match crate::planted::mutant() {\n");
    for (number, body) in variants {
        let _ = writeln!(text, "        {MARK}{number} */ {number} => {body}");
    }
    let _ = write!(text, "        {MARK}0 */ _ => {original}\n    }}\n}}");
    text
}

/// The module with the switch: mutants are numbered from 1, and 0 is none.
fn module(names: &[&str]) -> String {
    format!(
        r#"//! Which mistake this program makes.

use std::{{env, sync::LazyLock}};

const NAMES: &[&str] = &{names:#?};

static CHOSEN: LazyLock<usize> = LazyLock::new(|| {{
    let Some(chosen) = env::var_os({VARIABLE:?}) else {{ return 0 }};
    let place = NAMES.iter().position(|name| chosen == *name);
    1 + place.unwrap_or_else(|| panic!("{VARIABLE} must be one of {{NAMES:?}}, not {{chosen:?}}"))
}});

/// Its number, or 0 for none.
pub(crate) fn mutant() -> usize {{
    *CHOSEN
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process::Command};

    use super::*;

    /// A program that prints what its functions return.
    const ROOT: &str = "
mod protocol;

fn main() {
    println!(\"{} {} {:?}\", protocol::one(), protocol::two(20), protocol::First.next());
}
";
    const PROTOCOL: &str = "
pub struct First;

impl Iterator for First {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        None
    }
}

pub fn one() -> u32 {
    1 // \"}\" is no end
}

pub fn two(x: u32) -> u32 {
    let two = |x: u32| {
        if x > 9 {
            return x / 10;
        }
        x
    };
    two(x)
}
";

    fn files(protocol: &str) -> BTreeMap<PathBuf, String> {
        [(CRATE.into(), ROOT.into()), ("src/protocol.rs".into(), protocol.into())].into()
    }

    /// A mutant of this name, and its source where `from` became `to`.
    fn planted(name: &str, changes: &[(&str, &str)]) -> (Mutant, Overlay) {
        let text = "rule: R7\nshows: -\nknown: -\n--- a/src/protocol.rs\n+++ b/src/protocol.rs\n";
        let protocol = changes.iter().fold(PROTOCOL.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        let mutant = Mutant::parse(name, text).expect("it is one");
        (mutant, [("src/protocol.rs".into(), protocol)].into())
    }

    fn fits(changes: &[(&str, &str)]) -> bool {
        let (mutant, overlay) = planted("some", changes);
        let files = files(PROTOCOL);
        Combined::default().add(&mutant, &overlay, |path| files.get(path).map(String::as_str))
    }

    #[test]
    fn what_changes_more_than_bodies_does_not_fit() {
        assert!(fits(&[("1 //", "2 //")]));
        assert!(fits(&[("x > 9", "x > 5"), ("None", "Some(5)")]));
        assert!(fits(&[("pub fn one", "// beside a comment\npub fn one"), ("1 //", "2 //")]));
        for change in [
            [("one() -> u32", "one() -> u8")],
            [("two(x: u32)", "two(_: u32)")],
            [("pub struct First;", "pub struct First(u8);")],
            [("pub fn one", "const ONE: u32 = 1;\n\npub fn one")],
            [("pub struct First", "#[derive(Clone)]\npub struct First")],
            [("pub fn one() -> u32 {\n    1", "pub const fn one() -> u32 {\n    2")],
            [("x > 9", "x > ")],
        ] {
            assert!(!fits(&change), "{change:?}");
        }
    }

    #[test]
    fn a_body_that_cannot_be_one_of_several_does_not_fit() {
        for (from, to) in [
            ("const fn f() -> u8 { 1 }", "const fn f() -> u8 { 2 }"),
            ("fn f() -> Option<impl Sized> { Some(1) }", "fn f() -> Option<impl Sized> { Some(2) }"),
            ("macro_rules! f { () => { fn f() { 1 } } }", "macro_rules! f { () => { fn f() { 2 } } }"),
        ] {
            let (original, mutant) = (Source::parse(from).expect("Rust"), Source::parse(to).expect("Rust"));
            assert_eq!(original.other_bodies(&mutant), None, "{from}");
            assert_eq!(original.other_bodies(&original), Some(Vec::new()), "{from}");
        }
    }

    /// Compiles the program in a folder, or returns what the compiler says.
    fn compile(folder: &Path) -> Result<(), String> {
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition", "2024", "--crate-type", "bin", "-o", "program", CRATE]);
        let built = rustc.current_dir(folder).output().expect("there is a compiler: it compiled this");
        if built.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&built.stderr).into_owned()) }
    }

    #[test]
    fn the_compiler_says_which_mutants_do_not_fit() {
        let mutants = [
            planted("good", &[("1 //", "7 //")]),
            planted("warns", &[("1 //", "let unused = 4;\n    1 //")]),
            planted("wrong", &[("1 //", "\"one\" //")]),
            planted(
                "borrows",
                &[("None", "let s = String::new();\n        drop(s);\n        Some(s.len() as u32)")],
            ),
        ];
        let files = files(PROTOCOL);
        let original = |path: &Path| files.get(path).map(String::as_str);
        let mut combined = Combined::default();
        for (mutant, overlay) in &mutants {
            assert!(combined.add(mutant, overlay, original), "{}", mutant.name);
        }
        let overlay = combined.overlay(original).expect("the files are there");
        let folder = env::temp_dir().join(format!("mutants-{}-blamed", std::process::id()));
        fs::create_dir_all(folder.join("src")).expect("a writable folder");
        for (path, text) in files.iter().chain(&overlay) {
            fs::write(folder.join(path), text).expect("a writable folder");
        }
        let said = compile(&folder).expect_err("two of them are no programs");
        assert_eq!(combined.to_blame(&overlay, &said), ["borrows", "wrong"].into(), "{said}");
        fs::remove_dir_all(&folder).expect("it is there");
    }

    #[test]
    fn a_program_is_the_mutant_that_is_chosen_and_the_original_without_a_choice() {
        let mutants = [
            planted("first", &[("1 //", "7 //")]),
            planted("overlapping", &[("1 //", "let x = 4;\n    x * 2 //"), ("x / 10", "0")]),
            planted("third", &[("None", "if true {\n            return Some(3);\n        }\n        None")]),
        ];
        let files = files(PROTOCOL);
        let original = |path: &Path| files.get(path).map(String::as_str);
        let mut combined = Combined::default();
        for (mutant, overlay) in &mutants {
            assert!(combined.add(mutant, overlay, original), "{}", mutant.name);
        }
        let overlay = combined.overlay(original).expect("the files are there");
        let folder = env::temp_dir().join(format!("mutants-{}-combined", std::process::id()));
        fs::create_dir_all(folder.join("src")).expect("a writable folder");
        for (path, text) in files.iter().chain(&overlay) {
            fs::write(folder.join(path), text).expect("a writable folder");
        }
        compile(&folder).unwrap_or_else(|said| panic!("{said}"));
        let run = |chosen: Option<&str>| {
            let mut program = Command::new(folder.join("program"));
            program.env_remove(VARIABLE).envs(chosen.map(|name| (VARIABLE, name)));
            program.output().expect("it was built")
        };
        for (chosen, prints) in [
            (None, "1 2 None\n"),
            (Some("first"), "7 2 None\n"),
            (Some("overlapping"), "8 0 None\n"),
            (Some("third"), "1 2 Some(3)\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&run(chosen).stdout), prints, "{chosen:?}");
        }
        let wrong = run(Some("fourth"));
        let said = String::from_utf8_lossy(&wrong.stderr);
        assert!(!wrong.status.success() && said.contains(VARIABLE) && said.contains("third"), "{said}");
        fs::remove_dir_all(&folder).expect("it is there");
    }
}
