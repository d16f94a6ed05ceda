//! What is simulated: somebody's state machine, and what clients say to it.

use std::fmt::Debug;

use raft_core::replica::StateMachine;
use raft_core::sessions::SessionId;
use raft_core::{Index, LogId};

use crate::codec::Codec;
use crate::nanos::Nanos;
use crate::oracle::Violation;
use crate::schedule::{Schedule, ScheduleError, WorkloadPlan};

/// A state machine under simulation.
///
/// The simulator decides when clients act and on which of the things that there are (`choice`); the workload says
/// what that means. Three methods are enough; the others are for machines that recognise repeated requests, and for
/// workloads that know what the answers must be. Everything here must be deterministic.
pub trait Workload {
    /// The machine that is replicated.
    type Machine: StateMachine<Response: Clone + PartialEq + Debug, Answer: Clone + PartialEq + Debug>;

    /// A machine that has seen nothing.
    fn machine(&self, plan: &WorkloadPlan) -> Self::Machine;

    /// The command of one attempt. It must contain [`Call::attempt`], or something else that no other attempt has, so
    /// that every entry of the log can be traced to the attempt that caused it.
    fn command(&self, call: &Call) -> Vec<u8>;

    /// A query. Asked again of an equal machine, it must get an equal answer.
    fn query(&self, choice: u64) -> <Self::Machine as StateMachine>::Query;

    /// What schedules call it. A schedule that names another one is refused.
    fn name(&self) -> &'static str {
        ""
    }

    /// What a client does that was not answered.
    fn retry(&self, _plan: &WorkloadPlan) -> Retry {
        Retry::Anew
    }

    /// What a response means to the client that waits for it.
    fn heard(&self, _response: &ResponseOf<Self>) -> Heard {
        Heard::Done { first: None }
    }

    /// How messages between servers become bytes. Schedules that ask for it
    /// ([`Knobs::encode_messages`](crate::schedule::Knobs::encode_messages)) then send every message through it, and
    /// damage some.
    fn codec(&self) -> Option<&dyn Codec> {
        None
    }

    /// Judges a whole run at its end, with all that was committed and answered. A violation of no other oracle is one
    /// of [`Oracle::C9`](crate::Oracle::C9).
    fn check(&self, _run: &Concluded<'_, Self::Machine>) -> Result<(), Violation> {
        Ok(())
    }
}

/// One attempt of a client to have something done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The client.
    pub client: u8,
    /// On which of the things that there are.
    pub choice: u64,
    /// The request: the number of its first attempt. Attempts at the same request ask for the same thing.
    pub request: u64,
    /// The number of the attempt, unique in a run.
    pub attempt: u64,
    /// When the client makes this attempt.
    pub at: Nanos,
    /// When it made the request's first one.
    pub made: Nanos,
    /// Its place in the client's session, for [`Retry::InSession`].
    pub session: Option<SessionCall>,
}

/// What an attempt is to a session.
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
        /// Which.
        session: SessionId,
        /// Its number there.
        sequence: u64,
        /// The lowest number whose answer the client has not heard.
        first_unanswered: u64,
    },
}

/// What a client does that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It makes another request. What became of the first stays unknown: it may take effect at any time, or never.
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
        /// Where an earlier attempt had its effect, if this one had none of its own.
        first: Option<Index>,
    },
    /// This attempt had no effect, and another one may have.
    Again,
    /// The client has this session now.
    Opened(SessionId),
    /// The client's session is no more, and this attempt had no effect.
    SessionLost,
    /// No sound machine says this to a client that waits (oracle C6).
    Never,
}

/// A committed command and what the machine said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<R> {
    /// Where it stands in the log.
    pub at: LogId,
    /// The attempt that proposed it.
    pub call: Call,
    /// What every server's machine said.
    pub response: R,
}

/// A run that is over.
pub struct Concluded<'a, M: StateMachine> {
    /// What was asked for.
    pub plan: &'a WorkloadPlan,
    /// All committed commands, in the order of the log.
    pub log: &'a [Applied<M::Response>],
    /// A machine that has applied them.
    pub machine: &'a M,
}

/// What the workload's machine answers to a command.
pub(crate) type ResponseOf<W> = <<W as Workload>::Machine as StateMachine>::Response;
/// What the workload's machine answers to a query.
pub(crate) type AnswerOf<W> = <<W as Workload>::Machine as StateMachine>::Answer;

/// Whether the schedule can be run, with this workload.
pub(crate) fn fits<W: Workload>(schedule: &Schedule, workload: &W) -> Result<(), ScheduleError> {
    schedule.validate()?;
    match schedule.machine.is_empty() || schedule.machine == workload.name() {
        true => Ok(()),
        false => Err(ScheduleError::OtherWorkload {
            wanted: schedule.machine.clone(),
            given: workload.name(),
        }),
    }
}
