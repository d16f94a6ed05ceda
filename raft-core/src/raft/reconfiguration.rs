//! Changes of the configuration (paper §6; dissertation chapter 4): when a leader may append one, what it does when one
//! is committed, and how those that leave take their leave.
//!
//! A configuration is in force from the moment it is appended, and taken back when it is cut off. Three rules keep any
//! two quorums that can decide at the same time overlapping:
//!
//! * one uncommitted configuration at a time, judged where the next one would be appended: a new leader may inherit
//!   two;
//! * an entry of the leader's own term is committed first (the correction of 2015 to dissertation §4.1);
//! * servers come and go one at a time, or through a joint configuration (§4.3).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::{Action, ChangeRejection, Rejection};
use crate::input::Expected;
use crate::membership::{Change, Membership};
use crate::types::{Entry, EntryBody, Incarnation, Index, LogId, NodeId, ProposalId, Round, Tick, Ticket};

use super::leader::Leader;
use super::progress::Progress;
use super::{Proposal, Raft, Role};

/// How many of the longest election timeouts a server that was removed is fed, if it does not say that it knows.
const FAREWELL_TIMEOUTS: u64 = 10;

/// A peer that the configuration in force does not name any more.
#[derive(Debug)]
pub(super) struct Leaving {
    /// The entry that removes it.
    removal: Option<Index>,
    gives_up_at: Tick,
    /// The round in which it was told that its removal is committed.
    told: Option<Round>,
}

impl Raft {
    pub(super) fn on_change_membership(&mut self, id: ProposalId, expect: Expected, change: Change) {
        match self.judge_change(expect, &change) {
            Ok(membership) => {
                let at = LogId::new(self.out.term(), self.log.next_index());
                self.proposals.push_back(Proposal { id, at });
                self.append_membership(membership);
            }
            Err(reason) => self.reject_change(id, reason, change),
        }
    }

    pub(super) fn reject_change(&mut self, id: ProposalId, reason: ChangeRejection, change: Change) {
        self.out.push(Action::ChangeRejected { id, reason, change });
    }

    /// The configuration to append, or why none is.
    fn judge_change(&self, expect: Expected, change: &Change) -> Result<Membership, ChangeRejection> {
        let Role::Leader(leader) = &self.role else {
            let leader = self.leader();
            return Err(Rejection::NotLeader { leader }.into());
        };
        if let Some(to) = self.transferring_to() {
            return Err(Rejection::Transferring { to }.into());
        }
        self.check_room_for_proposal()?;
        if !self.own_term_is_committed(leader) {
            return Err(ChangeRejection::NotReady);
        }
        let current = self.log.membership_id();
        if !self.membership_is_committed() || self.log.membership().is_joint() {
            return Err(ChangeRejection::InProgress { current });
        }
        if !expect.is(current) && !planted!(IGNORES_EXPECTATION) {
            return Err(ChangeRejection::Outdated { current });
        }
        let before = self.log.membership();
        let changed = before.changed(change)?;
        let lagging = changed
            .voters()
            .filter(|&node| !before.is_voter(node))
            .find(|&node| !self.has_caught_up(leader, node));
        if let Some(node) = lagging {
            let matched = leader.peer(node).and_then(Progress::matched);
            return Err(ChangeRejection::NotCaughtUp { node, matched });
        }
        if !changed.voters().eq(before.voters())
            && let Some(node) = changed.voters().find(|&node| before.incarnation(node).is_none())
        {
            // An unbound server takes no part before its binding is committed (see `joining`). A quorum that needs it
            // could never commit that binding.
            return Err(ChangeRejection::NotJoined { node });
        }
        Ok(changed.bind(self.folders_met(leader)))
    }

    /// Dissertation §4.1, corrected 2015: before that, a leader might not know of a configuration that another one has
    /// committed, and a change from the one before could give two disjoint majorities.
    pub(super) fn own_term_is_committed(&self, leader: &Leader) -> bool {
        planted!(CHANGES_BEFORE_OWN_COMMIT) || self.commit >= Some(leader.first_own)
    }

    /// Whether the configuration in force is committed: no other one is appended before.
    pub(super) fn membership_is_committed(&self) -> bool {
        planted!(CHANGES_BEFORE_LAST_CHANGE) || self.log.membership_id().map(|id| id.index) <= self.commit
    }

