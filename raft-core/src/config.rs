//! What an embedder configures, and what a server starts from.

use crate::action::Persist;
use crate::entries::Entries;
use crate::level::Level;
use crate::membership::Membership;
use crate::types::HardState;
use crate::types::{Entry, Identity, Index, SnapshotMeta};
use alloc::vec::Vec;

/// The settings of a server.
///
/// Servers of a cluster should have the same [`Timing`], [`Limits::message_bytes`] and [`Snapshots::max_bytes`]; the other
/// settings may differ. All of them, [`Options::lease`] and the length of a tick included, may be changed while the
/// cluster serves, one server after the other: a lease rests on what each voter says that it promises, and a server that
/// starts with other settings keeps what it promised before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Seeds the jitter of the election timeout, together with node and boot. The same seed gives the same actions.
    pub seed: u64,
    /// Timeouts and intervals, in ticks.
    pub timing: Timing,
    /// The length of a tick in microseconds; 100,000 by default. It matters with [`Options::lease`], where servers tell
    /// each other in real time for how long they withhold their votes, since ticks may differ; and where hosts give
    /// their wall time ([`Event::WallTime`](crate::Event::WallTime)), which is carried on by ticks.
    pub tick_micros: u64,
    /// A digest of the host's settings that must be the same on all servers, such as limits by which its state machine
    /// judges commands; 0 if there are none. Servers tell each other: see [`Status::greeted`](crate::Status::greeted).
    pub settings: u64,
    /// How far a leader's wall clock may be from the median of the voters' clocks, in microseconds; 5,000,000 by
    /// default. Beyond it, the leader's host is given no time for its commands ([`Raft::stamp`](crate::Raft::stamp)), and
    /// leadership passes to a server whose clock is within half of it. A clock is known with an error of the time that an
    /// exchange of messages takes and two ticks; the bound should be several times as large.
    pub clock_bound_micros: u64,
    /// Limits on messages, memory and waiting requests.
    pub limits: Limits,
    /// Up to which level this program understands the log; [`Level::ZERO`] by default, for programs that do not use
    /// levels. The leader raises the level of the log to what every member says here, and then no program below it
    /// starts on these folders again. An operator who wants to be able to return to the former program for a while
    /// states the former level.
    pub level: Level,
    /// When snapshots are taken, how much of the log is kept before them, and how they are sent.
    pub snapshots: Snapshots,
    /// Features that are off by default.
    pub options: Options,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            timing: Timing::default(),
            tick_micros: 100_000,
            settings: 0,
            clock_bound_micros: 5_000_000,
            limits: Limits::default(),
            level: Level::ZERO,
            snapshots: Snapshots::default(),
            options: Options::default(),
        }
    }
}

/// Features that are off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// Lease reads (dissertation §6.4.1): whether this server promises leaders to withhold its vote, and relies on such
    /// promises when it leads. [`ReadMode::Lease`](crate::ReadMode::Lease) says what leases depend on.
    pub lease: Option<Lease>,
    /// Whether a server that is not the leader forwards proposals and reads to the leader, instead of rejecting them.
    ///
    /// A forwarded command enters the log at most once, even if the network duplicates it. The server that received it
    /// from its client reports the outcome as a leader would: *done*, *rejected* for good, or *superseded*. The outcome
    /// is *unknown* when a snapshot may hide it, or when no leader was heard for four of the longest election timeouts.
    pub forwarding: bool,
    /// The priority of this server as a leader; a higher number is a lower priority. It is the number of consecutive
    /// election timeouts without a leader that the server lets pass before it campaigns; 0 for preferred leaders. The
    /// priority decays by itself, so that a cluster without its preferred servers still elects a leader.
    pub yields: u32,
    /// Whether this server is a witness, which holds for the lifetime of its data folder. A witness votes and
    /// acknowledges like other voters, but keeps only terms, indexes and configurations, has no state machine, and
    /// never leads. The configuration must mark it as well ([`Membership::with_witnesses`],
    /// [`Change::AddWitness`](crate::Change::AddWitness)).
    pub witness: bool,
    /// Whether the host makes each [`Persist`](crate::Action::Persist) durable before it handles the next action.
    ///
    /// Then a write counts as durable when it is handed out, the actions that depend on it follow it at once, and the
    /// host does not report [`Persisted`](crate::Event::Persisted). A host whose write fails must handle none of the
    /// actions after it, and must report [`PersistFailed`](crate::Event::PersistFailed). The outcome of proposals and
    /// reads among those actions is unknown, as after a crash.
    pub persists_at_once: bool,
    /// Whether the host applies each [`Apply`](crate::Action::Apply) before it handles the next action.
    ///
    /// Then entries count as applied when they are handed out, and the host does not report
    /// [`Applied`](crate::Input::Applied) for them. It still reports it for an
    /// [`InstallSnapshot`](crate::Action::InstallSnapshot). [`Replica`](crate::Replica) always works like this,
    /// whatever this setting is.
    pub applies_at_once: bool,
    /// Whether every step of the protocol is reported as an [`Notice::Trace`](crate::Notice::Trace).
    pub trace: bool,
}

