//! The store's interface to a disk: a handful of files in one folder.
//!
//! Everything else in [`store`](super) is written against these two traits, so that a simulator can put a faulty disk
//! under the shipping code. [`DataFolder`] is the real disk.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::atomic_files;

/// A folder of files.
///
/// The store relies on this, and no more. A write that was followed by a sync of its file survives a crash. Of the
/// others any subset survives, in units of 512 bytes that are either old or new (sectors are written whole). A rename
/// takes effect wholly or not at all, and for certain once the folder is synced.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// One of its files.
    type File: DiskFile;

    /// Returns where the folder is, for messages.
    fn place(&self) -> String;
    /// Opens the file of this name, if there is one.
    fn open(&self, name: &str) -> io::Result<Option<Self::File>>;
    /// Creates an empty file of this name, replacing any that was there.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Renames a file, replacing any that has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns the names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals durable.
    fn sync(&self) -> io::Result<()>;
}

/// A file that is read and written at offsets.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    /// Returns the length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `target` from this offset on; too few bytes are an error of kind `UnexpectedEof`.
    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at this offset, beyond the end if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Truncates the file, or extends it by zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes the contents and the length durable.
    fn sync(&self) -> io::Result<()>;
}

const LOCK_FILE: &str = "lock";

/// A folder of the operating system, locked by one server at a time.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// The lock, which the operating system releases when the process ends, however it ends.
    _lock: fs::File,
}

impl DataFolder {
    /// Creates the folder if it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] while another server holds the lock.
    pub fn hold(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Io {
            place: path.display().to_string(),
            source,
        };
        atomic_files::create_folder(path).map_err(failed)?;
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        atomic_files::restrict(&mut options);
        let lock = options.open(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_path_buf(),
                _lock: lock,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse {
                folder: path.display().to_string(),
            }),
            Err(fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

impl Disk for DataFolder {
    type File = fs::File;

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self, name: &str) -> io::Result<Option<fs::File>> {
        match fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.path.join(name))
        {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self, name: &str) -> io::Result<fs::File> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        atomic_files::restrict(&mut options);
        options.open(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not text is not a file of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync(&self) -> io::Result<()> {
        atomic_files::sync_folder(&self.path)
    }
}

impl DiskFile for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, target, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut target: &mut [u8]) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        while !target.is_empty() {
            let read = self.seek_read(target, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            target = target.get_mut(read..).unwrap_or_default();
            offset += read as u64;
        }
        Ok(())
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        use std::os::windows::fs::FileExt;
        while !bytes.is_empty() {
            let written = self.seek_write(bytes, offset)?;
            bytes = bytes.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        fs::File::set_len(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
