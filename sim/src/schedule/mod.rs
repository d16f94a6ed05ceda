//! A run as data: the servers and clients, the weather, the faults and their times, the operations, and the
//! expectation.
//!
//! Seeds, scenario files, regressions and shrunk cases are all schedules, and one runner runs them all. A setting that
//! a file leaves out has the documented default.

mod family;
mod fault;
mod file;
mod reconfiguration;
mod target;

use raft_core::{Config, Lease, Limits, Options, Snapshots, Timing};
use serde::{Deserialize, Serialize};

pub use self::family::Family;
pub use self::fault::{Delivery, Fault, FaultKind, Record, Shape, Survival, Trigger, When};
pub use self::file::ScheduleError;
pub use self::reconfiguration::Reconfiguration;
pub use self::target::{Target, TargetError};

use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::oracle::Oracle;
use crate::random::{Domain, Seed};

/// The largest cluster that is simulated.
pub const MAX_SERVERS: u8 = 7;

/// How far a leader's wall clock may be from the median of the voters' clocks, in microseconds.
pub(crate) const CLOCK_BOUND_MICROS: u64 = 5_000_000;

/// The most operations of a schedule, by rule and listed together.
pub const MAX_OPERATIONS: usize = 1_000_000;

/// Everything about one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// One sentence: what the schedule is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub purpose: String,
    /// The table of draws that gives the seed its meaning.
    pub rng: RngVersion,
    /// The root of every draw that the schedule does not fix.
    pub seed: u64,
    /// The name of the workload that it is for ([`Workload::name`](crate::Workload::name)); any, if it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// What the faults may do, and so which oracles are judged.
    #[serde(default)]
    pub class: Class,
    /// The servers.
    #[serde(default)]
    pub cluster: Cluster,
    /// The library's settings.
    #[serde(default)]
    pub knobs: Knobs,
    /// How network and disks behave without faults.
    #[serde(default)]
    pub weather: Weather,
    /// What clients do, by rule.
    #[serde(default)]
    pub workload: WorkloadPlan,
    /// The end of the faults, and what must happen after it.
    #[serde(default)]
    pub heal: Heal,
    /// How many events the run may take before it counts as a storm (oracle S24).
    #[serde(default = "default_event_budget")]
    pub event_budget: u64,
    /// The expected outcome of the run.
    #[serde(default)]
    pub expect: Expectation,
    /// The faults.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Listed operations of clients, in addition to those of `workload`.
    #[serde(default, rename = "operation", skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// The version of the table of draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RngVersion {
    /// The first.
    #[default]
    V1,
}

/// What the faults may do, and so what is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Class {
    /// Within Raft's assumptions: every oracle is judged.
    #[default]
    A,
    /// One server's disk may forget, lie or rot, within the fault budget: safety holds, or that server stops. A fault
    /// that would exceed the budget is left out, as far as that can be foreseen. A run that exceeds it nevertheless
    /// continues in class C.
    B,
    /// Any number of disks may, regardless of the budget. Once it is exceeded, only this is judged: nothing panics, and
    /// nothing corrupt is believed.
    C,
}

/// The servers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// How many servers the cluster begins with, 1 to [`MAX_SERVERS`]; their ids begin at 1.
    pub servers: u8,
    /// How many more servers there are that belong to no cluster until they are added to it. Their ids come after those
    /// of `servers`.
    #[serde(skip_serializing_if = "is_none")]
    pub spares: u8,
    /// How many of the initial servers are witnesses: the last ones.
    #[serde(skip_serializing_if = "is_none")]
    pub witnesses: u8,
    /// The length of a tick of a server's clock.
    pub tick: Nanos,
    /// The time within which all servers start, at random.
    pub start_within: Nanos,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_none(servers: &u8) -> bool {
    *servers == 0
}

impl Cluster {
    /// Whether the server at this place, counted from 0, is a witness.
    pub fn is_witness(&self, place: usize) -> bool {
        let founders = usize::from(self.servers);
        (founders.saturating_sub(usize::from(self.witnesses))..founders).contains(&place)
    }

