//! The tables and records of the database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `log` | index | term and body of the entry |
//! | `state` | `identity` | the server's identity ([`IdentityRecord`]) |
//! | `state` | `standing` | everything else that changes with a [`Persist`] ([`StandingRecord`]) |
//!
//! Values are in the encoding of [`codec`](crate::codec), followed by a CRC-32 of the key and the encoding (4 bytes,
//! big-endian). Their version is the data folder's.
//!
//! Blocks have checksums of their own; this one is for records that span several blocks. If a disk drops a write
//! undetected, a block is what it was before, or blank, both of which pass its own checksum. A record that is assembled
//! from blocks of different ages must not be taken for one that was written.

use raft_core::{
    Entry, EntryBody, GroupId, HardState, Identity, Incarnation, Index, LogId, Membership, NodeId, Persist,
    SnapshotMeta, Term,
};
use redb::{ReadableTable, Table, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};

pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const STATE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("state");

pub(super) const IDENTITY: &str = "identity";
pub(super) const STANDING: &str = "standing";

/// The server's identity; only `boot` ever changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdentityRecord {
    pub(super) group: GroupId,
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) boot: u64,
    pub(super) bootstrap: Membership,
}

impl IdentityRecord {
    pub(super) fn identity(&self) -> Identity {
        Identity {
            group: self.group,
            node: self.node,
            incarnation: self.incarnation,
            boot: self.boot,
        }
    }
}

/// The server's state, apart from the log.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct StandingRecord {
    pub(super) hard_state: HardState,
    pub(super) commit: Option<Index>,
    pub(super) snapshot: Option<SnapshotRecord>,
}

/// The current snapshot, and the file that contains its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SnapshotRecord {
    pub(super) meta: SnapshotMeta,
    /// Numbers the file; never used twice in a folder's life.
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// CRC-32 of the file.
    pub(super) checksum: u32,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its pieces do not belong together.
    #[error("its checksum does not match: the disk has lost a write")]
    Checksum,
    /// It is whole, but not a record of this version.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Replaces the buffer's contents with a record.
pub(super) fn encode_into<T: Serialize>(buffer: &mut Vec<u8>, key: &[u8], record: &T) {
    buffer.clear();
    codec::encode_into(buffer, record);
    let checksum = checksum(key, buffer);
    buffer.extend_from_slice(&checksum);
}

/// Reads a record that [`encode_into`] made for this key.
pub(super) fn decode<T: DeserializeOwned>(key: &[u8], bytes: &[u8]) -> Result<T, RecordError> {
    let (record, found) = bytes.split_last_chunk::<4>().ok_or(RecordError::Checksum)?;
    if *found != checksum(key, record) && !planted!(RECORDS_UNCHECKED) {
        return Err(RecordError::Checksum);
    }
    Ok(codec::decode(record)?)
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
        encode_into(buffer, &index.to_be_bytes(), &(entry.id.term, &entry.body));
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
    let (term, body): (Term, EntryBody) =
        decode(&key.to_be_bytes(), value).map_err(|source| LogError::Record { index: key, source })?;
    Ok(Entry {
        id: LogId::new(term, index),
        body,
    })
}
