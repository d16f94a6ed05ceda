//! L3, L4 and L5: which servers may disturb a leader, and how long a leader without an active quorum may stay.
//!
//! Two kinds of check complement each other. Each server is checked for its own conduct, by its own clock: a server
//! that hears a leader does not help to depose it, a candidate has asked for pre-votes first, and a leader without an
//! active quorum steps down. And the cluster is watched from outside: where a leader and a quorum have been healthy for
//! a while, they keep their roles, whatever the others do.

use std::collections::VecDeque;

use raft_core::{Membership, NodeId, RoleName, Term, Vitals};

use super::membership::{describe, is_quorum};
use super::{Judgement, Oracle, violated};
use crate::nanos::Nanos;
use crate::places::place_of;

/// The most servers that a run has.
pub(crate) const PLACES: usize = 8;

/// What one server has heard since its start, by its own clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Contacts {
    /// When it last heard a leader, until it leads, or that leader asks it to. To campaign is no reason to forget.
    leader_heard: Option<u64>,
    /// Which peers have granted a pre-vote, one bit each, and for which term.
    granted: (Term, u8),
    /// On a leader: when each peer last answered, or when it was elected.
    answered: [u64; PLACES],
    /// On a leader: the peers that have answered since it was elected, one bit each.
    met: u8,
}

impl Contacts {
    /// It has heard the leader that it follows.
    pub(crate) fn hears_leader(&mut self, ticks: u64) {
        self.leader_heard = Some(ticks);
    }

    /// It leads or joins, or its leader wants to be replaced: it has no leader to be loyal to.
    pub(crate) fn has_no_leader(&mut self) {
        self.leader_heard = None;
    }

    /// It was granted a pre-vote for this term.
    pub(crate) fn is_granted(&mut self, ask: Term, by: usize) {
        if self.granted.0 < ask {
            self.granted = (ask, 0);
        }
        if self.granted.0 == ask {
            self.granted.1 |= bit(by);
        }
    }

    /// It becomes the leader.
    pub(crate) fn becomes_leader(&mut self, ticks: u64) {
        self.answered = [ticks; PLACES];
        self.met = 0;
    }

    /// A peer has answered it as the leader that it is.
    pub(crate) fn is_answered(&mut self, by: usize, ticks: u64) {
        if let Some(answered) = self.answered.get_mut(by) {
            *answered = ticks;
            self.met |= bit(by);
        }
    }

    /// L4 (a): a server that has heard its leader within the shortest election timeout does not help another server to
    /// replace it, by granting a pre-vote or by moving on to a candidate's term (dissertation §4.2.3, §9.6).
    pub(crate) fn is_loyal(&self, node: NodeId, candidate: NodeId, ticks: u64, shortest: u64) -> Judgement {
        match self.hears(ticks, shortest) {
            Some(ago) => violated(
                Oracle::L4,
                format!(
                    "server {node} heard its leader {ago} ticks ago, but helps {candidate} to replace it"
                ),
            ),
            None => Ok(()),
        }
    }

    /// How many ticks ago it heard a leader, if that was within the shortest election timeout.
    fn hears(&self, ticks: u64, shortest: u64) -> Option<u64> {
        let ago = ticks.saturating_sub(self.leader_heard?);
        (ago < shortest).then_some(ago)
    }

    /// L4 (a): a server raises its term only after a quorum has said that it would vote for it (dissertation §9.6), so
    /// that a server that was partitioned does not disturb the others when it comes back. Its own pre-vote is one that it
    /// would grant to others.
    pub(crate) fn has_pre_votes(
        &self,
        node: NodeId,
        term: Term,
        membership: &Membership,
        (ticks, shortest): (u64, u64),
    ) -> Judgement {
        let own = self.hears(ticks, shortest).is_none();
        let granted = |voter: NodeId| {
            (voter == node && own) || (self.granted.0 == term && self.granted.1 & bit(place_of(voter)) != 0)
        };
        if membership.has_quorum(granted) {
            return Ok(());
        }
        let message = format!("server {node} campaigns in term {term} without the pre-votes of a quorum");
        violated(Oracle::L4, message)
    }

