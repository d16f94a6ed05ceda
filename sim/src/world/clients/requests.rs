//! Requests: which attempts ask for the same thing, and when the outcome is known.

use raft_core::sessions::{SessionClient, SessionId};

use super::{Clients, Request, Running};
use crate::history::Happened;
use crate::random::{Domain, Draw};
use crate::schedule::OperationKind;
use crate::workload::{Call, Retry, SessionCall, Told, Workload};
use crate::world::{Event, Simulation};

/// How many of 10,000 attempts only keep the session alive, and how many end it first.
const KEEP_ALIVE_PERMYRIAD: u32 = 300;
const CLOSE_PERMYRIAD: u32 = 300;

impl<W: Workload> Simulation<'_, W> {
    /// Makes an attempt's call: a new request, or the same as the attempt before it.
    pub(super) fn call(&mut self, operation: usize, attempt: u64) -> Call {
        let retry = self.workload.retry(&self.schedule.workload);
        let seed = self.seed;
        let Clients {
            operations,
            sessions,
            memories,
            ..
        } = &mut self.clients;
        let mut call = Call {
            client: 0,
            choice: 0,
            request: attempt,
            attempt,
            at: self.now,
            made: self.now,
            memory: 0,
            session: None,
        };
        let Some(running) = operations.get_mut(operation) else {
            return call;
        };
        running.waiting_for = Some(attempt);
        (call.client, call.choice) = (running.operation.client, running.operation.choice);
        call.memory = memories.get(usize::from(call.client)).copied().unwrap_or(0);
        let begun = Request {
            number: attempt,
            made: self.now,
            memory: call.memory,
            session: None,
            may_have_effect: false,
        };
        let begun = match (running.operation.kind, retry) {
            (OperationKind::Read, _) | (_, Retry::Anew) => {
                running.request = None;
                begun
            }
            (OperationKind::Write, Retry::Same) => begun,
            (OperationKind::Write, Retry::InSession) if running.request.is_none() => {
                let Some(known) = sessions.get_mut(usize::from(call.client)) else {
                    return call;
                };
                match in_session(
                    known,
                    seed.quick(Domain::Client, u64::from(call.client), 1, attempt),
                ) {
                    session @ SessionCall::Apply { .. } => Request {
                        session: Some(session),
                        ..begun
                    },
                    session => {
                        call.session = Some(session);
                        return call;
                    }
                }
            }
            (OperationKind::Write, Retry::InSession) => begun,
        };
        let request = running.request.get_or_insert(begun);
        (call.request, call.made, call.session) = (request.number, request.made, request.session);
        call.memory = request.memory;
        // With every attempt the client reports the answers that it has received meanwhile.
        if let (
            Some(SessionCall::Apply {
                session,
                sequence,
                first_unanswered,
            }),
            Some(Some(client)),
        ) = (&mut call.session, sessions.get(usize::from(call.client)))
            && client.session() == *session
        {
            *first_unanswered = client.first_unanswered().min(*sequence);
        }
        call
    }

    /// Records that an attempt may have had an effect of which its client will never be told.
    pub(in crate::world) fn ended_unknown(&mut self, operation: usize, attempt: u64) {
        self.set_may_have_effect(operation);
        self.attempt_ended(operation, attempt, Happened::Unknown);
    }

    fn set_may_have_effect(&mut self, operation: usize) {
        if let Some(running) = self.clients.operations.get_mut(operation)
            && let Some(request) = &mut running.request
        {
            request.may_have_effect = true;
        }
    }

    /// Records how an attempt ended, where every attempt is a request of its own.
    pub(in crate::world) fn attempt_ended(&mut self, operation: usize, attempt: u64, what: Happened<W>) {
        let is_shared = self
            .clients
            .operations
            .get(operation)
            .is_some_and(|running| self.is_repeated(running));
        if !is_shared {
            self.note_end(attempt, what);
        }
    }

    fn is_repeated(&self, running: &Running) -> bool {
        running.operation.kind == OperationKind::Write
            && self.workload.retry(&self.schedule.workload) != Retry::Anew
    }

    /// Ends a request, which was answered or is no longer tried. Returns whether it may have had an effect that the
    /// client does not know of.
    pub(in crate::world) fn end_request(&mut self, operation: usize, heard: Option<Happened<W>>) -> bool {
        let Some(running) = self.clients.operations.get_mut(operation) else {
            return false;
        };
        let Some(request) = running.request.take() else {
            return false;
        };
        let client = running.operation.client;
        if let (
            Some(SessionCall::Apply {
                session, sequence, ..
            }),
            Some(Some(client)),
        ) = (
            request.session,
            self.clients.sessions.get_mut(usize::from(client)),
        ) && client.session() == session
        {
            client.answered(sequence);
        }
        let is_shared = self
            .clients
            .operations
            .get(operation)
            .is_some_and(|running| self.is_repeated(running));
        let is_unknown = heard.is_none() && request.may_have_effect;
        if is_shared {
            let what = heard.unwrap_or(match request.may_have_effect {
                true => Happened::Unknown,
                false => Happened::Failed,
            });
            self.note_end(request.number, what);
        }
        is_unknown
    }

    /// Lets a client remember what it was told.
    pub(in crate::world) fn remember(&mut self, attempt: u64, told: Told<'_, W>) {
        let Some(call) = self.oracles.attempts.find(attempt).map(|asked| asked.call) else {
            return;
        };
        if let Some(memory) = self.clients.memories.get_mut(usize::from(call.client)) {
            *memory = self.workload.remember(*memory, &call, told);
        }
    }

    /// Records the client's session, unless it had one already.
    pub(in crate::world) fn opened(&mut self, client: u8, session: SessionId) {
        if let Some(known @ None) = self.clients.sessions.get_mut(usize::from(client)) {
            *known = Some(SessionClient::new(session));
        }
    }

    /// The session of the operation's request has ended. The outcome of earlier attempts cannot be found out, so the
    /// request ends. Another one is made only if nothing can take effect twice.
    pub(in crate::world) fn session_lost(&mut self, operation: usize) {
        let Some(running) = self.clients.operations.get(operation) else {
            return;
        };
        let (client, is_fresh) = (usize::from(running.operation.client), running.is_fresh);
        let lost = running.request.and_then(|request| request.session);
        if let (Some(SessionCall::Apply { session, .. }), Some(known)) =
            (lost, self.clients.sessions.get_mut(client))
        {
            known.take_if(|known| known.session() == session);
        }
        let is_unknown = self.end_request(operation, None);
        if is_fresh || !is_unknown {
            self.push_after(self.schedule.workload.retry_after, Event::Attempt { operation });
        }
    }

    /// Records what the client was told; nothing, if it stopped waiting.
    fn note_end(&mut self, request: u64, what: Happened<W>) {
        let Some(history) = &mut self.history else { return };
        if let Some(made) = self.oracles.attempts.find(request) {
            history.ended(self.now, &made.call, made.kind, what);
        }
    }
}

/// Chooses what a client begins in its session: usually a request, and now and then its end. Without a session, it
/// opens one.
fn in_session(known: &mut Option<SessionClient>, draw: Draw) -> SessionCall {
    let Some(client) = known else {
        return SessionCall::Open;
    };
    let session = client.session();
    if draw.chance(KEEP_ALIVE_PERMYRIAD) {
        return SessionCall::KeepAlive(session);
    }
    if client.is_idle() && draw.part(1).chance(CLOSE_PERMYRIAD) {
        *known = None;
        return SessionCall::Close(session);
    }
    let sequence = client.begin();
    SessionCall::Apply {
        session,
        sequence,
        first_unanswered: client.first_unanswered(),
    }
}
