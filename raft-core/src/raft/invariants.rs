//! What must always hold within one server. It runs after every step in debug builds and in the simulator; what must
//! hold between servers is the simulator's to check.

use super::leader::Leader;
use super::{Raft, Role};
use crate::types::{Index, LogId};

impl Raft {
    /// Checks every invariant of this server, in time linear in the number of its peers, of its terms, and of what it
    /// has passed on.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken: a bug of this crate.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.log.check()?;
        let last = self.log.last_index();
        let base = self.log.base().map(|base| base.index);
        let covered = self.log.snapshot().map(|meta| meta.last.index);
        if self.applied > self.commit {
            return Err("applied is beyond commit");
        }
        if self.commit > last {
            return Err("commit is beyond the log");
        }
        if self.applied > self.out.durable_index().max(covered) {
            return Err("applied is beyond what is durable");
        }
        if self.out.durable_index() > last {
            return Err("durable is beyond the log");
        }
        if base > covered || (self.installing.is_none() && self.applying.is_none() && covered > self.applied)
        {
            return Err("purged ≤ snapshot ≤ applied does not hold");
        }
        if self.log.last().is_some_and(|last| last.term > self.out.term()) {
            return Err("an entry is of a later term than the server's");
        }
        self.forwarding.check()?;
        if let Role::Leader(leader) = &self.role {
            if leader.first_own > Index::after(last) {
                return Err("a leader's first entry is beyond its log");
            }
            self.check_membership(leader)?;
            leader.rounds.check(self.config.lease_ticks())?;
            for (_, peer) in leader.peers() {
                peer.check(last)?;
            }
        }
        Ok(())
    }

    /// What must hold of a leader's configuration, of its peers and of what it appended.
    fn check_membership(&self, leader: &Leader) -> Result<(), &'static str> {
        let membership = self.log.membership();
        let is_target = |to| to != self.me() && membership.voters().any(|voter| voter == to);
        if leader
            .handover
            .as_ref()
            .is_some_and(|handover| !is_target(handover.to))
        {
            return Err("leadership is handed over to nobody who could take it");
        }
        if leader
            .peers()
            .any(|(node, peer)| membership.contains(node) == peer.leaving.is_some())
        {
            return Err("a member is taken leave of, or a stranger is fed");
        }
        let named = (membership.voters().chain(membership.outgoing())).chain(membership.learners());
        let mut others = named.filter(|&node| node != self.me());
        if others.any(|node| leader.peer(node).is_none()) {
            return Err("a leader does not know how far a member is");
        }
        // §6; dissertation §4.1, corrected 2015. What it inherited may be uncommitted, as many as there are.
        let own_term = |id: &LogId| id.term == self.out.term();
        if self.log.membership_id().is_some_and(|id| own_term(&id)) {
            if self.commit < Some(leader.first_own) {
                return Err(
                    "a configuration was appended before an entry of the leader's term was committed",
                );
            }
            if self.log.memberships_behind(self.commit).count() > 1 {
                return Err("a configuration was appended before the last one was committed");
            }
        }
        Ok(())
    }
}
