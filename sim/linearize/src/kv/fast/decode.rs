//! Values that were built by appends show their own history.
//!
//! A value is the one some write put there, its **base**, followed by what was appended since. If every value and every
//! appended token was written once, and no value can be cut into pieces in two ways, then the longest value read after
//! a base lists the appends in order, and every other value read after that base must be a prefix of it.
//!
//! A read costs one comparison with the longest value; each append is looked up once. Where a cut is ambiguous the
//! search takes over ([`Failure::Ambiguous`]); separators at the end of tokens avoid that.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hashbrown::HashTable;

use super::blocks::Conflict;
use super::versions::{INITIAL, Versions};
use crate::parts::hash;

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
    value: Option<&'a Bytes>,
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

/// Finds the version of every value read or expected, and links swaps and appends to the versions they continue.
pub(super) fn decode<'a>(
    versions: &mut Versions<'a>,
    seen: impl Iterator<Item = (u32, Option<&'a Bytes>)>,
) -> Result<(), Failure> {
    let tokens = Tokens::new(versions)?;
    let sights = sights(versions, &tokens, seen)?;
    let mut eras: BTreeMap<u32, Era<'_>> = BTreeMap::new();
    for &sight in &sights {
        let length = |sight: Sight<'_>| sight.value.map_or(0, |value| value.len());
        let era = eras.entry(sight.base).or_insert(Era { longest: sight, ends: Vec::new() });
        if length(sight) > length(era.longest) {
            era.longest = sight;
        }
    }
    let mut shown_by: BTreeMap<u32, u32> = BTreeMap::new();
    for (&base, era) in &mut eras {
        spell(versions, &tokens, base, era, &mut shown_by)?;
    }
    let mut reads = Vec::with_capacity(versions.reads.len());
    for sight in sights {
        let version = locate(&eras[&sight.base], sight).map_err(Failure::Conflict)?;
        match sight.swap {
            Some(swap) => {
                versions.list[version as usize].happened = true;
                let longest = eras[&sight.base].longest.operation;
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
                reads.push(super::versions::Read { operation: sight.operation, version });
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
    seen: impl Iterator<Item = (u32, Option<&'a Bytes>)>,
) -> Result<Vec<Sight<'a>>, Failure> {
    let mut sights = Vec::with_capacity(versions.reads.len());
    let mut queue: Vec<u32> = Vec::new();
    let mut queued = BTreeSet::new();
    let swaps: BTreeSet<u32> = versions.swaps.iter().copied().collect();
    let certain = swaps.iter().copied().filter(|&swap| versions.list[swap as usize].happened);
    for swap in certain {
        queued.insert(swap);
        queue.push(swap);
    }
    for (operation, value) in seen {
        let base = tokens.base(versions, operation, value)?;
        sights.push(Sight { operation, value, base, swap: None });
        if swaps.contains(&base) && queued.insert(base) {
            queue.push(base);
        }
    }
    while let Some(swap) = queue.pop() {
        versions.list[swap as usize].happened = true;
        let operation = versions.list[swap as usize].write;
        let Some(value) = versions.expected(swap) else { continue };
        let base = tokens.base(versions, operation, value)?;
        sights.push(Sight { operation, value, base, swap: Some(swap) });
        if swaps.contains(&base) && queued.insert(base) {
            queue.push(base);
        }
    }
    Ok(sights)
}

/// Cuts the longest value of an era into appends, and links their versions.
fn spell<'a>(
    versions: &mut Versions<'a>,
    tokens: &Tokens<'a>,
    base: u32,
    era: &mut Era<'a>,
    shown_by: &mut BTreeMap<u32, u32>,
) -> Result<(), Failure> {
    let text: &[u8] = era.longest.value.map_or(&[], |value| value);
    let reader = era.longest.operation;
    let mut end = if base == INITIAL { 0 } else { versions.list[base as usize].value.len() };
    let mut last = base;
    era.ends.push((end, base));
    versions.list[base as usize].happened = true;
    while end < text.len() {
        let Some(version) = tokens.first(&text[end..])? else {
            return Err(Failure::Conflict(Conflict::NeverWritten(reader)));
        };
        if let Some(one) = shown_by.insert(version, reader) {
            return Err(Failure::Conflict(Conflict::SeenTwice { version, one, other: reader }));
        }
        end += versions.token(version).len();
        versions.list[version as usize].happened = true;
        versions.link(last, version).unwrap_or_else(|other| {
            unreachable!("version {last} continued by {other}, but its era is cut once")
        });
        era.ends.push((end, version));
        last = version;
    }
    Ok(())
}

fn locate(era: &Era<'_>, sight: Sight<'_>) -> Result<u32, Conflict> {
    let empty = Bytes::new();
    let (text, longest) = (sight.value.unwrap_or(&empty), era.longest.value.unwrap_or(&empty));
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
    by_token: HashTable<(u32, &'a [u8])>,
    token_lengths: Vec<usize>,
    value_lengths: Vec<usize>,
}

impl<'a> Tokens<'a> {
    fn new(versions: &Versions<'a>) -> Result<Self, Failure> {
        let mut by_token: HashTable<(u32, &'a [u8])> = HashTable::with_capacity(versions.appends.len());
        let mut token_lengths = BTreeSet::new();
        for &version in &versions.appends {
            let token: &[u8] = versions.token(version);
            let known = by_token.find(hash(token), |&(_, other)| other == token).is_some();
            if known || token.is_empty() {
                return Err(Failure::Ambiguous);
            }
            by_token.insert_unique(hash(token), (version, token), |&(_, token)| hash(token));
            token_lengths.insert(token.len());
        }
        let whole = |version: &u32| versions.appends.binary_search(version).is_err() && *version != INITIAL;
        let value_lengths: BTreeSet<usize> = (0..versions.list.len() as u32)
            .filter(whole)
            .map(|version| versions.list[version as usize].value.len())
            .collect();
        Ok(Tokens {
            by_token,
            token_lengths: token_lengths.into_iter().collect(),
            value_lengths: value_lengths.into_iter().collect(),
        })
    }

    /// The append that a text begins with, if any.
    fn first(&self, text: &[u8]) -> Result<Option<u32>, Failure> {
        let mut found = None;
        for &length in self.token_lengths.iter().take_while(|&&length| length <= text.len()) {
            let token = &text[..length];
            if let Some(&(version, _)) = self.by_token.find(hash(token), |&(_, other)| other == token)
                && found.replace(version).is_some()
            {
                return Err(Failure::Ambiguous);
            }
        }
        Ok(found)
    }

    /// The version that a value seen by `operation` was built upon.
    fn base(&self, versions: &Versions<'a>, operation: u32, value: Option<&Bytes>) -> Result<u32, Failure> {
        let Some(text) = value else { return Ok(INITIAL) };
        let mut found = None;
        if !text.is_empty() && self.first(text)?.is_some() {
            found = Some(INITIAL);
        }
        for &length in self.value_lengths.iter().take_while(|&&length| length <= text.len()) {
            let Some(version) = versions.find(&text[..length]) else { continue };
            if length < text.len() && self.first(&text[length..])?.is_none() {
                continue;
            }
            if found.replace(version).is_some() {
                return Err(Failure::Ambiguous);
            }
        }
        found.ok_or(Failure::Conflict(Conflict::NeverWritten(operation)))
    }
}
