//! The actions of a server, which its host carries out: the one way out.

use alloc::boxed::Box;

use crate::entries::Entries;
use crate::level::Halted;
use crate::membership::{Change, ChangeError};
use crate::message::Envelope;
use crate::status::RoleName;
use crate::trace::Trace;
use crate::types::{
    HardState, Index, LogId, NodeId, Payload, ProposalId, ReadId, SnapshotMeta, Term, Ticket,
};

/// A duty of the host, or news for it. Carry them out in the order in which they were handed out.
///
/// Exhaustive on purpose: should a later version have another duty, the compiler tells a host that does not know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make this durable, then report [`Persisted`](crate::Event::Persisted). The host may go on meanwhile: whatever
    /// depends on it stays inside the core until then. A host that writes before it goes on need not report: see
    /// [`Options::persists_at_once`](crate::Options::persists_at_once).
    Persist(Persist),
    /// Send this message. It is harmless to lose, delay, repeat or reorder it.
    Send(Envelope),
    /// Apply these entries, which are committed and durable here, and say [`Applied`](crate::Input::Applied). The next
    /// ones come after that, and wait in memory: a host whose state machine lags for long should take in less from its
    /// peers and clients. A host that applies before it goes on need not report: see
    /// [`Options::applies_at_once`](crate::Options::applies_at_once).
    ///
    /// Every start begins after the snapshot that the disk holds. A state machine that is durable itself skips what it
    /// has applied before.
    Apply {
        /// In order, without a gap, right after the last applied one of this boot.
        entries: Entries,
    },
    /// The proposal, or the change of the configuration, is committed, and this server has been told to apply it.
    Done {
        /// The host's name for it.
        id: ProposalId,
        /// Its entry in the log.
        at: LogId,
    },
    /// The read may be answered from the state machine, which has applied at least up to `index`.
    ReadReady {
        /// The host's name for it.
        id: ReadId,
        /// The read index: at or after the commit index when the read arrived.
        index: Index,
    },
    /// Load these entries from the store.
    LoadEntries(LoadEntries),
    /// Send this snapshot to this peer, piece by piece ([`SnapshotPiece`](crate::Input::SnapshotPiece)), the first one
    /// now. Keep its bytes until [`SnapshotEnded`](Self::SnapshotEnded), even if a newer one is taken meanwhile.
    SendSnapshot {
        /// Names the transfer.
        ticket: Ticket,
        /// The peer.
        to: NodeId,
        /// The snapshot of `meta.last`, whose bytes are durable since before
        /// [`SnapshotTaken`](crate::Input::SnapshotTaken) or [`SnapshotReady`](crate::Input::SnapshotReady).
        meta: SnapshotMeta,
    },
    /// The peer has this much of the snapshot; hand over the next piece.
    SnapshotAdvanced {
        /// The transfer.
        ticket: Ticket,
        /// The offset of the next piece, in bytes.
        received_bytes: u64,
    },
    /// The transfer is over, one way or the other: forget it.
    SnapshotEnded {
        /// The transfer.
        ticket: Ticket,
    },
    /// A piece of a snapshot arrived from the leader. Collect it and answer by
    /// [`SnapshotStored`](crate::Input::SnapshotStored) or, when all is there and durable,
    /// [`SnapshotReady`](crate::Input::SnapshotReady).
    SnapshotArrived {
        /// The sender.
        from: NodeId,
        /// The last entry and the configuration of the whole snapshot.
        meta: SnapshotMeta,
        /// Length of the whole, in bytes.
        total_bytes: u64,
        /// CRC-32 of the whole.
        checksum: u32,
        /// The offset of this piece, in bytes.
        offset: u64,
        /// The piece.
        data: Payload,
    },
    /// A leader has a snapshot for this server that is larger than
    /// [`Snapshots::max_bytes`](crate::Snapshots::max_bytes), and it is not taken: the server cannot catch up until
    /// that limit is raised. Said once for each snapshot and leader.
    SnapshotTooLarge {
        /// The sender.
        from: NodeId,
        /// Its size.
        total_bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The snapshot that arrived is durable and named: restore the state machine from it, then report
    /// [`Applied`](crate::Input::Applied) for `meta.last.index`, also with
    /// [`Options::applies_at_once`](crate::Options::applies_at_once). Nothing is applied until then.
    InstallSnapshot {
        /// The snapshot.
        meta: SnapshotMeta,
    },
    /// News for the host, not a duty.
    Notice(Notice),
}

