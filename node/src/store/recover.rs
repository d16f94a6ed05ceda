//! Reads the log when a folder is opened, and tells an interrupted write from damage.
//!
//! The batches of the log form a chain: each names the sequence of the one before it and continues its checksum. Where
//! the chain ends, one of these is found:
//!
//! | at the end of the chain | outcome |
//! |---|---|
//! | blank or older sectors | the end |
//! | a batch of which some sectors were never written | a torn end: it was never acknowledged, and is dropped |
//! | a batch of which all sectors were written, some damaged | it may have been acknowledged: it is dropped, and the server starts as one whose folder went back |
//! | any of them, and a *mark* says that later batches were durable | an error that names the place |
//!
//! Marks are in every batch (how far the log was synced before it), in the head of the next segment, and in the file
//! `identity`. A clean stop ends with a mark of its own.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use raft_core::Entry;

use super::StoreError;
use super::damage::Damage;
use super::disk::{Disk, DiskFile};
use super::identity::IdentityFile;
use super::places::{Place, Places, Segment, parse_entry};
use super::record::{self, BatchHead, EntryAt, Kind, Record, Records, SegmentHead, Standing};
use super::sector::{self, SECTOR_BYTES, Sector, Stamp};
use super::segment::{file_name, number_of};

/// The log as it was found.
#[derive(Debug)]
pub(super) struct Recovered<F> {
    pub(super) standing: Standing,
    pub(super) entries: Vec<Entry>,
    pub(super) places: Places<F>,
    /// The last segment.
    pub(super) number: u64,
    /// Where its next batch goes, in sectors.
    pub(super) position: u64,
    /// Its length, in sectors.
    pub(super) sectors: u64,
    /// The last batch.
    pub(super) sequence: u64,
    /// The checksum of the last record.
    pub(super) chain: u32,
    /// The highest sequence seen anywhere, those that were dropped included.
    pub(super) highest: u64,
    /// The sectors of the last segment that may stand in the page cache only.
    pub(super) not_durable: Range<u64>,
    /// Sectors after the end that hold nothing whole.
    pub(super) garbage: Vec<u64>,
    /// A batch that may have been acknowledged, and is lost.
    pub(super) lost_end: Option<Damage>,
    /// Files of segments that are not needed any more.
    pub(super) leftovers: Vec<String>,
}

/// Reads the log of this folder.
pub(super) fn recover<D: Disk>(disk: &D, identity: &IdentityFile) -> Result<Recovered<D::File>, StoreError> {
    let io = |error| StoreError::from_io(&disk.place(), error);
    let mut numbers: Vec<u64> = disk
        .names()
        .map_err(io)?
        .iter()
        .filter_map(|name| number_of(name))
        .collect();
    numbers.sort_unstable();
    let place = disk.place();
    let &last = numbers.last().ok_or_else(|| {
        let missing = Damage::new(&file_name(1), 0, "there is no segment of the log");
        StoreError::damaged(&place, missing)
    })?;
    // A crash may leave any of the segments that were being removed. What is needed has no gap.
    let counted_down = numbers.iter().rev().zip((0..=last).rev());
    let run = counted_down
        .take_while(|(found, expected)| *found == expected)
        .count();
    let (leftovers, run) = numbers.split_at(numbers.len() - run);

    let mut replay = Replay::new(place.clone(), identity);
    for &number in run {
        let name = file_name(number);
        let missing = || StoreError::damaged(&place, Damage::new(&name, 0, "the file is missing"));
        let file = disk.open(&name).map_err(io)?.ok_or_else(missing)?;
        let bytes = read_whole(&file).map_err(io)?;
        replay.segment(number, &bytes, number == last)?;
        let salt = replay.salt;
        replay
            .places
            .segments
            .insert(number, Arc::new(Segment { file, salt }));
    }
    let lowest = run.first().copied().unwrap_or_default();
    replay.finish(
        lowest,
        last,
        leftovers.iter().map(|&number| file_name(number)).collect(),
    )
}

fn read_whole(file: &impl DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// What stands where a batch should begin.
enum Next {
    Batch {
        stamp: Stamp,
        content: Vec<u8>,
    },
    /// Nothing that was written after the last batch.
    End,
    /// Some of a batch's sectors were never written.
    Torn,
    /// Something that no interrupted write leaves.
    Suspect {
        sector: u64,
        what: &'static str,
    },
}

struct Sectors<'a> {
    bytes: &'a [u8],
}

impl<'a> Sectors<'a> {
    fn count(&self) -> u64 {
        self.bytes.len().div_ceil(SECTOR_BYTES) as u64
    }

