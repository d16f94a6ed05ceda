//! What is simulated: a user's state machine, and what clients ask of it.

use std::fmt::Debug;
use std::io;

use raft_core::replica::StateMachine;
use raft_core::sessions::SessionId;
use raft_core::{Index, LogId};

use crate::codec::{Codec, CoreCodec};
use crate::history::{HistoryEvent, write_edn};
use crate::linearizability::Opinion;
use crate::nanos::Nanos;
use crate::oracle::Violation;
use crate::schedule::{OperationKind, Schedule, ScheduleError, WorkloadPlan};

/// A state machine under simulation.
///
/// The simulator decides when clients act and on which of the workload's objects (`choice`); the workload decides what
/// that means. Three methods are enough, for commands of up to a kilobyte ([`Sizes`]). The others are for machines that
/// are larger or smaller, that are slow, or that recognise repeated requests, and for workloads that know what the
/// answers must be. Everything here must be deterministic.
pub trait Workload {
    /// The machine that is replicated.
    type Machine: StateMachine<Response: Clone + PartialEq + Debug, Answer: Clone + PartialEq + Debug>;

    /// Makes a fresh machine.
    fn machine(&self, plan: &WorkloadPlan) -> Self::Machine;

    /// Returns the command of one attempt. It should contain [`Call::attempt`], or something else that no other attempt
    /// has, so that every entry of the log can be traced to the attempt that caused it. Attempts whose commands are
    /// equal may each be committed once, and a command that is committed twice is then noticed only if there are more
    /// entries than attempts.
    fn command(&self, call: &Call) -> Vec<u8>;

    /// Returns a query. Asked again of an equal machine, it must get an equal answer.
    fn query(&self, choice: u64) -> <Self::Machine as StateMachine>::Query;

    /// Returns the name by which schedules refer to the workload. A schedule that names another one is refused.
    fn name(&self) -> &'static str {
        ""
    }

    /// Returns how large commands, responses and snapshots are under this plan. [`Profile::schedule_for`] makes
    /// schedules that fit them. A command that is larger than this says is refused ([`ScheduleError::LargeCommand`]).
    ///
    /// State the true sizes even if they are small: the smaller the largest command, the lower the limits that can be
    /// drawn.
    ///
    /// [`Profile::schedule_for`]: crate::Profile::schedule_for
    fn sizes(&self, _plan: &WorkloadPlan) -> Sizes {
        Sizes::default()
    }

    /// How long a machine takes to apply an entry, in simulated time. Whatever reaches its server meanwhile has to wait,
    /// as on a host that applies in its main loop. [`Profile::schedule_for`] makes clients so slow that servers keep up.
    ///
    /// [`Profile::schedule_for`]: crate::Profile::schedule_for
    fn apply_takes(&self) -> Nanos {
        Nanos::ZERO
    }

    /// Returns what a client remembers from now on, after it was told this about its request. With [`Call::memory`] its
    /// later requests can depend on what it read: a conditional can expect the version that the client saw last.
    ///
    /// One number is enough for a version, a value, or the place in a script. Clients of a cluster remember nothing that
    /// they were not told.
    fn remember(&self, memory: u64, _call: &Call, _told: Told<'_, Self>) -> u64
    where
        Self: Sized,
    {
        memory
    }

    /// Returns what a client asks for, in place of what its schedule drew. With what it remembers, a client can follow
    /// a script: read, then write what it read, then read again.
    fn asks(&self, _client: u8, _memory: u64, drawn: Asks) -> Asks {
        drawn
    }

    /// What a client does when it was not answered.
    fn retry(&self, _plan: &WorkloadPlan) -> Retry {
        Retry::Anew
    }

    /// What a response means to the client that waits for it.
    fn heard(&self, _response: &ResponseOf<Self>) -> Heard {
        Heard::Done { first: None }
    }

    /// Returns the codec for messages between servers: that of the library, unless the host has its own. Schedules that
    /// ask for it ([`Knobs::encode_messages`](crate::schedule::Knobs::encode_messages)) send every message through it,
    /// and damage some. A workload without a codec cannot be run with them.
    fn codec(&self) -> Option<&dyn Codec> {
        Some(&CoreCodec)
    }

    /// Judges what clients saw, without the log (oracle C3), in at most so many steps for each object: usually by
    /// [`linearizable`](crate::linearizable). Returns `None` for a workload without a model to search with.
    fn opinion(&self, _history: &[HistoryEvent<Self>], _steps: u64) -> Option<Opinion>
    where
        Self: Sized,
    {
        None
    }

    /// Writes what clients saw, for other people's checkers. By default in Jepsen's form, with responses and answers as
    /// `Debug` prints them.
    ///
    /// # Errors
    ///
    /// The text cannot be written.
    fn write_history(&self, history: &[HistoryEvent<Self>], out: &mut dyn io::Write) -> io::Result<()>
    where
        Self: Sized,
    {
        write_edn(history, out)
    }

    /// Judges a whole run at its end, with everything that was committed and answered. Report a violation as one of
    /// [`Oracle::C9`](crate::Oracle::C9) unless another oracle fits.
    fn check(&self, _run: &Concluded<'_, Self::Machine>) -> Result<(), Violation> {
        Ok(())
    }
}

