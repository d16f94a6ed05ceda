//! Linearizable reads without writing to the log: ReadIndex (paper §8; dissertation §6.4), in rounds, so that any
//! number of reads share one exchange of heartbeats.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::action::{Action, Rejection, Waiting};
use crate::types::{Index, NodeId, ReadId, Round};

use super::{Raft, Role};

/// Reads on a leader that are not confirmed yet.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Came before the leader knew what is committed: queued, not dropped.
    early: Vec<ReadId>,
    /// Came since the last round began; the next round confirms them.
    fresh: Vec<(ReadId, Index)>,
    /// Wait for a quorum to confirm the round.
    asked: VecDeque<(Round, ReadId, Index)>,
}

impl Reads {
    fn len(&self) -> usize {
        self.early.len() + self.fresh.len() + self.asked.len()
    }
}

impl Raft {
    pub(super) fn on_read(&mut self, id: ReadId) {
        let limit = self.config.limits.reads;
        let waiting = self.confirmed_reads.len();
        let hint = self.leader();
        let Role::Leader(leader) = &mut self.role else {
            self.out.push(Action::ReadRejected {
                id,
                reason: Rejection::NotLeader { leader: hint },
            });
            return;
        };
        if leader.reads.len().saturating_add(waiting) >= limit {
            let reason = Rejection::Busy {
                what: Waiting::Reads,
                limit,
            };
            self.out.push(Action::ReadRejected { id, reason });
            return;
        }
        leader.reads.early.push(id);
        self.release_waiting_reads();
    }

    /// Dissertation §6.4, step 1: a leader that has committed nothing in its term does not know the latest commit index.
    pub(super) fn release_waiting_reads(&mut self) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        // From the first own commit on, the commit index is at least everything that any leader before committed.
        if let Some(index) = self
            .commit
            .filter(|&commit| commit >= leader.first_own || planted!(READS_BEFORE_OWN_COMMIT))
        {
            leader
                .reads
                .fresh
                .extend(leader.reads.early.drain(..).map(|id| (id, index)));
        }
    }

    /// Step 3: begins a round for the reads that came since the last one. Only answers to messages sent from now on confirm it.
    pub(super) fn begin_round(&mut self) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.reads.fresh.is_empty() {
            return;
        }
        if leader.reads.asked.is_empty() || !planted!(READS_JOIN_EARLIER_ROUND) {
            leader.round = Round::new(leader.round.value() + 1);
        }
        let round = leader.round;
        let fresh = leader.reads.fresh.drain(..);
        leader
            .reads
            .asked
            .extend(fresh.map(|(id, index)| (round, id, index)));
        self.broadcast_heartbeat();
        // A quorum of one needs nobody else's word.
        self.confirm_reads();
    }

    /// A peer has answered a message of this round.
    pub(super) fn confirm_round(&mut self, from: NodeId, round: Round) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let latest = leader.round;
        let Some(peer) = leader.peers.get_mut(&from) else {
            return;
        };
        if round > latest {
            self.ignored.malformed += 1;
        } else if round > peer.round {
            peer.round = round;
            self.confirm_reads();
        }
    }

    fn confirm_reads(&mut self) {
        let me = self.me();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let peers = &leader.peers;
        let membership = self.log.membership();
        while let Some((_, id, index)) = leader.reads.asked.pop_front_if(|(round, ..)| {
            let confirms = |node| node == me || peers.get(&node).is_some_and(|peer| peer.round >= *round);
            planted!(READS_WITHOUT_QUORUM) || membership.has_quorum(confirms)
        }) {
            self.confirmed_reads.push_back((id, index));
        }
        self.answer_reads();
    }

    /// Step 4: a read is answered once the state machine has caught up with it.
    pub(super) fn answer_reads(&mut self) {
        let applied = self.applied;
        while let Some((id, index)) = self
            .confirmed_reads
            .pop_front_if(|(_, index)| Some(*index) <= applied || planted!(READS_BEFORE_APPLY))
        {
            self.out.push(Action::ReadReady { id, index });
        }
    }

    /// Ends the reads that are not confirmed. Those that are stay valid, whoever leads now.
    pub(super) fn fail_reads(&mut self, reason: Rejection) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let reads = core::mem::take(&mut leader.reads);
        if planted!(FORGETS_READS) {
            return;
        }
        let unconfirmed = (reads.early.into_iter())
            .chain(reads.fresh.into_iter().map(|(id, _)| id))
            .chain(reads.asked.into_iter().map(|(_, id, _)| id));
        for id in unconfirmed {
            self.out.push(Action::ReadRejected { id, reason });
        }
    }
}
