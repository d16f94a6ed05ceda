//! Writes files that appear whole or not at all, and files and folders that only their owner can read.
//!
//! The cluster key, the store's folder, the client's keys, its journal and its pictures are written here.
//!
//! On Linux a new file has no name until it is complete (`O_TMPFILE`), so a process that is killed leaves nothing.
//! Other file systems get a file with a temporary name, which is removed when the value is dropped. It is locked as
//! long as its process lives, so [`remove_leftovers`] knows the files of processes that were killed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The mode of a file that only its owner may read and write.
pub(crate) const PRIVATE: u32 = 0o600;

/// The mode of a file that everyone may read, before the process's umask.
#[cfg(feature = "tokio")]
pub(crate) const PUBLIC: u32 = 0o666;

/// The prefix of temporary names. They do not contain the target's name, which may have 255 bytes already.
const TEMPORARY: &str = ".raft-lsb-";

/// The digits after the prefix.
const TEMPORARY_DIGITS: usize = 16;

/// How many temporary names are tried. One that another process takes for a leftover before it is locked is lost.
const MOST_TEMPORARY_NAMES: u32 = 8;

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
        Self::named(folder, mode)
    }

    /// Opens a new file with a temporary name, and locks it.
    fn named(folder: PathBuf, mode: u32) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        set_mode(&mut options, mode);
        for _ in 0..MOST_TEMPORARY_NAMES {
            let temporary = temporary_name(&folder)?;
            let unfinished = Self {
                file: options.open(&temporary)?,
                folder: folder.clone(),
                temporary: Some(temporary.clone()),
            };
            // Between its creation and its lock, another process may have taken the file for a leftover.
            if lock(&unfinished.file) && temporary.exists() {
                return Ok(unfinished);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
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
            Some(temporary) => fs::hard_link(temporary, target).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                // FAT, for example, has no second names.
                _ => move_new(temporary, target),
            }),
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
            // A link cannot replace a file, so the complete file gets a temporary name for a moment. The lock comes
            // before the name; no other process has seen the file, so none has locked it.
            let temporary = temporary_name(&self.folder)?;
            lock(&self.file);
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
    Ok(folder.join(format!("{TEMPORARY}{number:0TEMPORARY_DIGITS$x}")))
}

