//! What must hold of everything that a replica keeps beside its core: it is bounded by what is unfinished, and nothing
//! is left when nothing is. The core's own invariants are in `raft/invariants.rs`.

use super::{Replica, StateMachine};

/// How many states of arrived snapshots may wait: the one that is about to be installed, and a newer one.
const ARRIVED: usize = 2;

impl<M: StateMachine> Replica<M> {
    /// Checks every invariant of this server and of its core, after a [`drain`](Self::drain), in time linear in what
    /// [`Raft::check_invariants`](crate::Raft::check_invariants) goes through.
    ///
    /// # Errors
    ///
    /// Says which invariant is broken: a bug of this crate.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.raft.check_invariants()?;
        if !self.outputs.is_empty() || !self.actions.is_empty() {
            return Err("something is not handed out after a drain");
        }
        if !self.responses.is_empty() {
            return Err("responses are kept for proposals that were reported, or were never made here");
        }
        if self.queries.len() > self.raft.waiting_reads() {
            return Err("queries are kept of reads that have an outcome");
        }
        if self.outbound.len() > self.raft.snapshot_transfers() {
            return Err("snapshots are kept for transfers that have ended");
        }
        if self.arrived.len() > ARRIVED {
            return Err("more states wait to be installed than two");
        }
        if self
            .inbound
            .as_ref()
            .is_some_and(|inbound| inbound.received_bytes() > self.settings.max_bytes)
        {
            return Err("more of a snapshot has arrived than a snapshot may have");
        }
        Ok(())
    }
}
