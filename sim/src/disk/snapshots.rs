//! The bytes of snapshots: written beside the writes of the log, and named by one of those afterwards.
//!
//! ```text
//!   WriteSnapshot ──▶ writing ── takes its time ──▶ unnamed ── a Persist names it ──▶ `Image::snapshot`
//!                        │                             │
//!                        └── may fail ──▶ nothing      └── a crash leaves an orphan, which the next start removes
//! ```

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{LogId, Payload, SnapshotMeta};

use super::Disk;
use crate::nanos::Nanos;
use crate::random::{Domain, bucket};
use crate::schedule::DiskWeather;

/// The draws for snapshots are numbered apart from those for syncs.
const NUMBERS: u64 = 1 << 40;

/// The files of snapshots that no write has named.
#[derive(Default)]
pub(super) struct Files {
    writing: BTreeSet<LogId>,
    unnamed: BTreeMap<LogId, Payload>,
    ordinal: u64,
}

/// How the write of a snapshot ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) at: Nanos,
    pub(crate) fails: bool,
}

impl Disk {
    /// Begins to write a snapshot's bytes. Nothing else waits for that.
    pub(crate) fn write_snapshot(&mut self, now: Nanos, weather: &DiskWeather, last: LogId) -> Written {
        self.files.ordinal += 1;
        self.files.writing.insert(last);
        let number = NUMBERS + self.files.ordinal;
        let draw = self.seed.quick(Domain::Disk, self.server, bucket(now), number);
        let takes = Nanos::new(draw.below(weather.snapshot.value() + 1)) + self.extra;
        Written {
            at: now + takes,
            fails: draw.part(1).chance(weather.snapshot_fails_permyriad),
        }
    }

    /// The bytes of a snapshot are durable.
    pub(crate) fn snapshot_written(&mut self, last: LogId, bytes: Payload) {
        self.files.writing.remove(&last);
        self.files.unnamed.insert(last, bytes);
    }

    /// The write of a snapshot failed half-way, and its file is gone.
    pub(crate) fn snapshot_not_written(&mut self, last: LogId) {
        self.files.writing.remove(&last);
    }

    /// Removes the bytes of a snapshot that no write will name. Returns whether there were any.
    pub(crate) fn discard_snapshot(&mut self, last: LogId) -> bool {
        self.files.unnamed.remove(&last).is_some()
    }

    /// The bytes of a snapshot that a write names, if they are durable. A witness's has none.
    pub(crate) fn named(&self, meta: &SnapshotMeta) -> Option<Payload> {
        match meta.withheld {
            true => Some(Payload::from(&b""[..])),
            false => self.files.unnamed.get(&meta.last).cloned(),
        }
    }

    /// A write names this snapshot: its file and the older ones need no longer be known here.
    pub(crate) fn name(&mut self, last: LogId) {
        self.files.unnamed.retain(|unnamed, _| *unnamed > last);
    }

    /// How many snapshots are being written, and how many are written and not named.
    pub(crate) fn snapshot_files(&self) -> (usize, usize) {
        (self.files.writing.len(), self.files.unnamed.len())
    }

    /// Removes what a crash has left unnamed, as every start does. Returns how many snapshots that were.
    pub(crate) fn remove_orphans(&mut self) -> usize {
        let (writing, unnamed) = self.snapshot_files();
        self.files.writing.clear();
        self.files.unnamed.clear();
        writing + unnamed
    }
}
