//! Reading inputs and writing outputs so that nothing is lost: not an input by accident, not an output by a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The name that stands for standard input or standard output.
const STANDARD: &str = "-";

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It is larger than anything that could be used.
    #[error("{} has more than {limit} bytes, which is the limit", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// It cannot be written. What was there before, if anything, is unharmed.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Input and output are the same file.
    #[error("the output would overwrite the input {}: give another name with --output", path.display())]
    OverwritesInput {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a whole file, or standard input for `-`.
///
/// # Errors
///
/// A file that cannot be read, or has more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    if path.as_os_str() == STANDARD {
        io::stdin()
            .lock()
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
    } else {
        let file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
    }
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// Refuses an output that is the input under whatever name.
///
/// # Errors
///
/// [`FileError::OverwritesInput`].
pub fn check_distinct(input: &Path, output: &Path) -> Result<(), FileError> {
    if input.as_os_str() == STANDARD || output.as_os_str() == STANDARD {
        return Ok(());
    }
    let same = match (fs::canonicalize(input), fs::canonicalize(output)) {
        (Ok(input), Ok(output)) => input == output,
        // An output that does not exist yet is nobody's input.
        _ => input == output,
    };
    if same {
        Err(FileError::OverwritesInput {
            path: input.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// Makes sure that [`write()`] can write there, as far as that can be known: before something is done that cannot be
/// undone.
///
/// # Errors
///
/// A place that cannot be written to.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    if path.as_os_str() == STANDARD || is_special(path) {
        return Ok(());
    }
    let tried = match path.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => beside(path).and_then(|beside| {
            File::create_new(&beside)?;
            fs::remove_file(beside)
        }),
    };
    tried.map_err(|source| FileError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

/// Writes a whole file, or to standard output for `-`: written beside, synced, renamed, so that at every moment there
/// is either what was there before or all of the new.
///
/// # Errors
///
/// A place that cannot be written to.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let unwritable = |source| FileError::Unwritable {
        path: path.to_owned(),
        source,
    };
    if path.as_os_str() == STANDARD {
        let mut out = io::stdout().lock();
        return out
            .write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(unwritable);
    }
    if is_special(path) {
        return fs::write(path, bytes).map_err(unwritable);
    }
    replace(path, bytes).map_err(unwritable)
}

/// Whether it is a device or a pipe, which is written to and never replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Writes a secret unless there is a file already, which is then left as it is. Returns whether it was written.
pub(super) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let beside = beside(path)?;
    let created = write_beside(&beside, bytes, true).and_then(|()| {
        // Unlike a rename, a link never replaces; and unlike creating the file in place, it never shows half of it.
        match fs::hard_link(&beside, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    });
    let _ = fs::remove_file(&beside);
    if matches!(created, Ok(true)) {
        sync_folder(path)?;
    }
    created
}

/// Makes a folder that only the user may look into.
pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Removes a file, durably. It may be gone already.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(path),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path)?;
    let written = write_beside(&beside, bytes, false).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written.and_then(|()| sync_folder(path))
}

fn write_beside(path: &Path, bytes: &[u8], private: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same folder that nobody else uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{:016x}", getrandom::u64().map_err(io::Error::from)?));
    Ok(path.with_file_name(beside))
}

/// A rename or a link is durable only once its folder is.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Windows has no way to sync a folder, and does not need one.
    if cfg!(unix) {
        File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_is_no_plain_file_is_never_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        // A socket cannot be opened as a file, so this fails; renaming something over it would have succeeded.
        assert!(matches!(
            write(&path, b"picture"),
            Err(FileError::Unwritable { .. })
        ));
        assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    }

    #[test]
    fn files_are_replaced_whole_and_secrets_are_created_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert!(matches!(
            read(&path, 2),
            Err(FileError::TooLarge { limit: 2, .. })
        ));
        let secret = folder.path().join("secret");
        assert!(create_private(&secret, b"first").unwrap());
        assert!(!create_private(&secret, b"second").unwrap());
        assert_eq!(read(&secret, 10).unwrap(), b"first");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        }
        // Nothing is left lying beside.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_cannot_be_written_to_is_known_before_it_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        check_writable(&path).unwrap();
        check_writable(Path::new("-")).unwrap();
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            0,
            "trying leaves nothing behind"
        );
        fs::write(&path, b"kept").unwrap();
        check_writable(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"kept");
        for wrong in [folder.path().to_owned(), folder.path().join("none/file")] {
            let error = check_writable(&wrong).unwrap_err();
            assert!(matches!(error, FileError::Unwritable { path, .. } if path == wrong));
        }
    }

    #[test]
    fn an_output_that_is_the_input_is_refused_under_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photo.png");
        fs::write(&path, b"x").unwrap();
        let alias = folder.path().join(".").join("photo.png");
        assert!(check_distinct(&path, &alias).is_err());
        assert!(check_distinct(&path, &folder.path().join("other.png")).is_ok());
        assert!(check_distinct(Path::new("-"), Path::new("-")).is_ok());
    }
}
