//! S18, S19 and L7, and the half of S1 that counts votes: by which configuration a server goes, when there may be another one, and
//! who may decide under it.
//!
//! A configuration is in force from the moment at which it is appended, and no longer when it is cut off (paper §6). What that
//! means for a server is read off its log, entry by entry, and never asked of the code that is judged.

use std::collections::BTreeSet;

use raft_core::{Entry, EntryBody, Index, LogId, Membership, NodeId, RoleName, Term, Vitals};

use super::facts::Facts;
use super::{Judgement, LogView, Oracle, count, positions, violated};
use crate::nanos::Nanos;

/// Whether those for which `agrees` holds are more than half of the voters, and of the outgoing ones while the configuration is joint.
pub(crate) fn is_quorum(membership: &Membership, agrees: impl Fn(NodeId) -> bool) -> bool {
    let voters = membership.voters().count();
    let outgoing = membership.outgoing().count();
    let majority_of_voters = 2 * membership.voters().filter(|&node| agrees(node)).count() > voters;
    let majority_of_outgoing = 2 * membership.outgoing().filter(|&node| agrees(node)).count() > outgoing;
    majority_of_voters && (outgoing == 0 || majority_of_outgoing)
}

/// A configuration in a few words.
pub(crate) fn describe(membership: &Membership) -> String {
    let list = |nodes: Vec<NodeId>| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut text = format!("voters {}", list(membership.voters().collect()));
    for (name, nodes) in [
        ("outgoing", membership.outgoing().collect::<Vec<_>>()),
        ("learners", membership.learners().collect()),
    ] {
        if !nodes.is_empty() {
            text += &format!(", {name} {}", list(nodes));
        }
    }
    text
}

/// A step of one server, as far as configurations are concerned.
pub(crate) struct Turn<'a, L> {
    pub(crate) node: NodeId,
    /// Whether it was there at the first start; whoever comes later knows no configuration before its log has one.
    pub(crate) is_founder: bool,
    pub(crate) before: &'a Vitals,
    pub(crate) after: &'a Vitals,
    /// The entries that set the configuration in force before and after the step.
    pub(crate) was: Option<LogId>,
    pub(crate) now: Option<LogId>,
    pub(crate) log: &'a L,
}

impl<L: LogView> Turn<'_, L> {
    /// Whether this server votes by the configuration that this entry set.
    fn votes_by(&self, facts: &Facts, id: Option<LogId>) -> bool {
        let knows = self.is_founder || id.is_some();
        knows && facts.configuration(id).is_some_and(|membership| membership.is_voter(self.node))
    }

    /// Whether it votes by the last configuration that it knows to be committed.
    fn votes_by_committed(&self, facts: &Facts, commit: Option<Index>) -> bool {
        self.votes_by(facts, facts.configuration_id_at(commit))
    }

    /// S18: the configuration in force is the last one in the log.
    pub(crate) fn goes_by_its_log(&self, facts: &Facts) -> Judgement {
        if self.was == self.now && self.before.last == self.after.last {
            return Ok(());
        }
        let node = self.node;
        if let Some(now) = self.now {
            let held = match self.log.log_id(now.index) {
                Some(held) => Some(held),
                None => facts.committed(now.index).map(|committed| committed.id),
            };
            if held != Some(now) {
                let held = held.map_or("nothing".to_owned(), |held| held.to_string());
                let message = format!("server {node} goes by the configuration of {now}, and its log has {held} there");
                return violated(Oracle::S18, message);
            }
        }
        // What the step left in the log was looked at before.
        let is_longer = self.before.last <= self.after.last
            && self.before.last.is_none_or(|last| self.log.log_id(last.index) == Some(last));
        let looked_at = match self.was == self.now && is_longer {
            true => self.before.last.map(|last| last.index),
            false => None,
        };
        let now = self.now.map(|now| now.index);
        let last = self.after.last.map(|last| last.index);
        let newer = positions(now.max(looked_at), last)
            .filter_map(|at| self.log.log_id(at))
            .find(|&id| facts.is_configuration(id));
        if let Some(newer) = newer {
            let now = self.now.map_or("the first start".to_owned(), |now| now.to_string());
            let message = format!("server {node} holds the configuration of {newer}, and goes by the one of {now}");
            return violated(Oracle::S18, message);
        }
        Ok(())
    }

    /// S18: a leader appends configurations. Those that it inherited may be uncommitted, as many as there are.
    pub(crate) fn appends(&self, facts: &Facts, entries: &[Entry]) -> Judgement {
        let (node, term, commit) = (self.node, self.after.term, self.after.commit);
        let mut before = self.was;
        for entry in entries.iter().filter(|entry| entry.id.term == term) {
            let EntryBody::Membership(new) = &entry.body else {
                continue;
            };
            let id = entry.id;
            if before.map(|before| before.index) > commit {
                let message = format!(
                    "server {node} appends the configuration {id}, and the one before it is not committed"
                );
                return violated(Oracle::S18, message);
            }
            let committed = commit.and_then(|commit| facts.committed(commit));
            if committed.map(|committed| committed.id.term) != Some(term) {
                let message = format!(
                    "server {node} appends the configuration {id}, and has committed nothing of term {term}"
                );
                return violated(Oracle::S18, message);
            }
            if let Some(old) = facts.configuration(before)
                && !overlap(old, new)
            {
                let message = format!(
                    "server {node} appends the configuration {id}: {}, behind {}, and each could decide without the other",
                    describe(new),
                    describe(old)
                );
                return violated(Oracle::S18, message);
            }
            before = Some(id);
        }
        Ok(())
    }

    /// S19: who knows that it does not vote any more neither begins to campaign nor leads. Its removal may be taken back as long as it
    /// is not committed, so until then it may do both.
    pub(crate) fn takes_its_leave(&self, facts: &Facts) -> Judgement {
        let (before, after) = (self.before, self.after);
        let begins = (before.role, before.term) != (after.role, after.term)
            && matches!(
                after.role,
                RoleName::PreCandidate | RoleName::Candidate | RoleName::Leader
            );
        let votes = |id, commit| self.votes_by(facts, id) || self.votes_by_committed(facts, commit);
        // A step may begin to campaign and then install the snapshot that ends its membership.
        if begins && !votes(self.was, before.commit) && !votes(self.now, after.commit) {
            let message = format!(
                "server {} is {:?} of term {}, and knows that it does not vote",
                self.node, after.role, after.term
            );
            return violated(Oracle::S19, message);
        }
        let (was, is) = (
            facts.configuration_id_at(before.commit),
            facts.configuration_id_at(after.commit),
        );
        if after.role == RoleName::Leader && was != is && !self.votes_by(facts, is) {
            let message = format!(
                "server {} still leads term {}, and a configuration without its vote is committed",
                self.node, after.term
            );
            return violated(Oracle::S19, message);
        }
        Ok(())
    }
}

