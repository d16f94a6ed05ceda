//! Answers: what servers decide to answer, and what clients learn from it.

use raft_core::{Index, LogId, NodeId, ProposalId, ReadId, Rejection};

use super::clients::client_link;
use super::{Event, Simulation};
use crate::canary::Canary;
use crate::coverage::Probe;
use crate::history::Happened;
use crate::network::Fate;
use crate::oracle::client::{Attempt, Outcome, Refusal};
use crate::oracle::service::Unserved;
use crate::oracle::{Judgement, Oracle, count, violated};
use crate::places::place_of;
use crate::report::Place;
use crate::witness::Witnessed;
use crate::workload::{AnswerOf, Heard, ResponseOf, Told, Workload};

impl<W: Workload> Simulation<'_, W> {
    pub(super) fn done(
        &mut self,
        at: usize,
        id: ProposalId,
        log_id: LogId,
        response: ResponseOf<W>,
    ) -> Judgement {
        self.decided(at, id.value(), Outcome::Written { at: log_id, response }, None)
    }

    pub(super) fn rejected(&mut self, at: usize, attempt: u64, reason: Rejection) -> Judgement {
        self.happened(Probe::RequestRejected, Some(at));
        self.had_a_reason(at, attempt, Unserved::Rejected(reason))?;
        self.read_ends(at, attempt);
        let hint = match reason {
            Rejection::NotLeader { leader } => leader,
            // It knows who leads, but its host cannot say more than that it is not the one to ask.
            Rejection::Halted(_) => self.leader_known_to(at),
            _ => None,
        };
        self.decided(
            at,
            attempt,
            Outcome::WithoutEffect(Refusal::Rejected(reason)),
            hint,
        )
    }

    /// The host refuses a command by itself.
    pub(super) fn refused_by_host(&mut self, at: usize, attempt: u64) -> Judgement {
        self.happened(Probe::RequestRejected, Some(at));
        self.decided(at, attempt, Outcome::WithoutEffect(Refusal::TooEarly), None)
    }

    pub(super) fn superseded(&mut self, at: usize, id: ProposalId) -> Judgement {
        self.happened(Probe::ProposalSuperseded, Some(at));
        self.had_a_reason(at, id.value(), Unserved::Superseded)?;
        self.decided(at, id.value(), Outcome::WithoutEffect(Refusal::Superseded), None)
    }

    pub(super) fn unknown(&mut self, at: usize, id: ProposalId) -> Judgement {
        self.happened(Probe::ProposalUnknown, Some(at));
        self.had_a_reason(at, id.value(), Unserved::Unknown)?;
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
                "attempt {} is answered as of {index}, but only {applied:?} is applied",
                id.value()
            );
            self.ruled(violated(Oracle::C2, message))?;
        }
        self.read_is_answered(at, id.value(), index)?;
        let outcome = Outcome::Read {
            at: answer.at,
            answer: answer.answer,
        };
        self.decided(at, id.value(), outcome, None)
    }

    /// The leader that a server follows.
    fn leader_known_to(&self, at: usize) -> Option<NodeId> {
        let server = self.servers.get(at)?;
        server.vitals.leader.filter(|leader| *leader != server.node)
    }

    /// A server has decided its answer; the network decides whether the client receives it.
    fn decided(&mut self, at: usize, attempt: u64, outcome: Outcome<W>, hint: Option<NodeId>) -> Judgement {
        let outcome = match self.canary {
            // The first request gets its own outcome, because there is none before it.
            Some(Canary::AnswersByQueue) => self.confused.replace(outcome.clone()).unwrap_or(outcome),
            _ => outcome,
        };
        let judgement = self
            .oracles
            .attempts
            .decided(&self.oracles.facts, attempt, outcome);
        self.ruled(judgement)?;
        let cut = self.servers.get(at).is_none_or(|server| server.client_cuts > 0);
        let Some(client) = self.client_of(attempt).filter(|_| !cut) else {
            return Ok(());
        };
        if let Fate::Arrives { at, .. } = self
            .client_network
            .weathered(self.now, client_link(client, at) + 1)
        {
            self.push(at, Event::Response { attempt, hint });
        }
        Ok(())
    }

    /// A client receives an answer.
    pub(super) fn response(&mut self, cause: u64, attempt: u64, hint: Option<NodeId>) -> Judgement {
        let Some((operation, client, server)) = self.is_waited_for(attempt) else {
            return Ok(());
        };
        self.hash_event(9, attempt);
        let asked = self.oracles.attempts.find(attempt);
        let outcome = asked.and_then(|asked| asked.outcome.clone());
        if self.tells() {
            let text = match &outcome {
                Some(Outcome::Written { at, response }) => format!("written at {at}: {response:?}"),
                Some(Outcome::Read { at, answer }) => {
                    format!("read after {}: {answer:?}", count(at.map(|at| at.index)))
                }
                Some(Outcome::WithoutEffect(refusal)) => {
                    let asks = asked.map(Attempt::asks).unwrap_or_default();
                    format!("{asks}, {refusal}")
                }
                Some(Outcome::Unknown) | None => "unknown".to_owned(),
            };
            self.tell(
                cause,
                Place::Client(client),
                "hear",
                format!("attempt {attempt}: {text}"),
            );
        }
        match outcome {
            Some(Outcome::Written { response, .. }) => {
                return self.heard(attempt, operation, client, server, response);
            }
            Some(Outcome::Read { answer, .. }) => {
                self.remember(attempt, Told::Answer(&answer));
                self.attempt_ended(operation, attempt, Happened::Read(answer));
                let judgement = self.oracles.attempts.returned(attempt, None);
                self.ruled(judgement)?;
                self.finish(operation, client, server);
                self.happened(Probe::ReadDone, Some(server));
                return Ok(());
            }
            Some(Outcome::WithoutEffect(_)) => self.attempt_ended(operation, attempt, Happened::Failed),
            Some(Outcome::Unknown) | None => self.ended_unknown(operation, attempt),
        }
        self.believe(client, hint.map(place_of));
        self.push_after(self.schedule.workload.retry_after, Event::Attempt { operation });
        Ok(())
    }

    /// A client receives the machine's response to its command.
    fn heard(
        &mut self,
        attempt: u64,
        operation: usize,
        client: u8,
        server: usize,
        response: ResponseOf<W>,
    ) -> Judgement {
        let heard = self.workload.heard(&response);
        match heard {
            Heard::Done { first } => {
                self.remember(attempt, Told::Response(&response));
                self.attempt_ended(operation, attempt, Happened::Written(response.clone()));
                self.end_request(operation, Some(Happened::Written(response)));
                let judgement = self.oracles.attempts.returned(attempt, first);
                self.ruled(judgement)?;
                self.finish(operation, client, server);
                if first.is_some() {
                    self.happened(Probe::AnswerRepeated, Some(server));
                }
                self.happened(Probe::WriteDone, Some(server));
            }
            Heard::Opened(session) => {
                let judgement = self.oracles.attempts.returned(attempt, None);
                self.ruled(judgement)?;
                self.believe(client, Some(server));
                self.opened(client, session);
                self.happened(Probe::SessionOpened, Some(server));
                self.push(self.now, Event::Attempt { operation });
            }
            Heard::SessionLost => {
                self.believe(client, Some(server));
                self.happened(Probe::SessionLost, Some(server));
                self.session_lost(operation);
            }
            Heard::Again => {
                self.attempt_ended(operation, attempt, Happened::Written(response));
                self.push_after(self.schedule.workload.retry_after, Event::Attempt { operation });
            }
            Heard::Never => {
                let message =
                    format!("attempt {attempt}, which a client waits for, is answered {response:?}");
                return self.ruled(violated(Oracle::C6, message));
            }
        }
        Ok(())
    }
}
