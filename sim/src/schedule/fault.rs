//! What can go wrong, as data. A fault has an id, which names its private draws: taking one away leaves the draws of all others as they were.

use std::fmt;
use std::str::FromStr;

use raft_core::NodeId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::MAX_SERVERS;
use crate::coverage::Probe;
use crate::nanos::Nanos;

/// One thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Names its private draws; unique in a schedule.
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
    /// What must happen; the server to which it happens is `$subject`.
    pub event: Probe,
    /// The how-manieth time, from 1.
    #[serde(default = "first")]
    pub nth: u64,
    /// How long after it. At zero the fault strikes in the middle of what the server is doing: a crash loses
    /// the duties that were not yet carried out.
    #[serde(default)]
    pub after: Nanos,
}

const fn first() -> u64 {
    1
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum FaultKind {
    /// The process dies, or the machine loses its power.
    Crash {
        /// Who.
        target: Target,
        /// What of the writes that were not synced survives.
        #[serde(default)]
        keep: Survival,
        /// Carry out so many more duties of the step in which it dies, then stop in the middle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_outputs: Option<u32>,
        /// How long until it starts again; without it, when the cluster is healed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_after: Option<Nanos>,
    },
    /// The process stands still while time goes on; what arrives meanwhile waits.
    Pause {
        /// Who.
        target: Target,
        /// For how long.
        lasts: Nanos,
    },
    /// Links between servers are cut.
    Partition {
        /// Which.
        shape: Shape,
        /// Whom the shape is about; halves are drawn.
        #[serde(default)]
        target: Target,
        /// What becomes of messages on them.
        #[serde(default)]
        messages: Delivery,
        /// For how long.
        lasts: Nanos,
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
        /// So many more of 10,000 messages are lost.
        #[serde(default)]
        loss_permyriad: u32,
        /// So many more arrive twice.
        #[serde(default)]
        duplicate_permyriad: u32,
        /// So many more are overtaken by later ones.
        #[serde(default)]
        reorder_permyriad: u32,
        /// Every message takes so much longer.
        #[serde(default)]
        delay: Nanos,
        /// For how long.
        lasts: Nanos,
    },
    /// Syncs take longer.
    SlowDisk {
        /// Whose.
        target: Target,
        /// How much longer.
        extra: Nanos,
        /// For how long.
        lasts: Nanos,
    },
    /// A write or a sync fails. The server falls silent, and is restarted.
    FailDisk {
        /// Whose.
        target: Target,
        /// What of the writes that were not synced survives.
        #[serde(default)]
        keep: Survival,
        /// How long until it starts again; without it, when the cluster is healed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_after: Option<Nanos>,
    },
    /// The clock runs at another rate.
    ClockRate {
        /// Whose.
        target: Target,
        /// By so many millionths faster, or slower when negative.
        ppm: i32,
        /// For how long.
        lasts: Nanos,
    },
    /// The clock jumps ahead.
    ClockJump {
        /// Whose.
        target: Target,
        /// By how much.
        by: Nanos,
    },
    /// The server is told to campaign now.
    Campaign {
        /// Who.
        target: Target,
    },
    /// The server is told to take a snapshot now.
    Snapshot {
        /// Who.
        target: Target,
    },
}

impl FaultKind {
    /// Whom it strikes; none for what strikes everybody alike.
    pub const fn target(&self) -> Option<Target> {
        match self {
            Self::Crash { target, .. }
            | Self::Pause { target, .. }
            | Self::Partition { target, .. }
            | Self::CutClients { target, .. }
            | Self::SlowDisk { target, .. }
            | Self::FailDisk { target, .. }
            | Self::ClockRate { target, .. }
            | Self::ClockJump { target, .. }
            | Self::Campaign { target }
            | Self::Snapshot { target } => Some(*target),
            Self::Storm { .. } => None,
        }
    }

    /// How long it lasts; none for what is over at once, or ends in its own way.
    pub const fn lasts(&self) -> Option<Nanos> {
        match self {
            Self::Pause { lasts, .. }
            | Self::Partition { lasts, .. }
            | Self::CutClients { lasts, .. }
            | Self::Storm { lasts, .. }
            | Self::SlowDisk { lasts, .. }
            | Self::ClockRate { lasts, .. } => Some(*lasts),
            Self::Crash { .. }
            | Self::FailDisk { .. }
            | Self::ClockJump { .. }
            | Self::Campaign { .. }
            | Self::Snapshot { .. } => None,
        }
    }

    /// What is counted when it strikes somebody.
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
            Self::ClockJump { .. } => Some(Probe::ClockJump),
            Self::Campaign { .. } => Some(Probe::ForceCampaign),
            // A server may have nothing new to take a snapshot of.
            Self::Snapshot { .. } => None,
        }
    }

    /// The kind's name as schedules write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Pause { .. } => "pause",
            Self::Partition { .. } => "partition",
            Self::CutClients { .. } => "cut_clients",
            Self::Storm { .. } => "storm",
            Self::SlowDisk { .. } => "slow_disk",
            Self::FailDisk { .. } => "fail_disk",
            Self::ClockRate { .. } => "clock_rate",
            Self::ClockJump { .. } => "clock_jump",
            Self::Campaign { .. } => "campaign",
            Self::Snapshot { .. } => "snapshot",
        }
    }
}

