//! Wall clocks: what hosts say that theirs show, and what is made of it. The core reads none.

use alloc::vec::Vec;
use core::fmt;

use crate::types::{NodeId, Tick};

/// What a wall clock shows: microseconds since the beginning of 1970 (UTC).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WallTime(u64);

impl WallTime {
    /// The time so many microseconds after the beginning of 1970 (UTC).
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the beginning of 1970 (UTC).
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The time that is nearest to this number of microseconds.
    fn nearest_to(micros: i128) -> Self {
        Self(u64::try_from(micros.max(0)).unwrap_or(u64::MAX))
    }

    /// This time, later by so many microseconds.
    pub(crate) fn shifted(self, by_micros: i64) -> Self {
        Self::nearest_to(i128::from(self.0) + i128::from(by_micros))
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WallTime({})", self.0)
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs", self.0)
    }
}

/// What the wall clocks of the members show, as a leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Clocks {
    /// On a leader whose host gives its wall time, those members, learners included, whose clocks it has heard lately, in
    /// the order of their ids; empty on other servers.
    pub offsets: Vec<ClockOffset>,
    /// Where the median of all voters' clocks lies, if those of a quorum are known.
    pub median: Option<MedianTime>,
    /// What [`Raft::stamp`](crate::Raft::stamp) returns: the time that a command may carry, or why it may carry none.
    pub stamp: Result<WallTime, ClockError>,
}

/// How far a member's wall clock is from that of its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClockOffset {
    /// The member.
    pub node: NodeId,
    /// What its clock shows less what the leader's shows, in microseconds; the nearest number that fits.
    pub offset_micros: i64,
    /// By how much that may be wrong, in microseconds: the time from the heartbeat to its answer in ticks, within which
    /// the clock was read, and two ticks, since neither host's time need be newer than its tick. The rates of the two
    /// clocks matter only for the ticks since then, of which there are at most those of the longest election timeout.
    pub error_micros: u64,
}

/// Where the median of the voters' clocks lies: some may not be known, and the median of an even number is not one of
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MedianTime {
    /// The median if the clocks that are not known are behind all others.
    pub earliest: WallTime,
    /// The median if they are ahead of all others.
    pub latest: WallTime,
}

/// Why no command may carry a time from this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ClockError {
    /// Only a leader knows what the clocks of the others show. The caller is wrong.
    #[error(
        "this server does not lead, so it does not know the clocks of the others; let the leader stamp commands"
    )]
    NotLeader {
        /// The leader of the term, where it is known.
        leader: Option<NodeId>,
    },
    /// The host has not given its wall time in the present tick. The caller is wrong.
    #[error("the host has not given its wall time in this tick; give Event::WallTime after each Event::Tick")]
    NotGiven,
    /// The clocks of a quorum are not known: the leadership has just begun, voters do not answer, or their hosts do not
    /// give their wall time.
    #[error(
        "the clocks of {known} voters are known, fewer than a quorum; \
         wait for their answers to heartbeats, and let every host give its wall time"
    )]
    Unknown {
        /// The voters whose clocks are known, this server included.
        known: usize,
    },
    /// Clocks differ, and too few are known to tell which are wrong.
    #[error(
        "the clock of server {node} differs by {by_micros} µs from this server's, more than {bound_micros} µs, \
         and too few others are known to tell which is wrong; set the wrong clock, or start the voters that are silent"
    )]
    Undecided {
        /// A voter whose clock differs from this server's by more than the bound.
        node: NodeId,
        /// What its clock shows less what this server's shows, in microseconds.
        by_micros: i64,
        /// [`Config::clock_bound_micros`](crate::Config::clock_bound_micros).
        bound_micros: u64,
    },
    /// This server's clock is wrong, or those of most voters are.
    #[error(
        "the clock of server {node}, the leader, is {by_micros} µs ahead of the median of the voters' clocks \
         (behind it if negative), and {bound_micros} µs are allowed; set it"
    )]
    Off {
        /// This server.
        node: NodeId,
        /// What its clock shows less the nearest value that the median may have, in microseconds.
        by_micros: i64,
        /// [`Config::clock_bound_micros`](crate::Config::clock_bound_micros).
        bound_micros: u64,
        /// The member that leadership passes to, or is tried to be passed to. `None` while no voter that holds every
        /// committed entry has a clock within half of the bound: then this server leads on, and no command carries a
        /// time.
        successor: Option<NodeId>,
    },
}

/// What a clock showed at some time from one tick of this server to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    shown: WallTime,
    /// The clock was read in this tick or later,
    asked_at: Tick,
    /// and in this one or earlier.
    heard_at: Tick,
}

impl Reading {
    pub(crate) fn new(shown: WallTime, asked_at: Tick, heard_at: Tick) -> Self {
        debug_assert!(asked_at <= heard_at, "an answer follows its question");
        Self {
            shown,
            asked_at,
            heard_at,
        }
    }

    /// What the clock showed, if that was heard in this very tick.
    pub(crate) fn shown_at(&self, now: Tick) -> Option<WallTime> {
        (self.heard_at == now).then_some(self.shown)
    }

    /// Whether it was heard at most so many ticks ago. Later, the clock may have been set.
    pub(crate) fn is_recent(&self, now: Tick, lasts_ticks: u64) -> bool {
        now.value().saturating_sub(self.heard_at.value()) <= lasts_ticks
    }

    /// What the clock shows now, carried on by ticks: this server's own clock may have been set meanwhile.
    pub(crate) fn carried_on(&self, now: Tick, tick_micros: u64) -> WallTime {
        WallTime::nearest_to(self.micros_at(now, tick_micros))
    }

    fn micros_at(&self, now: Tick, tick_micros: u64) -> i128 {
        let ticks = now.value().saturating_sub(self.heard_at.value());
        i128::from(self.shown.value()) + i128::from(ticks) * i128::from(tick_micros)
    }

    /// By how many microseconds it is ahead of another clock now; the nearest number that fits.
    pub(crate) fn ahead_of(&self, other: &Self, now: Tick, tick_micros: u64) -> i64 {
        let difference = self.micros_at(now, tick_micros) - other.micros_at(now, tick_micros);
        let clamped = difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
        i64::try_from(clamped).unwrap_or(i64::MAX)
    }

    /// By how much that may be wrong, see [`ClockOffset::error_micros`].
    pub(crate) fn error_micros(&self, tick_micros: u64) -> u64 {
        let ticks = self.heard_at.value().saturating_sub(self.asked_at.value());
        ticks.saturating_add(2).saturating_mul(tick_micros)
    }
}
