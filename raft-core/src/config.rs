//! What an embedder chooses.

use crate::action::Persist;
use crate::entries::Entries;
use crate::membership::Membership;
use crate::types::HardState;
use crate::types::{Entry, Identity, Index, SnapshotMeta};
use alloc::vec::Vec;

/// The settings of a server.
///
/// All servers of a cluster must have the same [`Options::lease`], and should share [`Timing`],
/// [`Limits::message_bytes`] and [`Snapshots::max_bytes`]; the rest may differ. To turn leases on or off, read with
/// [`ReadMode::Quorum`](crate::ReadMode::Quorum) until every server was started again: one without the option neither
/// waits after a start nor keeps its vote to itself, and other servers' leases rest on both.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Config {
    /// Seeds the jitter of the election timeout, together with node and boot. The same seed gives the same actions.
    pub seed: u64,
    /// How long things take, in ticks.
    pub timing: Timing,
    /// How much of everything there may be.
    pub limits: Limits,
    /// When snapshots are taken, what is kept behind them, and how they travel.
    pub snapshots: Snapshots,
    /// What is off unless it is asked for.
    pub options: Options,
}

/// What is off unless it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Lease reads (dissertation §6.4.1), the same on all servers: [`ReadMode::Lease`](crate::ReadMode::Lease) says
    /// what they rest on.
    pub lease: Option<Lease>,
    /// Whether a server that does not lead passes proposals and reads on to the leader, instead of turning them down.
    ///
    /// A command that is passed on enters the log once at most, however often the network repeats it, and the server
    /// that took it in answers for it: *done*, *rejected* for good, or *superseded*, as if it had led; and *unknown*
    /// when a snapshot may hide what became of it, or no leader is heard for four of the longest election timeouts.
    pub forwarding: bool,
    /// The priority of this server as a leader, and a higher number is a lower priority: how many election timeouts it
    /// lets pass, one after another and without a leader, before it campaigns. 0 for those that should lead. It decays
    /// by itself, so that a cluster without its preferred servers still gets a leader.
    pub yields: u32,
    /// Whether this server is a witness, for as long as its data folder lives: it votes and acknowledges like the
    /// others, but keeps only terms, positions and configurations, has no state machine, and never leads. The
    /// configuration must mark it as well ([`Membership::with_witnesses`],
    /// [`Change::AddWitness`](crate::Change::AddWitness)).
    pub witness: bool,
    /// Whether the host makes a [`Persist`](crate::Action::Persist) durable before it looks at the next action. Then it
    /// counts as durable when it is handed out, what depends on it is handed out behind it, and nobody says
    /// [`Persisted`](crate::Input::Persisted). A host whose write fails must carry out nothing of what was handed out
    /// behind it, and say [`PersistFailed`](crate::Input::PersistFailed); what became of the proposals and reads among
    /// that is unknown, as after a crash.
    pub persists_at_once: bool,
    /// Whether the host carries out an [`Apply`](crate::Action::Apply) before it looks at the next action. Then its
    /// entries count as applied when they are handed out, and nobody says [`Applied`](crate::Input::Applied) for them;
    /// for an [`InstallSnapshot`](crate::Action::InstallSnapshot) it is still to be said. [`Replica`](crate::Replica)
    /// works like this, whatever is said here.
    pub applies_at_once: bool,
    /// Whether every step of the protocol is told as an [`Action::Trace`](crate::Action::Trace).
    pub trace: bool,
}

/// What lease reads assume of the servers' clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// By how much the clock of one server may run faster than that of another, in parts of 10,000. A server's ticks
    /// must count real time that well, time in which it was suspended included, and must be advanced before any other
    /// input.
    pub drift_permyriad: u32,
}

/// How long things take, in ticks. How long a tick takes is the host's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The shortest time without a leader after which a server campaigns (paper §5.2). Also how long a leader may go
    /// without hearing from a quorum, and how long a follower that hears a leader refuses its vote (dissertation
    /// §4.2.3, §6.2).
    pub election_timeout_min_ticks: u64,
    /// The longest such time; each wait is drawn evenly between the two, both included.
    pub election_timeout_max_ticks: u64,
    /// How often a leader makes itself heard.
    pub heartbeat_ticks: u64,
    /// How long a snapshot may go without progress at a peer before it is given up and begun anew.
    pub snapshot_timeout_ticks: u64,
}

