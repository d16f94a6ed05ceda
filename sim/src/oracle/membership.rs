//! S18, S19 and L7, and the half of S1 that counts votes: which configuration a server uses, when the next one may
//! come, and which servers decide under it.
//!
//! A configuration is in force from the moment at which it is appended until it is truncated (paper §6). The checker
//! reads that off each server's log, entry by entry, and never asks the code that is judged.

use std::collections::BTreeSet;

use raft_core::{Entry, EntryBody, Expected, Index, LogId, Membership, NodeId, RoleName, Term, Vitals};

use super::facts::Facts;
use super::{Judgement, LogView, Oracle, count, positions, violated};
use crate::nanos::Nanos;

/// Whether the voters for which `agrees` holds are a majority, and a majority of the outgoing voters too while the
/// configuration is joint.
pub(crate) fn is_quorum(membership: &Membership, agrees: impl Fn(NodeId) -> bool) -> bool {
    let voters = membership.voters().count();
    let outgoing = membership.outgoing().count();
    let majority_of_voters = 2 * membership.voters().filter(|&node| agrees(node)).count() > voters;
    let majority_of_outgoing = 2 * membership.outgoing().filter(|&node| agrees(node)).count() > outgoing;
    majority_of_voters && (outgoing == 0 || majority_of_outgoing)
}

/// Describes a configuration in a few words.
pub(crate) fn describe(membership: &Membership) -> String {
    let list = |nodes: Vec<NodeId>| {
        nodes
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
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
    /// Whether it was there at the first start. A server that joins later knows no configuration before its log has
    /// one.
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
        knows
            && facts
                .configuration(id)
                .is_some_and(|membership| membership.is_voter(self.node))
    }

    /// Whether it votes by the last configuration that it knows to be committed.
    fn votes_by_committed(&self, facts: &Facts, commit: Option<Index>) -> bool {
        self.votes_by(facts, facts.configuration_id_at(commit))
    }

    /// S18: the configuration in force is the last one in the log.
    pub(crate) fn uses_the_last_in_its_log(&self, facts: &Facts) -> Judgement {
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
                let message =
                    format!("server {node} uses the configuration of {now}, but its log has {held} there");
                return violated(Oracle::S18, message);
            }
        }
        // What the step left in the log was checked before.
        let is_longer = self.before.last <= self.after.last
            && self
                .before
                .last
                .is_none_or(|last| self.log.log_id(last.index) == Some(last));
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
            let now = self
                .now
                .map_or("the first start".to_owned(), |now| now.to_string());
            let message =
                format!("server {node} holds the configuration of {newer}, but uses the one of {now}");
            return violated(Oracle::S18, message);
        }
        Ok(())
    }

    /// S18: a leader appends configurations. It may have inherited any number of uncommitted ones.
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
                    "server {node} appends the configuration {id}, but the one before it is not committed"
                );
                return violated(Oracle::S18, message);
            }
            let committed = commit.and_then(|commit| facts.committed(commit));
            if committed.map(|committed| committed.id.term) != Some(term) {
                let message = format!(
                    "server {node} appends the configuration {id}, but has not committed an entry of term {term}"
                );
                return violated(Oracle::S18, message);
            }
            if let Some(old) = facts.configuration(before)
                && !overlap(old, new)
            {
                let message = format!(
                    "server {node} appends the configuration {id}: {}, after {}, and each could decide without the other",
                    describe(new),
                    describe(old)
                );
                return violated(Oracle::S18, message);
            }
            before = Some(id);
        }
        Ok(())
    }

    /// Returns the first configuration that a leader appends in this step, if it has other members than the one before.
    pub(crate) fn changes_members<'e>(
        &self,
        facts: &Facts,
        mut entries: impl Iterator<Item = &'e Entry>,
    ) -> Option<&'e Membership> {
        let changed = entries.find_map(|entry| match &entry.body {
            EntryBody::Membership(changed) if entry.id.term == self.after.term => Some(changed),
            _ => None,
        })?;
        let sets = |membership: &Membership| {
            let (voters, outgoing) = (membership.voters().collect(), membership.outgoing().collect());
            [voters, outgoing, membership.learners().collect::<Vec<NodeId>>()]
        };
        let before = facts.configuration(self.was)?;
        (sets(changed) != sets(before)).then_some(changed)
    }

    /// S19: a server that knows it is no longer a voter neither campaigns nor leads. Its removal may be taken back as
    /// long as it is not committed, so until then it may do both.
    pub(crate) fn leads_only_as_a_voter(&self, facts: &Facts) -> Judgement {
        let (before, after) = (self.before, self.after);
        let begins = (before.role, before.term) != (after.role, after.term)
            && matches!(
                after.role,
                RoleName::PreCandidate | RoleName::Candidate | RoleName::Leader
            );
        let votes = |id, commit| self.votes_by(facts, id) || self.votes_by_committed(facts, commit);
        // A step may start a campaign and then install the snapshot that ends the server's membership.
        if begins && !votes(self.was, before.commit) && !votes(self.now, after.commit) {
            let message = format!(
                "server {} is {:?} of term {}, although it knows that it is not a voter",
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
                "server {} still leads term {}, although a configuration in which it does not vote is committed",
                self.node, after.term
            );
            return violated(Oracle::S19, message);
        }
        Ok(())
    }
}