impl From<Notice> for Action {
    fn from(notice: Notice) -> Self {
        Self::Notice(notice)
    }
}

/// News from a server to its host: the outcome of a request that was not carried out, or a change of state. A host that
/// ignores it still does all that the protocol needs.
///
/// [`Raft`](crate::Raft) and [`Replica`](crate::Replica) hand out the same ones. Exhaustive on purpose, as [`Action`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The proposal never entered the log, and the command is handed back.
    Rejected {
        /// The host's name for it.
        id: ProposalId,
        /// The reason.
        reason: Rejection,
        /// The command.
        payload: Payload,
    },
    /// The change of the configuration never entered the log, and is handed back.
    ChangeRejected {
        /// The host's name for it.
        id: ProposalId,
        /// The reason.
        reason: ChangeRejection,
        /// The change.
        change: Change,
    },
    /// Another leader's entry is committed in the proposal's place, or before it: the proposal never will be.
    Superseded {
        /// The host's name for it.
        id: ProposalId,
    },
    /// The outcome of the proposal cannot be known here: a snapshot covers its place in the log, or this server was
    /// removed from the cluster before it was committed, or it halted before applying it, or its disk failed.
    Unknown {
        /// The host's name for it.
        id: ProposalId,
    },
    /// The read cannot be answered here.
    ReadRejected {
        /// The host's name for it.
        id: ReadId,
        /// The reason.
        reason: Rejection,
    },
    /// A [`Transfer`](crate::Event::Transfer) is over.
    TransferEnded {
        /// The target; `None` if the leader was to choose and did not.
        to: Option<NodeId>,
        /// The outcome.
        outcome: TransferOutcome,
    },
    /// The configuration that removes this server is committed: no leader sends it the log any more, and it does not
    /// campaign. It is said when this server learns of it, and at each start at which its log still
    /// says so. A host may stop the server and wipe its folder, unless an operator is about to add it again.
    Removed {
        /// The entry that set the configuration.
        at: LogId,
    },
    /// This server has another role now, or the same one in another term.
    RoleChanged {
        /// The role.
        role: RoleName,
        /// The term.
        term: Term,
    },
    /// Another leader is known, or no leader.
    LeaderChanged {
        /// The leader.
        leader: Option<NodeId>,
        /// Its term.
        term: Term,
    },
    /// Another configuration is in force here; see [`Raft::membership`](crate::Raft::membership).
    MembershipChanged {
        /// The entry that set it; `None` when a truncation took the log back to the first one.
        at: Option<LogId>,
    },
    /// This server has halted: its program does not understand a committed entry. An operator should start a newer one.
    /// Said once in a boot, and again if it turns out that an earlier entry halts it.
    Halted(Halted),
    /// A step that no other action shows; only if [`Options::trace`](crate::Options::trace) asks for it.
    Trace(Trace),
}

/// A request for entries that are no longer in memory. Read them from the store and hand them over by
/// [`EntriesLoaded`](crate::Event::EntriesLoaded). Answer always, with no entries if they cannot be read: until then one
/// peer is sent none. After [`Timing::snapshot_timeout_ticks`](crate::Timing::snapshot_timeout_ticks) without an answer
/// the request is forgotten, and made anew.
///
/// The entries are durable: their writes were all reported. Writes that are under way change none of them, except that one
/// may compact the first, so a host may read beside its writes, and hands over what it finds from the first on. An answer
/// that comes when the leadership is over changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LoadEntries {
    /// Names the request.
    pub ticket: Ticket,
    /// The first entry wanted.
    pub first: Index,
    /// The last entry wanted.
    pub last: Index,
    /// Stop before more than so many bytes, counted by [`Entry::cost_bytes`](crate::Entry::cost_bytes); the first entry
    /// always counts. What is handed over beyond it is sent all the same, in one message.
    pub max_bytes: usize,
}

