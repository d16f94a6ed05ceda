//! The simulated disk behind the store's own interface.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use node::store::{Disk, DiskFile};

use super::sectors::{FileId, SectorDisk};

/// A disk that outlives the stores that are opened on it. Clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct SharedDisk(Arc<Mutex<SectorDisk>>);

impl SharedDisk {
    pub(super) fn new(disk: SectorDisk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SectorDisk> {
        // A panic of the store is caught and judged, and the disk is never left in the middle of a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file as one process opened it.
#[derive(Debug)]
pub(super) struct OpenFile {
    disk: SharedDisk,
    epoch: u64,
    file: FileId,
}

impl SharedDisk {
    fn opened(&self, file: FileId) -> OpenFile {
        OpenFile {
            disk: self.clone(),
            epoch: self.lock().epoch(),
            file,
        }
    }
}

impl Disk for SharedDisk {
    type File = OpenFile;

    fn place(&self) -> String {
        "simulated".to_owned()
    }

    fn open(&self, name: &str) -> io::Result<Option<OpenFile>> {
        let file = self.lock().open(name)?;
        Ok(file.map(|file| self.opened(file)))
    }

    fn create(&self, name: &str) -> io::Result<OpenFile> {
        let file = self.lock().create(name)?;
        Ok(self.opened(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.lock().rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.lock().names()
    }

    fn sync(&self) -> io::Result<()> {
        self.lock().sync_folder()
    }
}

impl DiskFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.lock().len(self.epoch, self.file)
    }

    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.disk.lock().read_at(self.epoch, self.file, offset, target)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.lock().write_at(self.epoch, self.file, offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.lock().set_len(self.epoch, self.file, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.lock().sync(self.epoch, self.file)
    }
}
