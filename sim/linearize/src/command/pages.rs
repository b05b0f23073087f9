//! Drawings of histories.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Judged, Judgement, Options, is_stdin};
use crate::formats::AnyHistory;
use crate::html::{self, Labels};
use crate::kv::Kv;

/// The pages that `--html` asks for.
pub(super) enum Pages {
    None,
    One(PathBuf),
    Folder { folder: PathBuf, taken: BTreeSet<String> },
}

impl Pages {
    pub(super) fn new(options: &Options) -> Result<Self, String> {
        let Some(path) = &options.html else { return Ok(Pages::None) };
        if options.files.len() > 1 || path.is_dir() {
            fs::create_dir_all(path)
                .map_err(|error| format!("the folder {} cannot be made: {error}", path.display()))?;
            return Ok(Pages::Folder { folder: path.clone(), taken: BTreeSet::new() });
        }
        // Otherwise `--html history.txt other.txt` would replace a history by a drawing of the other.
        if path.extension().is_none_or(|extension| extension != "html") {
            return Err(format!("--html {}: expected a name that ends in .html", path.display()));
        }
        Ok(Pages::One(path.clone()))
    }

    /// Writes the page of a file and returns its path, if there is something to draw.
    pub(super) fn draw(&mut self, file: &Path, judged: &Judged) -> Result<Option<PathBuf>, String> {
        let Ok(judgement) = &judged.result else { return Ok(None) };
        let path = match self {
            Pages::None => return Ok(None),
            Pages::One(path) => path.clone(),
            Pages::Folder { folder, taken } => folder.join(page_name(file, taken)),
        };
        fs::write(&path, page(&judged.name, judgement))
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        Ok(Some(path))
    }
}

fn page(name: &str, judgement: &Judgement) -> String {
    let verdict = &judgement.verdict;
    let (origin, options) = (&judgement.file.origin, &judgement.judged_with);
    let labels = Labels {
        file: name,
        line: &|index| origin.lines.get(index).copied(),
        process: &|process| {
            origin.names.get(process).map_or_else(|| format!("process {process}"), str::to_owned)
        },
        time: &|time| judgement.time(time),
        sentence: verdict.violation().map(|violation| judgement.sentence(violation)),
    };
    match &judgement.file.history {
        AnyHistory::Kv(history) => html::draw(&Kv, history, verdict, &labels, options),
        AnyHistory::Object(object, history) => html::draw(object, history, verdict, &labels, options),
    }
}

/// A name in the folder of pages that no other file has: files of different folders may be called the same.
fn page_name(file: &Path, taken: &mut BTreeSet<String>) -> String {
    let stem = match file.file_name() {
        Some(name) if !is_stdin(file) => name.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    };
    let mut name = format!("{stem}.html");
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{stem}-{number}.html");
    }
    name
}