    /// Returns how many servers there are, including those that begin outside.
    pub const fn all_servers(&self) -> u8 {
        self.servers.saturating_add(self.spares)
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            servers: 3,
            spares: 0,
            witnesses: 0,
            tick: Nanos::from_millis(10),
            start_within: Nanos::from_millis(50),
        }
    }
}

/// The library's settings; small values make rare paths frequent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Knobs {
    /// See [`raft_core::Timing`].
    pub election_timeout_min_ticks: u64,
    /// See [`raft_core::Timing`].
    pub election_timeout_max_ticks: u64,
    /// See [`raft_core::Timing`].
    pub heartbeat_ticks: u64,
    /// See [`raft_core::Timing`].
    pub snapshot_timeout_ticks: u64,
    /// See [`raft_core::Limits`]. 48 puts every key-value command into an append of its own.
    pub message_bytes: u64,
    /// See [`raft_core::Limits`].
    pub inflight_messages: u64,
    /// See [`raft_core::Limits`].
    pub apply_bytes: u64,
    /// See [`raft_core::Limits`].
    pub tail_bytes: u64,
    /// See [`raft_core::Snapshots`].
    pub snapshot_every_entries: u64,
    /// See [`raft_core::Snapshots`].
    pub snapshot_keep_entries: u64,
    /// See [`raft_core::Snapshots`].
    pub snapshot_chunk_bytes: u64,
    /// See [`raft_core::Limits`].
    pub uncommitted_bytes: u64,
    /// See [`raft_core::Limits`].
    pub inflight_bytes: u64,
    /// See [`raft_core::Limits`].
    pub proposals: u64,
    /// See [`raft_core::Limits`].
    pub reads: u64,
    /// The most by which clocks may differ, which turns leases on: see [`raft_core::Lease`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_drift_permyriad: Option<u32>,
    /// See [`raft_core::Options`].
    pub forwarding: bool,
    /// How many election timeouts every other server lets pass: see [`raft_core::Options`].
    pub yields: u32,
    /// Whether every server waits for its writes, which take no time: see [`raft_core::Options`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub persists_at_once: bool,
    /// Whether events of the same instant happen in a random order instead of the order in which they were caused.
    pub shuffle_ties: bool,
    /// Every server has ticks of its own length, and every start has timeouts of its own, some without leases: settings
    /// that an operator changes while the cluster serves.
    pub mixed_settings: bool,
    /// Whether hosts give the core what their wall clocks show. Some of these clocks are wrong, and faults that make a
    /// clock jump set the wall clock as well, mostly by much more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub wall_clocks: bool,
    /// Whether another cluster, whose servers have the same ids, is heard on the same network until the heal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strangers: bool,
    /// Whether every message between servers goes through the workload's [`Codec`](crate::Codec). A
    /// workload without one is refused.
    pub encode_messages: bool,
    /// Which of two programs each start of a server runs, if there are two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programs: Option<Programs>,
}

/// Two programs that run side by side: a rolling upgrade, which now and then is rolled back. The newer one has commands
/// of its own, which the older one does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Programs {
    /// Hosts propose commands of the newer program once the log is at its level (see [`raft_core::Level`]).
    Levelled,
    /// Hosts know nothing of levels, and propose what clients want. The older program meets it in the log.
    Unlevelled,
}

/// The older of two programs.
pub(crate) const OLDER: u32 = 1;

/// The newer of two programs.
pub(crate) const NEWER: u32 = 2;

impl Default for Knobs {
    /// Timeouts of 150 to 300 ms with heartbeats every 50 ms, at ticks of 10 ms (paper §9.3), and generous limits.
    fn default() -> Self {
        Self {
            election_timeout_min_ticks: 15,
            election_timeout_max_ticks: 30,
            heartbeat_ticks: 5,
            snapshot_timeout_ticks: 100,
            message_bytes: 64 << 10,
            inflight_messages: 64,
            apply_bytes: 1 << 20,
            tail_bytes: 1 << 20,
            snapshot_every_entries: 500,
            snapshot_keep_entries: 100,
            snapshot_chunk_bytes: 16 << 10,
            uncommitted_bytes: 64 << 20,
            inflight_bytes: 8 << 20,
            proposals: 65_536,
            reads: 65_536,
            lease_drift_permyriad: None,
            forwarding: false,
            yields: 0,
            persists_at_once: false,
            shuffle_ties: false,
            mixed_settings: false,
            wall_clocks: false,
            strangers: false,
            encode_messages: false,
            programs: None,
        }
    }
}

