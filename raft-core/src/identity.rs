//! Which start of a data folder speaks, and which cluster, and so which log, it belongs to. The server's number and its
//! folder are in `types`.

use core::fmt;

/// One start of a server on its data folder. Boots of a folder are ordered by the counter and identified by both parts:
/// a copy of a folder, or a backup that is restored, repeats the counter, and never the nonce.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Boot {
    /// Counts the starts on this data folder, from 1.
    pub counter: u64,
    /// Drawn at random for this start.
    pub nonce: u64,
}

impl Boot {
    /// Returns the start of this number, with the nonce that was drawn for it.
    pub const fn new(counter: u64, nonce: u64) -> Self {
        Self { counter, nonce }
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Boot({}/{:016x})", self.counter, self.nonce)
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.counter, self.nonce)
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
    pub founding: u64,
    /// The number that the first leader drew; 0 until this server knows it to be committed.
    pub nonce: u64,
}

impl ClusterId {
    /// The identity on a server that waits to be added to some cluster.
    pub const UNKNOWN: Self = Self {
        founding: 0,
        nonce: 0,
    };

    /// Returns the identity of a cluster that begins with the configuration of this digest, and with this drawn number.
    pub(crate) fn founded(founding: u64, drawn: u64) -> Self {
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
        write!(f, "{:016x}-{:016x}", self.founding, self.nonce)
    }
}
