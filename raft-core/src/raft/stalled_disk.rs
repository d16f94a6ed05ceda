//! A disk that does not answer. Nothing is applied before it is durable here, so a leader whose disk stalls goes on
//! leading, with the others' disks committing what it sends, and answers nobody. It makes room for another one.

use super::{Raft, Role};

impl Raft {
    /// For how many ticks the host has owed the oldest write that somebody waits for; 0 when it owes none.
    pub(super) fn durable_lag_ticks(&self) -> u64 {
        let asked_at = self.out.oldest_write();
        asked_at.map_or(0, |asked_at| self.now.value() - asked_at.value())
    }

    /// Whether the disk has owed a write for longer than an election could take. Less may be a disk that is merely
    /// slow.
    pub(super) fn disk_stalls(&self) -> bool {
        self.durable_lag_ticks() > self.config.timing.election_timeout_max_ticks
            && !planted!(LEADS_WITH_STALLED_DISK)
    }

    /// With every heartbeat: steps down for a stalled disk, in favour of a voter that answers. Without one nobody could
    /// do better.
    pub(super) fn maybe_give_way(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        if self.disk_stalls()
            && let Some(successor) = self.successor(leader)
        {
            self.hand_over(successor);
        }
    }
}
