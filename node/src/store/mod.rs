//! The data folder of one server: a log that is written once, the identity, and the latest snapshot.
//!
//! ```text
//! <folder>/lock          held while a server runs
//! <folder>/identity      whose folder it is, and how far the log was durable at the last start
//! <folder>/log-...       the log, in segments of one size
//! <folder>/spare         the next segment
//! <folder>/snapshot-...  the latest snapshot of the ledger
//! ```
//!
//! `docs/store.md` draws all of it byte by byte, and says why it is no library's.
//!
//! A [`Store`] is synchronous and owned by one thread, its only writer. [`Store::persist`] carries out any number of
//! [`Persist`]s as one batch: one write, and one sync if any of them asks for it (group commit). A batch happens wholly
//! or not at all. [`LogReader`]s read entries on other threads meanwhile.
//!
//! After a failed write or sync the store is poisoned and refuses everything: the contents of the disk are unknown until
//! a restart reads them. A disk without space, or a process without descriptors, is not a failure while a segment is
//! begun: [`StoreError::NoRoom`] says that nothing has changed, and the same call succeeds once there is room.
//!
//! If any byte of a folder is changed, opening or reading returns the right data, or a typed error that names file and
//! offset, or the log without its last batch. In the last case [`Opened::lost_end`] says so, and the server starts as one
//! whose folder went back: `recover.rs` has the rules.
//!
//! A store protects against disks, crashes and accidents. It does not protect against an attacker who can write to the
//! folder and recompute the checksums.

mod damage;
mod disk;
mod identity;
mod log;
mod places;
mod record;
mod recover;
mod sector;
mod segment;
mod snapshots;

use std::io;
use std::path::Path;
use std::sync::Arc;

use raft_core::codec::DecodeError;
use raft_core::{
    Boot, Durable, Entries, Entry, GroupId, Identity, Incarnation, Index, Membership, NodeId, Payload,
    Persist,
};

pub use self::damage::Damage;
pub use self::disk::{DataFolder, Disk, DiskFile};
pub use self::places::LogReader;
pub use self::snapshots::SnapshotWriter;

use self::identity::IdentityFile;
use self::log::{Failure, Log, is_exhausted};
use self::places::{Place, Shared};
use self::record::{Draft, Kind, Standing};
use self::recover::Recovered;

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

/// The options of an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The size of a segment of the log, in bytes. Space is taken and given back in segments: up to one that is not full,
    /// one that is still needed for a few entries, and a spare one. A single larger batch gets a larger segment.
    pub segment_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
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
    /// Where the log's last batch was, if it is lost and may have been acknowledged. Then the hard state is `silenced`,
    /// here and on the disk: the server keeps silent until it is removed and added again with another folder.
    pub lost_end: Option<Damage>,
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
    /// There is no space for another segment, or no descriptor. Nothing has changed, and the same call may be made again.
    #[error(
        "the data folder {folder} has no room for more: free space on its disk, or raise the limit of open files. Nothing is lost, and the server goes on once there is room"
    )]
    NoRoom {
        /// The folder.
        folder: String,
        /// What has run out.
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
    /// A file of the folder is an older one than the others belong to.
    #[error(
        "the data folder {folder} went back: {file} ends at byte {offset}, before what was durable when its server last started. Do not start from it. If the other servers are a majority, remove this server from the cluster, move the folder away, and add the server again"
    )]
    RolledBack {
        /// The folder.
        folder: String,
        /// The file that is older than the others.
        file: String,
        /// Where it ends.
        offset: u64,
    },
    /// A record of the folder is whole, and does not decode.
    #[error("the record at byte {offset} of {file} in the data folder {folder} cannot be read")]
    Record {
        /// The folder.
        folder: String,
        /// The file.
        file: String,
        /// Where the record's batch begins.
        offset: u64,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The folder was written by a version of this program that kept a database in it.
    #[error(
        "the data folder {folder} has the format of an earlier version, which this one does not read. If the other servers are a majority, remove this server from the cluster, move the folder away, and add the server again; otherwise go back to the earlier version"
    )]
    FormerFormat {
        /// The folder.
        folder: String,
    },
    /// The folder was written by a later version of this program.
    #[error(
        "the data folder {folder} has format {found}, and this version reads {known}; start the version that wrote it"
    )]
    Format {
        /// The folder.
        folder: String,
        /// The format of the folder.
        found: u32,
        /// The one format that this version reads.
        known: u32,
    },
    /// The folder belongs to another cluster.
    #[error("the data folder {folder} belongs to another cluster: it was created with another cluster key")]
    OtherCluster {
        /// The folder.
        folder: String,
    },
    /// The caller names a snapshot whose bytes were not written.
    #[error("a snapshot is to be named whose bytes were not written")]
    SnapshotBytesMissing,
    /// The caller passed an entry that does not follow the last one.
    #[error("entry {found} cannot be stored after entry {last}")]
    NotNext {
        /// The last entry of the log.
        last: u64,
        /// The entry to be stored.
        found: u64,
    },
    /// An earlier operation failed.
    #[error("the data folder {folder} failed earlier; nothing more is written until the server is restarted")]
    Poisoned {
        /// The folder.
        folder: String,
    },
}