    /// Whether a peer has answered it within the shortest election timeout, as the leader that it is.
    pub(crate) fn has_just_heard(&self, peer: NodeId, ticks: u64, shortest: u64) -> bool {
        let answered = self.answered.get(place_of(peer));
        answered.is_some_and(|&at| ticks.saturating_sub(at) < shortest)
    }

    /// S18: a change that is not forced leads to voters of which a quorum has answered the leader since its election,
    /// within the shortest election timeout.
    pub(crate) fn leaves_a_healthy_quorum(
        &self,
        node: NodeId,
        ticks: u64,
        shortest: u64,
        changed: &Membership,
    ) -> Judgement {
        let is_healthy = |voter: NodeId| {
            let place = place_of(voter);
            let answered = self.answered.get(place);
            let is_recent = answered.is_some_and(|&at| ticks.saturating_sub(at) <= shortest);
            voter == node || (self.met & bit(place) != 0 && is_recent)
        };
        if is_quorum(changed, is_healthy) {
            return Ok(());
        }
        let message = format!(
            "server {node} makes a change that nobody forces to {}, of which it has heard no quorum for {shortest} ticks",
            describe(changed)
        );
        violated(Oracle::S18, message)
    }

    /// L5: a leader has heard from a quorum within twice the shortest election timeout (dissertation §6.2).
    pub(crate) fn has_active_quorum(
        &self,
        node: NodeId,
        ticks: u64,
        shortest: u64,
        membership: &Membership,
    ) -> Judgement {
        let heard = |voter: NodeId| {
            let answered = self.answered.get(place_of(voter));
            voter == node || answered.is_some_and(|&at| ticks.saturating_sub(at) <= 2 * shortest)
        };
        if membership.has_quorum(heard) {
            return Ok(());
        }
        let message = format!(
            "server {node} still leads, but has not heard from a quorum for {} ticks, twice an election timeout",
            2 * shortest
        );
        violated(Oracle::L5, message)
    }
}

/// The writes that a server waits for, by its own clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog {
    /// The writes and when they were issued, the oldest first.
    writes: VecDeque<(u64, u64)>,
    /// Since when it has led with a stalled disk although another server could lead.
    outstays_since: Option<u64>,
}

impl Backlog {
    /// It issues a write that it waits for.
    pub(crate) fn issued(&mut self, ticket: u64, ticks: u64) {
        self.writes.push_back((ticket, ticks));
    }

    /// It is told that everything up to this ticket is durable.
    pub(crate) fn told(&mut self, ticket: u64) {
        while self
            .writes
            .pop_front_if(|(issued, _)| *issued <= ticket)
            .is_some()
        {}
    }

    /// Whether the oldest write takes longer than any election.
    pub(crate) fn stalls(&self, ticks: u64, longest: u64) -> bool {
        let oldest = self.writes.front();
        oldest.is_some_and(|(_, issued)| ticks.saturating_sub(*issued) > longest)
    }

    /// L5: a leader whose disk stalls steps down at its next heartbeat. It may stay as long as no other server could
    /// lead.
    pub(crate) fn yields_when_stalled(
        &mut self,
        node: NodeId,
        ticks: u64,
        heartbeat: u64,
        outstays: bool,
    ) -> Judgement {
        if !outstays {
            self.outstays_since = None;
            return Ok(());
        }
        let since = *self.outstays_since.get_or_insert(ticks);
        if ticks.saturating_sub(since) <= heartbeat {
            return Ok(());
        }
        let message = format!(
            "server {node} has led for {} ticks with a stalled disk, although another server could lead",
            ticks.saturating_sub(since)
        );
        violated(Oracle::L5, message)
    }
}

/// The servers that have been healthy together with a leader, both ways, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    leader: Option<(usize, Term)>,
    since: [Option<Nanos>; PLACES],
}

impl Order {
    /// The cluster was surveyed: these servers, the leader among them, are healthy.
    pub(crate) fn survey(&mut self, now: Nanos, leader: Option<(usize, Term)>, healthy: u8) {
        if self.leader != leader {
            *self = Self {
                leader,
                ..Self::default()
            };
        }
        for (place, since) in self.since.iter_mut().enumerate() {
            match healthy & bit(place) {
                0 => *since = None,
                _ => _ = since.get_or_insert(now),
            }
        }
    }

