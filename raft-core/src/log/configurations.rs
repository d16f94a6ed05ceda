//! The configurations that a log has set, each in force from its entry to the next one's.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use crate::membership::Membership;
use crate::types::{Index, LogId};

/// A configuration and the entry that set it; none set the one that the cluster began with.
pub(super) type Configuration = (Option<LogId>, Arc<Membership>);

/// In the order of their entries. There is always one.
#[derive(Debug)]
pub(super) struct Configurations {
    /// The first of all is in force at the log's base.
    older: VecDeque<Configuration>,
    newest: Configuration,
}

impl Configurations {
    pub(super) fn new(first: Configuration) -> Self {
        Self {
            older: VecDeque::new(),
            newest: first,
        }
    }

    /// The configuration in force now: the last one in the log, committed or not (paper §6).
    pub(super) fn newest(&self) -> &Configuration {
        &self.newest
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Configuration> {
        self.older.iter().chain([&self.newest])
    }

    /// The configuration that was in force at this entry, as far as the log reaches back.
    pub(super) fn at(&self, at: Option<Index>) -> &Configuration {
        let begins_by_then = |(id, _): &&Configuration| id.map(|id| id.index) <= at;
        let found = self.iter().rev().find(begins_by_then);
        found.or(self.older.front()).unwrap_or(&self.newest)
    }

    pub(super) fn push(&mut self, id: LogId, membership: Arc<Membership>) {
        let before = core::mem::replace(&mut self.newest, (Some(id), membership));
        self.older.push_back(before);
    }

    /// Takes back those that were set at `from` and beyond.
    pub(super) fn truncate(&mut self, from: Index) {
        while self.newest.0.is_some_and(|id| id.index >= from)
            && let Some(before) = self.older.pop_back()
        {
            self.newest = before;
        }
    }

    /// Forgets those that were replaced by this entry or before it.
    pub(super) fn compact(&mut self, to: Index) {
        let replaced = self.iter().skip(1);
        let count = replaced.take_while(|(id, _)| id.is_some_and(|id| id.index <= to));
        let count = count.count();
        self.older.drain(..count);
    }

    /// Returns the oldest configuration alone: what a planted bug keeps when a snapshot arrives.
    pub(super) fn first_only(&self) -> Self {
        Self::new(self.older.front().unwrap_or(&self.newest).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{NodeId, Term};

    fn of(voters: u64) -> Arc<Membership> {
        Arc::new(Membership::of_voters((1..=voters).map(NodeId::new)))
    }

    fn index(value: u64) -> Index {
        Index::new(value).expect("positions begin at 1")
    }

    /// The voters of each, the oldest first.
    fn sizes(configurations: &Configurations) -> alloc::vec::Vec<usize> {
        configurations
            .iter()
            .map(|(_, membership)| membership.len())
            .collect()
    }

    #[test]
    fn what_was_replaced_in_front_is_forgotten_and_what_was_set_behind_is_taken_back() {
        let mut configurations = Configurations::new((None, of(1)));
        for position in [2, 4, 6] {
            configurations.push(LogId::new(Term::new(1), index(position)), of(position));
        }
        configurations.compact(index(3));
        assert_eq!(sizes(&configurations), [2, 4, 6], "that of 2 is in force at 3");
        configurations.compact(index(4));
        assert_eq!(sizes(&configurations), [4, 6]);
        configurations.truncate(index(5));
        assert_eq!(sizes(&configurations), [4]);
        configurations.truncate(index(1));
        assert_eq!(sizes(&configurations), [4], "there is always one");
        assert_eq!(configurations.at(Some(index(3))).1.len(), 4);
    }
}
