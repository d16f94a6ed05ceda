//! Records and batches: what the sectors' contents say.
//!
//! ```text
//! batch:  | BATCH record | records | zeros up to the end of the last sector |
//! record: | length: 4 | checksum: 4 | kind: 1 | group: 8 | term: 8 | index: 8 | body |     big-endian
//! ```
//!
//! The length counts everything from itself to the end of the body. The checksum is a CRC-32 of the checksum of the
//! record before it, the segment's salt, and the record without the checksum itself. So a record is read only where it
//! was written, after exactly the records that it was written after.
//!
//! | kind | term | index | body |
//! |---|---|---|---|
//! | 1 `BATCH` | 0 | 0 | the sequence of the batch before it (8), the checksum of the record before it (4), up to which sequence the log was synced when this was written (8), how many records follow (4) |
//! | 2 `SEGMENT` | 0 | 0 | "raft log" (8), format (4), the segment's number (8), the folder's incarnation (8), how many sectors the file has (8), the first and the last index of the log, 0 for none (8 + 8) |
//! | 3 `STATE` | the term | the snapshot's last index | see [`Standing`] |
//! | 4 `TRUNCATE` | 0 | the first index removed | none |
//! | 5 `ENTRY` | its term | its index | an [`Entry`] as [`raft_core::codec`] has it |
//! | 6 `COMMIT` | 0 | the commit index | none |
//! | 7 `COMPACT` | 0 | the last index removed | none |
//!
//! A batch without records is a clean stop: everything before it is durable.

use raft_core::codec::{DecodeError, DecodeLimits, decode_record, encode_record};
use raft_core::{Boot, Durable, Entry, GroupId};

use super::snapshots::SnapshotFile;

pub(super) const HEADER_BYTES: usize = 33;
const CHECKSUM: std::ops::Range<usize> = 4..8;
const BATCH_BYTES: usize = HEADER_BYTES + 24;

const SEGMENT_MAGIC: [u8; 8] = *b"raft log";

/// The format of segments, and of the folder that has them.
pub(super) const FORMAT: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Batch = 1,
    Segment = 2,
    State = 3,
    Truncate = 4,
    Entry = 5,
    Commit = 6,
    Compact = 7,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [
            Self::Batch,
            Self::Segment,
            Self::State,
            Self::Truncate,
            Self::Entry,
            Self::Commit,
            Self::Compact,
        ]
        .into_iter()
        .find(|kind| *kind as u8 == byte)
    }
}

/// A record as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    pub(super) group: GroupId,
    pub(super) term: u64,
    pub(super) index: u64,
    pub(super) body: &'a [u8],
    /// Where it begins in its batch, in bytes of content.
    pub(super) at: usize,
    pub(super) length: usize,
    /// The checksum of the record before it.
    pub(super) previous: u32,
    pub(super) checksum: u32,
}

/// What the first record of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHead {
    /// The sequence of the batch before it.
    pub(super) previous: u64,
    /// The checksum of the record before it.
    pub(super) chain: u32,
    /// Up to this sequence everything was durable before this batch was written.
    pub(super) synced: u64,
    /// How many records follow.
    pub(super) records: u32,
}

/// What the first batch of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) number: u64,
    pub(super) incarnation: u64,
    /// The length of the file, in sectors.
    pub(super) sectors: u64,
    /// The first index of the log when the segment was begun; 0 for none.
    pub(super) first: u64,
    /// The last one.
    pub(super) last: u64,
}

/// Everything that is durable beside the entries.
///
/// ```text
/// | count of starts: 4 | nonce: 4 | the start that the file `identity` named: 4 |
/// | 0, or 1 and the snapshot's file: number: 8, length: 8, CRC-32: 4 | Durable without entries |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// The present start.
    pub(super) boot: Boot,
    /// The start that the file `identity` named when this one began.
    pub(super) named_boot: u32,
    /// Without entries.
    pub(super) durable: Durable,
    /// The bytes of its snapshot.
    pub(super) snapshot: Option<SnapshotFile>,
}

