//! The quantities and names of the protocol, each a type of its own, so that a term is never taken for an index.

use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroU64;

use crate::identity::{Boot, ClusterId, Incarnation};
use crate::level::Level;
use crate::membership::Membership;
pub use crate::payload::Payload;

/// The largest well-formed term or index. No correct cluster ever counts this far, and a number up to here can be
/// incremented for the lifetime of any cluster without an overflow.
const LARGEST: u64 = u64::MAX >> 16;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        number!($(#[$doc])* $name of u64);
    };
    ($(#[$doc:meta])* $name:ident of $integer:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name($integer);

        impl $name {
            /// Wraps the number.
            pub const fn new(value: $integer) -> Self {
                Self(value)
            }

            /// Returns the number itself.
            pub const fn value(self) -> $integer {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Identifies a server of a cluster. A server that was removed and is added again may have another data folder.
    NodeId
}
number! {
    /// Identifies one consensus group among those that share a process or a wire.
    GroupId
}
number! {
    /// Numbers the actions that the host must report back on, in the order in which they were handed out. Writes are
    /// numbered in one sequence; requests for entries and transfers of snapshots in another. So the same number may
    /// name one of each.
    Ticket
}
number! {
    /// Identifies a proposal. The host chooses it, and it has a meaning on this server only.
    ProposalId
}
number! {
    /// Identifies a read. The host chooses it, and it has a meaning on this server only.
    ReadId
}
number! {
    /// Numbers a leader's sessions with its peers. A peer that was removed and is added again starts a new session, so
    /// that late replies from before the removal are not counted.
    PeerSession of u32
}
impl PeerSession {
    /// The session of a reply that belongs to none: leaders number their sessions from 1.
    pub const NONE: Self = Self(0);
}

number! {
    /// Numbers a leader's read rounds: heartbeats that confirm its leadership for linearizable reads (dissertation
    /// §6.4). The core assigns the numbers.
    Round
}
number! {
    /// A point in logical time: the number of ticks that the host has advanced since this boot.
    Tick
}

/// A term: a period of logical time with at most one leader (paper §5.1). [`Term::ZERO`] precedes the first election.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Term(u64);

impl Term {
    /// The term of a server that has not heard of any election.
    pub const ZERO: Self = Self(0);

    /// Wraps the number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Returns the number itself.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Returns the term after this one. Saturates, which well-formed terms never do: see [`Term::is_malformed`].
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns whether the number is so close to the end of its range that only a faulty or hostile peer can have sent
    /// it.
    pub const fn is_malformed(self) -> bool {
        self.0 > LARGEST
    }
}

/// A position in the log. The first entry has index 1; a missing position is `Option::None`, never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Index(NonZeroU64);

impl Index {
    /// The index of the first entry.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Wraps the number; returns `None` for zero.
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// Returns the number itself, 1 or more.
    pub const fn value(self) -> u64 {
        self.0.get()
    }

    /// Returns the index after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the index before this one; `None` for the first.
    pub const fn previous(self) -> Option<Self> {
        Self::new(self.0.get() - 1)
    }

    /// Returns the index after `index`, or the first index if that is `None`.
    #[must_use]
    pub const fn after(index: Option<Self>) -> Self {
        match index {
            Some(index) => index.next(),
            None => Self::FIRST,
        }
    }

    /// Returns the number, with 0 for `None`: for computing distances, never for storing.
    pub(crate) const fn count(index: Option<Self>) -> u64 {
        match index {
            Some(index) => index.0.get(),
            None => 0,
        }
    }

    /// Returns whether the number is so close to the end of its range that only a faulty or hostile peer can have sent
    /// it.
    pub const fn is_malformed(self) -> bool {
        self.0.get() > LARGEST
    }
}

/// Identifies an entry by term and index. Two entries with the same term and index are the same entry, in every log of
/// the cluster (paper §5.3, Log Matching).
///
/// Log ids are ordered as "up-to-date" is in the paper (§5.4.1): by term, then by index. `None` stands for the empty
/// log and is smaller than any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogId {
    /// The term in which a leader created the entry.
    pub term: Term,
    /// The entry's index.
    pub index: Index,
}

impl LogId {
    /// Returns the id of the entry of `term` at `index`.
    pub const fn new(term: Term, index: Index) -> Self {
        Self { term, index }
    }

    /// Returns whether a correct server of `term` can hold an entry of this term and index.
    pub(crate) fn is_well_formed(self, term: Term) -> bool {
        !self.index.is_malformed() && self.term <= term && self.term > Term::ZERO
    }
}

macro_rules! plain_format {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
plain_format!(Term, Index);

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}@{}", self.term, self.index)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}@{}", self.term, self.index)
    }
}

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// Its term and index.
    pub id: LogId,
    /// Its content.
    pub body: EntryBody,
}

