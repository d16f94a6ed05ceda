//! The configurations that a log has set. Each is in force from its entry to the entry that sets the next.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use crate::membership::Membership;
use crate::types::{Index, LogId};

/// A configuration and the entry that set it; `None` for the configuration that the cluster began with.
pub(super) type Configuration = (Option<LogId>, Arc<Membership>);

/// The configurations in the order of their entries. There is always at least one.
#[derive(Debug)]
pub(super) struct Configurations {
    /// All but the newest. The first configuration of all is in force at the log's base.
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

    /// Returns the configuration in force: the last one in the log, committed or not (paper §6).
    pub(super) fn newest(&self) -> &Configuration {
        &self.newest
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Configuration> {
        self.older.iter().chain([&self.newest])
    }

    /// Returns the configuration that is in force at this entry; the oldest one known if the entry is before that.
    pub(super) fn at(&self, at: Option<Index>) -> &Configuration {
        let was_set_by_then = |(id, _): &&Configuration| id.map(|id| id.index) <= at;
        let found = self.iter().rev().find(was_set_by_then);
        found.or(self.older.front()).unwrap_or(&self.newest)
    }

    pub(super) fn push(&mut self, id: LogId, membership: Arc<Membership>) {
        let before = core::mem::replace(&mut self.newest, (Some(id), membership));
        self.older.push_back(before);
    }

    /// Removes the configurations that were set at `from` or after it.
    pub(super) fn truncate(&mut self, from: Index) {
        while self.newest.0.is_some_and(|id| id.index >= from)
            && let Some(before) = self.older.pop_back()
        {
            self.newest = before;
        }
    }

    /// Removes the configurations that were replaced at `to` or before it.
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

    /// Returns the number of members of each configuration, the oldest first.
    fn sizes(configurations: &Configurations) -> alloc::vec::Vec<usize> {
        configurations
            .iter()
            .map(|(_, membership)| membership.len())
            .collect()
    }

    #[test]
    fn compaction_removes_replaced_configurations_and_truncation_removes_later_ones() {
        let mut configurations = Configurations::new((None, of(1)));
        for position in [2, 4, 6] {
            configurations.push(LogId::new(Term::new(1), index(position)), of(position));
        }
        configurations.compact(index(3));
        assert_eq!(
            sizes(&configurations),
            [2, 4, 6],
            "the configuration of 2 is in force at 3"
        );
        configurations.compact(index(4));
        assert_eq!(sizes(&configurations), [4, 6]);
        configurations.truncate(index(5));
        assert_eq!(sizes(&configurations), [4]);
        configurations.truncate(index(1));
        assert_eq!(sizes(&configurations), [4], "at least one configuration remains");
        assert_eq!(configurations.at(Some(index(3))).1.len(), 4);
    }
}