    /// Something has happened that may disturb every server.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Something has happened that may disturb this server.
    pub(crate) fn disturb(&mut self, place: usize) {
        if self.leads(place) {
            self.reset();
        } else if let Some(since) = self.since.get_mut(place) {
            *since = None;
        }
    }

    /// Whether this server leads the healthy ones.
    pub(crate) fn leads(&self, place: usize) -> bool {
        self.leader.is_some_and(|(leader, _)| leader == place)
    }

    /// The leader of the healthy servers, and its term.
    pub(crate) const fn leader(&self) -> Option<(usize, Term)> {
        self.leader
    }

    /// Whether the server has been healthy for so long.
    pub(crate) fn lasts(&self, place: usize, now: Nanos, settled: Nanos) -> bool {
        let since = self.since.get(place).copied().flatten();
        since.is_some_and(|since| now.since(since) >= settled)
    }

    /// The servers that have been healthy for so long, one bit each.
    pub(crate) fn lasting(&self, now: Nanos, settled: Nanos) -> u8 {
        let lasting = (0..PLACES).filter(|&place| self.lasts(place, now, settled));
        lasting.map(bit).fold(0, |set, bit| set | bit)
    }

    /// L3 and L4 (b): a server changes its role, its term or its leader. It may, unless it belongs to a quorum that has
    /// been healthy with its leader for long enough.
    pub(crate) fn may_change(
        &self,
        server: (usize, NodeId),
        change: (&Vitals, &Vitals),
        membership: &Membership,
        now: Nanos,
        settled: Nanos,
    ) -> Judgement {
        let (place, node) = server;
        let (before, after) = change;
        if (before.role, before.term, before.leader) == (after.role, after.term, after.leader) {
            return Ok(());
        }
        let lasting = self.lasting(now, settled);
        let is_lasting = |node: NodeId| lasting & bit(place_of(node)) != 0;
        if lasting & bit(place) == 0 || !membership.has_quorum(is_lasting) {
            return Ok(());
        }
        let is_all = membership.members().all(is_lasting);
        let oracle = if is_all { Oracle::L4 } else { Oracle::L3 };
        let who = if is_all { "every server" } else { "a quorum" };
        let RoleAnd { role, term } = RoleAnd::of(after);
        let message = format!(
            "server {node} becomes {role:?} of term {term}, although {who} has been healthy together with the leader of term {} for {settled}",
            before.term
        );
        violated(oracle, message)
    }
}

struct RoleAnd {
    role: RoleName,
    term: Term,
}

impl RoleAnd {
    const fn of(vitals: &Vitals) -> Self {
        Self {
            role: vitals.role,
            term: vitals.term,
        }
    }
}

