//! S5, S7, S8, S9, S10 and S14: when an entry counts as committed, and what servers may believe about each other's
//! logs.

use raft_core::{Envelope, Index, LogId, Message, NodeId, RoleName, Term, Vitals};

use super::facts::Facts;
use super::membership::is_quorum;
use super::{Judgement, LogView, Oracle, count, positions, violated};
use crate::disk::Image;
use crate::places::place_of;

/// A step of one server, as the oracles see it.
pub(crate) struct Step<'a, L> {
    pub(crate) node: NodeId,
    pub(crate) before: &'a Vitals,
    pub(crate) after: &'a Vitals,
    pub(crate) log: &'a L,
    /// The entry that set the configuration in force before the step. What commits in a step commits by that
    /// configuration, and what the step appends comes after it.
    pub(crate) configuration: Option<LogId>,
    /// The last configuration that the step appends on a server that waits for its writes. It may be in force, durable
    /// and committed in one step.
    pub(crate) appended: Option<LogId>,
    /// Its disk with everything that was on it before the step: a step that commits an entry may also compact it away.
    pub(crate) disk: &'a Image,
}

/// Whether this disk would still hold the entry after a crash: in its log, or under a snapshot that ends in a committed
/// entry.
pub(crate) fn covers(facts: &Facts, image: &Image, id: LogId) -> bool {
    if let Some(held) = image.log_id(id.index) {
        return held == id;
    }
    let committed = |id: LogId| {
        facts
            .committed(id.index)
            .is_some_and(|committed| committed.id == id)
    };
    image
        .snapshot_last()
        .is_some_and(|last| last.index >= id.index && committed(last) && committed(id))
}

/// How far the leader of its term has verified each follower's log.
pub(crate) struct Commits {
    verified: Vec<(Term, u64)>,
    /// The leader's snapshot that a server is installing: it is being written to the disk, and is not applied yet.
    installing: Vec<Option<Index>>,
}

/// What a message would verify, noted before the server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verifies {
    term: Term,
    last: LogId,
}

impl Verifies {
    /// The last entry of the recipient's log that this message lets it compare with the leader's.
    pub(crate) fn of(envelope: &Envelope) -> Option<Self> {
        let last = match &envelope.message {
            Message::Append { prev, entries, .. } => entries.last().map(|entry| entry.id).or(*prev),
            Message::Heartbeat { commit, .. } => *commit,
            Message::SnapshotChunk { meta, .. } => Some(meta.last),
            _ => None,
        };
        Some(Self {
            term: envelope.term,
            last: last?,
        })
    }
}

