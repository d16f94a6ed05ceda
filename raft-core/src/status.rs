//! What an operator or a test wants to see; nothing in here changes anything.

use alloc::vec::Vec;

use crate::types::{HardState, Index, LogId, NodeId, Term};

/// The role a server plays (paper §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Its disk was empty at this start, and it does not know yet whether that is a first start or a disk that was
    /// lost. It has nobody's vote and gives none, until
    ///
    /// * a majority of the first configuration, itself included, says that its log is empty: a first start; or
    /// * a leader has bound its data folder ([`Incarnation`](crate::Incarnation)) by an entry in the log, and that is
    ///   committed; or never, as long as the log binds its name to another folder: then it is fenced
    ///   ([`Status::fenced`]).
    ///
    /// What is not told from a first start: a majority that lost its disks together, or lost them while the only others
    /// within reach had never received an entry.
    Joining,
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election (dissertation §9.6).
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// A server at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This server.
    pub node: NodeId,
    /// Its role.
    pub role: RoleName,
    /// Term and vote, as they will be once everything handed out is durable.
    pub hard_state: HardState,
    /// The leader of the term, where it is known.
    pub leader: Option<NodeId>,
    /// The last entry.
    pub last: Option<LogId>,
    /// The last entry that is known to be durable here.
    pub durable: Option<Index>,
    /// For how many ticks the disk has owed the oldest write that somebody waits for; 0 when it owes none. A leader
    /// whose disk owes one for longer than the longest election timeout makes room for another.
    pub durable_lag_ticks: u64,
    /// The last entry that is known to be committed.
    pub commit: Option<Index>,
    /// The last entry that is applied.
    pub applied: Option<Index>,
    /// The last entry that the latest snapshot covers.
    pub snapshot: Option<LogId>,
    /// Where every peer is, on a leader, those that were removed and are still being told so among them; empty
    /// elsewhere.
    pub peers: Vec<PeerStatus>,
    /// Whom this leader is handing over to.
    pub transferring_to: Option<NodeId>,
    /// Whether a committed configuration, as far as this server knows, has it by another incarnation: its disk was
    /// lost, or was given to it by mistake. Others drop what it says until it is removed from the configuration and
    /// added again.
    pub fenced: bool,
    /// Whether the disk failed, and the server has fallen silent.
    pub failed: bool,
    /// What was dropped, by reason.
    pub ignored: Ignored,
}

/// Where a peer is, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// The last entry that it holds for certain.
    pub matched: Option<Index>,
    /// The entry to send it next.
    pub next: Index,
    /// How it is being fed.
    pub feeding: Feeding,
    /// Appends with entries that it was sent and has not acknowledged; 0 unless it is fed through windows.
    pub inflight_messages: usize,
    /// How many bytes of a snapshot it has acknowledged, while it is fed with one.
    pub snapshot_bytes: Option<u64>,
    /// For how many ticks it has not been heard; since this leader's election, if it never was.
    pub silent_ticks: u64,
}

/// How a leader feeds a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// One message at a time, until it is known where the two logs part.
    Probe,
    /// As fast as the windows allow.
    Replicate,
    /// With a snapshot.
    Snapshot,
}

/// Messages that were dropped, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ignored {
    /// For another group or another server.
    pub misaddressed: u64,
    /// From or for a data folder that is not the one the log knows.
    pub fenced: u64,
    /// Breaking a rule of the format that no honest peer breaks.
    pub malformed: u64,
    /// What cannot be as long as every server keeps its promises: an append against what is committed here, a second
    /// leader of a term, an acknowledgement of what was never sent. Some disk has lost what it had promised, or
    /// somebody lies: look at once.
    pub contradicting: u64,
    /// From an earlier term, session or round of the conversation.
    pub stale: u64,
    /// A campaign, while a leader makes itself heard.
    pub sticky: u64,
    /// Commands for a witness, or entries without them for a server that is none: the configuration and this server's
    /// settings contradict each other, and until that is mended it acknowledges nothing.
    pub misfit: u64,
    /// Pieces of a snapshot that is larger than [`Snapshots::max_bytes`](crate::Snapshots::max_bytes).
    pub oversized: u64,
}

/// The part of [`Status`] that is cheap enough to ask after every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// The role.
    pub role: RoleName,
    /// The term.
    pub term: Term,
    /// The leader of the term, where it is known.
    pub leader: Option<NodeId>,
    /// The last entry.
    pub last: Option<LogId>,
    /// The last entry known to be durable here.
    pub durable: Option<Index>,
    /// The last entry known to be committed.
    pub commit: Option<Index>,
    /// The last entry applied.
    pub applied: Option<Index>,
}
