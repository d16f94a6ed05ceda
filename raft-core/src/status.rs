//! A read-only view of a server, for operators and tests.

use alloc::vec::Vec;

use crate::action::{Rejection, Waiting};
use crate::clock::Clocks;
use crate::identity::{Boot, ClusterId};
use crate::level::{Halted, Level};
use crate::types::{HardState, Index, LogId, NodeId, Term};

/// The role a server plays (paper §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RoleName {
    /// The disk of the server was empty at this start, and it does not know yet whether this is a first start or its
    /// disk was lost. It neither campaigns nor votes, until one of these:
    ///
    /// * A majority of the first configuration, itself included, reports an empty log: this is a first start.
    /// * A leader has bound its data folder ([`Incarnation`](crate::Incarnation)) by an entry in the log, and the entry
    ///   is committed.
    ///
    /// While the log binds the server's id to another folder, neither happens and it is fenced ([`Status::fenced`]).
    ///
    /// Two cases cannot be distinguished from a first start: a majority that lost its disks together, and a majority
    /// that lost them while the only other servers within reach had never received an entry.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
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
    /// For how many ticks the oldest write that something waits for has not been durable; 0 if there is none. A leader
    /// whose disk has stalled for longer than the longest election timeout steps down.
    pub durable_lag_ticks: u64,
    /// The last entry that is known to be committed.
    pub commit: Option<Index>,
    /// The last entry that is applied.
    pub applied: Option<Index>,
    /// The last entry that the latest snapshot covers.
    pub snapshot: Option<LogId>,
    /// On a leader, the progress of every peer, including removed servers that are still being sent the entry that
    /// removes them; empty on other servers.
    pub peers: Vec<PeerStatus>,
    /// The server to which this leader is handing over leadership.
    pub transferring_to: Option<NodeId>,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The last server of another cluster that this one heard from, and that cluster: two clusters use the same
    /// addresses, or a server was started with another list of members than the others.
    pub stranger: Option<(NodeId, ClusterId)>,
    /// What the other members have said about themselves in their present starts, in the order of their ids.
    pub greeted: Vec<Greeted>,
    /// What is known of the wall clocks, where hosts give them.
    pub clocks: Clocks,
    /// Whether this server is fenced: a committed configuration, as far as the server knows, binds it to another
    /// incarnation. Its disk was lost, or was given to it by mistake. Other servers drop its messages until it is
    /// removed from the configuration and added again.
    pub fenced: bool,
    /// Where the server has halted, and which program it needs.
    pub halted: Option<Halted>,
    /// The level of the log that is in force.
    pub level: Level,
    /// On a leader, the members that keep it from raising the level to that of its own program: they have not said in
    /// their present boot that their programs go that far. A silent one does so until it is removed.
    pub level_held_back_by: Vec<NodeId>,
    /// Whether the disk failed, and the server has fallen silent.
    pub failed: bool,
    /// Inputs that were dropped, by reason.
    pub ignored: Ignored,
    /// How often each limit held something back.
    pub limited: Limited,
}

/// What a server has heard of another member's present start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Greeted {
    /// The member.
    pub node: NodeId,
    /// Its latest start.
    pub boot: Boot,
    /// Another start of the same count: the data folder was copied, and neither copy counts until the member is removed
    /// and added again with a new folder.
    pub twin: Option<Boot>,
    /// On the leader that counted it: what an earlier start of the folder acknowledged, and the latest one does not hold.
    /// The folder went back, and the member does not count until it is removed and added again with a new folder.
    pub lacks: Option<LogId>,
    /// The length of its ticks, in microseconds, once it has said so.
    pub tick_micros: Option<u64>,
    /// Its host's settings ([`Config::settings`](crate::Config::settings)), once it has said so. If they differ from this
    /// server's, the two may make different states of the same commands.
    pub settings: Option<u64>,
}

