//! What must always hold within one server. It is checked after every step in debug builds and in the simulator. What
//! must hold between servers is the simulator's to check.

use crate::status::RoleName;

use super::server::Server;
use super::{Raft, Role};

impl Raft {
    /// Checks every invariant of this server, in time linear in the number of its peers, of its terms, of the requests
    /// that it has forwarded, and of what it leads: uncommitted commands, and appends in flight.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken: a bug of this crate.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.server.check()?;
        self.server.check_waiting(self.unconfirmed_reads())?;
        let leads = self.server.leader() == Some(self.server.me());
        match &self.role {
            Role::Leader(leader) => {
                if !leads {
                    return Err("a leader takes another server for the leader of its term");
                }
                leader.check(&self.server)
            }
            Role::Candidate(_) if self.server.halted.is_some() => Err("a server that has halted campaigns"),
            _ if leads => Err("a server that does not lead takes itself for the leader"),
            Role::Joining(_) | Role::Candidate(_) if self.server.leader().is_some() => {
                Err("a server that campaigns or joins follows a leader")
            }
            _ => Ok(()),
        }
    }

    /// Asserts what is known once a role has begun, so that a broken promise is found where it was made.
    pub(super) fn assert_begun(&self) {
        let server = &self.server;
        let leader = server.leader();
        match &self.role {
            Role::Joining(_) => debug_assert!(false, "a server joins once, before any other role"),
            Role::Follower(_) => debug_assert_ne!(leader, Some(server.me()), "a follower does not lead"),
            Role::Candidate(candidate) => {
                debug_assert_eq!(leader, None, "a server that campaigns follows no leader");
                debug_assert!(
                    candidate.role_name() == RoleName::PreCandidate || server.voted_for_itself(),
                    "a candidate votes for itself"
                );
            }
            Role::Leader(_) => {
                debug_assert_eq!(leader, Some(server.me()), "a leader knows that it leads");
                debug_assert!(
                    server.voted_for_itself(),
                    "a leader was elected with its own vote"
                );
                debug_assert!(server.may_campaign(), "a leader may campaign");
            }
        }
    }

    /// How many reads this server has as a leader that no quorum has confirmed yet.
    fn unconfirmed_reads(&self) -> usize {
        match &self.role {
            Role::Leader(leader) => leader.unconfirmed_reads(),
            _ => 0,
        }
    }

    /// How many reads have no outcome yet, those of other servers' clients included.
    pub(crate) fn waiting_reads(&self) -> usize {
        self.unconfirmed_reads() + self.server.waiting_reads()
    }

    /// How many snapshots are on their way to peers.
    pub(crate) fn snapshot_transfers(&self) -> usize {
        match &self.role {
            Role::Leader(leader) => leader.snapshot_transfers(),
            _ => 0,
        }
    }
}

impl Server {
    fn check(&self) -> Result<(), &'static str> {
        self.log.check()?;
        let last = self.log.last_index();
        let base = self.log.base().map(|base| base.index);
        let covered = self.log.snapshot().map(|meta| meta.last.index);
        if self.applied > self.commit {
            return Err("applied is beyond commit");
        }
        if self.halted.is_some_and(|halted| self.applied >= Some(halted.at)) {
            return Err("applied is beyond the entry before which the server has halted");
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
        self.forwarding.check()
    }
}