impl StoreError {
    fn from_io(place: &str, source: io::Error) -> Self {
        match source.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
            Some(damage) => Self::damaged(place, damage.clone()),
            None => Self::Io {
                place: place.to_owned(),
                source,
            },
        }
    }

    /// As [`StoreError::from_io`], while space is allocated.
    fn from_allocation(place: &str, source: io::Error) -> Self {
        match is_exhausted(&source) {
            true => Self::NoRoom {
                folder: place.to_owned(),
                source,
            },
            false => Self::from_io(place, source),
        }
    }

    fn from_failure(place: &str, failure: Failure) -> Self {
        match failure {
            Failure::NoRoom(source) => Self::NoRoom {
                folder: place.to_owned(),
                source,
            },
            Failure::Disk(source) => Self::from_io(place, source),
        }
    }

    fn damaged(place: &str, damage: Damage) -> Self {
        Self::Damaged {
            folder: place.to_owned(),
            damage,
        }
    }

    /// Whether nothing has changed, so that the store may be used on.
    fn is_harmless(&self) -> bool {
        matches!(
            self,
            Self::NoRoom { .. } | Self::SnapshotBytesMissing | Self::NotNext { .. }
        )
    }
}

/// An open data folder.
#[derive(Debug)]
pub struct Store<D: Disk = DataFolder> {
    log: Log<D::File>,
    shared: Arc<Shared<D::File>>,
    disk: Arc<D>,
    snapshots: SnapshotWriter<D>,
    identity: Identity,
    bootstrap: Membership,
    /// With the commit index as it was last handed over, which may be ahead of the log.
    standing: Standing,
    /// The commit index as the log has it.
    written_commit: Option<Index>,
}

/// A change of the log, in the order of the records.
enum Change {
    Truncate(Index),
    Append(Index),
    Compact(Index),
}