    fn at(&self, position: u64) -> Sector<'a> {
        let rest = usize::try_from(position)
            .ok()
            .and_then(|position| self.bytes.get(position.checked_mul(SECTOR_BYTES)?..))
            .unwrap_or_default();
        sector::parse(position, rest.get(..SECTOR_BYTES).unwrap_or(rest))
    }

    /// Looks for the batch that follows the one with the sequence `last`.
    fn next(&self, position: u64, salt: u32, last: u64) -> Next {
        let is_later = |stamp: &Stamp| stamp.salt == salt && stamp.sequence > last;
        let (stamp, first) = match self.at(position) {
            Sector::Whole { stamp, content } if is_later(&stamp) => (stamp, content),
            Sector::Blank | Sector::Whole { .. } => return Next::End,
            Sector::Damaged => return self.damaged_head(position, salt, last),
        };
        if stamp.ordinal != 0 || stamp.count == 0 {
            let what = "a batch begins in its middle";
            return Next::Suspect {
                sector: position,
                what,
            };
        }
        let (mut content, mut damaged) = (first.to_vec(), None);
        for ordinal in 1..stamp.count {
            let place = position + u64::from(ordinal);
            match self.at(place) {
                Sector::Whole {
                    stamp: found,
                    content: part,
                } if found == (Stamp { ordinal, ..stamp }) || planted!(STALE_VALIDATES) => {
                    content.extend_from_slice(part);
                }
                Sector::Whole { .. } | Sector::Blank => return Next::Torn,
                Sector::Damaged => damaged = damaged.or(Some(place)),
            }
        }
        match damaged {
            None => Next::Batch { stamp, content },
            Some(sector) => Next::Suspect {
                sector,
                what: "a sector's checksum does not match",
            },
        }
    }

    /// Judges a batch whose first sector is damaged by its other sectors: each says how many there are.
    fn damaged_head(&self, position: u64, salt: u32, last: u64) -> Next {
        let suspect = Next::Suspect {
            sector: position,
            what: "a sector's checksum does not match",
        };
        let Sector::Whole { stamp, .. } = self.at(position + 1) else {
            return suspect;
        };
        if stamp.salt != salt || stamp.sequence <= last || stamp.ordinal != 1 {
            return suspect;
        }
        let was_written = |ordinal: u32| match self.at(position + u64::from(ordinal)) {
            Sector::Whole { stamp: found, .. } => found == Stamp { ordinal, ..stamp },
            Sector::Damaged => true,
            Sector::Blank => false,
        };
        match (1..stamp.count).all(was_written) {
            true => suspect,
            false => Next::Torn,
        }
    }
}

struct Replay<F> {
    place: String,
    incarnation: u64,
    group: raft_core::GroupId,
    /// The durable end, according to the file `identity`.
    identity_mark: u64,
    standing: Standing,
    entries: VecDeque<Entry>,
    places: Places<F>,
    /// The first and the last index of the log, 0 for none, whether or not their segments are here.
    bounds: (u64, u64),
    salt: u32,
    sequence: u64,
    chain: u32,
    /// The highest mark of a batch that was read.
    mark: u64,
    is_stopped: bool,
    end: End,
}

/// The end of the last segment.
#[derive(Default)]
struct End {
    position: u64,
    sectors: u64,
    /// Where the first batch begins that no mark covers.
    not_durable: u64,
    highest: u64,
    garbage: Vec<u64>,
    lost: Option<Damage>,
}

impl<F> Replay<F> {
    fn new(place: String, identity: &IdentityFile) -> Self {
        Self {
            place,
            incarnation: identity.identity.incarnation.value(),
            group: identity.identity.group,
            identity_mark: identity.sequence,
            standing: Standing::default(),
            entries: VecDeque::new(),
            places: Places::default(),
            bounds: (0, 0),
            salt: 0,
            sequence: 0,
            chain: 0,
            mark: 0,
            is_stopped: false,
            end: End::default(),
        }
    }

    fn damaged(&self, number: u64, sector: u64, what: &'static str) -> StoreError {
        let offset = sector * SECTOR_BYTES as u64;
        StoreError::damaged(&self.place, Damage::new(&file_name(number), offset, what))
    }

    fn segment(&mut self, number: u64, bytes: &[u8], is_last: bool) -> Result<(), StoreError> {
        let sectors = Sectors { bytes };
        let mut position = self.open_segment(number, &sectors)?;
        let mut starts = vec![(self.sequence, 0)];
        let found = loop {
            match sectors.next(position, self.salt, self.sequence) {
                Next::Batch { stamp, content } => {
                    let head = match self.head(&content) {
                        Ok(head) => head,
                        Err(what) => {
                            break Next::Suspect {
                                sector: position,
                                what,
                            };
                        }
                    };
                    starts.push((stamp.sequence, position));
                    self.batch(number, position, stamp, &head, &content)?;
                    position += u64::from(stamp.count);
                }
                other => break other,
            }
        };
        self.end.position = position;
        if is_last {
            let rest = position..sectors.count();
            self.end_of_log(number, &found, &sectors, rest, &starts)?;
        }
        Ok(())
    }

