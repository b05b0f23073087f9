//! How a journal lies on the disk: in sectors, each of which can be told from one that was torn or damaged.
//!
//! A disk writes a sector whole or not at all, and a loss of power in the middle of a write leaves any of its
//! sectors unwritten. So each has a checksum and says to which batch it belongs:
//!
//! ```text
//! bytes   0..4      4..12            12..16         16..18         18            20..512
//!         crc32 of  number of the    its place in   bytes of       1: the last   contents, zeros
//!         the rest  batch, from 1    the batch      its contents   of the batch  behind them
//! ```
//!
//! Numbers are big endian. A batch begins when all before it are durable. Hence what follows the last whole
//! batch is *torn* if it consists of sectors of the batch after it, of zeros, and of a sector that the end of
//! the file cuts off: nobody was told that this batch is durable. Anything else there is *damage*: a sector
//! whose checksum does not match was written whole and is another one now, and a sector of a later batch
//! proves that what is missing before it was durable.

/// How many bytes a disk writes whole or not at all.
pub const SECTOR: usize = 512;

/// What a sector holds beside its contents.
const HEAD: usize = 20;

/// How much fits into one.
pub const ROOM: usize = SECTOR - HEAD;

/// A batch in the making.
#[derive(Debug)]
pub struct Batch {
    number: u64,
    /// Sectors that were taken out.
    taken: u32,
    /// What is not in them.
    contents: Vec<u8>,
}

impl Batch {
    /// An empty batch of this number.
    pub fn new(number: u64) -> Self {
        Self { number, taken: 0, contents: Vec::new() }
    }

    /// What it holds goes on with what is added here.
    pub fn contents(&mut self) -> &mut Vec<u8> {
        &mut self.contents
    }

    /// The sectors that are full, but for the last.
    pub fn take_full(&mut self) -> Vec<u8> {
        let full = self.contents.len().saturating_sub(1) / ROOM;
        self.take(full, false)
    }

    /// The sectors that are left: the last one is among them.
    pub fn end(mut self) -> Vec<u8> {
        let left = self.contents.len().div_ceil(ROOM).max(1);
        self.take(left, true)
    }

    fn take(&mut self, count: usize, ends: bool) -> Vec<u8> {
        let rest = self.contents.split_off(self.contents.len().min(count * ROOM));
        let contents = std::mem::replace(&mut self.contents, rest);
        let mut sectors = Vec::with_capacity(count * SECTOR);
        for place in 0..count {
            let from = contents.len().min(place * ROOM);
            let held = &contents[from..contents.len().min(from + ROOM)];
            let start = sectors.len();
            sectors.extend_from_slice(&[0; 4]);
            sectors.extend_from_slice(&self.number.to_be_bytes());
            sectors.extend_from_slice(&self.taken.to_be_bytes());
            sectors.extend_from_slice(&u16::try_from(held.len()).expect("less than a sector").to_be_bytes());
            sectors.extend_from_slice(&[u8::from(ends && place + 1 == count), 0]);
            sectors.extend_from_slice(held);
            sectors.resize(start + SECTOR, 0);
            let sum = crc32fast::hash(&sectors[start + 4..]);
            sectors[start..start + 4].copy_from_slice(&sum.to_be_bytes());
            self.taken += 1;
        }
        sectors
    }
}

/// A sector as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sector<'a> {
    /// It is whole.
    Whole {
        /// The batch it belongs to,
        batch: u64,
        /// its place in that,
        place: u32,
        /// what it holds,
        contents: &'a [u8],
        /// and whether it is the last one.
        is_last: bool,
    },
    /// Zeros: nothing was written there.
    Empty,
    /// Something else.
    Damaged,
}

impl<'a> Sector<'a> {
    /// What these bytes are.
    pub fn read(bytes: &'a [u8; SECTOR]) -> Self {
        let number = |at: usize, length: usize| {
            bytes[at..at + length].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        if u64::from(crc32fast::hash(&bytes[4..])) != number(0, 4) {
            let is_empty = bytes.iter().all(|byte| *byte == 0);
            return if is_empty { Self::Empty } else { Self::Damaged };
        }
        let length = usize::try_from(number(16, 2)).expect("two bytes");
        let Some(contents) = bytes[HEAD..].get(..length) else { return Self::Damaged };
        let place = u32::try_from(number(12, 4)).expect("four bytes");
        Self::Whole { batch: number(4, 8), place, contents, is_last: bytes[18] == 1 }
    }
}

/// Reads sectors in their order and finds where the last whole batch ends.
#[derive(Debug)]
pub struct Scan {
    /// Sectors read so far, and the title.
    read: u64,
    /// The batch that is next, or under way,
    batch: u64,
    /// the place of its next sector,
    place: u32,
    /// and the sector with which it begins.
    begins: u64,
    /// Where the last whole batch begins.
    last: u64,
    /// A sector was not what should follow.
    is_torn: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// How many batches are whole.
    pub batches: u64,
    /// The sector with which the last of them begins,
    pub last: u64,
    /// and how many sectors there are up to its end.
    pub end: u64,
}

impl Default for Scan {
    fn default() -> Self {
        // The first sector of a file is its title.
        Self { read: 1, batch: 1, place: 0, begins: 1, last: 1, is_torn: false }
    }
}

impl Scan {
    /// The next sector.
    ///
    /// # Errors
    ///
    /// If it is damage.
    pub fn read(&mut self, sector: Sector) -> Result<(), String> {
        let at = self.read;
        self.read += 1;
        match sector {
            Sector::Whole { batch, place, is_last, .. }
                if !self.is_torn && (batch, place) == (self.batch, self.place) =>
            {
                self.place += 1;
                if is_last {
                    (self.batch, self.place) = (batch + 1, 0);
                    (self.last, self.begins) = (self.begins, self.read);
                }
                Ok(())
            }
            Sector::Whole { batch, place, .. }
                if batch == self.batch && u64::from(place) == at - self.begins =>
            {
                self.is_torn = true;
                Ok(())
            }
            Sector::Whole { batch, place, .. } => Err(format!(
                "sector {at} is number {place} of batch {batch}, where batch {} begins with sector {}",
                self.batch, self.begins
            )),
            Sector::Empty => {
                self.is_torn = true;
                Ok(())
            }
            Sector::Damaged => Err(format!("the checksum of sector {at} does not match")),
        }
    }

    /// All were read.
    pub fn found(&self) -> Found {
        Found { batches: self.batch - 1, last: self.last, end: self.begins }
    }
}
