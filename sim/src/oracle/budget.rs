//! S21, and the fault budget: how much disks may forget, lie and rot before Raft can no longer promise anything.
//!
//! Raft is safe because any two quorums share a server, and that server keeps two kinds of promise (paper §5.2, §5.4).
//! An entry that it has acknowledged stays in its log. A vote that it has cast stays its vote for that term. A disk
//! that forgets breaks such promises, and no server can detect it. So the budget counts the promises that are left:
//!
//! * **Copies.** For every committed entry, the voters that do not hold it are not a quorum. Then every quorum that
//!   could elect a leader has a member that holds the entry and denies its vote to every candidate without it (§5.4.1).
//!   The quorum is counted in every configuration that could elect a server without the entry: the one in force before
//!   the entry, and every later one that any log ever held. A server whose disk was replaced is an elector only where
//!   the configuration binds its new one: a past in which it was the only voter elects nobody (`raft/configuration.rs`).
//! * **Votes.** Every two quorums share a server that has kept its promises. A server breaks one in two ways. It votes
//!   for another candidate in the same term. Or it votes, acknowledges or answers a leader in a term below one in which
//!   it has voted: the leader of the later term need not know of that (the heart of the proof in §5.4.3), and the
//!   leader of the earlier term counts it as a confirmation of its reads. Two quorums of n servers share 2q − n, so it
//!   takes as many such servers to exceed the budget: one, where n is odd. Quorums of two configurations may share a
//!   single server, so one such server is enough where voters come and go.
//! * **Leaderships.** A server that forgot its candidacy and campaigns *again in the same term* breaks its own vote of
//!   that term, and no other: its voters gave theirs to one of its starts, and do not give it to another.
//!
//! The rules are judged by what is on the wire and on the disks, at the moment it gets there. A forgotten vote does no
//! harm until the server votes again. Copies are counted whenever a disk lost some or an entry is committed.
//!
//! A *wiped* disk is a different case, because its server can detect it. It comes back as a new incarnation, which
//! takes no part until a committed configuration binds it (`raft-core/src/raft/joining.rs`). Until then it is not a
//! voter, and S21 checks that it sends nothing. Once bound, it may contradict what the lost disk promised in terms up
//! to that of the binding or later: a candidate that depends on such a promise does not hold the binding, so it cannot
//! win. It must not vote in the term of the binding or an earlier one. There is one exception: a server with an empty
//! disk that sees a majority of empty logs takes that for the first start. So a wipe exceeds the budget while logs are
//! empty on a quorum of servers.
//!
//! A server that cannot start counts neither as a voter nor as a holder.

use std::collections::BTreeMap;

use raft_core::{Envelope, Incarnation, Index, Membership, Message, NodeId, Term};

use super::commit::covers;
use super::facts::Facts;
use super::membership::is_quorum;
use super::{Oracle, Violation, violated};
use crate::disk::Image;
use crate::places::place_of;

/// The state of a server's disk, as the budget counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Standing {
    /// The disk has kept everything that it reported as synced.
    #[default]
    Sound,
    /// The disk has lost something that it had reported as synced.
    Forgetful,
    /// The disk is new, and no configuration binds it yet.
    Outside,
    /// A configuration of this term has bound the new disk.
    Admitted(Term),
    /// The disk cannot be read.
    Dead,
}

impl Standing {
    /// Whether the server may take part in elections.
    const fn votes(self) -> bool {
        matches!(self, Self::Sound | Self::Forgetful | Self::Admitted(_))
    }
}

/// What a server has promised about terms, on the wire, with any of its disks: one that was replaced may come back.
#[derive(Clone, Debug, Default)]
struct Promised {
    /// Its latest vote.
    vote: Option<(Term, NodeId)>,
    /// The boot in which it campaigned in each term.
    campaigns: BTreeMap<Term, u64>,
    /// Whether it has contradicted one of its own promises.
    broken: bool,
}

/// What the budget says about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It contradicts no promise.
    Kept,
    /// It contradicts what its sender has promised, within the budget.
    Broken,
    /// It exceeds the budget.
    Exceeded,
}

/// The fault budget, and which servers have used it up.
pub(crate) struct Budget {
    /// The number of servers that the cluster began with.
    founders: usize,
    standings: Vec<Standing>,
    /// The data folder of each server whose disk was replaced; `None` while it has its first one.
    replaced: Vec<Option<Incarnation>>,
    promises: Vec<Promised>,
    exceeded: bool,
    damaged: bool,
}

/// The smallest number of servers that is a majority.
const fn quorum(servers: usize) -> usize {
    servers / 2 + 1
}

