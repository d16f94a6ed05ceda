//! Which data folder speaks, in which of its starts, and to which cluster, and so to which log, it belongs. The server's
//! number is in `types`.
//!
//! Every message names all three, so they are kept to eight bytes each: a message and its addresses fit in the 128 bytes
//! that are moved without a call.

use core::fmt;
use core::num::NonZeroU64;

/// Identifies a data folder; drawn once at random when the folder is made. Two folders that claim the same
/// [`NodeId`](crate::NodeId) have different incarnations, which distinguishes a wiped disk from a restarted server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Incarnation(NonZeroU64);

impl Incarnation {
    /// Wraps the number that was drawn. No folder is numbered 0: a draw of 0 counts as 1.
    pub const fn new(drawn: u64) -> Self {
        match NonZeroU64::new(drawn) {
            Some(drawn) => Self(drawn),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Returns the number itself, 1 or more.
    pub const fn value(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({})", self.0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One start of a server on its data folder. Boots of a folder are ordered by the counter and identified by both parts:
/// a copy of a folder, or a backup that is restored, repeats the counter, and never the nonce.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Boot {
    /// Counts the starts on this data folder, from 1.
    pub counter: u32,
    /// Drawn at random for this start. Only copies of one folder are told apart by it, so 32 bits are many.
    pub nonce: u32,
}

impl Boot {
    /// Returns the start of this number, with the nonce that was drawn for it.
    pub const fn new(counter: u32, nonce: u32) -> Self {
        Self { counter, nonce }
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Boot({}/{:08x})", self.counter, self.nonce)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:08x}", self.counter, self.nonce)
    }
}

/// Identifies the cluster that a server belongs to, and so the log that it holds.
///
/// It is the configuration that the cluster began with, and a number that the first leader drew ([`Boot::nonce`]) and
/// wrote into the first entry. The same list of servers may found a cluster twice, after disks were lost; the number
/// tells the two apart. It holds once that entry is committed. A recovery from a lost majority, and a cluster that
/// begins from another one's snapshot, get a new one. Servers of different clusters refuse each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClusterId {
    /// A digest of the configuration that the cluster began with; 0 on a server that waits to be added to some cluster.
    pub founding: u32,
    /// The number that the first leader drew; 0 until this server knows it to be committed.
    pub nonce: u32,
}

impl ClusterId {
    /// The identity on a server that waits to be added to some cluster.
    pub const UNKNOWN: Self = Self {
        founding: 0,
        nonce: 0,
    };

    /// Returns the identity of a cluster that begins with the configuration of this digest, and with this drawn number.
    pub(crate) fn founded(founding: u32, drawn: u32) -> Self {
        Self {
            founding,
            nonce: drawn.max(1),
        }
    }

    /// Returns whether no cluster is known.
    pub const fn is_unknown(self) -> bool {
        self.founding == 0
    }

    /// Returns whether the number of the first entry is known as well.
    pub const fn is_bound(self) -> bool {
        self.nonce != 0
    }

    /// Returns whether two servers of these identities may belong to one cluster, as far as both know.
    pub const fn agrees_with(self, other: Self) -> bool {
        let same_nonce = !self.is_bound() || !other.is_bound() || self.nonce == other.nonce;
        self.founding == other.founding && same_nonce
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:08x}", self.founding, self.nonce)
    }
}