impl Commits {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            verified: vec![(Term::ZERO, 0); servers],
            installing: vec![None; servers],
        }
    }

    /// A server writes a snapshot that is ahead of what it has applied. It installs it once it is durable.
    pub(crate) fn installs(&mut self, node: NodeId, last: Index) {
        if let Some(installing) = self.installing.get_mut(place_of(node)) {
            *installing = Some(last);
        }
    }

    /// S5, S7, S8, S10 and S14 for one step. `message` is what the server was given, and `image` the durable image of
    /// each server; `is_excused` names the servers whose disk is known to be faulty. Returns how many entries were
    /// committed for the first time.
    pub(crate) fn stepped<'i, L: LogView>(
        &mut self,
        facts: &mut Facts,
        step: &Step<'_, L>,
        message: Option<Verifies>,
        image: impl Fn(NodeId) -> Option<&'i Image>,
        is_excused: impl Fn(NodeId) -> bool,
    ) -> Result<u64, super::Violation> {
        self.verify(step, message);
        if step.before == step.after {
            return Ok(0);
        }
        self.indexes_hold(step)?;
        if step.after.commit == step.before.commit {
            return Ok(0);
        }
        // A leader whose removal commits steps down in the same step (dissertation §4.2.2), and commits as the leader
        // that it was.
        let led = step.before.role == RoleName::Leader && step.before.term == step.after.term;
        let leads = led || step.after.role == RoleName::Leader;
        if leads {
            let id = step
                .after
                .commit
                .and_then(|commit| step.log.log_id(commit).or_else(|| step.disk.log_id(commit)));
            if id.map(|id| id.term) != Some(step.after.term) {
                let message = format!(
                    "server {}, leader of term {}, advances its commit to {id:?}",
                    step.node, step.after.term
                );
                return violated(Oracle::S8, message);
            }
        }
        if !leads {
            self.follower_is_verified(step)?;
        }
        let mut new = 0;
        for at in positions(step.before.commit, step.after.commit) {
            let id = match step.log.log_id(at) {
                Some(id) => id,
                // Under a snapshot that another server took, the server's own log may have held something else than
                // what was committed.
                None if facts.committed(at).is_some() => {
                    Self::is_covered(step, at)?;
                    continue;
                }
                None => match step.disk.log_id(at) {
                    Some(id) => id,
                    None => {
                        return violated(
                            Oracle::S5,
                            format!("server {} commits {at}, but has no entry there", step.node),
                        );
                    }
                },
            };
            if facts.commit(step.node, id, step.after.term)? {
                new += 1;
                Self::is_on_quorum(facts, step, id, &image, &is_excused)?;
            }
        }
        Ok(new)
    }

    /// A server restarts. What was verified for it before no longer counts, and what it restored does.
    pub(crate) fn restarted<L: LogView>(
        &mut self,
        facts: &mut Facts,
        node: NodeId,
        place: usize,
        vitals: &Vitals,
        log: &L,
    ) -> Judgement {
        if let Some(verified) = self.verified.get_mut(place) {
            *verified = (vitals.term, 0);
        }
        if let Some(installing) = self.installing.get_mut(place) {
            *installing = None;
        }
        // A server that died after the write of a step may have committed several entries that the checker has not seen
        // committed, and that write may have compacted all of them but the last.
        let known = Index::new(facts.all_committed().len() as u64);
        let mut unknown = Vec::from_iter(vitals.commit.and_then(|commit| log.log_id(commit)));
        while let Some(id) = unknown.last().and_then(|&id| facts.before(id)) {
            if Some(id.index) <= known {
                break;
            }
            unknown.push(id);
        }
        let mut in_order = unknown.into_iter().rev();
        in_order.try_for_each(|id| facts.commit(node, id, vitals.term).map(drop))
    }

    fn verify<L: LogView>(&mut self, step: &Step<'_, L>, message: Option<Verifies>) {
        let Some(message) = message else { return };
        if message.term != step.after.term || step.after.role == RoleName::Leader {
            return;
        }
        if step.log.log_id(message.last.index) == Some(message.last)
            && let Some(verified) = self.place(step.node)
        {
            let so_far = if verified.0 == message.term { verified.1 } else { 0 };
            *verified = (message.term, so_far.max(message.last.index.value()));
        }
    }

    fn place(&mut self, node: NodeId) -> Option<&mut (Term, u64)> {
        self.verified.get_mut(place_of(node))
    }

    /// S10: at most as far as the leader of this term has compared the two logs; an installed snapshot is its own
    /// proof.
    fn follower_is_verified<L: LogView>(&mut self, step: &Step<'_, L>) -> Judgement {
        let commit = count(step.after.commit);
        let term = step.after.term;
        let verified = self
            .place(step.node)
            .filter(|verified| verified.0 == term)
            .map_or(0, |verified| verified.1);
        let installed = count(step.log.snapshot_last().map(|last| last.index));
        if commit > verified.max(installed) {
            let message = format!(
                "server {} commits up to {commit}, but the leader of term {term} has verified its log only up to {verified}",
                step.node
            );
            return violated(Oracle::S10, message);
        }
        Ok(())
    }

    /// S14: no index decreases, and the indexes are in order.
    fn indexes_hold<L: LogView>(&self, step: &Step<'_, L>) -> Judgement {
        let (before, after) = (step.before, step.after);
        if after.commit < before.commit || after.applied < before.applied {
            let message = format!(
                "server {} goes back from commit {:?} and applied {:?} to {:?} and {:?}",
                step.node, before.commit, before.applied, after.commit, after.applied
            );
            return violated(Oracle::S14, message);
        }
        let last = after.last.map(|last| last.index);
        let snapshot = step.log.snapshot_last().map(|last| last.index);
        let compacted = step.log.first_index().previous();
        let installing = self.installing.get(place_of(step.node)).copied().flatten();
        let installed_here = snapshot <= after.applied || snapshot == installing;
        if compacted <= snapshot && installed_here && after.applied <= after.commit && after.commit <= last {
            return Ok(());
        }
        let message = format!(
            "server {} has compacted {compacted:?}, snapshot {snapshot:?}, applied {:?}, commit {:?}, last {last:?}",
            step.node, after.applied, after.commit
        );
        violated(Oracle::S14, message)
    }

    /// A commit index that passes an entry which the log does not retain: a snapshot must cover it.
    fn is_covered<L: LogView>(step: &Step<'_, L>, at: Index) -> Judgement {
        if step.log.snapshot_last().is_some_and(|last| last.index >= at) {
            return Ok(());
        }
        violated(
            Oracle::S5,
            format!(
                "server {} commits {at}, which neither its log nor a snapshot covers",
                step.node
            ),
        )
    }

    /// S7: committed means that the disks of a quorum hold it, of both halves while the configuration is joint.
    fn is_on_quorum<'i, L: LogView>(
        facts: &Facts,
        step: &Step<'_, L>,
        id: LogId,
        image: &impl Fn(NodeId) -> Option<&'i Image>,
        is_excused: &impl Fn(NodeId) -> bool,
    ) -> Judgement {
        let holds = |voter: NodeId| image(voter).is_some_and(|image| covers(facts, image, id));
        let Some(membership) = facts.configuration(step.configuration) else {
            return Ok(());
        };
        // A faulty disk may have lost what it acknowledged; the fault budget judges that.
        let agrees = |voter: NodeId| holds(voter) || is_excused(voter);
        let appended = step.appended.and_then(|id| facts.configuration(Some(id)));
        if is_quorum(membership, agrees) || appended.is_some_and(|appended| is_quorum(appended, agrees)) {
            return Ok(());
        }
        let holders: Vec<u64> = membership
            .members()
            .filter(|&member| holds(member))
            .map(NodeId::value)
            .collect();
        let by = super::membership::describe(membership);
        violated(
            Oracle::S7,
            format!(
                "server {} commits {id}, which is only on the disks of {holders:?}, by {by}",
                step.node
            ),
        )
    }
}