impl Budget {
    pub(crate) fn new(founders: usize, servers: usize) -> Self {
        Self {
            founders,
            standings: vec![Standing::Sound; servers],
            replaced: vec![None; servers],
            promises: vec![Promised::default(); servers],
            exceeded: false,
            damaged: false,
        }
    }

    /// Returns the state of a server's disk.
    pub(crate) fn standing(&self, place: usize) -> Standing {
        self.standings.get(place).copied().unwrap_or_default()
    }

    /// Whether a server's disk has broken Raft's assumptions, so that S7, S9 and S12 are suspended for it.
    pub(crate) fn is_faulty(&self, place: usize) -> bool {
        self.damaged && self.standing(place) != Standing::Sound
    }

    /// Whether any server's disk has broken them.
    pub(crate) const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Whether the budget is exceeded, so that only class C's promises are left.
    pub(crate) const fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    pub(crate) const fn exceed(&mut self) {
        self.exceeded = true;
    }

    /// Records that a server's disk is in this state now.
    pub(crate) fn note(&mut self, place: usize, standing: Standing) {
        self.damaged = true;
        if let Some(known) = self.standings.get_mut(place) {
            *known = standing;
        }
    }

    /// Records which data folder a server has from now on, if it is not the first one.
    pub(crate) fn note_folder(&mut self, place: usize, replaced: Option<Incarnation>) {
        if let Some(known) = self.replaced.get_mut(place) {
            *known = replaced;
        }
    }

    /// Whether a configuration that names this server means its data folder. A server with a new disk replays
    /// configurations of the past, which bind its id to the disk that is gone or to none; it counts in none of them.
    fn is_meant(&self, membership: &Membership, node: NodeId) -> bool {
        let replaced = self.replaced.get(place_of(node)).copied().flatten();
        replaced.is_none_or(|folder| membership.incarnation(node) == Some(folder))
    }

    /// Returns the vote that a server last put on the wire.
    pub(crate) fn last_vote(&self, place: usize) -> Option<(Term, NodeId)> {
        self.promises.get(place)?.vote
    }

    /// Copies: whether the voters that do not hold the entries after this committed position are fewer than a quorum.
    pub(crate) fn is_held(&self, facts: &Facts, after: Option<Index>, holds: impl Fn(usize) -> bool) -> bool {
        let lacks = |node: NodeId| self.standing(place_of(node)).votes() && !holds(place_of(node));
        !facts
            .electorates(after)
            .any(|membership| is_quorum(membership, |node| lacks(node) && self.is_meant(membership, node)))
    }

