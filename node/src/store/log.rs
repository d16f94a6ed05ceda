//! The log's writer: batches at the end of the last segment, and one segment after another.
//!
//! Everything is written once, forwards, and never over anything that is still needed. A segment gets its name only when
//! its first batch is durable, and that batch repeats everything but the entries ([`Standing`]). So a segment is not
//! needed any more as soon as no entry stands in it; it then becomes the spare, or is removed.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use raft_core::{Boot, GroupId, Identity};

use super::disk::{Disk, DiskFile};
use super::places::{Place, Segment, Shared};
use super::record::{BatchHead, Draft, SegmentHead, Standing};
use super::recover::Recovered;
use super::sector::{self, SECTOR_BYTES, sectors_for};
use super::segment::{SPARE, Spare, file_name};

/// The sectors at the end of a segment that entries leave to votes, snapshots and clean stops, for when the disk is full.
const RESERVED_SECTORS: u64 = 32;

/// Why the log could not be written.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no space, or no descriptor, for another segment. Nothing has changed.
    NoRoom(io::Error),
    /// The disk failed, and what is on it is unknown.
    Disk(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Whether an error says that something has run out, and so may go away by itself.
pub(super) fn is_exhausted(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::OutOfMemory,
    ];
    kinds.contains(&error.kind()) || is_out_of_descriptors(error)
}

/// `ENFILE` and `EMFILE`, which have no kind of their own.
#[cfg(unix)]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    let descriptors = [rustix::io::Errno::NFILE, rustix::io::Errno::MFILE];
    descriptors
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(not(unix))]
fn is_out_of_descriptors(_: &io::Error) -> bool {
    false
}

/// The end of the log.
#[derive(Debug)]
pub(super) struct Log<F> {
    shared: Arc<Shared<F>>,
    group: GroupId,
    incarnation: u64,
    /// The number of the last segment.
    number: u64,
    segment: Arc<Segment<F>>,
    /// Where the next batch goes, and where the segment ends.
    sectors: Range<u64>,
    /// The last batch that was written.
    sequence: u64,
    /// The last sequence that was ever used; torn batches have used some.
    highest: u64,
    chain: u32,
    /// The last batch that is durable.
    synced: u64,
    spare: Option<Spare<F>>,
    segment_bytes: u64,
    content: Vec<u8>,
    bytes: Vec<u8>,
}

/// What [`begin_segment`] needs to know.
struct Beginning {
    group: GroupId,
    incarnation: u64,
    number: u64,
    sequence: u64,
    head: BatchHead,
    bounds: (u64, u64),
}

/// A segment that was begun.
struct Begun<F> {
    segment: Arc<Segment<F>>,
    /// The sectors that are free in it.
    free: Range<u64>,
    /// The checksum of its last record.
    chain: u32,
}

/// Fills the spare up to `bytes`, writes its first batch, and names it.
fn begin_segment<D: Disk>(
    disk: &D,
    spare: &mut Option<Spare<D::File>>,
    bytes: u64,
    beginning: &Beginning,
    standing: &Standing,
) -> Result<Begun<D::File>, Failure> {
    let filled =
        fill(disk, spare, bytes, u64::MAX).and_then(|()| spare.take().ok_or(io::ErrorKind::NotFound.into()));
    let spare = filled.map_err(|error| match is_exhausted(&error) {
        true => Failure::NoRoom(error),
        false => Failure::Disk(error),
    })?;
    let file = spare.into_file();
    let sectors = file.len()? / SECTOR_BYTES as u64;
    let salt = salt(beginning, standing.boot);
    let mut draft = Draft::new(beginning.group, Vec::new());
    draft.segment(&SegmentHead {
        number: beginning.number,
        incarnation: beginning.incarnation,
        sectors,
        first: beginning.bounds.0,
        last: beginning.bounds.1,
    });
    draft.state(standing);
    let (content, _, chain) = draft.seal(&beginning.head, salt);
    let mut batch = Vec::new();
    sector::seal(&content, salt, beginning.sequence, 0, &mut batch);
    file.write_at(0, &batch)?;
    if !planted!(NAMES_UNSYNCED_SEGMENTS) {
        file.sync()?;
    }
    disk.rename(SPARE, &file_name(beginning.number))?;
    disk.sync()?;
    Ok(Begun {
        segment: Arc::new(Segment { file, salt }),
        free: sectors_for(content.len()) as u64..sectors,
        chain,
    })
}

