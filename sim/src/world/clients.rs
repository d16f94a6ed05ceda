//! Clients: which operations they want done, which servers they ask, and when they ask again.
//!
//! An operation is attempted until it is done or the client gives up. The workload decides whether two attempts are two
//! requests or one and the same (see [`Retry`](crate::Retry)). Where every attempt is a request of its own, nothing is
//! assumed about one that was given up: it may take effect at any time, or never.

mod requests;

use raft_core::replica::Input;
use raft_core::sessions::SessionClient;
use raft_core::{Event as CoreEvent, Payload, ProposalId, ReadId, ReadMode};

use super::heal::Phase;
use super::observe::Taken;
use super::{Event, Simulation};
use crate::coverage::Probe;
use crate::nanos::Nanos;
use crate::network::Fate;
use crate::oracle::Judgement;
use crate::oracle::client::Outcome;
use crate::random::{Domain, Seed};
use crate::report::Place;
use crate::schedule::{OLDER, Operation, OperationKind, Programs, Schedule, ScheduleError};
use crate::witness::{for_program, program_and_command};
use crate::workload::{Asks, SessionCall, Workload};

/// How many of 10,000 attempts go to a random server.
const RANDOM_SERVER_PERMYRIAD: u32 = 500;

/// One operation and its progress.
#[derive(Clone, Copy, Debug)]
struct Running {
    operation: Operation,
    attempts: u32,
    /// The attempt that the client waits for.
    waiting_for: Option<u64>,
    /// The current request, from its first attempt until its outcome is known, or it is given up.
    request: Option<Request>,
    /// Whether it was made after the heal, and is tried until it succeeds.
    is_fresh: bool,
}

/// One request.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// The number of its first attempt.
    number: u64,
    /// When that attempt was made.
    made: Nanos,
    /// What the client remembered then.
    memory: u64,
    /// Its number in the client's session, and its place there.
    session: Option<SessionCall>,
    /// Whether an attempt may have had an effect that the client does not know of.
    may_have_effect: bool,
}

/// All clients.
pub(super) struct Clients {
    operations: Vec<Running>,
    /// For each attempt, its operation and the server that was asked.
    attempts: Vec<(usize, usize)>,
    /// For each client, the server that it takes for the leader.
    believed: Vec<Option<usize>>,
    /// The session of each client.
    sessions: Vec<Option<SessionClient>>,
    /// What each client remembers.
    memories: Vec<u64>,
    /// How many fresh operations are not done.
    pub(super) fresh_waiting: usize,
    /// For each attempt, the server that has accepted it, and that server's boot.
    pub(super) taken: Vec<Option<Taken>>,
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
            sessions: vec![None; usize::from(schedule.workload.clients) + 1],
            memories: vec![0; usize::from(schedule.workload.clients) + 1],
            fresh_waiting: 0,
            taken: Vec::with_capacity(256),
        }
    }

    /// Returns when each operation begins.
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
            request: None,
            is_fresh,
        }
    }
}

