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

/// Does nothing elsewhere, where a user's folders are private already.
#[cfg(not(unix))]
pub(crate) fn restrict(_: &mut fs::OpenOptions) {}

/// Creates a folder, and its missing parents, for its owner only.
#[cfg(unix)]
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a folder, and its missing parents.
#[cfg(not(unix))]
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Makes the names in a folder durable: they are stored in the folder, which must be synced like a file (fsync(2)).
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Does nothing elsewhere, where a folder cannot be opened, and the file system journals its names.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