/// Returns a number that no other life of a segment of this folder has, unless by a chance of one in four billion; and
/// then sequences tell them apart.
fn salt(beginning: &Beginning, boot: Boot) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in [beginning.incarnation, beginning.number, beginning.sequence] {
        hasher.update(&number.to_be_bytes());
    }
    hasher.update(&boot.counter.to_be_bytes());
    hasher.update(&boot.nonce.to_be_bytes());
    hasher.finalize()
}

/// Fills the spare, or begins one, by at most `pieces`. After an error there is none.
fn fill<D: Disk>(disk: &D, spare: &mut Option<Spare<D::File>>, bytes: u64, pieces: u64) -> io::Result<()> {
    let mut filling = match spare.take() {
        Some(spare) => spare,
        None => Spare::create(disk)?,
    };
    let mut written = 0;
    while filling.filled_bytes() < bytes && written < pieces {
        filling.fill_piece(bytes)?;
        written += 1;
    }
    *spare = Some(filling);
    Ok(())
}

/// Returns the bytes of so many sectors, and of a segment that was asked for.
fn segment_bytes(asked: u64, sectors: u64) -> u64 {
    let sector = SECTOR_BYTES as u64;
    asked.next_multiple_of(sector).max(sectors * sector)
}

/// Writes the first segment of a new folder; returns the sequence of its batch.
pub(super) fn create<D: Disk>(disk: &D, identity: &Identity, asked_bytes: u64) -> Result<u64, Failure> {
    let beginning = Beginning {
        group: identity.group,
        incarnation: identity.incarnation.value(),
        number: 1,
        sequence: 1,
        head: BatchHead {
            previous: 0,
            chain: 0,
            synced: 0,
            records: 0,
        },
        bounds: (0, 0),
    };
    let bytes = segment_bytes(asked_bytes, 2 * RESERVED_SECTORS);
    begin_segment(disk, &mut None, bytes, &beginning, &Standing::default())?;
    Ok(1)
}

