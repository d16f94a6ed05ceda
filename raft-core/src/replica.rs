//! The core with your state machine: one type that applies, answers, and takes, sends and installs snapshots.
//!
//! [`Raft`] leaves those to its host. [`Replica`] does them, still without a clock, a thread, a socket or a file, so
//! that a real server and a simulator drive the very same code, and nobody writes the apply loop twice. What is left
//! for the host is to persist, to send, to load entries, and to give clients their answers.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::action::{Action, ChangeRejection, Persist, Rejection, TransferOutcome};
use crate::config::{Setup, Snapshots};
use crate::entries::Entries;
use crate::input::{Expected, ReadMode};
use crate::membership::Change;
use crate::message::Envelope;
use crate::restore::RestoreError;
use crate::status::RoleName;
use crate::trace::Trace;
use crate::types::{Entry, Index, LogId, NodeId, Payload, ProposalId, ReadId, SnapshotMeta, Term, Ticket};
use crate::{Raft, input};

mod snapshots;
mod transfer;

use transfer::{Inbound, Snapshot};

/// What is replicated. It must be deterministic: the same commands in the same order give the same state and the same
/// responses on every server.
pub trait StateMachine: Sized {
    /// What a client is told about its command.
    type Response;
    /// What a client can ask without changing anything.
    type Query;
    /// What it is told.
    type Answer;

    /// Applies a committed command. Bytes that make no sense must change nothing and give a response that says so.
    fn apply(&mut self, at: LogId, command: &[u8]) -> Self::Response;

    /// Answers a query from the present state.
    fn query(&self, query: Self::Query) -> Self::Answer;

