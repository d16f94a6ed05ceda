//! What can go wrong, as data. A fault has an id, which names its private draws: removing one fault leaves the draws of
//! all others as they were.

use serde::{Deserialize, Serialize};

use super::{Reconfiguration, Target};
use crate::coverage::Probe;
use crate::nanos::Nanos;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The id, which names its private draws; unique in a schedule.
    pub id: u32,
    /// When it strikes.
    #[serde(flatten)]
    pub when: When,
    /// What it does.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// When a fault strikes: at a time, or on an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At this time.
    At(Nanos),
    /// When something happens.
    On(Trigger),
}

/// An event that sets off a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The event; the server to which it happens is `$subject`.
    pub event: Probe,
    /// Which occurrence of the event, from 1.
    #[serde(default = "first")]
    pub nth: u64,
    /// How long after it. At zero the fault strikes in the middle of the server's step: a crash loses the duties that
    /// were not yet carried out.
    #[serde(default)]
    pub after: Nanos,
}

const fn first() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FaultKind {
    /// The process dies, or the machine loses its power.
    Crash {
        /// Which server.
        target: Target,
        /// What of the writes that were not synced survives.
        #[serde(default)]
        keep: Survival,
        /// How many more duties of the step in which it dies are carried out; then it stops in the middle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_outputs: Option<u32>,
        /// How long until it starts again; without it, it restarts at the heal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_after: Option<Nanos>,
    },
    /// The process is paused while time goes on; what arrives meanwhile waits.
    Pause {
        /// Which server.
        target: Target,
        /// For how long.
        lasts: Nanos,
    },
    /// Links between servers are cut.
    Partition {
        /// The shape of the cut.
        shape: Shape,
        /// The server around which the shape is cut; halves are drawn.
        #[serde(default)]
        target: Target,
        /// What happens to messages on cut links. A link that keeps its messages is a clogged one.
        #[serde(default)]
        messages: Delivery,
        /// The links flap: cut for so long, whole for so long, and so on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flap_every: Option<Nanos>,
        /// For how long.
        lasts: Nanos,
    },
    /// All connections from and to a server break (in stream mode): what is in flight on them is lost.
    BreakConnections {
        /// Which server's.
        target: Target,
    },
    /// Clients and servers cannot reach each other.
    CutClients {
        /// Which server.
        target: Target,
        /// For how long.
        lasts: Nanos,
    },
    /// All links get worse.
    Storm {
        /// How many more of 10,000 messages are lost.
        #[serde(default)]
        loss_permyriad: u32,
        /// How many more arrive twice.
        #[serde(default)]
        duplicate_permyriad: u32,
        /// How many more are overtaken by later ones.
        #[serde(default)]
        reorder_permyriad: u32,
        /// How many arrive damaged: with flipped bits, truncated, or spliced with others. Only bytes can be damaged, so
        /// this counts where messages are encoded ([`Knobs::encode_messages`](super::Knobs::encode_messages)).
        #[serde(default, skip_serializing_if = "is_zero")]
        corrupt_permyriad: u32,
        /// How much longer every message takes.
        #[serde(default)]
        delay: Nanos,
        /// For how long.
        lasts: Nanos,
    },
    /// Syncs take longer.
    SlowDisk {
        /// Which server's.
        target: Target,
        /// How much longer.
        extra: Nanos,
        /// For how long.
        lasts: Nanos,
    },
    /// A write or a sync fails. The server stops, and is restarted.
    FailDisk {
        /// Which server's.
        target: Target,
        /// What of the writes that were not synced survives.
        #[serde(default)]
        keep: Survival,
        /// The next start reads back everything that was written as if it were on the disk, and the next crash loses
        /// it: the pages of a failed sync stay in memory and count as clean (class B).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        phantom: bool,
        /// How long until it starts again; without it, it restarts at the heal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_after: Option<Nanos>,
    },
    /// The disk is full: writes fail until there is room again. A server whose write fails stops and is restarted,
    /// again and again.
    FullDisk {
        /// Which server's.
        target: Target,
        /// How long a restart takes.
        restart_after: Nanos,
        /// For how long.
        lasts: Nanos,
    },
    /// The disk is lost and replaced by an empty one: the server comes back as a new incarnation (class B).
    WipeDisk {
        /// Which server's.
        target: Target,
        /// How long until it starts again; without it, it restarts at the heal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_after: Option<Nanos>,
    },
    /// The disk reports syncs that it has not made. A crash meanwhile loses everything since the fault began (class B).
    LyingDisk {
        /// Which server's.
        target: Target,
        /// For how long. What is not lost by then reaches the disk after all.
        lasts: Nanos,
    },
    /// A copy of the disk is taken now and put back later (class B).
    RestoreBackup {
        /// Which server's.
        target: Target,
        /// When the copy is put back; the server dies of it.
        lasts: Nanos,
        /// How long until it starts again then; without it, it restarts at the heal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_after: Option<Nanos>,
        /// How often the copy and what it replaced take over from each other after that, each time so much later, as two
        /// machines do that run copies of one folder under one address.
        #[serde(default, skip_serializing_if = "is_zero")]
        takeovers: u32,
    },
    /// A record on the disk rots, for good: a reader finds that its checksum does not match (class B).
    CorruptDisk {
        /// Which server's.
        target: Target,
        /// Which record.
        #[serde(default)]
        record: Record,
        /// The server dies now and starts again so much later; without it, the rot is found when the record is read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_after: Option<Nanos>,
    },
    /// The clock runs at another rate.
    ClockRate {
        /// Which server's.
        target: Target,
        /// How many millionths faster it runs, or slower when negative.
        ppm: i32,
        /// For how long.
        lasts: Nanos,
    },
    /// The clock jumps.
    ClockJump {
        /// Which server's.
        target: Target,
        /// By how much.
        by: Nanos,
        /// Backwards instead of ahead. Ticks are never taken back: none are counted until the clock has caught up.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        back: bool,
    },
    /// The server is told to campaign now.
    Campaign {
        /// Which server.
        target: Target,
    },
    /// The server is told to take a snapshot now.
    Snapshot {
        /// Which server.
        target: Target,
    },
    /// An operator asks the leader to change the configuration (dissertation chapter 4).
    ChangeMembership {
        /// The server that the change is about, if it is about one; several are asked for one by one.
        #[serde(default)]
        target: Target,
        /// The operator expects the configuration in force when the fault strikes, and no later one (compare-and-set).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        compare: bool,
        /// For how long the operator asks again, each time the current leader, until the change is made.
        #[serde(default)]
        insist: Nanos,
        /// The change.
        change: Reconfiguration,
        /// Whether the operator wants it even if the leader knows of no healthy quorum for it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    },
    /// An operator asks the leader to hand its leadership over (dissertation §3.10).
    TransferLeadership {
        /// The server that is to lead.
        target: Target,
    },
}

impl FaultKind {
    /// Returns the target that it strikes; `None` for faults that strike all servers alike.
    pub const fn target(&self) -> Option<Target> {
        match self {
            Self::Crash { target, .. }
            | Self::Pause { target, .. }
            | Self::Partition { target, .. }
            | Self::CutClients { target, .. }
            | Self::SlowDisk { target, .. }
            | Self::FailDisk { target, .. }
            | Self::FullDisk { target, .. }
            | Self::WipeDisk { target, .. }
            | Self::LyingDisk { target, .. }
            | Self::RestoreBackup { target, .. }
            | Self::CorruptDisk { target, .. }
            | Self::BreakConnections { target }
            | Self::ClockRate { target, .. }
            | Self::ClockJump { target, .. }
            | Self::Campaign { target }
            | Self::TransferLeadership { target }
            | Self::Snapshot { target } => Some(*target),
            Self::ChangeMembership { target, change, .. } if change.is_about_a_server() => Some(*target),
            Self::Storm { .. } | Self::ChangeMembership { .. } => None,
        }
    }

    /// Returns how long it lasts; `None` for faults that are over at once, or end in their own way.
    pub const fn lasts(&self) -> Option<Nanos> {
        match self {
            Self::Pause { lasts, .. }
            | Self::Partition { lasts, .. }
            | Self::CutClients { lasts, .. }
            | Self::Storm { lasts, .. }
            | Self::SlowDisk { lasts, .. }
            | Self::FullDisk { lasts, .. }
            | Self::LyingDisk { lasts, .. }
            | Self::RestoreBackup { lasts, .. }
            | Self::ClockRate { lasts, .. } => Some(*lasts),
            Self::Crash { .. }
            | Self::FailDisk { .. }
            | Self::WipeDisk { .. }
            | Self::CorruptDisk { .. }
            | Self::BreakConnections { .. }
            | Self::ClockJump { .. }
            | Self::Campaign { .. }
            | Self::ChangeMembership { .. }
            | Self::TransferLeadership { .. }
            | Self::Snapshot { .. } => None,
        }
    }

    /// Whether Raft assumes that this never happens: disks keep what they reported as synced, and a server's disk stays
    /// its own. Such faults need class B or C.
    pub const fn breaks_assumptions(&self) -> bool {
        matches!(
            self,
            Self::WipeDisk { .. }
                | Self::LyingDisk { .. }
                | Self::RestoreBackup { .. }
                | Self::CorruptDisk { .. }
                | Self::FailDisk { phantom: true, .. }
        )
    }

    /// Returns the probe that is hit when it strikes a server.
    pub const fn probe(&self) -> Option<Probe> {
        match self {
            Self::Crash { .. } => Some(Probe::Crash),
            Self::Pause { .. } => Some(Probe::Pause),
            Self::Partition { .. } => Some(Probe::Partition),
            Self::CutClients { .. } => Some(Probe::CutClients),
            Self::Storm { .. } => Some(Probe::Storm),
            Self::SlowDisk { .. } => Some(Probe::SlowDisk),
            Self::FailDisk { .. } => Some(Probe::DiskFailed),
            Self::ClockRate { .. } => Some(Probe::ClockRate),
            Self::FullDisk { .. } => Some(Probe::DiskFull),
            Self::WipeDisk { .. } => Some(Probe::DiskWiped),
            Self::LyingDisk { .. } => Some(Probe::DiskLies),
            Self::RestoreBackup { .. } => Some(Probe::BackupRestored),
            Self::CorruptDisk { .. } => Some(Probe::RecordCorrupted),
            Self::BreakConnections { .. } => Some(Probe::ConnectionsBroken),
            Self::ClockJump { back: true, .. } => Some(Probe::ClockJumpBack),
            Self::ClockJump { .. } => Some(Probe::ClockJump),
            Self::Campaign { .. } => Some(Probe::ForceCampaign),
            // A server may have nothing new to take a snapshot of, and there may be no leader to ask.
            Self::Snapshot { .. } | Self::ChangeMembership { .. } | Self::TransferLeadership { .. } => None,
        }
    }

    /// Returns the kind's name as schedules write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Pause { .. } => "pause",
            Self::Partition { .. } => "partition",
            Self::CutClients { .. } => "cut_clients",
            Self::Storm { .. } => "storm",
            Self::SlowDisk { .. } => "slow_disk",
            Self::FailDisk { .. } => "fail_disk",
            Self::FullDisk { .. } => "full_disk",
            Self::WipeDisk { .. } => "wipe_disk",
            Self::LyingDisk { .. } => "lying_disk",
            Self::RestoreBackup { .. } => "restore_backup",
            Self::CorruptDisk { .. } => "corrupt_disk",
            Self::BreakConnections { .. } => "break_connections",
            Self::ClockRate { .. } => "clock_rate",
            Self::ClockJump { .. } => "clock_jump",
            Self::Campaign { .. } => "campaign",
            Self::Snapshot { .. } => "snapshot",
            Self::ChangeMembership { .. } => "change_membership",
            Self::TransferLeadership { .. } => "transfer_leadership",
        }
    }
}