/// A peer's progress, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PeerStatus {
    /// The peer.
    pub node: NodeId,
    /// The last entry that it holds for certain.
    pub matched: Option<Index>,
    /// The entry to send it next.
    pub next: Index,
    /// How it is sent the log.
    pub feeding: Feeding,
    /// Appends with entries that it was sent and has not acknowledged; 0 unless windows limit them.
    pub inflight_messages: usize,
    /// How many bytes of a snapshot it has acknowledged, while it is sent one.
    pub snapshot_bytes: Option<u64>,
    /// For how many ticks the leader has not heard from it; since the leader's election if it never has.
    pub silent_ticks: u64,
    /// Up to which level its program goes, as it has said in its present boot to this leader.
    pub level: Option<Level>,
    /// Whether it has said that it halted.
    pub is_halted: bool,
    /// Whether it has said that its disk owes a write for longer than the longest election timeout.
    pub is_stalled: bool,
}

/// How a leader sends a peer the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Feeding {
    /// One message at a time, until the last entry that matches is known.
    Probe,
    /// As fast as the windows allow.
    Replicate,
    /// With a snapshot.
    Snapshot,
}

/// Messages that were dropped, by reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Ignored {
    /// For another group or another server.
    pub misaddressed: u64,
    /// From another cluster: see [`Status::stranger`].
    pub other_cluster: u64,
    /// From or for a data folder that is not the one the log knows.
    pub fenced: u64,
    /// Breaking a rule of the format that no honest peer breaks.
    pub malformed: u64,
    /// Contradicting what every correct server promises: an append that conflicts with a committed entry, a second
    /// leader of a term, an acknowledgement of entries that were never sent. Some disk has lost durable data, or a
    /// server is faulty or hostile; an operator should look at once.
    pub contradicting: u64,
    /// From a start of a member's data folder that is over, or that speaks beside another one: see
    /// [`Greeted::twin`] and [`HardState::silenced`](crate::HardState::silenced).
    pub other_boot: u64,
    /// From an earlier term, session or round of the conversation.
    pub stale: u64,
    /// A request for votes, while this server hears a leader.
    pub sticky: u64,
    /// Commands sent to a witness, or withheld commands sent to a server that is not one. The configuration and this
    /// server's settings contradict each other, and until that is fixed the server acknowledges nothing.
    pub misfit: u64,
    /// Pieces of a snapshot that is larger than [`Snapshots::max_bytes`](crate::Snapshots::max_bytes).
    pub oversized: u64,
    /// Pieces of a snapshot that reaches to the entry before which this server has halted, or beyond it, and appends of
    /// more entries than it may store after that entry ([`Limits::halted_entries`](crate::Limits::halted_entries)).
    pub beyond_halt: u64,
}

/// How often each of [`Limits`](crate::Limits) held something back since this start. A limit that does so often is too
/// low for the load, or something that it waits for is too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Limited {
    /// Appends that hold fewer entries than there were to send.
    pub message_bytes: u64,
    /// Drains in which a peer was due for an append and its window was full of messages...
    pub inflight_messages: u64,
    /// ...or of bytes.
    pub inflight_bytes: u64,
    /// [`Apply`](crate::Action::Apply)s that hold fewer entries than there were to apply.
    pub apply_bytes: u64,
    /// Commands that were refused for the bytes that wait already.
    pub uncommitted_bytes: u64,
    /// Drains in which applied entries were dropped from memory that a slow peer may yet need.
    pub tail_bytes: u64,
    /// Proposals and changes that were refused for the number of those that wait.
    pub proposals: u64,
    /// Reads that were refused for the number of those that wait.
    pub reads: u64,
    /// Appends that a halted server did not store.
    pub halted_entries: u64,
}

impl Limited {
    /// Counts a refusal, if a limit was its reason.
    pub(crate) fn note(&mut self, reason: &Rejection) {
        let Rejection::Busy { what, .. } = reason else {
            return;
        };
        let count = match what {
            Waiting::UncommittedBytes => &mut self.uncommitted_bytes,
            Waiting::Proposals => &mut self.proposals,
            Waiting::Reads => &mut self.reads,
        };
        *count += 1;
    }
}

/// The part of [`Status`] that is cheap enough to ask after every step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
