//! What a leader does (paper §5.3, §8): it takes proposals, makes itself heard, and steps down when it does not hear
//! a quorum (dissertation §6.2).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action::{Action, Rejection, TransferOutcome, Waiting};
use crate::message::Message;
use crate::outbox::Promise;
use crate::types::{
    Entry, EntryBody, Incarnation, Index, LogId, NodeId, Payload, PeerSession, ProposalId, Round, Tick,
};

use super::forwarding::Intakes;
use super::leadership_transfer::Handover;
use super::lease::Rounds;
use super::peers::Peers;
use super::progress::Progress;
use super::reads::Reads;
use super::{Proposal, Raft, Role};

#[derive(Debug)]
pub(super) struct Leader {
    pub(super) peers: Peers,
    /// Whether a member may have been met whose data folder the log does not bind yet.
    pub(super) to_bind: bool,
    /// The next session to give to a peer.
    next_session: u64,
    /// This leader's first entry. Nothing is known to be committed before it is (§8), and no reads are answered.
    pub(super) first_own: Index,
    pub(super) uncommitted: Uncommitted,
    pub(super) round: Round,
    pub(super) rounds: Rounds,
    pub(super) reads: Reads,
    pub(super) elected_at: Tick,
    heartbeat_at: Tick,
    pub(super) handover: Option<Handover>,
    /// What it has taken in for other servers.
    pub(super) intakes: Intakes,
}

/// The commands that a leader has appended and not committed, and what they cost.
#[derive(Debug, Default)]
pub(super) struct Uncommitted {
    costs: VecDeque<(Index, usize)>,
    bytes: usize,
}

impl Uncommitted {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn appended(&mut self, command: &Entry) {
        let cost = command.cost_bytes();
        self.costs.push_back((command.id.index, cost));
        self.bytes = self.bytes.saturating_add(cost);
    }

    pub(super) fn committed(&mut self, to: Option<Index>) {
        while let Some((_, cost)) = self.costs.pop_front_if(|(index, _)| Some(*index) <= to) {
            self.bytes = self.bytes.saturating_sub(cost);
        }
    }
}

impl Leader {
    /// When time next matters to it.
    pub(super) fn deadline(&self) -> Tick {
        match &self.handover {
            Some(handover) => self.heartbeat_at.min(handover.gives_up_at()),
            None => self.heartbeat_at,
        }
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.peers.iter()
    }

    pub(super) fn peer(&self, node: NodeId) -> Option<&Progress> {
        self.peers.get(&node)
    }

    pub(super) fn next_session(&mut self) -> PeerSession {
        let session = PeerSession::new(self.next_session);
        self.next_session += 1;
        session
    }
}

impl Raft {
    pub(super) fn become_leader(&mut self) {
        let me = self.me();
        let first_own = self.log.next_index();
        self.role = Role::Leader(Leader {
            peers: Peers::default(),
            to_bind: true,
            next_session: 1,
            first_own,
            uncommitted: Uncommitted::default(),
            round: Round::new(0),
            rounds: Rounds::default(),
            reads: Reads::default(),
            elected_at: self.now,
            heartbeat_at: self.now,
            handover: None,
            intakes: Intakes::default(),
        });
        self.follow_membership();
        self.follow_former_members();
        let term = self.out.term();
        self.role_changed();
        self.out.push(Action::LeaderChanged {
            leader: Some(me),
            term,
        });
        // §8: a no-op of its own term tells a new leader what is committed.
        if !planted!(NO_NOOP) {
            self.append(Entry {
                id: LogId::new(term, first_own),
                body: EntryBody::Noop,
            });
        }
        self.keep_what_was_not_forwarded();
        // §5.2: heartbeats establish its authority at once.
        self.leader_tick();
    }

    /// Gives up what only a leader has. Its proposals stay: the log decides what becomes of them.
    pub(super) fn leave_leadership(&mut self) {
        let leader = self.leader();
        self.fail_reads(Rejection::NotLeader {
            leader: leader.filter(|&node| node != self.me()),
        });
        self.end_snapshot_transfers();
        self.end_handover(TransferOutcome::SteppedDown);
    }

    pub(super) fn leader_tick(&mut self) {
        self.maybe_abort_transfer();
        let next = self.after(self.config.timing.heartbeat_ticks);
        let now = self.now;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if now < leader.heartbeat_at {
            return;
        }
        leader.heartbeat_at = next;
        if !self.hears_a_quorum() && !planted!(LEADS_WITHOUT_QUORUM) {
            // Dissertation §6.2: a leader that was cut off must not keep its clients waiting.
            self.become_follower(None);
            return;
        }
        self.maybe_give_way();
        self.take_leave();
        if self.honours_leases() {
            self.next_round();
        }
        self.broadcast_heartbeat();
        self.probe_what_stalls();
        self.drive_snapshot_transfers();
        self.tell_target_again();
    }

