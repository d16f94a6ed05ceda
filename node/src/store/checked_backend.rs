//! The file as redb sees it: blocks with checksums, and syncs that happen wholly or not at all.
//!
//! # Why not redb alone
//!
//! redb checksums its pages, but verifies them only after an unclean stop; on its hot paths a flipped byte is
//! undetected, or causes a panic. And when it verifies and a page of the last commit does not match, it cannot know
//! whether a crash interrupted that commit or the disk has lost an acknowledged one. So it falls back to the commit
//! before. A voter must never do that, because an acknowledged vote or entry would be lost undetected.
//!
//! # What this backend does about it
//!
//! * Every block is verified before redb sees it; a mismatch is an I/O error that carries a [`Damage`], and
//!   redb stops at I/O errors.
//! * What redb writes between two syncs is collected here and becomes one record of the [`journal`](super::journal) at
//!   the sync: one sequential write into allocated space, one sync (half the time of a sync that extends a file). Only
//!   then are the blocks written to their places, unsynced.
//! * At the next start the journal's records are written to their places again. So redb always sees its file exactly as
//!   it was after some completed sync, with nothing torn or reordered. Its own repair after an unclean stop walks the
//!   whole tree and finds what it expects, so it is only an integrity check.
//! * A write that a crash interrupted and one that has rotted are told apart in the journal, where that is possible,
//!   and not by redb, where it is not.
//! * What a start reads may only be in the operating system's memory: the process before it died, or its sync failed.
//!   So a start makes durable what it relies on before it writes anything that depends on it: the journal's last record
//!   before its blocks are replayed, the header before the journal is overwritten, the files' names before anything is
//!   acknowledged.
//!
//! After a write or a sync has failed nothing more is written: the disk may hold the old bytes, the new ones, or
//! neither (fsync reports an error once and then forgets it), and only a restart reads what is really there.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::blocks::{BLOCK_BYTES, Block, BlockFile, block_count};
use super::damage::Damage;
use super::disk::{Disk, DiskFile};
use super::journal::Journal;

/// The names of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileNames {
    pub(super) data: &'static str,
    pub(super) journal: &'static str,
}

/// The files of a store.
pub(super) const FINISHED: FileNames = FileNames {
    data: "data",
    journal: "journal",
};
/// Their names while the store is being created.
pub(super) const UNFINISHED: FileNames = FileNames {
    data: "data.new",
    journal: "journal.new",
};

/// The backend; clones share the same files.
#[derive(Debug)]
pub(super) struct CheckedBackend<F>(Arc<Mutex<Files<F>>>);

impl<F> Clone for CheckedBackend<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Files<F> {
    data: BlockFile<F>,
    journal: Journal<F>,
    database_bytes: u64,
    /// What was written since the last sync.
    pending: BTreeMap<u64, Box<Block>>,
    /// Whether anything was written, or the length changed, since the last sync.
    changed: bool,
    /// Blocks from here on may contain older data than the zeros that a database expects when it grows.
    used_blocks: u64,
    failed: bool,
    /// The first damage found, to explain why the database stopped.
    damage: Option<Damage>,
}

impl<F: DiskFile> CheckedBackend<F> {
    /// Opens the two files and restores `data` to its state after the last completed sync.
    pub(super) fn open<D: Disk<File = F>>(disk: &D, names: FileNames) -> io::Result<Self> {
        let missing = |name: &str| io::Error::from(Damage::new(name, 0, "the file is missing"));
        let mut data = BlockFile::open(
            disk.open(names.data)?.ok_or_else(|| missing(names.data))?,
            names.data,
        )?;
        let journal = disk.open(names.journal)?.ok_or_else(|| missing(names.journal))?;

        let header = *data.header();
        if journal.len()? < header.journal_bytes {
            return Err(Damage::new(names.journal, journal.len()?, "the file was truncated").into());
        }
        let mut database_bytes = header.database_bytes;
        let recovered = Journal::recover(&journal, names.journal, header.store, header.checkpoint)?;
        for record in recovered.records {
            data.extend(record.database_bytes)?;
            for (number, block) in &record.blocks {
                data.write(*number, block)?;
            }
            database_bytes = record.database_bytes;
        }
        // Even if nothing was replayed: the header that was read may be one whose sync failed, and the journal's next
        // record overwrites what the previous header needs.
        let highest = recovered.highest;
        if !planted!(TRUSTS_UNSYNCED_HEADER) || highest > header.checkpoint {
            data.checkpoint(highest, database_bytes)?;
        }
        let journal = Journal::resume(journal, header.store, header.journal_bytes, highest)?;
        let used_blocks = data.blocks();
        Ok(Self(Arc::new(Mutex::new(Files {
            data,
            journal,
            database_bytes,
            pending: BTreeMap::new(),
            changed: false,
            used_blocks,
            failed: false,
            damage: None,
        }))))
    }

    /// Whether everything has succeeded so far. redb does not report failures while it closes.
    pub(super) fn check(&self) -> io::Result<()> {
        self.guarded(|_| Ok(()))
    }

    /// Refuses all writes from now on, whatever the database asks for.
    pub(super) fn fail(&self) {
        self.files().failed = true;
    }

    /// Returns the first damage found, if any.
    pub(super) fn damage(&self) -> Option<Damage> {
        self.files().damage.clone()
    }

