//! The inputs of a server: the one way in.

use crate::clock::WallTime;
use crate::entries::Entries;
use crate::level::Level;
use crate::membership::Change;
use crate::message::Envelope;
use crate::types::{Index, LogId, NodeId, Payload, ProposalId, ReadId, SnapshotMeta, Ticket};

/// What the answer to a linearizable read relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ReadMode {
    /// On a quorum, asked after the read arrived, that confirms the leader (dissertation §6.4). Needs no clock.
    #[default]
    Quorum,
    /// On the leader's lease, while it holds one, at no cost (dissertation §6.4.1); else on a quorum. It is
    /// linearizable only while clocks keep within [`Lease`](crate::Lease)'s bound, and only if **every** server of the
    /// cluster runs with that option: without it this is [`Quorum`](Self::Quorum).
    Lease,
}

/// The configuration that a change is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Expected {
    /// Whichever configuration is in force.
    Any,
    /// The one that this entry set, see [`Raft::membership_id`](crate::Raft::membership_id); `None` for the one that
    /// the cluster began with.
    This(Option<LogId>),
}

impl Expected {
    pub(crate) fn is(self, current: Option<LogId>) -> bool {
        match self {
            Self::Any => true,
            Self::This(expected) => expected == current,
        }
    }
}

/// One thing that happened, in the world or to a request of the host's: what [`Raft`](crate::Raft) and
/// [`Replica`](crate::Replica) take alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This many ticks have passed since the last time. Advance time before any other input.
    Tick(u64),
    /// The wall clock of this host shows this now. The core reads no clock; with this input it can tell a leader's host
    /// whether its clock may be trusted: see [`Raft::stamp`](crate::Raft::stamp).
    ///
    /// Give it after each [`Tick`](Self::Tick), before any other input: it counts for that tick only. A host that has
    /// no use for wall time never gives it.
    WallTime(WallTime),
    /// A message arrived.
    Receive(Envelope),
    /// A client wants a command in the log. It ends in exactly one of [`Done`](crate::Action::Done),
    /// [`Rejected`](crate::Notice::Rejected), [`Superseded`](crate::Notice::Superseded) and
    /// [`Unknown`](crate::Notice::Unknown). Proposals that are fed before actions are drained travel together.
    Propose {
        /// The host's name for it. While another proposal or change of this name is unfinished, it is rejected as
        /// [`IdInUse`](crate::Rejection::IdInUse), and that one goes on. To tell costs nothing if ids grow.
        id: ProposalId,
        /// The command.
        payload: Payload,
    },
    /// Try to become leader now, without waiting for the election timeout. A pre-vote comes first, so it fails while a
    /// quorum hears a leader, also if several servers campaign at once: to replace that leader, ask it for a
    /// [`Transfer`](Self::Transfer). A refusal is silent. A server ignores this if it leads, joins, has no vote, is a witness, or still withholds its vote for a
    /// lease that it may have granted before its start.
    Campaign,
    /// Hand leadership over to this voter (dissertation §3.10), or to the one that is fit best: of the voters that are
    /// healthy, the one that holds most of the log. Ends in exactly one [`TransferEnded`](crate::Notice::TransferEnded);
    /// until then a leader takes no proposals.
    Transfer {
        /// The target; `None` to let the leader choose.
        to: Option<NodeId>,
    },
    /// Change the configuration (dissertation chapter 4). It ends like a proposal, in exactly one of
    /// [`Done`](crate::Action::Done), [`ChangeRejected`](crate::Notice::ChangeRejected),
    /// [`Superseded`](crate::Notice::Superseded) and [`Unknown`](crate::Notice::Unknown).
    ///
    /// ```
    /// use raft_core::{Change, Event, Expected, NodeId, ProposalId, Raft};
    ///
    /// /// Makes a voter of a learner, unless the configuration has changed since it was read.
    /// fn promote(raft: &mut Raft, learner: NodeId) {
    ///     raft.step(Event::ChangeMembership {
    ///         id: ProposalId::new(1),
    ///         expect: Expected::This(raft.membership_id()),
    ///         change: Change::Promote(learner),
    ///         force: false,
    ///     });
    /// }
    /// ```
    ChangeMembership {
        /// The host's name for it, as for a proposal: the two share their names.
        id: ProposalId,
        /// The configuration that is to be changed. If another one is in force, the change is rejected as
        /// [`Outdated`](crate::ChangeRejection::Outdated).
        expect: Expected,
        /// The change.
        change: Change,
        /// Whether to make it although the leader knows of no healthy quorum of the voters that it leads to
        /// ([`NoHealthyQuorum`](crate::ChangeRejection::NoHealthyQuorum)). Such a change may leave the cluster without a
        /// quorum for good. Every other rule holds for it as well.
        force: bool,
    },
    /// Everything up to and including this ticket is durable.
    Persisted(Ticket),
    /// A write or a sync failed. What the disk holds is unknown, so this server falls silent for good; a restart reads
    /// the truth.
    PersistFailed,
    /// The answer to [`LoadEntries`](crate::Action::LoadEntries): a run of the entries asked for, from the first on;
    /// empty when they could not be read.
    EntriesLoaded {
        /// The request's ticket.
        ticket: Ticket,
        /// The entries.
        entries: Entries,
    },
    /// The transport knows that this peer cannot be reached; what was in flight to it is presumed lost.
    Unreachable(NodeId),
}

