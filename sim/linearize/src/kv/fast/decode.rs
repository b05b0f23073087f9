//! Values that were built by appends show their own history.
//!
//! A value is the one some write put there, its **base**, followed by what was appended since. If every value
//! and every appended token was written once, and no value can be cut into pieces in two ways, then the
//! longest value read after a base lists the appends in order, and every other value read after that base
//! must be a prefix of it.
//!
//! A value that begins with an append began when the key was absent. Without deletes that was once, and the
//! base is the initial version; with deletes it can have been many times ([`Versions::absent_again`]), and
//! the base is the first append itself.
//!
//! A read costs one comparison with the longest value; each append is looked up once. Where a cut is
//! ambiguous the search takes over ([`Failure::Ambiguous`]); separators at the end of tokens avoid that.

use std::cell::Cell;
use std::collections::BTreeSet;

use bytes::Bytes;

use super::blocks::Conflict;
use super::names::Names;
use super::versions::{INITIAL, NONE, Read, Versions};
use crate::parts::{hash, same};

/// Why values could not be decoded.
pub(super) enum Failure {
    /// Some value can be cut in more than one way.
    Ambiguous,
    /// No cut explains them.
    Conflict(Conflict),
}

/// An operation that saw a value.
#[derive(Clone, Copy)]
struct Sight<'a> {
    operation: u32,
    value: &'a [u8],
    base: u32,
    /// The version that the operation made of it, if it is a swap.
    swap: Option<u32>,
}

/// What was read after one base.
struct Era<'a> {
    longest: Sight<'a>,
    /// Lengths at which a version is complete, ascending, with the version.
    ends: Vec<(usize, u32)>,
}

/// Finds the version of every value read or expected, and links swaps and appends to the versions they
/// continue.
pub(super) fn decode<'a>(
    versions: &mut Versions<'a>,
    seen: impl Iterator<Item = (u32, Option<&'a [u8]>)>,
) -> Result<(), Failure> {
    let tokens = Tokens::new(versions)?;
    let count = seen.size_hint().0;
    let sights = sights(versions, &tokens, seen)?;
    let mut eras: Vec<Era<'_>> = Vec::new();
    let mut era_of = vec![NONE; versions.list.len()];
    for &sight in &sights {
        let era = &mut era_of[sight.base as usize];
        if *era == NONE {
            *era = eras.len() as u32;
            eras.push(Era { longest: sight, ends: Vec::new() });
        }
        let era = &mut eras[*era as usize];
        if sight.value.len() > era.longest.value.len() {
            era.longest = sight;
        }
    }
    let mut shown_by = vec![NONE; versions.list.len()];
    for era in &mut eras {
        spell(versions, &tokens, era, &mut shown_by)?;
    }
    let era = |sight: &Sight<'_>| &eras[era_of[sight.base as usize] as usize];
    let mut reads = Vec::with_capacity(count);
    for sight in sights {
        let version = locate(era(&sight), sight).map_err(Failure::Conflict)?;
        match sight.swap {
            // Which absence it was is another question.
            Some(_) if version == INITIAL && versions.absent_again => {}
            Some(swap) => {
                versions.list[version as usize].happened = true;
                let longest = era(&sight).longest.operation;
                versions.link(version, swap).map_err(|one| {
                    // The other successor is a swap too, or an append that the longest value shows.
                    Failure::Conflict(match versions.appends.binary_search(&one) {
                        Ok(_) => Conflict::Split { one: sight.operation, other: longest },
                        Err(_) => Conflict::Forked { one, other: swap },
                    })
                })?;
            }
            None => {
                versions.note_read(sight.operation, version);
                reads.push(Read { operation: sight.operation, version });
            }
        }
    }
    versions.reads = reads;
    Ok(())
}

/// Every value seen, with its base. A swap of unknown outcome joins once its own value is seen.
fn sights<'a>(
    versions: &mut Versions<'a>,
    tokens: &Tokens<'a>,
    seen: impl Iterator<Item = (u32, Option<&'a [u8]>)>,
) -> Result<Vec<Sight<'a>>, Failure> {
    let mut sights = Vec::with_capacity(seen.size_hint().0 + versions.swaps.len());
    let certain = versions.swaps.iter().copied().filter(|&swap| versions.list[swap as usize].happened);
    let mut queue: Vec<u32> = certain.collect();
    let mut queued: BTreeSet<u32> = queue.iter().copied().collect();
    for (operation, value) in seen {
        let base = tokens.base(versions, operation, value)?;
        sights.push(Sight { operation, value: value.unwrap_or_default(), base, swap: None });
        if versions.swaps.binary_search(&base).is_ok() && queued.insert(base) {
            queue.push(base);
        }
    }
    while let Some(swap) = queue.pop() {
        versions.list[swap as usize].happened = true;
        let operation = versions.list[swap as usize].write;
        let Some(value) = versions.expected(swap) else { continue };
        let value = value.map(Bytes::as_ref);
        let base = tokens.base(versions, operation, value)?;
        sights.push(Sight { operation, value: value.unwrap_or_default(), base, swap: Some(swap) });
        if versions.swaps.binary_search(&base).is_ok() && queued.insert(base) {
            queue.push(base);
        }
    }
    Ok(sights)
}