    fn files(&self) -> MutexGuard<'_, Files<F>> {
        // No code in here panics halfway; if some did nevertheless, `failed` still counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an operation unless an earlier one failed, and remembers failure.
    fn guarded<T>(&self, operation: impl FnOnce(&mut Files<F>) -> io::Result<T>) -> io::Result<T> {
        let mut files = self.files();
        if files.failed {
            return Err(io::Error::other("an earlier operation on this file failed"));
        }
        let result = operation(&mut files);
        if let Err(error) = &result {
            files.failed = true;
            let damage = error
                .get_ref()
                .and_then(|source| source.downcast_ref::<Damage>())
                .cloned();
            files.damage = damage.or(files.damage.take());
        }
        result
    }
}

impl<F: DiskFile> Files<F> {
    fn read(&mut self, offset: u64, target: &mut [u8]) -> io::Result<()> {
        self.check_range(offset, target.len())?;
        let mut offset = offset;
        let mut target = target;
        while !target.is_empty() {
            let number = offset / BLOCK_BYTES as u64;
            let within = usize::try_from(offset % BLOCK_BYTES as u64).map_err(io::Error::other)?;
            let run = self.run_without_pending(number, block_count((within + target.len()) as u64));
            let (piece, rest) = if run == 0 {
                let (piece, rest) = target.split_at_mut(target.len().min(BLOCK_BYTES - within));
                if let Some(source) = self
                    .pending
                    .get(&number)
                    .and_then(|block| block.get(within..within + piece.len()))
                {
                    piece.copy_from_slice(source);
                }
                (piece.len(), rest)
            } else {
                let bytes = usize::try_from(run)
                    .map_err(io::Error::other)?
                    .saturating_mul(BLOCK_BYTES)
                    - within;
                let (piece, rest) = target.split_at_mut(target.len().min(bytes));
                let (length, mut filled, mut skip) = (piece.len(), 0, within);
                self.data.read(number, run, |_, block| {
                    let source = block.get(skip..).unwrap_or_default();
                    let count = source.len().min(length - filled);
                    piece[filled..filled + count].copy_from_slice(&source[..count]);
                    filled += count;
                    skip = 0;
                })?;
                (length, rest)
            };
            offset += piece as u64;
            target = rest;
        }
        Ok(())
    }

    /// Returns how many of the `count` blocks from `first` on come before the next pending one.
    fn run_without_pending(&self, first: u64, count: u64) -> u64 {
        let next = self.pending.range(first..first.saturating_add(count)).next();
        next.map_or(count, |(&number, _)| number - first)
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_range(offset, bytes.len())?;
        self.changed = true;
        let mut offset = offset;
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let number = offset / BLOCK_BYTES as u64;
            let within = usize::try_from(offset % BLOCK_BYTES as u64).map_err(io::Error::other)?;
            let (piece, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - within));
            if let Some(block) = piece.first_chunk::<BLOCK_BYTES>() {
                self.pending.insert(number, Box::new(*block));
            } else {
                // redb writes its header, and nothing else, by less than a block.
                if !self.pending.contains_key(&number) {
                    let mut block = Box::new([0; BLOCK_BYTES]);
                    self.data.read(number, 1, |_, old| *block = *old)?;
                    self.pending.insert(number, block);
                }
                if let Some(target) = self
                    .pending
                    .get_mut(&number)
                    .and_then(|block| block.get_mut(within..within + piece.len()))
                {
                    target.copy_from_slice(piece);
                }
            }
            offset += piece.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        if !bytes.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the database's length is not a multiple of its page",
            ));
        }
        let (old, new) = (block_count(self.database_bytes), block_count(bytes));
        self.pending.split_off(&new);
        self.data.extend(bytes)?;
        for number in old..new.min(self.used_blocks) {
            self.pending.insert(number, Box::new([0; BLOCK_BYTES]));
        }
        self.used_blocks = self.used_blocks.max(new);
        self.changed |= bytes != self.database_bytes;
        self.database_bytes = bytes;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        if !self.journal.has_room(self.pending.len()) {
            self.checkpoint()?;
        }
        self.journal.append(
            self.database_bytes,
            self.pending.iter().map(|(&number, block)| (number, &**block)),
        )?;
        for (&number, block) in &self.pending {
            self.data.write(number, block)?;
        }
        self.pending.clear();
        self.changed = false;
        Ok(())
    }

    /// Makes every record of the journal durable in its place. Pending writes stay pending.
    fn checkpoint(&mut self) -> io::Result<()> {
        // The length of the last *synced* state: a pending change of it is a part of the next record.
        let synced = self
            .journal
            .last_database_bytes()
            .unwrap_or(self.data.header().database_bytes);
        if self.journal.last_sequence() > self.data.header().checkpoint {
            self.data.checkpoint(self.journal.last_sequence(), synced)?;
            self.data.extend(self.database_bytes)?;
        }
        self.journal.restart()
    }

    fn check_range(&self, offset: u64, length: usize) -> io::Result<()> {
        if offset
            .checked_add(length as u64)
            .is_none_or(|end| end > self.database_bytes)
        {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "beyond the end of the database",
            ));
        }
        Ok(())
    }
}

impl<F: DiskFile> redb::StorageBackend for CheckedBackend<F> {
    fn len(&self) -> io::Result<u64> {
        self.guarded(|files| Ok(files.database_bytes))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.guarded(|files| files.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.guarded(|files| files.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.guarded(Files::sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.guarded(|files| files.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        // After a failure the files stay as they are, for the next start to recover. Pending writes were never synced,
        // and are dropped.
        if self.files().failed {
            Ok(())
        } else {
            self.guarded(Files::checkpoint)
        }
    }
}
