//! The log as the protocol sees it: which term every retained entry has, the entries that are still in memory, and
//! the configurations that the log has set.
//!
//! ```text
//!        compacted         on the store only        in memory
//!   1 ────────── base │ first ─────────────── │ tail ──────────── last
//!                      └──────── runs of terms cover all of this ───┘
//! ```

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::membership::Membership;
use crate::types::{Entry, EntryBody, Index, LogId, SnapshotMeta, Term};

#[derive(Debug)]
pub(crate) struct Log {
    /// The entry before the first retained one. Its term is known, as the check for `prev` needs it.
    base: Option<LogId>,
    /// Where each term's run of retained entries begins, in order.
    runs: VecDeque<LogId>,
    last: Option<LogId>,
    tail: VecDeque<Entry>,
    tail_bytes: usize,
    /// Configurations by the entry that set them, in order; the first is in force at `base`, the last in force now.
    memberships: VecDeque<(Option<LogId>, Arc<Membership>)>,
    snapshot: Option<SnapshotMeta>,
}

impl Log {
    /// An empty log behind `snapshot`, or behind nothing, where the bootstrap configuration is in force.
    pub(crate) fn new(bootstrap: Membership, snapshot: Option<SnapshotMeta>) -> Self {
        let mut log = Self {
            base: None,
            runs: VecDeque::new(),
            last: None,
            tail: VecDeque::new(),
            tail_bytes: 0,
            memberships: VecDeque::from([(None, Arc::new(bootstrap))]),
            snapshot: None,
        };
        if let Some(meta) = snapshot {
            log.reset(meta);
        }
        log
    }

    /// Forgets everything and stands right behind this snapshot.
    pub(crate) fn reset(&mut self, meta: SnapshotMeta) {
        self.base = Some(meta.last);
        self.last = Some(meta.last);
        self.runs.clear();
        self.tail.clear();
        self.tail_bytes = 0;
        self.memberships = VecDeque::from([(meta.membership_id, Arc::new(meta.membership.clone()))]);
        self.snapshot = Some(meta);
    }

    /// Begins behind `base` instead, for a restored log that reaches back further than its snapshot. `memberships`
    /// keeps the snapshot's configuration, which is in force no later than at the snapshot.
    pub(crate) fn rebase(&mut self, base: LogId) {
        debug_assert!(
            self.tail.is_empty(),
            "only a log without entries moves its base back"
        );
        self.base = Some(base);
        self.last = Some(base);
    }

    pub(crate) fn base(&self) -> Option<LogId> {
        self.base
    }

    pub(crate) fn first_index(&self) -> Index {
        Index::after(self.base.map(|base| base.index))
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.last
    }

    pub(crate) fn last_index(&self) -> Option<Index> {
        self.last.map(|last| last.index)
    }