/// How much of everything there may be. Reaching a limit is a visible rejection or a pause, never growth.
///
/// What the host owes is not bounded here: entries stay in memory until they are durable and applied. A host that falls
/// behind for long should take in less.
///
/// Sizes of entries are those of [`Entry::cost_bytes`]: the payload and a flat sum for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one message, in bytes, unless a single entry is larger. Also the largest command.
    pub message_bytes: usize,
    /// Appends sent to one peer and not answered.
    pub inflight_messages: usize,
    /// Their entries, in bytes.
    pub inflight_bytes: usize,
    /// Entries handed out in one [`Apply`](crate::Action::Apply), in bytes, unless a single entry is larger.
    pub apply_bytes: usize,
    /// Commands appended by this leader and not committed, in bytes, unless a single one is larger.
    pub uncommitted_bytes: usize,
    /// Entries kept in memory for slow peers after they were applied here, in bytes. What no peer of a leader lacks,
    /// and what a follower has applied, goes earlier, but for a thirty-second part of this.
    pub tail_bytes: usize,
    /// Proposals without an outcome.
    pub proposals: usize,
    /// Reads without an outcome.
    pub reads: usize,
}

/// When snapshots are taken, what is kept behind them, and how they travel.
///
/// A host of the bare [`Raft`](crate::Raft) takes and cuts up its snapshots as it likes; for it `keep_entries` and
/// `max_bytes` hold, and `every_entries` if it is a witness, which takes its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// After so many applied entries.
    pub every_entries: u64,
    /// How many entries to keep behind a snapshot, so that a slow peer need not be sent it.
    pub keep_entries: u64,
    /// The size of the pieces in which a snapshot is sent, in bytes.
    pub chunk_bytes: usize,
    /// The largest snapshot that is accepted from a leader, in bytes. A larger one is refused, visibly
    /// ([`SnapshotTooLarge`](crate::Action::SnapshotTooLarge)): the server cannot catch up until its limit is raised.
    pub max_bytes: u64,
}

impl Default for Timing {
    /// For ticks of 100 ms, the timeouts that people know from textbooks stretched for the open internet: elections
    /// after 1 to 2 s.
    fn default() -> Self {
        Self {
            election_timeout_min_ticks: 10,
            election_timeout_max_ticks: 20,
            heartbeat_ticks: 2,
            snapshot_timeout_ticks: 40,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            inflight_messages: 64,
            inflight_bytes: 8 << 20,
            apply_bytes: 4 << 20,
            uncommitted_bytes: 64 << 20,
            tail_bytes: 16 << 20,
            proposals: 65_536,
            reads: 65_536,
        }
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            every_entries: 10_000,
            keep_entries: 1_000,
            chunk_bytes: 256 << 10,
            max_bytes: 1 << 30,
        }
    }
}

/// Everything that a server starts from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Who it is.
    pub identity: Identity,
    /// Its settings.
    pub config: Config,
    /// The configuration that the cluster begins with, the same on every server of the first start. It counts until
    /// the log or a snapshot holds a later one. Empty for a server that is to be added to a cluster.
    ///
    /// Never give it to a server with an empty folder that is to be added *again*: a majority of such servers would
    /// take its start for the first one of the cluster.
    pub bootstrap: Membership,
    /// What its disk holds.
    pub durable: Durable,
}

/// What a disk holds, read at a start; everything default for a new data folder.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Durable {
    /// The term and the vote.
    pub hard_state: HardState,
    /// The latest snapshot.
    pub snapshot: Option<SnapshotMeta>,
    /// The log that is left, in order.
    pub entries: Vec<Entry>,
    /// The commit hint.
    pub commit: Option<Index>,
}

impl Durable {
    /// Whether this disk has never held anything.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the disk holds once this is written: the contract of a store as a function, for tests, and for stores that
    /// keep in memory what they have on disk. The bytes of the snapshot are the host's.
    pub fn write(&mut self, persist: &Persist) {
        if let Some(hard_state) = persist.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(meta) = &persist.snapshot {
            self.snapshot = Some((**meta).clone());
        }
        if let Some(from) = persist.truncate_from {
            let kept = self.entries.partition_point(|entry| entry.id.index < from);
            self.entries.truncate(kept);
        }
        self.entries.extend_from_slice(&persist.entries);
        self.commit = persist.commit.or(self.commit);
        if let Some(to) = persist.compact_to {
            let gone = self.entries.partition_point(|entry| entry.id.index <= to);
            self.entries.drain(..gone);
        }
    }

