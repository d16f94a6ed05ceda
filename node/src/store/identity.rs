//! The file `identity`: whose folder it is, and how far its log was durable when its server last started.
//!
//! ```text
//! | "raft dir": 8 | format: 4 | start: 4 | sequence: 8 | length of the next: 4 | Identity | Membership | CRC-32: 4 |
//! ```
//!
//! The file is replaced at each start, by a rename, once the start is durable in the log. It names that start and the
//! batch that counts it. The log names in turn the start that this file named before. So the log or this file going back
//! by itself is noticed; a folder that goes back as a whole is noticed by the other servers only.

use std::io;

use raft_core::codec::{DecodeLimits, decode_record, encode_record};
use raft_core::{Identity, Membership};

use super::StoreError;
use super::damage::Damage;
use super::disk::{Disk, DiskFile};
use super::record::{FORMAT, Fields};

pub(super) const NAME: &str = "identity";
const UNFINISHED: &str = "identity.new";

const MAGIC: [u8; 8] = *b"raft dir";

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdentityFile {
    /// With the last start that was counted.
    pub(super) identity: Identity,
    /// The configuration that the cluster began with.
    pub(super) bootstrap: Membership,
    /// The log was durable up to this batch.
    pub(super) sequence: u64,
}

impl IdentityFile {
    /// Replaces the file, durably.
    pub(super) fn write<D: Disk>(&self, disk: &D) -> io::Result<()> {
        let file = disk.create(UNFINISHED)?;
        file.write_at(0, &self.encode())?;
        file.sync()?;
        disk.rename(UNFINISHED, NAME)?;
        disk.sync()
    }

    /// Reads the file; `None` if there is none.
    pub(super) fn read<D: Disk>(disk: &D) -> Result<Option<Self>, StoreError> {
        let io = |error| StoreError::from_io(&disk.place(), error);
        let Some(file) = disk.open(NAME).map_err(io)? else {
            return Ok(None);
        };
        let mut bytes = vec![0; usize::try_from(file.len().map_err(io)?).unwrap_or_default()];
        file.read_at(0, &mut bytes).map_err(io)?;
        Self::decode(&disk.place(), &bytes).map(Some)
    }

    fn encode(&self) -> Vec<u8> {
        let mut identity = Vec::new();
        encode_record(&self.identity, &mut identity);
        let mut bytes = Vec::new();
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_be_bytes());
        bytes.extend(self.identity.boot.counter.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(u32::try_from(identity.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(identity);
        encode_record(&self.bootstrap, &mut bytes);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend(checksum.to_be_bytes());
        bytes
    }

    fn decode(place: &str, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |what| StoreError::damaged(place, Damage::new(NAME, 0, what));
        let (checked, checksum) = bytes
            .split_last_chunk::<4>()
            .ok_or_else(|| damaged("the file is too short"))?;
        if crc32fast::hash(checked).to_be_bytes() != *checksum {
            return Err(damaged("the checksum does not match"));
        }
        let mut fields = Fields(checked);
        if fields.take() != Some(MAGIC) {
            return Err(damaged("the file does not describe a data folder"));
        }
        let found = fields.u32().unwrap_or_default();
        if found != FORMAT {
            return Err(StoreError::Format {
                folder: place.to_owned(),
                found,
                known: FORMAT,
            });
        }
        let mut head = || Some((fields.u32()?, fields.u64()?, fields.u32()?));
        let (_, sequence, length) = head().ok_or_else(|| damaged("the file is too short"))?;
        let (identity, bootstrap) = usize::try_from(length)
            .ok()
            .and_then(|length| fields.0.split_at_checked(length))
            .ok_or_else(|| damaged("the file is too short"))?;
        let record = |source| StoreError::Record {
            folder: place.to_owned(),
            file: NAME.to_owned(),
            offset: 0,
            source,
        };
        Ok(Self {
            identity: decode_record(identity, DecodeLimits::NONE).map_err(record)?,
            bootstrap: decode_record(bootstrap, DecodeLimits::NONE).map_err(record)?,
            sequence,
        })
    }
}