/// An input of a bare [`Raft`](crate::Raft): an [`Event`], or a report about the state machine, which
/// [`Replica`](crate::Replica) makes itself. Feed it to [`Raft::step`](crate::Raft::step).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// One thing that happened.
    Event(Event),
    /// A client wants to read what is committed now, linearizably (dissertation §6.4). It ends in exactly one of
    /// [`ReadReady`](crate::Action::ReadReady) and [`ReadRejected`](crate::Notice::ReadRejected).
    Read {
        /// The host's name for it. While another read of this name is unfinished, it is rejected as
        /// [`IdInUse`](crate::Rejection::IdInUse), and that one goes on.
        id: ReadId,
        /// What the answer relies on.
        mode: ReadMode,
    },
    /// The state machine has applied everything up to and including this entry, or was restored from the snapshot at
    /// this entry.
    Applied(Index),
    /// The state machine does not understand this entry, which it was told to apply, and has applied everything before
    /// it. Neither this entry nor a later one counts as applied, and the server halts: see
    /// [`Halted`](crate::Halted). A report of an entry that the host was not told to apply, or that a snapshot has
    /// covered meanwhile, changes nothing.
    ///
    /// A host that [applies at once](crate::Options::applies_at_once) may have been handed duties after that
    /// [`Apply`](crate::Action::Apply) already. It treats a [`Done`](crate::Action::Done) at this entry or a later one
    /// as [unknown](crate::Notice::Unknown), and rejects what is
    /// [ready to be read](crate::Action::ReadReady) from there on.
    Halted {
        /// The entry.
        at: Index,
        /// The level of the program that would understand it, if that is known.
        needs: Option<Level>,
    },
    /// The host has a snapshot of the state machine as of this entry, which it has applied, and its bytes are durable: the
    /// host wrote them beside its other writes, whose order they do not concern. The [`Persist`](crate::Persist) that
    /// this input leads to names the snapshot and compacts the log. If there is none, because a later snapshot has arrived
    /// meanwhile, the bytes may go.
    SnapshotTaken {
        /// The last entry that the snapshot covers.
        last: LogId,
    },
    /// One piece of the snapshot that [`SendSnapshot`](crate::Action::SendSnapshot) asked for.
    SnapshotPiece {
        /// The ticket of the `SendSnapshot`.
        ticket: Ticket,
        /// The last entry that the snapshot covers of which this is a piece. One of another snapshot than was asked for
        /// is not sent.
        last: LogId,
        /// Length of the whole snapshot, in bytes.
        total_bytes: u64,
        /// CRC-32 of the whole snapshot.
        checksum: u32,
        /// The offset of this piece in the snapshot, in bytes.
        offset: u64,
        /// The piece.
        data: Payload,
    },
    /// The host gives up on sending a snapshot.
    SnapshotAborted {
        /// The ticket of the `SendSnapshot`.
        ticket: Ticket,
    },
    /// The answer to [`SnapshotArrived`](crate::Action::SnapshotArrived): this much has arrived, without a gap.
    SnapshotStored {
        /// The sender.
        from: NodeId,
        /// The snapshot's last entry.
        last: LogId,
        /// How many bytes have arrived, from the start.
        received_bytes: u64,
    },
    /// A whole snapshot has arrived, was checked, can be restored, and its bytes are durable. The
    /// [`Persist`](crate::Persist) that this input leads to names it. If there is none, because the log has brought the
    /// same meanwhile or another server leads, the bytes may go.
    SnapshotReady {
        /// The sender.
        from: NodeId,
        /// The snapshot's last entry and configuration, as they were announced.
        meta: SnapshotMeta,
    },
}

impl From<Event> for Input {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}
