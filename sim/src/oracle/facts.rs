//! What the checker knows for certain: every entry that ever was in a log, and the one sequence of committed entries.

use raft_core::{Entry, EntryBody, Incarnation, Index, LogId, Membership, NodeId, Term};

use super::{Judgement, Oracle, Violation, violated};
use crate::hash::{Rolling, of_bytes};
use crate::schedule::{OLDER, Programs};
use crate::witness::{History, program_and_command};

/// One entry that some log held, named by its index and term.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    term: Term,
    content_hash: u64,
    /// The term of the entry before it, `Some(None)` if there is none. Unknown if the entry was first seen right after
    /// a compacted log.
    prev_term: Option<Option<Term>>,
    body: EntryBody,
}

/// The entries of one index: nearly always a single one, which costs no allocation.
#[derive(Clone, Debug, Default)]
struct Place {
    first: Option<Known>,
    others: Vec<Known>,
}

impl Place {
    fn find(&self, term: Term) -> Option<&Known> {
        self.first
            .iter()
            .chain(&self.others)
            .find(|known| known.term == term)
    }

    fn find_mut(&mut self, term: Term) -> Option<&mut Known> {
        self.first
            .iter_mut()
            .chain(&mut self.others)
            .find(|known| known.term == term)
    }
}

/// One entry of the sequence of committed entries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    /// Its index and term.
    pub(crate) id: LogId,
    /// The term of the leader that first committed it.
    pub(crate) commit_term: Term,
    /// Hash of its content; of the bytes alone if it is a command.
    pub(crate) content_hash: u64,
    /// The history of a machine that has applied everything up to it.
    pub(crate) history: History,
    /// The last configuration at or before it; none for the bootstrap.
    pub(crate) membership: Option<LogId>,
    /// The level of the log from there on.
    pub(crate) level: u32,
    /// The program that is needed to apply everything up to it.
    pub(crate) needs: u32,
}

/// What the checker knows for certain.
pub(crate) struct Facts {
    bootstrap: Membership,
    places: Vec<Place>,
    committed: Vec<Committed>,
    /// Every entry of every log that ever set a configuration.
    configurations: Vec<LogId>,
    /// Whether some log ever had voters other than those of the first configuration.
    electorate_changed: bool,
    /// What is drawn of programs, if there are two.
    programs: Option<Programs>,
}

fn offset(at: Index) -> usize {
    usize::try_from(at.value() - 1).unwrap_or(usize::MAX)
}

fn content_hash(body: &EntryBody) -> u64 {
    match body {
        EntryBody::Noop => 1,
        EntryBody::Founding(cluster) => {
            let mut hash = Rolling::default();
            hash.word(u64::from(cluster.founding));
            hash.word(u64::from(cluster.nonce));
            hash.finish()
        }
        EntryBody::Command(payload) => of_bytes(payload),
        // The command is the same, whichever server forwarded it.
        EntryBody::Forwarded(forwarded) => of_bytes(&forwarded.command),
        EntryBody::Withheld => 2,
        EntryBody::Level(level) => 16 + u64::from(level.value()),
        EntryBody::Membership(membership) => {
            let mut hash = Rolling::default();
            for (half, nodes) in [
                (1, membership.voters().collect::<Vec<_>>()),
                (2, membership.outgoing().collect()),
                (3, membership.learners().collect()),
                (4, membership.witnesses().collect()),
            ] {
                for node in nodes {
                    hash.word(half);
                    hash.word(node.value());
                    hash.word(membership.incarnation(node).map_or(0, Incarnation::value));
                }
            }
            hash.finish()
        }
    }
}

impl Facts {
    pub(crate) fn new(bootstrap: Membership) -> Self {
        Self {
            bootstrap,
            places: Vec::with_capacity(1024),
            committed: Vec::with_capacity(1024),
            configurations: Vec::new(),
            electorate_changed: false,
            programs: None,
        }
    }

    /// The same, for a run in which servers run two programs.
    pub(crate) fn with_programs(self, programs: Option<Programs>) -> Self {
        Self { programs, ..self }
    }