/// S1: a quorum of the configuration in force at the new leader voted for it. `agrees` says which servers did.
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
    let votes: Vec<u64> = membership
        .members()
        .filter(|&node| agrees(node))
        .map(NodeId::value)
        .collect();
    let by = describe(membership);
    violated(
        Oracle::S1,
        format!("server {node} leads term {term} by the votes of {votes:?} only, by {by}"),
    )
}

/// Whether every quorum of one configuration shares a server with every quorum of the other.
pub(crate) fn overlap(one: &Membership, other: &Membership) -> bool {
    let nodes: BTreeSet<NodeId> = one.members().chain(other.members()).collect();
    let is_in = |set: u32, node: NodeId| {
        let place = nodes.iter().position(|&known| known == node);
        place.is_some_and(|place| set >> place & 1 == 1)
    };
    // With seven servers there are few enough sets to try them all.
    !(0..1_u32 << nodes.len())
        .any(|set| is_quorum(one, |node| is_in(set, node)) && is_quorum(other, |node| !is_in(set, node)))
}

/// What keeps a healed core that agrees on everything from having settled, if anything.
pub(crate) fn unsettled(leader: NodeId, membership: &Membership) -> Option<String> {
    if membership.is_joint() {
        return Some(format!(
            "the configuration is still joint: {}",
            describe(membership)
        ));
    }
    if !membership.is_voter(leader) {
        return Some(format!(
            "server {leader} leads without being a voter: {}",
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

/// C1 and C7: a change that its operator was told is made is a committed configuration.
pub(crate) fn changed(facts: &Facts, node: NodeId, at: LogId, expected: Expected) -> Judgement {
    let is_committed = facts
        .committed(at.index)
        .is_some_and(|committed| committed.id == at);
    if !is_committed || !facts.is_configuration(at) {
        let message = format!("server {node} says that the configuration {at} is committed, but it is not");
        return violated(Oracle::C1, message);
    }
    let before = facts.configuration_id_at(at.index.previous());
    if let Expected::This(expected) = expected
        && expected != before
    {
        let message = format!(
            "server {node} derived the configuration {at} from the one at {}, but its operator meant the one at {}",
            count(before.map(|id| id.index)),
            count(expected.map(|id| id.index))
        );
        return violated(Oracle::S18, message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixture::{Terms, command, facts, id, joint, node, reports, three, vitals};
    use super::*;

    fn members(voters: &[u64]) -> Membership {
        Membership::of_voters(voters.iter().copied().map(NodeId::new))
    }

    /// An entry that sets this configuration.
    fn sets(term: u64, index: u64, membership: Membership) -> Entry {
        Entry {
            id: id(term, index),
            body: EntryBody::Membership(Arc::new(membership)),
        }
    }

    /// A server's step from one length of a log, and one configuration, to another. The terms are those of the log
    /// after it.
    struct Case {
        node: u64,
        roles: (RoleName, RoleName),
        lasts: (LogId, LogId),
        commits: (u64, u64),
        configurations: (Option<LogId>, Option<LogId>),
    }

    impl Case {
        fn turn<'a>(&self, vitals: &'a (Vitals, Vitals), log: &'a Terms) -> Turn<'a, Terms> {
            Turn {
                node: node(self.node),
                is_founder: self.node <= 3,
                before: &vitals.0,
                after: &vitals.1,
                was: self.configurations.0,
                now: self.configurations.1,
                log,
            }
        }

        fn vitals(&self) -> (Vitals, Vitals) {
            let term = self.lasts.1.term.value();
            (
                vitals(self.roles.0, term, Some(self.lasts.0), self.commits.0),
                vitals(self.roles.1, term, Some(self.lasts.1), self.commits.1),
            )
        }
    }

    #[test]
    fn s18_reports_a_server_that_uses_another_configuration_than_the_last_in_its_log() {
        let known = facts(
            &[
                command(1, 1, "a"),
                sets(1, 2, members(&[1, 2])),
                command(1, 3, "b"),
            ],
            1,
        );
        let goes_by = |was, now, lasts, terms: Vec<u64>| {
            let case = Case {
                node: 1,
                roles: (RoleName::Follower, RoleName::Follower),
                lasts,
                commits: (1, 1),
                configurations: (was, now),
            };
            case.turn(&case.vitals(), &Terms(terms))
                .uses_the_last_in_its_log(&known)
        };
        let (second, third) = (Some(id(1, 2)), vec![1, 1, 1]);
        assert_eq!(goes_by(None, second, (id(1, 1), id(1, 2)), vec![1, 1]), Ok(()));
        assert_eq!(
            goes_by(second, second, (id(1, 2), id(1, 3)), third.clone()),
            Ok(())
        );
        assert_eq!(goes_by(None, second, (id(1, 1), id(1, 3)), third.clone()), Ok(()));
        // It is not in force although it was appended, or only when another entry comes after it.
        reports(Oracle::S18, goes_by(None, None, (id(1, 1), id(1, 2)), vec![1, 1]));
        reports(Oracle::S18, goes_by(None, None, (id(1, 1), id(1, 3)), third));
        // It is still in force although it was truncated, with another entry in its place or none.
        reports(
            Oracle::S18,
            goes_by(second, second, (id(1, 3), id(2, 2)), vec![1, 2]),
        );
        reports(
            Oracle::S18,
            goes_by(second, second, (id(1, 3), id(1, 1)), vec![1]),
        );
        assert_eq!(goes_by(second, None, (id(1, 3), id(2, 2)), vec![1, 2]), Ok(()));
    }

    /// What S18 says when server 1, leader of term 2, appends this at position 3 or later.
    fn appends(commit: u64, was: Option<LogId>, known: &[Entry], entries: &[Entry]) -> Judgement {
        let committed = usize::try_from(commit).unwrap();
        let mut facts = facts(known, committed);
        for entry in entries {
            facts.learn(entry, None).unwrap();
        }
        let last = entries.last().unwrap().id;
        let case = Case {
            node: 1,
            roles: (RoleName::Leader, RoleName::Leader),
            lasts: (known.last().unwrap().id, last),
            commits: (commit, commit),
            configurations: (was, Some(last)),
        };
        case.turn(&case.vitals(), &Terms(Vec::new()))
            .appends(&facts, entries)
    }

    #[test]
    fn s18_reports_a_configuration_before_the_last_one_or_anything_of_the_term_is_committed() {
        let known = [command(1, 1, "a"), command(2, 2, "no-op")];
        let two = sets(2, 3, members(&[1, 2]));
        assert_eq!(appends(2, None, &known, std::slice::from_ref(&two)), Ok(()));
        reports(Oracle::S18, appends(1, None, &known, std::slice::from_ref(&two)));
        let one = sets(2, 4, members(&[1]));
        reports(Oracle::S18, appends(2, None, &known, &[two, one]));
        // The entry that it inherited need not have been committed when its own first entry was appended, only now.
        let inherited = [sets(1, 1, members(&[1, 2])), command(2, 2, "no-op")];
        let next = sets(2, 3, members(&[1]));
        assert_eq!(appends(2, Some(id(1, 1)), &inherited, &[next]), Ok(()));
    }

    #[test]
    fn s18_reports_a_configuration_that_could_decide_without_the_one_before() {
        let known = [command(1, 1, "a"), command(2, 2, "no-op")];
        for (voters, may_be) in [
            (vec![1, 2], true),
            (vec![1, 2, 3, 4], true),
            (vec![1], false),
            (vec![1, 2, 4], false),
            (vec![1, 2, 3, 4, 5], false),
        ] {
            let judged = appends(2, None, &known, &[sets(2, 3, members(&voters))]);
            match may_be {
                true => assert_eq!(judged, Ok(()), "{voters:?}"),
                false => reports(Oracle::S18, judged),
            }
        }
    }

    #[test]
    fn s18_reports_a_change_of_another_configuration_than_its_operator_meant() {
        let entries = [
            command(1, 1, "a"),
            sets(1, 2, members(&[1, 2])),
            sets(1, 3, members(&[1])),
        ];
        let known = facts(&entries, 3);
        let made = |at, expected| changed(&known, node(1), at, expected);
        assert_eq!(made(id(1, 2), Expected::This(None)), Ok(()));
        assert_eq!(made(id(1, 3), Expected::This(Some(id(1, 2)))), Ok(()));
        assert_eq!(
            made(id(1, 3), Expected::Any),
            Ok(()),
            "any configuration in force will do"
        );
        reports(Oracle::S18, made(id(1, 3), Expected::This(None)));
        reports(Oracle::C1, made(id(1, 1), Expected::Any));
        reports(
            Oracle::C1,
            changed(&facts(&entries, 2), node(1), id(1, 3), Expected::Any),
        );
    }

    #[test]
    fn s19_reports_a_server_that_campaigns_or_leads_and_knows_that_it_is_not_a_voter() {
        let known = facts(&[command(1, 1, "a"), sets(1, 2, members(&[1, 2]))], 2);
        let leave = |number, roles, commits, configurations| {
            let case = Case {
                node: number,
                roles,
                lasts: (id(1, 2), id(1, 2)),
                commits,
                configurations,
            };
            case.turn(&case.vitals(), &Terms(vec![1, 1]))
                .leads_only_as_a_voter(&known)
        };
        let campaigns = (RoleName::Follower, RoleName::PreCandidate);
        let (second, both) = (Some(id(1, 2)), (Some(id(1, 2)), Some(id(1, 2))));
        assert_eq!(leave(1, campaigns, (2, 2), both), Ok(()));
        // As far as the server knows, its removal is not committed.
        assert_eq!(leave(3, campaigns, (1, 1), both), Ok(()));
        // A step may campaign and then learn of it.
        assert_eq!(leave(3, campaigns, (1, 2), (None, second)), Ok(()));
        reports(Oracle::S19, leave(3, campaigns, (2, 2), both));
        // A server that joins later is not a member of anything at first.
        reports(Oracle::S19, leave(4, campaigns, (0, 0), (None, None)));
        let leads = (RoleName::Leader, RoleName::Leader);
        assert_eq!(leave(3, leads, (0, 1), both), Ok(()));
        assert_eq!(
            leave(3, (RoleName::Leader, RoleName::Follower), (1, 2), both),
            Ok(())
        );
        reports(Oracle::S19, leave(3, leads, (1, 2), both));
    }

    #[test]
    fn s1_reports_a_leader_without_the_votes_of_a_quorum() {
        let known = facts(&[sets(1, 1, members(&[1, 2, 3, 4, 5]))], 1);
        let leads = |configuration, votes: &[u64]| {
            elected(&known, node(1), Term::new(2), configuration, |node| {
                votes.contains(&node.value())
            })
        };
        assert_eq!(leads(None, &[1, 2]), Ok(()));
        assert_eq!(leads(Some(id(1, 1)), &[1, 2, 5]), Ok(()));
        reports(Oracle::S1, leads(None, &[1]));
        reports(Oracle::S1, leads(None, &[1, 4, 5]));
        reports(Oracle::S1, leads(Some(id(1, 1)), &[1, 2]));
    }

    #[test]
    fn l7_reports_a_core_that_stays_joint_or_is_led_by_a_server_without_a_vote() {
        let judge = |leader, membership: Membership| {
            settled_in_time(
                unsettled(node(leader), &membership),
                Nanos::ZERO,
                Nanos::from_secs(9),
            )
        };
        assert_eq!(judge(1, three()), Ok(()));
        reports(Oracle::L7, judge(4, three()));
        reports(Oracle::L7, judge(1, joint(&[1, 2, 3], &[1, 2, 4])));
    }

    #[test]
    fn a_joint_quorum_is_a_majority_of_both_halves_and_joint_configurations_overlap_with_either() {
        let both = joint(&[1, 2, 3], &[3, 4, 5]);
        let agree = |votes: &[u64]| is_quorum(&both, |node| votes.contains(&node.value()));
        assert!(agree(&[1, 2, 4, 5]) && agree(&[1, 3, 4]) && agree(&[3, 2, 5]));
        assert!(!agree(&[1, 2, 3]) && !agree(&[3, 4, 5]) && !agree(&[1, 4]));
        assert!(overlap(&members(&[3, 4, 5]), &both) && overlap(&both, &members(&[1, 2, 3])));
        assert!(!overlap(&members(&[1, 2, 3]), &members(&[3, 4, 5])));
        assert_eq!(describe(&both), "voters 1 2 3, outgoing 3 4 5");
        assert!(overlap(&three(), &three()));
    }
}
