//! The log as the protocol sees it: the term of every retained entry, the entries that are still in memory, and the
//! configurations that the log has set.
//!
//! ```text
//!        compacted         on the store only        in memory
//!   1 ────────── base │ first ─────────────── │ tail ──────────── last
//!                      └──────── runs of terms cover all of this ───┘
//! ```

use alloc::sync::Arc;

mod configurations;
mod levels;
mod sizes;
mod tail;
mod terms;
#[cfg(test)]
mod tests;

use crate::entries::Entries;
use crate::identity::ClusterId;
use crate::level::Level;
use crate::membership::Membership;
use crate::types::{Entry, EntryBody, Index, LogId, SnapshotMeta, Term};

use configurations::Configurations;
use levels::Levels;
use sizes::Sizes;
use tail::Tail;
use terms::TermRuns;

#[derive(Debug)]
pub(crate) struct Log {
    /// The entry before the first retained one. Its term is kept because the first append is checked against it as
    /// `prev`.
    base: Option<LogId>,
    /// The terms of the entries after the base.
    terms: TermRuns,
    sizes: Sizes,
    last: Option<LogId>,
    tail: Tail,
    configurations: Configurations,
    levels: Levels,
    snapshot: Option<SnapshotMeta>,
}

impl Log {
    /// Returns a log without entries that begins after `snapshot`, or at the first index if there is none; then the
    /// bootstrap configuration is in force.
    pub(crate) fn new(bootstrap: Membership, snapshot: Option<SnapshotMeta>) -> Self {
        let mut log = Self {
            base: None,
            terms: TermRuns::default(),
            sizes: Sizes::default(),
            last: None,
            tail: Tail::default(),
            configurations: Configurations::new((None, Arc::new(bootstrap))),
            levels: Levels::new(Level::ZERO),
            snapshot: None,
        };
        if let Some(meta) = snapshot {
            log.reset(meta);
        }
        log
    }

    /// Measures the log from here on, for limits of so many bytes and more.
    pub(crate) fn measure(&mut self, limit: u64) {
        self.sizes = Sizes::new(limit);
    }

    /// Returns a position after which the log costs no more than so many bytes; `None` if all of it costs no more.
    pub(crate) fn within(&self, limit: u64) -> Option<Index> {
        self.sizes.within(limit)
    }

    /// Discards all entries; the log then begins right after this snapshot (paper §7, Figure 13).
    pub(crate) fn reset(&mut self, meta: SnapshotMeta) {
        self.base = Some(meta.last);
        self.last = Some(meta.last);
        self.terms.clear();
        self.sizes.clear();
        self.tail = Tail::default();
        self.configurations = plant!(
            Configurations::new((meta.membership_id, Arc::clone(&meta.membership))),
            FORGETS_CONFIGURATION => self.configurations.first_only()
        );
        self.levels = Levels::new(meta.level);
        self.snapshot = Some(meta);
    }

