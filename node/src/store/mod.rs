//! The data folder of one server: log, hard state, snapshots and identity.
//!
//! ```text
//! <folder>/lock          held while a server runs
//! <folder>/data          the database (redb), every block with its checksum
//! <folder>/journal       what was last written to the database, for the case of a crash
//! <folder>/snapshot-...  the latest snapshot of the ledger
//! ```
//!
//! A [`Store`] is synchronous and owned by one thread. [`Store::persist`] carries out any number of [`Persist`]s as one
//! transaction with one sync (group commit), in the order that their documentation gives. After any failure the store
//! is poisoned and refuses everything: the contents of the disk are unknown until a restart reads them.
//!
//! If any byte of a folder is changed, opening or reading returns the right data or [`StoreError::Damaged`], which
//! names file and offset: see `checked_backend.rs`. The store returns no unverified data.
//!
//! A store protects against disks, crashes and accidents. It does not protect against an attacker who can write to the
//! folder and recompute the checksums.

mod blocks;
mod checked_backend;
mod contradiction;
mod damage;
mod disk;
mod journal;
mod records;
mod snapshots;

use std::io;
use std::path::Path;
use std::sync::Arc;

use raft_core::codec::Record;
use raft_core::{
    Boot, Durable, Entry, GroupId, Identity, Incarnation, Index, Membership, NodeId, Payload, Persist,
};
use redb::{Database, Durability, ReadableDatabase};

pub use self::damage::Damage;
pub use self::disk::{DataFolder, Disk, DiskFile};
pub use self::records::{LogError, RecordError};
pub use self::snapshots::SnapshotWriter;

use self::blocks::BlockFile;
use self::checked_backend::{CheckedBackend, FINISHED, FileNames, UNFINISHED};
use self::contradiction::{Closing, guarded};
use self::journal::{Journal, SECTOR_BYTES};
use self::records::{BOOTSTRAP, IDENTITY, LOG, SNAPSHOT, STANDING, STATE, SnapshotFile, Standing};

/// The memory that the database may use for pages, in bytes.
const CACHE_BYTES: usize = 32 << 20;

/// The contents of a new folder. If the folder exists already, only the group is compared, and this start gets the nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFolder {
    /// The consensus group. An existing folder of another group is rejected.
    pub group: GroupId,
    /// The server.
    pub node: NodeId,
    /// Drawn at random for this folder; see [`NewFolder::draw_incarnation`].
    pub incarnation: Incarnation,
    /// Drawn at random for this start; see [`NewFolder::draw_nonce`]. A copy of the folder, or a backup of it, counts
    /// the same starts and never has the same nonce.
    pub boot_nonce: u32,
    /// The configuration that the cluster begins with; empty for a server that is to be added to a cluster.
    pub bootstrap: Membership,
}

impl NewFolder {
    /// Draws a number that no other folder has.
    ///
    /// # Errors
    ///
    /// The operating system supplies no randomness.
    pub fn draw_incarnation() -> Result<Incarnation, getrandom::Error> {
        getrandom::u64().map(Incarnation::new)
    }

    /// Draws a number that no other start has.
    ///
    /// # Errors
    ///
    /// The operating system supplies no randomness.
    pub fn draw_nonce() -> Result<u32, getrandom::Error> {
        getrandom::u32()
    }
}

/// The options of a new store; an existing one keeps its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The size of the journal. When it is full, a checkpoint delays one transaction until the database's blocks are
    /// synced; a larger journal makes that rarer and longer.
    pub journal_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            journal_bytes: 32 << 20,
        }
    }
}

