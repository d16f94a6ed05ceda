//! The store: a file of records, each with its length and a checksum.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use raft_core::codec::{DecodeLimits, decode_record, encode_record};
use raft_core::{Durable, LogId, Payload, Persist};

/// Everything that a data folder contains, and what the first record of a file holds.
#[derive(Clone, Default)]
pub(crate) struct Contents {
    pub(crate) incarnation: u64,
    pub(crate) boot: u64,
    pub(crate) durable: Durable,
    /// The bytes of `durable.snapshot`.
    pub(crate) snapshot: Option<Payload>,
}

/// The contents of the other records. A record is there or it is not, so a crash leaves a prefix of the writes.
enum Change {
    Started,
    Written(Persist),
}

impl Change {
    /// A start has no bytes; a write has those of the library, which carry their version.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Started => bytes.push(0),
            Self::Written(persist) => {
                bytes.push(1);
                encode_record(persist, &mut bytes);
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Box<dyn Error>> {
        match bytes.split_first() {
            Some((0, [])) => Ok(Self::Started),
            Some((1, persist)) => Ok(Self::Written(decode_record(persist, DecodeLimits::NONE)?)),
            _ => Err("a record is neither a start nor a write".into()),
        }
    }
}

impl Contents {
    /// Incarnation and boot, the durable state after its length, and the bytes of its snapshot.
    fn encode(&self) -> Vec<u8> {
        let mut durable = Vec::new();
        encode_record(&self.durable, &mut durable);
        let numbers = [self.incarnation, self.boot, durable.len() as u64].map(u64::to_be_bytes);
        let snapshot = self.snapshot.as_deref().unwrap_or_default();
        [numbers.as_flattened(), &durable, snapshot].concat()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Box<dyn Error>> {
        let (numbers, rest) = bytes
            .split_first_chunk::<24>()
            .ok_or("the first record is too short")?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [incarnation, boot, length] = [0, 1, 2].map(|at| u64::from_be_bytes(numbers[at]));
        let parts = rest.split_at_checked(usize::try_from(length)?);
        let (durable, snapshot) = parts.ok_or("the first record is too short")?;
        let durable: Durable = decode_record(durable, DecodeLimits::NONE)?;
        Ok(Self {
            incarnation,
            boot,
            snapshot: durable.snapshot.is_some().then(|| snapshot.into()),
            durable,
        })
    }

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
    /// The bytes of snapshots that no write has named yet.
    pub(crate) unnamed: BTreeMap<LogId, Payload>,
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
        let mut contents = Contents::decode(first)?;
        for change in changes {
            contents.take(&Change::decode(change)?);
        }
        let file = OpenOptions::new().append(true).open(&path)?;
        if whole < bytes.len() {
            println!(
                "  {} bytes of an unfinished record are truncated",
                bytes.len() - whole
            );
            file.set_len(whole as u64)?;
        }
        let mut store = Self {
            path,
            file,
            contents,
            unnamed: BTreeMap::new(),
        };
        store.append(&Change::Started)?;
        Ok(store)
    }

    /// Writes and syncs. Nothing may be reported as durable before this has returned; if it fails, nothing ever again.
    pub(crate) fn write(&mut self, persist: Persist) -> Result<(), Box<dyn Error>> {
        let named = persist.snapshot.as_ref().map(|meta| meta.last);
        let shortens = named.is_some() || persist.compact_to.is_some();
        let change = Change::Written(persist);
        if !shortens {
            return self.append(&change);
        }
        self.contents.take(&change);
        if let Some(last) = named {
            self.contents.snapshot = self.unnamed.remove(&last);
        }
        self.file = replace(&self.path, &self.contents)?;
        Ok(())
    }

    fn append(&mut self, change: &Change) -> Result<(), Box<dyn Error>> {
        self.file.write_all(&record(&change.encode()))?;
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
    file.write_all(&record(&contents.encode()))?;
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