fn is_temporary_name(name: &str) -> bool {
    name.strip_prefix(TEMPORARY).is_some_and(|digits| {
        digits.len() == TEMPORARY_DIGITS
            && digits
                .bytes()
                .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Locks a file until its last descriptor is closed (flock(2)). Returns whether no other process has locked it.
///
/// A file system without locks counts as one on which nothing is locked: [`remove_leftovers`] removes nothing there.
fn lock(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Removes the temporary files in a folder that no living process has locked.
///
/// What cannot be removed stays, without a word: the leftovers of one run are no reason for the next one to fail.
pub(crate) fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_temporary_name) {
            let path = entry.path();
            // The lock is held until the file is removed: a process that has just created the file sees one of both.
            if let Some(_locked) = open_leftover(&path) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// Opens and locks a temporary file that no process has locked. In a shared folder anyone may give such a name to
/// anything, so a link is not followed, and a pipe not waited for.
fn open_leftover(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    // Some network file systems lock only files that may be written to.
    options.read(true).write(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    let file = options.open(path).ok()?;
    (file.metadata().ok()?.is_file() && file.try_lock().is_ok()).then_some(file)
}

/// Renames a complete file, unless the new name is taken.
fn move_new(temporary: &Path, target: &Path) -> io::Result<()> {
    rename_new(temporary, target).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system can do that in one step.
        _ => reserve_and_rename(temporary, target),
    })
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn rename_new(temporary: &Path, target: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(
        CWD,
        temporary,
        CWD,
        target,
        RenameFlags::NOREPLACE,
    )?)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn rename_new(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Takes the name with an empty file, and puts the complete one in its place. A process that is killed in between
/// leaves the empty file.
fn reserve_and_rename(temporary: &Path, target: &Path) -> io::Result<()> {
    File::create_new(target)?;
    fs::rename(temporary, target).inspect_err(|_| drop(fs::remove_file(target)))
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

    /// What [`Unfinished::beside`] does where files without a name cannot be made.
    fn named(target: &Path) -> Unfinished {
        Unfinished::named(folder_of(target).to_owned(), PRIVATE).unwrap()
    }

    fn count(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
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
    /// The folder of the process that the next test kills.
    const FOLDER: &str = "RAFT_LSB_TEST_FOLDER";

    #[test]
    #[ignore = "the process that the next test kills"]
    fn a_process_that_writes_a_file_until_it_is_killed() {
        let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
        let mut unfinished = named(&folder.join("file"));
        unfinished.file().write_all(b"a part of a").unwrap();
        loop {
            std::thread::park();
        }
    }

    #[test]
    fn the_temporary_file_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not() {
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact"])
            .arg("atomic_files::tests::a_process_that_writes_a_file_until_it_is_killed")
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let has_begun = || {
            let mut entries = fs::read_dir(folder.path()).unwrap().flatten();
            entries.any(|entry| entry.metadata().is_ok_and(|file| file.len() > 0))
        };
        while !has_begun() {
            assert!(child.try_wait().unwrap().is_none(), "it was not started");
            std::thread::yield_now();
        }
        remove_leftovers(folder.path());
        assert_eq!(count(folder.path()), 1, "its process lives");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(count(folder.path()), 1, "nobody was left to remove it");
        remove_leftovers(folder.path());
        assert_eq!(count(folder.path()), 0);
    }

    #[test]
    fn a_leftover_that_is_another_name_of_a_published_file_takes_only_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        let mut unfinished = named(&target);
        unfinished.file().write_all(b"whole").unwrap();
        assert!(unfinished.publish_new(&target).unwrap());
        // A process that is killed now drops nothing, and loses its lock.
        unfinished.file().unlock().unwrap();
        unfinished.temporary = None;
        assert_eq!(count(folder.path()), 2);
        remove_leftovers(folder.path());
        assert_eq!(count(folder.path()), 1);
        assert_eq!(fs::read(&target).unwrap(), b"whole");
    }

    #[test]
    fn only_plain_files_with_the_whole_of_a_temporary_name_are_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let kept = [
            ".raft-lsb-0123456789abcde",
            ".raft-lsb-0123456789abcdef0",
            ".raft-lsb-0123456789ABCDEF",
            ".raft-lsb-0123456789abcdef.png",
            "raft-lsb-0123456789abcdef",
            "photo.png",
        ];
        for name in kept {
            fs::write(path(name), b"kept").unwrap();
        }
        fs::create_dir(path(".raft-lsb-00000000000000d0")).unwrap();
        let mut expected = kept.len() + 1;
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("photo.png", path(".raft-lsb-00000000000000e0")).unwrap();
            let pipe = path(".raft-lsb-00000000000000f0");
            rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, PRIVATE.into()).unwrap();
            expected += 2;
        }
        fs::write(path(".raft-lsb-0123456789abcdef"), b"left").unwrap();
        remove_leftovers(folder.path());
        assert_eq!(count(folder.path()), expected);
        assert!(!path(".raft-lsb-0123456789abcdef").exists());
        remove_leftovers(&path("no such folder"));
    }

    #[test]
    fn a_file_is_moved_to_a_free_name_where_it_cannot_have_two() {
        for move_to in [move_new, reserve_and_rename] {
            let folder = tempfile::tempdir().unwrap();
            let (temporary, target) = (folder.path().join("temporary"), folder.path().join("file"));
            fs::write(&temporary, b"one").unwrap();
            move_to(&temporary, &target).unwrap();
            fs::write(&temporary, b"two").unwrap();
            let error = move_to(&temporary, &target).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&target).unwrap(), b"one");
            let error = move_to(&folder.path().join("none"), &folder.path().join("new")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(!folder.path().join("new").exists(), "a name without a file");
        }
    }
}
