//! The tables and records of the database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `log` | index | the [`Entry`] |
//! | `state` | `identity` | the server's [`Identity`](raft_core::Identity) |
//! | `state` | `bootstrap` | the [`Membership`](raft_core::Membership) that the cluster began with |
//! | `state` | `standing` | everything else that changes with a [`Persist`]: the [`Durable`] without its entries |
//! | `state` | `snapshot` | the file with the bytes of the snapshot that `standing` describes ([`SnapshotFile`]) |
//!
//! Values are records of [`raft_core::codec`], which carry their version. After each comes a CRC-32 of the key and the
//! record (4 bytes, big-endian).
//!
//! Blocks have checksums of their own; this one is for records that span several blocks. If a disk drops a write
//! undetected, a block is what it was before, or blank, both of which pass its own checksum. A record that is assembled
//! from blocks of different ages must not be taken for one that was written.

use raft_core::codec::{DecodeError, DecodeLimits, Record, decode_record, encode_record};
use raft_core::{Durable, Entries, Entry, Index, Persist};
use redb::{ReadableTable, Table, TableDefinition};

pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");

pub(super) const IDENTITY: &str = "identity";
pub(super) const BOOTSTRAP: &str = "bootstrap";
pub(super) const STANDING: &str = "standing";
pub(super) const SNAPSHOT: &str = "snapshot";

/// The server's state, apart from the log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// Without entries.
    pub(super) durable: Durable,
    /// The bytes of its snapshot.
    pub(super) snapshot: Option<SnapshotFile>,
}

impl Standing {
    /// Takes over what a write changes apart from the log.
    pub(super) fn write(&mut self, persist: &Persist) {
        self.durable.write(&Persist {
            entries: Entries::default(),
            ..persist.clone()
        });
    }

    /// Stores what differs from an earlier standing.
    pub(super) fn store(
        &self,
        earlier: Option<&Self>,
        state: &mut Table<'_, &'static str, &'static [u8]>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), redb::StorageError> {
        if earlier.is_none_or(|earlier| earlier.durable != self.durable) {
            encode_into(buffer, STANDING.as_bytes(), &self.durable);
            state.insert(STANDING, buffer.as_slice())?;
        }
        if let Some(file) = &self.snapshot
            && earlier.is_none_or(|earlier| earlier.snapshot.as_ref() != Some(file))
        {
            file.encode_into(buffer);
            state.insert(SNAPSHOT, buffer.as_slice())?;
        }
        Ok(())
    }
}

/// The file that contains the bytes of the current snapshot.
///
/// ```text
/// | number: 8 bytes | length: 8 bytes | CRC-32 of the file: 4 bytes |, all big-endian
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SnapshotFile {
    /// Numbers the file; never used twice in a folder's life.
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// CRC-32 of the file.
    pub(super) checksum: u32,
}

impl SnapshotFile {
    const BYTES: usize = 20;

    fn encode_into(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend(self.number.to_be_bytes());
        buffer.extend(self.bytes.to_be_bytes());
        buffer.extend(self.checksum.to_be_bytes());
        seal(buffer, SNAPSHOT.as_bytes());
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let record = opened(SNAPSHOT.as_bytes(), bytes)?;
        let [number, length, checksum] = [0, 8, 16].map(|at| record.get(at..).unwrap_or_default());
        match (
            number.first_chunk(),
            length.first_chunk(),
            <&[u8; 4]>::try_from(checksum),
        ) {
            (Some(number), Some(length), Ok(checksum)) => Ok(Self {
                number: u64::from_be_bytes(*number),
                bytes: u64::from_be_bytes(*length),
                checksum: u32::from_be_bytes(*checksum),
            }),
            _ => Err(RecordError::Length {
                found: record.len(),
                expected: Self::BYTES,
            }),
        }
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its pieces do not belong together.
    #[error("its checksum does not match: the disk has lost a write")]
    Checksum,
    /// It is whole, but not a record of this version.
    #[error(transparent)]
    Codec(#[from] DecodeError),
    /// It is whole, but has another length than every record of its kind.
    #[error("it has {found} bytes, and such a record has {expected}")]
    Length {
        /// Its length.
        found: usize,
        /// The length of its kind.
        expected: usize,
    },
}

/// Replaces the buffer's contents with a record.
pub(super) fn encode_into(buffer: &mut Vec<u8>, key: &[u8], record: &impl Record) {
    buffer.clear();
    encode_record(record, buffer);
    seal(buffer, key);
}

/// Reads a record that [`encode_into`] made for this key.
pub(super) fn decode<R: Record>(key: &[u8], bytes: &[u8]) -> Result<R, RecordError> {
    // The database has returned the bytes already: a limit would come too late, and decoding claims little more.
    Ok(decode_record(opened(key, bytes)?, DecodeLimits::NONE)?)
}

fn seal(record: &mut Vec<u8>, key: &[u8]) {
    let checksum = checksum(key, record);
    record.extend_from_slice(&checksum);
}

fn opened<'a>(key: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], RecordError> {
    let (record, found) = bytes.split_last_chunk::<4>().ok_or(RecordError::Checksum)?;
    if *found != checksum(key, record) && !planted!(RECORDS_UNCHECKED) {
        return Err(RecordError::Checksum);
    }
    Ok(record)
}

fn checksum(key: &[u8], record: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(record);
    hasher.finalize().to_be_bytes()
}

/// Changes the log as a [`Persist`] says, in the order of its fields.
pub(super) fn change_log(
    log: &mut Table<'_, u64, &'static [u8]>,
    persist: &Persist,
    buffer: &mut Vec<u8>,
) -> Result<(), redb::StorageError> {
    if let Some(from) = persist.truncate_from {
        log.retain_in(from.value().., |_, _| false)?;
    }
    for entry in &persist.entries {
        let index = entry.id.index.value();
        encode_into(buffer, &index.to_be_bytes(), entry);
        log.insert(index, buffer.as_slice())?;
    }
    if let Some(to) = persist.compact_to {
        log.retain_in(..=to.value(), |_, _| false)?;
    }
    Ok(())
}

/// Why the log's records do not form a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A record cannot be used.
    #[error("the record at {index} cannot be read")]
    Record {
        /// Its key.
        index: u64,
        /// What is wrong with it.
        source: RecordError,
    },
    /// A key is not a position of a log.
    #[error("a record is at {index}, where no entry can be")]
    Position {
        /// The key.
        index: u64,
    },
    /// A record holds the entry of another position.
    #[error("the record at {index} holds entry {found}")]
    Misplaced {
        /// Its key.
        index: u64,
        /// The position of the entry.
        found: u64,
    },
    /// An entry is missing between others.
    #[error("entry {index} is missing, although there are later ones")]
    Gap {
        /// The first one missing.
        index: u64,
    },
}