/// Which links a partition cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The target from all other servers, both ways.
    Isolate,
    /// The target and one other, by draw, from all other servers.
    Pair,
    /// All servers' messages to the target, which receives nothing.
    Deaf,
    /// The target's messages to all servers, which receive nothing from it.
    Mute,
    /// Two random halves from each other.
    Halves,
    /// Two random halves that share one server, the target: each half is connected to it, and not to the other half
    /// (Howard 2020).
    Bridge,
    /// All servers from each other, except from their two neighbours in a random ring.
    Ring,
    /// Each directed link by itself, with even odds.
    Random,
}

/// What happens to messages on a cut link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Lost when they are sent; those already in flight still arrive.
    #[default]
    DroppedAtSend,
    /// Lost when they should arrive, including those already in flight.
    DroppedAtDelivery,
    /// Kept, and delivered when the link is healed.
    Held,
}

/// What survives a crash of the writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Survival {
    /// One of the others, by draw.
    #[default]
    Random,
    /// Nothing.
    None,
    /// The first few of them.
    Prefix,
    /// The first few of them, and the first few parts of the next.
    Torn,
    /// Any of them; a log with checksums is then read up to the first that is missing.
    Subset,
    /// All of them.
    All,
}

/// Which record of a disk rots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// One of the others, by draw.
    #[default]
    Random,
    /// An entry of the log, by draw.
    Entry,
    /// The last entry of the log.
    LastEntry,
    /// Term and vote.
    HardState,
    /// The snapshot.
    Snapshot,
}
