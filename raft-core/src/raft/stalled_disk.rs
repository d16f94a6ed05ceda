//! A disk that does not answer. No entry is applied before it is durable here, so a leader whose disk stalls would go
//! on leading, with the others' disks committing what it sends, and answer none of its clients. It yields leadership
//! (`leader/transfer.rs`), and a server with such a disk does not campaign.

use super::server::Server;

impl Server {
    /// For how many ticks the host has owed the oldest write that something waits for; 0 when it owes none.
    pub(super) fn durable_lag_ticks(&self) -> u64 {
        self.out
            .oldest_write()
            .map_or(0, |asked_at| self.ticks_since(asked_at))
    }

    /// Whether the disk has owed a write for longer than an election could take. A shorter time may be a disk that is
    /// merely slow.
    pub(super) fn disk_stalls(&self) -> bool {
        let stalls = self.durable_lag_ticks() > self.config.timing.election_timeout_max_ticks;
        plant!(stalls, LEADS_WITH_STALLED_DISK => false)
    }
}