/// Cuts the longest value of an era into appends, and links their versions.
fn spell<'a>(
    versions: &mut Versions<'a>,
    tokens: &Tokens<'a>,
    era: &mut Era<'a>,
    shown_by: &mut [u32],
) -> Result<(), Failure> {
    let Sight { value: text, operation: reader, base, .. } = era.longest;
    let mut end = if base == INITIAL { 0 } else { versions.list[base as usize].value.len() };
    let mut last = base;
    era.ends.push((end, base));
    versions.list[base as usize].happened = true;
    if versions.appends.binary_search(&base).is_ok() {
        show(shown_by, base, reader)?;
    }
    while end < text.len() {
        let Some(version) = tokens.first(versions, &text[end..])? else {
            return Err(Failure::Conflict(Conflict::NeverWritten(reader)));
        };
        show(shown_by, version, reader)?;
        end += versions.list[version as usize].value.len();
        versions.list[version as usize].happened = true;
        versions.link(last, version).unwrap_or_else(|other| {
            unreachable!("version {last} continued by {other}, but its era is cut once")
        });
        era.ends.push((end, version));
        last = version;
    }
    Ok(())
}

/// Notes that a value shows an append.
fn show(shown_by: &mut [u32], version: u32, reader: u32) -> Result<(), Failure> {
    match std::mem::replace(&mut shown_by[version as usize], reader) {
        NONE => Ok(()),
        one => Err(Failure::Conflict(Conflict::SeenTwice { version, one, other: reader })),
    }
}

fn locate(era: &Era<'_>, sight: Sight<'_>) -> Result<u32, Conflict> {
    let (text, longest) = (sight.value, era.longest.value);
    if !longest.starts_with(text) {
        return Err(Conflict::Split { one: sight.operation, other: era.longest.operation });
    }
    match era.ends.binary_search_by_key(&text.len(), |&(end, _)| end) {
        Ok(place) => Ok(era.ends[place].1),
        Err(_) => Err(Conflict::NeverWritten(sight.operation)),
    }
}

/// What was appended, and the lengths that occur.
struct Tokens<'a> {
    names: Names,
    token_lengths: Vec<usize>,
    value_lengths: Vec<usize>,
    /// The beginning of the last value whose base was looked for, and that base.
    last: Cell<Option<(&'a [u8], u32)>>,
}

impl<'a> Tokens<'a> {
    fn new(versions: &Versions<'a>) -> Result<Self, Failure> {
        let token = |version: u32| versions.list[version as usize].value;
        let mut repeated = false;
        let names =
            Names::new(&versions.tokens, |one, other| same(token(one), token(other)), |_, _| repeated = true);
        let lengths = |versions: &mut dyn Iterator<Item = u32>| {
            let mut lengths: Vec<usize> = Vec::new();
            for version in versions {
                if let Err(place) = lengths.binary_search(&token(version).len()) {
                    lengths.insert(place, token(version).len());
                }
            }
            lengths
        };
        let whole = |version: &u32| versions.appends.binary_search(version).is_err();
        let token_lengths = lengths(&mut versions.appends.iter().copied());
        let value_lengths = lengths(&mut (INITIAL + 1..versions.list.len() as u32).filter(whole));
        if repeated || token_lengths.first() == Some(&0) {
            return Err(Failure::Ambiguous);
        }
        Ok(Tokens { names, token_lengths, value_lengths, last: Cell::new(None) })
    }

    /// The append that a text begins with, if any.
    fn first(&self, versions: &Versions<'a>, text: &[u8]) -> Result<Option<u32>, Failure> {
        let mut found = None;
        for &length in self.token_lengths.iter().take_while(|&&length| length <= text.len()) {
            let token = &text[..length];
            let is_it = |version: u32| versions.list[version as usize].value == token;
            if let Some(version) = self.names.find(hash(token), is_it)
                && found.replace(version).is_some()
            {
                return Err(Failure::Ambiguous);
            }
        }
        Ok(found)
    }

    /// The version that a value seen by `operation` was built upon.
    fn base(&self, versions: &Versions<'a>, operation: u32, value: Option<&'a [u8]>) -> Result<u32, Failure> {
        let Some(text) = value else { return Ok(INITIAL) };
        // No cut that decides lies behind this.
        let longest = |lengths: &[usize]| lengths.last().copied().unwrap_or(0);
        let until = longest(&self.value_lengths) + longest(&self.token_lengths);
        let beginning = &text[..until.min(text.len())];
        if let Some((last, base)) = self.last.get()
            && last == beginning
        {
            return Ok(base);
        }
        let mut found = None;
        if !text.is_empty()
            && let Some(append) = self.first(versions, text)?
        {
            // Each time that the key was absent is an era of its own, and its first append tells it from the
            // others.
            found = Some(if versions.absent_again { append } else { INITIAL });
        }
        for &length in self.value_lengths.iter().take_while(|&&length| length <= text.len()) {
            let Some(version) = versions.find(&text[..length]) else { continue };
            if length < text.len() && self.first(versions, &text[length..])?.is_none() {
                continue;
            }
            if found.replace(version).is_some() {
                return Err(Failure::Ambiguous);
            }
        }
        let base = found.ok_or(Failure::Conflict(Conflict::NeverWritten(operation)))?;
        self.last.set(Some((beginning, base)));
        Ok(base)
    }
}
