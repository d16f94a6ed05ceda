//! The file `journal`: every sync of the database as one record, so that after a crash it has happened wholly or not at
//! all.
//!
//! ```text
//! sector (512 bytes): | content: 496 | sequence: 8 | ordinal: 4 | CRC-32: 4 |     big-endian
//! record: as many sectors as its content needs, all with the record's sequence, counted by their ordinals
//! content: | store: 8 | database length: 8 | sectors: 4 | blocks: 4 | blocks times (number: 8, bytes: 4096) | zeros |
//! ```
//!
//! The CRC also covers the sector's position in the file. Records follow each other, and their sequences count up by
//! one. When the file has reached its capacity, the blocks are made durable in their places (a *checkpoint*), and the
//! next record is written at the start of the file again.
//!
//! # Torn, or damaged?
//!
//! The last record may be one that a crash interrupted. It was never acknowledged and is dropped. But an *acknowledged*
//! record that has rotted since must not be taken for an interrupted one. The two are told apart sector by sector.
//! Disks write sectors whole ([`Disk`](super::Disk)), so every sector of an interrupted record is either as it was
//! written or as it was before: blank, beyond the end of the file, or part of an older record. Any other sector has
//! been damaged, and that is an error, wherever it is.
//!
//! Two interrupted records must not mix. So a recovery ends with a checkpoint beyond every sequence that it
//! has seen, and no sequence is ever used again.

use std::io;
use std::ops::Range;

use super::blocks::{BLOCK_BYTES, Block};
use super::damage::Damage;
use super::disk::DiskFile;

pub(super) const SECTOR_BYTES: u64 = 512;
const CONTENT_BYTES: usize = 496;
const CHECKED_BYTES: usize = 508;
const HEAD_BYTES: usize = 24;
const BLOCK_ENTRY_BYTES: usize = 8 + BLOCK_BYTES;

/// How much of the file is read at once during recovery.
const READ_AHEAD_SECTORS: u64 = 1024;

/// The contents of one sync of the database.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) database_bytes: u64,
    pub(super) blocks: Vec<(u64, Box<Block>)>,
}

/// The contents of a journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Recovered {
    /// The records after the checkpoint, in order.
    pub(super) records: Vec<Record>,
    /// The highest sequence seen, that of an interrupted record included.
    pub(super) highest: u64,
}

#[derive(Debug)]
pub(super) struct Journal<F> {
    file: F,
    store: u64,
    capacity_sectors: u64,
    /// The position of the next record.
    position: u64,
    /// The sequence of the next record.
    sequence: u64,
    /// Whether the file has outgrown its capacity, which a single large record may cause.
    overgrown: bool,
    /// The database's length according to the last record.
    database_bytes: Option<u64>,
    buffer: Vec<u8>,
}

