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

mod configurations;
mod tail;

use crate::entries::Entries;
use crate::membership::Membership;
use crate::types::{Entry, EntryBody, Index, LogId, SnapshotMeta, Term};

use configurations::Configurations;
use tail::Tail;

#[derive(Debug)]
pub(crate) struct Log {
    /// The entry before the first retained one. Its term is known, as the check for `prev` needs it.
    base: Option<LogId>,
    /// Where each term's run of retained entries begins, in order.
    runs: VecDeque<LogId>,
    last: Option<LogId>,
    tail: Tail,
    configurations: Configurations,
    snapshot: Option<SnapshotMeta>,
}

impl Log {
    /// An empty log behind `snapshot`, or behind nothing, where the bootstrap configuration is in force.
    pub(crate) fn new(bootstrap: Membership, snapshot: Option<SnapshotMeta>) -> Self {
        let mut log = Self {
            base: None,
            runs: VecDeque::new(),
            last: None,
            tail: Tail::default(),
            configurations: Configurations::new((None, Arc::new(bootstrap))),
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
        self.tail = Tail::default();
        self.configurations = plant!(
            Configurations::new((meta.membership_id, Arc::clone(&meta.membership))),
            FORGETS_CONFIGURATION => self.configurations.first_only()
        );
        self.snapshot = Some(meta);
    }

    /// Begins behind `base` instead, for a restored log that reaches back further than its snapshot. `configurations`
    /// keeps the snapshot's configuration, which is in force no later than at the snapshot.
    pub(crate) fn rebase(&mut self, base: LogId) {
        debug_assert!(
            self.tail.front().is_none(),
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
        self.log_id(behind).filter(|id| id.term <= term)
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
        self.tail.get(at)
    }

    /// Entries from `first` to `last`, as many as fit in `max_bytes` and at least one; empty when `first` is not in
    /// memory.
    pub(crate) fn slice(&mut self, first: Index, last: Index, max_bytes: usize) -> Entries {
        match self.last_index() {
            Some(end) => self.tail.share(first, last.min(end), max_bytes),
            None => Entries::default(),
        }
    }

    /// Appends an entry, which must come right after the last one.
    pub(crate) fn append(&mut self, entry: Entry) {
        self.note(&entry);
        self.tail.push(entry);
    }

    /// Appends entries that came together, the first right after the last one.
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
            self.configurations.push(entry.id, Arc::clone(membership));
        }
        self.last = Some(entry.id);
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
        self.tail.truncate(from);
        unless_planted!(KEEPS_CUT_OFF_CONFIGURATION, self.configurations.truncate(from));
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
        self.tail.remove_to(to);
        self.configurations.compact(to);
        self.base = Some(base);
    }

    /// What the entries in memory cost.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// Forgets entries while they cost more than `max_bytes`, from the oldest on and those that came together at once;
    /// none that came with one after `up_to`.
    pub(crate) fn evict(&mut self, up_to: Option<Index>, max_bytes: usize) {
        if let Some(up_to) = up_to {
            self.tail.evict(up_to, max_bytes);
        }
    }

    /// Notes that the host has this snapshot now.
    pub(crate) fn set_snapshot(&mut self, meta: SnapshotMeta) {
        self.snapshot = Some(meta);
    }

    /// What a snapshot at this entry would stand for.
    pub(crate) fn snapshot_meta(&self, last: LogId) -> SnapshotMeta {
        let (membership_id, membership) = plant!(
            self.membership_at(Some(last.index)),
            SNAPSHOTS_NEWEST_CONFIGURATION => (self.membership_id(), self.membership())
        );
        SnapshotMeta {
            last,
            membership: Arc::clone(membership),
            membership_id,
            withheld: false,
        }
    }

    /// The configuration in force now: the last one in the log, committed or not (paper §6).
    pub(crate) fn membership(&self) -> &Arc<Membership> {
        &self.configurations.newest().1
    }

    pub(crate) fn membership_id(&self) -> Option<LogId> {
        self.configurations.newest().0
    }

    /// The configuration that was in force at this entry.
    pub(crate) fn membership_at(&self, at: Option<Index>) -> (Option<LogId>, &Arc<Membership>) {
        let (id, membership) = self.configurations.at(at);
        (*id, membership)
    }

    /// The configurations that the log remembers, the oldest first.
    pub(crate) fn memberships(&self) -> impl Iterator<Item = &Membership> {
        self.configurations.iter().map(|(_, membership)| &**membership)
    }