/// The bit of a server in a set.
pub(crate) const fn bit(place: usize) -> u8 {
    if place < PLACES { 1 << place } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{node, reports, three, vitals};
    use super::*;

    const SHORTEST: u64 = 15;

    #[test]
    fn l3_reports_a_leader_that_leaves_a_healthy_quorum() {
        let settled = Nanos::from_millis(600);
        let (leads, steps_down) = (
            vitals(RoleName::Leader, 4, None, 0),
            vitals(RoleName::Follower, 4, None, 0),
        );
        let change = |order: &Order, now| {
            order.may_change(
                (0, node(1)),
                (&leads, &steps_down),
                &three(),
                Nanos::from_millis(now),
                settled,
            )
        };
        let mut order = Order::default();
        order.survey(Nanos::ZERO, Some((0, Term::new(4))), 0b011);
        assert_eq!(change(&order, 500), Ok(()), "it may have begun badly");
        reports(Oracle::L3, change(&order, 600));
        let moved = order.may_change((2, node(3)), (&leads, &steps_down), &three(), settled, settled);
        assert_eq!(moved, Ok(()), "server 3 is not among them");
        order.disturb(1);
        assert_eq!(change(&order, 600), Ok(()), "one of three is not a quorum");
    }

    #[test]
    fn l4_reports_an_election_while_every_server_is_healthy() {
        let settled = Nanos::from_millis(600);
        let (follows, campaigns) = (
            vitals(RoleName::Follower, 4, None, 0),
            vitals(RoleName::PreCandidate, 4, None, 0),
        );
        let mut order = Order::default();
        order.survey(Nanos::ZERO, Some((0, Term::new(4))), 0b111);
        order.survey(settled, Some((0, Term::new(4))), 0b111);
        let change = |order: &Order| {
            order.may_change((2, node(3)), (&follows, &campaigns), &three(), settled, settled)
        };
        reports(Oracle::L4, change(&order));
        order.survey(settled, Some((1, Term::new(5))), 0b111);
        assert_eq!(
            change(&order),
            Ok(()),
            "a new leader's followers have to settle again"
        );
    }

    #[test]
    fn l4_reports_disloyalty_and_a_campaign_without_pre_votes() {
        let mut contacts = Contacts::default();
        assert_eq!(contacts.is_loyal(node(1), node(2), 100, SHORTEST), Ok(()));
        contacts.hears_leader(90);
        reports(Oracle::L4, contacts.is_loyal(node(1), node(2), 100, SHORTEST));
        assert_eq!(contacts.is_loyal(node(1), node(2), 105, SHORTEST), Ok(()));
        contacts.has_no_leader();
        assert_eq!(contacts.is_loyal(node(1), node(2), 100, SHORTEST), Ok(()));

        reports(
            Oracle::L4,
            contacts.has_pre_votes(node(1), Term::new(5), &three(), (100, SHORTEST)),
        );
        contacts.is_granted(Term::new(5), 2);
        let judge = |contacts: &Contacts, ticks| {
            contacts.has_pre_votes(node(1), Term::new(5), &three(), (ticks, SHORTEST))
        };
        assert_eq!(judge(&contacts, 100), Ok(()));
        contacts.hears_leader(100);
        reports(Oracle::L4, judge(&contacts, 114));
        assert_eq!(judge(&contacts, 115), Ok(()));
        contacts.is_granted(Term::new(6), 1);
        reports(Oracle::L4, judge(&contacts, 115));
    }

    #[test]
    fn l5_reports_a_leader_that_leads_on_with_a_stalled_disk() {
        let (longest, heartbeat) = (30, 10);
        let mut backlog = Backlog::default();
        backlog.issued(1, 100);
        backlog.issued(2, 120);
        assert!(!backlog.stalls(130, longest));
        assert!(backlog.stalls(131, longest));
        backlog.told(1);
        assert!(!backlog.stalls(150, longest), "the second write is younger");
        assert!(backlog.stalls(151, longest));

        assert_eq!(backlog.yields_when_stalled(node(1), 151, heartbeat, true), Ok(()));
        assert_eq!(backlog.yields_when_stalled(node(1), 161, heartbeat, true), Ok(()));
        reports(
            Oracle::L5,
            backlog.yields_when_stalled(node(1), 162, heartbeat, true),
        );
        assert_eq!(
            backlog.yields_when_stalled(node(1), 163, heartbeat, false),
            Ok(())
        );
        assert_eq!(backlog.yields_when_stalled(node(1), 164, heartbeat, true), Ok(()));
    }

    #[test]
    fn s18_reports_a_change_that_leaves_no_healthy_quorum() {
        let mut contacts = Contacts::default();
        contacts.becomes_leader(100);
        let judge =
            |contacts: &Contacts, ticks| contacts.leaves_a_healthy_quorum(node(1), ticks, SHORTEST, &three());
        reports(Oracle::S18, judge(&contacts, 101));
        contacts.is_answered(2, 105);
        assert_eq!(judge(&contacts, 120), Ok(()));
        reports(Oracle::S18, judge(&contacts, 121));
        contacts.becomes_leader(121);
        reports(Oracle::S18, judge(&contacts, 121));
    }

    #[test]
    fn l5_reports_a_leader_without_an_active_quorum_that_stays() {
        let mut contacts = Contacts::default();
        contacts.becomes_leader(100);
        let judge =
            |contacts: &Contacts, ticks| contacts.has_active_quorum(node(1), ticks, SHORTEST, &three());
        assert_eq!(judge(&contacts, 130), Ok(()));
        reports(Oracle::L5, judge(&contacts, 131));
        contacts.is_answered(2, 120);
        assert_eq!(judge(&contacts, 150), Ok(()));
    }
}
