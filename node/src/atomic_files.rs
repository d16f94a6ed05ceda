//! Writes files that appear whole or not at all, and files and folders that only their owner can read.
//!
//! The cluster key, the store's folder, the client's keys, its journal and its pictures are written here.
//!
//! On Linux a new file has no name until it is complete (`O_TMPFILE`), so a process that is killed leaves nothing.
//! Other file systems get a file with a temporary name, which is removed when the value is dropped.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The mode of a file that only its owner may read and write.
pub(crate) const PRIVATE: u32 = 0o600;

/// The mode of a file that everyone may read, before the process's umask.
#[cfg(feature = "tokio")]
pub(crate) const PUBLIC: u32 = 0o666;

/// The prefix of temporary names. They do not contain the target's name, which may have 255 bytes already.
const TEMPORARY: &str = ".raft-lsb-";

/// Makes a file to be created readable and writable by its owner only.
pub(crate) fn restrict(options: &mut OpenOptions) {
    set_mode(options, PRIVATE);
}

#[cfg(unix)]
fn set_mode(options: &mut OpenOptions, mode: u32) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(mode);
}

/// On other systems a user's folders are private already.
#[cfg(not(unix))]
fn set_mode(_: &mut OpenOptions, _: u32) {}

/// Creates a folder, and the missing ones above it, for its owner only.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes the names in a folder durable: a folder has to be synced like a file (fsync(2)).
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// On other systems a folder cannot be opened, and the file system journals its names.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A new file in a folder that does not have its name yet.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    folder: PathBuf,
    /// The temporary name, which is removed with this value. `None` if the file has no name, or its final one.
    temporary: Option<PathBuf>,
}

impl Unfinished {
    /// Opens a new file in the folder of `target`.
    pub(crate) fn beside(target: &Path, mode: u32) -> io::Result<Self> {
        let folder = folder_of(target).to_owned();
        if let Some(file) = open_nameless(&folder, mode) {
            return Ok(Self {
                file,
                folder,
                temporary: None,
            });
        }
        let temporary = temporary_name(&folder)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        set_mode(&mut options, mode);
        Ok(Self {
            file: options.open(&temporary)?,
            folder,
            temporary: Some(temporary),
        })
    }

    /// Returns the open file.
    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, durably, unless the name is taken. Returns whether it was free.
    ///
    /// Unlike a rename, a link never replaces a file; unlike a file created in place, it never shows a part of one.
    pub(crate) fn publish_new(&mut self, target: &Path) -> io::Result<bool> {
        self.file.sync_all()?;
        let linked = match &self.temporary {
            Some(temporary) => fs::hard_link(temporary, target),
            None => link_nameless(&self.file, target),
        };
        match linked {
            Ok(()) => sync_folder(&self.folder).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the file its name, durably, in place of the file that has it.
    #[cfg(feature = "tokio")]
    pub(crate) fn publish(mut self, target: &Path) -> io::Result<()> {
        if self.temporary.is_none() {
            if self.publish_new(target)? {
                return Ok(());
            }
            // A link cannot replace a file, so the complete file gets a temporary name for a moment.
            let temporary = temporary_name(&self.folder)?;
            link_nameless(&self.file, &temporary)?;
            self.temporary = Some(temporary);
        }
        self.file.sync_all()?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, target)?;
        }
        self.temporary = None;
        sync_folder(&self.folder)
    }

    /// Returns a clone of the file, for the holder of its lock.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_clone_file(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

fn temporary_name(folder: &Path) -> io::Result<PathBuf> {
    let number = getrandom::u64().map_err(io::Error::from)?;
    Ok(folder.join(format!("{TEMPORARY}{number:016x}")))
}

/// Opens a file without a name, where the system has such files.
#[cfg(target_os = "linux")]
fn open_nameless(folder: &Path, mode: u32) -> Option<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(folder, flags, Mode::from_raw_mode(mode)).ok()?);
    // The name is given through /proc (open(2)), which a container may lack.
    fs::metadata(descriptor_path(&file)).is_ok().then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn open_nameless(_: &Path, _: u32) -> Option<File> {
    None
}

#[cfg(target_os = "linux")]
fn link_nameless(file: &File, target: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD};
    let source = descriptor_path(file);
    Ok(rustix::fs::linkat(
        CWD,
        &source,
        CWD,
        target,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn link_nameless(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn descriptor_path(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn named(target: &Path) -> Unfinished {
        let temporary = temporary_name(folder_of(target)).unwrap();
        Unfinished {
            file: File::create_new(&temporary).unwrap(),
            folder: folder_of(target).to_owned(),
            temporary: Some(temporary),
        }
    }

    #[test]
    fn a_file_appears_once_and_whole_with_and_without_a_temporary_name() {
        for make in [named, |target: &Path| {
            Unfinished::beside(target, PRIVATE).unwrap()
        }] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("file");
            let mut first = make(&target);
            first.file().write_all(b"first").unwrap();
            assert!(!target.exists());
            assert!(first.publish_new(&target).unwrap());
            drop(first);
            let mut second = make(&target);
            second.file().write_all(b"second").unwrap();
            assert!(!second.publish_new(&target).unwrap(), "the name is taken");
            drop(second);
            assert_eq!(fs::read(&target).unwrap(), b"first");
            drop(make(&target));
            assert_eq!(
                fs::read_dir(folder.path()).unwrap().count(),
                1,
                "no temporary is left"
            );
        }
    }

    #[test]
    #[cfg(feature = "tokio")]
    fn a_file_is_replaced_whole_with_and_without_a_temporary_name() {
        for make in [named, |target: &Path| {
            Unfinished::beside(target, PRIVATE).unwrap()
        }] {
            let folder = tempfile::tempdir().unwrap();
            let target = folder.path().join("file");
            for content in [b"one", b"two"] {
                let mut unfinished = make(&target);
                unfinished.file().write_all(content).unwrap();
                unfinished.publish(&target).unwrap();
                assert_eq!(fs::read(&target).unwrap(), content);
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }
}
