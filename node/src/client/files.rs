//! Reads inputs and writes outputs, so that neither a mistake destroys an input nor a crash an output.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::atomic_files::{PRIVATE, PUBLIC, Unfinished, folder_of, remove_leftovers};

/// The path that means standard input or standard output.
const STANDARD: &str = "-";

/// How many links are followed before they count as a loop, as in Linux (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// How many numbered names are tried in a folder.
const MOST_NUMBERED_NAMES: u32 = 10_000;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It is larger than the limit.
    #[error("{} has more than {limit} bytes, which is the limit", shown(path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// It cannot be written. An existing file is unchanged.
    #[error("cannot write {}: {source}", shown(path))]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Input and output are the same file.
    #[error(
        "the output would overwrite the input {}: give another name with --output",
        shown(path)
    )]
    OverwritesInput {
        /// The file.
        path: PathBuf,
    },
}

/// Whether others may read a new file. A file that is replaced keeps its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Readable by its owner only, for content that was secret until now.
    Private,
    /// As the user's umask allows.
    Public,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private => PRIVATE,
            Self::Public => PUBLIC,
        }
    }
}

/// Returns a path as text for people. Control characters, including line feeds, and bytes that are not UTF-8 are
/// escaped.
#[must_use]
pub fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut text, character);
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Returns text that is safe on a terminal: control characters are escaped, line feeds stay.
///
/// Messages quote files and servers, and a control character could move the cursor, rename the window or hide text.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let harmless = |character: char| character == '\n' || !is_dangerous(character);
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => escaped.push('\n'),
            other => push_escaped(&mut escaped, other),
        }
    }
    Cow::Owned(escaped)
}

fn push_escaped(text: &mut String, character: char) {
    if is_dangerous(character) {
        text.extend(character.escape_default());
    } else {
        text.push(character);
    }
}

/// Whether a character is a control character, or reverses the direction of text (Unicode Standard Annex 9).
fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

/// Whether a path means standard output: `-`, `/dev/stdout`, or the file that standard output goes to.
#[must_use]
pub fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == STANDARD || is_the_file_of_standard_output(path)
}

#[cfg(unix)]
fn is_the_file_of_standard_output(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (rustix::fs::fstat(io::stdout()), fs::metadata(path)) {
        // The fields' types differ between systems.
        #[allow(
            clippy::useless_conversion,
            clippy::unnecessary_cast,
            reason = "their types differ between systems"
        )]
        (Ok(out), Ok(found)) => found.dev() == out.st_dev as u64 && found.ino() == out.st_ino as u64,
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_the_file_of_standard_output(_: &Path) -> bool {
    false
}

/// Refuses an output that is the input, under any name.
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
        // An output that does not exist yet is not an input.
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

/// Checks that [`write()`] can write there, as far as that can be known, before a step that cannot be undone.
///
/// It also removes temporary files that earlier processes left there when they were killed.
///
/// # Errors
///
/// A place that cannot be written to.
pub fn check_writable(path: &Path) -> Result<(), FileError> {
    if is_standard_output(path) || is_special(path) {
        return Ok(());
    }
    let tried = resolve(path).and_then(|target| {
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        may_replace(&target)?;
        remove_leftovers(folder_of(&target));
        // Dropping the file removes it.
        Unfinished::beside(&target, PRIVATE).map(drop)
    });
    tried.map_err(|source| FileError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

/// Writes a whole file, or to standard output. A file is written beside its target, synced and renamed, so that at
/// every moment there is either the old file or the whole new one.
///
/// A link is followed, and its target is replaced. A replaced file keeps its mode and its owner.
///
/// # Errors
///
/// A place that cannot be written to.
pub fn write(path: &Path, bytes: &[u8], access: Access) -> Result<(), FileError> {
    let written = if is_standard_output(path) {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    } else if is_special(path) {
        // Without creating it: a pipe that was removed in the meantime must not become a file.
        let opened = OpenOptions::new().write(true).open(path);
        opened.and_then(|mut file| file.write_all(bytes))
    } else {
        resolve(path).and_then(|target| replace(&target, bytes, access))
    };
    written.map_err(|source| FileError::Unwritable {
        path: path.to_owned(),
        source,
    })
}

/// Writes a new file into a folder, under this name or, where that is taken, a numbered one; returns its path.
///
/// It neither replaces a file nor follows a link, because a stranger may have chosen the name.
///
/// # Errors
///
/// A folder that cannot be written to.
pub fn write_new(folder: &Path, name: &str, bytes: &[u8], access: Access) -> Result<PathBuf, FileError> {
    let path = folder.join(name);
    let written = Unfinished::beside(&path, access.mode()).and_then(|mut unfinished| {
        unfinished.file().write_all(bytes)?;
        for number in 1..=MOST_NUMBERED_NAMES {
            let candidate = folder.join(super::names::numbered(name, number));
            if unfinished.publish_new(&candidate)? {
                return Ok(candidate);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    });
    written.map_err(|source| FileError::Unwritable { path, source })
}

/// Checks that files can be created in a folder. A missing folder is created, and temporary files that earlier
/// processes left in it when they were killed are removed.
///
/// # Errors
///
/// A folder that cannot be created or written to.
pub fn check_folder(folder: &Path) -> Result<(), FileError> {
    let created = fs::create_dir_all(folder).and_then(|()| {
        remove_leftovers(folder);
        Unfinished::beside(&folder.join("x"), PRIVATE)
    });
    created.map(drop).map_err(|source| FileError::Unwritable {
        path: folder.to_owned(),
        source,
    })
}

/// Whether a path names a device or a pipe, which is written to and never replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Follows all links. The target of the last one need not exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            // A relative target starts at the link's own folder.
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

/// Checks that the user may write to an existing file: a rename would replace it all the same.
fn may_replace(target: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn replace(target: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    may_replace(target)?;
    let old = fs::metadata(target).ok();
    let mode = if old.is_some() { PRIVATE } else { access.mode() };
    let mut unfinished = Unfinished::beside(target, mode)?;
    if let Some(old) = old {
        take_over(unfinished.file(), &old)?;
    }
    unfinished.file().write_all(bytes)?;
    unfinished.publish(target)
}

/// Gives a new file the owner and the mode of the one that it replaces.
#[cfg(unix)]
fn take_over(file: &File, old: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let new = file.metadata()?;
    let mut mode = old.mode() & 0o777;
    if (new.uid(), new.gid()) != (old.uid(), old.gid())
        && fchown(file, Some(old.uid()), Some(old.gid())).is_err()
    {
        // The permissions of a group are not meant for another group.
        mode &= 0o707;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn take_over(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
