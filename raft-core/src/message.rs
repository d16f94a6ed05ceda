//! The messages that servers send to each other. A message holds only the fields that its kind needs; the fields that
//! all kinds share are in the [`Envelope`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::action::{Rejection, Waiting};
use crate::clock::WallTime;
use crate::entries::Entries;
use crate::identity::{Boot, ClusterId, Incarnation};
use crate::input::ReadMode;
use crate::level::Level;
use crate::types::{GroupId, Index, LogId, NodeId, Payload, PeerSession, Round, SnapshotMeta, Term};

/// A message with its addresses. A mismatch of group, recipient or incarnation is dropped and counted, never guessed
/// at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Envelope {
    /// The consensus group of both.
    pub group: GroupId,
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The sender's data folder.
    pub from_incarnation: Incarnation,
    /// The sender's start on that folder.
    pub from_boot: Boot,
    /// The recipient.
    pub to: NodeId,
    /// The recipient's data folder, where the sender knows it.
    pub to_incarnation: Option<Incarnation>,
    /// The sender's real current term, for every kind of message.
    pub term: Term,
    /// The message itself.
    pub message: Message,
}

/// What one server sends to another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Message {
    /// From a server whose disk is empty, before it takes part: is this the cluster's first start?
    Hello,
    /// The answer to [`Message::Hello`].
    HelloReply {
        /// The replying server's own standing, or the sender's, as far as it knows.
        standing: Standing,
    },
    /// The answer to any other message from a server of another cluster, so that both sides learn of it. The envelope
    /// says which cluster the sender belongs to.
    OtherCluster,
    /// What a start of a server says about itself at its first contact with another server's start, and until that one
    /// has answered. It is also what a start is told whose messages are dropped, since another start of its data folder
    /// was heard.
    Greeting {
        /// The other start of the recipient's data folder that the sender has heard, and instead of which it drops what
        /// comes from the recipient.
        heard: Option<Boot>,
        /// What an earlier start of the recipient's data folder acknowledged to the sender, its leader, and what the
        /// recipient does not hold: the folder went back, and the sender drops what comes from it.
        lacks: Option<LogId>,
        /// Whether the sender knows already what the recipient says about itself.
        is_answer: bool,
        /// The length of the sender's ticks, in microseconds.
        tick_micros: u64,
        /// [`Config::settings`](crate::Config::settings) of the sender.
        settings: u64,
    },
    /// Asks whether the recipient would vote for the sender in `ask`. Changes nothing there (dissertation §9.6).
    PreVote {
        /// The term that the sender would campaign in.
        ask: Term,
        /// The sender's last entry.
        last: Option<LogId>,
    },
    /// The answer to [`Message::PreVote`].
    PreVoteReply {
        /// The term that was asked about.
        ask: Term,
        /// Whether the voter would grant its vote.
        granted: bool,
    },
    /// RequestVote (paper, Figure 2), for the envelope's term.
    Vote {
        /// The candidate's last entry.
        last: Option<LogId>,
    },
    /// The answer to [`Message::Vote`].
    VoteReply {
        /// Whether the vote is granted, durably.
        granted: bool,
    },
    /// AppendEntries (paper, Figure 2).
    Append {
        /// The leader's session with the recipient.
        session: PeerSession,
        /// The leader's latest read round.
        round: Round,
        /// The entry right before `entries`.
        prev: Option<LogId>,
        /// The leader's commit index.
        commit: Option<Index>,
        /// The entries, in order and without a gap; none in a probe.
        entries: Entries,
    },
    /// The answer to [`Message::Append`].
    AppendReply {
        /// The session of the append.
        session: PeerSession,
        /// The round of the append.
        round: Round,
        /// For how long the sender withholds its vote from other servers, from the moment at which it got the append, in
        /// microseconds; 0 if it promises nothing.
        promise_micros: u64,
        /// The outcome of the append.
        outcome: AppendOutcome,
    },
    /// The leader's heartbeat: resets election timers, and carries the commit index.
    Heartbeat {
        /// The leader's session with the recipient.
        session: PeerSession,
        /// The leader's latest read round.
        round: Round,
        /// The lesser of the leader's commit and the recipient's match: an entry that the recipient holds, unless
        /// the leader is mistaken, which is why the recipient checks.
        commit: Option<LogId>,
    },
    /// The answer to [`Message::Heartbeat`], and to any message of a leader of an earlier term. Then it names neither
    /// session nor round: both are 0.
    HeartbeatReply {
        /// The session of the heartbeat.
        session: PeerSession,
        /// The round of the heartbeat.
        round: Round,
        /// For how long the sender withholds its vote from other servers, from the moment at which it got the
        /// heartbeat, in microseconds; 0 if it promises nothing.
        promise_micros: u64,
        /// Up to which level the sender's program understands the log, in this boot.
        level: Level,
        /// Whether the sender has halted before an entry that its program does not understand.
        halted: bool,
        /// Whether its disk has owed a write for longer than the longest election timeout.
        stalled: bool,
        /// What the sender's wall clock showed, if its host gave it in the tick of the reply.
        wall_time: Option<WallTime>,
    },
    /// InstallSnapshot (paper §7, Figure 13): one piece of a snapshot.
    SnapshotChunk {
        /// The leader's session with the recipient.
        session: PeerSession,
        /// The last entry and the configuration of the whole snapshot; boxed, so that a rare message does not make
        /// all others larger.
        meta: Box<SnapshotMeta>,
        /// Length of the whole snapshot, in bytes.
        total_bytes: u64,
        /// CRC-32 of the whole snapshot.
        checksum: u32,
        /// The offset of this piece in the snapshot, in bytes.
        offset: u64,
        /// The piece.
        data: Payload,
    },
    /// The answer to [`Message::SnapshotChunk`] while the snapshot is incomplete. A complete one is answered like an
    /// append.
    SnapshotReply {
        /// The session of the chunk.
        session: PeerSession,
        /// The snapshot's last entry.
        last: LogId,
        /// How many bytes have arrived, from the start and without a gap: the next chunk begins here.
        received_bytes: u64,
    },
    /// From a leader that hands over, to a server that has its whole log: campaign now (dissertation §3.10).
    TimeoutNow,
    /// [`Message::Vote`] of a candidate that the leader told to campaign. It may be granted although the voter hears
    /// that leader, since the leader itself wants the election (dissertation §3.10, §4.2.3).
    TransferVote {
        /// The candidate's last entry.
        last: Option<LogId>,
    },
    /// Commands of clients of a server that does not lead, for the leader of the envelope's term.
    Forward {
        /// The sender's boot.
        boot: Boot,
        /// The sender knows the outcome of every command below this number.
        floor: u64,
        /// The commands by number, in their order.
        commands: Vec<(u64, Payload)>,
    },
    /// The answer to [`Message::Forward`] for commands that the leader refuses; accepted ones arrive in the log.
    ForwardRefused {
        /// The boot that forwarded them.
        boot: Boot,
        /// The reasons, by number.
        refused: Vec<(u64, Refusal)>,
    },
    /// Asks for the index from which on the sender may answer reads (dissertation §6.4).
    ReadIndex {
        /// The sender's boot.
        boot: Boot,
        /// Names the request within that boot.
        request: u64,
        /// What the answer relies on.
        mode: ReadMode,
    },
    /// The answer to [`Message::ReadIndex`].
    ReadIndexReply {
        /// The boot that asked.
        boot: Boot,
        /// The request.
        request: u64,
        /// The answer.
        outcome: ReadOutcome,
    },
}

