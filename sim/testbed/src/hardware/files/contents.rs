//! What one file holds: as processes read it, and as a loss of power leaves it.
//!
//! A drive writes whole *sectors*. A sector is *dirty* if the next sync writes it. A sync that fails writes a
//! part of the dirty sectors and forgets about the others: none is dirty any more, so the next sync does not
//! write them, although processes still read what they hold (PostgreSQL's "fsyncgate", 2018). Only what is
//! written again becomes dirty again.

use std::collections::BTreeSet;

use super::part::Part;
use crate::data::hash::{below, stable_hash};

/// The bytes of a sector.
pub const SECTOR: usize = 512;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// As processes read it: the page cache.
    shown: Vec<u8>,
    /// As it is on the drive.
    durable: Vec<u8>,
    /// The sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    /// If the next sync writes the length: the shortest that the file was since the last sync.
    shortest: Option<usize>,
}

impl Contents {
    /// As processes read it.
    pub fn shown(&self) -> &[u8] {
        &self.shown
    }

    /// As it is on the drive.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// It holds this from `offset` on, and zeros before, if there is a gap.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (length, end) = (self.shown.len(), offset + bytes.len());
        if end > length {
            self.resize(end);
        }
        self.shown[offset..end].copy_from_slice(bytes);
        self.soil(offset, end);
    }

    /// It holds this and nothing else.
    pub fn replace(&mut self, bytes: &[u8]) {
        self.truncate(0);
        self.write_at(0, bytes);
    }

    /// It ends there.
    pub fn truncate(&mut self, length: usize) {
        self.resize(length);
        self.dirty.retain(|sector| sector * SECTOR < length);
        // The sector in which it ends is written with zeros behind the end.
        self.soil(length - length % SECTOR, length);
    }

    fn resize(&mut self, length: usize) {
        let before = self.shown.len();
        let shortest = before.min(length);
        self.shortest = Some(self.shortest.map_or(shortest, |so_far| so_far.min(shortest)));
        self.shown.resize(length, 0);
        self.soil(before, length);
    }

    /// The sectors of these bytes are dirty, if there are any.
    fn soil(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }

    /// Everything is durable that was to be.
    pub fn sync(&mut self) {
        self.settle(&Part::All, 0);
    }

    /// A part of it is durable, which the hash chooses, and the rest is not and will not be.
    pub fn sync_in_part(&mut self, hash: u64) {
        self.settle(&Part::drawn(hash, self.dirty.len()), hash);
    }

    /// A part of what was not durable is, which the hash chooses, and nothing else is left.
    pub fn lose_power(&mut self, hash: u64) {
        self.sync_in_part(hash);
        self.shown.clone_from(&self.durable);
    }

    /// It is durable as processes read it, whatever failed before.
    pub fn all_durable(&mut self) {
        self.durable.clone_from(&self.shown);
        self.dirty.clear();
        self.shortest = None;
    }

    fn settle(&mut self, part: &Part, hash: u64) {
        let dirty = std::mem::take(&mut self.dirty);
        let written: Vec<usize> =
            dirty.into_iter().enumerate().filter(|(place, _)| part.holds(*place)).map(|(_, s)| s).collect();
        let length = self.durable_length(part, hash, written.last().copied());
        self.durable.resize(length, 0);
        for start in written.into_iter().map(|sector| sector * SECTOR).filter(|start| *start < length) {
            let sector = &mut self.durable[start..length.min(start + SECTOR)];
            let shown = self.shown.get(start..).unwrap_or_default();
            let known = shown.len().min(sector.len());
            sector[..known].copy_from_slice(&shown[..known]);
            sector[known..].fill(0);
        }
        self.shortest = None;
    }

    /// The length that is durable after a part was written, up to and including the sector `last`.
    fn durable_length(&self, part: &Part, hash: u64, last: Option<usize>) -> usize {
        let (old, new) = (self.durable.len(), self.shown.len());
        let Some(shortest) = self.shortest else {
            // A sector that is written again makes the file long enough for it, if an earlier sync did not.
            return old.max(last.map_or(0, |last| new.min((last + 1) * SECTOR)));
        };
        match part {
            Part::All => new,
            Part::None => old,
            Part::Places(_) => match below(stable_hash(&(hash, "length")), 5) {
                0 => old,
                1 => new,
                2 => shortest,
                _ => {
                    let more = below(stable_hash(&(hash, "between")), (new - shortest) as u64 + 1);
                    shortest + more as usize
                }
            },
        }
    }

    /// How many bytes a loss of power would leave otherwise, if nothing more were written.
    pub fn not_durable(&self) -> usize {
        let length = self.shown.len().max(self.durable.len());
        (0..length).filter(|at| self.shown.get(*at) != self.durable.get(*at)).count()
    }

    /// The places of the bytes that the drive has and nothing is to be written over.
    pub fn at_rest(&self) -> Vec<usize> {
        let length = self.shown.len().min(self.durable.len());
        (0..length).filter(|at| !self.dirty.contains(&(at / SECTOR))).collect()
    }

    /// One bit is another one, on the drive and for processes. It is counted from the first bit of the file.
    pub fn flip(&mut self, bit: usize) {
        for bytes in [&mut self.shown, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }
}
