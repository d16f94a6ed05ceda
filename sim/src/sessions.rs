//! Exactly-once clients for any workload: [`raft_core::sessions`] around its machine, where the schedule asks for it.
//!
//! Clients open a session, number their requests, and repeat a request under its number until it is answered. Oracle C6
//! judges the results by a model of sessions that shares only the rules with the library's.

mod model;

use raft_core::replica::{SnapshotError, StateMachine};
use raft_core::sessions::{Outcome, SessionCommand, SessionLimits, SessionRequest, Sessions, StoredResponse};
use raft_core::{Halt, LogId};

use crate::codec::Codec;
use crate::history::{Happened, HistoryEvent};
use crate::linearizability::Opinion;
use crate::nanos::Nanos;
use crate::oracle::Violation;
use crate::schedule::{SessionPlan, WorkloadPlan};
use crate::witness::Witness;
use crate::workload::{
    AnswerOf, Applied, Asks, Call, Concluded, Heard, ResponseOf, Retry, SessionCall, Sizes, Told, Workload,
};

/// A workload whose clients use sessions in the schedules that have [`WorkloadPlan::sessions`]. In the other schedules
/// every attempt is a request of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct WithSessions<W>(
    /// The workload inside.
    pub W,
);

/// The machine of [`WithSessions`].
pub struct Machine<M: StateMachine>(Form<M>);

enum Form<M: StateMachine> {
    Plain(M),
    /// The witness records how often the machine inside was really told to apply something.
    Sessions(Sessions<Witness<M>>),
}

/// The response of [`WithSessions`]'s machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<R> {
    /// The response of the machine inside, where there are no sessions.
    Plain(R),
    /// The session's response.
    Session(Outcome<R>),
}

impl<R> Reply<R> {
    /// The response of the machine inside, given now or when the request was applied.
    pub const fn response(&self) -> Option<&R> {
        match self {
            Self::Plain(response) => Some(response),
            Self::Session(outcome) => outcome.response(),
        }
    }
}

impl SessionPlan {
    fn limits(&self) -> SessionLimits {
        SessionLimits {
            sessions: usize::try_from(self.sessions).unwrap_or(usize::MAX),
            outcomes: usize::try_from(self.outcomes).unwrap_or(usize::MAX),
            lifetime: millis(self.lifetime.value()),
        }
    }
}

const fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}

/// How far the clock of each client lags that of the client before it, so that time in the log runs backwards now and
/// then.
const LAG_MILLIS: u64 = 40;

/// What a session's command has besides the command inside: version, kind, time, session, and two numbers of requests.
const COMMAND_HEADER_BYTES: u64 = 34;

/// What a snapshot has for a session, and for each outcome in it, besides the response: not more.
const OUTCOME_BYTES: u64 = 32;

/// How many outcomes a session has, in most runs.
const USUAL_OUTCOMES: u32 = 4;

/// Returns the reading of the client's clock, in milliseconds.
fn stamp(call: &Call) -> u64 {
    millis(call.at.value()).saturating_sub(u64::from(call.client % 4) * LAG_MILLIS)
}

impl<M: StateMachine<Response: StoredResponse>> StateMachine for Machine<M> {
    type Response = Reply<M::Response>;
    type Query = M::Query;
    type Answer = M::Answer;

    fn apply(&mut self, at: LogId, command: &[u8]) -> Result<Reply<M::Response>, Halt> {
        Ok(match &mut self.0 {
            Form::Plain(machine) => Reply::Plain(machine.apply(at, command)?),
            Form::Sessions(sessions) => Reply::Session(sessions.apply(at, command)?),
        })
    }