impl<F: DiskFile> Journal<F> {
    /// Writes a blank journal. Its blocks are allocated now, because a sync that need not record their allocation takes
    /// half the time.
    pub(super) fn format(file: &F, capacity_bytes: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 16];
        let mut written = 0;
        while written < capacity_bytes {
            let piece = zeros
                .len()
                .min(usize::try_from(capacity_bytes - written).unwrap_or(usize::MAX));
            file.write_at(written, zeros.get(..piece).unwrap_or(&zeros))?;
            written += piece as u64;
        }
        file.sync()
    }

    /// Opens a journal that continues at the start of the file, after a checkpoint.
    pub(super) fn resume(file: F, store: u64, capacity_bytes: u64, checkpoint: u64) -> io::Result<Self> {
        let capacity_sectors = capacity_bytes / SECTOR_BYTES;
        let overgrown = file.len()? > capacity_bytes;
        Ok(Self {
            file,
            store,
            capacity_sectors,
            position: 0,
            sequence: checkpoint.saturating_add(1),
            overgrown,
            database_bytes: None,
            buffer: Vec::new(),
        })
    }

    /// Returns the sequence of the last record.
    pub(super) fn last_sequence(&self) -> u64 {
        self.sequence - 1
    }

    /// Whether a record of so many blocks can be appended without a checkpoint.
    pub(super) fn has_room(&self, blocks: usize) -> bool {
        // A record larger than the whole journal is nevertheless written, from the start on.
        self.position == 0 || self.position.saturating_add(sectors_for(blocks)) <= self.capacity_sectors
    }

    /// Appends a record and makes it durable.
    pub(super) fn append<'a>(
        &mut self,
        database_bytes: u64,
        blocks: impl ExactSizeIterator<Item = (u64, &'a Block)>,
    ) -> io::Result<()> {
        let count = blocks.len();
        let sectors = sectors_for(count);
        let mut content = SectorWriter::new(&mut self.buffer, self.position, self.sequence);
        content.push(&self.store.to_be_bytes());
        content.push(&database_bytes.to_be_bytes());
        content.push(&u32::try_from(sectors).map_err(|_| too_large())?.to_be_bytes());
        content.push(&u32::try_from(count).map_err(|_| too_large())?.to_be_bytes());
        for (number, block) in blocks {
            content.push(&number.to_be_bytes());
            content.push(block);
        }
        content.finish();
        assert_eq!(
            self.buffer.len() as u64,
            sectors * SECTOR_BYTES,
            "a record fills exactly the sectors that were counted for it"
        );

        self.file.write_at(self.position * SECTOR_BYTES, &self.buffer)?;
        if !planted!(ACKNOWLEDGES_UNSYNCED) {
            self.file.sync()?;
        }
        self.position += sectors;
        self.overgrown |= self.position > self.capacity_sectors;
        self.sequence += 1;
        self.database_bytes = Some(database_bytes);
        Ok(())
    }

    /// Returns the database's length according to the last record of this run.
    pub(super) fn last_database_bytes(&self) -> Option<u64> {
        self.database_bytes
    }

    /// Starts again at the beginning, once everything appended so far is durable in its place.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        if self.overgrown {
            // Truncated sectors read as missing, like blank ones, so this needs no sync of its own.
            self.file.set_len(self.capacity_sectors * SECTOR_BYTES)?;
            self.overgrown = false;
        }
        self.position = 0;
        Ok(())
    }

    /// Reads every record after `checkpoint`, and makes sure that they are durable.
    pub(super) fn recover(
        file: &F,
        name: &'static str,
        store: u64,
        checkpoint: u64,
    ) -> io::Result<Recovered> {
        let mut reader = SectorReader::new(file)?;
        let mut expected = checkpoint.saturating_add(1);
        let (mut last, mut position) = (0, 0);
        let mut records = Vec::new();
        while let Some(sectors) = reader.record_at(name, position, expected)? {
            match reader.record(name, position, expected, sectors, store)? {
                Some(record) => records.push(record),
                None => break,
            }
            (last, position) = (position, position + sectors);
            expected += 1;
        }

        let mut highest = expected - 1;
        for rest in position..reader.sectors {
            // A record is written only once the one before it is durable, so nothing can follow an interrupted one.
            if let Sector::Whole { sequence, .. } = reader.sector(rest)? {
                if sequence > expected {
                    return Err(Damage::new(
                        name,
                        rest * SECTOR_BYTES,
                        "a record is here whose predecessor is missing",
                    )
                    .into());
                }
                highest = highest.max(sequence);
            }
        }
        // After a failed sync nothing more is appended, so only the last record may be missing from the disk.
        if !planted!(TRUSTS_UNSYNCED_RECORD) {
            rewrite(file, last..position)?;
        }
        Ok(Recovered { records, highest })
    }
}

