//! What a host, an operator, or a test may see of a server.

use alloc::vec::Vec;

use crate::membership::Membership;
use crate::status::{PeerStatus, Status, Vitals};
use crate::types::{Entry, HardState, Identity, Index, LogId, NodeId, SnapshotMeta};

use super::{Raft, Role};

impl Raft {
    /// Who this server is.
    pub fn identity(&self) -> &Identity {
        self.out.identity()
    }

    /// The server at a glance, cheaply.
    pub fn vitals(&self) -> Vitals {
        Vitals {
            role: self.role_name(),
            term: self.out.term(),
            leader: self.leader(),
            last: self.log.last(),
            durable: self.out.durable_index(),
            commit: self.commit,
            applied: self.applied,
        }
    }

    /// The server at a glance, with everything that takes a little longer.
    pub fn status(&self) -> Status {
        let peers = match &self.role {
            Role::Leader(leader) => leader
                .peers()
                .map(|(node, peer)| peer.status(node, leader.elected_at, self.now))
                .collect(),
            _ => Vec::new(),
        };
        Status {
            node: self.me(),
            role: self.role_name(),
            hard_state: self.hard_state(),
            leader: self.leader(),
            last: self.log.last(),
            durable: self.out.durable_index(),
            durable_lag_ticks: self.durable_lag_ticks(),
            commit: self.commit,
            applied: self.applied,
            snapshot: self.log.snapshot().map(|meta| meta.last),
            peers,
            transferring_to: self.transferring_to(),
            fenced: self.is_fenced(),
            failed: self.failed,
            ignored: self.ignored,
        }
    }

    /// How many bytes of entries a leader has taken in that are not committed yet; 0 elsewhere.
    pub fn uncommitted_bytes(&self) -> usize {
        match &self.role {
            Role::Leader(leader) => leader.uncommitted.bytes(),
            _ => 0,
        }
    }

    /// Where a peer is, on a leader.
    pub fn progress(&self, peer: NodeId) -> Option<PeerStatus> {
        match &self.role {
            Role::Leader(leader) => leader
                .peer(peer)
                .map(|progress| progress.status(peer, leader.elected_at, self.now)),
            _ => None,
        }
    }

    /// The configuration in force: the last one in the log, whether it is committed or not (paper §6).
    pub fn membership(&self) -> &Membership {
        self.log.membership()
    }

    /// The entry that set the configuration in force; `None` for the one that the cluster began with.
    pub fn membership_id(&self) -> Option<LogId> {
        self.log.membership_id()
    }

    /// Term and vote, as they will be once everything handed out is durable.
    pub fn hard_state(&self) -> HardState {
        self.out.hard_state()
    }

    /// The first entry that the log retains; a snapshot may cover it as well.
    pub fn first_index(&self) -> Index {
        self.log.first_index()
    }

    /// The name of the entry at this position, for retained entries and the one right before them.
    pub fn log_id(&self, at: Index) -> Option<LogId> {
        self.log.log_id(at)
    }

    /// The entry at this position, where it is in memory.
    pub fn entry(&self, at: Index) -> Option<&Entry> {
        self.log.entry(at)
    }

    /// What the latest snapshot stands for.
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.log.snapshot()
    }
}