    /// Reads the first batch of a segment. It was durable before the segment got its name, so it is never torn.
    fn open_segment(&mut self, number: u64, sectors: &Sectors<'_>) -> Result<u64, StoreError> {
        let Sector::Whole { stamp, .. } = sectors.at(0) else {
            return Err(self.damaged(number, 0, "the first sector's checksum does not match"));
        };
        let (stamp, content) = match sectors.next(0, stamp.salt, 0) {
            Next::Batch { stamp, content } => (stamp, content),
            Next::Suspect { sector, what } => return Err(self.damaged(number, sector, what)),
            Next::End | Next::Torn => {
                return Err(self.damaged(number, 0, "the first batch is not complete"));
            }
        };
        let batch = record::batch_head(&content)
            .ok_or_else(|| self.damaged(number, 0, "a batch begins without its head"))?;
        let mut records = Records::new(&content, stamp.salt, batch.chain);
        let head = records
            .read()
            .and_then(|_| segment_head(&mut records))
            .map_err(|what| self.damaged(number, 0, what))?;
        if head.number != number || head.incarnation != self.incarnation {
            return Err(self.damaged(number, 0, "the file is a segment of another place or folder"));
        }
        if sectors.count() < head.sectors || !(sectors.bytes.len()).is_multiple_of(SECTOR_BYTES) {
            return Err(self.damaged(number, sectors.count(), "the file is shorter than it was written"));
        }
        match self.sequence {
            // Nothing is known of what the first segment follows.
            0 => self.bounds = (head.first, head.last),
            sequence => {
                let follows = (batch.previous, batch.chain) == (sequence, self.chain)
                    && (head.first, head.last) == self.bounds;
                if !follows && !planted!(ENDS_ANYWHERE) {
                    let what = "the segment ends before the next one begins";
                    return Err(self.damaged(number - 1, self.end.position, what));
                }
            }
        }
        self.salt = stamp.salt;
        self.end.sectors = sectors.count();
        (self.sequence, self.chain) = (batch.previous, batch.chain);
        self.batch(number, 0, stamp, &batch, &content)?;
        Ok(u64::from(stamp.count))
    }