/// Writes these sectors again and makes them durable: a failed sync has forgotten them, and a later one only covers
/// what is written again.
fn rewrite<F: DiskFile>(file: &F, sectors: Range<u64>) -> io::Result<()> {
    let bytes = (sectors.end - sectors.start) * SECTOR_BYTES;
    let mut record = vec![0; usize::try_from(bytes).map_err(|_| too_large())?];
    file.read_at(sectors.start * SECTOR_BYTES, &mut record)?;
    file.write_at(sectors.start * SECTOR_BYTES, &record)?;
    file.sync()
}

fn too_large() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "a single transaction of this size cannot be journaled",
    )
}

fn sectors_for(blocks: usize) -> u64 {
    let content = HEAD_BYTES as u64 + (blocks as u64).saturating_mul(BLOCK_ENTRY_BYTES as u64);
    content.div_ceil(CONTENT_BYTES as u64)
}

fn sector_checksum(position: u64, sector: &[u8; SECTOR_BYTES as usize]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.to_be_bytes());
    hasher.update(&sector[..CHECKED_BYTES]);
    hasher.finalize()
}

/// Splits a stream of bytes into sealed sectors.
struct SectorWriter<'a> {
    buffer: &'a mut Vec<u8>,
    position: u64,
    sequence: u64,
    ordinal: u32,
    sector: [u8; SECTOR_BYTES as usize],
    filled: usize,
}

impl<'a> SectorWriter<'a> {
    fn new(buffer: &'a mut Vec<u8>, position: u64, sequence: u64) -> Self {
        buffer.clear();
        Self {
            buffer,
            position,
            sequence,
            ordinal: 0,
            sector: [0; SECTOR_BYTES as usize],
            filled: 0,
        }
    }

    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(CONTENT_BYTES - self.filled));
            self.sector[self.filled..self.filled + piece.len()].copy_from_slice(piece);
            self.filled += piece.len();
            bytes = rest;
            if self.filled == CONTENT_BYTES {
                self.seal();
            }
        }
    }

    fn seal(&mut self) {
        self.sector[self.filled..CONTENT_BYTES].fill(0);
        self.sector[496..504].copy_from_slice(&self.sequence.to_be_bytes());
        self.sector[504..508].copy_from_slice(&self.ordinal.to_be_bytes());
        let checksum = sector_checksum(self.position + u64::from(self.ordinal), &self.sector);
        self.sector[508..].copy_from_slice(&checksum.to_be_bytes());
        self.buffer.extend_from_slice(&self.sector);
        self.ordinal += 1;
        self.filled = 0;
    }

    fn finish(mut self) {
        if self.filled > 0 {
            self.seal();
        }
    }
}

/// The state of a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sector {
    /// Blank, or beyond the end of the file.
    Missing,
    /// As it was written.
    Whole { sequence: u64, ordinal: u32 },
    /// Anything else.
    Damaged,
}

/// Reads sectors, many at a time.
struct SectorReader<'a, F> {
    file: &'a F,
    sectors: u64,
    window_start: u64,
    window: Vec<u8>,
}

impl<'a, F: DiskFile> SectorReader<'a, F> {
    fn new(file: &'a F) -> io::Result<Self> {
        Ok(Self {
            file,
            sectors: file.len()? / SECTOR_BYTES,
            window_start: 0,
            window: Vec::new(),
        })
    }

    fn bytes(&mut self, position: u64) -> io::Result<Option<&[u8; SECTOR_BYTES as usize]>> {
        if position >= self.sectors {
            return Ok(None);
        }
        let held = self.window.len() as u64 / SECTOR_BYTES;
        if position < self.window_start || position >= self.window_start + held {
            let count = READ_AHEAD_SECTORS.min(self.sectors - position);
            self.window
                .resize(usize::try_from(count * SECTOR_BYTES).map_err(|_| too_large())?, 0);
            self.window_start = position;
            self.file.read_at(position * SECTOR_BYTES, &mut self.window)?;
        }
        let offset =
            usize::try_from((position - self.window_start) * SECTOR_BYTES).map_err(|_| too_large())?;
        Ok(self.window.get(offset..).and_then(|rest| rest.first_chunk()))
    }