/// The contents of a folder when it was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The server's identity. `boot` counts this start already, durably.
    pub identity: Identity,
    /// The configuration that the cluster began with.
    pub bootstrap: Membership,
    /// Everything that the core starts from.
    pub durable: Durable,
    /// The bytes of the latest snapshot.
    pub snapshot: Option<Payload>,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server uses the folder.
    #[error(
        "the data folder {folder} is in use by another server; stop that one, or give this one a folder of its own"
    )]
    InUse {
        /// The folder.
        folder: String,
    },
    /// The operating system refused.
    #[error("cannot read or write the data folder {place}")]
    Io {
        /// The folder.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// The folder's bytes differ from those that were written.
    #[error(
        "the data folder {folder} is damaged: {damage}. Do not start from it. If the other servers are a majority, remove this server from the cluster, move the folder away, and add the server again"
    )]
    Damaged {
        /// The folder.
        folder: String,
        /// Where, and what.
        #[source]
        damage: Damage,
    },
    /// The folder's records are not a log that any version wrote.
    #[error("the data folder {folder} contains no valid log")]
    Log {
        /// The folder.
        folder: String,
        /// What is wrong with it.
        source: LogError,
    },
    /// A record of the folder does not decode.
    #[error("the record '{record}' in the data folder {folder} cannot be read")]
    Record {
        /// The folder.
        folder: String,
        /// Which record.
        record: &'static str,
        /// What is wrong with it.
        source: RecordError,
    },
    /// A record of the folder is missing.
    #[error("the record '{record}' is missing from the data folder {folder}")]
    Missing {
        /// The folder.
        folder: String,
        /// Which record.
        record: &'static str,
    },
    /// The folder belongs to another cluster.
    #[error("the data folder {folder} belongs to another cluster: it was created with another cluster key")]
    OtherCluster {
        /// The folder.
        folder: String,
    },
    /// The database failed for a reason of its own.
    #[error("the database in the data folder {folder} failed")]
    Database {
        /// The folder.
        folder: String,
        /// Why.
        #[source]
        source: Box<redb::Error>,
    },
    /// The database found records that contradict each other, although each of them is whole. A disk that drops writes,
    /// or writes them in the wrong place, leaves such records.
    #[error(
        "the data folder {folder} contradicts itself ({what}): its disk has lost or misplaced writes. Do not start from it. If the other servers are a majority, remove this server from the cluster, move the folder away, and add the server again, on another disk"
    )]
    Contradiction {
        /// The folder.
        folder: String,
        /// The contradiction that the database found.
        what: String,
    },
    /// The caller names a snapshot whose bytes were not written.
    #[error("a snapshot is to be named whose bytes were not written")]
    SnapshotBytesMissing,
    /// An earlier operation failed.
    #[error("the data folder {folder} failed earlier; nothing more is written until the server is restarted")]
    Poisoned {
        /// The folder.
        folder: String,
    },
}

/// An open data folder.
#[derive(Debug)]
pub struct Store<D: Disk = DataFolder> {
    database: Closing,
    backend: CheckedBackend<D::File>,
    disk: Arc<D>,
    snapshots: SnapshotWriter<D>,
    standing: Standing,
    poisoned: bool,
    buffer: Vec<u8>,
}

impl Store<DataFolder> {
    /// Opens the folder, or creates it. If a crash interrupts the creation, the next call completes it.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn create_or_open(folder: &Path, new: &NewFolder) -> Result<(Self, Opened), StoreError> {
        Self::create_or_open_on(DataFolder::hold(folder)?, new, StoreOptions::default())
    }
}