    /// Dissertation §4.2.1: whether the learner would not hold up commitment if it voted. It answers, and it either has
    /// everything, or the last round of replication, which brought what the log held when the round began, took
    /// no longer than the shortest election timeout, and neither has the present one so far.
    fn has_caught_up(&self, leader: &Leader, node: NodeId) -> bool {
        let patience = self.config.timing.election_timeout_min_ticks;
        let last = self.log.last_index();
        leader
            .peer(node)
            .is_some_and(|peer| peer.has_caught_up(last, self.now, patience))
    }

    /// The data folders that members have answered from, and our own. Whoever is leaving may come back with another
    /// one.
    pub(super) fn folders_met(&self, leader: &Leader) -> impl Iterator<Item = (NodeId, Incarnation)> {
        let met = leader
            .peers()
            .filter(|(_, peer)| peer.leaving.is_none())
            .filter_map(|(node, peer)| Some((node, peer.incarnation?)));
        met.chain([(self.me(), self.out.identity().incarnation)])
    }

    pub(super) fn append_membership(&mut self, membership: Membership) {
        let id = LogId::new(self.out.term(), self.log.next_index());
        self.append(Entry {
            id,
            body: EntryBody::Membership(Arc::new(membership)),
        });
        // By other quorums, what was answered before may be enough, and those who are left may have nothing more to
        // say. Commitment is looked at when the entry is durable here.
        self.confirm_reads();
    }

    /// Dissertation §4.3: once the joint configuration is committed, any leader makes the one that it leads to, also of
    /// a change that an earlier leader began. No limit holds this back.
    pub(super) fn maybe_leave_joint(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let membership = self.log.membership();
        if membership.is_joint()
            && leader.handover.is_none()
            && self.own_term_is_committed(leader)
            && (planted!(LEAVES_JOINT_EARLY) || self.membership_is_committed())
            && !(planted!(STAYS_JOINT)
                && self.log.membership_id().map(|id| id.index) < Some(leader.first_own))
        {
            let left = membership.left();
            self.append_membership(left);
        }
    }

    /// §4.2.2: a server campaigns for as long as it votes in the configuration in force or in the last that it knows to
    /// be committed. Its removal may be taken back before that, and the cluster may need it to get it committed. A
    /// server that knows that its removal is committed keeps silent. A witness always does: it could give nobody what
    /// the log says.
    pub(super) fn may_campaign(&self) -> bool {
        let (_, committed) = self.log.membership_at(self.commit);
        let is_learner = |me| committed.contains(me) && !committed.is_voter(me);
        let votes = self.is_voter()
            || committed.is_voter(self.me())
            || planted!(REMOVED_CAMPAIGN)
            || (planted!(LEARNERS_CAMPAIGN) && is_learner(self.me()));
        votes && (!self.is_witness() || planted!(WITNESS_CAMPAIGNS))
    }

    /// Another configuration is committed.
    pub(super) fn membership_committed(&mut self) {
        let me = self.me();
        let (_, committed) = self.log.membership_at(self.commit);
        if !committed.is_voter(me) && !planted!(REMOVED_LEADER_STAYS) {
            self.resign();
        }
        self.maybe_give_up_proposals();
    }

    /// Whether neither the configuration in force nor the last that is known to be committed names this server: a
    /// leader that takes its leave of it, or knows nothing of it, sends it no more.
    pub(super) fn is_outside(&self) -> bool {
        let me = self.me();
        let (_, committed) = self.log.membership_at(self.commit);
        !committed.contains(me) && !self.log.membership().contains(me)
    }

    /// §4.2.2: a leader steps down when the configuration without it is committed. It names a successor first (§3.10),
    /// so that nobody need wait for an election timeout: of the voters that answer, the one that holds most.
    fn resign(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        match self.successor(leader) {
            Some(successor) => self.hand_over(successor),
            None => self.become_follower(None),
        }
    }

    /// Nobody sends the log to a server that was removed: what became of proposals behind its removal it will never
    /// learn. It knows of that when its removal commits, or when an uncommitted return is cut off.
    pub(super) fn maybe_give_up_proposals(&mut self) {
        if !self.is_outside() {
            return;
        }
        while let Some(proposal) = self
            .proposals
            .pop_back_if(|proposal| Some(proposal.at.index) > self.commit)
        {
            self.out.push(Action::Unknown { id: proposal.id });
        }
        for proposal in self.overtaken.drain(..) {
            self.out.push(Action::Unknown { id: proposal.id });
        }
        self.give_up_all_forwarded();
    }

