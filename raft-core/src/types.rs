//! The words of the protocol, one type each, so that a term is never taken for an index.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU64;
use core::ops::Deref;

use crate::membership::Membership;

/// Terms and indexes beyond this are malformed: no honest cluster gets there, and everything below it can be
/// counted up for as long as anybody will ever run one without overflow.
const LARGEST: u64 = u64::MAX >> 16;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(u64);

        impl $name {
            /// Wraps the number.
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// The number itself.
            pub const fn value(self) -> u64 {
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
    /// Identifies a member of a cluster. It may come back with another data folder after it was removed and added
    /// again.
    NodeId
}
number! {
    /// Identifies one consensus group among those that share a process or a wire.
    GroupId
}
number! {
    /// Drawn once at random when a data folder is made. Two folders that claim the same [`NodeId`] differ in
    /// it, which is how a wiped disk is told from a restarted server.
    Incarnation
}
number! {
    /// Numbers a duty handed to the host, in the order in which such duties were handed out. Writes count in one
    /// sequence, requests for entries and transfers of snapshots in another: the same number may name one of each.
    Ticket
}
number! {
    /// The host's own name for a proposal; meaningful on this server only.
    ProposalId
}
number! {
    /// The host's own name for a read; meaningful on this server only.
    ReadId
}
number! {
    /// Counts a leader's dealings with one peer: a peer that leaves and comes back starts a new session.
    PeerSession
}
impl PeerSession {
    /// No leader's dealings with anybody: sessions count from one.
    pub const NONE: Self = Self(0);
}

number! {
    /// Counts a leader's rounds of confirmation (dissertation §6.4), minted by the core.
    Round
}
number! {
    /// A point in logical time: how many ticks the host has advanced since this boot.
    Tick
}

/// A term of leadership (paper §5.1). [`Term::ZERO`] is the time before the first election.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Term(u64);

impl Term {
    /// The term of a server that never heard of an election.
    pub const ZERO: Self = Self(0);

    /// Wraps the number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number itself.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The term after this one. Saturates, which no honest server ever sees: see [`Term::is_malformed`].
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Whether the number is so close to the end of its range that only a broken or hostile peer can have sent it.
    pub const fn is_malformed(self) -> bool {
        self.0 > LARGEST
    }
}

/// A position in the log; the first entry is at 1, and "none" is `Option::None`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Index(NonZeroU64);

impl Index {
    /// The position of the first entry.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Wraps the number; `None` for zero.
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number itself, 1 or more.
    pub const fn value(self) -> u64 {
        self.0.get()
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; `None` before the first.
    pub const fn previous(self) -> Option<Self> {
        Self::new(self.0.get() - 1)
    }

    /// The position after `index`, or the first when there is none.
    #[must_use]
    pub const fn after(index: Option<Self>) -> Self {
        match index {
            Some(index) => index.next(),
            None => Self::FIRST,
        }
    }

    /// The number, with 0 for none: for counting distances, never for storing.
    pub(crate) const fn count(index: Option<Self>) -> u64 {
        match index {
            Some(index) => index.0.get(),
            None => 0,
        }
    }

    /// Whether the number is so close to the end of its range that only a broken or hostile peer can have sent it.
    pub const fn is_malformed(self) -> bool {
        self.0.get() > LARGEST
    }
}

/// Names one entry of one log for good: no two different entries share both (paper §5.3, Log Matching).
///
/// The order is that of Raft's "more up-to-date" (paper §5.4.1): by term first, then by index. `None`, the
/// empty log, is older than any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LogId {
    /// The term in which a leader created the entry.
    pub term: Term,
    /// The entry's position.
    pub index: Index,
}

impl LogId {
    /// Names the entry of `term` at `index`.
    pub const fn new(term: Term, index: Index) -> Self {
        Self { term, index }
    }

    /// Whether an honest server of `term` can hold an entry of this name.
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

/// A command's or a snapshot's bytes, shared and never copied between peers.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Arc<[u8]>);

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Payload {
    /// Only the length: payloads may hold secrets, and logs are read by many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// Written and read as bytes, in one piece: serde's own implementation for slices goes byte by byte.
#[cfg(feature = "serde")]
mod payload_bytes {
    use alloc::vec::Vec;
    use core::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Payload;

    impl Serialize for Payload {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self)
        }
    }

    impl<'de> Deserialize<'de> for Payload {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_bytes(Bytes)
        }
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Payload;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Payload, E> {
            Ok(Payload::from(bytes))
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Payload, E> {
            Ok(Payload::from(bytes))
        }

        /// For formats that know no bytes, such as JSON.
        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Payload, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = sequence.next_element()? {
                bytes.push(byte);
            }
            Ok(Payload::from(bytes))
        }
    }
}

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry {
    /// Where it stands and which term created it.
    pub id: LogId,
    /// What it says.
    pub body: EntryBody,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum EntryBody {
    /// Written by every new leader, so that it can learn what is committed (paper §8).
    Noop,
    /// A command for the state machine.
    Command(Payload),
    /// A configuration, in force from the moment it is appended (paper §6).
    Membership(Arc<Membership>),
    /// A command that a server passed on to the leader for a client of its own; shared, so that a rare entry does not
    /// make all others larger.
    Forwarded(Arc<Forwarded>),
    /// In the log of a witness: a command, which it does not hold.
    Withheld,
}

/// A command under the name of the server that passed it on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Forwarded {
    /// Where it came from.
    pub origin: Origin,
    /// The command.
    pub command: Payload,
}

