//! The core with your state machine: one type that applies, answers, and takes, sends and installs snapshots.
//!
//! [`Raft`] leaves those to its host. [`Replica`] does them, still without a clock, a thread, a socket or a file, so
//! that a real server and a simulator drive the very same code, and the apply loop is written once. What is left
//! for the host is to persist, to send, to load entries, and to give clients their answers.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::action::{Action, LoadEntries, Notice, Persist, Rejection};
use crate::config::{Setup, Snapshots};
use crate::input::{Event, ReadMode};
use crate::level::{Halt, Halted};
use crate::message::Envelope;
use crate::queue::Ends;
use crate::restore::RestoreError;
use crate::types::{Entry, Index, LogId, NodeId, Payload, ProposalId, ReadId, SnapshotMeta, Ticket};
use crate::{Raft, input};

mod invariants;
mod policy;
mod snapshots;
mod transfer;

use policy::Policy;
use transfer::{Inbound, Landing, Snapshot};

/// The state machine that is replicated. It must be deterministic: the same commands in the same order give the same
/// state and the same responses on every server.
pub trait StateMachine: Sized {
    /// The response to a command.
    type Response;
    /// A question that changes nothing.
    type Query;
    /// The answer to a query.
    type Answer;

    /// Applies a committed command. Malformed bytes must change nothing and give a response that says so.
    ///
    /// # Errors
    ///
    /// This program does not understand the command: a newer one must have proposed it, and may have applied it on
    /// another server. No response would be right then, so the server halts before it ([`Halted`]). To
    /// tell such commands from malformed ones, begin each with the [`Level`](crate::Level) that it needs.
    ///
    /// Whatever was changed before the error does no harm: this state machine is asked nothing more, neither for
    /// answers nor for a snapshot, and the next start builds another one.
    fn apply(&mut self, at: LogId, command: &[u8]) -> Result<Self::Response, Halt>;

    /// Answers a query from the present state.
    fn query(&self, query: Self::Query) -> Self::Answer;

    /// Returns the whole state as bytes. Equal states should give equal bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// Returns a state machine with the state that the bytes describe. `self` does not change.
    ///
    /// # Errors
    ///
    /// The bytes are not a state.
    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError>;
}

/// A snapshot's bytes that are not a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot cannot be restored: {0}")]
pub struct SnapshotError(pub String);

/// One thing that happened, or what a client wants to read. Feed it to [`Replica::step`].
#[derive(Debug)]
pub enum Input<M: StateMachine> {
    /// An event, which a bare core takes as well. A proposal ends in exactly one of [`Output::Done`],
    /// [`Notice::Rejected`], [`Notice::Superseded`] and [`Notice::Unknown`]; a change of the configuration in [`Output::Changed`],
    /// [`Notice::ChangeRejected`] or one of the last two.
    Event(Event),
    /// A client wants a linearizable answer. It ends in exactly one of [`Output::Answered`] and
    /// [`Notice::ReadRejected`].
    Read {
        /// The host's name for it. While another read of this name is unfinished, it is rejected as
        /// [`IdInUse`](crate::Rejection::IdInUse), and that one goes on.
        id: ReadId,
        /// What the answer relies on.
        mode: ReadMode,
        /// The question.
        query: M::Query,
    },
    /// Take a snapshot now, without waiting until one is due ([`Snapshots::log_bytes`]). While one is being written, this does
    /// nothing.
    TakeSnapshot,
    /// The bytes of [`Output::WriteSnapshot`] are durable.
    SnapshotWritten {
        /// The last entry that the snapshot covers.
        last: LogId,
    },
    /// The bytes of [`Output::WriteSnapshot`] cannot be written, for example because the disk is full. The log stays as it
    /// is, and a later snapshot is written in full; unlike a failed [`Persist`], this breaks no promise.
    SnapshotNotWritten {
        /// The last entry that the snapshot covers.
        last: LogId,
    },
}