/// The content of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum EntryBody {
    /// No operation. Every new leader appends one, so that it learns which entries are committed (paper §8).
    Noop,
    /// The no-op of the leader that begins the log: it names the cluster ([`ClusterId`]).
    Founding(ClusterId),
    /// A command for the state machine.
    Command(Payload),
    /// A configuration, in force as soon as it is appended (paper §6).
    Membership(Arc<Membership>),
    /// A command that another server forwarded to the leader for a client of its own. It is shared by an `Arc` so that
    /// this rare kind does not make every entry larger.
    Forwarded(Arc<Forwarded>),
    /// The place of a command in the log of a witness, which does not hold commands.
    Withheld,
    /// The level of the log from here on, in force once this is committed.
    Level(Level),
}

/// A command and the server that forwarded it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Forwarded {
    /// The request of the forwarding server.
    pub origin: Origin,
    /// The command.
    pub command: Payload,
}

/// Identifies a forwarded command: the server, its data folder and boot, and a number within the boot. It is unique, so
/// the leader recognises copies that the network has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Origin {
    /// The server.
    pub node: NodeId,
    /// Its data folder.
    pub incarnation: Incarnation,
    /// The start of the server on that folder.
    pub boot: Boot,
    /// Numbers the commands that were forwarded in that boot.
    pub number: u64,
}

impl EntryBody {
    /// Returns the command for the state machine, if the entry is a command and this server holds it.
    pub fn command(&self) -> Option<&Payload> {
        match self {
            Self::Command(command) => Some(command),
            Self::Forwarded(forwarded) => Some(&forwarded.command),
            Self::Noop | Self::Founding(_) | Self::Membership(_) | Self::Withheld | Self::Level(_) => None,
        }
    }
}

impl Entry {
    /// Returns whether a correct leader can have made the content. The id is checked by [`LogId::is_well_formed`].
    pub(crate) fn is_well_formed(&self) -> bool {
        match &self.body {
            EntryBody::Membership(membership) => membership.is_well_formed(),
            EntryBody::Founding(cluster) => {
                self.id.index == Index::FIRST && !cluster.is_unknown() && cluster.is_bound()
            }
            EntryBody::Level(level) => *level > Level::ZERO,
            EntryBody::Noop | EntryBody::Command(_) | EntryBody::Forwarded(_) | EntryBody::Withheld => true,
        }
    }

    /// Returns the command for the state machine, if the entry is a command and this server holds it.
    pub fn command(&self) -> Option<&Payload> {
        self.body.command()
    }

    /// Returns the entry as a witness holds it: a command is replaced by [`EntryBody::Withheld`].
    pub(crate) fn withhold(&self) -> Self {
        let withheld = match &self.body {
            EntryBody::Command(_) | EntryBody::Forwarded(_) => EntryBody::Withheld,
            body => body.clone(),
        };
        let body = plant!(withheld, SENDS_COMMANDS_TO_WITNESSES => self.body.clone());
        Self { id: self.id, body }
    }

