//! The journal of views: each request is written down before it is sent, and kept until its answer is saved.
//!
//! ```text
//! <keys>/<cluster>/views/<object>-<user>-<request>.json     readable by its owner only; locked while a process works on it
//! ```
//!
//! A client that crashes leaves its file unlocked. The next view of the same picture by the same user resumes it: it
//! sends the same request again, and the ledger does not charge it twice. Two processes at once are two views.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use lsb_core::envelope::UserName;
use lsb_core::seal::{ExchangeKey, Zeroizing};
use lsb_core::{ClusterId, ObjectId};
use serde::{Deserialize, Serialize};

use crate::atomic_files::{self, Unfinished};
use crate::ledger::request::{Signed, ViewRequest};

/// The largest file that is read back.
const FILE_LIMIT_BYTES: u64 = 16 << 10;

/// A view cannot be recorded, so it must not be requested.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep a record of this view in {}: {source}. Nothing was requested, and no view was used", path.display())]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

/// A view in progress.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Holds the lock.
    _file: File,
    /// The request.
    pub(super) request: Signed<ViewRequest>,
    /// The key that opens the answer.
    pub(super) key: ExchangeKey,
}

#[derive(Serialize, Deserialize)]
struct Record {
    request: Signed<ViewRequest>,
    secret: Vec<u8>,
}

impl Drop for Record {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.secret.zeroize();
    }
}

impl Journal {
    /// Writes a request down, durably.
    pub(super) fn begin(
        keys: &Path,
        request: Signed<ViewRequest>,
        key: ExchangeKey,
    ) -> Result<Self, JournalError> {
        let ViewRequest {
            cluster,
            object,
            user,
            request: id,
            ..
        } = &request.request;
        let folder = folder(keys, *cluster);
        let path = folder.join(format!("{}{id}.json", prefix(*object, user)));
        let failed = |source| JournalError {
            path: path.clone(),
            source,
        };
        let record = Record {
            request: request.clone(),
            secret: key.expose_bytes().to_vec(),
        };
        let bytes = Zeroizing::new(serde_json::to_vec(&record).map_err(|error| failed(error.into()))?);
        atomic_files::create_folder(&folder).map_err(failed)?;
        atomic_files::remove_leftovers(&folder);
        let file = write_locked(&path, &bytes).map_err(failed)?;
        Ok(Self {
            path,
            _file: file,
            request,
            key,
        })
    }

    /// Resumes a view that a crashed client left unfinished, if there is one.
    pub(super) fn resume(keys: &Path, cluster: ClusterId, object: ObjectId, user: &UserName) -> Option<Self> {
        let prefix = prefix(object, user);
        let entries = fs::read_dir(folder(keys, cluster)).ok()?;
        entries.flatten().find_map(|entry| {
            let name = entry.file_name();
            let ours = name
                .to_str()
                .is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".json"));
            let journal = if ours {
                Self::open_unfinished(entry.path())
            } else {
                None
            };
            journal.filter(|journal| {
                let request = &journal.request.request;
                request.cluster == cluster && request.object == object && request.user == *user
            })
        })
    }

    fn open_unfinished(path: PathBuf) -> Option<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        // Locked: another process works on it.
        file.try_lock().ok()?;
        // A process that finishes removes the file before it releases the lock, so a file that exists is unfinished.
        if !path.exists() {
            return None;
        }
        let mut bytes = Zeroizing::new(Vec::new());
        (&mut file).take(FILE_LIMIT_BYTES).read_to_end(&mut bytes).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        let key = ExchangeKey::from_bytes(record.secret.as_slice().try_into().ok()?);
        let request = record.request.clone();
        Some(Self {
            path,
            _file: file,
            request,
            key,
        })
    }

    /// Removes the record of a view whose answer is saved.
    pub(super) fn finish(self) {
        if let Err(error) = remove(&self.path) {
            // Harmless: the ledger will answer that the request was acknowledged, and the client makes a new one.
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn folder(keys: &Path, cluster: ClusterId) -> PathBuf {
    keys.join(cluster.to_string()).join("views")
}

fn prefix(object: ObjectId, user: &UserName) -> String {
    format!("{object}-{user}-")
}

/// Writes and locks a file before it has a name: no other process sees it unlocked or half written.
fn write_locked(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut unfinished = Unfinished::beside(path, atomic_files::PRIVATE)?;
    unfinished.file().lock()?;
    unfinished.file().write_all(bytes)?;
    // A clone of the descriptor shares the lock, which lasts until the last clone is closed (flock(2)).
    let file = unfinished.try_clone_file()?;
    if unfinished.publish_new(path)? {
        Ok(file)
    } else {
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Removes a file, durably. It may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => atomic_files::sync_folder(atomic_files::folder_of(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsb_core::seal::SigningKey;
    use lsb_core::{RequestId, UnixSeconds};

    const CLUSTER: ClusterId = ClusterId::from_bytes([1; 16]);
    const OBJECT: ObjectId = ObjectId::from_bytes([2; 16]);

    fn begin(keys: &Path, user: &str, id: u8) -> Journal {
        let (device, key) = (SigningKey::generate().unwrap(), ExchangeKey::generate().unwrap());
        let request = ViewRequest {
            cluster: CLUSTER,
            object: OBJECT,
            user: UserName::parse(user).unwrap(),
            device: device.public(),
            request: RequestId::from_bytes([id; 16]),
            reply_to: key.public(),
            expires: UnixSeconds(1),
        };
        Journal::begin(keys, Signed::sign(request, &device).unwrap(), key).unwrap()
    }

    #[test]
    fn only_the_view_of_a_process_that_ended_is_resumed() {
        let keys = tempfile::tempdir().unwrap();
        let alice = UserName::parse("alice").unwrap();
        let resume = || Journal::resume(keys.path(), CLUSTER, OBJECT, &alice);
        assert!(resume().is_none());
        let first = begin(keys.path(), "alice", 1);
        assert!(resume().is_none(), "it is being worked on");
        let expected = first.request.clone();
        // Dropping without finishing is what the end of a process does.
        drop(first);
        let resumed = resume().expect("the left-over");
        assert_eq!(resumed.request, expected);
        assert_eq!(resumed.key.public(), expected.request.reply_to);
        assert!(resume().is_none(), "one process at a time");
        resumed.finish();
        assert!(resume().is_none(), "it is finished");
    }

    #[test]
    fn other_users_and_damaged_files_are_left_alone() {
        let keys = tempfile::tempdir().unwrap();
        drop(begin(keys.path(), "alice-2", 1));
        let alice = UserName::parse("alice").unwrap();
        assert!(Journal::resume(keys.path(), CLUSTER, OBJECT, &alice).is_none());
        let journal = begin(keys.path(), "alice", 2);
        fs::write(&journal.path, "{}").unwrap();
        drop(journal);
        assert!(Journal::resume(keys.path(), CLUSTER, OBJECT, &alice).is_none());
    }
}
