//! Clients of this server that wait for an outcome: proposals that are in the log, and reads that are confirmed.

use alloc::vec::Vec;

use crate::action::{Action, Notice, Rejection, Waiting};
use crate::queue::Ends;
use crate::types::{Index, LogId, ProposalId, ReadId};

use super::server::Server;

/// A proposal of this server's in the log.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) id: ProposalId,
    pub(super) at: LogId,
}

impl Server {
    /// How many clients of this server wait for the outcome of a proposal.
    fn waiting_proposals(&self) -> usize {
        (self.proposals.len())
            .saturating_add(self.truncated.len())
            .saturating_add(self.forwarding.waiting_proposals())
    }

    /// How many clients of this server wait for a read, beside those that a leader has not confirmed yet.
    pub(super) fn waiting_reads(&self) -> usize {
        (self.confirmed_reads.len()).saturating_add(self.forwarding.waiting_reads())
    }

    /// Checks that no more clients wait than the limits allow; so many reads of a leader are not confirmed yet.
    pub(super) fn check_waiting(&self, unconfirmed: usize) -> Result<(), &'static str> {
        let limits = &self.config.limits;
        if self.waiting_proposals() > limits.proposals {
            return Err("more proposals wait than the limit allows");
        }
        if unconfirmed.saturating_add(self.waiting_reads()) > limits.reads {
            return Err("more reads wait than the limit allows");
        }
        Ok(())
    }

    /// Checks that one more client of this server may wait for the outcome of a proposal.
    pub(super) fn check_room_for_proposal(&self) -> Result<(), Rejection> {
        let (what, limit) = (Waiting::Proposals, self.config.limits.proposals);
        let waiting = self.waiting_proposals();
        let has_room = plant!(waiting < limit, BUSY_AT_THE_FIRST => waiting == 0);
        if has_room {
            Ok(())
        } else {
            Err(Rejection::Busy { what, limit })
        }
    }

    /// Checks that one more client of this server may wait for a read, beside those that a leader has not confirmed
    /// yet.
    pub(super) fn check_room_for_read(&self, unconfirmed: usize) -> Result<(), Rejection> {
        let (what, limit) = (Waiting::Reads, self.config.limits.reads);
        if unconfirmed.saturating_add(self.waiting_reads()) < limit {
            Ok(())
        } else {
            Err(Rejection::Busy { what, limit })
        }
    }

    /// Dissertation §6.4, step 4, first half: puts the read among those that wait for the state machine, which are in
    /// the order of their indexes.
    pub(super) fn await_apply(&mut self, id: ReadId, index: Index) {
        if let Some(halted) = self.halted {
            let reason = halted.into();
            self.out.push(Notice::ReadRejected { id, reason });
            return;
        }
        let after = self.confirmed_reads.partition_point(|(_, other)| *other <= index);
        self.confirmed_reads.insert(after, (id, index));
    }

    /// Step 4: answers the reads with which the state machine has caught up.
    pub(super) fn answer_reads(&mut self) {
        let applied = self.applied;
        while let Some((id, index)) = self.confirmed_reads.take_front_if(|(_, index)| {
            let caught_up = Some(*index) <= applied;
            plant!(caught_up, READS_BEFORE_APPLY => true)
        }) {
            self.out.push(Action::ReadReady { id, index });
        }
        self.answer_forwarded_reads();
    }

    /// Ends every request of this server's clients: its disk failed.
    pub(super) fn fail_clients(&mut self) {
        let reason = Rejection::Failed;
        for (id, _) in self.confirmed_reads.drain(..) {
            self.out.push(Notice::ReadRejected { id, reason });
        }
        for proposal in self.proposals.drain(..).chain(self.truncated.drain(..)) {
            self.out.push(Notice::Unknown { id: proposal.id });
        }
        self.give_up_all_forwarded();
        self.fail_forwarded_reads(reason);
    }

    /// A snapshot has taken the place of the log up to `last`. A proposal there may have been committed or not: its
    /// entry cannot be seen any more.
    pub(super) fn cover_proposals(&mut self, last: Index) {
        let covered = |proposal: &Proposal| proposal.at.index <= last;
        while let Some(proposal) = self.proposals.take_front_if(covered) {
            self.out.push(Notice::Unknown { id: proposal.id });
        }
        let unknown: Vec<Proposal> = self
            .truncated
            .extract_if(.., |proposal| covered(proposal))
            .collect();
        for proposal in unknown {
            self.out.push(Notice::Unknown { id: proposal.id });
        }
    }

    /// A truncated proposal is lost once another entry is committed in its place, or an entry of a later term before
    /// it: terms grow along a log, and every later leader has what is committed (§5.4.3). It is not lost before.
    pub(super) fn settle_truncated(&mut self) {
        if self.truncated.is_empty() && self.forwarding.waiting_proposals() == 0 {
            return;
        }
        let Some(committed) = self.commit.and_then(|commit| self.log.log_id(commit)) else {
            return;
        };
        self.settle_forwarded(committed.term);
        let is_lost = |proposal: &mut Proposal| {
            proposal.at.index <= committed.index || proposal.at.term < committed.term
        };
        for proposal in self.truncated.extract_if(.., is_lost) {
            self.out.push(Notice::Superseded { id: proposal.id });
        }
    }

    /// No server sends the log to one that was removed, so it cannot learn what becomes of proposals after its removal.
    /// It knows that when its removal commits, or when an uncommitted return is truncated.
    pub(super) fn maybe_give_up_proposals(&mut self) {
        if !self.is_outside() {
            return;
        }
        while let Some(proposal) = self
            .proposals
            .take_back_if(|proposal| Some(proposal.at.index) > self.commit)
        {
            self.out.push(Notice::Unknown { id: proposal.id });
        }
        for proposal in self.truncated.drain(..) {
            self.out.push(Notice::Unknown { id: proposal.id });
        }
        self.give_up_all_forwarded();
    }
}