    /// S3: an entry was seen in a log, after an entry of `prev_term` where that is known. Every log with an entry of
    /// this index and term must have the same content there, and the same entry before it.
    pub(crate) fn learn(&mut self, entry: &Entry, prev_term: Option<Option<Term>>) -> Judgement {
        let place = offset(entry.id.index);
        if place >= self.places.len() {
            self.places.resize_with(place + 1, Place::default);
        }
        let Some(place) = self.places.get_mut(place) else {
            return Ok(());
        };
        let content_hash = content_hash(&entry.body);
        if let Some(known) = place.find_mut(entry.id.term) {
            // A witness holds the entry without its command.
            if known.content_hash != content_hash && entry.body != EntryBody::Withheld {
                return violated(
                    Oracle::S3,
                    format!("two different entries have the id {}", entry.id),
                );
            }
            let Some(prev_term) = prev_term else { return Ok(()) };
            let earlier = *known.prev_term.get_or_insert(prev_term);
            if prev_term != earlier {
                let terms = (prev_term.map_or(0, Term::value), earlier.map_or(0, Term::value));
                let message = format!(
                    "{} follows an entry of term {} here and of term {} there",
                    entry.id, terms.0, terms.1
                );
                return violated(Oracle::S3, message);
            }
            return Ok(());
        }
        if entry.body == EntryBody::Withheld {
            // Only a leader makes entries, and no leader made this one.
            return violated(
                Oracle::S3,
                format!("a witness holds {}, which no leader made", entry.id),
            );
        }
        if let EntryBody::Membership(membership) = &entry.body {
            self.configurations.push(entry.id);
            self.electorate_changed |=
                membership.is_joint() || !membership.voters().eq(self.bootstrap.voters());
        }
        let known = Known {
            term: entry.id.term,
            content_hash,
            prev_term,
            body: entry.body.clone(),
        };
        match &place.first {
            None => place.first = Some(known),
            Some(_) => place.others.push(known),
        }
        Ok(())
    }

    /// S5: a server takes this entry for committed. Returns whether it is the first server to do so.
    pub(crate) fn commit(&mut self, node: NodeId, id: LogId, commit_term: Term) -> Result<bool, Violation> {
        if let Some(committed) = self.committed(id.index) {
            if committed.id != id {
                let message = format!(
                    "server {node} commits {id}, but {} is committed at that index",
                    committed.id
                );
                return violated(Oracle::S5, message);
            }
            return Ok(false);
        }
        if offset(id.index) != self.committed.len() {
            let message = format!(
                "server {node} commits {id} when only {} entries are committed",
                self.committed.len()
            );
            return violated(Oracle::S5, message);
        }
        let Some(known) = self
            .places
            .get(offset(id.index))
            .and_then(|place| place.find(id.term))
        else {
            return violated(
                Oracle::S5,
                format!("server {node} commits {id}, which no log ever held"),
            );
        };
        let before = self.committed.last();
        let (history, membership) =
            before.map_or((History::default(), None), |last| (last.history, last.membership));
        let (history, membership) = match &known.body {
            EntryBody::Noop | EntryBody::Founding(_) | EntryBody::Level(_) => (history, membership),
            EntryBody::Command(_) | EntryBody::Forwarded(_) => {
                (history.after(id, known.content_hash), membership)
            }
            EntryBody::Withheld => (history, membership),
            EntryBody::Membership(_) => (history, Some(id)),
        };
        let content_hash = known.content_hash;
        let (level, needs) = self.levels_after(id, &known.body)?;
        self.committed.push(Committed {
            id,
            commit_term,
            content_hash,
            history,
            membership,
            level,
            needs,
        });
        Ok(true)
    }

    /// S26: the level of the log after this entry, and the program that is needed then. A command is not committed before
    /// its level is in force, and levels only rise.
    fn levels_after(&self, id: LogId, body: &EntryBody) -> Result<(u32, u32), Violation> {
        let (level, needs) = self
            .committed
            .last()
            .map_or((0, 0), |last| (last.level, last.needs));
        if let EntryBody::Level(raised) = body {
            let raised = raised.value();
            if raised <= level {
                let message = format!("{id} sets level {raised}, and the log is at level {level}");
                return violated(Oracle::S26, message);
            }
            return Ok((raised, needs.max(raised)));
        }
        let Some((programs, command)) = self.programs.zip(body.command()) else {
            return Ok((level, needs));
        };
        let (program, _) = program_and_command(command);
        if programs == Programs::Levelled && program > level.max(OLDER) {
            let message =
                format!("{id} is a command of level {program}, and the log is at level {level} there");
            return violated(Oracle::S26, message);
        }
        Ok((level, needs.max(program)))
    }

    /// The committed entry at this position.
    pub(crate) fn committed(&self, at: Index) -> Option<&Committed> {
        self.committed.get(offset(at))
    }

    /// All committed entries in order.
    pub(crate) fn all_committed(&self) -> &[Committed] {
        &self.committed
    }

    /// The last committed position.
    pub(crate) fn last_committed(&self) -> Option<Index> {
        self.committed.last().map(|last| last.id.index)
    }

    /// The history of a machine that has applied everything up to `at`.
    pub(crate) fn history(&self, at: Option<Index>) -> Option<History> {
        match at {
            None => Some(History::default()),
            Some(at) => self.committed(at).map(|committed| committed.history),
        }
    }

