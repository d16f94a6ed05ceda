//! Compaction (paper §7): the host has taken a snapshot of the state machine, and the log up to it may go.

use crate::trace::Trace;
use crate::types::{Index, LogId, SnapshotMeta};

use super::Raft;
use super::server::Server;

impl Raft {
    /// Whether a snapshot of the state as of this entry would be named if the host had one.
    pub(crate) fn may_name_snapshot(&self, last: LogId) -> bool {
        !self.server.failed && self.server.describe_snapshot(last).is_some()
    }
}

impl Server {
    /// The description of the host's snapshot up to this entry; `None` if it is of no use.
    fn describe_snapshot(&self, last: LogId) -> Option<SnapshotMeta> {
        let covered = self.log.snapshot().map(|meta| meta.last.index);
        // A snapshot of entries that were not applied, or an older one than the latest, is a mistake of the host's that
        // costs nothing to overlook.
        if Some(last.index) > self.applied || Some(last.index) <= covered || !self.log.holds(Some(last)) {
            return None;
        }
        let meta = SnapshotMeta {
            withheld: self.is_witness(),
            ..self.log.snapshot_meta(last, self.cluster())
        };
        // A server that was added knows no configuration before it has the entry that set it. A snapshot without one
        // would tell its receivers of none.
        (!meta.membership.is_empty()).then_some(meta)
    }

    /// Notes the snapshot and compacts the log. `needed` is the first entry that a peer needs which is being fed.
    pub(super) fn on_snapshot_taken(&mut self, last: LogId, needed: Option<Index>) {
        let Some(meta) = self.describe_snapshot(last) else {
            return;
        };
        self.out.snapshot_to_persist(meta.clone());
        self.log.set_snapshot(meta);
        self.trace(Trace::SnapshotTaken { last });
        let keep = self.config.snapshots.keep_entries;
        let to = last.index.value().checked_sub(keep).and_then(Index::new);
        let needed = plant!(needed, COMPACTS_WHAT_PEERS_NEED => None);
        let to = match needed {
            Some(needed) => self.kept_for(needed, to),
            None => to,
        };
        let to = plant!(to, COMPACTS_TOO_FAR => self.one_entry_further(to));
        if let Some(to) = to.filter(|&to| to >= self.log.first_index()) {
            self.log.compact(to);
            self.out.log_compacted(to);
            self.trace(Trace::Compacted { to });
        }
    }

    /// Where the log is compacted to although that may be before `to`, so that a peer finds what it needs next. If it
    /// did not, a slow peer would be sent one snapshot after another: each leaves it where the next one began. How much
    /// is kept for peers is bounded; one that needs more is too slow for this log.
    fn kept_for(&self, needed: Index, to: Option<Index>) -> Option<Index> {
        let limit = self.log.within(self.config.snapshots.keep_bytes);
        needed.previous().max(limit).min(to)
    }

    /// Where a planted bug compacts to.
    fn one_entry_further(&self, to: Option<Index>) -> Option<Index> {
        to.map(Index::next)
            .filter(|&to| Some(to) <= self.log.last_index())
    }
}
