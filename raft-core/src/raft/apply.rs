//! The commit index, and when a committed entry is handed to the state machine. Which entries a leader may count as
//! committed is its own rule: see `leader/commit.rs`.

use crate::action::Action;
use crate::queue::Ends;
use crate::trace::Trace;
use crate::types::Index;

use super::server::Server;

impl Server {
    /// Moves the commit index, never back (paper, Figure 2: it increases monotonically). Returns whether a
    /// configuration is among the entries that are committed now.
    pub(super) fn advance_commit(&mut self, to: Option<Index>) -> bool {
        let is_news = plant!(to > self.commit, COMMIT_GOES_BACK => to != self.commit);
        if !is_news {
            return false;
        }
        debug_assert!(
            to <= self.log.last_index(),
            "no entry beyond the log's end is committed here"
        );
        let before = core::mem::replace(&mut self.commit, to);
        if before.is_none() {
            self.learn_cluster();
        }
        self.learn_level();
        self.out.commit_advanced(to);
        self.trace(Trace::Committed { to });
        self.settle_truncated();
        self.maybe_apply();
        let (membership, _) = self.log.membership_at(to);
        membership.map(|id| id.index) > before
    }

    /// Hands out entries to apply, if it may be now. A host that applies at once is asked in a drain, for everything
    /// that came until then, so that no entry counts as applied before the host has been given it.
    pub(super) fn maybe_apply(&mut self) {
        let waits_for_drain = self.config.options.applies_at_once;
        let waits_for_drain = plant!(waits_for_drain, APPLIED_BEFORE_TOLD => false);
        if !waits_for_drain {
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
        let up_to = plant!(self.out.durable_index(), APPLIES_BEFORE_DURABLE => self.log.last_index());
        let last = self.before_halt(self.commit.min(up_to));
        let Some(last) = last.filter(|&last| last >= first) else {
            return false;
        };
        let entries = self.log.slice(first, last, self.config.limits.apply_bytes);
        let holds_all = entries.last().is_some_and(|entry| entry.id.index == last);
        self.limited.apply_bytes += u64::from(!holds_all);
        let Some(last) = entries.last().map(|entry| entry.id.index) else {
            debug_assert!(false, "an entry that is not applied yet stays in memory");
            return false;
        };
        self.out.push(Action::Apply { entries });
        while let Some(proposal) = self.proposals.take_front_if(|proposal| proposal.at.index <= last) {
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

    pub(super) fn on_applied(&mut self, index: Index) {
        // The host may report any part of what it was given. Any other report changes nothing.
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