    /// The whole state as bytes. Equal states should give equal bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// A state machine with the state that the bytes describe. `self` stays as it is, whatever they say.
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

/// One thing that happened. See [`crate::Input`] for what each means.
#[derive(Debug)]
pub enum Input<M: StateMachine> {
    /// So many ticks have passed since the last time. Advance time before any other input.
    Tick(u64),
    /// A message arrived.
    Receive(Envelope),
    /// A client wants a command applied. It ends in exactly one of [`Output::Done`], [`Output::Rejected`],
    /// [`Output::Superseded`] and [`Output::Unknown`].
    Propose {
        /// The host's name for it, not in use for another unfinished proposal.
        id: ProposalId,
        /// The command.
        command: Payload,
    },
    /// A client wants a linearizable answer. It ends in exactly one of [`Output::Answered`] and
    /// [`Output::ReadRejected`].
    Read {
        /// The host's name for it, not in use for another unfinished read.
        id: ReadId,
        /// What the answer may rest on.
        mode: ReadMode,
        /// The question.
        query: M::Query,
    },
    /// Try to become leader now; it fails while a quorum hears a leader.
    Campaign,
    /// Hand leadership over. Ends in exactly one [`Output::TransferEnded`].
    Transfer {
        /// Who shall lead.
        to: NodeId,
    },
    /// Change the configuration. It ends in exactly one of [`Output::Changed`], [`Output::ChangeRejected`],
    /// [`Output::Superseded`] and [`Output::Unknown`].
    ChangeMembership {
        /// The host's name for it, not in use for another unfinished change or proposal.
        id: ProposalId,
        /// The configuration that is to be changed. If another one is in force, the change is rejected as
        /// [`ChangeRejection::Outdated`].
        expect: Expected,
        /// The change.
        change: Change,
    },
    /// Everything up to and including this ticket is durable.
    Persisted(Ticket),
    /// A write or a sync failed.
    PersistFailed,
    /// The answer to [`Output::LoadEntries`].
    EntriesLoaded {
        /// The request's ticket.
        ticket: Ticket,
        /// A run of the entries asked for, from the first on.
        entries: Entries,
    },
    /// Take a snapshot now, without waiting for [`Snapshots::every_entries`].
    TakeSnapshot,
    /// The transport knows that this peer cannot be reached.
    Unreachable(NodeId),
}

/// A duty of the host, or news for it, in order; exhaustive on purpose, as [`crate::Action`] is.
#[derive(Debug)]
pub enum Output<M: StateMachine> {
    /// Make this durable, then say [`Input::Persisted`].
    Persist {
        /// What to write.
        persist: Persist,
        /// The bytes of `persist.snapshot`; there exactly when that is.
        snapshot: Option<Payload>,
    },
    /// Send this.
    Send(Envelope),
    /// Read these entries from the store and hand them over by [`Input::EntriesLoaded`]; always, with none if they
    /// cannot be read.
    LoadEntries {
        /// Names the request.
        ticket: Ticket,
        /// The first entry wanted.
        first: Index,
        /// The last entry wanted.
        last: Index,
        /// Stop before more than so many bytes, counted by [`Entry::cost_bytes`]; the first entry always counts.
        max_bytes: usize,
    },
    /// The command is committed and was applied here.
    Done {
        /// The host's name for it.
        id: ProposalId,
        /// Where it stands in the log.
        at: LogId,
        /// What the state machine said.
        response: M::Response,
    },
    /// The command never entered the log, and is handed back.
    Rejected {
        /// The host's name for it.
        id: ProposalId,
        /// Why.
        reason: Rejection,
        /// The command.
        command: Payload,
    },
    /// The change of the configuration is committed.
    Changed {
        /// The host's name for it.
        id: ProposalId,
        /// The entry that set the configuration.
        at: LogId,
    },
    /// The change of the configuration never entered the log, and is handed back.
    ChangeRejected {
        /// The host's name for it.
        id: ProposalId,
        /// Why.
        reason: ChangeRejection,
        /// The change.
        change: Change,
    },
    /// Another leader's entry is committed in the place of the command, or of the change, or before it: it never will
    /// be.
    Superseded {
        /// The host's name for it.
        id: ProposalId,
    },
    /// What became of the command, or of the change, cannot be known here.
    Unknown {
        /// The host's name for it.
        id: ProposalId,
    },
    /// The answer to a query, as of an instant between asking and now.
    Answered {
        /// The host's name for it.
        id: ReadId,
        /// What was committed when it was asked, at least.
        index: Index,
        /// What the state machine said.
        answer: M::Answer,
    },
    /// The query cannot be answered here.
    ReadRejected {
        /// The host's name for it.
        id: ReadId,
        /// Why.
        reason: Rejection,
    },
    /// The state machine is now what a leader's snapshot said.
    SnapshotInstalled {
        /// Which snapshot.
        meta: SnapshotMeta,
    },
    /// A leader's snapshot makes no sense, or is larger than [`Snapshots::max_bytes`]; the state machine is what it
    /// was.
    SnapshotRefused {
        /// Who sent it.
        from: NodeId,
        /// What is wrong with it.
        error: SnapshotError,
    },
    /// A [`Input::Transfer`] is over.
    TransferEnded {
        /// Who was to lead.
        to: NodeId,
        /// How it ended.
        outcome: TransferOutcome,
    },
    /// This server plays another role now, or the same one in another term.
    RoleChanged {
        /// The role.
        role: RoleName,
        /// The term.
        term: Term,
    },
    /// Another leader is known now, or none.
    LeaderChanged {
        /// The leader.
        leader: Option<NodeId>,
        /// Its term.
        term: Term,
    },
    /// Another configuration is in force here.
    MembershipChanged {
        /// The entry that set it.
        at: Option<LogId>,
    },
    /// A step that no other output tells of; only if [`Options::trace`](crate::Options::trace) asks for it.
    Trace(Trace),
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
    /// What the machine said about the entries of the last apply, until the proposals among them are told.
    responses: VecDeque<(Index, M::Response)>,
    last_applied: Option<LogId>,
    /// The latest snapshot, kept to be sent to peers.
    snapshot: Option<Snapshot>,
    /// Snapshots whose `Persist` has not come out yet: a later one may be taken before it does.
    unwritten: VecDeque<Snapshot>,
    outbound: BTreeMap<Ticket, Snapshot>,
    inbound: Option<Inbound>,
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
    /// A server as its disk describes it. `machine` is an empty state machine; `snapshot` has the bytes that belong to
    /// `setup.durable.snapshot`, and the machine is restored from them.
    ///
    /// # Errors
    ///
    /// Those of [`Raft::new`]; a snapshot without its bytes, or bytes that are not a state.
    pub fn new(mut setup: Setup, machine: M, snapshot: Option<Payload>) -> Result<Self, RestoreError> {
        setup.config.options.applies_at_once = true;
        let settings = setup.config.snapshots;
        // What the disk has: a witness may take another one while it starts.
        let stored = setup.durable.snapshot.clone();
        let raft = Raft::new(setup)?;
        let (machine, snapshot) = match (&stored, snapshot) {
            (None, None) => (machine, None),
            // A witness has no state that could be restored.
            (Some(meta), Some(data)) if meta.withheld => (machine, Some(Snapshot::new(meta.last, data))),
            (Some(meta), Some(data)) => {
                let restored = machine
                    .restore(&data)
                    .map_err(|error| RestoreError::Snapshot(error.0))?;
                (restored, Some(Snapshot::new(meta.last, data)))
            }
            (Some(_), None) => return Err(RestoreError::Snapshot("its bytes are missing".into())),
            (None, Some(_)) => return Err(RestoreError::Snapshot("there are bytes of none".into())),
        };
        Ok(Self {
            last_applied: stored.map(|meta| meta.last),
            raft,
            machine,
            settings,
            actions: Vec::new(),
            outputs: Vec::new(),
            queries: BTreeMap::new(),
            responses: VecDeque::new(),
            snapshot,
            unwritten: VecDeque::new(),
            outbound: BTreeMap::new(),
            inbound: None,
            arrived: VecDeque::new(),
        })
    }