/// S1: a quorum of the configuration in force at the new leader voted for it. `agrees` says who did.
pub(crate) fn elected(
    facts: &Facts,
    node: NodeId,
    term: Term,
    configuration: Option<LogId>,
    agrees: impl Fn(NodeId) -> bool,
) -> Judgement {
    let Some(membership) = facts.configuration(configuration) else {
        return Ok(());
    };
    if is_quorum(membership, &agrees) {
        return Ok(());
    }
    let votes: Vec<u64> = membership.members().filter(|&node| agrees(node)).map(NodeId::value).collect();
    let by = describe(membership);
    violated(
        Oracle::S1,
        format!("server {node} leads term {term} by the votes of {votes:?} only, by {by}"),
    )
}

/// Whether no decision of one configuration can miss one of the other: every two quorums share a server.
pub(crate) fn overlap(one: &Membership, other: &Membership) -> bool {
    let nodes: BTreeSet<NodeId> = one.members().chain(other.members()).collect();
    let is_in = |set: u32, node: NodeId| {
        let place = nodes.iter().position(|&known| known == node);
        place.is_some_and(|place| set >> place & 1 == 1)
    };
    // With seven servers there are few enough sets to try them all.
    !(0..1_u32 << nodes.len()).any(|set| is_quorum(one, |node| is_in(set, node)) && is_quorum(other, |node| !is_in(set, node)))
}

/// What keeps a healed core that agrees on everything from having settled, if anything.
pub(crate) fn unsettled(leader: NodeId, membership: &Membership) -> Option<String> {
    if membership.is_joint() {
        return Some(format!("the configuration is still joint: {}", describe(membership)));
    }
    if !membership.is_voter(leader) {
        return Some(format!(
            "server {leader} leads and does not vote: {}",
            describe(membership)
        ));
    }
    None
}

/// L7: the core must have settled by now.
pub(crate) fn settled_in_time(unsettled: Option<String>, healed: Nanos, now: Nanos) -> Judgement {
    match unsettled {
        None => Ok(()),
        Some(unsettled) => violated(
            Oracle::L7,
            format!("{} after the heal {unsettled}", now.since(healed)),
        ),
    }
}

/// C1 and C7: a change that its operator is told of as made is a committed configuration.
pub(crate) fn changed(facts: &Facts, node: NodeId, at: LogId, expected: Option<Option<LogId>>) -> Judgement {
    let is_committed = facts
        .committed(at.index)
        .is_some_and(|committed| committed.id == at);
    if !is_committed || !facts.is_configuration(at) {
        let message = format!("server {node} says that the configuration {at} is committed, and it is not");
        return violated(Oracle::C1, message);
    }
    let before = facts.configuration_id_at(at.index.previous());
    if expected.is_some_and(|expected| expected != before) {
        let message = format!(
            "server {node} made the configuration {at} of the one of position {}, and its operator meant that of {}",
            count(before.map(|id| id.index)),
            count(expected.flatten().map(|id| id.index))
        );
        return violated(Oracle::S18, message);
    }
    Ok(())
}
