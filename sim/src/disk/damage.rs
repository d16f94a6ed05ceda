//! Faults that Raft assumes disks never have: they forget what was synced, lie about a sync, are replaced, or rot.
//!
//! Checksums find rot when a record is read, as in the shipping store (`node/src/store`). The store tells a record that
//! a crash tore from one that was synced and has rotted, and refuses to start from the second wherever it is. So does
//! this disk: the crash drops a torn write, and only a synced record rots.

use std::fmt;

use raft_core::{Durable, Index, Persist};

use super::{Aftermath, Disk, Image};
use crate::random::Draws;
use crate::schedule::{Record, Survival};

/// A record that has rotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rot {
    /// Term and vote.
    HardState,
    /// The snapshot.
    Snapshot,
    /// An entry of the log.
    Entry(Index),
}

impl fmt::Display for Rot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HardState => f.write_str("term and vote"),
            Self::Snapshot => f.write_str("the snapshot"),
            Self::Entry(at) => write!(f, "entry {at}"),
        }
    }
}

/// Why a server cannot be started from a disk. The disk is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk is damaged: the checksum of {0} does not match")]
pub(crate) struct Rotten(pub(crate) Rot);

impl Image {
    /// Returns what a server is started from: everything, or an error. A log that ended at an unreadable record would
    /// forget what was promised about the records after it.
    pub(crate) fn recover(&self) -> Result<Durable, Rotten> {
        match self.rot {
            None => Ok(self.to_durable()),
            Some(rot) => Err(Rotten(rot)),
        }
    }

    /// The record that has rotted, if any has.
    pub(crate) fn rot(&self) -> Option<Rot> {
        self.rot
    }

    /// Whether the log is empty, and no snapshot stands in its place.
    pub(crate) fn has_no_log(&self) -> bool {
        self.entries.is_empty() && self.snapshot.is_none()
    }

    /// Clears the rot of a record that this write replaces, truncates or compacts away.
    pub(super) fn forget_replaced_rot(&mut self, persist: &Persist) {
        let is_gone = match self.rot {
            None => false,
            Some(Rot::HardState) => persist.hard_state.is_some(),
            Some(Rot::Snapshot) => persist.snapshot.is_some(),
            Some(Rot::Entry(at)) => {
                persist.truncate_from.is_some_and(|from| from <= at) || self.entry(at).is_none()
            }
        };
        if is_gone {
            self.rot = None;
        }
    }

    /// Finds a record of this kind, by draw where there are several; `None` if there is none.
    fn find(&self, record: Record, draws: &mut Draws) -> Option<Rot> {
        let entry = |from_last: u64| {
            let place = (self.entries.len() as u64).checked_sub(1 + from_last)?;
            let entry = self.entries.get(usize::try_from(place).ok()?)?;
            Some(Rot::Entry(entry.id.index))
        };
        match record {
            Record::Entry => entry(draws.below(self.entries.len() as u64)),
            Record::LastEntry => entry(0),
            Record::HardState => {
                (self.hard_state != raft_core::HardState::default()).then_some(Rot::HardState)
            }
            Record::Snapshot => self.snapshot.as_ref().map(|_| Rot::Snapshot),
            Record::Random => {
                let kinds = [
                    Record::Entry,
                    Record::LastEntry,
                    Record::HardState,
                    Record::Snapshot,
                ];
                let there: Vec<Rot> = kinds
                    .into_iter()
                    .filter_map(|kind| self.find(kind, draws))
                    .collect();
                draws.pick(&there)
            }
        }
    }
}

impl Disk {
    /// Lets a record that was synced rot. Returns which, if there is one of this kind.
    pub(crate) fn corrupt(&mut self, record: Record, draws: &mut Draws) -> Option<Rot> {
        let rot = self.durable.find(record, draws)?;
        self.durable.rot = Some(rot);
        if let Some(truth) = &mut self.truth {
            truth.rot = Some(rot);
        }
        // A record that has been replaced since, and not yet synced, is read from the newer write.
        self.written.rot = Some(rot);
        for write in &self.pending {
            self.written.forget_replaced_rot(&write.persist);
        }
        Some(rot)
    }

    /// Whether one of these entries has rotted, as a reader finds.
    pub(crate) fn has_rotten_entry(&self, first: Index, last: Index) -> bool {
        matches!(self.written.rot, Some(Rot::Entry(at)) if first <= at && at <= last)
    }

    /// Makes the disk report syncs that it does not make, from now on.
    pub(crate) fn begin_to_lie(&mut self) {
        if self.truth.is_none() {
            self.truth = Some(Box::new(self.durable.clone()));
        }
    }

    /// Whether the disk lies.
    pub(crate) const fn is_lying(&self) -> bool {
        self.truth.is_some()
    }

    /// Makes the syncs that were lied about.
    pub(crate) fn make_lied_syncs(&mut self) {
        self.truth = None;
    }

    /// Returns what a crash of the lying disk would leave, if that is less than it has reported.
    pub(crate) fn lied_about(&self) -> Option<&Image> {
        self.truth.as_deref().filter(|truth| **truth != self.durable)
    }

    /// After a crash: loses what was lied about. The disk goes on lying.
    pub(crate) fn expose_lie(&mut self) {
        if let Some(truth) = &self.truth {
            self.durable.clone_from(truth);
            self.written.clone_from(truth);
        }
    }

    /// Crashes the process after a failed sync. The unsynced pages are still in memory and count as clean, so the next
    /// start reads them, and the next crash loses them.
    pub(crate) fn crash_with_phantoms(&mut self) -> Aftermath {
        self.begin_to_lie();
        let written = std::mem::take(&mut self.written);
        let aftermath = self.crash(Survival::None);
        self.durable.clone_from(&written);
        self.written = written;
        aftermath
    }

    /// After a crash: replaces the disk by another one with these contents.
    pub(crate) fn replace(&mut self, image: Image) {
        self.truth = None;
        self.written.clone_from(&image);
        self.durable = image;
    }
}