    /// Takes in one thing that happened.
    pub fn step(&mut self, input: Input<M>) {
        self.raft.step(match input {
            Input::Tick(ticks) => input::Input::Tick(ticks),
            Input::Receive(envelope) => input::Input::Receive(envelope),
            Input::Propose { id, command } => input::Input::Propose { id, payload: command },
            Input::Read { id, mode, query } => {
                self.queries.insert(id, query);
                input::Input::Read { id, mode }
            }
            Input::Campaign => input::Input::Campaign,
            Input::Transfer { to } => input::Input::Transfer { to },
            Input::ChangeMembership { id, expect, change } => {
                input::Input::ChangeMembership { id, expect, change }
            }
            Input::Persisted(ticket) => input::Input::Persisted(ticket),
            Input::PersistFailed => input::Input::PersistFailed,
            Input::EntriesLoaded { ticket, entries } => input::Input::EntriesLoaded { ticket, entries },
            Input::TakeSnapshot => return self.take_snapshot(),
            Input::Unreachable(peer) => input::Input::Unreachable(peer),
        });
    }

    /// Hands out everything that is to be done, in order.
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
        // What the log has brought meanwhile need not be collected any more.
        let commit = self.raft.vitals().commit;
        self.inbound
            .take_if(|inbound| Some(inbound.meta.last.index) <= commit);
        into.append(&mut self.outputs);
    }

    /// The core, to look at.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The state machine, to look at. For an answer that is linearizable, use [`Input::Read`].
    pub fn machine(&self) -> &M {
        &self.machine
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Persist(persist) => self.persist(persist),
            Action::Send(envelope) => self.outputs.push(Output::Send(envelope)),
            Action::LoadEntries {
                ticket,
                first,
                last,
                max_bytes,
            } => {
                self.outputs.push(Output::LoadEntries {
                    ticket,
                    first,
                    last,
                    max_bytes,
                });
            }
            Action::Apply { entries } => self.apply(&entries),
            Action::Done { id, at } => self.done(id, at),
            Action::Rejected { id, reason, payload } => {
                self.outputs.push(Output::Rejected {
                    id,
                    reason,
                    command: payload,
                });
            }
            Action::ChangeRejected { id, reason, change } => {
                self.outputs.push(Output::ChangeRejected { id, reason, change });
            }
            Action::Superseded { id } => self.outputs.push(Output::Superseded { id }),
            Action::Unknown { id } => self.outputs.push(Output::Unknown { id }),
            Action::ReadReady { id, index } => {
                if let Some(query) = self.queries.remove(&id) {
                    let answer = self.machine.query(query);
                    self.outputs.push(Output::Answered { id, index, answer });
                }
            }
            Action::ReadRejected { id, reason } => {
                self.queries.remove(&id);
                self.outputs.push(Output::ReadRejected { id, reason });
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
            Action::TransferEnded { to, outcome } => self.outputs.push(Output::TransferEnded { to, outcome }),
            Action::RoleChanged { role, term } => self.outputs.push(Output::RoleChanged { role, term }),
            Action::LeaderChanged { leader, term } => {
                self.outputs.push(Output::LeaderChanged { leader, term });
            }
            Action::MembershipChanged { at } => self.outputs.push(Output::MembershipChanged { at }),
            Action::Trace(trace) => self.outputs.push(Output::Trace(trace)),
        }
    }

    fn persist(&mut self, persist: Persist) {
        if persist.snapshot.as_ref().is_some_and(|meta| meta.withheld) {
            let nothing = Payload::from(&b""[..]);
            let snapshot = Some(nothing);
            self.outputs.push(Output::Persist { persist, snapshot });
            return;
        }
        let last = persist.snapshot.as_ref().map(|meta| meta.last);
        let mut snapshot = None;
        while snapshot.is_none()
            && last.is_some()
            && let Some(unwritten) = self.unwritten.pop_front()
        {
            // Those before it were replaced before they were handed out.
            snapshot = (Some(unwritten.last) == last).then_some(unwritten.data);
        }
        assert_eq!(
            snapshot.is_some(),
            last.is_some(),
            "the snapshot to persist is one that was taken or received"
        );
        self.outputs.push(Output::Persist { persist, snapshot });
    }

    fn apply(&mut self, entries: &[Entry]) {
        self.responses.clear();
        for entry in entries {
            if let Some(command) = entry.command() {
                let response = self.machine.apply(entry.id, command);
                self.responses.push_back((entry.id.index, response));
            }
            self.last_applied = Some(entry.id);
        }
        if let Some(last) = self.last_applied {
            let covered = Index::count(self.snapshot.as_ref().map(|snapshot| snapshot.last.index));
            if last.index.value().saturating_sub(covered) >= self.settings.every_entries {
                self.take_snapshot();
            }
        }
    }

    fn done(&mut self, id: ProposalId, at: LogId) {
        while self
            .responses
            .pop_front_if(|(index, _)| *index < at.index)
            .is_some()
        {}
        // Commands have a response; what else is proposed is a configuration.
        let output = match self.responses.pop_front_if(|(index, _)| *index == at.index) {
            Some((_, response)) => Output::Done { id, at, response },
            None => Output::Changed { id, at },
        };
        self.outputs.push(output);
    }
}