impl Standing {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.boot.counter.to_be_bytes());
        bytes.extend(self.boot.nonce.to_be_bytes());
        bytes.extend(self.named_boot.to_be_bytes());
        bytes.push(u8::from(self.snapshot.is_some()));
        if let Some(file) = &self.snapshot {
            bytes.extend(file.number.to_be_bytes());
            bytes.extend(file.bytes.to_be_bytes());
            bytes.extend(file.checksum.to_be_bytes());
        }
        encode_record(&self.durable, bytes);
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields(body);
        let head = |fields: &mut Fields<'_>| {
            let boot = Boot::new(fields.u32()?, fields.u32()?);
            let named_boot = fields.u32()?;
            let snapshot = match fields.take::<1>()? {
                [0] => None,
                _ => Some(SnapshotFile {
                    number: fields.u64()?,
                    bytes: fields.u64()?,
                    checksum: fields.u32()?,
                }),
            };
            Some((boot, named_boot, snapshot))
        };
        let (boot, named_boot, snapshot) = head(&mut fields).ok_or(DecodeError::Incomplete)?;
        Ok(Self {
            boot,
            named_boot,
            durable: decode_record(fields.0, DecodeLimits::NONE)?,
            snapshot,
        })
    }
}

/// Takes fields off the front of bytes.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }
}

/// Where an entry stands in a batch that was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryAt {
    /// Where its record begins, in bytes of content of the batch.
    pub(super) at: usize,
    pub(super) length: usize,
    /// The checksum of the record before it.
    pub(super) previous: u32,
}

/// A batch that is being put together. Its checksums come last: they depend on where it will stand.
#[derive(Debug)]
pub(super) struct Draft {
    group: GroupId,
    content: Vec<u8>,
    records: u32,
}

impl Draft {
    /// Begins a batch in this buffer.
    pub(super) fn new(group: GroupId, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(BATCH_BYTES, 0);
        Self {
            group,
            content: buffer,
            records: 0,
        }
    }

    pub(super) fn content_bytes(&self) -> usize {
        self.content.len()
    }

    pub(super) fn has_records(&self) -> bool {
        self.records > 0
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        let (term, index) = (entry.id.term.value(), entry.id.index.value());
        self.push(Kind::Entry, term, index, |body| encode_record(entry, body));
    }

    pub(super) fn state(&mut self, standing: &Standing) {
        let term = standing.durable.hard_state.term.value();
        let snapshot = standing.durable.snapshot.as_ref();
        let index = snapshot.map_or(0, |meta| meta.last.index.value());
        self.push(Kind::State, term, index, |body| standing.encode(body));
    }

    pub(super) fn segment(&mut self, head: &SegmentHead) {
        self.push(Kind::Segment, 0, 0, |body| {
            body.extend(SEGMENT_MAGIC);
            body.extend(FORMAT.to_be_bytes());
            for number in [head.number, head.incarnation, head.sectors, head.first, head.last] {
                body.extend(number.to_be_bytes());
            }
        });
    }

    /// Adds a record that has no body.
    pub(super) fn mark(&mut self, kind: Kind, index: u64) {
        self.push(kind, 0, index, |_| {});
    }

    fn push(&mut self, kind: Kind, term: u64, index: u64, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.content.len();
        self.content.extend([0; CHECKSUM.end]);
        self.content.push(kind as u8);
        self.content.extend(self.group.value().to_be_bytes());
        self.content.extend(term.to_be_bytes());
        self.content.extend(index.to_be_bytes());
        body(&mut self.content);
        self.write_length(start, self.content.len() - start);
        self.records += 1;
    }

    fn write_length(&mut self, start: usize, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(field) = self.content.get_mut(start..start + length.len()) {
            field.copy_from_slice(&length);
        }
    }