    /// Feeds whoever is a member now, from `next` on. Whoever is not any more is fed until it knows, or for a while;
    /// whoever comes back starts a new session, so that no answer to an old one counts.
    pub(super) fn follow_membership(&mut self) {
        let membership = Arc::clone(self.log.membership());
        let removal = self.log.membership_id().map(|id| id.index);
        let (me, now, next) = (self.me(), self.now, self.log.next_index());
        let gives_up_at = self.farewell_ends_at();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let mut ended = Vec::new();
        leader.to_bind = true;
        for (node, peer) in leader.peers.iter_mut() {
            if !membership.contains(node) && peer.leaving.is_none() {
                peer.leaving = Some(Leaving {
                    removal,
                    gives_up_at,
                    told: None,
                });
            }
        }
        for node in membership.members().filter(|&node| node != me) {
            if leader.peers.get(&node).is_none_or(|peer| peer.leaving.is_some()) {
                let folder = membership.incarnation(node);
                let mut peer = Progress::new(leader.next_session(), folder, next, now);
                peer.is_witness = membership.is_witness(node);
                let former = leader.peers.insert(node, peer);
                ended.extend(former.and_then(|mut former| Some(former.transfer()?.ticket)));
            }
        }
        self.snapshots_ended(ended);
    }

    /// A new leader takes leave as well of those that its predecessors removed, as far as its log remembers them: the
    /// one that removed them may have been gone before they knew, not least because it was removed with them.
    pub(super) fn follow_former_members(&mut self) {
        let me = self.me();
        let (now, next, gives_up_at) = (self.now, self.log.next_index(), self.farewell_ends_at());
        let removal = self.log.membership_id().map(|id| id.index);
        let membership = self.log.membership();
        let named = self.log.memberships();
        let former: BTreeMap<NodeId, (Option<Incarnation>, bool)> = named
            .flat_map(|former| {
                let known = |node| (former.incarnation(node), former.is_witness(node));
                former.members().map(move |node| (node, known(node)))
            })
            .filter(|(node, _)| *node != me && !membership.contains(*node))
            .collect();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for (node, (folder, is_witness)) in former {
            let mut peer = Progress::new(leader.next_session(), folder, next, now);
            peer.is_witness = is_witness;
            peer.leaving = Some(Leaving {
                removal,
                gives_up_at,
                told: None,
            });
            leader.peers.insert(node, peer);
        }
    }

    fn farewell_ends_at(&self) -> Tick {
        let longest = self.config.timing.election_timeout_max_ticks;
        self.after(longest.saturating_mul(FAREWELL_TIMEOUTS))
    }

    /// With every heartbeat: tells those that have their removal that it is committed, in a round of its own, and
    /// forgets those that have answered, or that do not answer for too long. Called before the heartbeats leave.
    pub(super) fn take_leave(&mut self) {
        let (now, commit) = (self.now, self.commit);
        let base = self.log.base().map(|base| base.index);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let telling = Round::new(leader.round.value() + 1);
        let mut told_somebody = false;
        let mut ended = Vec::new();
        leader.peers.retain(|_, peer| {
            let (matched, confirmed) = (peer.matched(), peer.round);
            let Some(leaving) = &mut peer.leaving else {
                return true;
            };
            // The heartbeat names the entry that it says is committed, so it must be one whose term this log knows.
            let names = leaving.removal.max(base);
            if leaving.told.is_none() && matched.min(commit) >= names {
                leaving.told = Some(telling);
                told_somebody = true;
            }
            let stays = now < leaving.gives_up_at && leaving.told.is_none_or(|told| confirmed < told);
            if !stays {
                ended.extend(peer.transfer().map(|transfer| transfer.ticket));
            }
            stays
        });
        if told_somebody {
            leader.round = telling;
        }
        self.snapshots_ended(ended);
    }

    fn snapshots_ended(&mut self, tickets: Vec<Ticket>) {
        for ticket in tickets {
            self.out.push(Action::SnapshotEnded { ticket });
        }
    }
}
