//! Steps of the protocol that no other action reports, for viewers and for checkers outside of this process.

use crate::types::{Index, LogId, NodeId, Term};

/// A step that a server took. Handed out only if [`Options::trace`](crate::Options::trace) asks for it, in order among
/// the other actions: changes of role, leader and configuration, messages and writes are actions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Trace {
    /// The server has moved on to this term.
    TermChanged {
        /// The term.
        term: Term,
    },
    /// It has granted or denied a pre-vote.
    PreVoteAnswered {
        /// The candidate.
        to: NodeId,
        /// The term that it would campaign in.
        ask: Term,
        /// The answer.
        granted: bool,
    },
    /// It has voted, or denied its vote.
    VoteAnswered {
        /// The candidate.
        to: NodeId,
        /// The term.
        term: Term,
        /// The answer.
        granted: bool,
    },
    /// The server has appended an entry.
    Appended {
        /// The entry.
        at: LogId,
    },
    /// The server has truncated its log.
    Truncated {
        /// The first entry that was removed.
        from: Index,
    },
    /// A leader has learned that a peer holds its log up to this entry.
    Matched {
        /// The peer.
        peer: NodeId,
        /// The last entry that both hold.
        last: Option<Index>,
    },
    /// The log is committed up to this entry.
    Committed {
        /// The last committed entry.
        to: Option<Index>,
    },
    /// A quorum, or a lease, has confirmed a leader: a read may be answered once this much is applied.
    ReadConfirmed {
        /// The read index.
        index: Index,
    },
    /// A leader has appended a command that another server forwarded.
    ForwardTaken {
        /// The server.
        from: NodeId,
        /// The command's entry.
        at: LogId,
    },
    /// A snapshot covers the log up to this entry.
    SnapshotTaken {
        /// Its last entry.
        last: LogId,
    },
    /// The log was compacted and begins after this index.
    Compacted {
        /// The last entry that was removed.
        to: Index,
    },
    /// A leader's snapshot replaces the log up to this entry.
    SnapshotAccepted {
        /// Its last entry.
        last: LogId,
        /// Whether the entries after it were kept.
        keeps_suffix: bool,
    },
    /// A leader has told another server to campaign at once.
    CampaignOrdered {
        /// The server.
        to: NodeId,
    },
    /// A leader appends a configuration whose voters have no healthy quorum, because the operator forces it.
    ChangeForced {
        /// The entry.
        at: LogId,
    },
}

impl Trace {
    /// A name that stays the same across versions.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TermChanged { .. } => "TermChanged",
            Self::PreVoteAnswered { .. } => "PreVoteAnswered",
            Self::VoteAnswered { .. } => "VoteAnswered",
            Self::Appended { .. } => "Appended",
            Self::Truncated { .. } => "Truncated",
            Self::Matched { .. } => "Matched",
            Self::Committed { .. } => "Committed",
            Self::ReadConfirmed { .. } => "ReadConfirmed",
            Self::ForwardTaken { .. } => "ForwardTaken",
            Self::SnapshotTaken { .. } => "SnapshotTaken",
            Self::Compacted { .. } => "Compacted",
            Self::SnapshotAccepted { .. } => "SnapshotAccepted",
            Self::CampaignOrdered { .. } => "CampaignOrdered",
            Self::ChangeForced { .. } => "ChangeForced",
        }
    }
}