    /// Copies of all committed entries except the first `skip`. Returns whether the budget still covers them.
    pub(crate) fn covers_committed<'i>(
        &self,
        facts: &Facts,
        skip: usize,
        image: impl Fn(usize) -> Option<&'i Image>,
    ) -> bool {
        facts.all_committed().iter().skip(skip).all(|committed| {
            self.is_held(facts, committed.id.index.previous(), |place| {
                image(place).is_some_and(|image| covers(facts, image, committed.id))
            })
        })
    }

    /// The number of servers that must break their promises until two quorums share none that keeps them.
    fn promise_breakers(&self, facts: &Facts) -> usize {
        match facts.has_other_voters() {
            true => 1,
            false => 2 * quorum(self.founders) - self.founders,
        }
    }

    /// Whether so many empty logs could make a wiped server believe that the cluster is new.
    pub(crate) const fn looks_new(servers: usize, empty_logs: usize) -> bool {
        empty_logs >= quorum(servers)
    }

    /// Votes and leaderships, and S21: a server of this incarnation sends this message.
    pub(crate) fn sends(
        &mut self,
        facts: &Facts,
        place: usize,
        incarnation: Incarnation,
        boot: u64,
        envelope: &Envelope,
    ) -> Result<Verdict, Violation> {
        let (from, term) = (envelope.from, envelope.term);
        // These messages promise nothing and change nothing at the recipient.
        if matches!(
            envelope.message,
            Message::Hello
                | Message::HelloReply { .. }
                | Message::OtherCluster
                | Message::PreVote { .. }
                | Message::PreVoteReply { .. }
        ) {
            return Ok(Verdict::Kept);
        }
        let votes_for = match envelope.message {
            Message::Vote { .. } | Message::TransferVote { .. } => Some(from),
            Message::VoteReply { granted: true } => Some(envelope.to),
            _ => None,
        };
        self.is_admitted(facts, place, incarnation, envelope, votes_for)?;
        let standing = self.standing(place);
        let enough = self.promise_breakers(facts);
        let Some(promised) = self.promises.get_mut(place) else {
            return Ok(Verdict::Kept);
        };
        let is_campaign = votes_for == Some(from);
        let again = is_campaign && *promised.campaigns.entry(term).or_insert(boot) != boot;
        let contradicts = promised.vote.is_some_and(|(voted_in, candidate)| {
            term < voted_in || (term == voted_in && votes_for.is_some_and(|node| node != candidate))
        });
        if let Some(node) = votes_for
            && promised.vote.is_none_or(|(voted_in, _)| voted_in <= term)
        {
            promised.vote = Some((term, node));
        }
        // The messages of a sound server are S12's and S13's to judge.
        if !matches!(standing, Standing::Forgetful | Standing::Dead) || !(again || contradicts) {
            return Ok(Verdict::Kept);
        }
        promised.broken = true;
        let broken = self.promises.iter().filter(|promised| promised.broken).count();
        if broken >= enough {
            self.exceeded = true;
            return Ok(Verdict::Exceeded);
        }
        Ok(Verdict::Broken)
    }

    /// S21: a server with a new disk sends nothing until a committed configuration binds it. After that it votes only
    /// in later terms.
    fn is_admitted(
        &mut self,
        facts: &Facts,
        place: usize,
        incarnation: Incarnation,
        envelope: &Envelope,
        votes_for: Option<NodeId>,
    ) -> Result<(), Violation> {
        let (from, name) = (envelope.from, envelope.message.name());
        let standing = self.standing(place);
        if standing == Standing::Outside {
            match facts.binding(from, incarnation) {
                Some(binding) => self.note_admission(place, binding.term),
                None => {
                    let message = format!(
                        "server {from} sends {name} with a new disk, and no committed configuration has admitted it"
                    );
                    return violated(Oracle::S21, message);
                }
            }
        }
        if let Standing::Admitted(since) = self.standing(place)
            && votes_for.is_some()
            && envelope.term <= since
        {
            let message = format!(
                "server {from} votes in term {} with a disk that was admitted in term {since}: the lost disk may have voted",
                envelope.term
            );
            return violated(Oracle::S21, message);
        }
        Ok(())
    }

    fn note_admission(&mut self, place: usize, term: Term) {
        if let Some(standing) = self.standings.get_mut(place) {
            *standing = Standing::Admitted(term);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{command, facts, id, node, persist};
    use super::*;
    use raft_core::{Entry, EntryBody, GroupId, PeerSession, Round};
    use std::sync::Arc;

    fn envelope(from: u64, to: u64, term: u64, message: Message) -> Envelope {
        Envelope {
            group: GroupId::new(1),
            cluster: raft_core::ClusterId::UNKNOWN,
            from_boot: raft_core::Boot::new(1, 1),
            from: node(from),
            from_incarnation: Incarnation::new(1),
            to: node(to),
            to_incarnation: None,
            term: Term::new(term),
            message,
        }
    }

    fn granted() -> Message {
        Message::VoteReply { granted: true }
    }

    fn alive() -> Message {
        Message::HeartbeatReply {
            session: PeerSession::new(1),
            round: Round::new(1),
            promise_micros: 0,
            level: raft_core::Level::ZERO,
            halted: false,
            stalled: false,
            wall_time: None,
        }
    }

    fn campaign() -> Message {
        Message::Vote { last: None }
    }

    /// The verdict on `last`, when server 1 of `servers` has sent everything in `said` and its disk then forgot it.
    fn after_forgetting(servers: usize, said: &[(u64, Message)], last: (u64, u64, Message)) -> Verdict {
        let facts = facts(&[], 0);
        let mut budget = Budget::new(servers, servers);
        for (term, message) in said {
            let sent = envelope(1, 2, *term, message.clone());
            assert_eq!(
                budget.sends(&facts, 0, Incarnation::new(1), 1, &sent),
                Ok(Verdict::Kept)
            );
        }
        budget.note(0, Standing::Forgetful);
        let (to, term, message) = last;
        let verdict = budget.sends(&facts, 0, Incarnation::new(1), 2, &envelope(1, to, term, message));
        assert_eq!(budget.is_exceeded(), verdict == Ok(Verdict::Exceeded));
        verdict.expect("S21 is about new disks only")
    }

    #[test]
    fn a_forgotten_vote_exceeds_the_budget_when_it_is_contradicted_and_quorums_share_one_server() {
        let voted = [(3, granted())];
        assert_eq!(after_forgetting(3, &voted, (2, 3, granted())), Verdict::Kept);
        assert_eq!(after_forgetting(3, &voted, (3, 4, granted())), Verdict::Kept);
        assert_eq!(after_forgetting(3, &voted, (3, 3, alive())), Verdict::Kept);
        assert_eq!(after_forgetting(3, &voted, (3, 3, granted())), Verdict::Exceeded);
        assert_eq!(after_forgetting(3, &voted, (3, 2, alive())), Verdict::Exceeded);
        assert_eq!(after_forgetting(4, &voted, (3, 3, granted())), Verdict::Broken);
        assert_eq!(
            after_forgetting(3, &[(3, campaign())], (3, 3, campaign())),
            Verdict::Exceeded
        );
        // The others gave their votes to the start that forgot.
        assert_eq!(
            after_forgetting(4, &[(3, campaign())], (3, 3, campaign())),
            Verdict::Broken
        );
    }

    #[test]
    fn what_a_server_promised_with_a_disk_that_was_replaced_counts_when_that_disk_comes_back() {
        let facts = facts(&[], 0);
        let mut budget = Budget::new(3, 3);
        let sends = |budget: &mut Budget, message| {
            budget.sends(&facts, 0, Incarnation::new(1), 1, &envelope(1, 3, 3, message))
        };
        assert_eq!(
            budget.sends(&facts, 0, Incarnation::new(1), 1, &envelope(1, 2, 3, granted())),
            Ok(Verdict::Kept)
        );
        budget.note(0, Standing::Outside);
        assert_eq!(budget.last_vote(0), Some((Term::new(3), node(2))));
        budget.note(0, Standing::Forgetful);
        assert_eq!(sends(&mut budget, granted()), Ok(Verdict::Exceeded));
    }

    #[test]
    fn s21_reports_a_new_disk_that_takes_part_uninvited_and_one_that_votes_in_the_term_that_let_it_in() {
        let bound = Membership::of_voters([1, 2, 3].map(NodeId::new)).bind([(node(1), Incarnation::new(9))]);
        let binding = Entry {
            id: id(2, 2),
            body: EntryBody::Membership(Arc::new(bound)),
        };
        let before = facts(&[command(1, 1, "a")], 1);
        let after = facts(&[command(1, 1, "a"), binding], 2);
        let mut budget = Budget::new(3, 3);
        budget.note(0, Standing::Outside);
        let mut sends = |facts: &Facts, incarnation, term, message| {
            budget
                .sends(
                    facts,
                    0,
                    Incarnation::new(incarnation),
                    1,
                    &envelope(1, 2, term, message),
                )
                .map_err(|violation| violation.oracle)
        };
        assert_eq!(sends(&before, 9, 0, Message::Hello), Ok(Verdict::Kept));
        assert_eq!(sends(&before, 9, 2, alive()), Err(Oracle::S21));
        assert_eq!(
            sends(&after, 8, 2, alive()),
            Err(Oracle::S21),
            "another disk is bound"
        );
        assert_eq!(sends(&after, 9, 2, alive()), Ok(Verdict::Kept));
        assert_eq!(sends(&after, 9, 2, granted()), Err(Oracle::S21));
        assert_eq!(sends(&after, 9, 3, granted()), Ok(Verdict::Kept));
    }

    #[test]
    fn a_new_disk_is_no_elector_in_a_configuration_of_the_past() {
        let alone = |folder: Option<u64>| {
            let bound = folder.map(|folder| (node(1), Incarnation::new(folder)));
            let membership = Membership::of_voters([node(1)]).bind(bound);
            Entry {
                id: id(1, 1),
                body: EntryBody::Membership(Arc::new(membership)),
            }
        };
        for (folder, is_held) in [(None, true), (Some(1), true), (Some(9), false)] {
            let facts = facts(&[alone(folder), command(1, 2, "a")], 2);
            let mut budget = Budget::new(1, 1);
            let held = |budget: &Budget| budget.is_held(&facts, Some(id(1, 1).index), |_| false);
            assert!(
                !held(&budget),
                "the first disk, which lacks the entry, would elect itself"
            );
            budget.note(0, Standing::Admitted(Term::new(2)));
            budget.note_folder(0, Some(Incarnation::new(9)));
            assert_eq!(held(&budget), is_held, "bound to {folder:?}");
        }
    }

    #[test]
    fn copies_are_enough_while_those_without_one_are_no_quorum() {
        let facts = facts(&[command(1, 1, "a")], 1);
        let mut image = Image::default();
        image.write(&persist(vec![command(1, 1, "a")]), None, usize::MAX);
        let empty = Image::default();
        let held_by = |budget: &Budget, holders: &[usize]| {
            budget.covers_committed(&facts, 0, |place| {
                Some(if holders.contains(&place) { &image } else { &empty })
            })
        };
        let mut budget = Budget::new(3, 3);
        assert!(held_by(&budget, &[0, 1]));
        assert!(!held_by(&budget, &[0]));
        budget.note(1, Standing::Outside);
        assert!(
            held_by(&budget, &[0]),
            "server 2 does not vote, and server 3 alone is not a quorum"
        );
        assert!(Budget::looks_new(3, 2) && !Budget::looks_new(3, 1));
    }
}
