//! Clients: what they want, whom they ask, and what they make of the answers.
//!
//! Every attempt at an operation is a call of its own: a new number, a new command, its own place in the history. So nothing has
//! to be assumed about an attempt that was given up; it may take effect at any time, or never.

use raft_core::replica::Input;
use raft_core::{Index, LogId, NodeId, Payload, ProposalId, ReadId, Rejection};

use super::{Event, Simulation, place_of};
use crate::coverage::Probe;
use crate::hash::of_bytes;
use crate::history::Happened;
use crate::nanos::Nanos;
use crate::network::Fate;
use crate::oracle::client::Outcome;
use crate::oracle::{Judgement, Oracle, count, violated};
use crate::random::{Domain, Seed};
use crate::report::Place;
use crate::schedule::{Operation, OperationKind, Schedule};
use crate::witness::Witnessed;
use crate::workload::{AnswerOf, ResponseOf, Workload};

/// How many of 10,000 attempts are made at random servers.
const ASK_ANYBODY_PERMYRIAD: u32 = 500;

/// One operation and how far it got.
#[derive(Clone, Copy, Debug)]
struct Running {
    operation: Operation,
    attempts: u32,
    /// The attempt that the client waits for.
    waiting_for: Option<u64>,
    /// Made after the heal, and tried until it succeeds.
    is_fresh: bool,
}

/// All clients.
pub(super) struct Clients {
    operations: Vec<Running>,
    /// Which operation an attempt belongs to, and which server was asked.
    attempts: Vec<(usize, usize)>,
    /// Which server each client takes for the leader.
    believed: Vec<Option<usize>>,
    /// How many fresh operations are not done.
    pub(super) fresh_waiting: usize,
}

impl Clients {
    pub(super) fn new(schedule: &Schedule) -> Self {
        let operations = planned(schedule).chain(schedule.operations.iter().copied());
        Self {
            operations: operations
                .map(|operation| Running::new(operation, false))
                .collect(),
            attempts: Vec::with_capacity(256),
            believed: vec![None; usize::from(schedule.workload.clients) + 1],
            fresh_waiting: 0,
        }
    }

    /// When each operation begins.
    pub(super) fn starts(&self) -> Vec<(usize, Nanos)> {
        self.operations
            .iter()
            .map(|running| running.operation.at)
            .enumerate()
            .collect()
    }
}

impl Running {
    const fn new(operation: Operation, is_fresh: bool) -> Self {
        Self {
            operation,
            attempts: 0,
            waiting_for: None,
            is_fresh,
        }
    }
}

/// The operations that the schedule's rule gives, each drawn under its own number.
pub(crate) fn planned(schedule: &Schedule) -> impl Iterator<Item = Operation> {
    let (plan, seed) = (schedule.workload, Seed(schedule.seed));
    (0..u64::from(plan.operations)).map(move |number| {
        let draw = seed.quick(Domain::Workload, 0, 0, number);
        let jitter = Nanos::new(draw.part(1).below(plan.interval.value().max(1)));
        let kind = if draw.part(2).chance(plan.read_permyriad) {
            OperationKind::Read
        } else {
            OperationKind::Write
        };
        Operation {
            at: plan.begin + plan.interval.times(number) + jitter,
            client: u8::try_from(draw.part(3).below(u64::from(plan.clients))).unwrap_or(0) + 1,
            kind,
            choice: draw.part(4).below(plan.choices),
        }
    })
}