/// Why a leader refuses a forwarded command. It refuses every copy of the command as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Refusal {
    /// Too much is uncommitted already.
    Busy {
        /// The leader's limit, in bytes.
        limit: u64,
    },
    /// The command is larger than a message may be.
    TooLarge {
        /// The leader's limit, in bytes.
        limit: u64,
    },
    /// Leadership is being handed over.
    Transferring {
        /// The server that is to become leader.
        to: NodeId,
    },
}

impl Refusal {
    /// Returns the rejection for the client of a command of this size.
    pub(crate) fn as_rejection(self, size: usize) -> Rejection {
        let in_memory = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
        match self {
            Self::Busy { limit } => Rejection::Busy {
                what: Waiting::UncommittedBytes,
                limit: in_memory(limit),
            },
            Self::TooLarge { limit } => Rejection::TooLarge {
                size,
                limit: in_memory(limit),
            },
            Self::Transferring { to } => Rejection::Transferring { to },
        }
    }
}

/// A leader's answer to [`Message::ReadIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ReadOutcome {
    /// From this index on: nothing after it was committed when the request was made.
    Confirmed {
        /// The read index.
        index: Index,
    },
    /// Too many reads are waiting already.
    Busy {
        /// The leader's limit.
        limit: u64,
    },
}

/// The outcome of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AppendOutcome {
    /// The recipient's log holds, durably, everything up to this entry of the leader's.
    Accepted {
        /// The last entry that the append verified.
        last: Option<LogId>,
    },
    /// The recipient does not hold `prev`.
    Rejected {
        /// The `prev` of the append.
        prev: Option<LogId>,
        /// The recipient's last entry that might match: none at or below it has a later term than `prev`'s (paper §5.3,
        /// the accelerated back-up).
        hint: Option<LogId>,
    },
}