/// What lease reads assume about the clocks of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// By how much the clock of one server may run faster than that of another, in parts of 10,000. A server's ticks
    /// must count real time within this bound, including time in which the server was suspended. The host must advance
    /// them before any other input.
    pub drift_permyriad: u32,
}

/// Timeouts and intervals, in ticks. The host chooses the length of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The shortest election timeout: the time without a leader after which a server campaigns (paper §5.2). A leader
    /// that has not heard from a quorum for this long steps down (dissertation §6.2). A follower refuses its vote for
    /// this long after it heard from a leader (dissertation §4.2.3).
    pub election_timeout_min_ticks: u64,
    /// The longest election timeout. Each timeout is drawn uniformly between the two, both included.
    pub election_timeout_max_ticks: u64,
    /// The interval at which an idle leader sends heartbeats.
    pub heartbeat_ticks: u64,
    /// How long a snapshot transfer may go without progress before it is aborted and restarted.
    pub snapshot_timeout_ticks: u64,
}

/// Limits on messages, memory and waiting requests. A limit that is reached leads to a visible rejection or a pause,
/// never to growth.
///
/// The host's own backlog is not bounded here: entries stay in memory until they are durable and applied. A host that
/// lags for long should accept fewer proposals.
///
/// Sizes of entries are those of [`Entry::cost_bytes`]: the payload and a fixed sum for everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The entries of one message, in bytes, unless a single entry is larger. Also the size of the largest command.
    pub message_bytes: usize,
    /// The number of appends that were sent to one peer and are not answered.
    pub inflight_messages: usize,
    /// The entries of those appends, in bytes.
    pub inflight_bytes: usize,
    /// The entries handed out in one [`Apply`](crate::Action::Apply), in bytes, unless a single entry is larger.
    pub apply_bytes: usize,
    /// The commands that this leader has appended and not committed, in bytes, unless a single one is larger.
    pub uncommitted_bytes: usize,
    /// The applied entries that are kept in memory for slow peers, in bytes. Entries that every peer of a leader has,
    /// and entries that a follower has applied, are dropped earlier: only 1/32 of this limit is kept of them.
    pub tail_bytes: usize,
    /// The number of proposals without an outcome.
    pub proposals: usize,
    /// The number of reads without an outcome.
    pub reads: usize,
    /// How many entries a halted server stores after the one that it does not understand. It takes no snapshot that
    /// would let it drop them. Beyond this limit it stores and acknowledges nothing more, until a newer program is
    /// started.
    pub halted_entries: u64,
}