impl Knobs {
    /// Returns the library's configuration with these settings.
    pub fn config(&self, seed: u64, tick: Nanos) -> Config {
        let bytes = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Config {
            seed,
            timing: Timing {
                election_timeout_min_ticks: self.election_timeout_min_ticks,
                election_timeout_max_ticks: self.election_timeout_max_ticks,
                heartbeat_ticks: self.heartbeat_ticks,
                snapshot_timeout_ticks: self.snapshot_timeout_ticks,
            },
            tick_micros: (tick.value() / 1_000).max(1),
            settings: 0,
            clock_bound_micros: CLOCK_BOUND_MICROS,
            limits: Limits {
                message_bytes: bytes(self.message_bytes),
                inflight_messages: bytes(self.inflight_messages),
                apply_bytes: bytes(self.apply_bytes),
                tail_bytes: bytes(self.tail_bytes),
                uncommitted_bytes: bytes(self.uncommitted_bytes),
                inflight_bytes: bytes(self.inflight_bytes),
                proposals: bytes(self.proposals),
                reads: bytes(self.reads),
                ..Limits::default()
            },
            snapshots: Snapshots {
                every_entries: self.snapshot_every_entries,
                keep_entries: self.snapshot_keep_entries,
                chunk_bytes: bytes(self.snapshot_chunk_bytes),
                ..Snapshots::default()
            },
            options: Options {
                lease: self
                    .lease_drift_permyriad
                    .map(|drift_permyriad| Lease { drift_permyriad }),
                forwarding: self.forwarding,
                persists_at_once: self.persists_at_once,
                ..Options::default()
            },
            ..Config::default()
        }
    }
}

/// How network and disks behave without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weather {
    /// The links between servers, and between clients and servers.
    pub network: NetworkWeather,
    /// Every server's disk.
    pub disk: DiskWeather,
    /// Each server's clock runs fast or slow by up to this many millionths, for the whole run.
    pub clock_drift_ppm: u32,
}

/// The weather of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkWeather {
    /// The shortest delay.
    pub delay_min: Nanos,
    /// The longest delay, unless a message is reordered.
    pub delay_max: Nanos,
    /// How many messages of 10,000 are lost.
    pub loss_permyriad: u32,
    /// How many arrive twice.
    pub duplicate_permyriad: u32,
    /// How many are delayed by up to `reorder_by`, while later ones overtake them.
    pub reorder_permyriad: u32,
    /// The longest such delay.
    pub reorder_by: Nanos,
    /// How many arrive damaged, where messages are encoded ([`Knobs::encode_messages`]).
    pub corrupt_permyriad: u32,
    /// Whether each directed link between servers is a connection. A connection keeps the order and delivers once. A
    /// loss breaks it, and loses everything in flight and everything sent until it is restored.
    pub stream: bool,
    /// How long a broken connection takes to come back, at most.
    pub reconnect_within: Nanos,
    /// How many bytes a link between servers carries in a second; 0 for unlimited.
    pub bytes_per_second: u64,
    /// How many bytes may wait for a link of limited bandwidth. What does not fit is dropped.
    pub queue_bytes: u64,
}

impl Default for NetworkWeather {
    fn default() -> Self {
        Self {
            delay_min: Nanos::from_micros(500),
            delay_max: Nanos::from_millis(3),
            loss_permyriad: 0,
            duplicate_permyriad: 0,
            reorder_permyriad: 0,
            reorder_by: Nanos::from_millis(20),
            corrupt_permyriad: 0,
            stream: false,
            reconnect_within: Nanos::from_millis(50),
            bytes_per_second: 0,
            queue_bytes: 64 << 10,
        }
    }
}

