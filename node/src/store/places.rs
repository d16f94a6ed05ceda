//! Where the log's entries are, and how they are read beside the writer.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::codec::{DecodeLimits, decode_record};
use raft_core::{Entry, Index};

use super::StoreError;
use super::damage::Damage;
use super::disk::DiskFile;
use super::record::{EntryAt, Kind, Record, Records};
use super::sector::{self, CONTENT_BYTES, SECTOR_BYTES, Sector};
use super::segment::file_name;

/// The place of an entry: its segment, and its record there in bytes of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    at: u64,
    length: usize,
    /// The checksum of the record before it.
    previous: u32,
}

impl Place {
    /// Returns the place of an entry of the batch that begins at this sector of the segment.
    pub(super) fn new(segment: u64, sector: u64, entry: &EntryAt) -> Self {
        Self {
            segment,
            at: sector * CONTENT_BYTES as u64 + entry.at as u64,
            length: entry.length,
            previous: entry.previous,
        }
    }

    /// Returns the sectors that its record takes.
    fn sectors(&self) -> Range<u64> {
        let content = CONTENT_BYTES as u64;
        self.at / content..(self.at + self.length as u64).div_ceil(content)
    }
}

/// A segment that can be read.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) file: F,
    pub(super) salt: u32,
}

/// The places of all entries. Their indexes have no gaps.
#[derive(Debug)]
pub(super) struct Places<F> {
    /// The index of the first place.
    first: u64,
    places: VecDeque<Place>,
    pub(super) segments: BTreeMap<u64, Arc<Segment<F>>>,
}

impl<F> Default for Places<F> {
    fn default() -> Self {
        Self {
            first: 0,
            places: VecDeque::new(),
            segments: BTreeMap::new(),
        }
    }
}

impl<F> Places<F> {
    /// Returns the indexes of the first and the last entry, 0 for none.
    pub(super) fn bounds(&self) -> (u64, u64) {
        match self.places.len() as u64 {
            0 => (0, 0),
            count => (self.first, self.first + count - 1),
        }
    }

    /// Returns the lowest segment that has an entry.
    pub(super) fn lowest_segment(&self) -> Option<u64> {
        self.places.front().map(|place| place.segment)
    }

    /// Appends an entry. Returns false if it does not follow the last one.
    pub(super) fn push(&mut self, index: u64, place: Place) -> bool {
        if self.places.is_empty() {
            self.first = index;
        }
        let follows = index == self.first + self.places.len() as u64;
        if follows {
            self.places.push_back(place);
        }
        follows
    }

    /// Removes the entries at and after this index.
    pub(super) fn truncate(&mut self, from: u64) {
        let kept = from.saturating_sub(self.first);
        self.places.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Removes the entries up to and including this index.
    pub(super) fn compact(&mut self, to: u64) {
        let gone = to
            .saturating_add(1)
            .saturating_sub(self.first)
            .min(self.places.len() as u64);
        self.places.drain(..usize::try_from(gone).unwrap_or_default());
        self.first += gone;
    }

    fn range(&self, first: u64, last: u64) -> Vec<Place> {
        let (lowest, highest) = self.bounds();
        if lowest == 0 || first < lowest || first > highest {
            return Vec::new();
        }
        let skipped = usize::try_from(first - lowest).unwrap_or(usize::MAX);
        let count = usize::try_from((last.min(highest) + 1).saturating_sub(first)).unwrap_or_default();
        self.places.iter().skip(skipped).take(count).copied().collect()
    }
}

/// Reads entries of an open store, also while another thread writes: a read never waits for a sync.
#[derive(Debug)]
pub struct LogReader<F> {
    shared: Arc<Shared<F>>,
}

#[derive(Debug)]
pub(super) struct Shared<F> {
    folder: String,
    places: Mutex<Places<F>>,
    /// Whether anything has failed.
    poisoned: AtomicBool,
}

impl<F> Shared<F> {
    pub(super) fn new(folder: String, places: Places<F>) -> Self {
        Self {
            folder,
            places: Mutex::new(places),
            poisoned: AtomicBool::new(false),
        }
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Places<F>> {
        // No change of the places can panic half way.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::SeqCst)
    }
}

/// How many places are looked up at once.
const LOOK_AHEAD: u64 = 1024;

/// A clone reads the same store.
impl<F> Clone for LogReader<F> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<F: DiskFile> LogReader<F> {
    pub(super) fn new(shared: Arc<Shared<F>>) -> Self {
        Self { shared }
    }

