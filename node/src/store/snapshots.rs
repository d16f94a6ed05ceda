//! Snapshots, each in a file of its own: written under a temporary name, synced, renamed, and only then named by a
//! record in the log.
//!
//! They are kept out of the log because they are large: its segments would hold them longer than they are needed. They
//! are written on another thread than the log, through a [`SnapshotWriter`], so that no entry waits for them. The switch
//! from one snapshot to the next is nevertheless atomic: a record of the log names the current file, its length and its
//! checksum. What a crash leaves unnamed is removed at the next start.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{LogId, Payload};

use super::damage::Damage;
use super::disk::{DataFolder, Disk, DiskFile};

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

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    u64::from_str_radix(digits.strip_suffix(UNFINISHED).unwrap_or(digits), 16).ok()
}

/// Writes the bytes of snapshots, for one thread at a time, beside the [`Store`](super::Store) that will name them.
#[derive(Debug)]
pub struct SnapshotWriter<D: Disk = DataFolder>(Arc<Shared<D>>);

#[derive(Debug)]
struct Shared<D> {
    disk: Arc<D>,
    next: AtomicU64,
    /// The files that are durable and not named yet, by the last entry that each covers.
    unnamed: Mutex<BTreeMap<LogId, SnapshotFile>>,
}

impl<D: Disk> Clone for SnapshotWriter<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Disk> SnapshotWriter<D> {
    pub(super) fn new(disk: Arc<D>) -> Self {
        Self(Arc::new(Shared {
            disk,
            next: AtomicU64::new(0),
            unnamed: Mutex::default(),
        }))
    }

    /// The files after this one are newer.
    pub(super) fn begin_after(&self, current: Option<&SnapshotFile>) {
        let next = current.map_or(0, |file| file.number + 1);
        self.0.next.store(next, Ordering::Relaxed);
    }

    fn unnamed(&self) -> MutexGuard<'_, BTreeMap<LogId, SnapshotFile>> {
        self.0.unnamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the bytes of the snapshot up to `last` durable, in a new file.
    ///
    /// # Errors
    ///
    /// The disk fails or is full. The log does not suffer from it.
    pub fn write(&self, last: LogId, bytes: &Payload) -> io::Result<()> {
        let disk = &*self.0.disk;
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let name = file_name(number);
        let unfinished = format!("{name}{UNFINISHED}");
        let write = || {
            let file = disk.create(&unfinished)?;
            file.write_at(0, bytes)?;
            if !planted!(SNAPSHOTS_UNSYNCED) {
                file.sync()?;
            }
            disk.rename(&unfinished, &name)?;
            disk.sync()
        };
        if let Err(error) = write() {
            // A disk that is full has its space back; on one that fails, the next start removes the file.
            let _ = disk.remove(&unfinished);
            return Err(error);
        }
        let file = SnapshotFile {
            number,
            bytes: bytes.len() as u64,
            checksum: crc32fast::hash(bytes),
        };
        self.unnamed().insert(last, file);
        Ok(())
    }

    /// Removes the file of a snapshot that will not be named. If that fails, the next one that is named, or the next
    /// start, removes it.
    pub fn discard(&self, last: LogId) {
        let discarded = self.unnamed().remove(&last);
        if let Some(file) = discarded {
            let _ = self.0.disk.remove(&file_name(file.number));
        }
    }

    /// The file of a snapshot that is to be named. It stays unnamed until [`SnapshotWriter::remove_older`].
    pub(super) fn written(&self, last: LogId) -> Option<SnapshotFile> {
        self.unnamed().get(&last).copied()
    }

    /// Removes what is older than the snapshot that is named now. A newer one may be in the making.
    pub(super) fn remove_older(&self, current: &SnapshotFile) -> io::Result<()> {
        self.unnamed().retain(|_, file| file.number > current.number);
        for name in self.0.disk.names()? {
            if number_of(&name).is_some_and(|number| number < current.number) {
                self.0.disk.remove(&name)?;
            }
        }
        Ok(())
    }
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

/// Removes every snapshot except the current one, unfinished ones included: at a start, when none is being written.
pub(super) fn clean<D: Disk>(disk: &D, current: Option<&SnapshotFile>) -> io::Result<()> {
    let current = current.map(|record| file_name(record.number));
    for name in disk.names()? {
        if name.starts_with(PREFIX) && Some(&name) != current.as_ref() {
            disk.remove(&name)?;
        }
    }
    Ok(())
}