/// Reads entries in order from `first` on, up to `max_bytes` in total; the first is always returned.
pub(super) fn read_log(
    log: &impl ReadableTable<u64, &'static [u8]>,
    first: u64,
    last: u64,
    max_bytes: usize,
) -> Result<Result<Vec<Entry>, LogError>, redb::StorageError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut bytes = 0_usize;
    if first > last {
        return Ok(Ok(entries));
    }
    for record in log.range(first..=last)? {
        let (key, value) = record?;
        let entry = match parse_entry(key.value(), value.value(), entries.last()) {
            Ok(entry) => entry,
            Err(error) => return Ok(Err(error)),
        };
        bytes = bytes.saturating_add(entry.cost_bytes());
        if bytes > max_bytes && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(Ok(entries))
}

fn parse_entry(key: u64, value: &[u8], previous: Option<&Entry>) -> Result<Entry, LogError> {
    let index = Index::new(key)
        .filter(|index| !index.is_malformed())
        .ok_or(LogError::Position { index: key })?;
    if let Some(expected) = previous.map(|entry| entry.id.index.next())
        && expected != index
    {
        return Err(LogError::Gap {
            index: expected.value(),
        });
    }
    let entry: Entry =
        decode(&key.to_be_bytes(), value).map_err(|source| LogError::Record { index: key, source })?;
    if entry.id.index != index {
        return Err(LogError::Misplaced {
            index: key,
            found: entry.id.index.value(),
        });
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use raft_core::{EntryBody, LogId, Term};

    use super::*;

    #[test]
    fn an_entry_is_read_only_from_its_own_place() {
        let entry = Entry {
            id: LogId::new(Term::new(3), Index::new(9).unwrap()),
            body: EntryBody::Noop,
        };
        let mut buffer = Vec::new();
        encode_into(&mut buffer, &9_u64.to_be_bytes(), &entry);
        assert_eq!(parse_entry(9, &buffer, None).unwrap(), entry);
        assert!(matches!(
            parse_entry(8, &buffer, None),
            Err(LogError::Record {
                index: 8,
                source: RecordError::Checksum
            })
        ));
        encode_into(&mut buffer, &8_u64.to_be_bytes(), &entry);
        assert!(matches!(
            parse_entry(8, &buffer, None),
            Err(LogError::Misplaced { index: 8, found: 9 })
        ));
    }

    #[test]
    fn a_snapshot_file_is_described_by_exactly_its_bytes() {
        let file = SnapshotFile {
            number: 1,
            bytes: 2,
            checksum: 3,
        };
        let mut buffer = Vec::new();
        file.encode_into(&mut buffer);
        assert_eq!(buffer.len(), SnapshotFile::BYTES + 4);
        assert_eq!(SnapshotFile::decode(&buffer).unwrap(), file);
        for length in (0..30).filter(|&length| length != SnapshotFile::BYTES) {
            let mut other = vec![0; length];
            seal(&mut other, SNAPSHOT.as_bytes());
            assert!(matches!(
                SnapshotFile::decode(&other),
                Err(RecordError::Length { found, expected: SnapshotFile::BYTES }) if found == length
            ));
        }
    }
}