/// Which links a partition cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The target from everybody, both ways.
    Isolate,
    /// The target and one other, by draw, from everybody else.
    Pair,
    /// Everybody's messages to the target: it is deaf.
    Deaf,
    /// The target's messages to everybody: it is mute.
    Mute,
    /// Two random halves from each other.
    Halves,
    /// Two random halves that share one server, the target: each half sees it, and not each other (Howard 2020).
    Bridge,
    /// Everybody from everybody but their two neighbours in a random ring.
    Ring,
    /// Each directed link by itself, with even odds.
    Random,
}

/// What becomes of messages on a cut link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Lost when they are sent; those already under way still arrive.
    #[default]
    DroppedAtSend,
    /// Lost when they should arrive, those already under way as well.
    DroppedAtDelivery,
    /// Kept, and delivered when the link is healed.
    Held,
}

/// What of the writes that were not synced survives a crash.
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

/// Whom a fault strikes, decided at the moment it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Target {
    /// This server.
    Server(NodeId),
    /// The running leader of the latest term.
    Leader,
    /// A running server that does not lead, by draw.
    Follower,
    /// The server to which the triggering event happened.
    Subject,
    /// Any server, by draw.
    #[default]
    Any,
    /// Every server.
    All,
    /// A random majority of the servers.
    Majority,
}

/// Why a text names no target. The author of the schedule is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no target: write a server's number (1 to {MAX_SERVERS}) or one of {symbols}", symbols = symbols())]
pub struct TargetError(String);

const SYMBOLS: [(&str, Target); 6] = [
    ("$leader", Target::Leader),
    ("$follower", Target::Follower),
    ("$subject", Target::Subject),
    ("$any", Target::Any),
    ("$all", Target::All),
    ("$majority", Target::Majority),
];

fn symbols() -> String {
    SYMBOLS.map(|(name, _)| name).join(", ")
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(&(_, target)) = SYMBOLS.iter().find(|(name, _)| *name == text) {
            return Ok(target);
        }
        match text.parse() {
            Ok(number) if (1..=u64::from(MAX_SERVERS)).contains(&number) => {
                Ok(Self::Server(NodeId::new(number)))
            }
            _ => Err(TargetError(text.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, SYMBOLS.iter().find(|(_, target)| target == self)) {
            (Self::Server(node), _) => node.fmt(f),
            (_, Some((name, _))) => f.write_str(name),
            (_, None) => f.write_str("$any"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