    fn query(&self, query: M::Query) -> M::Answer {
        match &self.0 {
            Form::Plain(machine) => machine.query(query),
            Form::Sessions(sessions) => sessions.query(query).answer,
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        match &self.0 {
            Form::Plain(machine) => machine.snapshot(),
            Form::Sessions(sessions) => sessions.snapshot(),
        }
    }

    fn restore(&self, snapshot: &[u8]) -> Result<Self, SnapshotError> {
        Ok(Self(match &self.0 {
            Form::Plain(machine) => Form::Plain(machine.restore(snapshot)?),
            Form::Sessions(sessions) => Form::Sessions(sessions.restore(snapshot)?),
        }))
    }
}

impl<W: Workload> Workload for WithSessions<W>
where
    ResponseOf<W>: StoredResponse,
    AnswerOf<W>: Clone,
{
    type Machine = Machine<W::Machine>;

    fn machine(&self, plan: &WorkloadPlan) -> Self::Machine {
        let machine = self.0.machine(plan);
        Machine(match plan.sessions {
            None => Form::Plain(machine),
            Some(sessions) => Form::Sessions(Sessions::new(Witness::alone(machine), sessions.limits())),
        })
    }

    fn command(&self, call: &Call) -> Vec<u8> {
        let command;
        let request = match call.session {
            None => return self.0.command(call),
            Some(SessionCall::Open) => SessionRequest::Open,
            Some(SessionCall::KeepAlive(session)) => SessionRequest::KeepAlive { session },
            Some(SessionCall::Close(session)) => SessionRequest::Close { session },
            Some(SessionCall::Apply {
                session,
                sequence,
                first_unanswered,
            }) => {
                command = self.0.command(call);
                SessionRequest::Apply {
                    session,
                    sequence,
                    first_unanswered,
                    command: &command,
                }
            }
        };
        let time = stamp(call);
        SessionCommand { time, request }.encode()
    }

    fn query(&self, choice: u64) -> <W::Machine as StateMachine>::Query {
        self.0.query(choice)
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn sizes(&self, plan: &WorkloadPlan) -> Sizes {
        let inside = self.0.sizes(plan);
        let Some(sessions) = plan.sessions else {
            return inside;
        };
        // Usually, each client has one session, with the outcomes of its latest requests.
        let outcomes = u64::from(sessions.outcomes.min(USUAL_OUTCOMES));
        let outcome_bytes = inside.response_bytes.saturating_add(OUTCOME_BYTES);
        let session_bytes = outcome_bytes
            .saturating_mul(outcomes)
            .saturating_add(OUTCOME_BYTES);
        let sessions_bytes = session_bytes.saturating_mul(u64::from(plan.clients));
        Sizes {
            command_bytes: inside.command_bytes.saturating_add(COMMAND_HEADER_BYTES),
            response_bytes: outcome_bytes,
            snapshot_bytes: inside.snapshot_bytes.saturating_add(sessions_bytes),
        }
    }

    fn apply_takes(&self) -> Nanos {
        self.0.apply_takes()
    }

    fn remember(&self, memory: u64, call: &Call, told: Told<'_, Self>) -> u64 {
        let told = match told {
            Told::Answer(answer) => Told::Answer(answer),
            Told::Response(reply) => match reply.response() {
                Some(response) => Told::Response(response),
                None => return memory,
            },
        };
        self.0.remember(memory, call, told)
    }

    fn asks(&self, client: u8, memory: u64, drawn: Asks) -> Asks {
        self.0.asks(client, memory, drawn)
    }

    /// The opinion of the workload inside: to clients, sessions change nothing but that a request takes effect once.
    fn opinion(&self, history: &[HistoryEvent<Self>], steps: u64) -> Option<Opinion> {
        let inside: Vec<HistoryEvent<W>> = history.iter().map(HistoryEvent::inside).collect();
        self.0.opinion(&inside, steps)
    }

    fn codec(&self) -> Option<&dyn Codec> {
        self.0.codec()
    }

    fn retry(&self, plan: &WorkloadPlan) -> Retry {
        match plan.sessions {
            None => self.0.retry(plan),
            Some(_) => Retry::InSession,
        }
    }

    fn heard(&self, response: &ResponseOf<Self>) -> Heard {
        match response {
            Reply::Plain(response) | Reply::Session(Outcome::Fresh(response)) => self.0.heard(response),
            Reply::Session(Outcome::Repeated { first, .. }) => Heard::Done {
                first: Some(first.index),
            },
            Reply::Session(Outcome::Opened { session }) => Heard::Opened(*session),
            Reply::Session(Outcome::NoSession { .. }) => Heard::SessionLost,
            // The client's own request comes after that.
            Reply::Session(Outcome::TooManyOutcomes { .. } | Outcome::Alive | Outcome::Closed) => {
                Heard::Again
            }
            Reply::Session(Outcome::Stale { .. } | Outcome::Malformed) => Heard::Never,
        }
    }

    fn check(&self, run: &Concluded<'_, Self::Machine>) -> Result<(), Violation> {
        let plan = run.plan;
        let log: Vec<Applied<ResponseOf<W>>>;
        let machine = match (&run.machine.0, plan.sessions) {
            (Form::Sessions(sessions), Some(limits)) => {
                log = model::judge(&self.0, plan, limits, run.log, sessions.machine())?;
                sessions.machine().machine()
            }
            (Form::Plain(machine), _) => {
                let plain = |applied: &Applied<ResponseOf<Self>>| {
                    Some(Applied {
                        at: applied.at,
                        call: applied.call,
                        response: applied.response.response()?.clone(),
                    })
                };
                log = run.log.iter().filter_map(plain).collect();
                machine
            }
            // The form of a machine follows from its plan.
            (Form::Sessions(_), None) => return Ok(()),
        };
        let log = &log;
        self.0.check(&Concluded { plan, log, machine })
    }
}
impl<W: Workload<Machine: StateMachine<Response: StoredResponse>>> HistoryEvent<WithSessions<W>> {
    /// The same line, without the session around the response.
    fn inside(&self) -> HistoryEvent<W> {
        HistoryEvent {
            process: self.process,
            at: self.at,
            attempt: self.attempt,
            kind: self.kind,
            choice: self.choice,
            memory: self.memory,
            what: match &self.what {
                Happened::Invoked => Happened::Invoked,
                Happened::Written(reply) => match reply.response() {
                    Some(response) => Happened::Written(response.clone()),
                    None => Happened::Unknown,
                },
                Happened::Read(answer) => Happened::Read(answer.clone()),
                Happened::Failed => Happened::Failed,
                Happened::Unknown => Happened::Unknown,
            },
        }
    }
}