/// The weather of disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskWeather {
    /// The quickest sync.
    pub sync_min: Nanos,
    /// The slowest sync, unless the disk stalls.
    pub sync_max: Nanos,
    /// How many syncs of 10,000 stall.
    pub stall_permyriad: u32,
    /// The longest stall.
    pub stall: Nanos,
    /// When a write without a waiter is written back.
    pub write_back: Nanos,
    /// Whether writes that arrive during a sync share the next one; otherwise each has its own, several in flight.
    pub group_commit: bool,
    /// The time that reading entries back takes.
    pub load: Nanos,
    /// The longest time that the bytes of a snapshot take to be durable, beside all other writes.
    pub snapshot: Nanos,
    /// How many snapshots of 10,000 cannot be written.
    pub snapshot_fails_permyriad: u32,
}

impl Default for DiskWeather {
    fn default() -> Self {
        Self {
            sync_min: Nanos::from_micros(100),
            sync_max: Nanos::from_millis(2),
            stall_permyriad: 0,
            stall: Nanos::from_millis(200),
            write_back: Nanos::from_millis(100),
            group_commit: false,
            load: Nanos::from_micros(300),
            snapshot: Nanos::ZERO,
            snapshot_fails_permyriad: 0,
        }
    }
}

/// What clients do, by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadPlan {
    /// How many clients there are.
    pub clients: u8,
    /// How many operations they make together, [`MAX_OPERATIONS`] at most.
    pub operations: u32,
    /// When the first operation begins, approximately...
    pub begin: Nanos,
    /// ...and the average time between two operations.
    pub interval: Nanos,
    /// How many of 10,000 operations are reads.
    pub read_permyriad: u32,
    /// How many of 10,000 reads may rest on a lease.
    pub lease_read_permyriad: u32,
    /// How many objects operations choose from (keys, accounts, users, ...).
    pub choices: u64,
    /// How long a client waits for an attempt's answer; after that, its outcome stays unknown.
    pub attempt_timeout: Nanos,
    /// How often an operation is attempted, at most.
    pub attempts: u32,
    /// The wait before the next attempt.
    pub retry_after: Nanos,
    /// The limits of clients' sessions, if the workload knows sessions ([`WithSessions`](crate::WithSessions)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionPlan>,
}

/// How much of sessions is remembered (see [`raft_core::sessions::SessionLimits`]); small limits cause expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPlan {
    /// The most sessions.
    pub sessions: u32,
    /// The most outcomes that a session may hold.
    pub outcomes: u32,
    /// How long an unused session lives.
    pub lifetime: Nanos,
}

impl Default for WorkloadPlan {
    fn default() -> Self {
        Self {
            clients: 3,
            operations: 100,
            begin: Nanos::from_millis(300),
            interval: Nanos::from_millis(50),
            read_permyriad: 3_000,
            lease_read_permyriad: 0,
            choices: 5,
            attempt_timeout: Nanos::from_millis(500),
            attempts: 8,
            retry_after: Nanos::from_millis(20),
            sessions: None,
        }
    }
}

/// The end of the faults (oracles L1 and L2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Heal {
    /// When a core of servers is healed for good.
    pub at: Nanos,
    /// What happens to the servers outside the core.
    pub rest: Rest,
    /// How long the core may take to elect a leader and to agree on everything (L1).
    pub converge_within: Nanos,
    /// How long a fresh write and a fresh read of every client may take after that (L2).
    pub serve_within: Nanos,
    /// How long the idle cluster is then watched (L3, L4, L8).
    pub quiet_for: Nanos,
}

impl Default for Heal {
    fn default() -> Self {
        Self {
            at: Nanos::from_secs(8),
            rest: Rest::Healed,
            converge_within: Nanos::from_secs(20),
            serve_within: Nanos::from_secs(10),
            quiet_for: Nanos::from_millis(600),
        }
    }
}

/// What happens to the servers outside the healed core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// They are healed as well: every server is in the core.
    #[default]
    Healed,
    /// Each stays broken in its own way, for good: down, partitioned, deaf, mute, or with links to a few of the core.
    Broken,
}