    /// The entries behind this position that set configurations.
    pub(crate) fn memberships_behind(&self, at: Option<Index>) -> impl Iterator<Item = LogId> {
        let ids = self.configurations.iter().filter_map(|(id, _)| *id);
        ids.filter(move |id| Some(id.index) > at)
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
        if self.tail.len() > 0 && self.tail.back().map(|entry| entry.id) != self.last {
            return Err("the last entry in memory is not the last entry");
        }
        let span = Index::count(self.last_index()) + 1 - self.tail_first().value();
        if u64::try_from(self.tail.len()) != Ok(span) {
            return Err("the entries in memory have a gap");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::types::{NodeId, Payload};

    /// The obvious slow log: all entries that there are, and how far they are compacted and evicted.
    #[derive(Debug, Default)]
    struct Slow {
        /// From the first entry of all on, compacted or not.
        entries: Vec<Entry>,
        base: usize,
        evicted: usize,
        /// Where the configuration of the base came from.
        bootstrap: Membership,
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append {
            new_term: bool,
            bytes: usize,
            configuration: Option<u64>,
        },
        /// Entries that come together.
        Extend {
            count: usize,
            bytes: usize,
        },
        Truncate(usize),
        Compact(usize),
        Evict {
            up_to: usize,
            max_bytes: usize,
        },
        Reset {
            gap: u64,
        },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            8 => (prop::bool::weighted(0.3), 0_usize..50, prop::option::weighted(0.2, 1_u64..6))
                .prop_map(|(new_term, bytes, configuration)| Step::Append { new_term, bytes, configuration }),
            4 => (1_usize..12, 0_usize..50).prop_map(|(count, bytes)| Step::Extend { count, bytes }),
            2 => (0_usize..40).prop_map(Step::Truncate),
            2 => (0_usize..40).prop_map(Step::Compact),
            2 => (0_usize..40, 0_usize..300).prop_map(|(up_to, max_bytes)| Step::Evict { up_to, max_bytes }),
            1 => (1_u64..4).prop_map(|gap| Step::Reset { gap }),
        ];
        prop::collection::vec(step, 0..60)
    }

    fn index(value: usize) -> Index {
        Index::new(value as u64).expect("positions begin at 1")
    }

    fn voters(count: u64) -> Membership {
        Membership::of_voters((1..=count).map(NodeId::new))
    }

    impl Slow {
        fn last(&self) -> Option<LogId> {
            self.entries.last().map(|entry| entry.id)
        }

        fn log_id(&self, at: usize) -> Option<LogId> {
            let entry = self.entries.get(at.checked_sub(1)?)?;
            (at >= self.base).then_some(entry.id)
        }

        fn last_not_after(&self, at: usize, term: Term) -> Option<LogId> {
            let known = (self.base.max(1)..=at.min(self.entries.len())).rev();
            known.filter_map(|at| self.log_id(at)).find(|id| id.term <= term)
        }

        fn membership_at(&self, at: usize) -> (Option<LogId>, Membership) {
            let configurations = self.entries[..at.min(self.entries.len())].iter().rev();
            let mut found = configurations.filter_map(|entry| match &entry.body {
                EntryBody::Membership(membership) => Some((Some(entry.id), Membership::clone(membership))),
                _ => None,
            });
            found.next().unwrap_or((None, self.bootstrap.clone()))
        }

        fn in_memory(&self) -> &[Entry] {
            &self.entries[self.base.max(self.evicted)..]
        }

        fn slice(&self, first: usize, last: usize, max_bytes: usize) -> Vec<Entry> {
            let mut taken = Vec::new();
            if first <= self.base.max(self.evicted) {
                return taken;
            }
            let mut bytes = 0;
            for entry in self.entries.iter().take(last).skip(first - 1) {
                bytes += entry.cost_bytes();
                if !taken.is_empty() && bytes > max_bytes {
                    break;
                }
                taken.push(entry.clone());
            }
            taken
        }
    }

    fn carry_out(log: &mut Log, slow: &mut Slow, step: Step) {
        let length = slow.entries.len();
        match step {
            Step::Append {
                new_term,
                bytes,
                configuration,
            } => {
                let term = slow.last().map_or(1, |last| last.term.value()) + u64::from(new_term);
                let body = match configuration {
                    Some(count) => EntryBody::Membership(Arc::new(voters(count))),
                    None => EntryBody::Command(Payload::from(vec![0; bytes])),
                };
                let entry = Entry {
                    id: LogId::new(Term::new(term), index(length + 1)),
                    body,
                };
                slow.entries.push(entry.clone());
                log.append(entry);
            }
            Step::Extend { count, bytes } => {
                let term = slow.last().map_or(Term::new(1), |last| last.term);
                let entry = |at| Entry {
                    id: LogId::new(term, index(at)),
                    body: EntryBody::Command(Payload::from(vec![0; bytes])),
                };
                let entries: Vec<Entry> = (length + 1..=length + count).map(entry).collect();
                slow.entries.extend(entries.iter().cloned());
                log.extend(entries.into());
            }
            Step::Truncate(keep) => {
                // What is compacted or evicted was applied, and is never truncated.
                let keep = keep.clamp(slow.base.max(slow.evicted), length.max(slow.base));
                slow.entries.truncate(keep);
                log.truncate(index(keep + 1));
            }
            Step::Compact(to) => {
                let to = to.min(length);
                if to > slow.base {
                    slow.base = to;
                    log.compact(index(to));
                }
            }
            Step::Evict { up_to, max_bytes } => {
                let up_to = up_to.min(length);
                let cost = |slow: &Slow| slow.in_memory().iter().map(Entry::cost_bytes).sum::<usize>();
                let (before, too_much) = (slow.base.max(slow.evicted), cost(slow) > max_bytes);
                log.evict(Index::new(up_to as u64), max_bytes);
                // Which ones came together is the tail's to know.
                slow.evicted = log.tail_first().value() as usize - 1;
                let range = before..=if too_much { before.max(up_to) } else { before };
                assert!(range.contains(&slow.evicted), "{} of {range:?}", slow.evicted);
                assert!(up_to < length || cost(slow) <= max_bytes, "all of it may go");
            }
            Step::Reset { gap } => {
                let (membership_id, membership) = slow.membership_at(length);
                let term = slow.last().map_or(1, |last| last.term.value());
                for _ in 0..gap {
                    let id = LogId::new(Term::new(term), index(slow.entries.len() + 1));
                    slow.entries.push(Entry {
                        id,
                        body: EntryBody::Noop,
                    });
                }
                slow.base = slow.entries.len();
                let last = slow.last().expect("a snapshot covers something");
                log.reset(SnapshotMeta {
                    last,
                    membership: Arc::new(membership),
                    membership_id,
                    withheld: false,
                });
            }
        }
    }

    fn compare(log: &mut Log, slow: &Slow) {
        let length = slow.entries.len();
        assert_eq!(log.check(), Ok(()));
        assert_eq!(log.last(), slow.last());
        assert_eq!(log.is_empty(), slow.entries.is_empty());
        assert_eq!(log.first_index(), index(slow.base + 1));
        assert_eq!(log.next_index(), index(length + 1));
        let (membership_id, membership) = slow.membership_at(length);
        assert_eq!(
            (log.membership_id(), &**log.membership()),
            (membership_id, &membership)
        );
        for at in 1..length + 3 {
            assert_eq!(log.log_id(index(at)), slow.log_id(at), "log_id({at})");
            let in_memory = slow.in_memory().iter().find(|entry| entry.id.index == index(at));
            assert_eq!(log.entry(index(at)), in_memory, "entry({at})");
            assert_eq!(log.in_tail(index(at)), in_memory.is_some(), "in_tail({at})");
            if (slow.base..=length).contains(&at) {
                let (id, membership) = log.membership_at(Some(index(at)));
                assert_eq!(
                    (id, Membership::clone(membership)),
                    slow.membership_at(at),
                    "membership_at({at})"
                );
            }
            for term in 0..8 {
                let term = Term::new(term);
                let found = log.last_not_after(index(at), term);
                assert_eq!(
                    found,
                    slow.last_not_after(at, term).filter(|_| at >= slow.base),
                    "last_not_after({at}, {term})"
                );
                let id = LogId::new(term, index(at));
                assert_eq!(log.holds(Some(id)), slow.log_id(at) == Some(id), "holds({id})");
            }
            for (last, max_bytes) in [
                (length, 0),
                (length, 100),
                (length, usize::MAX),
                (at + 1, usize::MAX),
            ] {
                let found = log.slice(index(at), index(last.max(1)), max_bytes);
                assert_eq!(
                    found.to_vec(),
                    slow.slice(at, last.max(1), max_bytes),
                    "slice({at}, {last}, {max_bytes})"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn the_log_behaves_like_a_list_of_entries(steps in steps()) {
            let bootstrap = voters(3);
            let mut log = Log::new(bootstrap.clone(), None);
            let mut slow = Slow { bootstrap, ..Slow::default() };
            for step in steps {
                carry_out(&mut log, &mut slow, step);
                compare(&mut log, &slow);
            }
        }
    }
}