    /// Returns the body of an entry.
    pub(crate) fn body(&self, id: LogId) -> Option<&EntryBody> {
        Some(&self.places.get(offset(id.index))?.find(id.term)?.body)
    }

    /// The configuration that this entry set; without an entry, the one that the cluster began with.
    pub(crate) fn configuration(&self, id: Option<LogId>) -> Option<&Membership> {
        let Some(id) = id else {
            return Some(&self.bootstrap);
        };
        match self.body(id)? {
            EntryBody::Membership(membership) => Some(membership),
            EntryBody::Noop
            | EntryBody::Founding(_)
            | EntryBody::Command(_)
            | EntryBody::Forwarded(_)
            | EntryBody::Level(_)
            | EntryBody::Withheld => None,
        }
    }

    /// Whether the entry set a configuration.
    pub(crate) fn is_configuration(&self, id: LogId) -> bool {
        matches!(self.body(id), Some(EntryBody::Membership(_)))
    }

    /// The entry that set the configuration in force at a committed position; none for the first one.
    pub(crate) fn configuration_id_at(&self, at: Option<Index>) -> Option<LogId> {
        at.and_then(|at| self.committed(at)?.membership)
    }

    /// Whether servers run two programs.
    pub(crate) const fn has_two_programs(&self) -> bool {
        self.programs.is_some()
    }

    /// Whether some log ever had voters other than those of the first configuration.
    pub(crate) const fn has_other_voters(&self) -> bool {
        self.electorate_changed
    }

    /// Every configuration by which a server may be elected that lacks the entries after this committed position: the
    /// one in force there, and every later one that any log ever held.
    pub(crate) fn electorates(&self, at: Option<Index>) -> impl Iterator<Item = &Membership> {
        let in_force = self.configuration_id_at(at);
        let beyond = self.configurations.iter().copied().filter(move |id| {
            self.electorate_changed && Some(*id) != in_force && Some(id.index) > in_force.map(|id| id.index)
        });
        let beyond = beyond.filter_map(|id| self.configuration(Some(id)));
        self.configuration(in_force).into_iter().chain(beyond)
    }

    /// The entry before this one, as far as some log has shown it.
    pub(crate) fn before(&self, id: LogId) -> Option<LogId> {
        let known = self.places.get(offset(id.index))?.find(id.term)?;
        Some(LogId::new(known.prev_term??, id.index.previous()?))
    }

    /// The configuration in force at a committed position.
    pub(crate) fn membership_at(&self, at: Index) -> Option<(Option<LogId>, &Membership)> {
        let id = self.committed(at)?.membership;
        Some((id, self.configuration(id)?))
    }

    /// The first committed entry that bound a server to this data folder, in the latest run of configurations that do.
    /// A later configuration may have removed the server, and some servers may not know that yet.
    pub(crate) fn binding(&self, node: NodeId, incarnation: Incarnation) -> Option<LogId> {
        let mut found = None;
        let mut at = self.last_committed();
        while let Some(id) = self.configuration_id_at(at) {
            let binds = self.configuration(Some(id))?.incarnation(node) == Some(incarnation);
            if !binds && found.is_some() {
                break;
            }
            found = binds.then_some(id);
            at = id.index.previous();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{command, facts, node, reports};
    use super::*;

    #[test]
    fn s3_reports_two_entries_of_one_name_and_two_predecessors_of_one_entry() {
        let mut known = facts(&[command(1, 1, "a"), command(1, 2, "b")], 0);
        reports(
            Oracle::S3,
            known.learn(&command(1, 2, "c"), Some(Some(Term::new(1)))),
        );
        reports(Oracle::S3, known.learn(&command(1, 2, "b"), Some(None)));
        assert_eq!(known.learn(&command(1, 2, "b"), Some(Some(Term::new(1)))), Ok(()));
        assert_eq!(
            known.learn(&command(1, 2, "b"), None),
            Ok(()),
            "an unknown predecessor contradicts nothing"
        );
        assert_eq!(
            known.learn(&command(2, 2, "c"), Some(Some(Term::new(1)))),
            Ok(()),
            "another term is another entry"
        );
    }

    #[test]
    fn s5_reports_a_second_entry_at_a_committed_index() {
        let mut known = facts(&[command(1, 1, "a")], 1);
        known.learn(&command(2, 1, "b"), Some(None)).unwrap();
        assert_eq!(
            known.commit(node(2), command(1, 1, "a").id, Term::new(1)),
            Ok(false)
        );
        reports(
            Oracle::S5,
            known
                .commit(node(2), command(2, 1, "b").id, Term::new(2))
                .map(drop),
        );
        reports(
            Oracle::S5,
            known
                .commit(node(2), command(2, 2, "never seen").id, Term::new(2))
                .map(drop),
        );
    }
}
