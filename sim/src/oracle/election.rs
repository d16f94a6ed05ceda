//! S1, S4 and S11: terms, and which servers may lead them.

use std::collections::BTreeMap;

use raft_core::{NodeId, Term};

use super::facts::Facts;
use super::{Judgement, LogView, Oracle, violated};

/// The leader of each term.
#[derive(Default)]
pub(crate) struct Elections {
    leaders: BTreeMap<Term, NodeId>,
}

impl Elections {
    /// The latest term that any server has won.
    pub(crate) fn latest(&self) -> Term {
        self.leaders
            .last_key_value()
            .map_or(Term::ZERO, |(&term, _)| term)
    }

    /// S1 and S4: a server becomes the leader of a term.
    pub(crate) fn elected(
        &mut self,
        facts: &Facts,
        node: NodeId,
        term: Term,
        log: &impl LogView,
    ) -> Judgement {
        let leader = *self.leaders.entry(term).or_insert(node);
        if leader != node {
            return violated(
                Oracle::S1,
                format!("servers {leader} and {node} both lead term {term}"),
            );
        }
        for committed in facts.all_committed() {
            // A candidate that was partitioned may rightly win an older term late, so only earlier commitments count.
            if committed.commit_term >= term || committed.id.index < log.first_index() {
                continue;
            }
            let held = log.log_id(committed.id.index);
            if held != Some(committed.id) {
                let held = held.map_or("nothing".to_owned(), |held| held.to_string());
                let message = format!(
                    "server {node} leads term {term} and holds {held} where {} was committed in term {}",
                    committed.id, committed.commit_term
                );
                return violated(Oracle::S4, message);
            }
        }
        self.covered_by_snapshot(facts, node, term, log)
    }

    /// S4, for entries that the new leader holds only in its snapshot: the snapshot must end in a committed entry. S17
    /// checks that its content agrees.
    fn covered_by_snapshot(&self, facts: &Facts, node: NodeId, term: Term, log: &impl LogView) -> Judgement {
        let compacted = log.first_index().previous();
        if compacted > log.snapshot_last().map(|last| last.index) {
            return violated(
                Oracle::S4,
                format!("server {node} leads term {term} with a gap after its snapshot"),
            );
        }
        match log.snapshot_last() {
            Some(last)
                if facts
                    .committed(last.index)
                    .is_none_or(|committed| committed.id != last) =>
            {
                violated(
                    Oracle::S4,
                    format!(
                        "server {node} leads term {term} with a snapshot up to {last}, which is not committed"
                    ),
                )
            }
            _ => Ok(()),
        }
    }

    /// Returns how many terms had a leader.
    pub(crate) fn count(&self) -> usize {
        self.leaders.len()
    }
}

/// S11: the term in memory or on disk was `before`, and is now `after`.
pub(crate) fn terms_grow(node: NodeId, place: &str, before: Term, after: Term) -> Judgement {
    if after < before {
        return violated(
            Oracle::S11,
            format!("server {node} goes back from term {before} to {after} {place}"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Terms, command, facts, node, reports};
    use super::*;

    #[test]
    fn s1_reports_a_second_leader_of_a_term() {
        let facts = facts(&[], 0);
        let mut elections = Elections::default();
        assert_eq!(
            elections.elected(&facts, node(1), Term::new(2), &Terms(vec![])),
            Ok(())
        );
        assert_eq!(
            elections.elected(&facts, node(2), Term::new(3), &Terms(vec![])),
            Ok(())
        );
        reports(
            Oracle::S1,
            elections.elected(&facts, node(2), Term::new(2), &Terms(vec![])),
        );
    }

    #[test]
    fn s4_reports_a_leader_without_an_entry_committed_in_an_earlier_term() {
        let facts = facts(&[command(1, 1, "a"), command(3, 2, "b")], 2);
        let mut elections = Elections::default();
        // The second entry was committed in term 3. A late winner of term 2 need not have it; the winner of term 4
        // must.
        assert_eq!(
            elections.elected(&facts, node(2), Term::new(2), &Terms(vec![1])),
            Ok(())
        );
        reports(
            Oracle::S4,
            elections.elected(&facts, node(2), Term::new(4), &Terms(vec![1])),
        );
        reports(
            Oracle::S4,
            elections.elected(&facts, node(2), Term::new(5), &Terms(vec![1, 2])),
        );
        assert_eq!(
            elections.elected(&facts, node(2), Term::new(6), &Terms(vec![1, 3])),
            Ok(())
        );
    }

    #[test]
    fn s11_reports_a_term_that_goes_back() {
        assert_eq!(terms_grow(node(1), "on disk", Term::new(2), Term::new(2)), Ok(()));
        reports(
            Oracle::S11,
            terms_grow(node(1), "on disk", Term::new(3), Term::new(2)),
        );
    }
}
