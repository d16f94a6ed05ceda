//! The store: a file of records, each with its length and a checksum.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bincode::config::standard;
use raft_core::{Durable, Payload, Persist};
use serde::{Deserialize, Serialize};

/// Everything that a data folder contains, and what the first record of a file holds.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) incarnation: u64,
    pub(crate) boot: u64,
    pub(crate) durable: Durable,
    /// The bytes of `durable.snapshot`.
    pub(crate) snapshot: Option<Payload>,
}

/// The contents of the other records. A record is there or it is not, so a crash leaves a prefix of the writes.
#[derive(Serialize, Deserialize)]
enum Change {
    Started,
    Written(Persist),
}

impl Contents {
    fn take(&mut self, change: &Change) {
        match change {
            Change::Started => self.boot += 1,
            Change::Written(persist) => self.durable.write(persist),
        }
    }
}

pub(crate) struct Store {
    path: PathBuf,
    file: File,
    pub(crate) contents: Contents,
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(folder)?;
        let path = folder.join("log");
        if !path.exists() {
            // Two folders of one server must differ: the keys of the standard library's hash maps are random.
            let incarnation = std::hash::RandomState::new().build_hasher().finish();
            replace(
                &path,
                &Contents {
                    incarnation,
                    ..Contents::default()
                },
            )?;
        }
        let bytes = fs::read(&path)?;
        let (records, whole) = records(&bytes)?;
        let (first, changes) = records.split_first().ok_or("the file has no first record")?;
        let mut contents: Contents = bincode::serde::decode_from_slice(first, standard())?.0;
        for change in changes {
            contents.take(&bincode::serde::decode_from_slice(change, standard())?.0);
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        if whole < bytes.len() {
            println!(
                "  {} bytes of an unfinished record are truncated",
                bytes.len() - whole
            );
            file.set_len(whole as u64)?;
        }
        let mut store = Self { path, file, contents };
        store.append(&Change::Started)?;
        Ok(store)
    }

    /// Writes and syncs. Nothing may be reported as durable before this has returned; if it fails, nothing ever again.
    pub(crate) fn write(
        &mut self,
        persist: Persist,
        snapshot: Option<Payload>,
    ) -> Result<(), Box<dyn Error>> {
        let shortens = persist.snapshot.is_some() || persist.compact_to.is_some();
        let change = Change::Written(persist);
        if !shortens {
            return self.append(&change);
        }
        self.contents.take(&change);
        self.contents.snapshot = snapshot.or(self.contents.snapshot.take());
        self.file = replace(&self.path, &self.contents)?;
        Ok(())
    }

    fn append(&mut self, change: &Change) -> Result<(), Box<dyn Error>> {
        self.file
            .write_all(&record(&bincode::serde::encode_to_vec(change, standard())?))?;
        self.file.sync_data()?;
        self.contents.take(change);
        Ok(())
    }
}

/// Replaces the file: at any moment either the old one or the new one is there, and when this returns, the new one.
fn replace(path: &Path, contents: &Contents) -> Result<File, Box<dyn Error>> {
    let (temporary, folder) = (
        path.with_extension("new"),
        path.parent().ok_or("a file is in a folder")?,
    );
    let mut file = File::create(&temporary)?;
    file.write_all(&record(&bincode::serde::encode_to_vec(contents, standard())?))?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Encodes a record: length, checksum, bytes.
pub(crate) fn record(bytes: &[u8]) -> Vec<u8> {
    let (length, checksum) = (bytes.len() as u32, crc32fast::hash(bytes));
    [&length.to_be_bytes()[..], &checksum.to_be_bytes(), bytes].concat()
}

/// Returns the whole records, and where they end. Only the last one may be torn: a damaged record before it must not be
/// repaired by guessing. This simple format cannot tell a damaged length from a torn tail; the store of `node` can.
fn records(bytes: &[u8]) -> Result<(Vec<&[u8]>, usize), io::Error> {
    let (mut records, mut rest) = (Vec::new(), bytes);
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [length, checksum] =
            [0, 4].map(|at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let Some((record, next)) = after.split_at_checked(length as usize) else {
            break;
        };
        // A file may have grown before its bytes arrived: then the rest is zeros.
        if crc32fast::hash(record) != checksum || length == 0 {
            let torn = next.is_empty() || rest.iter().all(|&byte| byte == 0);
            if torn {
                break;
            }
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a record before the last one is damaged",
            ));
        }
        records.push(record);
        rest = next;
    }
    Ok((records, bytes.len() - rest.len()))
}
