//! The simulated disk as a store sees it: one folder of files that are read and written at offsets.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sectors::{FileId, SectorDisk};

/// A folder on a disk of sectors, which outlives the stores that are opened on it. Clones are the same folder.
///
/// This is what a store may rely on. A write that was followed by a sync of its file survives a crash. Of the others any
/// subset survives, in units of 512 bytes that are either old or new. A rename takes effect wholly or not at all, and
/// for certain once the folder is synced. Beyond class A ([`Class`](crate::schedule::Class)) the disk breaks this
/// contract.
///
/// A store uses it from one thread. Every call is counted, may be the one that a fault strikes, and enters the hash of
/// the run.
#[derive(Clone, Debug)]
pub struct SimulatedDisk(Arc<Mutex<SectorDisk>>);

/// A file as one process opened it. Once the process has died, every call fails.
#[derive(Debug)]
pub struct SimulatedFile {
    disk: SimulatedDisk,
    epoch: u64,
    file: FileId,
}

/// Without faults: any call fails that names a file that is not there. A fault fails any call, with any kind of error.
impl SimulatedDisk {
    pub(super) fn new(disk: SectorDisk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SectorDisk> {
        // A panic of the store is caught and judged, and the disk is never left in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, file: FileId) -> SimulatedFile {
        SimulatedFile {
            disk: self.clone(),
            epoch: self.lock().epoch(),
            file,
        }
    }

    /// Opens the file of this name, if there is one.
    pub fn open(&self, name: &str) -> io::Result<Option<SimulatedFile>> {
        let file = self.lock().open(name)?;
        Ok(file.map(|file| self.opened(file)))
    }

    /// Creates an empty file of this name. One that is there is emptied.
    pub fn create(&self, name: &str) -> io::Result<SimulatedFile> {
        let file = self.lock().create(name)?;
        Ok(self.opened(file))
    }

    /// Renames a file, replacing any that has the new name.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.lock().rename(from, to)
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name)
    }

    /// Returns the names of all files, in order.
    pub fn names(&self) -> io::Result<Vec<String>> {
        self.lock().names()
    }

    /// Makes creations, renames and removals durable.
    pub fn sync(&self) -> io::Result<()> {
        self.lock().sync_folder()
    }
}

impl SimulatedFile {
    /// Returns the length in bytes.
    pub fn len(&self) -> io::Result<u64> {
        self.disk.lock().len(self.epoch, self.file)
    }

    /// Whether the file has no bytes.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `target` from this offset on; too few bytes are an error of kind `UnexpectedEof`.
    pub fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.disk.lock().read_at(self.epoch, self.file, offset, target)
    }

    /// Writes all of `bytes` at this offset, beyond the end if need be.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.lock().write_at(self.epoch, self.file, offset, bytes)
    }

    /// Truncates the file, or extends it by zeros.
    pub fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.lock().set_len(self.epoch, self.file, bytes)
    }

    /// Makes the contents and the length durable.
    pub fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.epoch, self.file)
    }
}