/// One operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// When it begins.
    pub at: Nanos,
    /// Which client, from 1.
    pub client: u8,
    /// Whether it is a write or a read.
    pub kind: OperationKind,
    /// The object that it is about; the [`Workload`](crate::Workload) gives it a meaning.
    pub choice: u64,
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Proposes a command.
    Write,
    /// Asks a query, linearizably.
    Read,
}

/// The expected outcome of a run.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// The oracle that must report a violation; none for a run that must pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violation: Option<Oracle>,
    /// What must happen at least once, so that the run cannot become vacuous unnoticed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
}

/// Well above what the busiest correct runs need, and far below what a storm takes.
const fn default_event_budget() -> u64 {
    1_000_000
}

impl Schedule {
    /// The length of a server's ticks.
    pub(crate) fn tick_of(&self, seed: Seed, place: usize) -> Nanos {
        let twice = self.knobs.mixed_settings && seed.quick(Domain::Timers, place as u64, 0, 4).chance(3_000);
        self.cluster.tick.times(if twice { 2 } else { 1 })
    }

    /// A length of ticks by which no server's timeouts are shorter than in the schedule.
    pub(crate) fn longest_tick(&self) -> Nanos {
        // Ticks of twice the length, and four times as many of them.
        self.cluster
            .tick
            .times(if self.knobs.mixed_settings { 8 } else { 1 })
    }

    /// The settings of one start of a server. Mixed ones are never shorter than what the schedule says, even in ticks of
    /// twice the length, so that heartbeats still come in time.
    pub(crate) fn knobs_of(&self, seed: Seed, place: usize, boot: u64) -> Knobs {
        let mut knobs = self.knobs;
        if knobs.mixed_settings {
            let draw = seed.quick(Domain::Timers, place as u64, boot, 5);
            let times = 2 + draw.below(3);
            knobs.election_timeout_min_ticks *= times;
            knobs.election_timeout_max_ticks *= times;
            if draw.part(1).chance(1_500) {
                knobs.lease_drift_permyriad = None;
            }
        }
        knobs
    }

    /// How far the faulty time is over, in parts of 10,000.
    fn through_permyriad(&self, now: Nanos) -> u32 {
        let through = u128::from(now.value()) * 10_000 / u128::from(self.heal.at.value().max(1));
        u32::try_from(through).unwrap_or(10_000).min(10_000)
    }

    /// The program of one start of a server: mostly the older one at first, mostly the newer one later, in any order.
    pub(crate) fn program_of(&self, seed: Seed, place: usize, boot: u64, now: Nanos) -> Option<u32> {
        self.knobs.programs?;
        let newer = 1_000 + self.through_permyriad(now) / 10 * 8;
        let is_newer = seed.quick(Domain::Timers, place as u64, boot, 6).chance(newer);
        Some(if is_newer { NEWER } else { OLDER })
    }

    /// The program that the command of an attempt is for.
    pub(crate) fn command_of(&self, seed: Seed, attempt: u64, now: Nanos) -> Option<u32> {
        let newer = match self.knobs.programs? {
            Programs::Levelled => 3_000,
            // The first one halts every server of the older program.
            Programs::Unlevelled => self.through_permyriad(now) / 10,
        };
        let is_newer = seed
            .quick(Domain::Client, u64::from(u8::MAX), 2, attempt)
            .chance(newer);
        Some(if is_newer { NEWER } else { OLDER })
    }

    /// Returns the calm schedule of this seed: default cluster, weather and workload, no faults.
    pub fn calm(seed: u64) -> Self {
        Self {
            purpose: String::new(),
            rng: RngVersion::V1,
            seed,
            machine: String::new(),
            class: Class::A,
            cluster: Cluster::default(),
            knobs: Knobs::default(),
            weather: Weather::default(),
            workload: WorkloadPlan::default(),
            heal: Heal::default(),
            event_budget: default_event_budget(),
            expect: Expectation::default(),
            faults: Vec::new(),
            operations: Vec::new(),
        }
    }
}
