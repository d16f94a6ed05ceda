//! What the host says of its writes: what is durable now, or that the disk failed, after which this server is silent.

use crate::action::{Notice, Rejection, TransferOutcome};
use crate::input::{Event, Input};
use crate::types::Ticket;

use super::{Raft, Role, STAY, Transition};

impl Raft {
    pub(super) fn on_persisted(&mut self, ticket: Ticket) {
        if !self.server.out.persisted(ticket) {
            return;
        }
        if let Role::Candidate(candidate) = &mut self.role {
            // A candidate's own vote counts from here on.
            let next = plant!(candidate.count_votes(&mut self.server), COUNTS_ON_REPLIES_ONLY => STAY);
            self.carry_out(next);
        }
        if let Role::Leader(leader) = &mut self.role {
            // So does what a leader's own log holds.
            let next = plant!(leader.maybe_commit(&mut self.server), COMMITS_ON_ACKS_ONLY => STAY);
            self.carry_out(next);
        }
        self.server.maybe_apply();
    }

    pub(super) fn on_persist_failed(&mut self) {
        self.server.failed = true;
        self.server.out.discard_messages_and_writes();
        if let Role::Leader(leader) = &mut self.role {
            leader.fail(&mut self.server);
        }
        self.server.fail_clients();
        if matches!(self.role, Role::Leader(_) | Role::Candidate(_)) {
            self.carry_out(Transition::Follow(None).into());
        }
    }

    /// A server whose disk failed answers its own clients and sends nothing to other servers.
    pub(super) fn refuse(&mut self, input: Input) {
        let server = &mut self.server;
        let reason = Rejection::Failed;
        match input {
            Input::Event(Event::Propose { id, payload }) => server.reject(id, reason, payload),
            Input::Event(Event::Transfer { to }) => {
                server.end_transfer(to, TransferOutcome::Rejected(reason))
            }
            Input::Event(Event::ChangeMembership { id, change, .. }) => {
                server.reject_change(id, reason.into(), change);
            }
            Input::Event(Event::Tick(ticks)) => server.advance(ticks),
            Input::Read { id, .. } => server.out.push(Notice::ReadRejected { id, reason }),
            _ => {}
        }
    }
}