impl<M: StateMachine> From<Event> for Input<M> {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// A duty of the host, or news for it, in order; exhaustive on purpose, as [`crate::Action`] is.
#[derive(Debug)]
pub enum Output<M: StateMachine> {
    /// Make this durable, then report [`Event::Persisted`].
    Persist(Persist),
    /// Make the bytes of this snapshot durable, beside the `Persist`s and never before one of them, then report
    /// [`Input::SnapshotWritten`], also with [`Options::persists_at_once`](crate::Options::persists_at_once). At most two
    /// are being written at a time, of different entries: one taken here, and one that arrived.
    ///
    /// Once written, it ends in one of two ways: a [`Persist`] names it ([`Persist::snapshot`]), or
    /// [`Output::DiscardSnapshot`] does. A crash before that leaves an orphan, which the next start removes.
    WriteSnapshot {
        /// The last entry that the snapshot covers.
        last: LogId,
        /// The whole snapshot.
        bytes: Payload,
    },
    /// Remove the bytes of this snapshot, which were written and which no [`Persist`] will name.
    DiscardSnapshot {
        /// The last entry that the snapshot covers.
        last: LogId,
    },
    /// Send this.
    Send(Envelope),
    /// Load these entries from the store.
    LoadEntries(LoadEntries),
    /// The command is committed and was applied here.
    Done {
        /// The host's name for it.
        id: ProposalId,
        /// Its entry in the log.
        at: LogId,
        /// What the state machine said.
        response: M::Response,
    },
    /// The change of the configuration is committed.
    Changed {
        /// The host's name for it.
        id: ProposalId,
        /// The entry that set the configuration.
        at: LogId,
    },
    /// The state machine has applied everything up to this entry, commands or not; it comes last of a
    /// [`drain`](Replica::drain).
    Applied {
        /// The last entry that it has applied.
        up_to: LogId,
    },
    /// The answer to a query, as of an instant between asking and now.
    Answered {
        /// The host's name for it.
        id: ReadId,
        /// The read index: at or after the commit index when the query arrived.
        index: Index,
        /// What the state machine said.
        answer: M::Answer,
    },
    /// The state machine was restored from a leader's snapshot.
    SnapshotInstalled {
        /// The snapshot.
        meta: SnapshotMeta,
    },
    /// A leader's snapshot is malformed, or is larger than [`Snapshots::max_bytes`]; the state machine
    /// is unchanged.
    SnapshotRefused {
        /// The sender.
        from: NodeId,
        /// The reason.
        error: SnapshotError,
    },
    /// News for the host: neither a duty nor an answer of the state machine.
    Notice(Notice),
}

/// A server with its state machine. It is driven like [`Raft`]: advance time, feed inputs, drain, carry out.
pub struct Replica<M: StateMachine> {
    raft: Raft,
    machine: M,
    settings: Snapshots,
    actions: Vec<Action>,
    outputs: Vec<Output<M>>,
    /// Queries that wait for their read index.
    queries: BTreeMap<ReadId, M::Query>,
    /// The machine's responses to the entries of the last apply, until their proposals are reported.
    responses: VecDeque<(Index, M::Response)>,
    last_applied: Option<LogId>,
    /// What the host was last told of it.
    told_applied: Option<LogId>,
    /// When the next snapshot is due.
    policy: Policy,
    /// The latest snapshot, kept to be sent to peers.
    snapshot: Option<Snapshot>,
    /// The snapshot of this server's own that is being written.
    writing: Option<Snapshot>,
    outbound: BTreeMap<Ticket, Snapshot>,
    inbound: Option<Inbound>,
    /// The snapshot that arrived whole and is being written.
    landing: Option<Landing<M>>,
    /// The states of snapshots that arrived, until they are durable: the one that is about to be installed and a newer
    /// one, at most.
    arrived: VecDeque<(LogId, M)>,
}

impl<M: StateMachine> fmt::Debug for Replica<M> {
    /// Only the core: a state machine may be large, and may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("raft", &self.raft)
            .finish_non_exhaustive()
    }
}

