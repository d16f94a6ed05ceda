//! Files and folders that only their owner can read.

use std::fs;
use std::io;
use std::path::Path;

/// Makes a file that is about to be created readable and writable by its owner only.
#[cfg(unix)]
pub(crate) fn restrict(options: &mut fs::OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

/// Elsewhere a user's folders are their own already.
#[cfg(not(unix))]
pub(crate) fn restrict(_: &mut fs::OpenOptions) {}

/// Makes a folder, and those above it that are missing, for its owner only.
#[cfg(unix)]
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder, and those above it that are missing.
#[cfg(not(unix))]
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes the names in a folder durable: they live in the folder, which has to be synced like a file (fsync(2)).
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Elsewhere a folder cannot be opened, and its names are journaled by the file system.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
