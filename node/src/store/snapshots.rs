//! Snapshots, each in a file of its own: written under a temporary name, synced, renamed, and only then named in the
//! log.
//!
//! They are kept out of the log because they are large: the log's writes would wait for them, and its segments would hold
//! them longer than they are needed. The switch from one snapshot to the next is nevertheless atomic: a record of the log
//! names the current file with its length and its checksum. A file that no record names is what a crash left of one that
//! was being written; the next start removes it.

use std::io;

use raft_core::Payload;

use super::damage::Damage;
use super::disk::{Disk, DiskFile};

const PREFIX: &str = "snapshot-";

/// The suffix of a file until it is complete.
const UNFINISHED: &str = ".new";

/// The file that contains the bytes of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SnapshotFile {
    /// Numbers the file; never used twice in a folder's life.
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// CRC-32 of the file.
    pub(super) checksum: u32,
}

fn file_name(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

/// Writes the bytes to a new file and makes it durable.
pub(super) fn write<D: Disk>(disk: &D, number: u64, bytes: &Payload) -> io::Result<SnapshotFile> {
    let name = file_name(number);
    let unfinished = format!("{name}{UNFINISHED}");
    let file = disk.create(&unfinished)?;
    file.write_at(0, bytes)?;
    if !planted!(SNAPSHOTS_UNSYNCED) {
        file.sync()?;
    }
    disk.rename(&unfinished, &name)?;
    disk.sync()?;
    Ok(SnapshotFile {
        number,
        bytes: bytes.len() as u64,
        checksum: crc32fast::hash(bytes),
    })
}

/// Reads the file that the record names.
pub(super) fn read<D: Disk>(disk: &D, record: &SnapshotFile) -> io::Result<Payload> {
    let name = file_name(record.number);
    let damaged = |what| io::Error::from(Damage::new(&name, 0, what));
    let file = disk.open(&name)?.ok_or_else(|| damaged("the file is missing"))?;
    if file.len()? != record.bytes {
        return Err(damaged("the file has another length than it was written with"));
    }
    let mut bytes = vec![0; usize::try_from(record.bytes).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    if crc32fast::hash(&bytes) != record.checksum && !planted!(SNAPSHOTS_UNCHECKED) {
        return Err(damaged("the checksum does not match"));
    }
    Ok(Payload::from(bytes))
}

/// Removes every snapshot except the current one, unfinished ones included.
pub(super) fn clean<D: Disk>(disk: &D, current: Option<&SnapshotFile>) -> io::Result<()> {
    let current = current.map(|record| file_name(record.number));
    for name in disk.names()? {
        if name.starts_with(PREFIX) && Some(&name) != current.as_ref() {
            disk.remove(&name)?;
        }
    }
    Ok(())
}
