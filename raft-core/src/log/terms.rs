//! The terms of the retained entries, as one run for each term.

use alloc::collections::VecDeque;

use crate::types::{Index, LogId, Term};

/// The first entry of each term, in the order of the log.
///
/// Terms never decrease along a log (paper §5.3), so these few positions give the term of every retained entry,
/// whether the entry is in memory or on disk only.
#[derive(Debug, Default)]
pub(super) struct TermRuns(VecDeque<LogId>);

impl TermRuns {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes that this entry was appended.
    pub(super) fn push(&mut self, id: LogId) {
        if self.0.back().is_none_or(|run| run.term != id.term) {
            self.0.push_back(id);
        }
    }

    /// Returns the term of the entry at this position, which the caller knows to be retained.
    pub(super) fn term_at(&self, at: Index) -> Option<Term> {
        let run = self.0.partition_point(|run| run.index <= at).checked_sub(1)?;
        self.0.get(run).map(|run| run.term)
    }

    /// Returns the first position whose term is later than this one.
    pub(super) fn first_later_than(&self, term: Term) -> Option<Index> {
        let later = self.0.partition_point(|run| run.term <= term);
        self.0.get(later).map(|run| run.index)
    }

    /// Removes the runs that begin at `from` or after it.
    pub(super) fn truncate(&mut self, from: Index) {
        while self.0.back().is_some_and(|run| run.index >= from) {
            self.0.pop_back();
        }
    }

    /// Removes the runs that end at `to` or before it, except the last run, whose end is not known here.
    pub(super) fn compact(&mut self, to: Index) {
        while self.0.len() > 1 && self.0.get(1).is_some_and(|next| next.index <= to.next()) {
            self.0.pop_front();
        }
    }

    /// Checks that both terms and positions increase from run to run.
    pub(super) fn are_ordered(&self) -> bool {
        let mut neighbours = self.0.iter().zip(self.0.iter().skip(1));
        neighbours.all(|(run, next)| run.term < next.term && run.index < next.index)
    }
}