/// S9: the leader of `term` believes that `peer` holds everything up to `matched`, whose id in the leader's own log is
/// `id`.
pub(crate) fn matched(
    facts: &Facts,
    leader: NodeId,
    term: Term,
    peer: NodeId,
    id: Option<LogId>,
    image: &Image,
) -> Judgement {
    // A follower that has moved on to a later term may rightly have truncated what it had acknowledged.
    let Some(id) = id else { return Ok(()) };
    if image.hard_state.term != term || covers(facts, image, id) {
        return Ok(());
    }
    let held = image
        .log_id(id.index)
        .map_or("nothing".to_owned(), |held| held.to_string());
    let message = format!(
        "server {leader}, leader of term {term}, believes that {peer} has {id}, but its disk has {held}"
    );
    violated(Oracle::S9, message)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Terms, command, facts, id, joint, node, persist, reports, vitals};
    use super::*;
    use raft_core::{Entry, HardState};

    fn image(term: u64, entries: Vec<Entry>) -> Image {
        let mut write = persist(entries);
        write.hard_state = Some(Box::new(HardState {
            term: Term::new(term),
            vote: None,
            ..HardState::default()
        }));
        let mut image = Image::default();
        image.write(&write, None, usize::MAX);
        image
    }

    /// Seed 110030881: a leader dies after the one write of a step that commits four entries, takes a snapshot of them
    /// and compacts them. Nobody else has seen them committed.
    #[test]
    fn what_the_last_write_of_a_dying_leader_commits_and_compacts_is_committed() {
        let entries: Vec<Entry> = (1..=6).map(|index| command(1, index, "x")).collect();
        let mut facts = facts(&entries, 2);
        // The log after the restart: only the last entry, which the snapshot ends with, has a name.
        struct Compacted;
        impl LogView for Compacted {
            fn log_id(&self, at: Index) -> Option<LogId> {
                (at.value() == 6).then(|| id(1, 6))
            }

            fn first_index(&self) -> Index {
                Index::FIRST
            }

            fn snapshot_last(&self) -> Option<LogId> {
                Some(id(1, 6))
            }
        }
        let mut commits = Commits::new(1);
        let restarted = vitals(RoleName::Follower, 1, Some(id(1, 6)), 6);
        let judged = commits.restarted(&mut facts, node(1), 0, &restarted, &Compacted);
        assert_eq!(judged, Ok(()));
        assert_eq!(facts.last_committed(), Index::new(6));
    }

    fn stepped(
        before: &Vitals,
        after: &Vitals,
        terms: Vec<u64>,
        verified: Option<(u64, LogId)>,
        disks: &[Image],
    ) -> Judgement {
        let entries: Vec<Entry> = terms
            .iter()
            .zip(1..)
            .map(|(&term, index)| command(term, index, "x"))
            .collect();
        let mut facts = facts(&entries, 0);
        let log = Terms(terms);
        let disk = Image::default();
        let step = Step {
            node: node(1),
            before,
            after,
            log: &log,
            configuration: None,
            appended: None,
            disk: &disk,
        };
        let message = verified.map(|(term, last)| Verifies {
            term: Term::new(term),
            last,
        });
        let find = |node: NodeId| disks.get(usize::try_from(node.value() - 1).unwrap());
        Commits::new(3)
            .stepped(&mut facts, &step, message, find, |_| false)
            .map(drop)
    }

    #[test]
    fn s7_reports_a_commit_that_is_not_on_a_quorum_of_disks() {
        let entry = command(1, 1, "x");
        let before = vitals(RoleName::Leader, 1, Some(entry.id), 0);
        let after = vitals(RoleName::Leader, 1, Some(entry.id), 1);
        let held = image(1, vec![entry]);
        let two = [held.clone(), held.clone(), Image::default()];
        assert_eq!(stepped(&before, &after, vec![1], None, &two), Ok(()));
        let one = [held, Image::default(), Image::default()];
        reports(Oracle::S7, stepped(&before, &after, vec![1], None, &one));
    }

    #[test]
    fn s7_reports_a_commit_that_only_one_half_of_a_joint_configuration_holds() {
        let set = Entry {
            id: id(1, 1),
            body: raft_core::EntryBody::Membership(joint(&[1, 2, 3], &[1, 4, 5]).into()),
        };
        let entries = [set, command(1, 2, "x")];
        let judge = |holders: &[u64]| {
            let (before, after) = (
                vitals(RoleName::Leader, 1, Some(id(1, 2)), 1),
                vitals(RoleName::Leader, 1, Some(id(1, 2)), 2),
            );
            let step = Step {
                node: node(1),
                before: &before,
                after: &after,
                log: &Terms(vec![1, 1]),
                configuration: Some(id(1, 1)),
                appended: None,
                disk: &Image::default(),
            };
            let held = image(1, entries.to_vec());
            let find = |node: NodeId| holders.contains(&node.value()).then_some(&held);
            let mut facts = facts(&entries, 1);
            Commits::new(5)
                .stepped(&mut facts, &step, None, find, |_| false)
                .map(drop)
        };
        assert_eq!(judge(&[1, 2, 5]), Ok(()));
        reports(Oracle::S7, judge(&[1, 2, 3]));
        reports(Oracle::S7, judge(&[1, 4, 5]));
    }

    #[test]
    fn s8_reports_a_leader_that_commits_an_earlier_term_by_counting() {
        let disks = [(); 3].map(|()| image(2, vec![command(1, 1, "x"), command(2, 2, "x")]));
        let before = vitals(RoleName::Leader, 2, Some(id(2, 2)), 0);
        let figure_8 = vitals(RoleName::Leader, 2, Some(id(2, 2)), 1);
        reports(Oracle::S8, stepped(&before, &figure_8, vec![1, 2], None, &disks));
        let by_own_term = vitals(RoleName::Leader, 2, Some(id(2, 2)), 2);
        assert_eq!(stepped(&before, &by_own_term, vec![1, 2], None, &disks), Ok(()));
    }

    #[test]
    fn s10_reports_a_follower_that_commits_what_was_not_verified() {
        let disks = [(); 3].map(|()| image(1, vec![command(1, 1, "x"), command(1, 2, "x")]));
        let before = vitals(RoleName::Follower, 1, Some(id(1, 2)), 0);
        let after = vitals(RoleName::Follower, 1, Some(id(1, 2)), 2);
        assert_eq!(
            stepped(&before, &after, vec![1, 1], Some((1, id(1, 2))), &disks),
            Ok(())
        );
        reports(
            Oracle::S10,
            stepped(&before, &after, vec![1, 1], Some((1, id(1, 1))), &disks),
        );
        reports(Oracle::S10, stepped(&before, &after, vec![1, 1], None, &disks));
        // A message of another term, or about another entry, verifies nothing.
        reports(
            Oracle::S10,
            stepped(&before, &after, vec![1, 1], Some((2, id(1, 2))), &disks),
        );
        reports(
            Oracle::S10,
            stepped(&before, &after, vec![1, 1], Some((1, id(3, 2))), &disks),
        );
    }

    #[test]
    fn s14_reports_indexes_that_go_back_or_overtake_each_other() {
        let disks = [(); 3].map(|()| image(1, vec![command(1, 1, "x")]));
        let committed = vitals(RoleName::Follower, 1, Some(id(1, 1)), 1);
        let lost = vitals(RoleName::Follower, 1, Some(id(1, 1)), 0);
        reports(Oracle::S14, stepped(&committed, &lost, vec![1], None, &disks));
        let beyond_the_log = vitals(RoleName::Follower, 1, Some(id(1, 1)), 2);
        reports(
            Oracle::S14,
            stepped(&committed, &beyond_the_log, vec![1], None, &disks),
        );
        let applied_too_far = Vitals {
            applied: Index::new(1),
            ..lost
        };
        reports(
            Oracle::S14,
            stepped(&lost, &applied_too_far, vec![1], None, &disks),
        );
    }

    #[test]
    fn s5_reports_a_commit_index_beyond_everything_known() {
        let mut known = facts(&[command(1, 1, "x")], 0);
        let vitals = vitals(RoleName::Follower, 1, Some(id(1, 2)), 2);
        reports(
            Oracle::S5,
            Commits::new(3).restarted(&mut known, node(2), 1, &vitals, &Terms(vec![1, 1])),
        );
    }

    #[test]
    fn s9_reports_a_belief_that_the_followers_disk_contradicts() {
        let known = facts(&[command(1, 1, "x")], 0);
        let judge = |image: &Image| matched(&known, node(1), Term::new(1), node(2), Some(id(1, 1)), image);
        assert_eq!(judge(&image(1, vec![command(1, 1, "x")])), Ok(()));
        reports(Oracle::S9, judge(&image(1, vec![])));
        assert_eq!(
            judge(&image(2, vec![])),
            Ok(()),
            "a follower that moved on may have truncated it"
        );
    }

    // Found by simulation (seed 92060816): a server that waits for its writes died after the write of a step that
    // committed two entries.
    #[test]
    fn a_start_may_know_of_several_entries_that_were_not_seen_committed() {
        let entries = [command(1, 1, "x"), command(1, 2, "x"), command(1, 3, "x")];
        let mut known = facts(&entries, 1);
        let vitals = vitals(RoleName::Follower, 1, Some(id(1, 3)), 3);
        let log = Terms(vec![1, 1, 1]);
        let mut commits = Commits::new(3);
        assert_eq!(commits.restarted(&mut known, node(2), 1, &vitals, &log), Ok(()));
        assert_eq!(known.all_committed().len(), 3);
    }
}