/// Returns the operations that the schedule's rule gives, each drawn under its own number.
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
    /// Makes every client begin a fresh write and a fresh read, which it tries until it succeeds (oracle L2).
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

    /// Which server has taken this attempt, and when, if one has.
    pub(super) fn taken(&self, attempt: u64) -> Option<Taken> {
        let place = usize::try_from(attempt).ok()?;
        self.clients.taken.get(place).copied().flatten()
    }

    /// What a client whose fresh operation still waits was last refused, and why.
    pub(super) fn refusal_of_fresh(&self) -> Option<String> {
        let mut is_served = vec![false; self.clients.operations.len()];
        for (place, &(operation, server)) in self.clients.attempts.iter().enumerate().rev() {
            let number = place as u64;
            let is_fresh = self
                .clients
                .operations
                .get(operation)
                .is_some_and(|running| running.is_fresh);
            let (Some(is_served), Some(attempt)) = (
                is_served.get_mut(operation).filter(|_| is_fresh),
                self.oracles.attempts.find(number),
            ) else {
                continue;
            };
            match &attempt.outcome {
                Some(Outcome::Written { .. } | Outcome::Read { .. }) => *is_served = true,
                Some(Outcome::WithoutEffect(refusal)) if !*is_served => {
                    let (asks, server) = (attempt.asks(), server + 1);
                    return Some(format!(
                        "attempt {number} ({asks}, to server {server}) was {refusal}"
                    ));
                }
                _ => {}
            }
        }
        None
    }

    /// A client asks a server.
    pub(super) fn attempt(&mut self, cause: u64, operation: usize) {
        let allowed = self.schedule.workload.attempts;
        let Some(running) = self.clients.operations.get_mut(operation) else {
            return;
        };
        if running.attempts >= allowed && !running.is_fresh {
            self.end_request(operation, None);
            self.happened(Probe::OperationGivenUp, None);
            return;
        }
        if running.attempts == 0 {
            let Operation {
                client, kind, choice, ..
            } = running.operation;
            let memory = self.clients.memories.get(usize::from(client)).copied();
            let asks = Asks { kind, choice };
            let asks = self.workload.asks(client, memory.unwrap_or(0), asks);
            (running.operation.kind, running.operation.choice) = (asks.kind, asks.choice);
        }
        running.attempts += 1;
        let Operation {
            client, kind, choice, ..
        } = running.operation;
        let number = self.oracles.attempts.len() as u64;
        let call = self.call(operation, number);
        let program = self.schedule.command_of(self.seed, number, self.now);
        let command = (kind == OperationKind::Write).then(|| {
            let command = self.workload.command(&call);
            Payload::from(match program {
                Some(program) => for_program(program, &command),
                None => command,
            })
        });
        if let Some(bytes) = command.as_ref().map(|command| command.len() as u64)
            && bytes > self.largest_command
        {
            self.misfit = Some(ScheduleError::LargeCommand {
                attempt: number,
                bytes,
                stated: self.largest_command,
            });
            self.phase = Phase::Over;
            return;
        }
        self.oracles.attempts.invoke(call, command.as_deref());
        if let Some(history) = &mut self.history
            && call.request == number
            && matches!(call.session, None | Some(SessionCall::Apply { .. }))
        {
            history.invoked(self.now, &call, kind);
        }
        let server = self.choose_server(client, number);
        self.clients.attempts.push((operation, server));
        self.clients.taken.push(None);
        self.hash_event(20 + kind as u64, number);
        if self.tells() {
            let again = match call.request == number {
                true => String::new(),
                false => format!(", again for request {}", call.request),
            };
            let detail = format!(
                "attempt {number}: {kind:?} {choice} at server {}{again}",
                server + 1
            );
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

    /// Chooses the server to ask: the one that the client takes for the leader, and now and then another, which may
    /// wrongly believe that it leads.
    fn choose_server(&self, client: u8, attempt: u64) -> usize {
        let draw = self.seed.quick(Domain::Client, u64::from(client), 0, attempt);
        let random_server = usize::try_from(draw.below(self.servers.len() as u64)).unwrap_or(0);
        let believed = self.clients.believed.get(usize::from(client)).copied().flatten();
        believed
            .filter(|_| !draw.part(1).chance(RANDOM_SERVER_PERMYRIAD))
            .unwrap_or(random_server)
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
        if server.is_busy() {
            server.missed.push_back(Event::Request {
                server: at,
                attempt,
                command,
            });
            return Ok(());
        }
        let (node, boot, ticks) = (server.node, server.boot, server.ticks_by(self.now));
        if let Some(taken) = usize::try_from(attempt)
            .ok()
            .and_then(|attempt| self.clients.taken.get_mut(attempt))
        {
            *taken = Some(Taken {
                place: at,
                boot,
                at: self.now,
                ticks,
            });
        }
        self.quiet.becomes_busy();
        self.hash_event(8, attempt);
        if self.tells() {
            self.tell(
                cause,
                Place::Server(node),
                "request",
                format!("attempt {attempt}"),
            );
        }
        if let Some(command) = &command
            && self.is_too_early(at, command)
        {
            return self.refused_by_host(at, attempt);
        }
        let input = match command {
            Some(command) => Input::Event(CoreEvent::Propose {
                id: ProposalId::new(attempt),
                payload: command,
            }),
            None => {
                let Some(choice) = self
                    .oracles
                    .attempts
                    .find(attempt)
                    .map(|attempt| attempt.call.choice)
                else {
                    return Ok(());
                };
                let draw = self.seed.quick(Domain::Client, u64::from(u8::MAX), 1, attempt);
                let mode = match draw.chance(self.schedule.workload.lease_read_permyriad) {
                    true => ReadMode::Lease,
                    false => ReadMode::Quorum,
                };
                self.read_arrives(at, attempt, mode);
                Input::Read {
                    id: ReadId::new(attempt),
                    mode,
                    query: self.workload.query(choice),
                }
            }
        };
        self.step_request(at, input)
    }

    /// Whether the host must not propose the command yet: its level is not in force.
    fn is_too_early(&self, at: usize, command: &[u8]) -> bool {
        let replica = self.servers.get(at).and_then(|server| server.replica.as_ref());
        let Some(replica) = replica.filter(|_| self.schedule.knobs.programs == Some(Programs::Levelled))
        else {
            return false;
        };
        let (program, _) = program_and_command(command);
        program > replica.raft().level().value().max(OLDER)
    }

    /// A client stops waiting, unless it was answered.
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
        self.ended_unknown(operation, attempt);
        self.happened(Probe::AttemptTimedOut, None);
        self.believe(client, None);
        self.push(self.now, Event::Attempt { operation });
    }

    /// Returns the client that made an attempt.
    pub(super) fn client_of(&self, attempt: u64) -> Option<u8> {
        let &(operation, _) = self.clients.attempts.get(usize::try_from(attempt).ok()?)?;
        Some(self.clients.operations.get(operation)?.operation.client)
    }

    /// Takes the operation, client and server of an attempt that its client still waits for, and ends the wait.
    pub(super) fn is_waited_for(&mut self, attempt: u64) -> Option<(usize, u8, usize)> {
        let &(operation, server) = self.clients.attempts.get(usize::try_from(attempt).ok()?)?;
        let running = self.clients.operations.get_mut(operation)?;
        running.waiting_for.take_if(|waiting| *waiting == attempt)?;
        Some((operation, running.operation.client, server))
    }

    pub(super) fn finish(&mut self, operation: usize, client: u8, server: usize) {
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

    pub(super) fn believe(&mut self, client: u8, server: Option<usize>) {
        let server = server.filter(|&server| server < self.servers.len());
        if let Some(believed) = self.clients.believed.get_mut(usize::from(client)) {
            *believed = server;
        }
    }
}

/// Returns the number of the link from a client to a server; the link back has the next number.
pub(super) const fn client_link(client: u8, server: usize) -> usize {
    (client as usize % 16) * 16 + server * 2
}