    /// Reads entries from `first` to `last`, until `max_bytes` are reached; the first is always returned. Returns
    /// nothing if `first` is not there.
    ///
    /// # Errors
    ///
    /// The folder is damaged, or the disk fails. Then the store is poisoned as well.
    pub fn load_entries(
        &self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0_usize;
        let (mut next, last) = (first.value(), last.value());
        while next <= last {
            let found = self.look_up(next, last.min(next.saturating_add(LOOK_AHEAD - 1)));
            if found.is_empty() {
                break;
            }
            for (place, segment) in found {
                let entry = self
                    .read(next, &place, &segment)
                    .inspect_err(|_| self.shared.poison())?;
                bytes = bytes.saturating_add(entry.cost_bytes());
                if bytes > max_bytes && !entries.is_empty() {
                    return Ok(entries);
                }
                entries.push(entry);
                next += 1;
            }
        }
        Ok(entries)
    }

    /// Returns where these entries are. The segments stay readable however the log changes meanwhile.
    fn look_up(&self, first: u64, last: u64) -> Vec<(Place, Arc<Segment<F>>)> {
        let places = self.shared.places();
        let found = places.range(first, last).into_iter();
        found
            .map_while(|place| Some((place, Arc::clone(places.segments.get(&place.segment)?))))
            .collect()
    }

    fn read(&self, index: u64, place: &Place, segment: &Segment<F>) -> Result<Entry, StoreError> {
        let name = file_name(place.segment);
        let sectors = place.sectors();
        let offset = sectors.start * SECTOR_BYTES as u64;
        let damaged = |at: u64, what| {
            let damage = Damage::new(&name, at * SECTOR_BYTES as u64, what);
            StoreError::damaged(&self.shared.folder, damage)
        };
        let length = usize::try_from((sectors.end - sectors.start) * SECTOR_BYTES as u64)
            .map_err(|error| StoreError::from_io(&self.shared.folder, io::Error::other(error)))?;
        let mut bytes = vec![0; length];
        segment
            .file
            .read_at(offset, &mut bytes)
            .map_err(|error| StoreError::from_io(&self.shared.folder, error))?;
        let mut content = Vec::with_capacity(length);
        for (piece, position) in bytes.chunks(SECTOR_BYTES).zip(sectors.start..) {
            match sector::parse(position, piece) {
                Sector::Whole { stamp, content: part } if stamp.salt == segment.salt => {
                    content.extend_from_slice(part);
                }
                _ => {
                    return Err(damaged(
                        position,
                        "a sector of an entry does not match its checksum",
                    ));
                }
            }
        }
        let skipped = usize::try_from(place.at % CONTENT_BYTES as u64).unwrap_or_default();
        let bytes = content.get(skipped..).unwrap_or_default();
        let record = Records::new(bytes, segment.salt, place.previous)
            .read()
            .map_err(|what| damaged(sectors.start, what))?;
        parse_entry(&self.shared.folder, &name, offset, index, &record)
    }
}

/// Returns the entry of a record that is to have this index.
pub(super) fn parse_entry(
    folder: &str,
    file: &str,
    offset: u64,
    index: u64,
    record: &Record<'_>,
) -> Result<Entry, StoreError> {
    let damaged = |what| StoreError::damaged(folder, Damage::new(file, offset, what));
    if record.kind != Kind::Entry {
        return Err(damaged("another record is where an entry should be"));
    }
    let entry: Entry =
        decode_record(record.body, DecodeLimits::NONE).map_err(|source| StoreError::Record {
            folder: folder.to_owned(),
            file: file.to_owned(),
            offset,
            source,
        })?;
    let is_its_own = entry.id.index.value() == record.index && entry.id.term.value() == record.term;
    if !is_its_own || record.index != index || entry.id.index.is_malformed() {
        return Err(damaged("an entry has another position than its record"));
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: u64) -> Place {
        Place {
            segment: 1,
            at,
            length: 40,
            previous: 0,
        }
    }

    #[test]
    fn places_follow_truncation_and_compaction() {
        let mut places: Places<()> = Places::default();
        assert_eq!(places.bounds(), (0, 0));
        for index in 5..=9 {
            assert!(places.push(index, place(index)));
        }
        assert!(!places.push(11, place(11)), "10 is missing");
        assert_eq!(places.bounds(), (5, 9));
        places.truncate(8);
        assert_eq!(places.bounds(), (5, 7));
        places.compact(3);
        assert_eq!(places.bounds(), (5, 7), "3 was gone already");
        places.compact(5);
        assert_eq!(places.bounds(), (6, 7));
        assert_eq!(places.range(6, 100), [place(6), place(7)]);
        assert_eq!(places.range(5, 7), [], "the first one is not there");
        places.compact(20);
        assert_eq!(places.bounds(), (0, 0));
        assert!(places.push(31, place(31)));
        assert_eq!(places.bounds(), (31, 31));
        places.truncate(2);
        assert_eq!(places.bounds(), (0, 0));
    }
}