    /// Moves the beginning of the log back to right after `base`, for a restored log that reaches back further than
    /// its snapshot. `configurations` keeps the snapshot's configuration, which came into force at the snapshot's end
    /// or before.
    pub(crate) fn rebase(&mut self, base: LogId) {
        debug_assert!(
            self.tail.front().is_none(),
            "the base moves back only while the log has no entries"
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

    /// Returns the term and index of the entry at this position, if it is the base or a retained entry.
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
        self.terms.term_at(at).map(|term| LogId::new(term, at))
    }

    /// Returns whether the log holds the entry of this term and index, or has it as its base. Every log holds `None`,
    /// the position before the first entry.
    pub(crate) fn holds(&self, id: Option<LogId>) -> bool {
        match id {
            None => true,
            Some(id) => self.log_id(id.index) == Some(id),
        }
    }

    /// Returns the last entry at or before `at` whose term is no later than `term`: the last one that this log can
    /// share with a log that has an entry of `term` at `at` (paper §5.3). `None` when that is before the base.
    pub(crate) fn last_not_after(&self, at: Index, term: Term) -> Option<LogId> {
        let at = at.min(self.last_index()?);
        let found = self.log_id(at)?;
        if found.term <= term {
            return Some(found);
        }
        // Terms never decrease along the log, so the entry sought stands right before the first one of a later term.
        let last = self.terms.first_later_than(term)?.previous()?;
        self.log_id(last).filter(|id| id.term <= term)
    }

    fn tail_first(&self) -> Index {
        match self.tail.front() {
            Some(entry) => entry.id.index,
            None => self.next_index(),
        }
    }

    /// Returns whether the entry at this position is in memory.
    pub(crate) fn in_tail(&self, at: Index) -> bool {
        at >= self.tail_first() && at < self.next_index()
    }

    pub(crate) fn entry(&self, at: Index) -> Option<&Entry> {
        self.tail.get(at)
    }

    /// Returns the entries from `first` to `last`: as many as fit in `max_bytes`, and at least one. The result is empty
    /// when `first` is not in memory.
    pub(crate) fn slice(&mut self, first: Index, last: Index, max_bytes: usize) -> Entries {
        match self.last_index() {
            Some(end) => self.tail.share(first, last.min(end), max_bytes),
            None => Entries::default(),
        }
    }

    /// Appends an entry, which must follow the last one without a gap.
    pub(crate) fn append(&mut self, entry: Entry) {
        self.note(&entry);
        self.tail.push(entry);
    }

    /// Appends entries that arrived together. The first must follow the last one in the log without a gap.
    pub(crate) fn extend(&mut self, entries: Entries) {
        for entry in &entries {
            self.note(entry);
        }
        self.tail.extend(entries);
    }

    fn note(&mut self, entry: &Entry) {
        debug_assert_eq!(
            entry.id.index,
            self.next_index(),
            "an entry must follow the last one without a gap"
        );
        self.terms.push(entry.id);
        self.sizes.push(entry.id.index, entry.cost_bytes());
        // A restored log may begin before its snapshot's end. The snapshot's configuration is newer than those that
        // such early entries repeat.
        if let EntryBody::Membership(membership) = &entry.body
            && Some(entry.id) > self.membership_id()
        {
            self.configurations.push(entry.id, Arc::clone(membership));
        }
        if let EntryBody::Level(level) = &entry.body {
            self.levels.push(entry.id, *level);
        }
        self.last = Some(entry.id);
    }

    /// Removes the entries at `from` and after it, and with them the configurations that they set: the server falls
    /// back to the previous configuration (paper §6).
    pub(crate) fn truncate(&mut self, from: Index) {
        let keep = from.previous();
        self.last = keep.and_then(|keep| self.log_id(keep));
        debug_assert!(
            self.last >= self.base,
            "a truncation must not reach to the base or before it"
        );
        self.terms.truncate(from);
        let before = self.tail.bytes();
        self.tail.truncate(from);
        // What is truncated is not committed, so all of it is in memory.
        self.sizes.truncate(from, before - self.tail.bytes());
        unless_planted!(KEEPS_CUT_OFF_CONFIGURATION, self.configurations.truncate(from));
        self.levels.truncate(from);
    }

    /// Removes the entries up to and including `to`, which a snapshot covers (paper §7).
    pub(crate) fn compact(&mut self, to: Index) {
        let Some(base) = self.log_id(to) else { return };
        self.terms.compact(to);
        if self.last == Some(base) {
            self.terms.clear();
        }
        self.sizes.compact(to);
        self.tail.remove_to(to);
        self.configurations.compact(to);
        self.levels.compact(to);
        self.base = Some(base);
    }

    /// Returns the cost of the entries in memory.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Drops entries from memory while they cost more than `max_bytes`, the oldest first. Entries that arrived together
    /// are dropped together, and only if all of them are at `up_to` or before it.
    pub(crate) fn evict(&mut self, up_to: Option<Index>, max_bytes: usize) {
        if let Some(up_to) = up_to {
            self.tail.evict(up_to, max_bytes);
        }
    }

    /// Records the latest snapshot that the host has.
    pub(crate) fn set_snapshot(&mut self, meta: SnapshotMeta) {
        self.snapshot = Some(meta);
    }

    /// Returns the description of a snapshot whose last entry is `last`.
    pub(crate) fn snapshot_meta(&self, last: LogId, cluster: ClusterId) -> SnapshotMeta {
        let (membership_id, membership) = plant!(
            self.membership_at(Some(last.index)),
            SNAPSHOTS_NEWEST_CONFIGURATION => (self.membership_id(), self.membership())
        );
        SnapshotMeta {
            last,
            membership: Arc::clone(membership),
            membership_id,
            withheld: false,
            cluster,
            level: plant!(self.level_at(Some(last.index)), SNAPSHOTS_FORGET_LEVEL => Level::ZERO),
        }
    }

    /// Returns the configuration in force: the last one in the log, committed or not (paper §6).
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        &self.configurations.newest().1
    }

    pub(crate) fn membership_id(&self) -> Option<LogId> {
        self.configurations.newest().0
    }

    /// Returns the configuration that is in force at this entry, and the entry that set it.
    pub(crate) fn membership_at(&self, at: Option<Index>) -> (Option<LogId>, &Arc<Membership>) {
        let (id, membership) = self.configurations.at(at);
        (*id, membership)
    }

    /// Returns the configurations of the retained log, the oldest first.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.configurations.iter().map(|(_, membership)| &**membership)
    }

    /// Returns the entries after this position that set configurations.
    pub(crate) fn memberships_after(&self, at: Option<Index>) -> impl Iterator<Item = LogId> {
        let ids = self.configurations.iter().filter_map(|(id, _)| *id);
        ids.filter(move |id| Some(id.index) > at)
    }

    /// Returns the level at this entry, or the oldest one known if the entry is before that.
    pub(crate) fn level_at(&self, at: Option<Index>) -> Level {
        self.levels.at(at)
    }

    /// Returns the last level in the log, and the entry that set it, committed or not.
    pub(crate) fn newest_level(&self) -> (Option<LogId>, Level) {
        self.levels.newest()
    }

    /// Returns the first entry of the log that sets a higher level than this one, and that level.
    pub(crate) fn first_above(&self, level: Level) -> Option<(Index, Level)> {
        self.levels.first_above(level)
    }

    /// Checks what must always hold within a log. Takes time linear in the number of terms.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.last < self.base {
            return Err("the last entry is older than the base");
        }
        if self.terms.is_empty() && self.last != self.base {
            return Err("retained entries belong to no run of a term");
        }
        if !self.terms.are_ordered() {
            return Err("the runs of terms are out of order");
        }
        if self.tail.len() > 0 && self.tail.back().map(|entry| entry.id) != self.last {
            return Err("the last entry in memory is not the last entry of the log");
        }
        let span = Index::count(self.last_index()) + 1 - self.tail_first().value();
        if u64::try_from(self.tail.len()) != Ok(span) {
            return Err("the entries in memory have a gap");
        }
        Ok(())
    }
}