/// What a server reports about itself, or about the joining server that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Standing {
    /// The replying server's log is empty.
    Blank,
    /// The replying server's log is not empty: the cluster exists, and only its leader can admit the sender.
    Established,
    /// A committed configuration binds the asking server to its present incarnation: it takes part.
    Admitted,
    /// A committed configuration binds the asking server to another incarnation: its disk was lost or replaced.
    Fenced {
        /// The incarnation that the cluster knows.
        bound: Incarnation,
    },
}

impl Message {
    /// The kind's name, stable, for traces and counters.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello => "Hello",
            Self::HelloReply { .. } => "HelloReply",
            Self::OtherCluster => "OtherCluster",
            Self::Greeting { .. } => "Greeting",
            Self::PreVote { .. } => "PreVote",
            Self::PreVoteReply { .. } => "PreVoteReply",
            Self::Vote { .. } => "Vote",
            Self::VoteReply { .. } => "VoteReply",
            Self::Append { .. } => "Append",
            Self::AppendReply { .. } => "AppendReply",
            Self::Heartbeat { .. } => "Heartbeat",
            Self::HeartbeatReply { .. } => "HeartbeatReply",
            Self::SnapshotChunk { .. } => "SnapshotChunk",
            Self::SnapshotReply { .. } => "SnapshotReply",
            Self::TimeoutNow => "TimeoutNow",
            Self::TransferVote { .. } => "TransferVote",
            Self::Forward { .. } => "Forward",
            Self::ForwardRefused { .. } => "ForwardRefused",
            Self::ReadIndex { .. } => "ReadIndex",
            Self::ReadIndexReply { .. } => "ReadIndexReply",
        }
    }
}

impl Message {
    /// Returns whether a correct server of `term` can have sent this message. The recipient's handlers check
    /// what depends on the log.
    pub(crate) fn is_well_formed(&self, term: Term) -> bool {
        let fits = |id: &LogId| id.is_well_formed(term);
        let fits_if_any = |id: &Option<LogId>| id.as_ref().is_none_or(fits);
        match self {
            Self::PreVote { ask, last } => !ask.is_malformed() && *ask == term.next() && fits_if_any(last),
            Self::Greeting {
                lacks, tick_micros, ..
            } => *tick_micros > 0 && fits_if_any(lacks),
            Self::PreVoteReply { ask, .. } => !ask.is_malformed(),
            Self::Vote { last } | Self::TransferVote { last } => term > Term::ZERO && fits_if_any(last),
            Self::TimeoutNow => term > Term::ZERO,
            Self::Append {
                prev,
                commit,
                entries,
                ..
            } => {
                let mut previous = *prev;
                term > Term::ZERO
                    && fits_if_any(prev)
                    && commit.is_none_or(|commit| !commit.is_malformed())
                    && entries.iter().all(|entry| {
                        let follows = entry.id.index == Index::after(previous.map(|id| id.index))
                            && Some(entry.id.term) >= previous.map(|id| id.term);
                        previous = Some(entry.id);
                        follows && fits(&entry.id) && entry.is_well_formed()
                    })
            }
            Self::AppendReply {
                outcome: AppendOutcome::Accepted { last },
                ..
            } => fits_if_any(last),
            // The recipient's own last entries may be of a later term than the leader's, but not of its own.
            Self::AppendReply {
                outcome: AppendOutcome::Rejected { prev, hint },
                ..
            } => fits_if_any(prev) && fits_if_any(hint),
            Self::Heartbeat { commit, .. } => term > Term::ZERO && fits_if_any(commit),
            Self::SnapshotChunk {
                meta,
                total_bytes,
                offset,
                data,
                ..
            } => {
                let end = u64::try_from(data.len())
                    .ok()
                    .and_then(|length| offset.checked_add(length));
                meta.is_well_formed(term) && end.is_some_and(|end| end <= *total_bytes)
            }
            Self::Forward { floor, commands, .. } => {
                let mut from = *floor;
                term > Term::ZERO
                    && commands.iter().all(|(number, _)| {
                        let fits = *number >= from && *number < u64::MAX;
                        from = number.saturating_add(1);
                        fits
                    })
            }
            Self::ReadIndexReply {
                outcome: ReadOutcome::Confirmed { index },
                ..
            } => !index.is_malformed(),
            Self::ForwardRefused { .. } | Self::ReadIndex { .. } | Self::ReadIndexReply { .. } => true,
            Self::Hello
            | Self::HelloReply { .. }
            | Self::OtherCluster
            | Self::VoteReply { .. }
            | Self::HeartbeatReply { .. }
            | Self::SnapshotReply { .. } => true,
        }
    }
}