    fn sector(&mut self, position: u64) -> io::Result<Sector> {
        let Some(sector) = self.bytes(position)? else {
            return Ok(Sector::Missing);
        };
        let [s0, s1, s2, s3, s4, s5, s6, s7, o0, o1, o2, o3, c0, c1, c2, c3] = *tail(sector);
        if sector_checksum(position, sector) == u32::from_be_bytes([c0, c1, c2, c3]) {
            let sequence = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
            return Ok(Sector::Whole {
                sequence,
                ordinal: u32::from_be_bytes([o0, o1, o2, o3]),
            });
        }
        Ok(
            if sector.iter().all(|&byte| byte == 0) || planted!(DAMAGED_IS_TORN) {
                Sector::Missing
            } else {
                Sector::Damaged
            },
        )
    }

    /// Returns how many sectors the record that begins here has; `None` if no record with this sequence begins here.
    fn record_at(&mut self, name: &str, position: u64, expected: u64) -> io::Result<Option<u64>> {
        let damaged = |what| Err(Damage::new(name, position * SECTOR_BYTES, what).into());
        match self.sector(position)? {
            Sector::Damaged => damaged("the checksum does not match"),
            Sector::Whole { sequence, .. } if sequence > expected => {
                damaged("the records before this one are missing")
            }
            Sector::Whole { sequence, ordinal } if sequence == expected => {
                let count = self
                    .bytes(position)?
                    .and_then(|sector| sector.get(16..20))
                    .and_then(|field| field.first_chunk());
                match (ordinal, count) {
                    (0, Some(&count)) => Ok(Some(u64::from(u32::from_be_bytes(count)).max(1))),
                    _ => damaged("a record begins in its middle"),
                }
            }
            Sector::Missing | Sector::Whole { .. } => Ok(None),
        }
    }

    /// Returns the record itself; `None` if it was interrupted.
    fn record(
        &mut self,
        name: &str,
        position: u64,
        expected: u64,
        sectors: u64,
        store: u64,
    ) -> io::Result<Option<Record>> {
        let mut content = Vec::new();
        let mut interrupted = position + sectors > self.sectors;
        for ordinal in 0..sectors.min(self.sectors - position) {
            let place = position + ordinal;
            match self.sector(place)? {
                Sector::Damaged => {
                    return Err(
                        Damage::new(name, place * SECTOR_BYTES, "the checksum does not match").into(),
                    );
                }
                Sector::Whole {
                    sequence,
                    ordinal: found,
                } if sequence == expected && u64::from(found) == ordinal => {
                    let sector = self.bytes(place)?.and_then(|sector| sector.get(..CONTENT_BYTES));
                    content.extend_from_slice(sector.unwrap_or_default());
                }
                Sector::Missing | Sector::Whole { .. } => interrupted = true,
            }
        }
        if interrupted && planted!(TORN_IS_DAMAGED) {
            return Err(Damage::new(name, position * SECTOR_BYTES, "a record is not complete").into());
        }
        if interrupted {
            return Ok(None);
        }
        parse(&content, sectors, store)
            .map(Some)
            .map_err(|what| Damage::new(name, position * SECTOR_BYTES, what).into())
    }
}

fn tail(sector: &[u8; SECTOR_BYTES as usize]) -> &[u8; 16] {
    sector.last_chunk().expect("a sector is longer than its tail")
}

