//! When an entry counts as committed (paper §5.3, §5.4.2), and what follows from it for a leader.

use alloc::collections::VecDeque;

use crate::queue::Ends;
use crate::types::{Entry, Index};

use super::{Leader, Next, STAY, Server, Transition};

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

    fn committed(&mut self, to: Option<Index>) {
        while let Some((_, cost)) = self.costs.take_front_if(|(index, _)| Some(*index) <= to) {
            unless_planted!(
                KEEPS_UNCOMMITTED_COSTS,
                self.bytes = self.bytes.saturating_sub(cost)
            );
        }
    }

    /// Checks that the bytes are those of the commands after the commit index: all of them, and no others.
    pub(super) fn check(&self, commit: Option<Index>) -> Result<(), &'static str> {
        if self
            .costs
            .front()
            .is_some_and(|(first, _)| Some(*first) <= commit)
        {
            return Err("a committed command counts as uncommitted");
        }
        if self.costs.iter().map(|(_, cost)| cost).sum::<usize>() != self.bytes {
            return Err("the uncommitted bytes are not the sum of the uncommitted commands");
        }
        Ok(())
    }
}

impl Leader {
    /// A leader's commit rule (paper, Figure 2, Leaders, last rule): an entry of its own term that a quorum holds
    /// durably is committed, and everything before it.
    pub(in crate::raft) fn maybe_commit(&mut self, server: &mut Server) -> Next {
        let me = server.me();
        // A leader is a voter like the others: an entry that is not durable here does not count here.
        let own = plant!(server.out.durable_index(), LEADER_COUNTS_UNSYNCED => server.log.last_index());
        let own = own.filter(|_| server.counts_itself());
        let reached = |node| {
            if node == me {
                own
            } else {
                self.peer(node).and_then(|peer| peer.matched())
            }
        };
        let held_by_quorum = server.log.membership().quorum_index(reached);
        // §5.4.2: only entries of the leader's own term commit by counting. Those before come along (Figure 8 says why).
        let counts = held_by_quorum >= Some(self.first_own);
        let counts = plant!(counts, COMMITS_OLD_TERMS => true);
        if !counts {
            return STAY;
        }
        self.advance_commit(server, held_by_quorum)
    }

    fn advance_commit(&mut self, server: &mut Server, to: Option<Index>) -> Next {
        let commits_membership = server.advance_commit(to);
        self.uncommitted.committed(server.commit);
        self.release_early_reads(server);
        if commits_membership {
            self.on_membership_committed(server)?;
        }
        STAY
    }

    /// §4.2.2: a leader steps down when the configuration without it is committed. It names a successor first (§3.10),
    /// so that the cluster need not wait for an election timeout: of the voters that answer, the one that holds most.
    fn on_membership_committed(&mut self, server: &mut Server) -> Next {
        let (_, committed) = server.log.membership_at(server.commit);
        let stays = committed.is_voter(server.me());
        let stays = plant!(stays, REMOVED_LEADER_STAYS => true);
        if !stays {
            return match self.successor(server) {
                Some(successor) => self.hand_over(server, successor),
                None => Transition::Follow(None).into(),
            };
        }
        server.maybe_give_up_proposals();
        STAY
    }
}
