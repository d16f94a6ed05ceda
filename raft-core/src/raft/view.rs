//! What a host, an operator or a test may see of a server.

use alloc::vec::Vec;

use crate::clock::{ClockError, Clocks, WallTime};
use crate::membership::Membership;
use crate::status::{Limited, PeerStatus, Status, Vitals};
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
            clocks: self.clocks(),
            fenced: was_told_of_a_fence || self.server.is_bound_elsewhere(),
            halted: self.server.halted,
            level: self.server.level(),
            level_held_back_by,
            failed: self.server.failed,
            ignored: self.server.ignored,
            limited: self.server.limited,
        }
    }

    /// How often each limit held something back since this start, without the rest of the [`Status`].
    pub fn limited(&self) -> Limited {
        self.server.limited
    }

    /// Returns the time that a command which this leader's host proposes now may carry: what the host gave with
    /// [`Event::WallTime`](crate::Event::WallTime) in the present tick, provided that it is within
    /// [`Config::clock_bound_micros`](crate::Config::clock_bound_micros) of the median of the voters' clocks.
    ///
    /// * The clocks are known from the answers to heartbeats of the last longest election timeout, each within
    ///   [`ClockOffset::error_micros`](crate::ClockOffset::error_micros). The median is that of **all** voters, of both
    ///   halves of a joint configuration: voters that did not say may show anything. So whichever minority of clocks is
    ///   wrong or unknown, the time that is returned is within the bound, and that error, of what a right one shows.
    ///   Learners do not count.
    /// * Only a leader can know. A command that another server forwards is appended without a stop at the leader's host,
    ///   so it carries no time: the state machine applies it at the latest time that a command before it carried. A
    ///   leader's host that wants this time to go on, although only others propose, proposes a command with a time and
    ///   nothing else.
    /// * Times of one leader after another need not grow, since clocks differ within the bound. A state machine takes the
    ///   greatest that it has seen.
    /// * A single voter has no other to compare its clock with, so its own is the median, whatever it shows. Of two
    ///   voters whose clocks differ, none is known to be right, and neither stamps.
    ///
    /// # Errors
    ///
    /// Why no command may carry a time from this server, whose clock differs by how much, and what helps.
    pub fn stamp(&self) -> Result<WallTime, ClockError> {
        match &self.role {
            Role::Leader(leader) => leader.stamp(&self.server),
            _ => {
                let leader = self.server.leader();
                Err(ClockError::NotLeader { leader })
            }
        }
    }

    fn clocks(&self) -> Clocks {
        let (offsets, median) = match &self.role {
            Role::Leader(leader) => (
                leader.clock_offsets(&self.server),
                leader.median_time(&self.server),
            ),
            _ => (Vec::new(), None),
        };
        let stamp = self.stamp();
        Clocks {
            offsets,
            median,
            stamp,
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