/// When snapshots are taken, how much of the log is kept before them, and how they are sent.
///
/// A host of the bare [`Raft`](crate::Raft) takes and splits its snapshots as it likes. It uses only `keep_entries` and
/// `max_bytes`, and `log_bytes` and `every_entries` if it is a witness, whose core takes snapshots by itself.
///
/// A snapshot is due when the first of two amounts of log has been applied since the last one, by bytes and by entries.
/// Each server draws its own amounts, anew for each snapshot, between the half of what is stated and the whole, so that
/// they do not all write at once. None is due while one is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshots {
    /// A snapshot is due after at most so many bytes of applied entries, counted by
    /// [`Entry::cost_bytes`](crate::Entry::cost_bytes); or after at most twice the size of the last snapshot, if that is
    /// more. So a server writes no more than twice as many bytes of snapshots as of its log, and a start applies a log
    /// that is at most twice as large as the state.
    pub log_bytes: u64,
    /// A snapshot is due after at most so many applied entries, however small they are. By default the number of entries
    /// does not matter: a large state would be written again and again for a few small entries.
    pub every_entries: u64,
    /// How many of the entries that a snapshot covers remain in the log, so that a slow peer need not be sent the
    /// snapshot.
    pub keep_entries: u64,
    /// How many bytes of log a leader keeps at most, beyond `keep_entries`, for peers that are being fed and have not
    /// caught up yet: what they need next is not compacted. A peer that is slower than that is sent a snapshot again. This
    /// is space in the store, not in memory.
    pub keep_bytes: u64,
    /// The size of the chunks in which a snapshot is sent, in bytes.
    pub chunk_bytes: usize,
    /// The largest snapshot that is accepted from a leader, in bytes. A larger one is refused and reported
    /// ([`SnapshotTooLarge`](crate::Action::SnapshotTooLarge)); the server cannot catch up until its limit is raised.
    pub max_bytes: u64,
}

impl Default for Timing {
    /// Returns settings for ticks of 100 ms: elections begin after 1 to 2 s. These are the timeouts of the textbooks,
    /// extended for the open internet.
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
            halted_entries: 10_000_000,
        }
    }
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            log_bytes: 16 << 20,
            every_entries: u64::MAX,
            keep_entries: 1_000,
            keep_bytes: 256 << 20,
            chunk_bytes: 256 << 10,
            max_bytes: 1 << 30,
        }
    }
}

/// Everything that a server starts from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The identity of the server.
    pub identity: Identity,
    /// The settings of the server.
    pub config: Config,
    /// The configuration that the cluster begins with, the same on every server of its first start. It is in force
    /// until the log or a snapshot holds a later one. It is empty for a server that is to be added to a running
    /// cluster.
    ///
    /// Never give it to a server with an empty folder that is to be added *again*. A majority of such servers would
    /// take their start for the first start of the cluster.
    pub bootstrap: Membership,
    /// What the disk of the server holds.
    pub durable: Durable,
}

/// What a disk holds, as read at a start; the default value for a new data folder.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Durable {
    /// The term and the vote.
    pub hard_state: HardState,
    /// The description of the latest snapshot.
    pub snapshot: Option<SnapshotMeta>,
    /// The retained entries of the log, in order.
    pub entries: Vec<Entry>,
    /// The commit index, as last written. It is a hint and may be lower than the true one.
    pub commit: Option<Index>,
}