impl<M: StateMachine> Replica<M> {
    /// Creates a server from what its disk holds. `machine` is an empty state machine; `snapshot` has the bytes that
    /// belong to `setup.durable.snapshot`, and the machine is restored from them. A witness's has none. The bytes of any
    /// other snapshot on the disk are orphans of a crash: remove them before.
    ///
    /// # Errors
    ///
    /// Those of [`Raft::new`]; a snapshot without its bytes, or bytes that are not a state.
    pub fn new(mut setup: Setup, machine: M, snapshot: Option<Payload>) -> Result<Self, RestoreError> {
        setup.config.options.applies_at_once = true;
        let config = setup.config.clone();
        // What the disk has: a witness may take another one while it starts.
        let stored = setup.durable.snapshot.clone();
        let raft = Raft::new(setup)?;
        let (machine, snapshot) = match (&stored, snapshot) {
            (None, None) => (machine, None),
            // A witness has no state that could be restored.
            (Some(meta), None) if meta.withheld => (machine, None),
            (Some(meta), Some(data)) => {
                let restored = machine
                    .restore(&data)
                    .map_err(|error| RestoreError::Snapshot(error.0))?;
                (restored, Some(Snapshot::new(meta.last, data)))
            }
            (Some(_), None) => return Err(RestoreError::Snapshot("its bytes are missing".into())),
            (None, Some(_)) => return Err(RestoreError::Snapshot("there are bytes of none".into())),
        };
        let snapshot_bytes = snapshot.as_ref().map_or(0, Snapshot::total_bytes);
        Ok(Self {
            told_applied: stored.as_ref().map(|meta| meta.last),
            policy: Policy::new(&config, raft.identity(), snapshot_bytes),
            last_applied: stored.map(|meta| meta.last),
            raft,
            machine,
            settings: config.snapshots,
            actions: Vec::new(),
            outputs: Vec::new(),
            queries: BTreeMap::new(),
            responses: VecDeque::new(),
            snapshot,
            writing: None,
            outbound: BTreeMap::new(),
            inbound: None,
            landing: None,
            arrived: VecDeque::new(),
        })
    }

    /// Takes one input.
    pub fn step(&mut self, input: impl Into<Input<M>>) {
        match input.into() {
            Input::Event(event) => self.raft.step(event),
            Input::Read { id, mode, query } => {
                if self.queries.contains_key(&id) {
                    let reason = Rejection::IdInUse;
                    self.outputs
                        .push(Output::Notice(Notice::ReadRejected { id, reason }));
                    return;
                }
                self.queries.insert(id, query);
                self.raft.step(input::Input::Read { id, mode });
            }
            Input::TakeSnapshot => self.take_snapshot(),
            Input::SnapshotWritten { last } => self.snapshot_written(last),
            Input::SnapshotNotWritten { last } => self.snapshot_not_written(last),
        }
    }

    /// Hands out all outputs, in order.
    pub fn drain(&mut self, into: &mut Vec<Output<M>>) {
        let mut actions = core::mem::take(&mut self.actions);
        loop {
            self.raft.drain(&mut actions);
            if actions.is_empty() {
                break;
            }
            for action in actions.drain(..) {
                self.carry_out(action);
            }
        }
        self.actions = actions;
        // Every proposal among what was applied is reported by now, and most entries were never a proposal of this
        // server's.
        self.forget_responses();
        // What the log has brought meanwhile need not be collected any more.
        let commit = self.raft.vitals().commit;
        self.inbound
            .take_if(|inbound| Some(inbound.meta.last.index) <= commit);
        if self.last_applied != self.told_applied
            && let Some(up_to) = self.last_applied
        {
            self.told_applied = self.last_applied;
            self.outputs.push(Output::Applied { up_to });
        }
        into.append(&mut self.outputs);
        debug_assert_eq!(self.check_invariants(), Ok(()), "an invariant broke");
    }