impl<F: DiskFile> Log<F> {
    /// Continues the log that was found.
    pub(super) fn resume(
        shared: Arc<Shared<F>>,
        identity: &Identity,
        found: &Recovered<F>,
        asked_bytes: u64,
    ) -> Option<Self> {
        let segment = shared.places().segments.get(&found.number).map(Arc::clone)?;
        Some(Self {
            shared,
            group: identity.group,
            incarnation: identity.incarnation.value(),
            number: found.number,
            segment,
            sectors: found.position..found.sectors,
            sequence: found.sequence,
            highest: found.highest,
            chain: found.chain,
            synced: found.sequence,
            spare: None,
            segment_bytes: segment_bytes(asked_bytes, 0),
            content: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// Writes these sectors again, and zeros over those that hold nothing whole, and makes all of it durable: a sync that
    /// failed has forgotten what it was to write, and a later one covers only what is written again.
    pub(super) fn make_durable(&mut self, again: Range<u64>, garbage: &[u64]) -> io::Result<()> {
        let sector = SECTOR_BYTES as u64;
        if !planted!(TRUSTS_UNSYNCED_RECORD) && !again.is_empty() {
            let length = (again.end - again.start) * sector;
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            self.segment.file.read_at(again.start * sector, &mut bytes)?;
            self.segment.file.write_at(again.start * sector, &bytes)?;
        }
        for position in garbage {
            self.segment
                .file
                .write_at(position * sector, &[0; SECTOR_BYTES])?;
        }
        self.segment.file.sync()
    }

    /// Takes over a spare of an earlier start, if it has the length of a segment.
    pub(super) fn adopt_spare<D: Disk<File = F>>(&mut self, disk: &D) -> io::Result<()> {
        if let Some(file) = disk.open(SPARE)?
            && file.len()? == self.segment_bytes
        {
            self.spare = Some(Spare::used(file, self.segment_bytes));
        }
        Ok(())
    }

    /// Returns a draft of the next batch.
    pub(super) fn draft(&mut self) -> Draft {
        Draft::new(self.group, std::mem::take(&mut self.content))
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn is_synced(&self) -> bool {
        self.synced == self.sequence
    }

    /// Begins another segment if the last one has no room for a batch of this size. Batches that are urgent may use its
    /// reserve. Returns whether a segment was begun.
    pub(super) fn make_room<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        draft: &Draft,
        is_urgent: bool,
        standing: &Standing,
    ) -> Result<bool, Failure> {
        let needed = sectors_for(draft.content_bytes()) as u64;
        let free = self.sectors.end.saturating_sub(self.sectors.start);
        let reserved = RESERVED_SECTORS.min(self.sectors.end / 8);
        if needed + reserved <= free {
            return Ok(false);
        }
        match self.begin_next(disk, needed, standing) {
            Ok(()) => Ok(true),
            Err(Failure::NoRoom(_)) if is_urgent && needed <= free => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Begins another segment, with room for a batch of this many sectors.
    pub(super) fn begin_next<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        needed: u64,
        standing: &Standing,
    ) -> Result<(), Failure> {
        if !self.is_synced() && !planted!(LEAVES_SEGMENTS_UNSYNCED) {
            self.sync()?;
        }
        let mut opening = Draft::new(self.group, Vec::new());
        opening.state(standing);
        // The description of the segment fits in a sector of its own.
        let opening = 1 + sectors_for(opening.content_bytes()) as u64;
        let mut bytes = segment_bytes(self.segment_bytes, opening + needed);
        if bytes > self.segment_bytes {
            bytes += RESERVED_SECTORS * SECTOR_BYTES as u64;
        }
        let beginning = Beginning {
            group: self.group,
            incarnation: self.incarnation,
            number: self.number + 1,
            sequence: self.highest + 1,
            head: BatchHead {
                previous: self.sequence,
                chain: self.chain,
                synced: self.synced,
                records: 0,
            },
            bounds: self.shared.places().bounds(),
        };
        let begun = begin_segment(disk, &mut self.spare, bytes, &beginning, standing)?;
        let mut places = self.shared.places();
        places
            .segments
            .insert(beginning.number, Arc::clone(&begun.segment));
        drop(places);
        self.segment = begun.segment;
        self.number = beginning.number;
        self.sectors = begun.free;
        self.chain = begun.chain;
        self.highest = beginning.sequence;
        self.sequence = beginning.sequence;
        self.synced = beginning.sequence;
        Ok(())
    }

    /// Writes a batch for which there is room. Returns the places of its entries.
    pub(super) fn append(&mut self, draft: Draft) -> io::Result<Vec<Place>> {
        let head = BatchHead {
            previous: self.sequence,
            chain: self.chain,
            synced: self.synced,
            records: 0,
        };
        let sequence = self.highest + 1;
        let (content, entries, chain) = draft.seal(&head, self.segment.salt);
        self.bytes.clear();
        let position = self.sectors.start;
        sector::seal(&content, self.segment.salt, sequence, position, &mut self.bytes);
        self.content = content;
        let offset = position * SECTOR_BYTES as u64;
        self.segment.file.write_at(offset, &self.bytes)?;
        self.sectors.start += self.bytes.len() as u64 / SECTOR_BYTES as u64;
        self.chain = chain;
        self.highest = sequence;
        self.sequence = sequence;
        let place = |entry| Place::new(self.number, position, entry);
        Ok(entries.iter().map(place).collect())
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !planted!(ACKNOWLEDGES_UNSYNCED) {
            self.segment.file.sync()?;
        }
        self.synced = self.sequence;
        Ok(())
    }

    /// Returns the segments in which no entry stands. The log must be durable.
    fn take_unneeded(&mut self) -> Vec<(u64, Arc<Segment<F>>)> {
        let mut places = self.shared.places();
        let needed = places.lowest_segment().unwrap_or(self.number).min(self.number);
        let kept = places.segments.split_off(&needed);
        std::mem::replace(&mut places.segments, kept)
            .into_iter()
            .collect()
    }

    /// Frees the segments in which no entry stands: one becomes the spare, if there is none, and the others are removed.
    pub(super) fn free<D: Disk<File = F>>(&mut self, disk: &D) -> io::Result<()> {
        if !self.is_synced() {
            return Ok(());
        }
        let unneeded = self.take_unneeded();
        if unneeded.is_empty() {
            return Ok(());
        }
        for (number, segment) in unneeded {
            let is_filled = |spare: &Spare<F>| spare.filled_bytes() >= self.segment_bytes;
            let has_spare = self.spare.as_ref().is_some_and(is_filled);
            // A segment that is being read is not written to.
            match Arc::try_unwrap(segment) {
                Ok(Segment { file, .. }) if !has_spare && file.len()? == self.segment_bytes => {
                    disk.rename(&file_name(number), SPARE)?;
                    self.spare = Some(Spare::used(file, self.segment_bytes));
                }
                _ => disk.remove(&file_name(number))?,
            }
        }
        // Before the spare is written to: a crash must not bring its former name back.
        disk.sync()
    }

    /// Writes the next piece of the spare. Nothing waits for it, and whoever needs it tries again.
    pub(super) fn prepare_spare<D: Disk<File = F>>(&mut self, disk: &D) {
        let is_filled = |spare: &Spare<F>| spare.filled_bytes() >= self.segment_bytes;
        if !self.spare.as_ref().is_some_and(is_filled) {
            let _ = fill(disk, &mut self.spare, self.segment_bytes, 1);
        }
    }
}