    /// Whether a quorum answered within the shortest election timeout. Only voters count.
    fn hears_a_quorum(&self) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        let patience = if planted!(STEPS_DOWN_LATE) {
            4 * self.config.timing.election_timeout_min_ticks
        } else {
            self.config.timing.election_timeout_min_ticks
        };
        let me = self.me();
        let is_silent = |(_, peer): (NodeId, &Progress)| {
            let heard_at = peer.heard_at.unwrap_or(leader.elected_at);
            self.now.value() - heard_at.value() > patience
        };
        if planted!(NEEDS_EVERYBODY) && leader.peers().any(is_silent) {
            return false;
        }
        self.log.membership().has_quorum(|node| {
            let heard_at = leader
                .peer(node)
                .and_then(|peer| peer.heard_at)
                .unwrap_or(leader.elected_at);
            node == me || self.now.value() - heard_at.value() <= patience
        })
    }

    pub(super) fn broadcast_heartbeat(&mut self) {
        for place in 0.. {
            let Role::Leader(leader) = &self.role else { return };
            let Some((node, peer)) = leader.peers.nth(place) else {
                return;
            };
            let commit = peer.matched().min(self.commit);
            let commit = commit.filter(|_| !planted!(HEARTBEATS_WITHOUT_COMMIT));
            let heartbeat = Message::Heartbeat {
                session: peer.session,
                round: leader.round,
                commit: commit.and_then(|commit| self.log.log_id(commit)),
            };
            self.send(node, Promise::Term, heartbeat);
        }
    }

    pub(super) fn on_propose(&mut self, id: ProposalId, payload: Payload) {
        if !matches!(self.role, Role::Leader(_)) {
            self.forward_proposal(id, payload);
            return;
        }
        let refusal = self
            .check_proposal(&payload, Entry::cost_of_command(payload.len()))
            .and_then(|()| self.check_room_for_proposal());
        if let Err(reason) = refusal {
            self.reject(id, reason, payload);
            return;
        }
        let at = LogId::new(self.out.term(), self.log.next_index());
        let entry = Entry {
            id: at,
            body: EntryBody::Command(payload),
        };
        if let Role::Leader(leader) = &mut self.role {
            leader.uncommitted.appended(&entry);
        }
        self.proposals.push_back(Proposal { id, at });
        self.append(entry);
    }

    /// Whether this leader may append the command, whoever asked for it. Its entry will cost so many bytes.
    pub(super) fn check_proposal(&self, command: &Payload, cost: usize) -> Result<(), Rejection> {
        let Role::Leader(leader) = &self.role else {
            let leader = self.leader();
            return Err(Rejection::NotLeader { leader });
        };
        if let Some(to) = self.transferring_to()
            && !planted!(PROPOSALS_DURING_TRANSFER)
        {
            // Dissertation §3.10: the target can catch up only with a log that does not grow.
            return Err(Rejection::Transferring { to });
        }
        let limits = &self.config.limits;
        let (size, limit) = (command.len(), limits.message_bytes);
        if size > limit {
            return Err(Rejection::TooLarge { size, limit });
        }
        let (waiting, limit) = (leader.uncommitted.bytes(), limits.uncommitted_bytes);
        if waiting > 0 && waiting.saturating_add(cost) > limit {
            let what = Waiting::UncommittedBytes;
            return Err(Rejection::Busy { what, limit });
        }
        Ok(())
    }

    /// Whether one more client of this server may wait for the outcome of a proposal.
    pub(super) fn check_room_for_proposal(&self) -> Result<(), Rejection> {
        let (what, limit) = (Waiting::Proposals, self.config.limits.proposals);
        let waiting = (self.proposals.len())
            .saturating_add(self.overtaken.len())
            .saturating_add(self.forwarding.waiting_proposals());
        if waiting < limit {
            Ok(())
        } else {
            Err(Rejection::Busy { what, limit })
        }
    }

    /// Remembers which data folder a member answers from, when nothing binds it yet. The first one that is met counts.
    pub(super) fn meet(&mut self, from: NodeId, incarnation: Incarnation) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(peer) = leader.peers.get_mut(&from)
        {
            leader.to_bind |= peer.meet(incarnation);
        }
    }

    /// Writes the data folders of members that were met for the first time into the log: see `joining`. Like every
    /// configuration it waits for an entry of the leader's own term to be committed, and for the one before it
    /// (dissertation §4.1 and its correction of 2015).
    pub(super) fn maybe_bind(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        if !leader.to_bind {
            return;
        }
        let settled = self.own_term_is_committed(leader) && self.membership_is_committed();
        if !settled || leader.handover.is_some() {
            return;
        }
        let membership = self.log.membership();
        let unbound = |(node, _): &(NodeId, Incarnation)| {
            membership.contains(*node) && membership.incarnation(*node).is_none()
        };
        let known: Vec<(NodeId, Incarnation)> = self.folders_met(leader).filter(unbound).collect();
        if known.is_empty() {
            if let Role::Leader(leader) = &mut self.role {
                leader.to_bind = false;
            }
            return;
        }
        let bound = membership.bind(known);
        self.append_membership(bound);
    }
}