/// How large what a workload handles is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The largest command.
    pub command_bytes: u64,
    /// The largest response, encoded as a session keeps it. It counts only inside
    /// [`WithSessions`](crate::WithSessions).
    pub response_bytes: u64,
    /// A large snapshot. This one is no limit: a snapshot that is larger takes more messages.
    pub snapshot_bytes: u64,
}

impl Default for Sizes {
    /// Returns commands and responses of up to 1 KiB, and snapshots of 4 KiB.
    fn default() -> Self {
        Self {
            command_bytes: 1 << 10,
            response_bytes: 1 << 10,
            snapshot_bytes: 4 << 10,
        }
    }
}

/// One attempt of a client at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The client.
    pub client: u8,
    /// The object that the attempt is about.
    pub choice: u64,
    /// The request: the number of its first attempt. Attempts at the same request ask for the same thing.
    pub request: u64,
    /// The number of the attempt, unique in a run.
    pub attempt: u64,
    /// When the client makes this attempt.
    pub at: Nanos,
    /// When it made the request's first one.
    pub made: Nanos,
    /// What the client remembered when it made the first one ([`Workload::remember`]); 0 to begin with.
    pub memory: u64,
    /// The attempt's role in the client's session, for [`Retry::InSession`].
    pub session: Option<SessionCall>,
}

/// What a client was told.
pub enum Told<'a, W: Workload> {
    /// The machine's response to its command.
    Response(&'a ResponseOf<W>),
    /// The machine's answer to its query.
    Answer(&'a AnswerOf<W>),
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asks {
    /// A command or a query.
    pub kind: OperationKind,
    /// The object.
    pub choice: u64,
}

/// An attempt's role in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCall {
    /// It opens one.
    Open,
    /// It uses one, and asks for nothing.
    KeepAlive(SessionId),
    /// It ends one.
    Close(SessionId),
    /// It is a request in one.
    Apply {
        /// The session.
        session: SessionId,
        /// The request's number in it.
        sequence: u64,
        /// The lowest number whose answer the client has not received.
        first_unanswered: u64,
    },
}

/// What a client does when it was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It makes another request. The outcome of the first stays unknown: it may take effect at any time, or never.
    Anew,
    /// It repeats the request, and the machine recognises it.
    Same,
    /// It repeats the request in its session, and opens a session first if it has none.
    InSession,
}

/// What a response means to the client that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The request is done.
    Done {
        /// Where an earlier attempt took effect, if this one had no effect of its own.
        first: Option<Index>,
    },
    /// This attempt had no effect, and another one may have.
    Again,
    /// The client has this session now.
    Opened(SessionId),
    /// The client's session has ended, and this attempt had no effect.
    SessionLost,
    /// A sound machine never gives this response to a client that waits (oracle C6).
    Never,
}

/// A committed command and the machine's response to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<R> {
    /// Its position in the log.
    pub at: LogId,
    /// The attempt that proposed it.
    pub call: Call,
    /// The response of every server's machine.
    pub response: R,
}

/// A run that is over.
pub struct Concluded<'a, M: StateMachine> {
    /// The workload's plan.
    pub plan: &'a WorkloadPlan,
    /// All committed commands, in the order of the log.
    pub log: &'a [Applied<M::Response>],
    /// A machine that has applied them.
    pub machine: &'a M,
}

/// The response of the workload's machine to a command.
pub(crate) type ResponseOf<W> = <<W as Workload>::Machine as StateMachine>::Response;
/// The answer of the workload's machine to a query.
pub(crate) type AnswerOf<W> = <<W as Workload>::Machine as StateMachine>::Answer;

/// Whether the schedule can be run with this workload.
pub(crate) fn fits<W: Workload>(schedule: &Schedule, workload: &W) -> Result<(), ScheduleError> {
    schedule.validate()?;
    if !schedule.machine.is_empty() && schedule.machine != workload.name() {
        return Err(ScheduleError::OtherWorkload {
            wanted: schedule.machine.clone(),
            given: workload.name(),
        });
    }
    // Without its codec the same schedule would be another run, and its seed would name two.
    if schedule.knobs.encode_messages && workload.codec().is_none() {
        return Err(ScheduleError::NoCodec {
            workload: workload.name(),
        });
    }
    // A command that fits into no message is refused for ever, which says nothing about Raft.
    let (limit, command_bytes) = (
        schedule.knobs.message_bytes,
        schedule.largest_command(workload.sizes(&schedule.workload)),
    );
    if limit < command_bytes {
        return Err(ScheduleError::SmallMessages { limit, command_bytes });
    }
    Ok(())
}