/// A group of writes, put together.
struct Group {
    draft: Draft,
    changes: Vec<Change>,
    standing: Standing,
    sync: bool,
    has_entries: bool,
    /// The first and the last index of the log afterwards, 0 for none.
    bounds: (u64, u64),
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
        let identity = match IdentityFile::read(&disk)? {
            None => create(&disk, new, options)?,
            Some(identity) => {
                // The process that wrote it may have died before the names were durable.
                if !planted!(TRUSTS_UNSYNCED_NAMES) {
                    disk.sync()
                        .map_err(|error| StoreError::from_io(&disk.place(), error))?;
                }
                identity
            }
        };
        if identity.identity.group != new.group {
            return Err(StoreError::OtherCluster { folder: disk.place() });
        }
        let found = recover::recover(&disk, &identity)?;
        Self::begin(disk, identity, found, new.boot_nonce, options)
    }

    /// Starts from what was found.
    fn begin(
        disk: D,
        identity: IdentityFile,
        mut found: Recovered<D::File>,
        nonce: u32,
        options: StoreOptions,
    ) -> Result<(Self, Opened), StoreError> {
        let place = disk.place();
        let io = |error| StoreError::from_io(&place, error);
        let named_boot = identity.identity.boot.counter;
        let mut standing = std::mem::take(&mut found.standing);
        if named_boot < standing.named_boot {
            return Err(StoreError::RolledBack {
                folder: place.clone(),
                file: identity::NAME.to_owned(),
                offset: 0,
            });
        }
        let file = standing.snapshot.as_ref();
        let snapshot = file
            .map(|file| snapshots::read(&disk, file))
            .transpose()
            .map_err(io)?;
        standing.boot = Boot::new(standing.boot.counter.saturating_add(1), nonce);
        standing.named_boot = named_boot;
        standing.durable.hard_state.silenced |= found.lost_end.is_some();

        let places = std::mem::take(&mut found.places);
        let shared = Arc::new(Shared::new(place.clone(), places));
        let missing = || {
            StoreError::damaged(
                &place,
                Damage::new(&segment::file_name(found.number), 0, "the file is missing"),
            )
        };
        let log = Log::resume(
            Arc::clone(&shared),
            &identity.identity,
            &found,
            options.segment_bytes,
        )
        .ok_or_else(missing)?;
        let disk = Arc::new(disk);
        let snapshots = SnapshotWriter::new(Arc::clone(&disk));
        snapshots.begin_after(standing.snapshot.as_ref());
        let mut store = Self {
            log,
            shared,
            disk,
            snapshots,
            identity: Identity {
                boot: standing.boot,
                ..identity.identity
            },
            bootstrap: identity.bootstrap,
            written_commit: standing.durable.commit,
            standing,
        };
        // What failed to start does not stop cleanly.
        store.start(&found).inspect_err(|_| store.shared.poison())?;
        let opened = Opened {
            identity: store.identity,
            bootstrap: store.bootstrap.clone(),
            durable: Durable {
                entries: found.entries,
                ..store.standing.durable.clone()
            },
            snapshot,
            lost_end: found.lost_end,
        };
        Ok((store, opened))
    }

    /// Makes durable what was found, removes what a crash has left, and counts the start: in the log, and then in the file
    /// `identity`.
    fn start(&mut self, found: &Recovered<D::File>) -> Result<(), StoreError> {
        let place = self.disk.place();
        let mut tidy = || {
            let garbage = match found.lost_end {
                None => found.garbage.as_slice(),
                // It is the only sign of the loss until the log says so.
                Some(_) => &[],
            };
            self.log.make_durable(found.not_durable.clone(), garbage)?;
            for name in &found.leftovers {
                self.disk.remove(name)?;
            }
            snapshots::clean(&*self.disk, self.standing.snapshot.as_ref())?;
            self.log.adopt_spare(&*self.disk)
        };
        tidy().map_err(|error| StoreError::from_io(&place, error))?;
        if found.lost_end.is_some() {
            self.log
                .begin_next(&*self.disk, 0, &self.standing)
                .map_err(|failure| StoreError::from_failure(&place, failure))?;
        }
        let mut draft = self.log.draft();
        draft.state(&self.standing);
        self.log
            .make_room(&*self.disk, &draft, true, &self.standing)
            .map_err(|failure| StoreError::from_failure(&place, failure))?;
        let write = || {
            self.log.append(draft)?;
            self.log.sync()?;
            self.log.free(&*self.disk)
        };
        write().map_err(|error| StoreError::from_io(&place, error))?;
        self.write_identity()
            .map_err(|error| StoreError::from_allocation(&place, error))
    }

    fn write_identity(&self) -> io::Result<()> {
        let file = IdentityFile {
            identity: self.identity,
            bootstrap: self.bootstrap.clone(),
            sequence: self.log.sequence(),
        };
        file.write(&*self.disk)
    }

    /// Returns the writer of snapshots, which another thread may have.
    pub fn snapshots(&self) -> SnapshotWriter<D> {
        self.snapshots.clone()
    }

    /// Makes these durable, as one batch. The snapshots that they name were [written](SnapshotWriter::write) before. When
    /// it returns, everything up to the last one with [`Persist::sync`] is durable; the rest becomes durable with the
    /// next sync.
    ///
    /// # Errors
    ///
    /// After [`StoreError::NoRoom`] nothing has changed, and the same call may be made again. After errors of the disk
    /// the store is poisoned.
    pub fn persist(&mut self, group: &[Persist]) -> Result<(), StoreError> {
        if self.shared.is_poisoned() {
            return Err(StoreError::Poisoned {
                folder: self.disk.place(),
            });
        }
        self.persist_group(group).inspect_err(|error| {
            if !error.is_harmless() && !planted!(GOES_ON_AFTER_FAILURE) {
                self.shared.poison();
            }
        })
    }

    /// Reads entries from `first` to `last`, until `max_bytes` are reached; the first is always returned. Returns
    /// nothing if `first` is not there.
    ///
    /// # Errors
    ///
    /// The folder is damaged, or the disk fails. Then the store is poisoned as well.
    pub fn load_entries(
        &self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.reader().load_entries(first, last, max_bytes)
    }

    /// Returns a reader for another thread. It sees every write that has returned, and never waits for one.
    pub fn reader(&self) -> LogReader<D::File> {
        LogReader::new(Arc::clone(&self.shared))
    }

    fn persist_group(&mut self, group: &[Persist]) -> Result<(), StoreError> {
        let place = self.disk.place();
        let Some(group) = self.put_together(group)? else {
            return Ok(());
        };
        let begun = self
            .log
            .make_room(&*self.disk, &group.draft, !group.has_entries, &self.standing)
            .map_err(|failure| StoreError::from_failure(&place, failure))?;
        let write = || {
            if begun {
                // A mark: without it, nothing would show that the new segment is missing.
                self.write_identity()
                    .or_else(|error| match is_exhausted(&error) {
                        true => Ok(()),
                        false => Err(error),
                    })?;
            }
            let places = self.log.append(group.draft)?;
            self.apply(&group.changes, places);
            if group.sync {
                self.log.sync()?;
            }
            let named =
                (group.standing.snapshot).filter(|_| group.standing.snapshot != self.standing.snapshot);
            self.written_commit = group.standing.durable.commit;
            self.standing = group.standing;
            if let Some(current) = &named {
                self.snapshots.remove_older(current)?;
            }
            self.log.free(&*self.disk)
        };
        write().map_err(|error| StoreError::from_io(&place, error))?;
        self.log.prepare_spare(&*self.disk);
        Ok(())
    }

    /// Makes one batch of these writes; `None` if they only move the commit index, which is a hint and joins the next
    /// batch, or ask for nothing but what is durable already.
    fn put_together(&mut self, writes: &[Persist]) -> Result<Option<Group>, StoreError> {
        let mut group = Group {
            draft: self.log.draft(),
            changes: Vec::new(),
            standing: self.standing.clone(),
            sync: false,
            has_entries: false,
            bounds: self.shared.places().bounds(),
        };
        let mut is_hint = true;
        for persist in writes {
            is_hint &= persist.hard_state.is_none()
                && persist.snapshot.is_none()
                && persist.truncate_from.is_none()
                && persist.entries.is_empty()
                && persist.compact_to.is_none()
                && !persist.sync;
            self.add(&mut group, persist)?;
        }
        let is_new = group.standing.durable.commit != self.written_commit;
        let has_effect = group.draft.has_records() || is_new || !self.log.is_synced();
        if is_hint || !has_effect {
            self.standing = group.standing;
            return Ok(None);
        }
        // An empty batch would say that the log was stopped cleanly: then the commit index is repeated.
        if let Some(commit) = group.standing.durable.commit
            && (is_new || !group.draft.has_records())
        {
            group.draft.mark(Kind::Commit, commit.value());
        }
        if !group.draft.has_records() {
            group.draft.state(&group.standing);
        }
        Ok(Some(group))
    }

    fn add(&self, group: &mut Group, persist: &Persist) -> Result<(), StoreError> {
        group.sync |= persist.sync;
        group.standing.durable.write(&Persist {
            entries: Entries::default(),
            ..persist.clone()
        });
        if let Some(meta) = &persist.snapshot {
            let file = self.snapshots.written(meta.last);
            group.standing.snapshot = Some(file.ok_or(StoreError::SnapshotBytesMissing)?);
            group.sync = true;
        }
        if persist.snapshot.is_some() || persist.hard_state.is_some() {
            group.draft.state(&group.standing);
        }
        if let Some(from) = persist.truncate_from {
            group.draft.mark(Kind::Truncate, from.value());
            group.changes.push(Change::Truncate(from));
            group.bounds = match group.bounds {
                (first, last) if first < from.value() => (first, last.min(from.value() - 1)),
                _ => (0, 0),
            };
        }
        for entry in &persist.entries {
            let index = entry.id.index.value();
            let (first, last) = group.bounds;
            if last != 0 && index != last + 1 {
                return Err(StoreError::NotNext { last, found: index });
            }
            group.bounds = (if first == 0 { index } else { first }, index);
            group.draft.entry(entry);
            group.changes.push(Change::Append(entry.id.index));
            group.has_entries = true;
        }
        if let Some(to) = persist.compact_to {
            group.draft.mark(Kind::Compact, to.value());
            group.changes.push(Change::Compact(to));
            group.bounds = match group.bounds {
                (first, last) if to.value() < last => (first.max(to.value() + 1), last),
                _ => (0, 0),
            };
        }
        Ok(())
    }

    fn apply(&self, changes: &[Change], places: Vec<Place>) {
        let mut places = places.into_iter();
        let mut log = self.shared.places();
        for change in changes {
            match *change {
                Change::Truncate(from) => log.truncate(from.value()),
                Change::Append(index) => {
                    let place = places.next().expect("an entry has a place");
                    let follows = log.push(index.value(), place);
                    assert!(follows, "entry {index} was checked to follow the last one");
                }
                Change::Compact(to) => log.compact(to.value()),
            }
        }
    }

    /// Ends the log with a batch that says how far it is durable. The batch is empty, and there are two of it: either
    /// says the same if the other is damaged.
    fn stop(&mut self) -> Result<(), Failure> {
        if self.written_commit != self.standing.durable.commit
            && let Some(commit) = self.standing.durable.commit
        {
            let mut draft = self.log.draft();
            draft.mark(Kind::Commit, commit.value());
            self.log.make_room(&*self.disk, &draft, true, &self.standing)?;
            self.log.append(draft)?;
        }
        if !self.log.is_synced() {
            self.log.sync()?;
        }
        for _ in 0..2 {
            let draft = self.log.draft();
            self.log.make_room(&*self.disk, &draft, true, &self.standing)?;
            self.log.append(draft)?;
        }
        Ok(self.log.sync()?)
    }
}