    /// Completes the batch. Returns its content, the places of its entries in order, and the checksum of its last record.
    pub(super) fn seal(mut self, head: &BatchHead, salt: u32) -> (Vec<u8>, Vec<EntryAt>, u32) {
        let length = self.content.len();
        let records = self.records;
        let first = Draft::new(self.group, Vec::new());
        let mut front = Draft {
            content: Vec::with_capacity(BATCH_BYTES),
            ..first
        };
        front.push(Kind::Batch, 0, 0, |body| {
            body.extend(head.previous.to_be_bytes());
            body.extend(head.chain.to_be_bytes());
            body.extend(head.synced.to_be_bytes());
            body.extend(records.to_be_bytes());
        });
        if let Some(place) = self.content.get_mut(..BATCH_BYTES) {
            place.copy_from_slice(&front.content);
        }
        let (mut at, mut chain, mut entries) = (0, head.chain, Vec::new());
        while at < length {
            let rest = self.content.get_mut(at..).unwrap_or_default();
            let record_bytes = record_length(rest).unwrap_or(rest.len());
            let Some(record) = rest.get_mut(..record_bytes) else {
                break;
            };
            if record.get(CHECKSUM.end) == Some(&(Kind::Entry as u8)) {
                entries.push(EntryAt {
                    at,
                    length: record_bytes,
                    previous: chain,
                });
            }
            chain = checksum(chain, salt, record);
            if let Some(field) = record.get_mut(CHECKSUM) {
                field.copy_from_slice(&chain.to_be_bytes());
            }
            at += record_bytes;
        }
        (self.content, entries, chain)
    }
}

/// Reads the records of a batch, in order.
#[derive(Debug)]
pub(super) struct Records<'a> {
    content: &'a [u8],
    at: usize,
    salt: u32,
    chain: u32,
}

impl<'a> Records<'a> {
    /// Begins to read records that follow one with the checksum `chain`.
    pub(super) fn new(content: &'a [u8], salt: u32, chain: u32) -> Self {
        Self {
            content,
            at: 0,
            salt,
            chain,
        }
    }

    /// Reads the next record; the error says what is wrong with it.
    pub(super) fn read(&mut self) -> Result<Record<'a>, &'static str> {
        let rest = self.content.get(self.at..).unwrap_or_default();
        let bytes = record_length(rest)
            .filter(|&length| length >= HEADER_BYTES)
            .and_then(|length| rest.get(..length))
            .ok_or("a record's length is impossible")?;
        let record = parse(bytes, self.at, self.chain).ok_or("a record's kind is unknown")?;
        if record.checksum != checksum(self.chain, self.salt, bytes) {
            return Err("a record's checksum does not match");
        }
        self.at += record.length;
        self.chain = record.checksum;
        Ok(record)
    }

    /// Returns the checksum of the last record that was read.
    pub(super) fn chain(&self) -> u32 {
        self.chain
    }
}

/// Returns the first record of a batch, from its first sector; its checksum is not checked.
pub(super) fn batch_head(content: &[u8]) -> Option<BatchHead> {
    let record = parse(content.get(..BATCH_BYTES)?, 0, 0)?;
    if record.kind != Kind::Batch {
        return None;
    }
    let mut fields = Fields(record.body);
    Some(BatchHead {
        previous: fields.u64()?,
        chain: fields.u32()?,
        synced: fields.u64()?,
        records: fields.u32()?,
    })
}

/// Reads the body of a `SEGMENT` record; the error says what is wrong with it.
pub(super) fn segment_head(body: &[u8]) -> Result<SegmentHead, &'static str> {
    let mut fields = Fields(body);
    let too_short = "the segment's description is too short";
    if fields.take() != Some(SEGMENT_MAGIC) {
        return Err("the file is not a segment");
    }
    if fields.u32() != Some(FORMAT) {
        return Err("the segment was written in another format");
    }
    let mut next = || fields.u64().ok_or(too_short);
    Ok(SegmentHead {
        number: next()?,
        incarnation: next()?,
        sectors: next()?,
        first: next()?,
        last: next()?,
    })
}

fn parse(bytes: &[u8], at: usize, previous: u32) -> Option<Record<'_>> {
    let mut fields = Fields(bytes);
    let _length = fields.u32()?;
    let checksum = fields.u32()?;
    Some(Record {
        kind: Kind::of(fields.take::<1>()?[0])?,
        group: GroupId::new(fields.u64()?),
        term: fields.u64()?,
        index: fields.u64()?,
        body: fields.0,
        at,
        length: bytes.len(),
        previous,
        checksum,
    })
}

fn record_length(bytes: &[u8]) -> Option<usize> {
    usize::try_from(Fields(bytes).u32()?).ok()
}

fn checksum(previous: u32, salt: u32, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&previous.to_be_bytes());
    hasher.update(&salt.to_be_bytes());
    hasher.update(record.get(..CHECKSUM.start).unwrap_or_default());
    hasher.update(record.get(CHECKSUM.end..).unwrap_or_default());
    hasher.finalize()
}
