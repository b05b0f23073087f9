//! A mutant's file: a header in a fixed form, then a unified diff against `src/`.
//!
//! ```text
//! rule: 5.2
//! mutant: M27
//! shows: A Get returns an old value: ...
//!   (further lines of a value are indented by two spaces)
//! known: Jepsen: etcd and Consul (2014), ...
//! awaits: (only while the simulator cannot catch it) what the simulator would have to do
//! --- a/src/protocol/replica/reads.rs
//! +++ b/src/protocol/replica/reads.rs
//! @@ ...
//! ```

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use diffy::patch_set::{ParseOptions, PatchSet};

/// What is written instead of some files of the source tree, by path below its root.
pub type Overlay = BTreeMap<PathBuf, String>;

/// A mistake that can be planted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// The mistake, as the name of its file without the ending.
    pub name: String,
    /// What its file says about it.
    pub header: Header,
    /// The unified diff.
    patch: String,
}

/// What a mutant's file says about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The rule of `src/protocol/mod.rs` that it breaks, such as `R7`.
    pub rule: String,
    /// Its number in the catalogue of the specification's model checker, if it has one, such as `M24`.
    pub mutant: Option<String>,
    /// What a user would see.
    pub shows: String,
    /// Where the mistake is known from: a paper, a system, a specification.
    pub known: String,
    /// What the simulator would have to do to catch it, as long as it does not: a known blind spot.
    pub awaits: Option<String>,
}

impl Mutant {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Why it is no mutant, and what to change.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// The mutant of this name and text.
    ///
    /// # Errors
    ///
    /// Why it is none, and what to change.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(good) {
            return Err("a mutant's file is named as the mistake reads, in lower case: \
                        reads_without_confirmation.patch"
                .into());
        }
        let diff = if text.starts_with("--- ") { Some(0) } else { text.find("\n--- ").map(|at| at + 1) };
        let diff = diff.ok_or("there is no diff: it begins with a line `--- a/src/...`")?;
        let header = Header::parse(&text[..diff])?;
        Ok(Self { name: name.into(), header, patch: text[diff..].into() })
    }

    /// The files of the source tree at `root` as the mutant changes them.
    ///
    /// # Errors
    ///
    /// Which part of the patch does not apply, and what to do.
    pub fn apply(&self, root: &Path) -> Result<Overlay, String> {
        let advice = "make the same mistake in the code as it is now, and write the patch anew as \
                      sim/mutants/README.md says";
        let mut overlay = Overlay::new();
        for file in PatchSet::parse(&self.patch, ParseOptions::unidiff()) {
            let wrong = |why: String| format!("sim/mutants/{}.patch: {why}: {advice}", self.name);
            let file = file.map_err(|error| wrong(format!("it is no unified diff ({error})")))?;
            let patch = file.patch().as_text().ok_or_else(|| wrong("it is no diff of text".into()))?;
            let path = patch.modified().and_then(|path| path.strip_prefix("b/")).map(PathBuf::from);
            let path = path
                .filter(|path| {
                    path.starts_with("src")
                        && patch
                            .original()
                            .is_some_and(|from| from[1..] == patch.modified().unwrap_or_default()[1..])
                })
                .ok_or_else(|| {
                    wrong("it may change files in src/ only, as a/src/... and b/src/...".into())
                })?;
            let text = match overlay.get(&path) {
                Some(text) => text.clone(),
                None => fs::read_to_string(root.join(&path))
                    .map_err(|error| wrong(format!("{} cannot be read ({error})", path.display())))?,
            };
            let changed = diffy::apply(&text, patch)
                .map_err(|error| wrong(format!("it does not apply to {} ({error})", path.display())))?;
            if changed == text {
                return Err(wrong(format!("it changes nothing in {}", path.display())));
            }
            overlay.insert(path, changed);
        }
        if overlay.is_empty() {
            return Err(format!("sim/mutants/{}.patch: it changes nothing: {advice}", self.name));
        }
        Ok(overlay)
    }
}

impl Header {
    fn parse(text: &str) -> Result<Self, String> {
        let mut fields = BTreeMap::<&str, String>::new();
        let mut last = None;
        for line in text.lines() {
            if let (Some(more), Some(key)) = (line.strip_prefix("  "), last) {
                let value: &mut String = fields.entry(key).or_default();
                value.push(' ');
                value.push_str(more.trim());
                continue;
            }
            let (key, value) = line.split_once(": ").ok_or_else(|| {
                format!(
                    "the header has lines `key: value`, or two spaces and more of the value; not {line:?}"
                )
            })?;
            if !["rule", "mutant", "shows", "known", "awaits"].contains(&key) {
                return Err(format!("the header says rule, mutant, shows, known and awaits; not {key:?}"));
            }
            if fields.insert(key, value.trim().into()).is_some() {
                return Err(format!("the header says `{key}` twice"));
            }
            last = Some(key);
        }
        let mut take = |key: &str, what: &str| {
            let value = fields.remove(key).filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("the header lacks `{key}: `, {what}"))
        };
        Ok(Self {
            rule: take("rule", "the rule of src/protocol/mod.rs that the mutant breaks")?,
            shows: take("shows", "what a user would see")?,
            known: take("known", "the paper, system or specification from which the mistake is known")?,
            mutant: fields.remove("mutant"),
            awaits: fields.remove("awaits"),
        })
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { rule, shows, known, awaits, .. } = &self.header;
        write!(f, "{}\n     rule  {rule}\n    shows  {shows}\n    known  {known}", self.name)?;
        awaits.as_ref().map_or(Ok(()), |awaits| write!(f, "\n   awaits  {awaits}"))
    }
}