/// A clean stop. Without it, as after a crash, the next start has more to make durable, and less to go by.
impl<D: Disk> Drop for Store<D> {
    fn drop(&mut self) {
        if !self.shared.is_poisoned() && !std::thread::panicking() {
            // Nothing that was acknowledged depends on it.
            let _ = self.stop();
        }
    }
}

/// Creates a folder: the first segment, and then the file `identity`. Without the latter there is no store, only the
/// remains of an attempt to create one.
fn create<D: Disk>(disk: &D, new: &NewFolder, options: StoreOptions) -> Result<IdentityFile, StoreError> {
    let place = disk.place();
    let names = disk.names().map_err(|error| StoreError::from_io(&place, error))?;
    if names.iter().any(|name| FORMER_FILES.contains(&name.as_str())) {
        return Err(StoreError::FormerFormat { folder: place });
    }
    if recover::is_used(disk, &names).map_err(|error| StoreError::from_io(&place, error))? {
        let missing = Damage::new(identity::NAME, 0, "the file is missing");
        return Err(StoreError::damaged(&place, missing));
    }
    let identity = Identity {
        group: new.group,
        node: new.node,
        incarnation: new.incarnation,
        boot: Boot::default(),
    };
    let sequence = log::create(disk, &identity, options.segment_bytes)
        .map_err(|failure| StoreError::from_failure(&place, failure))?;
    let file = IdentityFile {
        identity,
        bootstrap: new.bootstrap.clone(),
        sequence,
    };
    file.write(disk)
        .map_err(|error| StoreError::from_allocation(&place, error))?;
    Ok(file)
}

/// The files of the format that this one replaced.
const FORMER_FILES: [&str; 2] = ["data", "journal"];
