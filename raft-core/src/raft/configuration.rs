//! What a configuration says about this server, whatever its role (paper §6; dissertation chapter 4). When a leader may
//! append one is the leader's rule: see `leader/reconfiguration.rs`.
//!
//! A configuration is in force from the moment it is appended, and the one before it is again when it is truncated.

use crate::action::Notice;
use crate::identity::Incarnation;
use crate::membership::Membership;

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
    /// could give its followers no commands. So does a server that has halted: it could give its clients no answers. Only
    /// a configuration that means this data folder counts.
    pub(super) fn may_campaign(&self) -> bool {
        let me = self.me();
        let (_, committed) = self.log.membership_at(self.commit);
        let in_force = self.log.membership();
        let names = |membership: &Membership| membership.is_voter(me) && self.is_meant_by(membership);
        let is_replaced = self.is_bound_elsewhere_by(in_force);
        let votes = names(in_force) || (names(committed) && !is_replaced);
        let is_able = self.halted.is_none();
        let votes = votes && plant!(is_able, HALTED_CAMPAIGN => true);
        let votes = plant!(votes, REMOVED_CAMPAIGN => true);
        let votes = plant!(votes, LEARNERS_CAMPAIGN => votes || committed.contains(me));
        let holds_commands = !self.is_witness();
        let votes = votes && !self.out.is_silenced();
        votes && plant!(holds_commands, WITNESS_CAMPAIGNS => true)
    }

    /// Whether a configuration that names this server means this data folder. It does if it binds the server to this
    /// folder. If it binds it to none, it means every folder of the cluster's first start, and no other one: a folder
    /// that was admitted later reads the same entry as part of a past in which another folder spoke for this server.
    fn is_meant_by(&self, membership: &Membership) -> bool {
        let speaks = match membership.incarnation(self.me()) {
            Some(bound) => bound == self.incarnation(),
            None => !self.out.hard_state().admitted,
        };
        plant!(speaks, COUNTS_ITSELF_FOR_OTHER_FOLDER => true)
    }

    /// Whether this server counts in quorums of the configuration in force. Its own votes, acknowledgements and
    /// confirmations obey the rule that holds for those of others: they count from the folder that the configuration
    /// means.
    pub(super) fn counts_itself(&self) -> bool {
        self.is_meant_by(self.log.membership())
    }

    /// Whether a candidate or leader that addresses this server as that folder may be answered with a vote. A folder
    /// that was admitted is bound by a committed entry, which every server that can be elected holds (paper §5.4). A
    /// candidate that does not know the folder lacks that entry.
    pub(super) fn is_known_to(&self, addressed_as: Option<Incarnation>) -> bool {
        !self.out.hard_state().admitted || addressed_as == Some(self.incarnation())
    }

    /// Whether neither the configuration in force nor the last one known to be committed names this server: no leader
    /// sends it the log any more.
    pub(super) fn is_outside(&self) -> bool {
        let me = self.me();
        let (_, committed) = self.log.membership_at(self.commit);
        !committed.contains(me) && !self.log.membership().contains(me)
    }

    /// Tells the host that the configuration that removes this server is committed, if the last committed one before had
    /// it. What a log that catches up says of earlier times is no news: a later configuration may name this server again.
    pub(super) fn note_removal(&mut self, was_member: bool) {
        let (at, _) = self.log.membership_at(self.commit);
        if was_member
            && self.is_outside()
            && let Some(at) = at
        {
            self.out.push(Notice::Removed { at });
        }
    }

    /// At a start: says again what the log says, in case the host was not told before.
    pub(super) fn recall_removal(&mut self) {
        let me = self.me();
        let was_member = self.log.memberships().any(|membership| membership.contains(me));
        self.note_removal(was_member);
    }

    /// Another configuration is in force than before.
    pub(super) fn membership_changed(&mut self) {
        self.maybe_give_up_proposals();
        self.out.push(Notice::MembershipChanged {
            at: self.log.membership_id(),
        });
    }
}