impl Durable {
    /// Returns whether nothing was ever written to this disk.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Applies this write to the content of the disk. The function states the contract of a store; it is for tests, and
    /// for stores that keep a copy of their content in memory. The bytes of the snapshot that it names are durable before.
    pub fn write(&mut self, persist: &Persist) {
        if let Some(hard_state) = persist.hard_state.as_deref() {
            self.hard_state = *hard_state;
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

    /// Returns the entries that answer a [`LoadEntries`](crate::Action::LoadEntries): those from `first` to `last`, as
    /// many as cost no more than `max_bytes`, and at least one if there is any.
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

/// Why the settings are invalid. The caller is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The range of the election timeout is empty or begins below 2.
    #[error(
        "election_timeout_min_ticks ({min}) must be at least 2 and no more than election_timeout_max_ticks ({max})"
    )]
    ElectionTimeout {
        /// The shortest election timeout.
        min: u64,
        /// The longest election timeout.
        max: u64,
    },
    /// Heartbeats are so rare that followers would campaign between two of them.
    #[error(
        "heartbeat_ticks ({heartbeat}) must be at least 1 and less than election_timeout_min_ticks ({min})"
    )]
    Heartbeat {
        /// The interval of heartbeats.
        heartbeat: u64,
        /// The shortest election timeout.
        min: u64,
    },
    /// A lease would end before the next heartbeat could renew it.
    #[error(
        "with a drift of {drift} in 10,000 a lease lasts {lease} ticks, which must be more than heartbeat_ticks ({heartbeat}); \
         raise election_timeout_min_ticks"
    )]
    Lease {
        /// The drift, in parts of 10,000.
        drift: u32,
        /// How long a lease would last, in ticks.
        lease: u64,
        /// The interval of heartbeats.
        heartbeat: u64,
    },
    /// A limit is zero, with which the server could make no progress.
    #[error("{name} must not be 0")]
    Zero {
        /// The name of the setting.
        name: &'static str,
    },
}

impl Config {
    /// Returns for how long a server of these settings promises a leader that it hears to withhold its vote from other
    /// servers, in microseconds of its own clock; 0 without leases (dissertation §6.4.1).
    ///
    /// It withholds the vote for `election_timeout_min_ticks`, and the first of these ticks may be nearly over.
    pub fn promise_micros(&self) -> u64 {
        let ticks = self.timing.election_timeout_min_ticks.saturating_sub(1);
        match self.options.lease {
            Some(_) => ticks.saturating_mul(self.tick_micros),
            None => 0,
        }
    }

    /// Returns how many ticks of this server such a promise takes to run out, whatever part of the present tick is over.
    pub(crate) fn ticks_of_promise(&self, promise_micros: u64) -> u64 {
        match promise_micros {
            0 => 0,
            promised => promised.div_ceil(self.tick_micros.max(1)).saturating_add(1),
        }
    }

    /// Returns how long a lease lasts that rests on this promise of a voter, in ticks of the leader, from the tick in
    /// which its read round began; 0 without leases (dissertation §6.4.1).
    ///
    /// Two things shorten it for the leader: the voter's clock may be faster, and the leader's current tick may be nearly
    /// over. A leader remembers its rounds for as long as a promise of its own settings lasts.
    pub(crate) fn lease_ticks_of(&self, promise_micros: u64) -> u64 {
        let Some(lease) = self.options.lease else { return 0 };
        let promised = promise_micros.min(self.promise_micros());
        let tick = u128::from(self.tick_micros.max(1));
        let slowest = u128::from(promised) * 10_000 / (10_000 + u128::from(lease.drift_permyriad));
        u64::try_from(slowest / tick)
            .unwrap_or(u64::MAX)
            .saturating_sub(1)
    }

    /// Returns how long a lease lasts at most, in ticks: the one that rests on voters of the same settings.
    pub(crate) fn lease_ticks(&self) -> u64 {
        self.lease_ticks_of(self.promise_micros())
    }

    /// Checks the settings, each by itself and against each other.
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
            ("tick_micros", self.tick_micros),
            ("clock_bound_micros", self.clock_bound_micros),
            ("snapshot_timeout_ticks", self.timing.snapshot_timeout_ticks),
            ("message_bytes", limits.message_bytes as u64),
            ("inflight_messages", limits.inflight_messages as u64),
            ("inflight_bytes", limits.inflight_bytes as u64),
            ("apply_bytes", limits.apply_bytes as u64),
            ("uncommitted_bytes", limits.uncommitted_bytes as u64),
            ("tail_bytes", limits.tail_bytes as u64),
            ("proposals", limits.proposals as u64),
            ("reads", limits.reads as u64),
            ("halted_entries", limits.halted_entries),
            ("log_bytes", self.snapshots.log_bytes),
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
