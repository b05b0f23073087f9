//! A start for a system of one's own: a small service with its simulator, written into a folder.
//!
//! What is written is in `template/`, a member of this workspace: it is built and tested as it stands there.

// rules: allow fs: nothing here is part of a run
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Files of a new package, and their text.
const FILES: [(&str, &str); 14] = [
    (".cargo/config.toml", include_str!("../template/config.toml")),
    (".gitignore", include_str!("../template/gitignore")),
    (
        "Cargo.toml",
        concat!(include_str!("../template/workspace.toml"), "\n", include_str!("../template/Cargo.toml")),
    ),
    ("README.md", include_str!("../template/README.md")),
    ("build.rs", include_str!("../template/build.rs")),
    ("proto/counter.proto", include_str!("../template/proto/counter.proto")),
    ("sim/Cargo.toml", include_str!("../template/sim/Cargo.toml")),
    ("sim/src/lib.rs", include_str!("../template/sim/src/lib.rs")),
    ("sim/src/main.rs", include_str!("../template/sim/src/main.rs")),
    ("sim/src/run.rs", include_str!("../template/sim/src/run.rs")),
    ("sim/tests/simulation.rs", include_str!("../template/sim/tests/simulation.rs")),
    ("src/client.rs", include_str!("../template/src/client.rs")),
    ("src/lib.rs", include_str!("../template/src/lib.rs")),
    ("src/server.rs", include_str!("../template/src/server.rs")),
];

/// Bytes of a name.
const NAME_MAX: usize = 64;

/// Names of crates that the package itself uses, and of those that are everywhere.
const TAKEN: [&str; 11] =
    ["alloc", "core", "madsim", "proc_macro", "prost", "protox", "std", "test", "testbed", "tokio", "tonic"];

/// Words of the language.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern \
                        false final fn for gen if impl in let loop macro match mod move mut override priv pub \
                        ref return self static struct super trait true try type typeof unsafe unsized use \
                        virtual where while yield";

/// Writes a package of this name into a folder of this name in `parent`, and returns the folder. It uses the
/// testbed from which this program was built.
///
/// # Errors
///
/// What is wrong with the name, or with the folder, and what to do.
pub fn write(parent: &Path, name: &str) -> Result<PathBuf, String> {
    check_name(name)?;
    let folder = parent.join(name);
    if fs::symlink_metadata(&folder).is_ok() {
        return Err(format!("{} exists: choose another name, or remove it", folder.display()));
    }
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !testbed.join("Cargo.toml").is_file() {
        return Err(format!("the testbed is no longer in {}: build this program anew", testbed.display()));
    }
    let failed = |path: &Path, error| format!("cannot write {}: {error}", path.display());
    for (path, text) in FILES {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        let text = filled(text, name, testbed);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        written.map_err(|error| failed(&path, error))?;
    }
    // The versions with which the testbed was tested.
    let versions = testbed.ancestors().map(|folder| folder.join("Cargo.lock")).find(|path| path.is_file());
    if let Some(versions) = versions {
        let path = folder.join("Cargo.lock");
        fs::copy(versions, &path).map_err(|error| failed(&path, error))?;
    }
    Ok(folder)
}

fn filled(text: &str, name: &str, testbed: &Path) -> String {
    let testbed = testbed.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    text.replace("my-counter", name)
        .replace("my_counter", &name.replace('-', "_"))
        .replace("\"../..\"", &format!("\"{testbed}\""))
        .replace("TESTBED_VERSION", env!("CARGO_PKG_VERSION"))
}

/// Whether a package can have this name.
fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(good);
    if !is_name || name.len() > NAME_MAX {
        return Err(format!(
            "{name:?} is not a usable name for a package: begin with a letter, and go on with letters in lower case, \
             digits, - and _, {NAME_MAX} at most"
        ));
    }
    let word = name.replace('-', "_");
    if KEYWORDS.split(' ').any(|keyword| keyword == word) {
        return Err(format!("{name:?} is a word of the language: choose another name"));
    }
    if TAKEN.contains(&&*word) {
        return Err(format!("{name:?} is the name of a crate that it uses: choose another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_packages() {
        for name in ["lock", "my-lock", "a_2"] {
            assert_eq!(check_name(name), Ok(()));
        }
        let long = "a".repeat(NAME_MAX + 1);
        for name in ["", "2a", "-a", "A", "a b", "a/b", "../a", "ä", &long] {
            assert!(
                check_name(name).is_err_and(|why| why.contains("not a usable name for a package")),
                "{name}"
            );
        }
        assert!(check_name("match").is_err_and(|why| why.contains("word of the language")));
        for name in ["tokio", "proc-macro"] {
            assert!(check_name(name).is_err_and(|why| why.contains("name of a crate")), "{name}");
        }
    }

    #[test]
    fn every_file_is_written_and_has_the_name() {
        let parent = std::env::temp_dir().join(format!("template-{}", std::process::id()));
        let folder = write(&parent, "two-words").expect("a folder that can be written");
        let text = |path: &str| fs::read_to_string(folder.join(path)).expect("it was written");
        for (path, _) in FILES {
            let text = text(path);
            for word in ["my-counter", "my_counter", "../..", "TESTBED_VERSION"] {
                assert!(!text.contains(word), "{path} holds {word}");
            }
        }
        assert!(text("sim/src/main.rs").contains("two_words_sim::"));
        assert!(text("sim/Cargo.toml").contains(env!("CARGO_MANIFEST_DIR")));
        let again = write(&parent, "two-words").expect_err("it exists");
        assert!(again.contains("two-words exists"), "{again}");
        fs::remove_dir_all(parent).expect("it was written");
    }
}