/// A write to make durable.
///
/// The bytes of a snapshot are no part of it. They may take long to write, and are written beside these tickets, so that
/// no entry waits for them; only when they are durable does a `Persist` *name* their snapshot. A crash in between
/// leaves bytes that no `Persist` names, and the next start removes them.
///
/// A store carries out the parts in the order of the fields. After a crash it must hold the result of a
/// prefix of all `Persist`s, which includes every one that was reported as [`Persisted`](crate::Event::Persisted); of
/// the last one in that prefix it may hold a prefix of its parts, `entries` one by one among them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Persist {
    /// The ticket to report when it is durable.
    pub ticket: Ticket,
    /// The term and the vote; boxed, as the snapshot is, so that a rare part does not make every write larger.
    pub hard_state: Option<Box<HardState>>,
    /// The snapshot to start from, now: its bytes are durable already (those of a witness's, which is
    /// [withheld](SnapshotMeta::withheld), are none). It replaces any earlier one, whose bytes may go once this is durable.
    pub snapshot: Option<Box<SnapshotMeta>>,
    /// Remove the entries at and after this position.
    pub truncate_from: Option<Index>,
    /// Append these entries.
    pub entries: Entries,
    /// The commit index: a hint for the next start.
    pub commit: Option<Index>,
    /// Remove the entries up to and including this position; a snapshot covers them.
    pub compact_to: Option<Index>,
    /// Whether a message or an apply waits for it: sync now. Without it, any later sync will do, or none for now.
    ///
    /// [`Persisted`](crate::Event::Persisted) may be said of a write once a sync that began after the write has returned,
    /// whichever write that sync was made for; and never before, whatever this says. One report covers all writes up to
    /// its ticket. A write without `sync` need not be reported by itself.
    pub sync: bool,
}

/// Why a request was rejected. It had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Rejection {
    /// Another server leads, or none that is known.
    #[error("this server is not the leader{}", Hint(*.leader))]
    NotLeader {
        /// The server to ask instead, if it is known.
        leader: Option<NodeId>,
    },
    /// The command is larger than a message may be.
    #[error("the command has {size} bytes and the limit is {limit}")]
    TooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too much is waiting already: try again later.
    #[error("too many {what} are waiting ({limit}); try again in a moment")]
    Busy {
        /// The resource whose limit was reached.
        what: Waiting,
        /// The limit that was reached.
        limit: usize,
    },
    /// Leadership is being handed over (dissertation §3.10): propose to the target in a moment.
    #[error("leadership is being handed over to server {to}; try again in a moment")]
    Transferring {
        /// The target.
        to: NodeId,
    },
    /// The server cannot be handed the leadership. If the leader was to choose, it is the best of those that it could
    /// not choose.
    #[error("server {to} cannot take over: it {why}")]
    NotATarget {
        /// The server.
        to: NodeId,
        /// The reason.
        why: Unfit,
    },
    /// The leader was to choose whom it hands over to, and no other server goes on voting.
    #[error("no other server votes, so none can take over; promote one first")]
    NoTarget,
    /// Another request of the same name is unfinished.
    #[error("another request with this id is unfinished; wait for its outcome, or use another id")]
    IdInUse,
    /// This server has halted before an entry that its program does not understand. Another server may know the answer.
    #[error(transparent)]
    Halted(#[from] Halted),
    /// This server's disk failed: it takes no further part until it is restarted.
    #[error("this server's disk failed, and it has stopped until it is restarted")]
    Failed,
}

