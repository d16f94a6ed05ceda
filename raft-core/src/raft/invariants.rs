//! What must always hold within one server. It runs after every step in debug builds and in the simulator; what must
//! hold between servers is the simulator's to check.

use super::{Raft, Role};
use crate::types::Index;

impl Raft {
    /// Checks every invariant of this server, in time linear in the number of its peers and terms.
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
        if let Role::Leader(leader) = &self.role {
            if leader.first_own > Index::after(last) {
                return Err("a leader's first entry is beyond its log");
            }
            let voters = self.log.membership();
            if leader
                .handover
                .as_ref()
                .is_some_and(|handover| handover.to == self.me() || !voters.is_voter(handover.to))
            {
                return Err("leadership is handed over to nobody who could take it");
            }
            for (_, peer) in leader.peers() {
                peer.check(last)?;
            }
        }
        Ok(())
    }
}
