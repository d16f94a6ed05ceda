//! Levels: which commands and features a program understands, and what becomes of a program that meets more.
//!
//! Servers of one cluster are not replaced all at once. While two programs run side by side, neither may apply a command
//! that the other one would apply differently. So a new kind of command belongs to a level. Each server says up to which
//! level its program goes ([`Config::level`](crate::Config::level)). When every member has said so, the leader raises the
//! level of the log by an entry of its own ([`EntryBody::Level`](crate::EntryBody::Level)). Clients' commands of that
//! level are proposed once that is committed ([`Raft::level`](crate::Raft::level)), and not before.
//!
//! A program that meets what it does not understand, in spite of all this, halts before it: see [`Halted`].

use core::fmt;

use crate::types::Index;

/// A level of the log: which commands and features it may contain. Levels only rise. [`Level::ZERO`] is the level of a
/// log that was never raised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Level(u32);

impl Level {
    /// The level of a log that was never raised, and of a program that does not use levels.
    pub const ZERO: Self = Self(0);

    /// Wraps the number.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// Returns the number itself.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Level({})", self.0)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a state machine does not apply a committed command: this program does not understand it, and a newer one may
/// have applied it on another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("this program does not understand the command{}", Needs(*.needs))]
pub struct Halt {
    /// The level of the program that would understand it, if that is known.
    pub needs: Option<Level>,
}

/// Where a server has halted: its program does not understand this entry, so it applies neither that one nor any later
/// one. A newer program goes on from there.
///
/// A halted server goes on to store, to acknowledge and to vote. It neither campaigns nor takes over, it answers no
/// reads, and it takes no snapshot that reaches to the entry or beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[error("this server has halted before entry {at}, which its program does not understand{}", Needs(*.needs))]
pub struct Halted {
    /// The entry.
    pub at: Index,
    /// The level of the program that would understand it, if that is known.
    pub needs: Option<Level>,
}

struct Needs(Option<Level>);

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(level) => write!(f, "; start a program of level {level} or higher"),
            None => f.write_str("; start a newer program"),
        }
    }
}