    /// Returns the core.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Returns the state machine. For a linearizable answer, use [`Input::Read`].
    pub fn machine(&self) -> &M {
        &self.machine
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Persist(persist) => self.outputs.push(Output::Persist(persist)),
            Action::Send(envelope) => self.outputs.push(Output::Send(envelope)),
            Action::LoadEntries(request) => self.outputs.push(Output::LoadEntries(request)),
            Action::Apply { entries } => self.apply(&entries),
            Action::Done { id, at } => self.done(id, at),
            Action::ReadReady { id, index } => {
                let halted = self.halted_at(index);
                let halted = plant!(halted, ANSWERS_READS_HALTED => None);
                if let Some(query) = self.queries.remove(&id) {
                    if let Some(halted) = halted {
                        let reason = halted.into();
                        self.outputs
                            .push(Output::Notice(Notice::ReadRejected { id, reason }));
                        return;
                    }
                    let answer = self.machine.query(query);
                    self.outputs.push(Output::Answered { id, index, answer });
                }
            }
            Action::SendSnapshot { ticket, meta, .. } => self.begin_sending(ticket, &meta),
            Action::SnapshotAdvanced {
                ticket,
                received_bytes,
            } => self.send_piece(ticket, received_bytes),
            Action::SnapshotEnded { ticket } => {
                self.outbound.remove(&ticket);
            }
            Action::SnapshotArrived {
                from,
                meta,
                total_bytes,
                checksum,
                offset,
                data,
            } => {
                let announced = Inbound::new(from, meta, total_bytes, checksum);
                self.receive_piece(announced, offset, &data);
            }
            Action::SnapshotTooLarge {
                from,
                total_bytes,
                limit,
            } => {
                let error = SnapshotError(format!(
                    "it has {total_bytes} bytes, and `Snapshots::max_bytes` allows {limit}: raise it"
                ));
                self.outputs.push(Output::SnapshotRefused { from, error });
            }
            Action::InstallSnapshot { meta } => self.install(meta),
            Action::Notice(notice) => {
                if let Notice::ReadRejected { id, .. } = &notice {
                    unless_planted!(KEEPS_QUERIES, _ = self.queries.remove(id));
                }
                self.outputs.push(Output::Notice(notice));
            }
        }
    }

    /// Where this server has halted, if that is at this entry or before it. The core learns of a halt after it has handed
    /// out what may follow in the same drain.
    fn halted_at(&self, index: Index) -> Option<Halted> {
        self.raft.halted().filter(|halted| halted.at <= index)
    }

    /// Forgets what no proposal of this server's will be answered with.
    fn forget_responses(&mut self) {
        unless_planted!(KEEPS_RESPONSES, self.responses.clear());
    }

    fn apply(&mut self, entries: &[Entry]) {
        self.forget_responses();
        for entry in entries {
            if self.halted_at(entry.id.index).is_some() {
                return;
            }
            if let Some(command) = entry.command() {
                match self.machine.apply(entry.id, command) {
                    Ok(response) => self.responses.push_back((entry.id.index, response)),
                    Err(_) if planted!(SKIPS_UNKNOWN_COMMANDS) => {}
                    Err(Halt { needs }) => {
                        let at = entry.id.index;
                        self.raft.step(input::Input::Halted { at, needs });
                        return;
                    }
                }
            }
            self.last_applied = Some(entry.id);
            self.policy.applied(entry.cost_bytes());
        }
        if self.policy.is_due() {
            self.take_snapshot();
        }
    }

    fn done(&mut self, id: ProposalId, at: LogId) {
        while self
            .responses
            .take_front_if(|(index, _)| *index < at.index)
            .is_some()
        {}
        if self.halted_at(at.index).is_some() {
            self.outputs.push(Output::Notice(Notice::Unknown { id }));
            return;
        }
        // Commands have a response; what else is proposed is a configuration.
        let output = match self.responses.take_front_if(|(index, _)| *index == at.index) {
            Some((_, response)) => Output::Done { id, at, response },
            None => Output::Changed { id, at },
        };
        self.outputs.push(output);
    }
}
