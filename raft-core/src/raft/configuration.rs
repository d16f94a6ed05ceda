//! What a configuration says about this server, whatever its role (paper §6; dissertation chapter 4). When a leader may
//! append one is the leader's rule: see `leader/reconfiguration.rs`.
//!
//! A configuration is in force from the moment it is appended, and the one before it is again when it is truncated.

use crate::action::Notice;

use super::server::Server;

impl Server {
    pub(super) fn is_voter(&self) -> bool {
        self.log.membership().is_voter(self.me())
    }

    /// Whether the configuration in force is committed: no other one is appended before.
    pub(super) fn membership_is_committed(&self) -> bool {
        let is_committed = self.log.membership_id().map(|id| id.index) <= self.commit;
        plant!(is_committed, CHANGES_BEFORE_LAST_CHANGE => true)
    }

    /// §4.2.2: whether this server may campaign. It may for as long as it votes in the configuration in force or in the
    /// last one that it knows to be committed: until then its removal may be truncated, and the cluster may need it to
    /// get that removal committed. A server that knows its removal is committed keeps silent. So does a witness: it
    /// could give its followers no commands.
    pub(super) fn may_campaign(&self) -> bool {
        let me = self.me();
        let (_, committed) = self.log.membership_at(self.commit);
        let votes = self.is_voter() || committed.is_voter(me);
        let votes = plant!(votes, REMOVED_CAMPAIGN => true);
        let votes = plant!(votes, LEARNERS_CAMPAIGN => votes || committed.contains(me));
        let holds_commands = !self.is_witness();
        votes && plant!(holds_commands, WITNESS_CAMPAIGNS => true)
    }

    /// Whether neither the configuration in force nor the last one known to be committed names this server: no leader
    /// sends it the log any more.
    pub(super) fn is_outside(&self) -> bool {
        let me = self.me();
        let (_, committed) = self.log.membership_at(self.commit);
        !committed.contains(me) && !self.log.membership().contains(me)
    }

    /// Another configuration is in force than before.
    pub(super) fn membership_changed(&mut self) {
        self.maybe_give_up_proposals();
        self.out.push(Notice::MembershipChanged {
            at: self.log.membership_id(),
        });
    }
}