/// Names one command that one boot of one server passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Origin {
    /// The server.
    pub node: NodeId,
    /// Its data folder.
    pub incarnation: Incarnation,
    /// Which start on that folder.
    pub boot: u64,
    /// Counts what was passed on in that boot.
    pub number: u64,
}

impl EntryBody {
    /// The command for the state machine, if it is one that this server holds.
    pub fn command(&self) -> Option<&Payload> {
        match self {
            Self::Command(command) => Some(command),
            Self::Forwarded(forwarded) => Some(&forwarded.command),
            Self::Noop | Self::Membership(_) | Self::Withheld => None,
        }
    }
}

impl Entry {
    /// Whether an honest leader can have made it. What its name says is judged elsewhere.
    pub(crate) fn is_well_formed(&self) -> bool {
        match &self.body {
            EntryBody::Membership(membership) => membership.is_well_formed(),
            EntryBody::Noop | EntryBody::Command(_) | EntryBody::Forwarded(_) | EntryBody::Withheld => true,
        }
    }

    /// The command for the state machine, if it is one that this server holds.
    pub fn command(&self) -> Option<&Payload> {
        self.body.command()
    }

    /// The entry as a witness holds it.
    pub(crate) fn withhold(&self) -> Self {
        let withheld = match &self.body {
            EntryBody::Command(_) | EntryBody::Forwarded(_) => EntryBody::Withheld,
            body => body.clone(),
        };
        let body = plant!(withheld, SENDS_COMMANDS_TO_WITNESSES => self.body.clone());
        Self { id: self.id, body }
    }

    /// What the entry counts against every limit that is stated in bytes: its payload and a flat sum for the rest.
    pub fn cost_bytes(&self) -> usize {
        match &self.body {
            EntryBody::Noop | EntryBody::Withheld => Self::OVERHEAD_BYTES,
            EntryBody::Command(payload) => Self::cost_of_command(payload.len()),
            EntryBody::Membership(membership) => Self::OVERHEAD_BYTES.saturating_mul(2 + membership.len()),
            EntryBody::Forwarded(forwarded) => Self::cost_of_forwarded(forwarded.command.len()),
        }
    }

    const OVERHEAD_BYTES: usize = 32;

    /// What a command of this size will count that another server passed on.
    pub(crate) const fn cost_of_forwarded(bytes: usize) -> usize {
        Self::OVERHEAD_BYTES.saturating_add(Self::cost_of_command(bytes))
    }

    /// What a command of this size will count.
    pub(crate) const fn cost_of_command(bytes: usize) -> usize {
        Self::OVERHEAD_BYTES.saturating_add(bytes)
    }
}

/// What must never be forgotten about elections (paper, Figure 2), always written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HardState {
    /// The latest term this server has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
}

/// What a snapshot stands for (paper §7): everything up to and including `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SnapshotMeta {
    /// The last entry that the snapshot covers.
    pub last: LogId,
    /// The configuration in force at `last`, shared with the log that it was taken from.
    pub membership: Arc<Membership>,
    /// The entry that set it; `None` for the configuration the cluster began with.
    pub membership_id: Option<LogId>,
    /// Whether it is a witness's, and has no bytes.
    pub withheld: bool,
}

impl SnapshotMeta {
    /// Whether an honest server of `term` can have a snapshot of this description.
    pub(crate) fn is_well_formed(&self, term: Term) -> bool {
        self.last.is_well_formed(term)
            && self
                .membership_id
                .is_none_or(|id| id.is_well_formed(term) && id <= self.last)
            && self.membership.is_well_formed()
    }
}

/// Who this server is, as kept in its data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The consensus group.
    pub group: GroupId,
    /// This server.
    pub node: NodeId,
    /// Drawn when the data folder was made.
    pub incarnation: Incarnation,
    /// Counts the starts of this server on this data folder. Write the next number down, durably, *before* each
    /// [`Raft::new`](crate::Raft::new): with [`Options::forwarding`](crate::Options::forwarding), a server that counts
    /// a boot twice is told that commands of the earlier one are its own.
    pub boot: u64,
}