impl<D: Disk> Store<D> {
    /// Like [`Store::create_or_open`], on any disk.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn create_or_open_on(
        disk: D,
        new: &NewFolder,
        options: StoreOptions,
    ) -> Result<(Self, Opened), StoreError> {
        // The block file is renamed last: without it there is no store, only the remains of an attempt to create one.
        let io = |error| from_io(&disk.place(), error);
        match disk.open(FINISHED.data).map_err(io)? {
            None => create(&disk, new, options)?,
            // The process that created it may have died before the names were durable.
            Some(_) if !planted!(TRUSTS_UNSYNCED_NAMES) => disk.sync().map_err(io)?,
            Some(_) => {}
        }
        let (database, backend) = open_database(&disk, FINISHED)?;
        let disk = Arc::new(disk);
        let mut store = Self {
            database,
            backend,
            snapshots: SnapshotWriter::new(Arc::clone(&disk)),
            disk,
            standing: Standing::default(),
            poisoned: false,
            buffer: Vec::new(),
        };
        let (place, backend) = (store.disk.place(), store.backend.clone());
        let opened = guarded(&place, &backend, || store.begin(new))?;
        Ok((store, opened))
    }

    /// Returns the writer of snapshots, which another thread may have.
    pub fn snapshots(&self) -> SnapshotWriter<D> {
        self.snapshots.clone()
    }

    /// Makes these durable, as one transaction. The snapshots that they name were [written](SnapshotWriter::write)
    /// before. When it returns, everything up to the last one with [`Persist::sync`] is durable; the rest becomes
    /// durable with the next sync.
    ///
    /// # Errors
    ///
    /// After any error the store is poisoned.
    pub fn persist(&mut self, group: &[Persist]) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned {
                folder: self.disk.place(),
            });
        }
        self.poisoned = true;
        let (place, backend) = (self.disk.place(), self.backend.clone());
        guarded(&place, &backend, || self.persist_group(group))?;
        self.poisoned = false;
        Ok(())
    }

    /// Reads entries from `first` to `last`, until `max_bytes` are reached; the first is always returned. Returns
    /// nothing if `first` is not there.
    ///
    /// # Errors
    ///
    /// The folder is damaged, or the disk fails.
    pub fn load_entries(
        &self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let entries = guarded(&self.disk.place(), &self.backend, || {
            self.read_entries(first.value(), last.value(), max_bytes)
        })?;
        let wanted = entries.first().is_some_and(|entry| entry.id.index == first);
        Ok(if wanted { entries } else { Vec::new() })
    }

    fn persist_group(&mut self, group: &[Persist]) -> Result<(), StoreError> {
        let mut standing = self.standing.clone();
        let mut sync = false;
        for persist in group {
            standing.write(persist);
            sync |= persist.sync;
            if let Some(meta) = &persist.snapshot {
                let file = self.snapshots.take(meta.last);
                standing.snapshot = Some(file.ok_or(StoreError::SnapshotBytesMissing)?);
                sync = true;
            }
        }
        self.commit(group, &standing, sync)
            .map_err(|error| explain(&*self.disk, &self.backend, error))?;
        if let Some(current) = &standing.snapshot
            && standing.snapshot != self.standing.snapshot
        {
            self.snapshots
                .remove_older(current)
                .map_err(|error| self.io(error))?;
        }
        self.standing = standing;
        Ok(())
    }

    fn commit(&mut self, group: &[Persist], standing: &Standing, sync: bool) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(if sync {
            Durability::Immediate
        } else {
            Durability::None
        })?;
        {
            let mut log = transaction.open_table(LOG)?;
            for persist in group {
                records::change_log(&mut log, persist, &mut self.buffer)?;
            }
            if *standing != self.standing {
                let mut state = transaction.open_table(STATE)?;
                standing.store(Some(&self.standing), &mut state, &mut self.buffer)?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Reads the folder's contents and counts the start.
    fn begin(&mut self, new: &NewFolder) -> Result<Opened, StoreError> {
        let mut identity: Identity = self.state(IDENTITY)?;
        let bootstrap: Membership = self.state(BOOTSTRAP)?;
        self.standing.durable = self.state(STANDING)?;
        if self.standing.durable.snapshot.is_some() {
            self.standing.snapshot = Some(self.state_as(SNAPSHOT, SnapshotFile::decode)?);
        }
        if identity.group != new.group {
            return Err(StoreError::OtherCluster {
                folder: self.disk.place(),
            });
        }
        identity.boot = Boot::new(identity.boot.counter.saturating_add(1), new.boot_nonce);
        write_state(&self.database, &identity, None)
            .map_err(|error| explain(&*self.disk, &self.backend, error))?;

        let file = self.standing.snapshot.as_ref();
        snapshots::clean(&*self.disk, file).map_err(|error| self.io(error))?;
        self.snapshots.begin_after(file);
        let snapshot = file
            .map(|file| snapshots::read(&*self.disk, file))
            .transpose()
            .map_err(|error| self.io(error))?;
        let durable = Durable {
            entries: self.read_entries(0, u64::MAX, usize::MAX)?,
            ..self.standing.durable.clone()
        };
        Ok(Opened {
            identity,
            bootstrap,
            durable,
            snapshot,
        })
    }

    fn state<R: Record>(&self, record: &'static str) -> Result<R, StoreError> {
        self.state_as(record, |bytes| records::decode(record.as_bytes(), bytes))
    }

    fn state_as<T>(
        &self,
        record: &'static str,
        decode: impl FnOnce(&[u8]) -> Result<T, RecordError>,
    ) -> Result<T, StoreError> {
        let bytes = read_state(&self.database, record)
            .map_err(|error| explain(&*self.disk, &self.backend, error))?
            .ok_or_else(|| StoreError::Missing {
                folder: self.disk.place(),
                record,
            })?;
        decode(&bytes).map_err(|source| StoreError::Record {
            folder: self.disk.place(),
            record,
            source,
        })
    }

    fn read_entries(&self, first: u64, last: u64, max_bytes: usize) -> Result<Vec<Entry>, StoreError> {
        let read = || {
            let transaction = self.database.begin_read()?;
            let log = transaction.open_table(LOG)?;
            Ok(records::read_log(&log, first, last, max_bytes)?)
        };
        read()
            .map_err(|error: redb::Error| explain(&*self.disk, &self.backend, error))?
            .map_err(|source| StoreError::Log {
                folder: self.disk.place(),
                source,
            })
    }

    fn io(&self, error: io::Error) -> StoreError {
        from_io(&self.disk.place(), error)
    }
}

/// Creates a store under temporary names, complete with its first records, and then renames it.
fn create<D: Disk>(disk: &D, new: &NewFolder, options: StoreOptions) -> Result<(), StoreError> {
    let io = |error| from_io(&disk.place(), error);
    let journal_bytes = options.journal_bytes.next_multiple_of(SECTOR_BYTES);
    let format = || {
        Journal::format(&disk.create(UNFINISHED.journal)?, journal_bytes)?;
        let data = disk.create(UNFINISHED.data)?;
        BlockFile::format(&data, new.incarnation.value(), journal_bytes)
    };
    format().map_err(io)?;

    let identity = Identity {
        group: new.group,
        node: new.node,
        incarnation: new.incarnation,
        boot: Boot::default(),
    };
    let (database, backend) = open_database(disk, UNFINISHED)?;
    write_state(&database, &identity, Some(&new.bootstrap))
        .map_err(|error| explain(disk, &backend, error))?;
    drop(database);
    backend.check().map_err(io)?;

    let rename = || {
        disk.rename(UNFINISHED.journal, FINISHED.journal)?;
        disk.sync()?;
        disk.rename(UNFINISHED.data, FINISHED.data)?;
        disk.sync()
    };
    rename().map_err(io)
}

fn open_database<D: Disk>(
    disk: &D,
    names: FileNames,
) -> Result<(Closing, CheckedBackend<D::File>), StoreError> {
    let backend = CheckedBackend::open(disk, names).map_err(|error| from_io(&disk.place(), error))?;
    let database = guarded(&disk.place(), &backend, || {
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend.clone())
            .map(Closing::new)
            .map_err(|error| explain(disk, &backend, error))
    })?;
    Ok((database, backend))
}

