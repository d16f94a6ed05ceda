//! The levels that a log has set. Each is in force from its entry on, once that is committed. Levels only rise.

use alloc::collections::VecDeque;

use crate::level::Level;
use crate::types::{Index, LogId};

/// The levels in the order of their entries, each higher than the one before.
#[derive(Debug)]
pub(super) struct Levels {
    /// The level at the log's base.
    first: Level,
    raised: VecDeque<(LogId, Level)>,
}

impl Levels {
    pub(super) fn new(first: Level) -> Self {
        Self {
            first,
            raised: VecDeque::new(),
        }
    }

    /// Returns the last level in the log, and the entry that set it, committed or not.
    pub(super) fn newest(&self) -> (Option<LogId>, Level) {
        let newest = self.raised.back();
        newest.map_or((None, self.first), |(id, level)| (Some(*id), *level))
    }

    /// Returns the level at this entry.
    pub(super) fn at(&self, at: Option<Index>) -> Level {
        let mut by_then = self.raised.iter().rev().filter(|(id, _)| Some(id.index) <= at);
        by_then.next().map_or(self.first, |(_, level)| *level)
    }

    /// Returns the first entry that sets a higher level than this one, and that level.
    pub(super) fn first_above(&self, level: Level) -> Option<(Index, Level)> {
        let above = self.raised.iter().find(|(_, raised)| *raised > level);
        above.map(|(id, level)| (id.index, *level))
    }

    /// Notes an entry. One that does not raise the level changes nothing: levels never sink.
    pub(super) fn push(&mut self, id: LogId, level: Level) {
        if level > self.newest().1 {
            self.raised.push_back((id, level));
        }
    }

    /// Removes the levels that were set at `from` or after it.
    pub(super) fn truncate(&mut self, from: Index) {
        self.raised.retain(|(id, _)| id.index < from);
    }

    /// Removes the entries up to and including `to`. What they set remains.
    pub(super) fn compact(&mut self, to: Index) {
        self.first = self.at(Some(to));
        self.raised.retain(|(id, _)| id.index > to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Term;

    fn index(value: u64) -> Index {
        Index::new(value).expect("positions begin at 1")
    }

    fn id(value: u64) -> LogId {
        LogId::new(Term::new(1), index(value))
    }

    #[test]
    fn a_level_holds_from_its_entry_on_and_outlives_compaction() {
        let mut levels = Levels::new(Level::new(1));
        levels.push(id(3), Level::new(2));
        levels.push(id(5), Level::new(4));
        let at = |levels: &Levels, position| levels.at(Some(index(position))).value();
        assert_eq!(
            [1, 2, 3, 4, 5, 6].map(|position| at(&levels, position)),
            [1, 1, 2, 2, 4, 4]
        );
        assert_eq!(levels.at(None), Level::new(1));
        assert_eq!(levels.first_above(Level::new(1)), Some((index(3), Level::new(2))));
        assert_eq!(levels.first_above(Level::new(2)), Some((index(5), Level::new(4))));
        assert_eq!(levels.first_above(Level::new(4)), None);
        levels.compact(index(4));
        assert_eq!([3, 4, 5].map(|position| at(&levels, position)), [2, 2, 4]);
        levels.truncate(index(5));
        assert_eq!(levels.newest(), (None, Level::new(2)));
    }

    #[test]
    fn an_entry_of_no_higher_level_changes_nothing() {
        let mut levels = Levels::new(Level::new(2));
        for level in [0, 1, 2] {
            levels.push(id(4), Level::new(level));
        }
        assert_eq!(levels.newest(), (None, Level::new(2)));
    }
}