/// Why a change of the configuration was rejected. It had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ChangeRejection {
    /// A proposal would have been rejected as well.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// No entry of this leader's term is committed yet (dissertation §4.1, corrected 2015), or it has not heard enough of
    /// the voters since its election to know whether they are healthy.
    #[error(
        "this leader is new, and does not know yet what is committed and who is healthy; try again in a moment"
    )]
    NotReady,
    /// No quorum of the voters that the change leads to is healthy: no majority of one half, if it is joint. It would be in force at once, and without a quorum nothing could take it back.
    #[error(
        "only {healthy} of the {voters} voters would be healthy, which is no majority: server {node} {ailment}. \
             Bring it back, or remove it instead; force the change only if you know better"
    )]
    NoHealthyQuorum {
        /// A voter that is not healthy.
        node: NodeId,
        /// Why it is not.
        ailment: Ailment,
        /// How many voters are healthy.
        healthy: usize,
        /// Of how many.
        voters: usize,
    },
    /// An earlier change is in progress: one at a time.
    #[error("the last change of the configuration{} is not over; try again when it is", At(*.current))]
    InProgress {
        /// The entry of the configuration in force.
        current: Option<LogId>,
    },
    /// The configuration in force is another one than the caller expected.
    #[error("the configuration has changed in the meantime{}; look at it again", At(*.current))]
    Outdated {
        /// The entry of the configuration in force.
        current: Option<LogId>,
    },
    /// The voters would change while one of those that remain has never joined: it is bound to no data folder yet, and
    /// takes no part before it is. Let it join, or remove it first.
    #[error("server {node} votes and has never joined: start it, or remove it first")]
    NotJoined {
        /// The server.
        node: NodeId,
    },
    /// As a voter, the server would hold up the others (dissertation §4.2.1).
    #[error("server {node} has not caught up yet (it holds {}); try again when it has", Held(*.matched))]
    NotCaughtUp {
        /// The server.
        node: NodeId,
        /// The last entry that it holds for certain.
        matched: Option<Index>,
    },
    /// The change would give an invalid configuration.
    #[error(transparent)]
    Impossible(#[from] ChangeError),
}

/// Why a server cannot be handed the leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Unfit {
    /// It leads.
    #[error("leads already")]
    Leads,
    /// It does not vote, or the configuration that follows a joint one does not let it.
    #[error("does not go on voting")]
    NotVoter,
    /// It holds no commands.
    #[error("is a witness")]
    Witness,
    /// It is not healthy.
    #[error(transparent)]
    Ailing(#[from] Ailment),
}

/// Why a server does not count as healthy for its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Ailment {
    /// It has not answered since the leader was elected, which was less than the shortest election timeout ago.
    #[error("has not answered yet")]
    Unheard,
    /// It has not answered for longer than the shortest election timeout.
    #[error("has not answered for {ticks} ticks")]
    Silent {
        /// For how many ticks; since the leader's election if it never has.
        ticks: u64,
    },
    /// Its disk has owed a write for longer than the longest election timeout.
    #[error("waits for its disk")]
    Stalled,
    /// It has halted before an entry that its program does not understand ([`Halted`]).
    #[error("has halted and needs a newer program")]
    Halted,
}

/// How a transfer of leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TransferOutcome {
    /// The target leads.
    Succeeded,
    /// This server stepped down, for any reason, and the target does not lead: another server does
    /// ([`LeaderChanged`](Notice::LeaderChanged) names it), or no leader was heard of within an election timeout of the
    /// transfer's beginning.
    SteppedDown,
    /// The target did not take over within an election timeout, and this server stays the leader. The target may
    /// still do so, if its `TimeoutNow` is late.
    TimedOut,
    /// It was not begun; or, with [`Rejection::Failed`], this server's disk failed meanwhile, and the target may still
    /// take over.
    Rejected(Rejection),
}

/// A resource with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Waiting {
    /// Bytes of entries that are appended and not committed.
    UncommittedBytes,
    /// Proposals without an outcome.
    Proposals,
    /// Reads without an outcome.
    Reads,
}

impl core::fmt::Display for Waiting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::UncommittedBytes => "uncommitted bytes",
            Self::Proposals => "proposals",
            Self::Reads => "reads",
        })
    }
}

struct At(Option<LogId>);

impl core::fmt::Display for At {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, " ({id})"))
    }
}

struct Held(Option<Index>);

impl core::fmt::Display for Held {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(index) => write!(f, "everything up to {index}"),
            None => f.write_str("nothing yet"),
        }
    }
}

struct Hint(Option<NodeId>);

impl core::fmt::Display for Hint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(leader) => write!(f, "; server {leader} is"),
            None => f.write_str(", and no leader is known"),
        }
    }
}