impl<W: Workload> Simulation<'_, W> {
    /// Every client makes a fresh write and a fresh read, and tries until it succeeds (oracle L2).
    pub(super) fn begin_fresh_operations(&mut self) {
        for client in 1..=self.schedule.workload.clients {
            for kind in [OperationKind::Write, OperationKind::Read] {
                let operation = Operation {
                    at: self.now,
                    client,
                    kind,
                    choice: u64::from(client),
                };
                self.clients.operations.push(Running::new(operation, true));
                self.clients.fresh_waiting += 1;
                self.push(
                    self.now,
                    Event::Attempt {
                        operation: self.clients.operations.len() - 1,
                    },
                );
            }
        }
    }

    /// A client asks a server.
    pub(super) fn attempt(&mut self, cause: u64, operation: usize) {
        let allowed = self.schedule.workload.attempts;
        let Some(running) = self.clients.operations.get_mut(operation) else {
            return;
        };
        if running.attempts >= allowed && !running.is_fresh {
            self.happened(Probe::OperationGivenUp, None);
            return;
        }
        running.attempts += 1;
        let Operation {
            client, kind, choice, ..
        } = running.operation;
        let number = self.oracles.attempts.invoke(kind, choice, self.now);
        running.waiting_for = Some(number);
        if let Some(history) = &mut self.history {
            history.invoked(self.now, number, kind, choice);
        }
        let draw = self.seed.quick(Domain::Client, u64::from(client), 0, number);
        let anybody = usize::try_from(draw.below(self.servers.len() as u64)).unwrap_or(0);
        let believed = self.clients.believed.get(usize::from(client)).copied().flatten();
        // Now and then a client asks somebody else, who may take itself for the leader and be wrong.
        let believed = believed.filter(|_| !draw.part(1).chance(ASK_ANYBODY_PERMYRIAD));
        let server = believed.unwrap_or(anybody);
        self.clients.attempts.push((operation, server));
        let command = match kind {
            OperationKind::Read => None,
            OperationKind::Write => {
                let bytes = self.workload.command(choice, number);
                self.oracles.attempts.proposes(number, of_bytes(&bytes));
                Some(Payload::from(bytes))
            }
        };
        self.hash_event(20 + kind as u64, number);
        if self.tells() {
            let detail = format!("attempt {number}: {kind:?} {choice} at server {}", server + 1);
            self.tell(cause, Place::Client(client), "ask", detail);
        }
        if let Fate::Arrives { at, .. } = self
            .client_network
            .weathered(self.now, client_link(client, server))
        {
            self.push(
                at,
                Event::Request {
                    server,
                    attempt: number,
                    command,
                },
            );
        }
        self.push_after(
            self.schedule.workload.attempt_timeout,
            Event::GiveUp { attempt: number },
        );
    }

    /// A request arrives at a server.
    pub(super) fn request(
        &mut self,
        cause: u64,
        at: usize,
        attempt: u64,
        command: Option<Payload>,
    ) -> Judgement {
        let Some(server) = self.servers.get_mut(at).filter(|server| server.is_running()) else {
            return Ok(());
        };
        if server.client_cuts > 0 {
            return Ok(());
        }
        if server.pauses > 0 {
            server.missed.push_back(Event::Request {
                server: at,
                attempt,
                command,
            });
            return Ok(());
        }
        let node = server.node;
        self.hash_event(8, attempt);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(node),
                "request",
                format!("attempt {attempt}"),
            );
        }
        let input = match command {
            Some(command) => Input::Propose {
                id: ProposalId::new(attempt),
                command,
            },
            None => {
                let Some(choice) = self.oracles.attempts.find(attempt).map(|attempt| attempt.choice) else {
                    return Ok(());
                };
                Input::Read {
                    id: ReadId::new(attempt),
                    query: self.workload.query(choice),
                }
            }
        };
        self.step_request(at, input)
    }

    pub(super) fn done(
        &mut self,
        at: usize,
        id: ProposalId,
        log_id: LogId,
        response: ResponseOf<W>,
    ) -> Judgement {
        self.decided(at, id.value(), Outcome::Written { at: log_id, response }, None)
    }

    pub(super) fn turned_down(&mut self, at: usize, attempt: u64, reason: Rejection) -> Judgement {
        self.happened(Probe::RequestRejected, Some(at));
        let hint = match reason {
            Rejection::NotLeader { leader } => leader,
            _ => None,
        };
        self.decided(at, attempt, Outcome::WithoutEffect, hint)
    }

    pub(super) fn superseded(&mut self, at: usize, id: ProposalId) -> Judgement {
        self.happened(Probe::ProposalSuperseded, Some(at));
        self.decided(at, id.value(), Outcome::WithoutEffect, None)
    }

    pub(super) fn unknown(&mut self, at: usize, id: ProposalId) -> Judgement {
        self.happened(Probe::ProposalUnknown, Some(at));
        self.decided(at, id.value(), Outcome::Unknown, None)
    }

    pub(super) fn answered(
        &mut self,
        at: usize,
        id: ReadId,
        index: Index,
        answer: Witnessed<AnswerOf<W>>,
    ) -> Judgement {
        let applied = self.servers.get(at).and_then(|server| server.vitals.applied);
        if applied < Some(index) {
            let message = format!(
                "attempt {} is answered as of {index}, and only {applied:?} is applied",
                id.value()
            );
            return violated(Oracle::C2, message);
        }
        let outcome = Outcome::Read {
            at: answer.at,
            answer: answer.answer,
        };
        self.decided(at, id.value(), outcome, None)
    }

    /// A server has decided what to say; the network decides whether the client hears it.
    fn decided(&mut self, at: usize, attempt: u64, outcome: Outcome<W>, hint: Option<NodeId>) -> Judgement {
        self.oracles
            .attempts
            .decided(&self.oracles.facts, attempt, outcome)?;
        let Some(&(operation, _)) = usize::try_from(attempt)
            .ok()
            .and_then(|place| self.clients.attempts.get(place))
        else {
            return Ok(());
        };
        let cut = self.servers.get(at).is_none_or(|server| server.client_cuts > 0);
        let Some(client) = self
            .clients
            .operations
            .get(operation)
            .map(|running| running.operation.client)
        else {
            return Ok(());
        };
        if cut {
            return Ok(());
        }
        if let Fate::Arrives { at, .. } = self
            .client_network
            .weathered(self.now, client_link(client, at) + 1)
        {
            self.push(at, Event::Response { attempt, hint });
        }
        Ok(())
    }

    /// A client hears an answer.
    pub(super) fn response(&mut self, cause: u64, attempt: u64, hint: Option<NodeId>) -> Judgement {
        let Some((operation, client, server)) = self.is_waited_for(attempt) else {
            return Ok(());
        };
        self.hash_event(9, attempt);
        let outcome = self
            .oracles
            .attempts
            .find(attempt)
            .and_then(|attempt| attempt.outcome.clone());
        if self.tells() {
            let text = match &outcome {
                Some(Outcome::Written { at, response }) => format!("written at {at}: {response:?}"),
                Some(Outcome::Read { at, answer }) => {
                    format!("read after {}: {answer:?}", count(at.map(|at| at.index)))
                }
                Some(Outcome::WithoutEffect) => format!("turned down, leader {hint:?}"),
                Some(Outcome::Unknown) | None => "unknown".to_owned(),
            };
            self.tell(
                cause,
                Place::Client(client),
                "hear",
                format!("attempt {attempt}: {text}"),
            );
        }
        self.note_end(attempt, outcome.as_ref());
        match outcome {
            Some(Outcome::Written { .. } | Outcome::Read { .. }) => {
                self.oracles.attempts.returned(attempt)?;
                self.finish(operation, client, server);
                let is_write = matches!(outcome, Some(Outcome::Written { .. }));
                self.happened(
                    if is_write {
                        Probe::WriteDone
                    } else {
                        Probe::ReadDone
                    },
                    Some(server),
                );
            }
            _ => {
                self.believe(client, hint.map(place_of));
                self.push_after(self.schedule.workload.retry_after, Event::Attempt { operation });
            }
        }
        Ok(())
    }

    /// A client stops waiting, unless it has heard.
    pub(super) fn give_up(&mut self, cause: u64, attempt: u64) {
        let Some((operation, client, _)) = self.is_waited_for(attempt) else {
            return;
        };
        self.hash_event(10, attempt);
        if self.tells() {
            self.tell(
                cause,
                Place::Client(client),
                "give up",
                format!("attempt {attempt}"),
            );
        }
        self.note_end(attempt, None);
        self.happened(Probe::AttemptTimedOut, None);
        self.believe(client, None);
        self.push(self.now, Event::Attempt { operation });
    }

    /// Writes down what the client was told; nothing, if it stopped waiting.
    fn note_end(&mut self, attempt: u64, outcome: Option<&Outcome<W>>) {
        let Some(history) = &mut self.history else { return };
        let Some(made) = self.oracles.attempts.find(attempt) else {
            return;
        };
        let what = match outcome {
            Some(Outcome::Written { response, .. }) => Happened::Written(response.clone()),
            Some(Outcome::Read { answer, .. }) => Happened::Read(answer.clone()),
            Some(Outcome::WithoutEffect) => Happened::Failed,
            Some(Outcome::Unknown) | None => Happened::Unknown,
        };
        history.ended(self.now, attempt, made.kind, made.choice, what);
    }

    /// The operation, client and server of an attempt that is still waited for; it is not any more.
    fn is_waited_for(&mut self, attempt: u64) -> Option<(usize, u8, usize)> {
        let &(operation, server) = self.clients.attempts.get(usize::try_from(attempt).ok()?)?;
        let running = self.clients.operations.get_mut(operation)?;
        running.waiting_for.take_if(|waiting| *waiting == attempt)?;
        Some((operation, running.operation.client, server))
    }

    fn finish(&mut self, operation: usize, client: u8, server: usize) {
        self.believe(client, Some(server));
        if self
            .clients
            .operations
            .get(operation)
            .is_some_and(|running| running.is_fresh)
        {
            self.clients.fresh_waiting -= 1;
        }
    }

    fn believe(&mut self, client: u8, server: Option<usize>) {
        let server = server.filter(|&server| server < self.servers.len());
        if let Some(believed) = self.clients.believed.get_mut(usize::from(client)) {
            *believed = server;
        }
    }
}

/// The number of the link from a client to a server; the way back has the next number.
const fn client_link(client: u8, server: usize) -> usize {
    (client as usize % 16) * 16 + server * 2
}