    /// Returns a batch's head if it continues the chain.
    fn head(&self, content: &[u8]) -> Result<BatchHead, &'static str> {
        let head = record::batch_head(content).ok_or("a batch begins without its head")?;
        if (head.previous, head.chain) != (self.sequence, self.chain) {
            return Err("the batch before this one is missing");
        }
        let mut records = Records::new(content, self.salt, self.chain);
        for _ in 0..=head.records {
            records.read()?;
        }
        Ok(head)
    }

    /// Carries out the records of a batch.
    fn batch(
        &mut self,
        number: u64,
        position: u64,
        stamp: Stamp,
        head: &BatchHead,
        content: &[u8],
    ) -> Result<(), StoreError> {
        let mut records = Records::new(content, stamp.salt, head.chain);
        for _ in 0..=head.records {
            let record = records
                .read()
                .map_err(|what| self.damaged(number, position, what))?;
            self.record(number, position, &record)?;
        }
        self.chain = records.chain();
        self.sequence = stamp.sequence;
        self.mark = self.mark.max(head.synced);
        self.is_stopped = head.records == 0;
        Ok(())
    }

    fn record(&mut self, number: u64, position: u64, record: &Record<'_>) -> Result<(), StoreError> {
        if record.group != self.group {
            return Err(self.damaged(number, position, "a record belongs to another group"));
        }
        let offset = position * SECTOR_BYTES as u64;
        match record.kind {
            Kind::Batch | Kind::Segment => {}
            Kind::State => {
                self.standing = Standing::decode(record.body).map_err(|source| StoreError::Record {
                    folder: self.place.clone(),
                    file: file_name(number),
                    offset,
                    source,
                })?;
            }
            Kind::Truncate => {
                self.places.truncate(record.index);
                let kept = |entry: &Entry| entry.id.index.value() < record.index;
                let kept = self.entries.partition_point(kept);
                self.entries.truncate(kept);
                self.bounds = match self.bounds {
                    (first, last) if first < record.index => (first, last.min(record.index - 1)),
                    _ => (0, 0),
                };
            }
            Kind::Entry => {
                let name = file_name(number);
                let entry = parse_entry(&self.place, &name, offset, record.index, record)?;
                let at = EntryAt {
                    at: record.at,
                    length: record.length,
                    previous: record.previous,
                };
                let follows = self.bounds.1 == 0 || self.bounds.1 + 1 == record.index;
                if !follows || !self.places.push(record.index, Place::new(number, position, &at)) {
                    return Err(self.damaged(number, position, "the entry before this one is missing"));
                }
                let first = if self.bounds.0 == 0 {
                    record.index
                } else {
                    self.bounds.0
                };
                self.bounds = (first, record.index);
                self.entries.push_back(entry);
            }
            Kind::Commit => self.standing.durable.commit = raft_core::Index::new(record.index),
            Kind::Compact => {
                self.places.compact(record.index);
                while self
                    .entries
                    .front()
                    .is_some_and(|entry| entry.id.index.value() <= record.index)
                {
                    self.entries.pop_front();
                }
                self.bounds = match self.bounds {
                    (first, last) if record.index < last => (first.max(record.index + 1), last),
                    _ => (0, 0),
                };
            }
        }
        Ok(())
    }

    /// Judges what stands after the last batch of the last segment.
    fn end_of_log(
        &mut self,
        number: u64,
        found: &Next,
        sectors: &Sectors<'_>,
        rest: Range<u64>,
        starts: &[(u64, u64)],
    ) -> Result<(), StoreError> {
        let end = rest.start;
        let (mut highest, mut mark) = (self.sequence.max(self.identity_mark), self.identity_mark);
        for position in rest {
            match sectors.at(position) {
                Sector::Whole { stamp, content } => {
                    highest = highest.max(stamp.sequence);
                    let is_later = stamp.salt == self.salt && stamp.sequence > self.sequence;
                    if is_later
                        && stamp.ordinal == 0
                        && let Some(head) = record::batch_head(content)
                    {
                        mark = mark.max(head.synced);
                        // The second of the two batches of a clean stop, of which the first is damaged.
                        self.is_stopped |= head.records == 0 && head.synced == self.sequence;
                    }
                }
                Sector::Damaged => self.end.garbage.push(position),
                Sector::Blank => {}
            }
        }
        if mark > self.sequence && !planted!(DAMAGED_IS_TORN) {
            return Err(match found {
                Next::Suspect { sector, what } => self.damaged(number, *sector, what),
                _ if self.identity_mark > self.sequence => StoreError::RolledBack {
                    folder: self.place.clone(),
                    file: file_name(number),
                    offset: end * SECTOR_BYTES as u64,
                },
                _ => self.damaged(number, end, "a batch that was durable is missing"),
            });
        }
        match *found {
            Next::Torn if planted!(TORN_IS_DAMAGED) => {
                return Err(self.damaged(number, end, "a batch is not complete"));
            }
            // Whatever follows a clean stop had not been acknowledged: the first batch of a start is a mark.
            Next::Suspect { sector, what } if !self.is_stopped => {
                let offset = sector * SECTOR_BYTES as u64;
                self.end.lost = Some(Damage::new(&file_name(number), offset, what));
            }
            _ => {}
        }
        let mark = self.mark.max(self.identity_mark);
        let first_unmarked = starts.iter().find(|(sequence, _)| *sequence > mark);
        self.end.not_durable = first_unmarked.map_or(end, |(_, position)| *position);
        self.end.highest = highest;
        Ok(())
    }

    fn finish(self, lowest: u64, number: u64, leftovers: Vec<String>) -> Result<Recovered<F>, StoreError> {
        if self.places.bounds() != self.bounds {
            return Err(self.damaged(lowest.saturating_sub(1), 0, "the segment is missing"));
        }
        Ok(Recovered {
            standing: self.standing,
            entries: self.entries.into(),
            places: self.places,
            number,
            position: self.end.position,
            sectors: self.end.sectors,
            sequence: self.sequence,
            chain: self.chain,
            highest: self.end.highest,
            not_durable: self.end.not_durable..self.end.position,
            garbage: self.end.garbage,
            lost_end: self.end.lost,
            leftovers,
        })
    }
}

fn segment_head(records: &mut Records<'_>) -> Result<SegmentHead, &'static str> {
    let record = records.read()?;
    match record.kind {
        Kind::Segment => record::segment_head(record.body),
        _ => Err("the file does not begin as a segment"),
    }
}

/// Whether a folder without the file `identity` has been in use. The remains of an attempt to create a folder are one
/// segment with one batch.
pub(super) fn is_used<D: Disk>(disk: &D, names: &[String]) -> io::Result<bool> {
    for name in names {
        match number_of(name) {
            None => {}
            Some(1) => {
                let Some(file) = disk.open(name)? else { continue };
                let bytes = read_whole(&file)?;
                let sectors = Sectors { bytes: &bytes };
                let is_later = |position| matches!(sectors.at(position), Sector::Whole { stamp, .. } if stamp.sequence > 1);
                if (0..sectors.count()).any(is_later) {
                    return Ok(true);
                }
            }
            Some(_) => return Ok(true),
        }
    }
    Ok(false)
}
