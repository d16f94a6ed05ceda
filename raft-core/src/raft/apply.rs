//! When an entry counts as committed (paper §5.3, §5.4.2), and when it is handed to the state machine.

use crate::action::Action;
use crate::trace::Trace;
use crate::types::Index;

use super::{Proposal, Raft, Role};

impl Raft {
    /// A leader's commit rule (paper, Figure 2, Leaders, last rule): an entry of its own term that a quorum holds
    /// durably is committed, and everything before it.
    pub(super) fn maybe_commit(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let me = self.me();
        let reached = |node| {
            if node == me && planted!(LEADER_COUNTS_UNSYNCED) {
                self.log.last_index()
            } else if node == me {
                // The leader is a voter like the others: what is not durable here does not count here.
                self.out.durable_index()
            } else {
                leader.peer(node).and_then(|peer| peer.matched())
            }
        };
        let candidate = self.log.membership().quorum_index(reached);
        // §5.4.2: only entries of our own term commit by counting; those before come along (Figure 8 says why).
        if candidate >= Some(leader.first_own) || planted!(COMMITS_OLD_TERMS) {
            self.advance_commit(candidate);
        }
    }

    /// Moves the commit index, never back (paper, Figure 2: it increases monotonically).
    pub(super) fn advance_commit(&mut self, to: Option<Index>) {
        if to == self.commit || (to < self.commit && !planted!(COMMIT_GOES_BACK)) {
            return;
        }
        debug_assert!(
            to <= self.log.last_index(),
            "nothing beyond the log's end is committed here"
        );
        let before = core::mem::replace(&mut self.commit, to);
        self.out.commit_advanced(to);
        self.trace(Trace::Committed { to });
        self.settle_overtaken();
        if let Role::Leader(leader) = &mut self.role {
            leader.uncommitted.committed(to);
            self.release_waiting_reads();
        }
        self.maybe_apply();
        let (membership, _) = self.log.membership_at(to);
        if membership.map(|id| id.index) > before {
            self.membership_committed();
        }
    }

    /// A proposal that was cut off is lost once another entry is committed in its place, or one of a later term before
    /// it: terms grow along a log, and every later leader has what is committed (§5.4.3). It is not lost before.
    pub(super) fn settle_overtaken(&mut self) {
        if self.overtaken.is_empty() && self.forwarding.waiting_proposals() == 0 {
            return;
        }
        let Some(committed) = self.commit.and_then(|commit| self.log.log_id(commit)) else {
            return;
        };
        self.settle_forwarded(committed.term);
        let is_lost = |proposal: &mut Proposal| {
            proposal.at.index <= committed.index || proposal.at.term < committed.term
        };
        for proposal in self.overtaken.extract_if(.., is_lost) {
            self.out.push(Action::Superseded { id: proposal.id });
        }
    }

    /// Has more applied, if it may be. A host that applies at once is only asked in a drain, for all that has come
    /// until then, so that nothing counts as applied before the host has heard of it.
    pub(super) fn maybe_apply(&mut self) {
        if !self.config.options.applies_at_once || planted!(APPLIED_BEFORE_TOLD) {
            self.apply();
        }
    }

    /// Hands out what is committed and durable here, so that no restart finds the state machine ahead of the log.
    pub(super) fn apply(&mut self) {
        let has_nothing_to_do = self.commit <= self.applied && self.installing.is_none();
        if self.applying.is_some() || has_nothing_to_do {
            return;
        }
        if self.is_witness() {
            self.apply_as_witness();
            return;
        }
        if let Some((ticket, meta)) = &self.installing {
            if !self.out.is_durable(*ticket) {
                return;
            }
            let meta = meta.clone();
            self.installing = None;
            self.applying = Some(meta.last.index);
            self.out.push(Action::InstallSnapshot { meta });
            return;
        }
        while self.applying.is_none() && self.hand_out() {}
    }

    /// Hands out the next entries, if there are any.
    fn hand_out(&mut self) -> bool {
        let first = Index::after(self.applied);
        let Some(last) = self
            .commit
            .min(if planted!(APPLIES_BEFORE_DURABLE) {
                self.log.last_index()
            } else {
                self.out.durable_index()
            })
            .filter(|&last| last >= first)
        else {
            return false;
        };
        let entries = self.log.slice(first, last, self.config.limits.apply_bytes);
        let Some(last) = entries.last().map(|entry| entry.id.index) else {
            debug_assert!(false, "what is not applied yet stays in memory");
            return false;
        };
        self.out.push(Action::Apply { entries });
        while let Some(proposal) = self.proposals.pop_front_if(|proposal| proposal.at.index <= last) {
            self.out.push(Action::Done {
                id: proposal.id,
                at: proposal.at,
            });
        }
        if self.config.options.applies_at_once {
            self.applied = Some(last);
            self.answer_reads();
        } else {
            self.applying = Some(last);
        }
        true
    }

    /// Whether the host has been told to make the state machine reach this very entry, and has not said that it has.
    pub(crate) fn is_applying(&self, last: Index) -> bool {
        self.applying == Some(last)
    }

    pub(super) fn on_applied(&mut self, index: Index) {
        // The host may report any part of what it was given; anything else is no news.
        if Some(index) > self.applying || Some(index) <= self.applied {
            return;
        }
        self.applied = Some(index);
        if self.applying == Some(index) {
            self.applying = None;
        }
        self.answer_reads();
        self.maybe_apply();
    }
}