    /// Returns what the entry counts against every limit that is stated in bytes: its payload, and a fixed sum for
    /// everything else.
    pub fn cost_bytes(&self) -> usize {
        match &self.body {
            EntryBody::Noop | EntryBody::Founding(_) | EntryBody::Withheld | EntryBody::Level(_) => {
                Self::OVERHEAD_BYTES
            }
            EntryBody::Command(payload) => Self::cost_of_command(payload.len()),
            EntryBody::Membership(membership) => Self::OVERHEAD_BYTES.saturating_mul(2 + membership.len()),
            EntryBody::Forwarded(forwarded) => Self::cost_of_forwarded(forwarded.command.len()),
        }
    }

    pub(crate) const OVERHEAD_BYTES: usize = 32;

    /// Returns what a forwarded command of this size will count.
    pub(crate) const fn cost_of_forwarded(bytes: usize) -> usize {
        Self::OVERHEAD_BYTES.saturating_add(Self::cost_of_command(bytes))
    }

    /// Returns what a command of this size will count.
    pub(crate) const fn cost_of_command(bytes: usize) -> usize {
        Self::OVERHEAD_BYTES.saturating_add(bytes)
    }
}

/// The term and vote, which a server must never forget (paper, Figure 2), and how its data folder came into the
/// cluster. They are always written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HardState {
    /// The latest term this server has seen.
    pub term: Term,
    /// The candidate that this server voted for in that term.
    pub vote: Option<NodeId>,
    /// The boot of that candidate. A copy of its data folder that runs beside it is another candidate.
    pub vote_boot: Boot,
    /// Whether the cluster existed before this data folder and admitted it. Such a folder counts for nothing until its
    /// log binds it: older entries may name this server and mean a folder that is gone. A folder that took part in the
    /// cluster's first start was not admitted.
    pub admitted: bool,
    /// The longest [promise](crate::Config::promise_micros) that this server may have made to a leader and that may not
    /// have run out, in microseconds.
    pub promise_micros: u64,
    /// Whether this server was told that its data folder went back, or that another copy of it speaks: it keeps silent
    /// until it has a new one.
    pub silenced: bool,
    /// The cluster that the folder belongs to, as far as it was known at the last write; a start completes it from the
    /// log and the snapshot.
    pub cluster: ClusterId,
    /// The highest level of the log that a program has worked at on this folder. Programs below it do not start on it.
    pub level: Level,
}

/// The description of a snapshot, which replaces the log up to and including `last` (paper §7).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SnapshotMeta {
    /// The last entry that the snapshot covers.
    pub last: LogId,
    /// The configuration in force at `last`, shared with the log that it was taken from.
    pub membership: Arc<Membership>,
    /// The entry that set that configuration; `None` for the one that the cluster began with.
    pub membership_id: Option<LogId>,
    /// Whether it is a witness's snapshot, which has no bytes.
    pub withheld: bool,
    /// The cluster whose log it is taken from.
    pub cluster: ClusterId,
    /// The level in force at `last`.
    pub level: Level,
}

impl SnapshotMeta {
    /// Returns whether a correct server of `term` can have a snapshot of this description.
    pub(crate) fn is_well_formed(&self, term: Term) -> bool {
        self.last.is_well_formed(term)
            && self
                .membership_id
                .is_none_or(|id| id.is_well_formed(term) && id <= self.last)
            && self.membership.is_well_formed()
    }
}

/// The identity of this server, as kept in its data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The consensus group.
    pub group: GroupId,
    /// This server.
    pub node: NodeId,
    /// The identity of its data folder, drawn at random when the folder was made.
    pub incarnation: Incarnation,
    /// This start of the server on this data folder. Increment the counter and make it durable *before* each
    /// [`Raft::new`](crate::Raft::new), and draw the nonce from the system's random numbers. A server that uses both
    /// twice takes forwarded commands of the earlier boot for its own, and two of its copies may be given one vote.
    pub boot: Boot,
}
