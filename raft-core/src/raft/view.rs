//! What a host, an operator or a test may see of a server.

use alloc::vec::Vec;

use crate::membership::Membership;
use crate::status::{PeerStatus, Status, Vitals};
use crate::types::{Entry, HardState, Identity, Index, LogId, NodeId, SnapshotMeta};

use super::{Raft, Role};

impl Raft {
    /// The identity of this server.
    pub fn identity(&self) -> &Identity {
        self.server.out.identity()
    }

    /// The server at a glance, at little cost.
    pub fn vitals(&self) -> Vitals {
        Vitals {
            role: self.role.name(),
            term: self.server.out.term(),
            leader: self.server.leader(),
            last: self.server.log.last(),
            durable: self.server.out.durable_index(),
            commit: self.server.commit,
            applied: self.server.applied,
        }
    }

    /// The server in full, with what costs a little more to collect.
    pub fn status(&self) -> Status {
        let (peers, transferring_to) = match &self.role {
            Role::Leader(leader) => (leader.peer_statuses(self.server.now), leader.transferring_to()),
            _ => (Vec::new(), None),
        };
        let level_held_back_by = match &self.role {
            Role::Leader(leader) => leader.level_held_back_by(&self.server),
            _ => Vec::new(),
        };
        let was_told_of_a_fence = matches!(&self.role, Role::Joining(joining) if joining.is_fenced());
        Status {
            node: self.server.me(),
            role: self.role.name(),
            hard_state: self.hard_state(),
            leader: self.server.leader(),
            last: self.server.log.last(),
            durable: self.server.out.durable_index(),
            durable_lag_ticks: self.server.durable_lag_ticks(),
            commit: self.server.commit,
            applied: self.server.applied,
            snapshot: self.server.log.snapshot().map(|meta| meta.last),
            peers,
            transferring_to,
            cluster: self.server.cluster(),
            stranger: self.server.stranger,
            greeted: self.server.boots.greeted(),
            fenced: was_told_of_a_fence || self.server.is_bound_elsewhere(),
            halted: self.server.halted,
            level: self.server.level(),
            level_held_back_by,
            failed: self.server.failed,
            ignored: self.server.ignored,
        }
    }

    /// The bytes of commands that a leader has appended and not committed; 0 in other roles.
    pub fn uncommitted_bytes(&self) -> usize {
        match &self.role {
            Role::Leader(leader) => leader.uncommitted_bytes(),
            _ => 0,
        }
    }

    /// What a leader knows of this peer; `None` in other roles.
    pub fn progress(&self, peer: NodeId) -> Option<PeerStatus> {
        match &self.role {
            Role::Leader(leader) => leader.peer_status(peer, self.server.now),
            _ => None,
        }
    }

    /// The configuration in force: the last one in the log, committed or not (paper §6).
    pub fn membership(&self) -> &Membership {
        self.server.log.membership()
    }

    /// The entry that set the configuration in force; `None` for the one that the cluster began with.
    pub fn membership_id(&self) -> Option<LogId> {
        self.server.log.membership_id()
    }

    /// Term and vote, as they will be once everything handed out is durable.
    pub fn hard_state(&self) -> HardState {
        self.server.out.hard_state()
    }

    /// The first index that the log retains; a snapshot may cover it as well.
    pub fn first_index(&self) -> Index {
        self.server.log.first_index()
    }

    /// The id of the entry at this index, for retained entries and the one right before them.
    pub fn log_id(&self, at: Index) -> Option<LogId> {
        self.server.log.log_id(at)
    }

    /// The entry at this index, if it is in memory.
    pub fn entry(&self, at: Index) -> Option<&Entry> {
        self.server.log.entry(at)
    }

    /// What the latest snapshot stands for.
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.server.log.snapshot()
    }
}
