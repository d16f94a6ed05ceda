//! When a snapshot is due.
//!
//! A snapshot costs what the state is large, and saves what the log since the last one is long. So the two are weighed
//! against each other, and a large state is not written again after every few entries. All servers apply the same
//! entries; if the moment were the same as well, all disks would be busy at once, and with them a quorum's. So each
//! server draws its own.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use crate::config::{Config, Snapshots};
use crate::raft::drawn_stream;
use crate::types::Identity;

/// Election timeouts are drawn from the first stream of the same seed.
const STREAM: u64 = 1;

#[derive(Debug)]
pub(super) struct Policy {
    settings: Snapshots,
    draws: ChaCha8Rng,
    /// What was applied since the last snapshot was taken.
    entries: u64,
    log_bytes: u64,
    /// The amounts after which the next one is due.
    due_entries: u64,
    due_log_bytes: u64,
}

impl Policy {
    /// Begins after a snapshot of this size, or after none.
    pub(super) fn new(config: &Config, identity: &Identity, snapshot_bytes: u64) -> Self {
        let mut policy = Self {
            settings: config.snapshots,
            draws: drawn_stream(config.seed, identity, STREAM),
            entries: 0,
            log_bytes: 0,
            due_entries: 0,
            due_log_bytes: 0,
        };
        policy.taken(snapshot_bytes);
        policy
    }

    /// Counts an applied entry.
    pub(super) fn applied(&mut self, cost_bytes: usize) {
        self.entries = self.entries.saturating_add(1);
        self.log_bytes = self.log_bytes.saturating_add(cost_bytes as u64);
    }

    pub(super) fn is_due(&self) -> bool {
        self.entries >= self.due_entries || self.log_bytes >= self.due_log_bytes
    }

    /// A snapshot of this size was taken or installed: counts anew, and draws the next moment.
    pub(super) fn taken(&mut self, snapshot_bytes: u64) {
        let log_bytes = self.settings.log_bytes.max(snapshot_bytes.saturating_mul(2));
        (self.entries, self.log_bytes) = (0, 0);
        self.due_entries = self.upper_half(self.settings.every_entries);
        self.due_log_bytes = self.upper_half(log_bytes);
    }

    /// Draws from the upper half of the numbers from 1 to `most`.
    fn upper_half(&mut self, most: u64) -> u64 {
        let span = u128::from(most / 2) + 1;
        most - ((u128::from(self.draws.next_u64()) * span) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Boot, Incarnation};
    use crate::types::{GroupId, NodeId};

    fn policy(node: u64, snapshots: Snapshots, snapshot_bytes: u64) -> Policy {
        let config = Config {
            snapshots,
            ..Config::default()
        };
        let identity = Identity {
            group: GroupId::new(1),
            node: NodeId::new(node),
            incarnation: Incarnation::new(1),
            boot: Boot::new(1, 1),
        };
        Policy::new(&config, &identity, snapshot_bytes)
    }

    /// How many entries of this cost are applied until a snapshot is due.
    fn entries_until_due(policy: &mut Policy, cost_bytes: usize) -> u64 {
        while !policy.is_due() {
            policy.applied(cost_bytes);
        }
        policy.entries
    }

    #[test]
    fn a_snapshot_is_due_after_as_much_log_as_the_last_one_was_large() {
        let snapshots = Snapshots {
            log_bytes: 1_000,
            ..Snapshots::default()
        };
        for (snapshot_bytes, most) in [(0, 1_000), (500, 1_000), (30_000, 60_000)] {
            let mut policy = policy(1, snapshots, snapshot_bytes);
            for _ in 0..50 {
                let log_bytes = 10 * entries_until_due(&mut policy, 10);
                assert!(
                    (most / 2..=most + 10).contains(&log_bytes),
                    "{log_bytes} after {snapshot_bytes}"
                );
                policy.taken(snapshot_bytes);
            }
        }
    }

    #[test]
    fn a_snapshot_is_due_after_so_many_entries_however_small_they_are() {
        for (every_entries, least) in [(1, 1), (2, 1), (10, 5), (u64::MAX, 1_000_000)] {
            let snapshots = Snapshots {
                every_entries,
                ..Snapshots::default()
            };
            let mut policy = policy(1, snapshots, 0);
            let mut entries = 0;
            while !policy.is_due() && entries < 1_000_000 {
                policy.applied(1);
                entries += 1;
            }
            assert!(
                (least..=every_entries).contains(&entries),
                "{entries} of {every_entries}"
            );
        }
    }

    #[test]
    fn servers_draw_different_moments_and_each_draws_anew() {
        let snapshots = Snapshots {
            every_entries: 1_000,
            ..Snapshots::default()
        };
        let mut moments = alloc::collections::BTreeSet::new();
        for node in 1..=5 {
            let mut policy = policy(node, snapshots, 0);
            for _ in 0..4 {
                moments.insert(entries_until_due(&mut policy, 1));
                policy.taken(0);
            }
        }
        assert!(moments.len() >= 18, "{moments:?}");
    }
}