fn parse(content: &[u8], sectors: u64, store: u64) -> Result<Record, &'static str> {
    const SHORT: &str = "a record is shorter than its length field";
    let (&found, rest) = content.split_first_chunk::<8>().ok_or(SHORT)?;
    if u64::from_be_bytes(found) != store {
        return Err("the record belongs to another store");
    }
    let (&database_bytes, rest) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    let (_, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let (&count, mut rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let count = usize::try_from(u32::from_be_bytes(count)).map_err(|_| SHORT)?;
    if sectors_for(count) != sectors {
        return Err("a record's length and its number of blocks disagree");
    }
    let mut blocks = Vec::with_capacity(count);
    for _ in 0..count {
        let (&number, after) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
        let (bytes, after) = after.split_first_chunk::<BLOCK_BYTES>().ok_or(SHORT)?;
        blocks.push((u64::from_be_bytes(number), Box::new(*bytes)));
        rest = after;
    }
    Ok(Record {
        database_bytes: u64::from_be_bytes(database_bytes),
        blocks,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct MemoryFile(Mutex<Vec<u8>>);

    impl DiskFile for &'static MemoryFile {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.lock().unwrap().len() as u64)
        }

        fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
            let start = usize::try_from(offset).unwrap();
            target.copy_from_slice(&self.0.lock().unwrap()[start..start + target.len()]);
            Ok(())
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let start = usize::try_from(offset).unwrap();
            let mut contents = self.0.lock().unwrap();
            let length = contents.len().max(start + bytes.len());
            contents.resize(length, 0);
            contents[start..start + bytes.len()].copy_from_slice(bytes);
            Ok(())
        }

        fn set_len(&self, bytes: u64) -> io::Result<()> {
            self.0.lock().unwrap().resize(usize::try_from(bytes).unwrap(), 0);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }

    const STORE: u64 = 5;

    /// A journal with three records of one block each, the sequences 1 to 3.
    fn three_records() -> &'static MemoryFile {
        let file: &'static MemoryFile = Box::leak(Box::default());
        Journal::format(&file, 64 << 10).unwrap();
        let mut journal = Journal::resume(file, STORE, 64 << 10, 0).unwrap();
        for number in 0..3_u8 {
            let block: Block = [number + 1; BLOCK_BYTES];
            journal
                .append(4096, [(u64::from(number), &block)].into_iter())
                .unwrap();
        }
        file
    }

    fn recover(file: &'static MemoryFile, checkpoint: u64) -> io::Result<(usize, u64)> {
        let recovered = Journal::recover(&file, "journal", STORE, checkpoint)?;
        Ok((recovered.records.len(), recovered.highest))
    }

    fn sector_of(record: u64, ordinal: u64) -> u64 {
        (record * sectors_for(1) + ordinal) * SECTOR_BYTES
    }

    #[test]
    fn complete_records_are_replayed_from_the_checkpoint_on() {
        assert_eq!(recover(three_records(), 0).unwrap(), (3, 3));
        // After a checkpoint the same records are old ones.
        assert_eq!(recover(three_records(), 3).unwrap(), (0, 3));
    }

    #[test]
    fn an_interrupted_record_is_dropped_and_its_sequence_never_used_again() {
        for missing in 0..sectors_for(1) {
            let file = three_records();
            file.write_at(sector_of(2, missing), &[0; 512]).unwrap();
            assert_eq!(recover(file, 0).unwrap(), (2, 3), "sector {missing} is missing");
        }
    }

    #[test]
    fn a_record_that_is_missing_before_another_is_damage() {
        for missing in 0..sectors_for(1) {
            let file = three_records();
            file.write_at(sector_of(1, missing), &[0; 512]).unwrap();
            assert!(recover(file, 0).is_err(), "sector {missing} is missing");
        }
    }

    #[test]
    fn a_sector_in_another_s_place_is_damage() {
        let file = three_records();
        let mut sector = [0; 512];
        file.read_at(sector_of(1, 3), &mut sector).unwrap();
        file.write_at(sector_of(1, 4), &sector).unwrap();
        assert!(recover(file, 0).is_err());
    }

    #[test]
    fn a_journal_of_another_store_is_damage() {
        assert!(Journal::recover(&three_records(), "journal", STORE + 1, 0).is_err());
    }
}