/// Returns the bytes of a record; `None` if it is missing.
fn read_state(database: &Database, record: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    let table = database.begin_read()?.open_table(STATE)?;
    Ok(table.get(record)?.map(|value| value.value().to_vec()))
}

/// Writes the identity, and for a new folder everything that it begins with.
fn write_state(
    database: &Database,
    identity: &Identity,
    bootstrap: Option<&Membership>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut state = transaction.open_table(STATE)?;
        let mut buffer = Vec::new();
        records::encode_into(&mut buffer, IDENTITY.as_bytes(), identity);
        state.insert(IDENTITY, buffer.as_slice())?;
        if let Some(bootstrap) = bootstrap {
            records::encode_into(&mut buffer, BOOTSTRAP.as_bytes(), bootstrap);
            state.insert(BOOTSTRAP, buffer.as_slice())?;
            Standing::default().store(None, &mut state, &mut buffer)?;
            // Both tables exist from the first transaction on.
            transaction.open_table(LOG)?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn from_io(place: &str, source: io::Error) -> StoreError {
    match source.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
        Some(damage) => StoreError::Damaged {
            folder: place.to_owned(),
            damage: damage.clone(),
        },
        None => StoreError::Io {
            place: place.to_owned(),
            source,
        },
    }
}

/// Finds the cause of an error: redb passes on the first I/O error and then only says that there was one; the backend
/// knows which.
fn explain<D: Disk>(
    disk: &D,
    backend: &CheckedBackend<D::File>,
    error: impl Into<redb::Error>,
) -> StoreError {
    match (backend.damage(), error.into()) {
        (Some(damage), _) => StoreError::Damaged {
            folder: disk.place(),
            damage,
        },
        (None, redb::Error::Io(source)) => from_io(&disk.place(), source),
        (None, source) => StoreError::Database {
            folder: disk.place(),
            source: Box::new(source),
        },
    }
}