    pub(crate) fn next_index(&self) -> Index {
        Index::after(self.last_index())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    pub(crate) fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// The entry's name, from the base to the last entry.
    pub(crate) fn log_id(&self, at: Index) -> Option<LogId> {
        let last = self.last?;
        if at >= last.index {
            return (at == last.index).then_some(last);
        }
        match self.base {
            Some(base) if at < base.index => return None,
            Some(base) if at == base.index => return Some(base),
            _ => {}
        }
        let run = self.runs.partition_point(|run| run.index <= at).checked_sub(1)?;
        self.runs.get(run).map(|run| LogId::new(run.term, at))
    }

    /// Whether the log holds this very entry, or has it as its base. Every log holds "none".
    pub(crate) fn holds(&self, id: Option<LogId>) -> bool {
        match id {
            None => true,
            Some(id) => self.log_id(id.index) == Some(id),
        }
    }

    /// The last entry at or before `at` whose term is no later than `term`: where two logs can part at the latest.
    /// `None` when that is before everything retained.
    pub(crate) fn last_not_after(&self, at: Index, term: Term) -> Option<LogId> {
        let at = at.min(self.last_index()?);
        let found = self.log_id(at)?;
        if found.term <= term {
            return Some(found);
        }
        // Terms grow along the log, so the run after the last run of a fitting term begins right behind the answer.
        let too_late = self.runs.partition_point(|run| run.term <= term);
        let behind = self.runs.get(too_late)?.index.previous()?;
        self.log_id(behind.min(at)).filter(|id| id.term <= term)
    }

    fn tail_first(&self) -> Index {
        match self.tail.front() {
            Some(entry) => entry.id.index,
            None => self.next_index(),
        }
    }

    /// Whether this entry is in memory.
    pub(crate) fn in_tail(&self, at: Index) -> bool {
        at >= self.tail_first() && at < self.next_index()
    }

    pub(crate) fn entry(&self, at: Index) -> Option<&Entry> {
        let offset = at.value().checked_sub(self.tail_first().value())?;
        self.tail.get(usize::try_from(offset).ok()?)
    }

    /// Entries from `first` to `last`, as many as fit in `max_bytes` and at least one; empty when `first` is not in memory.
    pub(crate) fn slice(&self, first: Index, last: Index, max_bytes: usize) -> Vec<Entry> {
        let Some(offset) = first.value().checked_sub(self.tail_first().value()) else {
            return Vec::new();
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.tail.len());
        let mut bytes = 0_usize;
        let fitting = self
            .tail
            .range(offset..)
            .take_while(|entry| {
                let is_first = bytes == 0;
                bytes = bytes.saturating_add(entry.cost_bytes());
                entry.id.index <= last && (is_first || bytes <= max_bytes)
            })
            .count();
        self.tail.range(offset..offset + fitting).cloned().collect()
    }

    /// Appends an entry, which must come right after the last one.
    pub(crate) fn append(&mut self, entry: Entry) {
        debug_assert_eq!(
            entry.id.index,
            self.next_index(),
            "an entry must follow the last one without a gap"
        );
        let new_run = match self.last {
            None => true,
            Some(last) => self.runs.is_empty() || last.term != entry.id.term,
        };
        if new_run {
            self.runs.push_back(entry.id);
        }
        // A restored log may reach back behind its snapshot, whose configuration is newer than those it repeats.
        if let EntryBody::Membership(membership) = &entry.body
            && Some(entry.id) > self.membership_id()
        {
            self.memberships
                .push_back((Some(entry.id), Arc::clone(membership)));
        }
        self.last = Some(entry.id);
        self.tail_bytes = self.tail_bytes.saturating_add(entry.cost_bytes());
        self.tail.push_back(entry);
    }

    /// Removes the entries at `from` and beyond, and with them the configurations that they set (paper §6: a
    /// server falls back to the previous configuration).
    pub(crate) fn truncate(&mut self, from: Index) {
        let keep = from.previous();
        self.last = keep.and_then(|keep| self.log_id(keep));
        debug_assert!(
            self.last >= self.base,
            "the part of the log behind the base cannot be truncated"
        );
        while self.runs.back().is_some_and(|run| run.index >= from) {
            self.runs.pop_back();
        }
        while let Some(entry) = self.tail.pop_back_if(|entry| entry.id.index >= from) {
            self.tail_bytes = self.tail_bytes.saturating_sub(entry.cost_bytes());
        }
        while self.memberships.len() > 1
            && self
                .memberships
                .back()
                .is_some_and(|(id, _)| id.is_some_and(|id| id.index >= from))
        {
            self.memberships.pop_back();
        }
    }

    /// Forgets the entries up to and including `to`, which a snapshot covers.
    pub(crate) fn compact(&mut self, to: Index) {
        let Some(base) = self.log_id(to) else { return };
        while self.runs.len() > 1 && self.runs.get(1).is_some_and(|next| next.index <= to.next()) {
            self.runs.pop_front();
        }
        if self.last == Some(base) {
            self.runs.clear();
        }
        while let Some(entry) = self.tail.pop_front_if(|entry| entry.id.index <= to) {
            self.tail_bytes = self.tail_bytes.saturating_sub(entry.cost_bytes());
        }
        while self
            .memberships
            .get(1)
            .is_some_and(|(id, _)| id.is_some_and(|id| id.index <= to))
        {
            self.memberships.pop_front();
        }
        self.base = Some(base);
    }

    /// Frees memory beyond `max_bytes`, from the oldest entry on, and none after `up_to`.
    pub(crate) fn evict(&mut self, up_to: Option<Index>, max_bytes: usize) {
        while self.tail_bytes > max_bytes {
            let Some(entry) = self.tail.pop_front_if(|entry| Some(entry.id.index) <= up_to) else {
                return;
            };
            self.tail_bytes = self.tail_bytes.saturating_sub(entry.cost_bytes());
        }
    }

    /// Notes that the host has this snapshot now.
    pub(crate) fn set_snapshot(&mut self, meta: SnapshotMeta) {
        self.snapshot = Some(meta);
    }

    /// What a snapshot at this entry would stand for.
    pub(crate) fn snapshot_meta(&self, last: LogId) -> SnapshotMeta {
        let (membership_id, membership) = self.membership_at(Some(last.index));
        SnapshotMeta {
            last,
            membership: Membership::clone(membership),
            membership_id,
        }
    }

    /// The configuration in force now: the last one in the log, committed or not (paper §6).
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        &self.newest().1
    }

    pub(crate) fn membership_id(&self) -> Option<LogId> {
        self.newest().0
    }

    fn newest(&self) -> &(Option<LogId>, Arc<Membership>) {
        self.memberships
            .back()
            .expect("a log always has the configuration that it began with")
    }

    /// The configuration that was in force at this entry.
    pub(crate) fn membership_at(&self, at: Option<Index>) -> (Option<LogId>, &Arc<Membership>) {
        let found = self
            .memberships
            .iter()
            .rev()
            .find(|(id, _)| id.map(|id| id.index) <= at);
        let (id, membership) = found
            .or(self.memberships.front())
            .unwrap_or_else(|| self.newest());
        (*id, membership)
    }

    /// What must always hold within a log; linear in the number of terms.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.last < self.base {
            return Err("the last entry is older than the base");
        }
        if self.runs.is_empty() && self.last != self.base {
            return Err("retained entries have no run of their term");
        }
        let ordered = self.runs.iter().zip(self.runs.iter().skip(1));
        if !ordered
            .into_iter()
            .all(|(run, next)| run.term < next.term && run.index < next.index)
        {
            return Err("the runs of terms are out of order");
        }
        if self.tail.back().is_some_and(|entry| Some(entry.id) != self.last) {
            return Err("the last entry in memory is not the last entry");
        }
        let span = Index::count(self.last_index()) + 1 - self.tail_first().value();
        if u64::try_from(self.tail.len()) != Ok(span) {
            return Err("the entries in memory have a gap");
        }
        Ok(())
    }
}