    /// The answer to a [`LoadEntries`](crate::Action::LoadEntries): the stored entries from `first` to `last`, as many
    /// as cost no more than `max_bytes`, and at least one if there is any.
    pub fn load(&self, first: Index, last: Index, max_bytes: usize) -> Entries {
        let mut cost = 0_usize;
        let begin = self.entries.partition_point(|entry| entry.id.index < first);
        let wanted = (self.entries.iter().skip(begin)).take_while(|entry| {
            let is_first = cost == 0;
            cost = cost.saturating_add(entry.cost_bytes());
            entry.id.index <= last && (is_first || cost <= max_bytes)
        });
        wanted.cloned().collect()
    }
}

/// Why settings cannot be used. The caller is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The election timeout's range is empty or begins below 2.
    #[error(
        "election_timeout_min_ticks ({min}) must be at least 2 and no more than election_timeout_max_ticks ({max})"
    )]
    ElectionTimeout {
        /// The lower end.
        min: u64,
        /// The upper end.
        max: u64,
    },
    /// Followers would campaign between two heartbeats.
    #[error(
        "heartbeat_ticks ({heartbeat}) must be at least 1 and less than election_timeout_min_ticks ({min})"
    )]
    Heartbeat {
        /// The heartbeat.
        heartbeat: u64,
        /// The lower end of the election timeout.
        min: u64,
    },
    /// A lease would end before the next heartbeat could renew it.
    #[error(
        "with a drift of {drift} in 10,000 a lease lasts {lease} ticks, which must be more than heartbeat_ticks ({heartbeat}): \
         raise election_timeout_min_ticks"
    )]
    Lease {
        /// The drift.
        drift: u32,
        /// How long a lease would last.
        lease: u64,
        /// The heartbeat.
        heartbeat: u64,
    },
    /// A limit of zero would stop everything.
    #[error("{name} must not be 0")]
    Zero {
        /// Which setting.
        name: &'static str,
    },
}

impl Config {
    /// How long a lease lasts, in ticks of the leader from the one in which its round began; 0 without leases.
    ///
    /// A voter that hears the round keeps its vote to itself for `election_timeout_min_ticks` of its own clock. Of
    /// those the first may have been nearly over when the round was heard; the others are shorter for the leader if the
    /// voter's clock is the faster one; and of the leader's own ticks the present one may be nearly over as well.
    pub(crate) fn lease_ticks(&self) -> u64 {
        let Some(lease) = self.options.lease else { return 0 };
        let full = u128::from(self.timing.election_timeout_min_ticks.saturating_sub(1));
        let slowest = full * 10_000 / (10_000 + u128::from(lease.drift_permyriad));
        u64::try_from(slowest).unwrap_or(u64::MAX).saturating_sub(1)
    }

    /// Checks the settings against each other.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Timing {
            election_timeout_min_ticks: min,
            election_timeout_max_ticks: max,
            ..
        } = self.timing;
        if min < 2 || min > max {
            return Err(ConfigError::ElectionTimeout { min, max });
        }
        let heartbeat = self.timing.heartbeat_ticks;
        if heartbeat == 0 || heartbeat >= min {
            return Err(ConfigError::Heartbeat { heartbeat, min });
        }
        if let Some(Lease {
            drift_permyriad: drift,
        }) = self.options.lease
        {
            let lease = self.lease_ticks();
            if lease <= heartbeat {
                return Err(ConfigError::Lease {
                    drift,
                    lease,
                    heartbeat,
                });
            }
        }
        let limits = &self.limits;
        let positive = [
            ("snapshot_timeout_ticks", self.timing.snapshot_timeout_ticks),
            ("message_bytes", limits.message_bytes as u64),
            ("inflight_messages", limits.inflight_messages as u64),
            ("inflight_bytes", limits.inflight_bytes as u64),
            ("apply_bytes", limits.apply_bytes as u64),
            ("uncommitted_bytes", limits.uncommitted_bytes as u64),
            ("tail_bytes", limits.tail_bytes as u64),
            ("proposals", limits.proposals as u64),
            ("reads", limits.reads as u64),
            ("every_entries", self.snapshots.every_entries),
            ("chunk_bytes", self.snapshots.chunk_bytes as u64),
            ("max_bytes", self.snapshots.max_bytes),
        ];
        match positive.into_iter().find(|&(_, value)| value == 0) {
            Some((name, _)) => Err(ConfigError::Zero { name }),
            None => Ok(()),
        }
    }
}
